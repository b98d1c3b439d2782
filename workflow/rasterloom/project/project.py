"""What the stages ask of a configuration and its data set, as far as more than one of them asks it."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from rasterloom.config import Config, Recipe, load_config, resolve
from rasterloom.config.explain import refuse
from rasterloom.config.recipe import scale_table
from rasterloom.dataset import Dataset, load_dataset
from rasterloom.dataset.contest_ids import SENSORS
from rasterloom.errors import ConfigError
from rasterloom.grouping import grouped
from rasterloom.labels.folds import fold_names
from rasterloom.project.checks import data_checks, learning_checks
from rasterloom.store.job import DATASET
from rasterloom.text import nearest

SINGLE_LIMIT = 64
"""Up to this many predicted scenes a batch is one scene."""
LEAST = 32
"""Scenes of a batch if there are more, give or take: as many batches as the power of two that makes them 16 to 32."""


def usual_count(scenes: int) -> int:
    """In how many batches so many scenes go where nobody knows what a scene takes: a power of two."""
    return 1 << (scenes // LEAST).bit_length()


def batches(
    scenes: Iterable[str], scenes_per_job: str | int = "auto", limit: int = SINGLE_LIMIT, count: int = 0
) -> dict[str, list[str]]:
    """Divide scenes into batches that stay the same when scenes are added, until their number doubles.

    Parameters
    ----------
    scenes : iterable of str
        Ids.
    scenes_per_job : "auto" or 1
        With "auto" and more scenes than `limit`: batches by a hash of the id; else one scene per batch.
    limit : int
    count : int
        How many batches, a power of two; 0: the usual number.

    Returns
    -------
    dict
        Name of the batch (of one: its scene) to sorted ids.
    """
    ids = sorted(scenes)
    if scenes_per_job == 1 or len(ids) <= limit:
        return {scene: [scene] for scene in ids}
    count = count or usual_count(len(ids))
    buckets = {scene: int.from_bytes(hashlib.sha256(scene.encode()).digest()[:4], "big") % count for scene in ids}
    return dict(sorted(grouped((f"bucket-{buckets[scene]:02d}", scene) for scene in ids).items()))


class Project:
    """A configuration and the data set that it names.

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

    def pixel(self, sensor: str) -> float | None:
        """Side of a sensor's pixel in reference pixels: as configured, else as known of the contest's, else None."""
        own = self.config.sensors[sensor].pixel
        if own is None and self.config.dataset.layout == "dstl":
            return SENSORS[sensor].pixel / SENSORS[self.reference].pixel
        return own

    @classmethod
    def load(cls, merged: Mapping[str, Any]) -> Self:
        """The project of a merged configuration (what YAML gives)."""
        config = load_config(merged)
        resolve(config)
        sensors = {name: sensor.model_dump() for name, sensor in config.sensors.items()}
        ids = {name: entry.id for name, entry in config.classes.items()}
        wide = {name: entry.buffer for name, entry in config.classes.items() if entry.buffer}
        buffers = {name: buffer.model_dump(exclude_none=True) for name, buffer in wide.items()}
        shift = config.dataset.labels.max_shift if config.dataset.labels.registration == "auto" else None
        dataset = load_dataset(config.dataset.model_dump(), sensors, ids)
        dataset = replace(dataset, buffers=buffers, label_shift=shift)
        refuse(data_checks(dataset))
        return cls(config, dataset)

    @cached_property
    def statistics_scenes(self) -> list[str]:
        """Scenes whose digital numbers normalise the channels of all scenes; none if each has statistics of its own."""
        choice: Any = self.config.statistics
        for scene in choice if isinstance(choice, list) else ():
            if scene not in self.dataset.scenes:
                near = nearest(scene, self.dataset.scenes)
                raise ConfigError(f"`statistics`: the data set has no scene {scene!r}; {near}")
        if self.config.normalise_by != "dataset":
            return []
        return self.training if choice == "train" else sorted(self.dataset.scenes if choice == "all" else choice)

    @cached_property
    def registered(self) -> list[str]:
        """Scenes whose sensors are registered: those that are predicted, and those of the statistics."""
        return sorted({*self.predicted, *self.statistics_scenes})

    @cached_property
    def acquisitions(self) -> dict[str, list[str]]:
        """Registered scenes that were taken together; a scene of no acquisition is one of its own."""
        scenes = self.dataset.scenes
        return dict(sorted(grouped((scenes[scene].acquisition or scene, scene) for scene in self.registered).items()))

    @cached_property
    def units(self) -> dict[str, list[str]]:
        """By the name of their statistics: scenes whose moments are merged. None if each scene has its own."""
        shared = {"dataset": {DATASET: self.statistics_scenes}, "acquisition": self.acquisitions}
        return shared.get(self.config.normalise_by, {})

    def normalised(self, scenes: Iterable[str]) -> dict[str, Any]:
        """What a spec says of the statistics of scenes; nothing if all share those of the data set."""
        if (by := self.config.normalise_by) != "acquisition":
            return {} if by == "dataset" else {"normalise_by": by}
        return {"normalise_by": by, "units": {s: self.dataset.scenes[s].acquisition or s for s in scenes}}

    @cached_property
    def scale_sensors(self) -> dict[str, list[str]]:
        """Per scale that a member uses: the sensors that are stacked on it, in channel order."""
        members = self.recipe.members.values()
        used = grouped((own.scale["name"], name) for own in members for name in (self.reference, *own.sensors))
        return {scale: [s for s in self.config.sensors if s in names] for scale, names in sorted(used.items())}

    def scale(self, name: str) -> dict[str, Any]:
        """A scale as a table, with its name."""
        return scale_table(self.config, name)

    @cached_property
    def folds(self) -> list[str]:
        """Names of the checkpoints of a member."""
        return [*self.fold_names, *(["all"] if self.config.validation.predict_with == "refit" else [])]

    @cached_property
    def fold_names(self) -> list[str]:
        """Names of the folds."""
        chosen = [fold for s in self.training if (fold := self.dataset.scenes[s].fold) is not None]
        return fold_names(self.validation, chosen)

    @cached_property
    def validation(self) -> dict[str, Any]:
        """How the labelled scenes are divided: ``split`` or ``folds``."""
        return self.config.validation.model_dump(include={"split", "folds"}, exclude_none=True)

    def labelled(self, group: str) -> list[str]:
        """Training scenes that were labelled for every class of a group."""
        classes = {name for names in self.recipe.groups[group].values() for name in names}
        return [s for s in self.training if classes <= set(self.dataset.scenes[s].labelled)]

    def unlabelled(self, group: str) -> list[str]:
        """Predicted scenes that were not labelled for a group, and do not show ground with held-out truth of it."""
        classes = {name for names in self.recipe.groups[group].values() for name in names}
        scenes, labelled = self.dataset.scenes, self.labelled(group)
        scored = {scenes[scene].ground for name in classes for scene in self.truth(name)}
        return [s for s in self.predicted if s not in labelled and scenes[s].ground not in scored]

    def ensemble_members(self, class_name: str) -> list[dict[str, Any]]:
        """Name and scale of each member of a class, and which plane of its prediction is the class's if it has many."""
        members = [self.recipe.members[name] for name in self.recipe.classes[class_name].members]
        return [{"name": own.name, "scale": own.scale, **own.plane(class_name)} for own in members]

    def member(self, name: str) -> dict[str, Any]:
        """What a spec says of a member: its model, channels, scale, group, and outputs if it has several.

        Of the members whose probability it sees, the number of their outputs, if they have several.
        """
        found = self.recipe.members[name]
        outputs = {"outputs": {"classes": list(found.outputs), "exclusive": found.exclusive}} if found.outputs else {}
        return {
            "member": name,
            "model": found.model,
            "sensors": list(found.sensors),
            "reference": self.reference,
            "scale": found.scale,
            "group": self.recipe.group_of(name),
            **outputs,
            **({"stacked": {n: len(self.recipe.members[n].outputs) for n in found.stacked}} if found.stacked else {}),
        }

    def validated(self, class_name: str) -> dict[str, Any]:
        """What a spec says of the scenes that were labelled for a class, of which those that validate count."""
        group = self.recipe.classes[class_name].group
        scenes = self.labelled(group)
        return {
            "class": class_name,
            "group": group,
            "scenes": scenes,
            "ground": self.ground(scenes),
            "batches": self.batches_with(scenes),
        }

    def scored(self) -> dict[str, Any]:
        """By class its number, its group, the scenes with held-out truth, and those labelled for its group; grounds."""
        classes = self.recipe.classes
        truth = {name: self.truth(name) for name in classes}
        labelled = {name: self.labelled(found.group) for name, found in classes.items()}
        scenes = sorted({scene for ids in [*truth.values(), *labelled.values()] for scene in ids})
        return {
            "classes": {name: found.id for name, found in classes.items()},
            "groups": {name: found.group for name, found in classes.items()},
            "truth": truth,
            "labelled": labelled,
            "ground": self.ground(scenes),
            "batches": self.batches_with(scenes),
        }

    def truth(self, class_name: str) -> list[str]:
        """Predicted scenes that no model trains on, and whose labels of a class are known."""
        held_out = (self.dataset.scenes[s] for s in self.predicted if s not in self.training)
        return [scene.id for scene in held_out if scene.truth and class_name in scene.labelled]

    def check_learning(self, group: str) -> None:
        """Refuse to plan what cannot be learned; what needs no labels, such as stacks, can be had all the same."""
        refuse(learning_checks(self.config, self.recipe, self.dataset, group))

    def ground(self, scenes: Sequence[str]) -> dict[str, str]:
        """The ground that each scene shows."""
        return {scene: self.dataset.scenes[scene].ground for scene in scenes}

    def batches_with(self, scenes: Iterable[str]) -> dict[str, list[str]]:
        """The batches of some scenes, each with those of them that it holds."""
        wanted = set(scenes)
        found = {name: [scene for scene in ids if scene in wanted] for name, ids in self.batches.items()}
        return {name: ids for name, ids in found.items() if ids}

    def polygon_tables(self, classes: Iterable[str], scenes: Iterable[str] | None = None) -> dict[str, Any]:
        """What a job reads that needs the polygons of classes on scenes (by default all predicted ones)."""
        chosen = list(self.predicted if scenes is None else scenes)
        return {
            "classes": {name: self.recipe.classes[name].id for name in classes},
            "scenes": chosen,
            "batches": self.batches_with(chosen),
        }
