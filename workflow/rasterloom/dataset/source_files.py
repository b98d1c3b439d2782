"""Source files of a data set: where they are, what lies beside them, and which bands are meant."""

import json
import os
import re
import stat
import zipfile
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache, lru_cache
from html import unescape
from pathlib import Path
from typing import Any, Self

from rasterloom.dataset.archive import list_members, member_folder, member_time, split_member
from rasterloom.errors import InputError, MissingInputError, RasterloomError, concerning
from rasterloom.grouping import grouped

Sidecars = tuple[tuple[str, int, int], ...]
"""Name, bytes and time of change (in nanoseconds; in an archive the checksum) of each file beside an image that has a
say in what it means."""

Names = dict[str, list[str]]
"""Names of files by what they are in small letters."""

Bands = tuple[int | str, ...]
"""Bands of a file by number, from 1, or by name."""


class Folders:
    """Listings of folders and archives, each read once, to find what lies beside many images."""

    def __init__(self) -> None:
        self.members = cache(list_members)
        self._inside: dict[str, Names] = {}

    def sidecars(self, path: Path) -> Sidecars:
        """Name, bytes and time of change (in archives the checksum) of the files that GDAL reads along with an image.

        World files (``.tfw``, ``.tifw``, ``.wld``, and those of other formats), ``.aux.xml`` and ``.aux``, ``.tab``,
        ``.msk``, ``.hdr`` and the parts of a Shapefile, sorted; not overviews, which hold nothing new. Then the images
        that a VRT is made of.
        """
        named = split_member(path)
        if named is None:
            folder, found, names = path.parent, [], Names()
            with suppress(OSError):  # no folder, or one that may be entered but not listed
                names = _entries(folder, folder.stat().st_mtime_ns)
            for name in [*_beside(path.name, names), *_parts(path)]:
                with suppress(OSError):  # a VRT may name what is no file
                    status = (folder / name).stat()
                    found.append((name, status.st_size, status.st_mtime_ns))
            return tuple(found)
        archive, (inside, name) = named[0], member_folder(named[1])
        members, place = self.members(archive), f"{archive}!{inside}"
        if place not in self._inside:
            own = (base for at, base in map(member_folder, members) if at == inside)
            self._inside[place] = grouped((base.lower(), base) for base in own)
        beside = _beside(name, self._inside[place])
        return tuple((base, members[inside + base].file_size, members[inside + base].CRC) for base in beside)


@lru_cache(maxsize=16)
def _entries(folder: Path, changed: int) -> Names:
    """What lies in a folder, as of its last change."""
    return grouped((entry.name.lower(), entry.name) for entry in folder.iterdir())


def _beside(name: str, names: Names) -> list[str]:
    """The sidecars of a file among the entries of its place."""
    return sorted({found for wanted in _sidecar_names(name) for found in names.get(wanted, ())})


@dataclass(frozen=True)
class SourceFile:
    """A file that somebody gave, as it was seen when the workflow was planned.

    Attributes
    ----------
    path : str
        As it is opened from the working directory; ``archive.zip!folder/image.tif`` for a member of an archive.
    size : int
        Bytes, unpacked.
    mtime_ns : int
        Time of its last change, in nanoseconds; of a member by its archive's directory.
    bands : tuple of int or str, or None
        Bands chosen of it, by number from 1 or by name; None: all.
    sidecars : tuple of (str, int, int)
        Files beside it that change its georeference or mask, as `Folders.sidecars` gives them.
    crc : int or None
        Checksum of a member of an archive: a new archive with the same member leaves it as it was.
    """

    path: str
    size: int
    mtime_ns: int
    bands: Bands | None = None
    sidecars: Sidecars = ()
    crc: int | None = None

    @classmethod
    def of(cls, path: Path, bands: Bands | None = None, folders: Folders | None = None) -> Self:
        """The file, or member of an archive, at `path`; with `folders` it has its sidecars.

        Raises
        ------
        FileNotFoundError, OSError
            Of the system, for a plain file.
        MissingInputError, InputError
            For a member that is not there or is not deflated, or an archive that cannot be read.
        """
        sidecars = folders.sidecars(path) if folders else ()
        named = split_member(path)
        if named is None:
            status = path.stat()
            return cls(str(path), status.st_size, status.st_mtime_ns, bands, sidecars)
        archive, name = named
        members = (folders or Folders()).members(archive)
        if name not in members:
            raise MissingInputError(f"{path} is not there: the archive holds no such file")
        info = members[name]
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise InputError(f"{path} is packed by another method than deflate, which GDAL does not read: unpack it")
        return cls(str(path), info.file_size, member_time(info), bands, sidecars, info.CRC)

    def to_json(self) -> dict[str, Any]:
        """The file as a JSON object with the names of the attributes; ``sidecars`` and ``crc`` only if it has them."""
        found: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return {name: value for name, value in found.items() if name == "bands" or value not in ([], None)}


def _sidecar_names(name: str) -> list[str]:
    """What the sidecars of a file could be called, in small letters."""
    lower = name.lower()
    stem, dot, ending = lower.rpartition(".")
    if not dot or not ending:
        return [f"{lower}.{other}" for other in ("aux.xml", "hdr", "msk", "wld")]
    if ending == "shp":
        return [f"{stem}.{part}" for part in ("cpg", "dbf", "prj", "shx")]
    beside = (f"{ending[0]}{ending[-1]}w", f"{ending}w", "wld", "aux", "hdr", "tab")
    after = ("aux.xml", "aux", "hdr", "msk")
    return [*(f"{stem}.{other}" for other in beside), *(f"{lower}.{other}" for other in after)]


def _parts(path: Path) -> list[str]:
    """The images that a VRT is made of, as it names them."""
    if path.suffix.lower() != ".vrt" or not path.is_file():
        return []
    text = path.read_text(encoding="utf-8", errors="replace")
    return [unescape(name) for name in re.findall(r"<Source(?:Filename|Dataset)[^>]*>([^<]+)<", text)]


def existing(
    path: Path, what: str, remedy: str, bands: Bands | None = None, folders: Folders | None = None
) -> SourceFile:
    """The file, or member of an archive, at `path`, of which `what` says what it is for; with `folders` its sidecars.

    Raises
    ------
    MissingInputError, InputError
        If it is not a file that may be read; with `what` and the remedy.
    """
    with concerning(what):
        if split_member(path) is not None:
            try:
                return SourceFile.of(path, bands, folders)
            except MissingInputError as error:
                raise MissingInputError(f"{error}; {remedy}") from None
        try:
            _check_file(path, remedy)
            return SourceFile.of(path, bands, folders)
        except RasterloomError:
            raise
        except FileNotFoundError:
            broken = f"a link to {path.readlink()}, which is not there" if path.is_symlink() else "not there"
            raise MissingInputError(f"{path} is {broken}: {remedy}") from None
        except (OSError, ValueError) as error:
            words = error.strerror if isinstance(error, OSError) else str(error)
            raise InputError(f"{str(path)[-60:]!r} cannot be opened as a file ({words}): {remedy}") from None


def refuse_braces(path: Path) -> None:
    """InputError for a path with braces: Snakemake takes what stands between them for a wildcard, and has no escape."""
    if "{" in str(path) and "}" in str(path):
        raise InputError(f"{path}: a path must not have braces, which are wildcards to Snakemake: rename it")


def _check_file(path: Path, remedy: str) -> None:
    refuse_braces(path)
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a pipe or a device"
        raise MissingInputError(f"{path} is {kind}, a file is needed: {remedy}")
    if not os.access(path, os.R_OK):
        raise MissingInputError(f"{path} may not be read: change its permissions (chmod u+r)")
