"""Outlines: objects through raster and back, beside other tools, and the cost of maps that are hard to trace.

    python benchmarks/outlines.py --labels buildings.geojson --image image.tif --contest data/demo
    python benchmarks/outlines.py --large 20000

`--labels` with `--image`, and `--contest` (a folder in the contest's layout), add drawn labels, each class of one
scene. `--large` says instead what a scene of many ellipses takes.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import geopandas
import numpy as np
import pandas as pd
import rasterio
import rasterio.features
import shapely
from contourpy import FillType, contour_generator
from numpy.typing import NDArray
from ratios import record
from shapely import Polygon, affinity

from rasterloom.polygons.coverage import coverage
from rasterloom.polygons.geometry import strictly_valid, transformed
from rasterloom.polygons.jaccard import areas_of, united
from rasterloom.polygons.outlines import outlines
from rasterloom.raster.grid import IDENTITY

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


def contour(image: Image, matrix: Matrix) -> Any:
    """The contour at the level by contourpy, closed at the edges of the image."""
    y, x = (np.concatenate([[0.0], np.arange(size) + 0.5, [float(size)]]) for size in image.shape)
    generator: Any = contour_generator(
        x, y, np.pad(image, 1, mode="edge"), fill_type=FillType.ChunkCombinedOffsetOffset
    )
    points, *offsets = (part[0] for part in generator.filled(127.5, np.inf))
    if points is None:
        return np.empty(0, object)
    return transformed(shapely.from_ragged_array(shapely.GeometryType.POLYGON, points, tuple(offsets)), matrix)


def chords(image: Image, matrix: Matrix) -> Any:
    """The contour simplified by Douglas and Peucker to a quarter of a reference pixel."""
    return shapely.simplify(contour(image, matrix), 0.25)


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
    "fitted": lambda image, matrix: outlines(image, 127.5, matrix),
    "rectangular": lambda image, matrix: outlines(image, 127.5, matrix, shape="rectangular"),
    "contour": contour,
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


def drawn(name: str, truth: list[Any], width: int, height: int) -> None:
    """One row per scale: Jaccard, vertices and polygons of each method beside those of labels in pixels of an image."""
    polygons = np.array([part for shape in truth for part in shapely.get_parts(shape)], dtype=object)
    if not polygons.size:
        return
    whole = united(polygons)
    for scale, factor in SCALES.items():
        w, h = round(width / factor), round(height / factor)
        matrix = [[width / w, 0.0, 0.0], [0.0, height / h, 0.0]]
        image = coverage(list(polygons), (h, w), matrix)
        hard = 255 * coverage(list(polygons), (h, w), matrix, supersample=1).astype(bool)
        cells = []
        for method in ("fitted", "chords", "rasterio"):
            found = METHODS[method](hard if method == "rasterio" else image, matrix)
            areas = areas_of(whole, united(found))
            jaccard = areas.tp / (areas.tp + areas.fp + areas.fn)
            cells.append(f"{jaccard:8.3f}{(shapely.get_num_coordinates(found) - 1).sum():7d}{len(found):6d}")
        corners = (shapely.get_num_coordinates(polygons) - 1).sum()
        print(f"{name:18}{scale:8}{corners:7d}{polygons.size:6d}  " + "".join(cells))


def labels_of(image: Path, labels: Path) -> tuple[list[Any], int, int]:
    """Polygons of a vector file in pixels of an image, cut at its edges, and its width and height."""
    with rasterio.open(image) as file:
        to_pixels, width, height, system = ~file.transform, file.width, file.height, file.crs
    shapes = geopandas.read_file(labels).to_crs(system).geometry.make_valid().affine_transform(to_pixels.to_shapely())
    cut = shapes.intersection(shapely.box(0, 0, width, height)).explode()
    return list(cut[(cut.geom_type == "Polygon") & (cut.area > 0)]), width, height


def contest_labels(folder: Path) -> Iterator[tuple[str, list[Any], int, int]]:
    """Classes of the first labelled scene of a folder in the contest's layout: polygons in pixels, width and height."""
    grids = pd.read_csv(folder / "grid_sizes.csv", index_col=0)
    rows = pd.read_csv(folder / "train_wkt_v4.csv")
    scene = rows["ImageId"].min()
    with rasterio.open(folder / "three_band" / f"{scene}.tif") as file:
        width, height = file.width, file.height
    x, y = grids.loc[scene]
    scale = [width * width / (width + 1) / x, height * height / (height + 1) / y]
    for row in rows[rows["ImageId"] == scene].itertuples():
        shape = shapely.transform(shapely.from_wkt(row.MultipolygonWKT), lambda corners: corners * scale)
        yield f"class {row.ClassType}", [shape], width, height


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
            traced = outlines(image, 127.5, simplify=0)
            start = time.process_time()
            found = outlines(image, 127.5)
            spent = (time.process_time() - start) / image.size * 1e6
            area = shapely.area(found).sum() / shapely.area(traced).sum()
            print(
                f"{name:14} {side:4d} {spent:7.1f} {traced.size:9d} {found.size:9d} {area:7.4f} "
                f"{shapely.get_num_coordinates(found).sum():9d}  {strictly_valid(found)}"
            )


def ellipses(side: int) -> Image:
    """Ellipses in any direction, 48 pixels apart, blurred by a pixel."""
    rng, image = np.random.default_rng(0), np.zeros((side, side), np.uint8)
    for y in range(24, side, 48):
        for x in range(24, side, 48):
            size, turn = rng.integers(3, 9), rng.integers(0, 180)
            place = x + int(rng.integers(-6, 7)), y + int(rng.integers(-6, 7))
            cv2.ellipse(image, place, (int(size), int(2 * size)), int(turn), 0, 360, 230, -1)
    for top in range(0, side, 960):  # in strips, so that the most memory is that of the outlines
        image[top : top + 960] = cv2.GaussianBlur(image[top : top + 960], (0, 0), 1)
    return image


def large(side: int) -> None:
    """The time and the most memory that outlines of a large scene take."""
    image = ellipses(side)
    outlines(image[:100, :100], 127.5)  # what is imported counts for nothing
    start = time.process_time()
    found = outlines(image, 127.5)
    spent, peak = time.process_time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    vertices = shapely.get_num_coordinates(found).sum()
    print(f"{side} x {side}: {found.size} objects, {vertices} vertices, {spent:.2f} s, at most {peak:.2f} GB")
    start = time.process_time()
    shapely.simplify(edges(image, IDENTITY), 0.25)
    record(f"outlines of {found.size} objects", "rasterio's shapes, simplified", (time.process_time() - start) / spent)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sides", type=int, nargs="*", default=[300, 1000], help="of the maps, in pixels")
    parser.add_argument("--large", type=int, help="nothing but time and memory for a scene of so many pixels a side")
    parser.add_argument("--chip", type=Path, help="an image to trace as well, mirrored")
    parser.add_argument("--labels", type=Path, help="a vector file of polygons; with --image")
    parser.add_argument("--image", type=Path, help="the image that --labels were drawn on")
    parser.add_argument("--contest", type=Path, help="a folder in the contest's layout")
    chosen = parser.parse_args()
    if chosen.large:
        large(chosen.large)
        return
    there_and_back()
    print("\nlabels            scale     truth        fitted               chords               rasterio")
    if chosen.labels:
        drawn(chosen.labels.stem[:18], *labels_of(chosen.image, chosen.labels))
    for row in contest_labels(chosen.contest) if chosen.contest else ():
        drawn(*row)
    maps(chosen.sides, chosen.chip)


if __name__ == "__main__":
    main()
