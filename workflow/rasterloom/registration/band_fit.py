"""Finding a shift by how well one sensor's bands predict another's.

A linear combination of the bands of one image is fitted to each band of the other at every shift; the shift at which
it explains most of the variance is where they lie. All bands decide together, so that few pixels are enough (ten a
side, with eight bands), and the sign of a contrast does not matter: weights may be negative. What varies slowly is
taken off first, as everywhere here.

The share explained at all shifts is the squared multiple correlation R² = c(s)ᵀ G⁻¹ c(s) / Σt², with c(s) the
cross-correlations of a band t with every regressor at shift s and G the regressors' Gram matrix, and comes from
Fourier transforms.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rasterloom.registration import edges
from rasterloom.registration.comparison import Floats, Mask, View

DETAIL = 3.0
"""Deviation, in pixels, of the Gaussian mean that is taken off a band. Measured: half the error of 6 or 12."""

MOST = 8
"""Components that stand for the bands of a side: the cost is one transform per pair."""

SAMPLES = 1 << 15
"""Numbers that are enough to say which are outlying."""

OUTLYING = 0.5
"""Percent at either end of a band's numbers that are clipped: a few hot pixels must not outweigh the ground."""

ALONE = 1.1
"""Below this many effective components on both sides, a fit is the same forward and backward."""

RIDGE = 1e-3
"""Added to the diagonal of the Gram matrix, as a share of its mean: bands may be copies of one another."""


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
    low, high = np.percentile(spread(numbers if whole else numbers[valid]), [OUTLYING, 100 - OUTLYING])
    image = np.clip(numbers, low, high)
    mean = np.float32(image.mean() if whole else image[valid].mean())
    image = image - mean if whole else np.where(valid, image - mean, np.float32(0))
    smooth = np.asarray(cv2.GaussianBlur(image, (0, 0), blur)) if blur > 0 else image
    return edges.normalised(smooth - edges.local_mean(image, valid, DETAIL), edges.eroded(valid, blur))


def spread(numbers: Floats) -> Floats:
    """`SAMPLES` of some numbers, (N,) or (H, W), at least, or all; evenly spread over rows and columns."""
    step = max(1, int((numbers.size / SAMPLES) ** (1 / numbers.ndim)))
    return numbers[(slice(None, None, step),) * numbers.ndim]


def detail_signals(shown: View, blur: float) -> Floats:
    """The signals of all bands, (B, H, W) float32."""
    return np.stack([detail_signal(band, shown.valid, blur) for band in shown.bands])


def principal(signals: Floats) -> Floats:
    """Signals, (B, H, W) float32, or where there are more than `MOST` of them, that many principal components."""
    if len(signals) <= MOST:
        return signals
    flat = signals.reshape(len(signals), -1)
    _, vectors = np.linalg.eigh((flat @ flat.T).astype(np.float64))
    main = vectors[:, ::-1][:, :MOST].T.astype(np.float32)
    return np.asarray((main @ flat).reshape(MOST, *signals.shape[1:]), dtype=np.float32)


def components(signals: Floats) -> float:
    """The effective number of different signals, (B, H, W): 1 for copies of one, B for B that have nothing in common.

    The squared trace of the Gram matrix over the trace of its square; 0 if all are flat.
    """
    flat = signals.reshape(len(signals), -1)
    gram = (flat @ flat.T).astype(np.float64)
    square = float(np.square(gram).sum())
    return float(np.trace(gram)) ** 2 / square if square else 0.0


def best_fits(ones: Floats, others: Floats, max_shift: float, width: float) -> tuple[edges.Peak, edges.Peak]:
    """The shift at which the signals of one image explain those of another best, and the reverse.

    Parameters
    ----------
    ones : (B, H, W) float32 array
    others : (T, H, W) float32 array
        Both of mean 0, as `detail_signals` gives them.
    max_shift : float
        Largest shift on either axis, pixels.
    width : float
        Half width of the peak, pixels: rivals are looked for outside twice of it.

    Returns
    -------
    there : Peak
        `ones` explain `others`.
    back : Peak
        `others` explain `ones`; its shift is about the negative of the first. To a twentieth of a pixel; share 0 if
        either side is flat.

    Notes
    -----
    Both rest on the same cross-correlations: B x T inverse transforms of the padded grid. Memory: 8 bytes per pixel and
    signal, and 4 a pair and shift of `lags`.
    """
    one, other = edges.spectra(ones, max_shift), edges.spectra(others, max_shift)
    if not one.energy.any() or not other.energy.any():
        return edges.Peak((0.0, 0.0), 0.0, 0.0), edges.Peak((0.0, 0.0), 0.0, 0.0)
    far = edges.lags(one.reach)
    # (B, T, lags, lags)
    pairs = np.stack([edges.correlations(one, i, other, far) for i in range(len(ones))])
    first, second = inverse_gram(ones), inverse_gram(others)
    there = sum(explained(pairs[:, j], first) for j in range(len(others))) / other.energy.sum()
    back = sum(explained(pairs[i], second) for i in range(len(ones))) / one.energy.sum()
    return edges.peak_of(there, one.reach, width), edges.peak_of(back[::-1, ::-1], one.reach, width)


def inverse_gram(signals: Floats) -> NDArray[np.float64]:
    """Inverse of the Gram matrix of signals (B, H, W), with a ridge."""
    flat = signals.reshape(len(signals), -1)
    gram = (flat @ flat.T).astype(np.float64)
    return np.asarray(np.linalg.inv(gram + np.eye(len(gram)) * RIDGE * np.trace(gram) / len(gram)))


def explained(pairs: Floats, inverse: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum of squares of a signal that regressors explain at each shift, by its correlations with them, (B, L, L)."""
    return np.asarray((np.tensordot(inverse, pairs, 1) * pairs).sum(axis=0))
