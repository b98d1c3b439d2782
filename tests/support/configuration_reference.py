"""docs/configuration.md, one table per section, made from the typed model of the configuration.

python tests/support/configuration_reference.py --write
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from common import ROOT
from rasterloom.config.model import Config

Schema = Mapping[str, Any]

TEMPLATE = Path(__file__).with_suffix(".md")
"""The prose of docs/configuration.md, with a place for the tables."""

_OVERRIDES = ("TrainingConfig", "PredictionConfig", "PolygonsConfig")
"""Tables that stand in several places, and are laid out once, under `defaults`."""

_WORDS = {"integer": "integer", "number": "number", "boolean": "true or false", "string": "text", "object": "table"}


def reference() -> str:
    """The text of docs/configuration.md: how overlays merge, and every key with type, default, range and meaning."""
    schema = Config.model_json_schema()
    tables = list(_tables(schema, schema, ""))
    paths = [path for path, _ in tables]
    sections = "\n\n".join(_section(path, table, paths.count(path) > 1) for path, table in tables)
    return TEMPLATE.read_text(encoding="utf-8").replace("{{ tables }}", sections)


def _tables(schema: Schema, table: Schema, path: str) -> Iterator[tuple[str, Schema]]:
    """A table of the configuration and those below it, each with its path."""
    yield path, table
    for key, field in table["properties"].items():
        for step, name in _below(field):
            if name not in _OVERRIDES or path.startswith("defaults"):
                yield from _tables(schema, schema["$defs"][name], f"{path}.{key}{step}".removeprefix("."))


def _below(field: Schema) -> Iterator[tuple[str, str]]:
    """The tables that a key may hold: how their keys continue its path, and their name in the schema."""
    if "$ref" in field:
        yield "", str(field["$ref"]).rsplit("/", 1)[-1]
    for kind in (*field.get("anyOf", ()), *field.get("oneOf", ())):
        yield from _below(kind)
    for inner, step in ((_named(field), ".NAME"), (field.get("items"), "[N]")):
        if inner is not None:
            yield from ((step + further, name) for further, name in _below(inner))


def _named(field: Schema) -> Schema | None:
    """What the values of a table with names of the user's choice are; None for anything else."""
    return next(iter(field.get("patternProperties", {}).values()), None)


def _section(path: str, table: Schema, one_of_several: bool) -> str:
    """A heading, a sentence and a table in Markdown; of several tables at a path each says its keys."""
    rows = ["| key | type | default | range | |", "|---|---|---|---|---|"]
    for key, field in table["properties"].items():
        default = "needed" if key in table.get("required", ()) else _default(field)
        cells = (f"`{key}`", _type(field), default, _range(field), field["description"])
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    heading = f"### `{path}`" if path else "### At the top"
    if one_of_several:
        kind = table["properties"].get("kind", {}).get("const")
        keys = [f"kind: {kind}"] if kind else table["properties"]
        heading += f" with {' and '.join(f'`{key}`' for key in keys)}"
    return "\n".join([heading, "", table["description"], "", *rows])


def _type(field: Schema) -> str:
    if "enum" in field or "const" in field:
        return " or ".join(f"`{value}`" for value in field.get("enum", [field.get("const")]))
    if "anyOf" in field:
        return " or ".join(dict.fromkeys(_type(kind) for kind in field["anyOf"] if kind.get("type") != "null"))
    if "items" in field:
        length = f"{field['maxItems']} x " if "maxItems" in field else ""
        return f"list of {length}{_type(field['items']).removeprefix('list of ')}"
    named = _named(field)
    if named is not None:
        return f"by name: {_type(named)}"
    return "table" if "$ref" in field or "oneOf" in field else _WORDS[field["type"]]


def _default(field: Schema) -> str:
    if "default" not in field:
        return "`{}`"
    value = field["default"]
    return f"`{'null' if value is None else str(value).lower() if isinstance(value, bool) else value}`"


def _range(field: Schema) -> str:
    """The numbers that are valid, in words."""
    found: dict[str, Any] = {}
    for kind in (field, *field.get("anyOf", ())):
        found |= {key: kind[key] for key in kind if "inimum" in key or "aximum" in key}
    words = {
        "minimum": "at least {}",
        "exclusiveMinimum": "above {}",
        "maximum": "at most {}",
        "exclusiveMaximum": "below {}",
    }
    limits = {key: int(value) if float(value).is_integer() else value for key, value in found.items()}
    if set(limits) == {"minimum", "maximum"}:
        return f"{limits['minimum']} to {limits['maximum']}"
    return ", ".join(words[key].format(limits[key]) for key in words if key in limits)


def main(arguments: Sequence[str]) -> None:
    """Write docs/configuration.md."""
    if list(arguments) != ["--write"]:
        raise SystemExit("usage: python tests/support/configuration_reference.py --write")
    (ROOT / "docs/configuration.md").write_text(reference(), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
