"""A data set in the contest's layout, as small as it can be: scenes of 64 x 64 pixels, drawn in milliseconds."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import tifffile

SIDE = 64
CLASSES = {1: (320, 290, 60), 3: (90, 90, 95), 5: (-70, 100, 10), 6: (40, 160, -60)}
"""Class number to what its objects add to the digital numbers of red, green and blue."""
EXTENT = (0.009, -0.009)
"""Xmax and Ymin of every scene, in grid units."""

Box = tuple[int, int, int, int]
"""x0, y0, x1, y1 in reference pixels."""
Rows = list[list[str]]


def write_contest(root: Path, labelled: Iterable[str], new: Iterable[str], known: Iterable[str] = ()) -> None:
    """Write a data set.

    Parameters
    ----------
    root : Path
    labelled : ids of the scenes with labels
    new : ids of the scenes to predict, whose truth is held out
    known : ids that grid_sizes.csv has rows for though no image is there, as in an archive that is unpacked in part
    """
    drawn = {scene: write_scene(root, scene) for scene in [*labelled, *new]}
    write_labels(root / "train_wkt_v4.csv", {scene: drawn[scene] for scene in labelled})
    write_labels(root / "truth_wkt.csv", {scene: drawn[scene] for scene in new})
    write_sample(root, new)
    lines = [f"{scene},{EXTENT[0]},{EXTENT[1]}\n" for scene in [*drawn, *known]]
    (root / "grid_sizes.csv").write_text(",Xmax,Ymin\n" + "".join(lines), encoding="utf-8")


def write_scene(root: Path, scene: str, seed: int = 0) -> dict[int, list[Box]]:
    """Write the images of a scene, and give what is to be seen: a function of id and seed."""
    random = np.random.default_rng([seed, *scene.encode()])
    image = 300 + 60 * random.standard_normal((3, SIDE, SIDE))
    boxes: dict[int, list[Box]] = {}
    for number, colour in CLASSES.items():
        for _ in range(2):
            (x, y), (width, height) = random.integers(2, 46, 2), random.integers(8, 16, 2)
            image[:, y : y + height, x : x + width] += np.array(colour)[:, None, None]
            boxes.setdefault(number, []).append((int(x), int(y), int(x + width), int(y + height)))
    write_images(root, scene, np.clip(image, 1, 2047))
    return boxes


def write_images(root: Path, scene: str, image: np.ndarray) -> None:
    """Write RGB, P and M, whose bands are mixtures of the three, from an image (3, H, W)."""
    numbers = image.astype(np.uint16)
    coarse = image.reshape(3, SIDE // 4, 4, SIDE // 4, 4).mean(axis=(2, 4))
    mixture = np.random.default_rng(0).dirichlet(np.ones(3), size=8)
    noise = 20 * np.random.default_rng([*scene.encode(), int(image.sum())]).standard_normal((8, *coarse.shape[1:]))
    for path, pixels in (
        (root / f"three_band/{scene}.tif", numbers),
        (root / f"sixteen_band/{scene}_P.tif", numbers.mean(axis=0).astype(np.uint16)),
        (
            root / f"sixteen_band/{scene}_M.tif",
            np.clip(np.tensordot(mixture, coarse, axes=1) + noise, 1, 2047).astype(np.uint16),
        ),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        planes = {"planarconfig": "separate"} if pixels.ndim == 3 else {}
        tifffile.imwrite(path, pixels, photometric="minisblack", **planes)


def write_labels(path: Path, drawn: dict[str, dict[int, list[Box]]]) -> None:
    """Write a table of labels: ten rows a scene, absent classes empty."""
    rows = [[scene, str(n), multipolygon(found.get(n, []))] for scene, found in drawn.items() for n in range(1, 11)]
    write_rows(path, [["ImageId", "ClassType", "MultipolygonWKT"], *rows])


def write_sample(root: Path, scenes: Iterable[str]) -> None:
    """Write a sample submission: its rows are those that `predict: all` predicts."""
    rows = [[scene, str(number), "MULTIPOLYGON EMPTY"] for scene in scenes for number in range(1, 11)]
    write_rows(root / "sample_submission.csv", [["ImageId", "ClassType", "MultipolygonWKT"], *rows])


def multipolygon(boxes: Iterable[Box]) -> str:
    """WKT, in grid units, of boxes in pixels."""
    fx, fy = (side * (SIDE + 1) / SIDE**2 for side in EXTENT)
    rings = [
        ", ".join(f"{x * fx:.9f} {y * fy:.9f}" for x, y in ((x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)))
        for x0, y0, x1, y1 in boxes
    ]
    return f"MULTIPOLYGON ({', '.join(f'(({ring}))' for ring in rings)})" if rings else "MULTIPOLYGON EMPTY"


def read_rows(path: Path) -> Rows:
    """The rows of a small CSV table, its header included."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def write_rows(path: Path, rows: Rows) -> None:
    """Write rows as a CSV table."""
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def edit_rows(path: Path, edit: Callable[[list[str]], list[str] | None]) -> None:
    """Replace each row of a table, but for its header, by what `edit` gives; None removes it. A table
    that stays as it is is not written."""
    header, *rows = read_rows(path)
    edited = [new for row in rows if (new := edit(row)) is not None]
    if edited != rows:
        write_rows(path, [header, *edited])


def rename_scene(root: Path, old: str, new: str) -> None:
    """Give a scene another id, in the names of its files and in every table."""
    for image in [*root.glob(f"three_band/{old}*.tif"), *root.glob(f"sixteen_band/{old}_*.tif")]:
        image.rename(image.with_name(image.name.replace(old, new)))
    for table in root.glob("*.csv"):
        edit_rows(table, lambda row: [new if row[0] == old else row[0], *row[1:]])


def remove_scene(root: Path, scene: str) -> None:
    """Take a scene's images and its rows of labels away."""
    for image in [*root.glob(f"three_band/{scene}*.tif"), *root.glob(f"sixteen_band/{scene}_*.tif")]:
        image.unlink()
    for table in ("train_wkt_v4.csv", "truth_wkt.csv", "sample_submission.csv"):
        edit_rows(root / table, lambda row: None if row[0] == scene else row)


def set_age(path: Path, days: float) -> None:
    """Set a file's time to so many days ago."""
    time = path.stat().st_mtime - days * 86_400
    os.utime(path, (time, time))
