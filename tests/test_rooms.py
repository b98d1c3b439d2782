"""Rooms: an import points towards the ground, no stage imports a stage, and there are no circles of modules."""

from __future__ import annotations

from graphlib import TopologicalSorter

from common import LIBRARY
from fingerprints import imported

ROOMS = (
    {"errors", "text"},
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
