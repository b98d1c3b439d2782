"""The contest's tables for generated scenes: grid sizes, polygons as text, the sample submission."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

import shapely
from shapely.affinity import scale as scaled
from shapely.geometry import MultiPolygon, Polygon

from rasterloom.dataset.contest_ids import CLASS_NAMES
from rasterloom.tools.scenes.ids import generator

UNIT = 2.7e-6
"""Grid units of one pixel, about."""

EMPTY = "MULTIPOLYGON EMPTY"

CONVENTION = (
    "[dx, dy] in RGB pixels, x right, y down. A point of the ground that lies at edge coordinates (x, y) of the RGB "
    "image (W x H pixels) lies at edge coordinates ((x + dx) * w / W, (y + dy) * h / H) of the sensor's image "
    "(w x h pixels); so the matrix from reference to sensor is [[w / W, 0, dx * w / W], [0, h / H, dy * h / H]], "
    "and a negative dx means that the sensor's image shows everything further left."
)
"""Sign of the shifts, as written into ``shifts.json``."""


def grid_size(seed: int, scene_id: str, width: int, height: int) -> tuple[float, float]:
    """Xmax and Ymin (negative) of a scene, six decimals like the contest's."""
    rng = generator(seed, scene_id, "grid")
    return round(width * UNIT * float(rng.uniform(0.998, 1.003)), 6), -round(
        height * UNIT * float(rng.uniform(0.998, 1.003)), 6
    )


def to_grid_text(polygons: Sequence[Polygon], size: tuple[int, int], grid: tuple[float, float]) -> str:
    """Polygons in pixel coordinates as one valid MULTIPOLYGON in grid units.

    Parameters
    ----------
    polygons : in RGB pixel coordinates.
    size : (W, H) of the RGB image.
    grid : (Xmax, Ymin).

    Notes
    -----
    The inverse of the contest's ``x_px = x / Xmax * W * W / (W + 1)``. Eleven decimals: less than 1e-5
    pixels are lost.
    """
    if not polygons:
        return EMPTY
    (width, height), (xmax, ymin) = size, grid
    fx, fy = xmax * (width + 1) / width**2, ymin * (height + 1) / height**2
    texts = []
    for polygon in polygons:
        flat = scaled(polygon, fx, fy, origin=(0, 0))
        texts.append(shapely.to_wkt(flat, rounding_precision=11, trim=True))
    read = [shapely.from_wkt(text) for text in texts]
    sound = [p for item in read for p in shapely.get_parts(shapely.make_valid(item)).tolist() if isinstance(p, Polygon)]
    return shapely.to_wkt(MultiPolygon(sound), rounding_precision=11, trim=True)


def table(header: Sequence[str], rows: Iterable[Sequence[Any]], end: str = "\n") -> str:
    """A CSV table as text."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator=end)
    writer.writerow(header)
    writer.writerows(rows)
    return out.getvalue()


def wkt_table(records: Sequence[dict[str, Any]]) -> str:
    """Polygons of scenes, ten rows a scene in the order of the classes: ImageId, ClassType,
    MultipolygonWKT."""
    rows = ((r["scene"], number, r["wkt"][str(number)]) for r in records for number in CLASS_NAMES)
    return table(("ImageId", "ClassType", "MultipolygonWKT"), rows)


def grid_table(records: Sequence[dict[str, Any]]) -> str:
    """Grid sizes of scenes; the first column's header is empty, as in the contest."""
    return table(("", "Xmax", "Ymin"), ((r["scene"], f"{r['grid'][0]:.6f}", f"{r['grid'][1]:.6f}") for r in records))


def submission_table(records: Sequence[dict[str, Any]]) -> str:
    """The sample submission: CRLF, ten rows a scene, dummy rectangles."""
    rows = []
    for record in records:
        x, y = (f"{v:.6f}" for v in record["grid"])
        dummy = f"POLYGON ((0 0, {x} 0, {x} {y}, 0 {y}, 0 0))"
        rows += [(record["scene"], number, dummy) for number in CLASS_NAMES]
    return table(("ImageId", "ClassType", "MultipolygonWKT"), rows, "\r\n")


README = """# Generated scenes

Written by `rasterloom scenes`; no satellite saw them. Formats and names are those of the Dstl contest.

| file | holds |
|---|---|
| `three_band/{{id}}.tif` | RGB, (3, H, W) uint16, 0..2047, 0.31 m a pixel |
| `sixteen_band/{{id}}_P.tif` | panchromatic, (H, W), a pixel more or less than RGB |
| `sixteen_band/{{id}}_M.tif` | eight multispectral bands, (8, h, w), 1.24 m |
| `sixteen_band/{{id}}_A.tif` | eight short-wave infrared bands, (8, h, w), 0..16383, 7.7 m |
| `grid_sizes.csv` | Xmax and Ymin of every scene |
| `train_wkt_v4.csv` | polygons of the {train} training scenes |
| `truth_wkt.csv` | polygons of the {test} test scenes; for scoring only |
| `sample_submission.csv` | the rows and the order that a submission must have |
| `shifts.json` | how far each sensor's image is off the RGB image, for checks of a registration |
| `.scenes/` | one small record a scene, by which a further call knows what is there |

Seed {seed}, nominal size {width} x {height} pixels, generator version {version}.
The same command finds everything and changes nothing; other counts add or remove scenes and leave the rest as they are.
"""
