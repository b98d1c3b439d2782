"""A whole run by Slurm, with the profiles as they are: the manifests and tables of a run on one machine.

It runs where somebody asks for it (`make slurm-test`), as it submits jobs to whatever Slurm `sbatch` finds.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

import pytest

from rasterloom.tools.scenes.writing import write_scenes
from tiny_runs import digests, project, run

CONFIGURED = ("--configfile", "presets/tiny.yaml")

pytestmark = [
    pytest.mark.workflow,
    pytest.mark.skipif(not os.environ.get("RASTERLOOM_SLURM_TEST"), reason="submits jobs: `make slurm-test` runs it"),
]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "tiny"
    write_scenes(folder, train=4, test=2, size=(256, 256), seed=3)
    return folder


@pytest.fixture(scope="module")
def on_one_machine(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = project(tmp_path_factory.mktemp("local") / "project")
    shutil.copytree(data, folder / "data/tiny", copy_function=shutil.copy2)
    run(folder, "--cores", "2", *CONFIGURED)
    return digests(folder / "results-tiny")


QUICK = {
    "slurm": ["--slurm-init-seconds-before-status-checks", "1"],
    "generic": ["--seconds-between-status-checks", "2"],
}


@pytest.mark.parametrize("name", ["slurm", "generic"])
def test_run_on_slurm_equals_a_run_on_one_machine(
    name: str, data: Path, on_one_machine: dict[str, str], tmp_path: Path
) -> None:
    plug_in = {"slurm": "slurm", "generic": "cluster_generic"}[name]
    if importlib.util.find_spec(f"snakemake_executor_plugin_{plug_in}") is None:
        pytest.skip(f"pip install snakemake-executor-plugin-{plug_in.replace('_', '-')}")
    folder = project(tmp_path / "project")
    shutil.copytree(data, folder / "data/tiny", copy_function=shutil.copy2)
    run(folder, "--workflow-profile", f"profiles/{name}", *QUICK[name], *CONFIGURED)
    found = digests(folder / "results-tiny")
    assert len(found) > 90
    assert found == on_one_machine
