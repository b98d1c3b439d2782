"""Verification: every artifact that a manifest names has the bytes that were written; mending is exact."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import pytest

from rasterloom.errors import StoreError
from rasterloom.files import link
from rasterloom.manifest import Manifest
from rasterloom.store import Item, Store
from rasterloom.verify import find_faults, main, manifests_of

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
    store.sidecar("stack", item.key).unlink()


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
    verify(results, mend=True)
    assert [path.name for path in manifests_of(results)] == ["a.json", "c.json"]
    assert store.find("stack", KEYS["b"]) is None
    assert not (store.root / items["b"].path).exists()
    for name in "ac":
        assert store.find("stack", KEYS[name]) == items[name]
    verify(results)


def test_mend_removes_every_manifest_that_names_the_artifact(
    results: Path, store: Store, items: dict[str, Item]
) -> None:
    Manifest("ensemble", {"b": items["b"], "c": items["c"]}).write(results / "ensembles/x/bucket-00.json")
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
    verify(results)
    lose_file(Store(tmp_path / "shared"), items["a"])
    with pytest.raises(StoreError, match="1 artifact is"):
        verify(results)


def test_verify_of_a_folder_without_manifests_says_which(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    verify(tmp_path)
    assert f"{tmp_path} holds no manifests" in capsys.readouterr().out


def test_verify_of_no_folder(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"is not a folder: .*--results"):
        verify(tmp_path / "none")
