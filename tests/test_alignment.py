"""Estimating shifts: sign, precision, inverted contrast, no-data, and knowing when not to."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from rasterloom import alignment
from rasterloom.alignment import View, confidence, correlation_peak, estimate_shift, gradient_signal, spectra


def ground(seed: int = 0, side: int = 400) -> NDArray[np.float32]:
    """Fields and houses: rectangles of one brightness each, smoothed."""
    rng = np.random.default_rng(seed)
    image = np.full((side, side), 100, np.float32)
    for _ in range(side * 2):
        x, y, w, h = rng.integers(0, side, 2).tolist() + rng.integers(4, 40, 2).tolist()
        image[y : y + h, x : x + w] = rng.integers(20, 250)
    return np.asarray(cv2.GaussianBlur(image, (0, 0), 1.5), dtype=np.float32)


def moved(image: NDArray[np.float32], dx: float, dy: float) -> NDArray[np.float32]:
    """What is at x in `image` is at x + dx."""
    matrix = np.array([[1, 0, dx], [0, 1, dy]], np.float32)
    return np.asarray(cv2.warpAffine(image, matrix, image.shape[::-1], borderMode=cv2.BORDER_REFLECT))


def view(*bands: NDArray[np.float32], valid: NDArray[np.bool_] | None = None) -> View:
    return View(np.stack(bands), np.ones(bands[0].shape, np.bool_) if valid is None else valid)


@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.4, -0.3), (-3.25, 7.5), (17.0, 12.0)])
@pytest.mark.parametrize("contrast", [1.0, -0.5])
def test_estimate_shift(shift: tuple[float, float], contrast: float) -> None:
    rng = np.random.default_rng(1)
    one = ground()
    other = 300 + contrast * moved(one, *shift) + rng.normal(0, 2, one.shape).astype(np.float32)
    found = estimate_shift([view(one)], view(other), 1.0, 20.0)
    np.testing.assert_allclose(found.shift, shift, atol=0.06)
    assert found.method == "ecc" and found.note is None and found.confidence > 0.6


def test_the_best_matching_band_is_used() -> None:
    one, noise = ground(0), ground(5)
    found = estimate_shift([view(noise), view(noise, one)], view(noise[::-1], moved(one, 4, -2)), 1.0, 20.0)
    np.testing.assert_allclose(found.shift, (4, -2), atol=0.06)


def test_nodata_does_not_decide() -> None:
    """Both images have no data in the same fixed corner, which must not pull the shift to zero."""
    one = ground()
    valid = np.ones(one.shape, np.bool_)
    valid[:150, :250] = False
    first, second = one.copy(), moved(one, 6, -5)
    first[~valid], second[~valid] = 0, 0
    found = estimate_shift([view(first, valid=valid)], view(second, valid=valid), 1.0, 20.0)
    np.testing.assert_allclose(found.shift, (6, -5), atol=0.1)
    assert found.confidence > 0.5


def test_different_ground_has_no_confidence() -> None:
    scores = [estimate_shift([view(ground(i))], view(ground(i + 50)), 1.0, 20.0).confidence for i in range(6)]
    assert max(scores) < 0.3


def test_a_shift_beyond_the_range_has_no_confidence() -> None:
    one = ground()
    assert estimate_shift([view(one)], view(moved(one, 30, 0)), 1.0, 20.0).confidence < 0.3


@pytest.mark.parametrize("usable", [True, False])
def test_flat_or_empty_images_have_no_confidence(usable: bool) -> None:
    flat = np.full((64, 64), 7, np.float32)
    found = estimate_shift([view(ground(side=64))], view(flat, valid=np.full(flat.shape, usable)), 1.0, 10.0)
    assert (found.shift, found.confidence, found.method) == ((0.0, 0.0), 0.0, "phase")
    assert found.note is not None


def test_ecc_that_fails_leaves_the_correlation_to_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    one = ground()

    def fails(*_: object) -> None:
        raise ValueError("ECC did not converge")

    monkeypatch.setattr(alignment, "refine", fails)
    found = estimate_shift([view(one)], view(moved(one, 3.3, -2.2)), 1.0, 20.0)
    np.testing.assert_allclose(found.shift, (3.3, -2.2), atol=0.15)
    assert (found.method, found.note) == ("phase", "ECC did not converge")


def test_ecc_that_runs_away_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    one = ground()
    monkeypatch.setattr(alignment, "refine", lambda *_: ((80.0, 0.0), 0.9))
    found = estimate_shift([view(one)], view(moved(one, 3, 0)), 1.0, 20.0)
    np.testing.assert_allclose(found.shift, (3, 0), atol=0.15)
    assert found.method == "phase" and found.note is not None and "ECC ended" in found.note


def test_correlation_peak_of_a_dot() -> None:
    one, other = np.zeros((40, 50), np.float32), np.zeros((40, 50), np.float32)
    one[20, 20], other[17, 26] = 1, 1
    peak = correlation_peak(spectra([one], 8), spectra([other], 8), (0, 0), 1.0)
    assert peak.shift == pytest.approx((6, -3))
    assert peak.height == pytest.approx(1.0, abs=1e-5)


def test_gradient_signal_is_normalised_over_usable_pixels() -> None:
    valid = np.ones((100, 100), np.bool_)
    valid[:, 60:] = False
    image = ground(side=100)
    image[~valid] = np.nan
    signal = gradient_signal(image, valid, 1.0)
    assert np.isfinite(signal).all() and not signal[:, 60:].any()
    used = signal[signal != 0]
    assert abs(used.mean()) < 0.02 and used.std() == pytest.approx(1, abs=0.02)


def test_confidence_grows_with_height_and_prominence() -> None:
    assert confidence(0.5, 0.0, 1e6) == 1.0
    assert confidence(0.1, 0.0, 1e6) == pytest.approx(0.5)
    assert confidence(0.5, 0.25, 1e6) == pytest.approx(0.5)
    assert confidence(0.5, 0.0, 16) == pytest.approx(0.5)
    assert confidence(-0.1, -0.2, 1e6) == confidence(0.1, 0.2, 1e6) == 0.0
