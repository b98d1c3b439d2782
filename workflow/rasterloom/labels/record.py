"""Reading labels and folds, the artifacts of the stages label and split."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rasterloom.errors import LabelError
from rasterloom.store.files import read_json
from rasterloom.store.job import Job
from rasterloom.store.store import Item


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


def read_folds(job: Job, group: str) -> dict[str, Any]:
    """The division of a group's scenes, as `divide` gives it."""
    item = job.manifest(f"folds/{group}").items[group]
    found: dict[str, Any] = read_json(job.store.open_path(item))
    return found


def validation_scenes(job: Job, group: str) -> set[str]:
    """Scenes in the validation part of some fold of a group: their predictions are out-of-fold."""
    return {scene for fold in read_folds(job, group)["folds"].values() for scene in fold["validation"]}
