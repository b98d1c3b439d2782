"""Scores of polygons against labels: areas pooled over scenes, per class and part."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rasterloom.polygons.jaccard import Areas

COLUMNS = ("part", "class", "scene", "tp", "fp", "fn", "jaccard", "threshold")

HELD_OUT = "held-out"
"""Scenes whose truth no model was trained on."""

OUT_OF_FOLD = "out-of-fold"
"""Labelled scenes, each predicted by models that did not train on it and cut at a threshold tuned without it."""


@dataclass(frozen=True)
class ClassScore:
    """One class in one part.

    Attributes
    ----------
    name : str
    scenes : mapping of scene to Areas
        In square reference pixels.
    thresholds : mapping of scene to float
        The thresholds used.
    common : float
        The threshold of scenes that were not tuned on.
    pixels : mapping of scene to float
        What a pixel of each scene covers, in one unit for all; a scene that is not in it counts as 1.
    """

    name: str
    scenes: Mapping[str, Areas]
    thresholds: Mapping[str, float]
    common: float
    pixels: Mapping[str, float] = field(default_factory=dict)

    @property
    def total(self) -> Areas:
        """Areas pooled over scenes, each weighted by its pixel's area, the weights being 1 on average."""
        weights = {scene: self.pixels.get(scene, 1.0) for scene in self.scenes}
        mean = sum(weights.values()) / len(weights) if weights else 1.0
        return sum((found.scaled(weights[scene] / mean) for scene, found in self.scenes.items()), Areas())


def pixel_area(reference: Mapping[str, Any]) -> tuple[str, float]:
    """What a reference pixel covers on the map, and in which unit.

    Parameters
    ----------
    reference : mapping
        Of a registration: ``transform`` (2 x 3 map-from-pixel or None), ``crs`` and ``gsd`` (metres or None).

    Returns
    -------
    (unit, area)
        ``map``: square units of the map, without CRS but with a transform (the contest's grid units);
        ``metre``: square metres, with a CRS and a known ground sampling distance; else ``pixel`` and 1.
    """
    transform, crs, gsd = (reference.get(name) for name in ("transform", "crs", "gsd"))
    if crs is None and transform is not None:
        (a, b, _), (d, e, _) = transform
        area = abs(a * e - b * d)
        return ("map", float(area)) if area > 0 else ("pixel", 1.0)
    if crs is not None and gsd:
        return "metre", float(gsd) ** 2
    return "pixel", 1.0


def pixel_areas(references: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """`pixel_area` of each scene; 1 for all if their units differ, as they cannot be compared then."""
    found = {scene: pixel_area(reference) for scene, reference in references.items()}
    one_unit = len({unit for unit, _ in found.values()}) == 1
    return {scene: area if one_unit else 1.0 for scene, (_, area) in found.items()}


def rows(part: str, classes: Iterable[ClassScore]) -> list[list[str]]:
    """Rows of the table for one part; none if it has no scene.

    Returns
    -------
    list of rows as in `COLUMNS`
        Per class its scenes and then ``all`` (pooled); last the ``mean`` of the pooled Jaccards. Where there is
        neither truth nor prediction the Jaccard is empty.
    """
    found: list[list[str]] = []
    known = [entry for entry in classes if entry.scenes]
    for entry in known:
        for scene, measured in sorted(entry.scenes.items()):
            found.append([part, entry.name, scene, *_cells(measured), f"{entry.thresholds[scene]:g}"])
        found.append([part, entry.name, "all", *_cells(entry.total), f"{entry.common:g}"])
    if found:
        scores = [score for entry in known if (score := entry.total.jaccard) is not None]
        mean = sum(scores) / len(scores) if scores else None
        found.append([part, "mean", "all", "", "", "", _score(mean), ""])
    return found


def _cells(measured: Areas) -> list[str]:
    return [f"{measured.tp:.3f}", f"{measured.fp:.3f}", f"{measured.fn:.3f}", _score(measured.jaccard)]


def _score(value: float | None) -> str:
    return "" if value is None else f"{value:.6f}"
