"""What a data set consists of: scenes, their files, what was labelled. Holds names, sizes and times; no pixels."""

from __future__ import annotations

import difflib
import os
import re
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from rasterloom.dataset.archive import Members, list_members, member_folder, member_time, split_member
from rasterloom.errors import ConfigError, InputError, MissingInputError, RasterloomError

ID_LENGTH = 128
"""Characters at most of the name of a scene: file names, of which it becomes a part, may have 255."""

ID_PATTERN = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{ID_LENGTH - 1}}}")
"""What a scene, group or fold may be called: it becomes part of file names."""

Role = Literal["train", "predict", "other"]
"""``train``: labelled, models may learn from it. ``predict``: nobody trains on it. ``other``: only part of the
data set (its pixels count in the statistics over all scenes), neither labelled nor predicted."""


Sidecars = tuple[tuple[str, int, int], ...]
"""Name, bytes and time of change (in nanoseconds; in an archive the checksum) of each file beside an image that has a
say in what it means."""

Bands = tuple[int | str, ...]
"""Bands of a file by number, from 1, or by name."""


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
        Files beside it that change its georeference or mask, as `sidecars_of` gives them.
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
    def of(cls, path: Path, bands: Bands | None = None, folders: Folders | None = None) -> SourceFile:
        """The file, or member of an archive, at `path`; with `folders` it has its sidecars.

        Raises
        ------
        FileNotFoundError, OSError
            Of the system, for a plain file.
        MissingInputError, InputError
            For a member that is not there, or an archive that cannot be read.
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
        return cls(str(path), info.file_size, member_time(info), bands, sidecars, info.CRC)

    def to_json(self) -> dict[str, Any]:
        """The file as a JSON object with the names of the attributes; ``sidecars`` and ``crc`` only if it has them."""
        found: dict[str, Any] = {
            "path": self.path,
            "size": self.size,
            "mtime_ns": self.mtime_ns,
            "bands": None if self.bands is None else list(self.bands),
        }
        if self.sidecars:
            found["sidecars"] = [list(sidecar) for sidecar in self.sidecars]
        if self.crc is not None:
            found["crc"] = self.crc
        return found


class Folders:
    """Listings of folders and archives, each read once, to find what lies beside many images."""

    def __init__(self) -> None:
        self._names: dict[Path, dict[str, list[str]]] = {}
        self._archives: dict[Path, Members] = {}

    def members(self, archive: Path) -> Members:
        """The files of an archive; see `rasterloom.dataset.archive.list_members`."""
        if archive not in self._archives:
            self._archives[archive] = list_members(archive)
        return self._archives[archive]

    def sidecars(self, path: Path) -> Sidecars:
        """The files beside an image that change its georeference or mask; see `sidecars_of`."""
        named = split_member(path)
        if named is not None:
            return self._sidecars_in(*named)
        names = self._listing(path.parent)
        found = []
        for name in _beside(path.name, names):
            try:
                status = (path.parent / name).stat()
            except FileNotFoundError:
                continue
            found.append((name, status.st_size, status.st_mtime_ns))
        return tuple(found)

    def _sidecars_in(self, archive: Path, member: str) -> Sidecars:
        folder, name = member_folder(member)
        inside = Path(f"{archive}!{folder}")
        if inside not in self._names:
            self._names[inside] = _by_small_letters(
                base for place, base in map(member_folder, self.members(archive)) if place == folder
            )
        infos = [(base, self.members(archive)[folder + base]) for base in _beside(name, self._names[inside])]
        return tuple((base, info.file_size, info.CRC) for base, info in infos)

    def _listing(self, folder: Path) -> dict[str, list[str]]:
        """Names of the files of a folder, by the name in small letters."""
        if folder not in self._names:
            try:
                self._names[folder] = _by_small_letters(entry.name for entry in folder.iterdir())
            except OSError:  # no folder, or one that may be entered but not listed
                self._names[folder] = {}
        return self._names[folder]


def _by_small_letters(names: Iterable[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(name.lower(), []).append(name)
    return found


def _beside(name: str, names: Mapping[str, list[str]]) -> list[str]:
    """The sidecars of a file among names, which are listed by their small letters."""
    return sorted({found for wanted in _sidecar_names(name) for found in names.get(wanted, ())})


def sidecars_of(path: Path) -> Sidecars:
    """Name, bytes and time of change of the files beside `path` that GDAL reads along with it, sorted.

    World files (``.tfw``, ``.tifw``, ``.wld``, and those of other formats), ``.aux.xml`` and ``.aux``, ``.tab``,
    ``.msk``, and the parts of a Shapefile; not overviews, which hold nothing new.
    """
    return Folders().sidecars(path)


def _sidecar_names(name: str) -> list[str]:
    """What the sidecars of a file could be called, in small letters."""
    lower = name.lower()
    stem, dot, ending = lower.rpartition(".")
    if not dot or not ending:
        return [f"{lower}.aux.xml", f"{lower}.msk", f"{lower}.wld"]
    if ending == "shp":
        return [f"{stem}.{part}" for part in ("cpg", "dbf", "prj", "shx")]
    beside = (f"{ending[0]}{ending[-1]}w", f"{ending}w", "wld", "aux", "tab")
    return [*(f"{stem}.{other}" for other in beside), *(f"{lower}.{other}" for other in ("aux.xml", "aux", "msk"))]


@dataclass(frozen=True)
class LabelFile:
    """Where a scene's labels of one class are.

    Attributes
    ----------
    file : SourceFile
        A vector file or a raster mask.
    whole : bool
        True: all that it holds is of the class. False: the features whose ``class`` says so.
    """

    file: SourceFile
    whole: bool


@dataclass(frozen=True)
class Scene:
    """One piece of ground at one time, seen by one or more sensors.

    Attributes
    ----------
    id : str
    ground : str
        Scenes of one `ground` show the same place and are never separated by a split.
    role : "train", "predict" or "other"
    sensors : dict of str to tuple of SourceFile
        In the order of the configuration; a sensor that this scene lacks is not in it.
    labelled : tuple of str
        Classes that somebody labelled in this scene (perhaps finding none), in the order of the
        configuration.
    truth : bool
        Whether the labels are held-out truth: scored against, never trained on or tuned with.
    fold : str or None
        The fold that the user put it in.
    labels : dict of str to LabelFile
        Layout ``sheet`` only: by class.
    grid : SourceFile or None
        Layout ``dstl`` only: the table of grid sizes.
    acquisition : str or None
        Scenes of one `acquisition` were taken together: what their sensors are off is about the same. None: alone.
    """

    id: str
    ground: str
    role: Role
    sensors: dict[str, tuple[SourceFile, ...]]
    labelled: tuple[str, ...] = ()
    truth: bool = False
    fold: str | None = None
    labels: dict[str, LabelFile] = field(default_factory=dict)
    grid: SourceFile | None = None
    acquisition: str | None = None


@dataclass(frozen=True)
class Dataset:
    """An index of a data set.

    Attributes
    ----------
    layout : "dstl" or "sheet"
    scenes : dict of str to Scene
        Sorted by id.
    reference : str
        The sensor whose pixel grid everything is brought to.
    classes : dict of str to int
        Number of each class, in the order of the configuration.
    tables : dict of str to SourceFile
        ``train_wkt``, ``grid_sizes``, ``sample_submission``, ``truth`` (dstl) or ``sheet``, as far as they
        exist.
    notes : tuple of str
        What a user should be told about the data set, one sentence each; nothing that stops a run.
    """

    layout: Literal["dstl", "sheet"]
    scenes: dict[str, Scene]
    reference: str
    classes: dict[str, int]
    tables: dict[str, SourceFile] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def training(self, classes: Iterable[str] | None = None) -> list[str]:
        """Ids of the scenes to learn from: all, or those that were labelled for at least one of `classes`."""
        wanted = None if classes is None else set(classes)
        return [
            scene.id
            for scene in self.scenes.values()
            if scene.role == "train" and (wanted is None or wanted & set(scene.labelled))
        ]

    def predicted(self) -> list[str]:
        """Ids of the scenes that are predicted and that no model trains on."""
        return [scene.id for scene in self.scenes.values() if scene.role == "predict"]

    def truths(self, classes: Iterable[str] | None = None) -> list[str]:
        """Ids of the scenes with held-out truth, of at least one of `classes` if given."""
        wanted = None if classes is None else set(classes)
        return [
            scene.id
            for scene in self.scenes.values()
            if scene.truth and (wanted is None or wanted & set(scene.labelled))
        ]


def without_seen_truth(scenes: Mapping[str, Scene]) -> tuple[dict[str, Scene], list[str]]:
    """The scenes, those with held-out truth on ground that trains made plain scenes to predict, and a note on them.

    A model that has seen the ground on another date has seen the truth: such a score would not be a held-out one.
    """
    trained = {scene.ground for scene in scenes.values() if scene.role == "train"}
    seen = sorted(name for name, scene in scenes.items() if scene.truth and scene.ground in trained)
    if not seen:
        return dict(scenes), []
    changed = {name: replace(scenes[name], truth=False, labelled=(), labels={}) for name in seen}
    shown = ", ".join(seen[:5]) + (f" and {len(seen) - 5} more" if len(seen) > 5 else "")
    note = (
        f"{len(seen)} scene{'s' if len(seen) > 1 else ''} with truth to score against show ground that training scenes "
        f"show too ({shown}): predicted, but not scored as held-out"
    )
    return {**scenes, **changed}, [note]


def register_sources(scene: Scene) -> dict[str, Any]:
    """What the jobs that open a scene's images (register, stack) need to know of its files.

    Returns
    -------
    dict
        ``{"sensors": {name: [file, ...]}, "grid": file or None}``, every file as `SourceFile.to_json` gives
        it.
    """
    return {
        "sensors": {name: [file.to_json() for file in files] for name, files in scene.sensors.items()},
        "grid": None if scene.grid is None else scene.grid.to_json(),
    }


def reference_sensor(sensors: Mapping[str, Mapping[str, Any]]) -> str:
    """The sensor marked ``reference: true``, or the first one.

    Raises
    ------
    ConfigError
        If there is no sensor, or more than one is marked.
    """
    marked = [name for name, options in sensors.items() if (options or {}).get("reference")]
    if len(marked) > 1:
        raise ConfigError(
            f"sensors: {', '.join(marked)} are all marked `reference: true`; mark the one whose pixel grid counts"
        )
    if not sensors:
        raise ConfigError("sensors: none is given; name at least one, for example `sensors: {rgb: {reference: true}}`")
    return marked[0] if marked else next(iter(sensors))


def hint(name: str, valid: Iterable[str]) -> str:
    """Words for an error message: the valid name nearest to `name`, or all valid names."""
    names = sorted(valid)
    lowered = {valid_name.lower(): valid_name for valid_name in names}
    near = difflib.get_close_matches(name.lower(), list(lowered), n=1, cutoff=0.5)
    return f"did you mean {lowered[near[0]]!r}?" if near else f"valid are {', '.join(names) or 'none'}"


def brief(text: str, limit: int = 60) -> str:
    """A text for a message, its end left out if it is long."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def existing(
    path: Path, what: str, remedy: str, bands: Bands | None = None, folders: Folders | None = None
) -> SourceFile:
    """The file, or member of an archive, at `path`, of which `what` says what it is for; with `folders` its sidecars.

    Raises
    ------
    MissingInputError, InputError
        If it is not a file that may be read; with `what` and the remedy.
    """
    if split_member(path) is not None:
        try:
            return SourceFile.of(path, bands, folders)
        except MissingInputError as error:
            raise MissingInputError(f"{what}: {error}; {remedy}") from None
        except InputError as error:
            raise InputError(f"{what}: {error}") from None
    try:
        _check_file(path, what, remedy)
        return SourceFile.of(path, bands, folders)
    except RasterloomError:
        raise
    except FileNotFoundError:
        broken = f"a link to {path.readlink()}, which is not there" if path.is_symlink() else "not there"
        raise MissingInputError(f"{what}: {path} is {broken}: {remedy}") from None
    except (OSError, ValueError) as error:
        words = error.strerror if isinstance(error, OSError) else str(error)
        raise InputError(f"{what}: {str(path)[-60:]!r} cannot be opened as a file ({words}): {remedy}") from None


def refuse_braces(path: Path, what: str) -> None:
    """InputError for a path with braces: Snakemake takes what stands between them for a wildcard, and has no escape."""
    if "{" in str(path) and "}" in str(path):
        raise InputError(f"{what}: {path}: a path must not have braces, which are wildcards to Snakemake: rename it")


def _check_file(path: Path, what: str, remedy: str) -> None:
    refuse_braces(path, what)
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise MissingInputError(f"{what}: {path} is a folder, a file is needed: {remedy}")
    if not stat.S_ISREG(mode):
        raise MissingInputError(f"{what}: {path} is a pipe or a device, a file is needed: {remedy}")
    if not os.access(path, os.R_OK):
        raise MissingInputError(f"{what}: {path} may not be read: change its permissions (chmod u+r)")
