"""Writing generated scenes in the contest's formats: each scene once, tables anew when the set of scenes
changes."""

from __future__ import annotations

import fcntl
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tifffile

from rasterloom.dataset.contest_ids import CLASS_NAMES
from rasterloom.errors import InputError
from rasterloom.store import files
from rasterloom.tools.scenes import tables
from rasterloom.tools.scenes.ids import scene_ids
from rasterloom.tools.scenes.model import Scene
from rasterloom.tools.scenes.sensing import generate_scene

VERSION = 1
"""Version of the generator; raised whenever a scene's bytes change."""

MARKER = "scenes.json"

RECORDS = ".scenes"

SMALLEST, LARGEST = (256, 256), (3396, 3349)


@dataclass(frozen=True)
class Written:
    """What `write_scenes` left behind: the folder, its ids, and which of them this call generated."""

    out: Path
    train: tuple[str, ...]
    test: tuple[str, ...]
    generated: tuple[str, ...]


def image_paths(out: Path, scene_id: str) -> dict[str, Path]:
    """Paths of a scene's four images by sensor."""
    wide = out / "sixteen_band"
    return {"rgb": out / "three_band" / f"{scene_id}.tif"} | {
        k: wide / f"{scene_id}_{k.upper()}.tif" for k in ("p", "m", "a")
    }


def check_size(size: tuple[int, int]) -> None:
    """Raise InputError unless both sides lie within the limits."""
    if not all(low <= v <= high for low, v, high in zip(SMALLEST, size, LARGEST, strict=True)):
        raise InputError(
            f"scenes: size {size[0]}x{size[1]} given; needed: from {SMALLEST[0]}x{SMALLEST[1]} "
            f"to {LARGEST[0]}x{LARGEST[1]} "
            "(width x height in pixels of 0.31 m). Choose another --size, for example 512."
        )


def _write_image(path: Path, sensor: str, image: Any) -> None:
    """One TIFF as the contest has them: planar, uncompressed, without georeference; A claims to be RGB."""
    planes = None if image.ndim == 2 else "separate"
    photometric = "rgb" if sensor in ("rgb", "a") else "minisblack"
    with files.atomic_path(path) as temporary:
        tifffile.imwrite(temporary, image, photometric=photometric, planarconfig=planes, metadata=None, software=False)


def _record(scene: Scene, seed: int, bytes_of: dict[str, int]) -> dict[str, Any]:
    """What the tables need of a scene."""
    grid = tables.grid_size(seed, scene.scene_id, *scene.size)
    texts = {str(number): tables.to_grid_text(scene.polygons[number], scene.size, grid) for number in CLASS_NAMES}
    shifts = {sensor: list(scene.shifts[sensor]) for sensor in ("p", "m", "a")}
    return {
        "scene": scene.scene_id,
        "size": list(scene.size),
        "grid": list(grid),
        "shifts": shifts,
        "bytes": bytes_of,
        "wkt": texts,
    }


def _existing(out: Path, scene_id: str) -> dict[str, Any] | None:
    """The record of a scene that is complete on disk, else None."""
    path = out / RECORDS / f"{scene_id}.json"
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        sizes = {sensor: image.stat().st_size for sensor, image in image_paths(out, scene_id).items()}
    except (OSError, ValueError):
        return None
    return record if record.get("bytes") == sizes else None


def _make(out: Path, scene_id: str, seed: int, size: tuple[int, int]) -> dict[str, Any]:
    """Generate and write one scene; its record comes last, so that a killed run leaves no half scene
    behind."""
    scene, paths = generate_scene(scene_id, seed, size), image_paths(out, scene_id)
    for sensor, image in scene.sensors.items():
        _write_image(paths[sensor], sensor, image)
    record = _record(scene, seed, {sensor: path.stat().st_size for sensor, path in paths.items()})
    files.write_json(out / RECORDS / f"{scene_id}.json", record)
    return record


def _remove(out: Path, scene_id: str) -> None:
    """Remove one of our scenes."""
    for path in (out / RECORDS / f"{scene_id}.json", *image_paths(out, scene_id).values()):
        path.unlink(missing_ok=True)


def _claim(out: Path, recipe: dict[str, Any], force: bool) -> None:
    """See that the folder is ours and of the same recipe; with `force`, drop scenes of another one.

    Raises
    ------
    InputError
        If the folder holds anything else, or scenes of another seed, size or version and `force` is not
        given.
    """
    marker = out / MARKER
    if out.exists() and not out.is_dir():
        raise InputError(f"scenes: {out} is a file; needed: a folder to write to. Give another name.")
    if not marker.exists():
        if out.exists() and any(out.iterdir()):
            raise InputError(
                f"scenes: {out} is not empty and holds no {MARKER}, so it was not written by `rasterloom scenes`; "
                "needed: a new or empty folder. Give another name."
            )
    else:
        try:
            old = json.loads(marker.read_text(encoding="utf-8"))
            same = {key: old.get(key) for key in recipe} == recipe
        except (ValueError, AttributeError):
            old, same = {}, False
        if same and not force:
            return
        if not force:
            differ = ", ".join(
                f"{key} {old.get(key)} there, {value} asked for"
                for key, value in recipe.items()
                if old.get(key) != value
            )
            raise InputError(
                f"scenes: {out} holds scenes of another recipe ({differ or 'unreadable marker'}). "
                "Give another folder, or --force to replace them."
            )
        for record in sorted((out / RECORDS).glob("*.json")):
            _remove(out, record.stem)
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
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"scenes: another process is writing to {out}. Wait for it, or give another folder."
            ) from None
        for folder in (out, out / RECORDS, out / "three_band", out / "sixteen_band"):
            for debris in folder.glob(f"{files.TEMPORARY}*"):
                debris.unlink(missing_ok=True)
        yield


def _write_tables(out: Path, train: list[dict[str, Any]], test: list[dict[str, Any]], recipe: dict[str, Any]) -> None:
    everything = sorted([*train, *test], key=lambda r: str(r["scene"]))
    shifts = {r["scene"]: r["shifts"] for r in everything}
    files.write_text(out / "grid_sizes.csv", tables.grid_table(everything))
    files.write_text(out / "train_wkt_v4.csv", tables.wkt_table(train))
    files.write_text(out / "truth_wkt.csv", tables.wkt_table(test))
    files.write_text(out / "sample_submission.csv", tables.submission_table(test))
    files.write_json(out / "shifts.json", {"convention": tables.CONVENTION, "scenes": shifts})
    width, height = recipe["size"]
    said = tables.README.format(
        train=len(train),
        test=len(test),
        seed=recipe["seed"],
        width=width,
        height=height,
        version=recipe["version"],
    )
    files.write_text(out / "README.md", said)


TABLES = (
    "grid_sizes.csv",
    "train_wkt_v4.csv",
    "truth_wkt.csv",
    "sample_submission.csv",
    "shifts.json",
    "README.md",
)


def write_scenes(out: Path, train: int, test: int, size: tuple[int, int], seed: int, force: bool = False) -> Written:
    """Write generated scenes in the contest's formats.

    Parameters
    ----------
    out : folder; new, empty, or written by an earlier call.
    train, test : numbers of training and test scenes.
    size : nominal (W, H) of RGB in pixels of 0.31 m, from 256 x 256 to 3396 x 3349.
    seed : seed of the data set.
    force : generate everything anew, even what is there or belongs to another seed, size or version.

    Returns
    -------
    Written with the ids, and which of them were generated by this call.

    Raises
    ------
    InputError
        If counts, size or folder cannot be used.

    Notes
    -----
    A scene depends on (seed, id, size) alone. A second call with the same arguments does nothing; other
    counts add what is
    missing, remove what is no longer asked for, and rewrite the tables. One line a scene goes to stderr.
    """
    check_size(size)
    names = scene_ids(train, test)
    recipe: dict[str, Any] = {"seed": seed, "size": list(size), "version": VERSION}
    _claim(out, recipe, force)
    with _alone(out):
        return _complete(out, names, recipe)


def _complete(out: Path, names: tuple[list[str], list[str]], recipe: dict[str, Any]) -> Written:
    """Generate what is missing, remove what is no longer asked for, and rewrite the tables if anything
    changed."""
    asked = [*names[0], *names[1]]
    records: dict[str, dict[str, Any]] = {}
    generated: list[str] = []
    for number, name in enumerate(asked, 1):
        found = _existing(out, name)
        if found is None:
            found = _make(out, name, recipe["seed"], (recipe["size"][0], recipe["size"][1]))
            generated.append(name)
            part = "train" if number <= len(names[0]) else "test"
            print(
                f"scenes: {number}/{len(asked)} {name} ({part}, {found['size'][0]} x {found['size'][1]})",
                file=sys.stderr,
                flush=True,
            )
        records[name] = found
    surplus = [p.stem for p in sorted((out / RECORDS).glob("*.json")) if p.stem not in records]
    final = recipe | {"train": names[0], "test": names[1]}
    marked = json.loads((out / MARKER).read_text(encoding="utf-8"))
    if generated or surplus or marked != final or not all((out / name).exists() for name in TABLES):
        for name in surplus:
            _remove(out, name)
        parts = [[records[name] for name in group] for group in names]
        _write_tables(out, parts[0], parts[1], recipe)
        files.write_json(out / MARKER, final)
    return Written(out, tuple(names[0]), tuple(names[1]), tuple(generated))
