"""Stage `predict`: the probability of one member in every scene of a batch.

Out-of-fold where a scene was held out, the mean over the folds' checkpoints elsewhere. torch is imported only
if a scene is missing from the store.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from functools import cache, partial
from typing import Any

from rasterloom.config.model import CONTENT, is_network
from rasterloom.labels.folds import checkpoints_of
from rasterloom.learning import inference
from rasterloom.learning import normalisation as norms
from rasterloom.learning.checkpoint import Arrays, load_checkpoint
from rasterloom.learning.cost import forward_passes, speed_of
from rasterloom.learning.outputs import Outputs
from rasterloom.learning.stack_reader import StackReader, open_reader, reference_place, sensor_parts, stacked_items
from rasterloom.learning.state import claimed_state
from rasterloom.learning.windows import Bytes
from rasterloom.project.project import Project
from rasterloom.raster.means import probability_arrays
from rasterloom.raster.planes import write_planes
from rasterloom.store.digest import digest
from rasterloom.store.job import Job, Wanted, batch_manifests, scene_manifests
from rasterloom.store.store import Writing

OUTPUT = "predictions/{member}/{batch}.json"
HELP = "predict scenes with a member's checkpoints"
VERSION = 3
NAMES = "scenes"
KEYS = {
    "content": "models.{model}",
    "sensors": "channels.{channels}",
    "reference": "sensors.*.reference",
    "outputs.classes": "targets.{target}.classes",
    "outputs.exclusive": "targets.{target}.overlap",
    "prediction": "*.prediction",
}

WORTH_KEEPING = 2**30
"""Pixels through networks, ten minutes on two cores, from which on finished strips of a scene outlive a kill."""


def jobs(project: Project) -> Iterator[dict[str, str]]:
    """One job per member and batch of scenes."""
    return ({"member": member, "batch": batch} for member in project.recipe.members for batch in project.batches)


def spec(project: Project, member: str, batch: str) -> dict[str, Any]:
    """The member's model, channels, scale and settings of prediction, and the scenes of the batch."""
    scenes = project.batches[batch]
    return {
        **project.member(member),
        "batch": batch,
        "scenes": scenes,
        "labelled": [scene for scene in project.labelled(project.recipe.group_of(member)) if scene in scenes],
        "folds": project.folds,
        "predict_with": project.config.validation.predict_with,
        "prediction": project.recipe.members[member].prediction,
        **project.normalised(scenes),
    }


def inputs(spec: dict[str, Any]) -> list[str]:
    """Manifests that a prediction reads, relative to the results folder."""
    return [
        *scene_manifests(f"stacks/{spec['scale']['name']}", spec["scenes"]),
        *[f"models/{spec['member']}/{fold}.json" for fold in spec["folds"]],
        *([f"folds/{spec['group']}.json"] if spec["labelled"] else []),
        *(norms.statistics_manifests(spec) if "normalise_by" in spec else []),
        *(path for other in spec.get("stacked", ()) for path in batch_manifests(f"predictions/{other}", spec)),
    ]


def run(job: Job) -> None:
    """Predict the scenes of a batch that the store does not hold yet."""
    spec, wants = job.spec, list(wanted(job))
    with ExitStack() as held:
        opened = cache(partial(_opened, job, wants, held))

        def make(want: Wanted, work: Writing) -> None:
            stack, made_by, items, stacked = want.work
            chosen, (checkpoints, predictor, hardware) = list(made_by), opened()

            def say(text: str) -> None:
                job.log(f"predict: {spec['member']}: {want.name}: {text}")

            with open_reader(job, stack, stacked) as reader, ExitStack() as kept:
                passes = len(chosen) * _passes(spec, reader)
                started = time.monotonic()
                own = None if items is None else norms.read_statistics(job, items, reader)
                normalisation = norms.prediction_normalisation([checkpoints[fold] for fold in chosen], own, reader)

                def strips(top: int) -> Iterator[list[Bytes]]:
                    return inference.encoded(predictor(reader, normalisation, chosen, say, top), reader, top)

                state, first = None, inference.STRIP.format(0)
                if passes * spec["prediction"].get("window", 0) ** 2 >= WORTH_KEEPING:
                    state = kept.enter_context(claimed_state(job.store.root / job.stage / want.key, say, first))
                whole = state is None or not (state / first).exists()
                shape = reader.shape
                _write(work, Outputs.of(spec), shape, inference.kept(state, strips) if state else strips(0))
                seconds, megapixels = time.monotonic() - started, shape[0] * shape[1] / 1e6
                work.cost.update(megapixels=round(megapixels, 3), prediction=round(seconds, 3))
                if hardware and whole:
                    work.cost["network"] = _speed(spec, hardware, seconds, reader, passes)

        job.finish(job.obtain(wants, ".zarr.zip", make, total=len(wants)))


def wanted(job: Job) -> Iterator[Wanted]:
    """The prediction of each scene of the batch, made from its stack and from checkpoints by fold."""
    spec = job.spec
    models = {fold: job.manifest(f"models/{spec['member']}/{fold}").items[fold] for fold in spec["folds"]}
    folds = job.read("folds", spec["group"])["folds"] if spec["labelled"] else {}
    stacks = job.items(f"stacks/{spec['scale']['name']}", spec["scenes"])
    # a pixel model's result does not depend on how it is computed
    prediction = spec["prediction"] if is_network(spec["model"]) else {}
    outputs = Outputs.of(spec).settings
    told = [name for name in ("sensors", "reference", "normalise_by") if name in spec]
    # the code of a user's network decides, besides its weights, what it predicts
    code = {name: digest for name, digest in spec["model"].get(CONTENT, {}).items() if name == "factory"}
    content = {CONTENT: code} if code else {}
    recipe: dict[str, Any] = {"prediction": prediction, **{name: spec[name] for name in told}, **content, **outputs}
    stacked = stacked_items(job, spec["scenes"])
    for scene, stack in stacks.items():
        chosen = checkpoints_of(scene, spec["labelled"], folds, spec["folds"], spec["predict_with"])
        inputs = {"models": [models[fold].digest for fold in chosen], "stack": sensor_parts(stack, spec)}
        own = norms.statistics_items(job, [scene])[scene] if "normalise_by" in spec else None
        if own is not None:
            inputs["scene_statistics"] = [item.digest for item in own.values()]
        if stacked[scene]:
            inputs["stacked"] = [item.digest for item in stacked[scene]]
        key = job.key({"reference": reference_place(spec), "prediction": prediction, **content, **outputs}, inputs)
        yield Wanted(scene, key, recipe, inputs, (stack, {fold: models[fold] for fold in chosen}, own, stacked[scene]))


def _opened(
    job: Job, wants: Sequence[Wanted], held: ExitStack
) -> tuple[dict[str, Arrays], inference.Predictor, str | None]:
    """The checkpoints that scenes need which the store does not hold, and what predicts with them, on what."""
    missing = [want for want in wants if job.store.lookup(job.stage, want.key) is None]
    models = {fold: item for want in missing for fold, item in want.work[1].items()}
    checkpoints = {fold: load_checkpoint(job.store.open_path(models[fold]))[0] for fold in sorted(models)}
    return checkpoints, *inference.predictor(job.spec, held, checkpoints)


def _write(work: Writing, outputs: Outputs, shape: tuple[int, int], strips: Iterator[list[Bytes]]) -> None:
    """Write the probability of each class; the parts of the artifact are their digests, by number."""
    digests = write_planes(work.path, "probability", shape, strips, probability_arrays(*outputs.planes or [0]))
    work.parts.update({str(plane): own for plane, own in enumerate(digests)} if outputs.planes else {})
    work.digest = digest(digests) if outputs.planes else digests[0]


def _passes(spec: Mapping[str, Any], reader: StackReader) -> int:
    """Windows that go through a network to predict a scene; 0 for a model per pixel."""
    return forward_passes(spec["prediction"], *reader.shape) if is_network(spec["model"]) else 0


def _speed(spec: Mapping[str, Any], hardware: str, seconds: float, reader: StackReader, passes: int) -> dict[str, Any]:
    """What a scene says of the speed of the device."""
    prediction, channels = spec["prediction"], len(reader.planes)
    window, precision = int(prediction["window"]), prediction["precision"]
    return asdict(speed_of("prediction", hardware, precision, seconds, spec["model"], channels, window, passes))
