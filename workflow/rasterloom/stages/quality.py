"""Stage quality: findings about the images and labels, and how each sensor was registered.

One row per finding in ``quality/inputs.tsv``: what was odd, but did not stop the run; the job that a fault stops says
so itself. One row per scene and sensor in ``quality/registration.tsv`` (see `registration.table`). The facts come from
the registrations and from beside the labels, where the jobs that read the files left them: no file of the data set is
opened.

Spec (besides ``stage`` and ``version``): ``table``: ``inputs`` or ``registration``; ``acquisitions``: scenes by
acquisition; ``scenes``: all registered ones. For the inputs by scene and sensor the names of its files; ``reference``:
the reference sensor; ``labels``: by class and scene the name of the file of labels; ``classes``: number by class;
``windows``: scales that keep a scene's size, each with the largest window of a network on it; ``notes``: what the
index of the data set says.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rasterloom.grouping import grouped
from rasterloom.project.project import Project
from rasterloom.registration.record import read_registration
from rasterloom.registration.table import UNPLACED, shift_rows
from rasterloom.registration.table import table as shifts_table
from rasterloom.report import findings
from rasterloom.report.findings import REGISTRATION, Finding
from rasterloom.store.files import write_text
from rasterloom.store.job import Job, placement_manifests
from rasterloom.text import counted

OUTPUT = "quality/{table}.tsv"
HELP = "list findings about images and labels, and the confidence of each registration"
VERSION = 5


def jobs(project: Project) -> Iterator[dict[str, str]]:
    """One job per table."""
    return ({"table": table} for table in findings.TABLES)


def spec(project: Project, table: str) -> dict[str, Any]:
    """See the docstring of this module."""
    if table == REGISTRATION:
        return {"table": table, "scenes": project.registered, "acquisitions": project.acquisitions}
    scenes, recipe = project.dataset.scenes, project.recipe
    seen = (own for own in recipe.members.values() if "size" not in own.scale and own.prediction.get("window"))
    windows = grouped((own.scale["name"], own.prediction["window"]) for own in seen)
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
        "windows": [{"scale": project.scale(name), "window": max(own)} for name, own in sorted(windows.items())],
        "notes": list(project.dataset.notes),
    }


def inputs(spec: Mapping[str, Any]) -> list[str]:
    """Manifests read: where the sensors of all scenes lie, and for the inputs the labels of all classes."""
    labels = [] if spec["table"] == REGISTRATION else [f"labels/{name}.json" for name in spec["labels"]]
    return [*placement_manifests(spec), *labels]


def run(job: Job) -> None:
    """Collect the facts of every scene (and class) and write the table that the job's spec names."""
    if job.spec["table"] == REGISTRATION:
        rows = [row for scene, registration in _registrations(job) for row in shift_rows(scene, registration)]
        text, number = shifts_table(rows), sum(row.method in UNPLACED for row in rows)
        said = f"no shift was found for {number} of {len(rows)} registrations; the first rows of {job.output}"
    else:
        notes = [Finding("", "", "", "note", " ".join(note.split())) for note in job.spec["notes"]]
        found = {*notes, *_images(job), *_labels(job)}
        text, number = findings.table(found), len(found)
        said = f"{counted(number, 'finding')} about images and labels in {job.output}"
    write_text(job.output, text)
    if number:
        job.log(f"quality: {said}")


def _registrations(job: Job) -> Iterator[tuple[str, dict[str, Any]]]:
    """The settled registration of each scene."""
    items = job.items("placement", job.spec["scenes"])
    for scene in job.each(items):
        yield scene, read_registration(job.store.open_path(items[scene]))


def _images(job: Job) -> Iterator[Finding]:
    scenes, reference = job.spec["scenes"], job.spec["reference"]
    for scene, registration in _registrations(job):
        for sensor, names in scenes[scene].items():
            yield from findings.sensor_findings(scene, sensor, names, registration["sensors"][sensor])
        files = scenes[scene][reference]
        yield from findings.size_findings(scene, reference, files, registration["reference"], job.spec["windows"])


def _labels(job: Job) -> Iterator[Finding]:
    files: dict[str, list[dict[str, Any]]] = {}
    for name, names in job.spec["labels"].items():
        items = job.manifest(f"labels/{name}").items
        for scene, file in names.items():
            facts = job.store.facts(items[scene])
            files.setdefault(file, []).append(facts)
            yield from findings.label_findings(scene, name, file, facts)
    yield from findings.class_findings(files, job.spec["classes"])
