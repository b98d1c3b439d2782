"""The jobs of a project: the outputs of every stage, and the spec, sources and inputs of every job.

A spec is a function of a job's wildcards and the configuration alone. Snakemake's rules ask this module for it;
so does the command line when a stage is run by hand. What a stage answers stands in its own module.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from rasterloom.dataset.archive import split_member
from rasterloom.project.project import Project
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

    def source_files(self, stage: str, **names: str) -> list[str]:
        """The paths in `sources`, but for members of archives.

        Of an archive of all scenes only the time would be seen, and all of them would run if one image in it were
        replaced; their sizes and checksums are in the jobs' parameters.
        """
        return sorted({path for path in _paths(self.sources(stage, **names)) if split_member(path) is None})

    def inputs(self, stage: str, **names: str) -> list[str]:
        """Paths of the manifests that a job reads, below the results folder."""
        spec = self.spec(stage, **names)
        return [f"{self.results}/{path}" for path in module_of(stage).inputs(spec)]

    def argument(self, value: Mapping[str, Any]) -> str:
        """A spec or sources as a command-line argument: canonical JSON, or ``@file`` where that is too long."""
        text = canonical(value)
        if len(text.encode()) <= LONG_ARGUMENT:
            return text
        path = self.results / ".arguments" / f"{digest(text)[:32]}.json"
        if not path.exists():
            write_text(path, text)
        return f"@{path}"


def _paths(value: Any) -> Iterable[str]:
    """Every ``path`` in nested tables and lists."""
    if isinstance(value, Mapping):
        if isinstance(value.get("path"), str):
            yield value["path"]
        for entry in value.values():
            yield from _paths(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from _paths(entry)
