"""Print the JSON schema of the configuration, for editors, or its reference, for readers.

Both are generated from the typed model: workflow/schemas/config.schema.json and docs/configuration.md.
"""

import argparse

from rasterloom.config.reference import schema_text

HELP = "print the JSON schema of the configuration"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the subcommand."""
    parser.add_argument("--markdown", action="store_true", help="print docs/configuration.md instead")


def main(args: argparse.Namespace) -> None:
    """Print the schema or the reference."""
    from rasterloom.config.reference import reference

    print(reference() if args.markdown else schema_text(), end="")
