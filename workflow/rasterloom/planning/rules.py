"""The functions of wildcards that the `.smk` files call; no line of Snakemake here."""

import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Self

from rasterloom.config.files import read_config_files
from rasterloom.config.load import recorded
from rasterloom.config.model import on_cores
from rasterloom.config.recipe import MemberRecipe
from rasterloom.errors import ConfigError, RasterloomError
from rasterloom.learning.device import GPU_SHARE, visible_gpus
from rasterloom.learning.sanity import SANITY
from rasterloom.planning import snakemake_internals as internals
from rasterloom.planning.graph import BATCHES_NOTE, Dag
from rasterloom.planning.guard import guarded
from rasterloom.planning.settle import Settled
from rasterloom.report.runs import record
from rasterloom.stages import STAGES, WORKING_FOLDER, artifact_stages, fields_of, module_of, recomputed, version_of
from rasterloom.store.files import TEMPORARY, link, sound_json, write_json, write_text
from rasterloom.store.folders import OUTPUTS_NOTE
from rasterloom.store.job import asked_path
from rasterloom.store.lock import Held, hold
from rasterloom.store.store import Store
from rasterloom.text import counted

Wildcards = Mapping[str, str]

DAY_MINUTES = 1440
"""Most that a job of a network asks a cluster for: a day, which most partitions grant."""

PIXEL_MINUTES = 120
"""What a job of models per pixel asks for."""

_SAID = "rasterloom: "
"""Beginning of the line in which a job states its error."""

_KILLED = (
    ", as happens where memory runs out: run fewer jobs side by side (a smaller `--cores`, or `--resources mem_mb=` "
    "with the megabytes that there are); what was finished is kept"
)
"""What a user can do about a job that the system has killed."""


def prepare_jobs(gpu_share: int) -> None:
    """Let jobs run ``python -m rasterloom`` with this library and this interpreter, so many of them on one GPU.

    A job activates its rule's conda environment, which takes precedence over the interpreter.
    """
    os.environ.update({GPU_SHARE: str(gpu_share), WORKING_FOLDER: str(Path.cwd())})
    for name, folder in (("PYTHONPATH", Path(__file__).resolve().parents[2]), ("PATH", Path(sys.executable).parent)):
        first = str(folder)
        others = (own for own in (os.environ.get(name) or first).split(os.pathsep) if own != first)
        os.environ[name] = os.pathsep.join([first, *others])


class Rules:
    """The jobs of one configuration, as input functions and parameters of rules.

    Every function that Snakemake may call while it builds the graph is guarded: an error in it ends the run.

    Parameters
    ----------
    dag : the graph of jobs
    merged : the merged configuration, as Snakemake has read it
    workflow : Snakemake's workflow, whose jobs these are; None outside of Snakemake
    """

    def __init__(self, dag: Dag, merged: Mapping[str, Any], workflow: Any = None) -> None:
        self.dag = dag
        self.merged = merged
        self.workflow = workflow
        self.declared = Path(dag.config.results)
        self._placed = internals.placing(workflow) if workflow is not None else str
        self.results = dag.results = Path(self._placed(f"{self.declared}/"))
        if workflow is not None and internals.in_storage(workflow):
            dag.batched = {}  # each manifest has to be declared
        self._lock: Held | None = None
        self._outputs = dag.outputs()
        self._settled: Settled | None = None
        self._reads: dict[str, Callable[[Wildcards], list[str]]] = {}

    @classmethod
    def load(cls, merged: Mapping[str, Any], files: Sequence[str | Path] = (), workflow: Any = None) -> Self:
        """The rules of a merged configuration; refuses at once what would stop the first job.

        Parameters
        ----------
        merged : the configuration that Snakemake has read and merged
        files : paths of the files that it has read, which are checked once more, with more care
        workflow : Snakemake's workflow
        """
        read_config_files(map(Path, files))  # refuses what Snakemake, which reads them itself, lets pass
        try:
            dag = Dag.load(merged)
        except ConfigError as error:
            if Path("config.yaml").is_file() or not files:
                raise
            hint = "if the files are to change one, run in its folder, or with --directory"
            raise ConfigError(f"{error}\n  (no config.yaml lies in {Path.cwd()}: {hint})") from None
        recomputed()
        if dag.results.exists() and not dag.results.is_dir():
            raise RasterloomError(f"`results`: {dag.results} is a file, a folder is needed: move it, or name another")
        share = dag.config.execution.gpu_share
        prepare_jobs(share)
        rules = cls(dag, merged, workflow)
        if workflow is not None:
            internals.limit_gpus(workflow, share * visible_gpus(os.environ))
            cores = 1 if internals.submits(workflow) else os.cpu_count() or 1
            dag.divide(Store.of(dag.results), cores if workflow.is_main_process else 0)
        known: dict[Any, Self] = {} if workflow is None else vars(workflow).setdefault("_rasterloom", {})
        return known.setdefault((rules.results, repr(merged)), rules)  # a module's files are read for each `use rule`

    def folder(self, wildcards: Wildcards) -> str:
        """Parameter: the results folder."""
        return str(self.results)

    @property
    def wildcard_constraints(self) -> dict[str, str]:
        """What each wildcard may be: exactly the names of the configuration, so that a typo finds no rule."""
        found: dict[str, set[str]] = {field: set() for stage in STAGES for field in fields_of(stage)}
        for job in (names for jobs in self.dag.jobs().values() for names in jobs):
            for field, name in job.items():
                found[field].add(name)
        found["fold"].add(SANITY)
        found["scene"].update(Path(output).stem for output in self.dag.batched)
        return {key: "|".join(re.escape(name) for name in sorted(names)) or "$^" for key, names in found.items()}

    def settled(self) -> Settled | None:
        """The outputs that need not be made, found out when Snakemake begins to build its graph; None if it does not.

        If the graph is built for a run, the results folder's lock is taken first.
        """
        mode = internals.building(self.workflow)
        if mode is not None and self._settled is None:
            store, (looks, runs) = Store.of(self.results, recomputed()), mode
            internals.prioritise(self.workflow, "train")
            with self._writing():
                if runs:
                    self._hold()
                looks = looks and not store.recompute
                self._settled = found = Settled(self.dag, store, looks=looks, writes=looks and runs)
            if found.jobs:
                manifests = f"the manifests of {counted(found.jobs, 'job')} {'are' if runs else 'would be'} written"
                print(f"rasterloom: {counted(found.found, 'item')} found: {manifests} before any runs", file=sys.stderr)
        return self._settled

    def targets(self, wildcards: Wildcards) -> list[str]:
        """Input function of the rule `all`: every output, but for manifests that need not be written."""
        tables = {path for stage, paths in self._outputs.items() if stage not in artifact_stages() for path in paths}
        done = guarded(self._done)() - tables
        return self._paths(path for paths in self._outputs.values() for path in paths if path not in done)

    def _paths(self, outputs: Iterable[str]) -> list[str]:
        """What Snakemake declares of the jobs that write some outputs."""
        return [f"{self.declared}/{path}" for path in dict.fromkeys(self.dag.declared.get(own, own) for own in outputs)]

    def _done(self) -> set[str]:
        """The outputs that a run leaves as they are, and that no job has to wait for."""
        settled = self.settled()
        return settled.fresh if settled is not None and settled.looks else set()

    def _jobs(self, stage: str, names: dict[str, str]) -> dict[str, dict[str, str]]:
        """Wildcards by output of the jobs that Snakemake runs as one, but for those that a run leaves out."""
        output = module_of(stage).OUTPUT.format(**names)
        if output not in self.dag.batched:
            return {output: names}
        return {path: own for path, own in self.dag.batched[output][1].items() if path not in self._done()}

    def manifests(self, stage: str) -> Callable[[Wildcards], list[str]]:
        """Input function: the manifests that a job of the stage reads, but for those that need not be written.

        An output that is there and was made for something else is made again, although Snakemake does not see it.
        """

        def answer(names: dict[str, str]) -> list[str]:
            settled, inputs = self.settled(), []
            path = self._placed(f"{self.declared}/{module_of(stage).OUTPUT.format(**names)}")
            for output, own in self._jobs(stage, names).items():
                if settled is not None and output not in settled.outputs:
                    settled.judge(stage, own)
                if settled is not None and output not in settled.fresh and Path(path).exists():
                    internals.force(self.workflow, path)
                inputs += [read.removeprefix(f"{self.results}/") for read in self.dag.inputs(stage, **own)]
            done = self._done()
            return self._paths(read for read in inputs if read not in done)

        return self._reads.setdefault(stage, self._function(answer))

    def inputs(self, stage: str) -> Callable[..., str]:
        """Parameter: where Snakemake has the files that a job reads, by their names in the results folder."""

        def answer(wildcards: Wildcards, input: Any) -> str:
            names = [path.removeprefix(f"{self.declared}/") for path in self.manifests(stage)(wildcards)]
            return self._text(dict(zip(names, input.manifests, strict=True)))

        return guarded(answer)

    def spec(self, stage: str) -> Callable[[Wildcards], str]:
        """Parameter: the job's slice of the recipe, one canonical string; of several jobs a list of them."""
        return self._argument(stage, self.dag.spec)

    def stamps(self, stage: str) -> Callable[[Wildcards], str]:
        """Parameter: paths, sizes and times of the job's source files, one canonical string; or a list of them."""
        return self._argument(stage, self.dag.sources)

    def _argument(self, stage: str, part: Callable[..., dict[str, Any]]) -> Callable[[Wildcards], str]:
        """Parameter: what `part` says of a job, or of each that is run with it."""

        def answer(names: dict[str, str]) -> str:
            several = module_of(stage).OUTPUT.format(**names) in self.dag.batched
            found = [part(stage, **own) for own in self._jobs(stage, names).values()]
            return self._text(found if several else found[0])

        return self._function(answer)

    def _text(self, value: Any) -> str:
        """A value as an argument of a job; a dry run writes no file of it."""
        return self.dag.argument(value, not getattr(self.workflow, "dryrun", False))

    @staticmethod
    def _function(answer: Callable[[dict[str, str]], Any]) -> Callable[[Wildcards], Any]:
        """A guarded function of wildcards that answers each question once: Snakemake asks many times a second."""
        known = cache(lambda names: answer(dict(names)))
        return guarded(lambda wildcards: known(frozenset(wildcards.items())))

    def threads(self, stage: str) -> Callable[[Wildcards], int]:
        """Threads: cores of a job, as many as the recipe of its member, or of any member, has compute threads."""
        section = "training" if stage == "train" else "prediction"
        return guarded(lambda wildcards: max(getattr(m, section)["threads"] for m in self._members(wildcards)))

    def gpus(self, wildcards: Wildcards) -> int:
        """Resource: GPUs of a job, one for a network; none for models per pixel alone, nor where OpenVINO predicts."""
        predicts = "batch" in dict(wildcards.items())
        return int(any(m.is_network and not (predicts and on_cores(m.prediction)) for m in self._members(wildcards)))

    def minutes(self, stage: str) -> Callable[..., int]:
        """Resource: minutes to ask a cluster for, by the rates that the store has; what does not fit goes on later.

        A day where a network has no rate, and off a cluster, where nobody counts them.
        """
        output = module_of(stage).OUTPUT

        def answer(wildcards: Wildcards, attempt: int) -> int:
            network = any(member.is_network for member in self._members(wildcards))
            unknown = DAY_MINUTES if network else PIXEL_MINUTES
            return min(DAY_MINUTES, self._minutes.get(output.format(**dict(wildcards.items())), unknown) * attempt)

        return guarded(answer)

    @cached_property
    def _minutes(self) -> dict[str, int]:
        if self.workflow is None or not internals.submits(self.workflow):
            return {}
        from rasterloom.planning.rates import job_minutes, known_rates
        from rasterloom.planning.sizes import read_sizes

        return job_minutes(self.dag, read_sizes(self.dag), known_rates(Store.of(self.results)))

    def _members(self, wildcards: Wildcards) -> list[MemberRecipe]:
        """The member of a job, or every one."""
        members, names = self.dag.recipe.members, dict(wildcards.items())  # "member" in Snakemake's: among the values
        return [members[names["member"]]] if "member" in names else list(members.values())

    def start(self) -> None:
        """Before the first job of a run: take the results folder's lock, if it is not held, and record the recipe.

        Raises
        ------
        RasterloomError
            If another run holds the lock, or nothing can be written there.
        """
        if self.workflow is not None:
            internals.lift_rate_limit(self.workflow)
        with self._writing():
            self._hold()
            recipe = recorded(self.dag.config, self.merged)  # not sorted: the order of sensors is that of channels
            write_text(self.results / "config.json", json.dumps(recipe, indent=1, ensure_ascii=False) + "\n")
            write_json(self.results / OUTPUTS_NOTE, self._outputs)
            link(self.results / "config.json", probe := self.results / f"{TEMPORARY}probe")
            probe.unlink()
        if (store := Store.of(self.results)).read_only:
            lack = "what it lacks cannot be made: for a store that can be written to, set RASTERLOOM_STORE"
            print(f"rasterloom: note: the store {store.root} is read-only; {lack}", file=sys.stderr)
        for note in self.dag.dataset.notes:
            print(f"rasterloom: {note}", file=sys.stderr)

    def _hold(self) -> None:
        """Take the results folder's lock, if it is not held, and note the batches: jobs on other nodes look there."""
        if self._lock is None:
            self._lock = hold(self.results)
            if self.dag.counts and sound_json(self.results / BATCHES_NOTE) != self.dag.counts:
                write_json(self.results / BATCHES_NOTE, self.dag.counts)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Say in words that nothing can be written."""
        try:
            yield
        except OSError as error:
            raise RasterloomError(
                f"nothing can be written to the results folder {self.results} ({error.strerror}: {error.filename}): "
                "make it writable, on a file system with symbolic links, or name another one with the key `results`"
            ) from None

    def _say_counts(self, since: int) -> None:
        """Say how many items were computed, and how many found, since this run took the lock."""
        notes = [asked_path(self.results, path) for paths in self._outputs.values() for path in paths]
        texts = [note.read_text("utf-8") for note in notes if note.is_file() and note.stat().st_mtime_ns >= since]
        computed, found = (sum(int(text.split()[n]) for text in texts) for n in (1, 2))
        print(f"rasterloom: {counted(computed, 'item')} computed, {found:,} found in the store", file=sys.stderr)

    def finish(self) -> None:
        """After a run that did not fail: keep its recipe and scores for `rasterloom runs`, if it was to score.

        If it was a sanity check, say what came out.
        """
        sanity = module_of("sanity")
        if internals.asks_for(self.workflow, self._placed(f"{self.declared}/{sanity.OUTPUT}")):
            print((self.results / sanity.SUMMARY).read_text(encoding="utf-8"), end="", file=sys.stderr)
        if internals.asks_for(self.workflow, self._placed(f"{self.declared}/{module_of('score').OUTPUT}")):
            models = self._outputs["train"]
            versions = {stage: version_of(stage) for stage in STAGES}
            run = record(self.results, recorded(self.dag.config, self.merged), versions, models)
            if run is not None:
                print(f"rasterloom: this is run {run.name}; `rasterloom runs` compares it with others", file=sys.stderr)
        if self._lock is not None:
            self._say_counts(self._lock.since)

    def explain(self, logs: Sequence[str]) -> None:
        """After a failed run: repeat the errors of its jobs as the last lines that a user sees.

        Parameters
        ----------
        logs : paths of Snakemake's logs, which hold those of the failed jobs
        """
        texts = [Path(log).read_text(encoding="utf-8", errors="replace") for log in logs if Path(log).is_file()]
        said = [line for text in texts for line in text.splitlines() if line.startswith(_SAID)]
        killed = (re.findall(r"python -m rasterloom (\w+) .*died with <Signals\.SIGKILL", text) for text in texts)
        said += [f"{_SAID}a job of {stage} was killed from outside{_KILLED}" for found in killed for stage in found]
        if said:
            print("\nWhat stopped the run:", *dict.fromkeys(said), sep="\n", file=sys.stderr, flush=True)
