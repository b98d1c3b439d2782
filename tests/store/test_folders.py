"""Results folders that share a store: what each has a claim to, and when one may count as gone."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from garbage import age, ask, collect, name_it, there, verify_all
from rasterloom.errors import StoreError
from rasterloom.store.files import link, write_json
from rasterloom.store.folders import (
    OUTPUTS_NOTE,
    Claim,
    asked_outputs,
    claim,
    claims,
    is_gone,
    manifests_of,
    other_store,
    walk,
)
from rasterloom.store.store import Item, Store, User

Put = Callable[..., Item]
Python = Callable[..., "subprocess.Popen[str]"]


def refuse(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the system refuse to list a folder."""
    listing = os.scandir

    def scandir(path: Any = ".") -> Any:
        if Path(path) == folder:
            raise PermissionError(13, "Permission denied", str(path))
        return listing(path)

    monkeypatch.setattr(os, "scandir", scandir)


def test_walk_is_sorted_and_does_not_follow_links(tmp_path: Path) -> None:
    for name in ("b/x", "a/y", "store/z"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / "loop").symlink_to(tmp_path)
    found = [str(path.relative_to(tmp_path)) for path in walk(tmp_path, skip="store")]
    assert found == ["loop", "a/y", "b/x"]


def test_walk_raises_where_a_folder_cannot_be_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").mkdir()
    refuse(tmp_path / "a", monkeypatch)
    with pytest.raises(PermissionError):
        list(walk(tmp_path))


def test_manifests_of_a_folder_that_lies_elsewhere(tmp_path: Path, results: Path, put: Put) -> None:
    """Somebody has moved the predictions to a larger disk and left a link."""
    path = name_it(results, put("stack", "a" * 32), "stacks/s1/a")
    (results / "stacks").rename(tmp_path / "large")
    (results / "stacks").symlink_to(tmp_path / "large")
    assert list(manifests_of(results)) == [path]


def test_claim_of_a_folder_without_a_run_is_what_it_names(results: Path, put: Put) -> None:
    name_it(results, put("stack", "a" * 32), "stacks/s1/a")
    dropped = name_it(results, put("stack", "b" * 32), "stacks/s1/b")
    found = claim(results, dropped=[dropped])
    assert found.named == {"a" * 32}
    assert found.wanted == frozenset()


def test_claim_wants_the_stages_of_which_an_output_is_missing(results: Path, put: Put) -> None:
    name_it(results, put("stack", "a" * 32), "stacks/s1/a")
    write_json(
        results / OUTPUTS_NOTE,
        {"stack": ["stacks/s1/a.json"], "mask": ["masks/s/t/a.json"], "submission": [], "score": ["score.tsv"]},
    )
    assert claim(results).wanted == {"mask", "score"}
    assert claim(results, running="17").wanted == {"stack", "mask", "score"}
    assert "process 17" in claim(results, running="17").why


def test_claim_of_a_run_without_a_note_is_to_everything(results: Path) -> None:
    assert claim(results, running="17").wanted is None
    (results / "config.json").write_text("{}")
    assert claim(results).wanted is None


@pytest.mark.parametrize("text", ["", "[]", "7", '{"stack": 1}', "\xff"])
def test_asked_outputs_that_cannot_be_read(results: Path, text: str) -> None:
    (results / OUTPUTS_NOTE).write_text(text, encoding="latin-1")
    with pytest.raises(StoreError, match=f"{OUTPUTS_NOTE}, which says what the latest run asks for"):
        asked_outputs(results)


def test_claims_stop_at_a_folder_that_cannot_be_listed(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, other = Store(tmp_path / "shared"), tmp_path / "other"
    (other / "stacks").mkdir(parents=True)
    store.register(other)
    refuse(other / "stacks", monkeypatch)
    with pytest.raises(StoreError, match=f"{other} uses the store .* too, and cannot be read .* delete .*/results/"):
        claims(store, Claim(results, frozenset(), frozenset()))


def test_claims_stop_at_a_note_that_cannot_be_read(results: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "shared")
    write_json(store.root / "results/abc.json", {"result": "x"})
    with pytest.raises(StoreError, match=r"abc\.json, which names a results folder"):
        claims(store, Claim(results, frozenset(), frozenset()))


def test_is_gone_only_where_the_folder_above_it_says_so(tmp_path: Path, results: Path) -> None:
    note = tmp_path / "note.json"
    assert not is_gone(User(note, results, False))
    assert is_gone(User(note, tmp_path / "none", False))
    for path in (tmp_path / "not" / "there", tmp_path / "empty" / "results"):
        (tmp_path / "empty").mkdir(exist_ok=True)
        with pytest.raises(StoreError, match="mount its disk"):
            is_gone(User(note, path, False))


def test_other_store_of_links(results: Path, tmp_path: Path, store: Store, put: Put) -> None:
    assert other_store(results, store) is None, "no links"
    shared = Store(tmp_path / "shared")
    with shared.writing("stack", "a" * 32, ".bin") as work:
        work.path.write_bytes(b"x")
        work.digest = "d"
    link(shared.root / work.committed().path, results / "stacks/s1/a.bin")
    assert other_store(results, shared) is None
    assert other_store(results, store) == shared.root
    link(store.root / put("stack", "b" * 32).path, results / "stacks/s1/b.bin")
    assert other_store(results, store) is None, "a link into the store: it is the folder's"


def test_other_store_that_is_no_longer_there(results: Path, tmp_path: Path, store: Store) -> None:
    link(tmp_path / "gone/stack/x.bin", results / "stacks/s1/a.bin")
    assert other_store(results, store) is None


# Several folders, one store ---------------------------------------------------------------------------------


HOLDER = """
import sys
from pathlib import Path
from rasterloom.store.lock import hold
lock = hold(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


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
    results: Path, shared: Shared, capsys: pytest.CaptureFixture[str]
) -> None:
    shared.put("a")
    shared.put("b", "stack")
    ask(shared.other, train="models/m/fold-0.json")
    age(shared.store.root)
    collect(results)
    assert there(shared.store) == ["a" * 32]
    assert f"kept everything of stage train: the latest run in {shared.other}" in capsys.readouterr().out


def test_gc_spares_what_a_run_under_way_elsewhere_may_want(
    results: Path, shared: Shared, python: Python, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its manifest is there, but may be about to name an earlier artifact instead."""
    shared.put("a")
    name_it(shared.other, shared.put("b"), "models/m/fold-0")
    shared.put("c", "mask")
    ask(shared.other, train="models/m/fold-0.json")
    age(shared.store.root)
    run = python(HOLDER, shared.other)
    assert run.stdout is not None
    assert run.stdout.readline() == "held\n"
    collect(results)
    assert there(shared.store) == ["a" * 32, "b" * 32]
    assert (
        f"a run (process {run.pid} on {socket.gethostname()}) is under way in {shared.other}" in capsys.readouterr().out
    )
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
