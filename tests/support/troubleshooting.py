"""docs/troubleshooting.md: the cases of bad input that the tests go through are made, and what is said is printed.

python tests/support/troubleshooting.py           print the page
python tests/support/troubleshooting.py --write   write it
"""

from __future__ import annotations

import argparse
import contextlib
import io
import re
import tempfile
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

<!-- `make docs` makes each case and prints what is said of it; edit the cases, tests/support/bad_*.py. -->

What is said of {total} bad inputs. The tests make each and read whether the message says what a user needs. In {stops}
of them work cannot go on: one line says what was given, what is needed, where, and how to mend it, and the command ends
with a code other than 0. In the other {goes} it can: the run goes on, and a row of `quality/inputs.tsv`, which the
report shows, says what was odd (its finding and detail stand below) or a note is printed when the run starts.
`rasterloom inspect` says most of it before a run. Of a configuration that is no YAML, Snakemake says only that;
`rasterloom plan` with the same `--configfile` names the line.

`DATA` stands for the folder that the files are in. What is said in brackets of a damaged file comes from a library and
changes with its version.

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


CHAPTERS: dict[str, list[BadInput]] = {
    "The configuration": bad_settings.CASES,
    "Tables and archives": bad_tables.CASES,
    "Images": bad_images.CASES,
    "Numbers in images": bad_values.CASES,
    "Labels": bad_labels.CASES,
}
CASES = [bad for cases in CHAPTERS.values() for bad in cases]


Said = dict[str, list[str]]
"""The names of cases, and what is said of each, spelt as in a cell of the page."""


def said_of_each() -> Said:
    """Make every case; what jobs tell of their progress is dropped."""
    said = {}
    for bad in CASES:
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
            said[bad.name] = [cell(text) for text in bad.said(Path(folder).resolve())]
    return said


def page(said: Said) -> str:
    """The whole page."""
    stops = sum(bad.stops for bad in CASES)
    head = HEAD.format(total=len(CASES), stops=stops, goes=len(CASES) - stops)
    return head + "".join(chapter(title, cases, said) for title, cases in CHAPTERS.items()) + TAIL


def chapter(title: str, cases: Sequence[BadInput], said: Said) -> str:
    """One table: what is wrong, an example, what is said; those that stop a run first."""
    lines = [f"## {title}", "", "| what is wrong | given | what is said |", "|---|---|---|"]
    for bad in sorted(cases, key=lambda bad: not bad.stops):
        told = ", ".join(f"`{text}`" for text in said[bad.name]) or "nothing"
        lines.append(f"| {bad.name} | {_text(bad.given)} | {'' if bad.stops else 'goes on: '}{told} |")
    return "\n".join([*lines, "", ""])


def said_on(page: str) -> Said:
    """What a page says of each case."""
    rows = re.findall(r"^\| (.+?) \| .* \| (?:goes on: )?(?:nothing|`(.*)`) \|$", page, re.MULTILINE)
    return {name: told.split("`, `") if told else [] for name, told in rows}


def cell(text: str) -> str:
    """A message, or a part of one, as it stands between backticks in a table."""
    plain = text.replace("{root}", "DATA").replace("`", "'")
    plain = plain.replace("\n", " ⏎ ").replace("\t", " ⇥ ")
    return " ".join(plain.split()).replace("|", "\\|")


def _text(text: str) -> str:
    """What was given: YAML and the like as code, a sentence as it is."""
    code = any(sign in text for sign in "{}[]<>|") or ":" in text
    return f"`{cell(text)}`" if code else text


def main() -> None:
    """Print or write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name}")
    if parser.parse_args().write:
        PAGE.write_text(page(said_of_each()), encoding="utf-8")
    else:
        print(page(said_of_each()), end="")


if __name__ == "__main__":
    main()
