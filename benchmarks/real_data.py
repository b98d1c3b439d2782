"""The labelled scenes of benchmarks/real.py: chips of Rio, crops with trees."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
from numpy.typing import NDArray

from rasterloom.learning.sampling import SceneIndex, index_scene
from rasterloom.polygons.coverage import coverage as cover
from rasterloom.raster.grid import IDENTITY

RIO = (50, 51, 52, 53, 54, 55, 56, 57, 63, 64)
"""Chips that hold buildings; a chip validates in the fold of its place in this list, modulo five."""
BARE = (59, 60, 61, 62)
"""Chips with data and without buildings: mud, sea, edges. None trains; each is predicted by one fold's model."""
CROWN = 2.0
"""Metres: radius of the disc that stands for a tree."""


@dataclass(frozen=True)
class Scene:
    """A labelled scene in memory.

    Attributes
    ----------
    data : (C, H, W) digital numbers, uint8, or float32 of a blinded scene.
    valid : (1, H, W) uint8, 0 or 1.
    coverage : (H, W) uint8, 0..255.
    fold : the fold that predicts it; None where it only trains.
    points : (n, 2) float64 x and y of what is matched one to one, in pixels; None where outlines are the truth.
    metres : per pixel.
    trains : whether models of the other folds learn from it.
    """

    name: str
    data: NDArray[Any]
    valid: NDArray[np.uint8]
    coverage: NDArray[np.uint8]
    fold: int | None
    points: NDArray[np.float64] | None = None
    metres: float = 1.0
    trains: bool = True

    def blinded(self, level: float) -> Scene:
        """The scene with one and the same number all over its last channel."""
        data = self.data.astype(np.float32)
        data[-1] = level
        return replace(self, data=data)

    @cached_property
    def index(self) -> SceneIndex:
        """Positive pixels and valid ground."""
        return index_scene(lambda y0, y1: (self.coverage[y0:y1], self.valid[0, y0:y1]), len(self.coverage))

    @cached_property
    def moments(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Mean and deviation of each channel over valid pixels, (C,) each."""
        seen = self.data[:, self.valid[0] != 0].astype(np.float64)
        return seen.mean(axis=1).astype(np.float32), seen.std(axis=1).astype(np.float32)


def _folder(name: str) -> Path:
    folder = Path(os.environ.get("RASTERLOOM_TEST_DATA", "")).resolve() / name
    if not os.environ.get("RASTERLOOM_TEST_DATA") or not folder.is_dir():
        sys.exit(f"{folder} is not there: set RASTERLOOM_TEST_DATA to the folder that holds {name}")
    return folder


def _rio() -> list[Scene]:
    folder, scenes = _folder("spacenet-rio"), []
    for place, number in enumerate(RIO + BARE):
        with rasterio.open(folder / "images" / f"rio_{number}.tif") as file:
            data = file.read()
        with rasterio.open(folder / "masks" / f"rio_{number}.tif") as file:
            coverage = np.where(file.read(1) > 0, 255, 0).astype(np.uint8)
        valid = data.any(axis=0)[None].astype(np.uint8)
        scenes.append(Scene(f"rio_{number}", data, valid, coverage, place % 5, trains=number in RIO))
    return scenes


def _crops(fold: Callable[[str, str], int | None]) -> list[Scene]:
    folder, scenes = _folder("urban-trees"), []
    for row in csv.DictReader((folder / "scenes.tsv").open(encoding="utf-8"), delimiter="\t"):
        with rasterio.open(folder / row["image"]) as file:
            data, inverse, metres = file.read(), ~file.transform, float(file.transform.a)
        found = json.loads((folder / row["points"]).read_text(encoding="utf-8"))["features"] if row["points"] else []
        there = [inverse * tuple(feature["geometry"]["coordinates"][:2]) for feature in found]
        points = np.array(there, dtype=np.float64).reshape(-1, 2)
        discs = shapely.buffer(shapely.points(points), CROWN / metres)
        coverage = cover(list(discs), data.shape[1:], IDENTITY)
        city = row["scene"].rsplit("_", 2)[0]
        valid = np.ones((1, *data.shape[1:]), np.uint8)
        scenes.append(Scene(row["scene"], data, valid, coverage, fold(city, row["split"]), points, metres))
    return scenes


CITIES = ("claremont", "long_beach", "palm_springs", "riverside", "santa_monica")

DATA: Mapping[str, Callable[[], list[Scene]]] = {
    "rio": _rio,
    "trees": lambda: _crops(lambda city, split: 0 if split == "val" else None),
    "cities": lambda: _crops(lambda city, split: CITIES.index(city)),
}


def load(name: str) -> list[Scene]:
    """The scenes of a data set."""
    return DATA[name]()
