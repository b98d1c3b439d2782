"""Refining the place of a sensor below a tenth of a pixel, and how far it may still be off.

Each band of the sensor is predicted by a linear combination of what the references show. The motion that leaves the
least of the bands unexplained is found by Gauss-Newton steps in the inverse compositional form; for one band by one
that is where their correlation is highest, as ECC finds it. What neighbouring pixels leave unexplained is alike, so
that a curvature alone would promise too much: the scene is divided into cells, and how far what each cell asks for
differs from cell to cell says how much of the place is chance (a sandwich covariance, clustered by cell).

Evangelidis and Psarakis, "Parametric image alignment using enhanced correlation coefficient maximization", IEEE TPAMI
30 (2008); Baker and Matthews, "Lucas-Kanade 20 years on: a unifying framework", IJCV 56 (2004); Liang and Zeger,
"Longitudinal data analysis using generalized linear models", Biometrika 73 (1986).
"""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from rasterloom.raster.grid import Matrix, compose, invert
from rasterloom.registration.band_fit import inverse_gram
from rasterloom.registration.comparison import Floats, Mask
from rasterloom.registration.motions import centred

Numbers = NDArray[np.float64]

CELL = 12
"""Side of a cell in pixels of the grid: about five pixels of the coarser image."""

ALIKE, FEW = 8.0, 30
"""Few cells say little of chance: the curvature counts as so many, with as many neighbours that are alike."""

INFLATED = 1.35
"""Standard errors by cells are too small by this factor, which was measured on generated scenes."""

FLOOR = 0.02
"""Pixels of the grid by which a place may be off however much there is to see, anywhere in the scene."""

STOP = 0.005
"""Pixels by which a step moves anything at most when the place is found."""

STEPS = 50
"""Steps after which it is given up; 3 or 4 are the rule."""

FREE: dict[str, tuple[tuple[float, float, float, float], ...]] = {
    "translation": (),
    "scale": ((1, 0, 0, 0), (0, 0, 0, 1)),
    "euclidean": ((0, -1, 1, 0),),
    "affine": ((1, 0, 0, 0), (0, 0, 0, 1), (0, 1, 0, 0), (0, 0, 1, 0)),
}
"""By motion, what may change of the linear part [[a, b], [c, d]] beside a shift, as (a, b, c, d)."""


class NotRefined(Exception):
    """A place could not be refined; says why."""


@dataclass(frozen=True)
class Compared:
    """What references and sensor show on one grid.

    Attributes
    ----------
    ones : (R, H, W) float32 array
        Of the references, of mean 0.
    others : (B, H, W) float32 array
        Of the sensor, likewise.
    usable : two (H, W) bool arrays
        Where each may be used.
    alike : bool
        Whether the two look alike, and not the one like the reverse of the other.
    """

    ones: Floats
    others: Floats
    usable: tuple[Mask, Mask]
    alike: bool = False

    @property
    def reverse(self) -> Self:
        """The same, with the references in the sensor's place."""
        return replace(self, ones=self.others, others=self.ones, usable=self.usable[::-1])


@dataclass(frozen=True)
class Fit:
    """A refined motion.

    Attributes
    ----------
    start : 2 x 3 list of rows
        The motion that the refinement began with.
    shape : (H, W)
        Of the grid.
    kind : str
        One of `FREE`.
    changes : (K,) array
        By how much the shift of the middle (dx, dy; pixels) and the linear part, as `FREE` has it, differ from that.
    covariance : (K, K) array
        Of these changes.
    inverse : (K, K) array
        Of the normal matrix.
    """

    start: Matrix
    shape: tuple[int, ...]
    kind: str
    changes: Numbers
    covariance: Numbers
    inverse: Numbers

    @property
    def motion(self) -> Matrix:
        """Pixels of the references (whole numbers at their centres) to pixels of the sensor's bands."""
        return compose(self.start, _motion(self.changes, self.shape, self.kind))

    def distance(self, rows: Numbers, values: Numbers) -> float:
        """How far linear combinations of the changes, (N, K), are from values, (N,): squared, in standard errors."""
        away = rows @ self.changes - values
        return float(away @ np.linalg.solve(rows @ self.covariance @ rows.T, away))

    def held(self, rows: Numbers, values: Numbers) -> Self:
        """The fit if linear combinations of the changes, (N, K), are known to have values, (N,)."""
        gain = self.inverse @ rows.T @ np.linalg.inv(rows @ self.inverse @ rows.T)
        changes, rest = self.changes - gain @ (rows @ self.changes - values), np.eye(len(gain)) - gain @ rows
        return replace(self, changes=changes, covariance=rest @ self.covariance @ rest.T)


def refined(shown: Compared, start: Matrix, kind: str = "translation") -> Fit:
    """Refine a motion.

    Parameters
    ----------
    shown : Compared
    start : 2 x 3 list of rows
        Maps pixels of the references to pixels of the sensor's bands.
    kind : str
        One of `FREE`.

    Raises
    ------
    NotRefined
        If it does not converge, the images do not overlap, or one of them is flat.

    Notes
    -----
    Memory: 12 bytes per pixel, of each reference and each band. Time: three to four steps of an interpolation and ten
    products a band.
    """
    import cv2

    shape = shown.ones.shape[1:]
    slopes = [
        np.stack([cv2.Sobel(one, cv2.CV_32F, *axis, ksize=1, scale=0.5) for one in shown.ones])
        for axis in ((1, 0), (0, 1))
    ]
    fields = _fields(shape, kind)
    corners = np.array([[0, shape[1], 0, shape[1]], [0, 0, shape[0], shape[0]], [1] * 4], dtype=np.float64)
    place, changes, last, share = start, np.zeros(len(fields)), np.inf, 1.0
    for _ in range(STEPS):
        asked, normal = _normal(shown, slopes, place, fields)
        norms = np.sqrt(np.diag(normal))
        if not norms.all() or not np.linalg.cond(normal / np.outer(norms, norms)) < 1e8:
            raise NotRefined("ECC did not converge (nothing to be seen at that place)")
        inverse = np.linalg.inv(normal)
        step = share * inverse @ asked.sum(axis=0)
        moved = _motion(step, shape, kind)
        place, changes = compose(place, invert(moved)), changes - step
        length = float(np.abs((np.array(moved) - np.eye(2, 3)) @ corners).max())
        if length < STOP:
            by_cell, number = inverse @ (asked.T @ asked) @ inverse, len(asked)
            by_curvature = ALIKE * len(shown.others) * inverse
            spread = INFLATED**2 * (number * by_cell + FEW * by_curvature) / (number + FEW)
            floor = np.array([FLOOR] * 2 + [2 * FLOOR / min(shape)] * (len(step) - 2))
            return Fit(start, shape, kind, changes, np.asarray(spread + np.diag(floor**2)), np.asarray(inverse))
        share *= 0.5 if length >= last else 1.0  # it goes to and fro
        last = length
    raise NotRefined(f"ECC did not converge in {STEPS} steps")


def _fields(shape: tuple[int, ...], kind: str) -> Numbers:
    """By how much each parameter moves the middle of each cell along x and y, (K, 2, cells)."""
    v, u = ((np.arange(0, side, CELL) + np.minimum(np.arange(0, side, CELL) + CELL, side) - side) / 2 for side in shape)
    place = np.stack(np.meshgrid(u, v)).reshape(2, -1)
    ones = np.ones(place.shape[1])
    shifts = [np.outer(axis, ones) for axis in np.eye(2)]
    return np.stack([*shifts, *(np.reshape(changed, (2, 2)) @ place for changed in FREE[kind])])


def _motion(step: Numbers, shape: tuple[int, ...], kind: str) -> Matrix:
    """The motion of a step, about the middle of the grid."""
    changes = [value * np.reshape(changed, (2, 2)) for value, changed in zip(step[2:], FREE[kind], strict=True)]
    linear = np.eye(2) + np.sum(changes, axis=0)
    if kind == "euclidean":  # a turn that does not enlarge
        linear = linear / np.sqrt(np.linalg.det(linear))
    return centred(linear, step[:2], (shape[1] - 1, shape[0] - 1))


def _seen(shown: Compared, place: Matrix) -> tuple[Floats, Floats]:
    """The sensor's bands brought to the references, (B, H, W), and 1 where both are known, else 0."""
    import cv2

    size, there = shown.ones.shape[:0:-1], np.array(place, dtype=np.float64)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    known = cv2.warpAffine(shown.usable[1].astype(np.uint8) * np.uint8(255), there, size, flags=flags)
    counts = (shown.usable[0] & (np.asarray(known) == 255)).astype(np.float32)
    if not counts.any():
        raise NotRefined("ECC did not converge (the images do not overlap at that place)")
    return np.stack([cv2.warpAffine(band, there, size, flags=flags) for band in shown.others]) * counts, counts


def _normal(shown: Compared, slopes: list[Floats], place: Matrix, fields: Numbers) -> tuple[Numbers, Numbers]:
    """What each cell asks for, (cells, K), and the normal matrix, (K, K)."""
    seen, counts = _seen(shown, place)
    known = (shown.ones * counts).reshape(len(slopes[0]), -1)
    if not known.any():
        raise NotRefined("ECC did not converge (the signals are not alike at that place)")
    mixed = ((seen.reshape(len(seen), -1) @ known.T) @ inverse_gram(known[:, None])).astype(np.float32)
    rest = seen - (mixed @ known).reshape(seen.shape)
    left = np.square(rest).sum(axis=(1, 2), dtype=np.float64)
    if not left.all() or (shown.alike and not mixed.min() > 0):
        raise NotRefined("ECC did not converge (the signals are not alike at that place)")
    weight = np.sqrt(counts.sum(dtype=np.float64) / left).astype(np.float32)[:, None]
    x, y = (((weight * mixed) @ slope.reshape(len(slope), -1)).reshape(seen.shape) * counts for slope in slopes)
    rest *= weight[..., None]
    pulls = np.stack([_cells(one, rest) for one in (x, y)])
    xx, xy, yy = _cells(x, x), _cells(x, y), _cells(y, y)
    asked = np.einsum("kic,ic->ck", fields, pulls)
    return asked, np.einsum("kic,ijc,ljc->kl", fields, np.array([[xx, xy], [xy, yy]]), fields)


def _cells(one: Floats, other: Floats) -> Numbers:
    """Sums of the products of two (B, H, W) arrays over bands and cells, (cells,)."""
    import cv2

    product = np.einsum("bij,bij->ij", one, other)
    rows, columns = (-(-side // CELL) for side in product.shape)
    below, right = rows * CELL - product.shape[0], columns * CELL - product.shape[1]
    whole = cv2.copyMakeBorder(product, 0, below, 0, right, cv2.BORDER_CONSTANT, value=0)
    means = cv2.resize(whole, (columns, rows), interpolation=cv2.INTER_AREA)
    return np.asarray(means, dtype=np.float64).ravel() * CELL**2
