"""Writing stacks: every sensor resampled once, from the raw file to the grid of a scale."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rasterloom.raster.grid import Grid, Matrix, compose
from rasterloom.raster.resample import STRIP_ROWS, ReadRows, Strips, resample_strips
from rasterloom.raster.sensor import SensorReader
from rasterloom.store.digest import ArrayDigest, digest

CHUNK = 128
"""Side of a chunk; it holds all channels, since a patch needs all of them."""


@dataclass(frozen=True)
class StackSensor:
    """A sensor to be stacked.

    Attributes
    ----------
    name : str
    bands : int
    dtype : numpy.uint16 or numpy.float32
        Of its numbers, whatever the stack's: uint16 is rounded and clipped to 0..65535.
    reader : SensorReader or None
        Its open files; None if the scene has no image of it: zeros, nowhere valid.
    matrix : 2 x 3 list of rows
        Reference to sensor edge coordinates.
    apart : sequence of (dx, dy)
        By band, what it is off beyond that, reference pixels; empty if all bands are together.
    """

    name: str
    bands: int
    dtype: type[np.generic]
    reader: SensorReader | None = None
    matrix: Matrix = field(default_factory=list)
    apart: Sequence[Sequence[float]] = ()

    def on_grid(self, grid: Grid) -> Iterator[tuple[NDArray[Any], NDArray[np.uint8]]]:
        """Numbers (bands, rows, W) in the sensor's own dtype and validity (rows, W), in strips of 256 rows."""
        if self.reader is None:
            for row in range(0, grid.height, STRIP_ROWS):
                shape = (min(STRIP_ROWS, grid.height - row), grid.width)
                yield np.zeros((self.bands, *shape), self.dtype), np.zeros(shape, np.uint8)
            return
        read, (count, *size) = self.reader.read, self.reader.shape

        def strips(read: ReadRows, bands: int, shift: Sequence[float] = (0.0, 0.0)) -> Strips:
            matrix = compose(self.matrix, compose([[1.0, 0.0, shift[0]], [0.0, 1.0, shift[1]]], grid.matrix))
            return resample_strips(read, (bands, *size), matrix, grid.shape)

        apart = [strips(partial(read, bands=[band]), 1, shift) for band, shift in enumerate(self.apart)]
        for parts in zip(*(apart or [strips(read, count)]), strict=True):
            values = parts[0][1] if len(parts) == 1 else np.concatenate([part[1] for part in parts])
            yield as_numbers(values, self.dtype), np.minimum.reduce([part[2] for part in parts])


def write_stack(path: Path, sensors: Sequence[StackSensor], grid: Grid) -> dict[str, str]:
    """Resample sensors to a grid and write them as a stack.

    Parameters
    ----------
    path : Path
        A ``.zarr.zip`` file to create: a Zarr v3 group with ``data`` (C, H, W) and ``valid`` (S, H, W) uint8, 255
        where a sensor is valid and 0 where not, and attributes ``sensors`` and ``channels``.
    sensors : sequence of StackSensor
        In the order of the channels.
        ``data`` is uint16 if all of them are, else float32, which holds every uint16 as it is.
    grid : Grid

    Returns
    -------
    dict of str to str
        By sensor, ``array_digest({"data": its planes, "valid": its plane})``, the planes in the sensor's own dtype:
        it does not depend on the other sensors of the stack.

    Notes
    -----
    Memory: 256 rows of the output, or of the sensor where that is wider, in float32, once and a half for all
    channels; and 512 rows of one sensor.
    """
    import zarr
    from zarr.codecs import BloscCodec
    from zarr.storage import ZipStore

    counts, size = [sensor.bands for sensor in sensors], grid.shape
    dtype = np.uint16 if all(sensor.dtype is np.uint16 for sensor in sensors) else np.float32
    digests = [(ArrayDigest("data", s.dtype, (s.bands, *size)), ArrayDigest("valid", np.uint8, size)) for s in sensors]
    store, names = ZipStore(path, mode="w"), [sensor.name for sensor in sensors]
    group = zarr.create_group(store, attributes={"sensors": names, "channels": counts}, zarr_format=3)
    with closing(store):  # where it could not be opened, there is nothing to close
        options: dict[str, Any] = {
            "compressors": BloscCodec(cname="lz4", clevel=5, shuffle="bitshuffle"),
            "fill_value": 0,
        }
        data, valid = (
            group.create_array(name, shape=(planes, *size), chunks=(planes, CHUNK, CHUNK), dtype=kind, **options)
            for name, planes, kind in (("data", sum(counts), dtype), ("valid", len(sensors), np.uint8))
        )
        row = 0
        for parts in zip(*(sensor.on_grid(grid) for sensor in sensors), strict=True):
            for (planes, good), (data_digest, valid_digest) in zip(parts, digests, strict=True):
                data_digest.update(planes)
                valid_digest.update(good)
            stop = row + len(parts[0][1])
            data[:, row:stop] = np.concatenate([planes.astype(dtype, copy=False) for planes, _ in parts])
            valid[:, row:stop] = np.stack([good for _, good in parts])
            row = stop
    return {name: digest([part.hexdigest() for part in own]) for name, own in zip(names, digests, strict=True)}


def as_numbers(values: NDArray[np.float32], dtype: type[np.generic]) -> NDArray[Any]:
    """Resampled values, (C, rows, W) float32, as a stack holds them: float32, or rounded and clipped to uint16."""
    if dtype is np.float32:
        return values
    return np.clip(np.rint(values), 0, 65535).astype(dtype)
