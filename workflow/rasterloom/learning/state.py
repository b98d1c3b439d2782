"""The state of an unfinished training: claimed by one process, resumed under the same key alone."""

import os
import secrets
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from rasterloom.learning.checkpoint import Arrays
from rasterloom.store.files import TEMPORARY, atomic_path
from rasterloom.store.lock import locked

STATE = "state.safetensors"


# Training state ---------------------------------------------------------------------------------------------


@contextmanager
def claimed_state(folder: Path) -> Iterator[Path]:
    """A folder for the state of a training that no other process writes to.

    Parameters
    ----------
    folder : where states lie; made if it is not there.

    Yields
    ------
    A folder in it that holds the state of an interrupted training, if there is one. When the block ends well
    it is removed, and `folder` too if that leaves it empty; after an error or a kill it stays for the next
    run, if a state was written.

    Notes
    -----
    A claim is a lock, which the death of its process frees, and a rename, which only one of two processes can
    do.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found = [claim for old in sorted(folder.glob("state-*")) if (claim := _claim(old)) is not None]
    claims = found or [_new_state(folder)]
    claims.sort(key=lambda claim: _age(claim[0]))
    ended = False
    try:
        yield claims[0][0]
        ended = True
    finally:
        for path, lock in claims:
            lock.close()
            if ended or not (path / STATE).exists():
                shutil.rmtree(path, ignore_errors=True)
        with suppress(OSError):  # others may have claimed a state there
            folder.rmdir()


def _state_name() -> str:
    return f"state-{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"


def _age(state: Path) -> float:
    """Sorts the latest state first."""
    file = state / STATE
    return -file.stat().st_mtime if file.exists() else 0.0


def _claim(old: Path) -> tuple[Path, IO[bytes]] | None:
    """Take over a state that no living process holds, or None."""
    new = old.parent / _state_name()
    try:
        lock = (old / "lock").open("r+b")
    except (FileNotFoundError, NotADirectoryError):
        return None
    if locked(lock):
        with suppress(FileNotFoundError):
            old.rename(new)
            return new, lock
    lock.close()
    return None


def _new_state(folder: Path) -> tuple[Path, IO[bytes]]:
    path = folder / _state_name()
    unborn = folder / f"{TEMPORARY}{path.name}"  # nobody claims it before it is locked
    unborn.mkdir(parents=True)  # whoever ended last may have removed the folder
    lock = (unborn / "lock").open("w+b")
    locked(lock)
    unborn.rename(path)
    return path, lock


def write_state(path: Path, arrays: Arrays) -> None:
    """Write the state of a training atomically."""
    from safetensors.numpy import save_file

    with atomic_path(path) as temporary:
        save_file(arrays, temporary)


def read_state(path: Path) -> Arrays | None:
    """The state of an interrupted training, or None if there is none that can be read."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    if not path.is_file():
        return None
    try:
        return dict(load_file(path))
    except SafetensorError:
        return None
