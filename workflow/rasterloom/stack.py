"""Stage stack: every sensor of a scene on the grid of one scale, each resampled once from its raw files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rasterloom.digest import ArrayDigest, digest
from rasterloom.errors import InputError, StoreError
from rasterloom.grid import Grid, Matrix, compose, scale_grid
from rasterloom.job import Job
from rasterloom.rasters import SensorReader
from rasterloom.register import read_registration
from rasterloom.resample import resample_bands
from rasterloom.scan import check_unchanged

VERSION = 1

CHUNK = 128
"""Side of a chunk; it holds all channels, since a patch needs all of them."""


def inputs(spec: Mapping[str, Any]) -> list[str]:
    """Manifests that the stage reads, relative to the results folder."""
    return [f"registration/{spec['scene']}.json"]


def run(job: Job) -> None:
    """Stack one scene at one scale; see the module `rasterloom.stack`."""
    spec, scene = job.spec, job.spec["scene"]
    registration = read_registration(job.store.open_path(job.items("registration", [scene])[scene]))
    reference, places = registration["reference"], registration["sensors"]
    names = list(spec["sensors"])
    for name in names:
        if name not in places:
            raise InputError(
                f"scene {scene} has no image of sensor {name}, which a model at scale {spec['scale'].get('name')} "
                f"needs; it has {', '.join(places)}: add the image, or leave the scene or the sensor out"
            )
    grid = scale_grid(spec["scale"], reference["width"], reference["height"], reference["gsd"])
    recipe = {"scale": {k: v for k, v in spec["scale"].items() if k != "name"}, "sensors": names}
    origin = {
        "grid": [grid.height, grid.width, grid.matrix],
        "sensors": {name: {k: places[name][k] for k in ("source", "dtype", "nodata", "matrix")} for name in names},
    }
    key = job.key(recipe, origin)
    item = job.store.find(job.stage, key)
    if item is None:
        with job.store.writing(job.stage, key, ".zarr.zip", recipe=recipe, inputs=origin) as work:
            work.parts.update(_from_files(job, places, grid, work.path))
            counts = [places[name]["bands"] for name in names]
            work.digest = digest({"sensors": names, "channels": counts, "parts": work.parts})
        item = work.committed()
    job.finish({scene: item})


def _from_files(job: Job, places: Mapping[str, Any], grid: Grid, path: Path) -> dict[str, str]:
    """Write the stack of a job from its source files, which must not change meanwhile."""
    scene, names = job.spec["scene"], list(job.spec["sensors"])
    labels = {name: f"scene {scene}, sensor {name}" for name in names}
    files = {name: job.sources["sensors"][name] for name in names}
    for name in names:
        for file in files[name]:
            check_unchanged(file, labels[name])
    nodata = job.spec.get("nodata", {})
    with ExitStack() as opened:
        sensors = [
            StackSensor(
                name,
                opened.enter_context(SensorReader(files[name], places[name]["bands"], nodata.get(name), labels[name])),
                places[name]["matrix"],
            )
            for name in names
        ]
        integers = all(places[name]["dtype"] == "uint16" for name in names)
        parts = write_stack(path, sensors, grid, np.uint16 if integers else np.float32)
    for name in names:
        for file in files[name]:
            check_unchanged(file, labels[name])
    return parts


@dataclass(frozen=True)
class StackSensor:
    """A sensor to be stacked: its name, its open files, and its matrix, reference to sensor edge coordinates."""

    name: str
    reader: SensorReader
    matrix: Matrix


def write_stack(path: Path, sensors: Sequence[StackSensor], grid: Grid, dtype: type[np.generic]) -> dict[str, str]:
    """Resample sensors to a grid and write them as a stack.

    Parameters
    ----------
    path : Path
        A ``.zarr.zip`` file to create: a Zarr v3 group with ``data`` (C, H, W) and ``valid`` (S, H, W) uint8, 255
        where a sensor is valid and 0 where not, and attributes ``sensors`` and ``channels``.
    sensors : sequence of StackSensor
        In the order of the channels.
    grid : Grid
    dtype : numpy.uint16 or numpy.float32
        Of ``data``; uint16 is rounded and clipped to 0..65535.

    Returns
    -------
    dict of str to str
        By sensor, ``array_digest({"data": its planes, "valid": its plane})``.

    Notes
    -----
    Memory: 256 rows of the output, or of the sensor where that is wider, in float32, once and a half for all
    channels; and 512 rows of one sensor.
    """
    import zarr
    from zarr.codecs import BloscCodec
    from zarr.storage import ZipStore

    counts = [sensor.reader.info.bands for sensor in sensors]
    channels, size = sum(counts), (grid.height, grid.width)
    digests = [(ArrayDigest("data", dtype, (count, *size)), ArrayDigest("valid", np.uint8, size)) for count in counts]
    with ZipStore(path, mode="w") as store:
        names = [sensor.name for sensor in sensors]
        group = zarr.create_group(store, attributes={"sensors": names, "channels": counts}, zarr_format=3)
        options: dict[str, Any] = {
            "compressors": BloscCodec(cname="lz4", clevel=5, shuffle="bitshuffle"),
            "fill_value": 0,
        }
        data, valid = (
            group.create_array(name, shape=(planes, *size), chunks=(planes, CHUNK, CHUNK), dtype=kind, **options)
            for name, planes, kind in (("data", channels, dtype), ("valid", len(sensors), np.uint8))
        )
        bands = [resample_bands(s.reader.read, s.reader.shape, compose(s.matrix, grid.matrix), size) for s in sensors]
        for parts in zip(*bands, strict=True):
            row, rows = parts[0][0], parts[0][1].shape[1]
            planes, masks = [], []
            for (_, values, good), (data_digest, valid_digest) in zip(parts, digests, strict=True):
                planes.append(as_numbers(values, dtype))
                masks.append(good)
                data_digest.update(planes[-1])
                valid_digest.update(good)
            data[:, row : row + rows] = np.concatenate(planes)
            valid[:, row : row + rows] = np.stack(masks)
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
    data, valid : zarr arrays
        (C, H, W) uint16 or float32 digital numbers, and (S, H, W) uint8, 255 or 0.
    """

    sensors: tuple[str, ...]
    channels: tuple[int, ...]
    data: Any
    valid: Any

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
        return np.asarray(self.data[where]), np.asarray(self.valid[where])


@contextmanager
def open_stack(path: Path) -> Iterator[Stack]:
    """Open a stack for reading by windows.

    Notes
    -----
    Open it in the process that reads it, never before a fork: both would share one file position.
    """
    import zarr
    from zarr.storage import ZipStore

    with ZipStore(path, mode="r") as store:
        group: Any = zarr.open_group(store, mode="r")
        attributes = dict(group.attrs)
        yield Stack(
            tuple(str(name) for name in attributes["sensors"]),
            tuple(int(count) for count in attributes["channels"]),
            group["data"],
            group["valid"],
        )
