"""Pictures of registrations: edges over edges, where the files put a sensor and where it was stacked."""

from __future__ import annotations

import doctest
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import zarr
from numpy.typing import NDArray
from shapely import box

from polygon_jobs import make_job
from rasterloom.labels.geometry import write_polygons
from rasterloom.registration.motions import moved_by
from rasterloom.registration.table import ShiftRow
from rasterloom.report import overlays
from rasterloom.report.backdrops import Images
from rasterloom.report.overlays import (
    BLUR,
    BOTH,
    MOST,
    REFERENCE,
    SENSOR,
    blurs,
    draw_overlays,
    overlaid,
    overlay_legend,
    overlay_scales,
    window_side,
)
from rasterloom.report.pictures import Frame
from rasterloom.store.job import Job
from rasterloom.store.manifest import Manifest

Floats = NDArray[np.float32]


def edges(*given: Any, level: float | None = None) -> Floats:
    return overlays.edges(overlays.gradients(*given), level)


def strength(*given: Any) -> Floats:
    return overlays.strength(overlays.gradients(*given))


def step(column: int = 20, shape: tuple[int, int] = (40, 48)) -> tuple[Floats, NDArray[np.bool_]]:
    """An image that is dark left of a column and bright from it on."""
    image = np.zeros((1, *shape), np.float32)
    image[:, :, column:] = 100
    return image, np.ones(shape, np.bool_)


def test_examples_in_docstrings_hold() -> None:
    assert doctest.testmod(overlays).failed == 0


def test_edges_are_thin_lines_where_the_image_changes() -> None:
    found = edges(*step(), 1.0)
    lines = found.mean(axis=0)
    assert lines[18:22].max() > 0.8
    assert lines[:17].max() == lines[23:].max() == 0
    assert 1.5 < lines.sum() < 3


@pytest.mark.parametrize("sign", [1, -1])
def test_edges_heed_no_sign_and_sum_the_bands(sign: int) -> None:
    image, valid = step()
    both = np.concatenate([image, sign * 50 * image])
    assert np.array_equal(edges(sign * image, valid, 1.0), edges(image, valid, 1.0))
    assert (edges(both, valid, 1.0).sum() > 0) == (sign == 1)


def test_edges_at_the_border_of_what_is_valid_are_none() -> None:
    image, valid = step()
    valid[:, 17:] = False
    image[:, :, 17:] = 5000
    assert edges(image, valid, 1.0).max() == 0
    assert strength(image, valid, 1.0).max() == 0


def test_edges_of_nothing_are_none() -> None:
    image, valid = step()
    for given, good in ((image, ~valid), (image * 0, valid)):
        assert edges(given, good, 2.0).max() == strength(given, good, 2.0).max() == 0


def test_edges_of_two_pictures_compare_by_one_level() -> None:
    image, valid = step()
    faint = image * 0.05
    limits = np.array([[0.0, 100.0]], np.float32)
    level = overlays.edge_level(overlays.gradients(image, valid, 1.0, limits))
    assert edges(faint, valid, 1.0).max() > 0.5
    assert edges(faint, valid, 1.0, limits, level=level).max() == 0


def test_blurs_bring_the_reference_to_the_resolution_of_the_sensor() -> None:
    frame = Frame(0, 0, 100, 100, 200, 200)
    assert blurs(1.0, frame) == pytest.approx((2 * BLUR, 2 * BLUR))
    own, wider = blurs(24.0, frame)
    assert own == pytest.approx(48 * BLUR) and 1.2 < wider / own < 1.6
    assert blurs(0.5, frame) == pytest.approx((BLUR, BLUR))


@pytest.mark.parametrize("turned", [False, True])
def test_edges_do_not_show_where_the_data_ends(turned: bool) -> None:
    """A step, and brightness that rises ever more steeply up to where the data ends: the only line is the step."""
    bands = np.tile(np.arange(128, dtype=np.float32) ** 3 / 1e3, (128, 1))
    bands[:, 30:] += 800
    valid = np.ones((128, 128), np.bool_)
    valid[:, 100:] = False
    if turned:
        bands, valid = bands.T, valid.T
    found = np.nonzero(edges(bands[None], valid, 2.0) > 0.2)[0 if turned else 1]
    assert 27 <= found.min() <= found.max() <= 33


def test_overlaid_colours() -> None:
    base = np.full((1, 4, 3), 100, np.uint8)
    reference, sensor = np.array([[1, 0, 1, 0]], np.float32), np.array([[0, 1, 1, 0]], np.float32)
    found = overlaid(base, reference, sensor)
    assert [tuple(pixel) for pixel in found[0]] == [REFERENCE, SENSOR, BOTH, (100, 100, 100)]
    half = overlaid(base, reference / 2, sensor * 0)
    assert half[0, 0].tolist() == [round((100 + value) / 2) for value in REFERENCE]
    assert [colour for colour, _ in overlay_legend("rgb")] == ["#ff2828", "#00e1ff", "#ffffff"]


def test_window_side_grows_with_the_sensors_pixel_and_the_stacks() -> None:
    assert window_side(1.0, 1.0, (3400, 3300)) == 160
    assert window_side(4.0, 1.0, (3400, 3300)) == 384
    assert window_side(4.0, 3.3, (3400, 3300)) == 528
    assert window_side(24.0, 3.3, (3400, 3300)) is None
    assert window_side(1.0, 1.0, (256, 900)) is None


# With stacks --------------------------------------------------------------------------------------------

SPEC: dict[str, Any] = {
    "stage": "report",
    "reference": "rgb",
    "scales": {"coarse": {"name": "coarse", "size": 64}, "fine": {"name": "fine", "size": 512}},
    "scale_sensors": {"coarse": ["rgb", "m", "a"], "fine": ["rgb", "m"]},
}


def test_overlay_scales_are_one_a_sensor_that_is_fine_enough() -> None:
    assert overlay_scales(SPEC) == ["coarse", "fine"]
    assert overlay_scales({**SPEC, "scale_sensors": {"coarse": ["rgb", "m"], "fine": ["rgb", "m"]}}) == ["fine"]
    scales = {"a": {"name": "a", "size": 1024}, "b": {"name": "b", "size": 2048}, "c": {"name": "c"}}
    spec = {"reference": "rgb", "scales": scales, "scale_sensors": {"a": ["rgb"], "b": ["rgb", "m"], "c": ["rgb", "m"]}}
    assert overlay_scales(spec) == ["b"]
    assert overlay_scales({**spec, "scale_sensors": {"a": ["rgb"]}}) == []


def boxes(side: int, *places: tuple[int, int, int, int]) -> Floats:
    """A dark plane with bright boxes at rows and columns first, last + 1."""
    plane = np.full((side, side), 200, np.float32)
    for top, bottom, left, right in places:
        plane[top:bottom, left:right] = 900
    return plane


class Folder:
    """A results folder with stacks alone."""

    def __init__(self, root: Path, size: int) -> None:
        self.size = size
        self.job: Job = make_job(root, SPEC)
        self.images = Images(self.job, {})

    def stack(self, scale: str, scene: str, rgb: Floats, m: Floats) -> None:
        data = np.stack([rgb, rgb, rgb, m, m]).astype(np.uint16)
        with self.job.store.writing("stack", f"{scale}-{scene}", ".zarr.zip") as work:
            with zarr.storage.ZipStore(work.path, mode="w") as store:
                group = zarr.create_group(store, attributes={"sensors": ["rgb", "m"], "channels": [3, 2]})
                group.create_array("data", data=data, chunks=(5, 64, 64))
                group.create_array("valid", data=np.full((2, *rgb.shape), 255, np.uint8))
            work.digest = "d"
        Manifest("stack", {scene: work.committed()}).write(self.job.results / f"stacks/{scale}/{scene}.json")

    def labels(self, scene: str, **polygons: list[Any]) -> None:
        """Labels by class, as they are used."""
        self.job.spec["classes"] = {name: number for number, name in enumerate(polygons)}
        for name, own in polygons.items():
            with self.job.store.writing("label", f"{name}-{scene}", ".parquet") as work:
                work.digest = write_polygons(work.path, scene, name, own)
            Manifest("label", {scene: work.committed()}).write(self.job.results / f"labels/{name}.json")

    def draw(self, *rows: ShiftRow) -> list[Any]:
        self.images.sizes = {"s": (self.size, self.size)}
        return draw_overlays(self.images, rows)

    def picture(self, name: str) -> NDArray[np.int64]:
        found = cv2.imread(str(self.images.folder / f"{name}.jpg"))
        assert found is not None
        return found[..., ::-1].astype(int)


def row(scene: str = "s", sensor: str = "m", **changes: Any) -> ShiftRow:
    values: dict[str, Any] = {"pixel": (4.0, 4.0), "shift": (5.0, -3.0), "confidence": 0.8, "accepted": True}
    values["method"] = "ecc"
    return ShiftRow(scene, sensor, **{**values, **changes})


def centre(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Middle of the bounds, (x, y)."""
    down, across = np.nonzero(mask)
    return np.array([across.min() + across.max(), down.min() + down.max()]) / 2


@pytest.fixture
def small(tmp_path: Path) -> Folder:
    """A scene of 128 pixels with a box at one place in both sensors, as it is where the shift is right."""
    found = Folder(tmp_path, 128)
    for scale, side in (("coarse", 64), ("fine", 512)):
        plane = boxes(side, (3 * side // 8, 5 * side // 8, 3 * side // 8, 5 * side // 8))
        found.stack(scale, "s", plane, 2000 - plane)
    return found


def test_draw_overlays_shows_the_sensor_where_the_files_put_it_and_where_it_was_stacked(small: Folder) -> None:
    ((_, found),) = small.draw(row(pixel=(2.0, 2.0)))
    assert [picture.file for picture in found] == [
        "pictures/registration.s.m.before.jpg", "pictures/registration.s.m.after.jpg",
    ]  # fmt: skip
    assert "The whole scene" in found[0].text
    after, before = small.picture("registration.s.m.after"), small.picture("registration.s.m.before")
    assert after.shape == (640, 640, 3)
    red, green, blue = np.moveaxis(after, 2, 0)
    assert ((red > 200) & (green > 200) & (blue > 200)).sum() > 1000
    cyan, lines = (before[..., 1] > 180) & (before[..., 0] < 90), (before[..., 0] > 180) & (before[..., 1] < 90)
    assert centre(cyan) - centre(lines) == pytest.approx(np.array([5.0, -3.0]) * 5, abs=4)


@pytest.mark.parametrize("degrees", [-12.0, 20.0])
def test_draw_overlays_turns_the_sensor_back(small: Folder, degrees: float) -> None:
    """The box's cyan edges lie where the motion puts them, not where the stack has them."""
    ((_, found),) = small.draw(row(pixel=(2.0, 2.0), turn=degrees))
    assert found[0].file == "pictures/registration.s.m.before.jpg"
    before = small.picture("registration.s.m.before")
    cyan, lines = (before[..., 1] > 180) & (before[..., 0] < 90), (before[..., 0] > 180) & (before[..., 1] < 90)
    assert centre(cyan) - centre(lines) == pytest.approx(np.array([5.0, -3.0]) * 5, abs=6)
    corners = np.array([[48, 80, 80, 48], [48, 48, 80, 80], [1] * 4])  # of the box, on the stack
    moved = np.array(moved_by((5.0, -3.0), degrees, (128, 128))) @ corners * 5
    down, across = np.nonzero(cyan)
    assert [across.min(), across.max()] == pytest.approx([moved[0].min(), moved[0].max()], abs=14)
    assert [down.min(), down.max()] == pytest.approx([moved[1].min(), moved[1].max()], abs=14)


def test_draw_overlays_of_a_sensor_that_was_only_turned_is_two_pictures(small: Folder) -> None:
    ((_, found),) = small.draw(row(shift=(0.0, 0.0), turn=0.5))
    assert len(found) == 2


def test_draw_overlays_of_a_sensor_that_was_not_moved_is_one_picture(small: Folder) -> None:
    ((_, found),) = small.draw(row(shift=(0.0, 0.0), accepted=False, method="identity", confidence=0.1))
    assert [picture.file for picture in found] == ["pictures/registration.s.m.after.jpg"]


def test_draw_overlays_of_a_shift_beyond_the_scene(small: Folder) -> None:
    small.draw(row(shift=(500.0, -900.0)))
    before = small.picture("registration.s.m.before")
    assert not ((before[..., 1] > 150) & (before[..., 0] < 90)).any()
    assert ((before[..., 0] > 180) & (before[..., 1] < 90)).any()


@pytest.mark.parametrize("shift", [(9.0, -6.0), (0.0, 0.0)])
def test_draw_overlays_shows_outlines_of_labels_before_and_after(small: Folder, shift: tuple[float, float]) -> None:
    small.labels("s", houses=[box(30, 40, 70, 80)], trees=[box(72, 60, 90, 78)])
    ((_, found),) = small.draw(row(sensor="labels", shift=shift, method="outlines"))
    names = ["before", "after"] if any(shift) else ["after"]
    assert [picture.file for picture in found] == [f"pictures/registration.s.labels.{name}.jpg" for name in names]
    pictures = [small.picture(f"registration.s.labels.{name}") for name in names]
    middles = [centre((picture[..., 1] > 180) & (picture[..., 0] < 90)) for picture in pictures]
    assert middles[-1] == pytest.approx(np.array([60.0, 60.0]) * 8, abs=8)
    assert middles[0] - middles[-1] == pytest.approx(np.array(shift) * 8, abs=4)


def test_draw_overlays_leaves_out_what_was_given_what_is_not_stacked_and_what_is_not_among_the_worst(
    small: Folder,
) -> None:
    given = [row(method="none"), row(method="given"), row(sensor="p"), row("elsewhere")]
    found = small.draw(*given, *[row() for _ in range(MOST + 2)])
    assert [shown for shown, _ in found] == [row()] * MOST


def test_draw_overlays_looks_closer_where_both_sensors_have_edges(tmp_path: Path) -> None:
    folder = Folder(tmp_path, 2048)
    many = [(y, y + 8, x, x + 8) for y in range(300, 420, 24) for x in range(380, 500, 24)]
    for scale, side in (("coarse", 64), ("fine", 512)):
        zoom = side / 512
        places = [tuple(round(value * zoom) for value in box) for box in many]
        blank = boxes(side, *[(y, b, side - r, side - x) for y, b, x, r in places])  # which the sensor does not show
        folder.stack(scale, "s", np.maximum(blank, boxes(side, *places)), boxes(side, *places))
    ((_, found),) = folder.draw(row(pixel=(6.0, 6.0)))
    assert "A window of 640 x 640 pixels" in found[0].text
    after = folder.picture("registration.s.m.after")
    white = (after > 200).all(axis=2)
    assert white.mean() > 0.005
    assert centre(white) == pytest.approx([320, 320], abs=30)
