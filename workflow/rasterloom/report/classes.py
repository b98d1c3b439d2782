"""What the report says and shows of a class, and of a scene with all classes."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rasterloom.labels.record import polygon_area, read_labels, validation_scenes
from rasterloom.polygons.record import polygon_items, read_polygons
from rasterloom.polygons.scores import COLUMNS, HELD_OUT, OUT_OF_FOLD
from rasterloom.report import pictures as draw
from rasterloom.report.backdrops import Images, finest
from rasterloom.report.pages import ClassRow, Figure
from rasterloom.store.job import Job
from rasterloom.store.store import Item
from rasterloom.store.tables import read_tsv
from rasterloom.text import counted, plural

MOST_FIGURES = 6
"""Scored scenes of a class that are shown."""

MOST_SCENERY = 8
"""Scenes that are shown with all classes."""

IN_SAMPLE_CANDIDATES = 20
"""Training scenes, those with most polygons, among which the one with most area is shown."""

FEW_SCENES = 3
"""Classes tuned on fewer scenes than this are marked."""

LEGEND = [
    (draw.hexadecimal(draw.HIT), "true positive (green)"),
    (draw.hexadecimal(draw.EXTRA), "false positive: predicted, not true (red)"),
    (draw.hexadecimal(draw.MISSED), "false negative: true, not predicted (blue)"),
    (draw.hexadecimal(draw.PREDICTED), "outline of the prediction (yellow, thin)"),
    (draw.hexadecimal(draw.TRUE), "outline of the truth (cyan)"),
]
"""Colours of the pictures of a class, and what they mean."""


@dataclass(frozen=True)
class Scores:
    """The table of scores.

    Attributes
    ----------
    pooled : dict of (class, part) to Jaccard or None
        The mean over classes under the class ``mean``.
    scenes : dict of (class, part) to dict of scene to (Jaccard or None, true area, predicted area)
    """

    pooled: dict[tuple[str, str], float | None]
    scenes: Mapping[tuple[str, str], dict[str, tuple[float | None, float, float]]]

    def ranked(self, name: str, part: str) -> list[str]:
        """Scenes of a class with truth or prediction, those with most true area first."""
        found = {scene: areas for scene, (_, *areas) in self.scenes[name, part].items() if any(areas)}
        return sorted(found, key=lambda scene: (*[-area for area in found[scene]], scene))


def read_scores(path: Path) -> Scores:
    """Read ``score.tsv``.

    Raises
    ------
    MissingInputError, StoreError
        If it is not there, or is not the table that the stage `score` writes.
    """
    scores = Scores({}, defaultdict(dict))

    def add(row: Mapping[str, str]) -> None:
        key, jaccard = (row["class"], row["part"]), float(row["jaccard"]) if row["jaccard"] else None
        if row["scene"] == "all":
            scores.pooled[key] = jaccard
        else:
            hit, extra, missed = (float(row[name]) for name in ("tp", "fp", "fn"))
            scores.scenes[key][row["scene"]] = (jaccard, hit + missed, hit + extra)

    read_tsv(path, COLUMNS, "score", "scores", add)
    return scores


def class_row(images: Images, name: str, scores: Scores) -> ClassRow:
    """A class with its scores and its figures, whose pictures are drawn."""
    import pyarrow.parquet

    job = images.job
    spec, labels = job.spec, job.manifest(f"labels/{name}").items
    files = {scene: job.store.open_path(labels[scene]) for scene in spec["labelled"][name]}
    counts = {scene: int(pyarrow.parquet.read_metadata(file).num_rows) for scene, file in files.items()}
    scored = {part: scores.scenes[name, part] for part in (HELD_OUT, OUT_OF_FOLD)}
    chosen = [(scene, part) for part in scored for scene in scores.ranked(name, part)]
    validated = validation_scenes(job, spec["groups"][name])
    trained = _in_sample(files, {scene: n for scene, n in counts.items() if n and scene not in validated})
    tuning = job.read("tuning", name)
    has_truth = any(true > 0 for found in scored.values() for _, true, _ in found.values())
    return ClassRow(
        name,
        int(spec["classes"][name]),
        draw.hexadecimal(draw.class_colours(list(spec["classes"]))[name]),
        scores.pooled.get((name, HELD_OUT)),
        scores.pooled.get((name, OUT_OF_FOLD)),
        len(scored[HELD_OUT]),
        len(scored[OUT_OF_FOLD]),
        float(tuning["threshold"]) / 255.0,
        having=sum(number > 0 for number in counts.values()),
        labelled=len(counts),
        notes=_notes(any(counts.values()), tuning, has_truth),
        figures=[
            _figure(images, name, scene, part, labels[scene], scores.scenes[name, part].get(scene))
            for scene, part in [*chosen[:MOST_FIGURES], *((scene, "in-sample") for scene in trained)]
        ],
        scored=len(chosen),
    )


def _in_sample(files: Mapping[str, Path], counts: Mapping[str, int]) -> list[str]:
    """The scene with most true area, of those with most polygons that every model trained on; none if there is none."""
    most = sorted(counts, key=lambda scene: (-counts[scene], scene))[:IN_SAMPLE_CANDIDATES]
    return [max(most, key=lambda scene: polygon_area(files[scene]))] if most else []


def _notes(occurs: bool, tuning: Mapping[str, Any], has_truth: bool) -> list[str]:
    """Sentences for the table of scores."""
    notes = [] if occurs else ["no labelled scene has it"]
    if tuning["reason"]:
        notes.append(f"threshold: {tuning['reason']}")
    elif tuning["present"] < FEW_SCENES:
        notes.append(f"tuned on {counted(tuning['present'], 'scene')} only")
    return notes if has_truth else [*notes, "no truth to score against"]


def _figure(
    images: Images, name: str, scene: str, part: str, label: Item, known: tuple[float | None, float, float] | None
) -> Figure:
    """The pictures of a class in a scene: errors and outlines, and a closer look where objects are small.

    `known` is the scene's row in the table of scores, if it has one.
    """
    job = images.job
    true = read_labels(job.store.open_path(label))
    predicted = _pixel_polygons(job, job.items(f"polygons/{name}", [scene])[scene])
    frame, image = images.frame(scene), images.whole(scene)
    fractions = draw.error_fractions(predicted, true, frame)
    drawn = {
        "errors": (draw.errors_picture(image, fractions), "Right, too much, and missed."),
        "outlines": (draw.outlines_picture(image, predicted, true, frame), "Outlines."),
    }
    window = draw.detail_frame(true if len(true) else predicted, frame)
    if window is not None:
        drawn = {kind: (draw.with_window(picture, frame, window), said) for kind, (picture, said) in drawn.items()}
        close = images.window(scene, finest(job.spec["class_scales"][name]), window)
        near = draw.errors_picture(close, draw.error_fractions(predicted, true, window))
        lines = draw.outlines_picture(close, predicted, true, window, 2)
        extent = f"The marked window, {window.width:.0f} x {window.height:.0f} pixels of the image"
        drawn["errors-detail"] = near, f"{extent}: right, too much, and missed."
        drawn["outlines-detail"] = lines, "The marked window: outlines."
    shown = [images.put(f"{name}.{scene}.{kind}", picture, said) for kind, (picture, said) in drawn.items()]
    jaccard = draw.jaccard(fractions) if known is None else known[0]
    return Figure(scene, part, jaccard, known is not None, shown, len(true), len(predicted))


def _pixel_polygons(job: Job, item: Item) -> draw.Geometries:
    return np.asarray(read_polygons(job.store.open_path(item))["pixel"])


# Scenes with all classes ------------------------------------------------------------------------------------


def scenery(spec: Mapping[str, Any]) -> tuple[list[str], str]:
    """Scenes that are shown with all classes, and a sentence about the choice."""
    held_out = sorted({scene for scenes in spec["truth"].values() for scene in scenes})
    labelled = {scene for scenes in spec["labelled"].values() for scene in scenes}
    new = [scene for scene in spec["scenes"] if scene not in labelled]
    for scenes, what in ((held_out, "held-out scenes"), (new, "scenes without truth"), (spec["scenes"], "scenes")):
        if scenes:
            shown = list(scenes[:MOST_SCENERY])
            extent = f"The first {len(shown)} of {len(scenes)} {what}" if len(scenes) > len(shown) else f"The {what}"
            return shown, f"{extent}, with every class that was found, small ones over large ones."
    return [], "No scene was predicted."


def all_classes(images: Images, scene: str, held_out: Collection[str]) -> Figure:
    """A scene without and with every class in its colour."""
    job = images.job
    colours = draw.class_colours(list(job.spec["classes"]))
    polygons = {name: _pixel_polygons(job, items[scene]) for name, items in polygon_items(job, [scene]).items()}
    coloured = draw.classes_picture(images.whole(scene), polygons, colours, images.frame(scene))
    shown = [
        images.put(f"{scene}.classes", coloured, "All classes."),
        images.put(f"{scene}.image", images.whole(scene), "The image."),
    ]
    legend = [
        (draw.hexadecimal(colours[name]), f"{name} ({len(found)} {plural(len(found), 'polygon')})")
        for name, found in polygons.items()
        if len(found)
    ]
    return Figure(scene, HELD_OUT if scene in held_out else "predicted", None, True, shown, legend=legend)
