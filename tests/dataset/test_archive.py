"""Members of archives: how they are named and found, and what is said of a damaged archive."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from rasterloom.dataset import SourceFile
from rasterloom.dataset.archive import (
    check_member,
    gdal_name,
    list_members,
    member_folder,
    member_path,
    member_time,
    open_stream,
    split_member,
)
from rasterloom.dataset.source_files import Folders, existing
from rasterloom.errors import InputError, MissingInputError

TEXT = b"abc" * 1000


def pack(path: Path, files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as opened:
        for name, data in files.items():
            opened.writestr(zipfile.ZipInfo(name, (2017, 2, 1, 12, 30, 10)), data, method)
    return path


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("d/a.zip!b/c.tif", ("d/a.zip", "b/c.tif")),
        ("/d e/A.ZIP!c.tif", ("/d e/A.ZIP", "c.tif")),
        ("a.zip!b.zip!c.tif", ("a.zip", "b.zip!c.tif")),
        ("a!b.tif", None),
        ("a.zip", None),
        ("a.zip!", None),
    ],
)
def test_split_member(path: str, expected: tuple[str, str] | None) -> None:
    named = split_member(Path(path))
    assert named == (None if expected is None else (Path(expected[0]), expected[1]))
    if named is not None:
        assert str(member_path(*named)) == path


def test_member_folder() -> None:
    assert (member_folder("a/b/c.tif"), member_folder("c.tif")) == (("a/b/", "c.tif"), ("", "c.tif"))


def test_list_members_leaves_out_folders_and_junk(tmp_path: Path) -> None:
    names = ["a/", "a/x.tif", "a\\y.tif", "__MACOSX/a/._x.tif", "a/._x.tif"]
    path = pack(tmp_path / "a.zip", dict.fromkeys(names, b""))
    assert list(list_members(path)) == ["a/x.tif", "a/y.tif"]


def test_member_time_is_that_of_the_archive_s_directory(tmp_path: Path) -> None:
    info = list_members(pack(tmp_path / "a.zip", {"x": b"1"}))["x"]
    assert member_time(info) == 1_485_952_210 * 10**9
    info.date_time = (1980, 0, 0, 0, 0, 0)
    assert member_time(info) == 0


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_member_by_any_method(tmp_path: Path, method: int) -> None:
    path = pack(tmp_path / "a.zip", {"f\\x.tif": TEXT}, method)
    check_member(member_path(path, "f/x.tif"))
    with open_stream(member_path(path, "f/x.tif")) as stream:
        stream.seek(2999)
        assert stream.read() == b"c"
        stream.seek(1)
        assert stream.read(3) == b"bca"


def test_gdal_name(tmp_path: Path) -> None:
    assert gdal_name(tmp_path / "x.tif") == str(tmp_path / "x.tif")
    assert gdal_name(tmp_path / "a.zip!f/x.tif") == f"/vsizip/{{{tmp_path}/a.zip}}/f/x.tif"


def test_source_file_of_a_member_is_known_by_its_content(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.zip", {"f/x.tif": b"1", "f/x.TFW": b"22", "x.tfw": b"", "f/y.tif": b"3"})
    member = member_path(path, "f/x.tif")
    file = SourceFile.of(member, (1, "red"), Folders())
    assert [name for name, *_ in file.sidecars] == ["x.TFW"]
    told = file.to_json()
    assert (told["size"], told["crc"], told["bands"]) == (1, 0x83DCEFB7, [1, "red"])
    pack(path, {"f/x.tif": b"1", "f/x.TFW": b"22", "f/y.tif": b"changed", "new": b""})
    assert SourceFile.of(member, (1, "red"), Folders()) == file
    pack(path, {"f/x.tif": b"2", "f/x.TFW": b"22"})
    assert SourceFile.of(member, (1, "red"), Folders()).crc != file.crc


def test_sidecars_of_a_member_at_the_root_of_an_archive(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.zip", {"x.tif": b"1", "x.tfw": b"22"})
    assert [name for name, *_ in Folders().sidecars(member_path(path, "x.tif"))] == ["x.tfw"]


def test_missing_archive_and_member(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match=r"a\.zip is not there"):
        list_members(tmp_path / "a.zip")
    path = pack(tmp_path / "a.zip", {"x.tif": b"1"})
    for call in (
        lambda: check_member(member_path(path, "y.tif")),
        lambda: SourceFile.of(member_path(path, "y.tif")),
        lambda: existing(member_path(path, "y.tif"), "row 2", "correct it"),
    ):
        with pytest.raises(MissingInputError, match=r"a\.zip!y\.tif is not there"):
            call()


@pytest.mark.parametrize("keep", [0, 10, 400])
def test_archive_that_was_cut_off(tmp_path: Path, keep: int) -> None:
    path = pack(tmp_path / "a.zip", {"x.tif": bytes(range(256)) * 3}, zipfile.ZIP_STORED)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"a\.zip .*cut off.*again"):
        list_members(path)


def test_folder_called_zip(tmp_path: Path) -> None:
    (tmp_path / "a.zip").mkdir()
    with pytest.raises(InputError, match=r"a\.zip cannot be read \(Is a directory\)"):
        list_members(tmp_path / "a.zip")


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
def test_damaged_member(tmp_path: Path, method: int) -> None:
    path = pack(tmp_path / "a.zip", {"x.tif": bytes(range(256)) * 3}, method)
    data = bytearray(path.read_bytes())
    data[50:70] = b"\xff" * 20
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"a\.zip!x\.tif is damaged .*get the archive again"):
        check_member(member_path(path, "x.tif"))


def test_encrypted_member(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.zip", {"x.tif": b"1234"}, zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    data[6] |= 1  # the flag of encryption, in the local header and in the directory
    data[data.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"a\.zip!x\.tif is encrypted, or packed .*unpack it by hand"):
        check_member(member_path(path, "x.tif"))


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_image_that_gdal_does_not_unpack(tmp_path: Path, method: int) -> None:
    path = pack(tmp_path / "a.zip", {"x.tif": TEXT}, method)
    with pytest.raises(InputError, match=r"a\.zip!x\.tif is packed by another method than deflate.*unpack it"):
        SourceFile.of(member_path(path, "x.tif"))
