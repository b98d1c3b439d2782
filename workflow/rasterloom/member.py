"""What training and prediction of a member share: its stacks, its checkpoints, and work done ahead by threads."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from rasterloom.augment import Bytes, sensor_of_channels
from rasterloom.digest import array_digest, canonical
from rasterloom.errors import InputError, StoreError
from rasterloom.store import Item

Arrays = dict[str, NDArray[Any]]
Result = TypeVar("Result")


class StackReader:
    """Windows of some sensors of a stack.

    Parameters
    ----------
    path : the stack, ``.zarr.zip``.
    sensors : sensors whose channels are wanted, in this order.
    reference : the sensor whose validity is plane 0.

    Attributes
    ----------
    shape : (H, W).
    planes : (C,) plane of `valid` of each channel.

    Raises
    ------
    InputError
        If the stack lacks a sensor.

    Notes
    -----
    Open it in the process that reads it, never before a fork. Reading is safe in several threads.
    """

    def __init__(self, path: Path, sensors: Sequence[str], reference: str) -> None:
        from rasterloom.stack import open_stack

        self._open = ExitStack()
        self._stack = self._open.enter_context(open_stack(path))
        names, counts = self._stack.sensors, self._stack.channels
        order = list(dict.fromkeys([reference, *sensors]))
        missing = [name for name in order if name not in names]
        if missing:
            self.close()
            raise InputError(
                f"{path} holds the sensors {', '.join(names)} but {missing[0]} is needed: run the stage `stack` again"
            )
        ends = np.cumsum([0, *counts])
        self._channels = np.concatenate([np.arange(ends[i], ends[i + 1]) for i in map(names.index, sensors)])
        self._sources = np.array([names.index(name) for name in order])
        self.planes = np.array([order.index(s) for s in sensors])[
            sensor_of_channels([counts[names.index(s)] for s in sensors])
        ]
        self.shape = self._stack.shape

    def window(self, y0: int, y1: int, x0: int, x1: int) -> tuple[NDArray[Any], Bytes]:
        """Rows y0..y1 and columns x0..x1: data (C, h, w) digital numbers and valid (S, h, w) uint8."""
        return (
            _planes(self._stack.data, self._channels, (y0, y1, x0, x1)),
            _planes(self._stack.valid, self._sources, (y0, y1, x0, x1)),
        )

    def rows(self, y0: int, y1: int) -> tuple[NDArray[Any], Bytes]:
        """Rows y0..y1, all columns."""
        return self.window(y0, y1, 0, self.shape[1])

    @property
    def bytes_per_pixel(self) -> int:
        """Memory of a decoded pixel: all wanted channels, and their sensors' validity."""
        return int(self._stack.data.dtype.itemsize) * len(self.planes) + len(self._sources)

    def reference(self, y0: int, y1: int) -> Bytes:
        """Validity of the reference sensor in rows y0..y1, (y1 - y0, W) uint8."""
        plane: Bytes = _planes(self._stack.valid, self._sources[:1], (y0, y1, 0, self.shape[1]))[0]
        return plane

    def close(self) -> None:
        """Close the file."""
        self._open.close()

    def __enter__(self) -> StackReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _planes(array: Any, index: NDArray[Any], window: tuple[int, int, int, int]) -> NDArray[Any]:
    """Some planes of a window: one contiguous read, since a chunk holds all planes."""
    y0, y1, x0, x1 = window
    low, high = int(index.min()), int(index.max()) + 1
    block: NDArray[Any] = np.asarray(array[low:high, y0:y1, x0:x1])
    pick = index - low
    return block if np.array_equal(pick, np.arange(high - low)) else block[pick]


def sensor_parts(item: Item, spec: Mapping[str, Any]) -> list[str]:
    """Digests of what a member reads of a stack: of the reference, and then of each sensor in channel order."""
    return [item.parts[name] for name in (spec["reference"], *spec["sensors"])]


def reference_place(spec: Mapping[str, Any]) -> int | None:
    """Which of a member's sensors is the reference, from 0; None if only its validity is read.

    With `sensor_parts` it says in a key what a member reads, without a name in it.
    """
    sensors = list(spec["sensors"])
    return sensors.index(spec["reference"]) if spec["reference"] in sensors else None


def save_checkpoint(path: Path, tensors: Arrays, recipe: Mapping[str, Any]) -> str:
    """Write a checkpoint.

    Parameters
    ----------
    path : the file.
    tensors : weights (``network.*``, ``forest.*`` or ``linear.*``), ``normalisation.mean`` and ``.sd``.
    recipe : model, sensors, reference and training, kept as metadata.

    Returns
    -------
    Content digest, over names, shapes, dtypes and values of the tensors.
    """
    from safetensors.numpy import save_file

    ordered = {name: np.ascontiguousarray(tensors[name]).reshape(tensors[name].shape) for name in sorted(tensors)}
    save_file(ordered, path, metadata={"recipe": canonical(recipe)})
    return array_digest(ordered)


def load_checkpoint(path: Path) -> tuple[Arrays, dict[str, Any]]:
    """Tensors and recipe of a checkpoint.

    Raises
    ------
    StoreError
        If the file is no checkpoint; names it and the remedy.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            recipe = json.loads((file.metadata() or {})["recipe"])
            return {name: file.get_tensor(name) for name in file.keys()}, recipe  # noqa: SIM118
    except (SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise StoreError(
            f"{path} is not a checkpoint ({error}): run `rasterloom verify --mend` and then the workflow again"
        ) from None


def prefetched(function: Callable[[int], Result], numbers: Sequence[int], workers: int = 1) -> Iterator[Result]:
    """Results of a function in the order of its arguments, computed ahead by threads.

    Parameters
    ----------
    function : called with each number; its errors are raised here.
    numbers : the arguments.
    workers : threads, at least 1; results do not depend on them.

    Notes
    -----
    Memory: at most ``workers + 1`` results wait.
    """
    waiting: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="prefetch")
    try:
        for number in numbers:
            waiting.append(pool.submit(function, number))
            if len(waiting) > workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
        pool.shutdown(wait=True)
