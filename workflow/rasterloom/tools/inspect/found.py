"""What there is: DATA or the configuration, understood as scenes, sensors and labels."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

from rasterloom.dataset import Dataset, load_dataset
from rasterloom.dataset.contest_ids import CLASS_NAMES, SENSORS
from rasterloom.dataset.sheet import COLUMNS
from rasterloom.errors import InputError, LabelError, MissingInputError, RasterloomError
from rasterloom.tools.inspect.oddities import Oddity

CLASSES = {name: number for number, name in CLASS_NAMES.items()}
"""Classes of the Dstl contest as config.yaml names them."""

DSTL_SIGNS = (
    "three_band",
    "sixteen_band",
    "three_band.zip",
    "sixteen_band.zip",
    "train_wkt_v4.csv",
    "train_wkt_v4.csv.zip",
)
"""What the folder of the contest's files holds; one of these is enough."""


@dataclass(frozen=True)
class Found:
    """Data, understood.

    Attributes
    ----------
    data : Path or None
        What was given; None: the configuration.
    how : tuple of str
        What it was understood as, and why; a line each.
    dataset : Dataset
    sensors : dict of str to mapping
        Options of each sensor, as in the configuration.
    following : tuple of str
        Lines that say what to do next.
    oddities : tuple of Oddity
        What was odd already.
    """

    data: Path | None
    how: tuple[str, ...]
    dataset: Dataset
    sensors: dict[str, dict[str, Any]]
    following: tuple[str, ...]
    oddities: tuple[Oddity, ...] = field(default=())


def from_configuration(files: list[Path]) -> Found:
    """The data set of config.yaml with `files` laid over it."""
    from rasterloom.config import load_config, read_config_files

    base = [Path("config.yaml")] if Path("config.yaml").is_file() else []
    if not base and not files:
        raise InputError("no DATA and no config.yaml here: name a folder, a sheet or a file, or a --configfile")
    config = load_config(read_config_files([*base, *files]))
    sensors = {name: sensor.model_dump() for name, sensor in config.sensors.items()}
    ids = {name: entry.id for name, entry in config.classes.items()}
    dataset = load_dataset(config.dataset.model_dump(), sensors, ids)
    place = config.dataset.root if config.dataset.layout == "dstl" else config.dataset.table
    over = f" --configfile {' '.join(shlex.quote(str(file)) for file in files)}" if files else ""
    return Found(
        None,
        (f"the configuration's data set, layout {config.dataset.layout}, {place}",),
        dataset,
        sensors,
        (f"snakemake --cores all{over}",),
        tuple(Oddity(note) for note in dataset.notes),
    )


def from_dstl(root: Path) -> Found | Oddity:
    """The contest's files in a folder; an Oddity that says why a run would not take them."""
    sensors: dict[str, dict[str, Any]] = {name: {"bands": len(sensor.bands)} for name, sensor in SENSORS.items()}
    sensors["rgb"]["reference"] = True
    truth = next((str(path) for path in sorted(root.glob("truth*.csv"))), None)
    options: dict[str, Any] = {"layout": "dstl", "root": str(root), "truth": truth}
    why = ""
    for names in _subsets(list(sensors)):
        chosen = {name: sensors[name] for name in names}
        choices: tuple[object, ...] = ("scored", "all", [])
        for predict in choices:
            try:
                dataset = load_dataset({**options, "predict": predict}, chosen, CLASSES)
            except RasterloomError as error:
                # Of all that was tried, all sensors and no scenes to predict asks for what is really missing.
                why = " ".join(str(error).split("\nThey come")[0].split()) if len(names) == len(sensors) else why
                continue
            left = [name for name in sensors if name not in names]
            incomplete = (
                [Oddity(f"without {', '.join(left)}, which not all scenes have: {why}", stops=True)] if left else []
            )
            notes = [Oddity(note) for note in dataset.notes]
            how = f"the layout of the Dstl contest: {_signs(root)}; `dataset.predict: {predict}` is assumed"
            return Found(root, (how,), dataset, chosen, _dstl_commands(root, predict, truth), (*incomplete, *notes))
    return Oddity(f"the folder looks like the contest's, but a run would stop: {why}", stops=True)


def _subsets(names: list[str]) -> list[tuple[str, ...]]:
    """All of some sensors, then all but one, and so on; the first, the reference, is in each."""
    first, *others = names
    return [(first, *rest) for size in range(len(others), -1, -1) for rest in combinations(others, size)]


def _signs(root: Path) -> str:
    return ", ".join(name for name in DSTL_SIGNS if (root / name).exists())


def _dstl_commands(root: Path, predict: object, truth: str | None) -> tuple[str, ...]:
    if str(root) == "data/dstl" and predict == "scored" and truth is None:
        return ("snakemake --cores all",)
    keys = [f"root: {quoted(str(root))}", *([f"predict: {predict}"] if predict != "scored" else [])]
    keys += [f"truth: {quoted(truth)}"] if truth else []
    return (
        "write into a file mine.yaml, with the classes and sensors that you want to leave out set to null:",
        f"    dataset: {{{', '.join(keys)}}}",
        "snakemake --cores all --configfile mine.yaml",
    )


def from_sheet(table: Path) -> Found:
    """The scenes of a sheet; sensors and classes are those that its header names."""
    header, cells = _sheet_cells(table)
    names = [column for column in header if column and column not in COLUMNS and not column.startswith("labels:")]
    if not names:
        raise InputError(
            f"{table}: its header names no sensor ({', '.join(header)[:80]}): save it as tab-separated text with the "
            "columns scene, split and one a sensor, as docs/own-imagery.md shows"
        )
    classes = [column.removeprefix("labels:") for column in header if column.startswith("labels:")]
    for row in cells:
        classes += [name.strip() for name in row.get("classes", "").split(",")]
    notes: list[Oddity] = []
    for file in dict.fromkeys(row.get("labels", "") for row in cells):
        if file:
            try:
                classes += class_values(table.parent / file)
            except LabelError as error:
                notes.append(Oddity("labels that cannot be read", str(error), stops=True))
    ids = numbered(name for name in classes if name)
    sensors: dict[str, dict[str, Any]] = {name: {} for name in names}
    full = [name for name in names if all(row.get(name) for row in cells)]
    sensors[(full or names)[0]]["reference"] = True
    dataset = load_dataset({"layout": "sheet", "table": str(table)}, sensors, ids)
    following = (
        f"snakemake --cores all --configfile YOURS.yaml, with `dataset: {{layout: sheet, table: {table}}}`, the "
        f"sensors {', '.join(names)} and the classes {', '.join(ids) or '...'} in it (docs/own-imagery.md); then",
        "rasterloom inspect --configfile YOURS.yaml, which checks them with its number of bands and its no-data",
    )
    notes += [Oddity(note) for note in dataset.notes]
    how = f"a sheet: its columns name the sensors {', '.join(names)}"
    return Found(table, (how,), dataset, sensors, following, tuple(notes))


def _sheet_cells(table: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Header and rows of a sheet, nothing checked: that is for `load_dataset`."""
    import csv

    try:
        text = table.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise MissingInputError(f"{table} is not there: check the path") from None
    except UnicodeDecodeError:
        raise InputError(f"{table} is not text in UTF-8: save the sheet as tab-separated text (UTF-8)") from None
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    rows = [[cell.strip() for cell in cells] for cells in csv.reader(lines, delimiter="\t")]
    header = rows[0] if rows else []
    return header, [dict(zip(header, row, strict=False)) for row in rows[1:]]


def class_values(path: Path) -> list[str]:
    """The values of the property ``class`` in a vector file, sorted; none without such a property."""
    from rasterloom.labels.files import read_vector

    frame = read_vector(path)
    if "class" not in frame.columns:
        return []
    values = {str(int(v)) if isinstance(v, float) and v.is_integer() else str(v) for v in frame["class"].dropna()}
    return sorted(values)


def numbered(names: Any) -> dict[str, int]:
    """Classes and their numbers: a name that is a number keeps it, as ``class_7``; the others take those left.

    Examples
    --------
    >>> numbered(["roads", "2", "roads", "houses"])
    {'roads': 1, 'class_2': 2, 'houses': 3}
    """
    unique = list(dict.fromkeys(str(name) for name in names))
    taken = {int(name) for name in unique if name.isdecimal()}
    free = (number for number in range(1, len(unique) + len(taken) + 1) if number not in taken)
    return {
        (f"class_{int(name)}" if name.isdecimal() else name): int(name) if name.isdecimal() else next(free)
        for name in unique
    }


def quoted(text: str) -> str:
    """A text as a value in YAML: in quotes where it needs them.

    Examples
    --------
    >>> print(quoted("data/a_1.tsv"), quoted("my data: new"))
    data/a_1.tsv "my data: new"
    """
    import json

    return text if all(c.isalnum() or c in "/._-" for c in text) else json.dumps(text, ensure_ascii=False)


def as_mapping(files: Any) -> list[Mapping[str, Any]]:
    """Source files as the readers take them."""
    return [file.to_json() for file in files]
