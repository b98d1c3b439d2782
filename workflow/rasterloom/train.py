"""Stage `train`: one checkpoint of one member, from stacks, masks, statistics and folds.

A checkpoint is one safetensors file: weights, normalisation, learning curve, and the recipe as metadata.
Training state lies beside it while the training runs, is resumed by the next run of the same key, and then
removed.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from rasterloom.augment import Bytes, Normalisation, TrainingScene, Window
from rasterloom.chunks import ChunkedArray, open_chunks
from rasterloom.errors import StoreError
from rasterloom.files import TEMPORARY, atomic_path
from rasterloom.job import Job, Wanted, scene_manifests
from rasterloom.member import Arrays, StackReader, reference_place, save_checkpoint, sensor_parts
from rasterloom.sampling import index_scene
from rasterloom.store import Item, Writing
from rasterloom.training import (
    Progress,
    Trained,
    Trainer,
    TrainingRecipe,
    learning_curve,
    make_batch,
    require_positive,
    train,
)

VERSION = 2

CACHE_BYTES = 1_500_000_000
"""Decoded scenes that are kept in memory while a model trains; the others are read window by window."""
GPU_WORKERS = 8
"""Most threads that prepare batches for a GPU; on cores one suffices. Changes no result."""
STATE = "state.safetensors"


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
    if spec["model"]["kind"] == "forest":  # the same trees on any number of threads
        training.pop("threads", None)
    key = job.key(
        {"model": spec["model"], "reference": reference_place(spec), "training": training},
        {
            "stacks": [sensor_parts(item, spec) for item in data.stacks.values()],
            "masks": [item.digest for item in data.masks.values()],
            "statistics": [item.digest for item in data.statistics.values()],
        },
    )
    recipe = {name: spec[name] for name in ("model", "sensors", "reference", "training")}
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
        folder = held.enter_context(claimed_state(state)) if spec["model"]["kind"] == "unet" else None

        def make(want: Wanted, work: Writing) -> None:
            opened = open_training_scenes(job, data.stacks, data.masks)
            require_positive(opened, spec["target"], spec["scale"]["name"])
            normalisation = _normalisation(job, data.statistics, data.stacks)
            tensors = _compute(job, work, folder, opened, normalisation)
            work.digest = save_checkpoint(work.path, tensors, want.recipe)

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
        from rasterloom.pixelmodels import PixelRecipe, fit, sample_pixels

        pixels = PixelRecipe.of(spec["model"], spec["training"])
        features, target = sample_pixels(scenes, pixels, normalisation)
        job.log(f"train: {spec['member']}: {len(target)} pixels of {len(scenes)} scenes")
        tensors = {**fit(features, target, pixels), **constants}
        work.cost.update(device="cpu", samples=len(target))
    return tensors


def _train_network(
    job: Job, state: Path, scenes: Sequence[TrainingScene], normalisation: Normalisation
) -> tuple[Trained, str, dict[str, Any]]:
    """Train a network, going on from the state of an interrupted run; with the device, and the speed of this run."""
    from rasterloom.device import computing, hardware_name, keep_memory, pick_device
    from rasterloom.rates import speed_of

    keep_memory()
    model, channels = job.spec["model"], len(normalisation.mean)
    recipe = TrainingRecipe.of(job.spec["training"])

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


# Training state ---------------------------------------------------------------------------------------------


@contextmanager
def claimed_state(folder: Path) -> Iterator[Path]:
    """A folder for the state of a training that no other process writes to.

    Parameters
    ----------
    folder : where states lie; made if it is not there.

    Yields
    ------
    A folder in it that holds the state of an interrupted training, if there is one. When the block ends well
    it is removed, and `folder` too if that leaves it empty; after an error or a kill it stays for the next
    run, if a state was written.

    Notes
    -----
    A claim is a lock, which the death of its process frees, and a rename, which only one of two processes can
    do.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found = [claim for old in sorted(folder.glob("state-*")) if (claim := _claim(old)) is not None]
    claims = found or [_new_state(folder)]
    claims.sort(key=lambda claim: _age(claim[0]))
    ended = False
    try:
        yield claims[0][0]
        ended = True
    finally:
        for path, lock in claims:
            lock.close()
            if ended or not (path / STATE).exists():
                shutil.rmtree(path, ignore_errors=True)
        with suppress(OSError):  # others may have claimed a state there
            folder.rmdir()


def _state_name() -> str:
    return f"state-{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"


def _age(state: Path) -> float:
    """Sorts the latest state first."""
    file = state / STATE
    return -file.stat().st_mtime if file.exists() else 0.0


def _claim(old: Path) -> tuple[Path, IO[bytes]] | None:
    """Take over a state that no living process holds, or None."""
    new = old.parent / _state_name()
    try:
        lock = (old / "lock").open("r+b")
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        old.rename(new)
    except (BlockingIOError, FileNotFoundError):
        lock.close()
        return None
    return new, lock


def _new_state(folder: Path) -> tuple[Path, IO[bytes]]:
    path = folder / _state_name()
    unborn = folder / f"{TEMPORARY}{path.name}"  # nobody claims it before it is locked
    unborn.mkdir(parents=True)  # whoever ended last may have removed the folder
    lock = (unborn / "lock").open("w+b")
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    unborn.rename(path)
    return path, lock


def write_state(path: Path, arrays: Arrays) -> None:
    """Write the state of a training atomically."""
    from safetensors.numpy import save_file

    with atomic_path(path) as temporary:
        save_file(arrays, temporary)


def read_state(path: Path) -> Arrays | None:
    """The state of an interrupted training, or None if there is none that can be read."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    if not path.is_file():
        return None
    try:
        return dict(load_file(path))
    except SafetensorError:
        return None


# Data -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Source:
    """A labelled scene on disk, or decoded in memory."""

    stack: StackReader
    coverage: ChunkedArray
    files: ExitStack
    cached: Window | None

    def window(self, y0: int, y1: int, x0: int, x1: int) -> Window:
        if self.cached is not None:
            data, valid, coverage = self.cached
            return data[:, y0:y1, x0:x1], valid[:, y0:y1, x0:x1], coverage[y0:y1, x0:x1]
        data, valid = self.stack.window(y0, y1, x0, x1)
        return data, valid, self.coverage[y0:y1, x0:x1]

    def labels(self, y0: int, y1: int) -> tuple[Bytes, Bytes]:
        if self.cached is not None:
            return self.cached[2][y0:y1], self.cached[1][0, y0:y1]
        return self.coverage[y0:y1], self.stack.reference(y0, y1)


def open_training_scenes(
    job: Job, stacks: Mapping[str, Item], masks: Mapping[str, Item], cache: int = CACHE_BYTES
) -> list[TrainingScene]:
    """Open labelled scenes and find their positive pixels.

    Parameters
    ----------
    job : names sensors and reference, and opens items.
    stacks, masks : items of each scene.
    cache : bytes of decoded scenes kept in memory; scenes beyond it are read window by window.

    Notes
    -----
    Memory: `cache`, and a quarter of a byte a pixel of every scene.
    """
    scenes: list[TrainingScene] = []
    for name, item in stacks.items():
        reader = StackReader(job.store.open_path(item), job.spec["sensors"], job.spec["reference"])
        files = ExitStack()
        arrays, _ = files.enter_context(open_chunks(job.store.open_path(masks[name])))
        coverage = arrays["coverage"]
        if coverage.shape != reader.shape:
            raise StoreError(
                f"scene {name}: the mask of {job.spec['target']} has shape {coverage.shape}, the stack "
                f"{reader.shape}: they belong to different runs; run the workflow again"
            )
        source = _Source(reader, coverage, files, None)
        pixels = reader.shape[0] * reader.shape[1]
        cost = pixels * (reader.bytes_per_pixel + 1)
        if cost <= cache:
            cache -= cost
            source = _Source(reader, coverage, files, source.window(0, reader.shape[0], 0, reader.shape[1]))
        scenes.append(TrainingScene(name, index_scene(source.labels, reader.shape[0]), source.window))
    return scenes
