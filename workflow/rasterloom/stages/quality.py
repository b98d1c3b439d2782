"""Stage quality: what is odd about the images and labels that were given, and how each sensor was registered.

A row a finding in ``quality/inputs.tsv``: what was odd, and worked on all the same; what stops a run is said by the
job that it stops. A row a scene and sensor in ``quality/registration.tsv`` (see `registration.table`). The facts come
from the registrations and beside the labels, where the jobs that read the files left them: no file of the data set is
opened.

Spec (besides ``stage`` and ``version``): ``table``: ``inputs`` or ``registration``; ``acquisitions``: scenes by
acquisition; ``scenes``: all registered ones. For the inputs by scene and sensor the names of its files; ``reference``:
the reference sensor; ``labels``: by class and scene the name of the file of labels; ``classes``: number by class;
``windows``: scales that keep a scene's size, each with the largest window of a network on it; ``notes``: what the
index of the data set says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rasterloom.project.project import Project
from rasterloom.registration.record import read_registration
from rasterloom.registration.table import UNPLACED, shift_rows
from rasterloom.registration.table import table as shifts_table
from rasterloom.report.findings import (
    REGISTRATION,
    TABLES,
    Finding,
    class_findings,
    label_findings,
    sensor_findings,
    size_findings,
    table,
)
from rasterloom.store.job import Job, placement_manifests

OUTPUT = "quality/{table}.tsv"
HELP = "list findings about images and labels, and the confidence of each registration"
VERSION = 3


def jobs(project: Project) -> Iterator[dict[str, str]]:
    """One job per table."""
    return ({"table": table} for table in TABLES)


def spec(project: Project, table: str) -> dict[str, Any]:
    """See the docstring of this module."""
    if table == REGISTRATION:
        return {"table": table, "scenes": project.registered, "acquisitions": project.acquisitions}
    scenes, recipe = project.dataset.scenes, project.recipe
    windows: dict[str, int] = {}
    for member in recipe.members.values():
        name, window = member.scale["name"], member.prediction.get("window", 0)
        if "size" not in member.scale and window:
            windows[name] = max(window, windows.get(name, 0))
    return {
        "table": table,
        "scenes": {
            scene: {name: [Path(file.path).name for file in files] for name, files in scenes[scene].sensors.items()}
            for scene in project.registered
        },
        "acquisitions": project.acquisitions,
        "reference": project.reference,
        "labels": {name: project.dataset.label_files(name) for name in recipe.classes},
        "classes": {name: found.id for name, found in recipe.classes.items()},
        "windows": [{"scale": project.scale(name), "window": window} for name, window in sorted(windows.items())],
        "notes": list(project.dataset.notes),
    }


def inputs(spec: Mapping[str, Any]) -> list[str]:
    """Manifests read: where the sensors of all scenes lie, and for the inputs the labels of all classes."""
    labels = [] if spec["table"] == REGISTRATION else [f"labels/{name}.json" for name in spec["labels"]]
    return [*placement_manifests(spec), *labels]


def run(job: Job) -> None:
    """Collect the facts of every scene (and class) and write the table that the job's spec names."""
    if job.spec["table"] == REGISTRATION:
        _run_registration(job)
    else:
        _run_inputs(job)


def _run_registration(job: Job) -> None:
    rows = [row for scene, registration in _registrations(job) for row in shift_rows(scene, registration)]
    job.write_output(lambda path: _write(path, shifts_table(rows)))
    without = sum(row.method in UNPLACED for row in rows)
    if without:
        job.log(
            f"quality: no shift was found for {without} of {len(rows)} registrations; the first rows of {job.output}"
        )


def _run_inputs(job: Job) -> None:
    found = [Finding("", "", "", "note", " ".join(note.split())) for note in job.spec["notes"]]
    found += _images(job)
    found += _labels(job)
    job.write_output(lambda path: _write(path, table(found)))
    number = len(set(found))
    if number:
        job.log(f"quality: {number} finding{'s' if number > 1 else ''} about images and labels in {job.output}")


def _registrations(job: Job) -> Iterator[tuple[str, dict[str, Any]]]:
    """The settled registration of each scene."""
    scenes = job.spec["scenes"]
    for done, (scene, item) in enumerate(job.items("placement", scenes).items(), 1):
        yield scene, read_registration(job.store.open_path(item))
        job.progress(done, len(scenes), scene)


def _images(job: Job) -> Iterator[Finding]:
    scenes, reference = job.spec["scenes"], job.spec["reference"]
    for scene, registration in _registrations(job):
        for sensor, entry in registration["sensors"].items():
            yield from sensor_findings(scene, sensor, scenes[scene][sensor], entry)
        files = scenes[scene][reference]
        yield from size_findings(scene, reference, files, registration["reference"], job.spec["windows"])


def _labels(job: Job) -> Iterator[Finding]:
    files: dict[str, list[dict[str, Any]]] = {}
    for name, names in job.spec["labels"].items():
        items = job.manifest(f"labels/{name}").items
        for scene, file in names.items():
            facts = job.store.facts(items[scene])
            files.setdefault(file, []).append(facts)
            yield from label_findings(scene, name, file, facts)
    yield from class_findings(files, job.spec["classes"])


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="")
