"""Small objects through raster and back: coverage and sub-pixel outlines against a hard mask and pixel edges."""

from __future__ import annotations

import argparse

import numpy as np
import rasterio.features
import shapely
from shapely import Polygon, affinity

from rasterloom.polygons.coverage import coverage
from rasterloom.polygons.outlines import outlines

IDENTITY = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
SIZES = ((3.0, 3.0), (4.5, 9.0), (8.0, 20.0), (12.0, 20.0))


def objects(width: float, height: float, rng: np.random.Generator) -> list[Polygon]:
    """A hundred boxes at random angles, 40 pixels apart, on a grid of 400 x 400 pixels."""
    box = shapely.box(-width / 2, -height / 2, width / 2, height / 2)
    turned = [affinity.rotate(box, rng.uniform(0, 180), origin=(0, 0)) for _ in range(100)]
    return [
        affinity.translate(p, 20 + 40 * (i % 10) + rng.uniform(-1, 1), 20 + 40 * (i // 10) + rng.uniform(-1, 1))
        for i, p in enumerate(turned)
    ]


def iou(truth: list[Polygon], found: list[Polygon]) -> float:
    """Jaccard of the areas."""
    one, other = shapely.union_all(truth), shapely.union_all(found)
    return float(one.intersection(other).area / one.union(other).area)


def main() -> None:
    """Print one row per size."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    rng = np.random.default_rng(0)
    print("size         sub-pixel  vertices   pixel edges  vertices")
    for width, height in SIZES:
        truth = objects(width, height, rng)
        cover = coverage(truth, (400, 400), IDENTITY)
        fine = list(outlines(cover, 127.5))
        hard = rasterio.features.rasterize(truth, out_shape=(400, 400), dtype="uint8")
        edges = [
            Polygon(shape["coordinates"][0], shape["coordinates"][1:])
            for shape, value in rasterio.features.shapes(hard)
            if value
        ]
        vertices = [sum(shapely.get_num_coordinates(p) for p in found) for found in (fine, edges)]
        print(
            f"{width:4.1f} x {height:4.1f}  {iou(truth, fine):9.3f}  {vertices[0]:8d}   "
            f"{iou(truth, edges):11.3f}  {vertices[1]:8d}"
        )


if __name__ == "__main__":
    main()
