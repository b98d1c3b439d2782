"""Pictures for the report: an image stretched to colours, and polygons drawn over it.

Pure functions on arrays and geometries. Polygons are in reference pixel coordinates (x right, y down, pixel edges
on integers); a `Frame` says which part of the reference image a picture shows, and how large.
"""

import colorsys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from rasterloom.polygons.coverage import coverage
from rasterloom.raster.grid import Matrix

Floats = NDArray[np.float32]

Bytes = NDArray[np.uint8]

Geometries = NDArray[Any]

Colour = tuple[int, int, int]

LONGEST = 1024
"""Pixels of a picture's longer side, at most."""

ENLARGE = 8.0
"""Small scenes are enlarged, at most so many times."""

SUPERSAMPLE = 4

PERCENTILES = (2.0, 98.0)

GAMMA = 1.15

HIT: Colour = (30, 200, 110)
"""True positive: green, bluish enough to differ from the red for most colour-blind people."""

EXTRA: Colour = (235, 50, 35)
"""False positive: red."""

MISSED: Colour = (45, 95, 255)
"""False negative: blue."""

PREDICTED: Colour = (255, 225, 0)
"""Outlines of the prediction: yellow."""

TRUE: Colour = (0, 225, 255)
"""Outlines of the truth: cyan."""

INVALID: Colour = (140, 140, 140)
"""Pixels without data: grey."""

CLASS_COLOURS = ("ec4c32", "ffb000", "f5eb5a", "be783c", "23a555", "aae15f", "326ee6", "3ccdeb", "cd46fa", "ff91dc")
"""Colours of the first classes, in the order of the configuration, hexadecimal."""

_FRACTION_BITS = 4

_FAR = 1e6


@dataclass(frozen=True)
class Frame:
    """A window of the reference image and the size of the picture that shows it.

    Attributes
    ----------
    x, y, width, height : float
        The window in reference pixels; width and height positive.
    columns, rows : int
        Size of the picture, at least 1.
    """

    x: float
    y: float
    width: float
    height: float
    columns: int
    rows: int

    @property
    def scale(self) -> tuple[float, float]:
        """Picture pixels per reference pixel, across and down."""
        return self.columns / self.width, self.rows / self.height

    @property
    def matrix(self) -> Matrix:
        """From the picture's edge coordinates to the reference's."""
        return [[self.width / self.columns, 0.0, self.x], [0.0, self.height / self.rows, self.y]]


def fitted(x: float, y: float, width: float, height: float, longest: int = LONGEST) -> Frame:
    """The frame of a window whose picture keeps the aspect and has at most `longest` pixels a side.

    Small windows are enlarged, by `ENLARGE` at most.

    Examples
    --------
    >>> fitted(0, 0, 2048, 1024)
    Frame(x=0, y=0, width=2048, height=1024, columns=1024, rows=512)
    """
    factor = min(longest / max(width, height), ENLARGE)
    return Frame(x, y, width, height, max(1, round(width * factor)), max(1, round(height * factor)))


def detail_frame(geometries: Geometries, whole: Frame, smallest: float = 12.0, longest: int = 640) -> Frame | None:
    """A closer look where the objects of a whole scene would be too small to see.

    Parameters
    ----------
    geometries : (n,) array of polygons
    whole : Frame
        The frame of the scene.
    smallest : float
        Picture pixels; objects whose width, the root of their area, is at least this need no closer look.
    longest : int
        Pixels of the closer picture's sides.

    Returns
    -------
    Frame or None
        A square of some 32 objects' widths, where most polygons are.
    """
    size = float(np.median(np.sqrt(shapely.area(geometries)))) if len(geometries) else 0.0
    side = min(max(32.0 * size, 64.0), whole.width, whole.height)
    if size == 0.0 or size * whole.scale[0] >= smallest or side > 0.7 * min(whole.width, whole.height):
        return None
    extent, bounds = np.array([whole.width, whole.height]), shapely.bounds(geometries)
    centre = _densest((bounds[:, :2] + bounds[:, 2:]) / 2 - [whole.x, whole.y], side, extent)
    x, y = np.clip(centre - side / 2, 0.0, extent - side).tolist()
    return fitted(whole.x + x, whole.y + y, side, side, longest)


def _densest(points: NDArray[np.float64], side: float, extent: NDArray[np.float64]) -> NDArray[np.float64]:
    """Median of the points (N, 2) in the square of a given side, on a grid of half sides, that holds most of them."""
    step = side / 2
    shape = np.ceil(extent / step).astype(int) + 1
    cells = np.clip((points // step).astype(int), 0, shape - 2)
    counts = np.zeros(shape, np.int64)
    np.add.at(counts, tuple(cells.T), 1)
    sums = counts[:-1, :-1] + counts[1:, :-1] + counts[:-1, 1:] + counts[1:, 1:]
    best = np.array(np.unravel_index(int(sums.argmax()), sums.shape))
    return np.asarray(np.median(points[((cells >= best) & (cells <= best + 1)).all(axis=1)], axis=0))


# The image ------------------------------------------------------------------------------------------------------


def stretch_limits(image: Floats, valid: NDArray[np.bool_]) -> Floats:
    """Values that become black and white: the 2nd and 98th percentile of each band over the whole scene.

    Parameters
    ----------
    image : (C, H, W) float32 array
    valid : (H, W) bool array

    Returns
    -------
    (C, 2) float32 array
        Low < high; 0 and 1 for a band without a valid, finite value.
    """
    limits = np.zeros((len(image), 2), np.float32)
    for band, out in zip(image, limits, strict=True):
        values = band[valid & np.isfinite(band)]
        out[:] = np.percentile(values, PERCENTILES) if values.size else (0.0, 1.0)
        if not out[1] > out[0]:
            out[:] = out[0] - 0.5, out[0] + 0.5
    return limits


def stretched(image: Floats, valid: NDArray[np.bool_], limits: Floats) -> Bytes:
    """An image as colours.

    Parameters
    ----------
    image : (C, H, W) float32 array
        Three bands or more: the first three are red, green and blue; fewer: the first is grey.
    valid : (H, W) bool array
    limits : (C, 2) float32 array
        As `stretch_limits` gives them.

    Returns
    -------
    (H, W, 3) uint8 array
        RGB, slightly brightened by a gamma of 1.15; `INVALID` where not valid or not finite.
    """
    chosen = [0, 1, 2] if len(image) >= 3 else [0, 0, 0]
    bands = image[chosen].astype(np.float32)
    low, high = limits[chosen, 0][:, None, None], limits[chosen, 1][:, None, None]
    good = valid & np.isfinite(bands).all(axis=0)
    level = np.clip((np.where(good, bands, low) - low) / (high - low), 0.0, 1.0) ** (1.0 / GAMMA)
    out = np.ascontiguousarray(np.rint(level * 255.0).astype(np.uint8).transpose(1, 2, 0))
    out[~good] = INVALID
    return out


# Polygons -------------------------------------------------------------------------------------------------------


def seen(geometries: Geometries, frame: Frame) -> Geometries:
    """The polygons, (n,) array, whose bounds meet a frame, in the frame's picture coordinates."""
    bounds = shapely.bounds(geometries)
    meets = (bounds[:, :2] < [frame.x + frame.width, frame.y + frame.height]).all(axis=1)
    meets &= (bounds[:, 2:] > [frame.x, frame.y]).all(axis=1)
    moved = shapely.transform(geometries[meets], lambda points: (points - [frame.x, frame.y]) * frame.scale)
    return np.asarray(moved, dtype=object)


def burnt(geometries: Geometries, frame: Frame, supersample: int = SUPERSAMPLE) -> NDArray[np.bool_]:
    """The union of polygons on a supersampled picture grid.

    Parameters
    ----------
    geometries : (n,) array of polygons in reference pixels
    frame : Frame
    supersample : int

    Returns
    -------
    (rows * supersample, columns * supersample) bool array
        Whether the centre of a cell lies in a polygon.
    """
    fine = replace(frame, columns=frame.columns * supersample, rows=frame.rows * supersample)
    return coverage(geometries, (fine.rows, fine.columns), fine.matrix, supersample=1) > 0


def error_fractions(predicted: Geometries, true: Geometries, frame: Frame, supersample: int = SUPERSAMPLE) -> Floats:
    """How much of each picture pixel is right, too much, and missed.

    Parameters
    ----------
    predicted, true : (n,) arrays of polygons in reference pixels
    frame : Frame
    supersample : int

    Returns
    -------
    (3, rows, columns) float32 array
        Fractions 0..1 of true positive, false positive and false negative; their sum is at most 1.

    Notes
    -----
    Memory: five bytes for each of ``rows * columns * supersample ** 2`` cells.
    """
    one, other = burnt(predicted, frame, supersample), burnt(true, frame, supersample)
    return np.stack([_mean_cells(part, supersample) for part in (one & other, one & ~other, ~one & other)])


def _mean_cells(cells: NDArray[np.bool_], factor: int) -> Floats:
    rows, columns = (side // factor for side in cells.shape)
    return np.asarray(cells.reshape(rows, factor, columns, factor).mean(axis=(1, 3), dtype=np.float32))


def jaccard(fractions: Floats) -> float | None:
    """TP / (TP + FP + FN) of fractions (3, H, W); None where there is neither truth nor prediction."""
    hit, extra, missed = fractions.sum(axis=(1, 2), dtype=np.float64)
    total = hit + extra + missed
    return float(hit / total) if total > 0 else None


def tinted(image: Bytes, fractions: Floats, colours: Sequence[Colour], alpha: float = 0.65) -> Bytes:
    """An image with translucent fills.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
    fractions : (n, H, W) float32 array
        How much of each pixel each fill covers, 0..1, summing to at most 1.
    colours : n colours
    alpha : float
        Opacity of a fill, 0..1.

    Returns
    -------
    (H, W, 3) uint8 array
    """
    out = image.astype(np.float32) * (1.0 - alpha * fractions.sum(axis=0))[..., None]
    for fraction, colour in zip(fractions, colours, strict=True):
        out += (alpha * fraction)[..., None] * np.array(colour, np.float32)
    return np.asarray(np.rint(np.clip(out, 0, 255)), dtype=np.uint8)


def outlined(image: Bytes, geometries: Geometries, frame: Frame, colour: Colour, thickness: int = 1) -> Bytes:
    """A copy of an image (H, W, 3) with the rings of polygons (reference pixels) drawn as thin smooth lines."""
    import cv2

    out = image.copy()
    shown = seen(geometries, frame)
    if len(shown):
        rings = shapely.get_rings(shown)
        points, owner = shapely.get_coordinates(rings, return_index=True)
        # OpenCV has integers on pixel centres, and takes fixed-point numbers.
        fixed = np.rint((np.clip(points, -_FAR, _FAR) - 0.5) * 2**_FRACTION_BITS).astype(np.int32)
        lines = np.split(fixed, np.flatnonzero(np.diff(owner)) + 1)
        cv2.polylines(out, lines, True, colour, thickness, cv2.LINE_AA, _FRACTION_BITS)
    return out


def with_window(image: Bytes, frame: Frame, window: Frame) -> Bytes:
    """A copy of an image (H, W, 3) with a white rectangle, dark at its outside, where another frame lies."""
    import cv2

    out = image.copy()
    low = ((window.x - frame.x) * frame.scale[0], (window.y - frame.y) * frame.scale[1])
    high = (low[0] + window.width * frame.scale[0], low[1] + window.height * frame.scale[1])
    for grow, colour in ((2, (0, 0, 0)), (1, (255, 255, 255)), (0, (255, 255, 255))):
        first = (round(low[0]) - grow, round(low[1]) - grow)
        last = (round(high[0]) - 1 + grow, round(high[1]) - 1 + grow)
        cv2.rectangle(out, first, last, colour, 1)
    return out


def muted(image: Bytes, saturation: float = 0.4, brightness: float = 0.85) -> Bytes:
    """An (H, W, 3) uint8 image nearer to grey and darker, so that fills stand out on it."""
    colours = image.astype(np.float32)
    grey = colours @ np.array([0.299, 0.587, 0.114], np.float32)
    mixed = (saturation * colours + (1.0 - saturation) * grey[..., None]) * brightness
    return np.asarray(np.rint(mixed), dtype=np.uint8)


def errors_picture(image: Bytes, fractions: Floats) -> Bytes:
    """A muted image (H, W, 3) with what is right in green, too much in red and missed in blue: fractions (3, H, W)."""
    return tinted(muted(image), fractions, (HIT, EXTRA, MISSED))


def outlines_picture(image: Bytes, predicted: Geometries, true: Geometries, frame: Frame, thickness: int = 1) -> Bytes:
    """An image (H, W, 3) with outlines of the truth in cyan and, over them, thinner, of the prediction in yellow."""
    under = outlined(image, true, frame, TRUE, thickness + 1)
    return outlined(under, predicted, frame, PREDICTED, thickness)


def classes_picture(
    image: Bytes, polygons: Mapping[str, Geometries], colours: Mapping[str, Colour], frame: Frame
) -> Bytes:
    """An image with every class in its colour, those of small area over those of large area.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
    polygons : mapping of class to (n,) array of polygons in reference pixels
    colours : mapping of class to colour
    frame : Frame

    Returns
    -------
    (H, W, 3) uint8 array
    """
    out = image.copy()
    areas = {name: float(shapely.area(found).sum()) for name, found in polygons.items() if len(found)}
    for name in sorted(areas, key=lambda name: (-areas[name], name)):
        fraction = _mean_cells(burnt(polygons[name], frame), SUPERSAMPLE)[None]
        out = outlined(tinted(out, fraction, [colours[name]], 0.5), polygons[name], frame, colours[name])
    return out


def class_colours(names: Sequence[str]) -> dict[str, Colour]:
    """A colour for each class, in order; beyond ten, hues that are far apart."""
    colours = [bytes.fromhex(colour) for colour in CLASS_COLOURS]
    for index in range(len(names) - len(colours)):
        hue = colorsys.hsv_to_rgb((0.05 + index * 0.618034) % 1.0, 0.75, 0.95)
        colours.append(bytes(round(255 * value) for value in hue))
    return {name: (colour[0], colour[1], colour[2]) for name, colour in zip(names, colours, strict=False)}


def hexadecimal(colour: Colour) -> str:
    """A colour as CSS writes it.

    Examples
    --------
    >>> hexadecimal((255, 0, 16))
    '#ff0010'
    """
    return "#{:02x}{:02x}{:02x}".format(*colour)


def jpeg(image: Bytes, quality: int = 82) -> bytes:
    """An (H, W, 3) RGB uint8 picture as a JPEG file without chroma subsampling, which would smear the fills."""
    import cv2

    sampling = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    options = [cv2.IMWRITE_JPEG_QUALITY, quality, *sampling]
    return cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)[1].tobytes()
