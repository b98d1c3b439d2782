"""The contest's tables: grid sizes, labels as WKT, and the sample submission."""

import csv
import gzip
import io
import sys
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from rasterloom.dataset.archive import list_members, member_path, open_stream
from rasterloom.errors import InputError, MissingInputError
from rasterloom.text import brief


class WktRow(NamedTuple):
    """A row of a table of labels: its number, counted from 1 with the header, and what it says."""

    line: int
    scene: str
    class_id: int
    wkt: str


def table_paths(root: Path, name: str) -> list[Path]:
    """Where a table is looked for, in this order."""
    stem = name.rsplit(".", 1)[0]
    return [root / name, root / name / name, root / stem / name, root / f"{name}.zip", root / f"{stem}.zip"]


def table_bytes(path: Path) -> bytes:
    """The bytes of a table; those of a zipped or gzipped one are unpacked.

    Raises
    ------
    MissingInputError
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
        raise MissingInputError(f"{path} is not there: correct the path, or get the file again") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): check what it is and its permissions") from None
    try:
        return gzip.decompress(data) if ending == ".gz" else data
    except (EOFError, OSError, zlib.error) as error:
        raise InputError(f"{path} is no gzip file, or was cut off ({error}): get it again") from None


def wkt_rows(path: Path) -> Iterator[WktRow]:
    """Rows of a table ImageId, ClassType, MultipolygonWKT; a geometry may stand there without quotes.

    Raises
    ------
    InputError
        If the header is not the contest's, or a row has no scene and class number; names file and row.

    Notes
    -----
    Memory: the bytes of the table. One of 96 MB takes 0.4 s once it is in the system's cache.
    """
    data = table_bytes(path)
    header = data.partition(b"\n")[0].decode("utf-8-sig", "replace").strip()
    if [name.strip().strip('"').lower() for name in header.split(",")] != ["imageid", "classtype", "multipolygonwkt"]:
        raise InputError(
            f"{path} begins with {header[:80]!r}; a table of the contest begins with the row "
            "ImageId,ClassType,MultipolygonWKT and has these columns, separated by commas: get the file again"
        )
    needed = "an id, a class number and a WKT geometry"
    for line, (scene, number, *wkt) in _rows(path, data, ("scene", "class"), needed):
        if not scene or not is_number(number):
            raise InputError(
                f"{path}, row {line}: scene {brief(scene)!r} and class {brief(number)!r} given; {needed} are needed, "
                "separated by commas"
            )
        yield WktRow(line, scene, int(number), ",".join(wkt))


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
    for line, cells in _rows(path, table_bytes(path), ("scene",), "an id (it needs no name), Xmax and Ymin"):
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


def _rows(path: Path, data: bytes, names: Sequence[str], needed: str) -> Iterator[tuple[int, list[str]]]:
    """Number, from 1, and cells, three at least, of each row of a table that is not blank, but for the header.

    `names` are those of the first cells, and `needed` says what a row must hold.
    """
    text = io.TextIOWrapper(io.BytesIO(data), "utf-8-sig", "replace", newline="")
    limit = csv.field_size_limit(sys.maxsize)
    reader, line, first = csv.reader(text, strict=True), 2, 0
    try:
        next(reader, None)
        first = reader.line_num
        for cells in reader:
            if len(cells) >= 3:
                yield line, [cell.strip() for cell in cells]
            elif any(cell.strip() for cell in cells):
                raise InputError(f"{path}, row {line}: {','.join(cells)[:60]!r} given; needed: {needed}")
            line, first = line + 1, reader.line_num
    except csv.Error as error:
        cells = data.splitlines()[first].decode("utf-8", "replace").split(",")
        begins = ", ".join(f"{name} {brief(cell)}" for name, cell in zip(names, cells, strict=False))
        if "end of data" in str(error):
            raise InputError(
                f"{path}, row {line} ({begins}): a quote does not end: the file was cut off; get it again"
            ) from None
        raise InputError(f"{path}, row {line} ({begins}): {error}; needed: {needed}: get the file again") from None
    finally:
        csv.field_size_limit(limit)


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
    first = table_bytes(path).partition(b"\n")[0]
    rows = tuple((row.scene, row.class_id) for row in wkt_rows(path))
    return Sample(rows, "\r\n" if first.endswith(b"\r") else "\n")
