"""What a data set consists of: scenes, their files, what was labelled. Holds names, sizes and times; no pixels."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from rasterloom.dataset.source_files import SourceFile
from rasterloom.text import few

ID_LENGTH = 128
"""Characters at most of the name of a scene: file names, of which it becomes a part, may have 255."""

ID_PATTERN = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{ID_LENGTH - 1}}}")
"""What a scene, ground, acquisition or fold may be called: it becomes part of file names."""

Role = Literal["train", "predict", "other"]
"""``train``: labelled, models may learn from it. ``predict``: nobody trains on it. ``other``: only part of the
data set (its pixels count in the statistics over all scenes), neither labelled nor predicted."""


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
    tile : (row, column)
        Its place among the scenes of its acquisition, which were cut from one image; empty if it is not known.
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
    tile: tuple[str, str] = ("", "")


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
    buffers : dict of str to dict
        By class, as far as the configuration gives one: how wide its points and lines are, ``pixels`` or ``metres``.
    label_shift : float or None
        Largest plausible shift of labels against their images, in reference pixels; None: they are not registered.
    """

    layout: Literal["dstl", "sheet"]
    scenes: dict[str, Scene]
    reference: str
    classes: dict[str, int]
    tables: dict[str, SourceFile] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    buffers: dict[str, dict[str, float]] = field(default_factory=dict)
    label_shift: float | None = None

    def training(self) -> list[str]:
        """Ids of the scenes to learn from."""
        return [scene.id for scene in self.scenes.values() if scene.role == "train"]

    def predicted(self) -> list[str]:
        """Ids of the scenes that are predicted and that no model trains on."""
        return [scene.id for scene in self.scenes.values() if scene.role == "predict"]

    def labelled(self, class_name: str) -> list[Scene]:
        """The scenes that were labelled for a class and have a role in a run."""
        return [s for s in self.scenes.values() if class_name in s.labelled and s.role != "other"]

    def label_spec(self, class_name: str, scenes: Sequence[Scene]) -> dict[str, Any]:
        """What a spec says of the labels of a class on scenes; see `rasterloom.stages.label`."""
        ids = [scene.id for scene in scenes]
        found: dict[str, Any] = {"class": class_name, "id": self.classes[class_name], "scenes": ids}
        if class_name in self.buffers:
            found["buffer"] = self.buffers[class_name]
        if self.layout == "sheet":
            found["whole"] = [scene.id for scene in scenes if scene.labels[class_name].whole]
            found["classes"] = {} if len(found["whole"]) == len(scenes) else self.classes
        return found

    def label_files(self, class_name: str) -> dict[str, str]:
        """Name, without its folder, of the file that holds a class's labels, by scene that was labelled for it."""
        if self.layout == "dstl":
            files = {s.id: self.tables["truth" if s.truth else "train_wkt"] for s in self.labelled(class_name)}
        else:
            files = {s.id: s.labels[class_name].file for s in self.labelled(class_name)}
        return {scene: Path(file.path).name for scene, file in files.items()}


def without_seen_truth(scenes: Mapping[str, Scene]) -> tuple[dict[str, Scene], list[str]]:
    """The scenes, those with held-out truth on ground that trains made plain scenes to predict, and a note on them.

    A model that has seen the ground on another date has seen the truth: such a score would not be a held-out one.
    """
    trained = {scene.ground for scene in scenes.values() if scene.role == "train"}
    seen = sorted(name for name, scene in scenes.items() if scene.truth and scene.ground in trained)
    if not seen:
        return dict(scenes), []
    changed = {name: replace(scenes[name], truth=False, labelled=(), labels={}) for name in seen}
    note = (
        f"{len(seen)} scene{'s' if len(seen) > 1 else ''} with truth to score against show ground that training scenes "
        f"show too ({few(seen, most=5)}): predicted, but not scored as held-out"
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
    """The sensor marked ``reference: true``, or the first one; the configuration has refused several."""
    return next((name for name, options in sensors.items() if options.get("reference")), next(iter(sensors)))
