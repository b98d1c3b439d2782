"""Loading: files merged in order, nulls taken out, checked against the model and for what it refers to."""

from __future__ import annotations

import difflib
import re
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from rasterloom.config.model import Config
from rasterloom.errors import ConfigError, InputError, MissingInputError

_OTHER_KIND = frozenset({"literal_error", "list_type", "model_type", "float_type", "int_type", "string_type"})
"""Pydantic's errors that say that a value is of another kind altogether."""

_PLAIN = (
    (r"a valid dictionary( or instance of \w+)?", "a table of keys"),
    (r"(Dictionary|List) should have at least 1 item after validation, not 0", "at least 1 is needed"),
    (r"a valid (?=list|string)", "a "),
    (r"a valid integer", "an integer"),
)
"""What pydantic says, in the words of somebody who writes YAML."""


def without_nulls(value: Any) -> Any:
    """A copy of nested tables without the keys that are null: an overlay removes a key by setting it to null."""
    if isinstance(value, Mapping):
        return {str(key): without_nulls(entry) for key, entry in value.items() if entry is not None}
    if isinstance(value, list | tuple):
        return [without_nulls(entry) for entry in value]
    return value


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


def read_config_files(paths: Sequence[Path]) -> dict[str, Any]:
    """Read YAML files and lay each over the ones before it.

    Raises
    ------
    MissingInputError, ConfigError
        If a file is not there, or is not YAML or not a table.
    """
    import yaml

    merged: dict[str, Any] = {}
    for path in paths:
        if not path.is_file():
            raise MissingInputError(f"configuration {path} is not there: check the path")
        try:
            table = yaml.safe_load(path.read_text(encoding="utf-8"))
        except yaml.YAMLError as error:
            raise ConfigError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
        if table is not None and not isinstance(table, dict):
            raise ConfigError(f"{path} must hold a table of keys, not {type(table).__name__}")
        merged = merge(merged, table or {})
    return merged


def read_configuration(overlays: Sequence[Path]) -> dict[str, Any]:
    """What a command run by hand goes by: ``config.yaml`` where it stands, with files laid over it.

    Raises
    ------
    InputError, MissingInputError, ConfigError
        If there is neither, or as `read_config_files`.
    """
    base = [Path("config.yaml")] if Path("config.yaml").is_file() else []
    if not base and not overlays:
        raise InputError("no configuration: run this beside config.yaml, or give one with --configfile")
    return read_config_files([*base, *overlays])


def load_config(merged: Mapping[str, Any]) -> Config:
    """Check a merged configuration and give it its types.

    Parameters
    ----------
    merged : mapping
        What YAML gives, overlays applied; keys set to null count as absent.

    Raises
    ------
    ConfigError
        One line a mistake: where, what was given, what is needed, the nearest valid name.
    """
    table = without_nulls(merged)
    try:
        config = Config.model_validate(table)
    except ValidationError as error:
        lines = [_explain(entry) for entry in _meant([dict(entry) for entry in error.errors()])]
        raise ConfigError(_joined(dict.fromkeys(lines))) from None
    problems = list(_cross_checks(config))
    if problems:
        raise ConfigError(_joined(problems))
    return config


def _joined(lines: Iterable[str]) -> str:
    found = list(lines)
    head = "the configuration has a mistake" if len(found) == 1 else f"the configuration has {len(found)} mistakes"
    return head + ": " + found[0] if len(found) == 1 else "\n  ".join([head + ":", *found])


def nearest(name: str, valid: Iterable[str]) -> str:
    """``; did you mean `x`?`` where a valid name is near, else the list of valid names."""
    names = list(valid)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"; did you mean `{close[0]}`?" if close else f"; valid: {', '.join(names) or 'none'}"


def _meant(errors: Iterable[dict[str, Any]]) -> Iterable[dict[str, Any]]:
    """The errors, but for a value that may be of several kinds only those of the kind that it comes nearest to."""
    places: dict[tuple[Any, ...], dict[Any, list[dict[str, Any]]]] = {}
    for error in errors:
        loc = error["loc"]
        cut = next((index for index, part in enumerate(loc) if _is_branch(part)), len(loc))
        places.setdefault(loc[:cut], {}).setdefault(loc[cut : cut + 1], []).append(error)
    for kinds in places.values():
        other = [found[0] for kind, found in kinds.items() if _is_other(found[0], kind)]
        closest = min(kinds.items(), key=lambda entry: (_is_other(entry[1][0], entry[0]), len(entry[1])))
        if len(other) == len(kinds) > 1:  # none comes near: say them all in one line
            messages = dict.fromkeys(error["msg"].split(" or instance of")[0] for error in other)
            yield {**other[0], "msg": ", or ".join(messages).replace(", or Input should be", ", or")}
        else:
            yield from closest[1]


def _is_other(error: dict[str, Any], kind: tuple[Any, ...]) -> bool:
    """Whether an error says of a whole value, not of something in it, that it is of another kind."""
    return error["type"] in _OTHER_KIND and error["loc"][-1:] == kind


def _explain(error: dict[str, Any]) -> str:
    """One line for one of pydantic's errors."""
    loc = [part for part in error["loc"] if not _is_branch(part)]
    place = ".".join(str(part) for part in loc)
    if error["type"] == "extra_forbidden":
        return f"unknown key `{place}`{nearest(str(loc[-1]), _fields(loc[:-1]))}"
    if error["type"] == "missing":
        return f"`{place}` is missing: add it (an overlay that sets it to null takes it away)"
    if error["type"] == "string_pattern_mismatch" or loc[-1:] == ["[key]"]:
        return f"`{place}`: {error['input']!r} is not a name: use letters, digits and _, beginning with a letter"
    message = error["msg"].removeprefix("Value error, ")
    for form, plain in _PLAIN:
        message = re.sub(form, plain, message)
    given = error["input"]
    shown = f", but {given!r} was given" if isinstance(given, str | int | float | bool) else ""
    return f"`{place}`: {message[0].lower()}{message[1:]}{shown}"


def _is_branch(part: Any) -> bool:
    """Whether a part of pydantic's location names a branch of a union, not a key."""
    return isinstance(part, str) and (
        part in {"Shift", "Matrix", "int", "float", "str", "bool"}
        or part.startswith(("literal[", "list[", "constrained-", "tuple["))
    )


def _fields(loc: Sequence[Any]) -> list[str]:
    """The keys that the model knows at a location."""
    model: Any = Config
    for part in loc:
        if isinstance(model, type) and issubclass(model, BaseModel):
            model = model.model_fields[part].annotation
        else:
            arguments = typing.get_args(model)
            model = arguments[-1] if arguments else None
        if isinstance(model, types.UnionType) or typing.get_origin(model) is typing.Union:
            tables = [a for a in typing.get_args(model) if isinstance(a, type) and issubclass(a, BaseModel)]
            model = tables[0] if tables else None
    return list(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else []


def _cross_checks(config: Config) -> Iterable[str]:
    """What a key refers to must exist; what must be unique is."""
    references = [name for name, sensor in config.sensors.items() if sensor.reference]
    if len(references) != 1:
        yield f"`sensors`: exactly one must have `reference: true`, not {len(references)} ({', '.join(references)})"
    for name, sensors in config.inputs.items():
        for sensor in sensors:
            if sensor not in config.sensors:
                yield f"`inputs.{name}`: no sensor is called `{sensor}`{nearest(sensor, config.sensors)}"
        if len(set(sensors)) != len(sensors) or not sensors:
            yield f"`inputs.{name}`: each sensor once, and at least one, is needed; {sensors} was given"
    for name, classes in config.targets.items():
        if name in config.classes:
            yield f"`targets.{name}`: a class has this name and is its own target; choose another name"
        if len(set(classes)) != len(classes) or not classes:
            yield f"`targets.{name}`: each class once, and at least one, is needed; {classes} was given"
        for member in classes:
            if member not in config.classes:
                yield f"`targets.{name}`: no class is called `{member}`{nearest(member, config.classes)}"
    ids: dict[int, str] = {}
    for name, entry in config.classes.items():
        if entry.id in ids:
            yield f"`classes.{name}.id`: {entry.id} is also the id of `{ids[entry.id]}`; ids are unique"
        ids[entry.id] = name
        yield from _member_checks(config, name)


def _member_checks(config: Config, class_name: str) -> Iterable[str]:
    targets = [*config.classes, *config.targets]
    for index, member in enumerate(config.classes[class_name].members):
        place = f"`classes.{class_name}.members[{index}]"
        for key, value, valid in (
            ("model", member.model, config.models),
            ("input", member.input, config.inputs),
            ("scale", member.scale, config.scales),
            ("target", member.target or class_name, targets),
        ):
            if value not in valid:
                yield f"{place}.{key}`: no {key} is called `{value}`{nearest(value, valid)}"
