"""Generated scenes: reproducible, in the contest's formats, aligned with their labels, shifted as they say."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import shapely
import tifffile
from numpy.typing import NDArray
from shapely.affinity import scale
from shapely.geometry import MultiPolygon, Polygon
from skimage.registration import phase_cross_correlation

from rasterloom.dataset.contest_ids import SENSORS, ground_of
from rasterloom.errors import InputError
from rasterloom.tools import scenes
from rasterloom.tools.scenes import ids, model, painting, sensing, writing
from rasterloom.tools.scenes.layout import build_ground
from rasterloom.tools.scenes.painting import Painter
from rasterloom.tools.scenes.shapes import rectangle

csv.field_size_limit(sys.maxsize)

pytestmark = pytest.mark.slow

SIZE, SEED = (256, 256), 5


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two training and two test scenes as first written."""
    out = tmp_path_factory.mktemp("scenes") / "data"
    writing.write_scenes(out, 2, 2, SIZE, SEED)
    return out


@pytest.fixture(scope="module")
def scene() -> model.Scene:
    """One scene of 320 x 300 pixels, the first training scene."""
    return sensing.generate_scene("6040_2_2", SEED, (320, 300))


def contents(out: Path) -> dict[str, bytes]:
    return {str(p.relative_to(out)): p.read_bytes() for p in sorted(out.rglob("*")) if p.is_file()}


def stamps(out: Path) -> dict[str, int]:
    return {
        str(p.relative_to(out)): p.stat().st_mtime_ns for p in sorted(out.rglob("*")) if p.suffix != "" and p.is_file()
    }


def rows_of(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as lines:
        return list(csv.reader(lines))


def mask_of(polygons: list[Polygon], size: tuple[int, int]) -> NDArray[np.float32]:
    return painting.paint([(p, 1.0) for p in polygons], (size[1], size[0]), 0.0)[0]


# --- files -----------------------------------------------------------------------------------------------------


def test_write_scenes_other_counts_leave_scenes_identical(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "grown"
    writing.write_scenes(out, 1, 1, SIZE, SEED)
    before = stamps(out)
    grown = writing.write_scenes(out, 2, 2, SIZE, SEED)
    assert len(grown) == 2
    kept = [name for name in before if name.endswith(".tif")]
    assert len(kept) == 8
    assert {name: stamps(out)[name] for name in kept} == {name: before[name] for name in kept}
    assert contents(out) == contents(folder)  # and so is everything else, written in another order by another call
    writing.write_scenes(out, 1, 1, SIZE, SEED)
    assert set(stamps(out)) == set(before)


def test_write_scenes_again_does_nothing(folder: Path) -> None:
    before = stamps(folder)
    assert writing.write_scenes(folder, 2, 2, SIZE, SEED) == ()
    assert stamps(folder) == before


def test_write_scenes_mends_what_a_kill_left(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "cut"
    writing.write_scenes(out, 1, 0, SIZE, SEED)
    whole = contents(out)
    image = writing.image_paths(out, "6040_2_2")["m"]
    image.write_bytes(image.read_bytes()[:1000])
    (out / "sixteen_band" / ".tmp-1-x.tif").write_bytes(b"half")
    (out / "train_wkt_v4.csv").unlink()
    assert writing.write_scenes(out, 1, 0, SIZE, SEED) == ("6040_2_2",)
    assert contents(out) == whole


def test_write_scenes_images_have_the_contests_formats(folder: Path) -> None:
    for name in ("6040_2_2", "6120_2_2", "6080_4_4", "6080_4_1"):
        paths = writing.image_paths(folder, name)
        rgb, p, m, a = (tifffile.imread(paths[k]) for k in ("rgb", "p", "m", "a"))
        assert {i.dtype for i in (rgb, p, m, a)} == {np.dtype(np.uint16)}
        _, height, width = rgb.shape
        assert rgb.shape[0] == 3 and abs(width - 256) <= 3 and abs(height - 256) <= 3
        assert p.ndim == 2 and abs(p.shape[0] - height) <= 1 and abs(p.shape[1] - width) <= 1
        for image, pixel in ((m, 4), (a, 25)):
            assert abs(image.shape[1] - round(height / pixel)) <= 1 and abs(image.shape[2] - round(width / pixel)) <= 1
        assert max(i.max() for i in (rgb, p, m)) <= 2047 and 2047 < a.max() <= 16383
        with tifffile.TiffFile(paths["a"]) as tiff:
            page = tiff.pages.first
            assert (len(tiff.pages), page.photometric.name, page.planarconfig.name) == (1, "RGB", "SEPARATE")
            assert "ModelPixelScaleTag" not in page.tags


def test_sizes_are_cut_at_whole_pixels_of_each_sensor() -> None:
    """A pixel more or less along either axis, whatever the other; never as if one were stretched over the other."""
    found = [ids.sensor_sizes(number, "6010_0_0", (3396, 3349)) for number in range(200)]
    for name, pixel in (("p", 1), ("m", 4), ("a", 25)):
        more = {tuple(s - round(r / pixel) for s, r in zip(sizes[name], sizes["rgb"], strict=True)) for sizes in found}
        assert more == {(x, y) for x in (-1, 0, 1) for y in (-1, 0, 1)}


def test_tables_have_the_contests_formats(folder: Path) -> None:
    grid = rows_of(folder / "grid_sizes.csv")
    assert grid[0] == ["", "Xmax", "Ymin"] and len(grid) == 5
    assert all(float(x) > 0 > float(y) for _, x, y in grid[1:])
    sample = (folder / "sample_submission.csv").read_bytes()
    assert sample.count(b"\r\n") == sample.count(b"\n") == 21
    assert b"\r" not in (folder / "train_wkt_v4.csv").read_bytes()
    for name, names in (
        ("sample_submission.csv", ["6080_4_4", "6080_4_1"]),
        ("truth_wkt.csv", ["6080_4_4", "6080_4_1"]),
        ("train_wkt_v4.csv", ["6040_2_2", "6120_2_2"]),
    ):
        rows = rows_of(folder / name)
        assert rows[0] == ["ImageId", "ClassType", "MultipolygonWKT"]
        assert [r[:2] for r in rows[1:]] == [[i, str(k)] for i in names for k in range(1, 11)]
    assert all(r[2].startswith("POLYGON ((0 0,") for r in rows_of(folder / "sample_submission.csv")[1:])


def test_labels_are_valid_in_the_grid_and_scale_back(folder: Path) -> None:
    grid = {name: (float(x), float(y)) for name, x, y in rows_of(folder / "grid_sizes.csv")[1:]}
    made = {name: sensing.generate_scene(name, SEED, SIZE) for name in ("6040_2_2", "6120_2_2")}
    empty = 0
    for name, number, text in rows_of(folder / "train_wkt_v4.csv")[1:]:
        polygons, (xmax, ymin), (width, height) = made[name].polygons[int(number)], grid[name], made[name].size
        if not polygons:
            assert text == "MULTIPOLYGON EMPTY"
            empty += 1
            continue
        shape = shapely.from_wkt(text)
        assert isinstance(shape, MultiPolygon) and len(shape.geoms) == len(polygons)
        assert all(p.is_valid for p in shape.geoms)
        x0, y0, x1, y1 = shape.bounds
        assert x0 >= 0 and x1 <= xmax * (1 + 1e-6) and y1 <= 0 and y0 >= ymin * (1 + 1e-6)
        for back, truth in zip(shape.geoms, polygons, strict=True):
            fx, fy = width * width / (width + 1) / xmax, height * height / (height + 1) / ymin
            pixels = scale(back, fx, fy, origin=(0, 0))
            assert pixels.hausdorff_distance(truth) < 1e-3
    assert empty == 2  # the second scene has neither river nor pond


def test_shifts_file_says_what_the_scene_says(folder: Path) -> None:
    said = json.loads((folder / "shifts.json").read_text())
    assert "negative dx" in said["convention"]
    made = sensing.generate_scene("6080_4_4", SEED, SIZE)
    assert said["scenes"]["6080_4_4"] == {k: list(made.shifts[k]) for k in ("p", "m", "a")}
    assert set(said["scenes"]) == {"6040_2_2", "6120_2_2", "6080_4_4", "6080_4_1"}


# --- what the scenes hold --------------------------------------------------------------------------------------


def test_both_parts_have_every_class(folder: Path) -> None:
    for table in ("train_wkt_v4.csv", "truth_wkt.csv"):
        present = {int(n) for _, n, text in rows_of(folder / table)[1:] if text != "MULTIPOLYGON EMPTY"}
        assert present == set(range(1, 11)), table


def test_scene_ids_are_disjoint_and_stable() -> None:
    for train, test in ((3, 2), (40, 60), (430, 20), (20, 430), (0, 450)):
        names, others = ids.scene_ids(train, test)
        assert (len(set(names)), len(set(others)), len({*names, *others})) == (train, test, train + test)
    assert ids.scene_ids(40, 5)[0][:10] == ids.scene_ids(10, 60)[0]
    assert ids.scene_ids(40, 5)[1] == ids.scene_ids(10, 60)[1][:5]
    grounds = [ground_of(name) for name in ids.scene_ids(6, 0)[0]]
    assert len(set(grounds)) == 5


def test_twins_show_the_same_ground_on_another_date() -> None:
    first, second = (sensing.generate_scene(name, SEED, SIZE) for name in ("6110_1_2", "6140_1_2"))
    common = shapely.box(0, 0, *(min(a, b) - 2 for a, b in zip(first.size, second.size, strict=True)))
    for number in (1, 3, 5, 6, 7, 8):
        a, b = (shapely.union_all(s.polygons[number]).intersection(common) for s in (first, second))
        assert a.area > 0 and a.symmetric_difference(b).area < 0.01 * a.area
    cars = [shapely.union_all(s.polygons[10]) for s in (first, second)]
    assert cars[0].intersection(cars[1]).area < 0.3 * min(c.area for c in cars)
    assert first.shifts != second.shifts


def test_objects_keep_out_of_each_others_way(scene: model.Scene) -> None:
    joined = {number: shapely.union_all(polygons) for number, polygons in scene.polygons.items()}
    for a, b in ((1, 3), (1, 7), (1, 8), (5, 3), (5, 1), (5, 7), (6, 3), (9, 1), (10, 1), (9, 10), (8, 3)):
        assert joined[a].intersection(joined[b]).area < 3, (a, b)
    near = joined[3].union(joined[4]).buffer(2)
    on_ways = [p for p in scene.polygons[10] if near.intersects(p)]
    assert len(on_ways) >= 2


def test_generate_scene_looks_like_the_contests_statistics(scene: model.Scene) -> None:
    mean = {k: v.reshape(-1, *v.shape[-2:]).mean(axis=(1, 2)) for k, v in scene.sensors.items()}
    np.testing.assert_allclose(mean["rgb"], [414, 460, 326], rtol=0.15)
    np.testing.assert_allclose(mean["p"], [503], rtol=0.15)
    np.testing.assert_allclose(mean["m"], [295, 326, 460, 482, 414, 528, 678, 530], rtol=0.15)
    np.testing.assert_allclose(mean["a"], [4243, 4473, 4179, 3708, 2887, 2590, 2526, 2417], rtol=0.2)


def test_water_has_the_index_of_water(scene: model.Scene) -> None:
    m = scene.sensors["m"].astype(np.float64)
    index = (m[5] - m[7]) / (m[5] + m[7])
    width, height = m.shape[2], m.shape[1]
    dx, dy = scene.shifts["m"]
    to_m = [1 / 4, 0, 0, 1 / 4, dx / 4, dy / 4]

    def median(number: int) -> float:
        moved = [shapely.affinity.affine_transform(p, to_m) for p in scene.polygons[number]]
        return float(np.median(index[mask_of(moved, (width, height)) > 0.99]))

    assert min(median(7), median(8)) > 0.11
    assert max(median(number) for number in (1, 3, 4, 5, 6)) < 0.11


# --- geometry --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("angle", [0.0, 0.3, 0.785, 2.0])
@pytest.mark.parametrize(("length", "width"), [(14.5, 6.1), (40.0, 25.3), (60.0, 2.0)])
def test_coverage_agrees_with_geometry(angle: float, length: float, width: float) -> None:
    outline = rectangle(model.Box(40.37, 38.81, length, width, angle))
    (rows, cols), cover = painting.coverage(outline, (90, 90), 3.0)
    y, x = np.mgrid[rows, cols] + 0.5 - 3.0
    assert cover.sum() == pytest.approx(outline.area, abs=0.02 * outline.length)
    assert (cover * x).sum() / cover.sum() == pytest.approx(40.37, abs=0.04)
    assert (cover * y).sum() / cover.sum() == pytest.approx(38.81, abs=0.04)


def test_a_bright_building_lies_where_labels_and_shifts_say() -> None:
    size = (260, 256)
    sizes = {"rgb": size, "p": (261, 255), "m": (65, 64), "a": (10, 10)}
    shifts = {"rgb": (0.0, 0.0), "p": (-0.7, 0.4), "m": (-3.3, 2.2), "a": (-14.6, 7.3)}
    box = model.Box(121.3, 133.8, 44.0, 27.0, 0.4)
    house = model.Building(rectangle(box), "white_roof", 0.0, 1.0, (box,))
    ground = model.Ground(size, buildings=[house])
    sensors = sensing.Sensors(sizes, shifts, (size[1] + 2 * model.MARGIN, size[0] + 2 * model.MARGIN))

    def only_roof(material: str, weight: NDArray[np.float32]) -> None:
        if material == "white_roof":
            sensors(material, weight)

    painter = Painter(ground, 1, "6010_0_0", only_roof)
    painter.fine[:] = painter.mid[:] = 0  # texture would move the centroid
    painter.run()
    seen = {"rgb": sensors.sample("rgb", sensors.rgb[0]), "p": sensors.sample("p", sensors.pan)}
    for name, image in (seen | {"m": sensors.low["m"][4], "a": sensors.low["a"][2]}).items():
        (w, h), (dx, dy), side = sizes[name], shifts[name], SENSORS[name].pixel
        y, x = np.mgrid[:h, :w] + 0.5
        found = (image * x).sum() / image.sum(), (image * y).sum() / image.sum()
        truth = house.outline.centroid
        assert found[0] * side - dx == pytest.approx(truth.x, abs=0.2 if name == "a" else 0.05), name
        assert found[1] * side - dy == pytest.approx(truth.y, abs=0.2 if name == "a" else 0.05), name


def test_labels_agree_with_the_pixels_of_rgb(scene: model.Scene) -> None:
    """An image painted from the labels alone with each class's median colour registers to RGB without a shift."""
    red = scene.sensors["rgb"][0].astype(np.float64)
    guess = np.full(red.shape, np.median(red))
    for number in (6, 4, 3, 7, 8, 5, 2, 1):
        for polygon in scene.polygons[number]:
            share = mask_of([polygon], scene.size)
            if (share > 0.9).any():
                guess += share * (np.median(red[share > 0.9]) - guess)
    shift, _, _ = phase_cross_correlation(red, guess, normalization=None, upsample_factor=20)
    assert np.abs(shift).max() <= 0.3


def test_shift_of_m_is_found_in_the_images(scene: model.Scene) -> None:
    """Undoing the shift that the scene states aligns M's red with RGB's red; the opposite one does not."""
    red = scene.sensors["rgb"][0].astype(np.float32)
    (width, height), band = scene.size, scene.sensors["m"][4].astype(np.float32)
    blurred = cv2.GaussianBlur(red, (0, 0), 1.9)

    def agreement(dx: float, dy: float) -> float:
        to_m = np.array([[1 / 4, 0, dx / 4], [0, 1 / 4, dy / 4]])
        to_m[:, 2] += to_m[:, :2] @ (0.5, 0.5) - 0.5  # edges to pixel centres
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        back = cv2.warpAffine(band, to_m, (width, height), flags=flags, borderMode=cv2.BORDER_REFLECT)
        inner = (slice(16, -16), slice(16, -16))
        return float(np.corrcoef(back[inner].ravel(), blurred[inner].ravel())[0, 1])

    dx, dy = scene.shifts["m"]
    best = agreement(dx, dy)
    assert best > 0.9
    for other in ((dx + 1, dy), (dx - 1, dy), (dx, dy + 1), (dx, dy - 1), (-dx, -dy)):
        assert agreement(*other) < best


def test_shifts_stay_in_their_limits() -> None:
    found = [ids.sensor_shifts(s, "6010_0_0", (3396, 3349)) for s in range(200)]
    for sensor, limit in (("p", 2), ("m", 12), ("a", 50)):
        values = np.array([f[sensor] for f in found])
        assert 0.3 * limit < np.abs(values).max() <= limit
        assert np.median(values[:, 0]) < 0
    assert {f["rgb"] for f in found} == {(0.0, 0.0)}


def test_generate_scene_with_given_shifts_moves_these_sensors_alone() -> None:
    first = sensing.generate_scene("6010_4_2", SEED, SIZE)
    moved = sensing.generate_scene("6010_4_2", SEED, SIZE, shifts={"a": (-51.0, 16.0)})
    assert moved.shifts == {**first.shifts, "a": (-51.0, 16.0)}
    for name, image in first.sensors.items():
        assert np.array_equal(moved.sensors[name], image) == (name != "a"), name


def test_generate_scene_with_given_ground_shows_it() -> None:
    plain = sensing.generate_scene("6010_4_2", SEED, SIZE)
    same = sensing.generate_scene("6010_4_2", SEED, SIZE, ground=build_ground(SEED, "6010_4_2", SIZE))
    bare = sensing.generate_scene("6010_4_2", SEED, SIZE, ground=model.Ground(SIZE))
    assert all(np.array_equal(same.sensors[name], image) for name, image in plain.sensors.items())
    assert not any(bare.polygons.values()) and bare.sensors["rgb"].shape == plain.sensors["rgb"].shape


def test_houses_have_a_sensible_size(scene: model.Scene) -> None:
    areas = np.array([p.area for p in scene.polygons[1] if not p.intersects(shapely.box(0, 0, *scene.size).boundary)])
    assert areas.size >= 3 and areas.min() > 100 and areas.max() < 9000


# --- mistakes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(255, 512), (512, 200), (3397, 3349), (4000, 4000)])
def test_write_scenes_size_out_of_range(tmp_path: Path, size: tuple[int, int]) -> None:
    with pytest.raises(InputError, match="needed: from 256x256 to 3396x3349"):
        writing.write_scenes(tmp_path / "x", 1, 1, size, 0)
    assert not (tmp_path / "x").exists()


def test_write_scenes_counts_out_of_range(tmp_path: Path) -> None:
    for train, test in ((-1, 2), (2, -1), (400, 51)):
        with pytest.raises(InputError, match="at most 450"):
            writing.write_scenes(tmp_path / "x", train, test, SIZE, 0)


def test_write_scenes_refuses_folders_of_others(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    for force in (False, True):
        with pytest.raises(InputError, match="not empty"):
            writing.write_scenes(tmp_path, 1, 0, SIZE, 0, force)
    with pytest.raises(InputError, match="is a file"):
        writing.write_scenes(tmp_path / "notes.txt", 1, 0, SIZE, 0)
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


def test_write_scenes_other_seed_needs_force(tmp_path: Path) -> None:
    writing.write_scenes(tmp_path, 1, 0, SIZE, 1)
    before = contents(tmp_path)
    with pytest.raises(InputError, match="seed 1 there, 2 asked for"):
        writing.write_scenes(tmp_path, 1, 0, SIZE, 2)
    assert contents(tmp_path) == before
    writing.write_scenes(tmp_path, 1, 0, SIZE, 2, force=True)
    assert contents(tmp_path)["three_band/6040_2_2.tif"] != before["three_band/6040_2_2.tif"]


def test_main_reads_arguments_and_reports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    scenes.configure(parser)
    given = [str(tmp_path / "s"), "--train", "1", "--test", "0", "--size", "300x256", "--seed", "3"]
    scenes.main(parser.parse_args(given))
    said = capsys.readouterr()
    assert said.out == "" and len(said.err.splitlines()) == 2
    assert "6040_2_2" in said.err and "1 generated, 0 already there" in said.err
    for bad in ("big", "512x", "-5", "1.5"):
        with pytest.raises(InputError, match="--size"):
            scenes.main(parser.parse_args([*given[:5], f"--size={bad}"]))
