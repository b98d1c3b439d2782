"""Locks that are freed by the death of their process, however it dies; and one run at a time in a results folder."""

import fcntl
import os
from pathlib import Path
from typing import IO, Any

from rasterloom.errors import RasterloomError


def locked(file: IO[Any], *, shared: bool = False, wait: bool = False) -> bool:
    """Lock an open file, for as long as it is open.

    Parameters
    ----------
    file : file object
    shared : bool
        Whether others may hold it at the same time, if they share it too.
    wait : bool
        Whether to wait for it.

    Returns
    -------
    bool
        False if another process holds the lock.
    """
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    return True


def hold(results: Path) -> IO[str]:
    """Take the lock of a results folder; it is freed by the death of the process, however it dies.

    Parameters
    ----------
    results : Path
        The folder, made if it is not there.

    Returns
    -------
    file object
        Keep it open for as long as the lock is to be held.

    Raises
    ------
    RasterloomError
        If another process holds the lock; the message names its process.
    """
    results.mkdir(parents=True, exist_ok=True)
    file = (results / ".lock").open("a+", encoding="utf-8")
    if not locked(file):
        file.seek(0)
        holder = file.read().strip() or "unknown"
        file.close()
        raise RasterloomError(
            f"another run (process {holder}) is using {results}: wait for it to end or stop it, "
            "or give this run a folder of its own with the key `results`"
        )
    file.seek(0)
    file.truncate()
    file.write(str(os.getpid()))
    file.flush()
    return file


def holder(results: Path) -> str | None:
    """The process that holds the lock of a results folder, or None if no living one does; takes nothing.

    Raises
    ------
    PermissionError
        If the lock cannot be looked at.
    """
    try:
        file = (results / ".lock").open("r", encoding="utf-8")
    except FileNotFoundError:
        return None
    with file:
        return None if locked(file, shared=True) else file.read().strip() or "unknown"
