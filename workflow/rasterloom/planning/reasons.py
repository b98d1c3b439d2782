"""Why an artifact is stale: what differs from the earlier one, and which key of the configuration decides it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rasterloom.config.recipe import Recipe
from rasterloom.stages import module_of

PENDING = "pending:"
"""Beginning of the digest of an artifact that a run has yet to compute."""

NOTHING = "nothing"
"""Stands for a value that one side lacks."""

_SHOWN = 60
"""Characters of a table or list that are shown; of a longer one only the number of entries is."""


@dataclass(frozen=True)
class Change:
    """One difference between what an artifact was made of and what it would be made of.

    Attributes
    ----------
    path : str
        Key of the configuration (``classes.trees.training.steps``), or ``inputs. ...`` for an input of the artifact.
    old, new : str
        The values, as text.
    """

    path: str
    old: str
    new: str

    def __str__(self) -> str:
        return f"{self.path}: {self.old} -> {self.new}"


def differences(old: Any, new: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any, Any]]:
    """Path, old and new value of every leaf that differs between two nested tables; None for a missing value.

    Of lists of names that differ in their order alone, the path ends in ``order`` and the values are the lists.

    Examples
    --------
    >>> list(differences({"a": {"b": 1}, "c": [1, 2]}, {"a": {"b": 2}, "c": [1, 2]}))
    [(('a', 'b'), 1, 2)]
    >>> list(differences({"c": ["x", "y"]}, {"c": ["y", "x"]}))
    [(('c', 'order'), ['x', 'y'], ['y', 'x'])]
    """
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted({*old, *new}, key=str):
            yield from differences(old.get(key), new.get(key), (*path, str(key)))
    elif old != new and _are_names(old) and _are_names(new) and sorted(old) == sorted(new):
        yield (*path, "order"), old, new
    elif _is_list(old) and _is_list(new) and len(old) == len(new):
        for index, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from differences(one, other, (*path, str(index)))
    elif old != new:
        yield path, old, new


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _are_names(value: Any) -> bool:
    return _is_list(value) and all(isinstance(entry, str) for entry in value)


def shown(value: Any) -> str:
    """A value as text: a digest by its first digits, a pending one by its artifact, a long list by its length."""
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


SETTINGS = "*"
"""Begins, in a stage's ``KEYS``, what may stand in a member, a class or the defaults: the innermost one decides."""

OF_QUALITY = ("window", "stride", "symmetries")
"""Settings of a prediction that follow from its `quality` unless they are written down."""


class KeyPaths:
    """From the path of a setting in an artifact's recipe to the key of the configuration that decides it.

    Parameters
    ----------
    recipe : Recipe
    merged : mapping
        The configuration as YAML gave it, overlays merged.
    before : mapping
        The configuration of the latest run; empty if there was none.
    """

    def __init__(self, recipe: Recipe, merged: Mapping[str, Any], before: Mapping[str, Any]) -> None:
        self._recipe = recipe
        self._tables = [merged, before]

    def of(self, spec: Mapping[str, Any], path: Sequence[str]) -> str:
        """The key for a path such as ``("training", "steps")`` in the recipe of a job's artifact."""
        known: Mapping[str, str] = getattr(module_of(spec["stage"]), "KEYS", {})
        length = next((length for length in (2, 1) if ".".join(path[:length]) in known), 1)
        found = known.get(".".join(path[:length]), path[0])
        names = {"class": spec.get("class"), "scale": spec.get("scale", {}).get("name")}
        layers: list[list[str | int]] = [["classes", str(names["class"])]]
        if "member" in spec:
            members: list[list[str | int]] = [
                ["classes", name, "members", index]
                for name, entry in self._recipe.classes.items()
                for index, other in enumerate(entry.members)
                if spec["member"] in (other, self._recipe.members[other].teacher)
            ]
            layers = [*members, *(member[:2] for member in members)]
            names |= _at(self._tables[0], members[0])
        key = [*found.format(**names).split("."), *path[length:]]
        return self._deciding([*layers, ["defaults"]], key[1:]) if key[0] == SETTINGS else ".".join(key)

    def _deciding(self, layers: Sequence[Sequence[str | int]], key: Sequence[str]) -> str:
        """The key in the first of some tables in which it is written down, now or before; in the last if in none.

        Where nobody has written down what a quality of prediction stands for, the quality decides.
        """
        places = [[*layer, *key] for layer in layers]
        found = next((place for table in self._tables for place in places if _at(table, place) is not None), None)
        if found is None and key[0] == "prediction" and key[-1] in OF_QUALITY:
            return f"{self._deciding(layers, ['prediction', 'quality'])} ({key[-1]})"
        return ".".join(map(str, found or places[-1]))


def _at(table: Any, place: Sequence[str | int]) -> Any:
    """What nested tables and lists have at a place; None if nothing."""
    for part in place:
        if isinstance(table, list) and isinstance(part, int) and part < len(table):
            table = table[part]
        elif isinstance(table, Mapping):
            table = table.get(part)
        else:
            return None
    return table
