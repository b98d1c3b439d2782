"""Small images and files of labels for the tests of labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import rasterio
from rasterio.transform import Affine

from rasterloom.label_files import Reference, transformed

UTM = "EPSG:32631"

SIZE = (20, 10)  # width, height

NORTH_UP = Affine(0.5, 0, 500_000, 0, -0.5, 4_000_000)


def image(path: Path, crs: str | None = UTM, transform: Affine | None = NORTH_UP, size: tuple[int, int] = SIZE) -> None:
    more = {} if transform is None else {"transform": transform}
    with rasterio.open(
        path, "w", driver="GTiff", width=size[0], height=size[1], count=1, dtype="uint8", crs=crs, **more
    ):
        pass


def mask_file(path: Path, mask: Any, nodata: float | None = None, transform: Affine = NORTH_UP, crs: str = UTM) -> None:
    values = np.asarray(mask)
    height, width = values.shape
    with rasterio.open(path, "w", "GTiff", width, height, 1, crs, transform, str(values.dtype), nodata) as file:
        file.write(values, 1)


def vector_file(path: Path, polygons: Sequence[Any], crs: str | None = UTM, classes: Sequence[Any] = ()) -> None:
    columns = {"class": list(classes)} if classes else {}
    frame = geopandas.GeoDataFrame(columns, geometry=list(polygons), crs=UTM if crs else None)
    (frame.to_crs(crs) if crs else frame).to_file(path)


def on_map(*polygons: Any) -> list[Any]:
    return transformed(list(polygons), [[0.5, 0, 500_000], [0, -0.5, 4_000_000]])


REFERENCE = Reference(20, 10, rasterio.CRS.from_string(UTM).to_wkt(), [[0.5, 0, 500_000], [0, -0.5, 4_000_000]])
