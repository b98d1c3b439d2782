"""The stages in the order of the data, and their modules."""

from __future__ import annotations

import importlib
from types import ModuleType

STAGES = (
    "register",
    "place",
    "stack",
    "statistics",
    "label",
    "mask",
    "split",
    "train",
    "predict",
    "ensemble",
    "tune",
    "vectorise",
    "wkt",
    "submission",
    "score",
    "export",
    "measure",
    "quality",
    "report",
)


def module_of(stage: str) -> ModuleType:
    """The module of a stage: ``VERSION``, ``inputs(spec)``, ``run(job)``; with artifacts also ``wanted(job)``."""
    return importlib.import_module(f"rasterloom.{stage}")


def version_of(stage: str) -> int:
    """The version of a stage, raised whenever its output changes."""
    return int(module_of(stage).VERSION)
