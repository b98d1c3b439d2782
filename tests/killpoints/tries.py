"""What `campaign` starts, with the library of kill points loaded: the attempts, and the table of them."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from attempts import DRIVER, STATES, TREE, Attempts
from checks import WAYS, Notes, Tally, table
from durable import KILL
from forks import aside

HERE = Path(__file__).resolve().parent
CODE = [HERE.parents[1] / "workflow/rasterloom", HERE]
"""Folders of the code that notes depend on."""

RUNS = {DRIVER: ("settling", "changed"), TREE: ("changed", "nothing")}
"""States before a run in which it is tried."""

SPARSE = {"settling": 3, "changed": 3, "nothing": 60}
"""States before a run, which takes seconds: each so many-th point is tried."""


def plan(names: list[str]) -> Iterator[Tally]:
    """All that is to be tried of jobs and runs."""
    for name in names:
        for way, actions in WAYS.items():
            states = {"killed": tuple(STATES), "failed": ("new", "found")}.get(way, ("new",))
            yield from (Tally(name, state, way, action) for action in actions for state in states)
    yield from (Tally(name, state, "killed", KILL) for name, states in RUNS.items() for state in states)


def step(tally: Tally) -> int:
    """Of how many points one is tried."""
    return SPARSE.get(tally.state, 1)


def chosen(tally: Tally, options: argparse.Namespace) -> bool:
    """Whether the options ask for it."""
    named = not options.only or bool({tally.name, tally.name.split(" (")[0]} & {*options.only})
    return named and tally.way in options.how and (not options.states or tally.state in options.states)


def sampled(tallies: list[Tally]) -> list[Tally]:
    """Of each job one state and way, another one of the next job; no run, which takes seconds."""
    names = [name for name in dict.fromkeys(tally.name for tally in tallies) if name not in (DRIVER, TREE)]
    by_name = [[tally for tally in tallies if tally.name == name] for name in names]
    return [own[5 * number % len(own)] for number, own in enumerate(by_name)]


@contextlib.contextmanager
def work_folder() -> Iterator[Path]:
    """A folder for everything, in memory where that can be had: nothing here asks whether a disk keeps its word."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None, prefix="kills-") as name:
        yield Path(name)


def main(options: argparse.Namespace) -> int:
    """Try what the options say; 1 if something was wrong."""
    os.environ.pop("LD_PRELOAD", None)  # commands that are started are not to be watched
    end = time.monotonic() + options.seconds
    with work_folder() as work:
        path = options.notes.absolute() if options.notes else work / "notes.jsonl"
        attempts = Attempts(work)
        tallies = list(plan([job.name for job in attempts.chosen]))
        asked = sampled(tallies) if options.sample else [one for one in tallies if chosen(one, options)]

        def try_all(name: str) -> None:
            notes = Notes(path, CODE)
            for tally in asked:
                known = notes.has(tally.name, tally.state, tally.way, tally.action)
                if tally.name == name and not known and time.monotonic() < end:
                    attempt = attempts.of_run if name in RUNS else attempts.of_job
                    attempt(tally, options.every * step(tally))
                    notes.add(tally)
                    print(tally, file=sys.stderr, flush=True)

        for name in dict.fromkeys(tally.name for tally in asked):
            if time.monotonic() < end:
                aside(lambda: try_all(name))  # noqa: B023
        if time.monotonic() >= end:
            print("the time is up: the same command goes on", file=sys.stderr)
        found = Notes(path, CODE).tallies
    print(table(found))
    return int(any(tally.faults for tally in found))


if __name__ == "__main__":
    from campaign import parser

    sys.exit(main(parser().parse_args()))
