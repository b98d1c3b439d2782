"""Space that a run takes in the store, stage by stage, and what of it is there already.

What is there corrects what is still to come: of the same member, scale or class if there is any, else of its stage.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rasterloom.config.recipe import MemberRecipe
from rasterloom.learning.cost import checkpoint_bytes
from rasterloom.planning.estimates import ITEM_BYTES, PLANE_BYTES, POLYGON_BYTES, sample, stack_bytes
from rasterloom.store.job import OUTPUTS
from rasterloom.store.store import Store, read_sidecar

if TYPE_CHECKING:
    from rasterloom.planning.graph import Dag
    from rasterloom.planning.sizes import Sizes

RECORDS = 200
"""Records of a stage that are read at most, to see how well it compresses."""


@dataclass(frozen=True)
class Unit:
    """An artifact that a run makes.

    Attributes
    ----------
    stage : its stage.
    kind : what it has in common with others that compress alike: its scale, member or class.
    manifest : the manifest that will name it, relative to the results folder; of a table the table itself.
    name : its name there: a scene, a fold, a sensor; empty for a table.
    estimate : bytes, by measured constants.
    """

    stage: str
    kind: str
    manifest: str
    name: str
    estimate: float


@dataclass
class Space:
    """Bytes of a stage: of the artifacts that are `there`, and of all once the run is done."""

    there: float = 0.0
    total: float = 0.0
    items: int = 0
    found: int = 0


@dataclass
class _Ratio:
    """Actual bytes and estimated ones of what is there."""

    actual: float = 0.0
    estimated: float = 0.0

    def add(self, actual: float, estimated: float) -> None:
        self.actual += actual
        self.estimated += estimated


@dataclass
class Disk:
    """Space by stage, and from how many artifacts of the store it was learnt."""

    stages: dict[str, Space] = field(default_factory=dict)
    learnt: int = 0

    @property
    def there(self) -> float:
        """Bytes that are in the store already."""
        return sum(space.there for space in self.stages.values())

    @property
    def total(self) -> float:
        """Bytes once the run is done."""
        return sum(space.total for space in self.stages.values())


def units(dag: Dag, sizes: Sizes) -> Iterator[Unit]:
    """Every artifact that a full run has, with its estimated bytes."""
    yield from _scene_units(dag, sizes)
    yield from _model_units(dag, sizes)
    yield from _batch_units(dag, sizes)
    yield from _table_units(dag, sizes)


def _unit(stage: str, kind: str, name: str, estimate: float, **names: str) -> Unit:
    return Unit(stage, kind, OUTPUTS[stage].format(**names), name, ITEM_BYTES[stage] + estimate)


def _scene_units(dag: Dag, sizes: Sizes) -> Iterator[Unit]:
    from rasterloom.config.recipe import scale_table

    for scene in dag.registered:
        yield _unit("register", "", scene, 0.0, scene=scene)
    for scale, sensors in dag.scale_sensors.items():
        table = scale_table(dag.config, scale)
        for scene in dag.predicted:
            pixels = prod(sizes.shape(table, scene))
            present = dag.dataset.scenes[scene].sensors
            value = pixels * sum(_sensor_bytes(sizes, table, scene, name) for name in sensors if name in present)
            yield _unit("stack", scale, scene, value, scale=scale, scene=scene)
    for name in dag.outputs()["mask"]:
        _, scale, target, file = name.split("/")
        scene = file.removesuffix(".json")
        pixels = prod(sizes.shape(scale_table(dag.config, scale), scene))
        estimate = pixels * PLANE_BYTES["mask"]
        yield _unit("mask", target, scene, estimate, scale=scale, target=target, scene=scene)


def _sensor_bytes(sizes: Sizes, scale: Mapping[str, Any], scene: str, name: str) -> float:
    """Bytes of a pixel of a stack, of one sensor."""
    sensor = sizes.sensors[name]
    return sensor.bands * stack_bytes(sensor.dtype, sizes.magnification(scale, scene, name))


def _model_units(dag: Dag, sizes: Sizes) -> Iterator[Unit]:
    for sensor in dag.config.sensors:
        yield _unit("statistics", "", sensor, 0.0)
    for group in dag.recipe.groups:
        yield _unit("split", "", group, 0.0, group=group)
    for member in dag.recipe.members.values():
        size = checkpoint_bytes(member.model, sizes.channels(member.sensors))
        for fold in dag.folds:
            yield _unit("train", member.model["kind"], fold, size, member=member.name, fold=fold)
    for name, found in dag.recipe.classes.items():
        yield _unit("tune", "", name, 0.0, **{"class": name})
        labelled = {*dag.labelled(found.group), *(s for s in dag.predicted if dag.dataset.scenes[s].truth)}
        for scene in sorted(labelled):
            estimate = prod(sizes.reference[scene]) * POLYGON_BYTES["label"]
            yield _unit("label", name, scene, estimate, **{"class": name})


def _batch_units(dag: Dag, sizes: Sizes) -> Iterator[Unit]:
    for batch, scenes in dag.batches.items():
        for scene in scenes:
            for member in dag.recipe.members.values():
                estimate = prod(sizes.shape(member.scale, scene)) * PLANE_BYTES["predict"]
                yield _unit("predict", member.name, scene, estimate, member=member.name, batch=batch)
            for name, found in dag.recipe.classes.items():
                members = [dag.recipe.members[member] for member in found.members]
                estimate = _finest(sizes, members, scene) * PLANE_BYTES["ensemble"]
                yield _unit("ensemble", name, scene, estimate, batch=batch, **{"class": name})
                estimate = prod(sizes.reference[scene]) * POLYGON_BYTES["vectorise"]
                yield _unit("vectorise", name, scene, estimate, batch=batch, **{"class": name})


def _table_units(dag: Dag, sizes: Sizes) -> Iterator[Unit]:
    """Tables of WKT, the submission and the GeoPackages: what lies beside the store and is not small."""
    classes = len(dag.recipe.classes)
    outputs = dag.outputs()
    pixels = {scene: prod(sizes.reference[scene]) for scene in dag.predicted}
    for path in outputs["wkt"]:
        estimate = sum(pixels.values()) * POLYGON_BYTES["wkt"] * (classes if path == "wkt.csv" else 1)
        yield Unit("wkt", "", path, "", estimate)
    for path in outputs["submission"]:
        yield Unit("submission", "", path, "", sum(pixels.values()) * POLYGON_BYTES["submission"] * classes)
    for scene in dag.predicted:
        yield Unit(
            "export", "", f"vectors/{scene}.gpkg", "", 100_000 + pixels[scene] * POLYGON_BYTES["export"] * classes
        )


def _finest(sizes: Sizes, members: list[MemberRecipe], scene: str) -> int:
    """Pixels of the finest grid among members."""
    return max(prod(sizes.shape(member.scale, scene)) for member in members)


def space(dag: Dag, sizes: Sizes, store: Store) -> Disk:
    """Bytes by stage: those in the store that the run's manifests name, and those to come.

    Notes
    -----
    Lists the store once, reads the manifests that are there, and at most `RECORDS` records of two stages.
    """
    disk = Disk()
    every = list(units(dag, sizes))
    found = _named(dag, _listing(store.root))
    found.update(_tables(dag, every))
    disk.learnt = len(found)
    kinds: dict[tuple[str, str], _Ratio] = defaultdict(_Ratio)
    stages: dict[str, _Ratio] = defaultdict(_Ratio)
    for unit in every:
        actual = found.get((unit.manifest, unit.name))
        if actual is not None:
            kinds[unit.stage, unit.kind].add(actual, unit.estimate)
            stages[unit.stage].add(actual, unit.estimate)
    for stage, ratio in _recorded(dag, sizes, store):
        if not stages[stage].estimated:
            stages[stage] = ratio
    for unit in every:
        own = disk.stages.setdefault(unit.stage, Space())
        actual = found.get((unit.manifest, unit.name))
        own.items += 1
        if actual is not None:
            own.found += 1
            own.there += actual
        own.total += (
            unit.estimate * _factor(kinds[unit.stage, unit.kind], stages[unit.stage]) if actual is None else actual
        )
    return disk


def _factor(*ratios: _Ratio) -> float:
    """The first ratio that was learnt from anything, else 1."""
    return next((ratio.actual / ratio.estimated for ratio in ratios if ratio.estimated), 1.0)


def _listing(root: Path) -> dict[str, int]:
    """Bytes of every artifact of a store, by its path in it."""
    found: dict[str, int] = {}
    for stage in OUTPUTS:
        try:
            entries = list(os.scandir(root / stage))
        except (FileNotFoundError, NotADirectoryError):
            continue
        found.update({f"{stage}/{entry.name}": entry.stat().st_size for entry in entries if entry.is_file()})
    return found


def _named(dag: Dag, sizes: Mapping[str, int]) -> dict[tuple[str, str], int]:
    """Bytes on disk, with its record, of each artifact that a manifest of the run names, by manifest and name."""
    found: dict[tuple[str, str], int] = {}
    for paths in dag.outputs().values():
        for path in paths:
            for name, item in _items(dag.results / path).items():
                if item in sizes:
                    stage, file = item.split("/")
                    record = f"{stage}/{file.split('.')[0]}.json"
                    found[path, name] = sizes[item] + sizes.get(record, 0)
    return found


def _tables(dag: Dag, every: list[Unit]) -> Iterator[tuple[tuple[str, str], int]]:
    for unit in every:
        if not unit.name:
            with suppress(FileNotFoundError):
                yield (unit.manifest, ""), (dag.results / unit.manifest).stat().st_size


def _items(path: Path) -> dict[str, str]:
    """Paths in the store by name, of a manifest; none if there is no manifest that can be read."""
    if path.suffix != ".json":
        return {}
    try:
        items = json.loads(path.read_text(encoding="utf-8"))["items"]
        return {str(name): str(item["path"]) for name, item in items.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _recorded(dag: Dag, sizes: Sizes, store: Store) -> Iterator[tuple[str, _Ratio]]:
    """How stacks and predictions of other recipes in the store compressed."""
    for stage in ("stack", "predict"):
        ratio = _Ratio()
        for path in sample(sorted((store.root / stage).glob("*.json")), RECORDS):
            record = read_sidecar(path)
            estimate = None if record is None else _estimate_of(record, stage, dag, sizes)
            if record is not None and estimate:
                ratio.add(record["bytes"], estimate)
        yield stage, ratio


def _estimate_of(record: Mapping[str, Any], stage: str, dag: Dag, sizes: Sizes) -> float | None:
    """The bytes that would have been estimated for an artifact, or None if its record does not tell its size."""
    try:
        if stage == "predict":
            return float(record["cost"]["megapixels"]) * 1e6 * PLANE_BYTES["predict"]
        height, width, matrix = record["inputs"]["grid"]
        zoom = 1 / (matrix[0][0] * matrix[1][1]) ** 0.5
        total = 0.0
        for name in record["recipe"]["sensors"]:
            sensor = sizes.sensors[name]
            total += sensor.bands * stack_bytes(sensor.dtype, zoom / sensor.pixels)
        return float(height * width * total)
    except (KeyError, TypeError, ValueError):
        return None


def room(folder: Path) -> int:
    """Free bytes of the disk that a folder lies on, or will lie on."""
    found = folder.absolute()
    while not found.exists():
        found = found.parent
    return shutil.disk_usage(found).free
