"""Bad sheets and tables, and bad files of the contest: each is loaded as a data set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bad_inputs import BadInput, register_in
from bad_making import CLASSES, image, pack, sheet, text
from rasterloom.dataset import load_dataset

CASES: list[BadInput] = []
case = register_in(CASES)

SHEET = "{root}/scenes.tsv"
ROW = (SHEET, "row 2", "scene a")
SCENE = (SHEET, "row 2", "column scene", "letters, digits")
SIZES = ("{root}/grid_sizes.csv", "6010_1_2")


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


@case("`dataset.table` names no file", "dataset.table", "{root}/scenes.tsv is not there", "docs/own-imagery.md")
def sheet_is_missing(root: Path) -> list[str]:
    table = str(root / "scenes.tsv")
    return list(load_dataset({"layout": "sheet", "table": table}, {"rgb": {}}, CLASSES).notes)


@case("a sheet of 0 bytes", SHEET, "empty", "header")
def sheet_is_empty(root: Path) -> list[str]:
    return rows(root)


@case("a header alone", SHEET, "header", "no scene", "add")
def sheet_without_scenes(root: Path) -> list[str]:
    return rows(root, HEAD)


@case("a sheet saved as CSV", SHEET, "'scene,split,rgb,nir,labels,classes'", "tabs")
def sheet_with_commas(root: Path) -> list[str]:
    return rows(root, HEAD.replace("|", ","), "a,predict,rgb.tif,,,")


@case('a sheet saved as "Unicode text"', SHEET, "UTF-8")
def sheet_in_utf_16(root: Path) -> list[str]:
    (root / "scenes.tsv").write_bytes("scene\tsplit\trgb\tnir\n".encode("utf-16"))
    table = str(root / "scenes.tsv")
    return list(load_dataset({"layout": "sheet", "table": table}, {"rgb": {}}, CLASSES).notes)


@case("a column `label`", SHEET, "row 1", "column 'label'", "did you mean `labels`", "labels:<class>")
def sheet_with_an_unknown_column(root: Path) -> list[str]:
    return rows(root, "scene|split|rgb|nir|label", "a|predict|rgb.tif||")


@case("no column for the sensor nir", SHEET, "row 1", "column 'nir'", "missing", "add it")
def sheet_without_a_column(root: Path) -> list[str]:
    return rows(root, "scene|split|rgb", "a|predict|rgb.tif")


@case("two columns `rgb`", SHEET, "row 1", "column 'rgb'", "2 times", "remove one")
def sheet_with_a_column_twice(root: Path) -> list[str]:
    return rows(root, "scene|split|rgb|rgb|nir", "a|predict|rgb.tif|rgb.tif|")


@case("two tabs too many at the end of a row", SHEET, "row 2", "8 cells", "header 6", "remove a tab")
def row_with_too_many_cells(root: Path) -> list[str]:
    return rows(root, HEAD, "a|predict|rgb.tif|||||")


@case("a quote that is not closed", SHEET, "row 2", "quote", '"a\\tpredict', "remove")
def row_with_an_open_quote(root: Path) -> list[str]:
    return rows(root, HEAD, '"a|predict|rgb.tif|||')


@case("an empty cell of the reference sensor", *ROW, "column rgb", "empty", "reference", "take the scene out")
def row_without_a_reference_image(root: Path) -> list[str]:
    return rows(root, HEAD, "a|predict||||")


@case("split `test`", *ROW, "column split", "'test'", "train", "predict")
def row_with_an_unknown_split(root: Path) -> list[str]:
    return rows(root, HEAD, "a|test|rgb.tif|||")


@case("split `train` and no labels", *ROW, "column split", "`labels:<class>`", "predict")
def training_row_without_labels(root: Path) -> list[str]:
    return rows(root, HEAD, "a|train|rgb.tif|||")


@case("classes `house` where it is called houses", *ROW, "column classes", "'house'", "did you mean `houses`")
def row_with_an_unknown_class(root: Path) -> list[str]:
    return rows(root, HEAD, "a|train|rgb.tif||houses.geojson|house")


@case("two rows of one id", SHEET, "row 3", "scene a", "column scene", "row 2", "rename")
def scene_twice(root: Path) -> list[str]:
    return rows(root, HEAD, "a|predict|rgb.tif|||", "a|predict|rgb.tif|||")


@case("the id `north field`", *SCENE, "'north field'")
def scene_with_a_blank(root: Path) -> list[str]:
    return rows(root, HEAD, "north field|predict|rgb.tif|||")


@case("the id `o'hare`", *SCENE, '"o\'hare"')
def scene_with_a_quote(root: Path) -> list[str]:
    return rows(root, HEAD, "o'hare|predict|rgb.tif|||")


@case("the id `../../etc/a`", *SCENE, "'../../etc/a'")
def scene_that_leads_elsewhere(root: Path) -> list[str]:
    return rows(root, HEAD, "../../etc/a|predict|rgb.tif|||")


@case("the id `..`", *SCENE, "'..'")
def scene_of_two_dots(root: Path) -> list[str]:
    return rows(root, HEAD, "..|predict|rgb.tif|||")


@case("an id of 129 letters", *SCENE, f"'{'a' * 59}…'")
def scene_with_too_long_a_name(root: Path) -> list[str]:
    return rows(root, HEAD, f"{'a' * 129}|predict|rgb.tif|||")


@case("labels.zip!houses.geojson", *ROW, "column labels", "{root}/labels.zip!houses.geojson", "unpack")
def labels_in_an_archive(root: Path) -> list[str]:
    pack(root / "labels.zip", {"houses.geojson": b"{}"})
    return rows(root, HEAD, "a|train|rgb.tif||labels.zip!houses.geojson|")


@case("mask.tif[houses]", *ROW, "column labels:houses", "'houses'", "number from 1")
def mask_by_the_name_of_a_band(root: Path) -> list[str]:
    image(root / "mask.tif")
    return rows(root, "scene|split|rgb|nir|labels:houses", "a|train|rgb.tif||mask.tif[houses]")


# The contest's files ---------------------------------------------------------------------------------------


DSTL = ["three_band/*.tif", "sixteen_band/*.tif", "train_wkt_v4.csv", "grid_sizes.csv", "sample_submission.csv"]
KAGGLE = "https://www.kaggle.com/c/dstl-satellite-imagery-feature-detection"


@case(
    "an empty folder as `dataset.root`",
    "not complete in {root}/dstl",
    *(f"\n  {{root}}/dstl/{name}" for name in DSTL),
    *(KAGGLE, "`dataset.root`", "docs/dstl.md", "make demo"),
)
def contest_data_are_missing(root: Path) -> list[str]:
    return contest_notes(root / "dstl")


@case(
    "the archive of archives, not unpacked",
    "not complete in {root}",
    "\n  unzip {root}/dstl-satellite-imagery-feature-detection.zip -d {root}\n",
)
def contest_data_packed_twice(root: Path) -> list[str]:
    pack(root / "dstl-satellite-imagery-feature-detection.zip", {"three_band.zip": b""})
    return contest_notes(root)


@case("an error page saved as three_band.zip", "{root}/three_band.zip", "zip archive", "cut off", "unpacked")
def contest_archive_is_no_archive(root: Path) -> list[str]:
    contest(root)
    for path in (root / "three_band").iterdir():
        path.unlink()
    text(root / "three_band.zip", "<html>You need to log in</html>")
    return contest_notes(root)


@case(
    "three_band/6010_1_2 copy.tif and no other image",
    "not complete in {root}",
    "\n  {root}/three_band/*.tif",
    "{scene}.tif",
    "2 images",
    "'6010_1_2 copy.tif'",
)
def contest_images_of_other_names_alone(root: Path) -> list[str]:
    contest(root)
    for path in (root / "three_band").iterdir():
        path.rename(path.with_stem(path.stem + " copy"))
    return contest_notes(root)


@case(
    "three_band/6010_4_4 (1).tif beside the others",
    "three_band",
    "'6010_4_4 (1).tif'",
    "left out",
    "{scene}.tif",
    stops=False,
)
def contest_image_of_another_name(root: Path) -> list[str]:
    text(contest(root) / "three_band/6010_4_4 (1).tif", "x")
    return contest_notes(root)


@case(
    "6010_4_4_P.tif and 6010_4_4_p.TIFF",
    "{root}/sixteen_band/6010_4_4_P.tif is used",
    "{root}/sixteen_band/6010_4_4_p.TIFF left out",
    stops=False,
)
def contest_image_twice(root: Path) -> list[str]:
    text(contest(root) / "sixteen_band/6010_4_4_p.TIFF", "x")
    return contest_notes(root)


@case(
    "a folder called three_band/6010_0_0.tif", "{root}/three_band", "'6010_0_0.tif'", "left out", "folder", stops=False
)
def contest_image_that_is_a_folder(root: Path) -> list[str]:
    (contest(root) / "three_band/6010_0_0.tif").mkdir()
    return contest_notes(root)


@case(
    "an unzip that was broken off",
    "{root}/three_band/6010_4_4.tif has 2",
    "{root}/three_band.zip!6010_4_4.tif 10",
    "unpack it again",
    stops=False,
)
def contest_image_unpacked_in_part(root: Path) -> list[str]:
    contest(root)
    pack(root / "three_band.zip", {"6010_4_4.tif": b"x\nand more"})
    return contest_notes(root)


@case(
    "a P image of a scene without RGB",
    "scene 6010_0_0",
    "left out",
    "sensor rgb",
    "three_band/6010_0_0.tif",
    stops=False,
)
def contest_image_without_a_reference(root: Path) -> list[str]:
    text(contest(root) / "sixteen_band/6010_0_0_P.tif", "x")
    return contest_notes(root)


@case(
    "no A image of a labelled scene",
    "1 image",
    "\n  {root}/sixteen_band/6010_1_2_A.tif\n",
    KAGGLE,
    "`sensors`",
)
def contest_image_is_missing(root: Path) -> list[str]:
    (contest(root) / "sixteen_band/6010_1_2_A.tif").unlink()
    return contest_notes(root)


@case(
    "a row of train_wkt_v4.csv for the scene `../6120_2_2`",
    "{root}/train_wkt_v4.csv",
    "'../6120_2_2'",
    "three_band and sixteen_band",
    "rows",
)
def labelled_image_is_missing(root: Path) -> list[str]:
    contest(root, train_wkt_v4="ImageId,ClassType,MultipolygonWKT\n../6120_2_2,1,MULTIPOLYGON EMPTY\n")
    return contest_notes(root)


@case(
    "`predict: [6010_4_3]` where there is 6010_4_4",
    "dataset.predict",
    "{root}",
    "'6010_4_3'",
    "did you mean `6010_4_4`",
)
def image_to_predict_is_missing(root: Path) -> list[str]:
    return contest_notes(contest(root), ["6010_4_3"])


@case(
    "train_wkt_v4.csv with semicolons", "{root}/train_wkt_v4.csv", "'id;class;wkt'", "ImageId,ClassType,MultipolygonWKT"
)
def labels_of_another_header(root: Path) -> list[str]:
    return contest_notes(contest(root, train_wkt_v4="id;class;wkt\n"))


@case(
    "train_wkt_v4.csv that ends within a polygon",
    "{root}/train_wkt_v4.csv",
    "row 2",
    "scene 6010_1_2",
    "class 1",
    "cut off",
    "get it again",
)
def labels_that_were_cut_off(root: Path) -> list[str]:
    table = 'ImageId,ClassType,MultipolygonWKT\n6010_1_2,1,"MULTIPOLYGON (((0 0, 0.001'
    return contest_notes(contest(root, train_wkt_v4=table))


@case(
    "a class by name in train_wkt_v4.csv", "{root}/train_wkt_v4.csv", "row 2", "'6010_1_2'", "'houses'", "class number"
)
def labels_without_a_class_number(root: Path) -> list[str]:
    table = "ImageId,ClassType,MultipolygonWKT\n6010_1_2,houses,MULTIPOLYGON EMPTY\n"
    return contest_notes(contest(root, train_wkt_v4=table))


@case("grid_sizes.csv with decimal commas", *SIZES, "row 2", "Xmax '0,0091'", "Ymin '-0.009'", "get the file again")
def sizes_that_are_no_numbers(root: Path) -> list[str]:
    return contest_notes(contest(root, grid_sizes=',Xmax,Ymin\n6010_1_2,"0,0091",-0.009\n'))


@case("grid_sizes.csv with a positive Ymin", *SIZES, "row 2", "Xmax '0.0091'", "Ymin '0.009'", "get the file again")
def sizes_of_the_wrong_sign(root: Path) -> list[str]:
    return contest_notes(contest(root, grid_sizes=",Xmax,Ymin\n6010_1_2,0.0091,0.009\n"))


@case("two rows of a scene in grid_sizes.csv", *SIZES, "row 3", "Xmax 0.0092", "Ymin -0.009", "remove")
def sizes_that_disagree(root: Path) -> list[str]:
    table = ",Xmax,Ymin\n6010_1_2,0.0091,-0.009\n6010_1_2,0.0092,-0.009\n"
    return contest_notes(contest(root, grid_sizes=table))


@case(
    "no row of a scene in grid_sizes.csv", "{root}/grid_sizes.csv", "scene 6010_4_4", "get the file again", "`predict`"
)
def sizes_without_a_scene(root: Path) -> list[str]:
    return contest_notes(contest(root, grid_sizes=",Xmax,Ymin\n6010_1_2,0.0091,-0.009\n"))


@case("grid_sizes.csv.zip of two bytes", "{root}/grid_sizes.csv.zip", "cut off", "unpacked")
def sizes_in_an_archive_that_was_cut_off(root: Path) -> list[str]:
    contest(root, grid_sizes=None)
    text(root / "grid_sizes.csv.zip", "PK")
    return contest_notes(root)


@case("grid_sizes.csv.zip with two tables", "{root}/grid_sizes.csv.zip", "2 .csv files", "unpack")
def sizes_in_an_archive_of_several_tables(root: Path) -> list[str]:
    contest(root, grid_sizes=None)
    pack(root / "grid_sizes.csv.zip", {"a.csv": b"", "b.csv": b""})
    return contest_notes(root)


@case(
    "sample_submission.csv with two columns",
    "{root}/sample_submission.csv",
    "'id,class'",
    "ImageId,ClassType,MultipolygonWKT",
)
def sample_of_another_header(root: Path) -> list[str]:
    return contest_notes(contest(root, sample_submission="id,class\n1,2\n"))


@case(
    "a class by name in sample_submission.csv",
    "{root}/sample_submission.csv",
    "row 2",
    "'6010_4_4'",
    "'houses'",
    "class number",
)
def sample_without_a_class_number(root: Path) -> list[str]:
    table = "ImageId,ClassType,MultipolygonWKT\n6010_4_4,houses,MULTIPOLYGON EMPTY\n"
    return contest_notes(contest(root, sample_submission=table))


@case(
    "the scene `../x` in sample_submission.csv",
    "dataset.predict",
    "{root}",
    "'../x'",
    "6010_1_2, 6010_4_4",
    "`predict: scored`",
)
def sample_of_scenes_that_are_not_there(root: Path) -> list[str]:
    table = 'ImageId,ClassType,MultipolygonWKT\n"../x",1,MULTIPOLYGON EMPTY\n'
    return contest_notes(contest(root, sample_submission=table))
