"""Tab-separated tables with a fixed header: one line a row, no quotes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from rasterloom.errors import MissingInputError, StoreError


def tsv_text(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Header and rows as text; blanks of any kind within a cell become single spaces."""
    lines = [list(columns), *([" ".join(cell.split()) for cell in row] for row in rows)]
    return "".join("\t".join(line) + "\n" for line in lines)


def read_tsv(path: Path, columns: Sequence[str], stage: str, what: str) -> list[dict[str, str]]:
    """Rows of a table that a stage has written, by column.

    Parameters
    ----------
    path : Path
    columns : sequence of str
        Its header.
    stage, what : str
        Who writes it, and what it is a table of, for messages.

    Raises
    ------
    MissingInputError, StoreError
        If it is not there, or is not that table.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except FileNotFoundError:
        raise MissingInputError(f"{path} is not there: run the stage `{stage}` first") from None
    rows = [line.split("\t") for line in lines if line]
    if rows[:1] != [list(columns)] or any(len(row) != len(columns) for row in rows):
        raise StoreError(f"{path} is not a table of {what}: delete it and run the workflow again")
    return [dict(zip(columns, row, strict=True)) for row in rows[1:]]
