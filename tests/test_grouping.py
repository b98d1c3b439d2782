"""Values by key, in the order in which they come."""

from __future__ import annotations

import doctest

from rasterloom import grouping
from rasterloom.grouping import grouped


def test_examples_of_the_docstrings() -> None:
    failed, tried = doctest.testmod(grouping)
    assert (failed, tried > 0) == (0, True)


def test_grouped_keeps_the_order_of_keys_and_of_values() -> None:
    pairs = iter([("b", 2), ("a", 1), ("b", 1), ("a", 1)])
    assert list(grouped(pairs).items()) == [("b", [2, 1]), ("a", [1, 1])]


def test_grouped_nothing_is_nothing() -> None:
    nothing: list[tuple[str, int]] = []
    assert grouped(nothing) == {}
