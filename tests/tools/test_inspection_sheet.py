"""The first sheet and configuration that an inspection writes of a folder, and those of real imagery."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rasterio.enums import ColorInterp

from common import ROOT
from image_folders import Capture, inspected, noise, printed, put, squares, town
from rasterloom.config import load_config, read_config_files
from rasterloom.dataset import load_dataset
from rasterloom.planning.graph import Dag

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


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
    assert config.classes["buildings"].polygons == config.defaults.polygons
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
    assert loads(tmp_path / "scenes.tsv").predicted == ["x"]


# Real imagery ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("folder", "scenes", "sensors", "words"),
    [
        ("spacenet-rio", 15, ["rgb"], "rio_58 (100 % of the pixels)"),
        ("spacenet-rotterdam", 2, ["pan", "ms"], "integers stored as floating-point numbers"),
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
