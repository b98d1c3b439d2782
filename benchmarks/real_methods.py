"""How benchmarks/real.py learns: rasterloom's training, and the usual one of segmentation_models.pytorch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from real_data import Scene

from rasterloom.config.model import TrainingConfig
from rasterloom.learning.augment import Normalisation, TrainingScene
from rasterloom.learning.batches import make_batch
from rasterloom.learning.normalisation import Statistics, scene_normalisation
from rasterloom.learning.prefetch import prefetched
from rasterloom.learning.training import Trainer, learning_rate

UNET32 = {"kind": "unet", "width": 32, "depth": 5, "convs_per_block": 2}
"""The network of presets/rio.yaml."""
UNET64 = {"kind": "unet", "width": 64, "depth": 6, "convs_per_block": 3}
"""The network of config.yaml."""


@dataclass(frozen=True)
class Method:
    """What a method does otherwise than the default.

    Attributes
    ----------
    model : a table of `models`; {"kind": "smp"} for the other side.
    training : keys of `defaults.training`.
    normalise_by : ``scene`` or ``dataset``.
    hard : labels without fractions, pixels whose centre is covered.
    first_bias : logit that the head begins with.
    rate : learning rate of a step, given the step, all steps and the peak.
    blind : whether scenes are predicted without their last channel (near infrared, of the trees).
    """

    model: Mapping[str, Any] = field(default_factory=lambda: UNET32)
    training: Mapping[str, Any] = field(default_factory=dict)
    normalise_by: str = "scene"
    hard: bool = False
    first_bias: float | None = None
    rate: Callable[[int, int, float], float] = learning_rate
    blind: bool = False

    def begin(self, network: Any) -> None:
        """Give the head its first bias."""
        if self.first_bias is not None:
            network.head.bias.data.fill_(self.first_bias)

    def normalisation(self, scene: Scene, scenes: Sequence[Scene]) -> Normalisation:
        """Of a scene: that of the training scenes, or its own beside theirs."""
        kept = common(scenes, within=self.normalise_by == "scene")
        if self.normalise_by == "dataset":
            return kept
        mean, sd = (values.astype(np.float64) for values in scene.moments)
        return scene_normalisation(kept, Statistics(mean, sd, np.full(len(mean), scene.valid.sum(), np.float64)))

    def steps(self, scenes: Sequence[Scene], steps: int, seed: int) -> Iterator[Any]:
        """Train; gives the network after each step."""
        yield from (_smp if self.model["kind"] == "smp" else _rasterloom)(self, scenes, steps, seed)


def common(scenes: Sequence[Scene], within: bool) -> Normalisation:
    """Mean and deviation of each channel over the valid pixels of scenes, or the deviation within them alone."""
    weights = np.array([s.valid.sum() for s in scenes], dtype=np.float64)
    means, sds = (np.array([s.moments[i] for s in scenes], dtype=np.float64) for i in (0, 1))
    mean = weights @ means / weights.sum()
    variance = weights @ (sds**2 + (0.0 if within else (means - mean) ** 2)) / weights.sum()
    return Normalisation(mean.astype(np.float32), np.sqrt(variance).astype(np.float32), np.zeros(len(mean), np.intp))


def _read(scene: Scene, hard: bool, y0: int, y1: int, x0: int, x1: int) -> Any:
    data, valid, coverage = scene.data[:, y0:y1, x0:x1], scene.valid[:, y0:y1, x0:x1], scene.coverage[y0:y1, x0:x1]
    return data, valid, np.where(coverage >= 128, 255, 0).astype(np.uint8) if hard else coverage


def _rasterloom(method: Method, scenes: Sequence[Scene], steps: int, seed: int) -> Iterator[Any]:
    recipe = TrainingConfig.model_validate({**method.training, "steps": steps, "seed": seed})
    trainer = Trainer(recipe, method.model, len(scenes[0].data), "cpu", start=method.begin)
    trainer.rate_of = partial(method.rate, steps=steps, peak=recipe.learning_rate)
    opened = [
        TrainingScene(s.name, s.index, partial(_read, s, method.hard), method.normalisation(s, scenes)) for s in scenes
    ]
    for batch in prefetched(lambda step: trainer.tensors(make_batch(opened, recipe, step)), range(steps)):
        trainer.advance(*batch)
        yield trainer.watched


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
        data, valid, label = _read(scene, True, y, y + 256, x, x + 256)
        image = method.normalisation(scene, scenes).apply(data, valid)
        flips = [axis for axis in (-1, -2) if rng.random() < 0.5]
        images.append(np.flip(image, flips))
        labels.append(np.flip(label, flips)[None] / np.float32(255))
    return torch.from_numpy(np.stack(images)), torch.from_numpy(np.stack(labels).astype(np.float32))


def constant_rate(step: int, steps: int, peak: float) -> float:
    """The peak of the one-cycle schedule at every step."""
    return peak


def _training(**settings: Any) -> Method:
    return Method(training=settings)


METHODS: Mapping[str, Method] = {
    "rasterloom": Method(),
    "smp": Method(model={"kind": "smp"}, normalise_by="dataset"),
    "by-dataset": Method(normalise_by="dataset"),
    "unet64": Method(model=UNET64),
    "doubling": Method(model={**UNET32, "width": 16, "widths": "doubling"}),
    "group-norm": Method(model={**UNET32, "norm": "group"}),
    "hard-labels": Method(hard=True),
    "first-bias": Method(first_bias=-2.0),
    "cross-entropy": _training(soft_jaccard=0.0),
    "soft-jaccard-0.8": _training(soft_jaccard=0.8),
    "positive-0": _training(positive_fraction=0.0),
    "no-rotation": _training(augment={"rotation": False}),
    "no-colour": _training(augment={"colour": 0.0}),
    "colour-0.3": _training(augment={"colour": 0.3}),
    "contrast": _training(augment={"contrast": 0.2}),
    "zoom": _training(augment={"zoom": 0.5}),
    "ema": _training(keep="ema"),
    "clip": _training(gradient_clip=1.0),
    "rate-3e-3": _training(learning_rate=3e-3),
    "constant-rate": Method(rate=constant_rate),
    "blind": Method(blind=True),
    "channel-dropout": _training(augment={"channel_dropout": 0.1}),
    "channel-dropout-blind": Method(training={"augment": {"channel_dropout": 0.1}}, blind=True),
}
"""What is compared. `rasterloom` is the default, and the others differ from it by what their name says."""
