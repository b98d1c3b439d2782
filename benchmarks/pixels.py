"""How good models per pixel are on few real scenes: pooled Jaccard of buildings on ten chips of Rio de Janeiro.

Five folds of two chips, each chip normalised by its own mean and deviation. Every chip is predicted by the models that
did not see it, and one threshold serves all of them: the best one. Seconds are those of all five trainings.

    RASTERLOOM_TEST_DATA=... OMP_NUM_THREADS=1 python benchmarks/pixels.py [--samples 100000]
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray

from rasterloom.learning.augment import Normalisation, TrainingScene, Window
from rasterloom.learning.pixel_features import PixelFeatures
from rasterloom.learning.pixel_models import fit, predict_pixels, sample_pixels
from rasterloom.learning.sampling import index_scene

CHIPS, FOLDS = (50, 51, 52, 53, 54, 55, 56, 57, 63, 64), 5
KINDS, WIDTHS = ("linear", "logistic", "forest", "boosting"), ((), (3, 9, 27), (3, 9, 27, 81))
PLAIN = Normalisation(np.zeros(3, np.float32), np.ones(3, np.float32), np.zeros(3, np.intp))


def chip(folder: Path, number: int) -> tuple[TrainingScene, Window]:
    """A chip that was normalised by its own numbers: as a scene to train on, and whole."""
    with rasterio.open(folder / f"images/rio_{number}.tif") as image:
        data = image.read().astype(np.float32)
    with rasterio.open(folder / f"masks/rio_{number}.tif") as mask:
        coverage = np.where(mask.read(1) > 0, np.uint8(255), np.uint8(0))
    seen = data.any(axis=0)
    data -= data[:, seen].mean(axis=1)[:, None, None]
    data /= data[:, seen].std(axis=1)[:, None, None]
    whole = data, np.where(seen, np.uint8(255), np.uint8(0))[None], coverage

    def read(y0: int, y1: int, x0: int, x1: int) -> Window:
        return data[:, y0:y1, x0:x1], whole[1][:, y0:y1, x0:x1], coverage[y0:y1, x0:x1]

    return TrainingScene(
        str(number), index_scene(lambda a, b: (coverage[a:b], whole[1][0, a:b]), len(seen)), read
    ), whole


def jaccard(counts: NDArray[np.int64]) -> float:
    """The best pooled Jaccard, from the pixels (not, really of the class) of each of 256 probabilities."""
    wrong, right = counts[:, ::-1].cumsum(axis=1)
    return float((right / (wrong + right[-1])).max())


def rows(folder: Path, samples: int) -> Iterator[str]:
    """A row of the table for each kind and neighbourhood."""
    chips = [chip(folder, number) for number in CHIPS]
    for kind, widths in product(KINDS, WIDTHS):
        features = PixelFeatures(np.zeros((0, 4), np.int32), widths)
        counts, seconds = np.zeros((2, 256), np.int64), 0.0
        for fold in range(FOLDS):
            train = [scene for i, (scene, _) in enumerate(chips) if i % FOLDS != fold]
            started = time.monotonic()
            model = fit(*sample_pixels(train, samples, 0, PLAIN, features), {"kind": kind}, {"threads": 1})
            seconds += time.monotonic() - started
            for _, (data, valid, coverage) in chips[fold::FOLDS]:
                found = np.stack(list(features.planes(data, valid, PLAIN)))[:, valid[0] > 0]
                level = np.rint(predict_pixels(model, found, 1) * 255).astype(np.int64)
                truth = coverage[valid[0] > 0] > 0
                counts += [np.bincount(level[truth == positive], minlength=256) for positive in (False, True)]
        yield f"| {kind} | {', '.join(map(str, widths)) or '-'} | {jaccard(counts):.3f} | {seconds:.0f} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=200_000, help="pixels that each model is trained on at most")
    samples = parser.parse_args().samples
    print("| kind | neighbourhood | Jaccard | seconds |\n|---|---|---|---|")
    for row in rows(Path(os.environ["RASTERLOOM_TEST_DATA"]) / "spacenet-rio", samples):
        print(row, flush=True)


if __name__ == "__main__":
    main()
