"""Damaged images and archives: they are read, or refused in one of our own errors; never a traceback."""

from __future__ import annotations

import tempfile
import warnings
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.errors import NotGeoreferencedWarning
from rasterio.transform import Affine

from rasterloom.dataset.archive import list_members, member_path, open_stream
from rasterloom.errors import RasterloomError
from rasterloom.raster.files import open_raster

pytestmark = pytest.mark.slow
DATA = np.random.default_rng(0).integers(0, 2048, (3, 20, 30)).astype(np.uint16)


def by_rasterio(path: Path, **options: Any) -> None:
    profile = {"count": 3, "height": 20, "width": 30, "dtype": "uint16", **options}
    with rasterio.open(path, "w", **profile) as file:
        file.write(DATA)


def by_tifffile(path: Path, **options: Any) -> None:
    tifffile.imwrite(path, DATA, photometric="rgb", planarconfig="separate", **options)


def packed(path: Path) -> None:
    by_tifffile(path.with_suffix(".tif"))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(path.with_suffix(".tif"), "f/x.tif")


GEO: dict[str, Any] = {"driver": "GTiff", "crs": "EPSG:32631", "transform": Affine(1, 0, 100, 0, -1, 100)}
WRITERS: dict[str, tuple[str, Callable[[Path], None]]] = {
    "contest": ("x.tif", by_tifffile),
    "contest, deflated": ("x.tif", lambda path: by_tifffile(path, compression="zlib")),
    "geotiff": ("x.tif", lambda path: by_rasterio(path, **GEO)),
    "geotiff, deflated tiles": (
        "x.tif",
        lambda path: by_rasterio(path, compress="deflate", tiled=True, blockxsize=16, blockysize=16, **GEO),
    ),
    "png": ("x.png", lambda path: by_rasterio(path, driver="PNG")),
    "archive": ("x.zip", packed),
}


@cache
def content_of(name: str) -> bytes:
    """An undamaged file."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        file, write = WRITERS[name]
        write(Path(folder) / file)
        return (Path(folder) / file).read_bytes()


def outcome(path: Path) -> Any:
    """The image at a path or, in an archive, its first one; or what is said of it."""
    try:
        if path.suffix == ".zip":
            names = list(list_members(path))
            path = member_path(path, names[0]) if names else path
            with open_stream(path) as stream:
                stream.read()
        with open_raster(path) as raster:
            info = raster.info
            if info.width * info.height * info.bands > 10**7:  # a header that lies; blocks of rows bound the memory
                return raster.read(0, 1)[:, :, :1]
            return raster.read(0, info.height)
    except RasterloomError as error:
        assert path.name.partition("!")[0] in str(error), "it names the file"
        return error


@pytest.mark.parametrize("name", list(WRITERS))
def test_undamaged_image_is_read(name: str, tmp_path: Path) -> None:
    path = tmp_path / WRITERS[name][0]
    path.write_bytes(content_of(name))
    np.testing.assert_array_equal(outcome(path), DATA)


@pytest.mark.parametrize("name", list(WRITERS))
@settings(max_examples=100)
@given(data=st.data())
def test_damaged_image(name: str, data: st.DataObject) -> None:
    content = bytearray(content_of(name))
    # Headers are at the beginning and, of archives and some TIFFs, at the end.
    near = st.integers(0, min(500, len(content) - 1))
    place = near | near.map(lambda n: len(content) - 1 - n) | st.integers(0, len(content) - 1)
    for _ in range(data.draw(st.integers(0, 4))):
        content[data.draw(place)] = data.draw(st.sampled_from([0, 1, 2, 127, 128, 255]) | st.integers(0, 255))
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content))) :]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / WRITERS[name][0]
        path.write_bytes(content)
        outcome(path)
