"""Tab-separated tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from rasterloom.errors import MissingInputError, StoreError
from rasterloom.store.tables import read_tsv, tsv_text


def test_tsv_text_reads_back_without_tabs_and_newlines_in_cells(tmp_path: Path) -> None:
    path = tmp_path / "t.tsv"
    path.write_text(tsv_text(("a", "b"), [["1\t2\n3", " x "], ["", "ä"]]), encoding="utf-8")
    assert path.read_text(encoding="utf-8") == "a\tb\n1 2 3\tx\n\tä\n"
    assert read_tsv(path, ("a", "b"), "s", "things", dict) == [{"a": "1 2 3", "b": "x"}, {"a": "", "b": "ä"}]


def test_read_tsv_errors(tmp_path: Path) -> None:
    path = tmp_path / "t.tsv"
    with pytest.raises(MissingInputError, match="run the stage `quality` first"):
        read_tsv(path, ("a",), "quality", "things", dict)
    for text in ("", "b\n", "a\n1\t2\n"):
        path.write_text(text)
        with pytest.raises(StoreError, match=r"t\.tsv is not a table of things \(.*\): delete it"):
            read_tsv(path, ("a",), "quality", "things", dict)


def test_read_tsv_parses_rows_or_says_why_not(tmp_path: Path) -> None:
    path = tmp_path / "t.tsv"
    path.write_text(tsv_text(("a",), [[1], [2]]))
    assert read_tsv(path, ("a",), "s", "numbers", lambda row: int(row["a"])) == [1, 2]
    path.write_text(tsv_text(("a",), [["one"]]))
    with pytest.raises(StoreError, match="'one'"):
        read_tsv(path, ("a",), "s", "numbers", lambda row: int(row["a"]))
