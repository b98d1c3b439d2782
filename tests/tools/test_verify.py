"""Verification: every artifact that a manifest names has the bytes that were written; mending is exact."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import pytest

from rasterloom.errors import RasterloomError, StoreError
from rasterloom.stages import job_of
from rasterloom.store.files import link
from rasterloom.store.folders import manifests_of
from rasterloom.store.lock import hold
from rasterloom.store.manifest import Manifest
from rasterloom.store.store import Item, Store, file_sha256
from rasterloom.tools.verify import find_faults, main, mend

Put = Callable[..., Item]
KEYS = {name: name * 32 for name in "abc"}


@pytest.fixture
def items(results: Path, store: Store, put: Put) -> dict[str, Item]:
    """Three artifacts, a manifest each."""
    found = {name: put("stack", key, name.encode() * 100) for name, key in KEYS.items()}
    for name, item in found.items():
        Manifest("stack", {name: item}).write(results / f"stacks/s1/{name}.json")
        link(store.root / item.path, results / f"stacks/s1/{name}.bin")
    return found


def verify(results: Path, mend: bool = False) -> None:
    main(argparse.Namespace(results=results, mend=mend))


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x01
    path.write_bytes(data)


def lose_file(store: Store, item: Item) -> None:
    (store.root / item.path).unlink()


def lose_record(store: Store, item: Item) -> None:
    store.record_path("stack", item.key).unlink()


def damage(store: Store, item: Item) -> None:
    flip(store.root / item.path)


def truncate(store: Store, item: Item) -> None:
    (store.root / item.path).write_bytes(b"")


ACCIDENTS = [(lose_file, "is missing"), (lose_record, "no record"), (damage, "is damaged"), (truncate, "is damaged")]
Accident = Callable[[Store, Item], None]


def test_verify_of_a_whole_store(results: Path, items: dict[str, Item], capsys: pytest.CaptureFixture[str]) -> None:
    verify(results)
    assert "3 manifests" in capsys.readouterr().out
    verify(results, mend=True)
    assert len(list(manifests_of(results))) == 3


@pytest.mark.parametrize(("accident", "words"), ACCIDENTS)
def test_verify_names_item_manifest_and_remedy(
    results: Path,
    store: Store,
    items: dict[str, Item],
    capsys: pytest.CaptureFixture[str],
    accident: Accident,
    words: str,
) -> None:
    accident(store, items["b"])
    with pytest.raises(StoreError, match=r"1 artifact is .*verify --mend"):
        verify(results)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{results}/stacks/s1/b.json: b: ")
    assert str(store.root / items["b"].path) in line
    assert words in line
    assert (results / "stacks/s1/b.json").exists(), "nothing is removed without --mend"


@pytest.mark.parametrize(("accident", "words"), ACCIDENTS)
def test_mend_removes_exactly_what_is_damaged(
    results: Path, store: Store, items: dict[str, Item], accident: Accident, words: str
) -> None:
    accident(store, items["b"])
    log = store.log_path("stack", KEYS["b"])
    log.write_text("--- attempt\n", encoding="utf-8")
    verify(results, mend=True)
    assert [path.name for path in manifests_of(results)] == ["a.json", "c.json"]
    assert store.find("stack", KEYS["b"]) is None
    assert not (store.root / items["b"].path).exists()
    assert log.exists(), "the next attempt adds to it"
    for name in "ac":
        assert store.find("stack", KEYS[name]) == items[name]
    verify(results)


def test_mend_removes_every_manifest_that_names_the_artifact(
    results: Path, store: Store, items: dict[str, Item]
) -> None:
    Manifest("ensemble", {"b": items["b"], "c": items["c"]}).write(results / "ensembles/x/bucket-00.json")
    for name in "bc":
        link(store.root / items[name].path, results / f"ensembles/x/{name}.bin")
    damage(store, items["b"])
    faults = find_faults(store, list(manifests_of(results)))
    assert [fault.manifest.name for fault in faults] == ["bucket-00.json", "b.json"]
    verify(results, mend=True)
    assert [path.name for path in manifests_of(results)] == ["a.json", "c.json"]
    assert store.find("stack", KEYS["c"]) == items["c"]


def test_mend_artifact_made_again_with_another_content_is_kept(
    results: Path, store: Store, items: dict[str, Item]
) -> None:
    """It may be what another results folder names; only this manifest is out of date."""
    with store.writing("stack", KEYS["a"], ".bin") as work:
        work.path.write_bytes(b"other")
        work.digest = "e" * 64
    (fault,) = find_faults(store, list(manifests_of(results)))
    assert (fault.name, fault.manifest.name) == ("a", "a.json")
    assert "made again with another content" in fault.reason
    verify(results, mend=True)
    assert [path.name for path in manifests_of(results)] == ["b.json", "c.json"]
    assert store.find("stack", KEYS["a"]) == work.committed()


def test_manifests_of_are_those_alone(results: Path, items: dict[str, Item]) -> None:
    for name in ("config.json", ".arguments/x.json", "report/data.json", "store/results/x.json", "stacks/.hidden.json"):
        (results / name).parent.mkdir(parents=True, exist_ok=True)
        (results / name).write_text("{}")
    (results / "stacks/s1/a.registration.json").symlink_to(results / "config.json")
    assert list(manifests_of(results)) == [results / f"stacks/s1/{name}.json" for name in "abc"]


def test_verify_in_a_store_elsewhere(
    results: Path, tmp_path: Path, items: dict[str, Item], monkeypatch: pytest.MonkeyPatch
) -> None:
    (results / "store").rename(tmp_path / "shared")
    monkeypatch.setenv("RASTERLOOM_STORE", str(tmp_path / "shared"))
    with pytest.raises(StoreError, match="3 links are"):
        verify(results)
    verify(results, mend=True)
    verify(results)
    lose_file(Store(tmp_path / "shared"), items["a"])
    with pytest.raises(StoreError, match="1 artifact is"):
        verify(results)


def test_verify_refuses_a_store_that_is_not_the_folder_s(
    results: Path, tmp_path: Path, items: dict[str, Item], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With --mend every manifest would go: nothing that they name is in the other store."""
    monkeypatch.setenv("RASTERLOOM_STORE", str(tmp_path / "shared"))
    with pytest.raises(StoreError, match=r"lie in .*/results/store, not in .*/shared: unset RASTERLOOM_STORE"):
        verify(results, mend=True)
    assert len(list(manifests_of(results))) == 3
    monkeypatch.delenv("RASTERLOOM_STORE")
    verify(results)


def test_verify_of_a_shared_store_without_its_name(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = Store(tmp_path / "shared")
    with shared.writing("stack", "a" * 32, ".bin") as work:
        work.path.write_bytes(b"x")
        work.digest = "d"
    Manifest("stack", {"a": work.committed()}).write(results / "stacks/s1/a.json")
    link(shared.root / work.committed().path, results / "stacks/s1/a.bin")
    with pytest.raises(StoreError, match=r"set RASTERLOOM_STORE=.*/shared"):
        verify(results, mend=True)
    monkeypatch.setenv("RASTERLOOM_STORE", str(shared.root))
    verify(results)


def test_verify_names_a_damaged_manifest_and_mend_removes_it(
    results: Path, items: dict[str, Item], capsys: pytest.CaptureFixture[str]
) -> None:
    path = results / "stacks/s1/b.json"
    path.write_text('{"stage": "stack", "items": {"b"')
    with pytest.raises(StoreError, match="1 manifest is missing or damaged"):
        verify(results)
    assert f"{path}: is not a manifest" in capsys.readouterr().err
    verify(results, mend=True)
    assert [path.name for path in manifests_of(results)] == ["a.json", "c.json"]
    verify(results)


@pytest.mark.parametrize("how", ["gone", "elsewhere", "file"])
def test_mend_makes_links_again_and_removes_nothing(
    results: Path, store: Store, items: dict[str, Item], capsys: pytest.CaptureFixture[str], how: str
) -> None:
    place = results / "stacks/s1/b.bin"
    place.unlink()
    if how == "elsewhere":
        place.symlink_to(store.root / items["a"].path)
    elif how == "file":
        place.write_bytes(b"a copy")
    with pytest.raises(StoreError, match="1 link is missing or damaged"):
        verify(results)
    assert str(place) in capsys.readouterr().err
    verify(results, mend=True)
    assert place.resolve() == (store.root / items["b"].path).resolve()
    assert len(list(manifests_of(results))) == 3
    verify(results)


def test_links_of_labels_lie_in_a_folder_of_their_class(results: Path, store: Store, put: Put) -> None:
    """As `Job.finish` makes them."""

    item = put("label", "e" * 32, suffix=".parquet")
    job_of({"stage": "label", "class": "roads", "version": 1}, {}, results, store).finish({"6010_1_1": item})
    verify(results)
    (results / "labels/roads/6010_1_1.parquet").unlink()
    with pytest.raises(StoreError, match="1 link is"):
        verify(results)


def test_mend_while_a_run_is_under_way_is_refused(results: Path, store: Store, items: dict[str, Item]) -> None:
    lose_file(store, items["a"])
    lock = hold(results)
    with pytest.raises(RasterloomError, match="another run"):
        verify(results, mend=True)
    with pytest.raises(StoreError, match="1 artifact is"):
        verify(results)
    lock.close()
    assert len(list(manifests_of(results))) == 3


def test_mend_spares_what_another_run_has_made_again_meanwhile(results: Path, store: Store, put: Put) -> None:
    item = put("stack", "f" * 32)
    Manifest("stack", {"f": item}).write(results / "stacks/s1/f.json")
    damage(store, item)
    (fault,) = find_faults(store, [results / "stacks/s1/f.json"])
    put("stack", "f" * 32)
    mend(store, fault)
    assert store.find("stack", "f" * 32) == item


def test_find_faults_reads_an_artifact_once_and_says_how_far_it_is(
    results: Path, store: Store, items: dict[str, Item], monkeypatch: pytest.MonkeyPatch
) -> None:
    Manifest("ensemble", dict(items)).write(results / "ensembles/x/bucket-00.json")
    read: list[Path] = []
    whole = file_sha256
    monkeypatch.setattr("rasterloom.tools.verify.file_sha256", lambda path: read.append(path) or whole(path))
    said: list[tuple[int, int]] = []
    list(find_faults(store, list(manifests_of(results)), lambda done, total: said.append((done, total))))
    assert len(read) == 3
    assert said == [(1, 3), (2, 3), (3, 3)]


def test_find_faults_passes_over_a_manifest_that_a_run_makes_again(results: Path, store: Store) -> None:
    assert list(find_faults(store, [results / "stacks/s1/gone.json"])) == []


def test_verify_of_a_folder_without_manifests_says_which(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    verify(tmp_path)
    assert f"{tmp_path} holds no manifests" in capsys.readouterr().out


def test_verify_of_no_folder(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"is not a folder: .*--results"):
        verify(tmp_path / "none")
