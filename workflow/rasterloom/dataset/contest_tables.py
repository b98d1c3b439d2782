"""The contest's tables: grid sizes, labels as WKT, and the sample submission."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rasterloom.dataset.archive import list_members, member_path, open_stream
from rasterloom.errors import InputError, MissingInputError
from rasterloom.text import brief


@dataclass(frozen=True)
class WktRow:
    """A row of a table of labels, its geometry not yet read.

    Attributes
    ----------
    scene : str
    class_id : int
    line : int
        Row of the file, counted from 1; the header is row 1.
    start, end : int
        Where the geometry's text lies in the file's bytes.
    """

    scene: str
    class_id: int
    line: int
    start: int
    end: int


def table_paths(root: Path, name: str) -> list[Path]:
    """Where a table is looked for, in this order."""
    stem = name.rsplit(".", 1)[0]
    return [root / name, root / name / name, root / stem / name, root / f"{name}.zip", root / f"{stem}.zip"]


def table_bytes(path: Path) -> bytes:
    """The bytes of a table; those of a zipped or gzipped one are unpacked.

    Raises
    ------
    FileNotFoundError
        If it is not there.
    InputError
        If it may not be read, is packed and damaged, or a zip does not hold exactly one .csv file.
    """
    ending = path.suffix.lower()
    if ending == ".zip":
        names = [name for name in list_members(path) if name.lower().endswith(".csv")]
        if len(names) != 1:
            raise InputError(f"{path} holds {len(names)} .csv files, one is needed: unpack it by hand")
        with open_stream(member_path(path, names[0])) as stream:
            return stream.read()
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): check what it is and its permissions") from None
    try:
        return gzip.decompress(data) if ending == ".gz" else data
    except (EOFError, OSError, zlib.error) as error:
        raise InputError(f"{path} is no gzip file, or was cut off ({error}): get it again") from None


def wkt_rows(path: Path, data: bytes) -> Iterator[WktRow]:
    """Rows of a table ImageId, ClassType, MultipolygonWKT, without decoding any geometry.

    Parameters
    ----------
    path : Path
        For messages.
    data : bytes
        As `table_bytes` gives them.

    Yields
    ------
    WktRow

    Raises
    ------
    InputError
        If the header is not the contest's, or a row has no scene and class number; names file and row.

    Notes
    -----
    Searches for separators only: a table of 100 MB takes about 0.05 s once it is in the system's cache.
    """
    end, other = _header(data)
    if other is not None:
        raise InputError(
            f"{path} begins with {other!r}; a table of labels begins with the row "
            "ImageId,ClassType,MultipolygonWKT and has these columns, separated by commas"
        )
    position, line = end + 1, 2
    while position < len(data):
        row, following = _wkt_row(path, data, position, line)
        if row is not None:
            yield row
        line += data[position:following].count(b"\n") if row is None else 1
        position = following


def _header(data: bytes) -> tuple[int, str | None]:
    """Where the first line of a table ends, and what it begins with if it is not the contest's header."""
    end = _line_end(data, 0)
    header = data[:end].decode("utf-8-sig", "replace").strip()
    names = [name.strip().strip('"').lower() for name in header.split(",")]
    return end, None if names == ["imageid", "classtype", "multipolygonwkt"] else header[:80]


def _line_end(data: bytes, start: int) -> int:
    """Where the line that `start` is in ends."""
    end = data.find(b"\n", start)
    return end if end >= 0 else len(data)


def _wkt_row(path: Path, data: bytes, position: int, line: int) -> tuple[WktRow | None, int]:
    """The row that begins at `position` (None for an empty one) and where the next one begins."""
    newline = _line_end(data, position)
    first = data.find(b",", position, newline)
    if first < 0:
        if data[position:newline].strip():
            raise InputError(f"{path}, row {line}: {data[position : position + 60]!r} is not a row of labels")
        return None, newline + 1
    second = data.find(b",", first + 1, newline)
    scene = data[position:first].decode("utf-8", "replace").strip().strip('"')
    number = data[first + 1 : max(second, first + 1)].decode("utf-8", "replace").strip().strip('"')
    if second < 0 or not scene or not is_number(number):
        raise InputError(
            f"{path}, row {line}: scene {brief(scene)!r} and class {brief(number)!r} given; an id, a class number and"
            " a WKT geometry are needed, separated by commas"
        )
    start, end = second + 1, newline
    if data[start : start + 1] == b'"':
        start += 1
        end = data.find(b'"', start)
        if end < 0:
            raise InputError(
                f"{path}, row {line} (scene {brief(scene)}, class {number}): its quoted geometry does not end: "
                "the file was cut off; get it again"
            )
        newline = _line_end(data, end)
    return WktRow(scene, int(number), line, start, end), newline + 1


def is_number(text: str) -> bool:
    """Whether a text is a class number, of a length that a number can have."""
    return text.isdecimal() and text.isascii() and len(text) < 10


def grid_sizes(path: Path) -> dict[str, tuple[float, float]]:
    """Xmax (> 0) and Ymin (< 0), in grid units, of each image.

    Raises
    ------
    InputError
        For a row that is not an id and two numbers of these signs, or two rows of an image that differ; names file
        and row.
    """
    sizes: dict[str, tuple[float, float]] = {}
    for line, cells in _rows(path, "an id (the column may be unnamed), Xmax and Ymin"):
        try:
            xmax, ymin = float(cells[1]), float(cells[2])
        except ValueError:
            xmax = ymin = float("nan")
        if not (0 < xmax < float("inf") and float("-inf") < ymin < 0):
            raise InputError(
                f"{path}, row {line} ({brief(cells[0])}): Xmax {brief(cells[1])!r} and Ymin {brief(cells[2])!r} given; "
                "a positive and a negative number are needed: get the file again"
            )
        if sizes.setdefault(cells[0], (xmax, ymin)) != (xmax, ymin):
            raise InputError(
                f"{path}, row {line} ({brief(cells[0])}): Xmax {xmax:g} and Ymin {ymin:g} given, and others in a row"
                " above: remove the wrong row, or get the file again"
            )
    return sizes


def _rows(path: Path, needed: str) -> Iterator[tuple[int, list[str]]]:
    """Row number and cells, three at least, of each row of a small table, but for the header."""
    text = table_bytes(path).decode("utf-8-sig", "replace")
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        next(reader, None)
        for cells in reader:
            if len(cells) >= 3:
                yield reader.line_num, [cell.strip() for cell in cells]
            elif any(cell.strip() for cell in cells):
                raise InputError(f"{path}, row {reader.line_num}: {','.join(cells)[:60]!r} given; needed: {needed}")
    except csv.Error as error:
        raise InputError(
            f"{path}, row {reader.line_num}: it cannot be read ({error}); needed: {needed}: get the file again"
        ) from None


@dataclass(frozen=True)
class Sample:
    """What a sample submission asks for.

    Attributes
    ----------
    rows : tuple of (scene, class number)
        In order.
    newline : str
        How its lines end.
    """

    rows: tuple[tuple[str, int], ...]
    newline: str


def read_sample(path: Path) -> Sample:
    """Read a sample submission: its rows, order and line ends; the geometries are dummies.

    Raises
    ------
    MissingInputError, InputError
        If it is not there, or is not a table of ImageId, ClassType, MultipolygonWKT.
    """
    try:
        data = table_bytes(path)
    except FileNotFoundError:
        raise MissingInputError(f"{path} is not there: the sample submission says which rows are needed") from None
    end, other = _header(data)
    if other is not None:
        raise InputError(
            f"{path} has the columns {other!r}: ImageId, ClassType, MultipolygonWKT are needed, separated by commas; is"
            " it the sample? Get it again"
        )
    rows = []
    for line, cells in _rows(path, "an image, a class number and a geometry"):
        if not cells[0] or not is_number(cells[1]):
            raise InputError(
                f"{path}, row {line}: image {brief(cells[0])!r} and class {brief(cells[1])!r} given; an id and a class"
                " number are needed: get the file again"
            )
        rows.append((cells[0], int(cells[1])))
    return Sample(tuple(rows), "\r\n" if data[: end + 1].endswith(b"\r\n") else "\n")
