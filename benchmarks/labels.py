"""How well labels are put back on their image: generated scenes made hard, and real ones shifted by known offsets.

    python benchmarks/labels.py [--cases 300] [--seed 1] [--cache DIR]       # generated
    python benchmarks/labels.py --data DIR [--offsets 40]                    # Rio and Atlanta

Generated: polygons of a few classes of a scene, some moved about or elsewhere, beside their image by a known shift; a
fourth of the cases has labels of other ground, which nobody can place. Right is what lies within two pixels.

Real: where the labels truly lie is not known, so errors are measured from where they are put without a shift. Labels
that leave the image are cut off, and nothing comes in at the other side.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import cv2
import numpy as np
import shapely
from arrays import ArraySource
from calibration import hole
from numpy.typing import NDArray

from rasterloom.labels.alignment import CLEAR, FEWEST, align
from rasterloom.labels.files import placed, read_mask, read_vector
from rasterloom.labels.geometry import clip, mask_polygons, polygon_parts
from rasterloom.raster.files import open_raster, raster_info
from rasterloom.registration.search import Placed
from rasterloom.tools.scenes.ids import scene_ids
from rasterloom.tools.scenes.sensing import generate_scene

SIZES, SCENES = (256, 512, 768), 40
CLASSES = ((1,), (1,), (1, 2), (5,), (5,), (3, 4), (6,), (9, 10), (1, 3, 5, 6))
"""Classes, by number, that are drawn together."""
MAX_SHIFT, RIGHT = 30.0, 2.0
ROUND = 0.5
"""Degrees by which the first of the known offsets lies beside the x axis."""


@dataclass(frozen=True)
class Row:
    """A case: how sure and how clear its shift is; its error, None where nobody can place it; its error bar."""

    sure: float
    clear: float
    error: NDArray[np.float64] | None
    bar: tuple[float, float] | None

    @property
    def right(self) -> bool:
        """Whether the shift is within `RIGHT` pixels."""
        return self.error is not None and bool(np.hypot(*self.error) <= RIGHT)


def moved(polygons: Sequence[Any], shift: Any, size: tuple[int, int]) -> list[Any]:
    """Polygons moved by a shift, or each by one of its own (n, 2), and cut at the edges of an image (W, H)."""
    found = np.array(polygons, dtype=object)
    count = shapely.get_num_coordinates(found)
    steps = np.repeat(np.broadcast_to(shift, (len(found), 2)), count, axis=0)
    whole = shapely.set_coordinates(found.copy(), shapely.get_coordinates(found) + steps)
    return clip(list(whole[shapely.is_valid(whole)]), *size)[0]


def load(cache: Path, size: int, number: int) -> tuple[NDArray[np.uint16], dict[int, list[Any]]]:
    """A generated scene: its RGB image, its polygons by class; kept in the cache."""
    name = scene_ids(SCENES, 0)[0][number]
    path = cache / f"labels_{size}_{name}.npz"
    if not path.exists():
        scene = generate_scene(name, 17, (size, size))
        wkb = {str(key): np.array(shapely.to_wkb(own, hex=True), dtype=str) for key, own in scene.polygons.items()}
        np.savez(path, rgb=scene.sensors["rgb"], **wkb)
    with np.load(path) as file:
        return file["rgb"], {int(k): list(shapely.from_wkb(file[k])) for k in file.files if k != "rgb"}


def generated(case: int, seed: int, cache: Path) -> Row | None:
    """One generated case; None if it has too few polygons."""
    rng = np.random.default_rng([seed, case])
    size, number = int(rng.choice(SIZES)), int(rng.integers(SCENES))
    image, drawn = load(cache, size, number)
    lost = rng.random() < 0.25
    if lost:
        drawn = load(cache, size, (number + int(rng.integers(7, SCENES - 7))) % SCENES)[1]
    height, width = image.shape[1:]
    polygons = [p for key in CLASSES[int(rng.integers(len(CLASSES)))] for p in drawn.get(key, [])]
    rng.shuffle(polygons)
    polygons = polygons[: int(FEWEST * 40 ** rng.uniform(0, 1))]
    if len(polygons) < FEWEST:
        return None
    angle, length = rng.uniform(0, 2 * np.pi), rng.uniform(0, 25)
    shift = length * np.array([np.cos(angle), np.sin(angle)])
    own = rng.uniform(0, 2.5) * rng.standard_normal((len(polygons), 2))  # each drawn a little beside its place
    astray = rng.random(len(polygons)) < rng.uniform(0, 0.6)
    own[astray] += rng.uniform(-60, 60, (int(astray.sum()), 2))
    polygons = moved(list(shapely.simplify(polygons, rng.uniform(0, 2))), shift + own, (width, height))
    noise = rng.choice([0.0, 10 ** rng.uniform(-1, 0.5)], p=[0.3, 0.7])
    spread = image.std(axis=(1, 2), keepdims=True)
    seen = (image + noise * spread * rng.standard_normal(image.shape, dtype=np.float32)).astype(np.float32)
    place = align(ArraySource(seen, hole((height, width), rng)), polygons, MAX_SHIFT)
    if not place.attempts:
        return None
    attempt = place.attempts[0]
    away = None if lost else np.array(attempt.shift) - shift
    return Row(attempt.confidence, attempt.evidence.clearness, away, place.error)


def judge(rows: Sequence[Row]) -> None:
    """Print how often shifts are right, by confidence and by clearness, and what becomes of those that are used."""
    for title, low, high in (("not clear", 0.0, CLEAR), ("clear", CLEAR, np.inf)):
        for least, below in ((0, 0.5), (0.5, 0.7), (0.7, 0.8), (0.8, 0.9), (0.9, 0.97), (0.97, 1.01)):
            among = [row.right for row in rows if low <= row.clear < high and least <= row.sure < below]
            if among:
                print(f"  {title:9}  {least:4.2f} to {min(below, 1):4.2f}  {len(among):5}  right {np.mean(among):.3f}")
    used = [row for row in rows if row.bar is not None]
    known = [row for row in used if row.error is not None]
    away, bars = np.array([row.error for row in known]), np.array([row.bar for row in known])
    length = np.hypot(*away.T)
    print(
        f"  used {len(used)} of {sum(row.right for row in rows)} right ones; of other ground {len(used) - len(known)}"
    )
    print(f"  off by more than {RIGHT:g} pixels {(length > RIGHT).sum()}, worst {length.max():.1f}")
    print("  error of what is used: median {:.2f}, 95 % {:.2f} pixels".format(*np.quantile(length, [0.5, 0.95])))
    inside = np.square(away / np.maximum(bars, 0.05)).sum(axis=1) <= 5.99
    print(f"  within the 95 % region of the standard error: {inside.mean():.2f}")


def real_scenes(data: Path) -> Iterator[tuple[str, ArraySource, list[Any]]]:
    """Chips of Rio with a mask, and Atlanta: name, image, polygons in its pixels."""
    for path in sorted((data / "spacenet-rio/images").glob("*.tif")):
        info, where = raster_info(str(path)), path.name
        mask = read_mask(data / "spacenet-rio/masks" / path.name, None, info, where)
        outlines = mask.placement.place(mask_polygons(mask.positive), mask.positive.shape, where)
        yield path.stem, image_of(path), polygon_parts(outlines, where)[0]
    path = data / "spacenet-atlanta/sample_geotiff.tif"
    frame = read_vector(data / "spacenet-atlanta/geotiff_labels.geojson")
    yield "atlanta", image_of(path), polygon_parts(placed(frame, raster_info(str(path)), "").geometries, "")[0]


def image_of(path: Path) -> ArraySource:
    """An image, without data where all bands are 0."""
    with open_raster(path) as raster:
        bands = raster.read(0, raster.info.height, raster.info.data_bands)
    return ArraySource(bands, (bands != 0).any(axis=0))


def estimate(place: Placed) -> tuple[float, float]:
    """What was found, whether it is used or not."""
    return place.attempts[0].shift if place.attempts else (np.nan, np.nan)


def real(data: Path, offsets: int) -> None:
    """Print, for each real scene, what becomes of its labels when they are shifted."""
    print("scene     polygons  without a shift            error bar   used  within 1 px  refused  off by > 2 px  worst")
    for name, source, polygons in real_scenes(data):
        if not polygons:
            continue
        size = source.shape[2], source.shape[1]
        zero = align(source, polygons, MAX_SHIFT)
        where, bar = estimate(zero), zero.error or (np.nan, np.nan)
        errors, refused = [], 0
        for n in range(offsets):
            angle, length = np.radians(ROUND + 360 * n * 0.381966), 2 + 18 * n / max(1, offsets - 1)
            shift = np.array([np.cos(angle), np.sin(angle)]) * length
            place = align(source, moved(polygons, shift, size), MAX_SHIFT)
            if place.accepted:
                errors.append(float(np.hypot(*(np.array(place.shift) - shift - where))))
            refused += not place.accepted
        near, far = sum(e <= 1 for e in errors), sum(e > RIGHT for e in errors)
        print(
            f"{name:9} {len(polygons):8}  {where[0]:6.2f} {where[1]:6.2f} "
            f"{'accepted' if zero.accepted else 'refused':>9}  {bar[0]:6.2f} {bar[1]:5.2f}  {len(errors):5} {near:12}"
            f" {refused:8} {far:14}  {max(errors, default=np.nan):5.2f}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cache", type=Path, default=Path(gettempdir()) / "rasterloom-calibration")
    parser.add_argument("--data", type=Path, help="folder with spacenet-rio and spacenet-atlanta")
    parser.add_argument("--offsets", type=int, default=40)
    chosen = parser.parse_args()
    cv2.setNumThreads(1)
    if chosen.data is not None:
        real(chosen.data, chosen.offsets)
        return
    chosen.cache.mkdir(parents=True, exist_ok=True)
    judge([row for case in range(chosen.cases) if (row := generated(case, chosen.seed, chosen.cache)) is not None])


if __name__ == "__main__":
    main()
