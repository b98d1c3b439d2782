"""How fast networks compute: rates from what the store has recorded, from a measurement, or built in.

A rate is seconds a multiply-add. A small network does fewer of them a second than a large one, so a rate belongs to
an intensity, multiply-adds a pixel, and is interpolated between those that were measured.
"""

from __future__ import annotations

import json
import math
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rasterloom.config.model import PredictionConfig, TrainingConfig
from rasterloom.config.recipe import MemberRecipe
from rasterloom.learning.cost import WORKS, Speed, Work, speed_of
from rasterloom.planning.estimates import sample
from rasterloom.store.digest import digest
from rasterloom.store.files import write_json
from rasterloom.store.store import Store, read_sidecar

_SIZES = ("width", "depth", "convs_per_block")

RECORDS = 300
"""Records of a stage that are read at most, evenly spread over its keys."""

MEASURE_SECONDS = 20.0
"""Time that a measurement of training, or of prediction, stops after; it takes `MEASURE_STEPS` at least."""

MEASURE_STEPS = 4

BUILT_IN_NAME = "2 CPU cores (server, AMD EPYC)"

_BUILT_IN = (
    # width, depth, convs_per_block; seconds of a training step and of a batch to predict, in bfloat16 and in float32
    ((64, 6, 3), (0.69, 0.19), (1.37, 0.36)),
    ((32, 5, 2), (0.16, 0.046), (0.29, 0.083)),
    ((24, 4, 2), (0.16, 0.042), (0.23, 0.076)),
    ((8, 3, 1), (0.047, 0.042), (0.053, 0.019)),
)
"""Four images of 20 x 256 x 256, with two threads, on an otherwise idle machine."""


def built_in() -> Rates:
    """The rates that the library comes with: of two CPU cores."""
    speeds = [
        speed_of(
            work,
            BUILT_IN_NAME,
            precision,
            seconds,
            {"kind": "unet", **dict(zip(_SIZES, size, strict=True))},
            20,
            256,
            4,
        )
        for size, *precisions in _BUILT_IN
        for precision, pair in zip(("bfloat16", "float32"), precisions, strict=True)
        for work, seconds in zip(WORKS, pair, strict=True)
    ]
    return Rates(BUILT_IN_NAME, "built-in rate, not this machine's", speeds)


class Rates:
    """What is known of the speed of one device.

    Parameters
    ----------
    hardware : its name.
    origin : where the numbers are from, in words.
    speeds : those of this device.
    """

    def __init__(self, hardware: str, origin: str, speeds: Iterable[Speed]) -> None:
        self.hardware = hardware
        self.origin = origin
        self.gpu = re.match(r"\d+ (threads?|CPU cores) ", hardware) is None
        sums: dict[tuple[str, str], dict[float, list[float]]] = {}
        for speed in speeds:
            entry = sums.setdefault((speed.work, speed.precision), {}).setdefault(round(speed.intensity), [0.0, 0.0])
            entry[0] += speed.seconds
            entry[1] += speed.multiply_adds
        self._known = {
            kind: sorted((intensity, seconds / total) for intensity, (seconds, total) in found.items())
            for kind, found in sums.items()
        }

    def seconds(self, work: Work, precision: str, intensity: float, total: float) -> float | None:
        """Seconds of some work.

        Parameters
        ----------
        work, precision : as in `Speed`.
        intensity : multiply-adds a pixel of the network.
        total : multiply-adds of all forward passes.

        Returns
        -------
        float, or None if nothing of this kind was measured. Between two measured intensities the logarithm of the
        rate is interpolated, beyond them it is that of the nearest.
        """
        known = self._known.get((work, precision))
        if not known:
            return None
        below = [point for point in known if point[0] <= intensity]
        above = [point for point in known if point[0] > intensity]
        if not below or not above:
            return total * (below[-1] if below else above[0])[1]
        (x0, y0), (x1, y1) = below[-1], above[0]
        part = math.log(intensity / x0) / math.log(x1 / x0)
        return total * y0 * math.pow(y1 / y0, part)


def known_rates(store: Store) -> list[Rates]:
    """Rates of every device that has computed for a store, or was measured; the built-in one if there is none.

    Notes
    -----
    Reads at most `RECORDS` records a stage.
    """
    recorded = [speed for stage in ("train", "predict") for speed in _recorded(store, stage)]
    measured = [speed for path in sorted((store.root / "rates").glob("*.json")) for speed in _measured(path)]
    found: list[Rates] = []
    for hardware in dict.fromkeys(speed.hardware for speed in [*recorded, *measured]):
        own = [speed for speed in recorded if speed.hardware == hardware]
        kinds = {(speed.work, speed.precision) for speed in own}
        other = [s for s in measured if s.hardware == hardware and (s.work, s.precision) not in kinds]
        words = [
            *([f"{len(own)} records of the store"] if own else []),
            *(["measured by `rasterloom plan --measure`"] if other else []),
        ]
        found.append(Rates(hardware, " and ".join(words), [*own, *other]))
    return found or [built_in()]


def _recorded(store: Store, stage: str) -> Iterator[Speed]:
    for path in sample(sorted((store.root / stage).glob("*.json")), RECORDS):
        record = read_sidecar(path)
        found = _speed(record["cost"].get("network")) if record else None
        if found is not None:
            yield found


def _measured(path: Path) -> list[Speed]:
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))["speeds"]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return [speed for entry in entries if (speed := _speed(entry)) is not None]


def _speed(value: Any) -> Speed | None:
    """A speed as JSON holds it, or None if it is none that can be used."""
    try:
        speed = Speed(**value)
        return speed if min(speed.seconds, speed.multiply_adds, speed.pixels) > 0 else None
    except TypeError:
        return None


def measure(store: Store, member: MemberRecipe, channels: int, say: Callable[[str], None]) -> list[Speed]:
    """Time training steps and forward passes of a member's network on this machine, and keep the rates.

    Parameters
    ----------
    store : where they are kept, ``rates/`` in it; the next plan reads them there.
    member : of a U-Net.
    channels : its input channels.
    say : called with a line of text.

    Notes
    -----
    Takes a GPU if there is one, and waits while others hold it. Numbers are random: speed does not depend on them.
    """
    from rasterloom.learning.device import computing, hardware_name, keep_memory, pick_device

    keep_memory()
    with pick_device(wait=_waiting(say)) as device:
        threads = int(member.training["threads"])
        name = hardware_name(device.name, threads)
        say(f"measuring the network of {member.name} on {name}")
        busy, cores = os.getloadavg()[0], os.cpu_count() or 1
        if not device.is_cuda and busy > cores / 2:
            say(f"this machine is busy (load {busy:.1f} on {cores} cores): hours will be too many; measure again later")
        with computing(threads):
            found = [_measured_training(member, channels, device.name, name)]
        threads = int(member.prediction["threads"])
        with computing(threads):
            found.append(_measured_prediction(member, channels, device, hardware_name(device.name, threads)))
    write_json(
        store.root / "rates" / f"{digest(name)[:32]}.json",
        {"hardware": name, "speeds": [asdict(speed) for speed in found]},
    )
    return found


def _waiting(say: Callable[[str], None]) -> Callable[[], None]:
    said: list[bool] = []

    def wait() -> None:
        if not said:
            said.append(True)
            say("all GPUs are in use: waiting for one (Ctrl-C stops)")
        time.sleep(1.0)

    return wait


def _timed(step: Callable[[], None]) -> float:
    """Seconds of the fastest of several steps, after one that warms up: what others do meanwhile counts least."""
    step()
    times: list[float] = []
    began = time.monotonic()
    while len(times) < MEASURE_STEPS or (len(times) < 50 and time.monotonic() - began < MEASURE_SECONDS / 2):
        started = time.monotonic()
        step()
        times.append(time.monotonic() - started)
        if time.monotonic() - began > MEASURE_SECONDS:
            break
    return min(times)


def _measured_training(member: MemberRecipe, channels: int, device: str, hardware: str) -> Speed:
    import numpy as np
    import torch

    from rasterloom.learning.training import Batch, Trainer

    recipe = TrainingConfig.model_validate({**member.training, "steps": 1})
    trainer = Trainer(recipe, member.model, channels, device)
    shape = (recipe.batch, recipe.patch, recipe.patch)
    rng = np.random.default_rng(0)
    images = rng.standard_normal((recipe.batch, channels, *shape[1:]), dtype=np.float32)
    target = (rng.random(shape, dtype=np.float32) > 0.5).astype(np.float32)
    tensors = trainer.tensors(Batch(images, target, np.ones(shape, dtype=np.float32)))

    def step() -> None:
        trainer.step = 0
        trainer.advance(*tensors)
        if trainer.device.type == "cuda":
            torch.cuda.synchronize(trainer.device)

    seconds = _timed(step)
    return speed_of("training", hardware, recipe.precision, seconds, member.model, channels, recipe.patch, recipe.batch)


def _measured_prediction(member: MemberRecipe, channels: int, device: Any, hardware: str) -> Speed:
    import numpy as np
    import torch

    from rasterloom.learning.inference import mean_forward
    from rasterloom.learning.networks import build

    network: Any = build(member.model, channels)
    network = network.to(device.name, memory_format=torch.channels_last).eval()
    prediction = PredictionConfig.model_validate({**member.prediction, "symmetries": False})
    forward = mean_forward([network], prediction, device)
    batch, window = prediction.batch, prediction.window
    images = np.random.default_rng(0).standard_normal((batch, channels, window, window), dtype=np.float32)

    def step() -> None:
        forward(images)

    return speed_of("prediction", hardware, prediction.precision, _timed(step), member.model, channels, window, batch)
