"""Where the workflow reaches into Snakemake."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rasterloom.planning.snakemake_internals import lift_rate_limit, limit_gpus


@pytest.mark.parametrize(("jobs", "seconds", "lifted"), [(100, 1, True), (100, 60, False), (7, 1, False)])
def test_lift_rate_limit_leaves_what_a_user_chose(jobs: int, seconds: int, lifted: bool) -> None:
    scheduler = SimpleNamespace(job_rate_limiter=SimpleNamespace(max_jobs=jobs, timespan=seconds))
    lift_rate_limit(SimpleNamespace(scheduler=scheduler))
    assert (scheduler.job_rate_limiter is None) == lifted


def test_lift_rate_limit_of_no_limit() -> None:
    scheduler = SimpleNamespace(job_rate_limiter=None)
    lift_rate_limit(SimpleNamespace(scheduler=scheduler))
    assert scheduler.job_rate_limiter is None


def test_snakemake_has_the_limit_that_is_lifted() -> None:
    """If Snakemake changes, this fails, and the work-around may go."""
    from snakemake.scheduling.job_scheduler import JobRateLimiter
    from snakemake.settings.types import MaxJobsPerTimespan

    limiter = JobRateLimiter(MaxJobsPerTimespan.parse_choice("100/1s"))
    assert (limiter.max_jobs, limiter.timespan) == (100, 1)


def workflow(main: bool = True, nodes: int | None = None, **resources: int) -> tuple[Any, dict[str, int]]:
    found: dict[str, int] = {}
    settings = SimpleNamespace(nodes=nodes, resources=resources)
    made = SimpleNamespace(is_main_process=main, resource_settings=settings, register_resource=found.__setitem__)
    return made, found


def test_limit_gpus_is_what_the_machine_has_unless_a_user_or_a_cluster_says_otherwise() -> None:
    for told, count, expected in (
        (workflow(), 2, {"gpu": 2}),
        (workflow(), 0, {}),
        (workflow(gpu=8), 2, {}),
        (workflow(nodes=100), 2, {}),
        (workflow(main=False), 2, {}),
    ):
        limit_gpus(told[0], count)
        assert told[1] == expected


FOUR = """
import sys
sys.path.insert(0, {library!r})
from rasterloom.planning.snakemake_internals import limit_gpus
limit_gpus(workflow, 2)
rule all:
    input: expand("o{{i}}", i=range(4))
rule a:
    output: "o{{i}}"
    resources: gpu=1
    shell: "echo + >> log; sleep 0.3; echo - >> log; touch {{output}}"
"""


@pytest.mark.parametrize(("arguments", "most"), [((), {1, 2}), (("--resources", "gpu=1"), {1})])
def test_snakemake_runs_no_more_jobs_than_there_are_gpus(
    tmp_path: Path, arguments: tuple[str, ...], most: set[int]
) -> None:
    """What `limit_gpus` relies on: a resource that is registered while files are read limits jobs."""
    library = str(Path(__file__).resolve().parents[2] / "workflow")
    (tmp_path / "Snakefile").write_text(FOUR.format(library=library))
    command = [sys.executable, "-m", "snakemake", "--cores", "8", "--quiet", "all", *arguments]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    steps = [1 if line == "+" else -1 for line in (tmp_path / "log").read_text().split()]
    assert len(steps) == 8
    assert max(sum(steps[: i + 1]) for i in range(8)) in most


CHAINS = """
import sys
sys.path.insert(0, {library!r})
from rasterloom.planning.snakemake_internals import prioritise

def other(wildcards):
    prioritise(workflow, "train")
    return []

rule all:
    input: expand("other{{i}}", i=range(6)), "model"
rule other:
    input: other
    output: "other{{i}}"
    shell: "echo other >> log; touch {{output}}"
rule stack:
    output: "stack"
    shell: "echo stack >> log; touch {{output}}"
rule mine_train:
    input: "stack"
    output: "model"
    shell: "echo train >> log; touch {{output}}"
"""


def test_snakemake_runs_first_what_leads_to_a_training(tmp_path: Path) -> None:
    """What `prioritise` relies on: rules named while the graph is built count, with all that they wait for."""
    library = str(Path(__file__).resolve().parents[2] / "workflow")
    (tmp_path / "Snakefile").write_text(CHAINS.format(library=library))
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--quiet", "all", "--scheduler", "greedy"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "log").read_text().split() == ["stack", "train", *["other"] * 6]


OURS = """
import sys
sys.path.insert(0, {library!r})
from rasterloom.planning.snakemake_internals import in_storage, placing

placed = placing(workflow)
rule one:
    output: "results/{{name}}"
    params: lambda wildcards: [placed("results/"), placed(f"results/{{wildcards.name}}"), in_storage(workflow)]
    shell: "echo {{params[0]}} > {{output}}"
"""

THEIRS = """
module ours:
    snakefile: "ours.smk"
    {where}
use rule * from ours as their_*
"""


@pytest.mark.parametrize(
    ("where", "folder", "file"),
    [
        ("", "results/", "results/a"),
        ('prefix: "area/one"', "area/one/results/", "area/one/results/a"),
        ('replace_prefix: {"results/": "elsewhere/"}', "elsewhere/", "elsewhere/a"),
    ],
)
def test_placing_says_where_a_module_has_its_files(tmp_path: Path, where: str, folder: str, file: str) -> None:
    """What the results folder of a module relies on: what rules declare is placed, what their functions say is not."""
    library = str(Path(__file__).resolve().parents[2] / "workflow")
    (tmp_path / "ours.smk").write_text(OURS.format(library=library))
    (tmp_path / "Snakefile").write_text(THEIRS.format(where=where))
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--printshellcmds", file]
    done = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
    assert f"echo {folder} {file} False > {file}" in done.stderr
    assert (tmp_path / file).is_file()
