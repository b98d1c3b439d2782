"""Refinement: precision of shifts, turns and scales, OpenCV's ECC as an oracle, errors, no-data, ways to fail."""

import cv2
import numpy as np
import pytest

from grounds import ground, moved
from rasterloom.raster.grid import Matrix, compose, invert
from rasterloom.registration.comparison import Floats, Mask
from rasterloom.registration.edges import gradient_signal
from rasterloom.registration.motions import farthest
from rasterloom.registration.refinement import CELL, FLOOR, Compared, Fit, NotRefined, refined

SIDE = 400
ALL = np.ones((SIDE, SIDE), np.bool_)
STAY: Matrix = [[1, 0, 0], [0, 1, 0]]


def edges(*images: Floats, valid: Mask = ALL) -> list[Floats]:
    return [gradient_signal(image, valid, 1.0) for image in images]


def turned(image: Floats, degrees: float, dx: float, dy: float) -> tuple[Floats, Matrix]:
    """An image after a turn about its middle and a shift, and the map from the image to it."""
    there = cv2.getRotationMatrix2D((SIDE / 2, SIDE / 2), degrees, 1.0) + np.array([[0, 0, dx], [0, 0, dy]])
    return np.asarray(cv2.warpAffine(image, there, image.shape, borderMode=cv2.BORDER_REFLECT)), there.tolist()


def compared(one: Floats, other: Floats, valid: tuple[Mask, Mask] = (ALL, ALL)) -> Compared:
    return Compared(one[None], other[None], valid, alike=True)


def refine(
    one: Floats, other: Floats, start: Matrix, valid: tuple[Mask, Mask] = (ALL, ALL), kind: str = "translation"
) -> Matrix:
    """The motion alone, of one signal on another."""
    return refined(compared(one, other, valid), start, kind).motion


def apart(one: Matrix, other: Matrix) -> float:
    """The largest distance between what two maps make of points of the image."""
    points = np.array([[20, 380, 20, 380], [20, 20, 380, 380], [1] * 4])
    return float(np.hypot(*((np.array(one) - np.array(other)) @ points)).max())


@pytest.mark.parametrize("shift", [(0.0, 0.0), (-3.3, 2.2), (0.5, -0.5), (12.75, 30.1)])
@pytest.mark.parametrize("contrast", [1.0, -0.5])
def test_a_shift(shift: tuple[float, float], contrast: float) -> None:
    other = (300 + contrast * moved(ground(), *shift)).astype(np.float32)
    start: Matrix = [[1, 0, shift[0] + 0.9], [0, 1, shift[1] - 0.7]]
    found = refine(*edges(ground(), other), start, (ALL, ALL))
    assert [row[:2] for row in found] == [[1, 0], [0, 1]]
    np.testing.assert_allclose([row[2] for row in found], shift, atol=0.03)


def test_a_shift_in_noise() -> None:
    rng = np.random.default_rng(3)
    pair = [image + rng.normal(0, 60, image.shape).astype(np.float32) for image in (ground(), moved(ground(), 2.4, -1))]
    found = refine(*edges(*pair), STAY, (ALL, ALL))
    np.testing.assert_allclose([row[2] for row in found], (2.4, -1), atol=0.15)


@pytest.mark.parametrize(("degrees", "dx", "dy"), [(-0.8, 1.5, -0.5), (0.3, 0, 0), (0, -1.2, 2.1)])
def test_a_turn(degrees: float, dx: float, dy: float) -> None:
    other, there = turned(ground(), degrees, dx, dy)
    found = refine(*edges(ground(), other), STAY, (ALL, ALL), "euclidean")
    assert apart(found, there) < 0.1
    np.testing.assert_allclose(np.linalg.det(np.array(found)[:, :2]), 1, atol=1e-9)


@pytest.mark.parametrize(
    ("motion", "kind"), [("translation", cv2.MOTION_TRANSLATION), ("euclidean", cv2.MOTION_EUCLIDEAN)]
)
@pytest.mark.parametrize("seed", range(4))
def test_ends_where_that_of_opencv_ends(motion: str, kind: int, seed: int) -> None:
    """Ground that has changed in part, in other contrast and noise: what counts is the optimum, not the truth."""
    rng = np.random.default_rng(seed)
    degrees = 0.4 if motion == "euclidean" else 0.0
    other, _ = turned(0.7 * ground(seed) + 0.3 * ground(seed + 50), degrees, *rng.uniform(-1, 1, 2))
    pair = edges(ground(seed), other + rng.normal(0, 10, other.shape).astype(np.float32))
    ends = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 200, 1e-9)
    _, expected = cv2.findTransformECC(*pair, np.eye(2, 3, dtype=np.float32), kind, ends, None, 1)
    assert apart(refine(*pair, STAY, (ALL, ALL), motion), expected.tolist()) < 0.02


def test_the_other_way_round_is_the_reverse() -> None:
    one, other = edges(ground(), moved(ground(), 3.5, -4.0))
    there = refine(one, other, [[1, 0, 3], [0, 1, -3]], (ALL, ALL))
    back = refine(other, one, [[1, 0, -3], [0, 1, 3]], (ALL, ALL))
    assert apart(compose(there, back), STAY) < 0.02 and apart(there, invert(back)) < 0.02


@pytest.mark.parametrize("which", [0, 1])
def test_pixels_without_data_are_left_out(which: int) -> None:
    """A corner of either image shows other ground, which its mask says; and the masks' edges do not count as edges."""
    images = [ground(), moved(ground(), 6.3, -5.4)]
    valid = [ALL.copy(), ALL.copy()]
    images[which][:200, :300] = ground(9)[:200, :300]
    valid[which][:200, :300] = False
    signals = [gradient_signal(image, mask, 1.0) for image, mask in zip(images, valid, strict=True)]
    signals[which][:200, :300] = 5 * gradient_signal(ground(9), ALL, 1.0)[:200, :300]
    for mask in valid:
        mask[:204, :304] &= mask[0, 0]
    found = refine(*signals, [[1, 0, 5.5], [0, 1, -4.5]], (valid[0], valid[1]))
    np.testing.assert_allclose([row[2] for row in found], (6.3, -5.4), atol=0.05)


def test_a_corner_without_data_in_both_does_not_hold_the_images() -> None:
    """Both images have no data in the same fixed corner, which must not pull the shift to zero."""
    valid = ALL.copy()
    valid[:150, :250] = False
    pair = edges(*(np.where(valid, image, np.float32(0)) for image in (ground(), moved(ground(), 6, -5))), valid=valid)
    found = refine(*pair, [[1, 0, 5.5], [0, 1, -4.5]], (valid, valid))
    np.testing.assert_allclose([row[2] for row in found], (6, -5), atol=0.1)


def test_a_flat_signal_is_refused() -> None:
    flat = np.zeros_like(ground())
    for pair in ((flat, *edges(ground())), (*edges(ground()), flat)):
        with pytest.raises(NotRefined, match="ECC did not converge"):
            refine(*pair, STAY, (ALL, ALL))


def test_one_dimension_says_nothing_of_the_other() -> None:
    stripes = np.tile(np.sin(np.arange(SIDE, dtype=np.float32) / 5), (SIDE, 1))
    with pytest.raises(NotRefined, match="nothing to be seen"):
        refine(stripes, stripes, STAY, (ALL, ALL))


def test_images_that_do_not_overlap_are_refused() -> None:
    pair, left = edges(ground(), ground()), ALL.copy()
    left[:, 200:] = False
    for start, valid in (([[1, 0, 500], [0, 1, 0]], (ALL, ALL)), (STAY, (left, ~left))):
        with pytest.raises(NotRefined, match="do not overlap"):
            refine(*pair, start, valid)


def test_the_reverse_of_an_image_is_not_like_it() -> None:
    one = edges(ground())[0]
    with pytest.raises(NotRefined, match="not alike"):
        refine(one, -one, STAY, (ALL, ALL))


@pytest.mark.parametrize("kind", ["scale", "affine"])
def test_scales_and_shears(kind: str) -> None:
    linear = [[1.006, 0.0], [0.0, 0.996]] if kind == "scale" else [[1.006, 0.004], [-0.002, 0.996]]
    there = np.column_stack([linear, np.array([200, 200]) - np.array(linear) @ [200, 200] + [0.8, -0.6]])
    other = np.asarray(cv2.warpAffine(ground(), there, (SIDE, SIDE), borderMode=cv2.BORDER_REFLECT))
    fit = refined(compared(*edges(ground(), other)), STAY, kind)
    assert farthest(fit.motion, there.tolist(), (SIDE, SIDE)) < 0.15
    np.testing.assert_allclose(fit.changes[2:4], [0.006, -0.004], atol=3e-4)
    if kind == "scale":
        assert fit.motion[0][1] == fit.motion[1][0] == 0


def mixed(rng: np.random.Generator, noise: float, shift: tuple[float, float]) -> tuple[Floats, Floats]:
    """Three references and four bands, each of which mixes them, of either sign; moved, in noise."""
    ones = np.stack([ground(seed) - ground(seed).mean() for seed in range(3)])
    weights = rng.normal(size=(4, 3))
    others = np.stack([moved(np.tensordot(w, ones, 1).astype(np.float32), *shift) for w in weights])
    others += rng.normal(0, noise, others.shape)
    return ones, others.astype(np.float32)


def test_bands_that_mix_the_references() -> None:
    ones, others = mixed(np.random.default_rng(2), 40, (1.3, -0.8))
    fit = refined(Compared(ones, others, (ALL, ALL)), STAY)
    np.testing.assert_allclose([row[2] for row in fit.motion], (1.3, -0.8), atol=0.03)
    np.testing.assert_allclose(fit.changes, (1.3, -0.8), atol=0.03)


def test_the_standard_error_grows_with_the_noise_and_holds_the_error() -> None:
    errors, inside = [], 0
    for noise in (60.0, 600.0):
        fits = []
        for seed in range(12):
            ones, others = mixed(np.random.default_rng(seed), noise, (0.4, 0.3))
            fits.append(refined(Compared(ones, others, (ALL, ALL)), STAY))
        errors.append(np.median([fit.covariance[0, 0] for fit in fits]) ** 0.5)
        inside += sum(_distance(fit, (0.4, 0.3)) < 5.99 for fit in fits)
    assert FLOOR < errors[0] < errors[1] / 1.5
    assert inside >= 21  # of 24 in the 95 % region


def _distance(fit: Fit, truth: tuple[float, float]) -> float:
    away = fit.changes[:2] - truth
    return float(away @ np.linalg.solve(fit.covariance[:2, :2], away))


def test_a_scene_smaller_than_a_cell() -> None:
    one = edges(ground())[0][: CELL - 2, : CELL - 2].copy()
    all_of_it = np.ones(one.shape, np.bool_)
    fit = refined(Compared(one[None], one[None], (all_of_it, all_of_it), alike=True), STAY)
    assert apart(fit.motion, STAY) < 0.05
