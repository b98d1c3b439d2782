"""The state of a training or of a large scene's prediction: claimed by one process, resumed under its key alone."""

import errno
import os
import secrets
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event

from rasterloom.errors import StoreError
from rasterloom.learning.checkpoint import Arrays
from rasterloom.store.files import TEMPORARY, atomic_path
from rasterloom.store.lock import Held, living

STATE = "state.safetensors"

LOOK_SECONDS = 2.0
"""Seconds between two looks at work that another process is at."""


@contextmanager
def claimed_state(folder: Path, say: Callable[[str], None] = lambda text: None, first: str = STATE) -> Iterator[Path]:
    """A folder for the state of some work that no other process writes to; waits while another one has it.

    Parameters
    ----------
    folder : where the state lies; made if it is not there.
    say : called with a line of text if there is somebody to wait for.
    first : the file of the state that is written first.

    Yields
    ------
    A folder in it that holds the state of interrupted work, if there is one. When the block ends well
    it is removed, and `folder` too if that leaves it empty; after an error or a kill it stays for the next
    run, if a state was written.

    Notes
    -----
    A claim is a lock with signs of life (see `living`), and a rename, which only one of two processes can do, on
    whatever machines they are.
    """
    said = None
    while isinstance(claim := _claim(folder), str):
        if claim not in (said, ""):
            say(f"waiting for process {claim}, which makes the same artifact")
        said = claim
        time.sleep(LOOK_SECONDS)
    path, held = claim
    ended = False
    try:
        yield path
        ended = True
    finally:
        if ended or not (path / first).exists():
            shutil.rmtree(path, ignore_errors=True)
        held.close()
        with suppress(OSError):
            folder.rmdir()


def _claim(folder: Path) -> tuple[Path, Held] | str:
    """A claimed folder and its lock; or the living process that has it, empty if another one was faster."""
    name = f"state-{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
    new = folder / name
    with suppress(FileNotFoundError):
        for old in folder.glob("*/"):
            lock = (old / "lock").open("a+", encoding="utf-8")
            if who := living(lock):
                lock.close()
                return who
            os.utime(old / "lock")  # before it has its new name: nobody may take that one for dead
            old.rename(new)
            return new, Held(new / "lock", lock)
        unborn = folder.with_name(f"{TEMPORARY}{name}")
        (unborn / name).mkdir(parents=True)
        lock = (unborn / name / "lock").open("a+", encoding="utf-8")
        living(lock)
        try:
            unborn.rename(folder)  # which fails if there is anything in it
        except OSError as error:
            lock.close()
            shutil.rmtree(unborn, ignore_errors=True)
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        else:
            return new, Held(new / "lock", lock)
    return ""


@contextmanager
def told_to_stop() -> Iterator[Callable[[], bool]]:
    """A function that says whether SIGTERM has come: from a scheduler, or as the run died. It ends nothing here."""
    told = Event()
    before = signal.signal(signal.SIGTERM, lambda *_: told.set())
    try:
        yield told.is_set
    finally:
        signal.signal(signal.SIGTERM, before)


def write_state(path: Path, arrays: Arrays) -> None:
    """Write the state of a training atomically.

    Raises
    ------
    StoreError
        If the claim to its folder was lost: this process was suspended for long, and another one goes on.
    """
    from safetensors.numpy import save

    if not path.parent.is_dir():
        raise StoreError(f"{path.parent} was taken over by another process, which goes on with this training")
    with atomic_path(path) as temporary:
        temporary.write_bytes(save(arrays))


def read_state(path: Path) -> Arrays | None:
    """The state of interrupted work, or None if there is none that can be read."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return dict(load_file(path))
    except (FileNotFoundError, SafetensorError):
        return None
