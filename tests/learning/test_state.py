"""The state of a training: one process has it, whatever happens, and the next one goes on."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from rasterloom.errors import StoreError
from rasterloom.learning import state as module
from rasterloom.learning.state import STATE, claimed_state, read_state, told_to_stop, write_state
from rasterloom.store.files import TEMPORARY
from rasterloom.store.lock import STALE

Python = Callable[..., "subprocess.Popen[str]"]

AT_WORK = """
import sys, time
from pathlib import Path
from rasterloom.learning.state import claimed_state
with claimed_state(Path(sys.argv[1]), lambda text: print(text, flush=True)) as state:
    with open(sys.argv[2], "a") as file:
        file.write("+")
        file.flush()
        while not Path(sys.argv[3]).exists():
            time.sleep(0.01)
        time.sleep(0.2)
        file.write("-")
"""


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.05)


def test_claimed_state_survives_an_error_and_is_taken_over(tmp_path: Path) -> None:
    folder = tmp_path / "k"
    with pytest.raises(KeyError), claimed_state(folder) as state:
        write_state(state / STATE, {"x": np.arange(3)})
        raise KeyError
    with claimed_state(folder) as state:
        read = read_state(state / STATE)
        assert read is not None
        assert read["x"].tolist() == [0, 1, 2]
    assert not folder.exists()


def test_claimed_state_without_a_state_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyError), claimed_state(tmp_path / "k"):
        raise KeyError
    assert not list(tmp_path.iterdir())


def test_claimed_state_survives_a_kill(tmp_path: Path) -> None:
    code = (
        "import os, numpy as np; from pathlib import Path; from rasterloom.learning import state as train\n"
        f"with train.claimed_state(Path({str(tmp_path)!r}) / 'k') as state:\n"
        "    train.write_state(state / train.STATE, {'x': np.arange(2)}); os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    with claimed_state(tmp_path / "k") as state:
        assert read_state(state / STATE) is not None


def test_claimed_state_is_had_by_one_process_at_a_time(tmp_path: Path, python: Python) -> None:
    folder, log, go = tmp_path / "k", tmp_path / "log", tmp_path / "go"
    first = python(AT_WORK, folder, log, go)
    while not log.exists() or not log.read_text():
        assert first.poll() is None
    others = [python(AT_WORK, folder, log, go) for _ in range(2)]
    for other in others:
        said = other.stdout.readline() if other.stdout is not None else ""
        host = socket.gethostname()
        assert said == f"waiting for process {first.pid} on {host}, which makes the same artifact\n"
    go.touch()
    assert all(process.wait() == 0 for process in (first, *others))
    assert log.read_text() == "+-" * 3
    assert {path.name for path in tmp_path.iterdir()} == {"log", "go"}


def left_elsewhere(folder: Path, seconds: float) -> Path:
    """A state that a process of another machine has, or had, with its latest sign of life so long ago."""
    found = folder / "state-node7-77-abcd"
    found.mkdir(parents=True)
    write_state(found / STATE, {"x": np.arange(5)})
    (found / "lock").write_text("77 on node7")
    os.utime(found / "lock", (time.time() - seconds, time.time() - seconds))
    return found


def test_claimed_state_is_taken_over_from_a_machine_that_gives_no_sign_of_life(tmp_path: Path) -> None:
    left = left_elsewhere(tmp_path / "k", STALE + 1)
    with claimed_state(tmp_path / "k") as state:
        assert read_state(state / STATE) is not None and not left.exists()
        assert (state / "lock").read_text() == f"{os.getpid()} on {socket.gethostname()}"
        with pytest.raises(StoreError, match=r"state-node7-77-abcd was taken over by another process"):
            write_state(left / STATE, {"x": np.arange(5)})
        assert not left.exists()


def test_claimed_state_waits_for_a_process_of_another_machine(tmp_path: Path) -> None:
    left = left_elsewhere(tmp_path / "k", 0)
    said: list[str] = []

    def end() -> None:
        (left / "lock").write_text("")  # as that process does when it ends

    with claimed_state(tmp_path / "k", lambda text: (said.append(text), threading.Timer(0.2, end).start())[0]) as state:
        assert read_state(state / STATE) is not None
    assert said == ["waiting for process 77 on node7, which makes the same artifact"]


def test_claimed_state_of_two_machines_goes_to_one(
    tmp_path: Path, python: Python, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no lock reaches, the rename decides: all of them find the same state at once, whose process is dead."""
    without = "import fcntl, errno\ndef flock(*_):\n    raise OSError(errno.ENOLCK, 'none')\nfcntl.flock = flock\n"
    left_elsewhere(tmp_path / "k", STALE + 1)
    (tmp_path / "go").touch()
    started = [python(without + AT_WORK, tmp_path / "k", tmp_path / "log", tmp_path / "go") for _ in range(4)]
    assert all(process.wait() == 0 for process in started)
    assert (tmp_path / "log").read_text() == "+-" * 4


def test_claimed_state_gets_past_what_an_earlier_version_left(tmp_path: Path) -> None:
    (tmp_path / "k" / f"{TEMPORARY}state-old").mkdir(parents=True)
    (tmp_path / "k2" / "state-without-lock").mkdir(parents=True)
    for name in ("k", "k2"):
        with claimed_state(tmp_path / name) as state:
            assert state.parent == tmp_path / name
    assert not list(tmp_path.iterdir())


@pytest.fixture
def ends_at_sigterm() -> Iterator[None]:
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGTERM, before)


def test_claimed_state_on_a_file_system_that_became_read_only_names_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rename(self: Path, target: Path) -> Path:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(self), None, str(target))

    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(OSError, match=str(tmp_path / "work")) as raised, claimed_state(tmp_path / "work"):
        pass
    assert raised.value.errno == errno.EROFS
    assert not list(tmp_path.iterdir())


def test_told_to_stop_says_whether_sigterm_came(ends_at_sigterm: None) -> None:
    with told_to_stop() as told:
        assert not told()
        os.kill(os.getpid(), signal.SIGTERM)
        assert told()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
