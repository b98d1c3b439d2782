"""docs/troubleshooting.md has every case of bad input, and what it says of each fits that case alone."""

from __future__ import annotations

from bad_inputs import BadInput, fits
from troubleshooting import CASES, PAGE, cell, chapter, page, said_on

TEXT = PAGE.read_text(encoding="utf-8")
SAID = said_on(TEXT)


def told_of(bad: BadInput, name: str) -> bool:
    """Whether what the page says of a case fits another."""
    return fits([cell(part) for part in bad.says], SAID[name])


def test_page_has_the_cases_in_their_order() -> None:
    assert len(SAID) == len(CASES) and page(SAID) == TEXT, "run `make docs`"


def test_what_is_said_of_a_case_fits_it_alone() -> None:
    """Cases that ask for the same parts have one message."""
    assert [bad.name for bad in CASES if not told_of(bad, bad.name)] == [], "run `make docs`"
    pairs = [(bad, other) for bad in CASES for other in CASES if other.says != bad.says]
    assert [(bad.name, other.name) for bad, other in pairs if told_of(bad, other.name)] == []


def test_chapter_escapes_what_would_break_a_table() -> None:
    odd = BadInput("a bar", "a | b", (), lambda root: [])
    lines = chapter("Odd", [odd], {"a bar": [cell("{root}/x `y` | z")]}).splitlines()
    assert lines[4] == "| a bar | `a \\| b` | `DATA/x 'y' \\| z` |"
