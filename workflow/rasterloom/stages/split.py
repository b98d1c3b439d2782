"""Which labelled scenes train and which validate: stratified by area, never separating the same ground.

One artifact a group of targets (targets that meet in an ensemble share their folds). Spec (besides ``stage`` and
``version``): ``group``; ``targets``: classes by target; ``scenes``: ids of the scenes that were labelled; ``ground``:
ground by scene; ``folds``: the user's fold by scene, or empty; ``validation``: ``{"split": share that trains}`` or
``{"folds": k}``; ``seed``. ``names`` may list all folds of the data set: a group that lacks one of the user's folds,
or has no labelled scene at all, gets it with an empty validation, so that every member has the same folds.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from rasterloom.labels.folds import divide
from rasterloom.labels.record import polygon_area
from rasterloom.project.project import Project
from rasterloom.store.job import Job, Wanted
from rasterloom.store.store import Writing

OUTPUT = "folds/{group}.json"
HELP = "divide the labelled scenes into training and validation"
VERSION = 3
NAMES = "group"
KEYS = {"seed": "validation.seed", "names": "validation"}


def jobs(project: Project) -> Iterator[dict[str, str]]:
    """One job per group of targets."""
    return ({"group": name} for name in project.recipe.groups)


def spec(project: Project, group: str) -> dict[str, Any]:
    """See the docstring of this module."""
    project.check_learning(group)
    scenes = project.labelled(group)
    return {
        "group": group,
        "targets": {target: list(classes) for target, classes in project.recipe.groups[group].items()},
        "scenes": scenes,
        "ground": project.ground(scenes),
        "folds": {s: fold for s in scenes if (fold := project.dataset.scenes[s].fold) is not None},
        "names": project.fold_names,
        "validation": project.validation,
        "seed": project.config.validation.seed,
    }


def inputs(spec: dict[str, Any]) -> list[str]:
    """Manifests that the stage reads: the labels of every class of the group's targets."""
    return [f"labels/{name}.json" for name in _classes(spec)]


def run(job: Job) -> None:
    """Divide the scenes of a group into folds; one JSON item."""
    spec = job.spec

    def make(want: Wanted, work: Writing) -> None:
        areas = want.inputs["areas"]
        divided = divide(areas, spec["ground"], spec["validation"], spec["seed"], spec["folds"], spec.get("names"))
        work.json(divided)
        if divided["note"]:
            job.log(f"split {spec['group']}: {divided['note']}")

    job.finish(job.obtain(wanted(job), ".folds.json", make))


def wanted(job: Job) -> Iterator[Wanted]:
    """The folds of the job's group."""
    spec = job.spec
    inputs = {"areas": read_areas(job)}
    recipe = {name: spec[name] for name in ("targets", "validation", "seed", "ground")}
    recipe |= {"folds": spec["folds"], "names": spec.get("names")}
    yield Wanted(spec["group"], job.key(recipe, inputs), recipe, inputs)


def read_areas(job: Job) -> dict[str, dict[str, float]]:
    """Labelled area of each target in each scene of a job, in square reference pixels, to two decimals.

    A scene in which a class was not labelled counts as having none of it.
    """
    by_class: dict[str, dict[str, float]] = {}
    for name in _classes(job.spec):
        items = job.manifest(f"labels/{name}").items
        found = {scene: items[scene] for scene in job.spec["scenes"] if scene in items}
        by_class[name] = {scene: polygon_area(job.store.open_path(item)) for scene, item in found.items()}
    return {
        scene: {
            target: round(sum(by_class[name].get(scene, 0.0) for name in classes), 2)
            for target, classes in sorted(job.spec["targets"].items())
        }
        for scene in sorted(job.spec["scenes"])
    }


def _classes(spec: Mapping[str, Any]) -> list[str]:
    return sorted({name for classes in spec["targets"].values() for name in classes})
