"""What a training costs beside its network, and what neighbours take from it.

    python benchmarks/training.py speed         steps of a training against bare steps on tensors in memory; cost of
                                                looks and of saves
    python benchmarks/training.py neighbours    a step alone and beside busy processes; waiting threads sleep or spin

Options after the word; the network of the recipe takes a minute or two (`--width 16 --depth 4 --patch 128`: seconds).
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from ratios import record

SIDE, CHANNELS = 1024, 20


def main() -> None:
    """Run what the first word asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["speed", "neighbours", "step"], help="step: of `neighbours`")
    defaults = {"width": 64, "depth": 6, "patch": 256, "threads": 2, "rounds": 5, "busy": 2}
    for name, value in defaults.items():
        parser.add_argument(f"--{name}", type=int, default=value, help="default: %(default)s")
    args = parser.parse_args()
    {"speed": speed, "neighbours": neighbours, "step": step}[args.what](args)


def setting(args: argparse.Namespace, steps: int) -> tuple[Any, list[Any], Callable[[int], Any]]:
    """A trainer, two scenes of noise in memory, and the batch of a step."""
    from rasterloom.config.model import TrainingConfig
    from rasterloom.learning.augment import Normalisation, TrainingScene
    from rasterloom.learning.batches import make_batch
    from rasterloom.learning.device import keep_memory
    from rasterloom.learning.sampling import index_scene
    from rasterloom.learning.training import Trainer

    keep_memory()
    rng = np.random.default_rng(0)
    mean = np.zeros(CHANNELS, np.float32)
    normalisation = Normalisation(mean, mean + 1000, np.zeros(CHANNELS, np.intp))
    scenes = []
    for name in "ab":
        data = rng.integers(0, 2000, (CHANNELS, SIDE, SIDE), dtype=np.uint16)
        whole = data, np.full((1, SIDE, SIDE), 255, np.uint8), 255 * (data[0] > 1900).astype(np.uint8)
        index = index_scene(lambda a, b, whole=whole: (whole[2][a:b], whole[1][0, a:b]), SIDE)
        read = lambda y0, y1, x0, x1, whole=whole: tuple(part[..., y0:y1, x0:x1] for part in whole)  # noqa: E731
        scenes.append(TrainingScene(name, index, read, normalisation))
    recipe = TrainingConfig(steps=steps, patch=args.patch, threads=args.threads)
    model = {"kind": "unet", "width": args.width, "depth": args.depth, "convs_per_block": 3}
    return Trainer(recipe, model, CHANNELS, "cpu"), scenes, lambda step: make_batch(scenes, recipe, step)


def bare_step(trainer: Any, tensors: Any) -> None:
    """Forward, backward and update, and nothing else."""
    import torch

    images, target = tensors
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = trainer.network(images)
    loss: Any = torch.nn.functional.binary_cross_entropy_with_logits(logits[:, 0].float(), target)
    loss.backward()
    trainer.optimiser.step()
    trainer.optimiser.zero_grad(set_to_none=True)


def speed(args: argparse.Namespace) -> None:
    """Bare steps and the loop's in turn; then one look and one save."""
    import torch

    from rasterloom.learning.device import computing
    from rasterloom.learning.state import write_state
    from rasterloom.learning.training import SAVE_SECONDS, train
    from rasterloom.learning.watching import Watch

    with computing(args.threads), tempfile.TemporaryDirectory() as folder:
        bare, scenes, batch_of = setting(args, 1)
        images, target, _ = bare.tensors(batch_of(0))
        tensors = images.contiguous(memory_format=torch.channels_last), target
        times: dict[str, list[float]] = {"bare": [], "loop": []}
        for round_ in range(args.rounds + 1):
            found = {"bare": timed(lambda: bare_step(bare, tensors), 6)}
            trainer = setting(args, 6)[0]
            found["loop"] = timed(partial(train, trainer, batch_of)) / 6
            for name in times if round_ else ():
                times[name].append(found[name])
        seconds = {name: statistics.median(values) for name, values in times.items()}
        watch = Watch(scenes, setting(args, 600)[0].recipe, args.patch)
        look = timed(lambda: watch.look(bare.network)) * len(watch.steps) / (600 * seconds["loop"])
        save = timed(lambda: write_state(Path(folder, "s.safetensors"), bare.state())) / SAVE_SECONDS
    print(
        f"bare {seconds['bare']:.3f} s, loop {seconds['loop']:.3f} s: {seconds['bare'] / seconds['loop']:.3f} (aim .9)"
    )
    record("training with data, looks and saves", "bare steps on tensors in memory", seconds["bare"] / seconds["loop"])
    print(f"looks of 600 steps: {look:.1%} of the steps ({watch}; aim 5 %); saves {save:.2%} (aim 2 %)")


def timed(work: Callable[[], Any], times: int = 1) -> float:
    """Seconds that a call takes, the mean over several."""
    begun = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - begun) / times


def step(args: argparse.Namespace) -> None:
    """Print the median seconds of a step, in this process."""
    from rasterloom.learning.device import computing

    with computing(args.threads):
        trainer, _, batch_of = setting(args, 100)
        tensors = trainer.tensors(batch_of(0))
        times = [timed(lambda: trainer.advance(*tensors)) for _ in range(args.rounds + 2)]
    print(statistics.median(times[2:]))


def neighbours(args: argparse.Namespace) -> None:
    """Seconds of a step alone and beside busy processes, for both ways of waiting."""
    cores = len(os.sched_getaffinity(0))
    fair = max(1.0, (args.threads + args.busy) / cores) / max(1.0, args.threads / cores)
    for policy in ("PASSIVE", "ACTIVE"):
        found = []
        for count in (0, args.busy):
            busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
            try:
                command = [sys.executable, __file__, "step", *sys.argv[2:]]
                environment = os.environ | {"OMP_WAIT_POLICY": policy}
                found.append(float(subprocess.run(command, env=environment, stdout=-1, check=True).stdout))
            finally:
                for process in busy:
                    process.kill()
                    process.wait()
        share = found[1] / found[0] / fair
        print(
            f"{policy}: alone {found[0]:.3f} s, beside {args.busy} {found[1]:.3f} s: {share:.2f} times the fair share"
        )


if __name__ == "__main__":
    main()
