"""A sample of the kill points; `make kills` tries all of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent


def campaign(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, HERE / "campaign.py", *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.workflow
def test_every_stage_comes_out_equal_after_some_kills_and_errors() -> None:
    done = campaign("--sample", "--every", "25")
    if "kill points need" in done.stderr:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr[-6000:]
    total = done.stdout.splitlines()[-1].split("|")[2:-1]
    killed, paired, failed, said, *wrong = (int(cell.replace(",", "")) for cell in total)
    assert min(killed, paired, failed, said) > 5, done.stdout
    assert wrong == [0, 0], done.stdout
