"""Tables of labels as WKT: a column of geometries, fields of any length, separators of any spreadsheet."""

import csv
import io
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from rasterloom.dataset.archive import list_members
from rasterloom.dataset.contest_tables import table_bytes
from rasterloom.errors import LabelError
from rasterloom.labels.geometry import parse_wkt, split_srid

TABLES = frozenset({".csv", ".tsv"})
"""Endings of files that are read as tables of WKT; so are packed ones (`is_table`)."""

SEPARATORS = (",", ";", "\t", "|")

GEOMETRY = ("wkt", "geometry", "geom", "multipolygonwkt")
"""What the column of geometries may be called, in any letters; the first that is there counts."""

CONTEST = {"imageid": "scene", "classtype": "class"}
"""Columns of the contest's tables, and what they are called in others."""

_NOTHING = "\x1f"
"""Separates nothing: for a table of a single column, whose geometries may hold commas."""


def read_wkt_table(path: Path) -> Any:
    """A table with a column of WKT as a GeoDataFrame.

    The separator is the one of ``,``, ``;``, tab and ``|`` that the header has most of. An empty geometry is None.
    EWKT (``SRID=32616;POLYGON ...``) names the table's coordinate system.

    Parameters
    ----------
    path : Path
        UTF-8 text, plain or packed (`is_table`); quotes as in RFC 4180.

    Returns
    -------
    GeoDataFrame
        One row per record; the columns beside the geometry hold text.

    Raises
    ------
    LabelError
        If it is not such a table, a row has another number of cells than the header, a quote does not end, a
        geometry cannot be read, or rows name different coordinate systems; names file and row.

    Notes
    -----
    Measured: a field of 77 MB takes 3.5 s, nearly all of it in GEOS, and 0.9 GB.
    """
    import geopandas

    records = table_records(path)
    names = [cell.strip() for cell in records[0][1]]
    column = _geometry_column(path, names)
    geometries: list[Any] = []
    systems: dict[int, str] = {}
    for line, row in records[1:]:
        where = f"{path}, row {line}"
        if len(row) != len(names):
            raise LabelError(
                f"{where}: it has {len(row)} cells and the header {len(names)}: put a geometry that holds the "
                "separator in quotes, and give every column a cell"
            )
        srid, wkt = split_srid(row.pop(column))
        if srid:
            systems.setdefault(srid, where)
        geometries.append(parse_wkt(wkt, where) if wkt.strip() else None)
    others = columns_of(path, [name for i, name in enumerate(names) if i != column])
    table = {name: [row[i].strip() for _, row in records[1:]] for i, name in enumerate(others)}
    return geopandas.GeoDataFrame(table, geometry=geopandas.GeoSeries(geometries, crs=None), crs=_crs(systems))


def is_table(path: Path) -> bool:
    """Whether a file is read as a table of WKT: by its ending, or that of a .csv file in a .zip."""
    suffix = path.suffix.lower()
    packed = suffix == ".zip" and any(name.lower().endswith(".csv") for name in list_members(path))
    return packed or suffix in TABLES or suffix == ".gz"


def table_records(path: Path, separators: Sequence[str] = SEPARATORS) -> list[tuple[int, list[str]]]:
    """Number of the first line, from 1, and cells of each record of a table that is not blank, the header included.

    Of the separators the one counts that the header has most of.

    Raises
    ------
    LabelError, InputError
        If the file cannot be read or unpacked, is not UTF-8, or a quote does not end.
    """
    limit = csv.field_size_limit(sys.maxsize)
    try:
        data = table_bytes(path)
        data.decode("utf-8-sig")  # whole, so that an error tells where; a StringIO of it would take 4 bytes a character
        with io.TextIOWrapper(io.BytesIO(data), "utf-8-sig", newline="") as file:
            return list(_records(path, file, separators))
    except UnicodeDecodeError as error:
        row, byte = error.object.count(b"\n", 0, error.start) + 1, error.object[error.start]
        raise LabelError(f"{path}, row {row}: byte {byte:#04x} is not UTF-8: save the table as UTF-8 text") from None
    finally:
        csv.field_size_limit(limit)


def _records(path: Path, file: TextIO, separators: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """Number of the first line, from 1, and cells of each record that is not blank; the header is the first."""
    header = file.readline()
    if not header.strip():
        raise LabelError(
            f"{path} has no header: a table of labels begins with a row such as class,WKT (that row alone, where "
            "nothing is to be found)"
        )
    best = max(separators, key=header.count)
    file.seek(0)
    reader = csv.reader(file, delimiter=best if best in header else _NOTHING, strict=True)
    line = 1
    try:
        for cells in reader:
            if len(cells) > 1 or (cells and cells[0].strip()):
                yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        if "end of data" in str(error):
            raise LabelError(
                f"{path}, row {line}: a quote does not end: close it; if the file was cut off, get it again"
            ) from None
        raise LabelError(f"{path}, row {line}: text follows a closing quote: double the quotes within a cell") from None


def columns_of(path: Path, names: Sequence[str]) -> list[str]:
    """Names of the columns; those of the contest's tables become ours."""
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


def _geometry_column(path: Path, names: Sequence[str]) -> int:
    lower = [name.lower() for name in names]
    found = [lower.index(name) for name in GEOMETRY if name in lower]
    if not found:
        shown = ", ".join(names)[:80]
        raise LabelError(f"{path} has no geometry (its columns: {shown}): call the column of geometries WKT")
    return found[0]
