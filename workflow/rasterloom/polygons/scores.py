"""Scores of polygons against labels: areas and objects pooled over scenes, per class and part."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rasterloom.polygons.jaccard import Areas
from rasterloom.polygons.objects import Objects
from rasterloom.store.tables import read_tsv, tsv_text

AREAS = ("tp", "fp", "fn", "jaccard", "low", "high", "image_jaccard")

OBJECTS = ("true", "predicted", "matched", "precision", "recall", "f1", "count_error")

COLUMNS = ("part", "class", "scene", *AREAS, *OBJECTS, "threshold")
"""``low``, ``high``: 95 % interval of the pooled Jaccard (`interval`); ``image_jaccard``: mean of those of scenes.
docs/scoring.md defines all of them."""

RESAMPLES = 1000

Cell = str | int | float | None

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
    objects : mapping of scene to Objects
        Of the same scenes.
    ground : mapping of scene to ground
        A scene that is not in it is a ground of its own.
    thresholds : mapping of scene to float
        The thresholds used, where they are known.
    common : float or None
        The threshold of scenes that were not tuned on.
    pixels : mapping of scene to float
        What a pixel of each scene covers, in one unit for all; a scene that is not in it counts as 1.
    """

    name: str
    scenes: Mapping[str, Areas]
    objects: Mapping[str, Objects]
    ground: Mapping[str, str] = field(default_factory=dict)
    thresholds: Mapping[str, float] = field(default_factory=dict)
    common: float | None = None
    pixels: Mapping[str, float] = field(default_factory=dict)

    @property
    def weighted(self) -> dict[str, Areas]:
        """Areas by scene, weighted by the area of its pixel; the weights are 1 on average."""
        weights = {scene: self.pixels.get(scene, 1.0) for scene in self.scenes}
        mean = sum(weights.values()) / len(weights) if weights else 1.0
        return {scene: found.scaled(weights[scene] / mean) for scene, found in self.scenes.items()}

    @property
    def total(self) -> Areas:
        """The weighted areas of all scenes."""
        return sum(self.weighted.values(), Areas())


def interval(classes: Sequence[ClassScore]) -> tuple[float | None, float | None]:
    """What the pooled Jaccard, or its mean over several classes, could as well be on other grounds.

    Grounds are drawn as often as there are, with replacement, `RESAMPLES` times; scenes of one ground stay together,
    as do the classes of a scene.

    Parameters
    ----------
    classes : sequence of ClassScore

    Returns
    -------
    (low, high)
        Between which 95 % of the draws lie; None with fewer than two grounds, or if nothing is there to score.
    """
    grounds = sorted({own.ground.get(scene, scene) for own in classes for scene in own.scenes})
    areas = np.zeros((len(grounds), len(classes), 3))
    for place, own in enumerate(classes):
        for scene, found in own.weighted.items():
            areas[grounds.index(own.ground.get(scene, scene)), place] += found.tp, found.fp, found.fn
    areas = areas[:, areas.any(axis=(0, 2))]
    if len(grounds) < 2 or not areas.size:
        return None, None
    draws = np.random.default_rng(0).multinomial(len(grounds), [1 / len(grounds)] * len(grounds), RESAMPLES)
    totals = np.tensordot(draws, areas, 1)
    whole = totals.sum(axis=2)
    known = whole > 0  # a draw may hold nothing of a class
    scores = np.divide(totals[..., 0], whole, out=np.zeros_like(whole), where=known).sum(axis=1)
    counts = known.sum(axis=1)
    low, high = np.percentile(scores[counts > 0] / counts[counts > 0], [2.5, 97.5])
    return float(low), float(high)


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


def rows(part: str, classes: Iterable[ClassScore]) -> list[list[Cell]]:
    """Rows of the table for one part; none if it has no scene.

    Returns
    -------
    list of rows as in `COLUMNS`
        Per class its scenes and then ``all`` (pooled); last the ``mean`` of the pooled Jaccards. What is not defined
        is None.
    """
    found: list[list[Cell]] = []
    known = [entry for entry in classes if entry.scenes]
    for entry in known:
        for scene, measured in sorted(entry.scenes.items()):
            cells = _cells(measured, (None, None), None, entry.objects[scene])
            found.append([part, entry.name, scene, *cells, entry.thresholds.get(scene)])
        cells = _cells(
            entry.total, interval([entry]), _mean(entry.scenes.values()), sum(entry.objects.values(), Objects())
        )
        found.append([part, entry.name, "all", *cells, entry.common])
    if found:
        pooled = _mean(entry.total for entry in known)
        found.append([part, "mean", "all", *[None] * 3, pooled, *interval(known), None, *[None] * len(OBJECTS), None])
    return found


def _mean(measured: Iterable[Areas]) -> float | None:
    """The mean of Jaccards, without those that are not defined."""
    known = [score for own in measured if (score := own.jaccard) is not None]
    return sum(known) / len(known) if known else None


def _cells(
    areas: Areas, low_high: tuple[float | None, float | None], images: float | None, objects: Objects
) -> list[Cell]:
    measured = [areas.tp, areas.fp, areas.fn, areas.jaccard, *low_high, images]
    return [*measured, *(getattr(objects, name) for name in OBJECTS)]


def score_text(found: Iterable[Sequence[Cell]]) -> str:
    """The table of scores, in full precision; an empty cell where something is not defined."""
    return tsv_text(COLUMNS, (["" if cell is None else cell for cell in row] for row in found))


def known_errors(path: Path) -> dict[str, list[str]]:
    """By class, of its first part in ``score.tsv`` with truth: errors of its number and its area, and the part.

    Both are shares of the truth: 0.1 is a tenth too many, or too much. Classes without truth are left out.
    """
    found: dict[str, list[str]] = {}
    for row in read_tsv(path, COLUMNS, "score", "scores", dict):
        if row["scene"] == "all" and row["count_error"] and row["class"] not in found:
            tp, fp, fn = (float(row[name]) for name in ("tp", "fp", "fn"))
            found[row["class"]] = [row["count_error"], repr((fp - fn) / (tp + fn)), row["part"]]
    return found
