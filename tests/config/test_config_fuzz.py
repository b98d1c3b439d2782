"""Whatever a configuration holds, there comes a `Config`, or one line a mistake that a user of YAML understands."""

from __future__ import annotations

import copy
import datetime
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common import ROOT
from rasterloom.config import Config, load_config, read_config_files, resolve
from rasterloom.config.load import recorded
from rasterloom.errors import ConfigError

pytestmark = pytest.mark.slow

Table = dict[str, Any]
Path = tuple[Any, ...]

JARGON = re.compile(
    r"[Pp]ydantic|[Ii]nput should|[Vv]alidation error|type=|instance of|literal\[|list\[|function-after|constrained"
    r"|extra_forbidden|_type|Traceback|\bdict\b|\bstr\b|\bNone\b|\bTrue\b|\bFalse\b"
)
TINY: Table = read_config_files([ROOT / "config.yaml", ROOT / "presets" / "tiny.yaml"])
FULL: Table = read_config_files([ROOT / "config.yaml"])


def told(table: Any) -> list[str]:
    """The lines of mistakes in a table, none if it is a configuration; anything else than a ConfigError fails."""
    try:
        config = load_config(table)
        assert isinstance(config, Config)
        resolve(config)
    except ConfigError as error:
        head, *lines = str(error).split("\n")
        if not lines:
            return [head.removeprefix("the configuration has a mistake: ")]
        assert re.fullmatch(r"the configuration has \d+ mistakes:", head)
        return [line.removeprefix("  ") for line in lines]
    assert load_config(recorded(config, table)) == config
    return []


def is_plain(line: str) -> bool:
    """Whether a line is in plain words: what was given, which may hold anything, aside."""
    words = re.sub(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|`[^`]*`", "", line)
    return bool(line.strip()) and line.isprintable() and not JARGON.search(words)


def places(table: Any, path: Path = ()) -> Iterator[Path]:
    """The path of every key and item."""
    entries = table.items() if isinstance(table, dict) else enumerate(table) if isinstance(table, list) else ()
    for key, value in entries:
        yield (*path, key)
        yield from places(value, (*path, key))


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["auto", "none", "all", "unet", "rgb", "1e-3", "5", "", "~", "a\nb", "\ud800", 2**200, -1, 0, 1])
    | st.dates().filter(lambda day: day.year > 0)
    | st.binary(max_size=4)
)
words = st.sampled_from([*re.findall(r"[a-z_]{2,}", " ".join(map(str, Config.model_json_schema()["$defs"])).lower())])
keys = st.text(max_size=6) | words | st.sampled_from(["shift", "matrix", "int", "str", "members", "[key]", "a.b"])
odd_keys = keys | st.integers() | st.booleans() | st.none() | st.floats()
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(odd_keys, inner, max_size=3),
    max_leaves=6,
)
sections = st.fixed_dictionaries({}, optional=dict.fromkeys(Config.model_fields, values))


@given(st.dictionaries(odd_keys, values, max_size=3) | sections)
def test_any_table_gives_lines_in_plain_words(table: Table) -> None:
    lines = told(table)
    assert lines
    assert [line for line in lines if not is_plain(line)] == []


@st.composite
def mutated(draw: st.DrawFn) -> tuple[Table, list[Path]]:
    """A valid configuration with up to three keys deleted, renamed, or given another value, and the keys' paths."""
    table = copy.deepcopy(draw(st.sampled_from([TINY, FULL])))
    changed: list[Path] = []
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(list(places(table))))
        holder: Any = table
        for key in path[:-1]:
            holder = holder[key]
        kind = draw(st.sampled_from(["delete", "rename", "replace", "swap", "add"]))
        if kind == "delete":
            del holder[path[-1]]
        elif kind == "rename" and isinstance(holder, dict):
            name = str(path[-1])
            at = draw(st.integers(0, len(name)))
            holder[name[:at] + draw(st.sampled_from("xeo_ -.")) + name[at + 1 :]] = holder.pop(path[-1])
        elif kind == "swap":
            other: Any = table
            for key in draw(st.sampled_from(list(places(table)))):
                other = other[key]
            holder[path[-1]] = copy.deepcopy(other)
        elif kind == "add" and isinstance(holder[path[-1]], dict):
            holder[path[-1]][draw(keys)] = draw(values)
        else:
            holder[path[-1]] = draw(values)
        changed.append(path)
    return table, changed


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(mutated())
def test_any_change_of_a_configuration_gives_it_or_lines_in_plain_words(case: tuple[Table, list[Path]]) -> None:
    table, _ = case
    assert [line for line in told(table) if not is_plain(line)] == []


@settings(max_examples=200)
@given(st.data())
def test_a_value_of_another_kind_is_told_with_its_path(data: st.DataObject) -> None:
    """One value becomes a date, which no key takes: one line, with the key's path, in a table or a list."""
    path = data.draw(st.sampled_from(list(places(FULL))))
    table = copy.deepcopy(FULL)
    holder: Any = table
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = datetime.date(2026, 5, 1)
    (line,) = told(table)
    place = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path).removeprefix(".")
    assert line.startswith(f"`{place}`: ")
    assert "is needed, but '2026-05-01' was given" in line


@settings(max_examples=200)
@given(st.data())
def test_an_unknown_key_is_told_with_its_path_and_the_nearest_name(data: st.DataObject) -> None:
    """At every level where keys are not of the user's choice: with one letter doubled."""
    tables = [path for path in [(), *places(FULL)] if _is_table(path)]
    path = data.draw(st.sampled_from(tables))
    table = copy.deepcopy(FULL)
    holder: Any = table
    for key in path:
        holder = holder[key]
    name = data.draw(st.sampled_from(sorted(holder)))
    letter = data.draw(st.integers(1, len(name)))
    misspelt = name[:letter] + name[letter - 1] + name[letter:]
    holder[misspelt] = holder.pop(name)
    place = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in (*path, misspelt)).removeprefix(".")
    assert f"unknown key `{place}`; did you mean `{name}`?" in told(table)


def _is_table(path: Path) -> bool:
    """Whether the keys at a path of the full configuration are of the model, and some are there."""
    holder: Any = FULL
    for key in path:
        holder = holder[key]
    named = len(path) == 1 and path[0] in ("sensors", "channels", "scales", "models", "targets", "classes")
    return isinstance(holder, dict) and bool(holder) and not named


@given(mutated())
def test_a_configuration_written_as_yaml_is_read_as_it_was(case: tuple[Table, list[Path]]) -> None:
    """What is told of a table does not depend on whether it went through a file."""
    table, _ = case
    try:
        text = yaml.safe_dump(table, allow_unicode=True, sort_keys=False)
        again = yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeEncodeError):
        return
    if again == table:
        assert told(again) == told(table)
