"""Sizes of scenes and sensors from the headers of a few images; no pixel is read.

The other scenes' sizes follow from the bytes of their files, which for uncompressed images is exact.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rasterloom.planning.estimates import sample
from rasterloom.raster.grid import scale_grid

if TYPE_CHECKING:
    from rasterloom.dataset import Scene
    from rasterloom.planning.graph import Dag

HEADERS = 12
"""Scenes whose headers are read at most."""

EIGHT_BITS = 1.2
"""Bytes of a value in the files up to which a sensor compresses like one of 8 bits, whatever it is read as."""


@dataclass(frozen=True)
class Sensor:
    """What a sensor's files are like, on average.

    Attributes
    ----------
    bands : channels.
    dtype : of the values, as numpy calls it; uint8 if the files hold about a byte for each.
    pixels : pixels of the sensor per pixel of the reference, along an axis.
    """

    bands: int
    dtype: str
    pixels: float


@dataclass(frozen=True)
class Sizes:
    """Sizes of a data set.

    Attributes
    ----------
    sensors : by name, in the order of the channels.
    reference : (H, W) of the reference image of each predicted scene.
    gsd : metres a pixel of the reference, or None.
    read : scenes whose headers were read; the other sizes are estimated from bytes of files.
    """

    sensors: dict[str, Sensor]
    reference: dict[str, tuple[int, int]]
    gsd: float | None
    read: int

    def shape(self, scale: Mapping[str, Any], scene: str) -> tuple[int, int]:
        """(H, W) of a scene on the grid of a scale."""
        height, width = self.reference[scene]
        grid = scale_grid(scale, width, height, self.gsd)
        return grid.height, grid.width

    def magnification(self, scale: Mapping[str, Any], scene: str, sensor: str) -> float:
        """Pixels of the grid per pixel of a sensor, along an axis."""
        height, width = self.shape(scale, scene)
        rows, columns = self.reference[scene]
        return math.sqrt(height * width / (rows * columns)) / self.sensors[sensor].pixels

    def channels(self, sensors: tuple[str, ...]) -> int:
        """Channels of some sensors together."""
        return sum(self.sensors[name].bands for name in sensors)


def read_sizes(dag: Dag) -> Sizes:
    """Read the headers of at most `HEADERS` scenes of a graph.

    Raises
    ------
    MissingInputError, InputError
        If one of these images is not there or is none; names it.
    """
    chosen = sample(dag.predicted, HEADERS)
    found = {scene: _headers(dag, dag.dataset.scenes[scene]) for scene in chosen}
    shapes = {scene: (sensors[dag.reference].height, sensors[dag.reference].width) for scene, sensors in found.items()}
    pixels_per_byte = sum(height * width for height, width in shapes.values()) / sum(_bytes(dag, s) for s in chosen)
    aspect = math.sqrt(sum(height for height, _ in shapes.values()) / sum(width for _, width in shapes.values()))
    for scene in dag.predicted:
        if scene not in shapes:
            side = math.sqrt(_bytes(dag, scene) * pixels_per_byte)
            shapes[scene] = (max(1, round(side * aspect)), max(1, round(side / aspect)))
    return Sizes(_sensors(dag, found), {s: shapes[s] for s in dag.predicted}, _gsd(dag, found), len(chosen))


def _headers(dag: Dag, scene: Scene) -> dict[str, Any]:
    """The headers of a scene's sensors, `rasters.RasterInfo` each."""
    from rasterloom.raster.sensor import SensorReader

    found = {}
    for name, files in scene.sensors.items():
        entry = dag.config.sensors[name]
        paths = [file.to_json() for file in files]
        with SensorReader(paths, entry.bands, entry.nodata, f"scene {scene.id}, sensor {name}") as reader:
            found[name] = reader.info
    return found


def _bytes(dag: Dag, scene: str) -> int:
    return max(1, sum(file.size for file in dag.dataset.scenes[scene].sensors[dag.reference]))


def _sensors(dag: Dag, found: Mapping[str, Mapping[str, Any]]) -> dict[str, Sensor]:
    sensors: dict[str, Sensor] = {}
    for name, entry in dag.config.sensors.items():
        infos = {scene: infos for scene, infos in found.items() if name in infos}
        if not infos:  # no scene that was looked at has it
            sensors[name] = Sensor(entry.bands or 1, "uint16", 1.0)
            continue
        first = next(iter(infos.values()))[name]
        own = sum(info[name].width * info[name].height for info in infos.values())
        reference = sum(info[dag.reference].width * info[dag.reference].height for info in infos.values())
        size = sum(file.size for scene in infos for file in dag.dataset.scenes[scene].sensors[name])
        small = first.dtype == "uint16" and size <= EIGHT_BITS * own * first.bands
        sensors[name] = Sensor(first.bands, "uint8" if small else first.dtype, math.sqrt(own / reference))
    return sensors


def _gsd(dag: Dag, found: Mapping[str, Mapping[str, Any]]) -> float | None:
    from rasterloom.dataset.contest_ids import GSD
    from rasterloom.raster.georeference import ground_distance

    if dag.config.dataset.layout == "dstl":
        return GSD
    known = [d for infos in found.values() if (d := ground_distance(infos[dag.reference])) is not None]
    return sum(known) / len(known) if known else None
