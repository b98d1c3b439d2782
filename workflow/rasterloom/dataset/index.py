"""What a data set consists of: scenes, their files, what was labelled. Holds names, sizes and times; no pixels."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from rasterloom.errors import ConfigError, MissingInputError

ID_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
"""What a scene, group or fold may be called: it becomes part of file names."""

Role = Literal["train", "predict", "other"]
"""``train``: labelled, models may learn from it. ``predict``: nobody trains on it. ``other``: only part of the
data set (its pixels count in the statistics over all scenes), neither labelled nor predicted."""


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
    """

    path: str
    size: int
    mtime_ns: int
    bands: tuple[int, ...] | None = None

    @classmethod
    def of(cls, path: Path, bands: tuple[int, ...] | None = None) -> SourceFile:
        """The file at `path`; FileNotFoundError (of the system) if there is none."""
        status = path.stat()
        return cls(str(path), status.st_size, status.st_mtime_ns, bands)

    def to_json(self) -> dict[str, Any]:
        """The file as a JSON object with the names of the attributes."""
        return {
            "path": self.path,
            "size": self.size,
            "mtime_ns": self.mtime_ns,
            "bands": None if self.bands is None else list(self.bands),
        }


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


def existing(path: Path, what: str, remedy: str, bands: tuple[int, ...] | None = None) -> SourceFile:
    """The file at `path`; MissingInputError, saying what it is for and the remedy, if it is not a readable file."""
    try:
        if path.is_dir():
            raise MissingInputError(f"{what}: {path} is a folder, a file is needed: {remedy}")
        return SourceFile.of(path, bands)
    except FileNotFoundError:
        raise MissingInputError(f"{what}: {path} is not there: {remedy}") from None
