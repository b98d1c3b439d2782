"""Registrations of an acquisition: a scene without an estimate of its own is put where the others say."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rasterloom.raster.grid import compose, invert
from rasterloom.registration.motions import centred, rounded
from rasterloom.registration.table import GROUP, UNPLACED

FEWEST = 3
"""Other scenes with an estimate that are needed, to say where a scene lies and how well they say it."""

ESTIMATED = frozenset({"ecc", "phase", "regression", "outlines"})
"""Methods that find a shift in the images."""

_IN_USE = re.compile(r"[:;,] the [^:;]* is used$")
"""What a fall-back ends in that says what is used instead of an estimate."""

Registration = Mapping[str, Any]

Tile = tuple[str, str]
"""Row and column of a scene among those that were cut from one image; empty if they are not known."""

Tiled = tuple[Registration, Tile]


def settled(own: Tiled, others: Sequence[Tiled], acquisition: str) -> Registration:
    """Settle the registration of one scene.

    Parameters
    ----------
    own : (registration, tile)
        The registration as the stage `register` writes it.
    others : sequence of (registration, tile)
        Of the other scenes of its acquisition.
    acquisition : str
        Its name, for what is said.

    Returns
    -------
    registration
        The same object where nothing changes. Where every estimate of a sensor was refused: a copy with ``matrix``,
        ``shift``, ``error`` and ``method: group`` by the other scenes, or with a ``fallback`` that says why these do
        not help. ``accepted`` and ``confidence`` stay those of the scene's own estimate.
    """
    registration = own[0]
    lacking = unplaced(registration) if others else []
    changed = {name: _by_group(name, own, others, f"of {acquisition}") for name in lacking}
    return {**registration, "sensors": {**registration["sensors"], **changed}} if changed else registration


def unplaced(registration: Registration) -> list[str]:
    """Sensors whose shift was to be estimated, and of which no estimate was accepted."""
    reference = registration["reference"]["sensor"]
    others = {name: own for name, own in registration["sensors"].items() if name != reference}
    return [name for name, own in others.items() if not own["accepted"] and own["method"] in UNPLACED]


def place_of(scene: Tiled) -> Tile:
    """The row and column of a scene: as they were given, or by the origin of its georeference, in pixels."""
    (registration, tile), transform = scene, scene[0]["reference"]["transform"]
    if any(tile) or transform is None or registration["reference"]["crs"] is None:
        return tile
    (width, across, x), (down, height, y) = transform
    return tile if across or down else (str(round(y / height)), str(round(x / width)))


def estimates(sensor: str, own: Tiled, others: Sequence[Tiled]) -> list[list[Any]]:
    """Estimates of a sensor that were accepted in other scenes: shift (dx, dy), linear part (a, b, c, d), row, column.

    Shifts are in reference pixels of this scene; sorted. Only scenes count whose files place the sensor in the same way
    (by a georeference, or by the images' sizes): a motion is what is added to that. Where the size of the reference's
    pixels on the ground is known it is heeded.
    """
    origin, ground = own[0]["sensors"][sensor]["origin"], own[0]["reference"]["gsd"]
    found = []
    for scene in others:
        entry, other_ground = scene[0]["sensors"].get(sensor), scene[0]["reference"]["gsd"]
        if entry is None or not entry["accepted"] or entry["method"] not in ESTIMATED or entry["origin"] != origin:
            continue
        if (ground is None) != (other_ground is None):
            continue
        factor = 1.0 if ground is None else other_ground / ground
        (a, b, _), (c, d, _) = rounded(compose(invert(entry["nominal"]), entry["matrix"]), "affine")
        found.append([*(round(float(value) * factor, 4) for value in entry["shift"]), a, b, c, d, *place_of(scene)])
    return sorted(found)


@dataclass(frozen=True)
class Expected:
    """Where a scene is expected along an axis, by the others.

    Attributes
    ----------
    shift : float
        Reference pixels.
    error : float
        Root mean square of what others miss by when each is left out and expected in the same way.
    scenes : int
        Those in the same row or column that it is the median of; 0: of all.
    """

    shift: float
    error: float
    scenes: int = 0


def expected(shifts: Sequence[float], lines: Sequence[str], line: str) -> Expected:
    """The shift along an axis by the median of all, or of those in the same row or column, whichever misses less.

    Tiles of one image share what a sensor is off, but for where each was cut: at whole pixels of the sensor, so that
    those of a column share x and those of a row y, and their neighbours do not.

    Parameters
    ----------
    shifts : sequence of float
        Of other scenes, two at least.
    lines : sequence of str
        The column (of shifts along x) or row (along y) of each; empty if it is not known.
    line : str
        That of the scene.

    Examples
    --------
    >>> expected([0.0, 0.5, 20.0, 20.5, 21.0], ["1", "1", "2", "2", "2"], "2")
    Expected(shift=20.5, error=0.5701, scenes=3)
    """
    values, numbers = np.array(shifts), np.arange(len(shifts))

    def missed(alike: Callable[[Any], NDArray[np.bool_]]) -> list[float]:
        rest = ((i, values[alike(i) & (numbers != i)]) for i in numbers)
        return [float(values[i] - np.median(some)) for i, some in rest if len(some)]

    def error(found: list[float]) -> float:
        return round(float(np.sqrt(np.mean(np.square(found)))), 4)

    of_all = Expected(round(float(np.median(values)), 4), error(missed(lambda _: numbers >= 0)))
    same, named = np.array(lines) == line, np.array(lines)
    by_line = missed(lambda i: (named == named[i]) & (named != ""))
    if not line or not same.any() or len(by_line) < FEWEST or error(by_line) >= of_all.error:
        return of_all
    return Expected(round(float(np.median(values[same])), 4), error(by_line), int(same.sum()))


def _by_group(name: str, own: Tiled, others: Sequence[Tiled], group: str) -> dict[str, Any]:
    """The entry of a sensor without an estimate: as the others of the group say, or with the reason why not."""
    entry, known = dict(own[0]["sensors"][name]), estimates(name, own, others)
    if len(known) < FEWEST:
        having = f"{len(known)} of the {len(others)} other scenes {group} {'has' if len(known) == 1 else 'have'}"
        return _also(entry, f"{having} an estimate, {FEWEST} are needed")
    size, (row, column) = (own[0]["reference"]["width"], own[0]["reference"]["height"]), place_of(own)
    dx, dy, *linear, rows, columns = zip(*known, strict=True)
    x, y = expected(dx, columns, column), expected(dy, rows, row)
    if x.error > entry["pixel"][0] or y.error > entry["pixel"][1]:
        missing = f"each left out, by {x.error:.1f}, {y.error:.1f} reference pixels; a pixel of the sensor is allowed"
        return _also(entry, f"{len(known)} other scenes {group} miss one another's shifts, {missing}")
    axes = ("x", x, "column"), ("y", y, "row")
    lines = [f"{axis} by {found.scenes} in its {line}" for axis, found, line in axes if found.scenes]
    reason = _IN_USE.sub("", entry["fallback"] or "no estimate was accepted")
    motion = centred(np.median(linear, axis=1).reshape(2, 2), (x.shift, y.shift), size)
    return {
        **entry,
        "matrix": compose(entry["nominal"], motion),
        "shift": [x.shift, y.shift],
        "error": [x.error, y.error],
        "method": GROUP,
        "against": ", ".join([f"{len(known)} scenes {group}", *lines]),
        "fallback": f"{reason}: the median of {len(known)} scenes {group} is used",
    }


def _also(entry: Mapping[str, Any], why: str) -> dict[str, Any]:
    """An entry that stays as it is, with one more reason."""
    return {**entry, "fallback": f"{entry['fallback'] or 'no estimate was accepted'}; {why}"}
