"""Reading registrations, the artifacts of the stages register and place."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rasterloom.errors import StoreError
from rasterloom.raster.grid import Grid, scale_grid
from rasterloom.store.files import sound_json
from rasterloom.store.job import Job


def scene_grid(job: Job, scene: str, scale: dict[str, Any]) -> Grid:
    """The grid of a scale on a registered scene."""
    reference = references(job, [scene])[scene]
    return scale_grid(scale, reference["width"], reference["height"], reference.get("gsd"))


def references(job: Job, scenes: Iterable[str]) -> dict[str, dict[str, Any]]:
    """What the registration of each scene says of its reference image: ``width``, ``height``, ``crs`` and so on."""
    items = job.items("registration", list(scenes))
    return {scene: read_registration(job.store.open_path(item))["reference"] for scene, item in items.items()}


def read_registration(path: Path) -> dict[str, Any]:
    """The registration of a scene; StoreError if the file is not one."""
    value = sound_json(path)
    if not isinstance(value, dict) or not {"reference", "sensors"} <= value.keys():
        raise StoreError(f"{path} is not a registration: run `rasterloom verify --mend`")
    return value
