"""A first sheet and a first configuration from what was found in a folder."""

from __future__ import annotations

import csv
import io
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mode
from typing import Any

from rasterloom.config import read_config_files
from rasterloom.dataset import SourceFile
from rasterloom.errors import InputError, RasterloomError
from rasterloom.planning.graph import Dag
from rasterloom.store.files import write_text
from rasterloom.text import counted
from rasterloom.tools.inspection.folder import OBJECTS
from rasterloom.tools.inspection.found import DSTL_SIGNS, Found
from rasterloom.tools.inspection.labels import LabelSurvey
from rasterloom.tools.inspection.names import usable
from rasterloom.tools.inspection.survey import DARK, Survey

BASE = "config.yaml"

MODEL = "first_unet"
"""What the one model of a first configuration is called."""

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


def write_first(found: Found, seen: Survey, labels: LabelSurvey, sheet: Path) -> list[str]:
    """Write the sheet and its configuration; lines that say so, and what to do next.

    Raises
    ------
    InputError
        If no scene can be used, or a path cannot stand in a sheet.
    """
    usable_ = usable_sensors(found, seen)
    if not usable_:
        raise InputError(f"inspect: {found.data} holds no image that a run could use: no sheet was written")
    rows = sheet_rows(found, usable_, labels, sheet.parent)
    base_file = _base()
    table = sheet if base_file.parent == Path() else sheet.resolve()
    classes = [name for name in found.dataset.classes if labels.classes.get(name)]
    training = {found.dataset.scenes[row["scene"]].ground for row in rows if row["split"] == "train"}
    base = read_config_files([base_file]) if base_file.is_file() else {}
    config = sheet.with_suffix(".yaml")
    write_text(sheet, _rows_text(rows))
    made = (
        f"# A start, to be edited; lies over config.yaml. Made by\n# rasterloom inspect {found.data} --sheet {table}\n"
    )
    write_text(config, made + _yaml(overlay(found, seen, usable_, len(training), classes, table, base)))
    counts = [row["split"] for row in rows]
    train, predict = counts.count("train"), counts.count("predict")
    lines = [f"{sheet}: {counted(train, 'scene')} to train on, {predict} to predict: check it"]
    left = len(found.dataset.scenes) - len(rows)
    lines += [f"({counted(left, 'scene')} left out, as the reference image cannot be used)"] * (left > 0)
    lines.append(f"{config}: a first configuration: its comments say what to look at")
    if classes == [OBJECTS]:
        lines.append(f"no name says what the labels show, so their class is called {OBJECTS}: rename it in both files")
    if not train:
        lines.append("no scene has labels yet: name files in a column labels:<class> and set split to train; then")
    try:
        Dag.load(read_config_files([*([base_file] if base else []), config]))
    except RasterloomError as error:
        lines.append(f"before it runs: {error}")
    where = "" if base_file.parent == Path() else f"in {base_file.parent}: "
    command = shlex.join(["snakemake", "--cores", "all", "--configfile", str(table.with_suffix(".yaml"))])
    return [*lines, f"{where}{command}"]


def usable_sensors(found: Found, seen: Survey) -> dict[str, list[str]]:
    """Sensors that a run could use, by scene: read, with as many bands as elsewhere, and on the reference."""
    reference, usable_ = found.dataset.reference, {}
    for scene in found.dataset.scenes:
        names = [
            name
            for name, looks in seen.looks.items()
            if scene in looks
            and looks[scene].info.bands == usual_bands(seen, name)
            and (name == reference or scene in seen.covers[name])
        ]
        if reference in names:
            usable_[scene] = names
    return usable_


def usual_bands(seen: Survey, name: str) -> int:
    """The number of bands that most images of a sensor have."""
    return mode(look.info.bands for look in seen.looks[name].values())


def _base() -> Path:
    """The configuration that the overlay lies over: the one here, or the one that came with the library."""
    own = Path(__file__).resolve().parents[4] / BASE
    return Path(BASE) if Path(BASE).is_file() or not own.is_file() else own


# The sheet ---------------------------------------------------------------------------------------------


def sheet_rows(found: Found, usable_: Mapping[str, Sequence[str]], labels: LabelSurvey, folder: Path) -> list[Row]:
    """Rows of a sheet by column: `train` where labels can be used, else `predict`; paths relative to `folder`."""
    rows = []
    scenes = found.dataset.scenes
    grounds = [scenes[name].ground for name in usable_]
    classes = sum(map(bool, labels.classes.values()))
    for name, sensors in usable_.items():
        scene = scenes[name]
        good = [class_ for class_ in scene.labelled if name in labels.classes.get(class_, {})]
        row = {
            "scene": name,
            "split": "train" if good else "predict",
            "group": scene.ground if grounds.count(scene.ground) > 1 else "",
        }
        for sensor in found.sensors:
            files = scene.sensors[sensor] if sensor in sensors else ()
            row[sensor] = ";".join(_cell(file, folder) for file in files)
        # A file in `labels` holds every class unless `classes` limits it.
        shared = [class_ for class_ in good if not scene.labels[class_].whole]
        row["labels"] = _cell(scene.labels[shared[0]].file, folder) if shared else ""
        row["classes"] = ", ".join(good) if shared and len(good) < classes else ""
        whole = {class_: file for class_, file in scene.labels.items() if class_ in good and file.whole}
        rows.append(row | {f"labels:{class_}": _cell(file.file, folder) for class_, file in whole.items()})
    return rows


def _cell(file: SourceFile, folder: Path) -> str:
    """A file as a sheet names it; InputError if its name has a character that separates things there."""
    path = os.path.relpath(Path(file.path).resolve(), folder.resolve())
    if re.search(r"[;\t\n]", path):
        raise InputError(f"inspect: {file.path!r} cannot be named in a sheet (semicolon, tab or line break): rename it")
    return path if file.bands is None else f"{path}[{','.join(map(str, file.bands))}]"


def _rows_text(rows: Sequence[Row]) -> str:
    """Rows as the text of a sheet; columns that hold nothing are left out."""
    columns = dict.fromkeys(column for row in rows for column, cell in row.items() if cell)
    order = [column for column in dict.fromkeys(column for row in rows for column in row) if column in columns]
    text = io.StringIO()
    writer = csv.DictWriter(text, order, extrasaction="ignore", delimiter="\t", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


# The configuration -------------------------------------------------------------------------------------

COMMENTS: Mapping[str, str] = {
    "sensors": "the reference gives the grid: take the sensor that labels were drawn on",
    "classes": "without labels in the folder a class objects stands here: name your classes here and in the sheet",
    "statistics": "with train a new scene to predict retrains nothing; all until there are labels",
    "validation": "a fifth of the labelled ground validates, or with few labelled scenes each scene once",
    "defaults": "a short training, to see that all is connected; then 10 to 30 times the steps",
}
"""What to say above sections of a first configuration."""


def overlay(
    found: Found,
    seen: Survey,
    usable_: Mapping[str, Sequence[str]],
    grounds: int,
    classes: Sequence[str],
    table: Path,
    base: Mapping[str, Any],
) -> dict[str, Any]:
    """A configuration to lay over `base`: the sheet's sensors and classes, one small network.

    Parameters
    ----------
    found, seen
        What is there.
    usable_ : mapping of str to sequence of str
        Sensors by scene of the sheet.
    grounds : int
        Pieces of ground with labels.
    classes : sequence of str
        None: a class ``objects`` stands in for those to come.
    table : Path
        The sheet, as it is named in the configuration.
    base : mapping
        What the overlay lies over: everything there that is not wanted is set to null.
    """
    side = min(min(look.info.width, look.info.height) for look in seen.looks[found.dataset.reference].values())
    patch = next((size for size in (128, 64, 32) if size <= side), 16)
    names = [name for name in found.sensors if any(name in sensors for sensors in usable_.values())]
    member = {"model": MODEL, "input": "all", "scale": "native"}
    few = 2 <= grounds < 6
    sections: dict[str, dict[str, Any]] = {
        "sensors": {name: _sensor(found, seen, name) for name in names},
        "inputs": {"all": names},
        "scales": {"native": {}},
        "targets": {},
        "models": {MODEL: {"kind": "unet", "maps": 32, "levels": 4 if patch >= 64 else 2, "convolutions": 2}},
        "classes": {
            name: {"id": found.dataset.classes.get(name, 1), "members": [member]} for name in classes or [OBJECTS]
        },
    }
    return {
        "results": f"results-{usable(table.stem)}",
        "dataset": {"layout": "sheet", "table": str(table), "root": None, "predict": None, "truth": None},
        **{section: _replacing(base.get(section) or {}, ours) for section, ours in sections.items()},
        "statistics": "train" if grounds else "all",
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
    options["bands"] = usual_bands(seen, name)
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
    gone = {key: None for key, value in base.items() if key not in ours and value is not None}
    tables = {
        k: _replacing(base.get(k) or {}, value) if isinstance(value, dict) else value for k, value in ours.items()
    }
    return tables | gone


def _yaml(config: Mapping[str, Any]) -> str:
    """A configuration as YAML, one section after another, with their comments."""
    import yaml

    text = yaml.safe_dump(config, sort_keys=False, default_flow_style=None, width=1000)
    return re.sub(
        r"^(\w+):", lambda key: f"\n# {COMMENTS[key[1]]}\n{key[0]}" if key[1] in COMMENTS else key[0], text, flags=re.M
    )
