"""What the report says of how its models were made: checkpoints and their cost, folds, versions of libraries."""

import platform
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rasterloom import __version__
from rasterloom.grouping import grouped
from rasterloom.learning.checkpoint import load_checkpoint
from rasterloom.report.pages import EnsembleRow, MemberRow, SplitRow
from rasterloom.store.job import Job

LIBRARIES = ("numpy", "torch", "zarr", "shapely", "geopandas", "rasterio", "opencv-python-headless", "snakemake")


def versions() -> list[tuple[str, str]]:
    """Names and versions of what made the report; a library that goes by another name here is left out."""
    found = [("rasterloom", __version__), ("Python", platform.python_version())]
    for library in LIBRARIES:
        with suppress(PackageNotFoundError):
            found.append((library, version(library)))
    return found


def split_rows(job: Job) -> list[SplitRow]:
    """How the labelled scenes of each group were divided: a row for each fold and target."""
    found = []
    for group in sorted(set(job.spec["groups"].values())):
        divided = job.read("folds", group)
        for fold, part in divided["folds"].items():
            for target, share in divided["validated"][fold].items():
                having = divided["having"][fold][target]
                found.append(SplitRow(group, fold, part["train"], part["validation"], target, share, *having))
    return found


def split_notes(job: Job) -> list[tuple[str, str]]:
    """Groups of classes whose division into folds had to be a poor one, and why."""
    notes = {group: job.read("folds", group)["note"] for group in sorted(set(job.spec["groups"].values()))}
    return [(group, note) for group, note in notes.items() if note]


def ensembles(spec: Mapping[str, Any]) -> list[str]:
    """The classes with several members."""
    return [name for name, members in spec["members"].items() if len(members) > 1]


def ensemble_rows(job: Job) -> list[EnsembleRow]:
    """One row per class with several members."""
    found = []
    for name in ensembles(job.spec):
        weighed, members = job.read("weights", name), job.spec["members"][name]
        rows = list(zip(members, weighed["weights"], weighed["jaccards"], strict=True))
        tuned = job.read("tuning", name)["jaccard"]
        found.append(EnsembleRow(name, job.spec["ensembles"][name], rows, tuned, weighed["reason"]))
    return found


def member_classes(spec: Mapping[str, Any]) -> dict[str, list[str]]:
    """By member the classes that it serves, in the order of the classes."""
    return grouped((member, name) for name, members in spec["members"].items() for member in members)


def member_rows(job: Job) -> list[MemberRow]:
    """One row per checkpoint."""
    classes, folds = member_classes(job.spec), job.spec["folds"]
    return [_member_row(job, member, fold, classes[member]) for member in classes for fold in folds]


def _member_row(job: Job, member: str, fold: str, classes: list[str]) -> MemberRow:
    item = job.manifest(f"models/{member}/{fold}").items[fold]
    cost, history = job.store.cost(item), learning_history(job.store.open_path(item))
    costs = {name: cost.get(name) for name in ("seconds", "peak_memory_mb", "samples")}
    steps, iou = (int(history["step"][-1]), history["iou"][-1]) if history else (None, None)
    return MemberRow(member, fold, classes, item.key, **costs, steps=steps, loss=history.get("loss", []), iou=iou)


def learning_history(path: Path) -> dict[str, list[float]]:
    """The learning curve that a checkpoint holds: ``step``, ``loss``, ``iou``; empty if it holds none."""
    history, _ = load_checkpoint(path, "history.")
    return {name.removeprefix("history."): values.astype(float).tolist() for name, values in history.items()}
