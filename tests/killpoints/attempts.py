"""Attempts: a job of a stage, or a whole run, that dies or fails at each of its calls, and the same command again."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import project
from checks import Tally, different, faults_of_finished, faults_of_words
from durable import Page
from forks import COUNTS, PAGE, Forks, aside, serve_jobs, warm_up
from project import Case, State
from rasterloom.cli import main

STATES = {
    "new": "nothing of the job is there",
    "found": "the store has its artifacts",
    "again": "everything is there, and is to be computed again",
}
"""States before a job of a stage."""

DRIVER, TREE = "a run's Snakemake", "a run and its jobs"
"""Names in place of a job's: calls of Snakemake alone count, or those of its jobs too; all of it dies."""

TARGETS = {"settling": ["results/score.tsv"], "changed": ["results/score.tsv"], "nothing": []}
"""States before a run (the store has everything and the results nothing; a threshold was changed; nothing is there),
with the files that it is asked for."""

PATIENCE = 0.4
"""Seconds after which a run that waits for a stopped one sees it die."""

Faults = list[str]


class Attempts:
    """A tiny finished project, and all that can be tried with it.

    Parameters
    ----------
    work : Path
        A folder for everything that is written.
    """

    def __init__(self, work: Path) -> None:
        self.folder = work / "project"
        self.results, self.other = self.folder / "results", self.folder / "other"
        self.full, self.start = work / "full", work / "start"
        project.create(self.folder)
        os.chdir(self.folder)
        self.forks = Forks(self.folder, Page(work / "page", self.folder), work)
        self.jobs = project.all_jobs(self.folder)
        self.chosen = project.chosen(self.jobs)
        self._known: set[str] = set()
        self._server: int | None = None
        aside(self._finish)

    def _finish(self) -> None:
        warm_up()
        for job in self.jobs:
            self._undisturbed(partial(main, job.arguments), {})
            self.forks.learn()
        self.results.rename(self.full)

    def _undisturbed(self, command: Callable[[], int], environment: Mapping[str, str]) -> None:
        code, said = self.forks.run(command, dict(environment))
        assert code == 0, f"without any kill: exit code {code}\n{said}"

    def _put(self) -> None:
        """The state before the attempt in place of what there is."""
        shutil.rmtree(self.results, ignore_errors=True)
        shutil.rmtree(self.folder / ".snakemake", ignore_errors=True)
        if self.start.exists():
            shutil.copytree(self.start, self.results, symlinks=True)

    # A job of a stage ---------------------------------------------------------------------------------------

    def of_job(self, tally: Tally, every: int) -> None:
        """Try every so many-th point of a job."""
        job = next(job for job in self.chosen if job.name == tally.name)
        if job.name not in self._known:
            self._learn(job)
        environment = {"RASTERLOOM_RECOMPUTE": job.stage} if tally.state == "again" else {}
        shutil.rmtree(self.start, ignore_errors=True)
        project.before(self.full, self.jobs, job, self.start, tally.state == "new")
        self._put()
        if tally.state == "again":
            self._undisturbed(partial(main, job.arguments), {})
            shutil.rmtree(self.start)
            self.results.rename(self.start)
            self._put()
        untouched = project.seen(self.results)
        self._undisturbed(partial(main, job.arguments), environment)
        expected = project.seen(self.results)
        if tally.way == "paired":
            self._each_point(tally, every, lambda: self._pair(job, environment, tally, expected))
        else:
            command = partial(main, job.arguments)
            self._each_point(tally, every, lambda: self._one(command, environment, tally, untouched, expected))

    def _learn(self, job: Case) -> None:
        """Import what a job imports, and nothing else: the larger a process, the longer it takes to fork."""
        self._known.add(job.name)
        shutil.rmtree(self.start, ignore_errors=True)
        project.before(self.full, self.jobs, job, self.start, True)
        self._put()
        self._undisturbed(partial(main, job.arguments), {})
        self.forks.learn()

    def _each_point(self, tally: Tally, every: int, attempt: Callable[[], Faults]) -> None:
        began, page = time.monotonic(), self.forks.page
        for at in range(1, sys.maxsize, every):
            self._put()
            page.tell(at, tally.action)
            faults = attempt()
            if page.hit is None:
                tally.faults += [f"none at {at}: {fault}" for fault in faults]
                break
            kind, path = page.hit
            tally.points += 1
            tally.kinds[kind] = tally.kinds.get(kind, 0) + 1
            tally.faults += [f"{at} {kind} {path}: {fault}" for fault in faults]
        tally.seconds = time.monotonic() - began

    def _one(
        self, command: Callable[[], int], environment: dict[str, str], tally: Tally, untouched: State, expected: State
    ) -> Faults:
        code, said = self.forks.run(command, environment, armed=True)
        hit, faults = self.forks.page.hit, []
        if tally.action > 0:
            faults += faults_of_words(code, said, tally.action) if code else []
            tally.said += code != 0
        elif hit is not None and code != -signal.SIGKILL:
            faults.append(f"exit code {code} instead of a death: {said[-500:]}")
        if code:
            faults += faults_of_finished(project.seen(self.results), untouched, expected)
            again, words = self.forks.run(command, environment)
            faults += [f"the same command ends with {again}: {words[-1500:]}"] if again else []
        return faults + different(project.seen(self.results), expected)

    def _pair(self, job: Case, environment: Mapping[str, str], tally: Tally, expected: State) -> Faults:
        """One of two runs stops, the other one goes on; its results folder has the same store.

        Should it wait for the first, that one dies now, else when the other one has ended.
        """
        shutil.rmtree(self.other, ignore_errors=True)
        shutil.copytree(self.start, self.other, symlinks=True, ignore=shutil.ignore_patterns("store"))
        (self.other / "store").symlink_to("../results/store")
        shared = {**environment, "RASTERLOOM_STORE": "results/store"}
        commands = {name: partial(main, [*job.arguments, "--results", name]) for name in ("results", "other")}
        first = self.forks.start(commands["results"], shared, armed=True, said="first")
        _, status = os.waitpid(first, os.WUNTRACED)
        if not os.WIFSTOPPED(status):
            return [f"the first run alone ends with {status}"] if status else []
        second = self.forks.start(commands["other"], shared, said="second")
        code = _wait(second, PATIENCE)
        tally.said += code is None
        os.kill(first, signal.SIGKILL)
        os.waitpid(first, 0)
        if code is None and (code := _wait(second, 60)) is None:
            os.kill(second, signal.SIGKILL)
            os.waitpid(second, 0)
        faults = [f"the other run ends with {code}: {self.forks.words('second')[-1500:]}"] if code != 0 else []
        for name, command in commands.items():
            again, words = self.forks.run(command, shared)
            faults += [f"{name}: the same command ends with {again}: {words[-1500:]}"] if again else []
            now = project.seen(self.folder / name, self.results / "store")
            faults += [f"{name}: {fault}" for fault in different(_shared(now), _shared(expected))]
        return faults

    # A whole run --------------------------------------------------------------------------------------------

    def of_run(self, tally: Tally, every: int) -> None:
        """Try every so many-th point of a run of Snakemake."""
        if self._server is None:
            warm_up()
            self.python, self._server = serve_jobs(self.folder.parent / "jobs")
        shutil.rmtree(self.start, ignore_errors=True)
        if tally.state != "nothing":
            shutil.copytree(self.full, self.start, symlinks=True)
        for path in self.start.iterdir() if tally.state == "settling" else ():
            if path.name != "store":
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        self._put()
        overlay = self.folder / "mine.yaml"
        overlay.write_text("classes: {buildings: {polygons: {threshold: 0.7}}}\n", encoding="utf-8")
        options = ["--configfile", overlay.name] if tally.state == "changed" else []
        command = partial(self._snakemake, [*TARGETS[tally.state], "--cores", "1", *options])
        environment = {PAGE: str(self.forks.page.path), COUNTS: str(int(tally.name == TREE))}
        untouched = project.seen(self.results)
        self.forks.page.tell(0, tally.action)
        self._undisturbed(command, environment)
        self.forks.learn()
        expected = project.seen(self.results)
        self._each_point(tally, every, lambda: self._one(command, environment, tally, untouched, expected))
        self.forks.page.tell(0, tally.action)

    def _snakemake(self, arguments: list[str]) -> int:
        """Run Snakemake here, its jobs by the server of jobs."""
        from snakemake.cli import main as snakemake

        sys.executable = str(self.python)
        sys.argv = ["snakemake", *arguments]
        snakemake(arguments)
        return 0


def _shared(state: State) -> State:
    """Without the notes of who uses the store, who are two here; links lead elsewhere."""
    return {
        path: "link" if value.startswith("link to ") and "not there" not in value else value
        for path, value in state.items()
        if not path.startswith("store/results/")
    }


def _wait(process: int, seconds: float) -> int | None:
    """The exit code of a process that ends in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(process, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    return None
