"""The jobs of a project: the outputs of every stage, and the spec, sources and inputs of every job.

A spec is a function of a job's wildcards and the configuration alone. Snakemake's rules ask this module for it;
so does the command line when a stage is run by hand. What a stage answers stands in its own module.
"""

from functools import cached_property
from typing import Any

from rasterloom.project.project import SINGLE_LIMIT, Project, batches
from rasterloom.stages import STAGES, full_run, module_of, version_of
from rasterloom.store.digest import canonical, digest
from rasterloom.store.files import write_text

LONG_ARGUMENT = 40_000
"""Bytes beyond which a spec goes to its job in a file: the kernel limits a whole command to 128 KiB."""


class Dag(Project):
    """Jobs of a configuration; see `Project`."""

    def jobs(self) -> dict[str, list[dict[str, str]]]:
        """Every job of a full run, as its wildcards, by stage in the order of the data."""
        return {stage: list(module_of(stage).jobs(self)) for stage in full_run()}

    def in_order(self) -> list[tuple[str, dict[str, str]]]:
        """Every job of a full run as stage and wildcards, each after those whose outputs it reads.

        That is the order of the stages, but that a member which reads predictions of others is trained after these.
        """

        def turn(job: tuple[str, dict[str, str]]) -> tuple[int, int, int]:
            stage, names = job
            place = STAGES.index(stage)
            if stage not in ("train", "predict"):
                return place, 0, 0
            return STAGES.index("train"), len(self.recipe.needed(names["member"])), place

        return sorted(((stage, names) for stage, found in self.jobs().items() for names in found), key=turn)

    def outputs(self) -> dict[str, list[str]]:
        """Everything a full run writes, relative to the results folder, by stage."""
        return {
            stage: [module_of(stage).OUTPUT.format(**names) for names in found] for stage, found in self.jobs().items()
        }

    @cached_property
    def batched(self) -> dict[str, tuple[str, dict[str, dict[str, str]]]]:
        """Jobs that Snakemake runs as one: by the file that ends the last, their stage, and wildcards by output.

        Where there are many scenes that are jobs of a single scene each, which differ in the scene alone.
        """
        found: dict[str, tuple[str, dict[str, dict[str, str]]]] = {}
        many = len(self.registered) > SINGLE_LIMIT and self.config.execution.scenes_per_job == "auto"
        for stage, jobs in self.jobs().items() if many else ():
            output, own = module_of(stage).OUTPUT, [names for names in jobs if "scene" in names]
            batch = {s: name for name, ids in batches({n["scene"] for n in own}, limit=0).items() for s in ids}
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
        """A spec or sources, or those of several jobs, as an argument: canonical JSON, or ``@file`` if too long.

        `write` says whether that file is written.
        """
        text = canonical(value)
        if len(text.encode()) <= LONG_ARGUMENT:
            return text
        path = self.results / ".arguments" / f"{digest(text)[:32]}.json"
        if write and not path.exists():
            write_text(path, text)
        return f"@{path}"
