"""Words and numbers for messages, tables and pages."""

import difflib
import sys
import time
from collections.abc import Callable, Container, Iterable, Sequence
from math import isfinite

NOTHING = "–"
"""Stands in a table where there is no value."""


def nearest(name: str, valid: Iterable[str]) -> str:
    """Words for an error message: the valid name nearest to `name`, in letters of any case, or all valid names.

    Examples
    --------
    >>> nearest("TREE", ["trees", "roads"]), nearest("x", ["trees", "roads"]), nearest("x", [])
    ('did you mean `trees`?', 'valid: trees, roads', 'valid: none')
    """
    names = list(valid)
    lowered = {valid_name.lower(): valid_name for valid_name in names}
    near = difflib.get_close_matches(name.lower(), lowered, n=1, cutoff=0.5)
    return f"did you mean `{lowered[near[0]]}`?" if near else f"valid: {', '.join(names) or 'none'}"


def brief(text: str, limit: int = 60) -> str:
    """A text for a message; the end of a long one is left out."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def few(names: Iterable[object], between: str = ", ", most: int = 2) -> str:
    """The first names, and how many more there are.

    Examples
    --------
    >>> few(["a", "b"]), few("abcde"), few(["a", "b", "c"], "; ", most=1)
    ('a, b', 'a, b and 3 more', 'a and 2 more')
    """
    found = [str(name) for name in names]
    more = f" and {len(found) - most} more" if len(found) > most else ""
    return between.join(found[:most]) + more


def plural(count: int, one: str, many: str | None = None) -> str:
    """The form of a noun that goes with a number.

    Examples
    --------
    >>> plural(1, "scene"), plural(0, "scene"), plural(2, "class", "classes")
    ('scene', 'scenes', 'classes')
    """
    return one if count == 1 else many or one + "s"


def counted(count: int, one: str, many: str | None = None) -> str:
    """A number with its noun.

    Examples
    --------
    >>> counted(1, "scene"), counted(1200, "scene"), counted(2, "class", "classes")
    ('1 scene', '1,200 scenes', '2 classes')
    """
    return f"{count:,} {plural(count, one, many)}"


def number(value: float | None, digits: int | None = None) -> str:
    """A number with `digits` decimals, or in as few characters as tell it; a dash for None and infinite values.

    Examples
    --------
    >>> [number(value) for value in (None, 3, 1733.0, 0.123456, 1234567)]
    ['–', '3', '1733', '0.1235', '1.235e+06']
    >>> number(0.12345, 3), number(float("nan"), 3)
    ('0.123', '–')
    """
    if value is None or not isfinite(value):
        return NOTHING
    if digits is not None:
        return f"{value:.{digits}f}"
    return f"{value:.0f}" if float(value).is_integer() and abs(value) < 1e6 else f"{value:.4g}"


def share(value: float) -> str:
    """A share in percent.

    Examples
    --------
    >>> [share(value) for value in (0, 0.00004, 0.0123, 0.5, 1, 0.9999)]
    ['0 %', '0.004 %', '1.2 %', '50 %', '100 %', '> 99.9 %']
    """
    percent = 100 * value
    if 99.9 < percent < 100:
        return "> 99.9 %"
    digits = 0 if percent == 0 or percent >= 10 else 1 if percent >= 1 else 2 if percent >= 0.01 else 3
    return f"{percent:.{digits}f} %"


def duration(seconds: float | None) -> str:
    """A time in the two largest units that matter; a dash where it is not known.

    Examples
    --------
    >>> duration(3.21), duration(75), duration(7260), duration(200000), duration(None)
    ('3.2 s', '1 min 15 s', '2 h 01 min', '2 d 07 h', '–')
    """
    if seconds is None or not isfinite(seconds):
        return NOTHING
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours < 48 else f"{hours // 24} d {hours % 24:02d} h"


def span(values: Iterable[float], show: Callable[[float], str] = number, between: str = "..") -> str:
    """The least and the greatest, or the one that all are.

    Examples
    --------
    >>> span([438, 439]), span([438, 438])
    ('438..439', '438')
    """
    found = sorted(values)
    low, high = show(found[0]), show(found[-1])
    return low if low == high else f"{low}{between}{high}"


def gigabytes(size: float) -> str:
    """Bytes on a disk, in GB or MB.

    Examples
    --------
    >>> gigabytes(12_300_000), gigabytes(2.5e9), gigabytes(1.2345e12)
    ('12.3 MB', '2.5 GB', '1,234 GB')
    """
    value = size / 1e9
    return f"{value:,.0f} GB" if value >= 100 else f"{value:.1f} GB" if value >= 0.95 else f"{size / 1e6:,.1f} MB"


def table(rows: Sequence[Sequence[str]], right: Container[int] = (), indent: int = 2) -> list[str]:
    """Rows as lines with aligned columns.

    Parameters
    ----------
    rows : sequence of sequences of str
        All of one length.
    right : container of int
        Columns that are aligned to the right; ``range(1, 99)`` for all but the first.
    indent : int
        Blanks before each line.

    Examples
    --------
    >>> table([["a", "1"], ["bc", "20"]], right=[1], indent=0)
    ['a    1', 'bc  20']
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    pads = [str.rjust if column in right else str.ljust for column in range(len(widths))]
    lines = ("  ".join(pad(cell, width) for pad, cell, width in zip(pads, row, widths, strict=True)) for row in rows)
    return [(" " * indent + line).rstrip() for line in lines]


def to_stderr(line: str) -> None:
    """Say a line on the standard error stream, at once."""
    print(line, file=sys.stderr, flush=True)


def now_and_then(seconds: float = 2.0, tell: Callable[[str], None] = to_stderr) -> Callable[[str], None]:
    """What tells a line of progress if the one before, or this call, is more than `seconds` ago."""
    last = time.monotonic()

    def say(line: str) -> None:
        nonlocal last
        if time.monotonic() - last > seconds:
            last = time.monotonic()
            tell(line)

    return say
