"""What file names say: scenes, sensors, bands, labels and their classes."""

from __future__ import annotations

import doctest
from pathlib import PurePath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rasterloom.dataset.index import ID_PATTERN
from rasterloom.tools.inspection import names
from rasterloom.tools.inspection.names import match_label, name_of, parse, place_images, scene_ids, usable

TOP = "trip"


def placed(*paths: str) -> dict[str, tuple[str, str | None]]:
    """Scene and sensor (or band) of each image among some files."""
    found = [parse(PurePath(path)) for path in paths]
    images = place_images([image for image in found if image is not None and not image.label], TOP)
    return {str(image.path): (image.scene, image.band or image.sensor) for image in images}


def labelled(*paths: str) -> dict[str, tuple[str | None, str | None]]:
    """Scene and class of each file of labels among some files."""
    found = [parse(PurePath(path), path.endswith((".geojson", ".gpkg"))) for path in paths]
    images = place_images([image for image in found if image is not None and not image.label], TOP)
    scenes = {image.scene: image.place for image in images}
    folders = {folder for image in images for folder in image.path.parent.parts}
    return {str(n.path): match_label(n, scenes, folders) for n in found if n is not None and n.label}


def test_doctests_hold() -> None:
    found = doctest.testmod(names)
    assert found.attempted == 5
    assert found.failed == 0


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["rio_50.tif", "rio_51.tif"], [("rio_50", None), ("rio_51", None)]),
        (["images/rio_50.tif"], [("rio_50", None)]),
        (["S1_PAN.tif", "S1_MS.tif"], [("S1", "pan"), ("S1", "ms")]),
        (["pan1.tif", "ms1.tif", "pan2.tif"], [("1", "pan"), ("1", "ms"), ("2", "pan")]),
        (["pan/x.tif", "ms/x.tif"], [("x", "pan"), ("x", "ms")]),
        (["town/rgb.tif", "hill/rgb.tif"], [("town", "rgb"), ("hill", "rgb")]),
        (["123_sat.jpg"], [("123", None)]),
        (["rgb.tif"], [(TOP, "rgb")]),
        (["a/left.tif", "a/right.tif", "b/left.tif", "b/right.tif"], [("a", "left"), ("a", "right"), ("b", "left")]),
        (["x_left.tif", "x_right.tif", "y_left.tif", "y_right.tif"], [("x", "left"), ("x", "right"), ("y", "left")]),
        (["three_band/6010_1_2.tif", "sixteen_band/6010_1_2_M.tif"], [("6010_1_2", None), ("6010_1_2", "m")]),
        (["north/images/1.tif", "south/images/1.tif"], [("north_1", None), ("south_1", None)]),
        (["MUL-PanSharpen/MUL-PanSharpen_AOI_2_img1.tif", "PAN/PAN_AOI_2_img1.tif"], [("AOI_2_img1", "ps_ms")]),
        (["SN6_PS-RGB_tile_1.tif", "SN6_SAR-Intensity_tile_1.tif"], [("SN6_tile_1", "rgb"), ("SN6_tile_1", "sar")]),
    ],
)
def test_place_images_reads_scene_and_sensor(paths: list[str], expected: list[tuple[str, str | None]]) -> None:
    assert list(placed(*paths).values())[: len(expected)] == expected


def test_place_images_keeps_a_letter_that_no_other_sensor_stands_beside() -> None:
    assert placed("plan_p.tif") == {"plan_p.tif": ("plan_p", None)}
    assert placed("plan_p.tif", "plan_m.tif") == {"plan_p.tif": ("plan", "p"), "plan_m.tif": ("plan", "m")}


def test_place_images_reads_bands_of_sentinel_and_landsat() -> None:
    product = "S2A_MSIL2A.SAFE/GRANULE/L2A_T48QUE/IMG_DATA"
    assert placed(f"{product}/R10m/T48QUE_20200101_B02_10m.jp2", f"{product}/R20m/T48QUE_20200101_B8A_20m.jp2") == {
        f"{product}/R10m/T48QUE_20200101_B02_10m.jp2": ("T48QUE_20200101", "B02"),
        f"{product}/R20m/T48QUE_20200101_B8A_20m.jp2": ("T48QUE_20200101", "B8A"),
    }
    assert placed("LC08_L1TP_042034_B4.TIF") == {"LC08_L1TP_042034_B4.TIF": ("LC08_L1TP_042034", "B04")}
    assert placed("B01.tif", "B11.tif") == {"B01.tif": (TOP, "B01"), "B11.tif": (TOP, "B11")}


@pytest.mark.parametrize(
    "path",
    [
        "T48QUE_20200101_TCI_10m.jp2",
        "LC08_L1TP_042034_BQA.TIF",
        "LC08_L2SP_042034_QA_PIXEL.TIF",
        "S2A.SAFE/GRANULE/L2A/QI_DATA/MSK_CLDPRB_20m.jp2",
    ],
)
def test_parse_leaves_aside_what_a_product_has_beside_bands(path: str) -> None:
    assert parse(PurePath(path)) is None


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["rio_50.tif", "masks/rio_50.tif"], ("rio_50", None)),
        (["rio_50.tif", "rio_50_mask.png"], ("rio_50", None)),
        (["rio_50.tif", "rio_50.geojson"], ("rio_50", None)),
        (["rio_50.tif", "masks/houses/rio_50.tif"], ("rio_50", "houses")),
        (["rio_50.tif", "houses_masks/rio_50.tif"], ("rio_50", "houses")),
        (["rio_50.tif", "rio_50_houses_mask.tif"], ("rio_50", "houses")),
        (["town/rgb.tif", "town/mask.tif"], ("town", None)),
        (["town/rgb.tif", "town/roads_mask.tif"], ("town", "roads")),
        (["north/images/1.tif", "south/images/1.tif", "south/masks/1.tif"], ("south_1", None)),
        (["img_1.tif", "img_11.tif", "labels/img_11.tif"], ("11", None)),
        (
            ["SN_PS-RGB_2019_tile_1.tif", "geojson_buildings/SN_Buildings_2019_tile_1.geojson"],
            ("SN_2019_tile_1", "buildings"),
        ),
        (["a.tif", "b.tif", "city.gpkg"], (None, "city")),
    ],
)
def test_match_label_finds_scene_and_class(paths: list[str], expected: tuple[str | None, str | None]) -> None:
    assert list(labelled(*paths).values()) == [expected]


def test_scene_ids_of_equal_keys_have_their_folders() -> None:
    places = [(("north",), "1"), (("south",), "1"), ((), "2")]
    assert list(scene_ids(places).values()) == ["2", "north_1", "south_1"]


@given(st.lists(st.tuples(st.lists(st.text(max_size=6), max_size=2).map(tuple), st.text(max_size=8)), max_size=8))
def test_scene_ids_are_valid_and_one_to_one(places: list[tuple[tuple[str, ...], str]]) -> None:
    ids = scene_ids(places)
    assert set(ids) == set(places)
    assert len(set(ids.values())) == len(ids)
    assert all(ID_PATTERN.fullmatch(name) for name in ids.values())


@given(st.text())
def test_usable_gives_a_valid_id_and_changes_no_valid_one(text: str) -> None:
    assert ID_PATTERN.fullmatch(usable(text))
    assert usable(usable(text)) == usable(text)


@given(st.text())
def test_name_of_gives_a_name_of_the_configuration(text: str) -> None:
    from pydantic import TypeAdapter

    from rasterloom.config.tables import Name

    assert TypeAdapter(Name).validate_python(name_of(text)) == name_of(text)


def test_name_of_keeps_off_the_columns_of_a_sheet() -> None:
    assert name_of("Labels") == "labels_"
    assert name_of("2 storeys") == "c_2_storeys"


@given(
    st.lists(
        st.lists(st.sampled_from(["pan", "ms", "mask", "B02", "town", "1", "x", "p"]), min_size=1, max_size=4),
        max_size=6,
        unique_by=tuple,
    )
)
def test_place_images_loses_no_image(stems: list[list[str]]) -> None:
    paths = [f"{'_'.join(stem)}.tif" for stem in stems]
    images = [n for path in paths if (n := parse(PurePath(path))) is not None and not n.label]
    assert [image.path for image in place_images(images, TOP)] == [image.path for image in images]
