"""Tables of labels as WKT: a column of geometries, fields of any length, separators of any spreadsheet."""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rasterloom.errors import LabelError
from rasterloom.labels.geometry import parse_wkt, split_srid

TABLES = frozenset({".csv", ".tsv"})
"""Endings of files that are read as tables of WKT."""

SEPARATORS = (b",", b";", b"\t", b"|")

GEOMETRY = ("wkt", "geometry", "geom", "multipolygonwkt")
"""What the column of geometries may be called, in any letters; the first that is there counts."""

CONTEST = {"imageid": "scene", "classtype": "class"}
"""Columns of the contest's tables, and what they are called in others."""

_QUOTE = b'"'

_NOTHING = b"\x1f"
"""Separates nothing: for a table of a single column, whose geometries may hold commas."""


def read_wkt_table(path: Path) -> Any:
    """A table with a column of WKT as a GeoDataFrame.

    The separator is the one of ``,``, ``;``, tab and ``|`` that the header has most of. An empty geometry is None.
    EWKT (``SRID=32616;POLYGON ...``) names the table's coordinate system.

    Parameters
    ----------
    path : Path
        UTF-8 text; quotes as in RFC 4180.

    Raises
    ------
    LabelError
        If it is not such a table, a row has another number of cells than the header, a quote does not end, a
        geometry cannot be read, or rows name different coordinate systems; names file and row.

    Notes
    -----
    The file is mapped into memory and each field copied once. Measured: a field of 100 MB takes 4.8 s, nearly all of
    it in GEOS, and 1.1 GB.
    """
    import geopandas

    with _mapped(path) as data:
        rows = _records(path, data, _separator(path, data))
        _, header = next(rows, (1, []))
        names = [_text(cell, f"{path}, row 1").strip().lstrip("\ufeff") for cell in header]
        column = _geometry_column(path, names)
        geometries: list[Any] = []
        systems: dict[int, str] = {}
        cells: list[list[str]] = []
        for line, row in rows:
            where = f"{path}, row {line}"
            if len(row) != len(names):
                raise LabelError(
                    f"{where}: it has {len(row)} cells and the header {len(names)}: put a geometry that holds the "
                    "separator in quotes, and give every column a cell"
                )
            srid, wkt = split_srid(_text(row[column], where))
            if srid:
                systems.setdefault(srid, where)
            geometries.append(parse_wkt(wkt, where) if wkt.strip() else None)
            cells.append([_text(cell, where).strip() for i, cell in enumerate(row) if i != column])
    others = _columns(path, [name for i, name in enumerate(names) if i != column])
    table = {name: [row[i] for row in cells] for i, name in enumerate(others)}
    return geopandas.GeoDataFrame(table, geometry=geopandas.GeoSeries(geometries, crs=None), crs=_crs(systems))


def _columns(path: Path, names: Sequence[str]) -> list[str]:
    """Names of the columns beside the geometry; those of the contest's tables become ours."""
    renamed = [CONTEST.get(name.lower(), name) for name in names]
    ours = [new if new not in names else name for new, name in zip(renamed, names, strict=True)]
    for name in ours:
        if ours.count(name) > 1:
            raise LabelError(f"{path}, row 1: column {name!r} is there {ours.count(name)} times: remove one")
    return ours


def _crs(systems: dict[int, str]) -> Any:
    """The coordinate system that the rows of a table name, each with the first row that does."""
    from pyproj import CRS
    from pyproj.exceptions import CRSError

    if not systems:
        return None
    (first, where), *others = systems.items()
    if others:
        raise LabelError(
            f"{others[0][1]}: SRID {others[0][0]} given, and {first} in another row ({where.rsplit(', ', 1)[-1]}): "
            "bring all rows to one coordinate system"
        )
    try:
        return CRS.from_epsg(first)
    except CRSError:
        raise LabelError(f"{where}: SRID {first} is not an EPSG number: correct it") from None


@contextmanager
def _mapped(path: Path) -> Iterator[mmap.mmap | bytes]:
    try:
        with path.open("rb") as file:
            if not path.stat().st_size:
                yield b""
                return
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                yield data
    except OSError as error:
        raise LabelError(f"{path} cannot be read as a table of WKT ({error}): check the file") from None


def _separator(path: Path, data: mmap.mmap | bytes) -> bytes:
    end = data.find(b"\n")
    header = data[: end if end >= 0 else min(len(data), 10_000)]
    if not header.strip():
        raise LabelError(
            f"{path} has no header: a table of labels begins with a row such as class,WKT (that row alone, where "
            "nothing is to be found)"
        )
    best = max(SEPARATORS, key=header.count)
    return best if best in header else _NOTHING


def _geometry_column(path: Path, names: Sequence[str]) -> int:
    lower = [name.lower() for name in names]
    for name in GEOMETRY:
        if name in lower:
            return lower.index(name)
    shown = ", ".join(names)[:80]
    raise LabelError(f"{path} has no geometry (its columns: {shown}): call the column of geometries WKT")


def _text(cell: bytes, where: str) -> str:
    try:
        return cell.decode("utf-8")
    except UnicodeDecodeError as error:
        raise LabelError(
            f"{where}: byte {error.object[error.start]:#04x} is not UTF-8: save the table as UTF-8 text"
        ) from None


def _records(path: Path, data: mmap.mmap | bytes, separator: bytes) -> Iterator[tuple[int, list[bytes]]]:
    """Number of the first line, from 1, and cells of each record that is not blank."""
    position, line = 0, 1
    while position < len(data):
        cells, start = [], position
        more = True
        while more:
            cell, position, more = _field(path, data, position, separator, line)
            cells.append(cell)
        if len(cells) > 1 or cells[0].strip():
            yield line, cells
        line += _newlines(data, start, position)


def _field(path: Path, data: mmap.mmap | bytes, position: int, separator: bytes, line: int) -> tuple[bytes, int, bool]:
    """The cell that begins at `position`, where the next one does, and whether that is in the same record."""
    text = b""
    begin = position
    if data[position : position + 1] == _QUOTE:
        text, begin = _quoted(path, data, position + 1, line)
    newline = data.find(b"\n", begin)
    newline = len(data) if newline < 0 else newline
    end = data.find(separator, begin, newline)
    more = end >= 0
    end = end if more else newline
    rest = data[begin:end] if more else data[begin:end].removesuffix(b"\r")
    if begin > position and rest.strip():
        raise LabelError(f"{path}, row {line}: {rest[:40]!r} follows a closing quote: double the quotes within a cell")
    return (text if begin > position else rest), end + 1, more


def _quoted(path: Path, data: mmap.mmap | bytes, start: int, line: int) -> tuple[bytes, int]:
    """The text of a quoted cell, and where what follows its closing quote begins."""
    position, doubled = start, False
    while True:
        end = data.find(_QUOTE, position)
        if end < 0:
            raise LabelError(
                f"{path}, row {line}: a quote that begins with {data[start : start + 40]!r} does not end: "
                "close it; if the file was cut off, get it again"
            )
        if data[end + 1 : end + 2] != _QUOTE:
            text = data[start:end]
            return (text.replace(_QUOTE * 2, _QUOTE) if doubled else text), end + 1
        position, doubled = end + 2, True


def _newlines(data: mmap.mmap | bytes, start: int, end: int) -> int:
    """Line ends in a part of the data."""
    count, position = 0, data.find(b"\n", start, end)
    while position >= 0:
        count += 1
        position = data.find(b"\n", position + 1, end)
    return count
