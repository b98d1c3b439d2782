"""Where pixels lie: from the reference to other sensors by size or by geotransform, and on the ground."""

from functools import cache
from math import atan2, degrees, sqrt
from typing import Any

import numpy as np

from rasterloom.errors import InputError
from rasterloom.raster.files import RasterInfo
from rasterloom.raster.grid import Matrix, compose, invert
from rasterloom.raster.sensor import same_crs

LONGITUDE_LATITUDE = "EPSG:4326"

CUT = 1.5
"""Pixels of the coarser image by which sizes may differ that were cut, and rounded, at both ends."""

TOLERANCE = 1.0
"""Reference pixels by which the way between two coordinate systems may differ from an affine map."""


def stretched(reference: tuple[int, int], sensor: tuple[int, int]) -> Matrix:
    """The matrix, reference to sensor edge coordinates, of two images (width, height) that show the same ground."""
    return [[sensor[0] / reference[0], 0.0, 0.0], [0.0, sensor[1] / reference[1], 0.0]]


def squared(reference: tuple[int, int], sensor: tuple[int, int], ratio: float | None = None) -> Matrix | None:
    """The matrix of two images (width, height) cut at whole pixels of the sensor, which are square, from one place on.

    Parameters
    ----------
    reference, sensor : (width, height)
    ratio : float or None
        Side of the sensor's pixel in reference pixels, where it is known; None: the only whole number, or one over a
        whole number, by which both sizes agree.

    Returns
    -------
    2 x 3 list of rows or None
        Reference to sensor edge coordinates, upper left corners together; None if no ratio, or several, explain the
        sizes but for `CUT` pixels of the coarser image.
    """
    sides = list(zip(reference, sensor, strict=True))
    rough = [max(1, round(max(one / other, other / one))) for one, other in sides]
    whole = [float(n) for middle in rough for n in range(max(1, middle - 9), middle + 10)]
    ratios = {*whole, *(1 / n for n in whole)} if ratio is None else {ratio}
    found = [n for n in ratios if all(abs(one - n * other) <= CUT * max(1, n) for one, other in sides)]
    return [[1 / found[0], 0.0, 0.0], [0.0, 1 / found[0], 0.0]] if len(found) == 1 else None


def nominal_matrix(reference: RasterInfo, sensor: RasterInfo, label: str) -> Matrix:
    """Reference edge coordinates to sensor edge coordinates by what the files say.

    Parameters
    ----------
    reference, sensor : RasterInfo
    label : str
        Which sensor of which scene, for messages.

    Returns
    -------
    2 x 3 list of rows
        From the geotransforms if both files have one, through both coordinate systems if these differ; otherwise
        one grid stretched over the other.

    Raises
    ------
    InputError
        If the images do not overlap, only one of the two names its coordinate system, or the way between the two
        systems is not affine to a pixel.
    """
    if reference.transform is None or sensor.transform is None:
        return stretched((reference.width, reference.height), (sensor.width, sensor.height))
    if (reference.crs is None) != (sensor.crs is None):
        raise InputError(
            f"{label}: only one of this sensor and the reference names its coordinate system: "
            "assign it to the other file (gdal_edit -a_srs)"
        )
    if same_crs(reference.crs, sensor.crs):
        matrix = compose(invert(sensor.transform), reference.transform)
    else:
        matrix = _through_systems(reference, sensor, label)
    return _overlapping(matrix, reference, sensor, label)


def _through_systems(reference: RasterInfo, sensor: RasterInfo, label: str) -> Matrix:
    from rasterio._err import CPLE_BaseError
    from rasterio.errors import CRSError
    from rasterio.warp import transform

    assert reference.transform is not None and sensor.transform is not None
    columns, rows = np.meshgrid(np.linspace(0, reference.width, 5), np.linspace(0, reference.height, 5))
    pixels = np.stack([columns.ravel(), rows.ravel(), np.ones(columns.size)])
    x, y = np.array(reference.transform) @ pixels
    try:
        there = transform(reference.crs, sensor.crs, x.tolist(), y.tolist())
    except (CPLE_BaseError, CRSError):  # one of them is tied to no place on the Earth
        raise InputError(
            f"{label}: no way leads from the reference's coordinate system to its own: correct it (gdal_edit -a_srs)"
        ) from None
    target = np.array(invert(sensor.transform)) @ np.stack([*np.asarray(there[:2]), np.ones(columns.size)])
    solution = np.linalg.lstsq(pixels.T, target.T, rcond=None)[0].T
    scale = sqrt(abs(float(np.linalg.det(solution[:, :2]))))
    error = float(np.abs(solution @ pixels - target).max()) / scale
    if error > TOLERANCE:
        raise InputError(
            f"{label}: its coordinate system differs from the reference's, and the way between the two bends by "
            f"{error:.1f} reference pixels over the scene: reproject it to the reference's system first (gdalwarp)"
        )
    return [[float(v) for v in row] for row in solution]


def _overlapping(matrix: Matrix, reference: RasterInfo, sensor: RasterInfo, label: str) -> Matrix:
    corners = np.array([[0, reference.width, 0, reference.width], [0, 0, reference.height, reference.height], [1] * 4])
    x, y = np.array(matrix) @ corners
    if x.max() <= 0 or y.max() <= 0 or x.min() >= sensor.width or y.min() >= sensor.height:
        raise InputError(
            f"{label}: by their georeference it and the reference show different ground: check that the files belong "
            "to one scene and name the right coordinate system"
        )
    return matrix


def ground_distance(info: RasterInfo) -> float | None:
    """Metres a pixel (the root of a pixel's area) on the ellipsoid, in the middle of an image.

    None without a coordinate system, and for one that is neither geographic nor projected, such as that of a building
    site.
    """
    if (matrix := ground_matrix(info)) is None:
        return None
    (a, b, _), (d, e, _) = matrix
    return sqrt(abs(a * e - b * d))


def ground_matrix(info: RasterInfo) -> Matrix | None:
    """The matrix from pixels to metres eastwards and northwards, as in the middle; None as `ground_distance`."""
    if info.transform is None or info.crs is None:
        return None
    from pyproj import CRS, Transformer

    system = CRS.from_wkt(info.crs)
    if not (system.is_geographic or system.is_projected) or (geod := system.get_geod()) is None:
        return None
    column, row, step = info.width / 2, info.height / 2, 4.0
    pixels = np.array([[column - step, column + step, column, column], [row, row, row - step, row + step], [1] * 4])
    way = Transformer.from_crs(system, f"+proj=longlat {geod.initstring}", always_xy=True)
    longitude, latitude = way.transform(*(np.array(info.transform) @ pixels))
    azimuth, _, metres = geod.inv(longitude[::2], latitude[::2], longitude[1::2], latitude[1::2])
    matrix = np.array([np.sin(np.radians(azimuth)), np.cos(np.radians(azimuth))]) * metres / (2 * step)
    return [[*row.tolist(), 0.0] for row in matrix] if np.isfinite(matrix).all() else None


def crs_name(info: RasterInfo) -> str:
    """EPSG code and name of an image's coordinate system, or words for none."""
    if info.crs is None:
        return "no georeference" if info.transform is None else "no coordinate system"
    return system_name(info.crs)


@cache
def system_name(crs: str) -> str:
    """EPSG code and name of the coordinate system that a WKT describes."""
    from pyproj import CRS
    from pyproj.exceptions import CRSError

    try:
        system = CRS.from_wkt(crs)
    except CRSError:
        return f"a coordinate system that PROJ does not know, {crs[:40]!r}"
    code = system.to_epsg()
    return f"EPSG:{code} {system.name}" if code else system.name


def orientation(info: RasterInfo) -> str:
    """``north up``, or by how many degrees an image's rows are turned against the map's x axis.

    Examples
    --------
    >>> from dataclasses import replace
    >>> image = RasterInfo(8, 8, 1, "uint8", None, [[2, 0, 0], [0, -2, 0]], None)
    >>> orientation(image), orientation(replace(image, transform=[[0.8, 0.6, 0], [0.6, -0.8, 0]]))
    ('north up', 'rotated by 36.9 degrees')
    """
    (a, b, _), (d, e, _) = info.transform or [[1.0, 0.0, 0.0], [0.0, -1.0, 0.0]]
    angle, mirrored = degrees(atan2(d, a)), a * e - b * d > 0
    if abs(angle) < 0.01 and not mirrored:
        return "north up"
    return f"rotated by {angle:.1f} degrees{' and mirrored' * mirrored}"


def outline(info: RasterInfo, matrix: Matrix) -> Any:
    """The border of an image, carried by a matrix from its pixel edge coordinates, as a polygon."""
    from shapely import affinity, box

    (a, b, c), (d, e, f) = matrix
    return affinity.affine_transform(box(0, 0, info.width, info.height), [a, b, d, e, c, f])


def footprint(info: RasterInfo) -> Any | None:
    """Border of an image in longitude and latitude, in its own map coordinates without CRS; None if it has none."""
    import geopandas
    import shapely
    from pyproj.exceptions import ProjError

    if info.transform is None:
        return None
    shape = geopandas.GeoSeries([outline(info, info.transform)], crs=info.crs)
    try:
        shape = shape.to_crs(LONGITUDE_LATITUDE) if info.crs else shape
    except ProjError:  # a system that is tied to no place on the Earth
        return None
    return shape[0] if np.isfinite(shapely.get_coordinates(shape[0])).all() else None
