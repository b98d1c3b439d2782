"""Signals of edges and peaks of their correlation: sign, precision, inverted contrast, no-data."""

import numpy as np
import pytest

from grounds import ground, moved
from rasterloom.registration.comparison import Floats, View
from rasterloom.registration.edges import (
    BEYOND,
    Peak,
    best_pair,
    combined_signal,
    correlation_peak,
    gradient_signal,
    gradient_signals,
    lags,
    spectra,
)

ALL = np.ones((400, 400), np.bool_)


def peak_of(one: Floats, other: Floats, reach: float = 20.0, width: float = 3.0) -> Peak:
    return correlation_peak(spectra([one], reach), spectra([other], reach), width)


@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.4, -0.3), (-3.25, 7.5), (17.0, 12.0)])
@pytest.mark.parametrize("contrast", [1.0, -0.5])
def test_correlation_peak_of_edges(shift: tuple[float, float], contrast: float) -> None:
    one = ground()
    other = 300 + contrast * moved(one, *shift) + np.random.default_rng(1).normal(0, 2, one.shape)
    peak = peak_of(*(gradient_signal(image, ALL, 1.0) for image in (one, other)))
    np.testing.assert_allclose(peak.shift, shift, atol=0.1)
    assert peak.height > 0.8 and peak.second < 0.3


def test_correlation_peak_of_a_dot() -> None:
    one, other = np.zeros((40, 50), np.float32), np.zeros((40, 50), np.float32)
    one[20, 20], other[17, 26] = 1, 1
    peak = peak_of(one, other, 8, 1.0)
    assert peak.shift == pytest.approx((6, -3))
    assert peak.height == pytest.approx(1.0, abs=1e-5)
    assert peak.second == pytest.approx(0.0, abs=1e-5)


def test_correlation_peak_lies_within_the_range_and_rivals_beyond_it() -> None:
    one, other = np.zeros((60, 60), np.float32), np.zeros((60, 60), np.float32)
    one[30, 30] = 1
    other[30, 32], other[30, 41] = 1, 2
    peak = peak_of(one, other, 3, 1.0)
    assert peak.shift == pytest.approx((2, 0), abs=0.05)
    assert peak.second == pytest.approx(2 * peak.height, rel=1e-4)


def test_correlation_peak_of_nothing() -> None:
    assert peak_of(np.zeros((20, 20), np.float32), ground(side=20)) == Peak((0.0, 0.0), 0.0, 0.0)


def test_lags_reach_well_beyond_a_narrow_search() -> None:
    assert lags(30)[-1] == 60 and lags(1)[-1] == 1 + BEYOND


def test_gradient_signal_is_normalised_over_usable_pixels() -> None:
    valid = np.ones((100, 100), np.bool_)
    valid[:, 60:] = False
    image = ground(side=100)
    image[~valid] = np.nan
    signal = gradient_signal(image, valid, 1.0)
    assert np.isfinite(signal).all() and not signal[:, 60:].any()
    used = signal[signal != 0]
    assert abs(used.mean()) < 0.02 and used.std() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("usable", [True, False])
def test_gradient_signal_of_a_flat_or_empty_image_is_zero(usable: bool) -> None:
    flat = np.full((64, 64), 7, np.float32)
    assert not gradient_signal(flat, np.full(flat.shape, usable), 1.0).any()


def test_nodata_does_not_decide() -> None:
    """Both images have no data in the same fixed corner, which must not pull the shift to zero."""
    one, valid = ground(), ALL.copy()
    valid[:150, :250] = False
    first, second = one.copy(), moved(one, 6, -5)
    first[~valid], second[~valid] = 0, 0
    signals = [gradient_signal(image, valid, 1.0) for image in (first, second)]
    np.testing.assert_allclose(peak_of(*signals).shift, (6, -5), atol=0.1)


def test_combined_signal_is_the_last_of_all() -> None:
    shown = View(np.stack([ground(0, 64), ground(1, 64)]), np.ones((64, 64), np.bool_))
    signals = gradient_signals(shown, 1.0)
    assert len(signals) == 3
    np.testing.assert_allclose(combined_signal(shown, 1.0), signals[2], atol=1e-5)
    single = View(shown.bands[:1], shown.valid)
    assert len(gradient_signals(single, 1.0)) == 1
    np.testing.assert_allclose(combined_signal(single, 1.0), gradient_signals(single, 1.0)[0], atol=1e-5)


def test_best_pair() -> None:
    signals = [gradient_signal(ground(seed), ALL, 1.0) for seed in range(4)]
    other = gradient_signal(moved(ground(2), 4, -2), ALL, 1.0)
    assert best_pair(signals[:3], [signals[3], other], 10) == (2, 1)
    assert best_pair(signals[:1], [other], 10) == (0, 0)
