"""What the `.smk` files ask of the library: plain functions of wildcards, without a line of Snakemake."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from rasterloom.config.files import read_config_files
from rasterloom.config.load import recorded
from rasterloom.errors import RasterloomError
from rasterloom.planning.graph import Dag
from rasterloom.planning.guard import guarded
from rasterloom.stages import recomputed
from rasterloom.store.files import write_json, write_text
from rasterloom.store.folders import OUTPUTS_NOTE
from rasterloom.store.job import OUTPUTS, asked_digest, asked_path
from rasterloom.store.lock import hold

Wildcards = Mapping[str, str]

_SAID = "rasterloom: "
"""What the line begins with that a job says its mistake in."""


def lift_rate_limit(scheduler: Any) -> None:
    """Take away Snakemake's default limit of 100 jobs a second; one that a user chose stays.

    Snakemake 9 starts a timer at each evaluation of what may run, and each timer causes another evaluation, so that
    their number grows with every job that ends: after some hundred jobs they take a quarter of a core.

    Parameters
    ----------
    scheduler : Snakemake's scheduler of the run that starts
    """
    limiter = getattr(scheduler, "job_rate_limiter", None)
    if limiter is not None and (limiter.max_jobs, limiter.timespan) == (100, 1):
        scheduler.job_rate_limiter = None


def prepare_jobs() -> None:
    """Let jobs run ``python -m rasterloom`` with this library, and with this interpreter.

    A rule's conda environment is activated in the job and goes before the interpreter.
    """
    library = str(Path(__file__).resolve().parents[2])
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [library, os.environ.get("PYTHONPATH")]))
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])


class Rules:
    """The jobs of one configuration, as input functions and parameters of rules.

    Every function that Snakemake may call while it builds the graph is guarded: an error in it ends the run.
    """

    workflow: Any = None
    as_file: Callable[[str], Any] = str

    def __init__(self, dag: Dag, merged: Mapping[str, Any]) -> None:
        self.dag = dag
        self.merged = merged
        self.results = dag.results
        self._lock: IO[str] | None = None
        outputs = dag.outputs()
        self.targets = [f"{self.results}/{path}" for paths in outputs.values() for path in paths]

    @classmethod
    def load(cls, merged: Mapping[str, Any], files: Sequence[str | Path] = ()) -> Rules:
        """From the merged configuration; what would stop the first job is refused at once as well.

        Parameters
        ----------
        merged : mapping
            What Snakemake has read and merged.
        files : paths of the files that it has read, which are looked at once more, with more care
        """
        read_config_files(map(Path, files))  # refuses what Snakemake, which reads them itself, lets pass
        dag = Dag.load(merged)
        recomputed()
        if dag.results.exists() and not dag.results.is_dir():
            raise RasterloomError(f"`results`: {dag.results} is a file, a folder is needed: move it, or name another")
        return cls(dag, merged)

    def folder(self, wildcards: Wildcards) -> str:
        """Parameter: the results folder."""
        return str(self.results)

    @property
    def wildcard_constraints(self) -> dict[str, str]:
        """What each wildcard may be: exactly the names of the configuration, so that a typo finds no rule."""
        recipe, dag = self.dag.recipe, self.dag
        names: dict[str, set[str]] = {
            "scene": set(dag.registered),
            "acquisition": set(dag.acquisitions),
            "scale": set(dag.scale_sensors),
            "target": {member.target for member in recipe.members.values()},
            "class": set(recipe.classes),
            "group": set(recipe.groups),
            "member": set(recipe.members),
            "fold": set(dag.folds),
            "batch": set(dag.batches),
            "table": {names["table"] for names in dag.jobs()["quality"]},
            "file": {"wkt.csv", *(f"wkt/{name}.csv" for name in recipe.classes)},
        }
        return {key: "|".join(re.escape(name) for name in sorted(found)) or "$^" for key, found in names.items()}

    def manifests(self, stage: str) -> Callable[[Wildcards], list[str]]:
        """Input function: the manifests that a job of the stage reads."""

        def answer(names: dict[str, str]) -> list[str]:
            self._force_if_unknown(stage, names)
            return self.dag.inputs(stage, **names)

        return self._function(answer)

    def watching(self, workflow: Any, as_file: Callable[[str], Any]) -> Rules:
        """These rules, made known to the workflow whose jobs they are.

        From now on they force outputs that Snakemake would wrongly take for what is wanted; jobs find the library.

        Parameters
        ----------
        workflow : Snakemake's workflow
        as_file : callable
            Makes of a path what Snakemake's records are asked by.
        """
        prepare_jobs()
        self.workflow, self.as_file = workflow, as_file
        return self

    def _force_if_unknown(self, stage: str, names: dict[str, str]) -> None:
        """Have a job run whose output was made for something else, though Snakemake's records do not show it.

        They lie in ``.snakemake``, not with the results: without a record, or with that of other results, Snakemake
        takes what is there for what is wanted.
        """
        output = OUTPUTS[stage].format(**names)
        path = self.results / output
        if self.workflow is None or self.workflow.dag is None or not path.exists():
            return
        spec, sources = self.dag.spec(stage, **names), self.dag.sources(stage, **names)
        record = asked_path(self.results, output)
        if record.is_file() and record.read_text(encoding="utf-8") == asked_digest(spec, sources):
            return
        asked = {repr(self.dag.argument(value)) for value in (spec, sources) if value}
        recorded = self.workflow.persistence.params(self.as_file(str(path)))
        if recorded is None or asked <= set(recorded):  # else Snakemake sees it, and says what has changed
            self.workflow.dag.forcefiles.add(str(path))

    def sources(self, stage: str) -> Callable[[Wildcards], list[str]]:
        """Input function: the source files that a job of the stage reads."""
        return self._function(lambda names: self.dag.source_files(stage, **names))

    def spec(self, stage: str) -> Callable[[Wildcards], str]:
        """Parameter: the job's slice of the recipe, one canonical string."""
        return self._function(lambda names: self.dag.argument(self.dag.spec(stage, **names)))

    def stamps(self, stage: str) -> Callable[[Wildcards], str]:
        """Parameter: paths, sizes and times of the job's source files, one canonical string."""
        return self._function(lambda names: self.dag.argument(self.dag.sources(stage, **names)))

    @staticmethod
    def _function(answer: Callable[[dict[str, str]], Any]) -> Callable[[Wildcards], Any]:
        """A guarded function of wildcards that answers each question once: Snakemake asks many times a second."""
        known: dict[frozenset[tuple[str, str]], Any] = {}

        def ask(wildcards: Wildcards) -> Any:
            names = frozenset(wildcards.items())
            if names not in known:
                known[names] = answer(dict(wildcards.items()))
            return known[names]

        return guarded(ask)

    def threads(self, stage: str) -> Callable[[Wildcards], int]:
        """Cores that a job of a member takes: as many as its recipe has compute threads."""
        section = {"train": "training", "predict": "prediction"}[stage]
        members = self.dag.recipe.members
        return guarded(lambda wildcards: int(getattr(members[wildcards["member"]], section)["threads"]))

    def gpus(self, wildcards: Wildcards) -> int:
        """Resource: how many GPUs a job of a member asks for: one for a network, none for a model per pixel."""
        return int(self.dag.recipe.members[wildcards["member"]].is_network)

    def start(self, scheduler: Any = None) -> None:
        """Before the first job of a run: take the results folder's lock and write down the merged recipe.

        Parameters
        ----------
        scheduler : Snakemake's scheduler of the run, whose rate limit is lifted (see `lift_rate_limit`)

        Raises
        ------
        RasterloomError
            If another run holds the lock, or nothing can be written there.
        """
        lift_rate_limit(scheduler)
        try:
            self._lock = hold(self.results)
            recipe = recorded(self.dag.config, self.merged)  # not sorted: the order of sensors is that of channels
            write_text(self.results / "config.json", json.dumps(recipe, indent=1, ensure_ascii=False) + "\n")
            write_json(self.results / OUTPUTS_NOTE, self.dag.outputs())
        except OSError as error:
            raise RasterloomError(
                f"nothing can be written to the results folder {self.results} ({error.strerror}: {error.filename}): "
                "make it writable, or name another one with the key `results`"
            ) from None
        for note in self.dag.dataset.notes:
            print(f"rasterloom: {note}", file=sys.stderr)

    def explain(self, logs: Sequence[str]) -> None:
        """After a failed run: repeat what its jobs said was wrong, as the last lines that a user sees.

        Parameters
        ----------
        logs : paths of Snakemake's logs, which hold those of the failed jobs
        """
        texts = [Path(log).read_text(encoding="utf-8", errors="replace") for log in logs if Path(log).is_file()]
        lines = [line for text in texts for line in text.splitlines()]
        found = list(dict.fromkeys(line for line in lines if line.startswith(_SAID)))
        if found:
            print("\nWhat stopped the run:", *found, sep="\n", file=sys.stderr, flush=True)
