"""The stages in the order of the data, and their modules."""

import importlib
import os
import string
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from rasterloom.errors import ConfigError
from rasterloom.store.job import Job, wildcards
from rasterloom.store.store import Store

STAGES = (
    # what is learned from
    *("register", "place", "stack", "normalisation", "label", "mask", "split"),
    # what is learned, and found by it
    *("train", "predict", "weigh", "ensemble", "tune", "vectorise"),
    # what a user reads
    *("wkt", "submission", "score", "export", "measure", "quality", "report", "sanity"),
)

WORKING_FOLDER = "RASTERLOOM_WORKING_FOLDER"
"""Environment variable: the folder that a run works in, whichever folder Snakemake starts a job in."""


@cache
def module_of(stage: str) -> ModuleType:
    """The module of a stage, which says all there is to say of it.

    - ``OUTPUT``: what a job writes, relative to the results folder, with the names of wildcards in braces; ``HELP``;
      ``VERSION``; ``NAMES``, the entry of a job's spec that names its artifacts, if it makes any; ``OWN_FOLDER``, if
      they are linked in a folder of their own; ``ON_REQUEST``, if a full run leaves it out; ``KEYS``, from a path in
      the recipe of an artifact to the key of the configuration, where the two differ;
    - ``jobs(project)``: the wildcards of every job; ``spec(project, **names)``: a job's slice of the recipe;
      ``sources(project, **names)``: the source files that it reads, if it reads any;
    - ``inputs(spec)``: the manifests that it reads; ``run(job)``: do it;
    - ``wanted(job)``: its artifacts with their keys, if it makes any;
      ``finish(job, items)``: what it does once it has them, if that is more than `Job.finish`.
    """
    return importlib.import_module(f"rasterloom.stages.{stage}")


def recomputed() -> frozenset[str]:
    """The stages that ``RASTERLOOM_RECOMPUTE`` names; ConfigError if one of them is none."""
    named = os.environ.get("RASTERLOOM_RECOMPUTE", "").replace(",", " ").split()
    for stage in named:
        if stage not in STAGES:
            raise ConfigError(f"RASTERLOOM_RECOMPUTE names no stage: {stage!r}; valid: {', '.join(STAGES)}")
    return frozenset(named)


def version_of(stage: str) -> int:
    """The version of a stage, raised whenever its output changes."""
    return int(module_of(stage).VERSION)


def fields_of(stage: str) -> list[str]:
    """The wildcards of a stage."""
    return [name for _, name, _, _ in string.Formatter().parse(module_of(stage).OUTPUT) if name]


def names_of(spec: Mapping[str, Any]) -> list[str]:
    """The names of the artifacts in the manifest of a job: its scenes, its fold, its sensors."""
    found = spec[module_of(spec["stage"]).NAMES]
    return [found] if isinstance(found, str) else list(found)


def output_of(spec: Mapping[str, Any]) -> str:
    """The path, relative to the results folder, of what the job of a spec writes."""
    return str(module_of(spec["stage"]).OUTPUT.format(**wildcards(spec)))


def job_of(spec: dict[str, Any], sources: dict[str, Any], results: Path, store: Store) -> Job:
    """The job of a spec."""
    output = results / output_of(spec)
    return Job(spec, sources, results, store, output, folder_of(spec["stage"], output))


def folder_of(stage: str, output: Path) -> Path:
    """The folder in which a job of a stage links its artifacts, by the manifest that it writes."""
    return output.with_suffix("") if hasattr(module_of(stage), "OWN_FOLDER") else output.parent


def full_run() -> list[str]:
    """The stages of a full run."""
    return [stage for stage in STAGES if not hasattr(module_of(stage), "ON_REQUEST")]


def artifact_stages() -> list[str]:
    """Stages of a full run with artifacts; the others write a table or pages, again in each of their jobs."""
    return [stage for stage in full_run() if hasattr(module_of(stage), "wanted")]
