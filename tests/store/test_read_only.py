"""Folders that are mounted read-only, as a shared store or somebody else's results may be."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from common import LIBRARY
from rasterloom.store.store import Item

MOUNTED = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && shift && exec "$@"'


def read_only(folder: Path, code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run Python code where a folder is mounted read-only; skips where nobody may mount."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("only root may mount")
    mounted = ["unshare", "--mount", "sh", "-c", MOUNTED, "sh", str(folder)]
    if subprocess.run([*mounted, "true"], check=False, capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    environment = {**os.environ, "PYTHONPATH": str(LIBRARY.parent)}
    command = [*mounted, sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, check=False, capture_output=True, text=True, env=environment)


USES = """
import errno, sys
from pathlib import Path
from rasterloom.store.store import Store
store, results = Store(Path(sys.argv[1])), Path(sys.argv[2])
item = store.find("train", "a" * 32)
assert store.open_path(item).read_bytes() == b"content"
assert store.read_only
store.register(results)
try:
    with store.writing("train", "b" * 32, ".bin") as work:
        pass
except OSError as error:
    assert error.errno == errno.EROFS
    print("used")
"""


def test_store_that_is_read_only_is_used(tmp_path: Path, results: Path, put: Callable[..., Item]) -> None:
    put("train", "a" * 32)
    done = read_only(results / "store", USES, results / "store", tmp_path / "mine")
    assert (done.stdout, done.stderr) == ("used\n", "")


HOLDS = """
import sys
from pathlib import Path
from rasterloom.store.lock import holder
print(holder(Path(sys.argv[1])))
"""


def test_holder_of_results_that_are_read_only(results: Path) -> None:
    (results / ".lock").write_text("77 on node7")
    done = read_only(results, HOLDS, results)
    assert (done.stdout, done.stderr) == ("77 on node7\n", "")
