"""Garbage: what nothing names and is old goes; nothing else does."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rasterloom import gc
from rasterloom.errors import RasterloomError, StoreError
from rasterloom.files import TEMPORARY, link, write_json
from rasterloom.lock import hold
from rasterloom.manifest import Manifest
from rasterloom.registry import OUTPUTS_NOTE, manifests_of
from rasterloom.store import Item, Store
from rasterloom.verify import main as verify

Put = Callable[..., Item]
Python = Callable[..., "subprocess.Popen[str]"]

HOLDER = """
import sys
from pathlib import Path
from rasterloom.lock import hold
lock = hold(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""

FINDER = """
import sys
from pathlib import Path
from rasterloom.store import Store
print("looking", flush=True)
item = Store(Path(sys.argv[1])).find("stack", sys.argv[2])
print(item and item.key)
"""


def collect(results: Path, dry_run: bool = False) -> None:
    gc.main(argparse.Namespace(results=results, dry_run=dry_run))


@dataclass(frozen=True)
class Shared:
    """A store that two results folders share."""

    store: Store
    other: Path

    def put(self, key: str, stage: str = "train") -> Item:
        with self.store.writing(stage, key * 32, ".bin") as work:
            work.path.write_bytes(b"x")
            work.digest = "d"
        return work.committed()


Ask = Callable[..., None]


def verify_all(results: Path) -> None:
    verify(argparse.Namespace(results=results, mend=False))


def age(folder: Path) -> None:
    """Make everything below a folder two days old."""
    then = time.time() - 2 * gc.DAY
    for path in folder.rglob("*"):
        os.utime(path, (then, then), follow_symlinks=False)


def name_it(results: Path, item: Item, name: str = "stacks/s1/a") -> Path:
    path = results / f"{name}.json"
    Manifest("stack", {path.stem: item}).write(path)
    return path


def there(store: Store) -> list[str]:
    """Keys in the store, whatever of them is left."""
    found = [p for p in store.root.glob("*/*") if p.parent.name not in {"results", "sources", "rates"}]
    return sorted({path.name.split(".")[0] for path in found})


@pytest.fixture
def ask(results: Path) -> Callable[..., None]:
    """Note what the latest run asks for: ``ask(*stacks)``, in a results folder."""

    def note(*stacks: str, folder: Path = results, **others: str) -> None:
        outputs = {"stack": list(stacks), **{stage: [path] for stage, path in others.items()}}
        write_json(folder / OUTPUTS_NOTE, outputs)

    return note


@pytest.fixture
def shared(tmp_path: Path, results: Path, monkeypatch: pytest.MonkeyPatch) -> Shared:
    """A store of two results folders, `results` and ``other``."""
    other = tmp_path / "other"
    other.mkdir()
    store = Store(tmp_path / "shared")
    monkeypatch.setenv("RASTERLOOM_STORE", str(store.root))
    for folder in (results, other):
        store.register(folder)
    return Shared(store, other)


def test_gc_removes_old_unnamed_with_its_record(results: Path, store: Store, put: Put) -> None:
    named, unnamed = put("stack", "a" * 32), put("stack", "b" * 32, suffix=".zarr.zip")
    name_it(results, named)
    age(store.root)
    collect(results)
    assert there(store) == ["a" * 32]
    assert store.find("stack", named.key) == named
    assert store.find("stack", unnamed.key) is None
    assert not store.sidecar("stack", unnamed.key).exists()


def test_gc_spares_the_young(results: Path, store: Store, put: Put) -> None:
    young, old = put("stack", "a" * 32), put("stack", "b" * 32)
    age(store.root)
    for path in (store.root / young.path, store.sidecar("stack", young.key)):
        os.utime(path)
    collect(results)
    assert there(store) == ["a" * 32]
    assert store.find("stack", old.key) is None


def test_gc_dry_run_removes_nothing(
    results: Path, store: Store, put: Put, ask: Ask, capsys: pytest.CaptureFixture[str]
) -> None:
    stale = name_it(results, put("stack", "a" * 32))
    ask()
    age(store.root)
    collect(results, dry_run=True)
    assert there(store) == ["a" * 32]
    assert stale.exists()
    assert "would remove 1 manifests and 2 files" in capsys.readouterr().out


def test_gc_removes_stale_manifests_and_what_they_named(results: Path, store: Store, put: Put, ask: Ask) -> None:
    kept, dropped = put("stack", "a" * 32), put("stack", "b" * 32)
    for name, item in (("a", kept), ("b", dropped)):
        name_it(results, item, f"stacks/s1/{name}")
        link(store.root / item.path, results / f"stacks/s1/{name}.bin")
    ask("stacks/s1/a.json")
    age(store.root)
    collect(results)
    assert [path.name for path in manifests_of(results)] == ["a.json"]
    assert there(store) == ["a" * 32]
    assert sorted(path.name for path in (results / "stacks/s1").iterdir()) == ["a.bin", "a.json"]


def test_gc_stale_manifest_does_not_doom_what_another_names(results: Path, store: Store, put: Put, ask: Ask) -> None:
    item = put("stack", "a" * 32)
    name_it(results, item, "stacks/old/a")
    name_it(results, item, "stacks/new/a")
    ask("stacks/new/a.json")
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


def test_gc_spares_what_other_results_folders_name(results: Path, shared: Shared) -> None:
    for key in "abc":
        item = shared.put(key)
        if key != "c":
            name_it(results if key == "a" else shared.other, item)
    age(shared.store.root)
    collect(results)
    assert there(shared.store) == ["a" * 32, "b" * 32]
    assert sorted(user.results for user in shared.store.users()) == [shared.other, results]


def test_gc_spares_a_stage_that_another_folder_s_latest_run_has_not_finished(
    results: Path, shared: Shared, ask: Ask, capsys: pytest.CaptureFixture[str]
) -> None:
    shared.put("a")
    shared.put("b", "stack")
    ask(train="models/m/fold-0.json", folder=shared.other)
    age(shared.store.root)
    collect(results)
    assert there(shared.store) == ["a" * 32]
    assert f"kept everything of stage train: the latest run in {shared.other}" in capsys.readouterr().out


def test_gc_spares_what_a_run_under_way_elsewhere_may_want(
    results: Path, shared: Shared, ask: Ask, python: Python, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its manifest is there, but may be about to name an earlier artifact instead."""
    shared.put("a")
    name_it(shared.other, shared.put("b"), "models/m/fold-0")
    shared.put("c", "mask")
    ask(train="models/m/fold-0.json", folder=shared.other)
    age(shared.store.root)
    run = python(HOLDER, shared.other)
    assert run.stdout is not None
    assert run.stdout.readline() == "held\n"
    collect(results)
    assert there(shared.store) == ["a" * 32, "b" * 32]
    assert f"a run (process {run.pid}) is under way in {shared.other}" in capsys.readouterr().out
    run.kill()
    run.wait()
    collect(results)
    assert there(shared.store) == ["b" * 32]


def test_gc_spares_all_stages_for_a_run_that_has_not_said_what_it_asks_for(
    results: Path, shared: Shared, python: Python
) -> None:
    shared.put("a")
    shared.put("b", "stack")
    age(shared.store.root)
    run = python(HOLDER, shared.other)
    assert run.stdout is not None
    run.stdout.readline()
    collect(results)
    assert there(shared.store) == ["a" * 32, "b" * 32]


def test_gc_spares_all_stages_of_a_folder_of_an_earlier_version(
    results: Path, shared: Shared, capsys: pytest.CaptureFixture[str]
) -> None:
    shared.put("a")
    write_json(shared.other / "config.json", {})
    age(shared.store.root)
    collect(results)
    assert there(shared.store) == ["a" * 32]
    assert "earlier version" in capsys.readouterr().out


@pytest.mark.parametrize("place", ["stacks/s1/a.json", OUTPUTS_NOTE])
@pytest.mark.parametrize("own", [True, False])
def test_gc_removes_nothing_if_a_file_that_it_goes_by_is_damaged(
    results: Path, shared: Shared, place: str, own: bool
) -> None:
    folder = results if own else shared.other
    item = shared.put("a")
    name_it(folder, item)
    (folder / place).write_text('{"stage"', encoding="utf-8")
    age(shared.store.root)
    with pytest.raises(StoreError, match=re.escape(str(folder / place))):
        collect(results)
    assert there(shared.store) == ["a" * 32]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_gc_removes_nothing_if_a_folder_cannot_be_read(results: Path, shared: Shared) -> None:
    name_it(shared.other, shared.put("a"), "stacks/s1/a")
    age(shared.store.root)
    (shared.other / "stacks").chmod(0)
    with pytest.raises(StoreError, match=rf"{shared.other} uses the store .* cannot be read"):
        collect(results)
    (shared.other / "stacks").chmod(0o755)
    assert there(shared.store) == ["a" * 32]


def test_gc_forgets_a_folder_that_is_gone(results: Path, shared: Shared, capsys: pytest.CaptureFixture[str]) -> None:
    name_it(shared.other, shared.put("a"))
    age(shared.store.root)
    shutil.rmtree(shared.other)
    collect(results, dry_run=True)
    assert len(shared.store.users()) == 2
    collect(results)
    assert f"forgot that {shared.other} uses this store: it is gone" in capsys.readouterr().out
    assert [user.results for user in shared.store.users()] == [results]
    assert there(shared.store) == []


@pytest.mark.parametrize("above", ["empty", "not there"])
def test_gc_removes_nothing_if_a_disk_may_not_be_mounted(
    results: Path, tmp_path: Path, shared: Shared, above: str
) -> None:
    disk = tmp_path / "disk"
    (disk / "results").mkdir(parents=True)
    shared.store.register(disk / "results")
    shutil.rmtree(disk)
    if above == "empty":
        disk.mkdir()
    shared.put("a")
    age(shared.store.root)
    with pytest.raises(StoreError, match=rf"{disk} is {above}\): mount its disk, or, .* delete .*/shared/results/"):
        collect(results)
    assert there(shared.store) == ["a" * 32]


def test_gc_of_a_copy_and_of_the_original_leave_the_other_alone(
    results: Path, tmp_path: Path, store: Store, put: Put
) -> None:
    """``cp -r``: the copy's links lead to the copy's store."""
    kept, dropped = put("stack", "a" * 32), put("stack", "b" * 32)
    for name, item in (("a", kept), ("b", dropped)):
        link(store.root / item.path, results / f"stacks/s1/{name}.bin")
        name_it(results, item, f"stacks/s1/{name}")
    store.register(results)
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-r", results, copy], check=True)
    verify_all(copy)
    (copy / "stacks/s1/b.json").unlink()
    for folder in (results, copy):
        age(folder)
    collect(copy)
    assert there(Store.of(copy)) == ["a" * 32]
    assert Store.of(copy).users() == [], "the note in the copy is of the original, which uses its own store"
    assert there(store) == ["a" * 32, "b" * 32]
    verify_all(results)
    collect(results)
    assert there(store) == ["a" * 32, "b" * 32]
    verify_all(copy)


def test_gc_after_a_project_has_moved(results: Path, tmp_path: Path, store: Store, put: Put) -> None:
    item = put("stack", "a" * 32)
    name_it(results, item)
    store.register(results)
    (tmp_path / "moved").mkdir()
    moved = results.rename(tmp_path / "moved/results")
    age(moved)
    collect(moved)
    assert Store.of(moved).find("stack", item.key) == item
    assert Store.of(moved).users() == []


def test_gc_refuses_a_store_that_is_not_the_folder_s(
    results: Path, tmp_path: Path, store: Store, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = Store(tmp_path / "shared")
    with shared.writing("stack", "a" * 32, ".bin") as work:
        work.path.write_bytes(b"x")
        work.digest = "d"
    item = work.committed()
    name_it(results, item)
    link(shared.root / item.path, results / "stacks/s1/a.bin")
    put("stack", "b" * 32)
    age(store.root)
    with pytest.raises(StoreError, match=r"lie in .*/shared, not in .*: set RASTERLOOM_STORE=.*/shared"):
        collect(results)
    assert there(store) == ["b" * 32]
    monkeypatch.setenv("RASTERLOOM_STORE", str(shared.root))
    collect(results)
    assert there(shared) == ["a" * 32]


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
        gc._remove(store.sidecar("stack", item.key))
        gc._remove(store.root / item.path)
    assert finder.communicate(timeout=60)[0] == "None\n"


def test_finders_do_not_wait_for_each_other(store: Store, put: Put, python: Python) -> None:
    item = put("stack", "a" * 32)
    with store._looking():
        finder = python(FINDER, store.root, item.key)
        assert finder.communicate(timeout=60)[0] == f"looking\n{item.key}\n"


def test_gc_forgets_scans_that_nobody_has_asked_for_in_a_month(results: Path, store: Store) -> None:
    (store.root / "sources").mkdir(parents=True)
    for name, days in (("old", 31), ("used", 29)):
        path = store.root / f"sources/{name}.json"
        path.write_text("{}")
        then = time.time() - days * gc.DAY
        os.utime(path, (then, then))
    collect(results)
    assert [path.name for path in (store.root / "sources").iterdir()] == ["used.json"]


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


def test_gc_state_of_a_named_model_stays(results: Path, store: Store, put: Put) -> None:
    item = put("train", "a" * 32)
    (store.root / "train" / item.key).mkdir()
    name_it(results, item, "models/m/fold-0")
    age(store.root)
    collect(results)
    assert (store.root / "train" / item.key).is_dir()


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


def test_gc_of_no_folder(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is not a folder"):
        collect(tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_gc_spares_a_stage_that_the_latest_run_has_not_finished(
    results: Path, store: Store, put: Put, ask: Ask, capsys: pytest.CaptureFixture[str]
) -> None:
    """Snakemake deleted the manifest of a model before it was killed: nothing names the model, yet it is wanted."""
    put("train", "a" * 32)
    put("stack", "b" * 32)
    ask(train="models/m/fold-0.json")
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
    times = [path.stat().st_mtime for path in (store.root / item.path, store.sidecar("stack", item.key))]
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
