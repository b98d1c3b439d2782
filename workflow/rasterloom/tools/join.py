"""Join the results of several runs, such as those of the regions of a sheet: polygons of all, and rows of all tables.

OUT/polygons.gpkg has one layer per class, OUT/summary.tsv and OUT/quality/*.tsv have the rows of all runs. A scene
that several runs have, as those that models learn from, is taken from the first. Where scenes have different coordinate
systems, the polygons are in longitude and latitude (EPSG:4326).
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rasterloom.errors import InputError, MissingInputError
from rasterloom.grouping import grouped
from rasterloom.registration import table as registration
from rasterloom.report import findings
from rasterloom.stages import export, measure
from rasterloom.store.files import write_text
from rasterloom.store.folders import asked_outputs
from rasterloom.store.tables import read_tsv, tsv_text
from rasterloom.text import counted, few, now_and_then

HELP = "join the polygons and tables of several results folders"

TABLES = {
    "summary.tsv": (measure.COLUMNS, "measure"),
    "quality/inputs.tsv": (findings.COLUMNS, "quality"),
    "quality/registration.tsv": (registration.COLUMNS, "quality"),
}
"""Tables that are joined: their columns, and the stage that writes them."""

AT_ONCE = 200
"""Scenes whose polygons are written together: each time a layer is opened takes some milliseconds."""


@dataclass(frozen=True)
class Layer:
    """The polygons of a class on a scene, and where they lie."""

    scene: str
    name: str
    path: Path


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the subcommand."""
    parser.add_argument("results", metavar="RESULTS", nargs="+", type=Path, help="results folders of finished runs")
    parser.add_argument("--out", metavar="FOLDER", required=True, type=Path, help="where the joined files go")


def main(args: argparse.Namespace) -> None:
    """Write the joined files.

    Raises
    ------
    RasterloomError
        If a folder has no results, classes differ in case only, or only some scenes have a coordinate system.
    """
    if args.out.is_file() or (args.out.is_dir() and asked_outputs(args.out) is not None):
        raise InputError(f"--out {args.out}: it is a file, or the results of a run: name a folder of its own")
    folders = list(dict.fromkeys(args.results))
    runs = {folder: list(layers_of(folder)) for folder in folders}
    first = {layer.scene: folder for folder, layers in reversed(runs.items()) for layer in layers}
    own = [layer for folder, layers in runs.items() for layer in layers if first[layer.scene] == folder]
    for names in grouped((name.lower(), name) for name in {layer.name: None for layer in own}).values():
        if len(names) > 1:
            raise InputError(
                f"classes {few(names)}: the names differ in case only, so that one file cannot hold them as layers: "
                "rename one in its configuration, and run that again"
            )
    for name, (columns, stage) in TABLES.items():
        rows: dict[tuple[str, ...], None] = {}
        for folder in folders:
            found = read_tsv(folder / name, columns, stage, "rows", dict)
            rows |= dict.fromkeys(tuple(row.values()) for row in found if first.get(row["scene"], folder) == folder)
        write_text(args.out / name, tsv_text(columns, rows))
    with export.geopackage(args.out / "polygons.gpkg") as add:
        count = write_layers(add, own)
    print(f"{args.out}: {counted(count, 'polygon')} of {counted(len(first), 'scene')}")


def layers_of(results: Path) -> Iterator[Layer]:
    """The layers that the latest run of a results folder has written."""
    asked = asked_outputs(results)
    if asked is None:
        raise MissingInputError(
            f"{results} has no results: give the folder of a finished run (`results` in its config)"
        )
    for name in asked["export"]:
        table = results / name
        for row in read_tsv(table, export.COLUMNS, "export", "layers", dict):
            yield Layer(row["scene"], row["layer"], table.parent / row["file"])


def common_system(layers: Sequence[Layer]) -> Any:
    """The coordinate system to write: that of all layers, or EPSG:4326 if they differ; None if none has one."""
    import pyogrio

    systems = {layer.scene: layer for layer in layers}
    found = grouped((pyogrio.read_info(own.path, layer=own.name)["crs"], scene) for scene, own in systems.items())
    if None in found and len(found) > 1:
        raise InputError(
            f"{few(found[None])}: no coordinate system, but other scenes have one, so that they cannot lie in one "
            "file: give their images a georeference, or join them on their own"
        )
    return next(iter(found), None) if len(found) < 2 else "EPSG:4326"


def write_layers(add: Callable[[str, Any], None], layers: Sequence[Layer]) -> int:
    """Write layers of one name as one, and return how many polygons there are.

    Memory: the polygons of `AT_ONCE` scenes.
    """
    import geopandas
    import numpy as np

    system, say, count, done = common_system(layers), now_and_then(), 0, 0
    for name in dict.fromkeys(layer.name for layer in layers):
        own = [layer for layer in layers if layer.name == name]
        for start in range(0, len(own), AT_ONCE):
            frames = [geopandas.read_file(one.path, layer=name) for one in own[start : start + AT_ONCE]]
            if system is not None:
                frames = [frame.to_crs(system) for frame in frames]
            columns = {column: np.concatenate([frame[column] for frame in frames]) for column in frames[0]}
            joined = geopandas.GeoDataFrame(columns, crs=frames[0].crs)
            add(name, joined)
            count, done = count + len(joined), done + len(frames)
            say(f"{done} of {counted(len(layers), 'layer')}")
    return count
