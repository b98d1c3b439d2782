"""What is said of the configuration, in config.yaml, docs, schema and messages, is what the typed model says."""

from __future__ import annotations

import argparse
import ast
import re
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from common import LIBRARY, ROOT
from configuration_reference import reference
from rasterloom.config import Config, load_config
from rasterloom.config.model import MODELS, DefaultsConfig, ExecutionConfig, SensorConfig
from rasterloom.tools import schema

Table = dict[str, Any]
OVERRIDABLE = ("training", "prediction", "polygons")


def models_in(annotation: Any) -> tuple[str, list[type[BaseModel]]]:
    """The tables that a field may hold, and how their keys continue its path."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "", [annotation]
    found, step = [], ".*" if typing.get_origin(annotation) in (dict, list) else ""
    for part in typing.get_args(annotation):
        deeper, models = models_in(part)
        found += models
        step += deeper if models else ""
    return step, found


def descriptions(
    model: type[BaseModel] = Config, place: str = "", overrides: bool = False
) -> Iterator[tuple[str, str]]:
    """Every key path of a model with its description, ``*`` for names of the user's choice and items of lists.

    What a class or a member may override is explained once, under `defaults`, unless `overrides` are wanted too.
    """
    for name, field in model.model_fields.items():
        path = f"{place}.{name}".removeprefix(".")
        yield path, " ".join((field.description or "").split())
        step, models = models_in(field.annotation)
        for inner in models if overrides or path.startswith("defaults") or name not in OVERRIDABLE else []:
            yield from descriptions(inner, path + step, overrides)


KEY_LINE = re.compile(
    r"(?P<lead> *)(?P<off># {1,5})?(?P<item>- )?(?P<key>[a-z_]\w*):(?= |$)(?P<value>.*?)(?:# (?P<say>.*))?"
)


def comments_of(text: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """The key path of each line of config.yaml that begins with a key, set or behind a #, and its comment.

    Lines that hold a comment alone, beyond column 20, go on with that of the line above. Items of lists are ``*``.
    """
    found: list[tuple[tuple[str, ...], str]] = []
    open_: list[tuple[int, str]] = []
    for line in text.splitlines():
        match = KEY_LINE.fullmatch(line)
        if match is None:
            goes_on = re.fullmatch(r" {20,}# (.*)", line)
            if goes_on:
                found[-1] = (found[-1][0], f"{found[-1][1]} {goes_on[1]}")
            continue
        indent = len(match["lead"]) + len(match["off"] or "# ") - 2
        open_ = [entry for entry in open_ if entry[0] < indent]
        if match["item"]:
            open_.append((indent, "*"))
            indent += 2
        open_.append((indent, match["key"]))
        found.append((tuple(key for _, key in open_), (match["say"] or "").strip()))
    yield from found


def fits(path: str, keys: tuple[str, ...]) -> bool:
    """Whether keys are an instance of a path with ``*`` for names."""
    parts = path.split(".")
    return len(parts) == len(keys) and all("*" in (a, b) or a == b for a, b in zip(parts, keys, strict=True))


# Drift -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "description"), list(descriptions()), ids=lambda value: value[:40])
def test_config_yaml_explains_every_key_as_the_model_does(path: str, description: str) -> None:
    """Remedy: write the description behind the key's first line in config.yaml (behind a # where it is not set)."""
    lines = comments_of((ROOT / "config.yaml").read_text(encoding="utf-8"))
    first = next((said for keys, said in lines if fits(path, keys)), None)
    assert first is not None, f"{path} does not stand in config.yaml"
    assert first.startswith(description)


def test_comments_of_reads_lines_of_all_kinds() -> None:
    text = (
        "a:  # one\n  x: 1  # two\n"
        + " " * 20
        + "# three\n  # y:\n  #   z: [#1]  # four\n  l:\n    - k: 1\n      m: {n: 1}\n"
    )
    assert list(comments_of(text)) == [
        (("a",), "one"),
        (("a", "x"), "two three"),
        (("a", "y"), ""),
        (("a", "y", "z"), "four"),
        (("a", "l"), ""),
        (("a", "l", "*", "k"), ""),
        (("a", "l", "*", "m"), ""),
    ]


def test_config_yaml_lines_fit_the_page() -> None:
    assert [line for line in (ROOT / "config.yaml").read_text(encoding="utf-8").splitlines() if len(line) > 120] == []


def test_defaults_in_config_yaml_are_those_of_the_model(settings_table: Table) -> None:
    config = load_config(settings_table)
    assert config.defaults == DefaultsConfig()
    assert config.execution == ExecutionConfig()
    fields = Config.model_fields
    assert (config.results, config.statistics) == (fields["results"].default, fields["statistics"].default)
    for section in ("validation", "dataset"):
        found = getattr(config, section)
        for name, field in type(found).model_fields.items():
            if name not in {"split", "root", "predict"}:
                assert getattr(found, name) == field.get_default(call_default_factory=True), f"{section}.{name}"
    for name, model in config.models.items():
        assert model == MODELS[model.kind](kind=model.kind), name
    assert config.sensors["rgb"].max_shift == SensorConfig().max_shift


def test_schema_file_is_what_the_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    """Remedy: make docs"""
    schema.main(argparse.Namespace())
    assert (ROOT / "workflow/schemas/config.schema.json").read_text(encoding="utf-8") == capsys.readouterr().out


def test_reference_file_is_that_of_the_model() -> None:
    """Remedy: make docs"""
    assert (ROOT / "docs/configuration.md").read_text(encoding="utf-8") == reference()


def test_reference_has_a_row_for_every_key() -> None:
    sections = dict(re.findall(r"^### (.*?)\n(.*?)(?=^### |\Z)", reference(), re.MULTILINE | re.DOTALL))
    rows = {
        (re.sub(r"`| with .*", "", heading).replace("At the top", ""), key): cells.split(" | ")
        for heading, body in sections.items()
        for key, cells in re.findall(r"^\| `(\w+)` \| (.*) \|$", body, re.MULTILINE)
    }
    for path, description in descriptions():
        *section, key = path.replace(".members.*", ".members[N]").replace("*", "NAME").split(".")
        assert rows[".".join(section), key][-1] == description
    assert rows["defaults.training", "patch"][:3] == ["integer", "`256`", "16 to 16384"]
    assert rows["validation", "split"][:3] == ["number", "`null`", "above 0, below 1"]
    assert rows["defaults.polygons", "threshold"][:3] == ["`auto` or number", "`auto`", "0 to 1"]
    assert rows["dataset", "predict"][:3] == ["`scored` or `all` or list of text", "`null`", ""]
    assert rows["", "channels"][:3] == ["by name: list of text", "needed", ""]
    assert {f"`models.NAME` with `kind: {kind}`" for kind in MODELS} <= sections.keys()
    assert rows["models.NAME", "kind"][:3] == ["`logistic`", "needed", ""]
    assert rows["execution", "scenes_per_job"][0] == "`auto` or `1`"


EVERY = list(descriptions(overrides=True))


def test_every_key_of_the_model_is_described() -> None:
    assert len(EVERY) > 100
    assert [path for path, description in EVERY if not description or description[-1] in ".:"] == []


# Messages --------------------------------------------------------------------------------------------------

SECTIONS = "|".join(Config.model_fields)


def texts_of(path: Path) -> Iterator[tuple[int, str]]:
    """Every text of a file of Python, f-strings with ``{}`` where something is filled in, docstrings left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docs = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr)}
    inner = {id(part) for n in ast.walk(tree) if isinstance(n, ast.JoinedStr) for part in n.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield node.lineno, "".join(p.value if isinstance(p, ast.Constant) else "{}" for p in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and not {id(node)} & (docs | inner):
            yield node.lineno, node.value


def keys_in(text: str) -> Iterator[tuple[str, ...]]:
    """The key paths that a message names: in backticks, or of a section whose name is no common word of ours."""
    found = re.findall(rf"`((?:{SECTIONS})(?:\.[\w{{}}]+|\[\{{\}}\])+)", text)
    found += re.findall(r"(?<![\w./`])((?:dataset|defaults|validation|execution)\.[a-z_]+)\b(?!\()", text)
    for path in found:
        yield tuple(part for part in path.replace("[{}]", ".*").split(".") if part)


@pytest.mark.parametrize("path", sorted(LIBRARY.rglob("*.py")), ids=lambda path: str(path.relative_to(LIBRARY)))
def test_messages_name_keys_that_exist(path: Path) -> None:
    unknown = [(line, keys) for line, text in texts_of(path) for keys in keys_in(text) if not exists(keys)]
    assert unknown == []


def exists(keys: tuple[str, ...]) -> bool:
    """Whether a key path is one of the model, or that of an entry of a table or list of it; ``{}`` may be anything."""
    filled = tuple("*" if key == "{}" else key for key in keys)
    parents = (".".join(path.split(".")[:cut]) for path, _ in EVERY for cut in range(1, path.count(".") + 2))
    return any(fits(path, filled) for path in {*parents, "channels.*", "targets.*"})


def test_messages_are_looked_at() -> None:
    named = [keys for path in LIBRARY.rglob("*.py") for _, text in texts_of(path) for keys in keys_in(text)]
    assert ("classes", "{}", "members", "*") in named
    assert ("dataset", "predict") in named
    assert len(named) > 20
    assert not exists(("dataset", "gsd"))
