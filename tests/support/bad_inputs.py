"""The shape of a case of bad input: what was given, and word for word what is said of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class BadInput:
    """A case of bad input.

    Attributes
    ----------
    name : str
        Short, unique in its list.
    given : str
        What is wrong, in a few words.
    stops : bool
        Whether work stops with a non-zero exit code; otherwise it goes on, and this is said.
    says : str
        The whole message, with ``{root}`` for the folder that all is in.
    """

    name: str
    given: str
    stops: bool
    says: str
