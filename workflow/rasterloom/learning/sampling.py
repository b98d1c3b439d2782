"""Which patch is drawn at (seed, step, item): every draw is a function of those three, never of a stream.

So a batch can be prepared by any thread, in any order, and a resumed training meets the patches that an
uninterrupted one would have met.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rasterloom.config.model import AugmentConfig, TrainingConfig

POSITIVE = 128
"""Coverage from which a pixel counts as positive."""

_SCENES_OF_STEP = 2**63
"""Item number, which no item has, under which the scenes of a whole batch are drawn."""

_TRIES = 64


def generator(seed: int, step: int, item: int) -> np.random.Generator:
    """Random generator that belongs to (seed, step, item) alone; its stream meets that of no other triple.

    Parameters
    ----------
    seed, step, item : integers in 0..2**64-1.
    """
    key = np.array([seed, step], dtype=np.uint64)
    counter = np.array([0, 0, 0, item], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))


@dataclass(frozen=True)
class PixelSet:
    """A set of pixels of one scene: an eighth of a byte a pixel and one count a row.

    Attributes
    ----------
    bits : (H, ceil(W / 8)) uint8, the rows packed by numpy's packbits.
    ends : (H,) int64, number of pixels of the set in all rows up to and including this one.
    width : W.
    """

    bits: NDArray[np.uint8]
    ends: NDArray[np.int64]
    width: int

    @property
    def count(self) -> int:
        """Number of pixels in the set."""
        return int(self.ends[-1]) if self.ends.size else 0

    def window(self, y0: int, y1: int, x0: int, x1: int) -> NDArray[np.bool_]:
        """Which pixels of rows y0..y1 and columns x0..x1 (exclusive) are in the set, (y1 - y0, x1 - x0)."""
        first = x0 // 8  # whole bytes, and no more of them than the window needs
        rows = np.unpackbits(self.bits[y0:y1, first : -(-x1 // 8)], axis=1)
        return np.asarray(rows[:, x0 - 8 * first : x1 - 8 * first], dtype=np.bool_)

    def pixel(self, rank: int) -> tuple[int, int]:
        """Column and row of the pixel number `rank` (0..count-1) in reading order; O(log H + W)."""
        row = int(np.searchsorted(self.ends, rank, side="right"))
        before = int(self.ends[row - 1]) if row else 0
        columns = np.flatnonzero(np.unpackbits(self.bits[row], count=self.width))
        return int(columns[rank - before]), row


def pixel_set(mask: NDArray[np.bool_]) -> PixelSet:
    """The set of pixels where an (H, W) boolean array is true."""
    return PixelSet(np.packbits(mask, axis=1), np.cumsum(mask.sum(axis=1), dtype=np.int64), mask.shape[1])


@dataclass(frozen=True)
class SceneIndex:
    """What sampling has to know about a scene: the positive pixels of each class, and its valid ground."""

    positives: tuple[PixelSet, ...]
    ground: PixelSet

    @property
    def positive(self) -> PixelSet:
        """The positive pixels of the only class, or the first."""
        return self.positives[0]

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W) of the scene."""
        return len(self.ground.bits), self.ground.width


def index_scene(
    rows: Callable[[int, int], tuple[NDArray[np.uint8], NDArray[np.uint8]]], height: int, block: int = 256
) -> SceneIndex:
    """Find the positive pixels and the valid ground of a scene.

    Parameters
    ----------
    rows : function of (first, last) that gives coverage and valid, both (last - first, W) uint8, for these
        rows.
    height : number of rows of the scene.
    block : rows read at a time.

    Returns
    -------
    SceneIndex. A pixel is positive where its coverage is at least 128, or at the scene's largest coverage if
    none reaches that (and it is above 0), and where it is valid. Valid ground is where valid is not 0.

    Notes
    -----
    Memory: a quarter of a byte a pixel, and one block of rows. Coverage is read twice where nothing reaches
    128.
    """

    def blocks() -> Iterator[tuple[NDArray[np.uint8], NDArray[np.bool_]]]:
        for start in range(0, height, block):
            coverage, valid = rows(start, min(start + block, height))
            yield coverage, valid != 0

    largest = 0
    ground: list[PixelSet] = []
    positive: list[PixelSet] = []
    for coverage, seen in blocks():
        largest = max(largest, int(coverage.max(where=seen, initial=0)))
        ground.append(pixel_set(seen))
        positive.append(pixel_set(seen & (coverage >= POSITIVE)))
    if 0 < largest < POSITIVE:
        positive = [pixel_set(seen & (coverage >= largest)) for coverage, seen in blocks()]
    return SceneIndex((_joined(positive),), _joined(ground))


def _joined(blocks: Sequence[PixelSet]) -> PixelSet:
    offsets = np.cumsum([0] + [b.count for b in blocks])
    ends = np.concatenate([b.ends + offset for b, offset in zip(blocks, offsets, strict=False)])
    return PixelSet(np.concatenate([b.bits for b in blocks]), ends, blocks[0].width)


@dataclass(frozen=True)
class Patch:
    """Where a patch lies: a square of `size` pixels, turned and zoomed, in a scene.

    Attributes
    ----------
    scene : number of the scene in the training list.
    size : edge of the patch in output pixels.
    x, y : centre of the patch in pixel edge coordinates of the scene.
    angle : degrees by which the patch is turned.
    flip_x, flip_y : whether the patch is mirrored.
    item : (seed, step, item) that all further draws (colour, dropout) belong to.
    scale : pixels of the patch for each of the scene, along a side; below 1 it shows more of the scene.
    """

    scene: int
    size: int
    x: float
    y: float
    angle: float
    flip_x: bool
    flip_y: bool
    item: tuple[int, int, int]
    scale: float = 1.0

    @property
    def matrix(self) -> NDArray[np.float64]:
        """(2, 3) map from the patch's edge coordinates to the scene's edge coordinates."""
        cos, sin = _turn(self.angle)
        linear = np.array([[cos, -sin], [sin, cos]]) / self.scale
        linear = linear * np.array([-1.0 if self.flip_x else 1.0, -1.0 if self.flip_y else 1.0])
        centre = np.array([self.x, self.y])
        return np.column_stack([linear, centre - linear @ np.full(2, self.size / 2)])


def positive_items(step: int, batch: int, fraction: float) -> int:
    """How many patches of a batch must contain positive pixels; over many steps exactly `fraction` of all."""
    return int((step + 1) * batch * fraction) - int(step * batch * fraction)


def class_of(step: int, item: int, recipe: TrainingConfig, classes: int) -> int:
    """Number of the class that a positive patch is drawn for: one after the other, over all steps."""
    return (int(step * recipe.batch * recipe.positive_fraction) + item) % classes


def scene_weights(counts: Sequence[int]) -> NDArray[np.float64]:
    """Weights with which scenes are drawn: the square root of their number of pixels (positive, or of
    ground).

    Proportional weights would let one large field fill nearly every draw; equal weights would show a scene
    with a few pixels as often as one with thousands, which the pooled metric does not reward and a network
    learns by heart. The square root lies halfway.
    """
    return np.sqrt(np.asarray(counts, dtype=np.float64))


def batch_scenes(scenes: Sequence[SceneIndex], recipe: TrainingConfig, step: int) -> list[int]:
    """The scene of every patch of a batch; the first `positive_items` ones are to contain pixels of their `class_of`.

    Scenes are drawn without replacement as long as there are unused ones, positive patches first.
    """
    uniform = generator(recipe.seed, step, _SCENES_OF_STEP).random((2, len(scenes)))
    wanted = positive_items(step, recipe.batch, recipe.positive_fraction)
    having = zip(*([pixels.count for pixels in scene.positives] for scene in scenes), strict=True)
    orders = [_weighted_order(scene_weights(counts), uniform[0]) for counts in having]
    positive: list[int] = []
    for item in range(wanted):
        order = orders[class_of(step, item, recipe, len(orders))]
        positive.append(min(order, key=positive.count))
    order = _weighted_order(scene_weights([s.ground.count for s in scenes]), uniform[1])
    rest = [i for i in order if i not in positive] + [i for i in order if i in positive]
    return positive + [rest[i % len(rest)] for i in range(recipe.batch - wanted)]


def _weighted_order(weights: NDArray[np.float64], uniform: NDArray[np.float64]) -> list[int]:
    """Scenes of positive weight in an order drawn without replacement (exponential races)."""
    present = np.flatnonzero(weights > 0)
    keys = -np.log1p(-uniform[present]) / weights[present]
    return [int(i) for i in present[np.argsort(keys, kind="stable")]]


def draw_batch(scenes: Sequence[SceneIndex], recipe: TrainingConfig, step: int) -> list[Patch]:
    """The patches of one batch.

    Parameters
    ----------
    scenes : what is known about each training scene; of each class one has positive pixels, if `positive_fraction` > 0.
    recipe : its seed, batch, patch, positive_fraction, and of `augment` flips, rotation and zoom; the rest is drawn
        later, see `augment.jitter` and `augment.kept_channels`.
    step : number of the step, from 0.

    Returns
    -------
    list of patches, a function of the arguments alone.

    Notes
    -----
    A patch is found by its pixel: a positive one, uniform among those of the scene, or one uniform on valid
    ground; then the patch's centre is uniform among those for which the patch contains the pixel and an
    upright patch would lie in the scene. Only where no such centre exists (a corner that a turned patch
    cannot reach, a scene smaller than the patch) does the patch leave the scene further. A zoom never makes an
    upright patch larger than its scene.
    """
    wanted = positive_items(step, recipe.batch, recipe.positive_fraction)
    patches: list[Patch] = []
    for item, scene in enumerate(batch_scenes(scenes, recipe, step)):
        rng = generator(recipe.seed, step, item)
        index = scenes[scene]
        pixels = index.positives[class_of(step, item, recipe, len(index.positives))] if item < wanted else index.ground
        pixel = pixels.pixel(int(rng.integers(pixels.count)))
        angle, zoom, flip_x, flip_y = _draw_shape(rng, recipe.augment)
        scale = max(zoom, min(1.0, recipe.patch / min(scenes[scene].shape)))
        x, y = _centre(rng, pixel, scenes[scene].shape, recipe.patch / scale, angle, exact=scale == 1)
        patches.append(Patch(scene, recipe.patch, x, y, angle, flip_x, flip_y, (recipe.seed, step, item), scale))
    return patches


def _draw_shape(rng: np.random.Generator, augment: AugmentConfig) -> tuple[float, float, bool, bool]:
    """Angle in degrees, factor of the zoom (its logarithm is uniform), and whether to mirror in x and in y."""
    u = rng.random(4)
    flip_x, flip_y = (augment.flips and bool(value < 0.5) for value in u[2:])
    return float((2 * u[0] - 1) * 180.0 * augment.rotation), float(augment.zoom ** u[1]), flip_x, flip_y


def _turn(angle: float) -> tuple[float, float]:
    """Cosine and sine, exact at multiples of 90 degrees."""
    quarter = angle / 90.0
    if quarter == round(quarter):
        return ((1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0))[round(quarter) % 4]
    radians = np.deg2rad(angle)
    return float(np.cos(radians)), float(np.sin(radians))


def _centre(
    rng: np.random.Generator, pixel: tuple[int, int], shape: tuple[int, int], size: float, angle: float, exact: bool
) -> tuple[float, float]:
    """Centre (x, y), in the scene's edge coordinates, of a patch that contains a pixel and is `size` of these wide.

    An upright patch of whole pixels of the scene, if it is to be `exact`.
    """
    if exact and angle % 90.0 == 0.0:
        return _upright(rng, pixel[0], shape[1], int(size)), _upright(rng, pixel[1], shape[0], int(size))
    half = size / 2
    cos, sin = _turn(angle)
    reach = half * (abs(cos) + abs(sin))
    target = np.array(pixel, dtype=np.float64) + 0.5
    # the centre: near enough to the pixel, and far enough from the scene's edges
    length = np.array([shape[1], shape[0]], dtype=np.float64)
    inner = np.minimum(half, length / 2)
    low = np.maximum(target - reach, inner)
    high = np.maximum(low, np.minimum(target + reach, length - inner))
    centres = low + rng.random((_TRIES, 2)) * (high - low)
    away = target - centres
    turned = np.column_stack([away[:, 0] * cos + away[:, 1] * sin, away[:, 1] * cos - away[:, 0] * sin])
    excess = np.abs(turned).max(axis=1) / (half - min(0.5, half / 2))
    best = int(np.argmax(excess <= 1)) if (excess <= 1).any() else int(np.argmin(excess))
    centre = target - away[best] / max(1.0, float(excess[best]))
    return float(centre[0]), float(centre[1])


def _upright(rng: np.random.Generator, pixel: int, length: int, size: int) -> float:
    """Centre, on one axis, of a window of whole pixels within the scene that contains a pixel."""
    if length <= size:
        return (length - size) // 2 + size / 2
    low, high = max(0, pixel - size + 1), min(pixel, length - size)
    return float(rng.integers(low, high + 1)) + size / 2
