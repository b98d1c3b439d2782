"""Shifts by how well bands predict bands: mixed and inverted contrasts, few pixels, nothing in common."""

import numpy as np
import pytest

from grounds import ground, moved
from rasterloom.registration.band_fit import (
    ALONE,
    MOST,
    best_fits,
    components,
    detail_signal,
    detail_signals,
    principal,
)
from rasterloom.registration.comparison import Floats, View
from rasterloom.registration.edges import Peak

SIDE = 200


def shown(*bands: Floats) -> View:
    return View(np.stack(bands), np.ones(bands[0].shape, np.bool_))


def fit(one: View, other: View, reach: float = 15.0) -> Peak:
    return fits(one, other, reach)[0]


def fits(one: View, other: View, reach: float = 15.0) -> tuple[Peak, Peak]:
    return best_fits(detail_signals(one, 1.0), detail_signals(other, 1.0), reach, 3.0)


@pytest.mark.parametrize("shift", [(0.0, 0.0), (2.4, -7.3), (-14.0, 9.5)])
def test_best_fit_of_a_mixture_that_no_band_shows(shift: tuple[float, float]) -> None:
    bands = [ground(seed, SIDE) for seed in range(3)]
    mixture = 0.6 * bands[0] - 0.9 * bands[1] + 0.4 * bands[2]
    found = fit(shown(*bands), shown(moved(mixture.astype(np.float32), *shift)))
    np.testing.assert_allclose(found.shift, shift, atol=0.1)
    assert found.height > 0.7 and found.second < 0.2


def test_best_fit_the_other_way_round_is_the_reverse() -> None:
    bands = [ground(seed, SIDE) for seed in range(3)]
    one, other = shown(*bands), shown(*(moved(band, 3.5, -4.0) for band in bands))
    there, back = fits(one, other)
    np.testing.assert_allclose(there.shift, (3.5, -4.0), atol=0.1)
    np.testing.assert_allclose(back.shift, (-3.5, 4.0), atol=0.1)
    for found, expected in zip(fits(other, one), (back, there), strict=True):
        np.testing.assert_allclose(found.shift, expected.shift, atol=1e-9)
        np.testing.assert_allclose((found.height, found.second), (expected.height, expected.second), rtol=1e-4)


def test_best_fits_is_what_least_squares_explains() -> None:
    """Shares at the whole shift that was put in, by numpy's least squares of one image on the other, both ways."""
    bands = [ground(seed, SIDE) for seed in range(4)]
    one = detail_signals(shown(*bands[:3]), 1.0)
    mixtures = [0.5 * bands[0] - bands[1] + bands[3], bands[2] + 0.5 * bands[3]]
    other = detail_signals(shown(*(moved(band.astype(np.float32), 4, -3) for band in mixtures)), 1.0)
    there, back = best_fits(one, other, 15.0, 3.0)
    apart = np.zeros_like(one), np.zeros_like(other)  # what lies opposite each other, nothing where the other ends
    apart[0][:, 3:, :-4], apart[1][:, :-3, 4:] = one[:, 3:, :-4], other[:, :-3, 4:]
    columns = [np.roll(apart[0], (-3, 4), (1, 2)).reshape(3, -1).T, apart[1].reshape(2, -1).T]
    for found, (known, sought) in zip((there, back), (columns, columns[::-1]), strict=True):
        rest = sought - known @ np.linalg.lstsq(known, sought, rcond=None)[0]
        assert found.height == pytest.approx(1 - np.square(rest).sum() / np.square(sought).sum(), abs=0.03)


def test_best_fit_of_different_ground_explains_no_more_than_elsewhere() -> None:
    for seed in range(4):
        found = fit(shown(ground(seed, SIDE)), shown(ground(seed + 50, SIDE)))
        assert found.height < 0.1 and found.height < 2 * found.second


@pytest.mark.parametrize("flat_one", [True, False])
def test_best_fit_of_a_flat_image(flat_one: bool) -> None:
    pair = [shown(ground(0, SIDE)), shown(np.full((SIDE, SIDE), 3, np.float32))]
    assert fit(*(pair[::-1] if flat_one else pair)) == Peak((0.0, 0.0), 0.0, 0.0)


def test_best_fit_of_copies_of_one_band() -> None:
    one = ground(0, SIDE)
    found = fit(shown(one, one, one), shown(moved(one, 1, 2)))
    np.testing.assert_allclose(found.shift, (1, 2), atol=0.1)
    assert 0.8 < found.height <= 1.01


def test_detail_signals_of_many_bands_are_few_and_keep_the_variance() -> None:
    rng = np.random.default_rng(0)
    bases = np.stack([ground(seed, 100) for seed in range(4)])
    bands = np.tensordot(rng.normal(size=(30, 4)), bases, 1).astype(np.float32)
    signals = principal(detail_signals(shown(*bands), 1.0))
    assert signals.shape == (MOST, 100, 100)
    assert np.square(signals[:4]).sum() == pytest.approx(30 * 100 * 100, rel=0.01)


def test_detail_signal_heeds_nodata() -> None:
    image, valid = ground(0, 100), np.ones((100, 100), np.bool_)
    valid[:, 60:] = False
    image[~valid] = np.nan
    signal = detail_signal(image, valid, 1.0)
    assert np.isfinite(signal).all() and not signal[:, 60:].any()
    assert not detail_signal(image, np.zeros_like(valid), 1.0).any()
    slow = detail_signal(image + 5 * np.arange(100, dtype=np.float32), valid, 1.0)
    inner = (slice(15, -15), slice(15, 45))
    assert np.corrcoef(slow[inner].ravel(), signal[inner].ravel())[0, 1] > 0.99


def test_hot_pixels_do_not_outweigh_the_ground() -> None:
    one = ground(0, SIDE)
    other = moved(one, 3, -5)
    rng = np.random.default_rng(2)
    for image in (one, other):
        image[rng.integers(0, SIDE, 30), rng.integers(0, SIDE, 30)] = 60_000
    found = fit(shown(one), shown(other))
    np.testing.assert_allclose(found.shift, (3, -5), atol=0.15)
    assert found.height > 0.4


def test_components_counts_what_differs() -> None:
    bands = detail_signals(shown(*(ground(seed, SIDE) for seed in range(3))), 1.0)
    assert components(bands[:1]) == pytest.approx(1)
    assert components(np.stack([bands[0]] * 4)) == pytest.approx(1) and components(-bands[:1]) < ALONE
    assert 2.8 < components(bands) <= 3
    assert components(np.zeros_like(bands)) == 0.0
