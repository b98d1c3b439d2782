"""Where the sensors of a scene lie on its reference: shifts estimated in two ways, checked, and believed or not.

Finer sensors come first, so that they can help with coarser ones (short-wave infrared is found on the multispectral
bands more surely than on red, green and blue). The first method correlates edges and refines the place by ECC; the
second fits bands of one image to those of the other (`registration.band_fit`). They fail in different ways: that
they agree is the best sign that both are right.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import takewhile
from typing import Any

import numpy as np

from rasterloom.raster.grid import IDENTITY, Grid, Matrix, compose, invert
from rasterloom.raster.sensor import SensorReader
from rasterloom.registration import edges, motions
from rasterloom.registration.band_fit import ALONE, best_fits, components, detail_signals, principal
from rasterloom.registration.comparison import Floats, Mask, View, comparison_grid, view
from rasterloom.registration.confidence import Evidence, confidence, refusal
from rasterloom.registration.refinement import Compared, Fit, NotRefined, refined

EXPLAINED = 20.0
"""Squared distance, in standard errors, at which a size of pixels still explains what is seen: one case in 20,000 is
farther off by chance."""

MOST = 1.5
"""Pixels of the coarser image by which a refinement, or another size of the sensor's pixels, may move anything."""

COARSE_SIDE = 512
"""Pixels per side, at most, of the grid on which a place is searched for, and signals are compared."""

FINE_SIDE = 1536
"""Pixels per side, at most, of the grid on which ECC refines it."""

CLOSER = 2.0
"""Where the fine grid's pixels are this much larger than need be, ECC refines the place once more in a window."""

COARSER = 2.5
"""A grid's pixels are this much smaller than the coarser image's: the finer is averaged, the coarser enlarged."""

BLUR = 1.0
"""Deviation, in pixels of a grid, of the Gaussian that brings both images to one resolution."""

WIDTH = 1 + 2 * BLUR
"""Half width of a correlation's peak, pixels of a grid."""

BRIDGE = 1.5
"""A sensor in place helps with a coarser one if its pixels lie between in size, at least by this factor."""

TURNS = np.arange(-12, 13) / 4
"""Rotations that are tried for a Euclidean motion, degrees: three either way are plausible."""


@dataclass(frozen=True)
class Attempt:
    """One estimate of a place.

    Attributes
    ----------
    method : str
        ``ecc``; ``phase``, the correlation's peak, where ECC failed; or ``regression``.
    against : str
        What the sensor was compared with.
    shift : (dx, dy)
        Reference pixels, at the middle of the scene.
    confidence : float
        0..1, see `rasterloom.registration.confidence`.
    consistency : float or None
        Distance, in reference pixels, between the shift found from the reference to the sensor and from the sensor
        to the reference.
    refused : str or None
        Why it is not used.
    evidence : Evidence
        What the confidence rests on.
    matrix : 2 x 3 list of rows
        Reference to sensor edge coordinates.
    """

    method: str
    against: str
    shift: tuple[float, float]
    confidence: float
    consistency: float | None
    refused: str | None
    evidence: Evidence
    matrix: Matrix = field(repr=False)


@dataclass(frozen=True)
class Placed:
    """Where a sensor lies: its matrix (reference to sensor edge coordinates) and how that was found.

    Attributes
    ----------
    matrix, shift, confidence, against, consistency
        As in `Attempt`; the shift is that of the matrix beyond the nominal place.
    method : str
        ``identity`` (the reference), ``none``, ``given``, that of the attempt, or ``nominal`` if none was accepted.
    fallback : str or None
        Why the nominal place is used, or the second method.
    accepted : bool
        Whether the place is given, or was found with confidence.
    attempts : tuple of Attempt
    scale : str
        What explains the size of the sensor's pixels: ``files``, ``stretched`` (the images' sizes) or ``free``
        (estimated).
    error : (ex, ey) or None
        Standard error of an accepted estimate at the middle of the scene, reference pixels.
    apart : tuple of (dx, dy)
        By band, what it is off beyond the place of all, reference pixels; empty if all are together.
    """

    matrix: Matrix
    shift: tuple[float, float]
    confidence: float
    method: str
    fallback: str | None = None
    accepted: bool = True
    against: str | None = None
    consistency: float | None = None
    attempts: tuple[Attempt, ...] = ()
    scale: str = "files"
    error: tuple[float, float] | None = None
    apart: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class _Shown:
    """What a sensor shows on the coarse grid, and its signals there, computed once."""

    view: View

    @cached_property
    def edges(self) -> list[Floats]:
        """Of every band, and of all together."""
        return edges.gradient_signals(self.view, BLUR)

    @cached_property
    def details(self) -> Floats:
        """Of every band, (B, H, W)."""
        return detail_signals(self.view, BLUR)

    def signals(self, name: str) -> list["Signal"]:
        """`edges` as those of the sensor, which is called `name`."""
        return [Signal(name, index, values, self.view.valid) for index, values in enumerate(self.edges)]


@dataclass(frozen=True)
class Signal:
    """A signal of a sensor on a grid: that of band `index`, or of all bands together where that is their number."""

    name: str
    index: int
    values: Floats
    valid: Mask


Pair = tuple[Signal, Signal]
"""A signal of the references, and one of the sensor."""


@dataclass(frozen=True)
class Candidate:
    """What one method found: a motion of the reference's pixels, what speaks for it, and what failed."""

    method: str
    against: str
    motion: Matrix
    evidence: Evidence
    failure: str | None = None


def locate(
    reference: str,
    sources: Mapping[str, SensorReader],
    nominal: Mapping[str, Matrix],
    size: tuple[int, int],
    options: Mapping[str, Mapping[str, Any]],
    stretches: Mapping[str, Matrix] | None = None,
) -> dict[str, Placed]:
    """Place the sensors of a scene.

    Parameters
    ----------
    reference : str
        The sensor that stays where it is.
    sources : mapping of str to SensorReader
        Its sensors.
    nominal : mapping of str to 2 x 3 list of rows
        From reference to sensor edge coordinates as the files have it, of every sensor but the reference.
    size : (W, H)
        Of the reference.
    options : mapping
        By sensor ``registration`` (``auto``, ``none``, ``{"shift": [dx, dy]}`` or ``{"matrix": 2 x 3}``), ``motion``
        (``translation``, ``scale``, ``euclidean`` or ``affine``), ``max_shift`` (reference pixels), ``alignment``.
    stretches : mapping of str to 2 x 3 list of rows, optional
        The place by the images' sizes of sensors whose files do not say how large their pixels are: `nominal` then is
        the likelier of two or more.

    Returns
    -------
    dict of str to Placed

    Notes
    -----
    Memory: three bands on a grid of `FINE_SIDE` pixels per side, or all bands on one of `COARSE_SIDE`, whatever the
    size of the scene. A shift of a large scene is refined in its most telling window at full resolution.
    """
    placed = {reference: Placed(IDENTITY, (0.0, 0.0), 1.0, "identity")}
    seen: dict[tuple[str, tuple[int, int]], _Shown] = {}
    for name in sorted(nominal, key=lambda name: (motions.pixel_ratio(nominal[name]), name)):
        chosen = options[name]
        if chosen["registration"] == "auto":
            stretch = (stretches or {}).get(name)
            placed[name] = _Search(reference, sources, placed, seen, name, nominal[name], size, chosen, stretch).run()
        else:
            placed[name] = given(chosen["registration"], nominal[name], size)
    return placed


def given(method: Any, nominal: Matrix, size: tuple[int, int]) -> Placed:
    """The place that the configuration gives: ``none``, ``{"shift": [dx, dy]}`` or ``{"matrix": 2 x 3}``."""
    if method == "none":
        return Placed(nominal, (0.0, 0.0), 1.0, "none")
    if "shift" in method:
        shift = (float(method["shift"][0]), float(method["shift"][1]))
        return Placed(compose(nominal, motions.translation(shift)), shift, 1.0, "given")
    matrix = [[float(v) for v in row] for row in method["matrix"]]
    return Placed(matrix, motions.middle_shift(compose(invert(nominal), matrix), size), 1.0, "given")


def chosen_of(nominal: Matrix, attempts: Sequence[Attempt]) -> Placed:
    """The place by the first attempt that is believed; the nominal one, with the reasons, if none is."""
    refused = list(takewhile(lambda attempt: attempt.refused, attempts))
    reasons = "; ".join(f"{attempt.method}: {attempt.refused}" for attempt in refused)
    if len(refused) == len(attempts):
        sure = max(attempt.confidence for attempt in attempts)
        return Placed(nominal, (0.0, 0.0), sure, "nominal", reasons, False, attempts=tuple(attempts))
    found = attempts[len(refused)]
    fallback = f"{reasons}: {found.method} is used" if refused else None
    shared = {name: getattr(found, name) for name in ("matrix", "shift", "confidence", "against", "consistency")}
    return Placed(**shared, method=found.method, fallback=fallback, attempts=tuple(attempts))


_SCALED = {"translation": "scale", "euclidean": "affine"}
"""Motions, and what they are with the size of pixels as well."""


@dataclass
class _Search:
    """The search for the place of one sensor."""

    reference: str
    sources: Mapping[str, SensorReader]
    placed: Mapping[str, Placed]
    seen: dict[tuple[str, tuple[int, int]], _Shown]
    name: str
    nominal: Matrix
    size: tuple[int, int]
    options: Mapping[str, Any]
    stretch: Matrix | None

    def __post_init__(self) -> None:
        self.limit, self.kind = float(self.options["max_shift"]), str(self.options["motion"])
        self.motion = "euclidean" if self.kind in {"euclidean", "affine"} else "translation"
        self.pixel = motions.pixel_ratio(self.nominal)
        self.coarse = comparison_grid(self.size, self.pixel / COARSER, COARSE_SIDE)
        self.fine = comparison_grid(self.size, self.pixel / COARSER, FINE_SIDE)
        self.unit = max(self.pixel, *self.coarse.pixel)
        self.reach = self.limit / min(self.coarse.pixel)

    def run(self) -> Placed:
        """The place, by the first attempt that is believed; the nominal one, with the reasons, if none is."""
        pixels = {name: motions.pixel_ratio(own.matrix) for name, own in self.placed.items() if own.accepted}
        bridges = (name for name, pixel in pixels.items() if BRIDGE <= pixel <= self.pixel / BRIDGE)
        views = {other: self._in_place(other) for other in dict.fromkeys([self.reference, *bridges])}
        base = self.nominal if self.motion == "translation" else self._turned(views)
        own = _Shown(view(self.sources[self.name], base, self.coarse))
        pair = self._pair(views, own)
        near, details = self._near(pair, base, self.fine), self._details(views, own)
        found = self._judged(base, self._edges(pair, near), self._bands("+".join(views), details))
        placed = chosen_of(self.nominal, found)
        by_bands = self.coarse == self.fine or placed.method == "regression"  # edges led elsewhere
        shown, grid = (details, self.coarse) if by_bands else (near, self.fine)
        placed = self._closer(placed, base, pair, shown, grid) if placed.accepted else placed
        if placed.accepted and self.options.get("alignment") == "apart":
            return replace(placed, apart=self._apart(placed, base, details))
        return placed

    def _in_place(self, other: str) -> _Shown:
        """A sensor that was placed, on the coarse grid; read once for all sensors that are compared there."""
        key = (other, self.coarse.shape)
        if key not in self.seen:
            self.seen[key] = _Shown(view(self.sources[other], self.placed[other].matrix, self.coarse))
        return self.seen[key]

    def _judged(self, base: Matrix, by_edges: Sequence[Candidate], bands: Candidate) -> list[Attempt]:
        """What both methods found, with the confidence that their agreement gives."""
        one, other = (np.array(motions.middle_shift(found.motion, self.size)) for found in (by_edges[-1], bands))
        apart = float(np.linalg.norm(one - other)) / self.unit
        clearest = max(by_edges[-1].evidence.clearness, bands.evidence.clearness)
        attempts = []
        for found in (*by_edges, bands):
            motion = motions.rounded(compose(invert(self.nominal), compose(base, found.motion)), self.motion)
            shift = motions.middle_shift(motion, self.size)
            evidence = replace(found.evidence, apart=round(apart, 4), clearest=round(clearest, 4))
            sure = 0.0 if found.failure else round(confidence(found.method, evidence), 4)
            reason = found.failure or refusal(sure, evidence, shift, self.limit)
            inconsistent = evidence.inconsistent
            back = None if inconsistent is None else round(inconsistent * self.unit, 4)
            matrix = compose(self.nominal, motion)
            attempts.append(Attempt(found.method, found.against, shift, sure, back, reason, evidence, matrix))
        return attempts

    def _pair(self, views: Mapping[str, _Shown], own: _Shown) -> Pair:
        """The signals of the references and of the sensor that match best."""
        ones = [signal for other, shown in views.items() for signal in shown.signals(other)]
        i, j = edges.best_pair([one.values for one in ones], own.edges, self.reach)
        return ones[i], own.signals(self.name)[j]

    def _turned(self, views: Mapping[str, _Shown]) -> Matrix:
        """The nominal place turned about the middle of the scene as edges correlate best."""
        import cv2

        one, other = self._pair(views, _Shown(view(self.sources[self.name], self.nominal, self.coarse)))
        rows, columns = self.coarse.shape
        fixed, heights = edges.spectra([one.values], self.reach), list[float]()
        for angle in TURNS:
            back = cv2.getRotationMatrix2D(((columns - 1) / 2, (rows - 1) / 2), float(angle), 1.0)
            turned = np.asarray(cv2.warpAffine(other.values, back, (columns, rows)), dtype=np.float32)
            moved = edges.spectra([turned], self.reach)
            heights.append(edges.correlation_peak(fixed, moved, WIDTH, exact=False).height)
        return compose(self.nominal, motions.rotation(float(TURNS[int(np.argmax(heights))]), self.size))

    def _edges(self, pair: Pair, near: Compared) -> list[Candidate]:
        """By correlating edges, refined by ECC both ways; by the correlation's peak if ECC fails."""
        one, other = (edges.spectra([signal.values], self.reach) for signal in pair)
        peak = edges.correlation_peak(one, other, WIDTH)
        evidence = self._evidence(peak.height, peak.second, None)
        start = motions.on_reference(motions.translation(peak.shift), self.coarse)
        against = " with ".join(f"{s.name}{band_label(s.index, self.sources[s.name].shape[0])}" for s in pair)
        try:
            motion, apart = self._refined(near, start)
        except NotRefined as error:
            failed = Candidate("ecc", against, start, evidence, str(error))
            return [failed, Candidate("phase", against, start, evidence)]
        return [Candidate("ecc", against, motion, self._evidence(peak.height, peak.second, apart))]

    def _evidence(self, height: float, second: float, apart: float | None) -> Evidence:
        """Evidence of one method alone; `apart`: reference pixels between forward and backward."""
        inconsistent = None if apart is None else round(apart / self.unit, 4)
        return Evidence(round(height, 4), round(second, 4), 0.0, inconsistent, 0.0)

    def _refined(self, near: Compared, start: Matrix) -> tuple[Matrix, float]:
        """ECC on the fine grid, from the reference to the sensor and back: the motion, and how far the two differ."""
        begin = motions.on_grid(start, self.fine)
        there = refined(near, begin, self.motion).motion
        back = refined(near.reverse, invert(begin), self.motion).motion
        motion = motions.on_reference(there, self.fine)
        plausible = (1 + BLUR) * max(self.coarse.pixel) + self._turn()  # a turn moves the corners
        if (away := motions.farthest(motion, start, self.size)) > plausible:
            raise NotRefined(f"ECC ended {away:.1f} reference pixels from the correlation's peak")
        return motion, motions.farthest(motion, invert(motions.on_reference(back, self.fine)), self.size)

    def _turn(self) -> float:
        """By how much a step of the turns that are tried moves the corners of the scene, reference pixels."""
        if self.motion == "translation":
            return 0.0
        return float(np.radians(TURNS[1] - TURNS[0]) * np.hypot(*self.size) / 2)

    def _near(self, pair: Pair, base: Matrix, grid: Grid) -> Compared:
        """The edges of a pair on a grid."""
        one, other = self._signal(pair[0], self.placed[pair[0].name].matrix, grid), self._signal(pair[1], base, grid)
        usable = edges.eroded(one.valid, BLUR), edges.eroded(other.valid, BLUR)
        return Compared(one.values[None], other.values[None], usable, alike=True)

    def _signal(self, signal: Signal, matrix: Matrix, grid: Grid) -> Signal:
        """A signal of the coarse grid on another one."""
        if grid == self.coarse:
            return signal
        bands = self.sources[signal.name].shape[0]
        shown = view(self.sources[signal.name], matrix, grid, None if signal.index == bands else [signal.index])
        return replace(signal, values=edges.combined_signal(shown, BLUR), valid=shown.valid)

    def _bands(self, against: str, details: Compared) -> Candidate:
        """By fitting bands of the references to those of the sensor, and the other way round."""
        there, back = details.ones, principal(details.others)
        fit, returned = best_fits(there, back, self.reach, WIDTH)
        motion = motions.on_reference(motions.translation(fit.shift), self.coarse)
        backward = invert(motions.on_reference(motions.translation(returned.shift), self.coarse))
        alone = max(components(there), components(back)) < ALONE
        apart = None if alone else motions.farthest(motion, backward, self.size) + self._turn() / 2
        return Candidate("regression", against, motion, self._evidence(fit.height, fit.second, apart))

    def _closer(self, placed: Placed, base: Matrix, pair: Pair, shown: Compared, grid: Grid) -> Placed:
        """A place that is believed, refined once more; the size of the sensor's pixels too if the files do not say it.

        By all bands where the coarse grid shows all that they do, elsewhere by the edges of the best pair on the fine
        one. Where the fine grid is much coarser than the images, once more in the window that shows most.
        """
        motion, scale, error = compose(invert(base), placed.matrix), "files", (self.unit / 2, self.unit / 2)
        with suppress(NotRefined):
            kind = self.kind if self.stretch is None else _SCALED.get(self.kind, self.kind)
            fit = refined(shown, motions.on_grid(motion, grid), kind)
            if self.stretch is not None and kind != self.kind:
                scale, fit = self._explained(fit, self.stretch)
            motion, error = self._moved(fit, motion, grid)
            whole = comparison_grid(self.size, self.pixel / COARSER, max(self.size))
            if placed.method != "regression" and grid.pixel[0] > CLOSER * whole.pixel[0]:
                window = best_window(pair, self.coarse, whole)
                closer = refined(self._near(pair, base, window), motions.on_grid(motion, window))
                motion, error = self._moved(closer, motion, window)
        moved = motions.rounded(compose(invert(self.nominal), compose(base, motion)), "affine")
        shift, matrix = motions.middle_shift(moved, self.size), compose(self.nominal, moved)
        return replace(placed, matrix=matrix, shift=shift, scale=scale, error=error)

    def _details(self, views: Mapping[str, _Shown], own: _Shown) -> Compared:
        """All bands of the references and of the sensor."""
        ones = principal(np.concatenate([shown.details for shown in views.values()]))
        known = np.logical_and.reduce([shown.view.valid for shown in views.values()])
        return Compared(ones, own.details, (edges.eroded(known, BLUR), edges.eroded(own.view.valid, BLUR)))

    def _apart(self, placed: Placed, base: Matrix, details: Compared) -> tuple[tuple[float, float], ...]:
        """What each band is off beyond the place of all; 0 where that may be chance, nothing if it is of every band."""
        start, found = compose(invert(base), placed.matrix), list[tuple[float, float]]()
        for band in details.others:
            found.append((0.0, 0.0))
            with suppress(NotRefined):
                fit = refined(replace(details, others=band[None]), motions.on_grid(start, self.coarse))
                self._moved(fit, start, self.coarse)
                if fit.distance(np.eye(2), np.zeros(2)) >= EXPLAINED:
                    (x, y), (dx, dy) = self.coarse.pixel, fit.changes
                    found[-1] = round(float(dx) * x, 4), round(float(dy) * y, 4)
        return tuple(found) if any(map(any, found)) else ()

    def _moved(self, fit: Fit, start: Matrix, grid: Grid) -> tuple[Matrix, tuple[float, float]]:
        """The motion of a fit on a grid, and its standard error at the middle of the scene, reference pixels."""
        motion = motions.on_reference(fit.motion, grid)
        if (away := motions.farthest(motion, start, self.size)) > MOST * self.unit:
            raise NotRefined(f"the fit of all bands ended {away:.1f} reference pixels away")
        x, y = (round(float(np.sqrt(fit.covariance[i, i])) * grid.pixel[i], 4) for i in (0, 1))
        return motion, (x, y)

    def _explained(self, fit: Fit, stretch: Matrix) -> tuple[str, Fit]:
        """What explains the size of the sensor's pixels, the simplest first; and the fit with that size."""
        each = np.eye(len(fit.changes))
        scale, shear = each[2:4], each[4:].sum(axis=0, keepdims=True)[: len(each) - 4]
        by_size = np.array([stretch[i][i] / self.nominal[i][i] - 1 for i in (0, 1)])
        plausible = bool((np.abs(scale @ fit.changes) * self.size < MOST * self.pixel).all())
        for name, change in (("files", np.zeros(2)), ("stretched", by_size)):
            if not plausible or fit.distance(scale, change) < EXPLAINED:
                return name, fit.held(np.concatenate([scale, shear]), np.append(change, np.zeros(len(shear))))
        return "free", fit if len(shear) == 0 else fit.held(shear, np.zeros(1))


def best_window(pair: Pair, coarse: Grid, whole: Grid) -> Grid:
    """The part of a grid, at most `FINE_SIDE` pixels per side, where two signals of the coarse one show most edges."""
    import cv2

    shape = (min(FINE_SIDE, whole.shape[0]), min(FINE_SIDE, whole.shape[1]))
    (width, height), (x, y) = whole.pixel, coarse.pixel
    rows, columns = max(1, round(shape[0] * height / y)), max(1, round(shape[1] * width / x))
    common = np.minimum(np.abs(pair[0].values), np.abs(pair[1].values))
    means = cv2.boxFilter(common, -1, (columns, rows), anchor=(0, 0), borderType=cv2.BORDER_CONSTANT)
    inner = means[: max(1, common.shape[0] - rows + 1), : max(1, common.shape[1] - columns + 1)]
    top, left = (int(i) for i in np.unravel_index(int(inner.argmax()), inner.shape))
    left_edge = min(left * x, (whole.shape[1] - shape[1]) * width)
    top_edge = min(top * y, (whole.shape[0] - shape[0]) * height)
    return Grid(*shape, [[width, 0.0, left_edge], [0.0, height, top_edge]])


def band_label(index: int, bands: int) -> str:
    """How a signal is called: ``[2]``, the second of several bands, `` mean``, or nothing for the only one."""
    if bands == 1:
        return ""
    return " mean" if index == bands else f"[{index + 1}]"
