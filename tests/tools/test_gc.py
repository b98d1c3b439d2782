"""Garbage: what nothing names and is old goes; nothing else does."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from common import says
from garbage import age, ask, collect, name_it, there
from rasterloom.errors import RasterloomError, StoreError
from rasterloom.store.files import TEMPORARY, link, write_json
from rasterloom.store.folders import manifests_of
from rasterloom.store.lock import hold
from rasterloom.store.store import Item, Store
from rasterloom.tools import gc

Put = Callable[..., Item]
Python = Callable[..., "subprocess.Popen[str]"]

FINDER = """
import sys
from pathlib import Path
from rasterloom.store.store import Store
print("looking", flush=True)
item = Store(Path(sys.argv[1])).find("stack", sys.argv[2])
print(item and item.key)
"""


def test_gc_removes_old_unnamed_with_its_record(results: Path, store: Store, put: Put) -> None:
    named, unnamed = put("stack", "a" * 32), put("stack", "b" * 32, suffix=".zarr.zip")
    name_it(results, named)
    age(store.root)
    collect(results)
    assert there(store) == ["a" * 32]
    assert store.find("stack", named.key) == named
    assert store.find("stack", unnamed.key) is None
    assert not store.record_path("stack", unnamed.key).exists()


def test_gc_spares_the_young(results: Path, store: Store, put: Put) -> None:
    young, old = put("stack", "a" * 32), put("stack", "b" * 32)
    age(store.root)
    for path in (store.root / young.path, store.record_path("stack", young.key)):
        os.utime(path)
    collect(results)
    assert there(store) == ["a" * 32]
    assert store.find("stack", old.key) is None


def test_gc_leaves_files_that_are_not_ours(results: Path, store: Store, put: Put) -> None:
    """RASTERLOOM_STORE may name a folder that holds other things, and a user may keep files among the results."""
    ask(results)
    put("stack", "a" * 32)
    own = [store.root / "train/s0.tif", store.root / "train/deep/x.json", results / "bundles/houses.json"]
    for path in own:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('{"type": "Feature"}')
    age(store.root)
    collect(results)
    assert not (store.root / "stack").exists() or not list((store.root / "stack").iterdir())
    assert all(path.exists() for path in own)


def test_gc_dry_run_removes_nothing(results: Path, store: Store, put: Put, capsys: pytest.CaptureFixture[str]) -> None:
    stale = name_it(results, put("stack", "a" * 32))
    ask(results)
    age(store.root)
    collect(results, dry_run=True)
    assert there(store) == ["a" * 32]
    assert stale.exists()
    assert says(capsys.readouterr().out, "would remove 1 ... 2 files")


def test_gc_removes_stale_manifests_and_what_they_named(results: Path, store: Store, put: Put) -> None:
    kept, dropped = put("stack", "a" * 32), put("stack", "b" * 32)
    for name, item in (("a", kept), ("b", dropped)):
        name_it(results, item, f"stacks/s1/{name}")
        link(store.root / item.path, results / f"stacks/s1/{name}.bin")
    ask(results, "stacks/s1/a.json")
    age(store.root)
    collect(results)
    assert [path.name for path in manifests_of(results)] == ["a.json"]
    assert there(store) == ["a" * 32]
    assert sorted(path.name for path in (results / "stacks/s1").iterdir()) == ["a.bin", "a.json"]


def test_gc_stale_manifest_does_not_doom_what_another_names(results: Path, store: Store, put: Put) -> None:
    item = put("stack", "a" * 32)
    name_it(results, item, "stacks/old/a")
    name_it(results, item, "stacks/new/a")
    ask(results, "stacks/new/a.json")
    age(store.root)
    collect(results)
    assert store.find("stack", item.key) == item
    assert not (results / "stacks/old/a.json").exists()


def test_gc_without_a_record_of_a_run_keeps_every_manifest(results: Path, store: Store, put: Put) -> None:
    manifest = name_it(results, put("stack", "a" * 32))
    age(store.root)
    collect(results)
    assert manifest.exists()
    assert there(store) == ["a" * 32]


def test_gc_spares_what_begins_to_be_used_while_it_works(
    results: Path, store: Store, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process finds an artifact after `gc` has listed it, and before `gc` removes it."""
    item = put("stack", "a" * 32)
    put("stack", "b" * 32)
    age(store.root)
    listed = gc.removable

    def late(*arguments: Any) -> Any:
        found = list(listed(*arguments))
        assert len(found) == 2
        assert store.find("stack", item.key) == item
        return found

    monkeypatch.setattr(gc, "removable", late)
    collect(results)
    assert there(store) == ["a" * 32]
    assert store.open_path(item).is_file()


def test_find_waits_while_something_is_removed(results: Path, store: Store, put: Put, python: Python) -> None:
    """Nothing can be found and then be gone: a finder waits for who removes, and then finds nothing."""
    item = put("stack", "a" * 32)
    with store.committing():
        finder = python(FINDER, store.root, item.key)
        assert finder.stdout is not None
        assert finder.stdout.readline() == "looking\n"
        gc._remove(store.record_path("stack", item.key))
        gc._remove(store.root / item.path)
    assert finder.communicate(timeout=60)[0] == "None\n"


def test_finders_do_not_wait_for_each_other(store: Store, put: Put, python: Python) -> None:
    item = put("stack", "a" * 32)
    with store._looking():
        finder = python(FINDER, store.root, item.key)
        assert finder.communicate(timeout=60)[0] == f"looking\n{item.key}\n"


def test_gc_forgets_scans_that_nobody_has_asked_for_in_a_month(results: Path, store: Store) -> None:
    (store.root / "sources").mkdir(parents=True)
    for name, days in (("a" * 32, 31), ("b" * 32, 29), ("mine", 31)):
        path = store.root / f"sources/{name}.json"
        path.write_text("{}")
        then = time.time() - days * gc.DAY
        os.utime(path, (then, then))
    collect(results)
    assert sorted(path.stem for path in (store.root / "sources").iterdir()) == ["b" * 32, "mine"]


def test_gc_removes_arguments_of_earlier_runs(results: Path, store: Store) -> None:
    (results / ".arguments").mkdir()
    for name in ("old", "new"):
        (results / f".arguments/{name}.json").write_text("{}")
        if name == "old":
            age(results)
    collect(results)
    assert [path.name for path in (results / ".arguments").iterdir()] == ["new.json"]


def test_gc_leaves_measured_rates(results: Path, store: Store) -> None:
    write_json(store.root / "rates/x.json", {})
    age(store.root)
    collect(results)
    assert (store.root / "rates/x.json").exists()


def test_gc_state_that_a_training_takes_over_meanwhile(results: Path, store: Store) -> None:
    state = store.root / "train" / ("a" * 32)
    state.mkdir(parents=True)
    (state / "lock").write_bytes(b"")
    age(store.root)
    os.utime(state)
    collect(results)
    assert state.exists()


def test_gc_of_an_own_store_spares_its_own_results_named_by_a_link(
    results: Path, tmp_path: Path, store: Store, put: Put
) -> None:
    item = put("stack", "a" * 32)
    name_it(results, item)
    store.register(results)
    age(store.root)
    (tmp_path / "link").symlink_to(results)
    collect(tmp_path / "link")
    assert store.find("stack", item.key) == item


@pytest.mark.parametrize("young", [True, False])
def test_gc_training_state_goes_only_when_nothing_in_it_is_young(results: Path, store: Store, young: bool) -> None:
    state = store.root / "train" / ("a" * 32) / "state"
    state.mkdir(parents=True)
    for name in ("one", "two"):
        (state / name).write_bytes(b"x")
    age(store.root)
    if young:
        os.utime(state / "two")
    collect(results)
    assert state.exists() == young


@pytest.mark.parametrize("case", ["named", "made", "state", "log", "young log"])
def test_gc_log_goes_with_its_artifact_or_state(results: Path, store: Store, put: Put, case: str) -> None:
    key = "a" * 32
    log = store.log_path("train", key)
    if case in ("named", "made"):
        item = put("train", key)
        if case == "named":
            name_it(results, item, "models/m/fold-0")
    state = store.root / "train" / key / "state"
    state.mkdir(parents=True)
    log.write_text("--- attempt\n", encoding="utf-8")
    if case not in ("state", "young log"):
        state.rmdir()
        state.parent.rmdir()
    age(store.root)
    if case == "young log":
        os.utime(log)
    collect(results)
    assert log.exists() == (case in ("named", "young log"))
    assert state.exists() == (case == "young log"), "it is in use"


def test_gc_spares_a_log_of_a_stage_that_the_latest_run_has_not_finished(results: Path, store: Store) -> None:
    log = store.log_path("train", "a" * 32)
    log.parent.mkdir(parents=True)
    log.write_text("--- attempt\n", encoding="utf-8")
    age(store.root)
    ask(results, train="models/m/fold-0.json")
    collect(results)
    assert log.exists()


@pytest.mark.parametrize("made", [True, False])
def test_gc_state_of_a_named_model_goes_if_the_model_is_there(
    results: Path, store: Store, put: Put, made: bool
) -> None:
    """As after a kill between the two."""
    item = put("train", "a" * 32)
    (store.root / "train" / item.key).mkdir()
    name_it(results, item, "models/m/fold-0")
    if not made:  # it was damaged, and is trained again
        store.record_path("train", item.key).unlink()
        (store.root / item.path).unlink()
    age(store.root)
    collect(results)
    assert (store.root / "train" / item.key).is_dir() != made
    assert (store.lookup("train", item.key) == item) == made


def test_gc_removes_old_temporary_files_and_spares_notes(results: Path, store: Store, put: Put) -> None:
    put("stack", "a" * 32)
    store.register(results)
    (store.root / "sources").mkdir()
    for name in (f"stack/{TEMPORARY}1-x.bin", "sources/scan.json"):
        (store.root / name).write_text("x")
    age(store.root)
    collect(results)
    left = sorted(str(path.relative_to(store.root)) for path in store.root.rglob("*") if path.is_file())
    assert [name.split("/")[0] for name in left] == [".commit", "results", "sources"]


def test_gc_removes_links_that_lead_nowhere_and_no_others(results: Path, store: Store, put: Put) -> None:
    item = put("stack", "a" * 32)
    name_it(results, item)
    link(store.root / item.path, results / "stacks/s1/a.bin")
    link(store.root / "stack/gone.bin", results / "stacks/s1/b.bin")
    collect(results)
    assert (results / "stacks/s1/a.bin").exists()
    assert not (results / "stacks/s1/b.bin").is_symlink()


def test_gc_keeps_out_of_a_folder_that_is_in_use(results: Path, store: Store, put: Put) -> None:
    put("stack", "a" * 32)
    age(store.root)
    lock = hold(results)
    with pytest.raises(RasterloomError, match="another run"):
        collect(results)
    lock.close()
    assert there(store) == ["a" * 32]


def test_kept_lines_are_one_a_reason() -> None:
    one, two = gc.kept_lines({"train": "x", "stack": "x", "mask": "y"})
    assert says(one, "kept ... stack, train: x") and says(two, "kept ... mask: y")


def test_gc_of_no_folder(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is not a folder"):
        collect(tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_gc_spares_a_stage_that_the_latest_run_has_not_finished(
    results: Path, store: Store, put: Put, capsys: pytest.CaptureFixture[str]
) -> None:
    """Snakemake deleted the manifest of a model before it was killed: nothing names the model, yet it is wanted."""
    put("train", "a" * 32)
    put("stack", "b" * 32)
    ask(results, train="models/m/fold-0.json")
    age(store.root)
    collect(results)
    assert there(store) == ["a" * 32]
    assert "kept everything of stage train" in capsys.readouterr().out


def test_gc_spares_a_record_whose_artifact_is_in_use(results: Path, store: Store, put: Put) -> None:
    item = put("stack", "a" * 32)
    age(store.root)
    os.utime(store.root / item.path)
    collect(results)
    assert store.find("stack", item.key) == item


def test_find_marks_artifact_and_record_as_used(store: Store, put: Put) -> None:
    item = put("stack", "a" * 32)
    age(store.root)
    store.find("stack", item.key)
    times = [path.stat().st_mtime for path in (store.root / item.path, store.record_path("stack", item.key))]
    assert min(times) > time.time() - gc.DAY


def test_gc_dry_run_lists_what_would_go(
    results: Path, store: Store, put: Put, capsys: pytest.CaptureFixture[str]
) -> None:
    item = put("stack", "a" * 32)
    age(store.root)
    collect(results, dry_run=True)
    assert str(store.root / item.path) in capsys.readouterr().out.splitlines()


def test_gc_removes_old_temporary_files_of_the_results_tree(results: Path, store: Store) -> None:
    (results / "vectors").mkdir()
    (results / "vectors" / f"{TEMPORARY}1-x.gpkg").write_text("x")
    (results / "vectors" / "x.gpkg").write_text("x")
    age(results)
    collect(results)
    assert [path.name for path in (results / "vectors").iterdir()] == ["x.gpkg"]
