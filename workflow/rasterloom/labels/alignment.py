"""Where the labels of a scene lie on its image: outlines of polygons against edges of the image, shift by shift.

Labels are one more sensor, of a peculiar kind: it shows edges alone, and of some things only. So the direction of
edges counts too, whichever side is brighter: a gradient of direction a is a vector at the angle 2a. The likeness at a
shift is the sum of the scalar products of such vectors. It is a sum over polygons, so parts of them tell how sure its
peak is: they are drawn anew, again and again (bootstrap), and the peaks of these draws lie near it, or they do not.

Efron and Tibshirani, "An Introduction to the Bootstrap" (1993); Bigun and Granlund, "Optimal orientation detection of
linear symmetry", ICCV 1987, for the double angle.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rasterloom.polygons.coverage import coverage
from rasterloom.raster.grid import IDENTITY, Grid
from rasterloom.raster.sensor import SensorReader
from rasterloom.registration import edges, search
from rasterloom.registration.band_fit import detail_signal, detail_signals
from rasterloom.registration.comparison import Floats, Mask, View, comparison_grid, view
from rasterloom.registration.confidence import Evidence
from rasterloom.registration.motions import translation
from rasterloom.registration.search import BLUR, Attempt, Placed
from rasterloom.text import counted

METHOD = "outlines"

FEWEST = 5
"""Polygons without which nothing is estimated: parts of fewer do not tell how sure a shift is."""

PARTS = 24
"""Parts, at most, that polygons are divided into."""

DRAWS = 200
"""How often parts are drawn anew."""

SURE = 0.8
"""Share of the draws that must agree: their peak lies within half the width of the peak of all polygons."""

CLEAR = 1.6
"""Times the next highest that the peak must reach: rows of like houses look alike a house farther, in every draw."""

DARK = -0.02
"""Correlation of coverage and image below which, in every band, polygons lie on what is darker than its surroundings: a
shadow has the outline of what casts it, and stronger edges."""


def align(source: SensorReader, polygons: Sequence[Any], max_shift: float) -> Placed:
    """Place the labels of a scene on its reference image.

    Parameters
    ----------
    source : SensorReader
        The reference.
    polygons : (N,) sequence of shapely polygons
        In reference pixel coordinates, as the files of labels have them.
    max_shift : float
        The largest plausible shift on either axis, reference pixels.

    Returns
    -------
    Placed
        Its shift is by how much the labels lie beside the image: what the image shows at x, they have at x + shift. Its
        confidence is the share of the draws that agree, its error their deviation.

    Notes
    -----
    A scene of more than `FINE_SIDE` pixels a side is compared in a window of that side, where most edges are. Memory:
    some 100 bytes a pixel of it. Time: two transforms per part, 0.5 s at 512 pixels, 5 s at 1536.
    """
    _, height, width = source.shape
    whole = comparison_grid((width, height), 1.0, max(width, height))
    grid = _window(source, polygons, whole) if max(whole.shape) > search.FINE_SIDE else whole
    parts = [coverage(polygons[i::PARTS], grid.shape, grid.matrix) for i in range(min(PARTS, len(polygons)))]
    parts = [part for part in parts if part.any()]
    if len(parts) < FEWEST:
        few = f"{counted(len(polygons), 'polygon')} in the scene, {FEWEST} are needed"
        return Placed(IDENTITY, (0.0, 0.0), 0.0, METHOD, few, False)
    peak, away, tone = compare(view(source, IDENTITY, grid), parts, max_shift)
    near = away[np.hypot(*away.T) <= search.WIDTH]
    spread = round(float(np.median(np.hypot(*away.T))), 4)
    evidence = Evidence(round(peak.height, 4), round(peak.second, 4), spread, None, 0.0)
    sure = round(len(near) / DRAWS, 4) if evidence.clearness > 1 else 0.0
    shift = round(peak.shift[0], 4), round(peak.shift[1], 4)
    reason = None
    if sure < SURE:
        reason = f"its confidence is {sure:.2f}, {SURE:g} is needed"
    elif evidence.clearness < CLEAR:
        reason = f"the peak is {evidence.clearness:.2f} times as high as the next one, {CLEAR:g} is needed"
    elif tone < DARK:
        reason = "in every band it is darker there than around, as it is in the shadow of what was drawn"
    attempt = Attempt(METHOD, f"{len(polygons)} polygons", shift, sure, None, reason, evidence, translation(shift))
    placed = search.chosen_of(IDENTITY, [attempt])
    if not placed.accepted:
        return placed
    across, down = np.sqrt(np.square(near).mean(axis=0)).round(4).tolist()
    return replace(placed, error=(across, down))


def compare(
    shown: View, parts: Sequence[NDArray[np.uint8]], max_shift: float
) -> tuple[edges.Peak, NDArray[Any], float]:
    """Compare an image with labels.

    Parameters
    ----------
    shown : View
        The image, on a grid.
    parts : (P,) sequence of (H, W) uint8 arrays
        Coverage of the grid by each part of the polygons.
    max_shift : float
        Pixels, on either axis.

    Returns
    -------
    peak : Peak
        Of the likeness of all parts, -1..1.
    away : (`DRAWS`, 2) array
        From it to the peaks of parts drawn anew, x and y, pixels.
    tone : float
        How much brighter it is within the polygons than around them: the correlation, in the band where it is highest.
    """
    bands = [_directions(band, shown.valid, 0.5, edges.DETAIL) for band in shown.bands]
    ground = edges.spectra(np.sum(bands, axis=0), max_shift)
    far, likeness = edges.lags(ground.reach), list[Floats]()
    for part in parts:
        own = edges.spectra(_directions(part, np.ones(part.shape, bool), 1.0, 0.0), max_shift)
        planes = [replace(own, items=own.items[i : i + 1]) for i in (0, 1)]
        likeness.append(sum(edges.correlations(ground, i, plane, far)[0] for i, plane in enumerate(planes)))
    surfaces = np.stack(likeness) / np.float32(max(1.0, np.sqrt(ground.energy.sum() * len(parts) * shown.valid.size)))
    peak = edges.peak_of(surfaces.sum(axis=0), ground.reach, search.WIDTH)
    draws = np.random.default_rng(0).multinomial(len(parts), np.full(len(parts), 1 / len(parts)), DRAWS)
    drawn = (np.tensordot(draw, surfaces, 1) for draw in draws.astype(np.float32))
    away = np.array([edges.sharp_top(one, edges.top(one, ground.reach)) for one in drawn]) - peak.shift
    whole = np.asarray(np.sum(parts, axis=0, dtype=np.float32))
    covered = detail_signal(whole, np.ones(whole.shape, bool), BLUR)
    there = np.roll(covered, (-round(peak.shift[1]), -round(peak.shift[0])), (0, 1))
    return peak, away, float((detail_signals(shown, BLUR) * there).mean(axis=(1, 2)).max())


def _directions(band: NDArray[Any], valid: Mask, power: float, detail: float) -> Floats:
    """Gradients at twice their angle, (2, H, W) float32, of a length to a power; less their local mean over `detail`.

    Of mean square 1 over what is valid; 0 elsewhere, and where a blur mixes it with that.
    """
    across, down, usable = edges.slopes(band, valid, BLUR)
    length = np.maximum(np.hypot(across, down), np.float32(1e-6))
    double = np.stack([across**2 - down**2, 2 * across * down]) * (length ** np.float32(power - 2) * usable)
    if detail:
        double -= np.stack([edges.local_mean(plane, usable, detail) for plane in double]) * usable
    norm = float(np.sqrt(np.square(double, dtype=np.float64).sum() / max(1, np.count_nonzero(usable))))
    return np.asarray(double / np.float32(norm or 1.0), dtype=np.float32)


def _window(source: SensorReader, polygons: Sequence[Any], whole: Grid) -> Grid:
    """The part of a large scene, `FINE_SIDE` pixels a side at most, in which image and labels have most edges."""
    _, height, width = source.shape
    coarse = comparison_grid((width, height), 1.0, search.COARSE_SIDE)
    shown = view(source, IDENTITY, coarse)
    drawn = View(coverage(polygons, coarse.shape, coarse.matrix)[None], np.ones(coarse.shape, bool))
    one, other = (search.Signal("", 0, edges.combined_signal(each, BLUR), each.valid) for each in (shown, drawn))
    return search.best_window((one, other), coarse, whole)
