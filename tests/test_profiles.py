"""Snakemake's profiles: each has what every run needs, as a profile that is named replaces the default one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from rasterloom.stages import STAGES

PROFILES = Path(__file__).resolve().parents[1] / "profiles"
CLUSTERS = ("slurm", "generic")


def profile(name: str) -> dict[str, Any]:
    return dict(yaml.safe_load((PROFILES / name / "config.yaml").read_text(encoding="utf-8")))


@pytest.mark.parametrize("name", CLUSTERS)
def test_profile_has_every_setting_of_the_default_one(name: str) -> None:
    ours = profile(name)
    assert {key: ours.get(key) for key in profile("default")} == profile("default")


@pytest.mark.parametrize("name", CLUSTERS)
def test_retries_are_in_the_profile_alone(name: str) -> None:
    """In a rule they would multiply: the Snakemake within a job obeys them too."""
    assert profile(name)["retries"] > 0 and profile(name)["keep-going"]
    rules = [PROFILES.parent / "Snakefile", *(PROFILES.parent / "workflow/rules").glob("*.smk")]
    assert not [path for path in rules if "retries:" in path.read_text(encoding="utf-8")]


@pytest.mark.parametrize("name", CLUSTERS)
def test_groups_are_of_stages_that_need_no_gpu(name: str) -> None:
    groups = dict(entry.split("=") for entry in profile(name)["groups"])
    assert set(groups) <= set(STAGES) - {"train", "predict", "sanity"}
    sizes = dict(entry.split("=") for entry in profile(name)["group-components"])
    assert set(sizes) == set(groups.values()) and all(int(size) > 1 for size in sizes.values())


def test_partitions_grant_what_the_longest_job_asks_for() -> None:
    from rasterloom.planning.rules import DAY_MINUTES

    path = PROFILES.parent / profile("slurm")["slurm-partition-config"]
    partitions = yaml.safe_load(path.read_text(encoding="utf-8"))["partitions"]
    assert {name: "max_gpu" in limits for name, limits in partitions.items()} == {"cpu": False, "gpu": True}
    assert all(limits["max_runtime"] >= DAY_MINUTES for limits in partitions.values())
