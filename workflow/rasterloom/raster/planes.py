"""Planes: one (H, W) uint8 image per artifact, as masks, predictions and ensembles are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rasterloom.raster.chunks import ChunkedArray, open_chunks
from rasterloom.store.digest import ArrayDigest

CHUNK = 256
"""Side of a mask's chunks; strips of rows are a multiple of it, so that a chunk is written once."""


def write_plane(path: Path, name: str, shape: tuple[int, int], strips: Iterable[NDArray[np.uint8]]) -> str:
    """Write one (H, W) uint8 array to a Zarr v3 ZipStore and give its content digest.

    Parameters
    ----------
    path : Path
        A ``.zarr.zip`` file to create.
    name : str
    shape : (H, W)
    strips : iterable of (rows, W) uint8 arrays
        From top to bottom, each of 256 rows but the last.

    Returns
    -------
    str
        What ``array_digest({name: whole})`` gives.
    """
    import zarr

    total = ArrayDigest(name, np.uint8, shape)
    with zarr.storage.ZipStore(path, mode="w") as store:
        array = zarr.create_group(store).create_array(
            name, shape=shape, dtype="uint8", chunks=(min(CHUNK, shape[0]), min(CHUNK, shape[1])), fill_value=0
        )
        row = 0
        for strip in strips:
            array[row : row + strip.shape[0]] = strip
            total.update(strip)
            row += strip.shape[0]
    return total.hexdigest()


@contextmanager
def open_plane(path: Path, name: str) -> Iterator[ChunkedArray]:
    """Open the (H, W) uint8 array `name` of a ``.zarr.zip`` file for reading by windows."""
    with open_chunks(path) as (arrays, _):
        yield arrays[name]


def read_plane(path: Path, name: str) -> NDArray[np.uint8]:
    """The (H, W) uint8 array `name` of a ``.zarr.zip`` file, whole."""
    with open_plane(path, name) as array:
        return array[:]
