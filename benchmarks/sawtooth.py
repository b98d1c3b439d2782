"""How well the other tiles of an acquisition say where one lies whose own estimate was refused.

    python benchmarks/sawtooth.py [--acquisitions 200] [--seed 1]

Tiles of 5 x 5 are cut from one image of a sensor and one of the reference, each at whole pixels of its own, so that
what a sensor is off jumps from column to column (x) and from row to row (y), as measured on real tiles: 6120's
short-wave infrared lies -3, -22, -46, -69 and -45 pixels to the right by column in every row. Each tile is left out
once and filled in by the others: by the median of all, and by row or column where these say it better. Errors are in
RGB pixels.
"""

import argparse

import numpy as np
from numpy.typing import NDArray

from rasterloom.dataset.contest_ids import SENSORS
from rasterloom.registration.acquisition import Expected, expected

TILES = 5
SENSOR = {"m": (1.5, 0.5), "a": (14.0, 1.6)}
"""By sensor: how much acquisitions differ in what the sensor is off, and single tiles; deviations, RGB pixels."""
TAILS = 0.05
"""Share of tiles that differ five times as much."""


def drawn(rng: np.random.Generator, sensor: str, jumps: bool) -> NDArray[np.float64]:
    """Shifts along an axis of the tiles of an acquisition, by line, (5, 5), RGB pixels.

    With `jumps` the pitch of the tiles is no whole number of the sensor's pixels: each is cut at the pixel before, or
    the one after that.
    """
    pixel, (apart, noise) = SENSORS[sensor].pixel, SENSOR[sensor]
    pitch = rng.uniform(0, pixel) * np.arange(TILES)
    cut = pixel * (np.floor(pitch / pixel) + rng.choice([0, 1], TILES, p=[0.8, 0.2]))
    lines = rng.normal(0, apart) + (cut - pitch if jumps else np.zeros(TILES))
    spread = noise * np.where(rng.random((TILES, TILES)) < TAILS, 5.0, 1.0)
    return np.asarray(lines[:, None] + spread * rng.standard_normal((TILES, TILES)))


def left_out(shifts: NDArray[np.float64], known: bool) -> tuple[list[float], list[Expected]]:
    """What each tile is missed by, along an axis, and what was expected of it."""
    lines = np.repeat(np.arange(TILES), TILES).astype(str) if known else np.full(TILES**2, "")
    values = shifts.ravel()
    found = [expected(np.delete(values, i).tolist(), np.delete(lines, i).tolist(), lines[i]) for i in range(TILES**2)]
    return [abs(one.shift - value) for one, value in zip(found, values, strict=True)], found


def figures(errors: list[float], pixel: float) -> str:
    """Median, 90 % and worst error, and the share beyond a pixel of the sensor."""
    middle, high = np.quantile(errors, [0.5, 0.9])
    return f"{middle:5.1f} /{high:5.1f} /{max(errors):5.1f}, {np.mean(np.array(errors) > pixel):6.1%}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--acquisitions", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    print("an axis: median / 90 % / worst error, beyond a pixel of the sensor; expected / true error, root mean square")
    for jumps in (True, False):
        print("cut at whole pixels" if jumps else "all tiles alike")
        for sensor in SENSOR:
            for known, way in ((False, "median"), (True, "row and column")):
                rng, errors, foretold = np.random.default_rng(chosen.seed), list[float](), list[float]()
                for _ in range(chosen.acquisitions):
                    missed, found = left_out(drawn(rng, sensor, jumps), known)
                    errors += missed
                    foretold += [one.error for one in found]
                said, true = (float(np.sqrt(np.mean(np.square(values)))) for values in (foretold, errors))
                print(f"  {sensor}  {way:15}{figures(errors, SENSORS[sensor].pixel)}; {said:.2f} / {true:.2f}")


if __name__ == "__main__":
    main()
