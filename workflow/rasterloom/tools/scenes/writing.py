"""Writing generated scenes in the contest's formats: each scene once, tables anew when the set of scenes changes."""

import csv
import io
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import shapely
import tifffile
from shapely.geometry import MultiPolygon, Polygon

from rasterloom.dataset.contest_ids import CLASS_NAMES, SENSORS
from rasterloom.errors import InputError
from rasterloom.store import files
from rasterloom.store.lock import locked
from rasterloom.tools.scenes.ids import generator, scene_ids
from rasterloom.tools.scenes.sensing import generate_scene

VERSION = 2
"""Version of the generator; raised whenever a scene's bytes change."""

MARKER = "scenes.json"

RECORDS = ".scenes"

TABLES = ("grid_sizes.csv", "train_wkt_v4.csv", "truth_wkt.csv", "sample_submission.csv", "shifts.json", "README.md")

SMALLEST, LARGEST = (256, 256), (3396, 3349)

WKT_COLUMNS = ("ImageId", "ClassType", "MultipolygonWKT")

UNIT = 2.7e-6
"""Grid units of one pixel, about."""

CONVENTION = (
    "[dx, dy] in RGB pixels, x right, y down. A point of the ground that lies at edge coordinates (x, y) of the RGB "
    "image lies at edge coordinates ((x + dx) / n, (y + dy) / n) of the sensor's image, whose pixels are n RGB pixels "
    "wide (P 1, M 4, A 25); so the matrix from reference to sensor is [[1 / n, 0, dx / n], [0, 1 / n, dy / n]], "
    "and a negative dx means that the sensor's image shows everything further left."
)
"""Sign of the shifts, as written into ``shifts.json``."""

README = Path(__file__).with_suffix(".md")
"""What ``README.md`` says, with names of numbers in braces."""


def write_scenes(
    out: Path, train: int, test: int, size: tuple[int, int], seed: int, force: bool = False
) -> tuple[str, ...]:
    """Write generated scenes in the contest's formats.

    Parameters
    ----------
    out : Path
        Folder; new, empty, or written by an earlier call.
    train, test : int
        Numbers of training and test scenes.
    size : (W, H)
        Nominal, of RGB in pixels of 0.31 m, from 256 x 256 to 3396 x 3349.
    seed : int
        Of the data set.
    force : bool
        Generate everything anew, even what is there or belongs to another seed, size or version.

    Returns
    -------
    tuple of str
        Ids of the scenes that this call generated.

    Raises
    ------
    InputError
        If counts, size or folder cannot be used.

    Notes
    -----
    A scene depends on (seed, id, size) alone. A second call with the same arguments does nothing; other counts add
    what is missing, remove what is no longer asked for, and rewrite the tables. One line per scene goes to stderr.
    """
    if not all(low <= side <= high for low, side, high in zip(SMALLEST, size, LARGEST, strict=True)):
        raise InputError(
            f"scenes: size {size[0]}x{size[1]} given; needed: from {SMALLEST[0]}x{SMALLEST[1]} "
            f"to {LARGEST[0]}x{LARGEST[1]} (width x height in pixels of 0.31 m). Choose another --size, as 512."
        )
    names = scene_ids(train, test)
    recipe: dict[str, Any] = {"seed": seed, "size": list(size), "version": VERSION}
    _claim(out, recipe, force)
    with _alone(out):
        return _complete(out, names, recipe)


def _claim(out: Path, recipe: dict[str, Any], force: bool) -> None:
    """See that the folder is ours and of the same recipe; with `force`, drop the scenes that it holds.

    Raises
    ------
    InputError
        If the folder holds anything else, or scenes of another seed, size or version and `force` is not given.
    """
    marker = out / MARKER
    if out.exists() and not out.is_dir():
        raise InputError(f"scenes: {out} is a file; needed: a folder to write to. Give another name.")
    if marker.exists():
        old = files.sound_json(marker) or {}
        changes = [f"{key} {old.get(key)} there, {new} asked for" for key, new in recipe.items() if old.get(key) != new]
        if not (changes or force):
            return
        if not force:
            raise InputError(
                f"scenes: {out} holds scenes of another recipe ({', '.join(changes)}). "
                "Give another folder, or --force to replace them."
            )
        for record in (out / RECORDS).glob("*.json"):
            _remove(out, record.stem)
    elif out.exists() and any(out.iterdir()):
        raise InputError(
            f"scenes: {out} is not empty and holds no {MARKER}, so it was not written by `rasterloom scenes`; "
            "needed: a new or empty folder. Give another name."
        )
    files.write_json(marker, recipe | {"train": [], "test": []})


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Hold the folder's lock, freed by any death of the process, and clear what a killed run left unfinished.

    Raises
    ------
    InputError
        If another process is writing to the folder.
    """
    (out / RECORDS).mkdir(parents=True, exist_ok=True)
    with (out / RECORDS / "lock").open("w") as lock:
        if not locked(lock):
            raise InputError(f"scenes: another process is writing to {out}: wait for it, or give another folder")
        for folder in (out, out / RECORDS, out / "three_band", out / "sixteen_band"):
            for debris in folder.glob(f"{files.TEMPORARY}*"):
                debris.unlink(missing_ok=True)
        yield


def _complete(out: Path, names: tuple[list[str], list[str]], recipe: dict[str, Any]) -> tuple[str, ...]:
    """Generate what is missing, remove what is no longer asked for, and rewrite the tables if anything changed."""
    train, test = names
    records: dict[str, dict[str, Any]] = {}
    generated: list[str] = []
    for number, name in enumerate([*train, *test], 1):
        found = _existing(out, name)
        if found is None:
            found = _make(out, name, recipe["seed"], tuple(recipe["size"]))
            generated.append(name)
            part = "train" if number <= len(train) else "test"
            said = f"{name} ({part}, {found['size'][0]} x {found['size'][1]})"
            print(f"scenes: {number}/{len(train) + len(test)} {said}", file=sys.stderr, flush=True)
        records[name] = found
    surplus = {path.stem for path in (out / RECORDS).glob("*.json")} - set(records)
    final = recipe | {"train": train, "test": test}
    marked = files.read_json(out / MARKER)
    if generated or surplus or marked != final or not all((out / name).exists() for name in TABLES):
        for name in surplus:
            _remove(out, name)
        _write_tables(out, [records[name] for name in train], [records[name] for name in test], recipe)
        files.write_json(out / MARKER, final)
    return tuple(generated)


# Scenes -----------------------------------------------------------------------------------------------------


def image_paths(out: Path, scene_id: str) -> dict[str, Path]:
    """Paths of a scene's four images by sensor."""
    return {name: out / own.folder / f"{scene_id}{own.ending}.tif" for name, own in SENSORS.items()}


def _existing(out: Path, scene_id: str) -> dict[str, Any] | None:
    """The record of a scene that is complete on disk, else None."""
    try:
        record: dict[str, Any] = files.read_json(out / RECORDS / f"{scene_id}.json")
        sizes = {sensor: image.stat().st_size for sensor, image in image_paths(out, scene_id).items()}
    except (OSError, ValueError):
        return None
    return record if record.get("bytes") == sizes else None


def _make(out: Path, scene_id: str, seed: int, size: tuple[int, int]) -> dict[str, Any]:
    """Generate and write one scene; its record comes last, so that a killed run leaves no half scene behind."""
    scene, paths = generate_scene(scene_id, seed, size), image_paths(out, scene_id)
    for sensor, image in scene.sensors.items():
        # as the contest has them: planar, uncompressed, without georeference; A claims to be RGB
        colours, planes = "rgb" if sensor in ("rgb", "a") else "minisblack", None if sensor == "p" else "separate"
        with files.atomic_path(paths[sensor]) as file:
            tifffile.imwrite(file, image, photometric=colours, planarconfig=planes, metadata=None, software=False)
    (width, height), rng = scene.size, generator(seed, scene_id, "grid")
    xmax, ymin = (round(side * UNIT * rng.uniform(0.998, 1.003), 6) for side in scene.size)
    grid = xmax, -ymin
    record = {
        "scene": scene_id,
        "size": [width, height],
        "grid": grid,
        "shifts": {sensor: scene.shifts[sensor] for sensor in ("p", "m", "a")},
        "bytes": {sensor: path.stat().st_size for sensor, path in paths.items()},
        "wkt": {str(number): to_grid_text(scene.polygons[number], scene.size, grid) for number in CLASS_NAMES},
    }
    files.write_json(out / RECORDS / f"{scene_id}.json", record)
    return record


def _remove(out: Path, scene_id: str) -> None:
    """Remove one of our scenes."""
    for path in (out / RECORDS / f"{scene_id}.json", *image_paths(out, scene_id).values()):
        path.unlink(missing_ok=True)


# Tables -----------------------------------------------------------------------------------------------------


def to_grid_text(polygons: Sequence[Polygon], size: tuple[int, int], grid: tuple[float, float]) -> str:
    """Polygons in RGB pixel coordinates as one valid MULTIPOLYGON in grid units.

    Parameters
    ----------
    polygons : sequence of Polygon
    size : (W, H)
        Of the RGB image.
    grid : (Xmax, Ymin)

    Notes
    -----
    The inverse of the contest's ``x_px = x / Xmax * W * W / (W + 1)``. Eleven decimals: less than 1e-5 pixels are lost.
    """
    (width, height), (xmax, ymin) = size, grid
    factors = xmax * (width + 1) / width**2, ymin * (height + 1) / height**2
    flat = shapely.transform(np.array(polygons, dtype=object), lambda points: points * factors + 0.0)  # no -0
    read = shapely.from_wkt(shapely.to_wkt(flat, rounding_precision=11))
    sound = [part for part in shapely.get_parts(shapely.make_valid(read)) if isinstance(part, Polygon)]
    return shapely.to_wkt(MultiPolygon(sound), rounding_precision=11)


def _write_tables(out: Path, train: list[dict[str, Any]], test: list[dict[str, Any]], recipe: dict[str, Any]) -> None:
    everything = sorted([*train, *test], key=lambda record: str(record["scene"]))
    grids = {record["scene"]: [f"{value:.6f}" for value in record["grid"]] for record in everything}
    dummies = {name: f"POLYGON ((0 0, {x} 0, {x} {y}, 0 {y}, 0 0))" for name, (x, y) in grids.items()}
    rows = [(record["scene"], number, dummies[record["scene"]]) for record in test for number in CLASS_NAMES]
    _write_csv(out / "grid_sizes.csv", ("", "Xmax", "Ymin"), ((name, *grid) for name, grid in grids.items()))
    for name, records in (("train_wkt_v4.csv", train), ("truth_wkt.csv", test)):
        polygons = ((r["scene"], number, r["wkt"][str(number)]) for r in records for number in CLASS_NAMES)
        _write_csv(out / name, WKT_COLUMNS, polygons)
    _write_csv(out / "sample_submission.csv", WKT_COLUMNS, rows, "\r\n")
    shifts = {record["scene"]: record["shifts"] for record in everything}
    files.write_json(out / "shifts.json", {"convention": CONVENTION, "scenes": shifts})
    (width, height), counts = recipe["size"], {"train": len(train), "test": len(test)}
    readme = README.read_text(encoding="utf-8")
    files.write_text(out / "README.md", readme.format(width=width, height=height, **counts, **recipe))


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]], end: str = "\n") -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator=end).writerows([header, *rows])
    files.write_text(path, text.getvalue())
