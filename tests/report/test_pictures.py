"""Pictures: frames, stretching, and polygons drawn over an image."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import shapely

from rasterloom.report import pictures
from rasterloom.report.pictures import Frame


def boxes(*corners: tuple[float, float, float, float]) -> np.ndarray:
    return np.array([shapely.box(*corner) for corner in corners], dtype=object)


UNIT = Frame(0, 0, 4, 4, 4, 4)


@pytest.mark.parametrize(
    ("size", "picture"),
    [((3348, 3391), (1011, 1024)), ((64, 64), (512, 512)), ((20000, 5), (1024, 1)), ((1, 1), (8, 8))],
)
def test_fitted_bounds_the_longer_side(size: tuple[int, int], picture: tuple[int, int]) -> None:
    frame = pictures.fitted(0, 0, *size)
    assert (frame.columns, frame.rows) == picture


def test_frame_matrix_maps_the_picture_corner_to_the_window_corner() -> None:
    (a, b, c), (d, e, f) = Frame(10, 20, 30, 40, 15, 10).matrix
    assert (a * 15 + b * 10 + c, d * 15 + e * 10 + f) == (40.0, 60.0)


def test_stretch_limits_ignore_invalid_pixels() -> None:
    image = np.arange(101, dtype=np.float32).reshape(1, 1, 101)
    valid = np.ones((1, 101), bool)
    image[0, 0, 100], valid[0, 100] = 1e9, False
    assert pictures.stretch_limits(image, valid).tolist() == [[pytest.approx(1.98), pytest.approx(97.02)]]


def test_stretch_limits_of_flat_and_empty_bands_are_ordered() -> None:
    image = np.array([[[7, 7]], [[np.nan, np.nan]]], np.float32)
    limits = pictures.stretch_limits(image, np.ones((1, 2), bool))
    assert limits.tolist() == [[6.5, 7.5], [0.0, 1.0]]


def test_stretched_one_band_is_grey_and_invalid_is_marked() -> None:
    image = np.array([[[0, 5, 10, np.nan]]], np.float32)
    out = pictures.stretched(image, np.array([[True, True, False, True]]), np.array([[0, 10]], np.float32))
    assert out.tolist() == [[[0, 0, 0], [140, 140, 140], [140] * 3, [140] * 3]]


def test_stretched_takes_the_first_three_bands_as_red_green_blue() -> None:
    image = np.array([[[10]], [[0]], [[99]], [[5]]], np.float32)
    out = pictures.stretched(image, np.ones((1, 1), bool), np.array([[0, 10]] * 4, np.float32))
    assert out.tolist() == [[[255, 0, 255]]]


def test_error_fractions_of_shifted_boxes() -> None:
    hit, extra, missed = pictures.error_fractions(boxes((0, 0, 2, 1)), boxes((1, 0, 3, 1)), UNIT)
    assert [hit[0].tolist(), extra[0].tolist(), missed[0].tolist()] == [[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0]]
    assert not (hit + extra + missed)[1:].any()


def test_error_fractions_of_half_a_pixel_and_of_overlapping_polygons() -> None:
    hit, extra, missed = pictures.error_fractions(boxes((0, 0, 1, 0.5), (0, 0, 0.5, 0.5)), boxes((0, 0, 1, 1)), UNIT)
    assert (hit[0, 0], extra[0, 0], missed[0, 0]) == (0.5, 0.0, 0.5)


def test_error_fractions_see_a_window_and_holes() -> None:
    ring = np.array([shapely.box(8, 8, 14, 14).difference(shapely.box(9, 9, 10, 10))], dtype=object)
    _, extra, _ = pictures.error_fractions(ring, boxes(), Frame(8, 8, 4, 4, 4, 4))
    assert extra[1, 1] == 0.0
    assert extra.sum() == 15.0


@pytest.mark.parametrize(("predicted", "expected"), [(boxes((0, 0, 2, 2)), 0.5), (boxes(), 0.0)])
def test_jaccard_of_fractions(predicted: np.ndarray, expected: float) -> None:
    fractions = pictures.error_fractions(predicted, boxes((0, 0, 4, 2)), UNIT)
    assert pictures.jaccard(fractions) == expected


def test_jaccard_of_nothing_is_none() -> None:
    assert pictures.jaccard(pictures.error_fractions(boxes(), boxes(), UNIT)) is None


def test_errors_picture_colours_each_kind_and_leaves_the_rest() -> None:
    image = np.full((4, 4, 3), 100, np.uint8)
    fractions = pictures.error_fractions(boxes((0, 0, 2, 1)), boxes((1, 0, 3, 1)), UNIT)
    out = pictures.errors_picture(image, fractions).astype(int)
    assert out[0].argmax(axis=1).tolist() == [0, 1, 2, 0]  # red, green, blue, untouched
    assert (out[1:] == 85).all()
    assert (image == 100).all()


def test_muted_is_nearer_to_grey_and_darker() -> None:
    image = np.array([[[200, 100, 0], [60, 60, 60]]], np.uint8)
    out = pictures.muted(image).astype(int)
    assert np.ptp(out[0, 0]) < 80
    assert out[0, 1].tolist() == [51, 51, 51]


def test_outlined_follows_the_edge_and_copies() -> None:
    image = np.zeros((16, 16, 3), np.uint8)
    out = pictures.outlined(image, boxes((4, 4, 12, 12)), Frame(0, 0, 16, 16, 16, 16), (255, 255, 255))
    assert out[3:5, 8].max() > 60
    assert not out[6:10, 6:10].any()
    assert not out[:2].any()
    assert not image.any()


def test_outlined_window_shifts_and_scales() -> None:
    out = pictures.outlined(
        np.zeros((20, 20, 3), np.uint8), boxes((104, 204, 106, 206)), Frame(100, 200, 10, 10, 20, 20), (9, 9, 9)
    )
    rows, columns = np.nonzero(out[..., 0])
    assert {7, 8} & set(rows) and {11, 12} & set(columns)
    assert rows.min() >= 6 and columns.max() <= 13


def test_outlines_picture_without_polygons_is_the_image() -> None:
    image = np.full((4, 4, 3), 7, np.uint8)
    assert (pictures.outlines_picture(image, boxes(), boxes(), UNIT) == image).all()


def test_classes_picture_draws_small_classes_over_large_ones() -> None:
    frame = Frame(0, 0, 16, 16, 16, 16)
    out = pictures.classes_picture(
        np.zeros((16, 16, 3), np.uint8),
        {"small": boxes((4, 4, 8, 8)), "large": boxes((0, 0, 16, 16)), "none": boxes()},
        {"small": (0, 0, 255), "large": (255, 0, 0), "none": (0, 255, 0)},
        frame,
    )
    assert out[6, 6, 2] > out[6, 6, 0]
    assert out[12, 12].tolist() == [128, 0, 0]


def test_detail_frame_of_large_objects_is_not_needed() -> None:
    assert pictures.detail_frame(boxes((0, 0, 100, 100)), pictures.fitted(0, 0, 1000, 1000)) is None
    assert pictures.detail_frame(boxes(), pictures.fitted(0, 0, 1000, 1000)) is None


def test_detail_frame_lies_where_the_objects_are() -> None:
    crowd = [(2900 + 8 * i, 1500.0, 2906 + 8 * i, 1506.0) for i in range(10)]
    frame = pictures.detail_frame(boxes((50, 50, 56, 56), *crowd), pictures.fitted(0, 0, 3000, 3000))
    assert frame is not None
    assert frame.width == frame.height == 192
    assert frame.x <= 2900 and frame.x + frame.width == 3000
    assert frame.y == 1503 - 96
    assert (frame.columns, frame.rows) == (640, 640)


def test_with_window_marks_the_window() -> None:
    out = pictures.with_window(np.full((20, 20, 3), 50, np.uint8), Frame(0, 0, 10, 10, 20, 20), Frame(2, 2, 4, 4, 8, 8))
    assert (out[3:5, 4:12] == 255).all()
    assert (out[2, 4:12] == 0).all()
    assert (out[6:10, 6:10] == 50).all()


def test_class_colours_are_distinct_and_stable() -> None:
    names = [f"class{index}" for index in range(16)]
    colours = pictures.class_colours(names)
    assert len(set(colours.values())) == 16
    assert pictures.class_colours(names[:3]) == {name: colours[name] for name in names[:3]}


def test_jpeg_keeps_red_red() -> None:
    image = np.zeros((16, 16, 3), np.uint8)
    image[..., 0] = 200
    back = cv2.imdecode(np.frombuffer(pictures.jpeg(image), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert np.abs(back.astype(int) - image).max() <= 4
