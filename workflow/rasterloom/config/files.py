"""Configuration files: YAML or JSON, each read with more care than a YAML library takes."""

import json
from collections.abc import Iterable, Sequence
from functools import reduce
from pathlib import Path
from typing import Any

import yaml

from rasterloom.config.overlays import merge
from rasterloom.errors import ConfigError, InputError, MissingInputError

_MALFORMED = (ValueError, LookupError, AttributeError, TypeError, OverflowError)
"""What PyYAML raises, besides its own errors, for a value whose text does not fit its kind (``2024-13-01``)."""


def read_config_files(paths: Iterable[Path]) -> dict[str, Any]:
    """Read YAML or JSON files and lay each over the ones before it.

    Raises
    ------
    MissingInputError, ConfigError
        If a file is not there, is neither YAML nor JSON, says a key twice, or is not a table.
    """
    return reduce(merge, map(_read, paths), {})


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


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise MissingInputError(f"configuration {path} is not there: check the path")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not text in UTF-8 (byte {error.start}): save it as UTF-8") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}): make it readable") from None
    table = _parsed(path, text)
    if table is not None and not isinstance(table, dict):
        raise ConfigError(f"{path} must hold a table of keys, not {type(table).__name__}")
    return table or {}


def _parsed(path: Path, text: str) -> Any:
    """The value of a file: JSON if it is that, as Snakemake tries it first (1e-05 is a number there), else YAML."""
    try:
        return json.loads(text, object_pairs_hook=lambda pairs: _once(path, pairs))
    except ConfigError:
        raise
    except (ValueError, RecursionError):
        pass  # no JSON
    try:
        return _yaml(path, text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ConfigError(f"{path} is not valid YAML{where}: {_problem(error)}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise ConfigError(f"{path} is nested too deeply for a configuration") from None


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice in one table, of which YAML lets the last count, and a value within itself."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys: dict[tuple[str, str], yaml.Node] = {}
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            first = keys.setdefault((key.tag, key.value), key)
            if first is not key:
                raise ConfigError(
                    f"{self.name}, line {key.start_mark.line + 1}: the key {key.value!r} stands in line "
                    f"{first.start_mark.line + 1} already; of the two only one would count: merge them, or remove one"
                )
        return super().construct_mapping(node, deep)


def _yaml(path: Path, text: str) -> Any:
    loader = _Loader(text)
    loader.name = str(path)
    loader.deep_construct = True  # tables are complete, and looked at, before they are merged into those below them
    try:
        node = loader.get_single_node()
        return None if node is None else loader.construct_document(node)
    except ConfigError:
        raise
    except _MALFORMED as error:
        said = f": {' '.join(str(error).split())}" if isinstance(error, ValueError) else ""
        raise ConfigError(f"{path} contains an invalid value, such as a date with month 13{said}") from None
    finally:
        loader.dispose()


def _problem(error: yaml.MarkedYAMLError) -> str:
    """What PyYAML has found, in one line."""
    problem = " ".join(f"{error.problem or error.context}".split())
    if "'\\t'" in problem:
        return "a tab stands where only blanks may indent: replace it by blanks"
    if "recursive" in problem:
        return "the value refers to itself (*): write it out"
    return f"{error.context}, {problem}" if problem.startswith("but ") else problem


def _once(path: Path, pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """The table of a JSON object's pairs; ConfigError if a key stands twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for index, key in enumerate(keys) if key in keys[:index])
        raise ConfigError(f"{path}: the key {twice!r} stands twice in one table: remove one of them")
    return found
