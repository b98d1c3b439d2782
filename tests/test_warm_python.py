"""The warm Python of the tests: a command in it sees and gives what it would in a Python of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from warm_python import WarmPython

pytestmark = pytest.mark.slow

SEEN = """
import json, os, sys
print(json.dumps([sys.argv[1:], os.getcwd(), sorted(os.environ.items()), sys.stdin.read(), __name__]))
print(os.environ["SAID"], file=sys.stderr)
"""


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarmPython]:
    with WarmPython(tmp_path_factory.mktemp("warm") / "bin") as found:
        yield found


def call(python: Path | str, folder: Path, code: str, *options: str) -> tuple[int, str, str]:
    """Exit code and what was written by a module that is found by PYTHONPATH alone."""
    (folder / "library").mkdir(exist_ok=True)
    (folder / "library/given.py").write_text(code, encoding="utf-8")
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(folder / "library"), "SAID": "ümlaut"}
    command = [python, "-m", "given", *options]
    done = subprocess.run(command, cwd=folder, env=environment, input="asked", capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    "code",
    [
        SEEN,
        "raise SystemExit(3)",
        "raise SystemExit('a reason')",
        "import os; os._exit(0) if os.fork() else os._exit(5)",
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
        "import atexit; atexit.register(print, 'last')",
        "import threading, time; threading.Thread(target=lambda: (time.sleep(0.1), print('later'))).start()",
        "import given; print('imported' if __name__ == 'given' else 'run')",
    ],
)
def test_command_is_as_in_a_python_of_its_own(code: str, warm: WarmPython, tmp_path: Path) -> None:
    found = call(warm.executable, tmp_path, code, "--option", "a value")
    assert found == call(sys.executable, tmp_path, code, "--option", "a value")


def test_error_shows_its_traceback(warm: WarmPython, tmp_path: Path) -> None:
    code, out, told = call(warm.executable, tmp_path, "{}['nothing']")
    assert (code, out) == (1, "")
    assert told.startswith("Traceback") and told.endswith("KeyError: 'nothing'\n")


def test_commands_do_not_see_each_other(warm: WarmPython, tmp_path: Path) -> None:
    code = "import os, sys, json; print(hasattr(json, 'mine'), os.environ.get('MINE')); json.mine = 1"
    code += "; os.environ['MINE'] = 'set'"
    assert [call(warm.executable, tmp_path, code)[1] for _ in range(2)] == ["False None\n"] * 2


def test_what_was_started_ends_with_the_server(tmp_path: Path) -> None:
    (tmp_path / "sleeping.py").write_text(
        "import time\nprint('begun', flush=True)\ntime.sleep(100)\n", encoding="utf-8"
    )
    with WarmPython(tmp_path / "bin") as warm:
        command = [warm.executable, "-m", "sleeping"]
        process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
    assert process.communicate(timeout=20) == ("", "the server of warm processes is gone\n")
    assert process.returncode == 1
