"""The whole workflow on tiny generated scenes, run by Snakemake as a user would, and what a change costs.

What a run *computed* is counted in the store: an artifact that was there before was not computed.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import geopandas
import pytest
import shapely
import yaml

from rasterloom.store.manifest import Manifest
from rasterloom.tools.scenes.writing import write_scenes
from warm_python import WarmPython

ROOT = Path(__file__).resolve().parents[2]
SCENES = 6
pytestmark = pytest.mark.workflow


class Project:
    """A user's folder: the repository's files, its own data and results; `python` runs Snakemake and its jobs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.python = Path(sys.executable)
        for name in ("Snakefile", "config.yaml", "workflow", "presets", "envs", "profiles"):
            (folder / name).symlink_to(ROOT / name)
        self.overlay: dict[str, object] = {}
        self.before: set[str] = set()

    @property
    def results(self) -> Path:
        return self.folder / "results-tiny"

    def command(self, *arguments: str) -> list[str]:
        (self.folder / "mine.yaml").write_text(yaml.safe_dump(self.overlay), encoding="utf-8")
        configs = ["presets/tiny.yaml", "mine.yaml"]
        return [str(self.python), "-m", "snakemake", "--cores", "2", *arguments, "--configfile", *configs]

    def snakemake(self, *arguments: str, code: int = 0) -> str:
        done = subprocess.run(self.command(*arguments), cwd=self.folder, capture_output=True, text=True, check=False)
        output = done.stdout + done.stderr
        assert done.returncode == code, output[-6000:]
        return output

    def rasterloom(self, *arguments: str, code: int = 0) -> str:
        command = [self.python, "-m", "rasterloom", *arguments]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def artifacts(self) -> set[str]:
        """Records of artifacts: `<stage>/<key>.json`."""
        store = self.results / "store"
        found = [p for p in store.glob("*/*.json") if p.parent.name not in {"sources", "results"}]
        return {str(p.relative_to(store)) for p in found if "." not in p.stem}

    def run(self, *arguments: str) -> Counter[str]:
        """Run everything; the number of artifacts that were computed, by stage."""
        before = self.artifacts()
        self.snakemake(*arguments)
        return Counter(name.split("/")[0] for name in self.artifacts() - before)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    found = Project(tmp_path_factory.mktemp("project"))
    write_scenes(found.folder / "data/tiny", train=4, test=2, size=(256, 256), seed=3)
    return found


@pytest.fixture(scope="module")
def finished(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """The project after one full run; whatever runs in it later starts faster."""
    computed = project.run()
    assert computed["stack"] == 2 * SCENES
    with WarmPython(tmp_path_factory.mktemp("warm") / "bin") as warm:
        project.python = warm.executable
        yield project


def test_full_run_writes_every_output(finished: Project) -> None:
    results = finished.results
    for path in (
        "wkt.csv",
        "wkt/buildings.csv",
        "submission.csv",
        "score.tsv",
        "summary.tsv",
        "quality/inputs.tsv",
        "quality/registration.tsv",
        "report/index.html",
    ):
        assert (results / path).stat().st_size > 0, path
    assert len(list((results / "vectors").glob("*.gpkg"))) == SCENES
    assert len(list((results / "runs").glob("*.json"))) == 1
    parts = {line.split("\t")[0] for line in (results / "score.tsv").read_text().splitlines()[1:]}
    assert parts == {"held-out", "out-of-fold"}
    sample = (finished.folder / "data/tiny/sample_submission.csv").read_bytes().splitlines()
    submission = (results / "submission.csv").read_bytes().splitlines()
    assert [line.rsplit(b",", 0)[0].split(b",")[:2] for line in submission] == [line.split(b",")[:2] for line in sample]


def test_full_run_leaves_no_temporary_file(finished: Project) -> None:
    assert not [p for p in finished.results.rglob("*") if p.name.startswith(".tmp-")]


def test_full_run_links_lead_to_artifacts(finished: Project) -> None:
    links = [p for p in finished.results.rglob("*") if p.is_symlink()]
    assert len(links) > 50
    assert all(p.exists() for p in links)


def test_second_run_has_nothing_to_do(finished: Project) -> None:
    assert "Nothing to be done" in finished.snakemake()


def test_submission_is_compressed_on_request(finished: Project) -> None:
    finished.snakemake("results-tiny/submission.csv.gz")
    packed = (finished.results / "submission.csv.gz").read_bytes()
    assert gzip.decompress(packed) == (finished.results / "submission.csv").read_bytes()
    finished.rasterloom(
        "check-submission", "results-tiny/submission.csv.gz", "--sample", "data/tiny/sample_submission.csv"
    )
    finished.rasterloom("gc", "--results", "results-tiny")
    assert (finished.results / "submission.csv.gz").exists()


def test_bundle_finds_what_the_workflow_finds(finished: Project, tmp_path: Path) -> None:
    data, scene = finished.folder / "data/tiny", "6080_4_1"
    bundle, again, found = (str(tmp_path / name) for name in ("mine.bundle", "again.bundle", "found.gpkg"))
    for path in (bundle, again):
        finished.rasterloom(
            "pack", "--class", "buildings", "waterway", "-o", path, "--configfile", "presets/tiny.yaml", "mine.yaml"
        )
    assert Path(bundle).read_bytes() == Path(again).read_bytes()
    sensors = [f"--sensor={name.lower()}={data}/sixteen_band/{scene}_{name}.tif" for name in "PMA"]
    arguments = ["apply", bundle, f"{data}/three_band/{scene}.tif", *sensors, "-o", found]
    said = finished.rasterloom(*arguments)
    assert "objects of class waterway" in said and not list(tmp_path.glob(".rasterloom-*"))
    for name in ("buildings", "waterway"):
        item = Manifest.read(finished.results / f"polygons/{name}/{scene}.json").items[scene]
        theirs = geopandas.read_parquet(finished.results / "store" / item.path)["pixel"]
        ours = geopandas.read_file(found, layer=name).geometry
        assert shapely.equals_exact(
            shapely.normalize(ours.to_numpy()), shapely.normalize(theirs.to_numpy()), 1e-9
        ).all()
        assert len(ours) == len(theirs)
    sensors[1] = f"--sensor=m={data}/sixteen_band/{scene}_A.tif"
    assert "_A.tif: digital numbers of sensor m go up to" in finished.rasterloom(
        *arguments[:3], *sensors, "-o", found, code=1
    )


def test_threshold_of_one_class_recomputes_its_polygons_alone(finished: Project) -> None:
    finished.overlay = {"classes": {"buildings": {"polygons": {"threshold": 0.9}}}}
    assert finished.run() == {"tune": 1, "vectorise": SCENES}
    finished.overlay = {}
    files = sorted(finished.results.rglob("*"))
    found = f"rasterloom: {1 + SCENES} items found: the manifests of {1 + SCENES} jobs"
    assert f"{found} would be written" in finished.snakemake("-n")
    assert sorted(finished.results.rglob("*")) == files, "a dry run writes nothing"
    said = finished.snakemake()
    assert f"{found} are written before any runs" in said
    assert f"\nrasterloom: 0 items computed, {1 + SCENES} found in the store\n" in said
    assert not re.search(r"\bvectorise\b", said), "an earlier recipe costs no job but for tables"
    said = finished.rasterloom("runs", "--results", finished.results.name)
    runs = re.findall(r"^  [0-9a-f]{8}  .*", said, re.MULTILINE)
    assert len(runs) == 2, "and is the run that it was"
    assert "classes.buildings.polygons.threshold: – -> 0.9" in runs[1]


def test_training_steps_of_one_class_recompute_that_class_alone(finished: Project) -> None:
    finished.overlay = {"classes": {"buildings": {"training": {"steps": 21}}}}
    computed = finished.run()
    assert computed["train"] == 2
    assert computed["predict"] == 2 * SCENES
    assert set(computed) <= {"train", "predict", "weigh", "ensemble", "tune", "vectorise"}
    finished.overlay = {}
    assert finished.run() == {}


def test_members_that_see_and_teach_others_are_trained_in_one_run(finished: Project) -> None:
    buildings = {
        "ensemble": "best",
        "members": [
            {"model": "unet8", "channels": "all20", "scale": "s128", "training": {"rounds": 2}},
            {"model": "linear", "channels": "stacked", "scale": "s128"},
        ],
    }
    finished.overlay = {
        "dataset": {"truth": None},  # else no scene to predict teaches the second round
        "channels": {"stacked": ["rgb", "buildings-unet8.round2-all20-s128"]},
        "classes": {"buildings": buildings, "waterway": None},
        "validation": {"split": None, "folds": 2},
    }
    computed = finished.run()
    assert (computed["train"], computed["predict"]) == (3 * 2, 3 * SCENES)
    assert "Nothing to be done" in finished.snakemake()
    assert "Nothing is stale" in finished.rasterloom(
        "plan", "--stale", "--configfile", "presets/tiny.yaml", "mine.yaml"
    )
    finished.overlay = {}
    assert finished.run() == {}


def test_batches_and_order_of_keys_change_no_item(finished: Project) -> None:
    finished.overlay = {"execution": {"scenes_per_job": 1}}
    assert finished.run() == {}
    finished.overlay = {}


def test_deleted_manifest_is_rebuilt_from_the_store(finished: Project) -> None:
    manifest = next((finished.results / "stacks/s128").glob("*.json"))
    text = manifest.read_bytes()
    manifest.unlink()
    model = next((finished.results / "models").glob("*/*.safetensors"))
    model.with_suffix(".json").unlink()
    log = model.resolve().with_suffix(".log")
    said = log.read_text(encoding="utf-8")
    assert "\ntrain: " in said
    assert finished.run() == {}
    assert manifest.read_bytes() == text
    assert model.with_suffix(".json").exists()
    assert log.read_text(encoding="utf-8") == said, "what was found adds nothing to the log of what was made"


def test_damaged_artifact_is_named_mended_and_made_again(finished: Project) -> None:
    link = next((finished.results / "ensembles/buildings").glob("*.zarr.zip"))
    artifact = link.resolve()
    data = bytearray(artifact.read_bytes())
    data[len(data) // 2] ^= 0xFF
    artifact.write_bytes(data)
    assert artifact.name in finished.rasterloom("verify", "--results", "results-tiny", code=1)
    finished.rasterloom("verify", "--mend", "--results", "results-tiny")
    assert not artifact.exists()
    assert finished.run() == {"ensemble": 1}
    finished.rasterloom("verify", "--results", "results-tiny")


def test_recompute_makes_artifacts_again_and_they_are_the_same(
    finished: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = finished.artifacts()
    records = list((finished.results / "store/mask").glob("*.json"))
    for record in records:
        os.utime(record, (1, 1))
    monkeypatch.setenv("RASTERLOOM_RECOMPUTE", "mask")
    output = finished.snakemake("--forcerun", "mask", "--until", "mask")
    assert finished.artifacts() == before
    assert all(record.stat().st_mtime > 1 for record in records)
    logs = [log.read_text() for log in (finished.results / "logs/mask").rglob("*.log")]
    assert len(logs) == len(records)
    assert not any("WARNING" in text for text in [output, *logs])
    monkeypatch.delenv("RASTERLOOM_RECOMPUTE")
    finished.rasterloom("verify", "--results", "results-tiny")


def test_stage_by_hand_reuses_the_artifact(finished: Project) -> None:
    before = finished.artifacts()
    scene = next((finished.results / "stacks/s128").glob("*.json")).stem
    names = ["--scale", "s128", "--scene", scene]
    finished.rasterloom("stack", "--configfile", "presets/tiny.yaml", *names)
    assert finished.artifacts() == before
    message = finished.rasterloom(
        "stack", "--configfile", "presets/tiny.yaml", "--scale", "s99", "--scene", "x", code=1
    )
    assert "has no stacks/s99/x.json" in message
    assert "Traceback" not in message


def test_gc_spares_everything_that_is_named(finished: Project) -> None:
    finished.rasterloom("gc", "--results", "results-tiny")
    assert finished.run() == {}


@pytest.mark.parametrize(
    ("overlay", "words"),
    [
        ({"defaults": {"training": {"stepz": 3}}}, ["stepz", "steps"]),
        ({"classes": {"buildings": {"id": "one"}}}, ["classes.buildings.id"]),
        ({"dataset": {"root": "data/nowhere"}}, ["data/nowhere", "make demo"]),
        ({"dataset": {"predict": ["6010_9_9"]}}, ["6010_9_9"]),
    ],
)
def test_mistakes_stop_the_run_at_once(finished: Project, overlay: dict[str, object], words: list[str]) -> None:
    finished.overlay = overlay
    output = finished.snakemake("-n", code=1)
    finished.overlay = {}
    assert all(word in output for word in words), output
    assert "Traceback" not in output


def test_snakemake_finds_nothing_to_criticise(finished: Project) -> None:
    assert "Congratulations, your workflow is in a good condition!" in finished.snakemake("--lint")


def test_reason_of_a_failed_job_is_among_the_last_lines(tmp_path: Path, project: Project) -> None:
    failing = Project(tmp_path)
    shutil.copytree(project.folder / "data", tmp_path / "data")
    image = next((tmp_path / "data/tiny/sixteen_band").glob("*_M.tif"))
    image.write_bytes(image.read_bytes()[:5000])
    lines = failing.snakemake(f"results-tiny/registration/{image.stem.removesuffix('_M')}.json", code=1).splitlines()
    place = lines.index("What stopped the run:") + 1
    assert f"sensor m: data/tiny/sixteen_band/{image.name} cannot be read" in lines[place]
    assert lines[place].startswith("rasterloom: scene ")
    assert len(lines) - place < 8


def test_second_run_at_the_same_time_is_refused(finished: Project) -> None:
    from rasterloom.store.lock import hold

    lock = hold(finished.results)
    refused = [finished.snakemake(*forced, code=1) for forced in ([], ["--forcerun", "score"])]
    dry = finished.snakemake("-n")
    lock.close()
    assert all(f"process {os.getpid()}" in output for output in refused)
    assert "Nothing to be done" in dry, "it takes no lock"


OPTIONS: dict[str, tuple[str, str]] = {
    "`-n`": ("-n", "Nothing to be done"),
    "`-n -F`, `-n -R train`": ("-n --forcerun train", "forced:\n        train"),
    "`--until stack`": ("-n -F --until stack", "place, register, stack\n"),
    "`--omit-from train`": ("-n -F --omit-from train", "label, mask, place, quality, register, split, stack\n"),
    "`results/stacks/native/{scene}.json`": ("-n -F results-tiny/labels/buildings.json", "forced:\n        label\n"),
    "`--touch`": ("--touch", ""),  # touches what a run before has made anew, or nothing
    "`--rerun-triggers mtime`": ("-n --rerun-triggers mtime", "Nothing to be done"),
    "`--summary`, `-D`": ("--summary", "results-tiny/score.tsv"),
    "`--list-changes params`": ("--list-changes params", "results-tiny/score.tsv"),
    "`--list-untracked`": ("--list-untracked", "results-tiny/store/train/"),
    "`--list-rules`, `--list-target-rules`": ("--list-target-rules", "submission_gz"),
    "`--dag`, `--rulegraph`, `--filegraph`": ("--rulegraph", "digraph snakemake_dag"),
    "`--report report.html`": ("--report report.html", "Adding score.tsv"),
    "`--config results=other`": ("-n --config results=other", "output files have to be generated"),
    "`--set-threads train=4`": ("-n -F --set-threads train=4", "This was a dry-run"),
    "`--directory FOLDER`, `-s FILE`": ("-n -s {folder}/Snakefile --directory {folder}", "Nothing to be done"),
    "`--batch all=1/2`": ("-n --batch all=1/2", "Nothing to be done"),
    "`--unlock`": ("--unlock", "Unlocked working directory"),
    "`--cleanup-metadata FILE`": ("--cleanup-metadata results-tiny/score.tsv", ""),
}
"""Lines of docs/snakemake.md: what a test types for them, and what a finished run answers."""


@pytest.mark.parametrize("line", OPTIONS)
def test_options_of_snakemake_do_what_the_table_says(finished: Project, line: str) -> None:
    typed, answer = OPTIONS[line]
    before = finished.artifacts()
    assert answer in finished.snakemake(*typed.format(folder=finished.folder).split())
    assert finished.artifacts() == before
    assert "Nothing to be done" in finished.snakemake("-n"), "no option leaves anything to do"


def test_every_option_in_the_table_is_tried() -> None:
    lines = (ROOT / "docs/snakemake.md").read_text(encoding="utf-8").splitlines()
    listed = {line.split(" | ")[0].removeprefix("| ") for line in lines if line.startswith("| `")}
    elsewhere = {"`--delete-all-output`", "`--containerize`, `--archive FILE`"}  # tested below; need conda
    assert listed == OPTIONS.keys() | elsewhere


def test_delete_all_output_leaves_what_was_computed(finished: Project) -> None:
    finished.snakemake("--delete-all-output")
    assert not (finished.results / "score.tsv").exists()
    assert sum(finished.run().values()) == 0
    assert (finished.results / "score.tsv").stat().st_size > 0


def test_without_config_yaml_its_folder_is_named(finished: Project, tmp_path: Path) -> None:
    command = [
        *finished.command("-n", "-s", str(finished.folder / "Snakefile"))[:-2],
        str(finished.folder / "presets/tiny.yaml"),
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"no config.yaml lies in {tmp_path}" in done.stderr
    assert "Traceback" not in done.stderr


def test_new_unlabelled_scene_trains_nothing(finished: Project) -> None:
    finished.overlay = {"statistics": "train"}
    finished.run()
    write_scenes(finished.folder / "data/tiny", train=4, test=3, size=(256, 256), seed=3)
    computed = finished.run()
    members, classes, scales = 4, 2, 2
    expected = {"register": 1, "stack": scales, "label": classes, "predict": members}
    computed.pop("place", None)  # of 11 pixels of SWIR a shift may be found or not
    assert computed == {**expected, "ensemble": classes, "vectorise": classes}


def test_killed_run_goes_on_with_the_same_command(tmp_path: Path, project: Project) -> None:
    killed = Project(tmp_path)
    shutil.copytree(project.folder / "data", tmp_path / "data")
    process = subprocess.Popen(killed.command(), cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while len(killed.artifacts()) < 5 and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(killed.artifacts()) >= 5
    killed.snakemake("--until", "stack")
    assert len(list((killed.results / "store/stack").glob("*.json"))) >= 2 * SCENES
    assert json.loads((killed.results / "config.json").read_text())["results"] == "results-tiny"
