"""Changed configurations, and what the user is told about them."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import pytest

from rasterloom.config import load_config, resolve
from rasterloom.errors import ConfigError

Table = dict[str, Any]
Change = tuple[Sequence[Any], Any]


def changed(table: Table, *changes: Change) -> Table:
    """A copy of the table with values set at key paths; tables on the way are made."""
    table = copy.deepcopy(table)
    for path, value in changes:
        place: Any = table
        for key in path[:-1]:
            place = place.setdefault(key, {}) if isinstance(place, dict) else place[key]
        place[path[-1]] = value
    return table


def mistake(table: Table, *changes: Change) -> str:
    """What the user is told about a changed configuration."""
    with pytest.raises(ConfigError) as caught:
        resolve(load_config(changed(table, *changes)))
    return str(caught.value)


def without_nulls(value: Any) -> Any:
    """A copy of nested tables without the keys that are null: what merged overlays amount to."""
    if isinstance(value, dict):
        return {str(key): without_nulls(entry) for key, entry in value.items() if entry is not None}
    return [without_nulls(entry) for entry in value] if isinstance(value, list) else value
