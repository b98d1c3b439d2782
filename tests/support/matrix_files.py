"""Rows of the matrix of partial reruns: changes of input files, of code, of results and store (see `matrix`)."""

from __future__ import annotations

import shutil
from collections.abc import Callable

from matrix import AFTER_LABELS, LABELLED, NEW, OF_ALL, OF_CLASS, OF_TWO, SPARE, Change, Project, Row
from small_contest import edit_rows, multipolygon, remove_scene, rename_scene, set_age, write_scene

TRAINS = LABELLED[2]
"""A scene that every member trains on."""


# Input files ----------------------------------------------------------------------------------------------


def replaced(scene: str, days: float, sensors: tuple[str, ...] = ("rgb", "p", "m")) -> Change:
    """Other content for the images of a scene, from so many days ago."""

    def change(project: Project) -> None:
        other = project.folder / "other"
        write_scene(other, scene, seed=1)
        names = {"rgb": f"three_band/{scene}.tif"} | {s: f"sixteen_band/{scene}_{s.upper()}.tif" for s in "pm"}
        for sensor in sensors:
            shutil.move(other / names[sensor], project.data / names[sensor])
            set_age(project.data / names[sensor], days)
        shutil.rmtree(other)

    return change


def touched(project: Project) -> None:
    (project.data / f"three_band/{TRAINS}.tif").touch()


def world_file(project: Project) -> None:
    """A world file beside an image: it gets a georeference, which a contest's scene does not use."""
    text = "0.5\n0\n0\n-0.5\n1000\n2000\n"
    (project.data / f"three_band/{TRAINS}.tfw").write_text(text, encoding="utf-8")


def edited(table: str, scene: str, number: int, text: str) -> Change:
    """Other polygons in one row of a table of labels."""

    def edit(row: list[str]) -> list[str]:
        return [*row[:2], text] if row[:2] == [scene, str(number)] else row

    return lambda project: edit_rows(project.data / table, edit)


def grid_edited(project: Project) -> None:
    edit_rows(project.data / "grid_sizes.csv", lambda row: [NEW, "0.0088", row[2]] if row[0] == NEW else row)


def scene_added(scene: str, table: str) -> Change:
    """Images of a scene, and its rows in one of the tables."""

    def change(project: Project) -> None:
        boxes = write_scene(project.data, scene)
        lines = [f'{scene},{number},"{multipolygon(boxes.get(number, []))}"\n' for number in range(1, 11)]
        with (project.data / table).open("a", encoding="utf-8") as file:
            file.writelines(lines)

    return change


def on_data(function: Callable[..., None], *arguments: str) -> Change:
    return lambda project: function(project.data, *arguments)


def sample_reversed(project: Project) -> None:
    path = project.data / "sample_submission.csv"
    header, *rows = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join([header, *reversed(rows)]), encoding="utf-8")


OTHER_BOX = multipolygon([(10, 10, 30, 30)])
SCENE_FILES = f"register 1, place 1, stack K, {AFTER_LABELS}"
"""Whoever opens a file of a scene of which nobody normalises, and what follows."""

INPUTS = [
    Row(
        "touched",
        "a TIFF touched",
        touched,
        "none",
        "none",
    ),
    Row(
        "newer-content",
        "the images of a new scene replaced by other content",
        replaced(NEW, days=0),
        "register 1, place 1, stack K, predict M, ensemble C, vectorise C, "
        "wkt C + 1, submission 1, score 1, export 1, measure 1, report 1",
        "register 1, place 1, stack K, predict M, ensemble C, vectorise C",
    ),
    Row(
        "older-content",
        "one TIFF of a labelled scene replaced by *older* other content",
        replaced(TRAINS, days=3000, sensors=("m",)),
        "register 1, place 1, stack K, normalisation 1, mask M, from(train)",
        f"register 1, place 1, stack 1, normalisation 1, {OF_TWO}",
    ),
    Row(
        "image-of-an-acquisition",
        "the images of a labelled scene replaced, of whose acquisition there is another scene",
        replaced(LABELLED[0], days=0),
        "register 1, place 1, stack 2*K, normalisation 1, mask M, from(train)",
        f"register 1, place 1, stack K, normalisation 2, train M*F, predict M*S, {OF_ALL}",
    ),
    Row(
        "world-file",
        "a world file put beside a TIFF",
        world_file,
        "register 1, place 1, stack K, normalisation 1, mask M, from(train)",
        "register 1, place 1, stack K",
    ),
    Row(
        "grid-sizes",
        "a row of grid_sizes.csv, of a new scene with truth",
        grid_edited,
        SCENE_FILES,
        "register 1, place 1, label C, vectorise C",
    ),
    Row(
        "label-edited",
        "one row of labels: one class in one scene that trains",
        edited("train_wkt_v4.csv", TRAINS, 5, OTHER_BOX),
        f"label 1, mask T, split 1, train F, predict S, {OF_CLASS}, tables(1)",
        f"label 1, mask 1, split 1, train F, predict S, {OF_CLASS}",
    ),
    Row(
        "truth-edited",
        "one row of the truth of a new scene",
        edited("truth_wkt.csv", NEW, 5, OTHER_BOX),
        f"label 1, mask T, split 1, train F, predict S, {OF_CLASS}, tables(1)",
        "label 1",
    ),
    Row(
        "sample-edited",
        "other rows of sample_submission.csv for the same scenes",
        sample_reversed,
        "submission 1",
        "none",
    ),
    Row(
        "new-scene-added",
        "a scene added for prediction alone",
        scene_added(SPARE[0], "sample_submission.csv"),
        "register 1, place 1, stack K, predict M, ensemble C, vectorise C, "
        "wkt C + 1, submission 1, export 1, measure 1, report 1",
        "register 1, place 1, stack K, predict M, ensemble C, vectorise C",
        numbers={"S": 5, "N": 2},
    ),
    Row(
        "new-scene-removed",
        "that scene removed",
        on_data(remove_scene, SPARE[0]),
        "wkt C + 1, submission 1, measure 1, quality 2, report 1",
        "none",
        start="new-scene-added",
    ),
    Row(
        "new-scene-added-to-statistics",
        "a scene added for prediction alone, with `statistics: all`",
        scene_added(SPARE[0], "sample_submission.csv"),
        "register 1, place 1, stack K, normalisation 1, from(train)",
        f"register 1, place 1, stack K, normalisation 2, train M*F, predict M*S, {OF_ALL}",
        start="statistics-all",
        numbers={"S": 5, "N": 2},
    ),
    Row(
        "new-scene-added-with-own-statistics",
        "a scene added for prediction alone, with `normalise_by: scene`",
        scene_added(SPARE[0], "sample_submission.csv"),
        "register 1, place 1, stack K, predict M, ensemble C, vectorise C, "
        "wkt C + 1, submission 1, export 1, measure 1, report 1",
        "register 1, place 1, stack K, predict M, ensemble C, vectorise C",
        start="normalise-by-scene",
        numbers={"S": 5, "N": 2},
    ),
    Row(
        "labelled-scene-added",
        "a labelled scene added",
        scene_added(SPARE[0], "train_wkt_v4.csv"),
        f"register 1, place 1, stack K, normalisation 1, {AFTER_LABELS}",
        f"register 1, place 1, stack K, normalisation 2, label C, mask M, split C, train M*F, predict M*S, {OF_ALL}",
        numbers={"S": 5, "T": 4},
    ),
    Row(
        "labelled-scene-removed",
        "that scene removed",
        on_data(remove_scene, SPARE[0]),
        "tables(C), quality 2",
        "none",
        start="labelled-scene-added",
    ),
    Row(
        "new-scene-renamed",
        "a new scene with truth renamed: what carries its name",
        on_data(rename_scene, NEW, "6030_1_4"),
        f"{AFTER_LABELS}, quality 1",
        "label C, vectorise C",
    ),
    Row(
        "labelled-scene-renamed",
        "a labelled scene renamed, to be the first one: what carries its name, and no model",
        on_data(rename_scene, TRAINS, "6005_0_0"),
        f"{AFTER_LABELS}, quality 1",
        "label C, mask M, split C, tune C, vectorise C",
    ),
]
