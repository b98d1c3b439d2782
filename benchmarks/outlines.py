"""Outlines: small objects through raster and back, beside other tools, and the cost of maps that are hard to trace."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import rasterio
import rasterio.features
import shapely
from numpy.typing import NDArray
from shapely import Polygon, affinity

from rasterloom.polygons.coverage import coverage
from rasterloom.polygons.geometry import strictly_valid, transformed
from rasterloom.polygons.jaccard import areas_of, united
from rasterloom.polygons.outlines import outlines

Image = NDArray[np.uint8]
Matrix = list[list[float]]

SIDE, STEP = 480, 40
"""Pixels of the image, and between objects."""

SCALES = {"native": 1.0, "2048": 3400 / 2048, "1024": 3400 / 1024}


def box(width: float, height: float) -> Callable[[np.random.Generator], Polygon]:
    """A box of a size, in pixels."""
    return lambda _: shapely.box(-width / 2, -height / 2, width / 2, height / 2)


def circle(area: float) -> Callable[[np.random.Generator], Polygon]:
    """A circle of an area, in square pixels."""
    return lambda _: shapely.Point(0, 0).buffer((area / np.pi) ** 0.5, quad_segs=16)


def wall(rng: np.random.Generator) -> Polygon:
    """Two walls, .95 pixels wide, 6 to 15 long, that meet in a corner."""
    one, other = rng.uniform(6, 15, 2)
    return shapely.LineString([(-one, 0), (0, 0), (0, other)]).buffer(0.475, cap_style="flat", join_style="mitre")


SHAPES = {
    "car 4.5 x 9": box(4.5, 9),
    "box 12 x 20": box(12, 20),
    "L 20 x 14": lambda _: Polygon([(-10, -7), (10, -7), (10, 0), (2, 0), (2, 7), (-10, 7)]),
    "circle 41 px": circle(41),
    "circle 300 px": circle(300),
    "line 2 x 16": box(2, 16),
    "wall .95 x 16": box(0.95, 16),
    "walls, corner": wall,
}


def objects(make: Callable[[np.random.Generator], Polygon], rng: np.random.Generator) -> list[Polygon]:
    """Shapes at random angles and places, `STEP` pixels apart."""
    places = [(x, y) for y in range(STEP // 2, SIDE, STEP) for x in range(STEP // 2, SIDE, STEP)]
    turned = [affinity.rotate(make(rng), rng.uniform(0, 360), origin=(0, 0)) for _ in places]
    return [
        affinity.translate(p, x + rng.uniform(-1, 1), y + rng.uniform(-1, 1))
        for p, (x, y) in zip(turned, places, strict=True)
    ]


def chords(image: Image, matrix: Matrix) -> Any:
    """The contour simplified by Douglas and Peucker to a quarter of a reference pixel, as it was until now."""
    return shapely.simplify(outlines(image, 127.5, matrix, simplify=0), 0.25)


def edges(image: Image, matrix: Matrix) -> Any:
    """Pixel edges, by rasterio.features.shapes."""
    found = rasterio.features.shapes((image > 127).astype(np.uint8))
    return transformed([shapely.geometry.shape(shape) for shape, value in found if value], matrix)


def opencv(image: Image, matrix: Matrix) -> Any:
    """cv2.findContours, through the centres of border pixels, moved by half a pixel to where centres are."""
    found, _ = cv2.findContours((image > 127).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    rings = [Polygon(ring[:, 0] + 0.5) for ring in found if len(ring) > 2]
    return transformed(np.array([ring for ring in rings if ring.is_valid], dtype=object), matrix)


def filled(truth: Any, size: int) -> Image:
    """A mask by cv2.fillPoly, whose vertices are the centres of pixels."""
    mask = np.zeros((size, size), np.uint8)
    for polygon in truth:
        corners = shapely.get_coordinates(polygon) * size / SIDE - 0.5
        cv2.fillPoly(mask, [np.rint(corners).astype(np.int32)], 255)
    return mask


METHODS: dict[str, Callable[[Image, Matrix], Any]] = {
    "fitted": lambda image, matrix: outlines(image, 127.5, matrix, thin=True),
    "rectangular": lambda image, matrix: outlines(image, 127.5, matrix, shape="rectangular", thin=True),
    "contour": lambda image, matrix: outlines(image, 127.5, matrix, simplify=0),
    "chords": chords,
    "rasterio": edges,
    "OpenCV": opencv,
}


def there_and_back() -> None:
    """One row per shape and scale: Jaccard, vertices and polygons per object of each method."""
    print("Jaccard | vertices | polygons per object; rasterio and OpenCV from masks of their own\n")
    print(f"{'':14}{'truth':>7}  " + "".join(f"{name:>19}" for name in METHODS))
    for scale, factor in SCALES.items():
        print(scale)
        for name, make in SHAPES.items():
            truth = np.array(objects(make, np.random.default_rng(0)), dtype=object)
            size = round(SIDE / factor)
            matrix = [[SIDE / size, 0.0, 0.0], [0.0, SIDE / size, 0.0]]
            image = coverage(list(truth), (size, size), matrix)
            hard = {
                "rasterio": 255 * coverage(list(truth), (size, size), matrix, supersample=1).astype(bool),
                "OpenCV": filled(truth, size),
            }
            cells = []
            for method, trace in METHODS.items():
                found = trace(hard.get(method, image), matrix)
                areas = areas_of(united(truth), united(found))
                vertices = (shapely.get_num_coordinates(found) - 1).sum() / truth.size
                jaccard = areas.tp / (areas.tp + areas.fp + areas.fn)
                cells.append(f"{jaccard:8.3f}{vertices:6.1f}{len(found) / truth.size:5.1f}")
            corners = (shapely.get_num_coordinates(truth) - 1).mean()
            print(f"{name:14}{corners:7.1f}  " + "".join(cells))


def noise(side: int, sigma: float, mean: float) -> Image:
    """Noise of a deviation of 60 around a mean, blurred."""
    field: Any = np.random.default_rng(0).random((side, side)).astype(np.float32)
    field = cv2.GaussianBlur(field, (0, 0), sigma) if sigma else field
    return np.asarray(np.clip(np.rint((field - field.mean()) / field.std() * 60 + mean), 0, 255), np.uint8)


def mirrored(path: Path, side: int) -> Image:
    """The first band of an image, spread over 0..255 and mirrored to a size."""
    with rasterio.open(path) as file:
        band = file.read(1).astype(np.float32)
    low, high = np.percentile(band, [2, 98])
    values = np.clip((band - low) / (high - low) * 255, 0, 255).astype(np.uint8)
    height, width = values.shape
    return np.pad(values, ((0, max(0, side - height)), (0, max(0, side - width))), "symmetric")[:side, :side]


def maps(sides: list[int], chip: Path | None) -> None:
    """One row per map: processor seconds per megapixel, polygons and area beside those of the contour."""
    print("\nmap            side   s/Mpx  contours  polygons    area  vertices  valid")
    cases = {"blurred .5": (0.5, 150.0), "blurred .7": (0.7, 140.0), "white": (0.0, 128.0)}
    for side in sides:
        images = {name: noise(side, *case) for name, case in cases.items()}
        if chip:
            images[chip.name[:14]] = mirrored(chip, side)
        for name, image in images.items():
            contour = outlines(image, 127.5, simplify=0)
            start = time.process_time()
            found = outlines(image, 127.5)
            spent = (time.process_time() - start) / image.size * 1e6
            area = shapely.area(found).sum() / shapely.area(contour).sum()
            print(
                f"{name:14} {side:4d} {spent:7.1f} {contour.size:9d} {found.size:9d} {area:7.4f} "
                f"{shapely.get_num_coordinates(found).sum():9d}  {strictly_valid(found)}"
            )


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sides", type=int, nargs="*", default=[300, 1000], help="of the maps, in pixels")
    parser.add_argument("--chip", type=Path, help="an image to trace as well, mirrored")
    chosen = parser.parse_args()
    there_and_back()
    maps(chosen.sides, chosen.chip)


if __name__ == "__main__":
    main()
