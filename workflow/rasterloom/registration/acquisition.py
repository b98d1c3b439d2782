"""Registrations of an acquisition: a scene without an estimate of its own is put where the others say."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import hypot, radians
from statistics import median
from typing import Any

from rasterloom.raster.grid import compose, invert
from rasterloom.registration.motions import moved_by, turn_of
from rasterloom.registration.table import GROUP, UNPLACED

FEWEST = 3
"""Other scenes with an estimate that are needed for a median."""

SPREAD = 1.0
"""Largest median distance of the estimates from their median, along an axis, in pixels of the sensor."""

ESTIMATED = frozenset({"ecc", "phase", "regression"})
"""Methods that find a shift in the images."""

_IN_USE = re.compile(r"[:;,] the [^:;]* is used$")
"""What a fall-back ends in that says what is used instead of an estimate."""

Registration = Mapping[str, Any]


def settled(own: Registration, others: Sequence[Registration], acquisition: str) -> Registration:
    """Settle the registration of one scene.

    Parameters
    ----------
    own : registration
        As the stage `register` writes it.
    others : sequence of registrations
        Of the other scenes of its acquisition.
    acquisition : str
        Its name, for what is said.

    Returns
    -------
    registration
        The same object where nothing changes. Where every estimate of a sensor was refused: a copy with ``matrix``,
        ``shift`` and ``method: group`` by the median of the other scenes, or with a ``fallback`` that says why these
        do not help. ``accepted`` and ``confidence`` stay those of the scene's own estimate.
    """
    lacking = unplaced(own) if others else []
    changed = {name: _by_group(name, own, others, f"of {acquisition}") for name in lacking}
    return {**own, "sensors": {**own["sensors"], **changed}} if changed else own


def unplaced(registration: Registration) -> list[str]:
    """Sensors whose shift was to be estimated, and of which no estimate was accepted."""
    reference = registration["reference"]["sensor"]
    return [
        name
        for name, sensor in registration["sensors"].items()
        if name != reference and not sensor["accepted"] and sensor["method"] in UNPLACED
    ]


def estimates(sensor: str, own: Registration, others: Sequence[Registration]) -> list[list[float]]:
    """Shifts of a sensor that were accepted in other scenes, in reference pixels of this one, and turns; sorted.

    Only scenes count whose files place the sensor in the same way (by a georeference, or by the images' sizes): a shift
    is what is added to that. Where the size of the reference's pixels on the ground is known it is heeded.
    """
    origin, ground = own["sensors"][sensor]["origin"], own["reference"]["gsd"]
    found = []
    for other in others:
        entry, other_ground = other["sensors"].get(sensor), other["reference"]["gsd"]
        if entry is None or not entry["accepted"] or entry["method"] not in ESTIMATED or entry["origin"] != origin:
            continue
        if (ground is None) != (other_ground is None):
            continue
        factor = 1.0 if ground is None else other_ground / ground
        turn = turn_of(compose(invert(entry["nominal"]), entry["matrix"]))
        found.append([*(round(float(value) * factor, 4) for value in entry["shift"]), turn])
    return sorted(found)


@dataclass(frozen=True)
class GroupShift:
    """What the other scenes of an acquisition say of a sensor, in reference pixels.

    Attributes
    ----------
    shift : (dx, dy)
        The median along each axis.
    turn : float
        The median, degrees.
    spread : float
        Median distance from the shift along the axis where that is larger, or by which turns move the corners if that
        is more.
    """

    shift: tuple[float, float]
    turn: float
    spread: float


def group_shift(shifts: Sequence[Sequence[float]], size: tuple[int, int]) -> GroupShift:
    """Median and spread of shifts and turns (dx, dy, degrees), one at least, of scenes of a size (W, H).

    Examples
    --------
    >>> group_shift([[1.0, 0.0, 0.0], [2.0, 0.5, 0.0], [9.0, 0.0, 0.0]], (100, 100))
    GroupShift(shift=(2.0, 0.0), turn=0.0, spread=1.0)
    """
    columns = list(zip(*shifts, strict=True))
    x, y, turn = (median(values) for values in columns)
    away = [median(abs(v - middle) for v in values) for values, middle in zip(columns, (x, y, turn), strict=True)]
    corners = radians(away[2]) * hypot(*size) / 2
    return GroupShift((round(x, 4), round(y, 4)), round(turn, 6), round(max(away[0], away[1], corners), 4))


def _by_group(name: str, own: Registration, others: Sequence[Registration], group: str) -> dict[str, Any]:
    """The entry of a sensor without an estimate: by the median of the group, or with the reason why not."""
    entry, shifts = dict(own["sensors"][name]), estimates(name, own, others)
    if len(shifts) < FEWEST:
        having = f"{len(shifts)} of the {len(others)} other scenes {group} {'has' if len(shifts) == 1 else 'have'}"
        return {**entry, "fallback": _also(entry, f"{having} an estimate, {FEWEST} are needed for a median")}
    size = own["reference"]["width"], own["reference"]["height"]
    found = group_shift(shifts, size)
    if found.spread > (allowed := SPREAD * max(entry["pixel"])):
        detail = f"by {found.spread:.1f} reference pixels, {allowed:.1f} are allowed"
        return {**entry, "fallback": _also(entry, f"the shifts of {len(shifts)} other scenes {group} differ {detail}")}
    reason = _IN_USE.sub("", entry["fallback"] or "no estimate was accepted")
    return {
        **entry,
        "matrix": compose(entry["nominal"], moved_by(found.shift, found.turn, size)),
        "shift": list(found.shift),
        "method": GROUP,
        "against": f"{len(shifts)} scenes {group}",
        "fallback": f"{reason}: the median of {len(shifts)} scenes {group} is used",
    }


def _also(entry: Mapping[str, Any], why: str) -> str:
    return f"{entry['fallback'] or 'no estimate was accepted'}; {why}"
