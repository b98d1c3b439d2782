"""Stage `sanity`: does a member of each class learn three labelled scenes by heart? For use before a long training.

The checkpoints are those of the stage `train` with the name ``sanity`` in place of a fold. Here they predict the scenes
that they have learned. One artifact per class: a picture of each scene beside its errors; its record holds the Jaccards
and the advice. A full run leaves this stage out.

Spec (besides ``stage`` and ``version``): ``classes``: by class what `predict` knows of its member, and ``target``,
``classes`` (those of what it learns), ``scenes`` (those that are labelled for it), ``ground`` (of each scene) and
``plane`` (number of the class's output, if there are several).
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from rasterloom.config.model import is_network
from rasterloom.errors import ConfigError
from rasterloom.labels.record import scenes_by_heart
from rasterloom.learning import inference
from rasterloom.learning import normalisation as norms
from rasterloom.learning.checkpoint import load_checkpoint
from rasterloom.learning.outputs import Outputs
from rasterloom.learning.sanity import PICTURE, SANITY, SCENES, verdict
from rasterloom.learning.stack_reader import read_stack, reference_place, sensor_parts
from rasterloom.learning.windows import Bytes
from rasterloom.polygons.thresholds import best_threshold, jaccards, joint_histogram, split_counts
from rasterloom.project.project import Project
from rasterloom.raster.planes import read_plane
from rasterloom.report.pictures import jpeg
from rasterloom.report.sanity import one_above_the_other, scene_and_errors
from rasterloom.store.digest import array_digest
from rasterloom.store.files import write_text
from rasterloom.store.job import Job, Wanted, scene_manifests
from rasterloom.store.store import Item, Writing
from rasterloom.text import number

OUTPUT = "sanity/sanity.json"
HELP = "show whether each class can be learned by heart, before a long training"
VERSION = 1
NAMES = "classes"

ON_REQUEST = True
"""A full run does not ask for it."""

SUMMARY = "sanity/sanity.txt"
"""What came out, in words, relative to the results folder."""


def jobs(project: Project) -> list[dict[str, str]]:
    """One job."""
    return [{}]


def spec(project: Project) -> dict[str, Any]:
    """See the docstring of this module. Of a class's members, the first network that learns it alone is taken.

    Of a second round the first is, and of members that need no others if there are any.
    """
    return {"classes": {name: _member(project, name) for name in project.recipe.classes}}


def _member(project: Project, class_name: str) -> dict[str, Any]:
    members = project.recipe.members
    listed = [members[name] for name in project.recipe.classes[class_name].members]
    found = [own for one in listed if not (own := members[one.teacher or one.name]).stacked]
    if not found:
        raise ConfigError(
            f"class {class_name}: its members all see the probability of others, which must be trained first; the "
            "sanity check needs one that does not: list one of those under `members`"
        )
    member = max(found, key=lambda one: (one.is_network, one.target == class_name))
    group = project.recipe.group_of(member.name)
    project.check_learning(group)
    scenes, settings = project.labelled(group), member.prediction
    quick = {"symmetries": False, "stride": max(1, settings["window"] // 2)} if member.is_network else {}
    return {
        **project.member(member.name),
        "target": class_name if member.outputs else member.target,
        "classes": list(member.classes),
        "scenes": scenes,
        "ground": project.ground(scenes),
        "prediction": {**settings, **quick},
        **project.normalised(scenes),
        **member.plane(class_name),
    }


def inputs(spec: Mapping[str, Any]) -> list[str]:
    """Manifests read: of each class the checkpoint, and labels, stacks and masks of the scenes to choose from."""
    found: list[str] = []
    for own in spec["classes"].values():
        scale = own["scale"]["name"]
        found += [f"models/{own['member']}/{SANITY}.json", *(f"labels/{name}.json" for name in own["classes"])]
        found += scene_manifests(f"stacks/{scale}", own["scenes"])
        found += scene_manifests(f"masks/{scale}/{own['target']}", own["scenes"])
        found += norms.statistics_manifests(own) if "normalise_by" in own else []
    return list(dict.fromkeys(found))


def run(job: Job) -> None:
    """Draw the picture of each class, or find it in the store, and write what came out."""
    items = job.obtain(wanted(job), ".jpg", _compare, total=len(job.spec["classes"]))
    lines = [_line(job, name, item) for name, item in items.items()]
    note = [] if all(line.endswith(": go on") for line in lines) else [f"{job.output.parent}/CLASS.jpg: {PICTURE}"]
    write_text(job.results / SUMMARY, "".join(f"{line}\n" for line in [*lines, *note]))
    job.finish(items)


def wanted(job: Job) -> Iterator[Wanted]:
    """The picture of each class, made from its checkpoint and from what it has learned."""
    for name, own in job.spec["classes"].items():
        part = replace(job, spec={**own, "stage": job.stage, "version": job.spec["version"]})
        scenes = scenes_by_heart(part, SCENES)
        model = part.manifest(f"models/{own['member']}/{SANITY}").items[SANITY]
        stacks = part.items(f"stacks/{own['scale']['name']}", scenes)
        masks = part.items(f"masks/{own['scale']['name']}/{own['target']}", scenes)
        prediction = own["prediction"] if is_network(own["model"]) else {}
        given = {
            "model": model.digest,
            "stacks": [sensor_parts(item, own) for item in stacks.values()],
            "masks": [item.digest for item in masks.values()],
        }
        statistics = norms.statistics_items(part, scenes) if "normalise_by" in own else {}
        if statistics:
            given["scene_statistics"] = [[item.digest for item in found.values()] for found in statistics.values()]
        recipe = {"prediction": prediction, "reference": reference_place(own)}
        recipe |= ({"plane": own["plane"]} if "plane" in own else {}) | Outputs.of(own).settings
        yield Wanted(name, part.key(recipe, given), recipe, given, (part, model, stacks, masks, statistics))


def _compare(want: Wanted, work: Writing) -> None:
    """Predict the scenes of a class, find the best threshold, and show the errors there."""
    job, model, stacks, masks, _ = want.work
    files = {scene: job.store.open_path(item) for scene, item in stacks.items()}
    truth = [read_plane(job.store.open_path(item), "coverage") for item in masks.values()]
    found = list(_probabilities(want, files))
    joints = [joint_histogram(*planes) for planes in zip(found, truth, strict=True)]
    counts = [split_counts(joint) for joint in joints]
    threshold, score, _ = best_threshold(np.sum(counts, axis=0))
    each = [None if (scores := jaccards(own)) is None else float(scores[int(threshold)]) for own in counts]
    curve = load_checkpoint(job.store.open_path(model), "history.")[0].get("history.iou", np.zeros(0))
    said = verdict(score, np.sum(joints, axis=0), curve)
    work.facts.update(jaccard=score, scenes=each, threshold=threshold, verdict=said)
    rows = zip(files.values(), found, truth, strict=True)
    picture = one_above_the_other([scene_and_errors(job.spec["reference"], *row, threshold) for row in rows])
    work.path.write_bytes(jpeg(picture))
    work.digest = array_digest({"picture": picture})


def _probabilities(want: Wanted, files: Mapping[str, Path]) -> Iterator[Bytes]:
    """What a checkpoint predicts for each scene, (H, W)."""
    job, model, _, _, statistics = want.work
    checkpoint = load_checkpoint(job.store.open_path(model))[0]
    with ExitStack() as held:
        predict, _ = inference.predictor(job.spec, held, {SANITY: checkpoint})
        for scene, path in files.items():
            with read_stack(path, job.spec["sensors"], job.spec["reference"]) as reader:
                own = norms.read_statistics(job, statistics[scene], reader) if statistics else None
                normalisation = norms.prediction_normalisation([checkpoint], own, reader)
                blocks = predict(reader, normalisation, [SANITY], job.log, 0)
                plane = job.spec.get("plane", 0)
                yield np.concatenate([planes[plane] for planes in inference.encoded(blocks, reader)])


def _line(job: Job, name: str, item: Item) -> str:
    """What came out for a class, in words."""
    facts, own = job.store.facts(item), job.spec["classes"][name]
    scenes = ", ".join(number(score, 3) for score in facts["scenes"])
    return f"{name}: Jaccard {number(facts['jaccard'], 3)} ({scenes}) by {own['member']}: {facts['verdict']}"
