"""Stage `predict`: the probability of one member in every scene of a batch.

Out-of-fold where a scene was held out, the mean over the folds' checkpoints elsewhere. torch is imported only
if a scene is missing from the store.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rasterloom.config.model import PredictionConfig, is_network
from rasterloom.labels.folds import checkpoints_of
from rasterloom.labels.record import read_folds
from rasterloom.learning import inference
from rasterloom.learning.checkpoint import load_checkpoint
from rasterloom.learning.cost import forward_passes, speed_of
from rasterloom.learning.device import computing, hardware_name, keep_memory, pick_device
from rasterloom.learning.stack_reader import StackReader, read_stack, reference_place, sensor_parts
from rasterloom.learning.windows import Floats
from rasterloom.project.project import Project
from rasterloom.raster.planes import write_plane
from rasterloom.store.job import Job, Wanted, scene_manifests
from rasterloom.store.store import Item, Writing

OUTPUT = "predictions/{member}/{batch}.json"
HELP = "predict scenes with a member's checkpoints"
VERSION = 2
KEYS = {"sensors": "channels.{channels}", "reference": "sensors.*.reference", "prediction": "*.prediction"}


def jobs(project: Project) -> Iterator[dict[str, str]]:
    """One job per member and batch of scenes."""
    return ({"member": member, "batch": batch} for member in project.recipe.members for batch in project.batches)


def spec(project: Project, member: str, batch: str) -> dict[str, Any]:
    """The member's model, channels, scale and settings of prediction, and the scenes of the batch."""
    found, group = project.recipe.members[member], project.recipe.group_of(member)
    scenes = project.batches[batch]
    return {
        "member": member,
        "batch": batch,
        "scenes": scenes,
        "labelled": [scene for scene in project.labelled(group) if scene in scenes],
        "model": found.model,
        "sensors": list(found.sensors),
        "reference": project.reference,
        "scale": found.scale,
        "group": group,
        "folds": project.folds,
        "predict_with": project.config.validation.predict_with,
        "prediction": found.prediction,
    }


def names(spec: Mapping[str, Any]) -> list[str]:
    """One artifact per scene."""
    return list(spec["scenes"])


def inputs(spec: dict[str, Any]) -> list[str]:
    """Manifests that a prediction reads, relative to the results folder."""
    return [
        *scene_manifests(f"stacks/{spec['scale']['name']}", spec["scenes"]),
        *[f"models/{spec['member']}/{fold}.json" for fold in spec["folds"]],
        *([f"folds/{spec['group']}.json"] if spec["labelled"] else []),
    ]


def run(job: Job) -> None:
    """Predict the scenes of a batch that the store does not hold yet."""
    wants = list(wanted(job))
    found = {want.name: job.store.find(job.stage, want.key) for want in wants}
    missing = [want for want in wants if found[want.name] is None]
    made = _predict(job, missing) if missing else {}
    job.finish({scene: item or made[scene] for scene, item in found.items()})


def wanted(job: Job) -> Iterator[Wanted]:
    """The prediction of each scene of the batch, made from its stack and from checkpoints by fold."""
    spec = job.spec
    models = {fold: job.manifest(f"models/{spec['member']}/{fold}").items[fold] for fold in spec["folds"]}
    folds = read_folds(job, spec["group"])["folds"] if spec["labelled"] else {}
    stacks = job.items(f"stacks/{spec['scale']['name']}", spec["scenes"])
    # a pixel model's result does not depend on how it is computed
    prediction = spec["prediction"] if is_network(spec["model"]) else {}
    recipe = {"sensors": spec["sensors"], "reference": spec["reference"], "prediction": prediction}
    for scene, stack in stacks.items():
        chosen = checkpoints_of(scene, spec["labelled"], folds, spec["folds"], spec["predict_with"])
        inputs = {"models": [models[fold].digest for fold in chosen], "stack": sensor_parts(stack, spec)}
        key = job.key({"reference": reference_place(spec), "prediction": prediction}, inputs)
        yield Wanted(scene, key, recipe, inputs, (stack, {fold: models[fold] for fold in chosen}))


def _predict(job: Job, missing: Sequence[Wanted]) -> dict[str, Item]:
    """Predict scenes, loading each checkpoint once."""
    spec = job.spec
    models = {fold: item for want in missing for fold, item in want.work[1].items()}
    found: dict[str, Item] = {}
    with ExitStack() as held:
        paths = {fold: job.store.open_path(models[fold]) for fold in sorted(models)}
        predictor, hardware = _predictor(job, held, paths)

        def make(want: Wanted, work: Writing) -> None:
            stack, chosen = job.store.open_path(want.work[0]), list(want.work[1])

            def say(text: str) -> None:
                job.log(f"predict: {spec['member']}: {want.name}: {text}")

            with read_stack(stack, spec["sensors"], spec["reference"]) as reader:
                started = time.monotonic()
                blocks = predictor(reader, chosen, say)
                work.digest = write_plane(work.path, "probability", reader.shape, inference.encoded(blocks, reader))
                seconds, megapixels = time.monotonic() - started, reader.shape[0] * reader.shape[1] / 1e6
                work.cost.update(megapixels=round(megapixels, 3), prediction=round(seconds, 3))
                if hardware:
                    work.cost["network"] = _speed(spec, hardware, seconds, reader, len(chosen))

        for done, want in enumerate(missing, 1):
            found[want.name] = job.made(want, ".zarr.zip", make)
            job.progress(done, len(missing), f"{spec['member']}: {want.name}")
    return found


def _speed(
    spec: Mapping[str, Any], hardware: str, seconds: float, reader: StackReader, checkpoints: int
) -> dict[str, Any]:
    """What a scene says of the speed of the device."""
    prediction, channels = spec["prediction"], len(reader.planes)
    passes = checkpoints * forward_passes(prediction, *reader.shape)
    window, precision = int(prediction["window"]), prediction["precision"]
    return asdict(speed_of("prediction", hardware, precision, seconds, spec["model"], channels, window, passes))


def _predictor(job: Job, held: ExitStack, paths: Mapping[str, Path]) -> tuple[inference.Predictor, str | None]:
    """The function that predicts a scene, with the checkpoints loaded, and the network's hardware.

    `stack` holds the device.
    """
    spec = job.spec
    checkpoints = {fold: load_checkpoint(path)[0] for fold, path in paths.items()}
    prediction = PredictionConfig.model_validate(spec["prediction"])
    if not is_network(spec["model"]):
        threads = prediction.threads
        return lambda reader, chosen, _: inference.pixel_rows(reader, [checkpoints[f] for f in chosen], threads), None
    keep_memory()
    device = held.enter_context(pick_device())
    held.enter_context(computing(prediction.threads))
    networks = {fold: inference.load_network(spec["model"], arrays, device) for fold, arrays in checkpoints.items()}

    def predict(reader: StackReader, chosen: Sequence[str], say: Callable[[str], None]) -> Iterator[Floats]:
        forward = inference.mean_forward([networks[fold] for fold in chosen], prediction, device)
        # checkpoints of one member share their statistics: one normalised window serves all of them
        normalisation = inference.normalisation_of(checkpoints[chosen[0]], reader)
        return inference.network_rows(reader, normalisation, forward, prediction, say)

    return predict, hardware_name(device, prediction.threads)
