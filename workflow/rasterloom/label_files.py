"""Files of labels that a sheet names: vector files and raster masks, brought to reference pixel coordinates."""

from __future__ import annotations

import difflib
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rasterloom.dataset.archive import gdal_name
from rasterloom.dataset.index import hint
from rasterloom.errors import InputError, LabelError
from rasterloom.grid import Matrix, compose, invert

RASTERS = frozenset({".tif", ".tiff", ".png", ".bmp", ".gif", ".jp2", ".img", ".vrt"})
"""Endings of files that are read as raster masks; all others are vector files."""

_IDENTITY: Matrix = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]


@dataclass(frozen=True)
class Reference:
    """The reference image of a scene, as far as labels need it.

    Attributes
    ----------
    width, height : int
    crs : str or None
        WKT.
    transform : 2 x 3 list of rows or None
        Pixel edge coordinates to map coordinates; None without georeference.
    """

    width: int
    height: int
    crs: str | None = None
    transform: Matrix | None = None


def transformed(geometries: Sequence[Any], matrix: Matrix) -> list[Any]:
    """Geometries with `matrix` (2 x 3, acting on (x, y, 1)) applied to every vertex; None stays None."""
    import shapely

    linear, offset = np.array([row[:2] for row in matrix]), np.array([row[2] for row in matrix])
    array = np.array(geometries, dtype=object)
    return list(shapely.transform(array, lambda points: points @ linear.T + offset)) if len(array) else []


def read_reference(path: Path) -> Reference:
    """Size and georeference of an image, from its header; InputError if it cannot be opened."""
    import rasterio

    with _quiet():
        try:
            with rasterio.open(gdal_name(path)) as image:
                transform = None if image.transform.is_identity else _rows(image.transform)
                crs = image.crs.to_wkt() if image.crs else None
                return Reference(image.width, image.height, crs, transform)
        except rasterio.errors.RasterioError as error:
            raise InputError(f"{path} cannot be opened as an image ({error}): check it") from None


def _rows(transform: Any) -> Matrix:
    return [[float(value) for value in transform[:3]], [float(value) for value in transform[3:6]]]


@contextmanager
def _quiet() -> Iterator[None]:
    """Images without georeference are nothing to warn of here."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Dataset has no geotransform")
        yield


def read_mask(
    path: Path, bands: Sequence[int] | None, reference: Reference, where: str
) -> tuple[NDArray[np.bool_], Matrix]:
    """A raster mask and the matrix from its pixels to the reference's.

    Positive is what is neither 0, nor the file's no-data value, nor NaN. With a georeference on both sides
    the mask may have another grid; without, it must have the reference's size.

    Returns
    -------
    (H, W) bool array, 2 x 3 matrix

    Raises
    ------
    LabelError
        For several bands with none chosen, another size without a georeference, another CRS.
    """
    import rasterio

    with _quiet():
        try:
            with rasterio.open(path) as image:
                band = _one_band(image.count, bands, path, where)
                values = image.read(band)
                nodata = image.nodatavals[band - 1]
                own = None if image.transform.is_identity else _rows(image.transform)
                crs = image.crs
        except rasterio.errors.RasterioError as error:
            raise LabelError(f"{where}: it cannot be read as a raster ({error}): check the file") from None
    mask = values != 0
    if np.issubdtype(values.dtype, np.floating):
        mask &= ~np.isnan(values)
    if nodata is not None and not np.isnan(nodata):
        mask &= values != nodata
    return mask, _mask_matrix(mask.shape, own, crs, reference, where)


def _one_band(count: int, bands: Sequence[int] | None, path: Path, where: str) -> int:
    picked = list(range(1, count + 1)) if bands is None else list(bands)
    if len(picked) != 1 or picked[0] > count:
        chosen_words = "" if bands is None else f" and {picked} chosen"
        raise LabelError(f"{where}: it has {count} bands{chosen_words}; choose one, as {path.name}[1]")
    return picked[0]


def _mask_matrix(shape: tuple[int, ...], own: Matrix | None, crs: Any, reference: Reference, where: str) -> Matrix:
    same_size = shape == (reference.height, reference.width)
    if own is None or reference.transform is None:
        if same_size:
            return _IDENTITY
        raise LabelError(
            f"{where}: the mask has {shape[1]} x {shape[0]} pixels and the reference image "
            f"{reference.width} x {reference.height}: give it the same size, or a georeference to both"
        )
    if crs and reference.crs and crs != crs.from_wkt(reference.crs):
        raise LabelError(
            f"{where}: the mask is in {crs.to_string()[:60]} and the image in another coordinate system:"
            " bring it to the image's, for example `rio warp mask.tif out.tif --like image.tif --resampling"
            " nearest`"
        )
    matrix = compose(invert(reference.transform), own)
    height, width = shape
    corners = np.array([[0, width, 0, width], [0, 0, height, height], [1, 1, 1, 1]], dtype=float)
    moved = np.abs(np.array(matrix) @ corners - corners[:2]).max()
    # Rounding of stored transforms moves a grid by far less than this; a real difference by more.
    return _IDENTITY if same_size and moved < 0.01 else matrix


def read_vector(path: Path) -> Any:
    """The one layer of a vector file as a GeoDataFrame.

    A GeoPackage, GeoJSON, Shapefile or whatever else GDAL reads, GeoParquet, or a CSV with a column ``WKT``.

    Raises
    ------
    LabelError
        If it cannot be read, has several layers, or no geometry.
    """
    import geopandas
    import pyogrio

    suffix = path.suffix.lower()
    try:
        if suffix in {".parquet", ".geoparquet"}:
            return geopandas.read_parquet(path)
        plain = suffix == ".csv"
        layers = [str(name) for name, kind in pyogrio.list_layers(path) if kind is not None or plain]
        if len(layers) != 1:
            raise LabelError(f"{path} has {len(layers)} layers ({', '.join(layers)}): keep one")
        extra = {"GEOM_POSSIBLE_NAMES": "WKT,geometry,geom", "MAX_LINE_SIZE": "-1"} if plain else {}
        frame = geopandas.read_file(path, layer=layers[0], engine="pyogrio", **extra)
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError, ValueError, OSError) as error:
        if isinstance(error, LabelError):
            raise
        raise LabelError(f"{path} cannot be read as a vector file ({error}): open it in QGIS to check") from None
    if not isinstance(frame, geopandas.GeoDataFrame):
        raise LabelError(f"{path} has no geometry: give a vector file, or a .csv with a column WKT")
    return frame


def chosen(frame: Any, spec: Mapping[str, Any] | None, scene: str, where: str) -> Any:
    """The features of a scene and class.

    Parameters
    ----------
    frame : GeoDataFrame
        A column ``scene``, if there is one, says which scene a feature belongs to.
    spec : mapping or None
        ``class``, ``id`` and ``classes`` (name to number): features whose column ``class`` holds the name or
        the number are taken. None: all are.

    Raises
    ------
    LabelError
        If there is no column ``class``, or it holds a value that looks like a misspelt class, or no class at
        all.
    """
    if "scene" in frame.columns:
        frame = frame[frame["scene"].astype(str) == scene]
    if spec is None or len(frame) == 0:
        return frame
    if "class" not in frame.columns:
        columns = [name for name in frame.columns if name != "geometry"]
        raise LabelError(
            f"{where}: no property `class` says which class a feature is of (properties: "
            f"{', '.join(columns) or 'none'}): add it, or name the file in the sheet's column "
            f"labels:{spec['class']}"
        )
    values = [_class_text(value) for value in frame["class"]]
    classes = spec["classes"]
    names = {str(number): name for name, number in classes.items()} | {name: name for name in classes}
    unknown = sorted({value for value in values if value not in names})
    for value in unknown:
        # Another class of a richer file is left alone; a misspelt one would silently vanish.
        if len(unknown) == len(set(values)) or misspelt(value, classes):
            raise LabelError(
                f"{where}: class {value!r} is not a class of the configuration; {hint(value, classes)}:"
                " correct the property `class`, or add the class"
            )
    return frame[[names.get(value) == spec["class"] for value in values]]


def misspelt(value: str, classes: Iterable[str]) -> bool:
    """Whether a text is a class but for case, blanks, hyphens or a letter or two."""
    plain = {re.sub(r"[\s_-]+", "_", name.strip().lower()) for name in classes}
    return bool(difflib.get_close_matches(re.sub(r"[\s_-]+", "_", value.strip().lower()), plain, cutoff=0.85))


def _class_text(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def placed(frame: Any, reference: Reference, where: str, plain: bool = False) -> list[Any]:
    """Features as geometries in reference pixel coordinates, those alone whose bounds meet the scene.

    With a georeferenced scene they are brought to its CRS (a GeoJSON that names none is in longitude and
    latitude) and then to pixels. `plain`: a table of WKT, which has no CRS, is taken to be in the scene's.
    Without georeference coordinates are pixels, x right and y down.

    Raises
    ------
    LabelError
        If the scene has a CRS and the file none; if a scene without georeference holds none of the features.
    """
    import shapely

    geometries = frame.geometry
    if reference.transform is not None:
        if reference.crs is not None and frame.crs is not None:
            geometries = geometries.to_crs(reference.crs)
        elif reference.crs is not None and len(frame) and not plain:
            raise LabelError(
                f"{where}: the file names no coordinate system and the image has one: set it, for example in "
                "QGIS (Layer > Set CRS, then export)"
            )
    found = [g for g in geometries if g is not None and not g.is_empty]
    if reference.transform is not None:
        found = transformed(found, invert(reference.transform))
    if not found:
        return []
    bounds = shapely.bounds(np.array(found, dtype=object))
    size = np.array([reference.width, reference.height])
    meets = np.all(bounds[:, 2:] > 0, axis=1) & np.all(bounds[:, :2] < size, axis=1)
    if reference.transform is None and not meets.any():
        raise _nowhere(bounds, reference, where)
    # NaN bounds meet nothing, but the check of coordinates must see them.
    return [found[i] for i in np.flatnonzero(meets | np.isnan(bounds).any(axis=1))]


def _nowhere(bounds: NDArray[Any], reference: Reference, where: str) -> LabelError:
    low, high = bounds[:, :2].min(axis=0), bounds[:, 2:].max(axis=0)
    flipped = " QGIS draws such an image at negative y: change the sign of y." if high[1] <= 0 else ""
    return LabelError(
        f"{where}: the image has no georeference, so coordinates are pixels (x 0 to {reference.width} right,"
        f" y 0 to {reference.height} down), and no feature lies there: x {low[0]:g} to {high[0]:g}, y"
        f" {low[1]:g} to {high[1]:g}: give pixel coordinates.{flipped}"
    )
