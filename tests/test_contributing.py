"""The worked examples of CONTRIBUTING are code that runs."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from common import LIBRARY, ROOT
from fingerprints import module_path
from rasterloom.raster.grid import IDENTITY, Grid
from rasterloom.raster.stacking import StackSensor, write_stack
from rasterloom.stages import job_of
from rasterloom.store.manifest import Manifest
from rasterloom.store.store import Store

TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def blocks(title: str) -> list[str]:
    """The Python code of a section."""
    section = TEXT.split(f"## {title}\n", 1)[1].split("\n## ", 1)[0]
    return re.findall(r"```python\n(.*?)```", section, re.DOTALL)


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The stage of the example, as if its two files were in the library."""
    for room, text in zip(("raster", "stages"), blocks("Add a stage"), strict=True):
        (tmp_path / room).mkdir()
        (tmp_path / room / "validity.py").write_text(text, encoding="utf-8")
        package: Any = importlib.import_module(f"rasterloom.{room}")
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path / room)])
    modules = [importlib.import_module(f"rasterloom.{room}.validity") for room in ("raster", "stages")]
    yield modules[1]
    for module in modules:
        monkeypatch.delitem(sys.modules, module.__name__)


def test_the_stage_of_the_example_writes_one_artifact_per_scene_and_reuses_it(
    stage: ModuleType, tmp_path: Path
) -> None:
    store = Store.of(tmp_path)
    for scene in ("a", "b"):
        with store.writing("stack", scene, ".zarr.zip") as work:
            write_stack(work.path, [StackSensor("m", 2, np.uint16)], Grid(300, 5, IDENTITY))
            work.digest = scene
        Manifest("stack", {scene: work.committed()}).write(tmp_path / f"stacks/native/{scene}.json")
    spec = {"stage": "validity", "version": stage.VERSION, "scale": "native", "scenes": ["a", "b"]}
    assert [(tmp_path / path).is_file() for path in stage.inputs(spec)] == [True, True]
    stage.run(job_of(spec, {}, tmp_path, store))
    first = Manifest.read(tmp_path / "validity/native.json").items
    assert list(first) == spec[stage.NAMES]
    assert (tmp_path / "validity/native/a.validity.json").read_text().split() == ["{", '"m":', "0.0", "}"]
    stage.run(job_of(spec, {}, tmp_path, store))
    assert Manifest.read(tmp_path / "validity/native.json").items == first


def test_the_network_of_the_example_is_a_table_of_the_configuration() -> None:
    import torch

    from rasterloom.config import networks as tables
    from rasterloom.learning.networks import unet

    names: dict[str, Any] = {**vars(unet), **vars(tables)}
    for block in blocks("Add a network"):
        exec(f"from __future__ import annotations\n{block}", names)
    plain = names["PlainConfig"](kind="plain")
    assert plain.deepest == 1
    network = names["Plain"](plain, 3, 2)
    assert network(torch.zeros(1, 3, 5, 7)).shape == (1, 2, 5, 7)
    found = sum(weight.numel() for weight in names["Plain"](plain, 3, 1).parameters())
    # 5 layers of 32 maps on 3 channels, each with two numbers per map of batch normalisation, and a head
    assert found == 9 * 32 * (3 + 4 * 32) + 5 * 64 + 33


def test_files_that_the_examples_name_are_there() -> None:
    """But for those of the examples themselves."""
    sections = TEXT.split("## Add a stage\n", 1)[1].split("\n## Rules", 1)[0]
    named = {name for name in re.findall(r"`([\w./]+\.(?:py|smk|md|json))`", sections) if "/" in name}
    new = {name for name in named if "validity" in name or "plain" in name or "results/" in name}
    missing = {n for n in named - new if not any((place / n).is_file() for place in (ROOT, LIBRARY))}
    assert missing == set()
    assert module_path("raster.validity") is None, "the example's name is taken: choose another one"
