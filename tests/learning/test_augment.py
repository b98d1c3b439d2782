"""Cutting, turning, normalising and jittering patches: data, coverage and validity move together."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rasterloom.config.model import AugmentConfig
from rasterloom.learning.augment import Normalisation, Read, cut, jitter, kept_channels, source_window
from rasterloom.learning.sampling import Patch


def reader(data: NDArray[np.uint16], valid: NDArray[np.uint8] | None = None) -> Read:
    """A scene whose coverage is its first channel, and whose windows must lie within it."""
    seen = np.full((1, *data.shape[1:]), 255, np.uint8) if valid is None else valid

    def read(y0: int, y1: int, x0: int, x1: int) -> tuple[NDArray[np.uint16], NDArray[np.uint8], NDArray[np.uint8]]:
        assert 0 <= y0 < y1 <= data.shape[1]
        assert 0 <= x0 < x1 <= data.shape[2]
        return data[:, y0:y1, x0:x1], seen[:, y0:y1, x0:x1], data[0, y0:y1, x0:x1].astype(np.uint8)

    return read


def patch(x: float, y: float, size: int = 4, angle: float = 0.0, fx: bool = False, fy: bool = False) -> Patch:
    return Patch(0, size, x, y, angle, fx, fy, (0, 0, 0))


def of_step(step: int) -> Patch:
    return Patch(0, 1, 0, 0, 0, False, False, (0, step, 0))


COLOUR = {strength: AugmentConfig(colour=strength) for strength in (0.0, 0.2, 0.5)}
SCENE = np.arange(2 * 8 * 10, dtype=np.uint16).reshape(2, 8, 10)


def test_cut_upright_is_a_copy() -> None:
    data, valid, coverage = cut(patch(5, 4), reader(SCENE), (8, 10))
    assert np.array_equal(data, SCENE[:, 2:6, 3:7])
    assert np.array_equal(coverage, SCENE[0, 2:6, 3:7])
    assert valid.min() == 1
    assert [str(a.dtype) for a in (data, valid, coverage)] == ["float32", "uint8", "uint8"]


@pytest.mark.parametrize(
    ("angle", "fx", "fy"), list(itertools.product((0, 90, 180, -90, 270), (False, True), (False, True)))
)
def test_cut_quarter_turns_and_flips_are_exact(angle: float, fx: bool, fy: bool) -> None:
    data, _, coverage = cut(patch(5, 4, angle=angle, fx=fx, fy=fy), reader(SCENE), (8, 10))
    expected = SCENE[:, 2:6, 3:7]
    # the patch's x axis turns towards the scene's y axis: the picture turns the other way
    expected = np.rot90(expected, round(angle / 90), (1, 2))
    expected = expected[:, :, ::-1] if fx else expected
    expected = expected[:, ::-1] if fy else expected
    assert np.array_equal(data, expected)
    assert np.array_equal(coverage, expected[0])


@pytest.mark.parametrize("angle", [1e-9, 90 + 1e-9, 180 - 1e-9])
def test_cut_interpolated_agrees_with_exact(angle: float) -> None:
    inner = patch(5, 4, angle=angle, fx=True)
    exact = patch(5, 4, angle=round(angle / 90) * 90.0, fx=True)
    pairs: Any = zip(cut(inner, reader(SCENE), (8, 10)), cut(exact, reader(SCENE), (8, 10)), strict=True)
    for a, b in pairs:
        assert np.allclose(a, b, atol=1e-3)


@pytest.mark.parametrize("angle", [30, 45, 77, -120])
def test_cut_keeps_a_ramp_a_ramp(angle: float) -> None:
    y, x = np.mgrid[:60, :60]
    ramp = np.stack([2 * x + 3 * y, x]).astype(np.uint16)
    turned = patch(30.5, 29.0, 16, angle)
    data, valid, _ = cut(turned, reader(ramp), (60, 60))
    v, u = np.mgrid[:16, :16] + 0.5
    (a, b, c), (d, e, f) = turned.matrix
    where_x, where_y = a * u + b * v + c - 0.5, d * u + e * v + f - 0.5
    assert np.abs(data[0] - (2 * where_x + 3 * where_y)).max() < 0.15  # cv2 interpolates at 1/32 pixel
    assert valid.all()


@pytest.mark.parametrize("angle", [0.0, 37.0])
def test_cut_outside_is_reflected_and_invalid(angle: float) -> None:
    constant = np.full((1, 6, 6), 7, np.uint16)
    data, valid, _ = cut(patch(0, 0, 8, angle), reader(constant), (6, 6))
    assert np.allclose(data, 7)
    share = valid.mean()
    assert 0.05 < share < 0.3 if angle else share == 0.25
    assert not valid[0, 4 if not angle else 0, 0]


@pytest.mark.parametrize("shape", [(1, 1), (2, 7), (3, 3)])
@pytest.mark.parametrize("angle", [0.0, 90.0, 20.0])
def test_cut_scene_smaller_than_the_patch(shape: tuple[int, int], angle: float) -> None:
    data, valid, coverage = cut(
        patch(shape[1] / 2, shape[0] / 2, 9, angle), reader(np.ones((1, *shape), np.uint16)), shape
    )
    assert data.shape == (1, 9, 9)
    assert coverage.shape == (9, 9)
    assert np.allclose(data, 1)
    assert valid.sum() <= shape[0] * shape[1]


def test_cut_invalid_neighbours_make_invalid() -> None:
    valid = np.full((1, 20, 20), 255, np.uint8)
    valid[0, 10, 10] = 0
    seen = cut(patch(10.5, 10.5, 9, 45), reader(np.ones((1, 20, 20), np.uint16), valid), (20, 20))[1]
    assert seen[0, 4, 4] == 0
    assert 1 <= (seen == 0).sum() <= 6


def test_cut_coverage_and_data_move_together() -> None:
    field = (np.random.default_rng(0).random((1, 50, 50)) * 200).astype(np.uint16)
    data, _, coverage = cut(patch(25, 25, 16, 33, fx=True), reader(field), (50, 50))
    assert np.abs(data[0] - coverage).max() <= 1.0


def test_source_window_is_no_larger_than_needed() -> None:
    assert source_window(patch(50, 40, 10), (100, 100)) == (35, 45, 45, 55)
    y0, y1, x0, x1 = source_window(patch(50, 40, 10, 45), (100, 100))
    assert (y1 - y0) <= 10 * 2**0.5 + 4
    assert (x1 - x0) <= 10 * 2**0.5 + 4


def test_normalise_values_and_invalid_sensors() -> None:
    data = np.array([[[10, 20]], [[5, 5]], [[1, 3]]], np.uint16)
    valid = np.array([[[255, 255]], [[0, 255]]], np.uint8)
    mean, sd = np.array([10, 5, 1], np.float32), np.array([5, 0, 2], np.float32)
    out = Normalisation(mean, sd, np.array([0, 0, 1])).apply(data, valid)
    assert np.array_equal(out, np.array([[[0, 2]], [[0, 0]], [[0, 1]]], np.float32))
    assert data[0, 0, 0] == 10


def test_jitter_zero_changes_nothing_and_invalid_stays_zero() -> None:
    data = np.ones((2, 3, 3), np.float32)
    valid = np.ones((2, 3, 3), np.uint8)
    valid[1, 0] = 0
    planes = np.array([0, 1])
    assert jitter(data, valid, planes, COLOUR[0.0], patch(0, 0)) is data
    out = jitter(data, valid, planes, COLOUR[0.5], patch(0, 0))
    assert (out[1, 0] == 0).all()
    assert (out[1, 1:] == out[1, 1, 0]).all()
    assert not np.array_equal(out, data)
    assert np.array_equal(out, jitter(data, valid, planes, COLOUR[0.5], patch(0, 0)))


def test_jitter_moves_a_sensor_as_a_whole() -> None:
    zero = np.zeros((4, 1, 1), np.float32)
    valid = np.ones((2, 1, 1), np.uint8)
    planes = np.array([0, 0, 1, 1])
    shifts = np.array(
        [
            jitter(zero, valid, planes, COLOUR[0.2], Patch(0, 1, 0, 0, 0, False, False, (0, s, 0)))[:, 0, 0]
            for s in range(400)
        ]
    )
    correlation = np.corrcoef(shifts.T)
    assert correlation[0, 1] == pytest.approx(0.8, abs=0.1)  # 1 common to 1/4 of its own
    assert abs(correlation[0, 2]) < 0.15
    assert shifts.std() == pytest.approx(0.2 * 1.25**0.5, rel=0.1)


# Zoom --------------------------------------------------------------------------------------------------------


def zoomed(x: float, y: float, size: int, scale: float, angle: float = 0.0) -> Patch:
    return Patch(0, size, x, y, angle, False, True, (0, 0, 0), scale)


@pytest.mark.parametrize("scale", [0.3, 0.45, 0.5, 0.62, 0.7, 0.9])
@pytest.mark.parametrize("angle", [0.0, 90.0, 33.0])
def test_cut_zoomed_keeps_a_ramp_where_it_is(scale: float, angle: float) -> None:
    y, x = np.mgrid[:100, :120]
    ramp = np.stack([2 * x + y, 3 * y]).astype(np.uint16)
    patch = zoomed(60.3, 49.0, 16, scale, angle)
    data, valid, _ = cut(patch, reader(ramp), (100, 120))
    v, u = np.mgrid[:16, :16] + 0.5
    (a, b, c), (d, e, f) = patch.matrix
    where_x, where_y = a * u + b * v + c - 0.5, d * u + e * v + f - 0.5
    assert np.abs(data[0] - (2 * where_x + where_y)).max() < 0.2  # cv2 interpolates at 1/32 pixel
    assert valid.all()
    assert np.ptp(where_x) > 15 / scale * 0.99


@pytest.mark.parametrize(("scale", "least"), [(0.9, 0.5), (0.6, 0.25), (0.5, 0.5), (0.34, 0.3), (0.3, 0.3)])
def test_cut_zoomed_averages_and_skips_no_detail(scale: float, least: float) -> None:
    """Of lines one pixel wide every other one is white: grey remains, whatever the place of the patch."""
    lines = np.zeros((1, 120, 120), np.uint16)
    lines[:, :, ::2] = 200
    found = [cut(zoomed(60 + dx, 60, 24, scale), reader(lines), (120, 120)) for dx in (0, 0.3, 0.5, 1)]
    for data, _, coverage in found:
        assert data.mean() == pytest.approx(100, abs=4)
        assert np.abs(data[0] - coverage).max() <= 1
        if scale < 2 / 3:
            assert data.std() < 100 * (1 - least)


def test_cut_zoomed_noise_is_averaged() -> None:
    field = np.random.default_rng(0).normal(500, 60, (1, 200, 200)).astype(np.uint16)
    spread = {scale: cut(zoomed(100, 100, 50, scale), reader(field), (200, 200))[0].std() for scale in (1 / 2, 1 / 3)}
    assert spread[1 / 2] == pytest.approx(30, rel=0.1)  # of four pixels
    assert spread[1 / 3] == pytest.approx(20, rel=0.1)  # of nine


def test_cut_zoomed_invalid_pixels_make_invalid() -> None:
    valid = np.full((2, 40, 40), 255, np.uint8)
    valid[0, 20, 20] = 0
    seen = cut(zoomed(20, 20, 10, 0.5), reader(np.ones((1, 40, 40), np.uint16), valid), (40, 40))[1]
    assert 1 <= (seen[0] == 0).sum() <= 4
    assert seen[1].all()


def test_cut_zoomed_at_the_edge_of_the_scene() -> None:
    data, valid, coverage = cut(zoomed(5, 5, 9, 0.3), reader(np.full((1, 31, 31), 7, np.uint16)), (31, 31))
    assert np.allclose(data, 7) and (coverage == 7).all()
    assert 0.2 < valid.mean() < 0.6


def test_source_window_of_a_zoomed_patch() -> None:
    y0, y1, x0, x1 = source_window(zoomed(50, 50, 10, 0.5), (100, 100))
    assert (y0, y1, x0, x1) == (38, 62, 38, 62)


# Contrast and dropout ----------------------------------------------------------------------------------------


def test_jitter_contrast_is_of_a_sensor_and_leaves_the_other_draws() -> None:
    ones = np.ones((4, 1, 1), np.float32)
    valid, planes = np.ones((2, 1, 1), np.uint8), np.array([0, 0, 1, 1])
    alone = AugmentConfig(colour=0.0, contrast=0.5)
    logs = np.log([jitter(ones, valid, planes, alone, of_step(s))[:, 0, 0] for s in range(400)])
    assert np.array_equal(logs[:, 0], logs[:, 1]) and np.array_equal(logs[:, 2], logs[:, 3])
    assert abs(np.corrcoef(logs.T)[0, 2]) < 0.15
    assert logs.std() == pytest.approx(0.5, rel=0.1)
    zero = np.zeros_like(ones)  # which a gain does not change
    both = jitter(zero, valid, planes, AugmentConfig(colour=0.2, contrast=0.5), of_step(3))
    assert np.array_equal(both, jitter(zero, valid, planes, COLOUR[0.2], of_step(3)))


def kept(planes: list[int], **settings: float) -> NDArray[np.bool_]:
    """Which channels are kept in each of 1000 patches."""
    augment, sensors = AugmentConfig.model_validate(settings), np.array(planes)
    return np.array([kept_channels(sensors, augment, of_step(step)) for step in range(1000)])


def test_kept_channels_are_all_by_default() -> None:
    assert kept([0, 1]).all()


def test_sensor_dropout_leaves_out_one_other_sensor_as_a_whole() -> None:
    found = kept([0, 0, 1, 1, 2], sensor_dropout=0.4)
    assert found[:, :2].all()
    assert np.array_equal(found[:, 2], found[:, 3])
    assert 0.15 < 1 - found[:, 2].mean() < 0.25 and 0.15 < 1 - found[:, 4].mean() < 0.25
    assert (found[:, 2] | found[:, 4]).all()


@pytest.mark.parametrize("planes", [[0, 0], [1, 1]])
def test_sensor_dropout_never_leaves_out_the_only_sensor(planes: list[int]) -> None:
    assert kept(planes, sensor_dropout=1.0).all()


def test_channel_dropout_is_of_each_channel_and_never_of_all() -> None:
    assert 1 - kept([0] * 20, channel_dropout=0.3).mean() == pytest.approx(0.3, abs=0.02)
    last = kept([0, 0, 1], channel_dropout=1.0, sensor_dropout=1.0)
    assert (last.sum(axis=1) == 1).all() and not last[:, 2].any()
    assert 0.4 < last[:, 0].mean() < 0.6


def test_kept_channels_are_a_function_of_the_patch() -> None:
    assert np.array_equal(kept([0, 1, 2], channel_dropout=0.5), kept([0, 1, 2], channel_dropout=0.5))
