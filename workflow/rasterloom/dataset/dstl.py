"""The layout of the Dstl contest: folders `three_band` and `sixteen_band` and three tables, however unpacked."""

from __future__ import annotations

import io
import mmap
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rasterloom.dataset.archive import list_members, read_member
from rasterloom.dataset.contest_ids import SCORED, acquisition_of, ground_of
from rasterloom.dataset.images import SENSORS, Images, find_images, image_form
from rasterloom.dataset.index import (
    Dataset,
    Role,
    Scene,
    SourceFile,
    brief,
    hint,
    reference_sensor,
    refuse_braces,
    without_seen_truth,
)
from rasterloom.errors import ConfigError, InputError, LabelError, MissingInputError

TABLES = {
    "train_wkt": "train_wkt_v4.csv",
    "grid_sizes": "grid_sizes.csv",
    "sample_submission": "sample_submission.csv",
}

ALL_IN_ONE = "dstl-satellite-imagery-feature-detection.zip"
"""The archive of archives that is downloaded when everything is asked for at once."""

SOURCE = "https://www.kaggle.com/c/dstl-satellite-imagery-feature-detection"


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


def find_table(root: Path, name: str) -> Path | None:
    """The table `name` below `root`: flat, in a folder of its name, or still zipped; None if it is nowhere."""
    return next((path for path in table_paths(root, name) if path.is_file()), None)


def table_paths(root: Path, name: str) -> list[Path]:
    """Where a table is looked for, in this order."""
    stem = name.rsplit(".", 1)[0]
    return [root / name, root / name / name, root / stem / name, root / f"{name}.zip", root / f"{stem}.zip"]


@contextmanager
def table_bytes(path: Path) -> Iterator[bytes | mmap.mmap]:
    """The bytes of a table: mapped into memory, not copied; those of a zipped one are unpacked (in memory).

    Raises
    ------
    FileNotFoundError
        If it is not there.
    InputError
        If it may not be read, or a zip is damaged or does not hold exactly one .csv file.
    """
    if path.suffix == ".zip":
        names = [name for name in list_members(path) if name.lower().endswith(".csv")]
        if len(names) != 1:
            raise InputError(f"{path} holds {len(names)} .csv files, one is needed: unpack it by hand")
        yield read_member(path, names[0])
        return
    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): check what it is and its permissions") from None
    with file:
        if os.fstat(file.fileno()).st_size == 0:
            yield b""
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            yield mapped


def wkt_rows(path: Path, data: bytes | mmap.mmap) -> Iterator[WktRow]:
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
    end = data.find(b"\n")
    header = bytes(data[: end if end >= 0 else len(data)]).decode("utf-8-sig", "replace").strip()
    names = [name.strip().strip('"').lower() for name in header.split(",")]
    if names != ["imageid", "classtype", "multipolygonwkt"]:
        raise InputError(
            f"{path} begins with {header[:80]!r}; a table of labels begins with the row "
            "ImageId,ClassType,MultipolygonWKT and has these columns, separated by commas"
        )
    position, line = end + 1, 2
    while 0 < position < len(data):
        row, following = _wkt_row(path, data, position, line)
        if row is not None:
            yield row
        line += data[position:following].count(b"\n") if row is None else 1
        position = following


def _wkt_row(path: Path, data: bytes | mmap.mmap, position: int, line: int) -> tuple[WktRow | None, int]:
    """The row that begins at `position` (None for an empty one) and where the next one begins."""
    newline = data.find(b"\n", position)
    newline = len(data) if newline < 0 else newline
    first = data.find(b",", position, newline)
    if first < 0:
        if data[position:newline].strip():
            raise InputError(f"{path}, row {line}: {bytes(data[position : position + 60])!r} is not a row of labels")
        return None, newline + 1
    second = data.find(b",", first + 1, newline)
    scene = bytes(data[position:first]).decode("utf-8", "replace").strip().strip('"')
    number = bytes(data[first + 1 : max(second, first + 1)]).decode("utf-8", "replace").strip().strip('"')
    if second < 0 or not scene or not _is_number(number):
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
        newline = data.find(b"\n", end)
        newline = len(data) if newline < 0 else newline
    return WktRow(scene, int(number), line, start, end), newline + 1


def _is_number(text: str) -> bool:
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
    for line, cells in _rows(path, 3, "an id (the column may be unnamed), Xmax and Ymin"):
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


def sample_rows(path: Path) -> list[tuple[str, int]]:
    """The scene and class number of each row of a sample submission, in its order.

    Raises
    ------
    FileNotFoundError
        If it is not there.
    InputError
        If it is not a table of ImageId, ClassType, MultipolygonWKT; names file and row.
    """
    with table_bytes(path) as data:
        end = data.find(b"\n")
        header = bytes(data[: end if end >= 0 else 200][:200]).decode("utf-8-sig", "replace").strip()
    if [name.strip().strip('"').lower() for name in header.split(",")] != ["imageid", "classtype", "multipolygonwkt"]:
        raise InputError(
            f"{path} has the columns {header[:80]!r}: ImageId, ClassType, MultipolygonWKT are needed, separated by"
            " commas; is it the sample? Get it again"
        )
    rows = []
    for line, cells in _rows(path, 3, "an image, a class number and a geometry"):
        if not cells[0] or not _is_number(cells[1]):
            raise InputError(
                f"{path}, row {line}: image {brief(cells[0])!r} and class {brief(cells[1])!r} given; an id and a class"
                " number are needed: get the file again"
            )
        rows.append((cells[0], int(cells[1])))
    return rows


def _rows(path: Path, columns: int, needed: str) -> Iterator[tuple[int, list[str]]]:
    """Row number and cells of each row of a small table, but for the header."""
    import csv

    with table_bytes(path) as data:
        text = io.StringIO(bytes(data[:]).decode("utf-8-sig", "replace"), newline="")
    reader = csv.reader(text)
    try:
        next(reader, None)
        for cells in reader:
            if len(cells) >= columns:
                yield reader.line_num, [cell.strip() for cell in cells]
            elif any(cell.strip() for cell in cells):
                raise InputError(f"{path}, row {reader.line_num}: {','.join(cells)[:60]!r} given; needed: {needed}")
    except csv.Error as error:
        raise InputError(
            f"{path}, row {reader.line_num}: it cannot be read ({error}); needed: {needed}: get the file again"
        ) from None


def load(dataset: Mapping[str, Any], sensors: Mapping[str, Mapping[str, Any]], classes: Mapping[str, int]) -> Dataset:
    """Index the contest's files; see `rasterloom.dataset.load_dataset`.

    ``predict`` is ``scored`` (the 32 images that the contest's score is made of, as far as they are there),
    ``all`` (every image of sample_submission.csv) or a list of ids; labelled scenes are training scenes
    whatever it says.
    """
    root = Path(str(dataset.get("root") or "data/dstl"))
    refuse_braces(root, "dataset.root")
    for sensor in sensors:
        if sensor not in SENSORS:
            raise ConfigError(
                f"sensors: {sensor!r} is not a sensor of the dstl layout; {hint(sensor, SENSORS)}. "
                "For other imagery use `dataset: {layout: sheet}`"
            )
    reference = reference_sensor(sensors)
    choice = dataset.get("predict")
    choice = "scored" if choice is None else choice
    tables = _tables(root, dataset.get("truth"))
    images = find_images(root, sensors)
    found = images.scenes
    _check_there(root, sensors, tables, images, dataset.get("truth"), choice)
    train, truth = _labelled(tables, set(found), reference)
    predicted, notes = _predicted(choice, root, tables, found, reference, sensors)
    notes += [*images.notes, *_stray(found, train, reference), *_not_scored(tables, truth, predicted)]
    known = tuple(classes)
    scenes = {}
    for scene, files in sorted(found.items()):
        if reference not in files and scene not in train:
            continue
        role: Role = "train" if scene in train else "predict" if scene in predicted else "other"
        held_out = role == "predict" and scene in truth
        labelled = known if role == "train" or held_out else ()
        scenes[scene] = Scene(
            id=scene,
            ground=ground_of(scene),
            role=role,
            sensors=files,
            labelled=labelled,
            truth=held_out,
            grid=tables.get("grid_sizes"),
            acquisition=acquisition_of(scene),
        )
    _check_complete(root, sensors, tables, scenes)
    scenes, seen = without_seen_truth(scenes)
    return Dataset("dstl", scenes, reference, dict(classes), tables, (*notes, *seen))


def _stray(found: Mapping[str, Mapping[str, object]], train: set[str], reference: str) -> list[str]:
    """What to say of files that are no scene, as the image of the reference sensor is not there."""
    stray = sorted(scene for scene, files in found.items() if reference not in files and scene not in train)
    if not stray:
        return []
    name = f"{stray[0]}{SENSORS[reference][1]}.tif"
    return [
        f"{_scenes(stray)} left out, as the image of the reference sensor {reference} is not there"
        f" (the first is {SENSORS[reference][0]}/{name})"
    ]


def _not_scored(tables: Mapping[str, SourceFile], truth: set[str], predicted: set[str]) -> list[str]:
    """What to say of held-out truth that nothing is compared with."""
    idle = sorted(truth - predicted)
    if not idle:
        return []
    path = tables["truth"].path
    return [f"{path} (dataset.truth): {_scenes(idle)} not predicted and so not scored; `dataset.predict` chooses"]


def _scenes(ids: Sequence[str]) -> str:
    """Words for the subject of a sentence: how many scenes, and the first of them."""
    return f"scene {ids[0]} is" if len(ids) == 1 else f"{len(ids)} scenes, first {ids[0]}, are"


def _tables(root: Path, truth: object) -> dict[str, SourceFile]:
    tables = {key: find_table(root, name) for key, name in TABLES.items()}
    if truth is not None:
        tables["truth"] = next((path for path in truth_paths(root, str(truth)) if path.is_file()), None)
    return {key: SourceFile.of(path) for key, path in tables.items() if path is not None}


def truth_paths(root: Path, truth: str) -> list[Path]:
    """Where the table of held-out truth is looked for: below the data set's folder, then as a path of its own."""
    return [*table_paths(root, truth)[:2], Path(truth)]


def _check_there(
    root: Path,
    sensors: Mapping[str, Any],
    tables: Mapping[str, SourceFile],
    images: Images,
    truth: object,
    choice: object,
) -> None:
    """One error that lists everything that was looked for in vain."""
    missing = []
    for folder in sorted({SENSORS[name][0] for name in sensors}):
        if not any(SENSORS[name][0] == folder for files in images.scenes.values() for name in files):
            misfits = images.misfits.get(folder)
            other = f" (there are {len(misfits)} images of another name, first {misfits[0]!r})" if misfits else ""
            missing.append(
                f"{root / folder}/*.tif or {root / folder / folder}/*.tif, called {image_form(folder)}, or"
                f" {root / folder}.zip with them{other}"
            )
    needed = ["train_wkt", "grid_sizes", *(["sample_submission"] if choice == "all" else [])]
    for key in needed:
        if key not in tables:
            missing.append(" or ".join(str(path) for path in table_paths(root, TABLES[key])))
    if truth is not None and "truth" not in tables:
        missing.append(" or ".join(map(str, truth_paths(root, str(truth)))) + " (dataset.truth)")
    if not missing:
        return
    whole = root / ALL_IN_ONE
    unzip = (
        f"\nThey are there, but packed once more; unpack them:\n  unzip {whole} -d {root}" if whole.is_file() else ""
    )
    raise MissingInputError(
        f"The Dstl data are not complete in {root}. Looked for and not found:\n  "
        + "\n  ".join(missing)
        + unzip
        + f"\nThey come from Kaggle, dstl-satellite-imagery-feature-detection ({SOURCE}; needs an account and"
        f" its rules accepted) and go under {root} (`dataset.root`, normally data/dstl); docs/dstl.md shows"
        " how.\nTo see the whole workflow run without them, on generated scenes: make demo"
    )


def _labelled(tables: Mapping[str, SourceFile], found: set[str], reference: str) -> tuple[set[str], set[str]]:
    """Ids of the scenes to learn from, and of those with held-out truth."""
    ids: dict[str, set[str]] = {"train_wkt": set(), "truth": set()}
    for key, scenes in ids.items():
        if key in tables:
            path = Path(tables[key].path)
            with table_bytes(path) as data:
                scenes.update(row.scene for row in wkt_rows(path, data))
    both = sorted(ids["train_wkt"] & ids["truth"])
    if both:
        raise LabelError(
            f"{tables['truth'].path} (dataset.truth) and {tables['train_wkt'].path} both label scene"
            f" {both[0]}{f' and {len(both) - 1} others' if len(both) > 1 else ''}: truth that is held out"
            " must not be trained on; take the scene out of one of them"
        )
    absent = sorted(ids["train_wkt"] - found)
    if absent:
        raise MissingInputError(
            f"{len(absent)} of the {len(ids['train_wkt'])} scenes that {tables['train_wkt'].path} labels have"
            f" no image, first {brief(absent[0])!r}: get all of three_band and sixteen_band, or take their rows out of"
            " the table"
        )
    return ids["train_wkt"], ids["truth"]


def _predicted(
    choice: Literal["scored", "all"] | Sequence[str],
    root: Path,
    tables: Mapping[str, SourceFile],
    found: Mapping[str, Mapping[str, object]],
    reference: str,
    sensors: Mapping[str, Any],
) -> tuple[set[str], list[str]]:
    """Ids of the scenes to predict, and what a user should be told about them."""
    there = {scene for scene, files in found.items() if reference in files}
    if choice == "scored":
        scored = SCORED.split()
        predicted = there & set(scored)
        if not predicted:
            raise ConfigError(
                f"dataset.predict: scored asks for the contest's 32 scored images, and {root} holds none of"
                f" them (it holds {len(there)} scenes, for example {min(there, default='none')}); for"
                " generated or other scenes set `predict: all` or a list of ids"
            )
        absent = [scene for scene in scored if scene not in there]
        notes = [f"{len(absent)} of the 32 scored images are not in {root}, first {absent[0]}"] if absent else []
        return predicted, notes
    if choice == "all":
        wanted = sorted({scene for scene, _ in sample_rows(Path(tables["sample_submission"].path))})
        remedy = "get all of three_band, or set `predict: scored`"
    elif isinstance(choice, str):
        raise ConfigError(f"dataset.predict: {choice!r} given; {hint(choice, ['scored', 'all'])}, or a list of ids")
    else:
        wanted = [str(scene) for scene in choice]
        remedy = "correct the ids, or get the images"
    absent = [scene for scene in wanted if scene not in there]
    if absent:
        raise ConfigError(
            f"dataset.predict: {len(absent)} of {len(wanted)} scenes have no {SENSORS[reference][0]} image in"
            f" {root}, first {brief(absent[0])!r} ({hint(absent[0], there) if len(there) < 1000 else 'not there'}):"
            f" {remedy}"
        )
    return set(wanted), []


def _check_complete(
    root: Path, sensors: Mapping[str, Any], tables: Mapping[str, SourceFile], scenes: Mapping[str, Scene]
) -> None:
    """Every scene that is trained on or predicted has all sensors and a row of grid sizes."""
    used = [scene for scene in scenes.values() if scene.role != "other"]
    missing = [
        str(root / SENSORS[name][0] / f"{scene.id}{SENSORS[name][1]}.tif")
        for scene in used
        for name in sensors
        if name not in scene.sensors
    ]
    if missing:
        shown = "".join(f"\n  {path}" for path in missing[:5])
        more = f"\n  and {len(missing) - 5} more" if len(missing) > 5 else ""
        many = "1 image file" if len(missing) == 1 else f"{len(missing)} image files"
        raise MissingInputError(
            f"{many} of scenes that are used not found, neither unpacked nor in an archive:{shown}{more}\nGet the"
            f" archives of {SOURCE} again, or leave the sensor out of `sensors` and `inputs`"
        )
    path = Path(tables["grid_sizes"].path)
    sizes = grid_sizes(path)
    unknown = [scene.id for scene in used if scene.id not in sizes]
    if unknown:
        raise InputError(
            f"{path} has no row for scene {unknown[0]} ({len(unknown)} such scenes): its polygons cannot be"
            " placed; get the file again, or leave the scene out of `predict`"
        )
