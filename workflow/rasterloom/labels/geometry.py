"""Geometry of labels: any geometry becomes single valid polygons in a scene, and what was done to it is counted.

Counts are named as the findings of the quality table (see `rasterloom.stages.quality`): ``mended``, ``no-area``,
``duplicate``, ``collection``, ``left-out``, ``clipped``, ``outside``, ``tiny``. A count of 0 is not there.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import shapely
from numpy.typing import NDArray

from rasterloom.errors import LabelError
from rasterloom.polygons.geometry import transformed
from rasterloom.raster.grid import IDENTITY, Matrix, invert
from rasterloom.store.digest import digest

Polygons = list[Any]
"""Valid shapely polygons, each a single part with an area."""

Counts = Counter[str]

POLYGON, MULTIPOLYGON, COLLECTION = 3, 6, 7
"""Type numbers of shapely."""

LEAST_AREA = 1e-6
"""Square pixels; what is smaller is left over from mending or clipping, not an object."""

TINY_AREA = 1.0
"""Square pixels; polygons below it are counted: they cover no pixel by half."""

KEY = "`classes.{}.buffer`"
"""Where the configuration says how wide points and lines are."""

DEEPEST = 16
"""Levels of brackets in a WKT text; parsers recurse, and crash on a text that is nested without end."""

_SINGLE = ("POINT", "LINESTRING", "POLYGON")

KINDS = frozenset({*_SINGLE, *(f"MULTI{kind}" for kind in _SINGLE), "LINEARRING", "GEOMETRYCOLLECTION"})
"""Types that a WKT text may begin with; curves and surfaces are not among them."""

_SRID = re.compile(r"\s*SRID\s*=\s*(\d{1,9})\s*;", re.IGNORECASE)

_KIND = re.compile(r"\s*([A-Za-z]+)")


@dataclass(frozen=True)
class Label:
    """The labels of a scene, not yet worked on.

    Attributes
    ----------
    scene : str
    inputs : dict
        What decides the polygons and the facts: enters the key.
    polygons : callable
        Gives the polygons, in reference pixel coordinates, clipped to the scene, and what was done to them.
    facts : dict
        What was found when the file was read, for the quality table.
    """

    scene: str
    inputs: dict[str, Any]
    polygons: Callable[[], tuple[Polygons, Counts]]
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Buffer:
    """How points and lines of a class become areas: discs, and strips with round ends.

    Attributes
    ----------
    class_name : str
    disc : 2 x 3 list of rows or None
        From the unit disc to the disc of a point, around it, in reference pixels. None: points and lines are refused.
    """

    class_name: str = "<name>"
    disc: Matrix | None = None

    @classmethod
    def of(cls, spec: Mapping[str, Any], ground: Callable[[], Matrix | None], where: str) -> Self:
        """The buffer of a label job on a scene.

        Parameters
        ----------
        spec : mapping
            ``class``, and perhaps ``buffer``: ``{"pixels": radius}`` or ``{"metres": radius}``.
        ground : callable
            Gives the matrix from reference pixels to metres, or None; asked if the radius is in metres.
        where : str
            Words for messages: file, scene, class.

        Raises
        ------
        LabelError
            For metres where `ground` gives None.
        """
        name, given = spec["class"], spec.get("buffer")
        if given is None:
            return cls(name)
        metres = IDENTITY if "pixels" in given else ground()
        if metres is None:
            raise LabelError(
                f"{where}: {KEY.format(name)} is in metres, and the reference image has no coordinate system that "
                "gives a length: give {pixels: ...}, or the image a coordinate system"
            )
        (radius,) = given.values()
        return cls(name, [[value * radius for value in row] for row in invert(metres)])

    def decided(self, thin: bool) -> dict[str, Any]:
        """What it adds to what decides the polygons of a scene, which may hold points or lines or not (`thin`)."""
        return {"disc": self.disc} if thin and self.disc is not None else {}

    def reach(self, geometries: NDArray[Any]) -> NDArray[np.float64]:
        """How far discs reach beyond points and lines, (N, 2) in x and y; 0 for polygons."""
        sides = np.zeros(2) if self.disc is None else np.linalg.norm(np.array(self.disc)[:, :2], axis=1)
        return np.where(shapely.get_dimensions(geometries)[:, None] < 2, sides, 0.0)

    def areas(self, geometries: NDArray[Any], where: str) -> NDArray[Any]:
        """Polygons as they are, points and lines with their buffer; LabelError for these if there is none."""
        thin = shapely.get_dimensions(geometries) < 2
        if not thin.any():
            return geometries
        if self.disc is None:
            raise LabelError(
                f"{where}: it holds a {geometries[thin][0].geom_type}, which covers no area: say how wide it is, by "
                f"{KEY.format(self.class_name)} (such as {{metres: 2}}), or remove it"
            )
        found = geometries.copy()
        round_ones = shapely.buffer(transformed(found[thin], invert(self.disc)), 1.0, quad_segs=16)
        found[thin] = transformed(round_ones, self.disc)
        return found


NO_BUFFER = Buffer()


def split_srid(text: str) -> tuple[int, str]:
    """The number of the coordinate system that an EWKT text begins with, 0 if it names none, and the WKT after it.

    Examples
    --------
    >>> split_srid("SRID=32616;POINT EMPTY"), split_srid("POINT EMPTY")
    ((32616, 'POINT EMPTY'), (0, 'POINT EMPTY'))
    """
    match = _SRID.match(text)
    return (int(match[1]), text[match.end() :]) if match else (0, text)


def parse_wkt(text: str, where: str) -> Any:
    """The geometry of a WKT text.

    Parameters
    ----------
    text : str
        In large or small letters; blanks around and semicolons behind do not matter.
    where : str
        Words for messages: file, row, scene, class.

    Returns
    -------
    shapely geometry

    Raises
    ------
    LabelError
        If it is not WKT; shows `where` and its first characters.

    Notes
    -----
    Measured: 100 MB (100,000 polygons, 2.5 million vertices) take 4.3 s and 0.85 GB.
    """
    wkt = text.strip("\ufeff \t\r\n;")
    try:
        if not wkt:
            raise ValueError("the field is empty")
        if "\0" in wkt:
            raise ValueError("a NUL byte in it")
        match = _KIND.match(wkt)
        if match is None:
            raise ValueError("it names no type")
        kind = re.sub("Z?M?$", "", match[1].upper())  # POLYGONZ, as some write it
        if kind not in KINDS:
            raise ValueError(f"{match[1]!r} is no type of geometry with straight edges")
        if kind == "GEOMETRYCOLLECTION" and _depth(wkt) > DEEPEST:
            raise ValueError(f"nested more than {DEEPEST} levels deep")
        with np.errstate(all="ignore"):  # NaN and infinite coordinates are looked for later
            return shapely.from_wkt(wkt)
    except (shapely.errors.ShapelyError, ValueError, NotImplementedError) as error:
        reason = re.sub(r"^\w+Exception: ", "", " ".join(str(error).split()))[:120]
        raise LabelError(
            f"{where}: {text[:60]!r} is not a WKT geometry ({reason}); it must read like "
            "MULTIPOLYGON (((x y, x y, ...))) or MULTIPOLYGON EMPTY: mend the row, or get the file again"
        ) from None


def _depth(wkt: str) -> int:
    """How deep the brackets of a text are nested."""
    letters = np.frombuffer(wkt.encode("utf-8", "replace"), np.uint8)
    steps = (letters == ord("(")).astype(np.int8) - (letters == ord(")")).astype(np.int8)
    return int(np.cumsum(steps, dtype=np.int32).max(initial=0))


def polygon_parts(geometries: Iterable[Any], where: str, buffer: Buffer = NO_BUFFER) -> tuple[Polygons, Counts]:
    """Valid single polygons of geometries, in their order.

    Invalid ones are mended: a ring that crosses itself keeps all it encloses, and what has no area goes. Of identical
    polygons one is kept.

    Parameters
    ----------
    geometries : (N,) iterable of shapely geometry or None
        Polygons, multipolygons, or collections with these among their parts; None, empty ones, third coordinates,
        and without a buffer the points and lines of collections are left out.
    where : str
        Words for messages: file, scene, class.
    buffer : Buffer
        What points and lines become.

    Returns
    -------
    polygons : (M,) list of valid polygons, each with an area
    counts : Counter
        What was done, by the names of the quality table.

    Raises
    ------
    LabelError
        For points and lines on their own without a buffer, and for coordinates that are not numbers.
    """
    counts: Counts = Counter()
    found = np.array([g for g in geometries if g is not None and not g.is_empty], dtype=object)
    if found.size == 0:
        return [], counts
    found = _without_collections(shapely.force_2d(found), counts, 0 if buffer.disc else 2)
    parts = shapely.get_parts(found)
    parts = parts[~shapely.is_empty(parts)]
    if not np.isfinite(shapely.get_coordinates(parts)).all():
        raise LabelError(f"{where}: a geometry has coordinates that are not numbers: mend the file")
    parts = buffer.areas(parts, where)
    broken = ~shapely.is_valid(parts)
    try:
        parts[broken] = shapely.make_valid(parts[broken], method="structure", keep_collapsed=False)
    except shapely.errors.GEOSException as error:
        raise LabelError(f"{where}: a polygon that crosses itself cannot be mended ({error}): draw it again") from None
    polygons, kept = _areal(parts)
    counts["mended"], counts["no-area"] = int((broken & kept).sum()), int((~kept).sum())
    once = _once(polygons)
    counts["duplicate"] = len(polygons) - len(once)
    return list(once), +counts


def _without_collections(found: NDArray[Any], counts: Counts, least: int) -> NDArray[Any]:
    """Geometries, collections replaced by what is in them: polygons, and from a dimension of `least` 0 all."""
    kinds = shapely.get_type_id(found)
    if not (kinds == COLLECTION).any():
        return found
    plain: list[Any] = []
    for geometry, kind in zip(found, kinds, strict=True):
        members = _members(geometry) if kind == COLLECTION else [geometry]
        kept = [m for m in members if kind != COLLECTION or shapely.get_dimensions(m) >= least]
        counts["collection"] += int(kind == COLLECTION)
        counts["left-out"] += len(members) - len(kept)
        plain += kept
    return np.array(plain, dtype=object)


def _members(collection: Any) -> list[Any]:
    """What is in a collection and in collections in it, without empty geometries."""
    found = shapely.get_parts(collection)
    while (shapely.get_type_id(found) == COLLECTION).any():
        found = np.concatenate([shapely.get_parts(g) if g.geom_type == "GeometryCollection" else [g] for g in found])
    return [g for g in found if not g.is_empty]


def _areal(geometries: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """The polygons with an area, in order, among the parts of geometries, and which of the geometries have such."""
    parts, owners = shapely.get_parts(geometries, return_index=True)
    if (shapely.get_type_id(parts) > POLYGON).any():
        parts, inner = shapely.get_parts(parts, return_index=True)
        owners = owners[inner]
    with np.errstate(all="ignore"):  # numbers that are no coordinates overflow
        keep = (shapely.get_type_id(parts) == POLYGON) & (shapely.area(parts) > LEAST_AREA)
    having = np.zeros(len(geometries), np.bool_)
    having[owners[keep]] = True
    return parts[keep], having


def _once(polygons: NDArray[Any]) -> NDArray[Any]:
    """Polygons without those that an earlier one equals, whatever the order of its vertices."""
    _, first = np.unique(shapely.to_wkb(shapely.normalize(polygons)), return_index=True)
    return polygons[np.sort(first)]


def clip(polygons: Sequence[Any], width: int, height: int) -> tuple[Polygons, Counts]:
    """Polygons, in reference pixel coordinates, cut at the edges of a scene of `width` x `height` pixels.

    Parameters
    ----------
    polygons : (N,) sequence of valid shapely Polygons
    width, height : int

    Returns
    -------
    polygons : (M,) list of valid polygons, each with an area
    counts : Counter
        What was done, by the names of the quality table.
    """
    counts: Counts = Counter()
    if not polygons:
        return [], counts
    array = np.array(polygons, dtype=object)
    bounds = shapely.bounds(array)
    across = (bounds[:, :2] < 0).any(axis=1) | (bounds[:, 2:] > [width, height]).any(axis=1)
    array[across] = shapely.intersection(array[across], shapely.box(0, 0, width, height))
    found, left = _areal(array)
    counts["clipped"], counts["outside"] = int((across & left).sum()), int((across & ~left).sum())
    counts["tiny"] = int((shapely.area(found) < TINY_AREA).sum())
    return list(found), +counts


def mask_polygons(mask: NDArray[np.bool_]) -> Polygons:
    """Outlines, along pixel edges, of the positive pixels of a mask.

    Parameters
    ----------
    mask : (H, W) bool array

    Returns
    -------
    list of polygons
        In the mask's pixel coordinates; pixels that touch at a corner alone are in different polygons. Their
        area is exactly the number of positive pixels.

    Notes
    -----
    Memory: the mask, a copy of one byte per pixel, and the outlines.
    """
    from rasterio.features import shapes
    from shapely.geometry import shape

    if not mask.any():
        return []
    outlines = shapes(mask.astype(np.uint8), mask=mask, connectivity=4)
    polygons = np.array([shape(geometry) for geometry, _ in outlines], dtype=object)
    broken = ~shapely.is_valid(polygons)
    polygons[broken] = shapely.make_valid(polygons[broken], method="structure", keep_collapsed=False)
    return list(_areal(polygons)[0])


def polygons_digest(scene: str, class_name: str, polygons: Sequence[Any]) -> str:
    """Digest of a table of polygons: of scene, class and every vertex, in order."""
    array = np.array(polygons, dtype=object)
    data = b"".join(shapely.to_wkb(array, byte_order=1, output_dimension=2)) if len(array) else b""
    return digest([scene, class_name, len(polygons), digest(data)])


def write_polygons(path: Path, scene: str, class_name: str, polygons: Sequence[Any]) -> str:
    """Write polygons as GeoParquet (scene, class, geometry; one row per polygon, no CRS) and give their digest."""
    import geopandas

    frame = geopandas.GeoDataFrame(
        {"scene": [scene] * len(polygons), "class": [class_name] * len(polygons)},
        geometry=geopandas.GeoSeries(list(polygons), crs=None),
    )
    frame[["scene", "class"]] = frame[["scene", "class"]].astype("str")
    frame.to_parquet(path, index=False, compression="zstd")
    return polygons_digest(scene, class_name, polygons)
