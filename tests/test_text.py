"""Words and numbers for messages, tables and pages."""

from __future__ import annotations

import doctest
import math

import pytest

from rasterloom import text


def test_examples_in_the_docstrings() -> None:
    failed, tried = doctest.testmod(text)
    assert tried >= 10 and not failed


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0, "0.0 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 00 s"),
        (3599.6, "1 h 00 min"),
        (47 * 3600, "47 h 00 min"),
        (48 * 3600, "2 d 00 h"),
        (math.inf, text.NOTHING),
    ],
)
def test_duration_where_units_change(value: float, words: str) -> None:
    assert text.duration(value) == words


@pytest.mark.parametrize(
    ("value", "words"), [(0.09999, "10.0 %"), (0.1, "10 %"), (0.999, "100 %"), (0.9995, "> 99.9 %"), (1e-9, "0.000 %")]
)
def test_share_where_digits_change(value: float, words: str) -> None:
    assert text.share(value) == words


def test_gigabytes_where_units_change() -> None:
    assert [text.gigabytes(size) for size in (0, 9.4e8, 9.6e8, 99.96e9, 100e9)] == [
        "0.0 MB",
        "940.0 MB",
        "1.0 GB",
        "100.0 GB",
        "100 GB",
    ]


def test_few_names_only_what_is_left() -> None:
    assert [text.few(range(count)) for count in range(4)] == ["", "0", "0, 1", "0, 1 and 1 more"]


def test_table_aligns_and_strips() -> None:
    rows = [["name", "n", ""], ["x", "1,000", ""]]
    assert text.table(rows, right=range(1, 99)) == ["  name      n", "  x     1,000"]
    assert text.table([]) == []


def test_brief_keeps_short_texts() -> None:
    assert (text.brief("abc", 3), text.brief("abcd", 3)) == ("abc", "ab…")


def test_nearest_and_hint_name_what_is_valid() -> None:
    assert text.nearest("tres", ["trees", "roads"]) == "did you mean `trees`?"
    assert text.nearest("TREE", ["trees", "roads"]) == "did you mean `trees`?"
    assert text.nearest("x", []) == "valid: none" and text.nearest("x", ["b", "a"]) == "valid: b, a"
