"""What it costs to find out what a run has to do: the full recipe over many scenes, and a plain Snakefile beside it.

Stand-in data (the names of a contest's files, images of 8 pixels) and a finished state that nobody has computed: real
registrations, labels and folds; of everything else the records, manifests and notes that its jobs would leave, with the
keys that they would have. Each command is measured once: seconds, those of the processor, peak memory, and the jobs
that would run.

- `nothing`: a dry run where nothing is there;
- `finished`: a run where everything is there;
- `touched`: a run after an image without labels was touched;
- `restored`: a dry run after one class's threshold was changed, everything made, and the threshold changed back;
- `plan`: `rasterloom plan`;
- `instant`: a run of all jobs before the trainings, each of which finds its artifacts in the store (minutes).

The plain Snakefile has one job per image, class and scale, files that Snakemake compares by time, and no library.

    python benchmarks/graph.py [SCENES ...]       57 and 450 scenes, if none are given; the first 25 are labelled
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import yaml

from rasterloom.config import read_config_files
from rasterloom.planning.graph import Dag
from rasterloom.polygons.tuning import SETTINGS
from rasterloom.stages import artifact_stages, job_of, module_of
from rasterloom.store.digest import canonical, digest
from rasterloom.store.job import Job, Wanted, asked_path
from rasterloom.store.manifest import Manifest
from rasterloom.store.store import Item, Store

ROOT = Path(__file__).resolve().parent.parent
LABELLED = 25
REAL = ("register", "place", "label", "split")
"""Stages whose jobs are run, as others read what they write."""
RUN, DRY = ["--cores", "1"], ["-n"]
INSTANT = [*RUN, "--forceall", "--omit-from", "train"]
NAMES = {
    "three_band/{}.tif": 3,
    **{f"sixteen_band/{{}}_{sensor}.tif": n for sensor, n in (("P", 1), ("M", 8), ("A", 8))},
}
"""Files of a scene, and their bands."""


def scene_ids(scenes: int) -> list[str]:
    """So many ids of the contest."""
    return [f"{6010 + 10 * (n // 25)}_{n % 25 // 5}_{n % 5}" for n in range(scenes)]


def write_data(folder: Path, scenes: int) -> None:
    """The contest's files for so many scenes, and the repository's files, in a project's folder."""
    for name in ("Snakefile", "workflow", "profiles", "envs"):
        (folder / name).symlink_to(ROOT / name)
    ids = scene_ids(scenes)
    root = folder / "data/dstl"
    for name, bands in NAMES.items():
        buffer = io.BytesIO()
        planes = {"planarconfig": "separate"} if bands > 1 else {}
        tifffile.imwrite(buffer, np.zeros((bands, 8, 8), np.uint16), photometric="minisblack", **planes)
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        for scene in ids:
            (root / name.format(scene)).write_bytes(buffer.getvalue())
    tables = {
        "train_wkt_v4.csv": [(s, number, "MULTIPOLYGON EMPTY") for s in ids[:LABELLED] for number in range(1, 11)],
        "sample_submission.csv": [(s, number, "POLYGON EMPTY") for s in ids[LABELLED:] for number in range(1, 11)],
        "grid_sizes.csv": [(scene, 0.009, -0.009) for scene in ids],
    }
    for name, rows in tables.items():
        header = ("", "Xmax", "Ymin") if name == "grid_sizes.csv" else ("ImageId", "ClassType", "MultipolygonWKT")
        with (root / name).open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([header, *rows])
    write_config(folder)


def write_config(folder: Path, threshold: float = 0.5) -> None:
    """The full recipe without registration, and a class's threshold."""
    table = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    table["dataset"]["predict"] = "all"
    for sensor in table["sensors"].values():
        sensor["registration"] = "none"
    table["classes"]["buildings"].setdefault("polygons", {})["threshold"] = threshold
    (folder / "config.yaml").write_text(yaml.safe_dump(table, sort_keys=False), encoding="utf-8")


def write_results(folder: Path, *others: str) -> int:
    """Every output of a finished run, job by job, as far as it is not there; gives the number of Snakemake's jobs.

    `others` are files of configuration that are laid over config.yaml.
    """
    with contextlib.chdir(folder):
        dag = Dag.load(read_config_files([Path(name) for name in ("config.yaml", *others)]))
        store = Store.of(dag.results)
        for stage, names in dag.in_order():
            spec, sources = (json.loads(canonical(part(stage, **names))) for part in (dag.spec, dag.sources))
            job = job_of(spec, sources, dag.results, store)
            job.quiet = True
            job.output.parent.mkdir(parents=True, exist_ok=True)
            if stage in REAL:
                module_of(stage).run(job)
            elif stage in artifact_stages():
                items = {want.name: stand_in(job, want) for want in module_of(stage).wanted(job)}
                job.output.write_text(Manifest(stage, items).text(), encoding="utf-8")
            else:
                job.output.write_text("a table\n", encoding="utf-8")
            note = asked_path(dag.results, names_of(job))
            note.parent.mkdir(parents=True, exist_ok=True)
            note.write_text(f"{job.asked(module_of(stage).inputs(spec))}\n0 0\n", encoding="utf-8")
    return len({dag.declared.get(path, path) for paths in dag.outputs().values() for path in paths})


def names_of(job: Job) -> str:
    """The output of a job, relative to the results folder."""
    return job.output.relative_to(job.results).as_posix()


def stand_in(job: Job, want: Wanted) -> Item:
    """An artifact of a key that nobody has made: a few bytes and its record, written without a wait for the disk."""
    value = {"scenes": {}, "confidence": None, **dict.fromkeys(SETTINGS, 0.5)}  # what is read of a tuning
    value |= {name: own for name, own in (want.recipe or {}).items() if name in SETTINGS and isinstance(own, float)}
    path, data = f"{job.stage}/{want.key}.bin", canonical(value).encode()
    parts = {name: digest([want.key, name]) for name in job.spec.get("sensors", ())}
    item = Item(want.key, digest([job.stage, want.key]), path, parts)
    record = job.store.record_path(job.stage, want.key)
    if not record.exists():
        record.parent.mkdir(parents=True, exist_ok=True)
        (job.store.root / path).write_bytes(data)
        record.write_text(json.dumps({**item.to_json(), "bytes": len(data), "cost": {}}), encoding="utf-8")
    return item


PLAIN = """
SCENES, LABELLED, MEMBERS, CLASSES = {scenes}, {labelled}, {members}, {classes}
SCALES = sorted({{scale for scale, _ in MEMBERS.values()}})

rule all:
    input: "score.tsv", "submission.csv", expand("vectors/{{s}}.gpkg", s=SCENES)
rule register:
    input: "data/dstl/three_band/{{s}}.tif", expand("data/dstl/sixteen_band/{{{{s}}}}_{{b}}.tif", b=list("PMA"))
    output: "registration/{{s}}"
    shell: "touch {{output}}"
rule stack:
    input: "registration/{{s}}"
    output: "stacks/{{scale}}/{{s}}"
    shell: "touch {{output}}"
rule mask:
    input: "data/dstl/train_wkt_v4.csv", "registration/{{s}}"
    output: "masks/{{scale}}/{{target}}/{{s}}"
    shell: "touch {{output}}"
rule train:
    input:
        lambda w: expand("stacks/{{scale}}/{{s}}", scale=MEMBERS[w.member][0], s=LABELLED),
        lambda w: expand("masks/{{m[0]}}/{{m[1]}}/{{s}}", m=[MEMBERS[w.member]], s=LABELLED)
    output: "models/{{member}}"
    shell: "touch {{output}}"
rule predict:
    input: "models/{{member}}", lambda w: f"stacks/{{MEMBERS[w.member][0]}}/{{w.s}}"
    output: "predictions/{{member}}/{{s}}"
    shell: "touch {{output}}"
rule ensemble:
    input: lambda w: expand("predictions/{{member}}/{{s}}", member=CLASSES[w.c], s=w.s)
    output: "ensembles/{{c}}/{{s}}"
    shell: "touch {{output}}"
rule tune:
    input: expand("ensembles/{{{{c}}}}/{{s}}", s=LABELLED)
    output: "tuning/{{c}}"
    shell: "touch {{output}}"
rule vectorise:
    input: "ensembles/{{c}}/{{s}}", "tuning/{{c}}"
    output: "polygons/{{c}}/{{s}}"
    shell: "touch {{output}}"
rule table:
    input: expand("polygons/{{c}}/{{s}}", c=CLASSES, s=SCENES)
    output: "{{table}}"
    wildcard_constraints: table="score.tsv|submission.csv"
    shell: "touch {{output}}"
rule export:
    input: expand("polygons/{{c}}/{{{{s}}}}", c=CLASSES)
    output: "vectors/{{s}}.gpkg"
    shell: "touch {{output}}"
"""
"""One job per image, class and scale, as one would write it first."""


def write_plain(folder: Path, scenes: int) -> Path:
    """The plain Snakefile of the recipe, over the same data; gives its folder."""
    with contextlib.chdir(folder):
        recipe = Dag.load(read_config_files([Path("config.yaml")])).recipe
    plain = folder / "plain"
    plain.mkdir()
    (plain / "data").symlink_to(folder / "data")
    text = PLAIN.format(
        scenes=scene_ids(scenes),
        labelled=scene_ids(scenes)[:LABELLED],
        members={name: (own.scale["name"], own.target) for name, own in recipe.members.items()},
        classes={name: list(own.members) for name, own in recipe.classes.items()},
    )
    (plain / "Snakefile").write_text(text, encoding="utf-8")
    return plain


def finish_plain(plain: Path) -> None:
    """Every output of the plain Snakefile, in the order of its rules."""
    scope: dict[str, Any] = {}
    head = (plain / "Snakefile").read_text(encoding="utf-8").split("rule all:")[0]
    exec(head, scope)
    scenes, members, classes = scope["SCENES"], scope["MEMBERS"], scope["CLASSES"]
    masks = sorted({f"masks/{scale}/{target}" for scale, target in members.values()})
    outputs = [f"registration/{s}" for s in scenes]
    outputs += [f"stacks/{scale}/{s}" for scale in scope["SCALES"] for s in scenes]
    outputs += [f"{mask}/{s}" for mask in masks for s in scope["LABELLED"]]
    outputs += [f"models/{member}" for member in members]
    outputs += [f"predictions/{member}/{s}" for member in members for s in scenes]
    outputs += [f"ensembles/{c}/{s}" for c in classes for s in scenes]
    outputs += [f"tuning/{c}" for c in classes]
    outputs += [f"polygons/{c}/{s}" for c in classes for s in scenes]
    for path in [*outputs, "score.tsv", "submission.csv", *(f"vectors/{s}.gpkg" for s in scenes)]:
        (plain / path).parent.mkdir(parents=True, exist_ok=True)
        (plain / path).touch()


def peak_memory(process: int) -> int:
    """KiB that a process has held at most so far; what the kernel says of a child counts what its parent held."""
    try:
        text = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    except OSError:
        return 0
    found = re.search(r"VmHWM:\s+(\d+)", text)
    return int(found[1]) if found else 0


def measured(folder: Path, arguments: list[str]) -> tuple[float, float, float, int]:
    """Seconds, seconds of processor, peak memory in MB and jobs of a command."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "workflow")}
    started = time.monotonic()
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments], cwd=folder, env=environment, stdout=said, stderr=subprocess.STDOUT
        )
        peak, ended = 0, 0
        while not ended:
            peak = max(peak, peak_memory(process.pid))
            time.sleep(0.02)
            ended, status, usage = os.wait4(process.pid, os.WNOHANG)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.monotonic() - started
        said.seek(0)
        text = said.read()
    if process.returncode:
        raise SystemExit(text[-3000:])
    jobs = re.search(r"^total +(\d+)$", text, re.MULTILINE)
    return seconds, usage.ru_utime + usage.ru_stime, peak / 1024, int(jobs[1]) if jobs else 0


def say(scenes: int, what: str, folder: Path, arguments: list[str]) -> None:
    """Measure a command and print a row."""
    seconds, processor, peak, jobs = measured(folder, arguments)
    print(f"{scenes:6d}  {what:15s}  {seconds:7.1f}  {processor:9.1f}  {peak:7.0f}  {jobs:6d}", flush=True)


def touch(folder: Path, scenes: int) -> None:
    """Touch an image of a scene without labels."""
    (folder / f"data/dstl/three_band/{scene_ids(scenes)[-1]}.tif").touch()


def main() -> None:
    """Print one row per command and number of scenes."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("scenes", nargs="*", type=int, default=[57, 450], help="numbers of scenes")
    print("scenes  what             seconds  processor  peak MB    jobs")
    for scenes in parser.parse_args().scenes:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_data(folder, scenes)
            say(scenes, "nothing", folder, ["snakemake", *DRY])
            print(f"{scenes:6d}  {write_results(folder)} jobs in all", flush=True)
            say(scenes, "finished", folder, ["snakemake", *RUN])
            say(scenes, "plan", folder, ["rasterloom", "plan"])
            touch(folder, scenes)
            say(scenes, "touched", folder, ["snakemake", *RUN])
            write_config(folder, 0.75)
            write_results(folder)
            write_config(folder)
            say(scenes, "restored", folder, ["snakemake", *DRY])
            plain = write_plain(folder, scenes)
            say(scenes, "plain nothing", plain, ["snakemake", *DRY])
            finish_plain(plain)
            say(scenes, "plain finished", plain, ["snakemake", *RUN])
            touch(folder, scenes)
            say(scenes, "plain touched", plain, ["snakemake", *DRY])
            say(scenes, "instant", folder, ["snakemake", *INSTANT])


if __name__ == "__main__":
    main()
