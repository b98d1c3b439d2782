"""Atomic files: written under a temporary name, flushed to disk, renamed."""

import errno
import io
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

TEMPORARY = ".tmp-"
"""What the name of an unfinished file begins with."""


def flush(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def temporary_path(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, gone when the block ends unless it was renamed.

    The temporary name keeps the suffixes of the final one, since many writers choose a format by them. An error of the
    file system that names no file, as that of a write, gets the name of `path`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f"{TEMPORARY}{os.getpid()}-{secrets.token_hex(4)}-{path.name}"
    try:
        yield temporary
    except io.UnsupportedOperation as error:  # zipfile tries again, to write alone, what could not be opened for both
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(path)) from error
    except OSError as error:
        if error.errno and error.filename is None:
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path that becomes `path` when the block ends well, and vanishes otherwise."""
    with temporary_path(path) as temporary:
        yield temporary
        flush(temporary)
        temporary.replace(path)
        flush(path.parent)


def write_text(path: Path, text: str) -> None:
    """Write `text` (UTF-8) to `path` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")


def json_text(value: Any) -> str:
    """A value as sorted, indented JSON."""
    return json.dumps(value, sort_keys=True, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def write_json(path: Path, value: Any) -> None:
    """Write `value` to `path` atomically as sorted, indented JSON."""
    write_text(path, json_text(value))


def read_json(path: Path) -> Any:
    """The value that `write_json` wrote."""
    return json.loads(path.read_text(encoding="utf-8"))


def sound_json(path: Path) -> Any:
    """What a JSON file holds; None if it is not there or is damaged."""
    try:
        return read_json(path)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None


def link(target: Path, name: Path) -> None:
    """Make `name` a relative symbolic link to `target`, atomically replacing an earlier link."""
    destination = os.path.relpath(target.parent.resolve() / target.name, name.parent.resolve())
    if name.is_symlink() and str(name.readlink()) == destination:
        return
    with temporary_path(name) as temporary:
        temporary.symlink_to(destination)
        temporary.replace(name)
