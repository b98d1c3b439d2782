"""Why an artifact is stale: what differs from the one before, and which key of the configuration says so."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rasterloom.config.model import STORED_AS
from rasterloom.config.recipe import Recipe

_SETTINGS = {stored: name for name, stored in STORED_AS.items()}
"""Settings of a model by the names that the records of artifacts have for them."""

PENDING = "pending:"
"""What the digest of an artifact begins with that a run would compute first."""

NOTHING = "nothing"
"""How a value is shown that one side does not have."""

_SHOWN = 60
"""Characters of a table or list that are shown; of a longer one, how many entries it has."""


@dataclass(frozen=True)
class Change:
    """One difference between what an artifact was made of and what it would be made of.

    Attributes
    ----------
    path : str
        Key of the configuration (``classes.trees.training.steps``), or ``inputs. ...`` for what it is made from.
    old, new : str
        The values, as text.
    """

    path: str
    old: str
    new: str

    def __str__(self) -> str:
        return f"{self.path}: {self.old} -> {self.new}"


def differences(old: Any, new: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any, Any]]:
    """Path, old and new value of every leaf that differs between two nested tables; None for what is not there.

    Examples
    --------
    >>> list(differences({"a": {"b": 1}, "c": [1, 2]}, {"a": {"b": 2}, "c": [1, 2]}))
    [(('a', 'b'), 1, 2)]
    """
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted({*old, *new}, key=str):
            yield from differences(old.get(key), new.get(key), (*path, str(key)))
    elif _is_list(old) and _is_list(new) and len(old) == len(new):
        for index, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from differences(one, other, (*path, str(index)))
    elif old != new:
        yield path, old, new


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def shown(value: Any) -> str:
    """A value as text: digests by their first digits, pending ones by what they wait for, long lists by length."""
    if value is None:
        return NOTHING
    if isinstance(value, str):
        if value.startswith(PENDING):
            return f"what {value.removeprefix(PENDING)} becomes"
        return f"content {value[:8]}" if re.fullmatch(r"[0-9a-f]{64}", value) else value
    if isinstance(value, Mapping):
        text = "{" + ", ".join(f"{key}: {shown(entry)}" for key, entry in value.items()) + "}"
    elif _is_list(value):
        text = "[" + ", ".join(shown(entry) for entry in value) + "]"
    else:
        return str(value)
    return text if len(text) <= _SHOWN else f"{len(value)} entries"


class KeyPaths:
    """From the path of a setting in an artifact's recipe to the key of the configuration that decides it.

    Parameters
    ----------
    recipe : Recipe
    merged : mapping
        The configuration as YAML gave it, overlays merged.
    before : mapping
        That of the latest run; empty if there was none.
    """

    def __init__(self, recipe: Recipe, merged: Mapping[str, Any], before: Mapping[str, Any]) -> None:
        self._recipe = recipe
        self._tables = [merged, before]

    def of(self, spec: Mapping[str, Any], path: Sequence[str]) -> str:
        """The key for a path such as ``("training", "steps")`` in the recipe of a job's artifact."""
        stage, head, rest = spec["stage"], path[0], list(path[1:])
        if stage in {"train", "predict"}:
            return self._of_member(spec["member"], head, rest)
        if stage == "tune":
            return self._of_polygons(spec["class"], [head, *rest])
        if stage == "vectorise":
            return self._of_polygons(spec["class"], rest) if head == "polygons" else f"tuning/{spec['class']}"
        if stage in {"stack", "mask"} and head == "scale":
            return ".".join(["scales", spec["scale"]["name"], *rest])
        known = {
            ("register", "sensors"): "sensors",
            ("register", "reference"): "sensors.*.reference",
            ("register", "layout"): "dataset.layout",
            ("stack", "sensors"): "channels",
            ("split", "validation"): "validation",
            ("split", "seed"): "validation.seed",
            ("split", "targets"): "targets",
            ("split", "names"): "validation",
        }
        return ".".join([known.get((stage, head), head), *rest])

    def _of_member(self, member: str, head: str, rest: list[str]) -> str:
        places = [
            (name, index)
            for name, entry in self._recipe.classes.items()
            for index, other in enumerate(entry.members)
            if other == member
        ]
        model, chosen = self._names_of(*places[0])
        if head == "model":
            return ".".join(["models", model, *(_SETTINGS.get(part, part) for part in rest)])
        if head == "sensors":
            return f"channels.{chosen}"
        if head == "reference":
            return "sensors.*.reference"
        layers: list[list[str | int]] = [["classes", name, "members", index] for name, index in places]
        layers += [["classes", name] for name, _ in places]
        layers.append(["defaults"])
        return self._deciding([[*layer, head, *rest] for layer in layers])

    def _names_of(self, class_name: str, index: int) -> tuple[str, str]:
        """Names of the model and the channels of a member."""
        entry = self._tables[0]["classes"][class_name]["members"][index]
        return str(entry["model"]), str(entry["channels"])

    def _of_polygons(self, class_name: str, path: list[str]) -> str:
        return self._deciding([["classes", class_name, "polygons", *path], ["defaults", "polygons", *path]])

    def _deciding(self, places: Sequence[Sequence[str | int]]) -> str:
        """The first of some places that is written down, now or before; the last if none is."""
        for table in self._tables:
            for place in places:
                if _written(table, place):
                    return ".".join(str(part) for part in place)
        return ".".join(str(part) for part in places[-1])


def _written(table: Any, place: Sequence[str | int]) -> bool:
    for part in place:
        if isinstance(part, int):
            if not isinstance(table, list) or part >= len(table):
                return False
            table = table[part]
        elif isinstance(table, Mapping) and part in table:
            table = table[part]
        else:
            return False
    return table is not None
