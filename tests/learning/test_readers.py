"""What training and prediction share: reading stacks, checkpoints, threads that work ahead."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rasterloom.errors import InputError, StoreError
from rasterloom.learning.checkpoint import load_checkpoint, save_checkpoint
from rasterloom.learning.prefetch import prefetched
from rasterloom.learning.stack_reader import read_stack, reference_place, sensor_parts
from rasterloom.store.digest import array_digest
from rasterloom.store.store import Item
from small_training import small_tree


@pytest.mark.parametrize("workers", [1, 3])
def test_prefetched_keeps_the_order(workers: int) -> None:
    assert list(prefetched(lambda i: i * i, range(20), workers)) == [i * i for i in range(20)]


def test_prefetched_raises_the_error_of_its_thread() -> None:
    with pytest.raises(ZeroDivisionError):
        list(prefetched(lambda i: 1 // (3 - i), range(9)))


def test_prefetched_does_not_run_far_ahead() -> None:
    calls: list[int] = []
    results = prefetched(lambda i: calls.append(i), range(1000), 2)
    next(results)
    results.close()  # type: ignore[attr-defined]
    assert len(calls) <= 4


def test_checkpoint_round_trip(tmp_path: Path) -> None:
    tensors = {"b": np.arange(3.0), "a": np.array(5), "c": np.arange(6, dtype=np.float32).reshape(2, 3).T}
    digest = save_checkpoint(tmp_path / "m.safetensors", tensors, {"model": {"kind": "x"}})
    read, found = load_checkpoint(tmp_path / "m.safetensors")
    assert found == {"model": {"kind": "x"}}
    assert digest == array_digest(read) == array_digest(tensors)
    assert np.array_equal(read["c"], tensors["c"])


def test_load_checkpoint_refuses_other_files(tmp_path: Path) -> None:
    (tmp_path / "m.safetensors").write_bytes(b"nonsense" * 9)
    with pytest.raises(StoreError, match=r"m\.safetensors is not a checkpoint"):
        load_checkpoint(tmp_path / "m.safetensors")


def test_stack_reader_orders_sensors_and_planes(tmp_path: Path) -> None:
    tree = small_tree(tmp_path)
    path = tree.store.open_path(tree.train_job().items("stacks/s", ["a"])["a"])
    data, valid, _ = tree.scenes["a"]
    with read_stack(path, ["a", "p"], "rgb") as reader:
        assert reader.planes.tolist() == [1, 2]
        assert reader.shape == (40, 36)
        got = reader.window(2, 30, 5, 36)
        assert np.array_equal(got[0], data[[3, 0], 2:30, 5:36])
        assert np.array_equal(got[1], valid[[1, 2, 0], 2:30, 5:36])
        assert np.array_equal(reader.reference(0, 10), valid[1, :10])
    with (
        pytest.raises(InputError, match="holds the sensors p, rgb, a but swir is needed"),
        read_stack(path, ["swir"], "rgb"),
    ):
        pass


def test_sensor_parts_and_reference_place_hold_no_name() -> None:
    item = Item("k", "d", "p", {"rgb": "1", "p": "2", "a": "3"})
    assert sensor_parts(item, {"reference": "rgb", "sensors": ["a", "rgb"]}) == ["1", "3", "1"]
    assert reference_place({"reference": "rgb", "sensors": ["a", "rgb"]}) == 1
    assert sensor_parts(item, {"reference": "rgb", "sensors": ["a"]}) == ["1", "3"]
    assert reference_place({"reference": "rgb", "sensors": ["a"]}) is None
