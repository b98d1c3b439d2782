"""The matrix of partial reruns: what a change makes run and what it makes compute, and the table of it in the docs.

Each row of `matrix_rows.ROWS` is a change to a finished project, the jobs that the next run must have, as Snakemake
counts them, and the items that it must compute, as they are counted in the store. Both are written as expressions of
the project's numbers, of which `matrix_table` makes the table in docs/caching.md.
"""

from __future__ import annotations

import copy
import os
import re
import shutil
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from matrix_shadow import computed, mark
from rasterloom.stages import STAGES
from small_contest import write_contest
from small_recipe import small_recipe
from warm_python import WarmPython

ROOT = Path(__file__).resolve().parents[2]
LABELLED = ("6010_0_0", "6010_0_1", "6020_0_0")
NEW = "6040_0_0"
"""The scene that is predicted and that nobody trains on; its truth is held out."""
SPARE = ("6050_0_0", "6060_0_0")
"""Scenes that grid_sizes.csv lists and of which no image is there."""

NUMBERS = {"S": 4, "T": 3, "N": 1, "C": 2, "M": 3, "m": 2, "K": 2, "F": 1, "A": 3}
LEGEND = {
    "S": "scenes",
    "T": "labelled ones",
    "N": "new ones (predicted, not trained on)",
    "C": "classes",
    "M": "members",
    "m": "members of the class that changes",
    "K": "scales",
    "F": "folds",
    "A": "acquisitions",
}
TOTALS = {
    "register": "S",
    "place": "A",
    "stack": "K*S",
    "normalisation": "1",
    "label": "C",
    "mask": "M*T",
    "split": "C",
    "train": "M*F",
    "predict": "M*S",
    "weigh": "1",
    "ensemble": "C*S",
    "tune": "C",
    "vectorise": "C*S",
}
"""Jobs of every stage that keeps items; no two members of a class share a scale, so a member has masks of its own."""
TABLES = {"wkt": "{c} + 1", "submission": "1", "score": "1", "export": "S", "measure": "1", "report": "1"}
"""Jobs of the final tables where the polygons of {c} classes were written again: ``tables(c)`` in a row."""
READERS: Mapping[str, Sequence[frozenset[str]]] = {
    "quality": (frozenset({"register", "place", "label"}), frozenset({"register", "place"}))
}
"""Final tables that are written again just when one of these stages has run: quality/inputs.tsv, registration.tsv."""

OF_CLASS = "ensemble S, tune 1, vectorise S"
"""What follows the predictions of one class with one member."""
OF_ENSEMBLE = f"weigh 1, {OF_CLASS}"
"""What follows the predictions of the class with several members."""
OF_ALL = "weigh 1, ensemble C*S, tune C, vectorise C*S"
"""What follows the predictions of all classes."""
OF_TWO = f"train 2*F, predict 2*S, {OF_ALL}"
"""What follows the stacks of the coarse scale, which two members use, one of each class."""
AFTER_REGISTRATION = "place A, stack K*S, normalisation 1, mask M*T, from(train)"
AFTER_LABELS = "label C, from(mask)"

CONFIG = small_recipe(
    {"layout": "dstl", "root": "data", "predict": "all", "truth": "truth_wkt.csv"},
    {
        "rgb": {"reference": True, "bands": 3, "registration": "none"},
        "m": {
            "bands": 8,
            "bands_are": ["coastal", "blue", "green", "yellow", "red", "red_edge", "nir", "nir2"],
            "registration": "auto",
            "max_shift": 8,
        },
    },
    trees="linear",
    size=32,
    split=0.7,
    precision="float32",
)
"""The recipe of the base project."""


# Expectations ---------------------------------------------------------------------------------------------


def counts(text: str, numbers: Mapping[str, int] = NUMBERS) -> Counter[str]:
    """The numbers by stage that an expectation stands for.

    Parameters
    ----------
    text : str
        ``none``; or terms separated by commas: ``stage expression``, ``from(stage)`` (that stage and all after it),
        ``tables(c)`` (the final tables where the polygons of c classes were written again).
    numbers : mapping
        Values of the letters in expressions.

    Examples
    --------
    >>> counts("tune 1, vectorise C*S") == {"tune": 1, "vectorise": 8}
    True
    """
    found: Counter[str] = Counter()
    for term in [] if text == "none" else re.split(r",\s*", text):
        if match := re.fullmatch(r"from\((\w+)\)", term):
            later = STAGES[STAGES.index(match[1]) :]
            found.update({stage: _value(total, numbers) for stage, total in TOTALS.items() if stage in later})
            found.update(_tables("C", numbers))
        elif match := re.fullmatch(r"tables\((\w+)\)", term):
            found.update(_tables(match[1], numbers))
        else:
            stage, expression = term.split(" ", 1)
            assert stage in STAGES, term
            found[stage] += _value(expression, numbers)
    return +found


def jobs_for(text: str, numbers: Mapping[str, int] = NUMBERS) -> Counter[str]:
    """As `counts`, with the final tables that read certain stages alone, which an expectation does not name."""
    found = counts(text, numbers)
    read = {stage: sum(bool(stages & found.keys()) for stages in tables) for stage, tables in READERS.items()}
    found.update({stage: number for stage, number in read.items() if number})
    return found


def _tables(classes: str, numbers: Mapping[str, int]) -> dict[str, int]:
    return {stage: _value(number.format(c=classes), numbers) for stage, number in TABLES.items()}


def _value(expression: str, numbers: Mapping[str, int]) -> int:
    return int(eval(expression, {"__builtins__": {}}, dict(numbers)))


# Projects -------------------------------------------------------------------------------------------------


class Project:
    """A user's folder: the repository's files, a tiny data set, a recipe of its own and its results.

    Whatever is run in it is run by `python`, and so are the jobs.
    """

    def __init__(self, folder: Path, python: Path = Path(sys.executable)) -> None:
        self.folder = folder
        self.python = python
        self.environment: dict[str, str] = {}

    @classmethod
    def create(cls, folder: Path, python: Path = Path(sys.executable)) -> Project:
        """A new project that has not run yet."""
        found = cls(folder, python)
        folder.mkdir(parents=True)
        for name in ("Snakefile", "workflow", "profiles", "envs"):
            (folder / name).symlink_to(ROOT / name)
        found.write(CONFIG)
        write_contest(found.data, LABELLED, [NEW], SPARE)
        return found

    def copied(self, folder: Path) -> Project:
        """A copy with all times; its store is not that of the first one any more."""
        subprocess.run(["cp", "-a", self.folder, folder], check=True)
        found = Project(folder, self.python)
        for note in found.results.glob("store/results/*.json"):
            note.unlink()
        return found

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def results(self) -> Path:
        return self.folder / str(self.read()["results"])

    @property
    def store(self) -> Path:
        return self.results / "store"

    def read(self) -> dict[str, Any]:
        """The recipe."""
        table: dict[str, Any] = yaml.safe_load((self.folder / "config.yaml").read_text(encoding="utf-8"))
        return table

    def write(self, table: Mapping[str, Any]) -> None:
        """Replace the recipe."""
        (self.folder / "config.yaml").write_text(yaml.safe_dump(dict(table), sort_keys=False), encoding="utf-8")

    def own_code(self) -> Path:
        """Make the library and the rules the project's own, to be edited; gives their folder."""
        own = self.folder / "workflow"
        if own.is_symlink():
            own.unlink()
            shutil.copytree(ROOT / "workflow", own)
        return own

    def manifest(self, path: str) -> dict[str, Any]:
        """The items of a manifest below the results folder."""
        return dict(yaml.safe_load((self.results / path).read_text(encoding="utf-8"))["items"])

    def call(self, *arguments: str, code: int = 0) -> str:
        """Run ``python -m`` and these arguments in the project; gives what was said, standard error included."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith("RASTERLOOM_")}
        environment |= {"PYTHONPATH": str(self.folder / "workflow"), "OMP_NUM_THREADS": "1", **self.environment}
        done = subprocess.run(
            [self.python, *arguments],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        output = done.stdout + done.stderr
        assert done.returncode == code, output[-6000:]
        return output

    def snakemake(self, *arguments: str, code: int = 0) -> str:
        """Run the workflow as a user would, on one core."""
        overlay = ["--configfile", "mine.yaml"] if (self.folder / "mine.yaml").is_file() else []
        return self.call("-m", "snakemake", "--cores", "1", *arguments, *overlay, code=code)

    def rasterloom(self, *arguments: str, code: int = 0) -> str:
        """Run the command line."""
        return self.call("-m", "rasterloom", *arguments, code=code)


def jobs_table(output: str) -> dict[str, int]:
    """Snakemake's table of jobs: number by rule, and `total`."""
    lines = output.split("Job stats:\n", 1)[1].split("\n\n", 1)[0]
    return {name: int(number) for name, number in re.findall(r"^(\w+) +(\d+)$", lines, re.MULTILINE)}


def jobs_of(output: str) -> Counter[str]:
    """Jobs by rule that a run had, all of them done, without the rule `all`."""
    if "Nothing to be done" in output:
        return Counter()
    found = jobs_table(output)
    total = found.pop("total")
    assert f"{total} of {total} steps (100%) done" in output, output[-3000:]
    found.pop("all", None)
    return Counter(found)


# Rows and their outcomes ----------------------------------------------------------------------------------

Change = Callable[[Project], None]


@dataclass(frozen=True)
class Row:
    """A change and what must follow.

    Attributes
    ----------
    name : str
        Of the test.
    words : str
        What a user does, for the docs.
    change : callable
        Makes the change in a project that has just finished a run.
    jobs, items : str
        Expectations, as `counts` reads them: jobs of the next run, items that it computes.
    start : str
        The row that the change follows; empty: the base project.
    keys : tuple of str
        Keys of the configuration that the row is about, ``*`` standing for any name.
    numbers : mapping
        Numbers of the project that the change has altered.
    arguments : tuple of str
        Of Snakemake.
    """

    name: str
    words: str
    change: Change
    jobs: str
    items: str
    start: str = ""
    keys: tuple[str, ...] = ()
    numbers: Mapping[str, int] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()

    @property
    def expected_jobs(self) -> Counter[str]:
        """Jobs by stage."""
        return jobs_for(self.jobs, {**NUMBERS, **self.numbers})

    @property
    def expected_items(self) -> Counter[str]:
        """Items by stage."""
        return counts(self.items, {**NUMBERS, **self.numbers})


@dataclass(frozen=True)
class Outcome:
    """What a run did, and what is wrong with what it left behind."""

    jobs: Counter[str]
    items: Counter[str]
    faults: list[str]


class Matrix:
    """Outcomes of rows, each worked out once, some at a time.

    Snakemake and its jobs are forks of one warm Python, the checks of what they left behind of another: these two do
    not put sets in the same order, so that what depends on that order is found.

    Parameters
    ----------
    folder : Path
        Where the projects go.
    rows : mapping of name to Row
    """

    def __init__(self, folder: Path, rows: Mapping[str, Row]) -> None:
        self._folder = folder
        self._runner, self._checker = (WarmPython(folder / name) for name in (".run", ".check"))
        self._rows = rows
        self._known: dict[str, Future[Outcome]] = {}
        self._lock = threading.Lock()
        # The row that another one follows has always begun before it, so any number of threads will do.
        self._pool = ThreadPoolExecutor(os.cpu_count())

    def begin(self, names: Iterable[str]) -> None:
        """Start working on rows."""
        for name in names:
            self._future(name)

    def outcome(self, name: str) -> Outcome:
        """The outcome of a row; "" is the first run of the base project."""
        return self._future(name).result()

    def close(self) -> None:
        """Leave out what has not begun."""
        self._pool.shutdown(cancel_futures=True)
        self._runner.close()
        self._checker.close()

    def project(self, name: str) -> Project:
        """The project as a row has left it."""
        return Project(self._folder / (name or "base"), self._runner.executable)

    def _future(self, name: str) -> Future[Outcome]:
        if name:
            self._future(self._rows[name].start)
        with self._lock:
            if name not in self._known:
                self._known[name] = self._pool.submit(self._work, name)
            return self._known[name]

    def _work(self, name: str) -> Outcome:
        if not name:
            return self._run(Project.create(self._folder / "base", self._runner.executable))
        row = self._rows[name]
        self.outcome(row.start)
        project = self.project(row.start).copied(self._folder / name)
        row.change(project)
        return self._run(project, *row.arguments)

    def _run(self, project: Project, *arguments: str) -> Outcome:
        if project.store.is_dir():
            mark(project.store)
        output = project.snakemake(*arguments)
        items = computed(project.store)
        project.environment = {}
        checked = Project(project.folder, self._checker.executable)
        found = checked.call(str(ROOT / "tests/support/matrix_shadow.py"), project.results.name).splitlines()
        jobs = jobs_of(output)
        if jobs and (again := jobs_of(project.snakemake())):
            found.append(f"a second run does something: {dict(again)}")
        return Outcome(jobs, items, [line for line in found if line])


# What rows are made of ------------------------------------------------------------------------------------


def put(path: str, value: Any) -> Change:
    """Set a key of the recipe, given by its names and dots; numbers are places in a list, None removes it."""

    def change(project: Project) -> None:
        project.write(changed(project.read(), path, value))

    return change


def changed(table: Mapping[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy of a recipe with one key set, or removed if `value` is None."""
    whole = copy.deepcopy(dict(table))
    *parents, last = [int(name) if name.isdecimal() else name for name in path.split(".")]
    inner: Any = whole
    for name in parents:
        inner = inner[name] if isinstance(inner, list) else inner.setdefault(name, {})
    if value is None:
        inner.pop(last, None)
    elif isinstance(inner, list) and last == len(inner):
        inner.append(value)
    else:
        inner[last] = value
    return whole


def both(*changes: Change) -> Change:
    """Several changes, one after the other."""

    def change(project: Project) -> None:
        for each in changes:
            each(project)

    return change


def nothing(project: Project) -> None:
    """No change."""
