"""Reading registrations, the artifacts of the stages register and place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rasterloom.errors import StoreError
from rasterloom.raster.grid import Grid, scale_grid
from rasterloom.store.job import Job
from rasterloom.store.store import Item


def scene_grid(job: Job, scene: str, scale: dict[str, Any]) -> Grid:
    """The grid of a scale on a registered scene."""
    registration = job.store.open_path(job.items("registration", [scene])[scene])
    reference = json.loads(registration.read_text(encoding="utf-8"))["reference"]
    return scale_grid(scale, reference["width"], reference["height"], reference.get("gsd"))


def read_registration(path: Path) -> dict[str, Any]:
    """The registration of a scene; StoreError if the file is not one."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise StoreError(f"{path} is not a registration ({error}): run `rasterloom verify --mend`") from None
    if not isinstance(value, dict) or not {"reference", "sensors"} <= value.keys():
        raise StoreError(f"{path} is not a registration: run `rasterloom verify --mend`")
    return value


def reference_size(job: Job, item: Item) -> tuple[int, int]:
    """Width and height of the reference image, from a registration item."""
    reference = json.loads(job.store.open_path(item).read_text(encoding="utf-8"))["reference"]
    return int(reference["width"]), int(reference["height"])


def read_reference(registration: Path) -> dict[str, Any]:
    """What decides polygons in a registration: the reference's size, transform and CRS."""
    reference = json.loads(registration.read_text(encoding="utf-8"))["reference"]
    return {key: reference.get(key) for key in ("width", "height", "transform", "crs")}
