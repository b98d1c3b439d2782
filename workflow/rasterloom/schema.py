"""Print the JSON schema of the configuration, for editors; it is generated from the typed model."""

from __future__ import annotations

import argparse
import json

from rasterloom.config import Config


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the subcommand: none."""


def main(args: argparse.Namespace) -> None:
    """Print the schema."""
    print(schema_text(), end="")


def schema_text() -> str:
    """The schema as indented JSON with sorted keys."""
    return json.dumps(Config.model_json_schema(), indent=1, sort_keys=True, ensure_ascii=False) + "\n"
