"""Files beside an image, and those that it is made of: a change of one is a change of the image."""

from __future__ import annotations

from pathlib import Path

from rasterloom.dataset.source_files import Folders


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_parts_of_a_vrt_and_the_header_of_envi_are_seen(tmp_path: Path) -> None:
    _write(tmp_path / "deep/b&w.tif", "1")
    _write(tmp_path / "a.vrt", '<SourceFilename relativeToVRT="1">deep/b&amp;w.tif</SourceFilename>')
    _write(tmp_path / "c.img", "1")
    _write(tmp_path / "c.hdr", "1")
    before = Folders().sidecars(tmp_path / "a.vrt")
    assert [name for name, *_ in before] == ["deep/b&w.tif"]
    assert [name for name, *_ in Folders().sidecars(tmp_path / "c.img")] == ["c.hdr"]
    no_files = "<SourceDataset>/vsizip/no.zip/x.tif</SourceDataset>\n<SourceFilename>" + "x" * 9999 + "<"
    _write(tmp_path / "d.vrt", no_files)
    assert Folders().sidecars(tmp_path / "d.vrt") == ()
    _write(tmp_path / "deep/b&w.tif", "22")
    assert Folders().sidecars(tmp_path / "a.vrt") != before
