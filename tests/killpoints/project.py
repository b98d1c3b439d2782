"""A tiny finished project, states of it before a job, and what can be seen of its results."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from matrix import CONFIG, ROOT
from rasterloom.config import read_config_files
from rasterloom.learning.sanity import SANITY
from rasterloom.planning.graph import Dag
from rasterloom.stages import STAGES, output_of
from rasterloom.store.job import asked_path
from rasterloom.store.store import file_sha256
from small_contest import set_age, write_contest

LABELLED, NEW = ("6010_0_0", "6020_0_0"), "6040_0_0"
NETWORK = "buildings-unet-both-coarse"

State = dict[str, str]
"""What can be seen of a results folder: by path a digest of what is there."""


def recipe() -> dict[str, Any]:
    """The recipe: one class, whose members are a network and a regression."""
    table = copy.deepcopy(CONFIG)
    members = table["classes"]["buildings"]["members"]
    members[0]["model"] = "unet"
    table["classes"] = {"buildings": table["classes"]["buildings"]}
    table["defaults"]["training"] |= {"steps": 4}
    table["sanity"] = {"steps": 2}
    del table["models"]["forest"]
    return table


def create(folder: Path) -> None:
    """The repository's files, a data set and a recipe; nothing has run."""
    folder.mkdir(parents=True)
    for name in ("Snakefile", "workflow", "profiles", "envs"):
        (folder / name).symlink_to(ROOT / name)
    write_contest(folder / "data", LABELLED, [NEW])
    for path in (folder / "data").rglob("*.*"):
        set_age(path, 10)  # what was read of a young file is not remembered
    (folder / "config.yaml").write_text(yaml.safe_dump(recipe(), sort_keys=False), encoding="utf-8")


@dataclass(frozen=True)
class Case:
    """A job of a stage, as the workflow runs it.

    Attributes
    ----------
    name : str
        The stage, or more if several of its jobs are tried.
    stage : str
    output : str
        What it writes last, relative to the results folder.
    arguments : tuple of str
        Of ``rasterloom``.
    """

    name: str
    stage: str
    output: str
    arguments: tuple[str, ...]


def all_jobs(folder: Path) -> list[Case]:
    """Every job of the project in `folder`, which is the working directory, in order; those of `sanity` last."""
    dag = Dag.load(read_config_files([folder / "config.yaml"]))
    sanity = [("train", {"member": NETWORK, "fold": SANITY}), ("sanity", {})]
    return [_case(dag, stage, names) for stage, names in [*dag.in_order(), *sanity]]


def _case(dag: Dag, stage: str, names: dict[str, str]) -> Case:
    spec, sources = dag.spec(stage, **names), dag.sources(stage, **names)
    texts = dag.argument(spec), dag.argument(sources)
    network = NETWORK in names.values() and stage != "sanity"
    name = f"{stage} (network)" if network else stage
    return Case(name, stage, output_of(spec), (stage, "--spec", texts[0], "--sources", texts[1]))


def chosen(jobs: list[Case]) -> list[Case]:
    """The last job of each stage, and of `train` and `predict` one of a network and one of a regression."""
    found = {job.name: job for job in jobs if f"/{SANITY}." not in job.output or job.stage == "sanity"}
    return sorted(found.values(), key=lambda job: STAGES.index(job.stage))


def remove(results: Path, job: Case, store: bool) -> None:
    """Take away what a job has written; what lies in the store too, if `store` says so."""
    output = results / job.output
    asked_path(results, job.output).unlink(missing_ok=True)
    items = json.loads(output.read_text("utf-8"))["items"] if output.suffix == ".json" and output.exists() else {}
    for item in items.values():
        artifact = results / "store" / item["path"]
        for path in artifact.parent.glob(f"{item['key']}*") if store else ():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        for link in output.parent.rglob("*"):
            if link.is_symlink() and link.readlink().name == artifact.name:
                link.unlink()
    output.unlink(missing_ok=True)
    if job.stage in ("report", "export", "sanity"):  # whose folder is theirs alone
        shutil.rmtree(output.parent, ignore_errors=True)
    if job.stage == "train":
        (results / "training" / Path(job.output).relative_to("models")).with_suffix(".jsonl").unlink(missing_ok=True)


def before(full: Path, jobs: list[Case], job: Case, folder: Path, store: bool) -> None:
    """Copy finished results to `folder`, without what a job and the stages after it have written.

    `store` says whether what the job has put into the store is taken away too.
    """
    shutil.copytree(full, folder, symlinks=True)
    for other in jobs:
        if STAGES.index(other.stage) > STAGES.index(job.stage) and other.stage != "sanity":
            remove(folder, other, True)
            shutil.rmtree(folder / "store" / other.stage, ignore_errors=True)
    if job.stage not in ("sanity", "report"):
        shutil.rmtree(folder / "sanity", ignore_errors=True)
    remove(folder, job, store)


def seen(results: Path, store: Path | None = None) -> State:
    """What can be seen of results and their store.

    Artifacts count by their records, and are BROKEN if their file is not the one of the record; notes of what an output
    was made with count without the numbers of items. Temporary files are not seen, other left-overs are.
    """
    store = store or results / "store"
    found: State = {}
    for path in _files(results, {"store", "logs", "benchmarks", ".arguments"}):
        found[path.relative_to(results).as_posix()] = _look(path)
    for path in _files(store, set()):
        name = f"store/{path.relative_to(store).as_posix()}"
        stage = path.relative_to(store).parts[0]
        if stage in STAGES and path.suffix == ".json" and path.parent.name == stage:
            found[name] = _artifact(store, path)
        elif stage in STAGES and path.parent.name != stage:
            found[name] = "left behind"
        elif stage not in STAGES and not path.name.startswith("."):
            found[name] = _look(path)
    return found


def _files(top: Path, without: set[str]) -> Iterator[Path]:
    for folder, folders, files in os.walk(top):
        folders[:] = [name for name in folders if name not in without and not name.startswith(".tmp-")]
        yield from (Path(folder, name) for name in files if not name.startswith((".tmp-", ".lock")))


def _look(path: Path) -> str:
    if path.is_symlink():
        return f"link to {path.readlink()}{'' if path.exists() else ', which is not there'}"
    if path.suffix == ".gpkg":
        return _layers(path)
    text = path.read_bytes()
    if "/.asked/" in str(path):
        text = text.split(maxsplit=1)[0] if text else text
    if path.suffix == ".html":
        text = re.sub(rb"\d+", b"", text)  # what computing took
    if path.parent.name == "runs":
        run = json.loads(text)
        trainings = sorted(own["digest"] for own in run["trainings"].values())
        text = json.dumps([run["recipe"], run["scores"], trainings]).encode()
    if path.suffix == ".jsonl":
        with suppress(ValueError):  # the last row is half written
            rows = [json.loads(line) for line in text.splitlines()]
            text = json.dumps([row | {"seconds": 0} for row in rows], sort_keys=True).encode()
    return hashlib.sha256(text).hexdigest()[:16]


def _artifact(store: Path, record: Path) -> str:
    try:
        value = json.loads(record.read_text(encoding="utf-8"))
        whole = file_sha256(store / value["path"]) == value["sha256"]
    except (OSError, ValueError, KeyError):
        whole = False
    return f"{value['digest'][:16]} {sorted(value.get('parts', {}).items())}" if whole else "BROKEN"


def _layers(path: Path) -> str:
    """What the layers of a GeoPackage hold, without the times of writing."""
    base = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        names = [name for (name,) in base.execute("select table_name from gpkg_contents order by 1")]
        rows = [base.execute(f'select * from "{name}" order by 1').fetchall() for name in names]
    finally:
        base.close()
    return hashlib.sha256(repr((names, rows)).encode()).hexdigest()[:16]
