"""The configuration as Snakemake reads it: its files, its ``--config``, and a run's recipe used again."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from common import ROOT, says
from rasterloom.config import load_config, read_config_files
from rasterloom.config.load import recorded
from rasterloom.tools.scenes.writing import write_scenes

pytestmark = pytest.mark.workflow

Plan = Callable[..., list[str]]
TINY = "presets/tiny.yaml"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder: the repository's files and three scenes."""
    found = tmp_path_factory.mktemp("project")
    for name in ("Snakefile", "config.yaml", "workflow", "presets", "envs", "profiles"):
        (found / name).symlink_to(ROOT / name)
    write_scenes(found / "data/tiny", train=2, test=1, size=(256, 256), seed=3)
    return found


@pytest.fixture
def plan(folder: Path) -> Plan:
    """What a run would do: ``plan(*arguments, code=0)`` gives the lines that Snakemake says of it."""

    def run(*arguments: str, code: int = 0) -> list[str]:
        command = [sys.executable, "-m", "snakemake", "--summary", "--cores", "1", *arguments]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        output = done.stdout + done.stderr
        assert done.returncode == code, output[-4000:]
        assert "Traceback" not in output
        return output.splitlines()

    return run


def files(lines: list[str]) -> list[str]:
    """The files that a run would write."""
    return sorted(line.split("\t")[0] for line in lines if line.count("\t") == 5)


def test_key_that_stands_twice_is_refused(folder: Path, plan: Plan) -> None:
    (folder / "twice.yaml").write_text("validation: {seed: 1}\nvalidation: {seed: 2}\n")
    told = plan("--configfile", TINY, "twice.yaml", code=1)[-1]
    assert told.startswith("rasterloom: ")
    assert says(told, "twice.yaml ... line 2 ... 'validation' ... line 1")


def test_config_on_the_command_line_goes_before_all_files(plan: Plan) -> None:
    lines = plan("--configfile", TINY, "--config", "results=else where/")
    written = {name.split("/")[0] for name in files(lines)} - {"output_file"}
    assert written == {"else where"}


def test_table_on_the_command_line_is_told_that_its_values_are_text(plan: Plan) -> None:
    told = plan("--configfile", TINY, "--config", "defaults={training: {steps: 5}}", code=1)[-1]
    assert told.startswith("rasterloom: ")
    assert says(told, "`defaults.training.steps` ... integer ... --config ... in a file")


def test_recipe_of_a_run_is_planned_again_over_config_yaml_and_alone(folder: Path, plan: Plan) -> None:
    merged = read_config_files([folder / "config.yaml", folder / TINY])
    (folder / "config.json").write_text(json.dumps(recorded(load_config(merged), merged)))
    first = files(plan("--configfile", TINY))
    assert len(first) > 50
    assert files(plan("--configfile", "config.json")) == first
    assert files(plan("--configfile", "config.json", "--replace-workflow-config")) == first
