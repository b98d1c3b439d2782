"""A first sheet and a first configuration from what was found in a folder."""

from __future__ import annotations

import csv
import io
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rasterloom.dataset import Scene, SourceFile
from rasterloom.errors import InputError, RasterloomError
from rasterloom.store.files import write_text
from rasterloom.tools.inspect.folder import OBJECTS
from rasterloom.tools.inspect.found import DSTL_SIGNS, Found, quoted
from rasterloom.tools.inspect.labels import LabelSurvey
from rasterloom.tools.inspect.names import usable
from rasterloom.tools.inspect.pixels import Look
from rasterloom.tools.inspect.survey import Survey
from rasterloom.tools.inspect.text import many

BASE = "config.yaml"

MODEL = "first_unet"
"""What the one model of a first configuration is called."""


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
    for path in (sheet, overlay_of(sheet)):
        if path.exists():
            raise InputError(
                f"inspect: {path} is there already and is not overwritten: name another --sheet, or move it"
            )


def overlay_of(sheet: Path) -> Path:
    """Where the configuration of a sheet goes: beside it, ``scenes.yaml`` for ``scenes.tsv``."""
    return sheet.with_suffix(".yaml")


def write_first(found: Found, seen: Survey, labels: LabelSurvey, sheet: Path) -> tuple[str, ...]:
    """Write the sheet and its configuration; lines that say so, and what to do next.

    Raises
    ------
    InputError
        If no scene can be used, or a path cannot stand in a sheet.
    """
    scenes = usable_scenes(found, seen)
    if not scenes:
        raise InputError(f"inspect: {found.data} holds no image that a run could use: no sheet was written")
    rows = sheet_rows(found, scenes, seen, labels, sheet.parent)
    base_file, base = _base()
    table = sheet if base_file.parent == Path() else sheet.resolve()
    classes = [name for name in found.dataset.classes if labels.classes.get(name)]
    overlay = overlay_text(found, seen, _training(rows, scenes), classes, table, base)
    write_text(sheet, rows_text(rows))
    write_text(overlay_of(sheet), overlay)
    counts = [row["split"] for row in rows]
    lines = [
        f"{sheet}: {many(counts.count('train'), 'scene')} to train on, {counts.count('predict')} to predict: check it"
    ]
    left = len(found.dataset.scenes) - len(scenes)
    lines += [f"({many(left, 'scene')} left out, as the reference image cannot be used)"] if left else []
    lines.append(f"{overlay_of(sheet)}: a first configuration: its comments say what to look at")
    if classes == [OBJECTS]:
        lines.append(f"no name says what the labels show, so their class is called {OBJECTS}: rename it in both files")
    problem = _problem([*([base_file] if base_file.is_file() else []), overlay_of(sheet)])
    if "train" not in counts:
        lines.append("no scene has labels yet: name files in a column labels:<class> and set split to train; then")
    if problem:
        lines.append(f"before it runs: {problem}")
    where = "" if base_file.parent == Path() else f"in {base_file.parent}: "
    lines.append(f"{where}snakemake --cores all --configfile {shlex.quote(str(overlay_of(table)))}")
    return tuple(lines)


def usable_scenes(found: Found, seen: Survey) -> list[Scene]:
    """Scenes whose reference image can be used."""
    return [scene for scene in found.dataset.scenes.values() if fits(found, seen, scene.id, found.dataset.reference)]


def fits(found: Found, seen: Survey, scene: str, sensor: str) -> bool:
    """Whether a sensor of a scene could be read, has as many bands as elsewhere, and lies over the reference."""
    looks = seen.looks.get(sensor, {})
    placed = sensor == found.dataset.reference or scene in seen.covers[sensor]
    return scene in looks and placed and looks[scene].info.bands == usual_bands(looks)


def kept_sensors(found: Found, seen: Survey) -> list[str]:
    """Sensors that can be used in some scene of the sheet."""
    scenes = usable_scenes(found, seen)
    return [name for name in found.sensors if any(fits(found, seen, scene.id, name) for scene in scenes)]


def usual_bands(looks: Mapping[str, Look]) -> int:
    """The number of bands that most images of a sensor have."""
    bands = [look.info.bands for look in looks.values()]
    return max(sorted(set(bands)), key=bands.count)


def _base() -> tuple[Path, Mapping[str, Any]]:
    """The configuration that the overlay lies over: the one here, or the one that came with the library."""
    from rasterloom.config import read_config_files

    own = Path(__file__).resolve().parents[4] / BASE
    path = Path(BASE) if Path(BASE).is_file() or not own.is_file() else own
    return path, read_config_files([path]) if path.is_file() else {}


def _problem(files: Sequence[Path]) -> str | None:
    """Why a configuration would not load; None if it does."""
    from rasterloom.config import read_config_files
    from rasterloom.planning.graph import Dag

    try:
        Dag.load(read_config_files(list(files)))
    except RasterloomError as error:
        return str(error)
    return None


# The sheet ---------------------------------------------------------------------------------------------


def sheet_rows(
    found: Found, scenes: Sequence[Scene], seen: Survey, labels: LabelSurvey, folder: Path
) -> list[dict[str, str]]:
    """Rows of a sheet by column: `train` where labels can be used, else `predict`; paths relative to `folder`."""
    rows = []
    classes = [name for name, known in labels.classes.items() if known]
    for scene in scenes:
        good = [name for name in scene.labelled if scene.id in labels.classes.get(name, {})]
        shares = sum(other.ground == scene.ground for other in scenes) > 1
        row = {
            "scene": scene.id,
            "split": "train" if good else "predict",
            "ground": scene.ground if shares else "",
        }
        for name in kept_sensors(found, seen):
            files = scene.sensors.get(name, ()) if fits(found, seen, scene.id, name) else ()
            row[name] = ";".join(cell(file, folder) for file in files)
        # A file in `labels` speaks for every class unless `classes` limits it.
        shared = [name for name in good if not scene.labels[name].whole]
        row["labels"] = cell(scene.labels[shared[0]].file, folder) if shared else ""
        row["classes"] = ", ".join(good) if shared and len(good) < len(classes) else ""
        row |= {f"labels:{name}": cell(scene.labels[name].file, folder) for name in good if scene.labels[name].whole}
        rows.append(row)
    return rows


def cell(file: SourceFile, folder: Path) -> str:
    """A file as a sheet names it; InputError if its name has a character that separates things there."""
    path = os.path.relpath(Path(file.path).resolve(), folder.resolve())
    if ";" in path or "\t" in path or "\n" in path:
        raise InputError(f"inspect: {file.path!r} cannot be named in a sheet (semicolon, tab or line break): rename it")
    return path if file.bands is None else f"{path}[{','.join(map(str, file.bands))}]"


def rows_text(rows: Sequence[Mapping[str, str]]) -> str:
    """Rows as the text of a sheet; columns that hold nothing, but for a sensor's, are left out."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    columns = [
        c for c in columns if not c.startswith(("ground", "labels", "classes")) or any(row.get(c) for row in rows)
    ]
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([[row.get(column, "") for column in columns] for row in rows])
    return text.getvalue()


def _training(rows: Sequence[Mapping[str, str]], scenes: Sequence[Scene]) -> int:
    """Pieces of ground that can be trained on."""
    split = {row["scene"]: row["split"] for row in rows}
    return len({scene.ground for scene in scenes if split[scene.id] == "train"})


# The configuration -------------------------------------------------------------------------------------


def overlay_text(
    found: Found, seen: Survey, grounds: int, classes: Sequence[str], table: Path, base: Mapping[str, Any]
) -> str:
    """A configuration to lay over `base` as YAML: the sheet's sensors and classes, one small network.

    Parameters
    ----------
    found, seen
        What is there.
    grounds : int
        Pieces of ground with labels.
    classes : sequence of str
        None: a class ``objects`` stands in for those to come.
    table : Path
        The sheet, as it is named in the configuration.
    base : mapping
        What the overlay lies over: everything there that is not wanted is set to null.
    """
    looks = seen.looks[found.dataset.reference].values()
    side = min(min(look.info.width, look.info.height) for look in looks)
    patch = next((size for size in (128, 64, 32) if size <= side), 16)
    numbers = {name: found.dataset.classes[name] for name in classes} or {OBJECTS: 1}
    unnamed = "" if classes else "                    # no labels were found: name your classes here and in the sheet"
    statistics = "train           # a new scene to predict then retrains nothing"
    lines = [
        "# A start, to be edited; lies over config.yaml. Made by",
        f"# rasterloom inspect {found.data} --sheet {table}",
        f"results: results-{usable(table.stem)}",
        f"dataset: {{layout: sheet, table: {quoted(str(table))}, root: null, predict: null, truth: null}}",
        "",
        *_channel_lines(found, seen, base),
        "",
        "models:",
        f"  {MODEL}: {{kind: unet, width: 32, depth: {4 if patch >= 64 else 2}, convs_per_block: 2}}",
        *_nulls(base, "models", [MODEL]),
        "",
        f"classes:{unnamed}",
        *(line for name, number in numbers.items() for line in _class_lines(name, number, base)),
        *_nulls(base, "classes", numbers),
        "",
        f"statistics: {statistics if grounds else 'all    # train, once there are labels'}",
        f"validation: {_validation(grounds)}",
        "",
        "defaults:                   # a short training, to see that all is connected; then 10 to 30 times the steps",
        f"  training: {{steps: 1500, batch: 4, patch: {patch}, learning_rate: 0.002}}",
        f"  prediction: {{window: {patch}, stride: {patch // 2}, batch: 8}}",
    ]
    return "\n".join(lines) + "\n"


def _channel_lines(found: Found, seen: Survey, base: Mapping[str, Any]) -> list[str]:
    """Sensors, one input of them all, the native scale, no unions of classes."""
    known = base.get("sensors") or {}
    sensors = {name: sensor_options(found, name, seen, known.get(name) or {}) for name in kept_sensors(found, seen)}
    return [
        "sensors:                    # the reference gives the grid: take the sensor that labels were drawn on",
        *(f"  {name}: {_flow(options)}" for name, options in sensors.items()),
        *_nulls(base, "sensors", sensors),
        "",
        f"channels: {_flow({'all': list(sensors), **_null_keys(base, 'channels', ['all'])})}",
        f"scales: {_flow({'native': {}, **_null_keys(base, 'scales', ['native'])})}",
        f"targets: {_flow(_null_keys(base, 'targets', []))}",
    ]


def sensor_options(found: Found, name: str, seen: Survey, base: Mapping[str, Any]) -> dict[str, Any]:
    """A sensor's options as far as the files tell them; what `base` says of one of its name is taken away."""
    looks = seen.looks[name]
    reference = name == found.dataset.reference
    options: dict[str, Any] = {"reference": True} if reference else {}
    options["bands"] = usual_bands(looks)
    if _dark(looks):
        options["nodata"] = 0
    if not reference:
        # Bands of one product lie on one grid; other sensors may be off by a few of their pixels.
        one_product = all(re.fullmatch(r"b\d+(m|cm|px)", sensor) for sensor in (name, found.dataset.reference))
        options["registration"] = "none" if one_product else "auto"
        if not one_product:
            options["max_shift"] = _max_shift(seen, found.dataset.reference, name)
    idle = {"registration", "motion", "max_shift"} if reference else set()
    taken = {key: None for key, value in base.items() if value is not None and key not in idle}
    return {**taken, **options}


def _dark(looks: Mapping[str, Look]) -> bool:
    """Whether pixels at 0 in all bands are so many, in a scene, that they are no data rather than dark ground."""
    return any(look.nodata is None and look.black > 0.01 * look.pixels for look in looks.values())


def _max_shift(seen: Survey, reference: str, name: str) -> int:
    """Four pixels of a sensor, at least 8 reference pixels."""
    own, other = seen.looks[reference], seen.looks[name]
    ratios = [own[scene].info.width / other[scene].info.width for scene in other if scene in own]
    return max(8, round(4 * max(ratios, default=1.0)))


def _class_lines(name: str, number: int, base: Mapping[str, Any]) -> list[str]:
    """A class; what the base says of one of the same name is taken away."""
    known = (base.get("classes") or {}).get(name) or {}
    extra = {key: dict.fromkeys(known[key]) for key in ("polygons", "training", "prediction") if key in known}
    return [
        f"  {name}:",
        f"    id: {number}",
        f"    members: [{{model: {MODEL}, channels: all, scale: native}}]",
        *(f"    {key}: {_flow(value)}    # of the contest's class: taken away" for key, value in extra.items()),
    ]


def _validation(grounds: int) -> str:
    if 2 <= grounds < 6:
        return f"{{split: null, folds: {min(grounds, 3)}}}    # few labelled scenes: each is validated once"
    return "{split: 0.8, folds: null}    # a fifth of the labelled ground validates"


def _null_keys(base: Mapping[str, Any], section: str, ours: Any) -> dict[str, None]:
    return {name: None for name in base.get(section) or {} if name not in ours}


def _nulls(base: Mapping[str, Any], section: str, ours: Any) -> list[str]:
    """Lines that take away what the base has in a section and the overlay has not."""
    return [f"  {name}: null" for name in _null_keys(base, section, ours)]


def _flow(value: Any) -> str:
    """A value as YAML on one line."""
    import yaml

    return yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10_000).strip()
