"""Locks that are freed by the death of their process, however it dies; and one run at a time in a results folder.

``flock`` shows who lives on this machine. On another one it may not reach (a local mount option, another node of a
cluster), and some file systems have none. So who holds a file for long names itself in it and gives signs of life.
"""

import atexit
import errno
import fcntl
import os
import socket
import sys
import time
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from threading import Event, Thread
from typing import IO, Any

from rasterloom.errors import RasterloomError

BEAT = 20.0
"""Seconds between two signs of life."""

STALE = 180.0
"""Seconds without a sign of life after which a process counts as dead that no lock shows to be alive."""

NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}
"""What a file system without `flock` says."""

_NOTED = (
    "is on a file system without locks (Lustre has them with `-o flock`). Runs heed each other by signs of life, but "
    "nothing keeps `rasterloom gc` from another run that shares the store: do not run both at once"
)

_HERE = f" on {socket.gethostname()}"


def _flock(file: IO[Any], how: int) -> bool | None:
    """Whether a file could be locked; None where its file system has no locks."""
    try:
        fcntl.flock(file, how)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in NO_LOCKS:
            return None
        error.filename = file.name
        raise
    return True


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
        False if another process holds the lock; True also where the file system has no locks.
    """
    return _flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB)) is not False


class Held(AbstractContextManager["Held"]):
    """A file that names this process and its machine, with signs of life, until `close` or the end of the process."""

    def __init__(self, path: Path, file: IO[str]) -> None:
        self.path, self.file = path, file
        self._ended = Event()
        try:
            file.truncate(0)
            file.write(f"{os.getpid()}{_HERE}")
            file.flush()
        except OSError as error:
            error.filename = str(path)
            raise
        self.since = os.fstat(file.fileno()).st_mtime_ns  # by the clock of the file system
        atexit.register(self.close)
        Thread(target=self._beat, daemon=True).start()

    def _beat(self) -> None:
        while not self._ended.wait(BEAT):
            with suppress(OSError):  # by its name: who has taken it over gave it another one
                os.utime(self.path)

    def close(self) -> None:
        """Free it, also for other machines, at once."""
        self._ended.set()
        with suppress(OSError, ValueError):  # the latter if it is closed
            self.file.truncate(0)
        self.file.close()

    def __exit__(self, *error: object) -> None:
        self.close()


def living(file: IO[str], *, shared: bool = False) -> str | None:
    """Who holds an open lock file, such as ``123 on node7``; if nobody alive does, None, and it is locked.

    See `locked` for `shared`.
    """
    got = _flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    file.seek(0)
    who = file.read().strip()
    if got is False:
        return who or "unknown"
    told = got and who.endswith(_HERE)  # then the lock alone decides
    return who if who and not told and time.time() - os.fstat(file.fileno()).st_mtime < STALE else None


def hold(results: Path) -> Held:
    """Take the lock of a results folder; it is freed by the death of the process, however it dies.

    Where no lock reaches from machine to machine, it is free for others `STALE` seconds after the death.

    Parameters
    ----------
    results : Path
        The folder, made if it is not there.

    Returns
    -------
    Held
        Keep it for as long as the lock is to be held.

    Raises
    ------
    RasterloomError
        If another process holds the lock; the message names its process and host.
    """
    results.mkdir(parents=True, exist_ok=True)
    path = results / ".lock"
    file = path.open("a+", encoding="utf-8")
    if who := living(file):
        file.close()
        raise RasterloomError(
            f"another run (process {who}) is using {results}: wait for it to end or stop it (if its machine died, "
            f"wait {STALE / 60:.0f} minutes), or give this run a folder of its own with the key `results`"
        )
    if _flock(file, fcntl.LOCK_EX) is None:
        print(f"rasterloom: note: {results} {_NOTED}", file=sys.stderr)
    return Held(path, file)


def holder(results: Path) -> str | None:
    """The process that holds the lock of a results folder, or None if no living one does; takes nothing.

    Raises
    ------
    PermissionError
        If the lock cannot be looked at.
    """
    with suppress(FileNotFoundError), (results / ".lock").open("r", encoding="utf-8") as file:
        return living(file, shared=True)
    return None
