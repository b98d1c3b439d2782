"""The table in docs/caching.md of the matrix of partial reruns: ``python tests/support/matrix_table.py --write``."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence

from matrix import LEGEND, NUMBERS, ROOT, Row

BEGIN = "<!-- The table is made by `make docs`. -->"
END = "<!-- Here the table ends. -->"


def table(chapters: Mapping[str, Sequence[Row]]) -> str:
    """The matrix as Markdown."""
    words = {row.name: row.words for rows in chapters.values() for row in rows}
    lines = ["Letters: " + ", ".join(f"{name} = {NUMBERS[name]} {meaning}" for name, meaning in LEGEND.items()) + "."]
    for title, rows in chapters.items():
        lines += ["", f"### {title}", "", "| you do | jobs that run | items computed |", "|---|---|---|"]
        for row in rows:
            after = f" (after: {words[row.start]})" if row.start else ""
            after += f" ({', '.join(f'{name} = {n}' for name, n in row.numbers.items())})" if row.numbers else ""
            sums = sum(row.expected_jobs.values()), sum(row.expected_items.values())
            lines.append(f"| {row.words}{after} | {_cell(row.jobs, sums[0])} | {_cell(row.items, sums[1])} |")
    return "\n".join(lines)


def _cell(text: str, total: int) -> str:
    for meant, written in _WRITTEN.items():
        text = re.sub(meant, written, text)
    return text if text == "none" else f"{text}: {total}"


_WRITTEN = {
    r"from\(register\)": "all",
    r"from\((\w+)\)": r"\1 and all that follows",
    r"tables\(1\)": "tables of the class",
    r"tables\(C\)": "tables",
    r"(\w)\*(\w)": r"\1·\2",
}
"""How expectations are written for people."""


def document(text: str, chapters: Mapping[str, Sequence[Row]]) -> str:
    """The text of docs/caching.md with the table between its markers made anew."""
    before, rest = text.split(BEGIN, 1)
    _, after = rest.split(END, 1)
    return f"{before}{BEGIN}\n\n{table(chapters)}\n\n{END}{after}"


def main(arguments: Sequence[str]) -> None:
    """Write the table into docs/caching.md."""
    from matrix_rows import CHAPTERS

    if list(arguments) != ["--write"]:
        raise SystemExit("usage: python tests/support/matrix_table.py --write")
    path = ROOT / "docs/caching.md"
    path.write_text(document(path.read_text(encoding="utf-8"), CHAPTERS), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
