"""docs/troubleshooting.md, made of the cases of bad input that the tests go through.

python tests/support/troubleshooting.py           print the page
python tests/support/troubleshooting.py --write   write it
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import bad_images
import bad_labels
import bad_settings
import bad_tables
import bad_values
from bad_inputs import BadInput

PAGE = Path(__file__).resolve().parents[2] / "docs" / "troubleshooting.md"

HEAD = """# Troubleshooting

<!-- Made by `make docs` of the cases that the tests go through; edit those. -->

What is said of {total} bad inputs, word for word: each is made and read by a test. In {stops} of them work cannot go
on: one line says what was given, what is needed, where, and how to mend it, and the command ends with a code other than
0. In the other {goes} it can: the run goes on, and a row of `quality/inputs.tsv`, which the report shows, says what was
odd (its finding and detail stand below) or a note is printed when the run starts. `rasterloom inspect` says most of it
before a run.

`DATA` stands for the folder that the files are in, `...` for what a library says of a damaged file.

"""

TAIL = """## While a run goes on

| what | what happens |
|---|---|
| Ctrl-C, a crash, `kill -9` | the same command goes on; a killed job has left nothing that looks finished |
| a second run in the same results folder | it is refused with the number of the process that holds it |
| the disk is full | the job says so; `rasterloom gc` makes room, `rasterloom plan` says beforehand how much is needed |
| a file of the data set changes meanwhile | the job that reads it stops and asks to start again |
| an artifact is damaged or gone | the job that reads it stops and names it; run `rasterloom verify --mend` and go on |
| a job fails | the last lines of the run repeat what its jobs said, under "What stopped the run:" |
| something would be computed again, and why? | `rasterloom plan --stale` names the key or file that changed |
| a geometry of 100 MB in one field | it is read: half a minute at most, and less than 1.5 GB |

A traceback is a bug of ours: please report it.
"""


def page() -> str:
    """The whole page."""
    chapters: list[tuple[str, Sequence[BadInput]]] = [
        ("The configuration", bad_settings.CASES),
        ("Tables and archives", bad_tables.TABLES),
        ("Images", bad_images.IMAGES),
        ("Numbers in images", bad_values.CASES),
        ("Labels", bad_labels.CASES),
    ]
    every = [bad for _, cases in chapters for bad in cases]
    stops = sum(bad.stops for bad in every)
    head = HEAD.format(total=len(every), stops=stops, goes=len(every) - stops)
    return head + "".join(chapter(title, cases) for title, cases in chapters) + TAIL


def chapter(title: str, cases: Sequence[BadInput]) -> str:
    """One table: what is wrong, an example, what is said; those that stop a run first."""
    lines = [f"## {title}", "", "| what is wrong | given | what is said |", "|---|---|---|"]
    for bad in sorted(cases, key=lambda bad: not bad.stops):
        said = f"`{_cell(bad.says)}`" if bad.stops else f"goes on: `{_cell(bad.says)}`"
        lines.append(f"| {bad.name} | {_text(bad.given)} | {said} |")
    return "\n".join([*lines, "", ""])


def _cell(text: str) -> str:
    """A message between backticks in a table."""
    plain = text.replace("{root}", "DATA").replace("{reason}", "...").replace("`", "'")
    plain = plain.replace("\n", " ⏎ ").replace("\t", " ⇥ ")
    return " ".join(plain.split()).replace("|", "\\|")


def _text(text: str) -> str:
    """What was given: YAML and the like as code, a sentence as it is."""
    code = any(sign in text for sign in "{}[]<>|") or ":" in text
    return f"`{_cell(text)}`" if code else text


def main() -> None:
    """Print or write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name}")
    if parser.parse_args().write:
        PAGE.write_text(page(), encoding="utf-8")
    else:
        print(page(), end="")


if __name__ == "__main__":
    main()
