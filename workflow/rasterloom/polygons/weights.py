"""Weights of a class's members, from their out-of-fold predictions."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rasterloom.polygons.thresholds import Counts, jaccards, tuning

MOST = 12_500
"""Pixels of each kind that a scene's sample holds at most."""

LEVEL = 25.5
"""A tenth: a pixel outside the polygons in which no member sees more is of the dull kind, of which there are most."""

PARTS = 12
"""Into how many parts the weight of a member of a mean is divided; the search moves 12, 6 and 3 of them at once."""

Weights = tuple[int, ...]
"""Parts by member."""


class Sample:
    """Pixels of a scene, drawn by kind, so that a few small objects are not lost among millions of other pixels.

    Kinds: at least half covered by polygons; covered by less; not covered, and a member sees more than `LEVEL`; all
    others. Of each kind at most `MOST` pixels are kept, at random but always the same ones, and each stands for as many
    as it was drawn from. Memory: `MOST` pixels of each kind and a strip.
    """

    def __init__(self, members: int) -> None:
        self._random = np.random.default_rng(0)
        self._kept = [np.zeros((0, 2 + members)) for _ in range(4)]
        self._seen = [0] * 4

    def add(self, probabilities: NDArray[np.float32], fraction: NDArray[np.uint8]) -> None:
        """Add a strip of probabilities 0..255, (members, rows, W), and of coverages, (rows, W)."""
        values, covered = probabilities.reshape(len(probabilities), -1), fraction.ravel()
        kinds = np.where(covered > 0, np.where(covered >= 128, 0, 1), np.where(values.max(axis=0) > LEVEL, 2, 3))
        draws = self._random.random(covered.size)
        for kind, kept in enumerate(self._kept):
            own = np.flatnonzero(kinds == kind)
            new = own[np.argsort(draws[own])[:MOST]]
            both = np.concatenate([kept, np.column_stack([draws[new], covered[new], values[:, new].T])])
            self._kept[kind] = both[np.argsort(both[:, 0])[:MOST]]
            self._seen[kind] += len(own)

    def pixels(self, first: int) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.float64]]:
        """Probabilities (n, members), whether the coverage is at least `first`, and how many pixels each stands for."""
        kept = np.concatenate(self._kept)
        sizes = [seen / max(1, len(own)) for seen, own in zip(self._seen, self._kept, strict=True)]
        return kept[:, 2:].astype(np.float32), kept[:, 1] >= first, np.repeat(sizes, [len(own) for own in self._kept])


def weigh(
    ensemble: str, counts: Sequence[Mapping[str, Counts]], samples: Mapping[str, Any], ground: Mapping[str, str]
) -> dict[str, Any]:
    """How much each member of a class counts.

    Parameters
    ----------
    ensemble : str
        ``mean``, ``best`` (the member with the highest Jaccard alone) or ``weighted`` (see `search`).
    counts : sequence of mappings of scene to (2, 256) int64 array
        By member, `split_counts` of out-of-fold scenes.
    samples : mapping of scene to what `Sample.pixels` gives
        Of the same scenes; only for ``weighted``.
    ground : mapping of scene to ground

    Returns
    -------
    dict
        By member, ``jaccards`` (each at its own best threshold, pooled; None if unknown) and ``weights``, at least 0,
        sum 1; ``reason``: why the weights are those of a mean although others were asked for, or None; ``scenes``: for
        each scene its own ``weights`` and ``reason``, from all others but its ground. A mean has no ``scenes``.
    """
    tuned = [tuning(own, ground) for own in counts]
    grounds = sorted({ground[scene] for scene in counts[0]})
    score = sampled_scores(samples, ground, grounds) if ensemble == "weighted" and grounds else None

    def entry(left_out: int, found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        known = [one["jaccard"] or 0.0 for one in found]
        if ensemble == "mean" or max(known) == 0:
            reason = None if ensemble == "mean" else found[0]["reason"]
            return {"weights": [1 / len(found)] * len(found), "reason": reason}
        parts = tuple(int(member == known.index(max(known))) for member in range(len(found)))
        if score is not None:
            parts = search(lambda weights: float(score(weights)[left_out]), len(found))
        return {"weights": [part / sum(parts) for part in parts], "reason": None}

    without = {name: index for index, name in enumerate(grounds)}
    scenes = {s: entry(without[ground[s]], [own["scenes"][s] for own in tuned]) for s in sorted(counts[0])}
    own = {"jaccards": [one["jaccard"] for one in tuned], "scenes": {} if ensemble == "mean" else scenes}
    return {**entry(len(grounds), tuned), **own}


def sampled_scores(
    samples: Mapping[str, Any], ground: Mapping[str, str], grounds: Sequence[str]
) -> Callable[[Weights], NDArray[np.float64]]:
    """The best pixel Jaccard of members with some weights, by sampled pixels: without each ground, and last of all.

    Rounded to four digits, so that neither noise nor the last bits of a sum decide. Each answer is kept.
    """
    values, truth, sizes = (np.concatenate(column) for column in zip(*samples.values(), strict=True))
    place = np.repeat([grounds.index(ground[scene]) for scene in samples], [len(own[1]) for own in samples.values()])
    rows = (2 * place + truth) * 256
    known: dict[Weights, NDArray[np.float64]] = {}

    def score(weights: Weights) -> NDArray[np.float64]:
        if weights not in known:
            mean = np.floor(values @ np.array(weights, np.float32) / np.float32(sum(weights)) + np.float32(0.5))
            flat = np.bincount(rows + mean.clip(0, 255).astype(np.int64), sizes, 512 * len(grounds))
            own = flat.reshape(-1, 2, 256)
            total = own.sum(axis=0)
            found = [jaccards(np.maximum(part, 0)) for part in (*(total - own), total)]
            known[weights] = np.array([0.0 if one is None else round(float(one.max()), 4) for one in found])
        return known[weights]

    return score


def search(score: Callable[[Weights], float], members: int) -> Weights:
    """The parts by member with the best score.

    The search begins at the mean, or at the best single member if that has a better score. In each step some parts go
    from one member to another, whichever exchange helps most: first 12, then 6, then 3, as long as there is one that
    helps. Of equally good ones the first wins, so that a mean stays a mean.
    """
    starts = [(PARTS,) * members]
    starts += [tuple(PARTS * members * (member == own) for member in range(members)) for own in range(members)]
    best = max(starts, key=score)
    for step in (PARTS, PARTS // 2, PARTS // 4):
        while True:
            moved = [
                tuple(
                    part + min(step, best[giver]) * ((member == taker) - (member == giver))
                    for member, part in enumerate(best)
                )
                for giver, taker in itertools.permutations(range(members), 2)
                if best[giver]
            ]
            found = max(moved, key=score)
            if score(found) <= score(best):
                break
            best = found
    return best


def weights_of(weighed: Mapping[str, Any], scene: str) -> list[float]:
    """The weights for a scene: its own if the weights were found on it, else the common ones."""
    return list(weighed["scenes"].get(scene, weighed)["weights"])
