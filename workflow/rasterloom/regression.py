"""Finding a shift by how well one sensor's bands predict another's.

A linear combination of the bands of one image is fitted to each band of the other at every shift; the shift at which
it explains most of the variance is where they lie. All bands decide together, so that few pixels are enough (ten a
side, with eight bands), and the sign of a contrast does not matter: weights may be negative. What varies slowly is
taken off first, as everywhere here.

The share explained at all shifts is the squared multiple correlation R² = c(s)ᵀ G⁻¹ c(s) / Σt², with c(s) the
cross-correlations of a band t with every regressor at shift s and G the regressors' Gram matrix, and comes from
Fourier transforms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rasterloom.alignment import eroded, lags, local_mean, normalised, padded, rivals, sharp_top, top
from rasterloom.views import Floats, Mask, View

DETAIL = 3.0
"""Deviation, in pixels, of the Gaussian mean that is taken off a band. Measured: half the error of 6 or 12."""

MOST = 8
"""Components that stand for the bands of a side: the cost is a transform a pair."""

OUTLYING = 0.5
"""Percent at either end of a band's numbers that are clipped: a few hot pixels must not outweigh the ground."""

ALONE = 1.1
"""Below this many effective components on both sides, a fit is the same forward and backward."""

RIDGE = 1e-3
"""Added to the diagonal of the Gram matrix, as a share of its mean: bands may be copies of one another."""


@dataclass(frozen=True)
class Fit:
    """The shift at which one image explains another best.

    Attributes
    ----------
    shift : (dx, dy)
        In pixels; the ground seen at x of the regressors is seen at x + dx of the targets.
    share : float
        Share of the targets' variance that is explained there, 0..1.
    second : float
        The largest share outside the peak's surroundings, over the shifts of `lags`.
    """

    shift: tuple[float, float]
    share: float
    second: float


def detail_signal(band: NDArray[Any], valid: Mask, blur: float) -> Floats:
    """A band without what varies slowly: blurred, less its local mean.

    Parameters
    ----------
    band : (H, W) array
    valid : (H, W) bool array
    blur : float
        Standard deviation of the Gaussian that is applied first, in pixels.

    Returns
    -------
    (H, W) float32 array
        Mean 0 and standard deviation 1 over usable pixels, 0 elsewhere.
    """
    import cv2

    if not valid.any():
        return np.zeros(valid.shape, np.float32)
    whole = bool(valid.all())
    numbers = band.astype(np.float32)
    low, high = np.percentile(numbers if whole else numbers[valid], [OUTLYING, 100 - OUTLYING])
    image = np.clip(numbers, low, high)
    mean = np.float32(image.mean() if whole else image[valid].mean())
    image = image - mean if whole else np.where(valid, image - mean, np.float32(0))
    smooth = np.asarray(cv2.GaussianBlur(image, (0, 0), blur)) if blur > 0 else image
    return normalised(smooth - local_mean(image, valid, DETAIL), eroded(valid, blur))


def detail_signals(views: Sequence[View], blur: float) -> Floats:
    """The signals of all bands of several views, or of their `MOST` principal components, (B, H, W) float32."""
    signals = np.stack([detail_signal(band, view.valid, blur) for view in views for band in view.bands])
    if len(signals) <= MOST:
        return signals
    flat = signals.reshape(len(signals), -1)
    _, vectors = np.linalg.eigh((flat @ flat.T).astype(np.float64))
    main = vectors[:, ::-1][:, :MOST].T.astype(np.float32)
    return np.asarray((main @ flat).reshape(MOST, *signals.shape[1:]), dtype=np.float32)


def components(signals: Floats) -> float:
    """The effective number of different signals: 1 for copies of one, B for B that have nothing in common.

    The squared trace of the Gram matrix over the trace of its square; 0 if all are flat.
    """
    flat = signals.reshape(len(signals), -1)
    gram = (flat @ flat.T).astype(np.float64)
    square = float(np.square(gram).sum())
    return float(np.trace(gram)) ** 2 / square if square else 0.0


def best_fit(regressors: Floats, targets: Floats, max_shift: float, width: float) -> Fit:
    """The shift at which regressors explain targets best.

    Parameters
    ----------
    regressors : (B, H, W) float32 array
    targets : (T, H, W) float32 array
        Both of mean 0, as `detail_signals` gives them.
    max_shift : float
        Largest shift on either axis, pixels.
    width : float
        Half width of the peak, pixels: rivals are looked for outside twice of it.

    Returns
    -------
    Fit
        To a twentieth of a pixel; share 0 if either side is flat.

    Notes
    -----
    B x T inverse transforms of the padded grid; memory 8 bytes a pixel and signal.
    """
    from scipy import fft

    reach = max(1, int(np.ceil(max_shift)))
    energy = np.square(targets, dtype=np.float64).sum(axis=(1, 2))
    flat = regressors.reshape(len(regressors), -1)
    gram = (flat @ flat.T).astype(np.float64)
    if not energy.any() or not gram.any():
        return Fit((0.0, 0.0), 0.0, 0.0)
    inverse = np.linalg.inv(gram + np.eye(len(gram)) * RIDGE * np.trace(gram) / len(gram))
    rows, columns = padded(regressors.shape[1:], reach)
    sources = [fft.rfft2(signal, (rows, columns)) for signal in regressors]
    used = [fft.rfft2(target, (rows, columns)) for target in targets]
    far = lags(reach)
    wide = np.ix_(far % rows, far % columns)

    def explained(correlations: NDArray[Any]) -> NDArray[np.float64]:
        return np.asarray(np.einsum("bij,bc,cij->ij", correlations, inverse, correlations) / energy.sum())

    surface = np.zeros((len(far), len(far)))
    for target in used:
        products = (np.conj(source) * target for source in sources)
        surface += explained(np.stack([fft.irfft2(product, (rows, columns))[wide] for product in products]))
    column, row = top(surface, reach)
    second = surface[rivals(far, row, column, width)]
    share = float(surface[row + len(far) // 2, column + len(far) // 2])
    return Fit(sharp_top(surface, (column, row)), share, float(second.max()) if second.size else 0.0)
