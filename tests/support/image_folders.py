"""Small folders of images with labels, and what `rasterloom inspect` prints of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray

from rasterloom import cli

Capture = pytest.CaptureFixture[str]


METRES = "EPSG:32633"
RNG = np.random.default_rng(0)


def noise(bands: int, side: int, high: int = 2000, dtype: str = "uint16") -> NDArray[Any]:
    return RNG.integers(1, high, (bands, side, side)).astype(dtype)


def put(
    path: Path, values: NDArray[Any], x: float | None = 500_000, metres: float = 1.0, crs: str = METRES, **options: Any
) -> Path:
    """Write an image; `x` None: without georeference."""
    path.parent.mkdir(parents=True, exist_ok=True)
    place = {} if x is None else {"crs": crs, "transform": rasterio.Affine(metres, 0, x, 0, -metres, 5_000_000)}
    colours = options.pop("colours", None)
    bands, height, width = values.shape
    shape = {"count": bands, "height": height, "width": width, "dtype": values.dtype}
    with rasterio.open(path, "w", driver=options.pop("driver", "GTiff"), **shape, **place, **options) as file:
        if colours:
            file.colorinterp = colours
        file.write(values)
    return path


def squares(path: Path, *corners: tuple[float, float], class_name: str | None = None, broken: bool = False) -> Path:
    """Write squares of 10 m by their upper left corners as GeoJSON in metres."""
    rings = [[[x, y], [x + 10, y], [x + 10, y - 10], [x, y - 10], [x, y]] for x, y in corners]
    if broken:
        rings = [[ring[0], ring[2], ring[1], ring[3], ring[0]] for ring in rings]
    properties = {} if class_name is None else {"class": class_name}
    features = [
        {"type": "Feature", "properties": properties, "geometry": {"type": "Polygon", "coordinates": [ring]}}
        for ring in rings
    ]
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32633"}}
    path.write_text(json.dumps({"type": "FeatureCollection", "crs": crs, "features": features}))
    return path


def town(folder: Path, scenes: int = 3) -> Path:
    """A folder of scenes of 64 m side by side: a PAN and an MS image, and houses, but for the last one."""
    for number in range(scenes):
        x = 500_000 + 64 * number
        put(folder / f"t{number}_PAN.tif", noise(1, 64), x)
        put(folder / f"t{number}_MS.tif", noise(4, 16), x, 4)
        if number < scenes - 1:
            squares(folder / f"t{number}_houses.geojson", (x + 5, 4_999_990), (x + 30, 4_999_980))
    return folder


def inspected(*arguments: object) -> int:
    with pytest.raises(SystemExit) as exit_:
        cli.main(["inspect", *map(str, arguments)])
    return int(exit_.value.code or 0)


def printed(capsys: Capture, *arguments: object, code: int = 0) -> str:
    """What an inspection prints, blanks and line breaks as single blanks."""
    assert inspected(*arguments) == code
    return " ".join(capsys.readouterr().out.split())
