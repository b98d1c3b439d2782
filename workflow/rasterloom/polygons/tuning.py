"""Settings of polygons, chosen as polygons are scored: areas pooled over scenes, weighted by ground.

A scene is sampled more finely than its grid, so that areas are those of sub-pixel outlines. For one opening, closing
and threshold, objects and holes are counted once, in bins of area and peak: what least and largest areas, least holes
and least peaks are worth is then a sum over bins, for all grounds and for all but one.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from rasterloom.polygons.confidence import fitted
from rasterloom.polygons.jaccard import united
from rasterloom.polygons.morphology import morphology
from rasterloom.polygons.objects import matches
from rasterloom.polygons.record import divisions_of, means_of
from rasterloom.polygons.thresholds import fixed_threshold, jaccards, tuning

Floats = NDArray[np.float64]

Settings = dict[str, float]
"""For each of `STEPS` a number, 0 where it is off; the threshold is n + 0.5 on 0..255."""

STEPS = ("close", "open", "min_area", "min_peak", "max_area", "min_hole", "threshold")
"""Settings in the order in which the search tries them."""

SETTINGS = (*STEPS, "divide")

LEVELS = 0.5 + np.concatenate([np.arange(31), np.arange(31, 224, 2), np.arange(224, 255)])
"""Thresholds that the search knows: finer where a probability is near 0 or 1."""

MOVES = (-12, -6, -3, -1, 1, 3, 6, 12)
"""How far a step of the threshold goes, in `LEVELS`."""

RADII = (0.0, 0.5, 1.0, 1.5, 2.5, 4.0)
"""Openings and closings that are tried, in pixels of the grid."""

AREAS = (0.0, *(3.125 * 2.0**power for power in range(12)))
"""Areas that are tried, in square reference pixels."""

PEAKS = (0.0, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)

SAMPLES = 450_000_000
"""Of all scenes of a class, about; as many as that allows are taken along a pixel's side, 1 to 4."""

STRIP_SAMPLES = 50_000_000
"""Samples counted at a time, of 10 bytes each; objects of larger scenes are cut there."""

DRAWS = 200
"""Resamplings of the grounds."""

DOUBT = 0.04
"""Jaccard by which a gain on one ground may miss that on others; of n grounds, whose spread tells more, by 1 / n^2."""

DEPTHS = (0.02, 0.05, 0.1)
"""Depths at which objects are tried to be divided (see `dividing.parts`)."""

LOSS = 0.005
"""Jaccard that may be lost where more objects match, its standard deviation over grounds included."""

COUNT = 0.15
"""Share of the true objects by which divisions may give more or fewer, if any of them comes that near."""

SMALL = 0.1
"""Share of the true objects that a least area may be larger than."""

MINOR = 0.1
"""An object is lost in noise up to this share of the median area of the true ones."""

OBJECTS = 20_000
"""True objects on which divisions are tried and confidences fitted; scenes after so many are left out."""

ROUNDS = 3

PRIOR = "no other ground has the class: the threshold comes from scenes that trained, nothing else is tuned"


@dataclass(frozen=True)
class Scene:
    """A scene on which settings are tried.

    Attributes
    ----------
    read : callable
        Gives the probability, (H, W) uint8 array.
    truth : (H * s, ceil(W * s / 8)) uint8 array
        Which samples are true, s along a pixel's side: `np.packbits` of each row.
    labels : callable
        Gives the true polygons, in reference pixels.
    shape : (H * s, W * s)
    samples : int
        The number s.
    size : (width, height)
        Of the reference image.
    ground : str
    weight : float
        What a reference pixel covers, in one unit for all scenes.
    """

    read: Callable[[], NDArray[np.uint8]]
    truth: NDArray[np.uint8]
    labels: Callable[[], Any]
    shape: tuple[int, int]
    samples: int
    size: tuple[int, int]
    ground: str
    weight: float

    @property
    def pixel(self) -> float:
        """Side of a pixel of the grid, in reference pixels."""
        return self.samples * self.size[0] / self.shape[1]

    @property
    def area(self) -> float:
        """Of a sample, in square reference pixels."""
        return self.size[0] * self.size[1] / (self.shape[0] * self.shape[1])

    def strips(self, opening: float, closing: float) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
        """Samples of the probability, opened and closed, and of the truth (0 or 1): two (rows, W * s) arrays each."""
        import cv2

        image = morphology(self.read(), opening / self.pixel, closing / self.pixel)
        rows = max(1, STRIP_SAMPLES // (self.shape[1] * self.samples))
        for top in range(0, len(image), rows):
            # One row more on each side, so that samples between rows are those of the whole.
            first = max(0, top - 1)
            part = image[first : top + rows + 1]
            fine = cv2.resize(part, None, fx=self.samples, fy=self.samples, interpolation=cv2.INTER_LINEAR)
            start, stop = self.samples * top, min(self.samples * (top + rows), self.shape[0])
            fine = fine[start - self.samples * first :][: stop - start]
            yield np.asarray(fine, np.uint8), np.unpackbits(self.truth[start:stop], axis=1, count=self.shape[1])

    def histogram(self, opening: float, closing: float) -> Floats:
        """(2, 256): the ground of each probability outside and inside the truth."""
        counts = np.zeros(512)
        for values, true in self.strips(opening, closing):
            counts += np.bincount((true.astype(np.uint16) << 8 | values).ravel(), minlength=512)
        return counts.reshape(2, 256) * self.area * self.weight


def samples_for(pixels: int) -> int:
    """Samples along a pixel's side if all scenes of a class have so many pixels together."""
    return int(np.clip(np.sqrt(SAMPLES / max(1, pixels)), 1, 4))


def counted(
    values: NDArray[np.uint8], true: NDArray[np.uint8], level: float, areas: Floats, peaks: Floats, holes: Floats
) -> Floats:
    """Samples of the objects and holes at a level, by bins.

    Parameters
    ----------
    values, true : (H, W) uint8 arrays
        The probability, and whether a sample is true (0 or 1).
    level : float, n + 0.5
    areas, peaks, holes : ascending arrays
        Edges of the bins: areas of objects and of holes in samples, and probabilities.

    Returns
    -------
    (2, areas + 1, peaks + 1, holes + 2) float64 array
        Samples and true samples. Along the last axis first the objects, then the holes by their area, in the bin of
        the object that they are in.
    """
    import cv2

    inside = (values > level).astype(np.uint8)
    number, found = cv2.connectedComponents(inside, connectivity=4, ltype=cv2.CV_32S)
    labels = np.asarray(found, np.int32)
    place = np.flatnonzero(inside)
    label = labels.ravel()[place]
    area = np.bincount(label, minlength=number)
    peak = np.zeros(number, np.uint8)
    np.maximum.at(peak, label, values.ravel()[place])
    hits = np.bincount(label[true.ravel()[place] > 0], minlength=number)
    shape = (len(areas) + 1, len(peaks) + 1, len(holes) + 2)
    own = np.ravel_multi_index((np.searchsorted(areas, area, "right"), np.searchsorted(peaks, peak)), shape[:2])
    bins, both = [own[1:] * shape[2]], [np.stack([area, hits])[:, 1:]]
    if len(holes):
        around, *hole = _holes(labels, inside, true, float(holes[-1]))
        bins.append(own[around] * shape[2] + 1 + np.searchsorted(holes, hole[0], "right"))
        both.append(np.stack(hole))
    index = np.concatenate(bins)
    table = [np.bincount(index, row, np.prod(shape)) for row in np.concatenate(both, axis=1)]
    return np.reshape(table, (2, *shape))


def _holes(labels: NDArray[np.int32], inside: NDArray[np.uint8], true: NDArray[np.uint8], most: float) -> Any:
    """Of holes smaller than `most`: the label of the object around, samples and true samples, (n,) arrays each."""
    import cv2

    number, holes, boxes, _ = cv2.connectedComponentsWithStats(1 - inside, connectivity=8, ltype=cv2.CV_32S)
    left, top, width, height, area = boxes.T
    small = (area < most) & (left > 0) & (top > 0) & (left + width < inside.shape[1]) & (top + height < len(inside))
    small[0] = False
    place = np.flatnonzero(small[holes])
    label = holes.ravel()[place]
    found, first = np.unique(label, return_index=True)
    hits = np.bincount(label[true.ravel()[place] > 0], minlength=number)
    return labels.ravel()[place[first] - inside.shape[1]], area[found], hits[found]


class Trial:
    """What any settings give on scenes, by ground; nothing is counted twice.

    Parameters
    ----------
    scenes : sequence of Scene
    fixed : mapping
        Settings that are not to be searched.
    """

    def __init__(self, scenes: Sequence[Scene], fixed: Mapping[str, float]) -> None:
        self.scenes = scenes
        self.grounds = sorted({scene.ground for scene in scenes})
        self.truth = np.zeros(len(self.grounds))
        pixel = max((scene.pixel for scene in scenes), default=1.0)
        radii = tuple(round(radius * pixel, 2) for radius in RADII)
        choices = {"open": radii, "close": radii, "min_peak": PEAKS, "threshold": ()}
        self.choices = {key: () if key in fixed else choices.get(key, AREAS) for key in STEPS}
        self.moves = () if "threshold" in fixed else MOVES
        self.areas = np.unique([*AREAS, fixed.get("min_area", 0.0), fixed.get("max_area", 0.0)])
        self.holes = np.unique([*AREAS, fixed.get("min_hole", 0.0)])
        self.peaks = np.unique([fixed_threshold(value) for value in (*PEAKS, fixed.get("min_peak", 0.0))])
        self.table, self.sums = cache(self._table), cache(self._sums)
        self.true_areas = cache(lambda place: shapely.area(scenes[place].labels()))

    def found(self, settings: Settings) -> Floats:
        """(3, grounds): predicted area, how much of it is true, and all that is true."""
        return self.sums(*(settings[name] for name in STEPS))

    def _sums(
        self, close: float, opening: float, area: float, peak: float, most: float, hole: float, level: float
    ) -> Floats:
        table = self.table(opening, close, level)
        first = np.searchsorted(self.areas, area, "right") if area else 0
        last = np.searchsorted(self.areas, most) + 1 if most else None
        least = np.searchsorted(self.peaks, fixed_threshold(peak), "right") if peak else 0
        filled = np.searchsorted(self.holes, hole) + 2 if hole else 1
        return np.stack([*table[:, :, first:last, least:, :filled].sum(axis=(2, 3, 4)), self.truth])

    def _table(self, opening: float, closing: float, level: float) -> Floats:
        """(2, grounds, areas + 1, peaks + 1, holes + 2): the sums of `counted`, as areas on the ground."""
        bins = (len(self.areas) + 1, len(self.peaks) + 1, len(self.holes) + 2)
        table, self.truth = np.zeros((2, len(self.grounds), *bins)), np.zeros(len(self.grounds))
        for scene in self.scenes:
            place, unit = self.grounds.index(scene.ground), scene.area * scene.weight
            for values, true in scene.strips(opening, closing):
                edges = (self.areas / scene.area, self.peaks, self.holes / scene.area)
                table[:, place] += unit * counted(values, true, level, *edges)
                self.truth[place] += unit * np.count_nonzero(true)
        return table

    def options(self, key: str, now: Settings) -> list[Settings]:
        """The settings that a step of one of them may lead to."""
        values: Sequence[float] = self.choices[key]
        if key == "threshold":
            place = int(np.searchsorted(LEVELS, now[key]))
            values = [float(LEVELS[place + move]) for move in self.moves if 0 <= place + move < len(LEVELS)]
        return [{**now, key: value} for value in values if value != now[key]]

    def search(self, start: Settings, use: NDArray[np.bool_]) -> tuple[Settings, list[dict[str, Any]]]:
        """The best settings on some grounds, and the steps from `start` to them.

        No least area is larger than more than a `SMALL` share of the true objects.
        One setting after the other takes the value whose gain of Jaccard exceeds luck most, if one does.
        """
        best, steps = start, []
        known = [self.true_areas(i) for i, own in enumerate(self.scenes) if use[self.grounds.index(own.ground)]]
        most = float(np.quantile(np.concatenate(known), SMALL))
        for _ in range(ROUNDS):
            before = best
            for key in STEPS:
                options = [own for own in self.options(key, best) if own["min_area"] <= max(most, best["min_area"])]
                if not options:
                    continue
                old = self.found(best)[:, use]
                tried = [gained(old, self.found(option)[:, use]) for option in options]
                found, (gain, luck, _) = max(zip(options, tried, strict=True), key=lambda own: own[1][0] - own[1][1])
                if gain > luck:
                    rounded = {"of": "areas", "gain": round(gain, 6), "luck": round(luck, 6)}
                    steps.append({"setting": key, "from": best[key], "to": found[key], **rounded})
                    best = found
            if best == before:
                break
        return best, steps


def _jaccard(found: Floats) -> Any:
    predicted, hits, truth = found
    return hits / np.maximum(predicted + truth - hits, 1e-9)


def gained(old: Floats, new: Floats) -> tuple[float, float, float]:
    """How much the pooled Jaccard gains, and how much of that may be luck.

    Parameters
    ----------
    old, new : (3, grounds) arrays
        As `Trial.found` gives them.

    Returns
    -------
    float, float, float
        The standard deviation of the gain over resamplings of the grounds is the last one. Luck is that and `DOUBT`
        divided by the square of the number of grounds with truth.
    """
    count = old.shape[1]
    draws = _draws(count)
    gains = _jaccard(new @ draws.T) - _jaccard(old @ draws.T)
    spread = float(gains.std() * np.sqrt(count / max(1, count - 1)))
    gain = float(_jaccard(new.sum(axis=1)) - _jaccard(old.sum(axis=1)))
    return gain, spread + DOUBT / max(1, int(np.count_nonzero(old[2]))) ** 2, spread


@lru_cache(2)
def _draws(count: int) -> NDArray[np.int64]:
    """(DRAWS, count): how often each ground is drawn."""
    return np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), DRAWS)


class Division:
    """What dividing objects gives, at some depths and least areas.

    Parameters
    ----------
    scenes : mapping of name to Scene
    settings : mapping of name to Settings
        Those of each scene.
    drawn : mapping
        What else `polygons_of` needs.
    depths : sequence of float
        Beside 0.
    """

    def __init__(
        self,
        scenes: Mapping[str, Scene],
        settings: Mapping[str, Settings],
        drawn: Mapping[str, Any],
        depths: Sequence[float],
    ) -> None:
        self.depths = (0.0, *depths)
        self.seen: list[tuple[Scene, Floats, float, list[Floats]]] = []
        number = 0
        for name, scene in scenes.items():
            if number < OBJECTS:
                self.seen.append(_objects(scene, {**settings[name], **drawn}, self.depths))
                number += len(self.seen[-1][1])

    def choose(self, found: dict[str, Any], leasts: Sequence[float], without: str | None) -> None:
        """Add a division that loses little Jaccard to settings, and coefficients of `fitted`.

        Of those that match more objects than luck does, and whose number is right within `COUNT`, it is the best.
        """
        kept, scenes = (0.0, found["min_area"]), [scene for scene in self.seen if scene[0].ground != without]
        true = np.concatenate([np.zeros(0), *(scene[1] for scene in scenes)])
        most = MINOR * float(np.median(true)) if true.size else 0.0
        # One ground alone says too little.
        few = len({scene[0].ground for scene in scenes}) < 2
        least = [] if few else [max(area, kept[1]) for area in leasts if area <= most]
        options = [(depth, area) for depth in self.depths for area in dict.fromkeys(least)]
        sums = {option: _sums(scenes, self.depths.index(option[0]), option[1]) for option in [kept, *options]}
        changes = {option: gained(sums[kept][0], sums[option][0]) for option in options}
        fair = [option for option, (gain, _, spread) in changes.items() if spread - gain <= LOSS]
        gains = {option: gained(sums[kept][1], sums[option][1])[:2] for option in fair}
        doubt = 0.5 / np.sqrt(max(1, true.size))
        better = [option for option, (gain, luck) in gains.items() if gain > max(luck, doubt)]
        wrong = {option: abs(float(sums[option][1][0].sum()) / true.size - 1) for option in better}
        counted = [option for option in better if wrong[option] <= max(COUNT, min(wrong.values()))]
        best = max(counted, key=lambda option: np.subtract(*gains[option]), default=kept)
        for key, old, new in zip(("min_area", "divide"), kept[::-1], best[::-1], strict=True):
            if old != new:
                gain, luck = (round(float(value), 6) for value in (gains[best][0], max(gains[best][1], doubt)))
                step = {"setting": key, "from": old, "to": new, "of": "objects", "gain": gain, "luck": luck}
                found["steps"].append(step)
                found[key] = new
        place = self.depths.index(found["divide"])
        rows = np.concatenate([np.zeros((4, 0)), *(scene[3][place] for scene in scenes)], axis=1)
        area, _, mean, matched = rows[:, rows[0] >= found["min_area"]]
        found["confidence"] = fitted(mean, area, matched > 0)


def _sums(
    scenes: Sequence[tuple[Scene, Floats, float, list[Floats]]], place: int, least: float
) -> tuple[Floats, Floats]:
    """Areas and numbers of objects by ground, (3, grounds) each: predicted, true or matched of these, true in all."""
    areas, numbers = [], []
    _, ground = np.unique([scene.ground for scene, *_ in scenes], return_inverse=True)
    member = np.eye(int(ground.max(initial=-1)) + 1)[ground.astype(np.intp)]
    for scene, true, truth, found in scenes:
        area, hits, _, matched = found[place][:, found[place][0] >= least]
        areas.append([scene.weight * value for value in (area.sum(), hits.sum(), truth)])
        numbers.append([len(area), matched.sum(), len(true)])
    return np.reshape(areas, (-1, 3)).T @ member, np.reshape(numbers, (-1, 3)).T @ member


def _objects(
    scene: Scene, settings: Mapping[str, Any], depths: Sequence[float]
) -> tuple[Scene, Floats, float, list[Floats]]:
    """Of a scene the areas of the true objects and of their union, and for each of several depths a (4, n) array.

    That is of the predicted objects: area, true area of it, mean probability, whether they match.
    """
    image, labels = scene.read(), scene.labels()
    truth = united(labels)
    reference = {"width": scene.size[0], "height": scene.size[1], "transform": None}
    found = []
    for polygons in divisions_of(image, reference, settings, depths):
        one, other = shapely.STRtree(truth).query(polygons, predicate="intersects")
        hits = np.bincount(one, shapely.area(shapely.intersection(polygons[one], truth[other])), polygons.size)
        matched = matches(labels, polygons) >= 0
        found.append(np.stack([shapely.area(polygons), hits, means_of(image, reference, polygons), matched]))
    return scene, np.asarray(shapely.area(labels)), float(shapely.area(truth).sum()), found


def tune(
    scenes: Mapping[str, Scene], prior: Mapping[str, Scene], fixed: Mapping[str, float], drawn: Mapping[str, Any]
) -> dict[str, Any]:
    """Settings for all scenes, and for each of those given from the other grounds alone.

    Parameters
    ----------
    scenes : mapping of name to Scene
        Their probabilities come from models that have not seen them.
    prior : mapping of name to Scene
        Scenes that trained the models: their pixels alone tell a threshold where fewer than two grounds of `scenes`
        have truth. Else they are left out.
    fixed : mapping
        Settings that are not to be searched.
    drawn : mapping
        What else `polygons_of` needs.

    Returns
    -------
    dict
        `Settings`, and ``jaccard`` of the given scenes with them (None if unknown), ``reason`` (why they were not
        searched, or None); ``steps`` of the search with their gains; ``confidence``: what `confidence.fitted` gives, of
        those out-of-fold polygons; ``scores``: Jaccard of the bare thresholds 0.5,
        1.5 .. 254.5, or None; ``present``: number of scenes with truth; ``scenes``: the first three for each scene.
    """
    trial = Trial(list(scenes.values()), fixed)
    bare = [fixed.get(key, 0.0) for key in ("open", "close")]
    counts = {name: scene.histogram(*bare) for name, scene in {**prior, **scenes}.items()}
    ground = {name: scene.ground for name, scene in {**prior, **scenes}.items()}
    begun, scores = tuning(counts, ground), jaccards(sum((counts[name] for name in scenes), np.zeros((2, 256))))
    with_truth = {ground[name] for name in scenes if counts[name][1].any()}

    def entry(start: Mapping[str, Any], without: str | None) -> dict[str, Any]:
        level = float(LEVELS[np.abs(LEVELS - start["threshold"]).argmin()])
        settings = {**dict.fromkeys(SETTINGS, 0.0), "threshold": level, **fixed}
        if not with_truth - {without}:
            reason = PRIOR if start["reason"] is None else start["reason"]
            return {**settings, "jaccard": None, "reason": reason, "steps": []}
        use = np.array([name != without for name in trial.grounds])
        settings, steps = trial.search(settings, use)
        score = float(_jaccard(trial.found(settings)[:, use].sum(axis=1)))
        return {**settings, "jaccard": round(score, 6), "reason": start["reason"], "steps": steps}

    by_ground = {ground[name]: entry(begun["scenes"][name], ground[name]) for name in scenes}
    common = entry(begun, None)
    own = {name: by_ground[ground[name]] for name in scenes}
    division = Division(
        scenes,
        {name: {key: own[name][key] for key in SETTINGS} for name in own},
        drawn,
        () if "divide" in fixed else DEPTHS,
    )
    for without, found in (*by_ground.items(), (None, common)):
        division.choose(found, (0.0,) if "min_area" in fixed else AREAS, without)
    return {
        **common,
        "scores": None if scores is None else [round(float(score), 6) for score in scores],
        "present": sum(1 for name in scenes if counts[name][1].any()),
        "scenes": {name: by_ground[ground[name]] for name in sorted(scenes)},
    }


def settings_of(tuned: Mapping[str, Any], scene: str) -> Settings:
    """The settings for a scene: its own if it was tuned on, else the common ones."""
    own = tuned["scenes"].get(scene, tuned)
    return {key: float(own[key]) for key in SETTINGS}
