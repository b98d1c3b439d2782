"""How far an estimated place is to be believed.

A confidence is the probability that a place is right to a pixel of the coarser of the two images. It is a logistic
function of what is seen when a place is estimated; its weights were fitted by ``benchmarks/calibration.py`` to
generated scenes of 256 to 1024 pixels that were made hard: other ground mixed in or put in its place, noise up to ten
times the contrast, contrast inverted, clipped, up to 70 % without data, few bands, shifts beyond the search.
"""

from dataclasses import dataclass
from math import exp, log

ACCEPTED = 0.95
"""A place is used from this confidence on."""

INCONSISTENT = 1.0
"""Pixels of the coarser image by which forward and backward may differ at most."""

CLEAR = 1.25
"""Times the next highest that the clearer peak of both methods must reach: chance stands out in none."""

MOST = 10.0
"""Times the next highest beyond which a peak is no clearer: few shifts may have no rival at all."""

WEIGHTS = {
    "ecc": (-0.752, 3.234, -1.714, 0.0),
    "phase": (0.457, 1.832, -1.787, 0.0),
    "regression": (-0.704, 3.322, -0.731, -0.758),
}
"""By method: constant, and the weights of `Evidence.features`."""


@dataclass(frozen=True)
class Evidence:
    """What speaks for a place.

    Attributes
    ----------
    height : float
        Of the peak: a correlation, or a share of variance.
    second : float
        The highest value elsewhere.
    apart : float
        Distance to what the other method found, in pixels of the coarser image or of the grid if those are larger.
    inconsistent : float or None
        Distance between the place found forward and backward, in the same pixels; None if it was not tried, or says
        nothing (a fit of one band to one is the same both ways).
    clearest : float
        `clearness` of the method that has the larger one.
    """

    height: float
    second: float
    apart: float
    inconsistent: float | None
    clearest: float

    @property
    def clearness(self) -> float:
        """How many times as high as its rival the peak is, 0 to `MOST`."""
        return self.height / max(self.second, self.height / MOST) if self.height > 0 else 0.0

    @property
    def features(self) -> tuple[float, float, float]:
        """How clear the peak is; how far methods, and directions, agree."""
        inconsistent = 1.0 if self.inconsistent is None else self.inconsistent
        return log(max(self.clearness, 1 / MOST)), log(self.apart + 0.05), log(inconsistent + 0.02)


def confidence(method: str, evidence: Evidence) -> float:
    """The probability, 0..1, that a place is right to a pixel of the coarser image.

    Parameters
    ----------
    method : ``ecc``, ``phase`` or ``regression``
    evidence : Evidence

    Returns
    -------
    float
        0 where there is no peak, or another that is as high.
    """
    if evidence.clearness <= 1:
        return 0.0
    constant, *weights = WEIGHTS[method]
    score = constant + sum(w * f for w, f in zip(weights, evidence.features, strict=True))
    return 1 / (1 + exp(-max(-50.0, min(50.0, score))))


def refusal(sure: float, evidence: Evidence, shift: tuple[float, float], limit: float) -> str | None:
    """Why an estimate is not used, or None.

    Parameters
    ----------
    sure : float
        Its confidence.
    evidence : Evidence
    shift : (dx, dy)
        Reference pixels.
    limit : float
        The largest plausible shift on either axis, reference pixels.
    """
    if sure < ACCEPTED:
        return f"its confidence is {sure:.2f}, {ACCEPTED:g} is needed"
    if evidence.clearest < CLEAR:
        return f"the clearest peak is {evidence.clearest:.2f} times as high as the next one, {CLEAR:g} is needed"
    if evidence.inconsistent is not None and evidence.inconsistent > INCONSISTENT:
        return f"forward and backward are {evidence.inconsistent:.1f} pixels of the coarser image apart, 1 is allowed"
    if max(abs(shift[0]), abs(shift[1])) > limit:
        return f"the shift found, {shift[0]:.1f}, {shift[1]:.1f} pixels, is beyond max_shift {limit:g}"
    return None
