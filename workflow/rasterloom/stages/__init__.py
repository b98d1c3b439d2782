"""The stages in the order of the data, and their modules."""

from __future__ import annotations

import importlib
import os
from types import ModuleType

from rasterloom.errors import ConfigError

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
