"""The contest's images: which are found in folders and archives, and what is said of those that are left out."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest

from common import says
from rasterloom.dataset.contest_images import Images, find_images, image_form
from rasterloom.errors import InputError

ALL = {"rgb": {}, "p": {}, "m": {}, "a": {}}


def fill(root: Path, *names: str, text: str = "x") -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def pack(root: Path, folder: str, *names: str, text: str = "x") -> Path:
    with zipfile.ZipFile(root / f"{folder}.zip", "a") as archive:
        for name in names:
            archive.writestr(name, text)
    return root


def paths(images: Images, scene: str) -> dict[str, str]:
    return {sensor: file.path for sensor, (file,) in images.scenes[scene].items()}


def test_image_form() -> None:
    assert image_form("three_band") == "{scene}.tif"
    assert image_form("sixteen_band") == "{scene}_P.tif, {scene}_M.tif or {scene}_A.tif"


def test_find_images_flat_nested_packed_and_mixed(tmp_path: Path) -> None:
    fill(tmp_path, "three_band/s_0.tif", "sixteen_band/sixteen_band/s_0_P.tif")
    pack(tmp_path, "sixteen_band", "sixteen_band/s_0_P.tif", "sixteen_band/s_0_M.tif", "sixteen_band/s_0_A.tif")
    images = find_images(tmp_path, ALL)
    assert paths(images, "s_0") == {
        "rgb": f"{tmp_path}/three_band/s_0.tif",
        "p": f"{tmp_path}/sixteen_band/sixteen_band/s_0_P.tif",
        "m": f"{tmp_path}/sixteen_band.zip!sixteen_band/s_0_M.tif",
        "a": f"{tmp_path}/sixteen_band.zip!sixteen_band/s_0_A.tif",
    }
    assert images.notes == []
    assert images.scenes["s_0"]["m"][0].crc is not None and images.scenes["s_0"]["p"][0].crc is None


@pytest.mark.parametrize("prefix", ["", "three_band/", "three_band/three_band/", "a/b\\"])
def test_folders_within_an_archive(tmp_path: Path, prefix: str) -> None:
    pack(tmp_path, "three_band", f"{prefix}s_0.tif", f"__MACOSX/{prefix}._s_0.tif", f"{prefix}readme.txt")
    images = find_images(tmp_path, {"rgb": {}})
    assert paths(images, "s_0") == {"rgb": f"{tmp_path}/three_band.zip!{prefix}s_0.tif".replace("\\", "/")}
    assert images.notes == []


def test_names_of_another_form_are_noted(tmp_path: Path) -> None:
    odd = ["6010_0_0_X.tif", "6010 0 0.tif", "6010_0_'0'.tif", '6010_0_"0".TIF', "6010_0_0 (1).tiff", "é_0.tif"]
    fill(
        tmp_path,
        "three_band/s_0.tif",
        "three_band/._s_0.tif",
        "three_band/notes.txt",
        *(f"three_band/{n}" for n in odd),
    )
    images = find_images(tmp_path, {"rgb": {}})
    assert list(images.scenes) == ["s_0"]
    assert images.misfits == {"three_band": sorted(odd)}
    first = sorted(odd)[0]
    (note,) = images.notes
    assert says(note, f"three_band ... 6 images ... first {first!r} ... left out ... {{scene}}.tif")
    pack(tmp_path, "sixteen_band", "s_0_P.tif", "s_0_Q.tif")
    (note,) = find_images(tmp_path, {"p": {}}).notes
    assert says(note, "sixteen_band ... 's_0_Q.tif' ... left out ... {scene}_P.tif")


def test_an_image_of_a_sensor_that_is_not_asked_for_is_not_noted(tmp_path: Path) -> None:
    fill(tmp_path, "sixteen_band/s_0_P.tif", "sixteen_band/s_0_A.tif")
    images = find_images(tmp_path, {"p": {}})
    assert (list(images.scenes["s_0"]), images.notes) == (["p"], [])


@pytest.mark.parametrize("other", ["s_0_p.tif", "s_0_P.TIF", "s_0_P.tiff", "sixteen_band/s_0_P.tif"])
def test_the_same_image_under_two_names_is_noted(tmp_path: Path, other: str) -> None:
    fill(tmp_path / "sixteen_band", "s_0_P.tif", other)
    images = find_images(tmp_path, {"p": {}})
    folder = tmp_path / "sixteen_band"
    assert paths(images, "s_0") == {"p": f"{folder}/s_0_P.tif"}
    (note,) = images.notes
    assert says(note, f"{folder}/s_0_P.tif is used ... {folder}/{other} left out")


def test_other_endings_and_cases_are_found_if_they_are_the_only_one(tmp_path: Path) -> None:
    fill(tmp_path / "sixteen_band", "s_0_p.TIFF", "s_1_A.Tif")
    images = find_images(tmp_path, ALL)
    assert {scene: list(files) for scene, files in images.scenes.items()} == {"s_0": ["p"], "s_1": ["a"]}
    assert images.notes == []


def test_what_is_no_file_is_noted(tmp_path: Path) -> None:
    fill(tmp_path, "three_band/s_0.tif")
    (tmp_path / "three_band/s_1.tif").mkdir()
    (tmp_path / "three_band/s_2.tif").symlink_to("nowhere")
    os.mkfifo(tmp_path / "three_band/s_3.tif")
    (tmp_path / "three_band/s_4.tif").symlink_to("s_0.tif")
    images = find_images(tmp_path, {"rgb": {}})
    assert sorted(images.scenes) == ["s_0", "s_4"]
    (note,) = images.notes
    assert says(note, f"{tmp_path}/three_band ... 's_1.tif' ... left out ... (3 ")


def test_unpacked_image_of_another_size_than_in_the_archive_is_noted(tmp_path: Path) -> None:
    fill(tmp_path, "three_band/s_0.tif", "three_band/s_1.tif")
    pack(tmp_path, "three_band", "s_0.tif")
    pack(tmp_path, "three_band", "s_1.tif", text="longer")
    (note,) = find_images(tmp_path, {"rgb": {}}).notes
    parts = "{0}/three_band/s_1.tif has 1 ... {0}/three_band.zip!s_1.tif 6 ... unpacked one is used ... unpack it again"
    assert says(note, parts.format(tmp_path))


def test_damaged_archive(tmp_path: Path) -> None:
    (tmp_path / "three_band.zip").write_text("x")
    with pytest.raises(InputError, match=r"three_band\.zip is not a zip archive"):
        find_images(tmp_path, {"rgb": {}})
    fill(tmp_path, "three_band/s_0.tif")
    images = find_images(tmp_path, {"rgb": {}})
    assert list(images.scenes) == ["s_0"]
    (note,) = images.notes
    assert "three_band.zip is not a zip archive" in note and note.endswith("what is unpacked is used")


def test_too_long_a_name_is_no_scene(tmp_path: Path) -> None:
    fill(tmp_path, f"three_band/{'a' * 128}.tif", f"three_band/{'b' * 129}.tif")
    images = find_images(tmp_path, {"rgb": {}})
    assert list(images.scenes) == ["a" * 128]
    assert len(images.notes) == 1
