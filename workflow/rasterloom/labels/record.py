"""Labels of one scene, and reading them back from the artifacts of the stage label."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rasterloom.errors import LabelError
from rasterloom.labels.geometry import Counts, Polygons
from rasterloom.store.job import Job
from rasterloom.store.store import Item


@dataclass(frozen=True)
class Label:
    """The labels of a scene, not yet worked on.

    Attributes
    ----------
    scene : str
    inputs : dict
        What decides the polygons and the facts: enters the key.
    polygons : callable
        Gives the polygons, in reference pixel coordinates, clipped to the scene, and what was done to them.
    facts : dict
        What was found when the file was read, for the quality table.
    """

    scene: str
    inputs: dict[str, Any]
    polygons: Callable[[], tuple[Polygons, Counts]]
    facts: dict[str, Any] = field(default_factory=dict)


def read_labels(path: Path) -> Any:
    """Geometries of a label artifact, (N,) object array of polygons in reference pixels."""
    import geopandas

    return geopandas.read_parquet(path).geometry.to_numpy()


def label_item(job: Job, name: str, scene: str) -> Item:
    """The label artifact of a class on a scene; LabelError if the scene was not labelled for it."""
    item = job.manifest(f"labels/{name}").items.get(scene)
    if item is None:
        raise LabelError(
            f"scene {scene} has no labels of class {name}, which job {job.stage} needs: "
            "leave it out of the labelled scenes, or label it"
        )
    return item
