"""Folds: which labelled scenes train and which validate, stratified by area and never dividing the same ground."""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rasterloom.grouping import grouped
from rasterloom.store.digest import digest
from rasterloom.text import few

EXHAUSTIVE = 100_000
"""Up to this many ways to choose the validation part, all are compared; above, the best is searched for."""

LOCAL = 300
"""Up to this many grounds a greedy division is improved by exchanges; above, greedy is close enough."""

MISSING = 1000.0
"""What it costs if a side lacks a target: more than any imbalance."""

Folds = dict[str, dict[str, list[str]]]
"""By fold: ``train`` and ``validation``, sorted ids."""

Members = Mapping[str, Sequence[str]]
"""Scenes by ground."""

Areas = Mapping[str, Mapping[str, float]]
"""By scene: area of each target."""

Table = NDArray[np.float64]
"""(grounds, 1 + targets) shares: of the scenes, then of each target's area."""

Kept = dict[str, list[tuple[str, str]]]
"""By fold what would have been validated and trains instead: target and ground."""


def checkpoints_of(
    scene: str, labelled: Sequence[str], folds: Folds, names: Sequence[str], predict_with: str
) -> list[str]:
    """Which checkpoints predict a scene.

    Parameters
    ----------
    scene : str
    labelled : sequence of str
        Scenes that were labelled for the member's group.
    folds : mapping of str to mapping
        By fold the lists ``train`` and ``validation`` of scenes.
    names : sequence of str
        Checkpoints that exist; ``all`` is the one trained on everything.
    predict_with : str
        ``folds`` or ``refit``.

    Returns
    -------
    list of str
        Not empty. A scene in validation sets gets those folds' checkpoints, which have not seen it; one that only
        trained gets all folds' (an in-sample prediction); any other scene gets ``all`` if `predict_with` is
        ``refit``,
        else all folds'.
    """
    trained = [name for name in names if name != "all"]
    if scene in labelled:
        return [name for name in trained if scene in folds[name]["validation"]] or trained
    return ["all"] if predict_with == "refit" else trained


def fold_names(validation: Mapping[str, Any], folds: Iterable[str | None] = ()) -> list[str]:
    """Names of the folds of a configuration, known before anything is computed.

    Parameters
    ----------
    validation : mapping
        ``{"split": share}`` or ``{"folds": k}``.
    folds : iterable of str or None
        The user's fold of each training scene; if there are any they count, and `validation` does not.

    Examples
    --------
    >>> fold_names({"folds": 2}), fold_names({"split": 0.8}), fold_names({"split": 0.8}, ["north", "south", "north"])
    (['fold-0', 'fold-1'], ['fold-0'], ['north', 'south'])
    """
    given = sorted({fold for fold in folds if fold is not None})
    return given or [f"fold-{index}" for index in range(int(validation.get("folds") or 1))]


def divide(
    areas: Areas,
    ground: Mapping[str, str],
    validation: Mapping[str, Any],
    seed: int,
    folds: Mapping[str, str] | None = None,
    names: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Divide scenes into folds.

    Parameters
    ----------
    areas : mapping of scene to mapping of target to float
        Labelled areas, in any unit, at least 0.
    ground : mapping of scene to str
        Scenes of one ground are never separated. A scene that is not in it is its own ground.
    validation : mapping
        ``{"split": s}``: one fold, ``fold-0``, whose training part holds about the share s of the ground.
        ``{"folds": k}``: ``fold-0`` to ``fold-<k-1>``, every scene validated exactly once (but see below).
    seed : int
        Decides between divisions that are equally good; where one is best it has no effect.
    folds : mapping of scene to str, optional
        The user's folds, one of every scene and the same for one ground; if there are any, `validation` and `seed`
        have no effect.
    names : sequence of str, optional
        All folds that are to be there; only the user's folds, or a group without scenes, can lack one of them.

    Returns
    -------
    dict
        ``folds``: by name, ``train`` and ``validation``, sorted ids; ``validated``: by fold and target the share of
        its area that validates, None where a target has none at all; ``having``: by fold and target how many scenes
        hold it, [that train, that validate]; ``note``: a sentence, or None.

    Notes
    -----
    The share of each target's area in a validation part is brought as close as possible to that part's share of the
    ground, in the sense of least squares over the targets; a target that two or more grounds hold is on both sides,
    even if that takes a larger validation part. A ground that alone holds a target always trains, and where a fold (the
    user's, mostly) would validate all of a target, the ground with most of it trains instead; ``note`` says so. The
    result does not depend on the order of anything given.
    """
    scenes = sorted(areas)
    members = grouped((ground.get(scene, scene), scene) for scene in scenes)
    parts = _given(members, folds, names) if folds else _chosen(members, areas, validation, seed)
    if not scenes:
        parts = {name: [] for name in names or parts}
    # Validating everything would leave nothing to learn from: validate nothing instead, and say so.
    parts = {name: [] if len(part) == len(scenes) else part for name, part in parts.items()}
    parts, kept = _learnable(parts, members, areas)
    result: Folds = {
        name: {"train": sorted(set(scenes) - set(part)), "validation": sorted(part)} for name, part in parts.items()
    }
    note = _note(members, areas, result, kept)
    return {"folds": result, "validated": _shares(areas, result), "having": _having(areas, result), "note": note}


def _chosen(members: Members, areas: Areas, validation: Mapping[str, Any], seed: int) -> dict[str, list[str]]:
    """Validation scenes by fold, balanced by area."""
    order = sorted(members, key=lambda name: digest([seed, name]))
    always = {holding[0] for holding in _holders(members, areas).values() if len(holding) == 1}
    free = [name for name in order if name not in always]
    count = validation.get("folds")
    if not free:
        chosen: list[list[int]] = [[] for _ in range(int(count or 1))]
    elif count:
        chosen = _folds(_table(free, members, areas), int(count), others=len(always))
    else:
        table = _table([*free, *sorted(always)], members, areas)
        chosen = _holdout(table, 1.0 - float(validation["split"]), len(free))
    return {f"fold-{i}": [s for g in part for s in members[free[g]]] for i, part in enumerate(chosen)}


def _holders(members: Members, areas: Areas) -> dict[str, list[str]]:
    """By target: the grounds that hold it, those with most of it first."""
    found = {}
    for target in _targets(areas):
        held = {name: sum(areas[s].get(target, 0.0) for s in scenes) for name, scenes in members.items()}
        found[target] = sorted((name for name in held if held[name] > 0), key=lambda name: (-held[name], name))
    return found


def _targets(areas: Areas) -> list[str]:
    return sorted({target for by_target in areas.values() for target in by_target})


def _learnable(parts: Members, members: Members, areas: Areas) -> tuple[dict[str, list[str]], Kept]:
    """Validation parts of which none holds all of a target, and by fold what was taken out: target and ground."""
    result = {name: list(part) for name, part in parts.items()}
    kept: Kept = {}
    for target, holding in _holders(members, areas).items():
        for name, part in result.items():
            if holding and {s for ground in holding for s in members[ground]} <= set(part):
                result[name] = [scene for scene in part if scene not in members[holding[0]]]
                kept.setdefault(name, []).append((target, holding[0]))
    return result, kept


def _table(order: Sequence[str], members: Members, areas: Areas) -> Table:
    """Shares, (grounds, 1 + targets): of the scenes, then of each target's area; a target without area is left out."""
    targets = _targets(areas)
    grounds = [members[name] for name in order]
    rows = [[float(len(own)), *(sum(areas[s].get(t, 0.0) for s in own) for t in targets)] for own in grounds]
    table = np.array(rows, dtype=np.float64).reshape(len(order), 1 + len(targets))
    table = table[:, table.sum(axis=0) > 0]
    return np.asarray(table / table.sum(axis=0))


def _given(members: Members, folds: Mapping[str, str], names: Any) -> dict[str, list[str]]:
    """The user's folds, which the data set has checked."""
    parts: dict[str, list[str]] = {name: [] for name in sorted({*folds.values(), *(names or [])})}
    for scenes in members.values():
        parts[folds[scenes[0]]] += scenes
    return parts


# Hold-out ---------------------------------------------------------------------------------------------------------


def _holdout(table: Table, share: float, free: int) -> list[list[int]]:
    """Rows of `table` that validate: one fold, of its first `free` rows; the others always train."""
    grounds = len(table)
    if grounds < 2:
        return [[]]
    most = min(free, grounds - 1)
    first = min(max(1, round(share * grounds)), most)
    best, best_cost = [0], math.inf
    # More than one further ground a column is never needed to have a target on both sides.
    last = max(first, min(grounds // 2, first + table.shape[1], most))
    for count in range(first, last + 1):
        chosen, cost = _subset(table, count, free)
        if cost < best_cost:
            best, best_cost = chosen, cost
        if best_cost < MISSING:
            break
    return [best]


def _subset(table: Table, count: int, grounds: int) -> tuple[list[int], float]:
    """The best `count` rows to validate with, of the first `grounds`, and what they cost."""
    if math.comb(grounds, count) <= EXHAUSTIVE:
        ways = np.array(list(itertools.combinations(range(grounds), count)), dtype=np.int64)
        costs = _holdout_cost(table, table[ways].sum(axis=1), count)
        best = int(np.argmin(costs))
        return [int(row) for row in ways[best]], float(costs[best])
    chosen: list[int] = []
    for size in range(1, count + 1):
        rest = [row for row in range(grounds) if row not in chosen]
        costs = _holdout_cost(table, table[chosen].sum(axis=0) + table[rest], size, final=count)
        chosen.append(rest[int(np.argmin(costs))])
    cost = float(_holdout_cost(table, table[chosen].sum(axis=0)[None], count)[0])
    while grounds <= LOCAL:
        rest = [row for row in range(grounds) if row not in chosen]
        swaps = table[chosen].sum(axis=0) - table[chosen][:, None] + table[rest][None]
        costs = _holdout_cost(table, swaps.reshape(-1, table.shape[1]), count)
        best = int(np.argmin(costs))
        if costs[best] >= cost:
            break
        out, entering = divmod(best, len(rest))
        chosen[out], cost = rest[entering], float(costs[best])
    return sorted(chosen), cost


def _holdout_cost(table: Table, sums: Table, size: int, final: int | None = None) -> Table:
    """Cost of ways to validate, (n,), from the shares that validate, (n, columns).

    `size` rows of `final` have been chosen; shares are compared with what so many should hold.
    """
    aim = size / len(table)
    cost = ((sums - aim) ** 2).sum(axis=1)
    if final is None or size == final:
        # A row that alone holds a target always trains: that target cannot be on both sides.
        divisible = (table > 0).sum(axis=0) >= 2
        lacking = (sums <= 1e-12) | (sums >= 1 - 1e-12)
        cost = cost + MISSING * (lacking & divisible).sum(axis=1)
    # Rounded, so that sums in another order do not decide between equals.
    return np.asarray(cost.round(12))


# Folds ------------------------------------------------------------------------------------------------------------


def _folds(table: Table, count: int, others: int) -> list[list[int]]:
    """Rows of `table` by the fold that they validate; empty folds where there are fewer rows than folds.

    Besides these rows there are `others` that always train.
    """
    grounds = len(table)
    if grounds + others < 2:
        return [[] for _ in range(count)]
    used = min(count, grounds)
    # Largest first, so that small ones can still even things out; ties keep the seed's order.
    order = np.argsort(-table.max(axis=1).round(12), kind="stable")
    sums = np.zeros((used, table.shape[1]))
    where = np.zeros(grounds, dtype=np.int64)
    for row in order:
        # Each fold's sums with the row in it, in turn.
        costs = [_folds_cost(table, sums + np.eye(used)[fold][:, None] * table[row]) for fold in range(used)]
        where[row] = int(np.argmin(costs))
        sums[where[row]] += table[row]
    if grounds <= LOCAL:
        _exchange(table, where, used)
    return [[int(row) for row in np.flatnonzero(where == fold)] for fold in range(count)]


def _folds_cost(table: Table, sums: Table) -> float:
    """Cost of a division, from the shares that each fold validates, (folds, columns)."""
    count = len(sums)
    holding = np.minimum((table > 0).sum(axis=0), count)
    short = np.maximum(holding - (sums > 1e-12).sum(axis=0), 0)
    return float(round(((sums - 1 / count) ** 2).sum() + MISSING * short.sum(), 12))


def _exchange(table: Table, where: NDArray[np.int64], count: int) -> None:
    """Improve a division in place: move a row, or exchange two, while that lowers the cost."""
    sums = np.stack([table[where == fold].sum(axis=0) for fold in range(count)])
    cost = _folds_cost(table, sums)
    improved = True
    while improved:
        improved = False
        for row in range(len(table)):
            for fold, other in _alternatives(row, where, count):
                trial = sums.copy()
                shift = table[row] - (table[other] if other is not None else 0.0)
                trial[where[row]] -= shift
                trial[fold] += shift
                trial_cost = _folds_cost(table, trial)
                if trial_cost < cost:
                    if other is not None:
                        where[other] = where[row]
                    where[row] = fold
                    sums, cost, improved = trial, trial_cost, True
                    break


def _alternatives(row: int, where: NDArray[np.int64], count: int) -> list[tuple[int, int | None]]:
    """Folds that a row could go to, alone or in exchange for another row."""
    moves: list[tuple[int, int | None]] = [(fold, None) for fold in range(count) if fold != where[row]]
    later = np.flatnonzero(where != where[row])
    return moves + [(int(where[other]), int(other)) for other in later if other > row]


# What is said about it --------------------------------------------------------------------------------------------


def _shares(areas: Areas, folds: Folds) -> dict[str, dict[str, float | None]]:
    def share(target: str, scenes: Sequence[str]) -> float | None:
        total = sum(by_target.get(target, 0.0) for by_target in areas.values())
        return round(sum(areas[s].get(target, 0.0) for s in scenes) / total, 4) if total > 0 else None

    return {
        name: {target: share(target, part["validation"]) for target in _targets(areas)} for name, part in folds.items()
    }


def _having(areas: Areas, folds: Folds) -> dict[str, dict[str, list[int]]]:
    held = {target: {s for s in areas if areas[s].get(target, 0.0) > 0} for target in _targets(areas)}
    return {
        name: {target: [len(own & {*part[side]}) for side in ("train", "validation")] for target, own in held.items()}
        for name, part in folds.items()
    }


def _note(members: Members, areas: Areas, folds: Folds, kept: Kept) -> str | None:
    """What a user should know about a division, if anything."""
    grounds = len(members)
    if grounds == 0:
        return "no scene was labelled for this group: there is nothing to learn from"
    if grounds == 1:
        return "one ground alone is labelled: every scene trains, nothing is validated, thresholds are not tuned"
    holders = _holders(members, areas)
    single = {target: held[0] for target, held in holders.items() if len(held) == 1}
    validated = {scene for part in folds.values() for scene in part["validation"]}
    said = [
        f"target {target} lies on one ground only ({ground}), which always trains: {target} is not validated"
        for target, ground in single.items()
    ]
    said += [
        f"{name} would validate all of target {target}: the ground with most of it ({ground}) trains instead"
        for name, taken in kept.items()
        for target, ground in taken
        if target not in single
    ]
    said += [
        f"target {target} lies on {len(held)} grounds ({few(held)}), all of which train: {target} is not validated"
        for target, held in holders.items()
        if len(held) > 1 and not any(areas[s].get(target, 0.0) > 0 for s in validated)
    ]
    empty = [name for name, part in folds.items() if not part["validation"]]
    if empty:
        said.append(f"{', '.join(empty)}: nothing is validated ({grounds} grounds are labelled); every scene trains")
    return "; ".join(said) or None
