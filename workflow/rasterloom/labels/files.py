"""Files of labels that a sheet names: vector files and raster masks, brought to reference pixel coordinates."""

import difflib
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from rasterloom.errors import InputError, LabelError
from rasterloom.labels.geometry import NO_BUFFER, Buffer
from rasterloom.labels.wkt_tables import is_table, read_wkt_table
from rasterloom.polygons.geometry import transformed
from rasterloom.raster.files import RasterInfo, open_dataset
from rasterloom.raster.grid import IDENTITY, Matrix, compose, invert, rows_of
from rasterloom.text import few, nearest

RASTERS = frozenset({".tif", ".tiff", ".png", ".bmp", ".gif", ".jp2", ".img", ".vrt"})
"""Endings of files that are read as raster masks; all others are vector files."""

CURVATURE = 0.05
"""Reference pixels by which an edge that is carried to another coordinate system may lie beside its place."""


@dataclass(frozen=True)
class Placement:
    """The way from a mask's pixels to the reference's.

    Attributes
    ----------
    matrix : 2 x 3 list of rows
        To reference pixels; with another coordinate system only to map coordinates in that.
    systems : (str, str) or None
        WKT of the mask's coordinate system and of the reference's, where they differ.
    back : 2 x 3 list of rows or None
        Then: from the reference's map coordinates to its pixels.
    """

    matrix: Matrix
    systems: tuple[str, str] | None = None
    back: Matrix | None = None

    def place(self, polygons: Sequence[Any], shape: tuple[int, ...], where: str) -> list[Any]:
        """Polygons in a mask's pixel coordinates, the mask of a shape (H, W), in those of the reference.

        Between coordinate systems edges are divided so that each lies within `CURVATURE` pixels of where it should.

        Raises
        ------
        LabelError
            If the reference's coordinate system cannot show the place.
        """
        if self.systems is None or not polygons:
            return list(transformed(polygons, self.matrix))
        longest = self._longest_edge(shape, where)
        divided = shapely.segmentize(np.array(polygons, dtype=object), longest)
        return list(shapely.transform(divided, lambda points: self._points(points, where)))

    def _longest_edge(self, shape: tuple[int, ...], where: str) -> float:
        """Mask pixels that an edge may be long: the way's bend grows with the square of it."""
        columns, rows = np.meshgrid(np.linspace(0, shape[1], 9), np.linspace(0, shape[0], 9))
        grid = self._points(np.column_stack([columns.ravel(), rows.ravel()]), where).reshape(9, 9, 2)
        bends = [np.abs(grid[:, :-2] + grid[:, 2:] - 2 * grid[:, 1:-1]), np.abs(grid[:-2] + grid[2:] - 2 * grid[1:-1])]
        # Steps of a quarter of a side: the middle of such an edge is off by half a second difference.
        limits = [
            side / 4 * np.sqrt(CURVATURE / max(float(bend.max()) / 2, 1e-9))
            for side, bend in zip((shape[1], shape[0]), bends, strict=True)
        ]
        return float(max(1.0, min(limits)))

    def _points(self, points: NDArray[Any], where: str) -> NDArray[Any]:
        from pyproj import Transformer
        from pyproj.exceptions import ProjError

        assert self.systems is not None and self.back is not None
        (a, b, c), (d, e, f) = self.matrix
        x, y = points @ [a, b] + c, points @ [d, e] + f
        try:
            moved = np.column_stack(Transformer.from_crs(*self.systems, always_xy=True).transform(x, y))
        except ProjError:  # systems of which one is tied to no place on the Earth
            moved = np.full((len(points), 2), np.nan)
        if not np.isfinite(moved).all():
            raise LabelError(
                f"{where}: the image's coordinate system cannot show where the mask lies: check the one that the "
                "mask names, or bring it to the image's (`rio warp mask.tif out.tif --like image.tif`)"
            )
        back = np.array(self.back)
        return np.asarray(moved @ back[:, :2].T + back[:, 2])


@dataclass(frozen=True)
class Mask:
    """A raster mask: (H, W) bool array of the positive pixels, and where they lie on the reference."""

    positive: NDArray[np.bool_]
    placement: Placement

    def share(self, reference: RasterInfo, where: str) -> float:
        """Share, 0..1, of the reference image that the mask shows."""
        height, width = self.positive.shape
        (extent,) = self.placement.place([shapely.box(0, 0, width, height)], self.positive.shape, where)
        scene = shapely.box(0, 0, reference.width, reference.height)
        return float(shapely.area(shapely.intersection(shapely.make_valid(extent), scene)) / scene.area)


def read_mask(path: Path, bands: Sequence[int] | None, reference: RasterInfo, where: str) -> Mask:
    """A raster mask.

    Positive is what is neither 0, nor the file's no-data value, nor NaN. With a georeference on both sides
    the mask may have another grid and coordinate system; without, it must have the reference's size.

    Parameters
    ----------
    path : Path
    bands : sequence of int or None
        The one band, from 1, that is the mask; None: the file has one band only.
    reference : RasterInfo
        Of the scene.
    where : str
        Words for messages: file, scene, class.

    Returns
    -------
    Mask
        The positive pixels, (H, W) bool, and where they lie on the reference.

    Raises
    ------
    LabelError
        If it cannot be read; for several bands with none chosen, or another size without a georeference.
    """
    from rasterio.errors import RasterioError

    try:
        with open_dataset(path) as image:
            band = _one_band(image.count, bands, path, where)
            values = image.read(band)
            nodata = image.nodatavals[band - 1]
            own = None if image.transform.is_identity else rows_of(image.transform)
            crs = image.crs
    except (RasterioError, InputError) as error:
        reason = " ".join(str(error.__cause__ or error).split())
        reason = "no format of images has such a content" if "not recognized" in reason else reason[:160]
        raise LabelError(
            f"{where}: it cannot be read as a raster ({reason}): check the file, or get it again"
        ) from None
    mask = values != 0
    if np.issubdtype(values.dtype, np.floating):
        mask &= ~np.isnan(values)
    if nodata is not None and not np.isnan(nodata):
        mask &= values != nodata
    return Mask(mask, _placement(mask.shape, own, crs, reference, where))


def _one_band(count: int, bands: Sequence[int] | None, path: Path, where: str) -> int:
    picked = list(range(1, count + 1)) if bands is None else list(bands)
    if len(picked) != 1 or picked[0] > count:
        chosen_words = "" if bands is None else f" and {picked} chosen"
        raise LabelError(f"{where}: it has {count} bands{chosen_words}; choose one, as {path.name}[1]")
    return picked[0]


def _placement(shape: tuple[int, ...], own: Matrix | None, crs: Any, reference: RasterInfo, where: str) -> Placement:
    same_size = shape == (reference.height, reference.width)
    if own is None or reference.transform is None:
        if same_size:
            return Placement(IDENTITY)
        raise LabelError(
            f"{where}: the mask has {shape[1]} x {shape[0]} pixels and the reference image "
            f"{reference.width} x {reference.height}: give it the same size, or a georeference to both"
        )
    if crs and reference.crs and crs != crs.from_wkt(reference.crs):
        return Placement(own, (crs.to_wkt(), reference.crs), invert(reference.transform))
    matrix = compose(invert(reference.transform), own)
    height, width = shape
    corners = np.array([[0, width, 0, width], [0, 0, height, height], [1, 1, 1, 1]], dtype=float)
    moved = np.abs(np.array(matrix) @ corners - corners[:2]).max()
    # Rounding of stored transforms moves a grid by far less than this; a real difference by more.
    return Placement(IDENTITY if same_size and moved < 0.01 else matrix)


def read_vector(path: Path, every: bool = False) -> Any:
    """The one layer of a vector file, or `every` layer together, as a GeoDataFrame.

    A GeoPackage, GeoJSON, Shapefile or whatever else GDAL reads, GeoParquet, or a table of WKT.

    Raises
    ------
    LabelError
        If it cannot be read, has several layers, or no geometry.
    """
    import geopandas
    import pyogrio

    if is_table(path):
        return read_wkt_table(path)
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            # What GDAL warns of (a geometry that it cannot read becomes none) is counted among the findings.
            warnings.simplefilter("ignore", RuntimeWarning)
            warnings.simplefilter("ignore", UserWarning)
            if path.suffix.lower() in {".parquet", ".geoparquet"}:
                return geopandas.read_parquet(path)
            layers = [str(name) for name, kind in pyogrio.list_layers(path) if kind is not None]
            if len(layers) > 1 and not every:
                raise LabelError(
                    f"{path} has {len(layers)} layers ({', '.join(layers)}): put the one with the labels into a file "
                    f"of its own, for example `ogr2ogr labels.gpkg {path.name} {layers[0]}`, and name that"
                )
            frames = [geopandas.read_file(path, layer=layer, engine="pyogrio") for layer in layers or (0,)]
            frame = frames[0]
            if len(frames) > 1:
                frames = [own if own.crs == frame.crs else own.to_crs(frame.crs) for own in frames]
                shared = [name for name in frame.columns if all(name in own.columns for own in frames)]
                table = {name: np.concatenate([own[name].to_numpy() for own in frames]) for name in shared}
                frame = geopandas.GeoDataFrame(table, crs=frame.crs)
    except LabelError:
        raise
    except (RuntimeError, ValueError, OSError, shapely.errors.ShapelyError) as error:
        raise _unreadable(path, error) from None
    if not isinstance(frame, geopandas.GeoDataFrame):
        raise LabelError(f"{path} has no geometry: give a vector file, or a .csv with a column WKT")
    return frame


def _unreadable(path: Path, error: Exception) -> LabelError:
    """What to say of a vector file that cannot be read."""
    if not path.exists():
        reason, remedy = "it is not there", "correct the path"
    elif path.stat().st_size == 0:
        reason, remedy = "it has no bytes", "get it again; where nothing is to be found, give a file of no features"
    elif path.suffix.lower() == ".shp" and not path.with_suffix(".shx").exists():
        reason = f"{path.with_suffix('.shx').name} is not beside it"
        remedy = "a Shapefile is .shp, .shx and .dbf together, and .prj for its coordinate system: copy all of them"
    elif "Missing geo metadata" in str(error):
        reason, remedy = "a Parquet file without geometries", "give GeoParquet, as geopandas' `to_parquet` writes it"
    elif "not recognized" in str(error):
        reason, remedy = "no format of vectors has such a content", "open it in QGIS to check, and export it again"
    else:
        reason = re.sub(r"^\w+Exception: ", "", " ".join(str(error).split()))[:160]
        remedy = "open it in QGIS to check, or get it again"
    return LabelError(f"{path} cannot be read as a vector file ({reason}): {remedy}")


def chosen(frame: Any, spec: Mapping[str, Any] | None, scene: str, where: str) -> tuple[Any, list[str]]:
    """The features of a scene and class.

    Parameters
    ----------
    frame : GeoDataFrame
        A column ``scene``, if there is one, says which scene a feature belongs to.
    spec : mapping or None
        ``class``, ``id`` and ``classes`` (name to number): features whose column ``class`` holds the name or
        the number are taken. None: all are.

    Returns
    -------
    frame : GeoDataFrame
        The features.
    unknown : list of str
        Values of ``class`` that no class of ours has.

    Raises
    ------
    LabelError
        If there is no column ``class``, or it holds a value that looks like a misspelt class, or no class of ours in
        the whole file.
    """
    own = frame[frame["scene"].map(class_text) == scene] if "scene" in frame.columns else frame
    if spec is None or len(own) == 0:
        return own, []
    if "class" not in frame.columns:
        raise LabelError(f"{where}: no property `class` says which class a feature is of {_instead(frame, spec)}")
    values, every = _classes_of(own["class"]), {*_classes_of(frame["class"].drop_duplicates())}
    classes = spec["classes"]
    names = {str(number): name for name, number in classes.items()} | {name: name for name in classes}
    unknown = sorted({value for value in values if value not in names})
    for value in unknown:
        # Another class of a richer file is left alone; a misspelt one would silently vanish.
        if not every & names.keys() or misspelt(value, classes):
            raise LabelError(
                f"{where}: class {value!r} is not a class of the configuration; {nearest(value, classes)}:"
                " correct the property `class`, or add the class"
            )
    return own[[names.get(value) == spec["class"] for value in values]], unknown


def _classes_of(column: Any) -> list[str]:
    return ["" if absent else class_text(value) for value, absent in zip(column, column.isna(), strict=True)]


def _instead(frame: Any, spec: Mapping[str, Any]) -> str:
    """What a file without the property ``class`` has, and how to mend it."""
    columns = [str(name) for name in frame.columns if name != frame.geometry.name]
    near = [name for name in columns if name.lower() in {"class", "classes", "label", "labels", "type", "category"}]
    rename = f"rename `{near[0]}` to `class`" if near else "add it"
    return (
        f"(properties: {few(columns, most=12) or 'none'}): {rename}, or name the file in the sheet's column "
        f"labels:{spec['class']}"
    )


def misspelt(value: str, classes: Iterable[str]) -> bool:
    """Whether a text is a class but for case, blanks, hyphens or a letter or two."""
    plain = {re.sub(r"[\s_-]+", "_", name.strip().lower()) for name in classes}
    return bool(difflib.get_close_matches(re.sub(r"[\s_-]+", "_", value.strip().lower()), plain, cutoff=0.85))


def class_text(value: Any) -> str:
    """A value of the property ``class`` as text: 3.0 is class 3."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


@dataclass(frozen=True)
class Placed:
    """Features in reference pixel coordinates, those alone whose bounds meet the scene.

    Attributes
    ----------
    geometries : list of shapely geometry
    empty : int
        Features without a geometry, or with one of no coordinates.
    outside : int
        Features that lie elsewhere.
    heights : int
        Geometries that had third coordinates.
    """

    geometries: list[Any]
    empty: int = 0
    outside: int = 0
    heights: int = 0


def placed(frame: Any, reference: RasterInfo, where: str, plain: bool = False, buffer: Buffer = NO_BUFFER) -> Placed:
    """Features as geometries in reference pixel coordinates.

    With a georeferenced scene they are brought to its CRS (a GeoJSON that names none is in longitude and
    latitude) and then to pixels. `plain`: a table of WKT; one that names no CRS is taken to be in the scene's.
    Without georeference coordinates are pixels, x right and y down. Points and lines count with their `buffer`, but
    are returned as they are.

    Raises
    ------
    LabelError
        If the scene has a CRS and the file none; if there are features but no geometry; if a scene without
        georeference holds none of the features.
    """
    from pyproj.exceptions import ProjError

    absent = frame.geometry.isna()
    given = frame.geometry[~(absent | frame.geometry.is_empty)]
    empty = len(frame) - len(given)
    if absent.any() and not len(given):
        raise LabelError(
            f"{where}: none of its {len(frame)} features has a geometry that can be read: the file may be damaged; "
            "open it in QGIS to check, or give a file of no features where nothing is to be found"
        )
    on_map = reference.transform is not None and reference.crs is not None
    if on_map and frame.crs is None and len(frame) and not plain:
        raise LabelError(
            f"{where}: the file names no coordinate system and the image has one: set it, for example in QGIS (Layer > "
            "Set CRS, then export)"
        )
    try:
        if on_map and frame.crs is not None:
            with np.errstate(all="ignore"):
                given = given.to_crs(reference.crs)
        found = np.asarray(given, dtype=object)
        found = found[~shapely.is_empty(found)]
        solid = shapely.has_z(found)
        if reference.transform is not None:
            found = transformed(found, invert(reference.transform))
    except (ProjError, shapely.errors.GEOSException):
        raise LabelError(
            f"{where}: not all of it can be brought to the image's coordinate system: check the two systems, or cut "
            "the file to the surroundings of the image"
        ) from None
    if not len(found):
        return Placed([], empty)
    bounds = shapely.bounds(found)
    reach = buffer.reach(found)
    bounds = bounds + np.hstack([-reach, reach])
    size = np.array([reference.width, reference.height])
    meets = np.all(bounds[:, 2:] > 0, axis=1) & np.all(bounds[:, :2] < size, axis=1)
    if reference.transform is None and not meets.any() and np.isfinite(bounds).all():
        raise _nowhere(bounds, reference, where)
    # NaN bounds meet nothing, but the check of coordinates must see them.
    keep = meets | np.isnan(bounds).any(axis=1)
    return Placed(list(found[keep]), empty, int((~keep).sum()), int(solid[keep].sum()))


def _nowhere(bounds: NDArray[Any], reference: RasterInfo, where: str) -> LabelError:
    low, high = bounds[:, :2].min(axis=0), bounds[:, 2:].max(axis=0)
    flipped = " QGIS draws such an image at negative y: change the sign of y." if high[1] <= 0 else ""
    return LabelError(
        f"{where}: the image has no georeference, so coordinates are pixels (x 0 to {reference.width} right,"
        f" y 0 to {reference.height} down), and no feature lies there: x {low[0]:g} to {high[0]:g}, y"
        f" {low[1]:g} to {high[1]:g}: give pixel coordinates.{flipped}"
    )
