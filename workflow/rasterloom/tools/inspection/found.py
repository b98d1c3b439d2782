"""What there is: DATA or the configuration, understood as scenes, sensors and labels."""

import shlex
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import combinations, product
from pathlib import Path
from typing import Any

from rasterloom.dataset import Dataset, load_dataset
from rasterloom.dataset.contest import TABLES
from rasterloom.dataset.contest_ids import CLASS_NAMES, SENSORS
from rasterloom.dataset.sheet import COLUMNS, read_cells
from rasterloom.errors import InputError, RasterloomError
from rasterloom.labels.files import class_text, read_vector
from rasterloom.report.findings import Finding

_PARTS = (*dict.fromkeys(sensor.folder for sensor in SENSORS.values()), TABLES["train_wkt"])

DSTL_SIGNS = tuple(f"{part}{ending}" for ending in ("", ".zip") for part in _PARTS)
"""What the folder of the contest's files holds; one of these is enough."""


NO_SCENES = Dataset("sheet", {}, "", {})
"""What data without an image are understood as."""


@dataclass
class Found:
    """Data, understood.

    Attributes
    ----------
    data : Path or None
        What was given; None: the configuration.
    how : list of str
        What it was understood as, and why; one line each.
    dataset : Dataset
    sensors : dict of str to mapping
        Options of each sensor, as in the configuration.
    following : list of str
        Lines that say what to do next.
    findings : list of Finding
        What was odd already.
    """

    data: Path | None
    how: list[str]
    dataset: Dataset
    sensors: dict[str, dict[str, Any]]
    following: list[str]
    findings: list[Finding] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.findings += [Finding("", "", "", "note", note) for note in self.dataset.notes]


@contextmanager
def refusing(findings: list[Finding], source: str, finding: str = "error") -> Iterator[None]:
    """An error raised in the block becomes a finding about a sensor or a class."""
    try:
        yield
    except RasterloomError as error:
        findings.append(Finding("", source, "", finding, " ".join(str(error).split())))


def from_configuration(files: list[Path]) -> Found:
    """The data set of config.yaml with `files` laid over it."""
    from rasterloom.config import read_configuration
    from rasterloom.project.project import Project

    project = Project.load(read_configuration(files))
    options = project.config.dataset
    place = options.root if options.layout == "dstl" else options.table
    how = f"the configuration's data set, layout {options.layout}, {place}"
    sensors = {name: sensor.model_dump() for name, sensor in project.config.sensors.items()}
    over = shlex.join(["--configfile", *map(str, files)]) if files else ""
    return Found(None, [how], project.dataset, sensors, [f"snakemake --cores all {over}".rstrip()])


def from_dstl(root: Path) -> Found | str:
    """The contest's files in a folder, as far as they are there; else why a run would not take them."""
    sensors: dict[str, dict[str, Any]] = {name: {"bands": len(sensor.bands)} for name, sensor in SENSORS.items()}
    sensors["rgb"]["reference"] = True
    classes = {name: number for number, name in CLASS_NAMES.items()}
    truth = next((str(path) for path in sorted(root.glob("truth*.csv"))), None)
    options: dict[str, Any] = {"layout": "dstl", "root": str(root), "truth": truth}
    why = ""
    # All sensors, then all but one, and so on, always with the reference.
    fewer = (("rgb", *rest) for size in (3, 2, 1, 0) for rest in combinations(("p", "m", "a"), size))
    choices: tuple[object, ...] = ("scored", "all", [])
    for partial, names, predict in product((False, True), list(fewer), choices):
        chosen = {name: sensors[name] for name in names}
        try:
            dataset = load_dataset({**options, "predict": predict, "partial": partial}, chosen, classes)
        except RasterloomError as error:
            if len(names) == len(sensors) and not partial:  # asks for what is really missing
                why = " ".join(str(error).split("\nThey come")[0].split())
            continue
        signs = ", ".join(name for name in DSTL_SIGNS if (root / name).exists())
        how = f"the layout of the Dstl contest: {signs}; `dataset.predict: {predict}` is assumed"
        found = Found(root, [how], dataset, chosen, _dstl_commands(root, predict, truth))
        left = ", ".join(name for name in sensors if name not in names)
        if left or partial:
            lacking = f"without {left}, which not all scenes have: " if left else ""
            found.findings.append(Finding("", "", "", "error", f"{lacking}{why}"))
        return found
    return why


def _dstl_commands(root: Path, predict: object, truth: str | None) -> list[str]:
    import yaml

    options = {"root": str(root), "predict": predict, **({"truth": truth} if truth else {})}
    if options == {"root": "data/dstl", "predict": "scored"}:
        return ["snakemake --cores all"]
    return [
        "write into a file mine.yaml, with the classes and sensors that you want to leave out set to null:",
        f"    {yaml.safe_dump({'dataset': options}, default_flow_style=None, sort_keys=False, width=10_000).strip()}",
        "snakemake --cores all --configfile mine.yaml",
    ]


def from_sheet(table: Path) -> Found:
    """The scenes of a sheet; its header names the sensors and classes."""
    (_, header), *lines = read_cells(table) or [(1, [])]
    rows = [dict(zip(header, cells, strict=False)) for _, cells in lines]
    names = [column for column in header if column and column not in COLUMNS and not column.startswith("labels:")]
    if not names:
        raise InputError(
            f"{table}: its header names no sensor ({', '.join(header)[:80]}): save it as tab-separated text with the "
            "columns scene, split and one for each sensor, as docs/own-imagery.md shows"
        )
    classes = [column.removeprefix("labels:") for column in header if column.startswith("labels:")]
    classes += [name.strip() for row in rows for name in row.get("classes", "").split(",")]
    findings: list[Finding] = []
    for file in dict.fromkeys(row.get("labels", "") for row in rows):
        if file:
            with refusing(findings, "labels"):
                classes += class_values(table.parent / Path(file).expanduser())
    ids = numbered(name for name in classes if name)
    full = [name for name in names if all(row.get(name) for row in rows)]
    reference = (full or names)[0]
    sensors: dict[str, dict[str, Any]] = {name: {"reference": True} if name == reference else {} for name in names}
    dataset = load_dataset({"layout": "sheet", "table": str(table)}, sensors, ids)
    following = [
        f"snakemake --cores all --configfile YOURS.yaml, with `dataset: {{layout: sheet, table: {table}}}`, the "
        f"sensors {', '.join(names)} and the classes {', '.join(ids) or '...'} in it (docs/own-imagery.md); then",
        "rasterloom inspect --configfile YOURS.yaml, which checks them with its number of bands and its no-data",
    ]
    how = f"a sheet: its columns name the sensors {', '.join(names)}"
    return Found(table, [how], dataset, sensors, following, findings)


def class_values(path: Path) -> list[str]:
    """The values of the property ``class`` in a vector file, sorted; none without such a property."""
    frame = read_vector(path)
    return sorted(set(map(class_text, frame["class"].dropna()))) if "class" in frame.columns else []


def numbered(names: Iterable[str]) -> dict[str, int]:
    """Classes and their numbers: a name that is a number keeps it, as ``class_7``; the others take those left.

    Examples
    --------
    >>> numbered(["roads", "2", "roads", "houses"])
    {'roads': 1, 'class_2': 2, 'houses': 3}
    """
    unique = list(dict.fromkeys(names))
    taken = {int(name) for name in unique if name.isdecimal()}
    free = (number for number in range(1, len(unique) + len(taken) + 1) if number not in taken)
    return dict((f"class_{int(name)}", int(name)) if name.isdecimal() else (name, next(free)) for name in unique)
