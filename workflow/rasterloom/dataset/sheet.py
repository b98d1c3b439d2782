"""The layout for one's own imagery: a tab-separated table with one row per scene and one column per sensor."""

import csv
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rasterloom.dataset.index import (
    ID_LENGTH,
    ID_PATTERN,
    Dataset,
    LabelFile,
    Scene,
    reference_sensor,
    without_seen_truth,
)
from rasterloom.dataset.source_files import Bands, Folders, SourceFile, existing
from rasterloom.errors import ConfigError, InputError
from rasterloom.grouping import grouped
from rasterloom.text import brief, few, nearest

COLUMNS = ("scene", "split", "region", "ground", "acquisition", "row", "column", "fold", "classes", "labels")
"""Columns that are no sensors; besides them ``labels:<class>``."""

CHOICE = re.compile(r"(?P<path>.*?)(?:\[(?P<bands>[^\[\]]*)\])?")
"""A path, perhaps with bands in square brackets at its end."""


@dataclass(frozen=True)
class Row:
    """A row of the sheet, and what reading it needs to know.

    Attributes
    ----------
    table : Path
    line : int
        Row of the file, counted from 1; the header is row 1.
    cells : dict of str to str
        By column, without blanks around.
    folders : Folders
        Listings of the folders that the rows of a sheet name.
    """

    table: Path
    line: int
    cells: dict[str, str]
    folders: Folders = field(default_factory=Folders, compare=False, repr=False)

    def at(self, column: str) -> str:
        """Words that say where a cell is."""
        scene = self.cells.get("scene")
        return f"{self.table}, row {self.line}{f' (scene {brief(scene)})' if scene else ''}, column {column}"

    def error(self, column: str, text: str) -> InputError:
        """What is wrong with a cell."""
        return InputError(f"{self.at(column)}: {text}")

    def get(self, column: str) -> str:
        """The cell, '' if it is empty or the column is not there."""
        return self.cells.get(column, "")


def load(dataset: Mapping[str, Any], sensors: Mapping[str, Mapping[str, Any]], classes: Mapping[str, int]) -> Dataset:
    """Index the scenes of a sheet; see `rasterloom.dataset.load_dataset` and docs/own-imagery.md for the columns.

    ``dataset["predict"]`` may limit the scenes to predict to a list of ids; without it (or with ``all``) it
    is every row whose split is ``predict``. With ``dataset["region"]`` rows of other regions count as if they were not
    there, but for those that models learn from.
    """
    table = Path(str(dataset["table"]))
    reference = reference_sensor(sensors)
    clash = sorted({*COLUMNS} & {*sensors})
    if clash:
        raise ConfigError(f"sensors: {clash[0]!r} is the name of another column of a sheet: choose another name")
    scenes: dict[str, Scene] = {}
    rows: dict[str, Row] = {}
    for row in _within(read_rows(table, list(sensors), list(classes)), dataset.get("region")):
        scene = _scene(row, list(sensors), list(classes), reference)
        if scene.id in scenes:
            other = rows[scene.id].line
            raise row.error("scene", f"the same id is in row {other}; an id may occur once: rename one")
        scenes[scene.id], rows[scene.id] = scene, row
    scenes = _limited(dict(sorted(scenes.items())), dataset.get("predict"), table)
    _check_folds(table, scenes, rows)
    scenes, notes = without_seen_truth(scenes)
    notes += _same_reference(scenes, reference)
    return Dataset("sheet", scenes, reference, dict(classes), {"sheet": SourceFile.of(table)}, tuple(notes))


def read_rows(table: Path, sensors: Sequence[str], classes: Sequence[str]) -> list[Row]:
    """Rows of a sheet, its columns checked; blank lines and lines that begin with # are left out.

    Raises
    ------
    MissingInputError
        If the sheet is not there.
    InputError
        If a column is unknown, doubled or missing, a row has too many cells, or there is no row.
    """
    split = read_cells(table)
    if not split:
        raise InputError(
            f"{table} is empty: it needs a header (scene, split, one column per sensor) and one row per scene"
        )
    header = split[0][1]
    _check_header(table, header, sensors, classes)
    rows, folders = [], Folders()
    for line, cells in split[1:]:
        if len(cells) > len(header):
            raise InputError(
                f"{table}, row {line}: it has {len(cells)} cells and the header {len(header)}: "
                "remove a tab, or name the column"
            )
        rows.append(Row(table, line, dict(zip(header, cells, strict=False)), folders))
    if not rows:
        raise InputError(f"{table} has a header but no scene: add one row per scene")
    return rows


def read_cells(table: Path) -> list[tuple[int, list[str]]]:
    """Line number and cells, without blanks around, of the header and each row of a sheet; nothing else is checked.

    Raises
    ------
    MissingInputError, InputError
        If the sheet is not there, cannot be read, or has a quote that is not closed.
    """
    existing(table, "dataset.table", "write one as docs/own-imagery.md shows, or correct the path")
    try:
        text = table.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{table} is not text in UTF-8: save the sheet as tab-separated text (UTF-8)") from None
    except OSError as error:
        raise InputError(f"{table} cannot be read ({error.strerror}): check what it is and its permissions") from None
    split_lines = enumerate(re.split(r"\r\n|\r|\n", text), 1)
    lines = [(n, line) for n, line in split_lines if line.strip() and not line.startswith("#")]
    return [(n, [cell.strip() for cell in _cells(table, n, line)]) for n, line in lines]


def _cells(table: Path, line: int, text: str) -> list[str]:
    """The cells of a line, which a spreadsheet may have put in quotes."""
    try:
        return next(csv.reader([text], delimiter="\t", strict=True))
    except csv.Error as error:
        fault = "a cell is too long" if "limit" in str(error) else "a quote is not closed or stands within a cell"
        raise InputError(f"{table}, row {line}: {fault} of {text[:60]!r} ({error}): remove it") from None


def _check_header(table: Path, header: Sequence[str], sensors: Sequence[str], classes: Sequence[str]) -> None:
    if len(header) == 1 and re.search(r"[,;\s]", header[0]):
        raise InputError(f"{table}: the header {header[0][:60]!r} has no tab: save the sheet with tabs between columns")
    valid = [*COLUMNS, *sensors, *(f"labels:{name}" for name in classes)]
    if "group" in header and "group" not in valid:
        raise InputError(
            f"{table}, row 1: the column 'group' is two columns now: 'ground' (scenes that show the same ground, which"
            " no split separates) and 'acquisition' (scenes that were taken together, which help one another's"
            " registration): rename it to the one that is meant, or give both"
        )
    for index, column in enumerate(header, 1):
        if column not in valid:
            raise InputError(
                f"{table}, row 1, column {brief(column) or f'number {index}'!r}: unknown; {nearest(column, valid)}"
                f" (columns are {', '.join(COLUMNS[:-1])}, the sensors of the configuration, labels and labels:<class>)"
            )
        if header.count(column) > 1:
            raise InputError(
                f"{table}, row 1: column {brief(column)!r} is there {header.count(column)} times: remove one"
            )
    for column in ("scene", "split", *sensors):
        if column not in header:
            sensor = column in sensors
            what = "a sensor of the configuration: add it, its cells may be empty" if sensor else "add it"
            raise InputError(f"{table}, row 1: column {column!r} is missing; {what}")


def _scene(row: Row, sensors: Sequence[str], classes: Sequence[str], reference: str) -> Scene:
    """The scene of a row, its cells checked, its files looked at."""
    name = _name(row, "scene")
    split = row.get("split")
    if split not in ("train", "predict"):
        raise row.error("split", f"{brief(split)!r} given; train (models learn from it) or predict is needed")
    ground, acquisition, fold = (_name(row, c) if row.get(c) else None for c in ("ground", "acquisition", "fold"))
    files = {sensor: _files(row, sensor) for sensor in sensors if row.get(sensor)}
    if reference not in files:
        empty = f"the cell is empty, but {reference} is the reference that everything is brought to"
        raise row.error(reference, f"{empty}: give its file, or take the scene out")
    labels = _labels(row, classes)
    if split == "train" and not labels:
        remedy = "give a file in `labels` or `labels:<class>` (an empty one where nothing is to be found)"
        raise row.error("split", f"a training scene without labels: {remedy}, or set split to predict")
    return Scene(
        id=name,
        ground=ground or name,
        role="train" if split == "train" else "predict",
        sensors=files,
        labelled=tuple(labels),
        truth=split == "predict" and bool(labels),
        fold=fold if split == "train" else None,
        labels=labels,
        acquisition=acquisition,
        tile=(row.get("row"), row.get("column")),
    )


def _name(row: Row, column: str) -> str:
    name = row.get(column)
    if not ID_PATTERN.fullmatch(name):
        rule = f"letters, digits, dot, underscore and hyphen only, {ID_LENGTH} at most"
        begin = "it becomes part of file names: begin with a letter or digit and use"
        raise row.error(column, f"{brief(name)!r} given; {begin} {rule}")
    return name


def _files(row: Row, column: str) -> tuple[SourceFile, ...]:
    """The files of a cell, several separated by semicolons, in this order."""
    cell = row.get(column)
    parts = [cell] if _is_there(row, cell) else [part.strip() for part in cell.split(";")]
    return tuple(_file(row, column, part) for part in parts if part)


def _located(row: Row, text: str) -> Path:
    """The path that a text of a cell means: absolute, from the home folder (~/), or relative to the sheet."""
    return Path(text).expanduser() if text.startswith("~/") else row.table.parent / text


def _is_there(row: Row, text: str) -> bool:
    try:
        return _located(row, text).exists()
    except (OSError, ValueError):  # too long, or with a character that no path has
        return False


def _file(row: Row, column: str, text: str) -> SourceFile:
    path, bands = _located(row, text), None
    match = CHOICE.fullmatch(text)
    if match and match["bands"] is not None and not _is_there(row, text):
        path, bands = _located(row, match["path"]), _bands(row, column, match["path"], match["bands"])
    remedy = "correct the path, which is relative to the sheet, or leave the cell empty"
    return existing(path, row.at(column), remedy, bands, row.folders)


def _bands(row: Row, column: str, path: str, text: str) -> Bands:
    """Bands by number or by name, which is looked up when the file is opened."""
    found: list[int | str] = []
    for part in (part.strip() for part in text.split(",")):
        if part.isdecimal() and part.isascii() and len(part) < 10 and int(part) > 0:
            found.append(int(part))
        elif part and not re.fullmatch(r"[-+.:*\d\s]+", part):
            found.append(part)
        else:
            needed = "numbers from 1 or names, each on its own and separated by commas, are needed"
            raise row.error(column, f"bands [{brief(text)}] given; {needed}, for example {path[-60:]}[3,2,1]")
    return tuple(found)


def _labels(row: Row, classes: Sequence[str]) -> dict[str, LabelFile]:
    """Where the labels of each labelled class are: ``labels:<class>`` takes precedence over ``labels``."""
    found: dict[str, LabelFile] = {}
    if row.get("labels"):
        file = _single(row, "labels")
        found.update({name: LabelFile(file, whole=len(classes) == 1) for name in classes})
    for name in classes:
        column = f"labels:{name}"
        if row.get(column):
            found[name] = LabelFile(_single(row, column), whole=True)
    limits = [name.strip() for name in row.get("classes").split(",") if name.strip()]
    for name in limits:
        if name not in classes:
            raise row.error("classes", f"{brief(name)!r} is not a class of the configuration; {nearest(name, classes)}")
        if name not in found:
            lacking = f"{name!r} was labelled, it says, but the row names no file of labels for it"
            remedy = f"give one in `labels` or `labels:{name}` (an empty one if the scene has none)"
            raise row.error("classes", f"{lacking}: {remedy}, or remove the class")
    return {name: found[name] for name in classes if name in found and (not limits or name in limits)}


def _single(row: Row, column: str) -> SourceFile:
    files = _files(row, column)
    if len(files) != 1:
        raise row.error(column, f"{len(files)} files given; one file of labels is needed: merge them")
    if files[0].crc is not None:
        raise row.error(column, f"{files[0].path}: labels are not read from an archive: unpack it")
    names = [band for band in files[0].bands or () if isinstance(band, str)]
    if names:
        raise row.error(column, f"band {names[0]!r} given; the band of a mask is chosen by its number from 1")
    return files[0]


def _same_reference(scenes: Mapping[str, Scene], reference: str) -> list[str]:
    """What to say of scenes that name the same reference image: a slip of the hand, most likely."""

    def images(scene: Scene) -> tuple[tuple[str, Bands | None], ...]:
        return tuple((os.path.realpath(file.path), file.bands) for file in scene.sensors[reference])

    notes = []
    for names in grouped((images(scene), name) for name, scene in scenes.items()).values():
        if len(names) > 1:
            apart = len({scenes[name].ground for name in names}) > 1
            hint = "; if that is meant, give them one `ground`, so that no split separates them" if apart else ""
            path = scenes[names[0]].sensors[reference][0].path
            notes.append(f"scenes {few(names, ' and ')} name the same {reference} image, {path}{hint}")
    return notes


def _within(rows: list[Row], region: str | None) -> list[Row]:
    """The rows that models learn from, and those of a region; all, if none is given."""
    if region is None:
        return rows
    regions: dict[str, str] = {}
    for row in rows:
        own = row.get("region")
        if row.get("acquisition") and regions.setdefault(row.get("acquisition"), own) != own:
            other = f"{regions[row.get('acquisition')]!r}, where other scenes of its acquisition are"
            raise row.error("region", f"{own!r} given, not {other}: scenes taken together belong to one region")
    if region not in (known := {row.get("region") for row in rows if row.get("split") == "predict"}):
        raise ConfigError(
            f"dataset.region: no scene to predict of {rows[0].table} has {region!r} in its column `region`; "
            f"{nearest(region, sorted(known - {''}))}"
        )
    return [row for row in rows if row.get("region") == region or row.get("split") != "predict"]


def _limited(scenes: dict[str, Scene], choice: object, table: Path) -> dict[str, Scene]:
    """The scenes, those to predict limited to a list of ids if one is given."""
    if choice is None or choice == "all":
        return scenes
    assert isinstance(choice, list | tuple)
    for name in choice:
        if name not in scenes:
            raise ConfigError(f"dataset.predict: {table} has no scene {name!r}; {nearest(str(name), scenes)}")
    left = [name for name, scene in scenes.items() if scene.role == "predict" and name not in choice]
    return scenes | {name: replace(scenes[name], role="other", truth=False, labelled=(), labels={}) for name in left}


def _check_folds(table: Path, scenes: Mapping[str, Scene], rows: Mapping[str, Row]) -> None:
    """Folds are given for every training scene or none, are two or more, and never separate the same ground."""
    training = [scene for scene in scenes.values() if scene.role == "train"]
    names = {scene.fold for scene in training}
    if names <= {None}:
        return
    folds: dict[str, Scene] = {}
    for scene in training:
        if scene.fold is None:
            empty = "the cell is empty while other training scenes have a fold: give every training scene one, or none"
            raise rows[scene.id].error("fold", empty)
        other = folds.setdefault(scene.ground, scene)
        if other.fold != scene.fold:
            same = f"scene {other.id} of the same ground ({scene.ground}) is in fold {other.fold!r}"
            rule = "the same ground must not stand on both sides of a split; put them in one fold"
            raise rows[scene.id].error("fold", f"{scene.fold!r} given, but {same}: {rule}")
    if len(names) == 1:
        raise InputError(
            f"{table}, column fold: every training scene is in fold {training[0].fold!r}; a fold is validated by"
            " models that learn from the other folds, so two or more are needed: name another fold, or leave"
            " the column out"
        )
