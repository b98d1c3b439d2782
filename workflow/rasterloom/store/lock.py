"""One run at a time in a results folder, and jobs that end with their parent."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import IO

from rasterloom.errors import RasterloomError

PR_SET_PDEATHSIG = 1


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
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        holder = file.read().strip() or "unknown"
        file.close()
        raise RasterloomError(
            f"another run (process {holder}) is using {results}: wait for it to end or stop it, "
            "or give this run a folder of its own with the key `results`"
        ) from None
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
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return file.read().strip() or "unknown"
    return None
