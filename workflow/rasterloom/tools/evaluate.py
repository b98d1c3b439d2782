"""Score one file of polygons against another: areas and objects, by class and scene, with an interval.

A file is a table of WKT (.csv or .tsv, also as .gz or .zip; the contest's, or ours), a GeoPackage, GeoParquet, GeoJSON
or whatever else GDAL reads. The columns `class` and `scene` (ClassType and ImageId in the contest's) divide it; in the
truth, `ground` names scenes of the same ground. The scenes and classes that count are those of the truth. With a
coordinate system, areas are square metres on the ellipsoid. docs/scoring.md defines each number.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from math import inf, log2
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rasterloom.dataset.contest_ids import ground_of
from rasterloom.errors import InputError
from rasterloom.grouping import grouped
from rasterloom.labels.files import class_text, read_vector
from rasterloom.labels.geometry import polygon_parts
from rasterloom.labels.wkt_tables import columns_of, is_table
from rasterloom.polygons.areas import equal_area
from rasterloom.polygons.jaccard import areas
from rasterloom.polygons.objects import objects
from rasterloom.polygons.scores import COLUMNS, Cell, ClassScore, rows, score_text
from rasterloom.store.files import write_text
from rasterloom.text import few, number, table

HELP = "score any file of polygons against any other"

WHOLE = "file"
"""What the scene or class is called of which a file names none."""

SIZE = 1e6
"""About how far polygons without a coordinate system reach once they are scaled: the contest's units are tiny."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the subcommand."""
    parser.add_argument("truth", metavar="TRUTH", type=Path, help="the file that is right")
    parser.add_argument("predicted", metavar="PREDICTED", type=Path, help="the file to score")
    parser.add_argument(
        "--out", metavar="FILE", type=Path, help="write every scene too, numbers in full: .json, or else a TSV"
    )


def main(args: argparse.Namespace) -> None:
    """Print the pooled scores; write those of each scene too, in full.

    Raises
    ------
    RasterloomError
        If a file cannot be read, or the two do not fit together.
    """
    found = evaluated(args.truth, args.predicted)
    if args.out is not None:
        records = [dict(zip(COLUMNS, row, strict=True)) for row in found]
        as_json = args.out.suffix.lower() == ".json"
        write_text(args.out, json.dumps(records, indent=1) + "\n" if as_json else score_text(found))
    pooled = [[row[1], *row[3:-1]] for row in found if row[2] == "all"]
    shown = [[cell if isinstance(cell, str) else number(cell) for cell in row] for row in pooled]
    print(*table([("class", *COLUMNS[3:-1]), *shown], right=range(1, len(COLUMNS)), indent=0), sep="\n")


def evaluated(truth: Path, predicted: Path) -> list[list[Cell]]:
    """Rows as in `COLUMNS`, with neither a part nor thresholds."""
    paths = truth, predicted
    frames = [read_vector(path, every=True) for path in paths]
    for path, frame in zip(paths, frames, strict=True):
        frame.columns = columns_of(path, list(frame.columns))
    if not len(frames[0]):
        raise InputError(f"{truth} has no rows: give the file with the truth first")
    geometries, unit = _on_one_plane(paths, frames)
    true, found = map(_parts, paths, frames, geometries)
    scenes, classes = (list(dict.fromkeys(key[place] for key in true)) for place in (0, 1))
    for place, what, known in ((0, "scene", scenes), (1, "class", classes)):
        others = dict.fromkeys(key[place] for key, own in found.items() if len(own))
        if left_out := [name for name in others if name not in known]:
            said = f"{predicted} has a {what} that {truth} has no row of ({few(left_out, most=5)})"
            if len(left_out) == len(others):
                raise InputError(f"{said}, and none of its own ({few(known, most=5)}): give both the same names")
            print(f"rasterloom: {said}: not scored; where nothing is true, give an empty geometry", file=sys.stderr)
    ground = {scene: ground_of(scene) for scene in scenes}
    if {"scene", "ground"} <= {*frames[0].columns}:
        named = frames[0][["scene", "ground"]].dropna().to_numpy().tolist()
        ground |= {class_text(scene): str(own) for scene, own in named if own != ""}
    scored, nothing = [], np.empty(0, dtype=object)
    for name in classes:
        pairs = {scene: [side.get((scene, name), nothing) for side in (true, found)] for scene in scenes}
        covered = {scene: areas(*pair).scaled(unit) for scene, pair in pairs.items()}
        scored.append(ClassScore(name, covered, {scene: objects(*pair) for scene, pair in pairs.items()}, ground))
    return rows("", scored)


def _on_one_plane(paths: Sequence[Path], frames: Sequence[Any]) -> tuple[list[Any], float]:
    """Geometries of both files on one plane, and what a square of it is worth.

    With a coordinate system, square metres on the ellipsoid; without, the files' own units.
    """
    import shapely
    from pyproj.exceptions import ProjError

    systems = [(path, frame.crs) for path, frame in zip(paths, frames, strict=True) if frame.crs is not None]
    for path, frame in zip(paths, frames, strict=True):
        if systems and frame.crs is None and len(frame) and not is_table(path):
            raise InputError(
                f"{path} names no coordinate system and {systems[0][0]} does: set it, for example in QGIS (Layer > Set "
                "CRS, then export)"
            )
    system = systems[0][1] if systems else None
    try:
        found = [(own if own.crs is None else own.to_crs(system)).geometry.to_numpy() for own in frames]
    except ProjError:  # one of them is tied to no place on the Earth
        raise InputError(
            f"no way leads between the coordinate systems of {paths[0]} and {paths[1]}: check both"
        ) from None
    west, south, east, north = shapely.total_bounds(np.concatenate(found)).tolist()
    if system is not None:
        return [equal_area(own, system, ((west + east) / 2, (south + north) / 2)) for own in found], 1.0
    extent = max(east - west, north - south)
    scale = 2.0 ** round(log2(SIZE / extent)) if 0 < extent < inf else 1.0  # exact, as it is a power of two
    return [shapely.transform(own, lambda points: points * scale) for own in found], scale**-2


def _parts(path: Path, frame: Any, geometries: Any) -> dict[tuple[str, str], NDArray[np.object_]]:
    """Valid polygons by scene and class; an empty array where a row says that there is nothing."""
    names = (frame.get(column, [WHOLE] * len(frame)) for column in ("scene", "class"))
    rows = zip(*names, geometries, strict=True)
    found = grouped(((class_text(scene), class_text(name)), geometry) for scene, name, geometry in rows)
    where = f"{path}, scene {{}}, class {{}}"
    return {key: np.array(polygon_parts(own, where.format(*key))[0], dtype=object) for key, own in found.items()}
