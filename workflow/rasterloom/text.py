"""Words for messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: str, valid: Iterable[str]) -> str:
    """``; did you mean `x`?`` where a valid name is near, else the list of valid names."""
    names = list(valid)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"; did you mean `{close[0]}`?" if close else f"; valid: {', '.join(names) or 'none'}"


def hint(name: str, valid: Iterable[str]) -> str:
    """Words for an error message: the valid name nearest to `name`, or all valid names."""
    names = sorted(valid)
    lowered = {valid_name.lower(): valid_name for valid_name in names}
    near = difflib.get_close_matches(name.lower(), list(lowered), n=1, cutoff=0.5)
    return f"did you mean {lowered[near[0]]!r}?" if near else f"valid are {', '.join(names) or 'none'}"


def brief(text: str, limit: int = 60) -> str:
    """A text for a message, its end left out if it is long."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
