"""Stage stack: every sensor of a scene on the grid of one scale, each resampled once from its raw files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rasterloom.chunks import ChunkedArray, open_chunks
from rasterloom.digest import ArrayDigest, digest
from rasterloom.errors import ConfigError, StoreError
from rasterloom.grid import Grid, Matrix, compose, scale_grid
from rasterloom.job import Job, Wanted, placement_manifests
from rasterloom.rasters import SensorReader
from rasterloom.register import read_registration
from rasterloom.resample import BAND_ROWS, resample_bands
from rasterloom.scan import check_unchanged
from rasterloom.store import Writing

VERSION = 4

CHUNK = 128
"""Side of a chunk; it holds all channels, since a patch needs all of them."""


def inputs(spec: Mapping[str, Any]) -> list[str]:
    """Manifests that the stage reads, relative to the results folder."""
    return placement_manifests(spec, [spec["scene"]])


def run(job: Job) -> None:
    """Stack one scene at one scale; see the module `rasterloom.stack`."""

    def make(want: Wanted, work: Writing) -> None:
        places, counts, grid = want.work
        work.parts.update(_from_files(job, places, counts, grid, work.path))
        work.digest = digest({"sensors": list(counts), "channels": list(counts.values()), "parts": work.parts})

    job.finish(job.obtain(wanted(job), ".zarr.zip", make))


def wanted(job: Job) -> Iterator[Wanted]:
    """The stack of the job's scene and scale."""
    spec, scene = job.spec, job.spec["scene"]
    registration = read_registration(job.store.open_path(job.placements([scene])[scene]))
    reference, places = registration["reference"], registration["sensors"]
    names = list(spec["sensors"])
    counts = {name: _band_count(spec, places, name) for name in names}
    grid = scale_grid(spec["scale"], reference["width"], reference["height"], reference["gsd"])
    recipe = {"scale": {k: v for k, v in spec["scale"].items() if k != "name"}, "sensors": names}
    origin = {
        "grid": [grid.height, grid.width, grid.matrix],
        "sensors": {
            name: {k: places[name][k] for k in ("source", "dtype", "nodata", "matrix")}
            if name in places
            else {"bands": counts[name]}
            for name in names
        },
    }
    key = job.key({"sensors": names}, origin)  # the grid decides, not how the scale is written
    yield Wanted(scene, key, recipe, origin, (places, counts, grid))


def _band_count(spec: Mapping[str, Any], places: Mapping[str, Any], name: str) -> int:
    """Bands of a sensor: those of its image or, where the scene has none, those that the configuration gives."""
    count = places[name]["bands"] if name in places else spec.get("bands", {}).get(name)
    if count is None:
        raise ConfigError(
            f"scene {spec['scene']} has no image of sensor {name} and `sensors.{name}.bands` is null: "
            "say how many bands it has"
        )
    return int(count)


def _from_files(
    job: Job, places: Mapping[str, Any], counts: Mapping[str, int], grid: Grid, path: Path
) -> dict[str, str]:
    """Write the stack of a job from its source files, which must not change meanwhile."""
    scene = job.spec["scene"]
    labels = {name: f"scene {scene}, sensor {name}" for name in counts}
    files = {name: job.sources["sensors"][name] for name in counts if name in places}
    _check_unchanged(files, labels)
    nodata = job.spec.get("nodata", {})
    with ExitStack() as opened:
        sensors: list[StackSensor] = []
        for name, count in counts.items():
            if name not in places:
                sensors.append(StackSensor(name, count, np.uint16))
                continue
            place = places[name]
            reader = opened.enter_context(SensorReader(files[name], count, nodata.get(name), labels[name]))
            dtype = np.uint16 if place["dtype"] == "uint16" else np.float32
            sensors.append(StackSensor(name, count, dtype, reader, place["matrix"]))
        parts = write_stack(path, sensors, grid)
    _check_unchanged(files, labels)
    return parts


def _check_unchanged(files: Mapping[str, Any], labels: Mapping[str, str]) -> None:
    for name, own in files.items():
        for file in own:
            check_unchanged(file, labels[name])


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
    """

    name: str
    bands: int
    dtype: type[np.generic]
    reader: SensorReader | None = None
    matrix: Matrix = field(default_factory=list)

    def on_grid(self, grid: Grid) -> Iterator[tuple[NDArray[Any], NDArray[np.uint8]]]:
        """Numbers (bands, rows, W) in the sensor's own dtype and validity (rows, W), in bands of 256 rows."""
        if self.reader is None:
            for row in range(0, grid.height, BAND_ROWS):
                shape = (min(BAND_ROWS, grid.height - row), grid.width)
                yield np.zeros((self.bands, *shape), self.dtype), np.zeros(shape, np.uint8)
            return
        matrix, shape = compose(self.matrix, grid.matrix), (grid.height, grid.width)
        for _, values, good in resample_bands(self.reader.read, self.reader.shape, matrix, shape):
            yield as_numbers(values, self.dtype), good


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

    counts, size = [sensor.bands for sensor in sensors], (grid.height, grid.width)
    dtype = np.uint16 if all(sensor.dtype is np.uint16 for sensor in sensors) else np.float32
    digests = [(ArrayDigest("data", s.dtype, (s.bands, *size)), ArrayDigest("valid", np.uint8, size)) for s in sensors]
    with ZipStore(path, mode="w") as store:
        names = [sensor.name for sensor in sensors]
        group = zarr.create_group(store, attributes={"sensors": names, "channels": counts}, zarr_format=3)
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
    return {
        sensor.name: digest([data_digest.hexdigest(), valid_digest.hexdigest()])
        for sensor, (data_digest, valid_digest) in zip(sensors, digests, strict=True)
    }


def as_numbers(values: NDArray[np.float32], dtype: type[np.generic]) -> NDArray[Any]:
    """Resampled values as a stack holds them: float32, or rounded and clipped to uint16."""
    if dtype is np.float32:
        return values
    return np.clip(np.rint(values), 0, 65535).astype(dtype)


@dataclass(frozen=True)
class Stack:
    """An open stack.

    Attributes
    ----------
    sensors : tuple of str
    channels : tuple of int
        Number of channels of each sensor.
    data, valid : ChunkedArray
        (C, H, W) uint16 or float32 digital numbers, and (S, H, W) uint8, 255 or 0.
    """

    sensors: tuple[str, ...]
    channels: tuple[int, ...]
    data: ChunkedArray
    valid: ChunkedArray

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W)."""
        return int(self.data.shape[1]), int(self.data.shape[2])

    def planes(self, sensor: str) -> slice:
        """Which channels of `data` belong to a sensor; StoreError if the stack lacks it."""
        if sensor not in self.sensors:
            raise StoreError(f"the stack holds {', '.join(self.sensors)}, not {sensor}: run the workflow again")
        index = self.sensors.index(sensor)
        first = sum(self.channels[:index])
        return slice(first, first + self.channels[index])

    def window(self, rows: tuple[int, int], columns: tuple[int, int]) -> tuple[NDArray[Any], NDArray[np.uint8]]:
        """Rows and columns start..stop of all channels, (C, h, w), and validity of all sensors, (S, h, w)."""
        where = (slice(None), slice(*rows), slice(*columns))
        return self.data[where], self.valid[where]


@contextmanager
def open_stack(path: Path) -> Iterator[Stack]:
    """Open a stack for reading by windows, in any number of threads; see `rasterloom.chunks`."""
    with open_chunks(path) as (arrays, attributes):
        yield Stack(
            tuple(str(name) for name in attributes["sensors"]),
            tuple(int(count) for count in attributes["channels"]),
            arrays["data"],
            arrays["valid"],
        )
