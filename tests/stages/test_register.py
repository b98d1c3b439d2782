"""Registration of whole scenes: generated ones with known shifts, real ones, given shifts, fall-backs."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import tifffile
from arrays import resample
from numpy.typing import NDArray
from rasterio.transform import Affine

from common import says
from rasterloom.dataset.contest_ids import SENSORS
from rasterloom.errors import InputError, StoreError
from rasterloom.raster.scan import scan_sensor
from rasterloom.registration.confidence import ACCEPTED
from rasterloom.registration.motions import rotation
from rasterloom.registration.record import read_registration
from rasterloom.registration.scene import register_scene
from rasterloom.stages import job_of, register
from rasterloom.store.manifest import Manifest
from rasterloom.store.store import Item, Store
from rasterloom.tools.scenes.model import Scene
from rasterloom.tools.scenes.sensing import generate_scene

BANDS = {"rgb": 3, "p": 1, "m": 8, "a": 8}


def apply(matrix: list[list[float]], point: tuple[float, float]) -> NDArray[np.float64]:
    """The (x, y) that a matrix maps a point to."""
    return np.asarray(np.array(matrix) @ np.array([*point, 1.0]))


def source(path: Path) -> dict[str, Any]:
    status = path.stat()
    return {"path": str(path), "size": status.st_size, "mtime_ns": status.st_mtime_ns, "bands": None}


def sensor(
    method: Any = "auto", bands: int | None = None, max_shift: float = 60.0, pixel: float | None = None
) -> dict[str, Any]:
    return {
        "pixel": pixel,
        "registration": method,
        "motion": "translation",
        "bands": bands,
        "nodata": None,
        "max_shift": max_shift,
    }


def scene_spec(scene: str, layout: str = "dstl") -> dict[str, Any]:
    return {
        "stage": "register",
        "version": register.VERSION,
        "scene": scene,
        "reference": "rgb",
        "sensors": {name: sensor(bands=bands, pixel=SENSORS[name].pixel) for name, bands in BANDS.items()},
        "layout": layout,
        "gsd": 0.31,
    }


@pytest.fixture(scope="module")
def scene() -> Scene:
    return generate_scene("6120_2_2", 3, (512, 500))


@pytest.fixture(scope="module")
def files(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("scene")
    written = {}
    for name, image in scene.sensors.items():
        options: dict[str, Any] = {"photometric": "rgb", "planarconfig": "separate"} if image.ndim == 3 else {}
        tifffile.imwrite(folder / f"{name}.tif", image, **options)
        os.utime(folder / f"{name}.tif", ns=(10**18, 10**18))
        written[name] = [source(folder / f"{name}.tif")]
    return written


def scans(files: dict[str, Any]) -> dict[str, Any]:
    return {name: scan_sensor(parts, None, name) for name, parts in files.items()}


def test_generated_scene(scene: Scene, files: dict[str, Any]) -> None:
    found = register_scene(scene_spec(scene.scene_id), files, scans(files), (0.009, -0.009))
    for name, limit in (("p", 0.15), ("m", 0.3), ("a", 4.0)):
        entry = found["sensors"][name]
        assert np.hypot(*np.subtract(entry["shift"], scene.shifts[name])) < limit, name
        assert entry["method"] == "ecc" and entry["fallback"] is None and entry["confidence"] >= ACCEPTED
        assert entry["accepted"] and entry["origin"] == "size" and entry["motion"] == "translation"
        side = SENSORS[name].pixel
        assert (entry["pixel"], entry["scale"]) == ([side, side], "files")
        assert entry["nominal"] == [[1 / side, 0.0, 0.0], [0.0, 1 / side, 0.0]]
        assert [attempt["method"] for attempt in entry["attempts"]] == ["ecc", "regression"]
        away = np.subtract(entry["attempts"][0]["shift"], entry["shift"])
        assert np.abs(away).max() < limit and entry["attempts"][0]["refused"] is None
        assert 0 < min(entry["error"]) <= max(entry["error"]) < limit
        assert entry["against"] == entry["attempts"][0]["against"]
        x, y = apply(entry["matrix"], (100.0, 50.0))
        dx, dy = entry["shift"]
        assert (x, y) == pytest.approx(((100 + dx) / side, (50 + dy) / side), abs=1e-4)
    rgb = found["sensors"]["rgb"]
    assert (rgb["matrix"], rgb["method"], rgb["confidence"]) == ([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], "identity", 1.0)
    assert rgb["dtype"] == "uint16" and rgb["bands"] == 3 and rgb["accepted"] and rgb["attempts"] == []
    assert rgb["moments"][0]["mean"] == pytest.approx(scene.sensors["rgb"][0].mean())
    reference = found["reference"]
    assert (reference["sensor"], reference["gsd"], reference["crs"]) == ("rgb", 0.31, None)
    assert (reference["width"], reference["height"]) == scene.size


def run(results: Path, spec: dict[str, Any], sources: dict[str, Any]) -> Item:
    register.run(job_of(spec, sources, results, Store.of(results)))
    return Manifest.read(results / "registration" / f"{spec['scene']}.json").items[spec["scene"]]


def test_run_stores_reuses_and_sees_changes(
    scene: Scene, files: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, grid = scene_spec(scene.scene_id), tmp_path / "grid_sizes.csv"
    grid.write_text(f",Xmax,Ymin\n{scene.scene_id},0.009,-0.009\n")
    sources = {"sensors": files, "grid": source(grid)}
    results = tmp_path / "results"
    first = run(results, spec, sources)
    text = (results / "registration" / f"{scene.scene_id}.registration.json").read_text()
    assert json.loads(text) == read_registration(Store.of(results).open_path(first))
    assert len(list((results / "store/sources").iterdir())) == 4
    with monkeypatch.context() as patch:
        patch.delattr(register, "register_scene")
        assert run(results, spec, sources) == first
    again = run(tmp_path / "other", spec, sources)
    assert (again.key, again.digest) == (first.key, first.digest)
    changed = {**spec, "sensors": {**spec["sensors"], "p": sensor("none", 1)}}
    second = run(results, changed, sources)
    assert second.key != first.key and second.parts["m"] == first.parts["m"] and second.parts["p"] != first.parts["p"]
    grid.write_text(f",Xmax,Ymin\n{scene.scene_id},0.008,-0.009\n")
    assert run(results, spec, {**sources, "grid": source(grid)}).key != first.key
    assert register.inputs(spec) == []


def test_wrong_image_falls_back_to_the_files_own_place(scene: Scene, files: dict[str, Any], tmp_path: Path) -> None:
    other = generate_scene("6040_2_2", 4, (512, 500)).sensors["m"]
    tifffile.imwrite(tmp_path / "m.tif", other, photometric="rgb", planarconfig="separate")
    mixed = {"rgb": files["rgb"], "m": [source(tmp_path / "m.tif")]}
    spec = {
        **scene_spec("s"),
        "sensors": {name: sensor(bands=BANDS[name], pixel=SENSORS[name].pixel) for name in mixed},
    }
    entry = register_scene(spec, mixed, scans(mixed))["sensors"]["m"]
    assert entry["method"] == "identity" and entry["shift"] == (0.0, 0.0) and entry["confidence"] < ACCEPTED
    assert not entry["accepted"] and entry["matrix"] == entry["nominal"]
    assert says(entry["fallback"], "ecc: ... confidence ... as it is")


def test_a_shift_beyond_the_bound_is_not_used(scene: Scene, files: dict[str, Any]) -> None:
    assert np.abs(scene.shifts["a"]).max() > 3
    mixed = {name: files[name] for name in ("rgb", "a")}
    spec = {**scene_spec("s"), "sensors": {"rgb": sensor(bands=3), "a": sensor(bands=8, max_shift=2.0, pixel=25)}}
    entry = register_scene(spec, mixed, scans(mixed))["sensors"]["a"]
    assert entry["method"] == "identity" and entry["shift"] == (0.0, 0.0) and entry["fallback"]


def test_wrong_band_count_names_scene_sensor_and_file(files: dict[str, Any]) -> None:
    spec = {**scene_spec("s"), "sensors": {"rgb": sensor(bands=4)}}
    with pytest.raises(InputError, match=r"scene s, sensor rgb: .*rgb\.tif has 3 bands .* 4 are needed"):
        register_scene(spec, files, scans({"rgb": files["rgb"]}))


def test_read_registration_refuses_other_files(tmp_path: Path) -> None:
    for text in ("{", "[]", '{"sensors": {}}'):
        (tmp_path / "r.json").write_text(text)
        with pytest.raises(StoreError, match=r"r\.json is not a registration"):
            read_registration(tmp_path / "r.json")


@pytest.mark.parametrize("pair", ["1", "2"])
@pytest.mark.parametrize("moved", [(6.0, -4.0), (-13.5, 9.25)])
def test_real_pair_with_a_shift_in_its_georeference(
    test_data: Path, tmp_path: Path, pair: str, moved: tuple[float, float]
) -> None:
    """Panchromatic 0.5 m and multispectral 1 m of Rotterdam: moving one's geotransform moves the estimate as much."""
    folder = test_data / "spacenet-rotterdam"
    shifts = []
    for dx, dy in ((0.0, 0.0), moved):
        with rasterio.open(folder / f"ms{pair}.tif") as file:
            pixel = 0.5
            options = {**file.profile, "transform": Affine.translation(dx * pixel, -dy * pixel) @ file.transform}
            options |= {"tiled": False, "interleave": "band"}
            with rasterio.open(tmp_path / "ms.tif", "w", **options) as out:
                out.write(file.read())
        files = {"pan": [source(folder / f"pan{pair}.tif")], "ms": [source(tmp_path / "ms.tif")]}
        sensors = {"pan": {**sensor(), "nodata": 0.0}, "ms": {**sensor(max_shift=30.0), "nodata": 0.0}}
        spec = {"scene": pair, "reference": "pan", "sensors": sensors, "gsd": None}
        found = register_scene(spec, files, {n: scan_sensor(parts, 0.0, n) for n, parts in files.items()})
        entry = found["sensors"]["ms"]
        assert (entry["method"], entry["origin"], entry["against"]) == ("ecc", "georeference", "pan with ms mean")
        assert entry["confidence"] >= ACCEPTED
        assert found["reference"]["gsd"] == pytest.approx(0.5, abs=0.001)
        shifts.append(found["sensors"]["ms"]["shift"])
    np.testing.assert_allclose(np.subtract(shifts[1], shifts[0]), moved, atol=0.1)
    assert np.hypot(*shifts[0]) < 2.5


def test_real_bands_of_three_resolutions(test_data: Path) -> None:
    """Sentinel-2 at 10, 20 and 60 m: every band finds its place within a pixel of its own."""
    folder = test_data / "sentinel2-T48QUE"
    names = {"rgb": ["B04", "B03", "B02"], "edge": ["B05"], "swir": ["B11"], "coast": ["B01"]}
    files = {name: [source(folder / f"{band}.tif") for band in bands] for name, bands in names.items()}
    spec = {"scene": "s", "reference": "rgb", "sensors": {name: sensor() for name in names}, "gsd": None}
    found = register_scene(spec, files, scans(files))["sensors"]
    for name, pixels in (("edge", 2), ("swir", 2), ("coast", 6)):
        assert found[name]["method"] == "ecc" and found[name]["confidence"] >= ACCEPTED, name
        assert np.abs(found[name]["shift"]).max() < pixels, name


def test_a_georeferenced_sensor_without_a_shift_lies_where_its_files_say(tmp_path: Path) -> None:
    """Images of nothing in common, and of grids that differ: the georeference decides."""
    rng, files = np.random.default_rng(0), {}
    for name, pixel, side in (("rgb", 1.0, 120), ("ir", 4.0, 40)):
        options: dict[str, Any] = {"driver": "GTiff", "count": 1, "dtype": "uint16", "crs": "EPSG:32631"}
        transform = Affine(pixel, 0, 500_000 - 10 * (pixel - 1), 0, -pixel, 5_000_000)
        with rasterio.open(
            tmp_path / f"{name}.tif", "w", width=side, height=side, transform=transform, **options
        ) as out:
            out.write(rng.integers(0, 2000, (1, side, side)).astype(np.uint16))
        files[name] = [source(tmp_path / f"{name}.tif")]
    spec = {"scene": "s", "reference": "rgb", "sensors": {name: sensor() for name in files}, "gsd": None}
    entry = register_scene(spec, files, scans(files))["sensors"]["ir"]
    assert (entry["method"], entry["accepted"], entry["shift"]) == ("georeference", False, (0.0, 0.0))
    assert entry["matrix"] == [[0.25, 0.0, 7.5], [0.0, 0.25, 0.0]]
    assert "georeference" in entry["fallback"]


def test_a_turned_sensor(scene: Scene, files: dict[str, Any], tmp_path: Path) -> None:
    image = scene.sensors["m"]
    height, width = image.shape[1:]
    turned, _ = resample(image, rotation(1.5, (width, height)), (height, width))
    tifffile.imwrite(tmp_path / "m.tif", np.rint(turned).astype(np.uint16), photometric="rgb", planarconfig="separate")
    mixed = {"rgb": files["rgb"], "m": [source(tmp_path / "m.tif")]}
    spec = {
        **scene_spec("s"),
        "sensors": {"rgb": sensor(bands=3), "m": {**sensor(bands=8, pixel=4), "motion": "euclidean"}},
    }
    entry = register_scene(spec, mixed, scans(mixed))["sensors"]["m"]
    assert entry["accepted"] and entry["motion"] == "euclidean"
    angle = np.degrees(np.arctan2(entry["matrix"][1][0], entry["matrix"][0][0]))
    assert angle == pytest.approx(-1.5, abs=0.05)
