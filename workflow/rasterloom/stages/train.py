"""Stage `train`: one checkpoint of one member, from stacks, masks, statistics and folds.

A checkpoint is one safetensors file: weights, normalisation, learning curve, and the recipe as metadata.
Training state lies beside it while the training runs, is resumed by the next run of the same key, and then
removed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rasterloom.config.model import STORED_AS, TrainingConfig, is_network
from rasterloom.errors import StoreError
from rasterloom.learning.augment import Normalisation, TrainingScene
from rasterloom.learning.checkpoint import Arrays, save_checkpoint
from rasterloom.learning.pixel_models import fit, sample_pixels, threads_matter
from rasterloom.learning.scenes import open_training_scenes
from rasterloom.learning.stack_reader import StackReader, reference_place, sensor_parts
from rasterloom.learning.state import STATE, claimed_state, read_state, write_state
from rasterloom.learning.training import (
    Progress,
    Trained,
    Trainer,
    learning_curve,
    make_batch,
    require_positive,
    train,
)
from rasterloom.store.job import Job, Wanted, scene_manifests
from rasterloom.store.store import Item, Writing

VERSION = 2

GPU_WORKERS = 8
"""Most threads that prepare batches for a GPU; on cores one suffices. Changes no result."""


def inputs(spec: dict[str, Any]) -> list[str]:
    """Manifests that a training reads, relative to the results folder."""
    scale, scenes = spec["scale"]["name"], spec["scenes"]
    folds = [] if spec["fold"] == "all" else [f"folds/{spec['group']}.json"]
    return [
        *scene_manifests(f"stacks/{scale}", scenes),
        *scene_manifests(f"masks/{scale}/{spec['target']}", scenes),
        "statistics/statistics.json",
        *folds,
    ]


def run(job: Job) -> None:
    """Train the checkpoint of a member and a fold, or find it in the store."""
    items: dict[str, Item] = {}
    for want in wanted(job):
        state = job.store.root / job.stage / want.key
        item = job.store.find(job.stage, want.key)
        if item is None:
            item = _trained(job, want, state)
        elif state.is_dir():  # the run that made the checkpoint was killed before it had tidied up
            with claimed_state(state):
                pass
        items[want.name] = item
    job.finish(items)


def wanted(job: Job) -> Iterator[Wanted]:
    """The checkpoint of the job's member and fold; its key holds no name of a scene, a sensor or a member."""
    spec, data = job.spec, _training_data(job)
    training = dict(spec["training"])
    if not threads_matter(spec["model"]):
        training.pop("threads", None)
    model = {STORED_AS.get(name, name): value for name, value in spec["model"].items()}
    key = job.key(
        {"model": model, "reference": reference_place(spec), "training": training},
        {
            "stacks": [sensor_parts(item, spec) for item in data.stacks.values()],
            "masks": [item.digest for item in data.masks.values()],
            "statistics": [item.digest for item in data.statistics.values()],
        },
    )
    recipe = {"model": model, **{name: spec[name] for name in ("sensors", "reference", "training")}}
    inputs = {
        "stacks": {scene: sensor_parts(item, spec) for scene, item in data.stacks.items()},
        "masks": {scene: item.digest for scene, item in data.masks.items()},
        "statistics": {name: item.digest for name, item in data.statistics.items()},
    }
    yield Wanted(spec["fold"], key, recipe, inputs, data)


@dataclass(frozen=True)
class _TrainingData:
    """Items that a training reads: by scene, in the order of their content, and by sensor, in channel order."""

    stacks: dict[str, Item]
    masks: dict[str, Item]
    statistics: dict[str, Item]


def _training_data(job: Job) -> _TrainingData:
    """The scenes of this checkpoint, in an order that their names do not change: patches are drawn in it."""
    spec, scale = job.spec, job.spec["scale"]["name"]
    scenes = _training_scenes(job)
    stacks = job.items(f"stacks/{scale}", scenes)
    masks = job.items(f"masks/{scale}/{spec['target']}", scenes)
    ordered = sorted(scenes, key=lambda scene: (sensor_parts(stacks[scene], spec), masks[scene].digest))
    statistics = job.manifest("statistics/statistics").items
    return _TrainingData(
        {scene: stacks[scene] for scene in ordered},
        {scene: masks[scene] for scene in ordered},
        {name: statistics[name] for name in spec["sensors"]},
    )


def _training_scenes(job: Job) -> list[str]:
    """Ids of the scenes that this checkpoint trains on."""
    import json

    spec = job.spec
    if spec["fold"] == "all":
        return list(spec["scenes"])
    item = job.manifest(f"folds/{spec['group']}").items[spec["group"]]
    folds: dict[str, dict[str, list[str]]] = json.loads(job.store.open_path(item).read_text(encoding="utf-8"))["folds"]
    return folds[spec["fold"]]["train"]


def _trained(job: Job, want: Wanted, state: Path) -> Item:
    """Train and commit a checkpoint; the state of its training goes only when the checkpoint is in the store."""
    spec, data = job.spec, want.work
    with ExitStack() as held:
        folder = held.enter_context(claimed_state(state)) if is_network(spec["model"]) else None

        def make(want: Wanted, work: Writing) -> None:
            opened = open_training_scenes(job, data.stacks, data.masks)
            require_positive(opened, spec["target"], spec["scale"]["name"])
            normalisation = _normalisation(job, data.statistics, data.stacks)
            tensors = _compute(job, work, folder, opened, normalisation)
            work.digest = save_checkpoint(work.path, tensors, {**want.recipe, "model": spec["model"]})

        return job.made(want, ".safetensors", make)


def _normalisation(job: Job, statistics: Mapping[str, Item], stacks: Mapping[str, Item]) -> Normalisation:
    import json

    tables = [json.loads(job.store.open_path(statistics[s]).read_text(encoding="utf-8")) for s in statistics]
    mean, sd = (np.array([n for t in tables for n in t[k]], dtype=np.float32) for k in ("mean", "sd"))
    first = next(iter(stacks.values()))
    with StackReader(job.store.open_path(first), job.spec["sensors"], job.spec["reference"]) as reader:
        planes = reader.planes
    if len(planes) != len(mean):
        raise StoreError(
            f"the statistics of {', '.join(statistics)} have {len(mean)} channels, the stacks {len(planes)}: they "
            "belong to different configurations; run the workflow again"
        )
    return Normalisation(mean, sd, planes)


def _compute(
    job: Job, work: Writing, state: Path | None, scenes: Sequence[TrainingScene], normalisation: Normalisation
) -> Arrays:
    """Tensors of the checkpoint; `state` is the claimed folder of a network's training."""
    spec = job.spec
    constants = {"normalisation.mean": normalisation.mean, "normalisation.sd": normalisation.sd}
    if state is not None:
        trained, device, speed = _train_network(job, state, scenes, normalisation)
        weights = {f"network.{name}": value for name, value in trained.weights.items()}
        tensors = {**weights, **constants, **learning_curve(trained.history)}
        work.cost.update(device=device, network_share=round(trained.busy, 3), network=speed)
    else:
        samples, seed = spec["model"]["samples"], spec["training"]["seed"]
        features, target = sample_pixels(scenes, samples, seed, normalisation)
        job.log(f"train: {spec['member']}: {len(target)} pixels of {len(scenes)} scenes")
        tensors = {**fit(features, target, spec["model"], spec["training"]), **constants}
        work.cost.update(device="cpu", samples=len(target))
    return tensors


def _train_network(
    job: Job, state: Path, scenes: Sequence[TrainingScene], normalisation: Normalisation
) -> tuple[Trained, str, dict[str, Any]]:
    """Train a network, going on from the state of an interrupted run; with the device, and the speed of this run."""
    from rasterloom.learning.cost import speed_of
    from rasterloom.learning.device import computing, hardware_name, keep_memory, pick_device

    keep_memory()
    model, channels = job.spec["model"], len(normalisation.mean)
    recipe = TrainingConfig.model_validate(job.spec["training"])

    def report(progress: Progress) -> None:
        job.progress(progress.step, progress.steps, f"{job.spec['member']} {job.spec['fold']}: {progress}")

    with pick_device() as device, computing(recipe.threads):
        trainer = Trainer(recipe, model, channels, device.name)
        saved = read_state(state / STATE)
        if saved is not None:
            trainer.restore(saved)
            job.log(f"train: {job.spec['member']} goes on at step {trainer.step} of {recipe.steps}")
        first, started = trainer.step, time.monotonic()
        trained = train(
            trainer,
            lambda step: make_batch(scenes, recipe, normalisation, step),
            save=lambda arrays: write_state(state / STATE, arrays),
            report=report,
            workers=min(GPU_WORKERS, max(1, (os.cpu_count() or 2) - 1)) if device.is_cuda else 1,
        )
        seconds, images = time.monotonic() - started, (trainer.step - first) * recipe.batch
        write_state(state / STATE, trainer.state())
        hardware = hardware_name(device.name, recipe.threads)
    speed = speed_of("training", hardware, recipe.precision, seconds, model, channels, recipe.patch, images)
    return trained, device.name, asdict(speed)
