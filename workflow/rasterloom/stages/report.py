"""Stage `report`: pages with scores, pictures, registrations and costs, in ``report/index.html`` and beside it.

Spec (besides ``stage`` and ``version``): ``classes``: number by class; ``groups``: group by class; ``truth``: by class
the scenes with truth that no model trains on; ``labelled``: by class the scenes labelled for its group; ``scenes``: all
predicted scenes; ``batches``: scenes by batch; ``reference``: the reference sensor; ``members``: by class the names of
its members; ``ensembles``: by class how they count; ``scales``: tables by name; ``scale_sensors``: by scale the sensors
that are stacked on it; ``class_scales``: by class the scales of its members; ``folds``: names of the checkpoints of a
member.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from rasterloom.polygons.scores import HELD_OUT, OUT_OF_FOLD
from rasterloom.project.project import Project
from rasterloom.registration.record import references
from rasterloom.registration.table import read_table as read_shifts
from rasterloom.report import members, pages
from rasterloom.report.backdrops import Images, finest, overview
from rasterloom.report.classes import LEGEND, all_classes, class_row, read_scores, scenery
from rasterloom.report.findings import read_table
from rasterloom.report.overlays import draw_overlays, overlay_legend, overlay_scales
from rasterloom.store.digest import digest
from rasterloom.store.files import TEMPORARY, write_text
from rasterloom.store.job import Job, batch_manifests, scene_manifests

OUTPUT = "report/index.html"
HELP = "write pages and pictures"
VERSION = 6


def jobs(project: Project) -> list[dict[str, str]]:
    """One job."""
    return [{}]


def spec(project: Project) -> dict[str, Any]:
    """See the docstring of this module."""
    models, classes = project.recipe.members, project.recipe.classes
    return {
        **project.scored(),
        "scenes": project.predicted,
        "batches": project.batches,
        "reference": project.reference,
        "members": {name: list(found.members) for name, found in classes.items()},
        "ensembles": {name: found.ensemble for name, found in classes.items()},
        "scales": {name: project.scale(name) for name in project.scale_sensors},
        "scale_sensors": project.scale_sensors,
        "class_scales": {name: [models[member].scale for member in own.members] for name, own in classes.items()},
        "folds": project.folds,
    }


def inputs(spec: dict[str, Any]) -> list[str]:
    """Manifests that the report reads, relative to the results folder; stacks for scenes that may be shown only."""
    whole = overview(spec["scales"])
    stacks = {f"stacks/{whole}/{scene}.json" for scene in scenery(spec)[0]}
    stacks |= {f"stacks/{scale}/{scene}.json" for scale in overlay_scales(spec) for scene in spec["scenes"]}
    for name in spec["classes"]:
        shown = {*spec["truth"][name], *spec["labelled"][name]}
        stacks |= {f"stacks/{s}/{scene}.json" for s in (whole, finest(spec["class_scales"][name])) for scene in shown}
    return [
        "score.tsv",
        "quality/inputs.tsv",
        "quality/registration.tsv",
        *scene_manifests("registration", spec["scenes"]),
        *sorted(stacks),
        *(f"labels/{name}.json" for name in spec["classes"]),
        *(f"folds/{group}.json" for group in sorted(set(spec["groups"].values()))),
        *(f"models/{member}/{fold}.json" for member in members.member_classes(spec) for fold in spec["folds"]),
        *(f"tuning/{name}.json" for name in spec["classes"]),
        *(f"weights/{name}.json" for name in members.ensembles(spec)),
        *(path for name in spec["classes"] for path in batch_manifests(f"polygons/{name}", spec)),
    ]


def run(job: Job) -> None:
    """Draw the pictures, write one page per class, remove what is stale, write the index."""
    folder, spec, names = job.output.parent, job.spec, list(job.spec["classes"])
    sizes = {scene: (own["width"], own["height"]) for scene, own in references(job, spec["scenes"]).items()}
    images = Images(job, sizes)
    scores = read_scores(job.path("score.tsv"))
    shifts = [row for row in read_shifts(job.path("quality/registration.tsv")) if row.scene in images.sizes]
    classes = []
    for done, name in enumerate(names, 1):
        classes.append(class_row(images, name, scores))
        write_text(folder / pages.class_page(name), pages.class_html(classes[-1], names, LEGEND))
        job.progress(done, len(names) + 1, name)
    held_out = {scene for scenes in spec["truth"].values() for scene in scenes}
    shown, note = scenery(spec)
    html = pages.index_html(
        scenes=len(spec["scenes"]),
        training=len({scene for scenes in spec["labelled"].values() for scene in scenes}),
        held_out=len(held_out),
        mean_held_out=scores.pooled.get(("mean", HELD_OUT)),
        mean_out_of_fold=scores.pooled.get(("mean", OUT_OF_FOLD)),
        classes=classes,
        scenery=[all_classes(images, scene, held_out) for scene in shown],
        scenery_note=note,
        shifts=shifts,
        overlays=draw_overlays(images, shifts),
        overlay_legend=overlay_legend(spec["reference"]),
        checkpoints=members.member_rows(job),
        ensembles=members.ensemble_rows(job),
        splits=members.split_rows(job),
        split_notes=members.split_notes(job),
        refit="all" in spec["folds"],
        findings=read_table(job.path("quality/inputs.tsv")),
        versions=members.versions(),
        recipe=digest(spec),
    )
    remove_stale(folder, images.written | {folder / pages.class_page(name) for name in names})
    write_text(job.output, html)
    job.progress(len(names) + 1, len(names) + 1)


def remove_stale(folder: Path, keep: Collection[Path]) -> None:
    """Remove pages and pictures of earlier reports, and files that a killed report left unfinished."""
    for pattern in (pages.class_page("*"), "pictures/*", f"{TEMPORARY}*"):
        for path in folder.glob(pattern):
            if path not in keep and path.is_file():
                path.unlink()
