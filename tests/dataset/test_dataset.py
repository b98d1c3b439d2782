"""The index of a data set: which files are found, what is labelled, and what is said when something is missing."""

from __future__ import annotations

import os
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common import says
from rasterloom.dataset import Dataset, SourceFile, load_dataset, register_sources
from rasterloom.dataset.contest_ids import SCORED, acquisition_of, ground_of
from rasterloom.dataset.contest_tables import grid_sizes, read_sample, wkt_rows
from rasterloom.dataset.index import reference_sensor
from rasterloom.dataset.source_files import Folders
from rasterloom.errors import ConfigError, InputError, LabelError, MissingInputError

SENSORS: dict[str, dict[str, Any]] = {"rgb": {"reference": True}, "p": {}, "m": {}, "a": {}}
CLASSES = {"buildings": 1, "trees": 5}
TRAIN, SCORED_ID, OTHER = "6010_1_2", "6010_0_1", "6170_0_0"
IDS = (TRAIN, SCORED_ID, OTHER)


def _touch(path: Path, text: str = "x") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="")


def _tables(ids: tuple[str, ...], labelled: tuple[str, ...]) -> dict[str, str]:
    rows = [f'{s},{c},"MULTIPOLYGON (((0 0, 0.001 0, 0.001 -0.001, 0 0)))"\n' for s in labelled for c in (1, 5)]
    return {
        "grid_sizes.csv": ",Xmax,Ymin\n" + "".join(f"{s},0.009188,-0.00904\n" for s in ids),
        "train_wkt_v4.csv": "ImageId,ClassType,MultipolygonWKT\n" + "".join(rows),
        "sample_submission.csv": "ImageId,ClassType,MultipolygonWKT\r\n"
        + "".join(f'{s},{c},"POLYGON ((0 0, 1 0, 1 1, 0 0))"\r\n' for s in ids if s not in labelled for c in (1, 2)),
    }


def _contest(root: Path, ids: tuple[str, ...] = IDS, labelled: tuple[str, ...] = (TRAIN,), form: str = "flat") -> None:
    """Write a data set in miniature, in one of the forms that unpacking gives, or still packed."""
    root.mkdir(parents=True, exist_ok=True)
    for folder, endings in (("three_band", [""]), ("sixteen_band", ["_P", "_M", "_A"])):
        names = [f"{scene}{ending}.tif" for scene in ids for ending in endings]
        inner = root / folder / folder if form == "nested" else root / folder
        if form == "zipped":
            with zipfile.ZipFile(root / f"{folder}.zip", "w") as archive:
                for name in names:
                    archive.writestr(f"{folder}/{name}", "x")
        else:
            for name in names:
                _touch(inner / name)
    for name, text in _tables(ids, labelled).items():
        if form == "zipped":
            with zipfile.ZipFile(root / f"{name}.zip", "w") as archive:
                archive.writestr(name, text)
        else:
            _touch(root / name / name if form == "nested" else root / name, text)


def _truths(dataset: Dataset, class_name: str | None = None) -> list[str]:
    """Scenes with truth to score against, of a class if one is named."""
    scenes = [scene for scene in dataset.scenes.values() if scene.truth]
    return [scene.id for scene in scenes if class_name is None or class_name in scene.labelled]


def _load(root: Path, predict: Any = "scored", **more: Any) -> Dataset:
    sensors = more.pop("sensors", SENSORS)
    return load_dataset({"layout": "dstl", "root": str(root), "predict": predict, **more}, sensors, CLASSES)


@pytest.mark.parametrize("form", ["flat", "nested", "zipped"])
def test_dstl_finds_files_however_unpacked(tmp_path: Path, form: str) -> None:
    _contest(tmp_path, form=form)
    dataset = _load(tmp_path)
    assert list(dataset.scenes) == sorted(IDS)
    assert {s.id: s.role for s in dataset.scenes.values()} == {TRAIN: "train", SCORED_ID: "predict", OTHER: "other"}
    scene = dataset.scenes[TRAIN]
    assert list(scene.sensors) == ["rgb", "p", "m", "a"]
    assert Path(scene.sensors["a"][0].path).name == "6010_1_2_A.tif"
    assert ("zip!" in scene.sensors["a"][0].path) == (form == "zipped")
    assert scene.labelled == ("buildings", "trees")
    assert dataset.scenes[SCORED_ID].labelled == ()
    assert (dataset.training(), dataset.predicted(), _truths(dataset)) == ([TRAIN], [SCORED_ID], [])
    sample = read_sample(Path(dataset.tables["sample_submission"].path))
    assert sample.rows[:2] == ((SCORED_ID, 1), (SCORED_ID, 2))
    assert grid_sizes(Path(dataset.tables["grid_sizes"].path))[TRAIN] == (0.009188, -0.00904)
    assert "31 of the 32" in dataset.notes[0]


def test_dstl_predict_all_and_ids(tmp_path: Path) -> None:
    _contest(tmp_path)
    assert _load(tmp_path, "all").predicted() == [SCORED_ID, OTHER]
    assert _load(tmp_path, [OTHER]).predicted() == [OTHER]
    with pytest.raises(ConfigError, match=r"6170_0_1.*did you mean"):
        _load(tmp_path, ["6170_0_1"])
    (tmp_path / f"three_band/{OTHER}.tif").unlink()
    with pytest.raises(ConfigError, match=f"first '{OTHER}'.*get all of three_band"):
        _load(tmp_path, "all")


def test_dstl_scored_without_scored_images_advises_all(tmp_path: Path) -> None:
    _contest(tmp_path, ids=(TRAIN, OTHER))
    with pytest.raises(ConfigError, match="predict: all"):
        _load(tmp_path)


def test_dstl_scored_are_32_distinct_ids() -> None:
    assert len(set(SCORED.split())) == 32


def test_dstl_missing_data_is_one_error_with_everything(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError) as error:
        _load(tmp_path / "dstl", "all", truth="truth.csv")
    text = str(error.value)
    names = ["three_band", "sixteen_band", "grid_sizes.csv", "train_wkt_v4.csv", "sample_submission.csv", "truth.csv"]
    assert [name for name in names if name not in text] == []
    assert "dstl-satellite-imagery-feature-detection" in text
    assert "data/dstl" in text
    assert "make demo" in text
    assert str(tmp_path / "dstl") in text


def test_dstl_archive_of_archives_is_pointed_out(tmp_path: Path) -> None:
    _touch(tmp_path / "dstl-satellite-imagery-feature-detection.zip")
    with pytest.raises(MissingInputError, match=r"\n  unzip .*detection\.zip"):
        _load(tmp_path)


def test_dstl_missing_image_of_a_used_scene(tmp_path: Path) -> None:
    _contest(tmp_path)
    (tmp_path / f"sixteen_band/{OTHER}_A.tif").unlink()
    assert "a" not in _load(tmp_path).scenes[OTHER].sensors  # not used: no fault
    (tmp_path / f"sixteen_band/{TRAIN}_A.tif").unlink()
    with pytest.raises(MissingInputError, match=f"{TRAIN}_A.tif"):
        _load(tmp_path)
    assert list(_load(tmp_path, sensors={"rgb": {}, "p": {}}).scenes[TRAIN].sensors) == ["rgb", "p"]


def test_dstl_labelled_scene_without_image(tmp_path: Path) -> None:
    _contest(tmp_path, labelled=(TRAIN, "6120_2_2"))
    with pytest.raises(MissingInputError, match="6120_2_2"):
        _load(tmp_path)


def test_dstl_scene_without_grid_size(tmp_path: Path) -> None:
    _contest(tmp_path)
    _touch(tmp_path / "grid_sizes.csv", f",Xmax,Ymin\n{TRAIN},0.009,-0.009\n")
    with pytest.raises(InputError, match=f"no row for scene {SCORED_ID}"):
        _load(tmp_path)
    _touch(tmp_path / "grid_sizes.csv", f",Xmax,Ymin\n{TRAIN},0.009,0.009\n")
    with pytest.raises(InputError, match=r"row 2.*negative"):
        _load(tmp_path)


def test_dstl_truth_marks_predicted_scenes(tmp_path: Path) -> None:
    _contest(tmp_path)
    _touch(tmp_path / "truth.csv", f"ImageId,ClassType,MultipolygonWKT\n{SCORED_ID},1,MULTIPOLYGON EMPTY\n")
    dataset = _load(tmp_path, truth="truth.csv")
    assert dataset.scenes[SCORED_ID].truth
    assert dataset.scenes[SCORED_ID].labelled == ("buildings", "trees")
    assert _truths(dataset, "trees") == [SCORED_ID]
    assert dataset.training() == [TRAIN]
    assert Path(dataset.tables["truth"].path) == tmp_path / "truth.csv"
    with pytest.raises(LabelError, match=TRAIN):
        _load(tmp_path, truth="train_wkt_v4.csv")


def test_dstl_image_without_the_reference_is_no_scene(tmp_path: Path) -> None:
    _contest(tmp_path)
    assert not any("reference sensor" in note for note in _load(tmp_path).notes)
    _touch(tmp_path / "sixteen_band/6100_1_1_A.tif")
    (tmp_path / f"three_band/{OTHER}.tif").unlink()
    dataset = _load(tmp_path)
    assert list(dataset.scenes) == [SCORED_ID, TRAIN]
    (note,) = (note for note in dataset.notes if "reference sensor" in note)
    assert says(note, "2 scenes ... first 6100_1_1 ... left out") and "three_band/6100_1_1.tif" in note
    (tmp_path / f"three_band/{TRAIN}.tif").unlink()
    with pytest.raises(MissingInputError, match=f"three_band/{TRAIN}.tif"):
        _load(tmp_path)


def test_dstl_truth_that_is_not_predicted_is_noted(tmp_path: Path) -> None:
    _contest(tmp_path)
    rows = "".join(f"{scene},1,MULTIPOLYGON EMPTY\n" for scene in (SCORED_ID, OTHER))
    _touch(tmp_path / "truth.csv", f"ImageId,ClassType,MultipolygonWKT\n{rows}")
    dataset = _load(tmp_path, truth="truth.csv")
    assert _truths(dataset) == [SCORED_ID]
    (note,) = (note for note in dataset.notes if "(dataset.truth)" in note)
    assert f"scene {OTHER} is not predicted" in note
    assert not any("(dataset.truth)" in note for note in _load(tmp_path, "all", truth="truth.csv").notes)


def test_dstl_truth_on_ground_that_trains_is_not_held_out(tmp_path: Path) -> None:
    twin = "6140_1_2"
    _contest(tmp_path, ids=("6110_1_2", twin, OTHER), labelled=("6110_1_2",))
    rows = "".join(f"{scene},1,MULTIPOLYGON EMPTY\n" for scene in (twin, OTHER))
    _touch(tmp_path / "truth.csv", f"ImageId,ClassType,MultipolygonWKT\n{rows}")
    dataset = _load(tmp_path, "all", truth="truth.csv")
    assert _truths(dataset) == [OTHER]
    assert dataset.predicted() == [twin, OTHER]
    assert dataset.scenes[twin].labelled == ()
    (note,) = dataset.notes
    assert twin in note and "not scored as held-out" in note


def test_dstl_sidecars_are_seen(tmp_path: Path) -> None:
    _contest(tmp_path)
    assert all("sidecars" not in file for file in register_sources(_load(tmp_path).scenes[TRAIN])["sensors"]["p"])
    _touch(tmp_path / f"sixteen_band/{TRAIN}_P.tfw", "1\n")
    scene = _load(tmp_path).scenes[TRAIN]
    assert [name for name, *_ in scene.sensors["p"][0].sidecars] == [f"{TRAIN}_P.tfw"]
    assert not scene.sensors["m"][0].sidecars


def test_sidecars_are_seen_that_came_after_others_were_looked_for(tmp_path: Path) -> None:
    _touch(tmp_path / "a.tif", "1")
    folders = Folders()
    assert folders.sidecars(tmp_path / "a.tif") == folders.sidecars(tmp_path / "nowhere/a.tif") == ()
    _touch(tmp_path / "a.tfw", "1")
    os.utime(tmp_path, (1, 1))  # whatever the steps of the file system's clock
    assert [name for name, *_ in folders.sidecars(tmp_path / "a.tif")] == ["a.tfw"]


def test_dstl_unknown_sensor(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"`sensors.rgbb`.*did you mean `rgb`"):
        _load(tmp_path, sensors={"rgbb": {}})


def test_dstl_wrong_number_of_bands(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"`sensors\.m\.bands`: 4 was given, but the contest's files have 8"):
        load_dataset({"layout": "dstl", "root": str(tmp_path)}, {**SENSORS, "m": {"bands": 4}}, CLASSES)


def test_register_sources(tmp_path: Path) -> None:
    _contest(tmp_path)
    sources = register_sources(_load(tmp_path).scenes[TRAIN])
    assert list(sources["sensors"]) == ["rgb", "p", "m", "a"]
    assert sources["sensors"]["rgb"][0]["path"] == str(tmp_path / "three_band/6010_1_2.tif")
    assert sources["sensors"]["rgb"][0]["size"] == 1
    assert sources["grid"]["path"] == str(tmp_path / "grid_sizes.csv")


@given(st.sampled_from(["6110 6140", "6030 6150", "6020 6130"]), st.integers(0, 4), st.integers(0, 4))
def test_ground_of_twins_is_one(pair: str, row: int, column: int) -> None:
    one, other = pair.split()
    assert ground_of(f"{one}_{row}_{column}") == ground_of(f"{other}_{row}_{column}")
    assert ground_of(f"{one}_{row}_{column}") != ground_of(f"{one}_{row}_{(column + 1) % 5}")


def test_ground_of_others_is_their_own() -> None:
    ids = [f"{n}_{r}_{c}" for n in range(6010, 6181, 10) for r in range(5) for c in range(5)]
    assert len({ground_of(name) for name in ids}) == 15 * 25
    assert ground_of("demo") == "demo"


def test_acquisition_of_is_the_number_of_the_scene_and_not_that_of_its_twin() -> None:
    ids = [f"{n}_{r}_{c}" for n in range(6010, 6181, 10) for r in range(5) for c in range(5)]
    assert Counter(map(acquisition_of, ids)) == {str(n): 25 for n in range(6010, 6181, 10)}
    assert [acquisition_of(name) for name in ("demo", "6010", "6010_1", "a_1_2")] == ["demo", "6010", "6010_1", "a_1_2"]


def test_load_says_which_scenes_were_taken_together(tmp_path: Path) -> None:
    _contest(tmp_path)
    assert {s.id: s.acquisition for s in _load(tmp_path).scenes.values()} == {
        TRAIN: "6010", SCORED_ID: "6010", OTHER: "6170",
    }  # fmt: skip


# wkt_rows -------------------------------------------------------------------------------------------------------------

HEADER = "ImageId,ClassType,MultipolygonWKT\n"


def _read(tmp_path: Path, text: str) -> list[tuple[str, int, int, str]]:
    path = tmp_path / "t.csv"
    _touch(path, text)
    return [(row.scene, row.class_id, row.line, row.wkt) for row in wkt_rows(path)]


def test_wkt_rows_quoted_plain_crlf_and_without_last_newline(tmp_path: Path) -> None:
    text = 'ImageId,ClassType,MultipolygonWKT\r\na_1,1,"POLYGON ((0 0, 1 0))"\r\n\r\na_1,10,MULTIPOLYGON EMPTY'
    assert _read(tmp_path, text) == [("a_1", 1, 2, "POLYGON ((0 0, 1 0))"), ("a_1", 10, 4, "MULTIPOLYGON EMPTY")]


def test_wkt_rows_field_beyond_the_csv_limit(tmp_path: Path) -> None:
    wkt = "POLYGON ((" + "0 0, " * 40_000 + "0 0))"
    assert _read(tmp_path, f'{HEADER}a,1,"{wkt}"\nb,2,MULTIPOLYGON EMPTY\n')[0][3] == wkt
    assert read_sample(tmp_path / "t.csv").rows == (("a", 1), ("b", 2))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("scene,class,wkt\n", "begins with 'scene,class,wkt'"),
        ("", "begins with ''"),
        (HEADER + "a,1\n", "row 2"),
        (HEADER + "a,one,POLYGON EMPTY\n", "row 2: scene 'a' and class 'one'"),
        (HEADER + "a,1,POLYGON EMPTY\nnonsense\n", "row 3"),
        (HEADER + 'a,1,"POLYGON ((0 0, 1 0', "row 2 .*cut off"),
    ],
)
def test_wkt_rows_damaged_table(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        _read(tmp_path, text)


# sheet ----------------------------------------------------------------------------------------------------------------


def _sheet(root: Path, *rows: str, name: str = "scenes.tsv") -> Path:
    for file in ("a.tif", "b.tif", "nir.tif", "houses.geojson", "mask.tif"):
        _touch(root / "files" / file)
    _touch(root / name, "\n".join(row.replace("|", "\t") for row in rows) + "\n")
    return root / name


def _sheet_load(path: Path, classes: dict[str, int] | None = None, **more: Any) -> Dataset:
    sensors: dict[str, dict[str, Any]] = {"rgb": {"reference": True}, "nir": {}}
    return load_dataset({"layout": "sheet", "table": str(path), **more}, sensors, classes or {"houses": 1, "roads": 2})


HEAD = "scene|split|ground|rgb|nir|labels|labels:houses|classes"


def test_sheet_scene_with_everything(tmp_path: Path) -> None:
    table = _sheet(
        tmp_path,
        "# a comment",
        HEAD,
        "one|train|north|files/a.tif[3,2,1];files/b.tif|files/nir.tif|files/houses.geojson|files/mask.tif|",
        "",
        "two|predict||files/b.tif||||",
        "three|predict||files/b.tif|||files/mask.tif|houses",
    )
    dataset = _sheet_load(table)
    one, two, three = (dataset.scenes[name] for name in ("one", "two", "three"))
    assert dataset.reference == "rgb"
    assert [(Path(f.path).name, f.bands) for f in one.sensors["rgb"]] == [("a.tif", (3, 2, 1)), ("b.tif", None)]
    assert (one.ground, one.role, one.labelled, one.truth) == ("north", "train", ("houses", "roads"), False)
    assert (Path(one.labels["houses"].file.path).name, one.labels["houses"].whole) == ("mask.tif", True)
    assert (Path(one.labels["roads"].file.path).name, one.labels["roads"].whole) == ("houses.geojson", False)
    assert (two.ground, two.role, list(two.sensors), two.labelled) == ("two", "predict", ["rgb"], ())
    assert (three.truth, three.labelled) == (True, ("houses",))
    assert _truths(dataset, "roads") == []
    assert register_sources(one)["grid"] is None


def test_sheet_truth_on_ground_that_trains_is_not_held_out(tmp_path: Path) -> None:
    table = _sheet(
        tmp_path,
        "scene|split|ground|rgb|nir|labels",
        "one|train|north|files/a.tif||files/houses.geojson",
        "two|predict|north|files/b.tif||files/houses.geojson",
        "three|predict|south|files/nir.tif||files/houses.geojson",
    )
    dataset = _sheet_load(table)
    assert _truths(dataset) == ["three"]
    assert (dataset.scenes["two"].labelled, dataset.scenes["two"].labels) == ((), {})
    assert dataset.predicted() == ["three", "two"]
    assert len(dataset.notes) == 1 and "(two)" in dataset.notes[0]


def test_sheet_sidecars_are_seen(tmp_path: Path) -> None:
    table = _sheet(tmp_path, HEAD, "one|train|north|files/a.tif[2];files/b.tif||files/houses.geojson||")
    for name in ("a.TFW", "a.tif.aux.xml", "a.tif.ovr", "ab.tfw", "b.wld"):
        _touch(tmp_path / "files" / name, name)
    one, other = _sheet_load(table).scenes["one"].sensors["rgb"]
    assert [(name, size) for name, size, _ in one.sidecars] == [("a.TFW", 5), ("a.tif.aux.xml", 13)]
    assert one.to_json()["sidecars"] == [[*sidecar] for sidecar in one.sidecars]
    assert one.sidecars[0][2] == (tmp_path / "files/a.TFW").stat().st_mtime_ns
    assert [name for name, *_ in other.sidecars] == ["b.wld"]
    before = _sheet_load(table).scenes["one"]
    _touch(tmp_path / "files/a.TFW", "moved")
    assert register_sources(_sheet_load(table).scenes["one"]) != register_sources(before)


def test_sheet_single_class_takes_a_whole_vector_file(tmp_path: Path) -> None:
    table = _sheet(tmp_path, "scene|split|rgb|nir|labels", "one|train|files/a.tif||files/houses.geojson")
    assert _sheet_load(table, {"houses": 1}).scenes["one"].labels["houses"].whole


def test_sheet_predict_list_leaves_out_others(tmp_path: Path) -> None:
    table = _sheet(tmp_path, "scene|split|rgb|nir", "one|predict|files/a.tif|", "two|predict|files/b.tif|")
    assert _sheet_load(table, predict=["two"]).predicted() == ["two"]
    with pytest.raises(ConfigError, match="did you mean `two`"):
        _sheet_load(table, predict=["tow"])


TRAIN_ROW = "one|train||files/a.tif||files/houses.geojson||"


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([HEAD.replace("ground", "group"), TRAIN_ROW], "row 1: the column 'group' is two .*'ground'.*'acquisition'"),
        ([HEAD.replace("nir", "nirr"), TRAIN_ROW], "row 1, column 'nirr'.*did you mean `nir`"),
        ([HEAD.replace("labels:houses", "labels:house"), TRAIN_ROW], "did you mean `labels:houses`"),
        ([HEAD.replace("|nir", ""), TRAIN_ROW], "column 'nir' is missing; a sensor"),
        (["scene,split,rgb", "one,train,a.tif"], "no tab"),
        (["scene split rgb", "one train a.tif"], "no tab"),
        ([HEAD, TRAIN_ROW.replace("one", '"one')], "row 2: a quote is not closed"),
        ([HEAD + "|rgb", TRAIN_ROW], "'rgb' is there 2 times"),
        ([HEAD], "no scene"),
        ([HEAD, TRAIN_ROW, TRAIN_ROW], "row 3 .*column scene.*row 2"),
        ([HEAD, TRAIN_ROW.replace("one", "../one")], "row 2 .*column scene: '../one'"),
        ([HEAD, TRAIN_ROW.replace("train||", "train|a b|")], "column ground: 'a b'"),
        ([HEAD, TRAIN_ROW.replace("train", "test")], "column split: 'test' given; train"),
        ([HEAD, TRAIN_ROW.replace("files/a.tif", "")], "column rgb: the cell is empty"),
        ([HEAD, TRAIN_ROW.replace("a.tif", "a.tif[0]")], r"column rgb: bands \[0\]"),
        ([HEAD, TRAIN_ROW.replace("files/houses.geojson", "")], "without labels"),
        ([HEAD, TRAIN_ROW + "house"], "column classes: 'house'.*did you mean `houses`"),
        ([HEAD, "one|train||files/a.tif|||files/mask.tif|roads"], "column classes: 'roads' was labelled"),
        ([HEAD, TRAIN_ROW + "|x"], "row 2.* 9 cells.*header 8"),
        ([HEAD, TRAIN_ROW.replace("houses.geojson", "houses.geojson;files/mask.tif")], "2 files given"),
    ],
)
def test_sheet_errors_name_row_and_column(tmp_path: Path, rows: list[str], words: str) -> None:
    with pytest.raises(InputError, match=words):
        _sheet_load(_sheet(tmp_path, *rows))


@pytest.mark.parametrize("cell", ["files/none.tif", "files", "files/none.tif[1]"])
def test_sheet_missing_file(tmp_path: Path, cell: str) -> None:
    table = _sheet(tmp_path, HEAD, TRAIN_ROW.replace("files/a.tif", cell))
    with pytest.raises(MissingInputError, match=r"row 2 \(scene one\), column rgb: .*correct the path"):
        _sheet_load(table)


def test_sheet_missing_table(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match=r"scenes.tsv is not there"):
        _sheet_load(tmp_path / "scenes.tsv")


def _folds(tmp_path: Path, *folds: str) -> Dataset:
    rows = [f"s{i}|train|{'g' if i < 2 else ''}|{f}|files/a.tif||files/houses.geojson" for i, f in enumerate(folds)]
    return _sheet_load(_sheet(tmp_path, "scene|split|ground|fold|rgb|nir|labels", *rows))


def test_sheet_folds(tmp_path: Path) -> None:
    dataset = _folds(tmp_path, "a", "a", "b")
    assert [scene.fold for scene in dataset.scenes.values()] == ["a", "a", "b"]
    with pytest.raises(InputError, match=r"row 3 .*same ground \(g\)"):
        _folds(tmp_path, "a", "b", "b")
    with pytest.raises(InputError, match=r"row 4 .*cell is empty"):
        _folds(tmp_path, "a", "a", "")
    with pytest.raises(InputError, match="two or more"):
        _folds(tmp_path, "a", "a", "a")


# small parts ----------------------------------------------------------------------------------------------------------


def test_reference_sensor_is_the_marked_or_first_one() -> None:
    assert reference_sensor({"p": {}, "rgb": {"reference": True}}) == "rgb"
    assert reference_sensor({"p": {}, "rgb": {}}) == "p"


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("x.tif", ["x.aux", "x.tab", "x.tfw", "x.tif.aux.xml", "x.tif.msk", "x.tifw", "x.wld"]),
        ("x.jpg", ["x.aux", "x.jgw", "x.tab", "x.wld"]),
        ("x.shp", ["x.dbf", "x.prj"]),
        ("none/x.tif", []),
    ],
)
def test_sidecars(tmp_path: Path, image: str, expected: list[str]) -> None:
    for name in ("tab", "tfw", "jgw", "tifw", "wld", "aux", "tif", "tif.ovr", "tif.aux.xml", "tif.msk", "dbf", "prj"):
        _touch(tmp_path / f"x.{name}")
    assert [name for name, *_ in Folders().sidecars(tmp_path / image)] == expected


def test_source_file_of_sees_size_time_and_bands(tmp_path: Path) -> None:
    _touch(tmp_path / "x", "abc")
    file = SourceFile.of(tmp_path / "x", (2,))
    assert file.to_json() == {
        "path": str(tmp_path / "x"),
        "size": 3,
        "mtime_ns": (tmp_path / "x").stat().st_mtime_ns,
        "bands": [2],
    }
