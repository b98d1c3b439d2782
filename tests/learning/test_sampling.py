"""Which patch is drawn: pure functions of (seed, step, item), balanced, without border bias."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from numpy.typing import NDArray

from rasterloom.config.model import AugmentConfig, TrainingConfig
from rasterloom.learning.sampling import (
    Patch,
    SceneIndex,
    batch_scenes,
    draw_batch,
    generator,
    index_scene,
    pixel_set,
    positive_items,
)

STILL = AugmentConfig(flips=False, rotation=False)
TURNING = AugmentConfig(flips=False)
ANY = AugmentConfig()


def recipe(
    seed: int, batch: int, size: int = 16, fraction: float = 0.5, augment: AugmentConfig = STILL
) -> TrainingConfig:
    """A recipe, also with patches smaller than a configuration may ask for."""
    return TrainingConfig.model_construct(
        seed=seed, batch=batch, patch=size, positive_fraction=fraction, augment=augment
    )


def indexed(coverage: NDArray[np.uint8], valid: NDArray[np.uint8] | None = None, block: int = 3) -> SceneIndex:
    seen = np.full_like(coverage, 255) if valid is None else valid
    return index_scene(lambda a, b: (coverage[a:b], seen[a:b]), len(coverage), block)


def scene(shape: tuple[int, int], *pixels: tuple[int, int]) -> SceneIndex:
    coverage = np.zeros(shape, np.uint8)
    for row, column in pixels:
        coverage[row, column] = 255
    return indexed(coverage)


def contains(patch: Patch, x: float, y: float) -> bool:
    linear, offset = patch.matrix[:, :2], patch.matrix[:, 2]
    place = np.linalg.solve(linear, np.array([x, y]) - offset)
    return bool((place >= -1e-9).all() and (place <= patch.size + 1e-9).all())


def test_generator_is_a_function_of_the_triple() -> None:
    draws = {t: float(generator(*t).random()) for t in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 1)]}
    assert len(set(draws.values())) == len(draws)
    assert draws[0, 1, 0] == float(generator(0, 1, 0).random())


def test_generator_draws_the_same_numbers_for_ever() -> None:
    assert generator(3, 5, 7).integers(0, 1000, 4).tolist() == GOLDEN


GOLDEN = [986, 568, 14, 45]


def test_pixel_set_finds_every_pixel_in_reading_order() -> None:
    mask = np.random.default_rng(0).random((7, 19)) < 0.3
    mask[2] = False
    pixels = pixel_set(mask)
    assert pixels.count == mask.sum()
    assert [pixels.pixel(i)[::-1] for i in range(pixels.count)] == [tuple(p) for p in np.argwhere(mask).tolist()]


def test_window_of_a_pixel_set_is_that_part_of_the_mask() -> None:
    mask = np.random.default_rng(0).random((5, 29)) < 0.5
    pixels = pixel_set(mask)
    for x0, x1 in ((0, 29), (0, 8), (3, 5), (7, 17), (8, 16), (23, 29), (28, 29)):
        assert np.array_equal(pixels.window(1, 4, x0, x1), mask[1:4, x0:x1])


def test_pixel_set_takes_a_quarter_byte_a_pixel_at_most() -> None:
    pixels = pixel_set(np.ones((1000, 1000), np.bool_))
    assert pixels.bits.nbytes + pixels.ends.nbytes < 1000 * 1000 / 4


def test_index_scene_positive_from_half_coverage() -> None:
    index = indexed(np.array([[127, 128], [255, 0]], np.uint8))
    assert [index.positive.pixel(i) for i in range(index.positive.count)] == [(1, 0), (0, 1)]
    assert index.ground.count == 4


def test_index_scene_largest_coverage_if_none_reaches_half() -> None:
    coverage = np.zeros((8, 2), np.uint8)
    coverage[1, 0], coverage[6, 1] = 20, 90
    index = indexed(coverage)
    assert index.positive.count == 1
    assert index.positive.pixel(0) == (1, 6)


def test_index_scene_heeds_valid() -> None:
    coverage = np.full((2, 2), 255, np.uint8)
    index = indexed(coverage, np.array([[0, 255], [0, 0]], np.uint8))
    assert (index.positive.count, index.ground.count) == (1, 1)
    assert indexed(coverage, np.zeros((2, 2), np.uint8)).positive.count == 0


def test_index_scene_without_the_class_has_no_positive() -> None:
    assert indexed(np.zeros((4, 4), np.uint8)).positive.count == 0


@pytest.mark.parametrize("block", [1, 2, 5, 256])
def test_index_scene_does_not_depend_on_blocks(block: int) -> None:
    coverage = np.random.default_rng(1).integers(0, 256, (11, 9)).astype(np.uint8)
    assert np.array_equal(indexed(coverage, block=block).positive.ends, indexed(coverage).positive.ends)


@pytest.mark.parametrize(("batch", "fraction"), [(4, 0.5), (3, 0.5), (5, 0.3), (2, 0.0), (2, 1.0)])
def test_positive_items_reach_the_fraction(batch: int, fraction: float) -> None:
    counts = [positive_items(step, batch, fraction) for step in range(100)]
    assert sum(counts) == pytest.approx(100 * batch * fraction, abs=1)
    assert max(counts) - min(counts) <= 1


def test_batch_scenes_differ_as_long_as_there_are_enough() -> None:
    scenes = [scene((9, 9), (i, i)) for i in range(5)]
    for step in range(50):
        assert len(set(batch_scenes(scenes, recipe(1, 4), step))) == 4
    assert Counter(batch_scenes(scenes[:2], recipe(1, 4), 0)) == {0: 2, 1: 2}


def test_batch_scenes_positive_ones_have_positives() -> None:
    scenes = [scene((9, 9)), scene((9, 9), (1, 1)), scene((9, 9))]
    for step in range(20):
        chosen = batch_scenes(scenes, recipe(0, 4), step)
        assert chosen[:2] == [1, 1]
        assert set(chosen[2:]) == {0, 2}


def test_batch_scenes_weigh_by_the_square_root() -> None:
    large = indexed(np.full((30, 30), 255, np.uint8))
    small = indexed(np.pad(np.full((10, 10), 255, np.uint8), (0, 20)))
    first = Counter(batch_scenes([large, small], recipe(0, 1, fraction=1.0), step)[0] for step in range(2000))
    assert first[0] / 2000 == pytest.approx(0.75, abs=0.03)  # 30 : 10


@pytest.mark.parametrize("augmentation", [STILL, ANY])
def test_draw_batch_is_a_function_of_its_arguments(augmentation: AugmentConfig) -> None:
    scenes = [scene((40, 50), (3, 3)), scene((30, 30), (20, 20))]
    one, again, other = (draw_batch(scenes, recipe(s, 4, 16, 0.5, augmentation), 5) for s in (1, 1, 2))
    assert one == again
    assert one != other


@pytest.mark.parametrize("augmentation", [STILL, TURNING, ANY])
@pytest.mark.parametrize("pixel", [(0, 0), (0, 25), (20, 20), (39, 49), (39, 0)])
def test_draw_batch_positive_patches_contain_the_pixel(augmentation: AugmentConfig, pixel: tuple[int, int]) -> None:
    scenes = [scene((40, 50), pixel)]
    for step in range(40):
        for patch in draw_batch(scenes, recipe(0, 2, 16, 1.0, augmentation), step):
            assert contains(patch, pixel[1] + 0.5, pixel[0] + 0.5)


def test_draw_batch_upright_patches_are_whole_pixels_within_the_scene() -> None:
    scenes = [scene((40, 50), (0, 0), (39, 49))]
    for step in range(50):
        for patch in draw_batch(scenes, recipe(0, 4, 16), step):
            left, top = patch.x - 8, patch.y - 8
            assert left == int(left)
            assert top == int(top)
            assert 0 <= left <= 34
            assert 0 <= top <= 24


def test_draw_batch_window_is_uniform_among_those_with_the_pixel() -> None:
    scenes = [scene((40, 40), (20, 3))]
    patches = [p for step in range(1500) for p in draw_batch(scenes, recipe(0, 1, 8, 1.0), step)]
    lefts, tops = Counter(p.x - 4 for p in patches), Counter(p.y - 4 for p in patches)
    assert sorted(lefts) == [0, 1, 2, 3]  # the scene's edge forces these
    assert sorted(tops) == [13, 14, 15, 16, 17, 18, 19, 20]
    assert max(lefts.values()) < 1.25 * min(lefts.values())
    assert max(tops.values()) < 1.5 * min(tops.values())


def test_draw_batch_positive_pixels_are_uniform() -> None:
    coverage = np.zeros((30, 30), np.uint8)
    coverage[10:20, 10:20] = 255
    patches = [p for step in range(2000) for p in draw_batch([indexed(coverage)], recipe(0, 1, 1, 1.0), step)]
    seen = Counter((p.x, p.y) for p in patches)
    assert len(seen) == 100  # size 1: the patch is the pixel
    assert max(seen.values()) < 45


def test_draw_batch_turned_patches_stay_in_the_scene_where_they_can() -> None:
    scenes = [scene((60, 60), (30, 30))]
    for step in range(60):
        (patch,) = draw_batch(scenes, recipe(0, 1, 16, 1.0, TURNING), step)
        assert 8 <= patch.x <= 52
        assert 8 <= patch.y <= 52


@pytest.mark.parametrize("augmentation", [STILL, ANY])
@pytest.mark.parametrize("shape", [(5, 9), (1, 1), (3, 40)])
def test_draw_batch_scene_smaller_than_the_patch(shape: tuple[int, int], augmentation: AugmentConfig) -> None:
    for patch in draw_batch([scene(shape, (0, 0))], recipe(0, 4, 16, 0.5, augmentation), 0):
        assert contains(patch, patch.x, patch.y)
        assert 0 <= patch.x <= shape[1] + 16
        assert 0 <= patch.y <= shape[0] + 16


def test_draw_batch_rest_keeps_to_valid_ground() -> None:
    valid = np.zeros((40, 40), np.uint8)
    valid[30:, 30:] = 255
    index = indexed(np.zeros((40, 40), np.uint8), valid)
    for step in range(30):
        (patch,) = draw_batch([index], recipe(0, 1, 8, 0.0), step)
        assert patch.x + 4 > 30
        assert patch.y + 4 > 30


# Zoom --------------------------------------------------------------------------------------------------------


def test_draw_batch_zoom_is_log_uniform_and_changes_no_other_draw() -> None:
    ground, plain, zooming = scene((100, 120), (50, 60)), AugmentConfig(), AugmentConfig(zoom=0.4)
    pairs = [
        pair
        for step in range(200)
        for pair in zip(*(draw_batch([ground], recipe(3, 2, augment=a), step) for a in (plain, zooming)), strict=True)
    ]
    assert all((a.angle, a.flip_x, a.flip_y, a.item) == (b.angle, b.flip_x, b.flip_y, b.item) for a, b in pairs)
    assert all(a.scale == 1 for a, _ in pairs)
    logs = np.log([b.scale for _, b in pairs]) / np.log(0.4)
    assert 0 <= logs.min() < 0.05 and 0.95 < logs.max() <= 1
    assert abs(logs.mean() - 0.5) < 0.05


@pytest.mark.parametrize("augmentation", [AugmentConfig(zoom=0.3, rotation=False), AugmentConfig(zoom=0.3)])
@pytest.mark.parametrize("pixel", [(0, 0), (30, 40), (99, 119)])
def test_draw_batch_zoomed_patches_contain_the_pixel(augmentation: AugmentConfig, pixel: tuple[int, int]) -> None:
    ground = scene((100, 120), pixel)
    for step in range(50):
        patch = draw_batch([ground], recipe(1, 2, fraction=1.0, augment=augmentation), step)[0]
        assert contains(patch, pixel[1] + 0.5, pixel[0] + 0.5)
        if not augmentation.rotation:  # within the scene, but for half a pixel at its corners
            corners = np.array([[0, 0], [16, 16]]) @ patch.matrix[:, :2].T + patch.matrix[:, 2]
            assert (corners >= -0.5).all() and (corners <= [120.5, 100.5]).all()


@pytest.mark.parametrize(("shape", "least"), [((20, 40), 0.8), ((16, 16), 1.0), ((9, 90), 1.0), ((200, 200), 0.3)])
def test_draw_batch_zoom_ends_at_the_size_of_the_scene(shape: tuple[int, int], least: float) -> None:
    ground = scene(shape, (4, 4))
    patches = [draw_batch([ground], recipe(s, 2, augment=AugmentConfig(zoom=0.3)), 0)[0] for s in range(60)]
    assert min(patch.scale for patch in patches) == pytest.approx(least, rel=0.05)


def test_draw_batch_draws_the_same_patches_for_ever() -> None:
    """What was drawn before there were zooms."""
    rng = np.random.default_rng(5)
    ground = indexed(((rng.random((90, 110)) < 0.02) * 255).astype(np.uint8))
    patches = draw_batch([ground, ground], recipe(7, 4, 32, augment=ANY), 9)
    assert [(p.scene, round(p.x, 4), round(p.y, 4), round(p.angle, 3), p.flip_x, p.flip_y) for p in patches] == [
        (1, 21.1427, 43.8161, -172.161, False, False),
        (0, 74.5518, 23.0168, -134.131, False, True),
        (1, 93.8346, 73.24, 152.941, False, False),
        (0, 18.9771, 64.5075, -31.44, True, True),
    ]
