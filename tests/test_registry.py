"""Results folders that share a store: what each has a claim to, and when one may count as gone."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rasterloom.errors import StoreError
from rasterloom.files import link, write_json
from rasterloom.manifest import Manifest
from rasterloom.registry import (
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
from rasterloom.stages import STAGES
from rasterloom.store import Item, Store, User

Put = Callable[..., Item]


def name_it(results: Path, item: Item, place: str) -> Path:
    path = results / f"{place}.json"
    Manifest("stack", {path.stem: item}).write(path)
    return path


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
    assert claim(results, running="17").wanted == set(STAGES)
    (results / "config.json").write_text("{}")
    assert claim(results).wanted == set(STAGES)


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
