"""What a data set consists of: scenes, their files, what was labelled. Holds names, sizes and times; no pixels."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from rasterloom.errors import ConfigError, MissingInputError

ID_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
"""What a scene, group or fold may be called: it becomes part of file names."""

Role = Literal["train", "predict", "other"]
"""``train``: labelled, models may learn from it. ``predict``: nobody trains on it. ``other``: only part of the
data set (its pixels count in the statistics over all scenes), neither labelled nor predicted."""


Sidecars = tuple[tuple[str, int, int], ...]
"""Name, bytes and time of change (in nanoseconds) of each file beside an image that has a say in what it means."""


@dataclass(frozen=True)
class SourceFile:
    """A file that somebody gave, as it was seen when the workflow was planned.

    Attributes
    ----------
    path : str
        As it is opened from the working directory.
    size : int
        Bytes.
    mtime_ns : int
        Time of its last change, in nanoseconds.
    bands : tuple of int, or None
        Bands chosen of it, counted from 1; None: all.
    sidecars : tuple of (str, int, int)
        Files beside it that change its georeference or mask, as `sidecars_of` gives them.
    """

    path: str
    size: int
    mtime_ns: int
    bands: tuple[int, ...] | None = None
    sidecars: Sidecars = ()

    @classmethod
    def of(cls, path: Path, bands: tuple[int, ...] | None = None, sidecars: Sidecars = ()) -> SourceFile:
        """The file at `path`; FileNotFoundError (of the system) if there is none."""
        status = path.stat()
        return cls(str(path), status.st_size, status.st_mtime_ns, bands, sidecars)

    def to_json(self) -> dict[str, Any]:
        """The file as a JSON object with the names of the attributes; ``sidecars`` only if there are any."""
        found: dict[str, Any] = {
            "path": self.path,
            "size": self.size,
            "mtime_ns": self.mtime_ns,
            "bands": None if self.bands is None else list(self.bands),
        }
        if self.sidecars:
            found["sidecars"] = [list(sidecar) for sidecar in self.sidecars]
        return found


class Folders:
    """Listings of folders, each read once, to find what lies beside many images without asking for each name."""

    def __init__(self) -> None:
        self._names: dict[Path, dict[str, list[str]]] = {}

    def sidecars(self, path: Path) -> Sidecars:
        """The files beside an image that change its georeference or mask; see `sidecars_of`."""
        names = self._listing(path.parent)
        found = []
        for name in sorted({name for wanted in _sidecar_names(path.name) for name in names.get(wanted, ())}):
            try:
                status = (path.parent / name).stat()
            except FileNotFoundError:
                continue
            found.append((name, status.st_size, status.st_mtime_ns))
        return tuple(found)

    def _listing(self, folder: Path) -> dict[str, list[str]]:
        """Names of the files of a folder, by the name in small letters."""
        if folder not in self._names:
            names: dict[str, list[str]] = {}
            try:
                for entry in folder.iterdir():
                    names.setdefault(entry.name.lower(), []).append(entry.name)
            except OSError:  # no folder, or one that may be entered but not listed
                names = {}
            self._names[folder] = names
        return self._names[folder]


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


def existing(
    path: Path, what: str, remedy: str, bands: tuple[int, ...] | None = None, folders: Folders | None = None
) -> SourceFile:
    """The file at `path`; MissingInputError, saying what it is for and the remedy, if it is not a readable file.

    With `folders` it has its sidecars.
    """
    try:
        if path.is_dir():
            raise MissingInputError(f"{what}: {path} is a folder, a file is needed: {remedy}")
        return SourceFile.of(path, bands, folders.sidecars(path) if folders else ())
    except FileNotFoundError:
        raise MissingInputError(f"{what}: {path} is not there: {remedy}") from None
