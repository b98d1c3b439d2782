"""Sliding windows: every pixel is the mean of its windows, whatever the shape of the scene."""

from __future__ import annotations

import itertools
import tracemalloc
from collections.abc import Iterator
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from rasterloom.config.model import Prediction
from rasterloom.learning.augment import Normalisation
from rasterloom.learning.inference import sample_windows
from rasterloom.learning.windows import (
    MOST_SAMPLED,
    SYMMETRIES,
    Place,
    WindowBatch,
    alternate,
    in_blocks,
    padded_index,
    quantised,
    reflected,
    sample_step,
    sliding_rows,
    turned,
    turned_back,
    visit_counts,
    window_batches,
    window_starts,
)

# (height, width, window, stride): window larger than the image, odd sizes, overlaps, one pixel
SHAPES = [
    (1, 1, 1, 1),
    (1, 1, 8, 4),
    (3, 5, 8, 2),
    (8, 8, 8, 8),
    (8, 8, 8, 3),
    (9, 8, 8, 8),
    (4, 40, 8, 4),
    (40, 4, 8, 4),
    (17, 23, 8, 5),
    (31, 29, 7, 7),
    (33, 30, 10, 2),
    (20, 20, 5, 1),
    (300, 9, 8, 8),
    (270, 140, 140, 64),
]


def identity(data: NDArray[Any], valid: NDArray[np.uint8]) -> NDArray[np.float32]:
    return data.astype(np.float32)


def predicted(
    scene: NDArray[Any],
    window: int,
    stride: int,
    forward: Any = None,
    valid: NDArray[np.uint8] | None = None,
    batch: int = 3,
) -> NDArray[np.float32]:
    seen = np.ones((1, *scene.shape), np.uint8) if valid is None else valid[None]
    batches = window_batches(
        lambda a, b: (scene[None, a:b], seen[:, a:b]), identity, scene.shape, window, stride, batch
    )
    return np.concatenate(list(sliding_rows(answers(batches, forward), scene.shape, window, stride)))


def answers(batches: Iterator[WindowBatch], forward: Any = None) -> Iterator[tuple[Place, NDArray[np.float32]]]:
    """Those of `forward`, or the first channel."""
    for batch in batches:
        found = forward(batch.images) if forward else batch.images[:, 0]
        yield from zip(batch.places, found, strict=True)


@pytest.mark.parametrize(("height", "width", "window", "stride"), SHAPES)
def test_sliding_rows_gives_the_scene_back(height: int, width: int, window: int, stride: int) -> None:
    scene = np.random.default_rng(0).random((height, width)).astype(np.float32)
    out = predicted(scene, window, stride)
    assert out.shape == (height, width)
    assert out.dtype == np.float32
    assert np.allclose(out, scene, atol=1e-6)


@given(
    shape=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    window=st.integers(1, 12),
    stride=st.integers(1, 12),
    batch=st.integers(1, 9),
    holes=st.integers(0, 3),
)
def test_sliding_rows_is_the_mean_over_windows(
    shape: tuple[int, int], window: int, stride: int, batch: int, holes: int
) -> None:
    """Against a slow reference, with ground of any shape and answers that differ by place in the window."""
    rng, stride = np.random.default_rng([*shape, window]), min(stride, window)
    scene, ramp = rng.random(shape).astype(np.float32), rng.random((window, window)).astype(np.float32)
    valid = (rng.random(shape) >= holes / 3).astype(np.uint8)

    index = [padded_index(length, window) for length in shape]
    padded, ground = scene[np.ix_(*index)], valid[np.ix_(*index)]
    sums, counts = np.zeros(padded.shape), np.zeros(padded.shape)
    for y in window_starts(shape[0], window, stride):
        for x in window_starts(shape[1], window, stride):
            part = np.s_[y : y + window, x : x + window]
            sums[part] += padded[part] * ramp * ground[part].any()
            counts[part] += 1
    top, left = ((long - length) // 2 for long, length in zip(padded.shape, shape, strict=True))
    expected = (sums / counts)[top : top + shape[0], left : left + shape[1]]
    found = predicted(scene, window, stride, lambda images: images[:, 0] * ramp, valid, batch)
    assert np.allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("length", "window", "stride", "expected"),
    [
        (10, 4, 3, [0, 3, 6]),
        (11, 4, 3, [0, 3, 6, 7]),
        (3, 8, 4, [0]),
        (8, 8, 1, [0]),
        (1, 1, 1, [0]),
        (9, 4, 4, [0, 4, 5]),
    ],
)
def test_window_starts(length: int, window: int, stride: int, expected: list[int]) -> None:
    assert window_starts(length, window, stride) == expected


def test_visit_counts_exceed_a_byte() -> None:
    assert visit_counts(1000, 300, 1).max() == 300


@pytest.mark.parametrize(
    ("length", "window", "expected"), [(3, 7, [2, 1, 0, 1, 2, 1, 0]), (1, 3, [0, 0, 0]), (4, 2, [0, 1, 2, 3])]
)
def test_padded_index(length: int, window: int, expected: list[int]) -> None:
    assert padded_index(length, window).tolist() == expected


def test_window_batches_leave_out_invalid_ground_and_keep_their_composition() -> None:
    valid = np.zeros((12, 40), np.uint8)
    valid[:4, 30:] = 1
    scene = np.ones((12, 40), np.float32)
    batches = list(window_batches(lambda a, b: (scene[None, a:b], valid[None, a:b]), identity, (12, 40), 4, 4, 2))
    assert [b.places for b in batches] == [((0, 28), (0, 32)), ((0, 36),)]
    out = predicted(scene, 4, 4, valid=valid)
    assert out[valid == 1].min() == 1.0
    assert out[4:].max() == 0.0


def test_window_batches_go_on_from_row_to_row_and_skip_what_is_empty() -> None:
    valid = np.ones((13, 8), np.uint8)
    valid[3:9] = 0
    scene = np.ones((13, 8), np.float32)
    batches = window_batches(lambda a, b: (scene[None, a:b], valid[None, a:b]), identity, (13, 8), 3, 3, 4)
    assert [b.places for b in batches] == [
        ((0, 0), (0, 3), (0, 5), (9, 0)),
        ((9, 3), (9, 5), (10, 0), (10, 3)),
        ((10, 5),),
    ]
    assert np.array_equal(predicted(scene, 3, 3, valid=valid, batch=4), valid)


@pytest.mark.parametrize("batch", [1, 2, 7, 100])
def test_sliding_rows_same_for_any_batch(batch: int) -> None:
    scene = np.random.default_rng(3).random((30, 33)).astype(np.float32)
    assert np.array_equal(predicted(scene, 8, 3, batch=batch), predicted(scene, 8, 3))


@given(
    shape=st.tuples(st.integers(1, 40), st.integers(1, 12)),
    window=st.integers(1, 12),
    stride=st.integers(1, 12),
    batch=st.integers(1, 9),
    share=st.floats(0, 1),
)
def test_sliding_rows_from_a_row_on_are_the_same(
    shape: tuple[int, int], window: int, stride: int, batch: int, share: float
) -> None:
    """Bit for bit, from batches of the same composition."""
    rng, stride, first = np.random.default_rng(shape), min(stride, window), round(share * shape[0])
    scene, valid = rng.random(shape).astype(np.float32), (rng.random(shape) > 0.8).astype(np.uint8)

    def read(a: int, b: int) -> tuple[NDArray[Any], NDArray[np.uint8]]:
        return scene[None, a:b], valid[None, a:b]

    whole, later = (list(window_batches(read, identity, shape, window, stride, batch, row)) for row in (0, first))
    assert [own.places for own in later] == [own.places for own in whole][len(whole) - len(later) :]
    rows = list(sliding_rows(answers(iter(later)), shape, window, stride, (), first))
    expected = np.concatenate(list(sliding_rows(answers(iter(whole)), shape, window, stride)))[first:]
    assert np.array_equal(np.concatenate([*rows, expected[:0]]), expected)


def test_rows_are_read_once_and_in_order() -> None:
    calls: list[tuple[int, int]] = []
    scene = np.zeros((1, 700, 20), np.float32)

    def read(a: int, b: int) -> tuple[NDArray[Any], NDArray[np.uint8]]:
        calls.append((a, b))
        return scene[:, a:b], np.ones((1, b - a, 20), np.uint8)

    for _ in window_batches(read, identity, (700, 20), 16, 4, 4):
        pass
    assert calls[0][0] == 0
    assert calls[-1][1] == 700
    assert all(first[1] == second[0] for first, second in pairwise(calls))


def test_memory_does_not_grow_with_the_height() -> None:
    def peak(height: int) -> int:
        row = np.ones((1, 200), np.uint8)
        batches = window_batches(
            lambda a, b: (np.zeros((2, b - a, 200), np.uint16), np.repeat(row, b - a, 0)[None]),
            identity,
            (height, 200),
            32,
            16,
            4,
        )
        tracemalloc.start()
        for _ in sliding_rows(answers(batches), (height, 200), 32, 16):
            pass
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    assert peak(4000) < 1.1 * peak(1000) + 60_000


@pytest.mark.parametrize("heights", [[1] * 10, [7, 3], [10], [4, 4, 2]])
def test_in_blocks(heights: list[int]) -> None:
    array = np.arange(20).reshape(10, 2)
    ends = np.cumsum([0, *heights])
    blocks = list(in_blocks(iter([array[a:b] for a, b in pairwise(ends)]), 4))
    assert [len(b) for b in blocks] == [4, 4, 2]
    assert np.array_equal(np.concatenate(blocks), array)


def test_quantised() -> None:
    probability = np.array([0.0, 0.5, 1.0, 1.2, -0.1, 0.998, 1.0], np.float32)
    valid = np.array([1, 255, 1, 1, 1, 1, 0], np.uint8)
    assert quantised(probability, valid).tolist() == [0, 128, 255, 255, 0, 254, 0]


def test_symmetries_are_the_eight_of_a_square() -> None:
    square = np.arange(9, dtype=np.float32).reshape(3, 3)
    assert len({turned(square, *way).tobytes() for way in SYMMETRIES}) == 8
    assert SYMMETRIES[0] == (0, False)


@pytest.mark.parametrize("way", SYMMETRIES)
def test_turned_back_is_the_inverse_of_turned(way: tuple[int, bool]) -> None:
    image = np.random.default_rng(0).random((3, 5, 5)).astype(np.float32)
    classes = np.moveaxis(turned(image, *way), 0, -1)
    assert np.array_equal(turned_back(classes, *way), np.moveaxis(image, 0, -1))
    assert np.array_equal(turned_back(turned(image[0], *way), *way), image[0])


def test_alternate_takes_all_turns_around_a_point_and_all_symmetries_in_a_scene() -> None:
    starts = window_starts(1000, 256, 128)
    ways = {(i, j): alternate((y, x), 128) for i, y in enumerate(starts) for j, x in enumerate(starts)}
    for i, j in itertools.product(range(len(starts) - 1), repeat=2):
        assert len({ways[i + di, j + dj][0] for di in (0, 1) for dj in (0, 1)}) == 4
    assert set(ways.values()) == set(SYMMETRIES)


@pytest.mark.parametrize(
    ("length", "target", "expected"),
    [(1, 3, [0, 0, 0]), (2, 5, [0, 1, 0, 1, 0]), (3, 8, [0, 1, 2, 1, 0, 1, 2, 1]), (4, 4, [0, 1, 2, 3])],
)
def test_reflected(length: int, target: int, expected: list[int]) -> None:
    assert reflected(np.arange(target), length).tolist() == expected


def test_sample_windows_leaves_out_what_has_no_data() -> None:
    data = np.random.default_rng(0).normal(size=(2, 100, 60)).astype(np.float32)
    valid = np.zeros((1, 100, 60), np.uint8)
    valid[:, :16] = 1
    reader: Any = SimpleNamespace(shape=(100, 60), rows=lambda a, b: (data[:, a:b], valid[:, a:b]))
    plain = Normalisation(np.zeros(2, np.float32), np.ones(2, np.float32), np.array([0, 0]))
    settings = Prediction(window=16, stride=8, symmetries=True, batch=3)
    images = np.concatenate(list(sample_windows(reader, plain, settings)))
    assert np.array_equal(images[0], data[:, :16, :16])
    assert len(images) == len(window_starts(60, 16, 16))


@pytest.mark.parametrize("shape", [(1, 1), (256, 256), (1000, 1000), (3400, 3400), (64, 40_000), (20_000, 30_000)])
def test_sample_step_spreads_few_windows_over_the_scene(shape: tuple[int, int]) -> None:
    step = sample_step(shape, 256)
    starts = [window_starts(length, 256, step) for length in shape]
    assert len(starts[0]) * len(starts[1]) <= MOST_SAMPLED
    for own, length in zip(starts, shape, strict=True):
        assert own[0] == 0 and own[-1] == max(0, length - 256)  # from edge to edge
    if min(shape) > 2000:
        assert len(starts[0]) * len(starts[1]) > MOST_SAMPLED / 4
