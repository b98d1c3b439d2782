"""What a GPU does with the recipe's U-Net, in under five minutes; writes the rates that `rasterloom plan` reads.

First the time of a bare step by precision and layout of memory, then a training of two minutes on patches that threads
cut, turn and normalise as in a run: its steps beside the bare ones, and the share of the time in which the network
computed. `--device cpu --seconds 5` is a dry run.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from precision import WAYS, stepper

from rasterloom.config.model import Prediction, TrainingConfig
from rasterloom.learning.augment import Normalisation, TrainingScene
from rasterloom.learning.batches import make_batch
from rasterloom.learning.cost import speed_of
from rasterloom.learning.device import computing, hardware_name, keep_memory
from rasterloom.learning.inference import mean_forward
from rasterloom.learning.sampling import index_scene
from rasterloom.learning.training import Trainer, train
from rasterloom.planning.rates import write_rates
from rasterloom.stages.train import GPU_WORKERS
from rasterloom.store.store import Store

MODEL = {"kind": "unet", "width": 64, "depth": 6, "convs_per_block": 3}
SENSORS = (3, 1, 8, 8)
"""Channels of each sensor, 20 in all."""


def made_up_scene(number: int, side: int) -> TrainingScene:
    """A scene in memory: noise, brighter in the class's rectangles, which cover about a tenth."""
    rng = np.random.default_rng(number)
    coverage = np.zeros((side, side), np.uint8)
    for y, x in rng.integers(0, side - 32, (side * side // 10_000, 2)):
        coverage[y : y + 32, x : x + 32] = 255
    data = rng.integers(300, 700, (sum(SENSORS), side, side), dtype=np.uint16)
    data[:, coverage > 0] += 150
    valid = np.full((len(SENSORS), side, side), 255, np.uint8)
    planes = np.repeat(np.arange(len(SENSORS)), SENSORS)
    mean, sd = (np.full(len(planes), value, np.float32) for value in (515, 125))
    return TrainingScene(
        str(number),
        index_scene(lambda a, b: (coverage[a:b], valid[0, a:b]), side),
        lambda y0, y1, x0, x1: (data[:, y0:y1, x0:x1], valid[:, y0:y1, x0:x1], coverage[y0:y1, x0:x1]),
        Normalisation(mean, sd, planes),
    )


def step_seconds(step: Callable[[], object], device: torch.device, budget: float) -> float:
    """Mean seconds of a step, of as many as fit in the budget, and of three at least; two before warm up."""
    synchronise = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    for _ in range(2):
        step()
    synchronise()
    started, steps = time.perf_counter(), 0
    while steps < 3 or time.perf_counter() - started < budget:
        step()
        steps += 1
        if steps % 10 == 0:  # a GPU's queue must not grow beyond the budget
            synchronise()
    synchronise()
    return (time.perf_counter() - started) / steps


def main() -> None:
    """Time bare steps, a training and windows; print them, and write the rates."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--seconds", type=float, default=120, help="of the training; bare steps take as long together")
    parser.add_argument("--store", type=Path, default=Path("results/store"), help="where the rates are written")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--patch", type=int, default=256)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 2, help="of the cores")
    args = parser.parse_args()
    keep_memory()
    device, model = torch.device(args.device), {**MODEL, "width": args.width}
    cores = args.threads
    with computing(cores):
        name = hardware_name(args.device, cores)
        print(f"{name}, torch {torch.__version__}: batches of {args.batch} patches of {args.patch}, 20 channels")
        bare = {}
        for way, (channels_last, bfloat16) in WAYS.items():
            step = stepper(channels_last, bfloat16, args.batch, args.patch, args.device, args.width)
            bare[way] = step_seconds(step, device, args.seconds / len(WAYS))
            print(f"  bare step, {way:26s} {1000 * bare[way]:8.1f} ms")
        own = next(iter(bare.values()))
        steps = max(3, round(args.seconds / own))
        recipe = TrainingConfig(steps=steps, batch=args.batch, patch=args.patch, threads=cores)
        scenes = [made_up_scene(number, max(512, 2 * args.patch)) for number in range(3)]
        trainer = Trainer(recipe, model, sum(SENSORS), args.device)
        workers = min(GPU_WORKERS, max(1, cores - 1)) if device.type == "cuda" else 1
        started = time.perf_counter()
        busy = train(trainer, lambda step: make_batch(scenes, recipe, step), workers=workers)
        seconds = time.perf_counter() - started
        each = seconds / steps
        print(f"  training, {steps} steps, {workers} threads prepare {1000 * each:11.1f} ms, {own / each:.0%} of bare")
        print(f"  share of the time in which the network computed {busy:.0%}; loss {trainer.history[-1, 0]:.3f}")
        prediction = Prediction(batch=args.batch, window=args.patch, stride=args.patch, symmetries=False)
        forward = mean_forward([trainer.network.eval()], prediction, args.device)
        windows = np.zeros((args.batch, sum(SENSORS), args.patch, args.patch), np.float32)
        once = step_seconds(lambda: forward(windows), device, args.seconds / 12)
        print(f"  windows, {args.batch} of {args.patch} at once, to and fro {1000 * once:8.1f} ms")
    common = (model, sum(SENSORS), args.patch)
    found = [
        speed_of("training", name, recipe.precision, seconds, *common, steps * args.batch),
        speed_of("prediction", name, prediction.precision, once, *common, args.batch),
    ]
    print(f"rates for `rasterloom plan`: {write_rates(Store(args.store), found)}")


if __name__ == "__main__":
    main()
