"""Water that flows and water that stands: which one a body is by its shape, where two classes look alike."""

import numpy as np
from numpy.typing import NDArray

LONG = 8.0
"""A body flows only if it is at least this many times as long as wide, and stands only if it is not."""

SHARE = 0.25
"""A body flows only if its length is at least this share of the scene's shorter side."""

AROUND = 2
"""Pixels around a body whose probability goes with it: its sub-pixel outline depends on them."""

FLOWS, STANDS = 1, 2

Image = NDArray[np.uint8]


def by_shape(flowing: Image, standing: Image, levels: tuple[float, float]) -> tuple[Image, Image, list[str]]:
    """Probabilities of water that flows and that stands, each body given to the one whose shape it has.

    A body is what both find, together. It flows if it touches the border of the scene, is `LONG`, and is at least
    `SHARE` of the scene's shorter side long. It stands if it is neither long nor at the border. Others stay with the
    class that found them.

    Parameters
    ----------
    flowing : (H, W) uint8 array
    standing : (h, w) uint8 array
        Of the same scene; bodies are looked at on the grid of `flowing`.
    levels : (float, float)
        Their thresholds, n + 0.5 on 0..255.

    Returns
    -------
    (H, W) uint8 array, (h, w) uint8 array
        The probabilities, bodies moved from one to the other; outlines stay where they are, sub-pixel.
    list of str
        A line for each body that moved, in part or as a whole.

    Notes
    -----
    Memory: 20 bytes per pixel of the larger grid.
    """
    import cv2

    def on(other: Image, image: Image, way: int = cv2.INTER_LINEAR) -> Image:
        return np.asarray(cv2.resize(image, other.shape[::-1], interpolation=way), np.uint8)

    seen = on(flowing, standing)
    kind, lines = _kinds(flowing > levels[0], seen > levels[1])
    if not lines:
        return flowing, standing, lines
    found = _moved(flowing, seen, levels, kind, FLOWS)
    kind = on(standing, kind, cv2.INTER_NEAREST_EXACT)
    return found, _moved(standing, on(standing, flowing), levels[::-1], kind, STANDS), lines


def _kinds(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> tuple[Image, list[str]]:
    """`FLOWS` or `STANDS` where a body moves, and `AROUND` it, 0 elsewhere; and a line for each.

    The width is four times the mean distance of a body's pixels from its bank, and the length its area divided by
    that: right for a ribbon, however it winds. A disc is 1.8 times as long as wide, a square 2.3 times.
    """
    import cv2

    inside = (one | other).astype(np.uint8)
    count, body, table, centres = cv2.connectedComponentsWithStats(inside, connectivity=8, ltype=cv2.CV_32S)
    place, area = np.flatnonzero(inside), np.maximum(table[:, cv2.CC_STAT_AREA], 1.0)
    own = np.asarray(body).ravel()[place]
    bank = cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE).ravel()[place] - np.float32(0.5)
    width = np.maximum(4 * np.bincount(own, bank, minlength=count) / area, 1.0)
    length = area / width
    edge = np.zeros(count, np.bool_)
    edge[np.concatenate([body[0], body[-1], body[:, 0], body[:, -1]])] = True
    long = length >= LONG * width
    flows, stands = long & edge & (length >= SHARE * min(inside.shape)), ~long & ~edge
    wrong = np.where(flows[own], other.ravel()[place], one.ravel()[place] & stands[own])
    moves = np.bincount(own, wrong, minlength=count) > 0
    moves[0] = False  # what is outside
    kind = np.where(moves, np.where(flows, FLOWS, STANDS), 0).astype(np.uint8)
    lines = [
        f"{area[k]:.0f} pixels around column {centres[k][0]:.0f}, row {centres[k][1]:.0f} "
        f"{'flow' if flows[k] else 'stand'}: {length[k] / width[k]:.1f} times as long as wide, "
        f"{'at' if edge[k] else 'not at'} the border"
        for k in np.flatnonzero(moves)
    ]
    around = cv2.dilate(kind[body], np.ones((2 * AROUND + 1, 2 * AROUND + 1), np.uint8))
    return np.where(inside > 0, kind[body], around), lines


def _moved(own: Image, other: Image, levels: tuple[float, float], kind: Image, mine: int) -> Image:
    """A class's probability with bodies that it gains, the other's threshold at its own, less those that it loses."""
    values, (level, others) = np.arange(256, dtype=np.float64), levels
    scaled = np.interp(values, [0, others, 255], [0, level, 255])
    scaled = np.where(values > others, np.maximum(scaled, level + 0.5), np.minimum(scaled, level - 0.5))
    gained = np.maximum(own, np.rint(scaled).astype(np.uint8)[other])
    return np.where(kind == mine, gained, np.where(kind == 0, own, 0)).astype(np.uint8)
