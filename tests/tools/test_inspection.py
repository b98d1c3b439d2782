"""Inspecting data before a run: what is read, what is odd, what is printed, and the first sheet."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp

from common import ROOT
from image_folders import Capture, inspected, noise, printed, put, squares, town
from rasterloom.tools.scenes.writing import write_scenes

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


# A folder of images ------------------------------------------------------------------------------------


def test_inspect_folder_tells_scenes_sensors_values_and_labels(tmp_path: Path, capsys: Capture) -> None:
    text = printed(capsys, town(tmp_path / "town"))
    assert "scenes 3: 2 labelled, 1 to predict" in text
    assert "sensor pan (reference): 3 files in 3 scenes (GTiff), 1 band, uint16, 64 x 64 pixels" in text
    assert "sensor ms: 3 files in 3 scenes (GTiff), 4 bands, uint16, 16 x 16 pixels" in text
    assert "EPSG:32633 WGS 84 / UTM zone 33N; pixel 4 m; north up" in text
    assert "overlap covers 100 % of the reference" in text
    assert "the values fit in 11 bits" in text
    assert f"houses 2 2 4 {400 / (2 * 64 * 64):.1%}".replace("%", " %") in text
    assert "findings none" in text
    assert "--sheet scenes.tsv" in text


def test_inspect_lines_fit_a_terminal(tmp_path: Path, capsys: Capture) -> None:
    folder = town(tmp_path / "town", scenes=12)
    (folder / "t1_PAN.tif").write_bytes(b"II*\0 damaged")
    assert inspected(folder) == 1
    lines = capsys.readouterr().out.split("\nnext")[0].splitlines()
    assert max(len(line) for line in lines if str(tmp_path) not in line) <= 100
    assert len(lines) < 60


def test_inspect_all_lists_every_scene(tmp_path: Path, capsys: Capture) -> None:
    text = printed(capsys, town(tmp_path / "town"), "--all")
    assert all(f"houses t{number}" in text for number in (0, 1))
    assert "- t2" in text


def test_inspect_goes_on_over_damaged_files_and_ends_with_code_1(tmp_path: Path, capsys: Capture) -> None:
    folder = town(tmp_path / "town")
    (folder / "t0_PAN.tif").write_bytes((folder / "t0_PAN.tif").read_bytes()[:1000])
    (folder / "t1_MS.tif").write_text("no image")
    (folder / "t1_houses.geojson").write_text("no features")
    assert inspected(folder) == 1
    out, err = capsys.readouterr()
    assert "t0_PAN.tif cannot be read at rows" in " ".join(out.split())
    assert "t1_MS.tif cannot be opened as an image" in " ".join(out.split())
    assert "t1_houses.geojson cannot be read as a vector file" in " ".join(out.split())
    assert err.endswith("3 errors would stop a run: see the lines marked with !\n")


@pytest.mark.parametrize(
    ("change", "expected", "code"),
    [
        (lambda f: put(f / "t0_MS.tif", noise(4, 16), 900_000, 4), "show different ground", 1),
        (
            lambda f: put(f / "t0_MS.tif", noise(3, 16), 500_000, 4),
            "scene t0, sensor ms: 3 bands, but 4 elsewhere",
            1,
        ),
        (
            lambda f: put(f / "t0_MS.tif", noise(4, 16), 500_032, 4),
            "partly-covered, ms: t0 (50 %)",
            0,
        ),
        (lambda f: (f / "t0_MS.tif").unlink(), "missing-sensor, ms: t0", 0),
        (
            lambda f: put(f / "t0_PAN.tif", np.full((1, 64, 64), 7, "uint16")),
            "constant-band, pan: t0 (band 1: 7 everywhere)",
            0,
        ),
        (
            lambda f: put(f / "t0_PAN.tif", np.zeros((1, 64, 64), "uint16")),
            "zeros, pan: t0 (100 % of the pixels)",
            0,
        ),
        (
            lambda f: put(f / "t2_PAN.tif", np.zeros((1, 64, 64), "uint16"), 500_128, nodata=0),
            "all-no-data, pan: t2 (all 4096 pixels)",
            0,
        ),
        (
            lambda f: put(f / "t0_PAN.tif", noise(1, 64).astype("float64")),
            "float64, pan: t0 (integers)",
            0,
        ),
        (lambda f: put(f / "t2_PAN.tif", noise(1, 64), 500_100), "2 grounds, 1 of them in more than one scene", 0),
        (lambda f: shutil.copy(f / "t0_PAN.tif", f / "t9_PAN.tif"), "same-pixels: t0 pan = t9 pan", 0),
        (lambda f: put(f / "t0_PAN.tif", noise(1, 400)), "unusual-size, pan: t0 (400 x 400)", 0),
        (lambda f: (f / "notes.docx").write_text("x"), "not-understood: notes.docx", 0),
        (lambda f: (f / "more.zip").write_text("x"), "packed: more.zip", 0),
        (lambda f: put(f / "t7 é_PAN.tif", noise(1, 64), 600_000), "renamed: t7 é_PAN.tif (is scene t7)", 0),
        (lambda f: put(f / "masks" / "x9.tif", noise(1, 9)), "no-image: masks/x9.tif", 0),
    ],
)
def test_inspect_folder_names_what_is_odd(
    tmp_path: Path, capsys: Capture, change: Any, expected: str, code: int
) -> None:
    folder = town(tmp_path / "town")
    change(folder)
    text = printed(capsys, folder, code=code)
    assert expected in text


def test_inspect_tells_nan_and_saturation(tmp_path: Path, capsys: Capture) -> None:
    values = noise(1, 64).astype("float32")
    values[0, :16] = np.nan
    put(tmp_path / "a" / "x.tif", values)
    assert "not-finite, pan: x (band 1: 1024 pixels)" in printed(capsys, tmp_path / "a")
    bright = noise(3, 64, 200, "uint8")
    bright[1, :16] = 255
    put(tmp_path / "b" / "x.tif", bright)
    text = printed(capsys, tmp_path / "b")
    assert "saturated, rgb: x (band 2: 1024 of 4096 pixels (25 %) at 255)" in text
    assert "the values fit in 8 bits; the maximum, 255, is the end of the range" in text


def test_inspect_tells_rotation_and_a_missing_coordinate_system(tmp_path: Path, capsys: Capture) -> None:
    turned = rasterio.Affine(0.8, 0.6, 500_000, 0.6, -0.8, 5_000_000)
    with rasterio.open(
        tmp_path / "x.tif", "w", driver="GTiff", count=1, width=8, height=8, dtype="uint16", transform=turned
    ) as file:
        file.write(noise(1, 8))
    text = printed(capsys, tmp_path)
    assert "rotated by 36.9 degrees" in text
    assert "no-crs, pan: x" in text


def test_inspect_masks_as_classes_of_their_folders(tmp_path: Path, capsys: Capture) -> None:
    mask = np.zeros((1, 64, 64), "uint8")
    mask[0, 8:24, 8:24] = 1
    for name in ("a", "b"):
        put(tmp_path / "images" / f"{name}.png", noise(3, 64, 250, "uint8"), None, driver="PNG")
        put(tmp_path / "masks" / "roads" / f"{name}.png", mask, None, driver="PNG")
    put(tmp_path / "masks" / "water" / "a.png", mask * 3, None, driver="PNG")
    text = printed(capsys, tmp_path)
    assert "roads 2 2 2 6.2 % 256 256 256" in text
    assert "water 1 1 1 6.2 %" in text
    assert "EPSG" not in text
    assert "no georeference" in text


def test_inspect_mask_of_several_numbers_is_odd(tmp_path: Path, capsys: Capture) -> None:
    put(tmp_path / "a.tif", noise(3, 16, 250, "uint8"))
    put(tmp_path / "a_mask.tif", np.arange(256, dtype="uint8").reshape(1, 16, 16) % 4)
    assert "several-numbers, objects: a (0, 1, 2, 3)" in printed(capsys, tmp_path)


def test_inspect_counts_invalid_polygons_and_those_outside(tmp_path: Path, capsys: Capture) -> None:
    put(tmp_path / "a.tif", noise(1, 64))
    squares(tmp_path / "a.geojson", (500_005, 4_999_990), (500_500, 4_999_990), broken=True)
    assert inspected(tmp_path) == 0
    row = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("  objects"))
    assert row.split()[-2:] == ["1", "1"], "one crosses itself, one lies elsewhere"


def test_inspect_vector_file_of_a_city_serves_the_scenes_that_it_meets(tmp_path: Path, capsys: Capture) -> None:
    for number in range(3):
        put(tmp_path / f"t{number}.tif", noise(1, 64), 500_000 + 64 * number)
    squares(tmp_path / "city.gpkg.geojson", (500_010, 4_999_990), (500_140, 4_999_990), class_name="houses")
    text = printed(capsys, tmp_path)
    assert "scenes 3: 2 labelled, 1 to predict" in text
    assert "houses 2 2 2" in text


def test_inspect_takes_a_band_of_values_called_alpha_as_data(tmp_path: Path, capsys: Capture) -> None:
    colours = (ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha)
    values = noise(4, 32, 250, "uint8")
    put(tmp_path / "a" / "x.tif", values, colours=colours)
    text = printed(capsys, tmp_path / "a")
    assert "alpha: x.tif (band 4 holds values of its own)" in text
    assert "4 bands, uint8" in text
    values[3] = 255
    values[3, :8] = 0
    put(tmp_path / "b" / "x.tif", values, colours=colours)
    text = printed(capsys, tmp_path / "b")
    assert "3 bands, uint8" in text
    assert "an alpha band: 25 % of the pixels without data" in text


def test_inspect_tells_a_mask_beside_an_image(tmp_path: Path, capsys: Capture) -> None:
    path = put(tmp_path / "x.tif", noise(1, 32))
    with rasterio.open(path, "r+") as file:
        file.write_mask(np.arange(32)[:, None].repeat(32, axis=1) >= 8)
    assert "not declared, a mask: 25 % of the pixels without data" in printed(capsys, tmp_path)


def test_inspect_an_empty_folder_ends_with_code_1(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "read.me").write_text("nothing here")
    assert "! error: no image" in printed(capsys, tmp_path, code=1)


# The other kinds of DATA -------------------------------------------------------------------------------


@pytest.mark.slow
def test_inspect_generated_scenes_of_the_contest(tmp_path: Path, capsys: Capture) -> None:
    write_scenes(tmp_path / "dstl", 2, 1, (256, 256), 1, False)
    text = printed(capsys, tmp_path / "dstl")
    assert "the layout of the Dstl contest: three_band, sixteen_band, train_wkt_v4.csv" in text
    assert "scenes 3: 2 labelled, 1 held-out truth" in text
    assert all(f"sensor {name}" in text for name in ("rgb (reference)", "p:", "m:", "a:"))
    assert "NIR 2" in text
    assert "buildings 3 3" in text
    root = tmp_path / "dstl"
    assert f"dataset: {{root: {root}, predict: scored, truth: {root / 'truth_wkt.csv'}}}" in text
    for path in (tmp_path / "dstl" / "sixteen_band").glob("*_A.tif"):
        path.unlink()
    text = printed(capsys, tmp_path / "dstl", code=1)
    assert "! error: without a, which not all scenes have" in text
    assert "sensor m:" in text
    (tmp_path / "dstl" / "train_wkt_v4.csv").unlink()
    text = printed(capsys, tmp_path / "dstl", code=1)
    assert "! error: the folder looks like the contest's, but a run would stop" in text
    assert "scenes 3: 3 to predict" in text


def test_inspect_surveys_the_contest_where_labelled_scenes_have_no_image(tmp_path: Path, capsys: Capture) -> None:
    write_scenes(tmp_path, 2, 1, (256, 256), 1, False)
    table = tmp_path / "train_wkt_v4.csv"
    table.write_text(table.read_text() + '6999_9_9,5,"MULTIPOLYGON EMPTY"\n')
    text = printed(capsys, tmp_path, code=1)
    assert "the layout of the Dstl contest" in text and "folder of images" not in text
    assert "! error: 1 of the 3 scenes that" in text and "'6999_9_9'" in text
    assert "trees 3 3" in text and "labels none" not in text


@pytest.mark.slow
def test_inspect_goes_on_over_damaged_rows_and_images_of_the_contest(tmp_path: Path, capsys: Capture) -> None:
    write_scenes(tmp_path, 2, 1, (256, 256), 1, False)
    table = tmp_path / "train_wkt_v4.csv"
    scene = table.read_text().splitlines()[1].split(",")[0]
    table.write_text(table.read_text() + f'{scene},1,"MULTIPOLYGON (((0 0"\n{scene},77,"MULTIPOLYGON EMPTY"\n')
    images = sorted((tmp_path / "three_band").iterdir())
    next(path for path in images if scene not in path.name).write_bytes(b"no image")
    text = printed(capsys, tmp_path, code=1)
    assert "is not a WKT geometry" in text
    assert "unknown-class: train_wkt_v4.csv (class numbers 77)" in text
    assert "! error, rgb: scene " in text
    assert "trees 2 2" in text


def test_inspect_sheet_takes_sensors_and_classes_from_its_header(tmp_path: Path, capsys: Capture) -> None:
    town(tmp_path)
    squares(tmp_path / "roads.geojson", (500_020, 4_999_960), class_name="roads")
    sheet = tmp_path / "scenes.tsv"
    sheet.write_text(
        "scene\tsplit\tpan\tms\tlabels\tclasses\tlabels:houses\n"
        "t0\ttrain\tt0_PAN.tif\tt0_MS.tif\troads.geojson\t\tt0_houses.geojson\n"
        "t2\tpredict\tt2_PAN.tif\t\t\t\t\n"
    )
    text = printed(capsys, sheet)
    assert "a sheet: its columns name the sensors pan, ms" in text
    assert "houses 1 1 2" in text
    assert "roads 1 1 1" in text
    assert "missing-sensor, ms: t2" in text


def test_inspect_table_of_labels_of_any_spreadsheet(tmp_path: Path, capsys: Capture) -> None:
    town(tmp_path)
    for old in tmp_path.glob("*.geojson"):
        old.unlink()
    square = "POLYGON ((500020 4999960, 500040 4999960, 500040 4999980, 500020 4999960))"
    (tmp_path / "t0_houses.csv").write_text(f"class;geometry\nhouses;{square}\n")
    assert "houses 1 1 1" in printed(capsys, tmp_path)


def test_inspect_configuration_checks_bands_and_alpha(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    town(tmp_path)
    assert inspected(tmp_path, "--sheet", tmp_path / "scenes.tsv") == 0
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "config.yaml", tmp_path)
    capsys.readouterr()
    text = printed(capsys, "--configfile", "scenes.yaml")
    assert "the configuration's data set, layout sheet" in text
    assert text.endswith("snakemake --cores all --configfile scenes.yaml")
    colours = (ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha)
    put(tmp_path / "t0_MS.tif", noise(4, 16, 250, "uint8"), 500_000, 4, colours=colours)
    (tmp_path / "more.yaml").write_text("sensors: {ms: {bands: null}, pan: {bands: 2}}")
    text = printed(capsys, "--configfile", "scenes.yaml", "more.yaml", code=1)
    assert "has 1 band (size 64 x 64), but 2 are needed" in text
    assert "scene t0, sensor ms: it is not clear how many bands are meant" in text


def test_inspect_single_image_and_vector_file(tmp_path: Path, capsys: Capture) -> None:
    town(tmp_path)
    text = printed(capsys, tmp_path / "t0_MS.tif")
    assert "sensor image (reference): 1 file in 1 scene (GTiff), 4 bands" in text
    text = printed(capsys, squares(tmp_path / "v.geojson", (0, 0), (20, 0), class_name="houses"))
    assert "a vector file: 2 features (2 Polygon)" in text
    assert "property `class`: houses (2)" in text
    assert "EPSG:32633" in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], "nowhere is not there"),
        (["config.yaml", "--configfile", "x.yaml"], "not both"),
        (["config.yaml"], "no file that can be inspected"),
        ([], "no configuration"),
    ],
)
def test_inspect_explains_what_it_cannot_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture, arguments: list[str], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    if arguments:
        (tmp_path / "config.yaml").write_text("results: results\n")
    assert inspected(*arguments) == 1
    assert words in capsys.readouterr().err
