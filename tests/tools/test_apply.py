"""What `apply` refuses: bundles that are none or that reach further than they may, and scenes of another kind."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from rasterloom.cli import main
from rasterloom.errors import InputError
from rasterloom.tools.apply import _files, _project, check_scene

BUNDLE: dict[str, Any] = {
    "format": 2,
    "rasterloom": "0.1.0",
    "classes": ["trees"],
    "folds": ["fold-0"],
    "tuning": {},
    "weights": {},
    "config": {
        "sensors": {"p": {"reference": False}, "rgb": {"reference": True}},
        "models": {"net": {"kind": "unet"}},
    },
    "sensors": {"rgb": {"bands": 3, "high": 255}},
    "gsd": 0.5,
}


def said(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    with pytest.raises(SystemExit) as left:
        main(["apply", *map(str, arguments)])
    assert left.value.code == 1
    return capsys.readouterr().err


def packed(folder: Path, **changes: Any) -> Path:
    path = folder / "mine.bundle"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("bundle.json", json.dumps({**BUNDLE, **changes}))
    return path


def test_bundle_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "is not there: make it with `rasterloom pack" in said(
        capsys, tmp_path / "no", "a.tif", "-o", tmp_path / "a.gpkg"
    )


def test_file_that_is_no_bundle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "text").write_text("text")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("readme", "")
    for name in ("text", "other.zip"):
        assert "is not a whole bundle" in said(capsys, tmp_path / name, "a.tif", "-o", tmp_path / "a.gpkg")
    half = packed(tmp_path).read_bytes()
    (tmp_path / "half").write_bytes(half[: len(half) // 2])
    assert "is not a whole bundle" in said(capsys, tmp_path / "half", "a.tif", "-o", tmp_path / "a.gpkg")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format": 1}, "bundle of format 1, of rasterloom 0.1.0; format 2 is needed"),
        ({"folds": ["../../fold"]}, "names of folds and classes are letters"),
        ({"classes": ["/etc/trees"]}, "names of folds and classes are letters"),
        ({"tuning": {"..": {}}}, "names of folds and classes are letters"),
        ({"config": {"models": {"net": {"kind": "module", "factory": "os:system"}}}}, "must not run"),
        ({"config": {}}, "is not a whole bundle"),
    ],
)
def test_bundle_that_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], words: str
) -> None:
    assert words in said(capsys, packed(tmp_path, **changes), "a.tif", "-o", tmp_path / "a.gpkg")
    assert not (tmp_path / "a.gpkg").exists()


def test_output_that_cannot_be_written_is_refused_before_any_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle, file, folder = packed(tmp_path), tmp_path / "file", tmp_path / "folder.gpkg"
    file.touch()
    folder.mkdir()
    for output in ("found.shp", folder):
        words = f"-o {output}: a GeoPackage is written; name a file that ends in .gpkg"
        assert words in said(capsys, bundle, "a.tif", "-o", output)
    words = f"cannot write in {file} (File exists): give -o another folder"
    assert words in said(capsys, bundle, "a.tif", "-o", file / "a.gpkg")
    words = f"cannot write in {file} (File exists): give --work another folder"
    assert words in said(capsys, bundle, "a.tif", "-o", tmp_path / "a.gpkg", "--work", file)


@pytest.mark.parametrize(
    ("name", "scene"),
    [("_rio.tif", "scene_rio"), ("сцена.tif", "scene_____"), ("all.tif", "sceneall"), ("a b.tif", "a_b")],
)
def test_any_name_of_an_image_becomes_a_scene(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, scene: str
) -> None:
    monkeypatch.setattr("rasterloom.tools.apply.Dag.load", lambda table: SimpleNamespace())
    _project({"config": {}, "folds": []}, {"rgb": str(tmp_path / name)}, tmp_path)
    assert (tmp_path / "scenes.tsv").read_text().splitlines()[1].split("\t")[0] == scene


def test_a_sensor_of_several_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle, out = packed(tmp_path), tmp_path / "a.gpkg"
    for name in ("r.tif", "g.tif"):
        (tmp_path / name).touch()
    given = f"{tmp_path}/r.tif;{tmp_path}/b.tif[2]"
    assert "b.tif[2] is not there" in said(capsys, bundle, given, "--sensor", f"p={tmp_path}/r.tif", "-o", out)
    args = SimpleNamespace(scene=f"{tmp_path}/r.tif; {tmp_path}/g.tif[1]", sensor=[f"p={tmp_path}/g.tif"])
    assert _files(args, BUNDLE) == {"rgb": f"{tmp_path}/r.tif;{tmp_path}/g.tif[1]", "p": f"{tmp_path}/g.tif"}


@pytest.mark.parametrize("kept", [True, False])
def test_stop_by_hand_says_what_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, kept: bool
) -> None:
    monkeypatch.setattr("rasterloom.tools.apply._files", Mock(side_effect=KeyboardInterrupt))
    work, out = (["--work", str(tmp_path / "work")] if kept else []), tmp_path / "out"
    with pytest.raises(SystemExit) as left:
        main(["apply", str(packed(tmp_path)), "a.tif", "-o", str(out / "a.gpkg"), *work])
    assert left.value.code == 130
    words = "stopped; what was finished is kept" if kept else "stopped; give --work FOLDER to go on after a stop"
    assert words in capsys.readouterr().err and not list(out.iterdir())


def test_sensors_have_a_file_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle, out, image = packed(tmp_path), tmp_path / "a.gpkg", tmp_path / "a.tif"
    assert "a.tif is not there: correct the path of the image of sensor rgb" in said(capsys, bundle, image, "-o", out)
    image.touch()
    assert "the models see p, rgb: give --sensor p=FILE as well" in said(capsys, bundle, image, "-o", out)
    assert "--sensor q=b.tif: NAME=FILE is needed; valid: p, rgb" in said(
        capsys, bundle, image, "--sensor", "q=b.tif", "-o", out
    )
    assert "b.tif[1,2] is not there: correct the path of the image of sensor p" in said(
        capsys, bundle, image, "--sensor", "p=b.tif[1,2]", "-o", out
    )


def record(bands: int = 3, high: float | None = 200, gsd: float | None = 0.5) -> dict[str, Any]:
    return {"reference": {"gsd": gsd}, "sensors": {"rgb": {"bands": bands, "facts": [{"high": high}, {"high": None}]}}}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"bands": 4}, "a.tif: sensor rgb has 4 bands, and the models were trained on 3"),
        ({"high": 2047}, "a.tif: digital numbers of sensor rgb go up to 2047, those of the training scenes to 255"),
        ({"high": 1}, "go up to 1, those"),
        ({"high": None}, "go up to 0, those"),
        ({"gsd": 10.0}, "a.tif: a pixel is 10 m wide, and the models were trained on 0.5 m: .* take a finer image"),
        ({"gsd": 0.3}, "a pixel is 0.3 m wide, .*gdalwarp -tr 0.5 0.5"),
    ],
)
def test_scene_of_another_kind_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        check_scene(BUNDLE, record(**changes), {"rgb": "a.tif"})


def test_scene_of_the_same_kind_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    check_scene(BUNDLE, record(), {"rgb": "a.tif"})
    assert capsys.readouterr().err == ""
    check_scene(BUNDLE, record(gsd=None), {"rgb": "a.tif"})
    assert "the size of a pixel is not known" in capsys.readouterr().err
