"""What an inspection finds odd, and the lines that say so."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

SHOWN = 4
"""Places that are named of an oddity unless all are asked for."""

LONG = 60
"""Characters beyond which a place has a line of its own."""


@dataclass(frozen=True)
class Oddity:
    """Something that a user should know before a run.

    Attributes
    ----------
    what : str
        The same words for all oddities of one kind.
    where : str
        Scene, sensor or file; '' where `what` says it.
    stops : bool
        Whether it cannot be used in a run as it is.
    """

    what: str
    where: str = ""
    stops: bool = False


def grouped(found: Iterable[Oddity], all_: bool = False) -> list[str]:
    """A line an oddity's kind, with the places: ``!`` before those that stop a run, which come first.

    Examples
    --------
    >>> grouped([Oddity("all black", f"chip {n}") for n in range(6)])
    ['  all black (6): chip 0, chip 1, chip 2, chip 3, ...']
    """
    kinds: dict[tuple[bool, str], list[str]] = {}
    for oddity in found:
        places = kinds.setdefault((oddity.stops, oddity.what), [])
        if oddity.where and oddity.where not in places:
            places.append(oddity.where)
    lines = []
    for (stops, what), places in sorted(kinds.items(), key=lambda entry: not entry[0][0]):
        shown = places if all_ else places[:SHOWN]
        mark, tail = "!" if stops else " ", ["..."] if len(shown) < len(places) else []
        if len(places) > 1 and max(map(len, shown)) > LONG:
            lines += [f"{mark} {what} ({len(places)}):", *(f"    {text}" for text in [*shown, *tail])]
            continue
        many = f" ({len(places)})" if len(places) > 1 else ""
        lines.append(f"{mark} {what}{many}{': ' if places else ''}{', '.join([*shown, *tail])}")
    return lines
