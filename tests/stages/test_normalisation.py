"""Statistics: merged moments of the scenes that the recipe names."""

from pathlib import Path

import numpy as np
import pytest

from rasterloom.errors import InputError
from rasterloom.raster.scan import Moments
from rasterloom.stages import job_of, normalisation
from rasterloom.stages.normalisation import merge_scenes
from rasterloom.store.manifest import Manifest
from rasterloom.store.store import Item, Store
from registrations import write_registration

RNG = np.random.default_rng(0)
SCENES = {"one": RNG.normal(100, 5, (2, 50)), "two": RNG.normal(300, 1, (2, 20)), "three": RNG.normal(0, 9, (2, 7))}


def moments(values: np.ndarray) -> list[Moments]:
    return [Moments.of(band) for band in values]


def run(results: Path, scenes: list[str], sensors: list[str]) -> dict[str, Item]:
    spec = {"stage": "normalisation", "version": normalisation.VERSION, "sensors": sensors, "scenes": scenes}
    assert normalisation.inputs(spec) == [f"registration/{scene}.json" for scene in scenes]
    normalisation.run(job_of(spec, {}, results, Store.of(results)))
    return Manifest.read(results / "statistics" / "statistics.json").items


def test_merge_scenes_equals_numpy_over_all_pixels() -> None:
    table = merge_scenes({name: moments(values) for name, values in SCENES.items()}, "m")
    every = np.concatenate(list(SCENES.values()), axis=1)
    np.testing.assert_allclose(table["mean"], every.mean(axis=1), rtol=1e-12)
    np.testing.assert_allclose(table["sd"], every.std(axis=1), rtol=1e-12)
    assert table["count"] == [77, 77]


def test_a_constant_band_has_no_deviation() -> None:
    assert merge_scenes({"s": moments(np.full((1, 9), 4.0))}, "m") == {"mean": [4.0], "sd": [0.0], "count": [9]}


@pytest.mark.parametrize(
    ("scenes", "text"),
    [
        ({}, "sensor m: no scene"),
        ({"a": moments(np.ones((2, 3))), "b": moments(np.ones((1, 3)))}, "scene b has 1 bands, scene a 2"),
        ({"a": [Moments()]}, "band 1 has no valid pixel"),
    ],
)
def test_merge_scenes_refuses(scenes: dict[str, list[Moments]], text: str) -> None:
    with pytest.raises(InputError, match=text):
        merge_scenes(scenes, "m")


def test_run_writes_an_item_a_sensor_and_reuses_it(tmp_path: Path) -> None:
    for name, values in SCENES.items():
        write_registration(tmp_path, name, {"rgb": moments(values), "m": moments(values + 1)})
    first = run(tmp_path, ["one", "two"], ["rgb", "m"])
    assert set(first) == {"rgb", "m"}
    files = {path: path.stat().st_ino for path in (tmp_path / "store/normalisation").iterdir()}
    assert run(tmp_path, ["two", "one"], ["rgb", "m"]) == first  # the order of scenes does not matter
    assert {path: path.stat().st_ino for path in (tmp_path / "store/normalisation").iterdir()} == files
    other = run(tmp_path, ["one", "three"], ["rgb", "m"])
    assert other["rgb"].digest != first["rgb"].digest


def test_run_depends_on_the_moments_of_each_sensor_alone(tmp_path: Path) -> None:
    write_registration(tmp_path, "one", {"rgb": moments(SCENES["one"]), "m": moments(SCENES["one"])})
    first = run(tmp_path, ["one"], ["rgb", "m"])
    write_registration(tmp_path, "one", {"rgb": moments(SCENES["one"]), "m": moments(SCENES["two"])})
    second = run(tmp_path, ["one"], ["rgb", "m"])
    assert second["rgb"] == first["rgb"] and second["m"] != first["m"]


def test_run_passes_over_scenes_without_the_sensor(tmp_path: Path) -> None:
    write_registration(tmp_path, "one", {"rgb": moments(SCENES["one"])})
    write_registration(tmp_path, "two", {"rgb": moments(SCENES["two"]), "m": moments(SCENES["two"])})
    both = run(tmp_path, ["one", "two"], ["rgb", "m"])
    write_registration(tmp_path, "one", {"rgb": moments(SCENES["two"])})
    assert run(tmp_path, ["one", "two"], ["rgb", "m"])["m"] == both["m"]
