"""Training of a network: a plain loop over batches that a thread prepares meanwhile.

It imports torch: whoever may find that nothing is to be trained imports it after that. Every batch is a function of its
step and every weight of the recipe, the data and the number of threads, so a resumed training ends with the weights of
an uninterrupted one.
"""

import copy
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from math import cos, pi
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rasterloom.config.model import TrainingConfig
from rasterloom.errors import RasterloomError, TrainingError
from rasterloom.learning.batches import Batch
from rasterloom.learning.checkpoint import Arrays
from rasterloom.learning.curves import NUMBERS, Row, curve_arrays, curve_rows, curve_steps, jaccard
from rasterloom.learning.device import forward_pass
from rasterloom.learning.loss import counts, loss_of
from rasterloom.learning.networks import build
from rasterloom.learning.networks.layers import initialise, seeded
from rasterloom.learning.outputs import ONE, Outputs
from rasterloom.learning.prefetch import prefetched
from rasterloom.learning.transfer import Start
from rasterloom.learning.watching import Watch, learned_nothing
from rasterloom.text import duration, number

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


AVERAGED = 0.05
"""Share of the steps over which the moving average of the weights reaches back."""


HUGE = 1e4
"""A normalised value from which the images are to blame for a loss that is not finite."""

NOTHING_LEARNED = (
    "the network has learned nothing: in the last third of the training it called no pixel of the class so, and, if "
    "validation scenes show it, no threshold there is better than calling everything so; train longer (`steps`), with "
    "more of the class (`positive_fraction`, 1 at most) or another `learning_rate`, and see whether the labels lie on "
    "the images"
)


class Trainer:
    """A network, its optimiser and what it has seen.

    Parameters
    ----------
    recipe : how it trains.
    model : the network: a spec's table of a model.
    channels : input channels.
    device : torch's name of the device.
    start : changes the first weights, which were drawn at random.
    outputs : of the network.
    """

    def __init__(
        self,
        recipe: TrainingConfig,
        model: Mapping[str, Any],
        channels: int,
        device: str,
        start: Start | None = None,
        outputs: Outputs = ONE,
    ) -> None:
        self.recipe = recipe
        self.device = torch.device(device)
        self.outputs = outputs
        with seeded(recipe.seed):
            self.network = build(model, channels, outputs.logits)
        initialise(self.network, recipe.seed)
        if start is not None:
            start(self.network)
        self.network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network.train()
        # a GPU takes as long to be told of a parameter as to compute it: all of them at once
        self.at_once = self.device.type == "cuda"
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay, foreach=self.at_once
        )
        self.average = copy.deepcopy(self.network).eval() if recipe.keep == "ema" else None
        self.best: Arrays = {}
        self.rate_of: Callable[[int], float] = partial(learning_rate, steps=recipe.steps, peak=recipe.learning_rate)
        self.history = torch.zeros((recipe.steps, 4), device=self.device)
        self.rows: list[Row] = []
        self.step = 0

    @property
    def idle(self) -> bool:
        """Whether the device has nothing to do; a GPU may be behind, with steps that it was given before."""
        return not self.at_once or bool(torch.cuda.current_stream(self.device).query())

    @property
    def watched(self) -> nn.Module:
        """The network that is watched: the average of weights if that is kept."""
        return self.network if self.average is None else self.average

    def tensors(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """The tensors of a batch; called in the thread that prepares it."""
        tensors = (torch.from_numpy(a) for a in (batch.images, batch.target, batch.weight))
        images, target, weight = (t.pin_memory() if self.device.type == "cuda" else t for t in tensors)
        return images, target, weight

    def advance(self, images: Tensor, target: Tensor, weight: Tensor) -> None:
        """One optimiser step."""
        images = images.to(self.device, non_blocking=True).contiguous(memory_format=torch.channels_last)
        target, weight = (t.to(self.device, non_blocking=True) for t in (target, weight))
        torch.manual_seed((self.recipe.seed * 1_000_003 + self.step) % 2**63)  # of the dropout in networks of others
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate_of(self.step)
        with forward_pass(self.device.type, self.recipe.precision):
            logits = self.network(images)
        logits = self.outputs.of_classes(logits)
        loss = loss_of(logits, target, weight, self.recipe.soft_jaccard, self.outputs.exclusive)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if self.recipe.gradient_clip is not None:
            parameters = self.network.parameters()
            torch.nn.utils.clip_grad_norm_(parameters, self.recipe.gradient_clip, foreach=self.at_once)
        self.optimiser.step()
        self.history[self.step] = torch.stack([loss.detach(), *counts(*self._counted(logits.detach(), target, weight))])
        self._follow()
        self.step += 1

    def _counted(self, logits: Tensor, target: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What is counted at one half, as `counts` takes it: several classes together."""
        if not self.outputs.planes:
            return logits, target, weight
        return self.outputs.probability(logits) - 0.5, target, weight[:, None]

    def _follow(self) -> None:
        """Bring the average nearer to the weights and running statistics; over fewer steps at the beginning."""
        if self.average is None:
            return
        old = min(1 - 1 / max(1.0, AVERAGED * self.recipe.steps), (1 + self.step) / (10 + self.step))
        pairs = list(zip(self.average.state_dict().values(), self.network.state_dict().values(), strict=True))
        real = [pair for pair in pairs if pair[0].is_floating_point()]
        whole = [pair for pair in pairs if not pair[0].is_floating_point()]
        with torch.no_grad():
            torch._foreach_lerp_([mean for mean, _ in real], [value for _, value in real], 1 - old)
            for mean, value in whole:
                mean.copy_(value)

    def mark(self, watch: Watch | None, seconds: float) -> Row:
        """Add a row to the curve, with a look if one is due, and keep the best weights if they are wanted."""
        since = self.rows[-1]["step"] if self.rows else 0
        counted = _array(self.history[since : self.step]).astype(np.float64)
        look = watch.look(self.watched) if watch is not None and self.step in watch.steps else None
        best = max((row["validation"] or 0.0 for row in self.rows), default=0.0)
        numbers = {
            "loss": float(counted[:, 0].mean()),
            "jaccard": jaccard(counted),
            "validation": look and look.jaccard,
            "threshold": look.threshold if look and look.jaccard is not None else None,
            "learning_rate": self.rate_of(self.step - 1),
            "seconds": seconds,
        }
        row: Row = {name: None if value is None else float(f"{value:.6g}") for name, value in numbers.items()}
        self.rows.append({"step": self.step, **row})
        if self.recipe.keep == "best" and (row["validation"] or 0.0) > best:
            self.best = _arrays(self.network)
        last_third = _array(self.history[2 * self.step // 3 : self.step])
        if self.step == self.recipe.steps and learned_nothing(jaccard(last_third), look):
            self.rows[-1]["warning"] = NOTHING_LEARNED
        return self.rows[-1]

    def state(self) -> Arrays:
        """Everything that the next step depends on."""
        kinds = {"network": _arrays(self.network), "best": self.best}
        if self.average is not None:
            kinds["average"] = _arrays(self.average)
        arrays = {f"{kind}.{name}": value for kind, values in kinds.items() for name, value in values.items()}
        for name, parameter in self.network.named_parameters():
            for key, value in self.optimiser.state.get(parameter, {}).items():
                arrays[f"optimiser.{key}.{name}"] = _array(value)
        arrays |= curve_arrays(self.rows, (*NUMBERS, "seconds"))
        return {**arrays, "history": _array(self.history[: self.step])}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from a state that `state` gave."""
        for kind, network in (("network.", self.network), ("average.", self.average)):
            if network is not None:
                saved = {k.removeprefix(kind): v for k, v in state.items() if k.startswith(kind)}
                network.load_state_dict({name: torch.from_numpy(np.array(v)) for name, v in saved.items()})
        self.best = {k.removeprefix("best."): v for k, v in state.items() if k.startswith("best.")}
        self.rows = curve_rows(state)
        for name, parameter in self.network.named_parameters():
            for key in ("step", "exp_avg", "exp_avg_sq"):
                if (value := state.get(f"optimiser.{key}.{name}")) is not None:
                    tensor = torch.from_numpy(np.array(value))
                    # moments are laid out like the weights, the step count stays where the optimiser keeps it
                    laid = tensor if key == "step" else torch.empty_like(parameter).copy_(tensor)
                    self.optimiser.state[parameter][key] = laid.detach()
        self.step = len(state["history"])
        self.history[: self.step] = torch.from_numpy(np.array(state["history"]))

    def weights(self) -> Arrays:
        """Weights and running statistics that the recipe keeps; the last where no look had a best."""
        return self.best or _arrays(self.watched)


def _arrays(network: nn.Module) -> Arrays:
    return {name: _array(value) for name, value in network.state_dict().items()}


def _array(tensor: Tensor) -> NDArray[Any]:
    return np.array(tensor.detach().cpu().numpy(), order="C")  # a copy: the next step changes the tensor


def train(
    trainer: Trainer,
    batch_of: Callable[[int], Batch],
    *,
    watch: Watch | None = None,
    tell: Callable[[Row], None] = lambda row: None,
    save: Callable[[Arrays], None] | None = None,
    report: Callable[[int, str], None] = lambda step, words: None,
    workers: int = 1,
    save_seconds: float = SAVE_SECONDS,
    stopping: Callable[[], bool] = lambda: False,
) -> float:
    """Train until the recipe's last step: to equal weights for equal inputs, threads and processor model, in any parts.

    Parameters
    ----------
    trainer : a new one, or one that a state was restored into.
    batch_of : the batch of a step, called in other threads.
    watch : looks at the validation scenes.
    tell : called with each row of the curve.
    save : called with the state about every `save_seconds`.
    report : called every few steps, with how many are done and words on how it goes.
    workers : threads that prepare batches.
    stopping : asked after each step; if it says so, the state is saved and the training ends.

    Returns
    -------
    Share of the time in which the network did not wait for a batch.

    Raises
    ------
    TrainingError
        If the loss is not finite.
    RasterloomError
        If it was to stop before the last step.

    Notes
    -----
    Memory: activations of a batch (1.5 GB for 4 patches of 256 with 64 maps), and ``workers + 1`` batches that wait.
    """
    first, steps = trainer.step, trainer.recipe.steps
    telling = _Telling(trainer, batch_of, watch, tell, report)
    saved = time.monotonic()
    batches = prefetched(lambda step: trainer.tensors(batch_of(step)), range(first, steps), workers)
    for step in range(first, steps):
        asked = time.monotonic()
        tensors = next(batches)
        telling.waited += time.monotonic() - asked if step > first and trainer.idle else 0.0
        trainer.advance(*tensors)
        telling.after_step()
        if save is not None and trainer.step < steps and (stopping() or time.monotonic() - saved >= save_seconds):
            save(trainer.state())
            saved = time.monotonic()
            if stopping():
                raise RasterloomError(
                    f"stopped from outside at step {trainer.step} of {steps}; the next attempt goes on"
                )
    if trainer.device.type == "cuda":
        torch.cuda.synchronize(trainer.device)
    return telling.busy


@dataclass
class _Telling:
    """What is told of a training while it runs: rows of its curve, and its progress every few steps."""

    trainer: Trainer
    batch_of: Callable[[int], Batch]
    watch: Watch | None
    tell: Callable[[Row], None]
    report: Callable[[int, str], None]
    waited: float = 0.0

    def __post_init__(self) -> None:
        self.marks = curve_steps(self.trainer.recipe.steps).union(self.watch.steps if self.watch is not None else ())
        self.first = self.reported = self.trainer.step
        self.before = self.trainer.rows[-1]["seconds"] if self.trainer.rows else 0.0
        self.started = self.last = time.monotonic()

    @property
    def busy(self) -> float:
        """Share of the time in which the network did not wait for a batch."""
        return 1 - self.waited / max(time.monotonic() - self.started, 1e-9)

    def after_step(self) -> None:
        """Look at what the steps since the last report have counted, where there is something to tell of it."""
        step = self.trainer.step
        reporting, marking = step == self.trainer.recipe.steps or step % REPORT_STEPS == 0, step in self.marks
        if reporting or marking:
            require_finite(self.trainer, self.reported, self.batch_of)
        if marking:
            row = self.trainer.mark(self.watch, self.before + time.monotonic() - self.started)
            self.tell(row)
        if reporting:
            self.report(step, self._progress())
            self.last, self.reported = time.monotonic(), step

    def _progress(self) -> str:
        """Loss and Jaccard since the last report, Jaccard of the last look, learning rate, speed, time that is left."""
        recipe, step, now = self.trainer.recipe, self.trainer.step, time.monotonic()
        counted = _array(self.trainer.history[self.reported : step]).astype(np.float64)
        looks = [row["validation"] for row in self.trainer.rows if row["validation"] is not None]
        milliseconds = 1000 * (now - self.last) / (step - self.reported)
        left = (now - self.started) / (step - self.first) * (recipe.steps - step)
        return (
            f"loss {counted[:, 0].mean():.4f} Jaccard {jaccard(counted):.3f} "
            f"validation {number(looks[-1] if looks else None, 3)} rate {self.trainer.rate_of(step - 1):.1e} "
            f"{milliseconds:.0f} ms/step network {self.busy:.0%} {duration(left)} left"
        )


def require_finite(trainer: Trainer, since: int, batch_of: Callable[[int], Batch]) -> None:
    """Refuse to go on after a loss that is not finite: every weight would be lost."""
    bad = np.flatnonzero(~np.isfinite(_array(trainer.history[since : trainer.step, 0])))
    if not len(bad):
        return
    step, recipe = since + int(bad[0]), trainer.recipe
    largest = float(np.abs(batch_of(step).images).max())
    if not largest < HUGE:
        raise TrainingError(
            f"the loss is not finite at step {step + 1}, whose images hold {largest:.3g} standard deviations: look for "
            "NaN and huge values in the imagery (`rasterloom inspect`), and mark them as no-data"
        )
    advice = [f"lower `learning_rate` ({recipe.learning_rate:g})"]
    advice += ["set `gradient_clip: 1`"] if recipe.gradient_clip is None else ["lower `gradient_clip`"]
    advice += ["set `precision: float32`"] if recipe.precision != "float32" else []
    raise TrainingError(f"the loss is not finite at step {step + 1}: {', or '.join(advice)}")
