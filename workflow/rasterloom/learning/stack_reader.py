"""Reading windows of stacks for a member: its channels, and which sensors are valid where."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rasterloom.errors import InputError
from rasterloom.learning.windows import Bytes
from rasterloom.raster.means import on_grid, probability_arrays
from rasterloom.raster.planes import open_plane
from rasterloom.raster.stacks import Stack, open_stack
from rasterloom.store.job import Job
from rasterloom.store.store import Item


class StackReader:
    """Windows of some sensors of a stack, and of what other members see there; see `read_stack`.

    Attributes
    ----------
    shape : (H, W).
    planes : (C,) plane of `valid` of each channel.
    counts : channels of each sensor, in the order in which they were asked for.

    Notes
    -----
    A member counts as a sensor that is valid where the reference is; its probabilities, 0..255, are its channels, the
    last ones.
    """

    def __init__(
        self, stack: Stack, sensors: Sequence[str], reference: str, stacked: Sequence[Sequence[Any]] = ()
    ) -> None:
        names, counts = stack.sensors, stack.channels
        order = list(dict.fromkeys([reference, *sensors]))
        ends = np.cumsum([0, *counts])
        self._stack = stack
        self._channels = np.concatenate([np.arange(ends[i], ends[i + 1]) for i in map(names.index, sensors)])
        self._sources = np.array([names.index(name) for name in order])
        self.counts = [int(counts[names.index(s)]) for s in sensors]
        self.shape = stack.shape
        self._stacked = [on_grid(plane, self.shape) for planes in stacked for plane in planes]
        self._members = len(stacked)
        places = [*map(order.index, sensors), *range(len(order), len(order) + len(stacked))]
        self.planes = np.repeat(places, [*self.counts, *map(len, stacked)])

    def window(self, y0: int, y1: int, x0: int, x1: int) -> tuple[NDArray[Any], Bytes]:
        """Rows y0..y1 and columns x0..x1: data (C, h, w) digital numbers and valid (S, h, w) uint8."""
        data = _planes(self._stack.data, self._channels, (y0, y1, x0, x1))
        valid = _planes(self._stack.valid, self._sources, (y0, y1, x0, x1))
        if not self._members:
            return data, valid
        seen = np.stack([plane[y0:y1, x0:x1] for plane in self._stacked]).astype(data.dtype)
        return np.concatenate([data, seen]), np.concatenate([valid, *[valid[:1]] * self._members])

    def rows(self, y0: int, y1: int) -> tuple[NDArray[Any], Bytes]:
        """Rows y0..y1, all columns: digital numbers (C, y1 - y0, W) and validity (S, y1 - y0, W)."""
        return self.window(y0, y1, 0, self.shape[1])

    @property
    def bytes_per_pixel(self) -> int:
        """Memory of a decoded pixel: all wanted channels, and their sensors' validity."""
        return int(self._stack.data.dtype.itemsize) * len(self.planes) + len(self._sources) + self._members

    def reference(self, y0: int, y1: int) -> Bytes:
        """Validity of the reference sensor in rows y0..y1, (y1 - y0, W) uint8."""
        plane: Bytes = _planes(self._stack.valid, self._sources[:1], (y0, y1, 0, self.shape[1]))[0]
        return plane


@contextmanager
def read_stack(
    path: Path, sensors: Sequence[str], reference: str, stacked: Sequence[tuple[Path, Sequence[str]]] = ()
) -> Iterator[StackReader]:
    """Open a stack to read windows of some sensors.

    Parameters
    ----------
    path : the stack, ``.zarr.zip``.
    sensors : sensors whose channels are wanted, in this order.
    reference : the sensor whose validity is plane 0.
    stacked : predictions of the scene by other members, each with the names of its arrays.

    Raises
    ------
    InputError
        If the stack lacks a sensor.

    Notes
    -----
    Open it in the process that reads it, never before a fork. Reading is safe in several threads. Memory: a prediction
    on another grid is held whole, on that of the stack.
    """
    with open_stack(path) as stack, ExitStack() as held:
        missing = [name for name in (reference, *sensors) if name not in stack.sensors]
        if missing:
            raise InputError(
                f"{path} holds the sensors {', '.join(stack.sensors)} but {missing[0]} is needed: "
                "run the stage `stack` again"
            )
        planes = [[held.enter_context(open_plane(own, name)) for name in names] for own, names in stacked]
        yield StackReader(stack, sensors, reference, planes)


def open_reader(job: Job, stack: Item, stacked: Sequence[Item]) -> AbstractContextManager[StackReader]:
    """`read_stack` of a job's member: its sensors, and the predictions of the members whose probability it sees."""
    spec = job.spec
    arrays = [probability_arrays(classes) for classes in spec.get("stacked", {}).values()]
    seen = list(zip(map(job.store.open_path, stacked), arrays, strict=True))
    return read_stack(job.store.open_path(stack), spec["sensors"], spec["reference"], seen)


def stacked_items(job: Job, scenes: Sequence[str]) -> dict[str, list[Item]]:
    """By scene, the predictions of the members whose probability a job's member sees, in the order of its channels."""
    found = [job.items(f"predictions/{name}", scenes) for name in job.spec.get("stacked", {})]
    return {scene: [items[scene] for items in found] for scene in scenes}


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
