"""Sizes of scenes and numbers of bands, from the header of one image per sensor; no pixel is read.

The other scenes' sizes follow from the bytes of their files, which is exact for uncompressed images.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import sqrt
from typing import Any

from rasterloom.dataset.contest_ids import GSD
from rasterloom.planning.graph import Dag
from rasterloom.raster.files import RasterInfo
from rasterloom.raster.georeference import ground_distance
from rasterloom.raster.grid import scale_grid
from rasterloom.raster.sensor import SensorReader


@dataclass(frozen=True)
class Sizes:
    """Sizes of a data set.

    Attributes
    ----------
    bands : number of bands by sensor, in the order of the channels
    reference : (H, W) of the reference image by scene
    gsd : metres per pixel of the reference, or None
    """

    bands: dict[str, int]
    reference: dict[str, tuple[int, int]]
    gsd: float | None

    def shape(self, scale: Mapping[str, Any], scene: str) -> tuple[int, int]:
        """(H, W) of a scene on the grid of a scale."""
        height, width = self.reference[scene]
        grid = scale_grid(scale, width, height, self.gsd)
        return grid.height, grid.width

    def channels(self, sensors: Iterable[str]) -> int:
        """Channels of some sensors together."""
        return sum(self.bands[name] for name in sensors)


def read_sizes(dag: Dag) -> Sizes:
    """Read one header per sensor: of the first scene that has it.

    Raises
    ------
    MissingInputError, InputError
        If one of these images is not there or is no image; names it.
    """
    scenes = dag.dataset.scenes
    first = {name: next((s for s in scenes if name in scenes[s].sensors), None) for name in dag.config.sensors}
    headers = {name: _header(dag, scene, name) for name, scene in first.items() if scene is not None}
    bands = {
        name: headers[name].bands if name in headers else entry.bands or 1 for name, entry in dag.config.sensors.items()
    }
    seen = headers[dag.reference]
    sizes = {scene: max(1, sum(file.size for file in scenes[scene].sensors[dag.reference])) for scene in scenes}
    zooms = {scene: sqrt(size / sizes[str(first[dag.reference])]) for scene, size in sizes.items()}
    reference = {s: (max(1, round(seen.height * zoom)), max(1, round(seen.width * zoom))) for s, zoom in zooms.items()}
    return Sizes(bands, reference, GSD if dag.config.dataset.layout == "dstl" else ground_distance(seen))


def _header(dag: Dag, scene: str, sensor: str) -> RasterInfo:
    entry = dag.config.sensors[sensor]
    files = [file.to_json() for file in dag.dataset.scenes[scene].sensors[sensor]]
    with SensorReader(files, entry.bands, entry.nodata, f"scene {scene}, sensor {sensor}") as reader:
        return reader.info
