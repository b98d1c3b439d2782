"""Guarded functions end the process: Snakemake would swallow what they raise."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest

from rasterloom.planning.guard import guarded

Python = Callable[..., "subprocess.Popen[str]"]

CODE = """
from rasterloom.errors import ConfigError, MissingInputError
from rasterloom.planning.guard import guarded

@guarded
def call(wildcards):
    {statement}

print("before")
try:
    call(1)
except BaseException:
    print("caught")
finally:
    print("after")
"""


def run(python: Python, statement: str) -> tuple[int, str, str]:
    process = python(CODE.format(statement=statement))
    out, err = process.communicate()
    return process.returncode, out, err


@pytest.mark.parametrize("kind", ["ConfigError", "MissingInputError"])
def test_guarded_user_error_is_one_line_and_code_1(python: Python, kind: str) -> None:
    code, out, err = run(python, f"raise {kind}('no scale is called `x`')")
    assert (code, out, err) == (1, "before\n", "rasterloom: no scale is called `x`\n")


@pytest.mark.parametrize("statement", ["1 / 0", "raise KeyError('x')", "open('/nowhere/at/all')"])
def test_guarded_bug_keeps_its_traceback_and_code_1(python: Python, statement: str) -> None:
    code, out, err = run(python, statement)
    assert (code, out) == (1, "before\n")
    assert err.startswith("Traceback")
    assert "in call" in err


def test_guarded_lets_go_of_what_ends_a_run_anyway(python: Python) -> None:
    code, out, _ = run(python, "raise KeyboardInterrupt")
    assert (code, out) == (0, "before\ncaught\nafter\n")


def test_guarded_gives_the_value_and_keeps_the_name() -> None:
    @guarded
    def add(one: int, *, two: int) -> int:
        """Add."""
        return one + two

    assert add(1, two=2) == 3
    assert (add.__name__, add.__doc__) == ("add", "Add.")
