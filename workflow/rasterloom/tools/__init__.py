"""Subcommands that a user types and that are no stage, one module or package each."""
