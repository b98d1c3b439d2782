"""What must be computed for a configuration: the outputs of every stage, and the spec and sources of every job.

A spec is a function of a job's wildcards and the configuration alone. Snakemake's rules ask this module for it;
so does the command line when a stage is run by hand.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from rasterloom.config import Config, Recipe, load_config, resolve
from rasterloom.config.explain import joined
from rasterloom.config.recipe import scale_table
from rasterloom.dataset import Dataset, SourceFile, load_dataset, register_sources
from rasterloom.dataset.archive import split_member
from rasterloom.errors import ConfigError
from rasterloom.labels.folds import fold_names
from rasterloom.planning.checks import data_checks, learning_checks
from rasterloom.report.findings import REGISTRATION
from rasterloom.report.findings import TABLES as QUALITY_TABLES
from rasterloom.stages import module_of, version_of
from rasterloom.stages.label import label_file_names, label_job
from rasterloom.store.digest import canonical, digest
from rasterloom.store.files import write_text
from rasterloom.store.job import OUTPUTS
from rasterloom.text import nearest

SINGLE_LIMIT = 64
"""Up to this many predicted scenes a batch is one scene."""

BUCKETS = 32

LONG_ARGUMENT = 40_000
"""Bytes beyond which a spec goes to its job in a file: the kernel limits a whole command to 128 KiB."""


def batches(scenes: Iterable[str], scenes_per_job: str | int = "auto") -> dict[str, list[str]]:
    """Divide scenes into batches that stay the same when scenes are added.

    Parameters
    ----------
    scenes : ids
    scenes_per_job : "auto" or 1
        With "auto" and more than 64 scenes: 32 buckets by a hash of the id; else one scene a batch.

    Returns
    -------
    dict
        Name of the batch (of one: its scene) to sorted ids.
    """
    ids = sorted(scenes)
    if scenes_per_job == 1 or len(ids) <= SINGLE_LIMIT:
        return {scene: [scene] for scene in ids}
    found: dict[str, list[str]] = {}
    for scene in ids:
        bucket = int.from_bytes(hashlib.sha256(scene.encode()).digest()[:4], "big") % BUCKETS
        found.setdefault(f"bucket-{bucket:02d}", []).append(scene)
    return dict(sorted(found.items()))


class Dag:
    """Jobs of a configuration.

    Parameters
    ----------
    config : Config
    dataset : Dataset
        The index of the imagery; no image is opened here.
    """

    def __init__(self, config: Config, dataset: Dataset) -> None:
        self.config = config
        self.dataset = dataset
        self.recipe: Recipe = resolve(config)
        self.results = Path(config.results)
        self.reference = next(name for name, sensor in config.sensors.items() if sensor.reference)
        self.training = sorted(dataset.training())
        self.predicted = sorted({*dataset.predicted(), *self.training})
        self.batches = batches(self.predicted, config.execution.scenes_per_job)

    @classmethod
    def load(cls, merged: Mapping[str, Any]) -> Dag:
        """The graph of a merged configuration (what YAML gives)."""
        config = load_config(merged)
        resolve(config)
        sensors = {name: sensor.model_dump() for name, sensor in config.sensors.items()}
        ids = {name: entry.id for name, entry in config.classes.items()}
        dataset = load_dataset(config.dataset.model_dump(), sensors, ids)
        problems = list(data_checks(dataset))
        if problems:
            raise ConfigError(joined(problems))
        return cls(config, dataset)

    # What is asked for ------------------------------------------------------------------------------------

    @cached_property
    def statistics_scenes(self) -> list[str]:
        """Scenes whose digital numbers normalise the channels."""
        choice = self.config.statistics
        if isinstance(choice, list):
            unknown = [scene for scene in choice if scene not in self.dataset.scenes]
            if unknown:
                raise ConfigError(
                    f"`statistics`: the data set has no scene {unknown[0]!r}{nearest(unknown[0], self.dataset.scenes)}"
                )
            return sorted(choice)
        return self.training if choice == "train" else sorted(self.dataset.scenes)

    @cached_property
    def registered(self) -> list[str]:
        """Scenes whose sensors are registered: those that are predicted, and those of the statistics."""
        return sorted({*self.predicted, *self.statistics_scenes})

    @cached_property
    def acquisitions(self) -> dict[str, list[str]]:
        """Acquisitions whose scenes may help one another: of two scenes or more, with a shift to estimate."""
        estimated = {name for name, sensor in self.config.sensors.items() if sensor.registration == "auto"}
        estimated -= {self.reference}
        found: dict[str, list[str]] = {}
        for scene in self.registered:
            name = self.dataset.scenes[scene].acquisition
            if name is not None:
                found.setdefault(name, []).append(scene)
        return {
            name: scenes
            for name, scenes in sorted(found.items())
            if len(scenes) > 1 and any(estimated & self.dataset.scenes[scene].sensors.keys() for scene in scenes)
        }

    @cached_property
    def scale_sensors(self) -> dict[str, list[str]]:
        """Per scale that a member uses: the sensors that are stacked on it, in channel order."""
        used: dict[str, set[str]] = {}
        for member in self.recipe.members.values():
            used.setdefault(member.scale["name"], set()).update([self.reference, *member.sensors])
        return {scale: [s for s in self.config.sensors if s in sensors] for scale, sensors in sorted(used.items())}

    @cached_property
    def folds(self) -> list[str]:
        """Names of the checkpoints of a member."""
        extra = ["all"] if self.config.validation.predict_with == "refit" else []
        return [*self._fold_names, *extra]

    @cached_property
    def _fold_names(self) -> list[str]:
        chosen = [fold for s in self.training if (fold := self.dataset.scenes[s].fold) is not None]
        return fold_names(self._validation, chosen)

    @cached_property
    def _validation(self) -> dict[str, Any]:
        return self.config.validation.model_dump(include={"split", "folds"}, exclude_none=True)

    def labelled(self, group: str) -> list[str]:
        """Training scenes that were labelled for every class of a group."""
        classes = {name for names in self.recipe.groups[group].values() for name in names}
        return [s for s in self.training if classes <= set(self.dataset.scenes[s].labelled)]

    def jobs(self) -> dict[str, list[dict[str, str]]]:
        """Every job of a full run, as its wildcards, by stage in the order of the data."""
        members = self.recipe.members
        pairs: dict[str, Iterable[dict[str, str]]] = {
            "register": ({"scene": s} for s in self.registered),
            "place": ({"acquisition": a} for a in self.acquisitions),
            "stack": ({"scale": k, "scene": s} for k in self.scale_sensors for s in self.predicted),
            "statistics": [{}],
            "label": ({"class": c} for c in self.recipe.classes),
            "mask": self._masks(),
            "split": ({"group": g} for g in self.recipe.groups),
            "train": ({"member": m, "fold": f} for m in members for f in self.folds),
            "predict": ({"member": m, "batch": b} for m in members for b in self.batches),
            "ensemble": ({"class": c, "batch": b} for c in self.recipe.classes for b in self.batches),
            "tune": ({"class": c} for c in self.recipe.classes),
            "vectorise": ({"class": c, "batch": b} for c in self.recipe.classes for b in self.batches),
            "wkt": ({"file": f} for f in ["wkt.csv", *(f"wkt/{c}.csv" for c in self.recipe.classes)]),
            "submission": [{}] if "sample_submission" in self.dataset.tables else [],
            "score": [{}],
            "export": ({"batch": b} for b in self.batches),
            "measure": [{}],
            "quality": ({"table": t} for t in QUALITY_TABLES),
            "report": [{}],
        }
        return {stage: list(found) for stage, found in pairs.items()}

    def outputs(self) -> dict[str, list[str]]:
        """Everything a full run writes, relative to the results folder, by stage."""
        return {stage: [OUTPUTS[stage].format(**names) for names in found] for stage, found in self.jobs().items()}

    def _masks(self) -> list[dict[str, str]]:
        found = {
            (member.scale["name"], member.target, scene)
            for member in self.recipe.members.values()
            for scene in self.labelled(self.recipe.group_of(member.name))
        }
        return [{"scale": k, "target": t, "scene": s} for k, t, s in sorted(found)]

    # What a job is given ----------------------------------------------------------------------------------

    def spec(self, stage: str, **names: str) -> dict[str, Any]:
        """The slice of the recipe that decides the output of one job.

        Parameters
        ----------
        stage : str
        **names : str
            The job's wildcards, such as ``scene`` and ``scale``.
        """
        slice_ = getattr(self, f"_{stage}")(**{key.replace("class", "class_"): v for key, v in names.items()})
        return {"stage": stage, "version": version_of(stage), **slice_}

    def sources(self, stage: str, **names: str) -> dict[str, Any]:
        """Paths, sizes and times of the source files that a job reads."""
        if stage in {"register", "stack"}:
            return register_sources(self.dataset.scenes[names["scene"]])
        if stage == "label":
            return label_job(self.dataset, self.config.dataset.model_dump(), names["class"])[1]
        if stage == "submission":
            return {"sample": self.dataset.tables["sample_submission"].to_json()}
        return {}

    def source_files(self, stage: str, **names: str) -> list[str]:
        """The paths in `sources`, but for members of archives.

        Of an archive of all scenes only the time would be seen, and all of them would run if one image in it were
        replaced; their sizes and checksums are in the jobs' parameters.
        """
        return sorted({path for path in _paths(self.sources(stage, **names)) if split_member(path) is None})

    def inputs(self, stage: str, **names: str) -> list[str]:
        """Paths of the manifests that a job reads, below the results folder."""
        spec = self.spec(stage, **names)
        return [f"{self.results}/{path}" for path in module_of(stage).inputs(spec)]

    def argument(self, value: Mapping[str, Any]) -> str:
        """A spec or sources as a command-line argument: canonical JSON, or ``@file`` where that is too long."""
        text = canonical(value)
        if len(text.encode()) <= LONG_ARGUMENT:
            return text
        path = self.results / ".arguments" / f"{digest(text)[:32]}.json"
        if not path.exists():
            write_text(path, text)
        return f"@{path}"

    # Slices, one a stage ----------------------------------------------------------------------------------

    def _sensors(self, scene: str) -> dict[str, Any]:
        present = self.dataset.scenes[scene].sensors
        return {
            name: sensor.model_dump(include={"registration", "motion", "bands", "nodata", "max_shift"})
            for name, sensor in self.config.sensors.items()
            if name in present
        }

    def _register(self, scene: str) -> dict[str, Any]:
        layout = self.config.dataset.layout
        return {
            "scene": scene,
            "reference": self.reference,
            "sensors": self._sensors(scene),
            "layout": layout,
            "gsd": 0.31 if layout == "dstl" else None,
        }

    def _place(self, acquisition: str) -> dict[str, Any]:
        scenes = self.acquisitions[acquisition]
        return {"acquisition": {"name": acquisition, "scenes": scenes}, "scenes": scenes}

    @cached_property
    def _acquisition_by_scene(self) -> dict[str, str]:
        return {scene: name for name, scenes in self.acquisitions.items() for scene in scenes}

    def _acquisitions_with(self, scenes: Iterable[str]) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for scene in scenes:
            if scene in self._acquisition_by_scene:
                found.setdefault(self._acquisition_by_scene[scene], []).append(scene)
        return found

    def _stack(self, scale: str, scene: str) -> dict[str, Any]:
        sensors = self.scale_sensors[scale]
        return {
            "scene": scene,
            "acquisitions": self._acquisitions_with([scene]),
            "scale": scale_table(self.config, scale),
            "sensors": sensors,
            "bands": {name: self.config.sensors[name].bands for name in sensors},
            "nodata": {name: self.config.sensors[name].nodata for name in sensors},
        }

    def _statistics(self) -> dict[str, Any]:
        return {"sensors": list(self.config.sensors), "scenes": self.statistics_scenes}

    def _label(self, class_: str) -> dict[str, Any]:
        return label_job(self.dataset, self.config.dataset.model_dump(), class_)[0]

    def _mask(self, scale: str, target: str, scene: str) -> dict[str, Any]:
        classes = sorted(self.config.targets.get(target, [target]))
        return {"scene": scene, "scale": scale_table(self.config, scale), "target": target, "classes": classes}

    def _check_learning(self, group: str) -> None:
        """Refuse to plan what cannot be learned; what needs no labels, such as stacks, can be had all the same."""
        problems = list(learning_checks(self.config, self.recipe, self.dataset, group))
        if problems:
            raise ConfigError(joined(problems))

    def _split(self, group: str) -> dict[str, Any]:
        self._check_learning(group)
        scenes = self.labelled(group)
        folds = {s: f for s in scenes if (f := self.dataset.scenes[s].fold) is not None}
        return {
            "group": group,
            "targets": {target: list(classes) for target, classes in self.recipe.groups[group].items()},
            "scenes": scenes,
            "ground": self._ground(scenes),
            "folds": folds,
            "names": self._fold_names,
            "validation": self._validation,
            "seed": self.config.validation.seed,
        }

    def _train(self, member: str, fold: str) -> dict[str, Any]:
        found = self.recipe.members[member]
        group = self.recipe.group_of(member)
        self._check_learning(group)
        return {
            "member": member,
            "fold": fold,
            "target": found.target,
            "model": found.model,
            "sensors": list(found.sensors),
            "reference": self.reference,
            "scale": found.scale,
            "group": group,
            "training": found.training,
            "scenes": self.labelled(group),
        }

    def _predict(self, member: str, batch: str) -> dict[str, Any]:
        found = self.recipe.members[member]
        group = self.recipe.group_of(member)
        scenes = self.batches[batch]
        return {
            "member": member,
            "batch": batch,
            "scenes": scenes,
            "labelled": [s for s in self.labelled(group) if s in scenes],
            "model": found.model,
            "sensors": list(found.sensors),
            "reference": self.reference,
            "scale": found.scale,
            "group": group,
            "folds": self.folds,
            "predict_with": self.config.validation.predict_with,
            "prediction": found.prediction,
        }

    def _ensemble(self, class_: str, batch: str) -> dict[str, Any]:
        members = [self.recipe.members[name] for name in self.recipe.classes[class_].members]
        return {
            "class": class_,
            "members": [{"name": member.name, "scale": member.scale} for member in members],
            "reference": self.reference,
            "batch": batch,
            "scenes": self.batches[batch],
        }

    def _tune(self, class_: str) -> dict[str, Any]:
        found = self.recipe.classes[class_]
        scenes = self.labelled(found.group)
        return {
            "class": class_,
            "group": found.group,
            "polygons": {key: found.polygons[key] for key in ("threshold", "dilate", "erode")},
            "scenes": scenes,
            "ground": self._ground(scenes),
            "batches": self._batches_with(scenes),
        }

    def _vectorise(self, class_: str, batch: str) -> dict[str, Any]:
        found = self.recipe.classes[class_]
        return {
            "class": class_,
            "batch": batch,
            "scenes": self.batches[batch],
            "polygons": {key: value for key, value in found.polygons.items() if key != "threshold"},
        }

    def _wkt(self, file: str) -> dict[str, Any]:
        name = file.removeprefix("wkt/").removesuffix(".csv")
        chosen = list(self.recipe.classes) if file == "wkt.csv" else [name]
        return {"file": file, **self._polygon_tables(chosen)}

    def _submission(self) -> dict[str, Any]:
        return self._polygon_tables(list(self.recipe.classes))

    def _export(self, batch: str) -> dict[str, Any]:
        return {**self._polygon_tables(list(self.recipe.classes), self.batches[batch]), "batch": batch}

    def _measure(self) -> dict[str, Any]:
        return self._polygon_tables(list(self.recipe.classes))

    def _quality(self, table: str) -> dict[str, Any]:
        if table == REGISTRATION:
            return {"table": table, "scenes": self.registered, "acquisitions": self.acquisitions}
        scenes = self.dataset.scenes
        windows: dict[str, int] = {}
        for member in self.recipe.members.values():
            name, window = member.scale["name"], member.prediction.get("window", 0)
            if "size" not in member.scale and window:
                windows[name] = max(window, windows.get(name, 0))
        return {
            "table": table,
            "scenes": {s: {k: _names(files) for k, files in scenes[s].sensors.items()} for s in self.registered},
            "acquisitions": self.acquisitions,
            "reference": self.reference,
            "labels": {c: label_file_names(self.dataset, c) for c in self.recipe.classes},
            "classes": {name: found.id for name, found in self.recipe.classes.items()},
            "windows": [{"scale": scale_table(self.config, k), "window": n} for k, n in sorted(windows.items())],
            "notes": list(self.dataset.notes),
        }

    def _score(self) -> dict[str, Any]:
        classes = self.recipe.classes
        truth = {name: self._truth(name) for name in classes}
        labelled = {name: self.labelled(found.group) for name, found in classes.items()}
        scenes = sorted({scene for ids in [*truth.values(), *labelled.values()] for scene in ids})
        return {
            "classes": {name: found.id for name, found in classes.items()},
            "groups": {name: found.group for name, found in classes.items()},
            "truth": truth,
            "labelled": labelled,
            "batches": self._batches_with(scenes),
        }

    def _report(self) -> dict[str, Any]:
        finest = {
            name: [self.recipe.members[member].scale for member in found.members]
            for name, found in self.recipe.classes.items()
        }
        return {
            **self._score(),
            "scenes": self.predicted,
            "batches": self.batches,
            "reference": self.reference,
            "members": {name: list(found.members) for name, found in self.recipe.classes.items()},
            "scales": {scale: scale_table(self.config, scale) for scale in self.scale_sensors},
            "scale_sensors": self.scale_sensors,
            "class_scales": finest,
            "folds": self.folds,
        }

    def _truth(self, class_name: str) -> list[str]:
        scenes = self.dataset.scenes
        return [
            s for s in self.predicted if s not in self.training and scenes[s].truth and class_name in scenes[s].labelled
        ]

    def _ground(self, scenes: Sequence[str]) -> dict[str, str]:
        return {scene: self.dataset.scenes[scene].ground for scene in scenes}

    def _batches_with(self, scenes: Iterable[str]) -> dict[str, list[str]]:
        wanted = set(scenes)
        found = {batch: [s for s in ids if s in wanted] for batch, ids in self.batches.items()}
        return {batch: ids for batch, ids in found.items() if ids}

    def _polygon_tables(self, classes: Sequence[str], scenes: Sequence[str] | None = None) -> dict[str, Any]:
        chosen = list(self.predicted if scenes is None else scenes)
        return {
            "classes": {name: self.recipe.classes[name].id for name in classes},
            "scenes": chosen,
            "batches": self._batches_with(chosen),
        }


def _names(files: Iterable[SourceFile]) -> list[str]:
    return [Path(file.path).name for file in files]


def _paths(value: Any) -> Iterable[str]:
    """Every ``path`` in nested tables and lists."""
    if isinstance(value, Mapping):
        if isinstance(value.get("path"), str):
            yield value["path"]
        for entry in value.values():
            yield from _paths(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from _paths(entry)
