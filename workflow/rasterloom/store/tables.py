"""Tab-separated tables with a fixed header: one line per row, no quotes."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from rasterloom.errors import MissingInputError, StoreError

Row = TypeVar("Row")


def tsv_text(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Header and rows as text; blanks of any kind within a cell become single spaces."""
    cells = ([" ".join(str(cell).split()) for cell in row] for row in (columns, *rows))
    return "".join("\t".join(line) + "\n" for line in cells)


def read_tsv(
    path: Path, columns: Sequence[str], stage: str, what: str, parse: Callable[[dict[str, str]], Row]
) -> list[Row]:
    """Rows of a table that a stage has written.

    Parameters
    ----------
    path : Path
    columns : sequence of str
        Its header.
    stage, what : str
        Who writes it, and what it is a table of, for messages.
    parse : callable
        Makes a row of its cells by column; ValueError if they are no such row. ``dict`` leaves them as they are.

    Raises
    ------
    MissingInputError, StoreError
        If it is not there, or is not that table.
    """
    try:
        lines = [line.split("\t") for line in path.read_text(encoding="utf-8").split("\n") if line]
    except FileNotFoundError:
        raise MissingInputError(f"{path} is not there: run the stage `{stage}` first") from None
    try:
        if lines[:1] != [list(columns)]:
            raise ValueError(f"its columns are {', '.join(lines[0]) if lines else 'none'}")
        return [parse(dict(zip(columns, line, strict=True))) for line in lines[1:]]
    except ValueError as error:
        raise StoreError(f"{path} is not a table of {what} ({error}): delete it and run the workflow again") from None
