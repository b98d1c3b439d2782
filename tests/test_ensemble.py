"""Means of members on the finest grid."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rasterloom import ensemble
from rasterloom.digest import array_digest
from rasterloom.ensemble import finest, mean_bands
from rasterloom.job import Job
from rasterloom.manifest import Manifest
from rasterloom.mask import read_plane, write_plane
from rasterloom.store import Item, Store

U8 = NDArray[np.uint8]


def mean(members: list[U8], shape: tuple[int, int]) -> U8:
    return np.concatenate(list(mean_bands(members, shape)))


def noise(shape: tuple[int, int], seed: int) -> U8:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def test_finest_has_most_pixels() -> None:
    assert finest([(10, 10), (20, 30), (30, 19)]) == (20, 30)
    assert finest([(4, 6), (6, 4)]) == (4, 6)


def test_mean_bands_rounds_half_up() -> None:
    members = [np.array([[0, 254, 1, 255]], np.uint8), np.array([[1, 255, 1, 255]], np.uint8)]
    np.testing.assert_array_equal(mean(members, (1, 4)), [[1, 255, 1, 255]])


def test_mean_bands_of_many_full_members_stays_full() -> None:
    full = np.full((3, 2), 255, np.uint8)
    assert (mean([full] * 7, (3, 2)) == 255).all()


def test_mean_bands_enlarges_as_opencv() -> None:
    coarse, fine = noise((37, 23), 1), noise((300, 95), 2)
    big = cv2.resize(coarse.astype(np.float32), (95, 300), interpolation=cv2.INTER_LINEAR)
    expected = (big + fine) / 2
    found = mean([coarse, fine], (300, 95))
    assert np.abs(found - expected).max() <= 0.5 + 1e-3
    # Where the mean is not next to a tie, it is rounded exactly.
    clear = np.abs(expected % 1 - 0.5) > 1e-3
    np.testing.assert_array_equal(found[clear], np.round(expected[clear]))


def test_mean_bands_keeps_centres() -> None:
    # A ramp over the scene is the same ramp on both grids: nothing shifts.
    coarse = (np.arange(8)[None, :] * 20 + 10).repeat(2, axis=0).astype(np.uint8)
    found = mean([coarse], (4, 16))
    np.testing.assert_allclose(found[0, 1:-1], np.arange(16)[1:-1] * 10 + 5, atol=0.51)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 30), st.integers(1, 30), st.integers(0, 99))
def test_mean_bands_stays_within_the_members(h: int, w: int, height: int, width: int, seed: int) -> None:
    shape = (max(h, height), max(w, width))
    member = noise((h, w), seed)
    found = mean([member], shape)
    assert found.shape == shape
    assert found.min() >= member.min() and found.max() <= member.max()


class Rows:
    """An array of which only rows may be read, and how many at a time is noted."""

    def __init__(self, array: U8) -> None:
        self.array, self.shape, self.most = array, array.shape, 0

    def __getitem__(self, rows: slice) -> U8:
        self.most = max(self.most, rows.stop - rows.start)
        return self.array[rows]


def test_mean_bands_never_reads_a_member_whole() -> None:
    fine, coarse = Rows(noise((2000, 3), 1)), Rows(noise((1500, 3), 2))
    for band in mean_bands([fine, coarse], (2000, 3)):
        assert band.shape[0] <= 256
    assert max(fine.most, coarse.most) <= 512


def job_with(folder: Path, members: dict[str, dict[str, U8]]) -> Job:
    store = Store(folder / "store")
    for name, scenes in members.items():
        items: dict[str, Item] = {}
        for scene, image in scenes.items():
            with store.writing("predict", f"{name}-{scene}", ".zarr.zip") as work:
                work.digest = write_plane(work.path, "probability", image.shape, [image])
            items[scene] = work.committed()
        Manifest("predict", items).write(folder / "predictions" / name / "b.json")
    spec = {
        "stage": "ensemble", "version": 1, "class": "trees", "batch": "b", "scenes": ["s", "t"],
        "members": [{"name": name, "scale": {"name": name}} for name in members],
    }  # fmt: skip
    return Job(spec, {}, folder, store)


def test_run_averages_each_scene(tmp_path: Path) -> None:
    job = job_with(
        tmp_path,
        {
            "coarse": {"s": np.full((2, 2), 100, np.uint8), "t": np.zeros((1, 1), np.uint8)},
            "fine": {"s": np.full((4, 3), 200, np.uint8), "t": np.full((5, 5), 9, np.uint8)},
        },
    )
    assert ensemble.inputs(job.spec) == ["predictions/coarse/b.json", "predictions/fine/b.json"]
    ensemble.run(job)
    items = Manifest.read(tmp_path / "ensembles/trees/b.json").items
    first = read_plane(tmp_path / "store" / items["s"].path, "probability")
    np.testing.assert_array_equal(first, np.full((4, 3), 150))
    assert items["s"].digest == array_digest({"probability": first})
    assert (read_plane(tmp_path / "store" / items["t"].path, "probability") == 5).all()


def test_run_computes_only_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = job_with(tmp_path, {"one": {s: np.full((2, 2), 7, np.uint8) for s in "st"}})
    ensemble.run(job)
    first = Manifest.read(job.output)
    monkeypatch.setattr(ensemble, "_write", lambda *_: pytest.fail("computed again"))
    ensemble.run(job)
    assert Manifest.read(job.output) == first
