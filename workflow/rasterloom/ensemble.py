"""Ensembles: the mean of a class's members on the finest grid among them, where the reference is valid."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rasterloom.digest import BLOCK_ROWS
from rasterloom.errors import StoreError
from rasterloom.job import Job, Wanted, scene_manifests
from rasterloom.mask import write_plane
from rasterloom.store import Writing

VERSION = 2


def finest(shapes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """The (H, W) with most pixels; of several, the first."""
    return max(shapes, key=lambda shape: shape[0] * shape[1])


def mean_bands(
    members: Sequence[Any], shape: tuple[int, int], valid: Sequence[Any] | None = None
) -> Iterator[NDArray[np.uint8]]:
    """Mean of probabilities on one grid, in bands of rows.

    Parameters
    ----------
    members : sequence of (h, w) uint8 arrays, or of anything that gives rows when sliced (Zarr arrays)
        Grids over the same scene, corner to corner.
    shape : (H, W)
        The grid of the result. A coarser member is interpolated bilinearly between pixel centres (as
        ``cv2.INTER_LINEAR``), a finer one is averaged over the footprint of each pixel.
    valid : sequence of (h, w) arrays, or of anything that gives rows when sliced, or None
        Not 0 where a member is valid, on its own grid; None: all are valid everywhere.

    Yields
    ------
    (rows, W) uint8 array
        256 rows, the last band fewer; means in float32, rounded half up, over the members that are valid in at least
        half of a pixel, of which valid pixels alone count. 0 where there is none, and where the first member that has
        the result's own grid is invalid.

    Notes
    -----
    Memory: a band per member and a block of rows of each.
    """
    planes = [None] * len(members) if valid is None else list(valid)
    own = next((i for i, member in enumerate(members) if _shape(member) == shape), None)
    streams = [_bands(member, plane, shape) for member, plane in zip(members, planes, strict=True)]
    for bands in zip(*streams, strict=True):
        total = np.zeros(bands[0][0].shape, np.float32)
        count = np.zeros_like(total)
        for band, good in bands:
            total += band
            count += good
        mean = np.floor(total / np.maximum(count, np.float32(1)) + np.float32(0.5))
        if own is not None:
            mean *= bands[own][1]
        yield np.clip(mean, 0, 255).astype(np.uint8)


def _shape(array: Any) -> tuple[int, int]:
    return int(array.shape[0]), int(array.shape[1])


def _bands(member: Any, valid: Any, shape: tuple[int, int]) -> Iterator[tuple[NDArray[np.float32], NDArray[np.bool_]]]:
    """Bands of one member on a grid: values, float32, 0 where it does not count, and where it counts."""

    def read(start: int, stop: int) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
        good = None if valid is None else np.asarray(valid[start:stop]) != 0
        return np.asarray(member[start:stop])[None], good

    height, width = _shape(member)
    if (height, width) == shape:
        for start in range(0, height, BLOCK_ROWS):
            values, good = read(start, min(start + BLOCK_ROWS, height))
            good = np.ones(values.shape[1:], np.bool_) if good is None else good
            yield values[0].astype(np.float32) * good, good
        return
    from rasterloom.resample import resample_bands

    matrix = [[width / shape[1], 0.0, 0.0], [0.0, height / shape[0], 0.0]]
    for _, band, reached in resample_bands(read, (1, height, width), matrix, shape):
        yield band[0], reached != 0


def inputs(spec: Mapping[str, Any]) -> list[str]:
    """Manifests read: the predictions of every member for the batch, and the stacks that they were made from."""
    scales = dict.fromkeys(member["scale"]["name"] for member in spec["members"])
    return [
        *(f"predictions/{member['name']}/{spec['batch']}.json" for member in spec["members"]),
        *(path for scale in scales for path in scene_manifests(f"stacks/{scale}", spec["scenes"])),
    ]


def run(job: Job) -> None:
    """Average the members' predictions of each scene of a batch."""

    def make(want: Wanted, work: Writing) -> None:
        paths = [(job.store.open_path(prediction), job.store.open_path(stack)) for prediction, stack in want.work]
        work.digest = _write(work.path, paths, job.spec["reference"])

    job.finish(job.obtain(wanted(job), ".zarr.zip", make, total=len(job.spec["scenes"])))


def wanted(job: Job) -> Iterator[Wanted]:
    """The ensemble of each scene of the batch."""
    spec, scenes = job.spec, list(job.spec["scenes"])
    predictions = {member["name"]: job.items(f"predictions/{member['name']}", scenes) for member in spec["members"]}
    scales = {member["scale"]["name"] for member in spec["members"]}
    stacks = {scale: job.items(f"stacks/{scale}", scenes) for scale in scales}
    for scene in scenes:
        found = [(predictions[m["name"]][scene], stacks[m["scale"]["name"]][scene]) for m in spec["members"]]
        origin = [[prediction.digest, stack.parts[spec["reference"]]] for prediction, stack in found]
        yield Wanted(scene, job.key({}, origin), {}, origin, found)


@dataclass(frozen=True)
class _Plane:
    """One plane of an array (S, H, W), by rows."""

    array: Any
    index: int

    @property
    def shape(self) -> tuple[int, int]:
        return int(self.array.shape[1]), int(self.array.shape[2])

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        return np.asarray(self.array[self.index, rows])


def _write(path: Path, members: Sequence[tuple[Path, Path]], reference: str) -> str:
    """Write the mean of members, each a prediction and its stack, and give its digest."""
    import zarr

    from rasterloom.stack import open_stack

    with ExitStack() as opened:
        files = {stack: opened.enter_context(open_stack(stack)) for _, stack in members}
        valid = [_Plane(files[stack].valid, files[stack].sensors.index(reference)) for _, stack in members]
        stores = [opened.enter_context(zarr.storage.ZipStore(member, mode="r")) for member, _ in members]
        arrays: list[Any] = [zarr.open_group(store, mode="r")["probability"] for store in stores]
        for (member, stack), array, plane in zip(members, arrays, valid, strict=True):
            if _shape(array) != plane.shape:
                raise StoreError(
                    f"the prediction {member} has shape {_shape(array)}, its stack {stack} {plane.shape}: they belong "
                    "to different runs; run the workflow again"
                )
        shape = finest([_shape(array) for array in arrays])
        return write_plane(path, "probability", shape, mean_bands(arrays, shape, valid))
