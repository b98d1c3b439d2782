"""Training of a network: a plain loop over batches that a thread prepares meanwhile.

Nothing here imports torch before a network trains. Every batch is a function of its step and every weight of
the recipe, the data and the number of threads, so a resumed training ends with the weights of an
uninterrupted one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import cos, pi
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rasterloom.config.model import TrainingConfig
from rasterloom.learning.batches import Batch
from rasterloom.learning.checkpoint import Arrays
from rasterloom.learning.curves import jaccard
from rasterloom.learning.networks import build, initialise
from rasterloom.learning.prefetch import prefetched
from rasterloom.learning.windows import Floats

if TYPE_CHECKING:
    from torch import Tensor

WARM_UP = 0.2
"""Share of the steps in which the learning rate rises."""

START, END = 1 / 25, 1e-3
"""Learning rate of the first and the last step, as fractions of its peak."""

SAVE_SECONDS = 120.0
"""Seconds between two saves of the training state; changes no result."""

REPORT_STEPS = 20
"""Steps between two looks at the loss, which make a GPU wait; changes no result."""


def learning_rate(step: int, steps: int, peak: float) -> float:
    """One-cycle schedule: a cosine from peak/25 to `peak` in the first fifth, then one to peak/1000.

    Parameters
    ----------
    step : 0..steps-1.
    steps : all steps.
    peak : the largest rate.
    """
    warm = max(1.0, WARM_UP * steps)
    if step < warm:
        low, part = START, step / warm
        return peak * (low + (1 - low) * (1 - cos(pi * part)) / 2)
    part = (step - warm) / max(1.0, steps - 1 - warm)
    return peak * (END + (1 - END) * (1 + cos(pi * min(1.0, part))) / 2)


@dataclass(frozen=True)
class Progress:
    """How far a training is: `step` of `steps`, mean loss and IoU since the last report, speed."""

    step: int
    steps: int
    loss: float
    iou: float
    seconds_per_step: float
    busy: float

    def __str__(self) -> str:
        milliseconds = 1000 * self.seconds_per_step
        return f"loss {self.loss:.4f} IoU {self.iou:.3f} {milliseconds:.0f} ms/step network {self.busy:.0%}"


@dataclass(frozen=True)
class Trained:
    """A trained network.

    Attributes
    ----------
    weights : arrays of the network's state, by name.
    history : (steps, 4) float32: loss, and pixels of the batch that are true positive, false positive, false
        negative at one half.
    busy : share of the time in which the network did not wait for a batch.
    """

    weights: Arrays
    history: Floats
    busy: float


class Trainer:
    """A network, its optimiser and what it has seen.

    Parameters
    ----------
    recipe : how it trains.
    model : the network: a spec's table of a model.
    channels : input channels.
    device : torch's name of the device.
    first_bias : logit that the last layer begins with everywhere; None: as `initialise` leaves it.
    """

    def __init__(
        self,
        recipe: TrainingConfig,
        model: Mapping[str, Any],
        channels: int,
        device: str,
        first_bias: float | None = None,
    ) -> None:
        import torch

        self.recipe = recipe
        self.device = torch.device(device)
        self.network = build(model, channels)
        initialise(self.network, recipe.seed)
        if first_bias is not None:
            torch.nn.init.constant_(list(self.network.parameters())[-1], first_bias)
        self.network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network.train()
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(),
            lr=recipe.learning_rate,
            weight_decay=recipe.weight_decay,
            foreach=False,
        )
        self.history = torch.zeros((recipe.steps, 4), device=self.device)
        self.step = 0

    def tensors(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """The tensors of a batch; called in the thread that prepares it."""
        import torch

        tensors = (torch.from_numpy(a) for a in (batch.images, batch.target, batch.weight))
        images, target, weight = (t.pin_memory() if self.device.type == "cuda" else t for t in tensors)
        return images, target, weight

    def advance(self, images: Tensor, target: Tensor, weight: Tensor) -> None:
        """One optimiser step."""
        import torch

        from rasterloom.learning.loss import counts, loss_of

        images = images.to(self.device, non_blocking=True).contiguous(memory_format=torch.channels_last)
        target, weight = (t.to(self.device, non_blocking=True) for t in (target, weight))
        rate = learning_rate(self.step, self.recipe.steps, self.recipe.learning_rate)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.recipe.precision == "bfloat16"):
            logits = self.network(images)
        logits = logits[:, 0].float()
        loss = loss_of(logits, target, weight, self.recipe.soft_jaccard)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if self.recipe.gradient_clip is not None:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.gradient_clip, foreach=False)
        self.optimiser.step()
        self.history[self.step] = torch.stack([loss.detach(), *counts(logits.detach(), target, weight)])
        self.step += 1

    def state(self) -> Arrays:
        """Everything that the next step depends on."""
        arrays = {f"network.{name}": value for name, value in self.weights().items()}
        for name, parameter in self.network.named_parameters():
            for key, value in self.optimiser.state.get(parameter, {}).items():
                arrays[f"optimiser.{key}.{name}"] = _array(value)
        return {**arrays, "history": _array(self.history[: self.step])}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from a state that `state` gave."""
        import torch

        saved = {k.removeprefix("network."): v for k, v in state.items() if k.startswith("network.")}
        self.network.load_state_dict({name: torch.from_numpy(np.array(v)) for name, v in saved.items()})
        for name, parameter in self.network.named_parameters():
            for key in ("step", "exp_avg", "exp_avg_sq"):
                if (value := state.get(f"optimiser.{key}.{name}")) is not None:
                    tensor = torch.from_numpy(np.array(value))
                    # moments are laid out like the weights, the step count stays where the optimiser keeps it
                    self.optimiser.state[parameter][key] = (
                        tensor if key == "step" else torch.empty_like(parameter).copy_(tensor)
                    ).detach()
        self.step = len(state["history"])
        self.history[: self.step] = torch.from_numpy(np.array(state["history"]))

    def weights(self) -> Arrays:
        """The network's weights and running statistics."""
        return {name: _array(value) for name, value in self.network.state_dict().items()}


def _array(tensor: Tensor) -> NDArray[Any]:
    return np.array(tensor.detach().cpu().numpy(), order="C")  # a copy: the next step changes the tensor


def train(
    trainer: Trainer,
    batch_of: Callable[[int], Batch],
    *,
    save: Callable[[Arrays], None] | None = None,
    report: Callable[[Progress], None] | None = None,
    workers: int = 1,
    save_seconds: float = SAVE_SECONDS,
) -> Trained:
    """Train until the recipe's last step.

    Parameters
    ----------
    trainer : a new one, or one that a state was restored into.
    batch_of : the batch of a step, called in other threads.
    save : called with the state about every `save_seconds`.
    report : called every few steps.
    workers : threads that prepare batches.

    Returns
    -------
    Trained. For equal inputs, threads and processor model the weights are equal bit by bit, interrupted or
    not.

    Notes
    -----
    Memory: the activations of a batch (about 1.5 GB for 4 patches of 256 with 64 maps), and ``workers + 1``
    batches that wait.
    """
    import torch

    steps = trainer.recipe.steps
    started = last = saved = time.monotonic()
    waited = 0.0
    first = reported = trainer.step

    def prepare(step: int) -> tuple[Tensor, Tensor, Tensor]:
        return trainer.tensors(batch_of(step))

    batches = prefetched(prepare, range(first, steps), workers)
    for step in range(first, steps):
        asked = time.monotonic()
        tensors = next(batches)
        waited += time.monotonic() - asked if step > first else 0.0
        trainer.advance(*tensors)
        now = time.monotonic()
        if step + 1 == steps or (step + 1) % REPORT_STEPS == 0:
            if report is not None:
                busy = 1 - waited / max(now - started, 1e-9)
                report(progress_of(trainer, reported, (now - last) / (trainer.step - reported), busy))
            last, reported = now, trainer.step
        if save is not None and now - saved >= save_seconds and step + 1 < steps:
            save(trainer.state())
            saved = time.monotonic()
    if trainer.device.type == "cuda":
        torch.cuda.synchronize(trainer.device)
    busy = 1 - waited / max(time.monotonic() - started, 1e-9)
    return Trained(trainer.weights(), _array(trainer.history), busy)


def progress_of(trainer: Trainer, since: int, seconds_per_step: float, busy: float) -> Progress:
    """The progress of a trainer, with means over the steps after `since`."""
    rows = _array(trainer.history[since : trainer.step]).astype(np.float64)
    loss, iou = float(rows[:, 0].mean()), jaccard(rows)
    return Progress(trainer.step, trainer.recipe.steps, loss, iou, seconds_per_step, busy)
