"""What can go wrong, by kind.

Every message says what was given, what is needed, which file, scene, sensor or class it concerns, and how to
mend it. The command line prints the message alone; a traceback is kept for bugs.
"""

from collections.abc import Iterator
from contextlib import contextmanager


class RasterloomError(Exception):
    """Base of every error that a user can meet and mend."""


class InputError(RasterloomError, ValueError):
    """A file or a value that was given cannot be used as it is."""


class MissingInputError(RasterloomError, FileNotFoundError):
    """A file that is needed is not there."""


class ConfigError(RasterloomError, ValueError):
    """The configuration is not valid."""


class LabelError(RasterloomError, ValueError):
    """A label (polygon, mask, table of labels) cannot be used as it is."""


class TrainingError(RasterloomError, ArithmeticError):
    """A training cannot go on."""


class StoreError(RasterloomError, RuntimeError):
    """An artifact that a manifest names is missing from the store, or damaged."""


@contextmanager
def concerning(label: str) -> Iterator[None]:
    """Errors that are raised within begin with what they concern, such as ``scene s, sensor m``."""
    try:
        yield
    except RasterloomError as error:
        text = str(error)
        raise type(error)(text if text.startswith(label) else f"{label}: {text}") from None


def require_same(one: str, shape: tuple[int, ...], other: str, wanted: tuple[int, ...]) -> None:
    """StoreError if two artifacts that lie on one grid have different shapes."""
    if shape != wanted:
        raise StoreError(
            f"{one} has shape {shape}, {other} {wanted}: they belong to different runs; run the workflow again"
        )
