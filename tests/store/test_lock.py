"""The lock of a results folder is freed by any death; jobs end with their parent."""

from __future__ import annotations

import errno
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from rasterloom.errors import RasterloomError
from rasterloom.store import lock as module
from rasterloom.store.lock import BEAT, STALE, Held, hold, holder, locked

Python = Callable[..., "subprocess.Popen[str]"]

HOST = socket.gethostname()

HOLDER = """
import sys
from pathlib import Path
from rasterloom.store.lock import hold
lock = hold(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""

PARENT = """
import subprocess, sys
subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdin=subprocess.DEVNULL)
sys.stdin.read()
"""

CHILD = """
import os, time
from rasterloom.planning.guard import end_with_parent
{call}
print(os.getpid(), flush=True)
time.sleep({seconds})
print("survived", flush=True)
"""


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def test_hold_refuses_a_second_process_naming_the_first(results: Path, python: Python) -> None:
    holder = python(HOLDER, results)
    assert line_of(holder) == "held\n"
    words = re.escape(f"another run (process {holder.pid} on {HOST}) is using {results}: ")
    with pytest.raises(RasterloomError, match=words) as caught:
        hold(results)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, None], ids=["kill", "term", "end"])
def test_hold_is_freed_by_any_end_of_the_holder(results: Path, python: Python, how: signal.Signals | None) -> None:
    holder = python(HOLDER, results)
    assert line_of(holder) == "held\n"
    if how is None:
        assert holder.stdin is not None
        holder.stdin.close()
    else:
        holder.send_signal(how)
    holder.wait()
    lock = hold(results)
    assert (results / ".lock").read_text() == f"{os.getpid()} on {HOST}", "the earlier holder's number is gone"
    lock.close()


def test_holder_names_the_living_process_and_takes_nothing(results: Path, python: Python) -> None:
    assert holder(results) is None
    assert not (results / ".lock").exists()
    process = python(HOLDER, results)
    assert line_of(process) == "held\n"
    assert holder(results) == f"{process.pid} on {HOST}"
    process.kill()
    process.wait()
    assert holder(results) is None
    hold(results).close()


def test_hold_again_after_close(results: Path) -> None:
    hold(results).close()
    lock = hold(results)
    with pytest.raises(RasterloomError, match=f"process {os.getpid()}"):
        hold(results)
    lock.close()


def test_hold_makes_the_folder_and_is_not_handed_to_children(tmp_path: Path) -> None:
    lock = hold(tmp_path / "new" / "results")
    assert not os.get_inheritable(lock.file.fileno()), "a job that outlives the run must not keep the lock"
    lock.close()


def held_elsewhere(results: Path, seconds: float) -> None:
    """A lock that a run on another machine holds, or held, with its latest sign of life so long ago."""
    path = results / ".lock"
    path.write_text("77 on node7")
    os.utime(path, (time.time() - seconds, time.time() - seconds))


def test_hold_heeds_signs_of_life_of_another_machine(results: Path) -> None:
    held_elsewhere(results, STALE - 2 * BEAT)
    assert holder(results) == "77 on node7"
    with pytest.raises(RasterloomError, match=r"process 77 on node7\) .*if its machine died, wait 3 minutes"):
        hold(results)
    assert (results / ".lock").read_text() == "77 on node7"


def test_hold_takes_over_from_another_machine_that_gives_no_sign_of_life(results: Path) -> None:
    held_elsewhere(results, STALE + 1)
    assert holder(results) is None
    hold(results).close()


def test_close_frees_the_lock_for_other_machines_at_once(results: Path) -> None:
    hold(results).close()
    assert (results / ".lock").read_text() == ""


def test_held_gives_signs_of_life(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BEAT", 0.01)
    with hold(results):
        os.utime(results / ".lock", (0, 0))
        until = time.monotonic() + 30
        while (results / ".lock").stat().st_mtime < time.time() - STALE and time.monotonic() < until:
            time.sleep(0.01)
        assert (results / ".lock").stat().st_mtime > time.time() - STALE


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_without_flock_signs_of_life_alone_decide(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: int
) -> None:
    """As on Lustre that is mounted without `-o flock`."""

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", refuse)
    with hold(results), (results / "other").open("w") as file:
        assert locked(file), "a lock for an instant is done without"
        assert f"note: {results} is on a file system without locks" in capsys.readouterr().err
        with pytest.raises(RasterloomError, match=f"process {os.getpid()} on {HOST}"):
            hold(results)
    with hold(results) as held:
        assert isinstance(held, Held)
        os.utime(held.path, (1, 1))
        hold(results).close()


def test_other_errors_of_flock_are_not_hidden(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(OSError, match=r"Input/output error: .*/\.lock'$"):
        hold(results)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process of its parent's death")
def test_end_with_parent_ends_the_child_of_a_killed_parent(python: Python) -> None:
    """The pipe closes when its last writer is gone; a child that lived on would have said so."""
    parent = python(PARENT, CHILD.format(call="end_with_parent()", seconds=30))
    assert line_of(parent).strip().isdigit()
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert line_of(parent) == ""


def test_without_end_with_parent_the_child_lives_on(python: Python) -> None:
    """The counterpart, without which the test above would prove nothing."""
    parent = python(PARENT, CHILD.format(call="", seconds=0.5))
    assert line_of(parent).strip().isdigit()
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert line_of(parent) == "survived\n"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process of its parent's death")
def test_end_with_parent_leaves_a_child_of_a_living_parent_alone(python: Python) -> None:
    parent = python(PARENT, CHILD.format(call="end_with_parent()", seconds=0))
    assert line_of(parent).strip().isdigit()
    assert line_of(parent) == "survived\n"
