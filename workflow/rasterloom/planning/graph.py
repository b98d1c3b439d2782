"""The jobs of a project: the outputs of every stage, and the spec, sources and inputs of every job.

A spec is a function of a job's wildcards and the configuration alone. Snakemake's rules ask this module for it;
so does the command line when a stage is run by hand. What a stage answers stands in its own module.
"""

from functools import cached_property
from math import log2
from statistics import mean
from typing import Any

from rasterloom.config import Config
from rasterloom.dataset import Dataset
from rasterloom.project.project import SINGLE_LIMIT, Project, batches, usual_count
from rasterloom.stages import STAGES, full_run, module_of, version_of
from rasterloom.store.digest import canonical, digest
from rasterloom.store.files import sound_json, write_text
from rasterloom.store.store import Store, read_record

LONG_ARGUMENT = 30_000
"""Bytes beyond which an argument goes to its job in a file: the kernel limits a whole command to 128 KiB."""

BATCHES_NOTE = ".batches.json"
"""In a results folder: in how many batches the latest run ran the jobs of single scenes, by stage."""

SHORTEST, LONGEST = 5.0, 20.0
"""Minutes that a batch of jobs of single scenes is to take."""

SAMPLE = 32
"""Records of a stage that are read, evenly spread over its keys, to know what a scene takes."""


def batch_count(scenes: int, minutes: float | None, before: int, cores: int) -> int:
    """In how many batches the jobs of a stage go: a power of two, so many that each takes 5 to 20 minutes.

    Parameters
    ----------
    scenes : how many there are
    minutes : what all of them take; None: nobody knows, and the number is the usual one
    before : the number of the latest run, 0 if there is none: it stays while it fits, so that no small change moves it
    cores : of the machine that runs the jobs; each gets a batch, if the usual number is so large
    """
    usual = usual_count(scenes)
    if minutes is None:
        return usual
    least, most = min(usual, 1 << (cores - 1).bit_length()), 1 << (scenes - 1).bit_length()
    count = min(max(before or usual, least), most)
    if not SHORTEST <= minutes / count <= LONGEST:
        nearest = 1 << max(0, round(log2(max(minutes, 1.0) / (SHORTEST * LONGEST) ** 0.5)))
        count = min(max(nearest, least), most)
    return count


class Dag(Project):
    """Jobs of a configuration; see `Project`.

    Attributes
    ----------
    counts : dict of str to int
        In how many batches the jobs of single scenes of a stage run; of a stage that is not there, the usual number.
    minutes : dict of str to float
        What all scenes of a stage take on one core, by records of the store.
    """

    def __init__(self, config: Config, dataset: Dataset) -> None:
        super().__init__(config, dataset)
        self.counts: dict[str, int] = {}
        self.minutes: dict[str, float] = {}

    def divide(self, store: Store, cores: int) -> None:
        """Choose the number of batches of each stage by what the store's records say that its scenes take.

        `cores` of 0: this is a job of a run, whose number it takes.
        """
        noted = sound_json(self.results / BATCHES_NOTE) or {}
        if not cores:
            self.counts = dict(noted)
            return
        for stage, jobs in self.single.items():
            records = sorted((store.root / stage).glob("*.json"))
            found = filter(None, map(read_record, records[:: len(records) // SAMPLE + 1]))
            costs = [record.get("cost", {}) for record in found]
            seconds = [float(cost["seconds"]) for cost in costs if "seconds" in cost]
            scenes = len({names["scene"] for names in jobs})
            if seconds:
                self.minutes[stage] = mean(seconds) * scenes / 60
            self.counts[stage] = batch_count(scenes, self.minutes.get(stage), noted.get(stage, 0), cores)

    def jobs(self) -> dict[str, list[dict[str, str]]]:
        """Every job of a full run, as its wildcards, by stage in the order of the data."""
        return {stage: list(module_of(stage).jobs(self)) for stage in full_run()}

    def in_order(self) -> list[tuple[str, dict[str, str]]]:
        """Every job of a full run as stage and wildcards, each after those whose outputs it reads.

        That is the order of the stages, but that a member which reads predictions of others is trained after these.
        """

        def turn(job: tuple[str, dict[str, str]]) -> tuple[int, int, int]:
            place, learns = STAGES.index(job[0]), job[0] in ("train", "predict")
            return (
                (STAGES.index("train"), len(self.recipe.needed(job[1]["member"])), place) if learns else (place, 0, 0)
            )

        return sorted(((stage, names) for stage, found in self.jobs().items() for names in found), key=turn)

    def outputs(self) -> dict[str, list[str]]:
        """Everything a full run writes, relative to the results folder, by stage."""
        return {
            stage: [module_of(stage).OUTPUT.format(**names) for names in found] for stage, found in self.jobs().items()
        }

    @cached_property
    def single(self) -> dict[str, list[dict[str, str]]]:
        """By stage its jobs of a single scene each, where there are so many scenes that they run in batches."""
        many = len(self.registered) > SINGLE_LIMIT and self.config.execution.scenes_per_job == "auto"
        found = ((stage, [own for own in jobs if "scene" in own]) for stage, jobs in self.jobs().items() if many)
        return {stage: own for stage, own in found if own}

    @cached_property
    def batched(self) -> dict[str, tuple[str, dict[str, dict[str, str]]]]:
        """Jobs that Snakemake runs as one: by the file that ends the last, their stage, and wildcards by output.

        They differ in the scene alone; `divide` says before in how many batches.
        """
        found: dict[str, tuple[str, dict[str, dict[str, str]]]] = {}
        for stage, own in self.single.items():
            output, count = module_of(stage).OUTPUT, self.counts.get(stage, 0)
            scenes = {names["scene"] for names in own}
            batch = {s: name for name, ids in batches(scenes, limit=0, count=count).items() for s in ids}
            for names in own:
                path = output.format(**{**names, "scene": batch[names["scene"]]})
                found.setdefault(path, (stage, {}))[1][output.format(**names)] = names
        return found

    @cached_property
    def declared(self) -> dict[str, str]:
        """By output of a job that is run with others, the file that ends the last of them."""
        return {output: path for path, (_, jobs) in self.batched.items() for output in jobs}

    def spec(self, stage: str, **names: str) -> dict[str, Any]:
        """The slice of the recipe that decides the output of one job.

        Parameters
        ----------
        stage : str
        **names : str
            The job's wildcards, such as ``scene`` and ``scale``.
        """
        return {"stage": stage, "version": version_of(stage), **module_of(stage).spec(self, **names)}

    def sources(self, stage: str, **names: str) -> dict[str, Any]:
        """Paths, sizes and times of the source files that a job reads."""
        module = module_of(stage)
        found: dict[str, Any] = module.sources(self, **names) if hasattr(module, "sources") else {}
        return found

    def inputs(self, stage: str, **names: str) -> list[str]:
        """Paths of the manifests that a job reads, below the results folder."""
        spec = self.spec(stage, **names)
        return [f"{self.results}/{path}" for path in module_of(stage).inputs(spec)]

    def argument(self, value: Any, write: bool = True) -> str:
        """Inputs, or the spec or sources of one job or several, as an argument: canonical JSON, or ``@file`` if long.

        `write` says whether that file is written.
        """
        text = canonical(value)
        if len(text.encode()) <= LONG_ARGUMENT:
            return text
        path = self.results / ".arguments" / f"{digest(text)[:32]}.json"
        if write and not path.exists():
            write_text(path, text)
        return f"@{path}"
