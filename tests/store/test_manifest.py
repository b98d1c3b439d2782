"""Manifests: equal content is equal bytes, and what is no manifest says so."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rasterloom.errors import MissingInputError, StoreError
from rasterloom.store.manifest import Manifest
from rasterloom.store.store import Item

names = st.text("abc019_", min_size=1, max_size=6)
items = st.builds(
    Item,
    key=names,
    digest=names,
    path=names,
    parts=st.dictionaries(names, names, max_size=2),
)


def item(name: str) -> Item:
    return Item(name * 32, name * 64, f"stack/{name * 32}.zarr.zip", {"rgb": name})


@given(st.dictionaries(names, items, max_size=4))
def test_write_then_read_gives_the_same(found: dict[str, Item]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Manifest("stack", found).write(Path(folder) / "a.json")
        assert Manifest.read(Path(folder) / "a.json") == Manifest("stack", found)


def test_write_makes_its_folder(tmp_path: Path) -> None:
    manifest = Manifest("stack", {"6010_1_2": item("a"), "6010_0_0": item("b")})
    manifest.write(tmp_path / "new/one.json")
    assert Manifest.read(tmp_path / "new/one.json") == manifest


def test_write_is_byte_stable_sorted_and_knows_no_time(tmp_path: Path) -> None:
    found = {"b": item("b"), "a": item("a"), "c": item("c")}
    Manifest("stack", found).write(tmp_path / "one.json")
    Manifest("stack", dict(reversed(found.items()))).write(tmp_path / "two.json")
    text = (tmp_path / "one.json").read_text()
    assert text == (tmp_path / "two.json").read_text()
    assert list(json.loads(text)["items"]) == ["a", "b", "c"]
    assert set(json.loads(text)) == {"items", "stage"}
    assert set(json.loads(text)["items"]["a"]) == {"key", "digest", "path", "parts"}


def test_write_replaces_atomically(tmp_path: Path) -> None:
    Manifest("stack", {"a": item("a")}).write(tmp_path / "one.json")
    Manifest("stack", {"b": item("b")}).write(tmp_path / "one.json")
    assert list(Manifest.read(tmp_path / "one.json").items) == ["b"]
    assert [path.name for path in tmp_path.iterdir()] == ["one.json"]


def test_read_missing_names_the_file_and_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "stacks/s1024/a.json"
    with pytest.raises(MissingInputError, match=re.escape(f"{path} is not there: run the stage")):
        Manifest.read(path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"{}",
        b"3",
        b'{"stage": "stack"}',
        b'{"stage": "stack", "items": []}',
        b'{"stage": "stack", "items": {"a": 3}}',
        b'{"stage": "stack", "items": {"a": {"key": "k", "digest": "d"}}}',
        b'{"stage": "stack", "items": {"a": {"key": "k", "digest": "d", "path": "p", "parts": 3}}}',
        b'\xff\xfe{"stage": "stack", "items": {}}',
    ],
)
def test_read_broken_file_names_it_and_the_remedy(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"is not a manifest .*: delete it and run") as caught:
        Manifest.read(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
