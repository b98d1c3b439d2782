"""Planes: (H, W) uint8 images, one per artifact as masks and ensembles are, or several as predictions may be."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
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
    return write_planes(path, name, shape, ([strip] for strip in strips), [name])[0]


def write_planes(
    path: Path, name: str, shape: tuple[int, int], strips: Iterable[Sequence[NDArray[np.uint8]]], arrays: Sequence[str]
) -> list[str]:
    """Write planes of one shape, strip by strip of all, as `write_plane` writes one.

    Parameters
    ----------
    path, name, shape : of all planes; digests know them by `name`.
    strips : the strips of the planes.
    arrays : names of the arrays in the file.

    Returns
    -------
    The content digest of each plane.
    """
    import zarr

    totals = [ArrayDigest(name, np.uint8, shape) for _ in arrays]
    store, chunks = zarr.storage.ZipStore(path, mode="w"), (min(CHUNK, shape[0]), min(CHUNK, shape[1]))
    group = zarr.create_group(store)  # opens the file: where that fails, there is nothing to close
    with closing(store):
        opened = [group.create_array(own, shape=shape, dtype="uint8", chunks=chunks, fill_value=0) for own in arrays]
        row = 0
        for planes in strips:
            for array, total, strip in zip(opened, totals, planes, strict=True):
                array[row : row + strip.shape[0]] = strip
                total.update(strip)
            row += planes[0].shape[0]
    return [total.hexdigest() for total in totals]


@contextmanager
def open_plane(path: Path, name: str) -> Iterator[ChunkedArray]:
    """Open the (H, W) uint8 array `name` of a ``.zarr.zip`` file for reading by windows."""
    with open_chunks(path) as (arrays, _):
        yield arrays[name]


def read_plane(path: Path, name: str) -> NDArray[np.uint8]:
    """The (H, W) uint8 array `name` of a ``.zarr.zip`` file, whole."""
    with open_plane(path, name) as array:
        return array[:]
