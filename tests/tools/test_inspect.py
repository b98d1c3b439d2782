"""Inspecting data before a run: what is read, what is odd, what is printed, and the first sheet."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import yaml
from numpy.typing import NDArray
from rasterio.enums import ColorInterp

from common import ROOT, says
from rasterloom import cli
from rasterloom.config import load_config, read_config_files
from rasterloom.dataset import load_dataset
from rasterloom.planning.graph import Dag
from rasterloom.tools.scenes.writing import write_scenes

Capture = pytest.CaptureFixture[str]

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

METRES = "EPSG:32633"
RNG = np.random.default_rng(0)


def noise(bands: int, side: int, high: int = 2000, dtype: str = "uint16") -> NDArray[Any]:
    return RNG.integers(1, high, (bands, side, side)).astype(dtype)


def put(
    path: Path, values: NDArray[Any], x: float | None = 500_000, metres: float = 1.0, crs: str = METRES, **options: Any
) -> Path:
    """Write an image; `x` None: without georeference."""
    path.parent.mkdir(parents=True, exist_ok=True)
    place = {} if x is None else {"crs": crs, "transform": rasterio.Affine(metres, 0, x, 0, -metres, 5_000_000)}
    colours = options.pop("colours", None)
    bands, height, width = values.shape
    shape = {"count": bands, "height": height, "width": width, "dtype": values.dtype}
    with rasterio.open(path, "w", driver=options.pop("driver", "GTiff"), **shape, **place, **options) as file:
        if colours:
            file.colorinterp = colours
        file.write(values)
    return path


def squares(path: Path, *corners: tuple[float, float], class_name: str | None = None, broken: bool = False) -> Path:
    """Write squares of 10 m by their upper left corners as GeoJSON in metres."""
    rings = [[[x, y], [x + 10, y], [x + 10, y - 10], [x, y - 10], [x, y]] for x, y in corners]
    if broken:
        rings = [[ring[0], ring[2], ring[1], ring[3], ring[0]] for ring in rings]
    properties = {} if class_name is None else {"class": class_name}
    features = [
        {"type": "Feature", "properties": properties, "geometry": {"type": "Polygon", "coordinates": [ring]}}
        for ring in rings
    ]
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32633"}}
    path.write_text(json.dumps({"type": "FeatureCollection", "crs": crs, "features": features}))
    return path


def town(folder: Path, scenes: int = 3) -> Path:
    """A folder of scenes of 64 m side by side: a PAN and an MS image, and houses, but for the last one."""
    for number in range(scenes):
        x = 500_000 + 64 * number
        put(folder / f"t{number}_PAN.tif", noise(1, 64), x)
        put(folder / f"t{number}_MS.tif", noise(4, 16), x, 4)
        if number < scenes - 1:
            squares(folder / f"t{number}_houses.geojson", (x + 5, 4_999_990), (x + 30, 4_999_980))
    return folder


def inspected(*arguments: object) -> int:
    with pytest.raises(SystemExit) as exit_:
        cli.main(["inspect", *map(str, arguments)])
    return int(exit_.value.code or 0)


def printed(capsys: Capture, *arguments: object, code: int = 0) -> str:
    """What an inspection prints, blanks and line breaks as single blanks."""
    assert inspected(*arguments) == code
    return " ".join(capsys.readouterr().out.split())


# A folder of images ------------------------------------------------------------------------------------


def test_inspect_folder_tells_scenes_sensors_values_and_labels(tmp_path: Path, capsys: Capture) -> None:
    text = printed(capsys, town(tmp_path / "town"))
    assert "scenes 3: 2 labelled, 1 to predict" in text
    assert says(text, "sensor pan (reference): 3 files in 3 scenes ... GTiff ... 1 band, uint16, 64 x 64")
    assert says(text, "sensor ms: 3 files in 3 scenes ... 4 bands, uint16, 16 x 16")
    assert says(text, "EPSG:32633 ... UTM zone 33N ... pixel 4 m ... north up")
    assert "100 % of the reference" in text
    assert "the values fit in 11 bits" in text
    assert f"houses 2 2 4 {400 / (2 * 64 * 64):.1%}".replace("%", " %") in text
    assert "oddities none" in text
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
    marked = " ".join(out.split())
    assert says(
        marked, "t0_PAN.tif cannot be read ... t1_MS.tif cannot be opened ... unreadable labels: t1_houses.geojson"
    )
    assert says(err, "3 things cannot be used ... !")


@pytest.mark.parametrize(
    ("change", "expected", "code"),
    [
        (lambda f: put(f / "t0_MS.tif", noise(4, 16), 900_000, 4), "t0 ... different ground", 1),
        (lambda f: put(f / "t0_MS.tif", noise(3, 16), 500_000, 4), "sensor ms ... 4 bands ... t0 (3)", 1),
        (
            lambda f: put(f / "t0_MS.tif", noise(4, 16), 500_032, 4),
            "sensor ms ... part of the reference: t0",
            0,
        ),
        (lambda f: (f / "t0_MS.tif").unlink(), "scenes without sensor ms: t0", 0),
        (lambda f: put(f / "t0_PAN.tif", np.full((1, 64, 64), 7, "uint16")), "constant band: t0 band 1 (7)", 0),
        (lambda f: put(f / "t0_PAN.tif", np.zeros((1, 64, 64), "uint16")), "sensor pan is empty: t0 (0 ", 0),
        (lambda f: put(f / "t2_PAN.tif", np.zeros((1, 64, 64), "uint16"), 500_128, nodata=0), "empty: t2 (no data)", 0),
        (lambda f: put(f / "t0_PAN.tif", noise(1, 64).astype("float64")), "float64 ... float32 ... whole numbers", 0),
        (lambda f: put(f / "t2_PAN.tif", noise(1, 64), 500_100), "2 grounds ... 1 of them", 0),
        (lambda f: shutil.copy(f / "t0_PAN.tif", f / "t9_PAN.tif"), "twice: t0 pan = t9 pan", 0),
        (lambda f: put(f / "t0_PAN.tif", noise(1, 400)), "sensor pan ... size: t0 (400 x 400)", 0),
        (lambda f: (f / "notes.docx").write_text("x"), "nothing: notes.docx", 0),
        (lambda f: (f / "more.zip").write_text("x"), "packed ... more.zip", 0),
        (lambda f: put(f / "t7 é_PAN.tif", noise(1, 64), 600_000), "t7 é_PAN.tif is t7", 0),
        (lambda f: put(f / "masks" / "x9.tif", noise(1, 9)), "without an image: masks/x9.tif", 0),
    ],
)
def test_inspect_folder_names_what_is_odd(
    tmp_path: Path, capsys: Capture, change: Any, expected: str, code: int
) -> None:
    folder = town(tmp_path / "town")
    change(folder)
    text = printed(capsys, folder, code=code)
    assert says(text, expected)


def test_inspect_tells_nan_and_saturation(tmp_path: Path, capsys: Capture) -> None:
    values = noise(1, 64).astype("float32")
    values[0, :16] = np.nan
    put(tmp_path / "a" / "x.tif", values)
    assert says(printed(capsys, tmp_path / "a"), "NaN ... x band 1 (25 %)")
    bright = noise(3, 64, 200, "uint8")
    bright[1, :16] = 255
    put(tmp_path / "b" / "x.tif", bright)
    text = printed(capsys, tmp_path / "b")
    assert "saturated at 255: x band 2 (25 %)" in text
    assert says(text, "fit in 8 bits ... 255")


def test_inspect_tells_rotation_and_a_missing_coordinate_system(tmp_path: Path, capsys: Capture) -> None:
    turned = rasterio.Affine(0.8, 0.6, 500_000, 0.6, -0.8, 5_000_000)
    with rasterio.open(
        tmp_path / "x.tif", "w", driver="GTiff", count=1, width=8, height=8, dtype="uint16", transform=turned
    ) as file:
        file.write(noise(1, 8))
    text = printed(capsys, tmp_path)
    assert "rotated by 36.9 degrees" in text
    assert "no coordinate system: x" in text


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
    assert says(printed(capsys, tmp_path), "several numbers ... a_mask.tif (0, 1, 2, 3)")


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
    assert "scenes with labels: 2 of 3" in text
    assert "houses 2 2 2" in text


def test_inspect_takes_a_band_of_values_called_alpha_as_data(tmp_path: Path, capsys: Capture) -> None:
    colours = (ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha)
    values = noise(4, 32, 250, "uint8")
    put(tmp_path / "a" / "x.tif", values, colours=colours)
    text = printed(capsys, tmp_path / "a")
    assert says(text, "as data, not ... x.tif")
    assert "4 bands, uint8" in text
    values[3] = 255
    values[3, :8] = 0
    put(tmp_path / "b" / "x.tif", values, colours=colours)
    text = printed(capsys, tmp_path / "b")
    assert "3 bands, uint8" in text
    assert "alpha band: 25 %" in text


def test_inspect_tells_a_mask_beside_an_image(tmp_path: Path, capsys: Capture) -> None:
    path = put(tmp_path / "x.tif", noise(1, 32))
    with rasterio.open(path, "r+") as file:
        file.write_mask(np.arange(32)[:, None].repeat(32, axis=1) >= 8)
    assert "a mask: 25 %" in printed(capsys, tmp_path)


def test_inspect_an_empty_folder_ends_with_code_1(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "read.me").write_text("nothing here")
    assert "! no image" in printed(capsys, tmp_path, code=1)


# The other kinds of DATA -------------------------------------------------------------------------------


@pytest.mark.slow
def test_inspect_generated_scenes_of_the_contest(tmp_path: Path, capsys: Capture) -> None:
    write_scenes(tmp_path / "dstl", 2, 1, (256, 256), 1, False)
    text = printed(capsys, tmp_path / "dstl")
    assert says(text, "Dstl contest ... three_band, sixteen_band, train_wkt_v4.csv")
    assert "scenes 3: 2 labelled, 1 held-out truth" in text
    assert all(f"sensor {name}" in text for name in ("rgb (reference)", "p:", "m:", "a:"))
    assert "NIR 2" in text
    assert "buildings 3 3" in text
    assert f"dataset: {{root: {tmp_path / 'dstl'}, truth: {tmp_path / 'dstl' / 'truth_wkt.csv'}}}" in text
    for path in (tmp_path / "dstl" / "sixteen_band").glob("*_A.tif"):
        path.unlink()
    text = printed(capsys, tmp_path / "dstl", code=1)
    assert "! without a, which not all scenes have" in text
    assert "sensor m:" in text
    (tmp_path / "dstl" / "train_wkt_v4.csv").unlink()
    text = printed(capsys, tmp_path / "dstl", code=1)
    assert says(text, "! the folder ... contest ... would stop")
    assert "scenes 3: 3 to predict" in text


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
    assert "configuration has not: 77" in text
    assert "labels that cannot be placed" in text
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
    assert says(text, "a sheet ... sensors pan, ms")
    assert "houses 1 1 2" in text
    assert "roads 1 1 1" in text
    assert "scenes without sensor ms: t2" in text


def test_inspect_configuration_checks_bands_and_alpha(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    town(tmp_path)
    assert inspected(tmp_path, "--sheet", tmp_path / "scenes.tsv") == 0
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "config.yaml", tmp_path)
    capsys.readouterr()
    text = printed(capsys, "--configfile", "scenes.yaml")
    assert says(text, "configuration ... layout sheet")
    assert text.endswith("snakemake --cores all --configfile scenes.yaml")
    colours = (ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha)
    put(tmp_path / "t0_MS.tif", noise(4, 16, 250, "uint8"), 500_000, 4, colours=colours)
    (tmp_path / "more.yaml").write_text("sensors: {ms: {bands: null}, pan: {bands: 2}}")
    text = printed(capsys, "--configfile", "scenes.yaml", "more.yaml", code=1)
    assert says(text, "1 band ... 64 x 64 ... 2 are needed")
    assert says(text, "! a band called alpha: t0 ... sensor ms")


def test_inspect_single_image_and_vector_file(tmp_path: Path, capsys: Capture) -> None:
    town(tmp_path)
    text = printed(capsys, tmp_path / "t0_MS.tif")
    assert says(text, "sensor image (reference): 1 file in 1 scene ... 4 bands")
    text = printed(capsys, squares(tmp_path / "v.geojson", (0, 0), (20, 0), class_name="houses"))
    assert says(text, "vector file ... 2 features ... 2 Polygon")
    assert "property `class`: houses (2)" in text
    assert "EPSG:32633" in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], "nowhere is not there"),
        (["config.yaml", "--configfile", "x.yaml"], "not both"),
        (["config.yaml"], "no file that can be inspected"),
        ([], "no DATA and no config.yaml here"),
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


# The first sheet ---------------------------------------------------------------------------------------


def loads(sheet: Path) -> Dag:
    """The graph of the configuration that lies beside a sheet, over the repository's."""
    merged = read_config_files([ROOT / "config.yaml", sheet.with_suffix(".yaml")])
    config = load_config(merged)
    sensors = {name: sensor.model_dump() for name, sensor in config.sensors.items()}
    load_dataset(config.dataset.model_dump(), sensors, {name: entry.id for name, entry in config.classes.items()})
    return Dag.load(merged)


def test_sheet_and_configuration_of_a_folder_load(tmp_path: Path, capsys: Capture) -> None:
    sheet = tmp_path / "made" / "scenes.tsv"
    text = printed(capsys, town(tmp_path / "town"), "--sheet", sheet)
    assert "2 scenes to train on, 1 to predict" in text
    assert sheet.read_text().splitlines()[:2] == [
        "scene\tsplit\tpan\tms\tlabels:houses",
        "t0\ttrain\t../town/t0_PAN.tif\t../town/t0_MS.tif\t../town/t0_houses.geojson",
    ]
    dag = loads(sheet)
    assert (dag.training, dag.predicted) == (["t0", "t1"], ["t0", "t1", "t2"])
    assert list(dag.config.sensors) == ["pan", "ms"]
    assert dag.reference == "pan"
    assert list(dag.config.classes) == ["houses"]
    assert dag.config.sensors["ms"].registration == "auto"
    assert dag.config.validation.folds == 2
    assert dag.config.defaults.training.patch <= 64


def test_sheet_takes_away_what_the_base_says_of_a_class_and_sensor_of_the_same_name(tmp_path: Path) -> None:
    put(tmp_path / "a_rgb.tif", noise(3, 32))
    squares(tmp_path / "a_buildings.geojson", (500_005, 4_999_990))
    assert inspected(tmp_path, "--sheet", tmp_path / "scenes.tsv") == 0
    config = loads(tmp_path / "scenes.tsv").config
    assert config.classes["buildings"].polygons.min_area == 0
    assert config.sensors["rgb"].bands == 3


def test_sheet_leaves_out_what_a_run_would_refuse(tmp_path: Path) -> None:
    folder = town(tmp_path / "town", scenes=5)
    put(folder / "t0_MS.tif", noise(4, 16), 900_000, 4)
    put(folder / "t1_MS.tif", noise(3, 16), 500_064, 4)
    (folder / "t2_PAN.tif").write_text("no image")
    squares(folder / "t3_houses.geojson", (100_000, 1_000_000))
    assert inspected(folder, "--sheet", tmp_path / "scenes.tsv") == 1
    rows = [line.split("\t") for line in (tmp_path / "scenes.tsv").read_text().splitlines()]
    assert [(row[0], row[1], bool(row[3])) for row in rows[1:]] == [
        ("t0", "train", False),
        ("t1", "train", False),
        ("t3", "predict", True),
        ("t4", "predict", True),
    ]
    loads(tmp_path / "scenes.tsv")


def test_sheet_of_bands_in_several_resolutions_has_a_sensor_each(tmp_path: Path) -> None:
    for band, side, metres in (("B02", 60, 10), ("B04", 60, 10), ("B05", 30, 20), ("B8A", 30, 20), ("B01", 10, 60)):
        put(tmp_path / "T48" / f"T48_2020_{band}.jp2", noise(1, side), metres=metres, driver="JP2OpenJPEG")
    put(tmp_path / "T48" / "T48_2020_B02_20m.jp2", noise(1, 30), metres=20, driver="JP2OpenJPEG")
    assert inspected(tmp_path, "--sheet", tmp_path / "scenes.tsv") == 0
    rows = [line.split("\t") for line in (tmp_path / "scenes.tsv").read_text().splitlines()]
    assert rows[0] == ["scene", "split", "b10m", "b20m", "b60m"]
    assert rows[1][2] == "T48/T48_2020_B02.jp2;T48/T48_2020_B04.jp2"
    assert rows[1][3] == "T48/T48_2020_B05.jp2;T48/T48_2020_B8A.jp2"
    dag = loads(tmp_path / "scenes.tsv")
    assert dag.reference == "b10m"
    assert dag.config.sensors["b20m"].registration == "none"


def test_sheet_groups_scenes_of_the_same_ground_and_limits_classes(tmp_path: Path) -> None:
    for name, x in (("a", 500_000), ("b", 500_010), ("c", 500_100)):
        put(tmp_path / f"{name}.tif", noise(1, 64), x)
    squares(tmp_path / "city.geojson", (500_020, 4_999_990), (500_120, 4_999_990), class_name="houses")
    put(tmp_path / "masks" / "roads" / "c.tif", np.eye(64, dtype="uint8")[None], 500_100)
    assert inspected(tmp_path, "--sheet", tmp_path / "scenes.tsv") == 0
    rows = [line.split("\t") for line in (tmp_path / "scenes.tsv").read_text().splitlines()]
    assert rows[0] == ["scene", "split", "ground", "pan", "labels", "classes", "labels:roads"]
    assert [row[2] for row in rows[1:]] == ["a", "a", ""]
    assert [row[5] for row in rows[1:]] == ["houses", "houses", ""], "roads were labelled in c alone"
    dataset = loads(tmp_path / "scenes.tsv").dataset
    assert set(dataset.scenes["c"].labelled) == {"houses", "roads"}
    assert dataset.scenes["a"].labelled == ("houses",)


def test_sheet_names_the_bands_of_a_file_whose_alpha_is_data(tmp_path: Path) -> None:
    colours = (ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha)
    put(tmp_path / "x.tif", noise(4, 32, 250, "uint8"), colours=colours)
    assert inspected(tmp_path, "--sheet", tmp_path / "scenes.tsv") == 0
    assert "x.tif[1,2,3,4]" in (tmp_path / "scenes.tsv").read_text()
    loads(tmp_path / "scenes.tsv")


def test_sheet_is_never_written_over_a_file(tmp_path: Path, capsys: Capture) -> None:
    folder = town(tmp_path / "town")
    for name in ("scenes.tsv", "scenes.yaml"):
        (tmp_path / name).write_text("mine")
        assert inspected(folder, "--sheet", tmp_path / "scenes.tsv") == 1
        assert "is there already and is not overwritten" in capsys.readouterr().err
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, "town"])
        (tmp_path / name).unlink()
    assert inspected(folder / "t0_PAN.tif", "--sheet", tmp_path / "scenes.tsv") == 1
    assert inspected(folder, "--sheet", tmp_path / "scenes.csv") == 1


def test_sheet_without_labels_says_what_is_needed(tmp_path: Path, capsys: Capture) -> None:
    put(tmp_path / "x.tif", noise(1, 32))
    text = printed(capsys, tmp_path, "--sheet", tmp_path / "scenes.tsv")
    assert "no scene has labels yet" in text
    assert yaml.safe_load((tmp_path / "scenes.yaml").read_text())["statistics"] == "all"
    assert loads(tmp_path / "scenes.tsv").predicted == ["x"]


# Real imagery ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("folder", "scenes", "sensors", "words"),
    [
        ("spacenet-rio", 15, ["rgb"], "empty: rio_58 (0 "),
        ("spacenet-rotterdam", 2, ["pan", "ms"], "whole numbers stored as real ones"),
        ("spacenet-atlanta", 1, ["pan"], "objects 1 1 43"),
        ("sentinel2-T48QUE", 1, ["b10m", "b20m", "b60m"], "4 B08"),
    ],
)
def test_inspect_real_imagery(
    test_data: Path, tmp_path: Path, capsys: Capture, folder: str, scenes: int, sensors: list[str], words: str
) -> None:
    text = printed(capsys, test_data / folder, "--sheet", tmp_path / "scenes.tsv")
    assert f"scenes {scenes}: " in text
    assert words in text
    dag = loads(tmp_path / "scenes.tsv")
    assert len(dag.dataset.scenes) == scenes
    assert list(dag.config.sensors) == sensors
