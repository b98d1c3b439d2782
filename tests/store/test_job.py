"""Jobs: where each stage writes, how artifacts of scenes are looked up, how a job ends."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rasterloom import stages
from rasterloom.errors import MissingInputError, StoreError
from rasterloom.stages import STAGES
from rasterloom.store.folders import manifests_of
from rasterloom.store.job import (
    Job,
    Wanted,
    asked_path,
    batch_manifests,
    batches_of,
    scene_manifests,
)
from rasterloom.store.manifest import Manifest
from rasterloom.store.store import Item, Store, Writing

SCALE = {"name": "s1024", "size": 1024}
Put = Callable[..., Item]
Python = Callable[..., "subprocess.Popen[str]"]


def job_of(results: Path, spec: dict[str, Any]) -> Job:
    given = {"stage": "vectorise", "version": 1, "class": "trees", "batch": "b0", **spec}
    return stages.job_of(given, {}, results, Store.of(results))


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ({"stage": "register", "scene": "6010_1_2"}, "registration/6010_1_2.json"),
        ({"stage": "stack", "scene": "a", "scale": SCALE}, "stacks/s1024/a.json"),
        ({"stage": "normalisation", "unit": "statistics", "scenes": ["a"]}, "statistics/statistics.json"),
        ({"stage": "label", "class": "trees"}, "labels/trees.json"),
        (
            {"stage": "mask", "scene": "a", "scale": SCALE, "target": "vehicles", "classes": ["x"]},
            "masks/s1024/vehicles/a.json",
        ),
        ({"stage": "split", "group": "small+large", "folds": {}}, "folds/small+large.json"),
        ({"stage": "train", "member": "t-u-i-s", "fold": "fold-0", "scale": SCALE}, "models/t-u-i-s/fold-0.json"),
        ({"stage": "predict", "member": "t-u-i-s", "batch": "bucket-07"}, "predictions/t-u-i-s/bucket-07.json"),
        ({"stage": "ensemble", "class": "trees", "batch": "a"}, "ensembles/trees/a.json"),
        ({"stage": "tune", "class": "trees", "group": "trees"}, "tuning/trees.json"),
        ({"stage": "weigh", "class": "trees", "group": "trees"}, "weights/trees.json"),
        ({"stage": "vectorise", "class": "trees", "batch": "a", "id": 5}, "polygons/trees/a.json"),
        ({"stage": "wkt", "file": "wkt/trees.csv"}, "wkt/trees.csv"),
        ({"stage": "submission"}, "submission.csv"),
        ({"stage": "score"}, "score.tsv"),
        ({"stage": "export", "batch": "a", "scenes": ["a"]}, "vectors/a.tsv"),
        ({"stage": "measure"}, "summary.tsv"),
        ({"stage": "report"}, "report/index.html"),
    ],
    ids=lambda value: value["stage"] if isinstance(value, dict) else "",
)
def test_output_of(spec: dict[str, Any], path: str, results: Path) -> None:
    assert stages.output_of(spec) == path
    assert stages.job_of(spec, {}, results, Store.of(results)).output == results / path


def test_outputs_are_those_of_every_stage_and_differ() -> None:
    assert len({stages.module_of(stage).OUTPUT for stage in STAGES}) == len(STAGES)


def test_manifest_paths() -> None:
    assert scene_manifests("stacks/s1", ["a", "b"]) == ["stacks/s1/a.json", "stacks/s1/b.json"]
    spec = {"batches": {"b0": ["a"], "b1": ["c", "d"]}}
    assert batches_of(spec) == spec["batches"]
    assert batch_manifests("ensembles/trees", spec) == ["ensembles/trees/b0.json", "ensembles/trees/b1.json"]
    assert batches_of({"batch": "b7", "scenes": ["a"]}) == {"b7": ["a"]}


def test_items_of_scenes_come_in_the_order_asked_for(results: Path, put: Put) -> None:
    found = {scene: put("stack", scene * 32) for scene in "abc"}
    for scene, item in found.items():
        Manifest("stack", {scene: item}).write(results / f"stacks/s1/{scene}.json")
    job = job_of(results, {"batch": "x", "scenes": ["a", "b", "c"]})
    assert list(job.items("stacks/s1", ["c", "a"]).items()) == [("c", found["c"]), ("a", found["a"])]
    assert job.items("stacks/s1", []) == {}


def test_items_of_batches_read_only_the_manifests_that_are_needed(results: Path, put: Put) -> None:
    found = {scene: put("ensemble", scene * 32) for scene in "abc"}
    Manifest("ensemble", {"a": found["a"], "b": found["b"]}).write(results / "ensembles/trees/b0.json")
    job = job_of(results, {"batches": {"b0": ["a", "b"], "b1": ["c"]}})
    assert job.items("ensembles/trees", ["b", "a"]) == {"a": found["a"], "b": found["b"]}
    with pytest.raises(MissingInputError, match=re.escape("ensembles/trees/b1.json is not there")):
        job.items("ensembles/trees", ["c"])
    Manifest("ensemble", {"c": found["c"]}).write(results / "ensembles/trees/b1.json")
    assert list(job.items("ensembles/trees", ["c", "b"])) == ["c", "b"]


@pytest.mark.parametrize("folder", ["polygons/trees", "stacks/s1"])
def test_items_missing_scene_is_named(results: Path, put: Put, folder: str) -> None:
    item = put("stack", "a" * 32)
    for name in ("b0", "a", "lost"):
        Manifest("stack", {"a": item}).write(results / folder / f"{name}.json")
    job = job_of(results, {"batch": "b0", "scenes": ["a", "lost"]})
    assert job.items(folder, ["a"]) == {"a": item}
    with pytest.raises(StoreError, match=r"do not hold scene lost: .* run the workflow again"):
        job.items(folder, ["a", "lost"])


def test_items_scene_of_no_batch_is_named(results: Path) -> None:
    with pytest.raises(StoreError, match="do not hold scene stranger"):
        job_of(results, {"batch": "b0", "scenes": ["a"]}).items("predictions/m", ["stranger"])


def test_table_that_is_damaged_is_named_with_its_remedy(results: Path, put: Put) -> None:
    item = put("tune", "a" * 32, content=b"x" * 40, suffix=".tuning.json")
    Manifest("tune", {"trees": item}).write(results / "tuning/trees.json")
    with pytest.raises(StoreError, match=r"tuning\.json was damaged .*run `rasterloom verify --mend`"):
        job_of(results, {}).read("tuning", "trees")


def test_manifest_missing_is_a_user_error(results: Path) -> None:
    with pytest.raises(MissingInputError, match=r"labels/trees\.json"):
        job_of(results, {}).manifest("labels/trees")


def test_key_depends_on_stage_version_recipe_and_inputs_alone(results: Path, tmp_path: Path) -> None:
    spec = {"class": "trees", "batch": "b0", "scenes": ["a"]}
    key = job_of(results, spec).key({"x": 1, "y": 2}, {"i": "d"})
    assert re.fullmatch("[0-9a-f]{32}", key)
    assert job_of(tmp_path, {**spec, "batch": "b1", "scenes": []}).key({"y": 2, "x": 1}, {"i": "d"}) == key
    others = [
        job_of(results, {**spec, "version": 2}).key({"x": 1, "y": 2}, {"i": "d"}),
        job_of(results, {**spec, "stage": "tune"}).key({"x": 1, "y": 2}, {"i": "d"}),
        job_of(results, spec).key({"x": 1, "y": 3}, {"i": "d"}),
        job_of(results, spec).key({"x": 1, "y": 2}, {"i": "e"}),
    ]
    assert len({key, *others}) == 5


def test_finish_writes_the_manifest_links_and_registers(results: Path, put: Put) -> None:
    job = job_of(results, {"class": "trees", "batch": "b0", "scenes": ["6010_1.2"]})
    item = put("vectorise", "a" * 32, b"polygons", ".tuned.parquet")
    job.finish({"6010_1.2": item})
    assert Manifest.read(results / "polygons/trees/b0.json") == Manifest("vectorise", {"6010_1.2": item})
    link = results / "polygons/trees/6010_1.2.tuned.parquet"
    assert link.is_symlink()
    assert link.read_bytes() == b"polygons"
    assert [user.results for user in job.store.users()] == [results]


def test_finish_links_of_two_classes_do_not_replace_each_other(results: Path, put: Put) -> None:
    """Labels of every class lie in one folder of manifests, each with a link a scene."""
    for name, key in {"trees": "a" * 32, "road": "b" * 32}.items():
        item = put("label", key, name.encode(), ".parquet")
        job_of(results, {"stage": "label", "class": name}).finish({"6010_1_2": item})
    found = {path.read_bytes() for path in (results / "labels").rglob("*.parquet")}
    assert found == {b"trees", b"road"}


def test_finish_links_into_a_store_elsewhere(results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RASTERLOOM_STORE", str(tmp_path / "shared"))
    job = job_of(results, {"class": "trees", "batch": "a", "scenes": ["a"]})
    with job.store.writing("vectorise", "a" * 32, ".parquet") as work:
        work.path.write_bytes(b"x")
        work.digest = "d"
    job.finish({"a": work.committed()})
    assert (results / "polygons/trees/a.parquet").resolve() == tmp_path / "shared/vectorise" / f"{'a' * 32}.parquet"
    assert not (results / "store").exists()


def test_finish_without_a_writable_link_writes_no_manifest(results: Path, put: Put) -> None:
    """The manifest is the last thing: whatever goes wrong before, the job counts as not done."""
    job = job_of(results, {"class": "trees", "batch": "b0", "scenes": ["a"]})
    (results / "polygons/trees/a.bin").mkdir(parents=True)
    with pytest.raises(OSError, match=r"a\.bin"):
        job.finish({"a": put("vectorise", "a" * 32)})
    assert not job.output.exists()


def test_each_says_after_each_name_how_far_it_is(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = job_of(results, {"stage": "score"})
    seen = []
    for name in job.each(["a", "b"]):
        assert f"2/2 {name}" not in capsys.readouterr().err
        seen.append(name)
    assert seen == ["a", "b"]
    assert "score: 2/2 b" in capsys.readouterr().err


def test_remember_writes_down_what_was_asked(results: Path) -> None:
    job = job_of(results, {"class": "trees", "batch": "b0", "scenes": []})
    record = asked_path(results, "polygons/trees/b0.json")

    def reads(spec: object) -> list[str]:
        return ["tuning/trees.json"]

    def noted() -> str:
        job.remember(reads)
        return record.read_text(encoding="utf-8")

    job.remember(reads)
    assert not record.exists(), "nothing was written"
    job.finish({})
    job.computed, job.found = 2, 3
    first = noted()
    assert first == f"{job.asked(reads({}))}\n2 3\n"
    assert list(manifests_of(results)) == [job.output], "a record is no manifest"
    seen = {first}
    Manifest("tune", {}).write(results / "tuning/trees.json")
    seen.add(noted())
    Manifest("vectorise", {"a": Item("a" * 32, "b" * 64, "vectorise/a.parquet")}).write(job.output)
    seen.add(noted())
    job.sources = {"a": 1}
    seen.add(noted())
    job.spec = {**job.spec, "version": 2}
    seen.add(noted())
    assert len(seen) == 5, "another input, output, source and slice of the recipe"


def test_progress_says_the_first_and_the_last(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = job_of(results, {})
    job.progress(1, 1, "a")
    job.progress(2, 2)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(" [")[0] for line in lines] == ["vectorise: 1/1 a", "vectorise: 2/2"]


# Logs of artifacts -----------------------------------------------------------------------------------------


def obtained(job: Job, *says: str, stops: str = "") -> dict[str, Item]:
    """Obtain an artifact for each letter: that says as much; the one of `stops` fails."""

    def make(want: Wanted, work: Writing) -> None:
        if want.name != "silent":
            job.log(f"making {want.name}")
        if want.name == stops:
            raise StoreError(f"{want.name} cannot be made")
        work.json(want.name)

    return job.obtain([Wanted(name, name[0] * 32, {}, {}) for name in says], ".x.json", make, total=len(says))


def log_of(store: Store, name: str) -> list[str]:
    """Lines of an artifact's log; who wrote them, an attempt, as a dash."""
    text = store.log_path("vectorise", name[0] * 32).read_text(encoding="utf-8")
    whose = rf"--- attempt of \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d UTC, [\w.-]+, process {os.getpid()}"
    return ["-" if re.fullmatch(whose, line) else line for line in text.splitlines()]


def test_each_artifact_of_a_job_has_its_own_log(results: Path, store: Store) -> None:
    obtained(job_of(results, {}), "a", "silent", "b")
    assert log_of(store, "a") == ["-", "making a"]
    assert log_of(store, "b") == ["-", "making b"]
    assert not store.log_path("vectorise", "s" * 32).exists(), "nothing was said"


def test_who_finds_an_artifact_leaves_its_log_as_it_is(
    results: Path, tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = obtained(job_of(results, {}), "a")
    monkeypatch.setenv("RASTERLOOM_STORE", str(store.root))
    for folder in (results, tmp_path / "other"):
        job = job_of(folder, {})
        job.finish(obtained(job, "a"))
        job.log("nothing of this is about an artifact")
        assert Manifest.read(job.output).items == made
        beside = (folder / "polygons/trees/a.x.json").resolve().with_name(f"{'a' * 32}.log")
        assert beside == store.log_path("vectorise", "a" * 32)
    assert log_of(store, "a") == ["-", "making a"]


def test_an_attempt_adds_to_the_log_of_those_before_that_failed(results: Path, store: Store) -> None:
    job = job_of(results, {})
    with pytest.raises(StoreError):
        obtained(job, "a", "b", stops="b")
    assert log_of(store, "b") == ["-", "making b", "b cannot be made"]
    assert store.lookup("vectorise", "b" * 32) is None
    job.log("between two attempts")
    obtained(job, "a", "b")
    assert log_of(store, "a") == ["-", "making a"]
    assert log_of(store, "b") == ["-", "making b", "b cannot be made", "", "-", "making b"]


def test_an_error_that_nobody_foresaw_is_in_the_log_with_its_traceback(results: Path, store: Store) -> None:
    job = job_of(results, {})
    with pytest.raises(ZeroDivisionError):
        job.made(Wanted("a", "a" * 32, {}, {}), ".x.json", lambda want, work: work.json(1 / 0))
    head, *lines = log_of(store, "a")
    assert (head, lines[0], lines[-1]) == (
        "-",
        "Traceback (most recent call last):",
        "ZeroDivisionError: division by zero",
    )


KILLED = """
import os, signal, sys
from pathlib import Path
from rasterloom.stages import job_of
from rasterloom.store.job import Wanted
from rasterloom.store.store import Store

def make(want, work):
    job.log("a step")
    os.kill(os.getpid(), signal.SIGKILL)

results = Path(sys.argv[1])
spec = {"stage": "vectorise", "version": 1, "class": "trees", "batch": "b0"}
job = job_of(spec, {}, results, Store.of(results))
job.made(Wanted("a", "a" * 32, {}, {}), ".x.json", make)
"""


def test_what_a_killed_attempt_has_said_stays(results: Path, store: Store, python: Python) -> None:
    for _ in range(2):
        process = python(KILLED, results)
        assert process.wait() == -signal.SIGKILL
    obtained(job_of(results, {}), "a")
    head, step, blank, *rest = log_of(store, "a")
    assert head.startswith("--- attempt of ")
    assert (step, blank) == ("a step", "")
    assert rest[1:] == ["a step", "", "-", "making a"]


def test_an_artifact_made_again_with_another_content_says_so_in_its_log(
    results: Path, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    for content in ("one", "two"):
        job_of(results, {}).made(
            Wanted("a", "a" * 32, {}, {}), ".x.json", lambda want, work, content=content: work.json(content)
        )
    (line,) = log_of(store, "a")[1:]
    assert line.startswith(f"WARNING: {store.root / 'vectorise'}")
    assert capsys.readouterr().err == f"{line}\n"


def test_an_artifact_whose_log_cannot_be_written_is_made_all_the_same(
    results: Path, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    path = store.log_path("vectorise", "a" * 32)
    path.mkdir(parents=True)
    job = job_of(results, {})

    def make(want: Wanted, work: Writing) -> None:
        job.log("one")
        job.log("two")
        work.json(want.name)

    item = job.made(Wanted("a", "a" * 32, {}, {}), ".x.json", make)
    assert store.lookup("vectorise", "a" * 32) == item
    note = f"note: {path} cannot be written (Is a directory): these lines are in the job's log alone"
    assert capsys.readouterr().err.splitlines() == ["one", note, "two"]


def test_an_artifact_has_not_the_name_of_its_log(store: Store) -> None:
    with pytest.raises(StoreError, match=r"cannot end in \.log"), store.writing("vectorise", "a" * 32, ".log"):
        pass
