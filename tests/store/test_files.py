"""Atomic files: all or nothing."""

from __future__ import annotations

import errno
import io
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest

from rasterloom.store.files import TEMPORARY, atomic_path, link, write_json, write_text


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_atomic_path_appears_only_when_the_block_ends(tmp_path: Path) -> None:
    final = tmp_path / "new" / "a.zarr.zip"
    with atomic_path(final) as temporary:
        assert temporary.parent == final.parent
        assert temporary.name.startswith(TEMPORARY)
        assert temporary.name.endswith(".zarr.zip")
        temporary.write_bytes(b"whole")
        assert not final.exists()
    assert final.read_bytes() == b"whole"
    assert names(final.parent) == ["a.zarr.zip"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("written", [True, False])
def test_atomic_path_failing_writer_leaves_what_was_there(
    tmp_path: Path, error: type[BaseException], written: bool
) -> None:
    final = tmp_path / "a.txt"
    final.write_text("old")
    with pytest.raises(error), atomic_path(final) as temporary:
        if written:
            temporary.write_text("half")
        raise error
    assert final.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_atomic_path_names_the_file_where_an_error_names_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As those of a write or of a flush do."""

    def fail(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError) as caught:
        write_text(tmp_path / "a", "text")
    assert caught.value.filename == str(tmp_path / "a")
    assert names(tmp_path) == []


def test_atomic_path_zip_file_that_could_only_be_opened_for_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """zipfile tries again in another mode where a broken disk refuses the first; reading then fails without a word."""
    real = io.open

    def refuse(file: Any, mode: str = "r") -> Any:
        if mode == "w+b":
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(file))
        return real(file, mode)

    monkeypatch.setattr(io, "open", refuse)
    with (
        pytest.raises(OSError) as caught,
        atomic_path(tmp_path / "a.zip") as temporary,
        zipfile.ZipFile(temporary, "w") as archive,
    ):
        archive.writestr("one", "1")
        archive.read("one")
    assert (caught.value.errno, caught.value.filename) == (errno.EIO, str(tmp_path / "a.zip"))
    assert names(tmp_path) == []


def test_atomic_path_writer_that_writes_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "a"):
        pass
    assert names(tmp_path) == []


def test_atomic_path_two_writers_of_one_name_do_not_share_a_file(tmp_path: Path) -> None:
    final = tmp_path / "a"
    with atomic_path(final) as one:
        one.write_text("one")
        with atomic_path(final) as two:
            assert one != two
            two.write_text("two")
        assert final.read_text() == "two"
    assert final.read_text() == "one"
    assert names(tmp_path) == ["a"]


def test_atomic_path_is_on_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    real_fsync, real_replace = os.fsync, Path.replace

    def fsync(descriptor: int) -> None:
        seen.append("fsync")
        real_fsync(descriptor)

    def replace(self: Path, target: Path) -> Path:
        seen.append("rename")
        return real_replace(self, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    with atomic_path(tmp_path / "a") as temporary:
        temporary.write_text("x")
    assert seen == ["fsync", "rename", "fsync"]


def test_write_text_keeps_line_ends_and_letters(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "ä\r\nb\n")
    assert (tmp_path / "a").read_bytes() == b"\xc3\xa4\r\nb\n"


def test_write_json_is_sorted_and_byte_stable(tmp_path: Path) -> None:
    write_json(tmp_path / "a", {"b": 1, "a": {"y": 1, "x": "ü"}})
    write_json(tmp_path / "b", {"a": {"x": "ü", "y": 1}, "b": 1})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    text = (tmp_path / "a").read_text(encoding="utf-8")
    assert text.index('"a"') < text.index('"x"') < text.index('"y"') < text.index('"b"')
    assert "ü" in text
    assert json.loads(text) == {"a": {"x": "ü", "y": 1}, "b": 1}


def test_write_json_refuses_nan_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a", {"x": float("nan")})
    assert names(tmp_path) == []


def test_link_is_relative_and_survives_a_move_of_the_tree(tmp_path: Path) -> None:
    (tmp_path / "one/store").mkdir(parents=True)
    (tmp_path / "one/store/x").write_text("content")
    link(tmp_path / "one/store/x", tmp_path / "one/stacks/s/a")
    assert (tmp_path / "one/stacks/s/a").readlink() == Path("../../store/x")
    (tmp_path / "one").rename(tmp_path / "two")
    assert (tmp_path / "two/stacks/s/a").read_text() == "content"


def test_link_replaces_an_earlier_link_and_a_file(tmp_path: Path) -> None:
    for name in ("x", "y", "file"):
        (tmp_path / name).write_text(name)
    link(tmp_path / "x", tmp_path / "a")
    link(tmp_path / "y", tmp_path / "a")
    link(tmp_path / "y", tmp_path / "a")
    link(tmp_path / "x", tmp_path / "file")
    assert (tmp_path / "a").read_text() == "y"
    assert (tmp_path / "file").is_symlink()
    assert (tmp_path / "x").read_text() == "x", "the target of an earlier link is not touched"
    assert names(tmp_path) == ["a", "file", "x", "y"]


def test_link_that_cannot_be_made_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "folder/inside").mkdir(parents=True)
    with pytest.raises(OSError, match="folder"):
        link(tmp_path / "x", tmp_path / "folder")
    assert names(tmp_path) == ["folder"]


def test_link_leads_to_its_target_from_a_results_folder_that_is_itself_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk/deep/results").mkdir(parents=True)
    (tmp_path / "results").symlink_to(tmp_path / "disk/deep/results")
    (tmp_path / "store").mkdir()
    (tmp_path / "store/x").write_text("content")
    link(tmp_path / "store/x", tmp_path / "results/stacks/a")
    assert (tmp_path / "results/stacks/a").read_text() == "content"
