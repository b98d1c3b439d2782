"""Sizes of scenes: from one header per sensor, and from the bytes of files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from rasterloom.config import load_config
from rasterloom.dataset import Dataset, Scene, SourceFile
from rasterloom.errors import InputError
from rasterloom.planning import sizes as sizes_module
from rasterloom.planning.graph import Dag
from rasterloom.planning.sizes import read_sizes

SIZES = {f"s{i}": (160 + 8 * i, 240 + 4 * i) for i in range(6)}
"""(H, W) of the reference by scene."""


@pytest.fixture
def dag(tmp_path: Path) -> Dag:
    """Six scenes of two sensors, of which one is half as fine and has 8 bits; the last scene lacks it."""
    scenes = {}
    for name, (height, width) in SIZES.items():
        paths = {"rgb": tmp_path / f"{name}_rgb.tif", "m": tmp_path / f"{name}_m.tif"}
        tifffile.imwrite(paths["rgb"], np.zeros((3, height, width), np.uint16), photometric="minisblack")
        tifffile.imwrite(paths["m"], np.zeros((5, height // 2, width // 2), np.uint8), photometric="minisblack")
        own = {sensor: (SourceFile.of(path),) for sensor, path in paths.items() if (name, sensor) != ("s5", "m")}
        scenes[name] = Scene(name, name, "predict", own)
    config = load_config(
        {
            "results": str(tmp_path / "results"),
            "dataset": {"layout": "sheet", "table": "x.tsv"},
            "sensors": {"rgb": {"reference": True}, "m": {}},
            "channels": {"all": ["rgb", "m"]},
            "scales": {"native": {}, "s32": {"size": 32}, "half": {"factor": 0.5}},
            "models": {"linear": {"kind": "linear"}},
            "classes": {"x": {"id": 1, "members": [{"model": "linear", "channels": "all", "scale": "native"}]}},
            "validation": {"split": 0.8},
        }
    )
    return Dag(config, Dataset("sheet", scenes, "rgb", {"x": 1}))


def test_read_sizes_reads_one_header_per_sensor_and_the_bytes_of_the_others(
    dag: Dag, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[tuple[str, str]] = []
    whole = sizes_module._header
    monkeypatch.setattr(sizes_module, "_header", lambda dag, *names: opened.append(names) or whole(dag, *names))
    sizes = read_sizes(dag)
    assert opened == [("s0", "rgb"), ("s0", "m")]
    assert sizes.bands == {"rgb": 3, "m": 5}
    assert sizes.channels(("rgb", "m")) == 8
    assert sizes.reference["s0"] == SIZES["s0"]
    for scene, (height, width) in SIZES.items():
        assert sizes.reference[scene][0] * sizes.reference[scene][1] == pytest.approx(height * width, rel=0.05)


def test_sizes_on_the_grids_of_scales(dag: Dag) -> None:
    sizes = read_sizes(dag)
    assert sizes.shape({"name": "s32", "size": 32}, "s1") == (32, 32)
    assert sizes.shape({"name": "native"}, "s0") == SIZES["s0"]
    assert sizes.shape({"name": "half", "factor": 0.5}, "s0") == (80, 120)


def test_read_sizes_names_a_file_that_is_no_image(dag: Dag) -> None:
    path = Path(dag.dataset.scenes["s0"].sensors["m"][0].path)
    path.write_bytes(b"no image")
    with pytest.raises(InputError, match=path.name):
        read_sizes(dag)


def test_read_sizes_of_a_sensor_that_no_scene_has(dag: Dag) -> None:
    for scene in dag.dataset.scenes.values():
        scene.sensors.pop("m", None)
    assert read_sizes(dag).bands["m"] == 1
