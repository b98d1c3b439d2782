"""The benchmarks of training: their help, the steps at which they kill, what they read of a curve."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from resume import STEPS, kill_steps, last_step

from common import ROOT


@pytest.mark.parametrize(("script", "option"), [("training", "--threads"), ("resume", "--kills")])
def test_help(script: str, option: str) -> None:
    command = [sys.executable, str(ROOT / f"benchmarks/{script}.py"), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and f"python benchmarks/{script}.py" in done.stdout and option in done.stdout


def test_kills_are_within_the_training_and_in_order() -> None:
    for seed in range(20):
        found = kill_steps(np.random.default_rng(seed), 5)
        assert found == sorted(set(found)) and len(found) == 5 and found[0] > 0 and found[-1] < STEPS
    assert kill_steps(np.random.default_rng(1), 5) != kill_steps(np.random.default_rng(2), 5)


def test_last_step_leaves_out_a_line_that_is_being_written(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    assert last_step(path) == 0
    path.write_text('{"step": 3}\n{"step": 7}\n{"ste')
    assert last_step(path) == 7
