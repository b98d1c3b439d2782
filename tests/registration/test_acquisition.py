"""Scenes of an acquisition: a sensor without an estimate of its own, and what the others say of it."""

from __future__ import annotations

import copy
import doctest
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common import says
from rasterloom.config.overlays import merge
from rasterloom.dataset import contest_ids
from rasterloom.dataset.contest_ids import tile_of
from rasterloom.raster.grid import compose
from rasterloom.registration import acquisition
from rasterloom.registration.acquisition import place_of
from rasterloom.registration.motions import moved_by
from registrations import NOMINAL, REFUSED, Table, group, registration, sensor, settle


def test_examples_in_docstrings_hold() -> None:
    assert doctest.testmod(acquisition).failed == doctest.testmod(contest_ids).failed == 0


def test_settle_puts_a_scene_where_the_median_of_the_others_says() -> None:
    scenes = group((3.0, -2.0), (4.0, -2.5), (3.5, 1.0), None)
    before = copy.deepcopy(scenes)
    found = settle(scenes, "6010")
    assert scenes == before
    assert all(found[scene] is scenes[scene] for scene in "abc")
    m = found["d"]["sensors"]["m"]
    assert (m["shift"], m["matrix"]) == ([3.5, -2.0], [[0.25, 0.0, 0.875], [0.0, 0.25, -0.5]])
    assert (m["method"], m["accepted"], m["confidence"]) == ("group", False, 0.12)
    assert m["error"] == pytest.approx([0.6124, 2.3184], abs=1e-3)  # each left out: .75, .75, 0; 1.25, 2, 3.25 ...
    assert m["against"] == "3 scenes of 6010"
    assert says(m["fallback"], "(0.12, 0.3 is needed) ... median of 3 scenes of 6010")
    assert found["d"]["sensors"]["rgb"] is scenes["d"]["sensors"]["rgb"]


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("a: low; b: none; the georeference is used", "a: low; b: none"),
        ("the shift found, 9.0, 1.0 pixels, is beyond max_shift 8: the files' own place is used",
         "the shift found, 9.0, 1.0 pixels, is beyond max_shift 8"),
        ("nothing was found", "nothing was found"),
        (None, "no estimate was accepted"),
    ],
)  # fmt: skip
def test_settle_keeps_the_reason_and_says_what_is_used_instead(said: str | None, reason: str) -> None:
    scenes = group((3.0, -2.0), (3.0, -2.0), (3.0, -2.0), None)
    scenes["d"]["sensors"]["m"]["fallback"] = said
    found = settle(scenes, "6010")["d"]["sensors"]["m"]["fallback"]
    assert found.startswith(reason) and says(found, "median of 3 scenes of 6010") and "own place" not in found


def test_settle_of_too_few_others_says_so() -> None:
    scenes = group((3.0, -2.0), None, None, (3.0, -2.0))
    found = settle(scenes, "6010")["b"]["sensors"]["m"]
    assert (found["matrix"], found["method"]) == (NOMINAL, "identity")
    assert found["fallback"].startswith(REFUSED)
    assert says(found["fallback"], "2 of the 3 other scenes of 6010 ... 3 are needed")
    (one, two) = settle(group((3.0, -2.0), None), "6010").values()
    assert says(two["sensors"]["m"]["fallback"], "1 of the 1 other scenes of 6010 ... 3 are needed")
    assert one["sensors"]["m"]["fallback"] is None


def test_settle_of_others_that_differ_says_so() -> None:
    scenes = group((0.0, 0.0), (9.0, 0.0), (-5.0, 0.0), None)
    found = settle(scenes, "6010")["d"]["sensors"]["m"]
    assert (found["matrix"], found["method"]) == (NOMINAL, "identity")
    assert says(found["fallback"], "3 other scenes of 6010 ... 8.7, 0.0 reference pixels ... a pixel of the sensor")
    coarse = {s: merge(r, {"sensors": {"m": {"pixel": [24.0, 24.0]}}}) for s, r in scenes.items()}
    assert settle(coarse, "6010")["d"]["sensors"]["m"]["method"] == "group"


def turned(degrees: float, **changes: Any) -> Table:
    """The entry of a sensor that is turned about the middle of the scene, and shifted by 3, -2."""
    matrix = compose(NOMINAL, moved_by((3.0, -2.0), degrees, (64, 64)))
    return sensor((3.0, -2.0), motion="euclidean", matrix=matrix, **changes)


def test_settle_takes_the_median_of_turns() -> None:
    scenes = {f"s{degrees}": registration(m=turned(degrees)) for degrees in (0.5, 0.75, 1.5)}
    scenes["lost"] = registration(m=sensor(None, motion="euclidean"))
    m = settle(scenes, "6010")["lost"]["sensors"]["m"]
    assert (m["method"], m["shift"]) == ("group", [3.0, -2.0])
    np.testing.assert_allclose(m["matrix"], turned(0.75)["matrix"], atol=1e-6)


def test_settle_takes_the_median_of_pixel_sizes() -> None:
    scenes = {}
    for side in (0.2501, 0.2503, 0.2504):
        matrix = [[side, 0.0, 0.75 - 32 * (side - 0.25)], [0.0, 0.25, -0.5]]
        scenes[str(side)] = registration(m=sensor((3.0, -2.0), matrix=matrix))
    scenes["lost"] = registration(m=sensor(None))
    m = settle(scenes, "6010")["lost"]["sensors"]["m"]
    np.testing.assert_allclose(m["matrix"], [[0.2503, 0.0, 0.75 - 32 * 0.0003], [0.0, 0.25, -0.5]], atol=1e-6)


SAWTOOTH = {"x": (-3.0, -22.0, -46.0, -69.0, -45.0), "y": (4.0, 14.0, 24.0, 9.0, -1.0)}


def sawtooth(lost: tuple[int, int], noise: float = 0.0) -> tuple[dict[str, Table], dict[str, tuple[str, str]]]:
    """Tiles of 5 x 5, each off by what its column and its row say; one without an estimate."""
    rng, scenes, tiles = np.random.default_rng(1), {}, {}
    for row, y in enumerate(SAWTOOTH["y"]):
        for column, x in enumerate(SAWTOOTH["x"]):
            name, (dx, dy) = f"6120_{row}_{column}", rng.normal([x, y], noise)
            known = None if (row, column) == lost else (round(float(dx), 3), round(float(dy), 3))
            scenes[name], tiles[name] = registration(a=sensor(known, pixel=[25.0, 25.0])), tile_of(name)
    return scenes, tiles


def test_settle_goes_by_row_and_column_where_these_say_it_better() -> None:
    scenes, tiles = sawtooth((1, 3), 1.0)
    a = settle(scenes, "6120", tiles)["6120_1_3"]["sensors"]["a"]
    assert a["method"] == "group" and a["shift"] == pytest.approx([-69.0, 14.0], abs=1.5)
    assert 0.3 < min(a["error"]) <= max(a["error"]) < 2.5
    assert a["against"] == "24 scenes of 6120, x by 4 in its column, y by 4 in its row"
    unknown = settle(scenes, "6120")["6120_1_3"]["sensors"]["a"]
    assert unknown["method"] == "group" and unknown["error"][0] > 20  # nearly a pixel: the median alone is that bad


def test_settle_takes_the_median_where_rows_and_columns_say_nothing() -> None:
    rng, tiles = np.random.default_rng(2), {}
    scenes = {}
    for i in range(25):
        name = f"6010_{i // 5}_{i % 5}"
        scenes[name] = registration(m=sensor(None if i == 7 else tuple(np.round(rng.normal(0, 1, 2), 3))))
        tiles[name] = tile_of(name)
    m = settle(scenes, "6010", tiles)["6010_1_2"]["sensors"]["m"]
    assert m["method"] == "group" and "its" not in m["against"]
    assert m["error"] == pytest.approx([1.0, 1.0], abs=0.3)


def test_a_row_or_column_without_another_estimate_takes_the_median() -> None:
    scenes, tiles = sawtooth((0, 0))
    for scene in scenes:
        if tiles[scene][1] == "0" or tiles[scene][0] not in "01":
            scenes[scene] = registration(a=sensor(None, pixel=[40.0, 25.0]))
    a = settle(scenes, "6120", tiles)["6120_0_0"]["sensors"]["a"]
    assert a["method"] == "group" and a["against"] == "8 scenes of 6120, y by 4 in its row"
    assert a["shift"] == [-45.5, 4.0]


def test_georeferences_say_the_row_and_column() -> None:
    own = registration(m=sensor(None))
    assert place_of((own, ("", ""))) == ("", "")
    own["reference"] |= {"transform": [[0.5, 0.0, 500_032.0], [0.0, -0.5, 4_000_064.0]], "crs": "EPSG:32631"}
    assert place_of((own, ("", ""))) == ("-8000128", "1000064")
    assert place_of((own, ("3", "1"))) == ("3", "1")
    own["reference"]["transform"] = [[0.4, 0.3, 500_032.0], [0.3, -0.4, 4_000_064.0]]
    assert place_of((own, ("", ""))) == ("", "")


def test_settle_leaves_a_scene_alone_as_it_is() -> None:
    scenes = group(None)
    assert settle(scenes, "6010")["a"] is scenes["a"]


@pytest.mark.parametrize(
    "change", [{"method": "none"}, {"method": "given"}, {"accepted": False}, {"origin": "georeference"}]
)
def test_settle_counts_estimates_of_the_same_kind_alone(change: Table) -> None:
    scenes = group((3.0, 0.0), (3.0, 0.0), (3.0, 0.0), None)
    scenes["a"]["sensors"]["m"] |= change
    assert settle(scenes, "6010")["d"]["sensors"]["m"]["method"] == "identity"


def test_settle_leaves_what_was_given_and_the_reference() -> None:
    scenes = group((3.0, 0.0), (3.0, 0.0), (3.0, 0.0), (0.0, 0.0))
    scenes["d"]["sensors"]["m"] |= {"method": "none", "accepted": True}
    scenes["d"]["sensors"]["rgb"] |= {"accepted": False}
    assert settle(scenes, "6010")["d"] is scenes["d"]


def test_settle_of_a_sensor_that_some_scenes_lack() -> None:
    scenes = {"a": registration(), **group((1.0, 0.0)), "b": registration(), "c": registration(a=sensor(None))}
    fallback = settle(scenes, "6010")["c"]["sensors"]["a"]["fallback"]
    assert says(fallback, "0 of the 2 other scenes of 6010 ... 3 are needed")


def test_settle_heeds_the_size_of_the_references_pixels_on_the_ground() -> None:
    scenes = group((4.0, -2.0), (4.0, -2.0), (8.0, -4.0), None)
    scenes["c"]["reference"]["gsd"] = 0.155
    scenes["d"]["reference"]["gsd"] = 0.62
    assert settle(scenes, "6010")["d"]["sensors"]["m"]["shift"] == [2.0, -1.0]
    scenes["a"]["reference"]["gsd"] = None
    assert settle(scenes, "6010")["d"]["sensors"]["m"]["method"] == "identity"
    for scene in scenes.values():
        scene["reference"]["gsd"] = None
    assert settle(scenes, "6010")["d"]["sensors"]["m"]["shift"] == [4.0, -2.0]


SHIFTS = st.lists(st.tuples(st.floats(-2.0, 2.0), st.floats(-2.0, 2.0)), min_size=3, max_size=9)


@given(SHIFTS, st.permutations(range(9)))
def test_settle_is_inside_the_others_and_heeds_no_order(shifts: list[tuple[float, float]], order: list[int]) -> None:
    scenes = group(*shifts, None)
    lost = list(scenes)[-1]
    shuffled = dict(sorted(scenes.items(), key=lambda entry: order[(ord(entry[0]) - 97) % 9]))
    found = settle(scenes, "x")[lost]
    assert settle(shuffled, "x")[lost] == found
    m = found["sensors"]["m"]
    assert m["method"] == "group"
    for axis in (0, 1):
        values = [shift[axis] for shift in shifts]
        assert min(values) - 1e-4 <= m["shift"][axis] <= max(values) + 1e-4
