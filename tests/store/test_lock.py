"""The lock of a results folder is freed by any death; jobs end with their parent."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rasterloom.errors import RasterloomError
from rasterloom.store.lock import hold, holder

Python = Callable[..., "subprocess.Popen[str]"]

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
    words = re.escape(f"another run (process {holder.pid}) is using {results}: ")
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
    assert (results / ".lock").read_text() == str(os.getpid()), "the earlier holder's number is gone"
    lock.close()


def test_holder_names_the_living_process_and_takes_nothing(results: Path, python: Python) -> None:
    assert holder(results) is None
    assert not (results / ".lock").exists()
    process = python(HOLDER, results)
    assert line_of(process) == "held\n"
    assert holder(results) == str(process.pid)
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
    assert not os.get_inheritable(lock.fileno()), "a job that outlives the run must not keep the lock"
    lock.close()


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
