"""Settings of polygons: what they are worth is what their polygons are, and no step is taken for luck."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import scipy.ndimage
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely import box

from rasterloom.polygons import tuning
from rasterloom.polygons.coverage import coverage
from rasterloom.polygons.jaccard import areas
from rasterloom.polygons.record import polygons_of
from rasterloom.polygons.thresholds import best_threshold
from rasterloom.polygons.tuning import (
    LEVELS,
    PRIOR,
    SETTINGS,
    STEPS,
    Scene,
    Trial,
    counted,
    gained,
    samples_for,
    settings_of,
    tune,
)

DRAWN = {"simplify": 0.25, "shape": "free"}
OFF = {**dict.fromkeys(SETTINGS, 0.0), "threshold": 127.5}


def scene(probability: Any, truth: Any, ground: str = "one", samples: int = 4, weight: float = 1.0) -> Scene:
    """A scene of two reference pixels a pixel; `truth` are polygons of those."""
    height, width = probability.shape
    shape = (height * samples, width * samples)
    true = coverage(truth, shape, [[2 / samples, 0, 0], [0, 2 / samples, 0]], 1) > 0
    size = (2 * width, 2 * height)
    return Scene(
        lambda: probability,
        np.packbits(true, axis=1),
        lambda: np.array(truth, object),
        shape,
        samples,
        size,
        ground,
        weight,
    )


def cloud(seed: int, side: int = 60) -> Any:
    noise = scipy.ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(side, side)), 1.6)
    return np.clip(128 + 60 * noise / noise.std(), 0, 255).astype(np.uint8)


def boxes(seed: int, number: int = 12) -> list[Any]:
    rng = np.random.default_rng(seed)
    return [box(x, y, x + w, y + h) for x, y, w, h in rng.uniform((0, 0, 5, 5), (100, 100, 25, 25), (number, 4))]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(100, 160), st.sampled_from([0, 8, 50]), st.sampled_from([0, 200, 800]))
def test_counted_are_objects_and_holes_by_bins(seed: int, level: int, least: int, most: int) -> None:
    values = cloud(seed, 40)
    true = (cloud(seed + 1, 40) > 128).astype(np.uint8)
    edges = (np.array([8.0, 50.0, 200.0, 800.0]), np.array([level + 20.5]), np.array([6.0, 30.0]))
    table = counted(values, true, level + 0.5, *edges)
    labels, number = scipy.ndimage.label(values > level + 0.5)
    kept = [
        own
        for own in range(1, number + 1)
        if least <= (labels == own).sum() and values[labels == own].max() > level + 20
    ]
    kept = [own for own in kept if not most or (labels == own).sum() < most]
    first, last = (
        np.searchsorted(edges[0], least, "right") * (least > 0),
        np.searchsorted(edges[0], most) + 1 if most else 9,
    )
    found = table[:, first:last, 1:, 0].sum(axis=(1, 2))
    np.testing.assert_array_equal(found, [np.isin(labels, kept).sum(), true[np.isin(labels, kept)].sum()])
    outside, number = scipy.ndimage.label(labels == 0, np.ones((3, 3)))
    edge = {*outside[0], *outside[-1], *outside[:, 0], *outside[:, -1]}
    holes = [own for own in range(1, number + 1) if own not in edge and (outside == own).sum() < 30]
    inside = np.isin(outside, holes)
    np.testing.assert_array_equal(table[..., 1:3].sum(axis=(1, 2, 3)), [inside.sum(), true[inside].sum()])


@pytest.mark.parametrize("change", [{}, {"open": 2.0}, {"close": 3.0}, {"min_area": 50.0}, {"max_area": 400.0},
                                    {"min_hole": 100.0}, {"min_peak": 0.8}])  # fmt: skip
def test_trial_finds_what_the_polygons_score(change: dict[str, float]) -> None:
    chosen = {**OFF, "threshold": 128.5, **change}
    image, truth = cloud(3), boxes(3)
    reference = {"width": 120, "height": 120, "transform": None}
    polygons, _ = polygons_of(image, reference, {**chosen, "simplify": 0.0, "shape": "free"})
    expected = areas(truth, polygons)
    ((predicted,), (hits,), (true,)) = Trial([scene(image, truth)], change).found(chosen)
    assert hits == pytest.approx(expected.tp, rel=0.01, abs=8)
    assert predicted == pytest.approx(expected.tp + expected.fp, rel=0.01, abs=8)
    assert true == pytest.approx(expected.tp + expected.fn, rel=0.01, abs=8)


def test_strips_change_nothing_but_objects_that_they_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    own = scene(cloud(5), boxes(5))
    whole = Trial([own], {}).found(OFF)
    histogram = own.histogram(1.0, 1.0)
    monkeypatch.setattr(tuning, "STRIP_SAMPLES", 8000)
    assert len(list(own.strips(0, 0))) > 5
    np.testing.assert_array_equal(own.histogram(1.0, 1.0), histogram)
    np.testing.assert_allclose(Trial([own], {}).found(OFF), whole)


def test_samples_for_few_and_many_pixels() -> None:
    assert [samples_for(pixels) for pixels in (0, 512**2, 25 * 2048**2, 25 * 3400**2, 10**10)] == [4, 4, 2, 1, 1]


def specks(seed: int, sizes: tuple[int, ...] = (8, 10)) -> tuple[Any, list[Any]]:
    """Squares that are true, and specks of two pixels a side that are not."""
    rng, image, truth = np.random.default_rng(seed), np.zeros((80, 80), np.uint8), []
    for index in range(16):
        y, x = 20 * (index // 4) + rng.integers(1, 4), 20 * (index % 4) + rng.integers(1, 4)
        side = int(rng.choice(sizes))
        image[y : y + side, x : x + side] = 200
        image[y + 13 : y + 15, x + 13 : x + 15] = 220
        truth.append(box(2 * x, 2 * y, 2 * (x + side), 2 * (y + side)))
    return image, truth


def test_tune_takes_a_step_that_all_grounds_agree_on() -> None:
    found = tune({str(seed): scene(*specks(seed), ground=str(seed)) for seed in range(3)}, {}, {}, DRAWN)
    assert found["jaccard"] > 0.97 and found["reason"] is None and found["present"] == 3
    assert found["min_area"] > 16 or found["open"] >= 2
    assert sum(step["gain"] for step in found["steps"]) == pytest.approx(
        found["jaccard"] - max(found["scores"]), abs=0.01
    )
    assert all(step["gain"] > step["luck"] > 0 for step in found["steps"])
    assert all(own["jaccard"] > 0.97 for own in found["scenes"].values())
    assert settings_of(found, "elsewhere") == {key: found[key] for key in SETTINGS}
    json.dumps(found, allow_nan=False)


def test_tune_reads_and_counts_nothing_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many grounds, each left out once: else the time grows with the square of their number."""
    scenes, reads, tables = {}, Counter[str](), Counter[tuple[float, ...]]()
    for seed in range(5):
        own = scene(*specks(seed), ground=str(seed))

        def labels(name: str = str(seed), read: Any = own.labels) -> Any:
            reads[name] += 1
            return read()

        scenes[str(seed)] = replace(own, labels=labels)
    made = Trial._sums

    def sums(self: Trial, *settings: float) -> Any:
        tables[settings] += 1
        return made(self, *settings)

    monkeypatch.setattr(Trial, "_sums", sums)
    tune(scenes, {}, {}, DRAWN)
    assert max(tables.values()) == 1 < len(tables) and max(reads.values()) == 2, "by the search, and by the division"


def test_tune_takes_no_step_for_luck() -> None:
    # Specks are true on one of two grounds.
    image, truth = specks(1)
    _, both = specks(1)
    speck = [box(x, y, x + 4, y + 4) for y, x in 2 * np.argwhere(image == 220)[::4]]
    found = tune({"a": scene(image, truth, "a"), "b": scene(image, [*both, *speck], "b")}, {}, {}, DRAWN)
    assert not [step for step in found["steps"] if step["setting"] in ("min_area", "open")]


def test_search_removes_no_tenth_of_the_true_objects() -> None:
    # Half of the specks are true, which is worse than without any.
    scenes = []
    for seed in range(3):
        image, truth = specks(seed)
        corners = 2 * np.argwhere(image == 220)[::4]
        scenes.append(scene(image, [*truth, *(box(x, y, x + 4, y + 4) for y, x in corners[::2])], str(seed)))
    _, steps = Trial(scenes, {"open": 0.0}).search({**OFF, "threshold": 210.5}, np.ones(3, np.bool_))
    assert all(step["to"] <= 16 for step in steps if step["setting"] == "min_area")


def test_tune_keeps_what_is_fixed() -> None:
    found = tune(
        {str(seed): scene(*specks(seed), ground=str(seed)) for seed in range(3)},
        {},
        {"min_area": 5.0, "open": 0.0},
        DRAWN,
    )
    assert {(own["min_area"], own["open"]) for own in (found, *found["scenes"].values())} == {(5.0, 0.0)}


def test_tune_takes_a_prior_without_another_ground() -> None:
    image, truth = specks(1)
    prior = {"trained": scene(image // 2, truth, "other")}
    found = tune({"a": scene(image, truth, "a"), "b": scene(0 * image, [], "b")}, prior, {}, DRAWN)
    assert found["scenes"].keys() == {"a", "b"}
    own = found["scenes"]["a"]
    assert own["reason"] == PRIOR and own["threshold"] < 100 and own["jaccard"] is None
    assert found["scenes"]["b"]["reason"] is None
    nothing = tune({"a": scene(image, truth, "a")}, {}, {}, DRAWN)["scenes"]["a"]
    assert nothing["threshold"] == pytest.approx(127.5, abs=2) and "no truth pixel" in nothing["reason"]


def test_tune_of_nothing() -> None:
    found = tune({}, {}, {}, DRAWN)
    assert settings_of(found, "x") == OFF and found["reason"] and found["scores"] is None and found["scenes"] == {}


def test_best_threshold_of_a_calibrated_probability_is_j_by_1_and_j() -> None:
    number = np.round(1e6 * np.exp(-np.arange(256) / 60))
    share = np.arange(256) / 255
    threshold, score, _ = best_threshold(np.stack([number * (1 - share), number * share]))
    assert score is not None and threshold / 255 == pytest.approx(score / (1 + score), abs=0.005)


def test_gained_doubts_few_grounds_more() -> None:
    old, new = np.array([[100.0], [80.0], [100.0]]), np.array([[100.0], [90.0], [100.0]])
    lucks = [gained(np.repeat(old, number, axis=1), np.repeat(new, number, axis=1))[1] for number in (1, 2, 10)]
    assert lucks == pytest.approx([tuning.DOUBT / number**2 for number in (1, 2, 10)])


def test_levels_ascend_and_lie_between_integers() -> None:
    assert (np.diff(LEVELS) > 0).all() and (LEVELS % 1 == 0.5).all() and LEVELS[0] == 0.5 and LEVELS[-1] == 254.5


def pairs(seed: int) -> tuple[Any, list[Any]]:
    """Pairs of houses that touch in a blurred probability, and specks far smaller than they."""
    rng, image, truth = np.random.default_rng(seed), np.zeros((120, 120)), []
    for index in range(9):
        y, x = 40 * (index // 3) + rng.integers(2, 9), 40 * (index % 3) + rng.integers(2, 9)
        for left in (x, x + 11):
            image[y : y + 12, left : left + 10] = 255
            truth.append(box(2 * left, 2 * y, 2 * left + 20, 2 * y + 24))
        image[y + 20 : y + 22, x : x + 2] = 255
    return scipy.ndimage.gaussian_filter(image, 1.2).clip(0, 255).astype(np.uint8), truth


def test_tune_divides_objects_where_that_makes_more_match() -> None:
    scenes = {str(seed): scene(*pairs(seed), ground=str(seed)) for seed in range(3)}
    fixed = {key: 0.0 for key in STEPS if key not in ("threshold", "min_area")}
    found = tune(scenes, {}, {**fixed, "threshold": 60.5}, DRAWN)
    assert found["divide"] > 0 and found["scenes"]["1"]["divide"] > 0
    assert found["steps"][-1]["setting"] == "divide" and found["steps"][-1]["gain"] > 0.5
    assert found["steps"][-1]["of"] == "objects" and all(step["from"] != step["to"] for step in found["steps"])
    assert found["min_area"] <= 48  # a tenth of a house
    assert tune(scenes, {}, {**fixed, "threshold": 60.5, "divide": 0.0}, DRAWN)["divide"] == 0


def test_tune_divides_nothing_that_is_one() -> None:
    image, truth = pairs(1)
    both = [truth[index].union(truth[index + 1]).envelope for index in range(0, len(truth), 2)]
    found = tune({str(seed): scene(image, both, str(seed)) for seed in range(3)}, {}, {"threshold": 60.5}, DRAWN)
    assert found["divide"] == 0


def division(*depths: tuple[int, int]) -> Any:
    """Divisions of two grounds with 40 true objects each: how many objects match at each depth, and how many do not."""
    found = tuning.Division({}, {}, DRAWN, range(1, len(depths)))
    for ground in ("north", "south"):
        rows = []
        for matched, other in depths:
            number = matched + other
            own = [np.full(number, 4000 / number), np.full(number, 3600 / number), np.full(number, 0.9)]
            rows.append(np.stack([*own, np.arange(number) < matched]))
        place: Any = SimpleNamespace(ground=ground, weight=1.0)
        found.seen.append((place, np.full(40, 100.0), 4000.0, rows))
    return found


@pytest.mark.parametrize(
    ("depths", "chosen"),
    [
        ([(8, 10), (34, 18), (31, 9), (25, 7)], 2),  # the first has more matches, but 30 % too many objects
        ([(8, 10), (36, 8), (31, 9)], 1),  # a tenth too many is near enough
        ([(8, 10), (34, 18), (31, 22)], 1),  # none comes nearer
        ([(30, 22), (31, 9)], 1),
        ([(31, 9), (33, 18), (31, 9)], 0),  # it gains nothing beyond luck
    ],
)
def test_division_matches_most_among_those_with_the_right_number(depths: list[tuple[int, int]], chosen: int) -> None:
    settings: dict[str, Any] = {**OFF, "steps": []}
    division(*depths).choose(settings, (0.0,), None)
    assert settings["divide"] == chosen
    assert [step["to"] for step in settings["steps"]] == [chosen] * (chosen > 0)
