"""docs/troubleshooting.md says what the tests of bad input compare."""

from __future__ import annotations

from bad_images import IMAGES
from bad_inputs import BadInput
from troubleshooting import PAGE, chapter, page


def test_page_is_made_of_the_cases() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run `make docs`"


def test_chapter_escapes_what_would_break_a_table() -> None:
    odd = BadInput("a bar", given="a | b", stops=True, says="{root}/x `y` | z")
    assert chapter("Odd", [odd]).splitlines()[4] == "| a bar | `a \\| b` | `DATA/x 'y' \\| z` |"


def test_every_case_has_a_line() -> None:
    lines = page().splitlines()
    assert all(any(line.startswith(f"| {bad.name} |") for line in lines) for bad in IMAGES)
