"""Stage `report`: pages with scores, pictures, registrations and costs, in ``report/index.html`` and beside it.

Spec (besides ``stage`` and ``version``): ``classes``: number by class; ``groups``: group by class; ``truth``: by class
the scenes with truth that no model trains on; ``labelled``: by class the scenes labelled for its group; ``scenes``: all
predicted scenes; ``batches``: scenes by batch; ``reference``: the reference sensor; ``members``: by class the names of
its members; ``scales``: tables by name; ``scale_sensors``: by scale the sensors that are stacked on it;
``class_scales``: by class the scales of its members; ``folds``: names of the checkpoints of a member.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rasterloom.errors import MissingInputError, StoreError
from rasterloom.labels.record import read_folds
from rasterloom.polygons.scores import HELD_OUT, OUT_OF_FOLD
from rasterloom.polygons.thresholds import read_tuning
from rasterloom.project.project import Project
from rasterloom.registration.record import references
from rasterloom.registration.table import read_table as read_shifts
from rasterloom.registration.table import summarise_shifts
from rasterloom.report import pages
from rasterloom.report.backdrops import Gallery, Images, finest, overview
from rasterloom.report.findings import read_table
from rasterloom.report.overlays import draw_overlays, overlay_legend, overlay_scales
from rasterloom.report.pages import Figure, MemberRow, ScoreRow, Summary
from rasterloom.store.digest import digest
from rasterloom.store.files import TEMPORARY, write_text
from rasterloom.store.job import Job, batch_manifests, scene_manifests
from rasterloom.store.store import Item

OUTPUT = "report/index.html"
HELP = "write pages and pictures"
VERSION = 4

MOST_FIGURES = 6
"""Scored scenes of a class that are shown."""

MOST_SCENERY = 8
"""Scenes that are shown with all classes."""

LIBRARIES = ("numpy", "torch", "zarr", "shapely", "geopandas", "rasterio", "opencv-python-headless", "snakemake")

IN_SAMPLE_CANDIDATES = 20
"""Training scenes, those with most polygons, among which the one with most area is shown."""

FEW_SCENES = 3
"""Classes tuned on fewer scenes than this are marked."""

IN_SAMPLE = "in-sample"

ALL, MEAN = "all", "mean"
"""What the table of scores calls all scenes together, and the mean over classes."""


# What is read ---------------------------------------------------------------------------------------------------


def jobs(project: Project) -> list[dict[str, str]]:
    """One job."""
    return [{}]


def spec(project: Project) -> dict[str, Any]:
    """See the docstring of this module."""
    members, classes = project.recipe.members, project.recipe.classes
    return {
        **project.scored(),
        "scenes": project.predicted,
        "batches": project.batches,
        "reference": project.reference,
        "members": {name: list(found.members) for name, found in classes.items()},
        "scales": {name: project.scale(name) for name in project.scale_sensors},
        "scale_sensors": project.scale_sensors,
        "class_scales": {name: [members[member].scale for member in own.members] for name, own in classes.items()},
        "folds": project.folds,
    }


def inputs(spec: dict[str, Any]) -> list[str]:
    """Manifests that the report reads, relative to the results folder; stacks for scenes that may be shown only."""
    stacks: set[str] = set()
    for name in spec["classes"]:
        shown = {*spec["truth"][name], *spec["labelled"][name]}
        stacks |= {f"stacks/{finest(spec['class_scales'][name])}/{scene}.json" for scene in shown}
        stacks |= {f"stacks/{overview(spec['scales'])}/{scene}.json" for scene in shown}
    stacks |= {f"stacks/{overview(spec['scales'])}/{scene}.json" for scene in scenery(spec)[0]}
    stacks |= {f"stacks/{scale}/{scene}.json" for scale in overlay_scales(spec) for scene in spec["scenes"]}
    return [
        "score.tsv",
        "quality/inputs.tsv",
        "quality/registration.tsv",
        *scene_manifests("registration", spec["scenes"]),
        *sorted(stacks),
        *(f"labels/{name}.json" for name in spec["classes"]),
        *(f"folds/{group}.json" for group in sorted(set(spec["groups"].values()))),
        *(f"models/{member}/{fold}.json" for member in member_classes(spec) for fold in spec["folds"]),
        *(f"tuning/{name}.json" for name in spec["classes"]),
        *(path for name in spec["classes"] for path in batch_manifests(f"polygons/{name}", spec)),
    ]


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


def member_classes(spec: Mapping[str, Any]) -> dict[str, list[str]]:
    """By member the classes that it serves, in the order of the classes."""
    found: dict[str, list[str]] = {}
    for name, members in spec["members"].items():
        for member in members:
            found.setdefault(member, []).append(name)
    return found


def read_polygons(job: Job, item: Item, column: str) -> NDArray[Any]:
    """Polygons, in reference pixel coordinates, of a GeoParquet item: (n,) object array of one of its columns."""
    import geopandas

    return np.asarray(geopandas.read_parquet(job.store.open_path(item))[column], dtype=object)


def row_count(job: Job, item: Item) -> int:
    """Rows of a Parquet item, from its footer alone."""
    import pyarrow.parquet

    return int(pyarrow.parquet.read_metadata(job.store.open_path(item)).num_rows)


@dataclass(frozen=True)
class Scores:
    """The table of scores.

    Attributes
    ----------
    pooled : dict of (class, part) to Jaccard; the mean over classes under the class ``mean``
    scenes : dict of (class, part) to dict of scene to (Jaccard or None, true area, predicted area)
    """

    pooled: dict[tuple[str, str], float] = field(default_factory=dict)
    scenes: dict[tuple[str, str], dict[str, tuple[float | None, float, float]]] = field(default_factory=dict)

    def ranked(self, name: str, part: str) -> list[str]:
        """Scenes of a class with truth or prediction, those with most true area first."""
        found = self.scenes.get((name, part), {})
        shown = [scene for scene, (_, true, predicted) in found.items() if true > 0 or predicted > 0]
        return sorted(shown, key=lambda scene: (-found[scene][1], -found[scene][2], scene))


def read_scores(path: Path) -> Scores:
    """Read ``score.tsv``.

    Raises
    ------
    MissingInputError
        If it is not there.
    StoreError
        If it is not the table that the stage `score` writes.
    """
    import csv

    scores = Scores()
    try:
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file, delimiter="\t"):
                _add_score(scores, row)
    except FileNotFoundError:
        raise MissingInputError(f"{path} is not there: run the stage `score` first") from None
    except (KeyError, ValueError) as error:
        raise StoreError(f"{path} is not a table of scores ({error}): delete it and run the workflow again") from None
    return scores


def _add_score(scores: Scores, row: Mapping[str, str]) -> None:
    key = (row["class"], row["part"])
    jaccard = float(row["jaccard"]) if row["jaccard"] else None
    if row["scene"] == ALL:
        if jaccard is not None:
            scores.pooled[key] = jaccard
        return
    hit, extra, missed = (float(row[name]) for name in ("tp", "fp", "fn"))
    scores.scenes.setdefault(key, {})[row["scene"]] = (jaccard, hit + missed, hit + extra)


# The stage ------------------------------------------------------------------------------------------------------


def run(job: Job) -> None:
    """Draw the pictures, write a page a class, remove what is stale, write the index."""
    folder = job.output.parent
    scores = read_scores(job.results / "score.tsv")
    sizes = reference_sizes(job)
    shifts = [row for row in read_shifts(job.results / "quality/registration.tsv") if row.scene in sizes]
    images, gallery = Images(job, sizes, overview(job.spec["scales"])), Gallery(folder / "pictures")
    folds = {group: read_folds(job, group) for group in sorted(set(job.spec["groups"].values()))}
    names = list(job.spec["classes"])
    rows: list[ScoreRow] = []
    covers: dict[str, Figure] = {}
    for done, name in enumerate(names, 1):
        row, figures, notes = _class(job, name, scores, folds[job.spec["groups"][name]], images, gallery)
        write_text(folder / row.page, pages.class_html(row, figures, notes, names, error_legend()))
        rows.append(row)
        covers |= {name: figures[0]} if figures else {}
        job.progress(done, len(names) + 1, name)
    scenes, note = scenery(job.spec)
    shown = [_all_classes(job, scene, images, gallery) for scene in scenes]
    members = member_rows(job)
    summary = Summary(
        scenes=len(job.spec["scenes"]),
        training=len({scene for ids in job.spec["labelled"].values() for scene in ids}),
        held_out=len({scene for ids in job.spec["truth"].values() for scene in ids}),
        members=len(member_classes(job.spec)),
        checkpoints=len(members),
        seconds=sum(row.seconds or 0.0 for row in members),
        mean_held_out=scores.pooled.get((MEAN, HELD_OUT)),
        mean_out_of_fold=scores.pooled.get((MEAN, OUT_OF_FOLD)),
        scores=rows,
        covers=covers,
        scenery=shown,
        scenery_note=note,
        sensors=summarise_shifts(shifts),
        shifts=shifts,
        checkpoints_table=members,
        folds=[(group, str(divided["note"])) for group, divided in folds.items() if divided.get("note")],
        findings=read_table(job.results / "quality/inputs.tsv"),
        versions=versions(),
        recipe=digest(job.spec),
        overlays=draw_overlays(job, shifts, sizes, gallery),
        overlay_legend=overlay_legend(job.spec["reference"]),
    )
    gallery.remove_stale()
    remove_pages(folder, {row.page for row in rows})
    write_text(job.output, pages.index_html(summary))
    job.progress(len(names) + 1, len(names) + 1)


def reference_sizes(job: Job) -> dict[str, tuple[int, int]]:
    """Width and height of the reference image of every scene."""
    return {
        scene: (int(reference["width"]), int(reference["height"]))
        for scene, reference in references(job, job.spec["scenes"]).items()
    }


def remove_pages(folder: Path, keep: set[str]) -> None:
    """Remove pages of classes that are gone, and files that a killed report left unfinished."""
    for path in [*folder.glob(pages.class_page_name("*")), *folder.glob(f"{TEMPORARY}*")]:
        if path.name not in keep:
            path.unlink()


def versions() -> list[tuple[str, str]]:
    """Names and versions of what made the report."""
    import platform
    from importlib.metadata import PackageNotFoundError, version

    from rasterloom import __version__

    found = [("rasterloom", __version__), ("Python", platform.python_version())]
    for library in LIBRARIES:
        try:
            found.append((library, version(library)))
        except PackageNotFoundError:
            continue
    return found


def member_rows(job: Job) -> list[MemberRow]:
    """A row a checkpoint."""
    return [
        _member_row(job, member, fold, classes)
        for member, classes in member_classes(job.spec).items()
        for fold in job.spec["folds"]
    ]


def _member_row(job: Job, member: str, fold: str, classes: list[str]) -> MemberRow:
    item = job.manifest(f"models/{member}/{fold}").items[fold]
    cost = job.store.cost(item)
    history = learning_history(job.store.open_path(item))
    loss = cost.get("loss")
    recorded = [float(value) for value in loss] if isinstance(loss, list) else [float(loss)] if loss is not None else []
    steps, iou = history.get("step", []), history.get("iou", [])
    return MemberRow(
        member,
        fold,
        classes,
        item.key,
        seconds=cost.get("seconds"),
        peak_memory_mb=cost.get("peak_memory_mb"),
        steps=cost.get("steps", int(steps[-1]) if steps else None),
        samples=cost.get("samples"),
        device=cost.get("device"),
        loss=history.get("loss", []) or recorded,
        iou=iou[-1] if iou else None,
    )


def learning_history(path: Path) -> dict[str, list[float]]:
    """The learning curve that a checkpoint holds: ``step``, ``loss``, ``iou``; empty if it holds none."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            names = [name for name in file.keys() if name.startswith("history.")]  # noqa: SIM118
            return {name.removeprefix("history."): file.get_tensor(name).astype(float).tolist() for name in names}
    except SafetensorError as error:
        raise StoreError(
            f"{path} is not a checkpoint ({error}): run `rasterloom verify --mend` and then the workflow again"
        ) from None


# Classes --------------------------------------------------------------------------------------------------------


def _class(
    job: Job, name: str, scores: Scores, folds: Mapping[str, Any], images: Images, gallery: Gallery
) -> tuple[ScoreRow, list[Figure], list[str]]:
    """Row, figures and notes of a class."""
    validated = {scene for fold in folds["folds"].values() for scene in fold["validation"]}
    labels = job.manifest(f"labels/{name}").items
    counts = {scene: row_count(job, labels[scene]) for scene in job.spec["labelled"][name]}
    tuning = read_tuning(job, name)
    row = score_row(job.spec, name, scores, counts, tuning)
    chosen = [(scene, part) for part in (HELD_OUT, OUT_OF_FOLD) for scene in scores.ranked(name, part)]
    trained = _in_sample(job, labels, {s: n for s, n in counts.items() if s not in validated})
    shown = [*chosen[:MOST_FIGURES], *([(trained, IN_SAMPLE)] if trained else [])]
    polygons = job.items(f"polygons/{name}", [scene for scene, _ in shown])
    figures = []
    for scene, part in shown:
        predicted = read_polygons(job, polygons[scene], "pixel")
        true = read_polygons(job, labels[scene], "geometry")
        known = scores.scenes.get((name, part), {}).get(scene)
        figures.append(_figure(job, (name, scene, part), (predicted, true), known, images, gallery))
    return row, figures, figure_notes(len(chosen), trained is not None, bool(counts))


def figure_notes(scored: int, trained: bool, labelled: bool) -> list[str]:
    """Sentences about which scenes of a class are shown."""
    notes = []
    if scored > MOST_FIGURES:
        notes.append(
            f"{MOST_FIGURES} of {scored} scored scenes: held-out ones first, then out-of-fold ones, each by true area."
        )
    if not scored:
        notes.append("No scored scene has a polygon of this class, true or predicted.")
    if labelled and not trained:
        notes.append(
            "There is no in-sample scene to check against: each labelled scene with this class was predicted by "
            "a model that did not train on it."
        )
    return notes


def score_row(
    spec: Mapping[str, Any],
    name: str,
    scores: Scores,
    counts: Mapping[str, int],
    tuning: Mapping[str, Any],
) -> ScoreRow:
    """The row of a class in the table of scores; `counts` has the true polygons of each labelled scene."""
    from rasterloom.report.pictures import class_colours, hexadecimal

    scored = {part: scores.scenes.get((name, part), {}) for part in (HELD_OUT, OUT_OF_FOLD)}
    notes = [] if any(counts.values()) else ["no labelled scene has it"]
    if tuning.get("reason"):
        notes.append(f"threshold: {tuning['reason']}")
    elif tuning.get("present") is not None and tuning["present"] < FEW_SCENES:
        notes.append(f"tuned on {pages.count(tuning['present'], 'scene')} only")
    if not any(true > 0 for part in (HELD_OUT, OUT_OF_FOLD) for _, true, _ in scored[part].values()):
        notes.append("no truth to score against")
    return ScoreRow(
        name,
        int(spec["classes"][name]),
        hexadecimal(class_colours(list(spec["classes"]))[name]),
        scores.pooled.get((name, HELD_OUT)),
        scores.pooled.get((name, OUT_OF_FOLD)),
        len(scored[HELD_OUT]),
        len(scored[OUT_OF_FOLD]),
        float(tuning["threshold"]) / 255.0 if tuning.get("threshold") is not None else None,
        sum(number > 0 for number in counts.values()),
        len(counts),
        notes,
    )


def _in_sample(job: Job, labels: Mapping[str, Item], counts: Mapping[str, int]) -> str | None:
    """The scene with most true area among those that every model trained on; None if none has any."""
    import shapely

    most = sorted((s for s, number in counts.items() if number), key=lambda s: (-counts[s], s))[:IN_SAMPLE_CANDIDATES]
    areas = {scene: float(shapely.area(read_polygons(job, labels[scene], "geometry")).sum()) for scene in most}
    return max(areas, key=lambda scene: areas[scene]) if areas else None


def _figure(
    job: Job,
    names: tuple[str, str, str],
    polygons: tuple[NDArray[Any], NDArray[Any]],
    known: tuple[float | None, float, float] | None,
    images: Images,
    gallery: Gallery,
) -> Figure:
    """The pictures of a class in a scene: errors and outlines, and a closer look where objects are small."""
    from rasterloom.report import pictures as draw

    (name, scene, part), (predicted, true) = names, polygons
    frame, image = images.frame(scene), images.whole(scene)
    fractions = draw.error_fractions(predicted, true, frame)
    errors = draw.errors_picture(image, fractions)
    outlines = draw.outlines_picture(image, predicted, true, frame)
    window = draw.detail_frame(true if len(true) else predicted, frame)
    if window is not None:
        errors, outlines = (draw.with_window(picture, frame, window) for picture in (errors, outlines))
    stem = f"{name}.{scene}"
    shown = [
        gallery.put(f"{stem}.errors", errors, "Right, too much, and missed."),
        gallery.put(f"{stem}.outlines", outlines, "Outlines."),
    ]
    if window is not None:
        close = images.window(scene, finest(job.spec["class_scales"][name]), window)
        near = draw.errors_picture(close, draw.error_fractions(predicted, true, window))
        lines = draw.outlines_picture(close, predicted, true, window, 2)
        extent = f"{window.width:.0f} x {window.height:.0f} pixels of the image"
        shown += [
            gallery.put(f"{stem}.errors-detail", near, f"The marked window, {extent}: right, too much, and missed."),
            gallery.put(f"{stem}.outlines-detail", lines, "The marked window: outlines."),
        ]
    jaccard = draw.jaccard(fractions) if known is None else known[0]
    return Figure(scene, part, jaccard, known is not None, shown, len(true), len(predicted))


def error_legend() -> list[tuple[str, str]]:
    """Colours of the pictures of a class, and what they mean."""
    from rasterloom.report import pictures as draw

    entries = (
        (draw.HIT, "true positive (green)"),
        (draw.EXTRA, "false positive: predicted, not true (red)"),
        (draw.MISSED, "false negative: true, not predicted (blue)"),
        (draw.PREDICTED, "outline of the prediction (yellow, thin)"),
        (draw.TRUE, "outline of the truth (cyan)"),
    )
    return [(draw.hexadecimal(colour), text) for colour, text in entries]


def _all_classes(job: Job, scene: str, images: Images, gallery: Gallery) -> Figure:
    """A scene without and with every class in its colour."""
    from rasterloom.report import pictures as draw

    names = list(job.spec["classes"])
    colours = draw.class_colours(names)
    items = {name: job.items(f"polygons/{name}", [scene])[scene] for name in names}
    polygons = {name: read_polygons(job, item, "pixel") for name, item in items.items()}
    coloured = draw.classes_picture(images.whole(scene), polygons, colours, images.frame(scene))
    shown = [
        gallery.put(f"{scene}.classes", coloured, "All classes."),
        gallery.put(f"{scene}.image", images.whole(scene), "The image."),
    ]
    legend = [
        (draw.hexadecimal(colours[name]), f"{name} ({pages.count(len(found), 'polygon')})")
        for name, found in polygons.items()
        if len(found)
    ]
    held_out = any(scene in scenes for scenes in job.spec["truth"].values())
    return Figure(scene, HELD_OUT if held_out else "predicted", None, True, shown, legend=legend)
