"""A first sheet and a first configuration from what was found in a folder."""

import csv
import io
import os
import re
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rasterloom.config import read_config_files
from rasterloom.dataset import SourceFile
from rasterloom.errors import InputError, RasterloomError
from rasterloom.project.project import Project
from rasterloom.store.files import write_text
from rasterloom.text import counted
from rasterloom.tools.inspection.folder import OBJECTS
from rasterloom.tools.inspection.found import DSTL_SIGNS, Found
from rasterloom.tools.inspection.names import usable
from rasterloom.tools.inspection.survey import DARK, Survey

BASE = "config.yaml"

MODEL = "first_unet"
"""What the one model of a first configuration is called."""

HEAD = "# A start, to be edited; lies over config.yaml. Made by\n"

Row = dict[str, str]


def check_free(data: Path | None, sheet: Path) -> None:
    """Refuse what would overwrite a file, and what no sheet can be written of.

    Raises
    ------
    InputError
    """
    if data is None or not data.is_dir():
        raise InputError("inspect: --sheet writes a sheet of a folder of images: name the folder as DATA")
    if any((data / name).exists() for name in DSTL_SIGNS):
        raise InputError(
            f"inspect: {data} has the layout of the Dstl contest and needs no sheet: `dataset: {{root: {data}}}`"
        )
    if sheet.suffix.lower() != ".tsv":
        raise InputError(f"inspect: --sheet {sheet}: a sheet is a file that ends in .tsv")
    for path in (sheet, sheet.with_suffix(".yaml")):
        if path.exists():
            raise InputError(
                f"inspect: {path} is there already and is not overwritten: name another --sheet, or move it"
            )


def write_first(found: Found, seen: Survey, sheet: Path) -> list[str]:
    """Write the sheet and its configuration; lines that say so, and what to do next.

    Raises
    ------
    InputError
        If no scene can be used, or a path cannot stand in a sheet.
    """
    reference, looks = found.dataset.reference, {name: seen.usual(name) for name in found.sensors}
    good = {scene: [name for name in looks if scene in looks[name]] for scene in looks[reference]}
    good = {scene: [n for n in names if n == reference or scene in seen.covers[n]] for scene, names in good.items()}
    if not good:
        raise InputError(f"inspect: {found.data} holds no image that a run could use: no sheet was written")
    # The configuration lies over the one here, or the one that came with the library.
    own = Path(__file__).resolve().parents[4] / BASE
    base = Path(BASE) if Path(BASE).is_file() or not own.is_file() else own
    bases, here = [base] if base.is_file() else [], base.parent == Path()
    table, config = sheet if here else sheet.resolve(), sheet.with_suffix(".yaml")
    rows = sheet_rows(found, seen, good, sheet.parent)
    made = overlay(found, seen, rows, table, read_config_files(bases))
    write_text(sheet, _rows_text(rows))
    write_text(config, f"{HEAD}# rasterloom inspect {found.data} --sheet {table}\n{_yaml(made)}")
    train, left = sum(row["split"] == "train" for row in rows), len(found.dataset.scenes) - len(rows)
    lines = [f"{sheet}: {counted(train, 'scene')} to train on, {len(rows) - train} to predict: check it"]
    lines += [f"({counted(left, 'scene')} left out, as the reference image cannot be used)"] * (left > 0)
    lines.append(f"{config}: a first configuration: its comments say what to look at")
    if [name for name in found.dataset.classes if seen.areas[name]] == [OBJECTS]:
        lines.append(f"no name says what the labels show, so their class is called {OBJECTS}: rename it in both files")
    if not train:
        lines.append("no scene has labels yet: name files in a column labels:<class> and set split to train; then")
    try:
        Project.load(read_config_files([*bases, config]))
    except RasterloomError as error:
        lines.append(f"before it runs: {error}")
    command = shlex.join(["snakemake", "--cores", "all", "--configfile", str(table.with_suffix(".yaml"))])
    return [*lines, command if here else f"in {base.parent}: {command}"]


# The sheet ---------------------------------------------------------------------------------------------


def sheet_rows(found: Found, seen: Survey, good: Mapping[str, Sequence[str]], folder: Path) -> list[Row]:
    """Rows of a sheet by column, of the scenes and sensors that are `good`; paths relative to `folder`."""
    rows = []
    grounds = Counter(found.dataset.scenes[name].ground for name in good)
    for name, sensors in good.items():
        scene = found.dataset.scenes[name]
        files = {sensor: scene.sensors[sensor] for sensor in sensors}
        labels = {class_: labels for class_, labels in scene.labels.items() if name in seen.areas[class_]}
        # A file in `labels` holds every class unless `classes` limits it.
        shared = [file for file in labels.values() if not file.whole]
        row = {
            "scene": name,
            "split": "train" if labels else "predict",
            "ground": scene.ground if grounds[scene.ground] > 1 else "",
            **{sensor: ";".join(_cell(file, folder) for file in files.get(sensor, ())) for sensor in found.sensors},
            "labels": _cell(shared[0].file, folder) if shared else "",
            "classes": ", ".join(labels) if shared and len(labels) < sum(map(bool, seen.areas.values())) else "",
        }
        whole = {f"labels:{class_}": _cell(file.file, folder) for class_, file in labels.items() if file.whole}
        rows.append(row | whole)
    return rows


def _cell(file: SourceFile, folder: Path) -> str:
    """A file as a sheet names it; InputError if its name has a character that separates things there."""
    path = os.path.relpath(Path(file.path).resolve(), folder.resolve())
    if re.search(r"[;\t\n]", path):
        raise InputError(f"inspect: {file.path!r} cannot be named in a sheet (semicolon, tab or line break): rename it")
    return path if file.bands is None else f"{path}[{','.join(map(str, file.bands))}]"


def _rows_text(rows: Sequence[Row]) -> str:
    """Rows as the text of a sheet; columns that hold nothing are left out."""
    every = dict.fromkeys(column for row in rows for column in row)
    columns = [column for column in every if any(row.get(column) for row in rows)]
    text = io.StringIO()
    cells = ([row.get(column, "") for column in columns] for row in rows)
    csv.writer(text, delimiter="\t", lineterminator="\n").writerows([columns, *cells])
    return text.getvalue()


# The configuration -------------------------------------------------------------------------------------

COMMENTS: Mapping[str, str] = {
    "sensors": "the reference gives the grid: take the sensor that labels were drawn on",
    "classes": "without labels in the folder a class objects stands here: name your classes here and in the sheet",
    "validation": "a fifth of the labelled ground validates, or with few labelled scenes each scene once",
    "defaults": "a short training, to see that all is connected; then 10 to 30 times the steps",
}
"""What to say above sections of a first configuration."""


def overlay(found: Found, seen: Survey, rows: Sequence[Row], table: Path, base: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration to lay over another one: the sheet's sensors and classes, one small network.

    Parameters
    ----------
    found, seen
        What is there.
    rows : sequence of dict
        The sheet.
    table : Path
        The sheet, as it is named in the configuration.
    base : mapping
        What the configuration lies over: everything there that is not wanted is set to null.
    """
    dataset = found.dataset
    side = min(min(look.info.width, look.info.height) for look in seen.looks[dataset.reference].values())
    patch = next((size for size in (128, 64, 32) if size <= side), 16)
    names = [name for name in found.sensors if any(row[name] for row in rows)]
    classes = {name: number for name, number in dataset.classes.items() if seen.areas[name]} or {OBJECTS: 1}
    grounds = len({dataset.scenes[row["scene"]].ground for row in rows if row["split"] == "train"})
    few = 2 <= grounds < 6
    member = {"model": MODEL, "channels": "all", "scale": "native"}
    sections: dict[str, dict[str, Any]] = {
        "sensors": {name: _sensor(found, seen, name) for name in names},
        "channels": {"all": names},
        "scales": {"native": {}},
        "targets": {},
        "models": {MODEL: {"kind": "unet", "width": 32, "depth": 4 if patch >= 64 else 2, "convs_per_block": 2}},
        "classes": {name: {"id": number, "members": [member]} for name, number in classes.items()},
    }
    return {
        "results": f"results-{usable(table.stem)}",
        "dataset": {"layout": "sheet", "table": str(table), "root": None, "predict": None, "truth": None},
        **{section: _replacing(base.get(section) or {}, ours) for section, ours in sections.items()},
        "validation": {"split": None if few else 0.8, "folds": min(grounds, 3) if few else None},
        "defaults": {
            "training": {"steps": 1500, "batch": 4, "patch": patch, "learning_rate": 0.002},
            "prediction": {"window": patch, "stride": patch // 2, "batch": 8},
        },
    }


def _sensor(found: Found, seen: Survey, name: str) -> dict[str, Any]:
    """A sensor's options as far as the files tell them."""
    reference, looks = found.dataset.reference, seen.looks[name]
    options: dict[str, Any] = {"reference": True} if name == reference else {}
    options["bands"] = next(iter(seen.usual(name).values())).info.bands
    # So many pixels at 0 in all bands of a scene are no data rather than dark ground.
    if any(look.info.nodata is None and look.black > DARK * look.pixels for look in looks.values()):
        options["nodata"] = 0
    if name == reference:
        return options
    # Bands of one product lie on one grid; other sensors may be off by a few of their pixels.
    if all(re.fullmatch(r"b\d+(m|cm|px)", sensor) for sensor in (name, reference)):
        return options | {"registration": "none"}
    own = seen.looks[reference]
    ratios = [own[scene].info.width / look.info.width for scene, look in looks.items() if scene in own]
    return options | {"registration": "auto", "max_shift": max(8, round(4 * max(ratios, default=1.0)))}


def _replacing(base: Mapping[str, Any], ours: Mapping[str, Any]) -> dict[str, Any]:
    """Our table, with everything else that is in the one that it lies over set to null."""
    both = {key: _replacing(base.get(key) or {}, value) for key, value in ours.items() if isinstance(value, dict)}
    return {**ours, **both, **{key: None for key, value in base.items() if key not in ours and value is not None}}


def _yaml(config: Mapping[str, Any]) -> str:
    """A configuration as YAML, one section after another, with their comments."""
    import yaml

    text = yaml.safe_dump(config, sort_keys=False, default_flow_style=None, width=1000)
    for section, comment in COMMENTS.items():
        text = text.replace(f"\n{section}:", f"\n\n# {comment}\n{section}:")
    return str(text)
