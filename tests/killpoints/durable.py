"""The library of kill points: built with gcc, and the page through which it is told what to do."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import shutil
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_name("durable.c")

KILL, TEAR, STOP = -1, -2, -3
"""What happens at a point instead of an error number: the process dies (or with TEAR when half of a write is done), or
stops until it is killed."""

KINDS = ("open", "write", "sync", "rename", "unlink", "link", "mkdir", "utime", "lock")
"""Kinds of calls, in the order of durable.c; "open" is for writing."""

CAN_FAIL = {
    errno.ENOSPC: ("open", "write", "sync", "rename", "link", "mkdir"),
    errno.EROFS: ("open", "write", "rename", "unlink", "link", "mkdir", "utime"),
    errno.EIO: KINDS,
    errno.ENOLCK: ("lock",),
}
"""Calls that a file system fails with an error: full, read-only, broken, without locks."""

LASTING = (errno.ENOSPC, errno.EROFS, errno.ENOLCK)
"""Errors that the calls after it meet too."""


class _Layout(ctypes.Structure):
    """The page of durable.c."""

    _fields_ = (
        *((name, ctypes.c_int) for name in ("at", "action", "kinds", "lasting", "count", "hit_kind", "processes")),
        ("ids", ctypes.c_int * 1024),
        ("folder", ctypes.c_char * 4096),
        ("hit_path", ctypes.c_char * 4096),
    )


class Page:
    """What the library is told, and what it has seen; a file that processes share."""

    def __init__(self, path: Path, folder: Path) -> None:
        self.path, self._folder = path, folder
        path.write_bytes(bytes(ctypes.sizeof(_Layout)))
        with path.open("r+b") as file:
            self._told = _Layout.from_buffer(mmap.mmap(file.fileno(), 0))

    def tell(self, at: int, action: int) -> None:
        """Do something at a call below the folder, counted from 1; see `KILL`, or an error number."""
        chosen = ("write",) if action == TEAR else CAN_FAIL.get(action, KINDS)
        self._told.kinds = sum(1 << KINDS.index(kind) for kind in chosen)
        self._told.at, self._told.action, self._told.lasting = at, action, action in LASTING
        self._told.count = self._told.processes = 0
        self._told.hit_kind = -1
        self._told.folder = os.fsencode(self._folder)

    @property
    def hit(self) -> tuple[str, str] | None:
        """Kind and path of the call at which it happened; None: there were not so many."""
        kind = self._told.hit_kind
        return None if kind < 0 else (KINDS[kind], os.fsdecode(self._told.hit_path))


def lacking() -> str | None:
    """Why there can be no kill points here; None: there can."""
    if not Path("/proc/self/fd").is_dir():
        return "kill points need Linux: calls are found by /proc"
    return None if shutil.which("gcc") else "kill points need gcc, which builds the library that counts calls"


def build(folder: Path) -> Path:
    """Build the library in a folder, if it is not there."""
    library = folder / "durable.so"
    if not library.exists():
        flags = ["-shared", "-fPIC", "-O1", "-fno-delete-null-pointer-checks", "-Wno-nonnull-compare"]
        subprocess.run(["gcc", *flags, "-o", library, SOURCE, "-ldl"], check=True)
    return library


def arm(page: Path, counts: bool = True) -> None:
    """Put this process under a page; `counts` says whether its own calls count, or it only dies with the others."""
    if ctypes.CDLL(None).killpoints_arm(os.fsencode(page), int(counts)):
        raise OSError(f"{page} cannot be mapped")
