"""Mistakes in the words of somebody who writes YAML: where, what was given, what is needed, the nearest name."""

import difflib
import re
import typing
from collections.abc import Iterable, Mapping, Sequence
from types import UnionType
from typing import Annotated, Any

from pydantic import BaseModel, ValidationError

from rasterloom.config.model import MODELS, Config
from rasterloom.errors import ConfigError
from rasterloom.text import nearest

MOST_LINES = 20
"""Mistakes that one message lists; of more it gives only the number."""

_OTHER_KIND = frozenset({"literal_error", "list_type", "model_type", "float_type", "int_type", "string_type"})
"""Pydantic's errors that say that a value is of another kind altogether."""

_NEEDED: Mapping[str, str] = {
    "int_type": "an integer",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "text",
    "list_type": "a list",
    **dict.fromkeys(("dict_type", "model_type", "model_attributes_type"), "a table of keys"),
    "union_tag_invalid": " or ".join(map(repr, MODELS)),
    "literal_error": "{expected}",
    "greater_than": "a number above {gt}",
    "greater_than_equal": "a number of at least {ge}",
    "less_than": "a number below {lt}",
    "less_than_equal": "a number of at most {le}",
    "too_short": "at least {min_length} of them",
    "too_long": "at most {max_length} of them",
    "string_unicode": "text",
    "string_too_long": "a name of at most {max_length} characters",
}
"""What pydantic's errors ask for."""


_RENAMED: Mapping[str, str] = {
    "inputs": "channels",
    "input": "channels",
    "maps": "width",
    "levels": "depth",
    "convolutions": "convs_per_block",
    "depth": "max_depth",
    "final": "predict_with",
}
"""Keys that had another name once: the old name, and the new one."""

_CLOSINGS = (
    "remove it: equal `dilate` and `erode` were a closing, which is `close` now, in reference pixels, and tuned unless "
    "given"
)
_GONE: Mapping[str, str] = {"dilate": _CLOSINGS, "erode": _CLOSINGS, "adapt": "remove it: it found less, not more"}
"""Keys that are no more, and what to do."""


def refuse(lines: Iterable[str]) -> None:
    """Stop with one message of all mistakes, if there are any.

    Raises
    ------
    ConfigError
        One line for each mistake.
    """
    found = list(lines)
    if found:
        raise ConfigError(joined(found))


def joined(lines: Iterable[str]) -> str:
    """One message of one or many mistakes, one line for each."""
    found = list(dict.fromkeys(lines))
    if len(found) == 1:
        return f"the configuration has a mistake: {found[0]}"
    more = [f"and {len(found) - MOST_LINES} more"] if len(found) > MOST_LINES else []
    return "\n  ".join([f"the configuration has {len(found)} mistakes:", *found[:MOST_LINES], *more])


def explained(error: ValidationError) -> list[str]:
    """The lines that a user reads instead of pydantic's message."""
    errors = _meant([_Mistake(dict(entry)) for entry in error.errors(include_url=False)])
    unknown = [found for found in errors if found.type == "extra_forbidden"]
    misspelt = {(*found.keys[:-1], found.near) for found in unknown}
    return [found.line() for found in errors if found.type != "missing" or found.keys not in misspelt]


def place(keys: Iterable[Any]) -> str:
    """The path of a key as it is written: ``classes.trees.members[0].model``."""
    path = ""
    for key in keys:
        if isinstance(key, int):
            path += f"[{key}]"
        else:
            path += f".{key}" if re.fullmatch(r"[\w+-]+", key) else f".{key!r}"
    return path.removeprefix(".")


def shown(value: Any) -> str:
    """A value that was given, in at most one line."""
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, list | tuple | set):
        return "a list"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int) and value.bit_length() > 128:
        return f"an integer of {value.bit_length()} bits"
    text = repr(value) if isinstance(value, str | int | float) else ascii(str(value))
    return text if len(text) <= 60 else f"{text[:57]}..."


class _Mistake:
    """One of pydantic's errors, with the keys that lead to it."""

    def __init__(self, error: dict[str, Any]) -> None:
        self.type: str = error["type"]
        self.input = error["input"]
        self.message: str = error["msg"].removeprefix("Value error, ")
        self.keys, self.cut, self.branch, self.valid = _followed(error["loc"])
        if self.type.startswith("union_tag"):  # told of the whole table, but meant is its key `kind`
            self._of_kind(error["input"])
        given = error.get("ctx", {})
        limits = {key: f"{v:.0f}" if isinstance(v, float) and v % 1 == 0 else v for key, v in given.items()}
        self.needed = _NEEDED[self.type].format(**limits) if self.type in _NEEDED else ""

    def _of_kind(self, table: Mapping[str, Any]) -> None:
        """Make it a mistake of the key that says which kind of model a table is: missing, misspelt, or invalid."""
        unknown = [str(key) for key in table if not any(key in own.model_fields for own in MODELS.values())]
        misspelt = difflib.get_close_matches("kind", unknown, n=1, cutoff=0.5)
        self.type = "union_tag_invalid" if "kind" in table else "extra_forbidden" if misspelt else "missing"
        self.keys, self.input, self.valid = (*self.keys, *(misspelt or ["kind"])), table.get("kind"), ["kind"]

    @property
    def other_kind(self) -> bool:
        """Whether it says of a whole value, not of something in it, that it is of another kind."""
        return self.type in _OTHER_KIND and len(self.keys) == self.cut

    @property
    def near(self) -> str | None:
        """The valid key that an unknown one is called now, or the nearest one, if one is near."""
        key = str(self.keys[-1])
        close = difflib.get_close_matches(key, self.valid, n=1, cutoff=0.5)
        return next((name for name in (_RENAMED.get(key), *close) if name in self.valid), None)

    def line(self) -> str:
        """The mistake in one line."""
        where = f"`{place(self.keys)}`"
        if self.type == "extra_forbidden":
            return self._unknown()
        if self.type == "missing":
            return f"{where} is missing: add it (an overlay that sets it to null takes it away)"
        if self.type == "string_pattern_mismatch":
            return f"{where}: {shown(self.input)} is not a name: use letters, digits and _, beginning with a letter"
        if not self.needed:
            return f"{where}: {self.message}"
        if self.type in {"too_short", "too_long"}:
            return f"{where}: {self.needed} must be given, not {len(self.input)}"
        given = shown(self.input)
        return f"{where}: {self.needed} is needed, but {given} was given{self._hint()}"

    def _unknown(self) -> str:
        """The mistake of an unknown key, and what may stand in its place."""
        key, where = str(self.keys[-1]), f"unknown key `{place(self.keys)}`; "
        if self.near is not None and self.near == _RENAMED.get(key):
            return f"{where}it is called `{self.near}` now"
        if key in _GONE:
            return f"{where}{_GONE[key]}"
        first, *others = key.split(".")
        if others and first in self.valid:
            return f"{where}keys are nested: `{first}: {{{': {'.join(others)}: ...{'}' * len(others)}`"
        own = [kind for kind, table in MODELS.items() if key in table.model_fields]
        kinds = " and ".join([", ".join(own[:-1]), *own[-1:]] if len(own) > 1 else own)
        if kinds and self.branch in MODELS:
            table = place(self.keys[:-1])
            return f"`{table}`: `{key}` belongs to kind {kinds}, not {self.branch}: remove it (in an overlay: null)"
        return where + nearest(key, self.valid)

    def _hint(self) -> str:
        """What YAML makes of some words, where that explains the mistake."""
        value = self.input
        if self.type in {"int_type", "float_type", "bool_type"} and isinstance(value, str):
            if re.fullmatch(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+", value.strip()):
                return "; YAML takes it for text: write a point and a sign, as in 1.0e-3"
            if re.fullmatch(r"[-+]?[0-9]*\.?[0-9]+|true|false", value.strip()):
                return "; in quotes, or in a table given with --config, it is text: write it bare, in a file"
        if self.type == "string_type" and isinstance(value, int | float) and not isinstance(value, bool):
            return "; put it in quotes: YAML takes 6120_2 for the number 61202"
        if self.type == "string_type" and not isinstance(value, list | tuple | Mapping):
            return "; put it in quotes: YAML takes on, off, yes, no, null and dates for something else than text"
        return ""


def _meant(errors: Iterable[_Mistake]) -> list[_Mistake]:
    """The errors, but for a value that may be of several kinds only those of the kind that it comes nearest to."""
    values: dict[tuple[Any, ...], dict[Any, list[_Mistake]]] = {}
    for error in errors:
        values.setdefault(error.keys[: error.cut], {}).setdefault(error.branch, []).append(error)
    meant: list[_Mistake] = []
    for kinds in values.values():
        closest = min(kinds.values(), key=lambda found: (found[0].other_kind, len(found)))
        if len(kinds) > 1 and closest[0].other_kind:  # none comes near: say all that would do
            first = [found[0] for found in kinds.values()]
            closest = [next((error for error in first if error.type != "literal_error"), first[0])]
            closest[0].needed = " or ".join(dict.fromkeys(error.needed for error in first))
        meant += closest
    return meant


def _followed(loc: Sequence[Any]) -> tuple[tuple[Any, ...], int, Any, list[str]]:
    """Follow one of pydantic's locations through the model, which tells keys from names of a union's branches.

    Returns
    -------
    keys, how many of them lead to the first value of several kinds (all, if there is none), the branch that is
    followed there, the keys that are valid where the last one stands.
    """
    keys: list[Any] = []
    cut, branch = None, None
    valid: list[str] = []
    kind: Any = Config
    for part in loc:
        kinds = _kinds(kind)
        if len(kinds) > 1:
            kind = _branch(kinds, str(part))
            if cut is None:
                cut, branch = len(keys), part
            continue
        if part == "[key]" and keys:
            break
        valid = fields(kind)
        keys.append(part)
        kind = inner(kind, part)
    return tuple(keys), len(keys) if cut is None else cut, branch, valid


def fields(annotation: Any) -> list[str]:
    """The keys that a table of this annotation may have; none where names are of the user's choice."""
    return [key for kind in _kinds(annotation) if _is_table(kind) for key in kind.model_fields]


def inner(annotation: Any, key: Any) -> Any:
    """The annotation of what lies below a key, or an item, of a value; None where that is not known."""
    for kind in _kinds(annotation):
        arguments = typing.get_args(kind)
        if _is_table(kind) and key in kind.model_fields:
            return kind.model_fields[key].annotation
        if typing.get_origin(kind) in (dict, list) and arguments:
            return arguments[-1]
    return None


def _kinds(annotation: Any) -> list[Any]:
    """The kinds of value that an annotation allows, null left out."""
    while typing.get_origin(annotation) is Annotated:
        annotation = typing.get_args(annotation)[0]
    if isinstance(annotation, UnionType) or typing.get_origin(annotation) is typing.Union:
        return [kind for part in typing.get_args(annotation) for kind in _kinds(part)]
    return [] if annotation in (None, type(None)) else [annotation]


def _branch(kinds: Sequence[Any], label: str) -> Any:
    """The kind that pydantic means by its label of a branch: a table's name, the `kind` of a model, or a list."""
    name = "list" if "list[" in label else MODELS[label].__name__ if label in MODELS else label
    return next((kind for kind in kinds if getattr(typing.get_origin(kind) or kind, "__name__", "") == name), None)


def _is_table(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
