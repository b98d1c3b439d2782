"""Runs whose files Snakemake has elsewhere: a module with a prefix, shadow folders, a storage. All give the same.

So do jobs in a container, which have another Python elsewhere.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from rasterloom.tools.scenes.writing import write_scenes
from tiny_runs import ROOT, digests, project, run
from warm_python import WarmPython

SMALL = """
results: results-tiny
models: {unet8: null, forest: null}
scales: {native: null}
classes:
  buildings: null
  waterway: {members: [{model: linear, channels: all20, scale: s128}]}
"""
"""What is left of presets/tiny.yaml: one class and a model that is trained in no time."""

CONFIGURED = ("--configfile", "presets/tiny.yaml", "small.yaml")

IMPORTING = """
configfile: "config.yaml"

module rasterloom:
    snakefile: "{root}/Snakefile"
    config: config
    {where}

use rule * from rasterloom as area_*
"""
"""A workflow of somebody else."""

SHADOWED = """
use rule {stage} from rasterloom as area_{stage} with:
    shadow: "minimal"
"""

SUBMIT = """
export SCRATCH=$(mktemp --directory -p scratch)
sh "$1" > "$SCRATCH.log" 2>&1 &
echo $!
"""
STATUS = "if kill -0 $1 2>/dev/null; then echo running; else echo success; fi\n"

APPTAINER = """#!/bin/sh
case $1 in --version) echo apptainer version 1.3.0; exit ;; esac
echo "$@" >> calls
until [ "$1" = rasterloom.sif ]; do shift; done
shift
PATH={inside}:/usr/bin:/bin exec "$@"
"""
"""Runs a command in no container, but with its PATH."""

PLUG_INS = ("snakemake_storage_plugin_fs", "snakemake_executor_plugin_cluster_generic")

pytestmark = pytest.mark.workflow


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with WarmPython(tmp_path_factory.mktemp("warm") / "bin") as found:
        yield found.executable


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory, warm: Path) -> Path:
    """A folder after a usual run."""
    folder = project(tmp_path_factory.mktemp("usual") / "project")
    (folder / "small.yaml").write_text(SMALL, encoding="utf-8")
    write_scenes(folder / "data/tiny", train=2, test=1, size=(256, 256), seed=3)
    run(folder, "--cores", "2", *CONFIGURED, python=warm)
    return folder


def importing(folder: Path, usual: Path, where: str, rules: str = "") -> Path:
    """A folder with nothing but the data, the configuration and a workflow that imports ours."""
    folder.mkdir()
    for name in ("config.yaml", "presets", "profiles", "data", "small.yaml"):
        (folder / name).symlink_to(usual / name)
    (folder / "Snakefile").write_text(IMPORTING.format(root=ROOT, where=where) + rules, encoding="utf-8")
    return folder


def test_module_with_a_prefix_and_shadow_folders(usual: Path, warm: Path, tmp_path: Path) -> None:
    shadowed = ("register", "stack", "train", "vectorise", "export", "report")
    rules = "".join(SHADOWED.format(stage=stage) for stage in shadowed)
    folder = importing(tmp_path / "importing", usual, 'prefix: "area/one"', rules)
    given = ("--cores", "2", "area_all", *CONFIGURED)
    said = run(folder, *given, python=warm)
    assert "begin with area/one/results-tiny/report/index.html" in said
    results = folder / "area/one/results-tiny"
    assert digests(results) == digests(usual / "results-tiny")
    assert {path.name for path in (results / "vectors").iterdir()} >= {"6040_2_2.gpkg", "6040_2_2.tsv"}
    assert all(path.exists() for path in results.rglob("*") if path.is_symlink()), "links lead to artifacts"
    assert list((results / "report/pictures").iterdir())
    assert {path.name for path in folder.iterdir()} >= {"area"} and not (folder / "results-tiny").exists()
    assert not list((folder / ".snakemake/shadow").rglob("store")), "no artifact is made in a shadow folder"
    assert "Nothing to be done" in run(folder, *given, python=warm)


def test_module_with_parts_of_the_results_elsewhere(usual: Path, warm: Path, tmp_path: Path) -> None:
    where = 'replace_prefix: {"results-tiny/quality/": "tables/", "results-tiny/polygons/": "shapes/"}'
    folder = importing(tmp_path / "importing", usual, where)
    (folder / "small.yaml").unlink()

    def simplified(pixels: float) -> bytes:
        (folder / "small.yaml").write_text(f"{SMALL}defaults: {{polygons: {{simplify: {pixels}}}}}\n", encoding="utf-8")
        shared = {"RASTERLOOM_STORE": str(usual / "results-tiny/store")}
        given = ("--cores", "2", "area_all", *CONFIGURED)
        run(folder, *given, python=warm, environment=shared)
        assert "Nothing to be done" in run(folder, "-n", *given, python=warm, environment=shared)
        shapes = {path.name: path.read_bytes() for path in (folder / "shapes/waterway").iterdir()}
        here = folder / "results-tiny/polygons/waterway"
        assert shapes == {path.name: path.read_bytes() for path in here.glob("*.json")}
        return b"".join(shapes.values())

    first = simplified(1.5)
    assert (folder / "tables/inputs.tsv").read_bytes() == (usual / "results-tiny/quality/inputs.tsv").read_bytes()
    assert simplified(2.5) != first, "made again, although the file is there and Snakemake's records are not asked"


def test_storage_and_jobs_without_a_shared_results_folder(usual: Path, warm: Path, tmp_path: Path) -> None:
    lacking = [name for name in PLUG_INS if importlib.util.find_spec(name) is None]
    if lacking:
        pytest.skip(f"pip install {' '.join(lacking).replace('_', '-')}")
    if shutil.which("rsync") is None:
        pytest.skip("rsync is not installed: the storage plug-in copies with it")
    folder = project(tmp_path / "project")
    (folder / "small.yaml").symlink_to(usual / "small.yaml")
    (folder / "data").symlink_to(usual / "data")
    for name, text in (("submit.sh", SUBMIT), ("status.sh", STATUS)):
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "scratch").mkdir()
    stored = (
        *("--default-storage-provider", "fs", "--default-storage-prefix", str(tmp_path / "bucket")),
        *("--shared-fs-usage", "persistence", "sources", "source-cache", "software-deployment"),
    )
    remote = (
        *("--executor", "cluster-generic", "--jobs", "2", "--seconds-between-status-checks", "1"),
        *("--cluster-generic-submit-cmd", "sh submit.sh", "--cluster-generic-status-cmd", "sh status.sh"),
        *("--remote-job-local-storage-prefix", "$SCRATCH"),
    )

    def snakemake(*arguments: str) -> str:
        given = {"RASTERLOOM_STORE": str(tmp_path / "store")}
        return run(folder, "--cores", "2", *arguments, *stored, *CONFIGURED, python=warm, environment=given)

    scenes = [path.stem for path in (usual / "results-tiny/ensembles/waterway").glob("*.json")]
    snakemake(*(f"results-tiny/ensembles/waterway/{scene}.json" for scene in scenes))
    shutil.rmtree(folder / "results-tiny")  # what other machines have not
    snakemake(*remote)
    found, expected = digests(tmp_path / "bucket/results-tiny"), digests(usual / "results-tiny")
    assert {name: digest for name, digest in found.items() if name in expected} == expected
    there = {path.name for path in (folder / "results-tiny").iterdir()}
    assert "report" in there and not there & {"stacks", "ensembles", "registration"}, "jobs read copies of the storage"
    assert "Nothing to be done" in snakemake("-n")


def test_jobs_in_a_container_run_with_its_python(usual: Path, warm: Path, tmp_path: Path) -> None:
    folder = project(tmp_path / "project")
    for name in ("small.yaml", "data"):
        (folder / name).symlink_to(usual / name)
    for name, text in (("outside/apptainer", APPTAINER.format(inside=tmp_path / "inside")), ("rasterloom.sif", "")):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
        (folder / name).chmod(0o755)
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside/python").symlink_to(warm)
    target = f"results-tiny/registration/{next((usual / 'results-tiny/registration').glob('*.json')).name}"
    path = {"PATH": f"{folder / 'outside'}:{os.environ['PATH']}"}
    run(folder, target, "--cores", "2", "--sdm", "apptainer", *CONFIGURED, python=warm, environment=path)
    assert (folder / target).read_bytes() == (usual / target).read_bytes()
    (call,) = (folder / "calls").read_text(encoding="utf-8").splitlines()
    assert call.startswith(f"exec --home {folder} ") and " -m rasterloom register " in call
