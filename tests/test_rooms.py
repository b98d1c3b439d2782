"""Rooms: an import points towards the ground, no stage imports a stage, and there are no circles of modules."""

from __future__ import annotations

import importlib
import re
from graphlib import TopologicalSorter
from typing import Any

import pytest

from common import LIBRARY, ROOT
from fingerprints import imported

ROOMS = (
    {"errors", "grouping", "text"},
    {"store"},
    {"config", "dataset"},
    {"raster"},
    {"registration", "polygons"},
    {"labels", "learning"},
    {"report"},
    {"project"},
    {"stages"},
    {"planning"},
    {"tools"},
    {"cli"},
    {"__main__"},
)
"""From the ground up. Rooms of one storey do not know one another."""

STOREY = {room: number for number, rooms in enumerate(ROOMS) for room in rooms}

MODULES = sorted(
    ".".join(path.relative_to(LIBRARY).with_suffix("").parts).removesuffix("__init__").rstrip(".")
    for path in LIBRARY.rglob("*.py")
)
ARROWS = {name: {other for other in imported(name) if other} for name in MODULES if name}


def room(module: str) -> str:
    """The room of a module: the first part of its name."""
    return module.split(".")[0]


def test_every_module_has_a_room() -> None:
    assert {room(name) for name in ARROWS} == STOREY.keys()


def test_arrows_between_rooms_point_to_the_ground() -> None:
    wrong = [
        f"{name} -> {other}"
        for name, others in ARROWS.items()
        for other in others
        if room(other) != room(name) and STOREY[room(other)] >= STOREY[room(name)]
    ]
    assert wrong == []


def test_no_stage_imports_a_stage() -> None:
    assert [f"{n} -> {o}" for n, others in ARROWS.items() for o in others if room(n) == "stages" == room(o) != o] == []


def test_there_are_no_circles() -> None:
    # Python runs a package before each module in it, which is no arrow of the module.
    arrows = {name: {other for other in others if not name.startswith(f"{other}.")} for name, others in ARROWS.items()}
    tuple(TopologicalSorter(arrows).static_order())


# The documents about rooms -----------------------------------------------------------------------------------


@pytest.mark.parametrize("document", ["CONTRIBUTING.md", "docs/architecture.md"])
def test_tables_of_rooms_have_each_room_on_its_level(document: str) -> None:
    rows = re.findall(r"^\| (\d+) \| (.*?) \|", (ROOT / document).read_text(encoding="utf-8"), re.MULTILINE)
    found = {(int(n), name) for n, cell in rows for name in re.findall(r"`(\w+)(?:/|\.py)`", cell)}
    assert found == {(number, name) for name, number in STOREY.items()}


def test_the_walk_names_functions_that_exist_and_counts_them() -> None:
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    walk = text.split("## A newcomer's walk", 1)[1].split("\n## ", 1)[0]
    names = re.findall(r"^ {6}([a-z]\S+)  +\S", walk, re.MULTILINE)
    assert f"{len(names)} functions" in walk and len(set(names)) == len(names)
    for name in names:
        module = next(m for m in sorted(MODULES, key=len, reverse=True) if m and name.startswith(f"{m}."))
        found: Any = importlib.import_module(f"rasterloom.{module}")
        for part in name.removeprefix(f"{module}.").split("."):
            found = getattr(found, part)
        assert callable(found)
    for module in re.findall(r"`([a-z_]+(?:\.[a-z_]+)+)`", walk.split("**Where the way turns back.**", 1)[1]):
        assert module in MODULES or module.rpartition(".")[0] in MODULES, module
