"""The store: what is finished is found, what is not is not, whenever its writer died."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from rasterloom.errors import StoreError
from rasterloom.stages import recomputed
from rasterloom.store import files
from rasterloom.store import store as store_module
from rasterloom.store.files import TEMPORARY
from rasterloom.store.lock import locked
from rasterloom.store.store import COMMIT_LOCK, Item, Store, file_sha256, read_record

Put = Callable[..., Item]
Python = Callable[..., "subprocess.Popen[str]"]
KEY = "0" * 32


def finished_files(store: Store) -> list[str]:
    """Names in the store that do not say that they are temporary."""
    found = [p for p in store.root.glob("*/*") if p.is_file() and not p.name.startswith(TEMPORARY)]
    return sorted(path.name for path in found)


def test_find_gives_what_was_committed(store: Store) -> None:
    with store.writing("stack", KEY, ".zarr.zip", recipe={"scale": 2}, inputs=["i"]) as work:
        assert store.find("stack", KEY) is None
        work.path.write_bytes(b"12345")
        work.digest = "d" * 64
        work.parts["rgb"] = "e" * 64
        work.cost["device"] = "cpu"
        work.facts["odd"] = [1]
    item = Item(KEY, "d" * 64, f"stack/{KEY}.zarr.zip", {"rgb": "e" * 64})
    assert work.committed() == item == store.find("stack", KEY)
    assert store.open_path(item).read_bytes() == b"12345"
    record = json.loads(store.record_path("stack", KEY).read_text())
    assert (record["stage"], record["bytes"], record["recipe"], record["inputs"]) == ("stack", 5, {"scale": 2}, ["i"])
    assert record["sha256"] == file_sha256(store.open_path(item))
    assert {"rasterloom", "python"} == set(record["made_by"])
    assert store.cost(item)["device"] == "cpu"
    assert store.facts(item) == {"odd": [1]}
    assert {"seconds", "peak_memory_mb"} < set(store.cost(item))


def test_find_other_key_or_stage_is_none(store: Store, put: Put) -> None:
    put("stack", KEY)
    assert store.find("stack", "1" * 32) is None
    assert store.find("mask", KEY) is None


def test_find_without_record_is_none(store: Store, put: Put) -> None:
    item = put("stack", KEY)
    store.record_path("stack", KEY).unlink()
    assert store.find("stack", KEY) is None
    for read in (store.open_path, store.facts):
        with pytest.raises(StoreError, match="verify --mend"):
            read(item)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"key": "k", "digest": "d", "path": "p"}', "\udcff"])
def test_find_with_unreadable_record_is_none(store: Store, put: Put, text: str) -> None:
    put("stack", KEY)
    store.record_path("stack", KEY).write_bytes(text.encode(errors="surrogateescape"))
    assert store.find("stack", KEY) is None


@pytest.mark.parametrize("content", [None, b"", b"conten", b"content+"])
def test_find_and_open_path_refuse_missing_or_wrong_size(store: Store, put: Put, content: bytes | None) -> None:
    item = put("stack", KEY)
    path = store.root / item.path
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    assert store.find("stack", KEY) is None
    with pytest.raises(StoreError, match="verify --mend") as caught:
        store.open_path(item)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_writing_without_digest_is_refused(store: Store) -> None:
    words = r"stage stack .* without giving its digest"
    with pytest.raises(StoreError, match=words), store.writing("stack", KEY, ".x") as work:
        work.path.write_bytes(b"x")
    assert store.find("stack", KEY) is None
    assert finished_files(store) == []
    with pytest.raises(StoreError, match="has not been committed"):
        work.committed()


def test_writing_that_fails_leaves_the_earlier_artifact(store: Store, put: Put) -> None:
    item = put("stack", KEY)
    with pytest.raises(RuntimeError), store.writing("stack", KEY, ".bin") as work:
        work.path.write_bytes(b"half")
        raise RuntimeError
    assert store.find("stack", KEY) == item
    assert store.open_path(item).read_bytes() == b"content"
    assert finished_files(store) == [f"{KEY}.bin", f"{KEY}.json"]


def test_writing_again_replaces(store: Store, put: Put) -> None:
    put("stack", KEY)
    item = put("stack", KEY, b"another content")
    assert store.open_path(item).read_bytes() == b"another content"
    assert store.find("stack", KEY) == item


def write(store: Store, content: bytes, digest: str) -> Item:
    with store.writing("train", KEY, ".bin") as work:
        work.path.write_bytes(content)
        work.digest = digest * 64
    return work.committed()


def test_writing_again_with_another_content_is_said_loudly(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    write(store, b"one", "1")
    write(store, b"one", "1")
    assert capsys.readouterr().err == ""
    write(store, b"two", "2")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"WARNING: {store.root}/train/{KEY}.bin was made again")
    assert "111111111111 before, 222222222222 now" in line
    assert "Stage train is not deterministic" in line


def test_open_path_refuses_what_was_made_again_with_another_content(store: Store) -> None:
    old = write(store, b"one", "1")
    new = write(store, b"two", "2")
    assert store.open_path(new).read_bytes() == b"two"
    with pytest.raises(StoreError, match=r"made again with another content .*verify --mend"):
        store.open_path(old)


def test_recomputed_artifact_is_kept_until_the_new_one_is_complete(results: Path, put: Put) -> None:
    item = put("train", KEY)
    store = Store.of(results, frozenset({"train"}))
    assert store.find("train", KEY) is None
    with store.writing("train", KEY, ".bin") as work:
        work.path.write_bytes(b"half")
        assert store.open_path(item).read_bytes() == b"content"
        work.path.write_bytes(b"new content")
        work.digest = "d" * 64
    assert store.open_path(item).read_bytes() == b"new content"


def test_find_in_a_store_that_somebody_else_owns(store: Store, put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither its lock nor its times are ours: what is there is found all the same."""
    item = put("stack", KEY)
    opened = Path.open

    def refuse(path: Path, *arguments: object, **options: object) -> object:
        if path.name == ".commit":
            raise PermissionError
        return opened(path, *arguments, **options)  # type: ignore[call-overload]

    def utime(*_: object, **__: object) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "open", refuse)
    monkeypatch.setattr(os, "utime", utime)
    assert store.find("stack", KEY) == item


def test_lookup_leaves_no_trace(store: Store, put: Put) -> None:
    item = put("stack", KEY)
    os.utime(store.root / item.path, (1, 1))
    assert store.lookup("stack", KEY) == item
    assert (store.root / item.path).stat().st_mtime == 1


KILLED_WHILE_WRITING = """
import sys, time
from pathlib import Path
from rasterloom.store.store import Store
with Store(Path(sys.argv[1])).writing("train", sys.argv[2], ".bin") as work:
    work.digest = "d" * 64
    work.path.write_bytes(b"half of it")
    print("ready", flush=True)
    time.sleep(60)
"""

KILLED_BEFORE_THE_RECORD = """
import sys, time
from pathlib import Path
from rasterloom.store.store import Store

def replaced(self, target):
    if target.suffix == ".json":
        print("ready", flush=True)
        time.sleep(60)
    return replace(self, target)

replace, Path.replace = Path.replace, replaced
with Store(Path(sys.argv[1])).writing("train", sys.argv[2], ".bin") as work:
    work.digest = "d" * 64
    work.path.write_bytes(b"all of it")
"""


def test_writers_wait_for_no_disk_under_the_lock(store: Store, put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    free: list[bool] = []

    def flush(path: Path) -> None:
        with (store.root / COMMIT_LOCK).open("a") as lock:
            free.append(locked(lock))

    for module in (files, store_module):
        monkeypatch.setattr(module, "flush", flush)
    put("train", KEY)
    assert free == [True, True, True]


@pytest.mark.parametrize("code", [KILLED_WHILE_WRITING, KILLED_BEFORE_THE_RECORD], ids=["file", "record"])
def test_killed_writer_leaves_nothing_that_looks_finished(store: Store, python: Python, put: Put, code: str) -> None:
    process = python(code, store.root, KEY)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert store.find("train", KEY) is None
    assert f"{KEY}.json" not in finished_files(store)
    if code is KILLED_WHILE_WRITING:
        assert finished_files(store) == []
    item = put("train", KEY)
    assert store.find("train", KEY) == item
    assert store.open_path(item).read_bytes() == b"content"


def test_of_is_below_results_unless_named(results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Store.of(results).root == results / "store"
    monkeypatch.setenv("RASTERLOOM_STORE", str(tmp_path / "shared"))
    assert Store.of(results).root == tmp_path / "shared"
    monkeypatch.setenv("RASTERLOOM_STORE", "")
    assert Store.of(results).root == results / "store"


@pytest.mark.parametrize("given", ["train,stack", "train stack", " stack, train ,"])
def test_recompute_denies_the_named_stages_alone(
    results: Path, put: Put, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    item = put("train", KEY)
    mask = put("mask", KEY)
    monkeypatch.setenv("RASTERLOOM_RECOMPUTE", given)
    store = Store.of(results, recomputed())
    assert store.recompute == {"train", "stack"}
    assert store.find("train", KEY) is None
    assert store.find("mask", KEY) == mask
    assert store.open_path(item).is_file(), "what is there can still be read"


def test_users_are_each_results_folder_once(tmp_path: Path) -> None:
    store = Store(tmp_path / "shared")
    for name in ("one", "two", "one"):
        (tmp_path / name).mkdir(exist_ok=True)
        store.register(tmp_path / name)
    assert sorted(user.results for user in store.users()) == [tmp_path / "one", tmp_path / "two"]


def test_user_has_moved_if_its_own_store_lies_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    Store.of(tmp_path / "results").register(tmp_path / "results")
    assert [user.moved for user in Store.of(tmp_path / "results").users()] == [False]
    (tmp_path / "results").rename(tmp_path / "moved")
    assert [user.moved for user in Store.of(tmp_path / "moved").users()] == [True]


def test_register_mends_a_damaged_note(tmp_path: Path) -> None:
    store = Store(tmp_path / "shared")
    store.register(tmp_path)
    (user,) = store.users()
    user.note.write_text("{")
    with pytest.raises(StoreError, match=user.note.name):
        store.users()
    store.register(tmp_path)
    assert [user.results for user in store.users()] == [tmp_path]


def test_user_is_the_folder_that_a_link_leads_to(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    store = Store(tmp_path / "shared")
    store.register(tmp_path / "link")
    assert [user.results for user in store.users()] == [tmp_path / "real"]


def test_item_json_round_trip() -> None:
    for item in (Item("k", "d", "s/k.x"), Item("k", "d", "s/k.x", {"rgb": "e"})):
        assert Item.from_json(json.loads(json.dumps(item.to_json()))) == item
    assert "parts" not in Item("k", "d", "s/k.x").to_json()


def test_read_record_of_nothing_is_none(tmp_path: Path) -> None:
    assert read_record(tmp_path / "none.json") is None
    (tmp_path / "file").write_text("")
    assert read_record(tmp_path / "file" / "none.json") is None


def test_file_sha256_of_a_large_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    import hashlib

    content = os.urandom((1 << 20) + 7)
    (tmp_path / "a").write_bytes(content)
    assert file_sha256(tmp_path / "a") == hashlib.sha256(content).hexdigest()


keys = st.sampled_from(["a" * 32, "b" * 32, "c" * 32])
stages = st.sampled_from(["stack", "mask"])


class StoreMachine(RuleBasedStateMachine):
    """A store against a dictionary, through writes, failures and accidents in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.store = Store(self.folder / "store")
        self.known: dict[tuple[str, str], bytes] = {}

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    @rule(stage=stages, key=keys, content=st.binary(min_size=1, max_size=5))
    def write(self, stage: str, key: str, content: bytes) -> None:
        with self.store.writing(stage, key, ".bin") as work:
            work.path.write_bytes(content)
            work.digest = content.hex()
        self.known[stage, key] = content

    @rule(stage=stages, key=keys)
    def fail(self, stage: str, key: str) -> None:
        with pytest.raises(RuntimeError), self.store.writing(stage, key, ".bin") as work:
            work.path.write_bytes(b"half")
            work.digest = "d"
            raise RuntimeError

    @rule(stage=stages, key=keys, whole=st.booleans())
    def lose(self, stage: str, key: str, whole: bool) -> None:
        (self.store.root / stage / f"{key}.bin").unlink(missing_ok=True)
        if whole:
            self.store.record_path(stage, key).unlink(missing_ok=True)
        self.known.pop((stage, key), None)

    @rule(stage=stages, key=keys)
    def forget(self, stage: str, key: str) -> None:
        self.store.record_path(stage, key).unlink(missing_ok=True)
        self.known.pop((stage, key), None)

    @rule(stage=stages, key=keys)
    def lengthen(self, stage: str, key: str) -> None:
        if (stage, key) in self.known:
            with (self.store.root / stage / f"{key}.bin").open("ab") as file:
                file.write(b"+")
            del self.known[stage, key]

    @invariant()
    def holds_exactly_what_is_known(self) -> None:
        for stage in ("stack", "mask"):
            for key in ("a" * 32, "b" * 32, "c" * 32):
                item = self.store.find(stage, key)
                assert (item is not None) == ((stage, key) in self.known)
                if item is not None:
                    content = self.known[stage, key]
                    assert item.digest == content.hex()
                    assert self.store.open_path(item).read_bytes() == content

    @invariant()
    def no_temporary_file_stays(self) -> None:
        assert not [path for path in self.folder.rglob("*") if path.name.startswith(TEMPORARY)]


StoreMachine.TestCase.settings = settings(max_examples=20, stateful_step_count=12, deadline=None)
TestStoreMachine = StoreMachine.TestCase
