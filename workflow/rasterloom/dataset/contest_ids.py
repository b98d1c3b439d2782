"""What is known of the contest beforehand: classes, sensors, scored images, and what the ids of images say."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

CLASS_NAMES: dict[int, str] = {
    1: "buildings",
    2: "structures",
    3: "road",
    4: "track",
    5: "trees",
    6: "crops",
    7: "waterway",
    8: "standing_water",
    9: "large_vehicle",
    10: "small_vehicle",
}
"""Class ids of the contest and our names for them."""

GSD = 0.31
"""Metres a pixel of the reference, the RGB images."""


@dataclass(frozen=True)
class ContestSensor:
    """A sensor of the contest.

    Attributes
    ----------
    folder : str
        Where its images are.
    ending : str
        What stands between the scene's id and ``.tif`` in their names.
    pixel : int
        Side of its pixel in pixels of RGB.
    bands : tuple of str
        What each band shows.
    """

    folder: str
    ending: str
    pixel: int
    bands: tuple[str, ...]


SENSORS: Mapping[str, ContestSensor] = {
    "rgb": ContestSensor("three_band", "", 1, ("red", "green", "blue")),
    "p": ContestSensor("sixteen_band", "_P", 1, ("pan",)),
    "m": ContestSensor(
        "sixteen_band", "_M", 4, ("coastal", "blue", "green", "yellow", "red", "red edge", "NIR 1", "NIR 2")
    ),
    "a": ContestSensor("sixteen_band", "_A", 25, tuple(f"SWIR {number}" for number in range(1, 9))),
}
"""The contest's sensors; the first is the usual reference."""

SCORED = (
    "6080_4_4 6080_4_1 6010_0_1 6150_3_4 6020_0_4 6020_4_3 6150_4_3 6070_3_4 6020_1_3 6060_1_4 6050_4_4"
    " 6110_2_3 6060_4_1 6100_2_4 6050_3_3 6100_0_2 6060_0_0 6060_0_1 6060_0_3 6060_2_0 6120_1_4 6160_1_4"
    " 6120_3_3 6140_2_3 6090_3_2 6090_3_4 6170_4_4 6120_4_4 6030_1_4 6120_0_2 6030_1_2 6160_0_0"
)
"""The ids of the 32 images, of 429, that the contest's score is made of."""

TWINS: Mapping[str, str] = {"6140": "6110", "6150": "6030", "6130": "6020"}
"""Scenes that show the ground of another one on another date."""

_TILE = re.compile(r"(\d+)_(\d+)_(\d+)")
"""An id: number of the scene, row and column of the tile."""


def ground_of(scene: str) -> str:
    """The ground that an image shows: its scene's number, twins counted as one, and its tile.

    Ids are ``SSSS_row_column``: a scene of 5 x 5 tiles that abut and do not overlap. Abutting tiles are
    different ground: no pixel of one is in the other, so they may stand on two sides of a split. The scenes
    of `TWINS` cover the same footprint on two dates, tile by tile: 6110_1_2 and 6140_1_2 are one ground. An
    id of another form is its own ground.

    Examples
    --------
    >>> ground_of("6140_1_2"), ground_of("6110_1_2"), ground_of("6110_1_3")
    ('6110_1_2', '6110_1_2', '6110_1_3')
    """
    number, _, tile = scene.partition("_")
    return f"{TWINS.get(number, number)}_{tile}" if tile else scene


def acquisition_of(scene: str) -> str:
    """The acquisition that an image was cut from: its scene's number.

    Its 25 tiles were taken together, and what the sensors are off against each other is a property of that; a twin
    (`TWINS`) shows the same ground on another date and is another acquisition. An id of another form is its own.

    Examples
    --------
    >>> acquisition_of("6140_1_2"), acquisition_of("6140_0_0"), acquisition_of("demo")
    ('6140', '6140', 'demo')
    """
    found = _TILE.fullmatch(scene)
    return found[1] if found else scene


def tile_of(scene: str) -> tuple[str, str]:
    """Row and column of an image among the tiles of its scene; empty for an id of another form.

    Examples
    --------
    >>> tile_of("6140_1_2"), tile_of("demo")
    (('1', '2'), ('', ''))
    """
    found = _TILE.fullmatch(scene)
    return (found[2], found[3]) if found else ("", "")
