"""Fit the weights of `registration.confidence` to generated scenes that were made hard, and show what they are worth.

    python benchmarks/calibration.py [--cases 3000] [--seed 1] [--cache DIR]

Each case is a generated scene and one of its sensors, spoilt at random (see `hardened`). Its place is estimated; every
attempt gives what speaks for it and whether it was right to a pixel of the coarser image. Weights are fitted on half
of the scenes and judged on the other half: of accepted estimates at most 1 % may be wrong.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from tempfile import gettempdir

import cv2
import numpy as np
from arrays import ArraySource
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sklearn.linear_model import LogisticRegression

from rasterloom.dataset.contest_ids import SENSORS, ground_of
from rasterloom.raster.georeference import stretched
from rasterloom.registration.confidence import ACCEPTED, WEIGHTS, Evidence, refusal
from rasterloom.registration.motions import pixel_ratio
from rasterloom.registration.search import locate
from rasterloom.tools.scenes.ids import scene_ids
from rasterloom.tools.scenes.sensing import generate_scene
from rasterloom.tools.scenes.writing import VERSION

SIZES = (256, 512, 1024)
SCENES = 24
METHODS = tuple(WEIGHTS)
SIGNS = (1, -1, -1)
"""A clear peak speaks for a place; distance to the other method, and between directions, against it."""
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Result:
    """What became of a sensor: whether its place was accepted, by which method, and its error as in `Row`.

    `away` is the error in reference pixels (x, y) and `stated` its standard error, if it was accepted.
    """

    accepted: bool
    method: str
    error: float
    sensor: str
    away: tuple[float, float]
    stated: tuple[float, float] | None


@dataclass(frozen=True)
class Row:
    """An attempt: its scene, sensor and method, what spoke for it, and its error in pixels of the coarser image."""

    scene: str
    sensor: str
    method: str
    evidence: Evidence
    error: float
    plausible: bool


def load(cache: Path, size: int, number: int) -> tuple[str, dict[str, Floats], dict[str, NDArray[np.float64]]]:
    """A generated scene: its id, images (C, H, W) and shifts; kept in the cache."""
    name = scene_ids(SCENES, 0)[0][number]
    path = cache / f"{VERSION}_{size}_{name}.npz"
    if not path.exists():
        scene = generate_scene(name, 11, (size, size))
        shifts = {f"shift_{sensor}": np.array(shift) for sensor, shift in scene.shifts.items()}
        np.savez(path, **scene.sensors, **shifts)
    with np.load(path) as file:
        images = {sensor: np.float32(file[sensor]) for sensor in ("rgb", "p", "m", "a")}
        shifts = {sensor: file[f"shift_{sensor}"] for sensor in ("p", "m", "a")}
    return name, {k: v if v.ndim == 3 else v[None] for k, v in images.items()}, shifts


def hole(shape: tuple[int, int], rng: np.random.Generator) -> NDArray[np.bool_] | None:
    """Validity with a rectangle of up to 70 % of the area missing, or None."""
    if rng.random() < 0.6:
        return None
    area, stretch = rng.uniform(0, 0.7), rng.uniform(0.6, 1.6)
    height, width = (int(min(1.0, np.sqrt(area) * f) * n) for f, n in zip((stretch, 1 / stretch), shape, strict=True))
    top, left = int(rng.integers(0, shape[0] - height + 1)), int(rng.integers(0, shape[1] - width + 1))
    valid = np.ones(shape, np.bool_)
    valid[top : top + height, left : left + width] = False
    return valid


def hardened(own: Floats, other: Floats, rng: np.random.Generator) -> Floats:
    """A sensor's bands with other ground mixed in, or in their place; noise, inverted, clipped, hot pixels; or few."""
    share = rng.choice([0.0, rng.uniform(0, 1), 1.0], p=[0.35, 0.5, 0.15])
    other = np.stack([cv2.resize(band, own.shape[:0:-1]) for band in other])
    image = (1 - share) * own + share * other
    noise = rng.choice([0.0, 10 ** rng.uniform(-1, 1)], p=[0.3, 0.7])
    image = image + noise * image.std(axis=(1, 2), keepdims=True) * rng.standard_normal(image.shape, dtype=np.float32)
    if rng.random() < 0.3:
        image = -image
    if rng.random() < 0.2:
        image = np.minimum(image, np.quantile(image, 0.7, axis=(1, 2), keepdims=True))
    if rng.random() < 0.15:
        hot = rng.random(image.shape[1:]) < 0.001
        image[:, hot] += 20 * image.std(axis=(1, 2))[:, None]
    if rng.random() < 0.15:
        image = image[[rng.integers(0, len(image))]]
    return np.asarray(image, dtype=np.float32)


def attempts(case: int, seed: int, cache: Path) -> tuple[Result, list[Row]]:
    """One case: the result, and every attempt at it."""
    rng = np.random.default_rng([seed, case])
    size = int(rng.choice(SIZES, p=[0.3, 0.6, 0.1]))
    one = int(rng.integers(SCENES))
    ids = scene_ids(SCENES, 0)[0]
    two = int(rng.choice([i for i, other in enumerate(ids) if ground_of(other) != ground_of(ids[one])]))
    name, images, shifts = load(cache, size, one)
    sensor = str(rng.choice(["p", "m", "a"], p=[0.2, 0.3, 0.5]))
    spoilt = hardened(images[sensor], load(cache, size, two)[1][sensor], rng)
    height, width = images["rgb"].shape[1:]
    sources = {
        "rgb": ArraySource(images["rgb"], hole((height, width), rng)),
        sensor: ArraySource(spoilt, hole(spoilt.shape[1:], rng)),
    }
    if sensor == "a" and rng.random() < 0.7:
        sources["m"] = ArraySource(images["m"])
    limit = float(rng.choice([15.0, 60.0], p=[0.25, 0.75]))
    options = {k: {"registration": "auto", "motion": "translation", "max_shift": limit} for k in sources}
    stretches = {k: stretched((width, height), (s.shape[2], s.shape[1])) for k, s in sources.items() if k != "rgb"}
    places = {k: [[1 / SENSORS[k].pixel, 0.0, 0.0], [0.0, 1 / SENSORS[k].pixel, 0.0]] for k in stretches}
    unit = pixel_ratio(places[sensor])
    placed = locate("rgb", sources, places, (width, height), options, stretches)[sensor]

    def error(shift: tuple[float, float]) -> float:
        return float(np.hypot(*(np.array(shift) - shifts[sensor]))) / max(1.0, unit)

    rows = [
        Row(name, sensor, a.method, a.evidence, error(a.shift), refusal(1.0, a.evidence, a.shift, limit) is None)
        for a in placed.attempts
    ]
    away = (placed.shift[0] - shifts[sensor][0], placed.shift[1] - shifts[sensor][1])
    return Result(placed.accepted, placed.method, error(placed.shift), sensor, away, placed.error), rows


def fitted(rows: list[Row]) -> tuple[float, ...]:
    """Constant and weights of a logistic regression; 0 for a feature that would count the wrong way round."""
    features, right = np.array([row.evidence.features for row in rows]), [row.error <= 1 for row in rows]
    used = list(range(features.shape[1]))
    while True:
        model = LogisticRegression(C=10.0, max_iter=1000).fit(features[:, used], right)
        weights = dict(zip(used, model.coef_[0], strict=True))
        wrong = [i for i, weight in weights.items() if weight * SIGNS[i] < 0]
        if not wrong:
            break
        used = [i for i in used if i not in wrong]
    return (
        round(float(model.intercept_[0]), 3),
        *(round(float(weights.get(i, 0.0)), 3) for i in range(features.shape[1])),
    )


def judged(rows: list[Row], weights: tuple[float, ...]) -> NDArray[np.float64]:
    """Confidences."""
    constant, *others = weights
    score = constant + np.array([row.evidence.features for row in rows]) @ np.array(others)
    return np.asarray(1 / (1 + np.exp(-score)))


def report(method: str, rows: list[Row], sure: NDArray[np.float64]) -> None:
    """How often estimates of each confidence are right."""
    right, usable = np.array([row.error <= 1 for row in rows]), np.array([row.plausible for row in rows])
    for low, high in ((0, 0.1), (0.1, 0.3), (0.3, 0.5), (0.5, 0.7), (0.7, 0.9), (0.9, 0.97), (0.97, 1.01)):
        among = (sure >= low) & (sure < high)
        if among.any():
            print(f"  {method:10} {low:4.2f} to {min(high, 1):4.2f}  {among.sum():5}  right {right[among].mean():.3f}")
    accepted = (sure >= ACCEPTED) & usable
    wrong = int((~right[accepted]).sum())
    worst = max((row.error for row, used in zip(rows, accepted, strict=True) if used), default=0.0)
    print(
        f"  {method:10} accepted {accepted.sum()} of {right.sum()} right ones; wrong {wrong} "
        f"({100 * wrong / max(1, accepted.sum()):.2f} %), worst {worst:.2f} pixels of the coarser image"
    )


DECADES = (0.0, 0.03, 0.1, 0.3, 1.0, 3.0, 100.0)


def report_errors(results: list[Result]) -> None:
    """Stated standard errors against true errors, those right to a pixel of the coarser image; reference pixels."""
    used = [result for result in results if result.accepted and result.error <= 1]
    away, stated = np.array([r.away for r in used]), np.array([r.stated for r in used])
    squares = np.square(away / stated).sum(axis=1)
    true, said = np.hypot(*away.T), np.hypot(*stated.T)
    print("standard errors: cases, in the 95 % region, stated and true error (root mean square, a direction)")
    for low, high in pairwise(DECADES):
        if (among := (said >= low) & (said < high)).any():
            rms = [float(np.sqrt(np.square(values[among]).mean())) for values in (stated, away)]
            print(
                f"  {low:5.2f} to {high:6.2f}  {among.sum():5}  {np.mean(squares[among] < 5.99):.3f}"
                f"  {rms[0]:.3f} {rms[1]:.3f}"
            )
    for sensor in ("p", "m", "a", "all"):
        own = np.array([sensor in (r.sensor, "all") for r in used])
        inside, rank = np.mean(squares[own] < 5.99), spearmanr(said[own], true[own]).statistic
        print(f"  {sensor:4} {own.sum():5}  in the 95 % region {inside:.3f}, rank correlation {rank:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cache", type=Path, default=Path(gettempdir()) / "rasterloom-calibration")
    chosen = parser.parse_args()
    chosen.cache.mkdir(parents=True, exist_ok=True)
    cv2.setNumThreads(1)
    rows, results = list[Row](), list[Result]()
    for case in range(chosen.cases):
        result, made = attempts(case, chosen.seed, chosen.cache)
        results.append(result)
        rows += made
        if case % 100 == 99:
            print(f"{case + 1} of {chosen.cases} cases", flush=True)
    names = sorted({row.scene for row in rows})
    first = set(names[::2])
    print("weights fitted on half of the scenes, judged on the other half")
    for method in METHODS:
        own = [row for row in rows if row.method == method and row.evidence.clearness > 1]
        if len(own) < 50:
            print(f"  {method:10} {len(own)} attempts: too few")
            continue
        rest = [row for row in own if row.scene not in first]
        report(method, rest, judged(rest, fitted([row for row in own if row.scene in first])))
        print(f'  "{method}": {fitted(own)},  # all scenes')
    print("the weights in use, all scenes")
    for method in METHODS:
        own = [row for row in rows if row.method == method and row.evidence.clearness > 1]
        if own:
            report(method, own, judged(own, WEIGHTS[method]))
    report_errors(results)
    used = [result for result in results if result.accepted]
    wrong = sum(result.error > 1 for result in used)
    print(
        f"places accepted: {len(used)} of {len(results)}; wrong by more than a pixel of the coarser image: {wrong} "
        f"({100 * wrong / max(1, len(used)):.2f} %), worst {max(result.error for result in used):.2f} pixels"
    )


if __name__ == "__main__":
    main()
