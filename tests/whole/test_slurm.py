"""A whole run by Slurm, with the profiles as they are: the manifests and tables of a run on one machine.

It runs where somebody asks for it (`make slurm-test`), as it submits jobs to whatever Slurm `sbatch` finds.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rasterloom.tools.scenes.writing import write_scenes

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 3600.0
"""Seconds after which a run is given up: some mistakes make Snakemake wait for a job without end."""

ASIDE = {"store", "logs", "benchmarks", "training", "runs", "report", "vectors", "config.json"}
"""What holds times, names of folders, or bytes of databases."""

pytestmark = [
    pytest.mark.workflow,
    pytest.mark.skipif(not os.environ.get("RASTERLOOM_SLURM_TEST"), reason="submits jobs: `make slurm-test` runs it"),
]


def project(folder: Path) -> Path:
    folder.mkdir()
    for name in ("Snakefile", "config.yaml", "workflow", "presets", "envs", "profiles"):
        (folder / name).symlink_to(ROOT / name)
    return folder


def run(folder: Path, *arguments: str) -> None:
    command = [sys.executable, "-m", "snakemake", *arguments, "--configfile", "presets/tiny.yaml"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=LIMIT)
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every manifest and table of a results folder, by path."""
    results = folder / "results-tiny"
    files = (path for path in sorted(results.rglob("*")) if path.is_file() and not path.is_symlink())
    named = ((path.relative_to(results), path) for path in files)
    return {
        str(name): hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in named
        if name.parts[0] not in ASIDE and not any(part.startswith(".") for part in name.parts)
    }


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "tiny"
    write_scenes(folder, train=4, test=2, size=(256, 256), seed=3)
    return folder


@pytest.fixture(scope="module")
def on_one_machine(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = project(tmp_path_factory.mktemp("local") / "project")
    shutil.copytree(data, folder / "data/tiny", copy_function=shutil.copy2)
    run(folder, "--cores", "2")
    return digests(folder)


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
    run(folder, "--workflow-profile", f"profiles/{name}", *QUICK[name])
    found = digests(folder)
    assert len(found) > 90
    assert found == on_one_machine
