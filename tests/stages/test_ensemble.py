"""Means of members on the finest grid."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rasterloom.errors import StoreError
from rasterloom.raster.means import finest, mean_strips
from rasterloom.raster.planes import read_plane, write_plane
from rasterloom.stages import ensemble, job_of
from rasterloom.store.digest import array_digest
from rasterloom.store.job import Job
from rasterloom.store.manifest import Manifest
from rasterloom.store.store import Item, Store

U8 = NDArray[np.uint8]


def mean(members: list[U8], shape: tuple[int, int]) -> U8:
    return np.concatenate(list(mean_strips(members, shape, [np.ones(member.shape) for member in members])))


def noise(shape: tuple[int, int], seed: int) -> U8:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def test_finest_has_most_pixels() -> None:
    assert finest([(10, 10), (20, 30), (30, 19)]) == (20, 30)
    assert finest([(4, 6), (6, 4)]) == (4, 6)


def test_mean_strips_rounds_half_up() -> None:
    members = [np.array([[0, 254, 1, 255]], np.uint8), np.array([[1, 255, 1, 255]], np.uint8)]
    np.testing.assert_array_equal(mean(members, (1, 4)), [[1, 255, 1, 255]])


def test_mean_strips_of_many_full_members_stays_full() -> None:
    full = np.full((3, 2), 255, np.uint8)
    assert (mean([full] * 7, (3, 2)) == 255).all()


def test_mean_strips_enlarges_as_opencv() -> None:
    coarse, fine = noise((37, 23), 1), noise((300, 95), 2)
    big = cv2.resize(coarse.astype(np.float32), (95, 300), interpolation=cv2.INTER_LINEAR)
    expected = (big + fine) / 2
    found = mean([coarse, fine], (300, 95))
    assert np.abs(found - expected).max() <= 0.5 + 1e-3
    # Where the mean is not next to a tie, it is rounded exactly.
    clear = np.abs(expected % 1 - 0.5) > 1e-3
    np.testing.assert_array_equal(found[clear], np.round(expected[clear]))


def test_mean_strips_keeps_centres() -> None:
    # A ramp over the scene is the same ramp on both grids: nothing shifts.
    coarse = (np.arange(8)[None, :] * 20 + 10).repeat(2, axis=0).astype(np.uint8)
    found = mean([coarse], (4, 16))
    np.testing.assert_allclose(found[0, 1:-1], np.arange(16)[1:-1] * 10 + 5, atol=0.51)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 30), st.integers(1, 30), st.integers(0, 99))
def test_mean_strips_stays_within_the_members(h: int, w: int, height: int, width: int, seed: int) -> None:
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


def test_mean_strips_never_reads_a_member_whole() -> None:
    fine, coarse = Rows(noise((2000, 3), 1)), Rows(noise((1500, 3), 2))
    for band in mean_strips([fine, coarse], (2000, 3), [np.ones(fine.shape), np.ones(coarse.shape)]):
        assert band.shape[0] <= 256
    assert max(fine.most, coarse.most) <= 512


def test_mean_strips_counts_a_member_where_it_is_valid_only() -> None:
    """A coarse member without data on the left must not pull the edge of the fine one down."""
    fine, coarse = np.full((4, 8), 200, np.uint8), np.full((2, 4), 100, np.uint8)
    seen = np.full((2, 4), 255, np.uint8)
    coarse[:, :2] = seen[:, :2] = 0
    found = np.concatenate(list(mean_strips([fine, coarse], (4, 8), [np.full((4, 8), 255, np.uint8), seen])))
    np.testing.assert_array_equal(found, np.repeat([[200, 200, 200, 200, 150, 150, 150, 150]], 4, axis=0))


def test_mean_strips_weighs_members_where_they_are_valid() -> None:
    one, other = np.full((4, 4), 200, np.uint8), np.full((4, 4), 100, np.uint8)
    seen = np.full((4, 4), 255, np.uint8)
    seen[0] = other[0] = 0
    valid = [np.full((4, 4), 255, np.uint8), seen]
    found = np.concatenate(list(mean_strips([one, other], (4, 4), valid, [0.25, 0.75])))
    np.testing.assert_array_equal(found, np.repeat([200, 125, 125, 125], 4).reshape(4, 4))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 99), st.floats(0.01, 1))
def test_mean_strips_of_equal_weights_is_the_mean(seed: int, weight: float) -> None:
    members = [noise((9, 7), seed), noise((9, 7), seed + 1)]
    ones = [np.ones((9, 7))] * 2
    found = np.concatenate(list(mean_strips(members, (9, 7), ones, [weight, weight])))
    assert np.abs(found.astype(int) - mean(members, (9, 7))).max() <= 1  # but for ties


def test_mean_strips_is_zero_where_the_finest_grid_is_invalid() -> None:
    fine, coarse = np.full((4, 4), 200, np.uint8), np.full((2, 2), 100, np.uint8)
    seen = np.full((4, 4), 255, np.uint8)
    fine[0, 0] = seen[0, 0] = 0  # the coarse pixel there is valid
    found = np.concatenate(list(mean_strips([coarse, fine], (4, 4), [np.full((2, 2), 255, np.uint8), seen])))
    expected = np.full((4, 4), 150)
    expected[0, 0] = 0
    np.testing.assert_array_equal(found, expected)


def test_mean_strips_without_a_valid_member_is_zero() -> None:
    nowhere = np.zeros((2, 2), np.uint8)
    assert not np.concatenate(list(mean_strips([np.full((2, 2), 9, np.uint8)], (4, 4), [nowhere]))).any()


def test_mean_strips_same_where_everything_is_valid() -> None:
    members = [noise((300, 95), 1), noise((37, 23), 2), noise((700, 41), 3)]
    seen = [np.full(member.shape, 255, np.uint8) for member in members]
    found = np.concatenate(list(mean_strips(members, (300, 95), seen)))
    np.testing.assert_array_equal(found, mean(members, (300, 95)))


def write_stack(store: Store, name: str, valid: U8, value: int = 1) -> Item:
    """A stack of a sensor p, valid nowhere, and the reference rgb."""
    import zarr

    planes = np.stack([np.zeros_like(valid), valid])
    with store.writing("stack", name, ".zarr.zip") as work:
        with zarr.storage.ZipStore(work.path, mode="w") as file:
            group = zarr.create_group(file, attributes={"sensors": ["p", "rgb"], "channels": [1, 1]})
            group.create_array("data", data=np.full(planes.shape, value, np.uint16))
            group.create_array("valid", data=planes)
        work.digest = name
        work.parts.update(p="", rgb=array_digest({"valid": valid, "value": np.array([value])}))
    return work.committed()


def job_with(folder: Path, members: dict[str, dict[str, U8]], valid: dict[str, dict[str, U8]] | None = None) -> Job:
    """A job of members, each on a scale of its own name; `valid` where not everything is."""
    store = Store(folder / "store")
    for name, scenes in members.items():
        items: dict[str, Item] = {}
        for scene, image in scenes.items():
            with store.writing("predict", f"{name}-{scene}", ".zarr.zip") as work:
                work.digest = write_plane(work.path, "probability", image.shape, [image])
            items[scene] = work.committed()
            seen = (valid or {}).get(name, {}).get(scene, np.full(image.shape, 255, np.uint8))
            stack = write_stack(store, f"{name}-{scene}", seen)
            Manifest("stack", {scene: stack}).write(folder / "stacks" / name / f"{scene}.json")
        Manifest("predict", items).write(folder / "predictions" / name / "b.json")
    spec = {
        "stage": "ensemble", "version": 1, "class": "trees", "batch": "b", "scenes": ["s", "t"], "reference": "rgb",
        "ensemble": "mean",
        "members": [{"name": name, "scale": {"name": name}} for name in members],
    }  # fmt: skip
    return job_of(spec, {}, folder, store)


def test_run_averages_each_scene(tmp_path: Path) -> None:
    job = job_with(
        tmp_path,
        {
            "coarse": {"s": np.full((2, 2), 100, np.uint8), "t": np.zeros((1, 1), np.uint8)},
            "fine": {"s": np.full((4, 3), 200, np.uint8), "t": np.full((5, 5), 9, np.uint8)},
        },
    )
    assert ensemble.inputs(job.spec) == [
        *("predictions/coarse/b.json", "predictions/fine/b.json"),
        *("stacks/coarse/s.json", "stacks/coarse/t.json", "stacks/fine/s.json", "stacks/fine/t.json"),
    ]
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
    monkeypatch.setattr(ensemble, "write_plane", lambda *_: pytest.fail("computed again"))
    ensemble.run(job)
    assert Manifest.read(job.output) == first


def test_inputs_name_a_scale_once() -> None:
    members = [{"name": name, "scale": {"name": "s"}} for name in "ab"]
    spec = {"members": members, "batch": "b", "scenes": ["x"], "ensemble": "mean"}
    assert ensemble.inputs(spec) == ["predictions/a/b.json", "predictions/b/b.json", "stacks/s/x.json"]


def test_run_heeds_the_reference_of_each_stack(tmp_path: Path) -> None:
    hole, left = np.full((4, 4), 255, np.uint8), np.full((2, 2), 255, np.uint8)
    hole[3, 3] = 0
    left[:, 0] = 0
    fine, coarse = np.full((4, 4), 200, np.uint8) * (hole > 0), np.full((2, 2), 100, np.uint8) * (left > 0)
    members = {"coarse": dict.fromkeys("st", coarse), "fine": dict.fromkeys("st", fine)}
    job = job_with(tmp_path, members, {"coarse": dict.fromkeys("st", left), "fine": dict.fromkeys("st", hole)})
    ensemble.run(job)
    items = Manifest.read(job.output).items
    expected = np.repeat([[200, 200, 150, 150]], 4, axis=0)
    expected[3, 3] = 0
    np.testing.assert_array_equal(read_plane(tmp_path / "store" / items["s"].path, "probability"), expected)


def test_run_key_depends_on_the_reference(tmp_path: Path) -> None:
    job = job_with(tmp_path, {"one": {s: np.full((2, 2), 7, np.uint8) for s in "st"}})
    ensemble.run(job)
    first = Manifest.read(job.output).items
    stack = write_stack(job.store, "other", np.eye(2, dtype=np.uint8))
    Manifest("stack", {"s": stack}).write(tmp_path / "stacks/one/s.json")
    ensemble.run(job)
    second = Manifest.read(job.output).items
    assert second["s"].key != first["s"].key and second["t"] == first["t"]
    np.testing.assert_array_equal(read_plane(tmp_path / "store" / second["s"].path, "probability"), [[7, 0], [0, 7]])


def test_run_refuses_a_stack_of_another_shape(tmp_path: Path) -> None:
    valid = {"one": {"s": np.full((2, 3), 255, np.uint8)}}
    job = job_with(tmp_path, {"one": {s: np.full((2, 2), 7, np.uint8) for s in "st"}}, valid)
    with pytest.raises(StoreError, match=r"has shape \(2, 2\), its stack .* \(2, 3\): they belong to different runs"):
        ensemble.run(job)
