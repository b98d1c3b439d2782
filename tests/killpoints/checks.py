"""What is to be seen after a kill, what was tried, and the table of it."""

from __future__ import annotations

import errno
import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from durable import KILL, STOP, TEAR
from project import State
from rasterloom.cli import _NO_ROOM

ERRORS = (errno.ENOSPC, errno.EROFS, errno.EIO, errno.ENOLCK)
"""Errors that calls fail with."""

WAYS = {"killed": (KILL,), "torn": (TEAR,), "failed": ERRORS, "paired": (STOP,)}


@dataclass
class Tally:
    """What was tried of a job in one state in one way.

    Attributes
    ----------
    name, state, way : str
    action : int
        What happened at the points.
    points : int
        Points at which it happened.
    kinds : dict of str to int
        These by kind of call.
    said : int
        Commands that an error ended, with words; of two runs, those of which one waited for the other.
    faults : list of str
        What was wrong.
    seconds : float
    """

    name: str
    state: str
    way: str
    action: int
    points: int = 0
    kinds: dict[str, int] = field(default_factory=Counter)
    said: int = 0
    faults: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def __str__(self) -> str:
        word = errno.errorcode.get(self.action, "")
        faults = "".join(f"\n  {fault}" for fault in self.faults[:3])
        head = f"{self.name}, {self.state}, {self.way} {word}".strip()
        return f"{head}: {self.points} in {self.seconds:.0f} s, {len(self.faults)} faults{faults}"


def faults_of_words(code: int, said: str, error: int) -> list[str]:
    """What is wrong with the words of a command that a failing call has ended."""
    lines = [line for line in said.splitlines() if line.startswith("rasterloom: ")]
    remedies = [*_NO_ROOM.values()] if error == errno.ENOLCK else [_NO_ROOM[error]]
    if "Traceback" in said or code != 1:
        return [f"exit code {code}: {said[-1800:]}"]
    if not lines or not said.rstrip().endswith(lines[-1]):
        return [f"no line at the end: {said[-600:]}"]
    if not any(remedy in lines[-1] for remedy in remedies) or not re.search(r"(results|other)/[\w./-]+", lines[-1]):
        return [f"without file or remedy: {lines[-1]}"]
    return []


def faults_of_finished(now: State, untouched: State, expected: State) -> list[str]:
    """Files that look finished and are wrong.

    The curve of a training may be followed while it is written; the state of one is left behind to go on from.
    """
    return [
        f"looks finished: {path} is {value}"
        for path, value in now.items()
        if value not in (untouched.get(path), expected.get(path), "left behind") and not path.startswith("training/")
    ]


def different(now: State, expected: State) -> list[str]:
    """Where two states differ. The state of a finished training may be left behind: `rasterloom gc` removes it."""
    both = {path for path in now.keys() | expected.keys() if now.get(path) != "left behind"}
    names = sorted(path for path in both if now.get(path) != expected.get(path))
    return [f"{path} is {now.get(path, 'missing')} instead of {expected.get(path, 'missing')}" for path in names]


class Notes:
    """Tallies of earlier calls, a line of JSON each; those of another code do not count.

    Parameters
    ----------
    path : Path
        The file.
    code : sequence of Path
        Folders whose Python files the tallies depend on.
    """

    def __init__(self, path: Path, code: Sequence[Path]) -> None:
        found = hashlib.sha256()
        for file in sorted(file for folder in code for file in folder.rglob("*.[pc]*") if file.suffix in (".py", ".c")):
            found.update(file.read_bytes())
        self.path, self.code = path, found.hexdigest()[:16]
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        kept = [json.loads(line) for line in lines]
        self.tallies = [Tally(**one["tally"]) for one in kept if one["code"] == self.code]

    def has(self, *names: object) -> bool:
        """Whether something was tried: name, state, way and action."""
        return any((one.name, one.state, one.way, one.action) == names for one in self.tallies)

    def add(self, tally: Tally) -> None:
        """Keep a tally."""
        self.tallies.append(tally)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"code": self.code, "tally": vars(tally)}) + "\n")


def _points(*ways: str) -> Callable[[Sequence[Tally]], int]:
    return lambda own: sum(one.points for one in own if one.way in ways)


COLUMNS: dict[str, Callable[[Sequence[Tally]], int]] = {
    "killed": _points("killed", "torn"),
    "of two runs one killed": _points("paired"),
    "calls that fail": _points("failed"),
    "of these said": lambda own: sum(one.said for one in own if one.way == "failed"),
    "tracebacks": lambda own: sum("Traceback" in fault for one in own for fault in one.faults),
    "not equal in the end": lambda own: sum(len({fault.split(":")[0] for fault in one.faults}) for one in own),
}
"""Columns of the table: their numbers of the tallies of a stage."""


def table(tallies: Sequence[Tally]) -> str:
    """A line per job, and one for all."""
    names = list(dict.fromkeys(one.name for one in tallies))
    rows = [(name, [one for one in tallies if one.name == name]) for name in names] + [("all", list(tallies))]
    lines = ["| job | " + " | ".join(COLUMNS) + " |", "|---|" + "---|" * len(COLUMNS)]
    lines += [f"| {name} | " + " | ".join(f"{count(own):,}" for count in COLUMNS.values()) + " |" for name, own in rows]
    return "\n".join(lines)
