"""Settling: before the graph is built, one process writes the manifests of all jobs whose artifacts the store has.

Snakemake then gets the jobs that have something to compute, and those that write a table of what they compute. An
output is as it should be if it was made with the present slice of the recipe, source files and contents of its inputs,
and is what was written then; that is noted beside it. A job whose inputs are not as they should be waits for them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rasterloom.errors import RasterloomError
from rasterloom.planning.graph import Dag
from rasterloom.stages import folder_of, module_of
from rasterloom.store.digest import digest
from rasterloom.store.job import Job, Wanted, asked_path, content
from rasterloom.store.manifest import Manifest
from rasterloom.store.store import Item, Store

READ = 3 << 29
"""Bytes of changed source files that are read at most, one after the other; what is more is left to jobs."""

IN_VAIN = 16
"""Jobs in turn whose source files were read for nothing, after which no more are read: they are new, not touched."""


@dataclass
class _SettlingJob(Job):
    """A job of which is asked what it wants; what it may read of source files is limited."""

    settled: Any = None

    def find(self, want: Wanted) -> Item | None:
        return super().find(want) if self.settled.writes else self.store.lookup(self.stage, want.key)

    def reading(self, size: int) -> bool:
        if size > self.settled.left:
            raise RasterloomError("what is more is left to jobs")
        self.settled.left -= size
        return bool(self.settled.writes)


class Settled:
    """The outputs of a full run that are as they should be.

    Parameters
    ----------
    dag : Dag
    store : Store
    looks : bool
        Whether artifacts are looked for where an output is not there or was made for something else.
    writes : bool
        Whether manifests of artifacts that are found are written; else it is as if they were there.

    Attributes
    ----------
    fresh : set of str
        Outputs that are as they should be, relative to the results folder.
    jobs, found : int
        Jobs whose manifests were written (or would be), and their items.
    left : int
        Bytes of source files that may yet be read.
    """

    def __init__(self, dag: Dag, store: Store, *, looks: bool, writes: bool) -> None:
        self.dag, self.store = dag, store
        self.looks, self.writes = looks, writes
        self.fresh: set[str] = set()
        self.jobs = self.found = 0
        self.left, self._vain = READ, 0
        self._planned: dict[str, Manifest] = {}
        self._contents: dict[str, str] = {}
        self.outputs = {path for paths in dag.outputs().values() for path in paths}
        for stage, names in dag.in_order():
            self.judge(stage, names)
        for path, (stage, jobs) in dag.batched.items() if writes else ():
            if jobs.keys() <= self.fresh and not (dag.results / path).exists():
                Manifest(stage).write(dag.results / path)

    def judge(self, stage: str, names: Mapping[str, str]) -> None:
        """Find out whether the output of a job is as it should be; make it so if its artifacts are there."""
        module, results = module_of(stage), self.dag.results
        output = module.OUTPUT.format(**names)
        try:
            spec, sources = self.dag.spec(stage, **names), self.dag.sources(stage, **names)
        except (RasterloomError, OSError):  # is said if the job is asked for
            return
        inputs = module.inputs(spec)
        if any(path in self.outputs and path not in self.fresh for path in inputs):
            return
        path, note = results / output, asked_path(results, output)
        folder = folder_of(stage, path)
        job = _SettlingJob(spec, sources, results, self.store, path, folder, True, planned=self._planned, settled=self)
        noted = note.read_text("utf-8", errors="replace").split()[:1] if path.exists() and note.exists() else []
        if noted == [job.asked(inputs, self._content)]:
            self.fresh.add(output)
        elif self.looks and output in self.outputs and hasattr(module, "wanted") and (self.store.root / stage).is_dir():
            self._settle(job, output)

    def _settle(self, job: Job, output: str) -> None:
        """Write the manifest of a job if the store has all its items; an error is left to the job, which says it."""
        module, items, left = module_of(job.stage), {}, self.left
        try:
            for want in module.wanted(job):
                if (item := job.find(want)) is None:
                    if self.left < left:
                        self._vain += 1
                        self.left = self.left if self._vain < IN_VAIN else 0
                    return
                items[want.name] = item
        except (RasterloomError, OSError):
            return
        self.fresh.add(output)
        self._vain = 0 if self.left < left else self._vain
        self.jobs += 1
        self.found += len(items)
        self._planned[output] = Manifest(job.stage, items)
        self._contents[output] = digest(self._planned[output].text().encode())
        if self.writes:
            getattr(module, "finish", Job.finish)(job, items)
            job.remember(module.inputs)

    def _content(self, path: str) -> str:
        """What the file of an output holds, or would hold."""
        if path not in self._contents:
            self._contents[path] = content(self.dag.results / path)
        return self._contents[path]
