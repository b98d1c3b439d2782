"""Stage `predict`: the probability of one member in every scene of a batch.

Out-of-fold where a scene was held out, the mean over the folds' checkpoints elsewhere. torch is imported only
if a scene is missing from the store.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rasterloom.augment import Normalisation
from rasterloom.digest import BLOCK_ROWS
from rasterloom.errors import StoreError
from rasterloom.job import Job, Wanted, scene_manifests
from rasterloom.mask import write_plane
from rasterloom.member import Arrays, StackReader, load_checkpoint, prefetched, reference_place, sensor_parts
from rasterloom.store import Item, Writing
from rasterloom.windows import (
    Bytes,
    Floats,
    Forward,
    WindowBatch,
    in_blocks,
    quantised,
    sliding_rows,
    symmetries,
    window_batches,
)

if TYPE_CHECKING:
    from rasterloom.device import Device

VERSION = 2


def inputs(spec: dict[str, Any]) -> list[str]:
    """Manifests that a prediction reads, relative to the results folder."""
    return [
        *scene_manifests(f"stacks/{spec['scale']['name']}", spec["scenes"]),
        *[f"models/{spec['member']}/{fold}.json" for fold in spec["folds"]],
        *([f"folds/{spec['group']}.json"] if spec["labelled"] else []),
    ]


def run(job: Job) -> None:
    """Predict the scenes of a batch that the store does not hold yet."""
    found: dict[str, Item] = {}
    missing: list[Wanted] = []
    for want in wanted(job):
        item = job.store.find(job.stage, want.key)
        if item is None:
            missing.append(want)
        else:
            found[want.name] = item
    if missing:
        found.update(_predict(job, missing))
    job.finish({scene: found[scene] for scene in job.spec["scenes"]})


@dataclass(frozen=True)
class _Given:
    """What a prediction is made from: the scene's stack, and the checkpoints by fold."""

    stack: Item
    models: dict[str, Item]


def wanted(job: Job) -> Iterator[Wanted]:
    """The prediction of each scene of the batch."""
    spec = job.spec
    models = {fold: job.manifest(f"models/{spec['member']}/{fold}").items[fold] for fold in spec["folds"]}
    folds = _folds(job) if spec["labelled"] else {}
    stacks = job.items(f"stacks/{spec['scale']['name']}", spec["scenes"])
    # a pixel model's result does not depend on how it is computed
    prediction = spec["prediction"] if spec["model"]["kind"] == "unet" else {}
    recipe = {"sensors": spec["sensors"], "reference": spec["reference"], "prediction": prediction}
    for scene, stack in stacks.items():
        chosen = checkpoints_of(scene, spec["labelled"], folds, spec["folds"], spec["final"])
        inputs = {"models": [models[fold].digest for fold in chosen], "stack": sensor_parts(stack, spec)}
        key = job.key({"reference": reference_place(spec), "prediction": prediction}, inputs)
        yield Wanted(scene, key, recipe, inputs, _Given(stack, {fold: models[fold] for fold in chosen}))


def _folds(job: Job) -> dict[str, dict[str, list[str]]]:
    item = job.manifest(f"folds/{job.spec['group']}").items[job.spec["group"]]
    folds: dict[str, dict[str, list[str]]] = json.loads(job.store.open_path(item).read_text(encoding="utf-8"))["folds"]
    return folds


def checkpoints_of(
    scene: str,
    labelled: Sequence[str],
    folds: Mapping[str, Mapping[str, Sequence[str]]],
    names: Sequence[str],
    final: str,
) -> list[str]:
    """Which checkpoints predict a scene.

    Parameters
    ----------
    scene : its id.
    labelled : scenes that were labelled for the member's group.
    folds : per fold the lists ``train`` and ``validation`` of scene ids.
    names : checkpoints that exist; ``all`` is the one trained on everything.
    final : ``holdout`` or ``refit_all``.

    Returns
    -------
    list of names, not empty. A scene in validation sets gets those folds' checkpoints, which have not seen
    it; one that only trained gets all folds' (an in-sample prediction); any other scene gets ``all`` if
    `final` is ``refit_all``, else all folds'.
    """
    trained = [name for name in names if name != "all"]
    if scene in labelled:
        return [name for name in trained if scene in folds[name]["validation"]] or trained
    return ["all"] if final == "refit_all" else trained


def _predict(job: Job, missing: Sequence[Wanted]) -> dict[str, Item]:
    """Predict scenes, loading each checkpoint once."""
    spec = job.spec
    models = {fold: item for want in missing for fold, item in want.work.models.items()}
    found: dict[str, Item] = {}
    with ExitStack() as stack:
        paths = {fold: job.store.open_path(models[fold]) for fold in sorted(models)}
        predictor, hardware = _predictor(job, stack, paths)

        def make(want: Wanted, work: Writing) -> None:
            path, chosen = job.store.open_path(want.work.stack), list(want.work.models)
            with StackReader(path, spec["sensors"], spec["reference"]) as reader:
                started = time.monotonic()
                blocks = predictor(reader, chosen, partial(_say, job, want.name))
                work.digest = write_plane(work.path, "probability", reader.shape, encoded(blocks, reader))
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
    from rasterloom.estimate import forward_passes
    from rasterloom.rates import speed_of

    prediction = spec["prediction"]
    passes = checkpoints * forward_passes(prediction, *reader.shape)
    window, precision = int(prediction["window"]), prediction["precision"]
    channels = len(reader.planes)
    return asdict(speed_of("prediction", hardware, precision, seconds, spec["model"], channels, window, passes))


def _say(job: Job, scene: str, text: str) -> None:
    job.log(f"predict: {job.spec['member']}: {scene}: {text}")


Predictor = Callable[[StackReader, Sequence[str], Callable[[str], None]], Iterator[Floats]]
"""Blocks of rows of the mean probability of some checkpoints in a scene."""


def _predictor(job: Job, stack: ExitStack, paths: Mapping[str, Path]) -> tuple[Predictor, str | None]:
    """The function that predicts a scene, with the checkpoints loaded, and the network's hardware.

    `stack` holds the device.
    """
    spec = job.spec
    checkpoints = {fold: load_checkpoint(path)[0] for fold, path in paths.items()}
    if spec["model"]["kind"] != "unet":
        threads = int(spec["prediction"].get("threads", 1))
        return lambda reader, chosen, _: pixel_rows(reader, [checkpoints[f] for f in chosen], threads), None
    from rasterloom.device import computing, hardware_name, keep_memory, pick_device

    keep_memory()
    device = stack.enter_context(pick_device())
    stack.enter_context(computing(int(spec["prediction"]["threads"])))
    networks = {fold: load_network(spec["model"], arrays, device) for fold, arrays in checkpoints.items()}

    def predict(reader: StackReader, chosen: Sequence[str], say: Callable[[str], None]) -> Iterator[Floats]:
        forward = mean_forward([networks[fold] for fold in chosen], spec["prediction"], device)
        # checkpoints of one member share their statistics: one normalised window serves all of them
        normalisation = normalisation_of(checkpoints[chosen[0]], reader)
        return network_rows(reader, normalisation, forward, spec["prediction"], say)

    return predict, hardware_name(device.name, int(spec["prediction"]["threads"]))


def normalisation_of(checkpoint: Arrays, reader: StackReader) -> Normalisation:
    """The normalisation that a checkpoint was trained with.

    Raises
    ------
    StoreError
        If it has another number of channels than the stack.
    """
    mean, sd = checkpoint["normalisation.mean"], checkpoint["normalisation.sd"]
    if len(mean) != len(reader.planes):
        raise StoreError(
            f"the checkpoint has {len(mean)} channels but the stack gives {len(reader.planes)}: they belong to "
            "different configurations; run the workflow again"
        )
    return Normalisation(mean, sd, reader.planes)


def load_network(model: Mapping[str, Any], checkpoint: Arrays, device: Device) -> Any:
    """The network of a checkpoint, ready to predict on a device."""
    import torch

    from rasterloom.unet import build

    network = build(model, len(checkpoint["normalisation.mean"]))
    weights = {k.removeprefix("network."): v for k, v in checkpoint.items() if k.startswith("network.")}
    network.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in weights.items()})
    return network.to(device.name, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]


def mean_forward(networks: Sequence[Any], prediction: Mapping[str, Any], device: Device) -> Forward:
    """Probabilities averaged over networks and symmetries.

    Parameters
    ----------
    networks : of the same channels.
    prediction : ``symmetries`` and ``precision``.
    device : where they compute.

    Returns
    -------
    function from (N, C, w, w) float32 to (N, w, w) float32, 0..1. Sums are float32; one forward pass is made
    for each network and symmetry, with the whole batch.
    """
    import torch

    turns = symmetries(bool(prediction.get("symmetries", True)))
    precise = prediction.get("precision", "bfloat16") == "float32"
    kind = "cuda" if device.is_cuda else "cpu"

    def forward(images: Floats) -> Floats:
        batch = torch.from_numpy(images).to(device.name)
        total = torch.zeros((len(images), *images.shape[2:]), device=device.name)
        with torch.inference_mode(), torch.autocast(kind, dtype=torch.bfloat16, enabled=not precise):
            for turn, mirror in turns:
                turned = torch.rot90(batch.flip(3) if mirror else batch, turn, (2, 3))
                turned = turned.contiguous(memory_format=torch.channels_last)
                for network in networks:
                    answer = torch.rot90(torch.sigmoid(network(turned)[:, 0].float()), -turn, (1, 2))
                    total += answer.flip(2) if mirror else answer
        return np.asarray((total / (len(turns) * len(networks))).cpu().numpy(), dtype=np.float32)

    return forward


def network_rows(
    reader: StackReader,
    normalisation: Normalisation,
    forward: Forward,
    prediction: Mapping[str, Any],
    say: Callable[[str], None],
) -> Iterator[Floats]:
    """Blocks of rows of a network's probability in a scene; windows are prepared by a thread meanwhile."""
    window, stride = int(prediction["window"]), int(prediction["stride"])
    shape = reader.shape
    batches = window_batches(reader.rows, normalisation.apply, shape, window, stride, int(prediction.get("batch", 4)))
    last = time.monotonic()

    def ahead() -> Iterator[WindowBatch]:
        nonlocal last
        for batch in prefetched(lambda _: next(batches, None), _endless()):
            if batch is None:
                return
            if batch.ends_band and time.monotonic() - last > 10.0:
                last = time.monotonic()
                say(f"{min(shape[0], batch.top + window)} of {shape[0]} rows")
            yield batch

    return sliding_rows(ahead(), forward, shape, window, stride)


def _endless() -> range:
    return range(2**62)


def pixel_rows(reader: StackReader, checkpoints: Sequence[Arrays], threads: int) -> Iterator[Floats]:
    """Blocks of 128 rows of a pixel model's probability in a scene, the mean over checkpoints."""
    from rasterloom.pixelmodels import SAMPLE_ROWS, predict_pixels

    height, width = reader.shape
    for top in range(0, height, SAMPLE_ROWS):
        data, valid = reader.rows(top, min(height, top + SAMPLE_ROWS))
        total = np.zeros(data.shape[1] * width, dtype=np.float32)
        for checkpoint in checkpoints:
            features = normalisation_of(checkpoint, reader).apply(data, valid)
            total += predict_pixels(checkpoint, features.reshape(len(features), -1), threads)
        mean: Floats = np.divide(total, np.float32(len(checkpoints)), dtype=np.float32)
        yield mean.reshape(-1, width)


def encoded(blocks: Iterator[Floats], reader: StackReader) -> Iterator[Bytes]:
    """Probability as bytes in blocks of 256 rows, 0 where the reference is invalid."""
    top = 0
    for block in in_blocks(blocks, BLOCK_ROWS):
        yield quantised(block, reader.reference(top, top + len(block)))
        top += len(block)
