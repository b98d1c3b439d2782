"""Networks on real imagery at equal time: rasterloom's training beside segmentation_models.pytorch's usual recipe.

Two data sets below RASTERLOOM_TEST_DATA. `rio`: buildings on SpaceNet's chips of Rio, every chip predicted by a model
that has not seen it (five folds); the figures are the pixel Jaccard pooled over all chips, at the best threshold and at
one half, and the F1 of objects. `trees`: crowns of five cities, points as discs of 2 m; peaks of the probability are
matched one to one within 6 m: precision, recall, F at the best threshold. `cities`: the same, each city predicted by a
model of the four others.

Every method trains for as many steps as fit in the given seconds at its own pace, which is measured first, all methods
in turn in one process, and the quickest of several steps counts: so a busy machine makes a run longer, not worse.
Prediction is the same code for all: windows of 256 by 64, eight symmetries.

    python benchmarks/real.py --work FOLDER --data rio --methods rasterloom,smp --seeds 1,2,3 --seconds 120
    python benchmarks/real.py --work FOLDER --data rio --methods rasterloom,hard,no-rotation --seconds 60

A run that was stopped goes on where it was: finished models are kept in FOLDER/results.jsonl.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
from numpy.typing import NDArray
from real_data import DATA, Scene, load
from real_figures import figures
from real_methods import METHODS, Method

from rasterloom.config.model import Prediction
from rasterloom.learning.device import computing, keep_memory
from rasterloom.learning.inference import mean_forward, network_rows

PREDICTION = Prediction(window=256, stride=64, symmetries=True, batch=4)
CALIBRATION = 12
"""Steps of each method whose quickest ones say how fast it is; the first third warms up."""


def main() -> None:
    """Train and predict what is missing, and print the table."""
    options = arguments()
    options.work.mkdir(parents=True, exist_ok=True)
    keep_memory()
    scenes = load(options.data)
    with computing(options.threads):
        for name in options.methods:
            pace(options, scenes, name)
    with computing(options.compute or options.threads):
        for seed in options.seeds:
            for name in options.methods:
                run(options, scenes, name, seed)
    print(*table(options), sep="\n")


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder of results")
    parser.add_argument("--data", choices=sorted(DATA), required=True)
    parser.add_argument("--methods", default="rasterloom,smp", help=f"of {', '.join(METHODS)} (default: %(default)s)")
    parser.add_argument("--seeds", default="1", help="default: %(default)s")
    parser.add_argument("--seconds", type=float, default=120.0, help="of each training (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="whose pace counts (default: %(default)s)")
    parser.add_argument("--compute", type=int, help="threads to run with, where the pace is known (default: --threads)")
    options = parser.parse_args()
    options.seeds = [int(seed) for seed in options.seeds.split(",")]
    options.methods = options.methods.split(",")
    unknown = [name for name in options.methods if name not in METHODS]
    if unknown:
        parser.error(f"--methods: {', '.join(unknown)} is not among {', '.join(METHODS)}")
    return options


def rows(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Finished runs of the same data, time and threads."""
    path = options.work / "results.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    asked = {key: getattr(options, key) for key in ("data", "seconds", "threads")}
    return [row for row in map(json.loads, lines) if all(row[key] == value for key, value in asked.items())]


def pace(options: argparse.Namespace, scenes: Sequence[Scene], name: str) -> float:
    """Seconds of a step of a method: the quickest of several, measured once for all its runs."""
    path = options.work / "pace.json"
    known: dict[str, float] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    key = f"{name} {options.data} {options.threads}"
    if key not in known:
        times, last = [], time.perf_counter()
        for _ in METHODS[name].steps(scenes, CALIBRATION, 0):
            times.append(time.perf_counter() - last)
            last = time.perf_counter()
        known[key] = min(times[CALIBRATION // 3 :])
        path.write_text(json.dumps(known, indent=1), encoding="utf-8")
    return known[key]


def run(options: argparse.Namespace, scenes: Sequence[Scene], name: str, seed: int) -> None:
    """All folds of a method and a seed, if they are not there yet."""
    if any(row["method"] == name and row["seed"] == seed for row in rows(options)):
        return
    steps = max(1, round(options.seconds / pace(options, scenes, name)))
    folds = sorted({scene.fold for scene in scenes if scene.fold is not None})
    found: dict[str, NDArray[np.float32]] = {}
    started = time.perf_counter()
    for fold in folds:
        known = [scene for scene in scenes if scene.fold != fold and scene.trains]
        (network,) = deque(METHODS[name].steps(known, steps, seed), maxlen=1)
        found |= predict(network, METHODS[name], known, [scene for scene in scenes if scene.fold == fold])
        print(f"{name} seed {seed} fold {fold}: {steps} steps, {time.perf_counter() - started:.0f} s", flush=True)
    kept = {"data": options.data, "seconds": options.seconds, "threads": options.threads}
    row = {**kept, "method": name, "seed": seed, "steps": steps}
    row |= figures([scene for scene in scenes if scene.fold is not None], found)
    print(json.dumps(row), flush=True)
    with (options.work / "results.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


@dataclass(frozen=True)
class Reader:
    """A scene as prediction reads it."""

    scene: Scene

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W)."""
        return self.scene.coverage.shape  # type: ignore[return-value]

    def rows(self, y0: int, y1: int) -> tuple[NDArray[Any], NDArray[np.uint8]]:
        """Rows y0..y1 of data and valid."""
        return self.scene.data[:, y0:y1], self.scene.valid[:, y0:y1]


def predict(
    network: Any, method: Method, known: Sequence[Scene], scenes: Sequence[Scene]
) -> dict[str, NDArray[np.float32]]:
    """Probability (H, W) of each scene."""
    network.eval()
    found = {}
    for scene in scenes:
        normalisation = method.normalisation(scene, known)
        reader: Any = Reader(scene.blinded(normalisation.mean[-1]) if method.blind else scene)
        forward = mean_forward([network], PREDICTION, "cpu")
        blocks = network_rows(reader, normalisation, forward, PREDICTION, lambda _: None)
        found[scene.name] = np.concatenate(list(blocks))
    network.train()
    return found


def table(options: argparse.Namespace) -> Iterator[str]:
    """One row per method: mean and deviation over seeds, and the mean difference from the first method."""
    done = rows(options)
    jaccards = ("jaccard", "jaccard_half", "jaccard_all", "jaccard_half_all")
    shown = (*jaccards, "f1", "count_error", "f", "precision", "recall")
    shown = tuple(key for key in shown if any(key in row for row in done))
    base: dict[int, Any] = {row["seed"]: row for row in done if row["method"] == options.methods[0]}
    for name in options.methods:
        mine = [row for row in done if row["method"] == name and row["seed"] in options.seeds]
        if not mine:
            continue
        cells = [f"{name:14} {len(mine)} seeds, {mine[0]['steps']} steps"]
        for key in shown:
            values = np.array([row[key] for row in mine])
            apart = np.array([row[key] - base[row["seed"]][key] for row in mine if row["seed"] in base])
            cells.append(f"{key} {values.mean():.3f} +- {values.std():.3f} ({apart.mean() if len(apart) else 0:+.3f})")
        yield "  ".join(cells)


if __name__ == "__main__":
    main()
