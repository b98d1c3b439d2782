"""What is said of bad sheets and tables, and of the contest's files: each case of `bad_tables` is made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bad_inputs import BadInput
from bad_making import CLASSES, Make, check, image, pack, register_in, sheet, text
from bad_tables import TABLES
from rasterloom.dataset import load_dataset

MAKERS: dict[str, Make] = {}
case = register_in(MAKERS)


def contest(root: Path, predict: Any = "all", **tables: str | None) -> Path:
    """Write a data set in the contest's layout, of names alone: two scenes, the first of them labelled."""
    for scene in ("6010_1_2", "6010_4_4"):
        text(root / f"three_band/{scene}.tif", "x")
        for sensor in "PMA":
            text(root / f"sixteen_band/{scene}_{sensor}.tif", "x")
    header = "ImageId,ClassType,MultipolygonWKT"
    default = {
        "grid_sizes": ",Xmax,Ymin\n6010_1_2,0.0091,-0.009\n6010_4_4,0.0091,-0.009\n",
        "train_wkt_v4": f"{header}\n6010_1_2,1,MULTIPOLYGON EMPTY\n",
        "sample_submission": f"{header}\n6010_4_4,1,MULTIPOLYGON EMPTY\n6010_4_4,2,MULTIPOLYGON EMPTY\n",
    }
    for name, content in {**default, **tables}.items():
        if content is not None:
            (root / f"{name}.csv").write_bytes(content.encode())
    return root


def contest_notes(root: Path, predict: Any = "all", **dataset: Any) -> list[str]:
    sensors: dict[str, dict[str, Any]] = {"rgb": {"reference": True}, "p": {}, "m": {}, "a": {}}
    found = load_dataset({"layout": "dstl", "root": str(root), "predict": predict, **dataset}, sensors, CLASSES)
    return list(found.notes)


# Sheets ----------------------------------------------------------------------------------------------------


HEAD = "scene|split|rgb|nir|labels|classes"


def rows(root: Path, *lines: str) -> list[str]:
    image(root / "rgb.tif")
    text(root / "houses.geojson", "{}")
    return list(sheet(root, *lines).notes)


@case
def sheet_is_missing(root: Path) -> list[str]:
    table = str(root / "scenes.tsv")
    return list(load_dataset({"layout": "sheet", "table": table}, {"rgb": {}}, CLASSES).notes)


@case
def sheet_is_empty(root: Path) -> list[str]:
    return rows(root)


@case
def sheet_without_scenes(root: Path) -> list[str]:
    return rows(root, HEAD)


@case
def sheet_with_commas(root: Path) -> list[str]:
    return rows(root, HEAD.replace("|", ","), "a,predict,rgb.tif,,,")


@case
def sheet_in_utf_16(root: Path) -> list[str]:
    (root / "scenes.tsv").write_bytes("scene\tsplit\trgb\tnir\n".encode("utf-16"))
    table = str(root / "scenes.tsv")
    return list(load_dataset({"layout": "sheet", "table": table}, {"rgb": {}}, CLASSES).notes)


@case
def sheet_with_an_unknown_column(root: Path) -> list[str]:
    return rows(root, "scene|split|rgb|nir|label", "a|predict|rgb.tif||")


@case
def sheet_without_a_column(root: Path) -> list[str]:
    return rows(root, "scene|split|rgb", "a|predict|rgb.tif")


@case
def sheet_with_a_column_twice(root: Path) -> list[str]:
    return rows(root, "scene|split|rgb|rgb|nir", "a|predict|rgb.tif|rgb.tif|")


@case
def row_with_too_many_cells(root: Path) -> list[str]:
    return rows(root, HEAD, "a|predict|rgb.tif|||||")


@case
def row_with_an_open_quote(root: Path) -> list[str]:
    return rows(root, HEAD, '"a|predict|rgb.tif|||')


@case
def row_without_a_reference_image(root: Path) -> list[str]:
    return rows(root, HEAD, "a|predict||||")


@case
def row_with_an_unknown_split(root: Path) -> list[str]:
    return rows(root, HEAD, "a|test|rgb.tif|||")


@case
def training_row_without_labels(root: Path) -> list[str]:
    return rows(root, HEAD, "a|train|rgb.tif|||")


@case
def row_with_an_unknown_class(root: Path) -> list[str]:
    return rows(root, HEAD, "a|train|rgb.tif||houses.geojson|house")


@case
def scene_twice(root: Path) -> list[str]:
    return rows(root, HEAD, "a|predict|rgb.tif|||", "a|predict|rgb.tif|||")


@case
def scene_with_a_blank(root: Path) -> list[str]:
    return rows(root, HEAD, "north field|predict|rgb.tif|||")


@case
def scene_with_a_quote(root: Path) -> list[str]:
    return rows(root, HEAD, "o'hare|predict|rgb.tif|||")


@case
def scene_that_leads_elsewhere(root: Path) -> list[str]:
    return rows(root, HEAD, "../../etc/a|predict|rgb.tif|||")


@case
def scene_of_two_dots(root: Path) -> list[str]:
    return rows(root, HEAD, "..|predict|rgb.tif|||")


@case
def scene_with_too_long_a_name(root: Path) -> list[str]:
    return rows(root, HEAD, f"{'a' * 129}|predict|rgb.tif|||")


@case
def labels_in_an_archive(root: Path) -> list[str]:
    pack(root / "labels.zip", {"houses.geojson": b"{}"})
    return rows(root, HEAD, "a|train|rgb.tif||labels.zip!houses.geojson|")


@case
def mask_by_the_name_of_a_band(root: Path) -> list[str]:
    image(root / "mask.tif")
    return rows(root, "scene|split|rgb|nir|labels:houses", "a|train|rgb.tif||mask.tif[houses]")


# The contest's files ---------------------------------------------------------------------------------------


@case
def contest_data_are_missing(root: Path) -> list[str]:
    return contest_notes(root / "dstl")


@case
def contest_data_packed_twice(root: Path) -> list[str]:
    pack(root / "dstl-satellite-imagery-feature-detection.zip", {"three_band.zip": b""})
    return contest_notes(root)


@case
def contest_archive_is_no_archive(root: Path) -> list[str]:
    contest(root)
    for path in (root / "three_band").iterdir():
        path.unlink()
    text(root / "three_band.zip", "<html>You need to log in</html>")
    return contest_notes(root)


@case
def contest_images_of_other_names_alone(root: Path) -> list[str]:
    contest(root)
    for path in (root / "three_band").iterdir():
        path.rename(path.with_stem(path.stem + " copy"))
    return contest_notes(root)


@case
def contest_image_of_another_name(root: Path) -> list[str]:
    text(contest(root) / "three_band/6010_4_4 (1).tif", "x")
    return contest_notes(root)


@case
def contest_image_twice(root: Path) -> list[str]:
    text(contest(root) / "sixteen_band/6010_4_4_p.TIFF", "x")
    return contest_notes(root)


@case
def contest_image_that_is_a_folder(root: Path) -> list[str]:
    (contest(root) / "three_band/6010_0_0.tif").mkdir()
    return contest_notes(root)


@case
def contest_image_unpacked_in_part(root: Path) -> list[str]:
    contest(root)
    pack(root / "three_band.zip", {"6010_4_4.tif": b"x\nand more"})
    return contest_notes(root)


@case
def contest_image_without_a_reference(root: Path) -> list[str]:
    text(contest(root) / "sixteen_band/6010_0_0_P.tif", "x")
    return contest_notes(root)


@case
def contest_image_is_missing(root: Path) -> list[str]:
    (contest(root) / "sixteen_band/6010_1_2_A.tif").unlink()
    return contest_notes(root)


@case
def labelled_image_is_missing(root: Path) -> list[str]:
    contest(root, train_wkt_v4="ImageId,ClassType,MultipolygonWKT\n../6120_2_2,1,MULTIPOLYGON EMPTY\n")
    return contest_notes(root)


@case
def image_to_predict_is_missing(root: Path) -> list[str]:
    return contest_notes(contest(root), ["6010_4_3"])


@case
def labels_of_another_header(root: Path) -> list[str]:
    return contest_notes(contest(root, train_wkt_v4="id;class;wkt\n"))


@case
def labels_that_were_cut_off(root: Path) -> list[str]:
    table = 'ImageId,ClassType,MultipolygonWKT\n6010_1_2,1,"MULTIPOLYGON (((0 0, 0.001'
    return contest_notes(contest(root, train_wkt_v4=table))


@case
def labels_without_a_class_number(root: Path) -> list[str]:
    table = "ImageId,ClassType,MultipolygonWKT\n6010_1_2,houses,MULTIPOLYGON EMPTY\n"
    return contest_notes(contest(root, train_wkt_v4=table))


@case
def sizes_that_are_no_numbers(root: Path) -> list[str]:
    return contest_notes(contest(root, grid_sizes=',Xmax,Ymin\n6010_1_2,"0,0091",-0.009\n'))


@case
def sizes_of_the_wrong_sign(root: Path) -> list[str]:
    return contest_notes(contest(root, grid_sizes=",Xmax,Ymin\n6010_1_2,0.0091,0.009\n"))


@case
def sizes_that_disagree(root: Path) -> list[str]:
    table = ",Xmax,Ymin\n6010_1_2,0.0091,-0.009\n6010_1_2,0.0092,-0.009\n"
    return contest_notes(contest(root, grid_sizes=table))


@case
def sizes_without_a_scene(root: Path) -> list[str]:
    return contest_notes(contest(root, grid_sizes=",Xmax,Ymin\n6010_1_2,0.0091,-0.009\n"))


@case
def sizes_in_an_archive_that_was_cut_off(root: Path) -> list[str]:
    contest(root, grid_sizes=None)
    text(root / "grid_sizes.csv.zip", "PK")
    return contest_notes(root)


@case
def sizes_in_an_archive_of_several_tables(root: Path) -> list[str]:
    contest(root, grid_sizes=None)
    pack(root / "grid_sizes.csv.zip", {"a.csv": b"", "b.csv": b""})
    return contest_notes(root)


@case
def sample_of_another_header(root: Path) -> list[str]:
    return contest_notes(contest(root, sample_submission="id,class\n1,2\n"))


@case
def sample_without_a_class_number(root: Path) -> list[str]:
    table = "ImageId,ClassType,MultipolygonWKT\n6010_4_4,houses,MULTIPOLYGON EMPTY\n"
    return contest_notes(contest(root, sample_submission=table))


@case
def sample_of_scenes_that_are_not_there(root: Path) -> list[str]:
    table = 'ImageId,ClassType,MultipolygonWKT\n"../x",1,MULTIPOLYGON EMPTY\n'
    return contest_notes(contest(root, sample_submission=table))


# Comparing -------------------------------------------------------------------------------------------------


def test_cases_are_those_that_are_made() -> None:
    assert [bad.name for bad in TABLES] == list(MAKERS)


@pytest.mark.parametrize("bad", TABLES, ids=lambda bad: bad.name)
def test_bad_table_is_said_in_these_words(bad: BadInput, tmp_path: Path) -> None:
    check(bad, MAKERS[bad.name], tmp_path)
