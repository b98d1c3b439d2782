"""Sliding windows over scenes of any size: strips of rows in, finished rows out.

Every pixel is the plain mean of all windows that contain it, sums in float32. The memory does not grow with
the number of windows nor with the height of the scene.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import count, islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

Bytes = NDArray[np.uint8]

ReadRows = Callable[[int, int], tuple[NDArray[Any], Bytes]]
"""Reads rows y0..y1 (exclusive, within the scene): data (C, y1 - y0, W) and valid (S, y1 - y0, W)."""

Place = tuple[int, int]
"""First row and column of a window, in the scene as it is padded to the window."""

Prepare = Callable[[NDArray[Any], Bytes], Floats]
"""Normalises a window: data (C, h, w) and valid (S, h, w) to (C, h, w) float32."""

Forward = Callable[[Floats], Floats]
"""Probabilities (N, window, window) or, of K classes, (N, window, window, K) of a batch (N, C, window, window).

All are float32, probabilities 0..1.
"""

MOST_SAMPLED = 64
"""Windows by which a scene is judged where not all of them need be looked at: 4 million pixels if they are of 256."""

READ_ROWS = 128
"""Rows are read in multiples of the stacks' chunks."""


def window_starts(length: int, window: int, stride: int) -> list[int]:
    """First pixels of the windows along one axis.

    Parameters
    ----------
    length : pixels of the axis, at least 1.
    window : pixels of a window, at least 1.
    stride : pixels from window to window, 1..window.

    Returns
    -------
    ascending list: multiples of `stride`, and last the window that ends flush with the axis. [0] if the
    window is as long as the axis or longer.

    Examples
    --------
    >>> window_starts(10, 4, 3)
    [0, 3, 6]
    >>> window_starts(11, 4, 3)
    [0, 3, 6, 7]
    """
    last = max(0, length - window)
    starts = list(range(0, last + 1, stride))
    return starts if starts[-1] == last else [*starts, last]


def visit_counts(length: int, window: int, stride: int) -> NDArray[np.int32]:
    """How many windows contain each pixel of an axis, (length,) int32; outer products of two give an image."""
    counts = np.zeros(length, dtype=np.int32)
    for start in window_starts(length, window, stride):
        counts[start : start + window] += 1
    return counts


def reflected(index: NDArray[np.intp], length: int) -> NDArray[np.intp]:
    """Indices within 0..length-1, by reflection about the first and the last element, as often as needed.

    Examples
    --------
    >>> reflected(np.arange(-2, 6), 3).tolist()
    [2, 1, 0, 1, 2, 1, 0, 1]
    """
    period = max(1, 2 * (length - 1))  # a single element is repeated
    folded = np.mod(index, period)
    return np.asarray(np.minimum(folded, period - folded))


def padded_index(length: int, window: int) -> NDArray[np.intp]:
    """Indices that extend an axis shorter than the window to its length, by reflection on both sides.

    Returns
    -------
    (max(length, window),) indices in 0..length-1; the axis starts at ``(max(length, window) - length) // 2``.
    """
    total = max(length, window)
    return reflected(np.arange(total) - (total - length) // 2, length)


def sample_step(shape: tuple[int, int], window: int) -> int:
    """Pixels from window to window where a scene is sampled: as few whole windows as `MOST_SAMPLED` of them allow."""
    return next(step for k in count(1) if sampled(shape, window, step := window * k) <= MOST_SAMPLED)


def sampled(shape: tuple[int, int], window: int, step: int) -> int:
    """Number of windows, `step` pixels apart, of a scene (H, W)."""
    return len(window_starts(shape[0], window, step)) * len(window_starts(shape[1], window, step))


class RowBuffer:
    """Rows of a scene that a sliding window still needs, padded to the window by reflection.

    Parameters
    ----------
    read : reads rows of the scene.
    shape : (H, W) of the scene.
    window : pixels of a window.

    Notes
    -----
    Memory: at most ``window + 128`` rows of the stack, in its own dtype, and twice that for a moment.
    """

    def __init__(self, read: ReadRows, shape: tuple[int, int], window: int) -> None:
        self._read = read
        self._height = shape[0]
        self._rows = padded_index(shape[0], window)
        self._columns = padded_index(shape[1], window)
        self._first = 0
        self._kept: tuple[NDArray[Any], Bytes] | None = None

    def rows(self, y0: int, y1: int) -> tuple[NDArray[Any], Bytes]:
        """Padded rows y0..y1, (C, y1 - y0, W) and (S, y1 - y0, W); `y0` is never smaller than in an earlier call."""
        wanted = self._rows[y0:y1]
        low, high = int(wanted.min()), int(wanted.max()) + 1
        data, valid = self._fetch(low, high)
        pick = wanted - low
        if len(self._columns) != data.shape[-1]:
            return data[:, pick][:, :, self._columns], valid[:, pick][:, :, self._columns]
        if np.array_equal(pick, np.arange(len(pick))):
            return data, valid
        return data[:, pick], valid[:, pick]

    def _fetch(self, low: int, high: int) -> tuple[NDArray[Any], Bytes]:
        parts, have = list[tuple[NDArray[Any], Bytes]](), low
        if self._kept is not None and self._first <= low <= self._first + self._kept[0].shape[1]:
            (data, valid), gone = self._kept, low - self._first
            parts, have = [(data[:, gone:], valid[:, gone:])], self._first + data.shape[1]
        if high > have:
            parts.append(self._read(have, min(self._height, -(-high // READ_ROWS) * READ_ROWS)))
        data, valid = (
            parts[0] if len(parts) == 1 else (np.concatenate(both, axis=1) for both in zip(*parts, strict=True))
        )
        self._first, self._kept = low, (data, valid)
        return data[:, : high - low], valid[:, : high - low]


@dataclass(frozen=True)
class WindowBatch:
    """Windows of a scene that go through the network together.

    Attributes
    ----------
    places : of the windows, row by row and from left to right.
    images : (N, C, window, window) float32.
    """

    places: tuple[Place, ...]
    images: Floats


def window_batches(
    read: ReadRows, prepare: Prepare, shape: tuple[int, int], window: int, stride: int, batch: int, first: int = 0
) -> Iterator[WindowBatch]:
    """The windows of a scene in batches, row by row and from left to right.

    Parameters
    ----------
    read : reads rows of the scene; plane 0 of its valid is the reference sensor's.
    prepare : normalises a window.
    shape : (H, W) of the scene.
    window, stride : pixels, see `window_starts`.
    batch : windows per batch, also of several rows of windows; the last one may have fewer.
    first : batches that lie above this row of the scene are left out; the others are the same.

    Notes
    -----
    Windows without a valid pixel are left out. The composition of batches depends on the scene and the
    arguments alone. Memory: one strip of rows and one batch.
    """
    buffer = RowBuffer(read, shape, window)
    columns = window_starts(shape[1], window, stride)

    first += (max(shape[0], window) - shape[0]) // 2

    def seen() -> Iterator[tuple[Place, Callable[[], Floats]]]:
        for top in window_starts(shape[0], window, stride):
            data, valid = buffer.rows(top, top + window)
            ground = valid[0].any(axis=0)
            for x in columns:
                if ground[x : x + window].any():
                    part = np.s_[:, :, x : x + window]
                    yield (top, x), partial(prepare, data[part], valid[part])

    found = seen()
    while chosen := list(islice(found, batch)):
        if chosen[-1][0][0] + window > first:
            yield WindowBatch(tuple(place for place, _ in chosen), np.stack([image() for _, image in chosen]))


def sliding_rows(
    answers: Iterator[tuple[Place, Floats]],
    shape: tuple[int, int],
    window: int,
    stride: int,
    planes: tuple[int, ...] = (),
    first: int = 0,
) -> Iterator[Floats]:
    """Mean over windows, in blocks of finished rows.

    Parameters
    ----------
    answers : places of windows in the order of `window_batches`, each with its probability (window, window) or
        (window, window, K).
    shape : (H, W) of the scene.
    window, stride : pixels.
    planes : (K,) of K classes.
    first : the row of the scene from which on blocks are wanted, and all windows answered.

    Returns
    -------
    iterator of (rows, W) or (rows, W, K) float32 blocks, 0..1, from top to bottom, together (H - first, W) or
    (H - first, W, K). Pixels of no window are 0.

    Notes
    -----
    Memory: one strip of ``window`` rows of sums; counts are products of two vectors.
    """
    height, width = max(shape[0], window), max(shape[1], window)
    starts = window_starts(height, window, stride)
    rows_seen, columns_seen = visit_counts(height, window, stride), visit_counts(width, window, stride)
    offset_y, offset_x = (height - shape[0]) // 2, (width - shape[1]) // 2
    sums = np.zeros((window, width, *planes), dtype=np.float32)
    answer = next(answers, None)
    for top, end in zip(starts, [*starts[1:], height], strict=True):
        while answer is not None and answer[0][0] == top:
            left = answer[0][1]
            sums[:, left : left + window] += answer[1]
            answer = next(answers, None)
        done = end - top
        counts = np.outer(rows_seen[top:end], columns_seen)
        block = sums[:done] / counts.astype(np.float32).reshape(*counts.shape, *[1] * len(planes))
        sums[:-done] = sums[done:] if done < window else sums[:0]
        sums[-done:] = 0.0
        low, high = max(top, offset_y + first), min(end, offset_y + shape[0])
        if low < high:
            inside = block[low - top : high - top, offset_x : offset_x + shape[1]]
            yield np.ascontiguousarray(inside, dtype=np.float32)


def in_blocks(blocks: Iterator[NDArray[Any]], rows: int) -> Iterator[NDArray[Any]]:
    """Regroup blocks of rows (any heights) into blocks of `rows` rows; the last may be shorter.

    Parameters
    ----------
    blocks : (h, W) or (h, W, K) arrays, from top to bottom.
    rows : height of the blocks that are wanted.
    """
    waiting: list[NDArray[Any]] = []
    for block in blocks:
        waiting.append(block)
        while sum(map(len, waiting)) >= rows:
            joined = np.concatenate(waiting)
            yield joined[:rows]
            waiting = [joined[rows:]]
    if any(map(len, waiting)):
        yield np.concatenate(waiting)


def quantised(probability: Floats, valid: Bytes) -> Bytes:
    """Probability as a byte.

    Parameters
    ----------
    probability : float32, 0..1.
    valid : same shape; 0 where there is no ground.

    Returns
    -------
    uint8 array: ``round(255 p)``, and 0 where not valid.
    """
    scaled: Bytes = np.rint(np.clip(probability, 0.0, 1.0) * 255.0).astype(np.uint8)
    return np.where(valid != 0, scaled, np.uint8(0))


SYMMETRIES = [(turn, mirror) for mirror in (False, True) for turn in range(4)]
"""The flips and rotations of a square: quarter turns, after mirroring the columns or not."""


def alternate(place: Place, stride: int) -> tuple[int, bool]:
    """The symmetry in which a window is predicted where neighbours alternate: any 2 x 2 of them take all turns.

    It follows from the place alone, so that nothing depends on how the work is cut.
    """
    row, column = (-(-start // stride) for start in place)
    return row % 2 * 2 + column % 2, (row // 2 + column // 2) % 2 == 1


def turned(image: Floats, turn: int, mirror: bool) -> Floats:
    """A square image (..., w, w) in a symmetry."""
    return np.rot90(image[..., ::-1] if mirror else image, turn, (-2, -1))


def turned_back(answer: Floats, turn: int, mirror: bool) -> Floats:
    """What was answered for an image in a symmetry, (w, w) or (w, w, K), as that of the image."""
    back = np.rot90(answer, -turn)
    return back[:, ::-1] if mirror else back
