"""Garbage: what nothing names and is old goes; nothing else does."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rasterloom import gc
from rasterloom.errors import RasterloomError, StoreError
from rasterloom.files import TEMPORARY, link, write_json
from rasterloom.lock import hold
from rasterloom.manifest import Manifest
from rasterloom.store import Item, Store
from rasterloom.verify import manifests_of

Put = Callable[..., Item]


def collect(results: Path, dry_run: bool = False) -> None:
    gc.main(argparse.Namespace(results=results, dry_run=dry_run))


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
    found = [p for p in store.root.glob("*/*") if p.parent.name not in {"results", "sources"}]
    return sorted({path.name.split(".")[0] for path in found})


@pytest.fixture
def asked(results: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Paths that the latest run's configuration asks for."""
    paths: list[str] = []

    def load(merged: Any) -> Any:
        assert merged == {"results": "x"}
        return SimpleNamespace(outputs=lambda: {"stack": paths})

    write_json(results / "config.json", {"results": "x"})
    monkeypatch.setattr("rasterloom.gc.Dag.load", load)
    return paths


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
    results: Path, store: Store, put: Put, asked: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    stale = name_it(results, put("stack", "a" * 32))
    age(store.root)
    collect(results, dry_run=True)
    assert there(store) == ["a" * 32]
    assert stale.exists()
    assert "would remove 1 manifests and 2 files" in capsys.readouterr().out


def test_gc_removes_stale_manifests_and_what_they_named(
    results: Path, store: Store, put: Put, asked: list[str]
) -> None:
    kept, dropped = put("stack", "a" * 32), put("stack", "b" * 32)
    for name, item in (("a", kept), ("b", dropped)):
        name_it(results, item, f"stacks/s1/{name}")
        link(store.root / item.path, results / f"stacks/s1/{name}.bin")
    asked.append("stacks/s1/a.json")
    age(store.root)
    collect(results)
    assert [path.name for path in manifests_of(results)] == ["a.json"]
    assert there(store) == ["a" * 32]
    assert sorted(path.name for path in (results / "stacks/s1").iterdir()) == ["a.bin", "a.json"]


def test_gc_stale_manifest_does_not_doom_what_another_names(
    results: Path, store: Store, put: Put, asked: list[str]
) -> None:
    item = put("stack", "a" * 32)
    name_it(results, item, "stacks/old/a")
    name_it(results, item, "stacks/new/a")
    asked.append("stacks/new/a.json")
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


def test_gc_spares_what_other_results_folders_name(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "shared")
    monkeypatch.setenv("RASTERLOOM_STORE", str(store.root))
    other = tmp_path / "other"
    other.mkdir()
    store.register(other)
    store.register(results)
    for key in "abc":
        with store.writing("train", key * 32, ".bin") as work:
            work.path.write_bytes(b"x")
            work.digest = "d"
        if key != "c":
            name_it(results if key == "a" else other, work.committed())
    age(store.root)
    collect(results)
    assert there(store) == ["a" * 32, "b" * 32]
    assert sorted(store.registered()) == [other, results]


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
    results: Path, store: Store, put: Put, asked: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Snakemake deleted the manifest of a model before it was killed: nothing names the model, yet it is wanted."""
    put("train", "a" * 32)
    put("stack", "b" * 32)
    asked.append("models/m/fold-0.json")
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
