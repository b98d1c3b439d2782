"""Print the JSON schema of the configuration, for editors; it is generated from the typed model."""

import argparse
import json

from rasterloom.config.model import Config

HELP = "print the JSON schema of the configuration"


def configure(parser: argparse.ArgumentParser) -> None:
    """The subcommand has no options."""


def main(args: argparse.Namespace) -> None:
    """Print the schema as indented JSON with sorted keys."""
    print(json.dumps(Config.model_json_schema(), indent=1, sort_keys=True, ensure_ascii=False))
