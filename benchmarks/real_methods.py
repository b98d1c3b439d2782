"""How benchmarks/real.py learns: rasterloom's training with its settings, and segmentation_models.pytorch's usual one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from real_data import Scene

from rasterloom.config.model import TrainingConfig
from rasterloom.learning.augment import Normalisation, TrainingScene
from rasterloom.learning.prefetch import prefetched
from rasterloom.learning.training import Trainer, learning_rate, make_batch

UNET = {"kind": "unet", "width": 64, "depth": 6, "convs_per_block": 3}
SMALLER = {"kind": "unet", "width": 32, "depth": 5, "convs_per_block": 2}
SD_FLOOR = 0.25
"""A scene's deviation counts as at least this share of the data set's."""


@dataclass(frozen=True)
class Method:
    """What a method does otherwise than the default.

    Attributes
    ----------
    model : a table of `models`; {"kind": "smp"} for the other side.
    training : keys of `defaults.training`.
    normalise_by : ``scene`` or ``dataset``.
    hard : labels without fractions, pixels whose centre is covered.
    """

    model: Mapping[str, Any] = field(default_factory=lambda: UNET)
    training: Mapping[str, Any] = field(default_factory=dict)
    normalise_by: str = "scene"
    hard: bool = False

    def normalisation(self, scene: Scene, scenes: Sequence[Scene]) -> Normalisation:
        """Of a scene, by its own statistics or by those of the training scenes."""
        pooled_mean, pooled_sd = pooled(scenes)
        mean, sd = (pooled_mean, pooled_sd) if self.normalise_by == "dataset" else scene.moments
        return Normalisation(mean, np.maximum(sd, SD_FLOOR * pooled_sd), np.zeros(len(mean), np.intp))

    def steps(self, scenes: Sequence[Scene], steps: int, seed: int) -> Iterator[Any]:
        """Train; gives the network after each step."""
        yield from (_smp if self.model["kind"] == "smp" else _rasterloom)(self, scenes, steps, seed)


def pooled(scenes: Sequence[Scene]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and deviation of each channel over the valid pixels of scenes, (C,) each."""
    weights = np.array([s.valid.sum() for s in scenes], dtype=np.float64)
    means, sds = (np.array([s.moments[i] for s in scenes], dtype=np.float64) for i in (0, 1))
    mean = weights @ means / weights.sum()
    squares = weights @ (sds**2 + (means - mean) ** 2) / weights.sum()
    return mean.astype(np.float32), np.sqrt(squares).astype(np.float32)


def _read(method: Method, scene: Scene, scenes: Sequence[Scene], y0: int, y1: int, x0: int, x1: int) -> Any:
    data, valid = scene.data[:, y0:y1, x0:x1], scene.valid[:, y0:y1, x0:x1]
    coverage = scene.coverage[y0:y1, x0:x1]
    if method.hard:
        coverage = np.where(coverage >= 128, 255, 0).astype(np.uint8)
    return method.normalisation(scene, scenes).apply(data, valid), valid, coverage


def _rasterloom(method: Method, scenes: Sequence[Scene], steps: int, seed: int) -> Iterator[Any]:
    settings = {"learning_rate": 1e-3, **method.training}
    recipe = TrainingConfig.model_validate({**settings, "steps": steps, "seed": seed})
    channels = len(scenes[0].data)
    trainer = Trainer(recipe, method.model, channels, "cpu")
    unit = Normalisation(np.zeros(channels, np.float32), np.ones(channels, np.float32), np.zeros(channels, np.intp))
    opened = [TrainingScene(s.name, s.index, partial(_read, method, s, scenes)) for s in scenes]
    batches = prefetched(lambda step: trainer.tensors(make_batch(opened, recipe, unit, step)), range(steps))
    for batch in batches:
        trainer.advance(*batch)
        yield trainer.network


def _smp(method: Method, scenes: Sequence[Scene], steps: int, seed: int) -> Iterator[Any]:
    """Crops of 256 from anywhere, flips, binary cross-entropy and dice, AdamW with the same schedule."""
    import segmentation_models_pytorch as smp

    torch.manual_seed(seed)
    channels = len(scenes[0].data)
    network = smp.Unet("resnet34", encoder_weights=None, in_channels=channels, classes=1)
    network = network.to(memory_format=torch.channels_last).train()
    peak = method.training.get("learning_rate", 1e-3)
    optimiser = torch.optim.AdamW(network.parameters(), lr=peak, weight_decay=1e-4)
    dice, cross = smp.losses.DiceLoss("binary"), smp.losses.SoftBCEWithLogitsLoss()
    crops = partial(_crops, method, scenes, seed)
    for step, (images, target) in enumerate(prefetched(crops, range(steps))):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(step, steps, peak)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = network(images.contiguous(memory_format=torch.channels_last))
        loss = cross(logits.float(), target) + dice(logits.float(), target)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        yield network


def _crops(method: Method, scenes: Sequence[Scene], seed: int, step: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A batch of four crops and their hard labels, (4, C, 256, 256) and (4, 1, 256, 256)."""
    rng = np.random.default_rng((seed, step))
    images, labels = [], []
    sizes = np.array([s.coverage.size for s in scenes], dtype=np.float64)
    for _ in range(4):
        scene = scenes[int(rng.choice(len(scenes), p=sizes / sizes.sum()))]
        height, width = scene.coverage.shape
        y, x = (int(rng.integers(0, max(1, length - 256 + 1))) for length in (height, width))
        image, _, label = _read(replace(method, hard=True), scene, scenes, y, y + 256, x, x + 256)
        flips = [axis for axis in (-1, -2) if rng.random() < 0.5]
        images.append(np.flip(image, flips))
        labels.append(np.flip(label, flips)[None] / np.float32(255))
    return torch.from_numpy(np.stack(images)), torch.from_numpy(np.stack(labels).astype(np.float32))


def _training(**settings: Any) -> Method:
    return Method(training=settings)


METHODS: Mapping[str, Method] = {
    "rasterloom": Method(),
    "smp": Method(model={"kind": "smp"}, normalise_by="dataset"),
    "smp-scene": Method(model={"kind": "smp"}, normalise_by="scene"),
    "by-dataset": Method(normalise_by="dataset"),
    "unet32": Method(model=SMALLER),
    "hard": Method(hard=True),
    "anywhere": _training(positive_fraction=0.0),
    "no-rotation": _training(augment={"rotation": False}),
    "no-colour": _training(augment={"colour": 0.0}),
    "colour-0.3": _training(augment={"colour": 0.3}),
}
