"""The contest's images: in folders, however they were unpacked, or in archives that are still packed."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rasterloom.dataset.archive import member_folder, member_path
from rasterloom.dataset.contest_ids import SENSORS
from rasterloom.dataset.index import ID_LENGTH
from rasterloom.dataset.source_files import Folders, SourceFile
from rasterloom.errors import InputError

_ENDINGS = (".tif", ".tiff")


@dataclass
class Images:
    """What was found.

    Attributes
    ----------
    scenes : dict of str to dict of str to tuple of SourceFile
        Files by scene and sensor; the sensors in the order given.
    notes : list of str
        Sentences on files that are left out, and why.
    misfits : dict of str to list of str
        By folder: files that are TIFFs by their ending and have no name of the contest's form.
    """

    scenes: dict[str, dict[str, tuple[SourceFile, ...]]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    misfits: dict[str, list[str]] = field(default_factory=dict)


def image_form(folder: str) -> str:
    """How the names of the images of a folder are formed, for messages."""
    names = [f"{{scene}}{sensor.ending}.tif" for sensor in SENSORS.values() if sensor.folder == folder]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


def find_images(root: Path, sensors: Mapping[str, Any]) -> Images:
    """Find the images of sensors below a folder.

    Parameters
    ----------
    root : Path
        Holds ``three_band`` and ``sixteen_band``, flat, nested or as ``.zip``. An unpacked image takes precedence over
        one in an archive.
    sensors : mapping
        Names among `SENSORS`.

    Raises
    ------
    InputError
        If a folder cannot be listed, or an archive cannot be read and nothing is unpacked beside it.

    Notes
    -----
    Cost: a listing of each folder and archive, and a `stat` per file; no image is opened.
    """
    images = Images()
    folders = dict.fromkeys(SENSORS[name].folder for name in sensors)
    found = {key: file for folder in folders for key, file in _of_folder(root, folder, images).items()}
    for sensor in sensors:
        for (scene, name), file in found.items():
            if name == sensor:
                images.scenes.setdefault(scene, {})[sensor] = (file,)
    return images


def _of_folder(root: Path, folder: str, images: Images) -> dict[tuple[str, str], SourceFile]:
    """Files of a folder and its archive by (scene, sensor); what is left out is added to the notes of `images`."""
    folders, archive = Folders(), root / f"{folder}.zip"
    unpacked: dict[tuple[str, str], SourceFile] = {}
    packed: dict[tuple[str, str], SourceFile] = {}
    odd: list[str] = []
    for place in (root / folder, root / folder / folder):
        _take(_unpacked(place, folders, odd), folder, unpacked, images)
    if archive.exists():
        try:
            _take(_packed(archive, folders), folder, packed, images)
        except InputError as error:
            if not unpacked:
                raise
            images.notes.append(f"{error}; what is unpacked is used")
    if odd:
        images.notes.append(
            f"{root / folder}: {odd[0]!r} is left out, as it is a folder, a pipe or a link to nothing, not a file"
            f"{_more(odd, 'entries')}"
        )
    # An unzip that was broken off leaves a file that is too short.
    other = [(file, packed[key]) for key, file in unpacked.items() if key in packed and packed[key].size != file.size]
    for file, member in other[:1]:
        images.notes.append(
            f"{file.path} has {file.size} bytes and {member.path} {member.size}: the unpacked one is used; if it was"
            f" cut off, unpack it again{_more(other)}"
        )
    return {**packed, **unpacked}


def _more(found: Sequence[object], what: str = "images") -> str:
    """How many there are, for a note that names the first of several."""
    return f" ({len(found)} such {what})" if len(found) > 1 else ""


def _unpacked(place: Path, folders: Folders, odd: list[str]) -> Iterator[tuple[str, SourceFile]]:
    """Name and file of each TIFF of a folder; names of those that are no files go to `odd`."""
    try:
        entries = sorted(place.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise InputError(f"{place} cannot be listed ({error.strerror}): change its permissions") from None
    for entry in entries:
        if entry.name.lower().endswith(_ENDINGS) and not entry.name.startswith("."):
            if entry.is_file():
                yield entry.name, SourceFile.of(entry, None, folders)
            else:
                odd.append(entry.name)


def _packed(archive: Path, folders: Folders) -> Iterator[tuple[str, SourceFile]]:
    """Name and file of each TIFF of an archive, those of the outermost folder first."""
    for name in sorted(folders.members(archive), key=lambda name: (name.count("/"), name)):
        if name.lower().endswith(_ENDINGS):
            yield member_folder(name)[1], SourceFile.of(member_path(archive, name), None, folders)


def _take(
    files: Iterator[tuple[str, SourceFile]], folder: str, found: dict[tuple[str, str], SourceFile], images: Images
) -> None:
    """Add files to those found by (scene, sensor): a name of exactly the contest's form takes precedence."""
    matches = [(name, _match(folder, name), file) for name, file in files]
    misfits = [name for name, match, _ in matches if match is None]
    named = [(name, match, file) for name, match, file in matches if match is not None]
    twice: list[tuple[str, str]] = []
    for _, key, file in sorted(named, key=lambda entry: entry[0] != f"{entry[1][0]}{SENSORS[entry[1][1]].ending}.tif"):
        kept = found.setdefault(key, file)
        if kept is not file:
            twice.append((kept.path, file.path))
    if misfits:
        images.misfits.setdefault(folder, []).extend(misfits)
        many = f"{len(misfits)} images, first {misfits[0]!r}, are" if len(misfits) > 1 else f"{misfits[0]!r} is"
        images.notes.append(f"{folder}: {many} left out, as an image is called {image_form(folder)} there")
    for kept_path, path in twice[:1]:
        images.notes.append(f"{kept_path} is used and {path} left out: both are the same image{_more(twice)}")


def _match(folder: str, name: str) -> tuple[str, str] | None:
    """Scene and sensor by the name of a file; None if it is of another form."""
    for name_of_sensor, sensor in SENSORS.items():
        form = rf"([A-Za-z0-9][A-Za-z0-9-]*(?:_[0-9]+)*){sensor.ending}\.tiff?"
        match = re.fullmatch(form, name, re.IGNORECASE | re.ASCII)
        if match and sensor.folder == folder and len(match[1]) <= ID_LENGTH:
            return match[1], name_of_sensor
    return None
