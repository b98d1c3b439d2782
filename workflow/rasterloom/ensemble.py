"""Ensembles: the mean of a class's members on the finest grid among them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rasterloom.digest import BLOCK_ROWS
from rasterloom.job import Job
from rasterloom.mask import write_plane

VERSION = 1


def finest(shapes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """The (H, W) with most pixels; of several, the first."""
    return max(shapes, key=lambda shape: shape[0] * shape[1])


def mean_bands(members: Sequence[Any], shape: tuple[int, int]) -> Iterator[NDArray[np.uint8]]:
    """Mean of probabilities on one grid, in bands of rows.

    Parameters
    ----------
    members : sequence of (h, w) uint8 arrays, or of anything that gives rows when sliced (Zarr arrays)
        Grids over the same scene, corner to corner.
    shape : (H, W)
        The grid of the result. A coarser member is interpolated bilinearly between pixel centres (as
        ``cv2.INTER_LINEAR``), a finer one is averaged over the footprint of each pixel.

    Yields
    ------
    (rows, W) uint8 array
        256 rows, the last band fewer; means in float32, rounded half up.

    Notes
    -----
    Memory: a band per member and a block of rows of each.
    """
    streams = [_bands(member, shape) for member in members]
    for bands in zip(*streams, strict=True):
        total = np.zeros(bands[0].shape, np.float32)
        for band in bands:
            total += band
        mean = np.floor(total / np.float32(len(bands)) + np.float32(0.5))
        yield np.clip(mean, 0, 255).astype(np.uint8)


def _bands(member: Any, shape: tuple[int, int]) -> Iterator[NDArray[np.float32]]:
    """Bands of one member on a grid, float32."""
    height, width = (int(n) for n in member.shape)
    if (height, width) == shape:
        for start in range(0, height, BLOCK_ROWS):
            yield np.asarray(member[start : start + BLOCK_ROWS]).astype(np.float32)
        return
    from rasterloom.resample import resample_bands

    def read(start: int, stop: int) -> tuple[NDArray[Any], None]:
        return np.asarray(member[start:stop])[None], None

    matrix = [[width / shape[1], 0.0, 0.0], [0.0, height / shape[0], 0.0]]
    for _, band, _ in resample_bands(read, (1, height, width), matrix, shape):
        yield band[0]


def inputs(spec: dict[str, Any]) -> list[str]:
    """Manifests read: the predictions of every member for the batch."""
    return [f"predictions/{member['name']}/{spec['batch']}.json" for member in spec["members"]]


def run(job: Job) -> None:
    """Average the members' predictions of each scene of a batch."""
    names = [member["name"] for member in job.spec["members"]]
    scenes = list(job.spec["scenes"])
    members = {name: job.items(f"predictions/{name}", scenes) for name in names}
    items = {}
    for number, scene in enumerate(scenes, 1):
        found = [members[name][scene] for name in names]
        digests = [item.digest for item in found]
        key = job.key({}, digests)
        item = job.store.find(job.stage, key)
        if item is None:
            with job.store.writing(job.stage, key, ".zarr.zip", recipe={}, inputs=digests) as work:
                work.digest = _write(work.path, [job.store.open_path(member) for member in found])
            item = work.committed()
        items[scene] = item
        job.progress(number, len(scenes), scene)
    job.finish(items)


def _write(path: Path, members: Sequence[Path]) -> str:
    """Write the mean of prediction files and give its digest."""
    import zarr

    with ExitStack() as stack:
        stores = [stack.enter_context(zarr.storage.ZipStore(member, mode="r")) for member in members]
        arrays: list[Any] = [zarr.open_group(store, mode="r")["probability"] for store in stores]
        shape = finest([(int(array.shape[0]), int(array.shape[1])) for array in arrays])
        return write_plane(path, "probability", shape, mean_bands(arrays, shape))
