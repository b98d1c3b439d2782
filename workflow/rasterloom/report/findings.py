"""Findings about images and labels: what was unusual, where, and what the user can do about it."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from rasterloom.raster.grid import scale_grid
from rasterloom.raster.scan import SATURATED_SHARE, band_facts
from rasterloom.store.tables import read_tsv, tsv_text
from rasterloom.text import plural

INPUTS, REGISTRATION = TABLES = ("inputs", "registration")
"""The tables, each a job."""

COLUMNS = ("scene", "source", "file", "finding", "detail", "remedy")
"""``source``: the sensor or class; ``file``: names of files, without folders."""

_TABLE = (Path(__file__).parent / "templates/findings.tsv").read_text(encoding="utf-8")

_ROWS = [row.split("\t") for row in _TABLE.splitlines()]
"""Finding, remedy and, for one that counts polygons or rows, the words for one of them and for many."""

REMEDIES: Mapping[str, str] = {finding: remedy for finding, remedy, *_ in _ROWS}
"""What one might do about each finding."""

_COUNTED: Mapping[str, Sequence[str]] = {finding: words for finding, _, *words in _ROWS if words}

STOPS = frozenset({"error"})
"""Findings of `rasterloom inspect` that a run would stop at; the detail says how to mend them."""


@dataclass(frozen=True, order=True)
class Finding:
    """A row of the table but for its last cell."""

    scene: str
    source: str
    file: str
    finding: str
    detail: str


# Images ------------------------------------------------------------------------------------------------


def sensor_findings(scene: str, sensor: str, files: Sequence[str], entry: Mapping[str, Any]) -> Iterator[Finding]:
    """What is odd about a sensor of a scene.

    Parameters
    ----------
    scene, sensor : str
    files : sequence of str
        Names of its files.
    entry : mapping
        Its part of the registration: ``width``, ``height``, ``facts`` of each band, ``accepted``, ``fallback``.
    """
    pixels, missing = entry["width"] * entry["height"], max(band["missing"] for band in entry["facts"])
    found: dict[str, list[str]] = defaultdict(list)
    if missing == pixels:
        found["all-no-data"] = [f"all {pixels} pixels"]
    elif missing:
        found["no-data"] = [_share(missing, pixels)]
    for number, band in enumerate(entry["facts"], 1):
        full, seen = band_facts(band).full, pixels - band["missing"]
        if band["not_finite"]:
            found["not-finite"].append(f"band {number}: {band['not_finite']} pixels")
        if band["low"] is not None and band["low"] == band["high"]:
            found["constant-band"].append(f"band {number}: {band['low']:g} everywhere")
        elif full > SATURATED_SHARE * seen:
            found["saturated"].append(f"band {number}: {_share(full, seen)} at {band['high']:g}")
    if not entry["accepted"]:
        found["shift"] = [entry["fallback"]]
    for finding, details in found.items():
        yield Finding(scene, sensor, "; ".join(files), finding, "; ".join(details))


def _share(part: int, whole: int) -> str:
    return f"{part} of {whole} pixels ({100 * part / whole:.3g} %)"


def size_findings(
    scene: str, sensor: str, files: Sequence[str], reference: Mapping[str, Any], windows: Iterable[Mapping[str, Any]]
) -> Iterator[Finding]:
    """Scales on which a scene is smaller than the window that a network sees."""
    for entry in windows:
        scale, window = entry["scale"], entry["window"]
        grid = scale_grid(scale, reference["width"], reference["height"], reference["gsd"])
        if min(grid.width, grid.height) < window:
            detail = f"{grid.width} x {grid.height} pixels at scale {scale['name']}, the window has {window}"
            yield Finding(scene, sensor, "; ".join(files), "small", detail)


# Labels ------------------------------------------------------------------------------------------------


def label_findings(scene: str, name: str, file: str, facts: Mapping[str, Any]) -> Iterator[Finding]:
    """What is odd about the labels of a class in a scene, by the facts that the stage `label` keeps beside them.

    Where many scenes share a file, what concerns the file alone is in rows without a scene.
    """
    shared = facts.get("shared")
    outside = facts.get("elsewhere", 0) + (0 if shared else facts.get("outside", 0))
    counts = {finding: {**facts, "outside": outside}.get(finding) for finding in _COUNTED}
    found = {finding: f"{n} {plural(n, *_COUNTED[finding])}" for finding, n in counts.items() if n}
    if left := facts.get("left-out"):
        left_out = plural(left, "point or line in it left out", "points and lines in them left out")
        found["collection"] += f", {left} {left_out}"
    if facts.get("nowhere"):
        found["none-inside"] = "nothing of the file lies in the image"
    if "part" in facts:
        found["part"] = f"the mask shows {facts['part']:g} % of the image"
    for finding, detail in found.items():
        yield Finding("" if shared and finding == "empty" else scene, name, file, finding, detail)


def class_findings(files: Mapping[str, Iterable[Mapping[str, Any]]], classes: Mapping[str, int]) -> Iterator[Finding]:
    """Classes in files of labels that the configuration does not have: one row per file.

    Parameters
    ----------
    files : mapping
        By name of the file the facts of all labels that were read from it.
    classes : mapping of str to int
        Number of each class.
    """
    for file, facts in files.items():
        seen = list(facts)
        numbers = {number for found in seen for number in found.get("numbers", [])} - set(classes.values())
        values = {value for found in seen for value in found.get("unknown", [])}
        if numbers:
            yield Finding("", "", file, "unknown-class", f"class numbers {', '.join(map(str, sorted(numbers)))}")
        if values:
            yield Finding("", "", file, "unknown-class", f"classes {', '.join(map(repr, sorted(values)))}")


# The table ---------------------------------------------------------------------------------------------


def table(found: Iterable[Finding]) -> str:
    """Tab-separated text: the header, and one row per finding, sorted, each once."""
    return tsv_text(COLUMNS, ([*astuple(finding), REMEDIES[finding.finding]] for finding in sorted(set(found))))


def read_table(path: Path) -> list[dict[str, str]]:
    """Rows of ``inputs.tsv`` by column.

    Raises
    ------
    MissingInputError, StoreError
        If it is not there, or is not the table that this stage writes.
    """
    return read_tsv(path, COLUMNS, "quality", "findings", dict)
