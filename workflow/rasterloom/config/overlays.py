"""Merging configurations: later ones win, and a key set to null removes it."""

from collections.abc import Mapping
from typing import Any


def merge(base: Mapping[str, Any], overlay: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `overlay` laid over it as Snakemake does: tables merge key by key, anything else replaces.

    An empty table over something that is there changes nothing, also where an earlier overlay set it to null.
    """
    merged = dict(base)
    for key, value in overlay.items():
        known = merged.get(key)
        if not isinstance(value, Mapping):
            merged[key] = value
        elif value or key not in merged:
            merged[key] = merge(known if isinstance(known, Mapping) else {}, value)
    return merged
