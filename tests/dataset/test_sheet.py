"""Cells of a sheet: paths of every kind, bands by number and by name, members of archives."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from common import says
from rasterloom.dataset import Dataset, SourceFile, load_dataset, register_sources
from rasterloom.errors import ConfigError, InputError, MissingInputError
from rasterloom.store.digest import canonical

SENSORS: dict[str, dict[str, Any]] = {"rgb": {"reference": True}, "nir": {}}


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x")
    return path


def load(root: Path, *rows: str, head: str = "scene|split|ground|rgb|nir") -> Dataset:
    lines = [line.replace("|", "\t") for line in (head, *rows)]
    (root / "scenes.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return load_dataset({"layout": "sheet", "table": str(root / "scenes.tsv")}, SENSORS, {"houses": 1})


def files_of(root: Path, cell: str) -> list[SourceFile]:
    return list(load(root, f"a|predict||{cell}|").scenes["a"].sensors["rgb"])


@pytest.mark.parametrize(
    ("bands", "expected"),
    [
        ("3,2,1", (3, 2, 1)),
        (" 4 , red ", (4, "red")),
        ("B04,B03", ("B04", "B03")),
        ("near infrared", ("near infrared",)),
        ("B4-B3", ("B4-B3",)),
        ("0.86 um", ("0.86 um",)),
        ("°", ("°",)),
    ],
)
def test_bands_by_number_and_by_name(tmp_path: Path, bands: str, expected: tuple[int | str, ...]) -> None:
    touch(tmp_path / "x.tif")
    (file,) = files_of(tmp_path, f"x.tif[{bands}]")
    assert (Path(file.path).name, file.bands) == ("x.tif", expected)
    assert json.loads(canonical(file.to_json()))["bands"] == list(expected)


@pytest.mark.parametrize("bands", ["", "0", "1,", "-1", "1-3", "1:3", "1.5", "*", "99999999999"])
def test_bands_that_are_neither_numbers_nor_names(tmp_path: Path, bands: str) -> None:
    touch(tmp_path / "x.tif")
    with pytest.raises(InputError, match=r"column rgb: bands \[.*\] given; numbers from 1 or names"):
        files_of(tmp_path, f"x.tif[{bands}]")


@pytest.mark.parametrize(
    "name",
    [
        "a b.tif",
        "a[1].tif",
        "a'b.tif",
        'a"b.tif',
        "a;b.tif",
        "a[1,2]",
        "[1].tif",
        "x.zip.tif",
        "é#.tif",
        "..tif",
        "$HOME`id`*?%s\\n.tif",
    ],
)
def test_names_with_odd_characters(tmp_path: Path, name: str) -> None:
    touch(tmp_path / "in ner" / name)
    (file,) = files_of(tmp_path, f"in ner/{name}")
    assert file.path == f"{tmp_path}/in ner/{name}" and file.bands is None
    if ";" not in name:
        (file, again) = files_of(tmp_path, f"in ner/{name}[2]; in ner/{name}")
        assert (file.path, file.bands) == (f"{tmp_path}/in ner/{name}", (2,))
        assert again.bands is None


def test_absolute_paths_and_those_from_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    away, home = touch(tmp_path / "disk/x.tif"), touch(tmp_path / "home/images/x.tif")
    (tmp_path / "table").mkdir()
    assert [file.path for file in files_of(tmp_path / "table", str(away))] == [str(away)]
    assert [file.path for file in files_of(tmp_path / "table", "~/images/x.tif[1]")] == [str(home)]
    assert [file.path for file in files_of(tmp_path / "table", "../disk/x.tif")] == [f"{tmp_path}/table/../disk/x.tif"]


def test_members_of_archives(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "north.zip", "w") as archive:
        for name in ("images/b4.tif", "images/b4.tfw", "images/b[3].tif"):
            archive.writestr(name, name)
    one, two = files_of(tmp_path, "north.zip!images/b4.tif[red];north.zip!images/b[3].tif[2]")
    assert (one.path, one.bands) == (f"{tmp_path}/north.zip!images/b4.tif", ("red",))
    assert [name for name, *_ in one.sidecars] == ["b4.tfw"]
    assert (two.path, two.bands, two.sidecars) == (f"{tmp_path}/north.zip!images/b[3].tif", (2,), ())
    assert all(file.crc for file in (one, two))
    scene = load(tmp_path, "a|predict||north.zip!images/b4.tif|").scenes["a"]
    assert register_sources(scene)["sensors"]["rgb"][0]["crc"] == one.crc


def test_scenes_of_the_same_image_are_noted(tmp_path: Path) -> None:
    for name in ("x.tif", "y.tif"):
        touch(tmp_path / name)
    (tmp_path / "link.tif").symlink_to("x.tif")
    rows = ["a|predict||x.tif|", "b|predict||y.tif|x.tif", "c|predict||x.tif[1]|"]
    assert load(tmp_path, *rows).notes == ()
    (note,) = load(tmp_path, *rows, "d|predict||./x.tif|", "e|predict||link.tif|").notes
    assert says(note, f"scenes a and d and 1 more ... rgb ... {tmp_path}/x.tif; ")
    (note,) = load(tmp_path, "a|predict|g|x.tif|", "b|predict|g|x.tif|").notes
    assert says(note, "scenes a and b ... rgb") and note.endswith(f"{tmp_path}/x.tif")


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_line_ends_and_byte_order_mark(tmp_path: Path, newline: str, mark: str) -> None:
    touch(tmp_path / "x.tif")
    text = newline.join(
        ["# made by hand", "scene\tsplit\trgb\tnir", "", 'a\tpredict\t"x.tif"\t', "b\tpredict\tx.tif[1]\t"]
    )
    (tmp_path / "scenes.tsv").write_bytes(f"{mark}{text}".encode())
    dataset = load_dataset({"layout": "sheet", "table": str(tmp_path / "scenes.tsv")}, SENSORS, {"houses": 1})
    assert list(dataset.scenes) == ["a", "b"]


def test_two_dates_of_one_place_share_their_ground_and_not_their_acquisition(tmp_path: Path) -> None:
    (tmp_path / "x.tif").touch()
    rows = ["a|predict|p|may|x.tif|", "b|predict|p||x.tif|", "c|predict||may|x.tif|"]
    scenes = load(tmp_path, *rows, head="scene|split|ground|acquisition|rgb|nir").scenes
    found = {name: (scene.ground, scene.acquisition) for name, scene in scenes.items()}
    assert found == {"a": ("p", "may"), "b": ("p", None), "c": ("c", "may")}


REGIONS = ("t|train|||x.tif", "a|predict|north||x.tif", "b|predict|south|s|x.tif", "c|predict|south|s|x.tif")
REGION_HEAD = "scene|split|region|acquisition|rgb|nir"


def of_region(root: Path, region: str | None, *rows: str) -> list[str]:
    touch(root / "x.tif")
    touch(root / "labels.geojson")
    lines = [f"{row}||{'labels.geojson' if '|train|' in row else ''}" for row in rows or REGIONS]
    text = "\n".join([f"{REGION_HEAD}|labels", *lines]) + "\n"
    (root / "scenes.tsv").write_text(text.replace("|", "\t"), encoding="utf-8")
    given = {"layout": "sheet", "table": str(root / "scenes.tsv"), "region": region}
    return list(load_dataset(given, SENSORS, {"houses": 1}).scenes)


def test_a_region_leaves_out_scenes_to_predict_only(tmp_path: Path) -> None:
    assert of_region(tmp_path, "north") == ["a", "t"]
    assert of_region(tmp_path, "south") == ["b", "c", "t"]
    assert of_region(tmp_path, None) == ["a", "b", "c", "t"]


def test_files_of_other_regions_need_not_be_there(tmp_path: Path) -> None:
    rows = [*REGIONS, "far|predict|east||away.tif"]
    assert of_region(tmp_path, "north", *rows) == ["a", "t"]
    with pytest.raises(MissingInputError, match=r"away\.tif"):
        of_region(tmp_path, None, *rows)


def test_a_region_that_no_row_has(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        of_region(tmp_path, "nort")
    assert "dataset.region" in str(caught.value) and "did you mean `north`?" in str(caught.value)


def test_an_acquisition_in_two_regions(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        of_region(tmp_path, "north", *REGIONS[:3], "c|predict|north|s|x.tif")
    assert says(str(caught.value), "row 5 ... column region ... 'north' given, not 'south' ... belong to one region")
