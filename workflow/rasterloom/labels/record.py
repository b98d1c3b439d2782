"""Reading labels and folds, the artifacts of the stages label and split."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rasterloom.errors import LabelError
from rasterloom.polygons.coverage import coverage_strips
from rasterloom.registration.record import read_registration, references
from rasterloom.registration.table import LABELS
from rasterloom.store.job import Job, scene_manifests
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


def label_shifts(job: Job) -> dict[str, tuple[float, float]]:
    """By how much labels of a job's scenes lie beside their image, reference pixels; scenes that stay are left out."""
    items = job.items("placement", job.spec["scenes"]) if "acquisitions" in job.spec else {}
    read = {scene: read_registration(job.store.open_path(item))["sensors"].get(LABELS) for scene, item in items.items()}
    return {scene: entry["shift"] for scene, entry in read.items() if entry and any(entry["shift"])}


def validation_scenes(job: Job, group: str) -> set[str]:
    """Scenes in the validation part of some fold of a group: their predictions are out-of-fold."""
    return {scene for fold in job.read("folds", group)["folds"].values() for scene in fold["validation"]}


def validated_manifests(spec: Mapping[str, Any]) -> list[str]:
    """Paths of the manifests that `validated_labels` reads: of labels, folds and registrations."""
    placed = scene_manifests("registration", spec["scenes"])
    return [f"labels/{spec['class']}.json", f"folds/{spec['group']}.json", *placed]


def validated_labels(job: Job) -> dict[str, tuple[Item, tuple[int, int]]]:
    """By scene that validates, of those of a job: its label of the job's class, (width, height) of its reference."""
    chosen = sorted(validation_scenes(job, job.spec["group"]) & set(job.spec["scenes"]))
    placed = references(job, chosen)
    sizes = {scene: (int(placed[scene]["width"]), int(placed[scene]["height"])) for scene in chosen}
    return {scene: (label_item(job, job.spec["class"], scene), size) for scene, size in sizes.items()}


def label_strips(
    job: Job,
    scene: str,
    label: Item,
    size: tuple[int, int],
    shape: tuple[int, int],
    rows: int | None = None,
    supersample: int = 4,
) -> Iterator[NDArray[np.uint8]]:
    """Coverage of a grid over a scene by the labels of the job's class, in strips of `rows`; see `coverage_strips`.

    Parameters
    ----------
    size : (width, height)
        Of the scene's reference, in whose pixels the labels are.
    shape : (H, W)
        Of the grid.
    """
    matrix = [[size[0] / shape[1], 0.0, 0.0], [0.0, size[1] / shape[0], 0.0]]
    try:
        yield from coverage_strips(read_labels(job.store.open_path(label)), shape, matrix, supersample, rows)
    except LabelError as error:
        raise LabelError(f"class {job.spec['class']} on scene {scene}: {error}") from None


def polygon_area(path: Path) -> float:
    """Sum of the areas of the polygons in a label artifact, in square pixels."""
    import pyarrow.parquet
    import shapely

    column = pyarrow.parquet.read_table(path, columns=["geometry"])["geometry"]
    return float(shapely.area(shapely.from_wkb(column.to_numpy())).sum()) if len(column) else 0.0


def richest(job: Job, classes: Iterable[str], ground: Mapping[str, str], most: int) -> list[str]:
    """The scenes in which some classes together have most area; one of each ground as long as there is another ground.

    Parameters
    ----------
    job : of a results folder with labels.
    classes : their areas are added up.
    ground : by scene the ground that it shows.
    most : how many scenes, those of most area first; a scene with none is left out.
    """
    items = [job.manifest(f"labels/{name}").items for name in classes]
    paths = {scene: [job.store.open_path(found[scene]) for found in items if scene in found] for scene in ground}
    areas = {scene: sum(map(polygon_area, own)) for scene, own in paths.items()}
    ranked = sorted((scene for scene in areas if areas[scene] > 0), key=lambda scene: (-areas[scene], scene))
    first = {ground[scene]: scene for scene in reversed(ranked)}.values()
    return sorted(ranked, key=lambda scene: scene not in first)[:most]


def scenes_by_heart(job: Job, most: int) -> list[str]:
    """The labelled scenes that a job's member learns by heart: the `richest`, or one for each of several outputs."""
    spec = job.spec
    if "outputs" not in spec:
        return richest(job, spec["classes"], spec["ground"], most)
    found = [scene for name in spec["outputs"]["classes"] for scene in richest(job, [name], spec["ground"], 1)]
    return list(dict.fromkeys(found))
