"""Any text or bytes as a table: it is read, or refused in one of our own errors; never a traceback, never a hang."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rasterloom.dataset import Dataset, load_dataset
from rasterloom.dataset.contest_tables import grid_sizes, read_sample, wkt_rows
from rasterloom.errors import RasterloomError

pytestmark = pytest.mark.slow
HEADER = "ImageId,ClassType,MultipolygonWKT"
VALID = {
    "sheet": "scene\tsplit\tground\tfold\trgb\tnir\tlabels\tlabels:houses\tclasses\n"
    "a\ttrain\tnorth\t1\tx.tif[2,1]\tx.tif;x.tif[red]\tx.tif\t\thouses\n"
    "# a comment\n"
    "b\ttrain\t\t2\tx.tif\t\t\tx.tif[1]\t\n"
    "c\tpredict\t\t\tx.tif\tx.tif\t\t\t\n",
    "grid_sizes": ",Xmax,Ymin\n6010_1_2,0.009188,-0.00904\n6010_0_1,0.0091,-9.1e-3\n",
    "sample": f'{HEADER}\r\n6010_0_1,1,"POLYGON ((0 0, 1 0, 1 1, 0 0))"\r\n6010_0_1,2,"POLYGON EMPTY"\r\n',
    "labels": f'{HEADER}\n6010_1_2,1,"MULTIPOLYGON (((0 0, 1 0, 1 1, 0 0)))"\n6010_1_2,2,MULTIPOLYGON EMPTY\n',
}


def read_sheet(path: Path) -> Dataset:
    (path.parent / "x.tif").touch()
    sensors: dict[str, dict[str, Any]] = {"rgb": {"reference": True}, "nir": {}}
    return load_dataset({"layout": "sheet", "table": str(path)}, sensors, {"houses": 1, "roads": 2})


def read_labels(path: Path) -> list[tuple[str, int]]:
    return [(row.scene, row.class_id) for row in wkt_rows(path)]


def sample_rows(path: Path) -> list[tuple[str, int]]:
    return list(read_sample(path).rows)


READERS: dict[str, Callable[[Path], Any]] = {
    "sheet": read_sheet,
    "grid_sizes": grid_sizes,
    "sample": sample_rows,
    "labels": read_labels,
}
TABLES = pytest.mark.parametrize("table", list(READERS))

ODD = [
    "\0",
    "\r",
    "\n",
    "\r\n",
    "\t",
    ",",
    '"',
    '""',
    "'",
    ";",
    "[",
    "]",
    "!",
    ".zip!",
    "\ufeff",
    "#",
    "\x0b",
    "\x1c",
    "\x85",
]
ODD += [
    "\u2028",
    " ",
    "-",
    "..",
    "/",
    "~/",
    "1e999",
    "nan",
    "-inf",
    "²",
    "٣",
    "1_0",
    "9" * 5000,
    "x" * 140_000,
    "é",
    "\U0001f6f0",
]


def outcome(table: str, content: bytes) -> Any:
    """What a reader gives for a table, or its error; anything but our own errors is a failure of the test."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        path.write_bytes(content)
        try:
            return READERS[table](path)
        except RasterloomError as error:
            message = str(error)
            assert message.strip() and len(message) < 2000, "one line, not the file"
            assert "table.csv" in message, "it names the file"
            return error


@TABLES
def test_valid_table_is_read(table: str) -> None:
    assert not isinstance(outcome(table, VALID[table].encode()), Exception)


@TABLES
@given(content=st.binary(max_size=300))
@example(content=b"\xff\xfe")
@example(content=b"\0" * 100)
def test_any_bytes(table: str, content: bytes) -> None:
    outcome(table, content)


@TABLES
@given(text=st.text(max_size=300))
def test_any_text(table: str, text: str) -> None:
    outcome(table, text.encode("utf-8", "surrogatepass"))


@TABLES
@given(text=st.lists(st.sampled_from(["scene", "split", "a", "x.tif", "1", "-1", *ODD]), max_size=30).map("".join))
def test_any_text_below_a_valid_header(table: str, text: str) -> None:
    header = VALID[table].splitlines(keepends=True)[0]
    outcome(table, f"{header}{text}".encode())


def cells_of(table: str) -> list[list[str]]:
    mark = "\t" if table == "sheet" else ","
    return [line.split(mark) for line in VALID[table].splitlines()]


@TABLES
@settings(max_examples=150)
@given(data=st.data())
def test_valid_table_with_changes(table: str, data: st.DataObject) -> None:
    """Cells swapped, dropped, doubled, replaced, with something put in between; then the line ends."""
    lines = cells_of(table)
    for _ in range(data.draw(st.integers(1, 3))):
        row = data.draw(st.integers(0, len(lines) - 1))
        column = data.draw(st.integers(0, max(0, len(lines[row]) - 1)))
        kind = data.draw(st.sampled_from(["swap", "drop", "double", "replace", "insert", "double row", "drop row"]))
        if not lines[row]:
            continue
        if kind == "swap":
            other = data.draw(st.integers(0, len(lines[row]) - 1))
            lines[row][column], lines[row][other] = lines[row][other], lines[row][column]
        elif kind == "drop":
            del lines[row][column]
        elif kind == "double":
            lines[row].insert(column, lines[row][column])
        elif kind == "replace":
            lines[row][column] = data.draw(st.sampled_from(ODD) | st.text(max_size=10))
        elif kind == "insert":
            cell = lines[row][column]
            place = data.draw(st.integers(0, len(cell)))
            lines[row][column] = cell[:place] + data.draw(st.sampled_from(ODD)) + cell[place:]
        elif kind == "double row":
            lines.insert(row, list(lines[row]))
        elif len(lines) > 1:
            del lines[row]
    mark = "\t" if table == "sheet" else ","
    end = data.draw(st.sampled_from(["\n", "\r\n", "\r"]))
    text = end.join(mark.join(line) for line in lines) + data.draw(st.sampled_from(["", end]))
    outcome(table, (data.draw(st.sampled_from(["", "\ufeff"])) + text).encode("utf-8", "surrogatepass"))


@TABLES
@given(data=st.data())
def test_valid_table_with_bytes_changed_or_cut_off(table: str, data: st.DataObject) -> None:
    content = bytearray(VALID[table].encode())
    for _ in range(data.draw(st.integers(0, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    outcome(table, bytes(content[: data.draw(st.integers(0, len(content)))]))


@TABLES
@given(text=st.sampled_from(ODD), place=st.integers(0, 200))
def test_names_that_are_accepted_cannot_leave_the_results(table: str, text: str, place: int) -> None:
    if table != "sheet":
        return
    whole = VALID[table]
    found = outcome(table, (whole[:place] + text + whole[place:]).encode())
    if isinstance(found, Dataset):
        for scene in found.scenes.values():
            for name in (scene.id, scene.ground, scene.fold or "x"):
                assert "/" not in name and "\0" not in name and name.isascii() and name[0].isalnum()
