"""Pictures of registrations: edges of a sensor over those of the reference, or outlines of labels, before and after.

Both come from the stacks: what a stack shows at x - shift is what it would show at x if the files were right, and
likewise where a turn was found as well.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from rasterloom.labels.record import read_labels
from rasterloom.raster.grid import invert
from rasterloom.raster.stacks import open_stack
from rasterloom.registration.motions import moved_by
from rasterloom.registration.table import LABELS, ShiftRow
from rasterloom.report import pictures as draw
from rasterloom.report.backdrops import Images, overview, read_window
from rasterloom.report.pages import Picture

MOST = 6
"""Registrations that are shown, the worst ones."""

SENSOR_PIXELS = 96
"""Side of a window, in pixels of the sensor; it is the whole scene where that is not much more."""

LEAST = 160
"""Side of a window, in pixels of the reference and of the stack's grid, at least."""

MUCH_MORE = 1.6

LONGEST = 640

ENOUGH = 2048
"""Pixels a side of a scale that is fine enough: a tenth of its pixel is seen, and a finer one costs more to read."""

EDGES = 0.1
"""Share of a picture's pixels that count as strong edges; those that hang on to them may be half as strong."""

TOP, FAINT = 0.002, 0.15
"""An edge is no strong one with less than this part of the slope that this share of the pixels reaches."""

BLUR = 0.7
"""Deviation, in pixels of the sensor, of the Gaussian before edges of it are looked for."""

PIXEL = 0.62
"""That of the Gaussian that does to an image about what a sensor does by averaging over its pixels, and stacking."""

REFERENCE: draw.Colour = (255, 40, 40)
"""Edges of the reference: red."""

SENSOR: draw.Colour = (0, 225, 255)
"""Edges of the sensor: cyan."""

BOTH: draw.Colour = (255, 255, 255)

Mask = NDArray[np.bool_]

Slopes = tuple[NDArray[Any], NDArray[Any], Mask]
"""Across and down, (H, W), and where they are of the image alone, not of the border of what is valid."""

Shown = tuple[draw.Floats, Mask]
"""Bands, (C, H, W), and where they are valid, (H, W)."""


def overlay_scales(spec: Mapping[str, Any]) -> list[str]:
    """Scales from which overlays may be drawn, of all scenes, as it is not known beforehand which are the worst."""
    sensors = {name for names in spec["scale_sensors"].values() for name in names} - {spec["reference"]}
    return sorted({scale_of(spec, name) for name in sensors})


def scale_of(spec: Mapping[str, Any], sensor: str) -> str:
    """The scale from which a sensor is drawn: the coarsest of those that have it which is fine enough."""
    having = {name: spec["scales"][name] for name, sensors in spec["scale_sensors"].items() if sensor in sensors}
    return overview(having, ENOUGH)


def overlay_legend(reference: str) -> list[tuple[str, str]]:
    """Colours of the pictures, and what they mean."""
    entries = ((REFERENCE, f"edges of {reference}"), (SENSOR, "edges of the sensor"), (BOTH, "both at one place"))
    return [(draw.hexadecimal(colour), text) for colour, text in entries]


def draw_overlays(images: Images, rows: Sequence[ShiftRow]) -> list[tuple[ShiftRow, list[Picture]]]:
    """The worst of the registrations that were, or should have been, estimated, and pictures of them before and after.

    Parameters
    ----------
    images : Images
    rows : sequence of ShiftRow
        The worst first.

    Notes
    -----
    Memory: some pictures, and strips of a stack; nothing that grows with the scenes or their size.
    """
    stacked = {LABELS, *(name for names in images.job.spec["scale_sensors"].values() for name in names)}
    shown = [row for row in rows if row.estimated and row.scene in images.sizes and row.sensor in stacked]
    return [(row, (_draw_labels if row.sensor == LABELS else _draw)(images, row)) for row in shown[:MOST]]


def _draw_labels(images: Images, row: ShiftRow) -> list[Picture]:
    """Outlines of a scene's labels before and after, or the one picture of labels that were not moved."""
    job = images.job
    items = [item for name in job.spec["classes"] if (item := job.manifest(f"labels/{name}").items.get(row.scene))]
    after = np.concatenate([read_labels(job.store.open_path(item)) for item in items])
    before = shapely.transform(after, lambda points: points + row.shift)
    frame = draw.detail_frame(after, images.frame(row.scene)) or images.frame(row.scene)
    base = draw.muted(images.window(row.scene, overview(job.spec["scales"]), frame))
    moved = (("before", before, "Outlines where the files put them, but for those beyond the image."),)
    shown = (*(moved if any(row.shift) else ()), ("after", after, "Outlines as they are used."))
    stem = f"registration.{row.scene}.{row.sensor}"
    return [images.put(f"{stem}.{when}", draw.outlined(base, own, frame, SENSOR), text) for when, own, text in shown]


def _draw(images: Images, row: ShiftRow) -> list[Picture]:
    """Before and after, or the one picture of a sensor that was not moved."""
    path, size = images.stack(scale_of(images.job.spec, row.sensor), row.scene), images.sizes[row.scene]
    with open_stack(path) as stack:
        cell = max(size[0] / stack.shape[1], size[1] / stack.shape[0])
    side, frame = window_side(max(row.pixel), cell, size), draw.fitted(0.0, 0.0, *size, LONGEST)
    read_reference = partial(read_window, path, images.job.spec["reference"], size=size)
    read_sensor = partial(read_window, path, row.sensor, size=size, every=True)
    if side is not None:
        frame = busiest(read_reference(frame), read_sensor(frame), frame, side, max(row.pixel))
    under, after = read_reference(frame), read_sensor(frame)
    blur, wider = blurs(max(row.pixel), frame)
    limits = draw.stretch_limits(*after)
    base = draw.muted(draw.stretched(*under, draw.stretch_limits(*under)), 0.0, 0.5)
    red, slopes = edges(gradients(*under, wider)), gradients(*after, blur, limits)
    level = edge_level(slopes)
    stem = f"registration.{row.scene}.{row.sensor}"
    extent = "The whole scene" if side is None else f"A window of {side:.0f} x {side:.0f} pixels of the image"
    picture = overlaid(base, red, edges(slopes, level))
    if row.shift == (0.0, 0.0) and row.turn == 0:
        return [images.put(f"{stem}.after", picture, f"{extent}: where the files put it, and as it was stacked.")]
    # a stack shows at a place what the files put at motion(place): the reverse brings it back
    unmoved = read_sensor(frame, motion=invert(moved_by(row.shift, row.turn, size)))
    before = overlaid(base, red, edges(gradients(*unmoved, blur, limits), level))
    return [
        images.put(f"{stem}.before", before, f"{extent}: where the files put it."),
        images.put(f"{stem}.after", picture, "As it was stacked."),
    ]


def window_side(pixel: float, cell: float, size: tuple[int, int]) -> float | None:
    """Side of the window that is shown of a scene, in reference pixels; None: all of it.

    Parameters
    ----------
    pixel, cell : float
        Sides of the sensor's pixel, and of one of the stack that the window is read from, in reference pixels.
    size : (width, height)
        Of the reference image.

    Examples
    --------
    >>> window_side(4.0, 1.0, (3400, 3400)), window_side(24.0, 1.0, (3400, 3400))
    (384.0, None)
    """
    side = max(SENSOR_PIXELS * pixel, LEAST * max(1.0, cell))
    return side if side * MUCH_MORE < min(size) else None


def busiest(reference: Shown, sensor: Shown, whole: draw.Frame, side: float, pixel: float) -> draw.Frame:
    """The square window, a side long, in which both reference and sensor, (C, H, W) and valid, have most edges."""
    import cv2

    blur, wider = blurs(pixel, whole)
    span = [max(1, round(side / 2 * scale)) for scale in whole.scale]
    means: list[NDArray[Any]] = [strength(gradients(*reference, wider)), strength(gradients(*sensor, blur))]
    for _ in range(2):  # twice over half a side: what is in the middle counts most
        means = [cv2.boxFilter(mean, -1, span, borderType=cv2.BORDER_CONSTANT) for mean in means]
    row, column = np.unravel_index(int(np.minimum(*means).argmax()), means[0].shape)
    centre = np.array([column + 0.5, row + 0.5]) / whole.scale
    x, y = np.clip(centre - side / 2, 0.0, np.array([whole.width, whole.height]) - side).tolist()
    return draw.fitted(round(x), round(y), side, side, LONGEST)


def blurs(pixel: float, frame: draw.Frame) -> tuple[float, float]:
    """Deviations, in pixels of a picture, of the Gaussians that bring a sensor and the reference to one resolution.

    Parameters
    ----------
    pixel : float
        Side of the sensor's pixel, in reference pixels.
    frame : Frame
    """
    wider = max(0.0, pixel**2 - 1.0) * PIXEL**2 + (BLUR * pixel) ** 2
    return BLUR * pixel * frame.scale[0], float(wider**0.5) * frame.scale[0]


# Edges ----------------------------------------------------------------------------------------------------------


def gradients(bands: NDArray[Any], valid: Mask, blur: float, limits: draw.Floats | None = None) -> Slopes:
    """Slopes of the sum of bands, each stretched by its limits.

    Parameters
    ----------
    bands : (C, H, W) float32 array
    valid : (H, W) bool array
    blur : float
        Deviation of a Gaussian, in pixels, that is applied first; at least 0.7. It means over what is valid.
    limits : (C, 2) float32 array
        As `rasterloom.report.pictures.stretch_limits` gives them, by default those of the bands.
    """
    import cv2

    limits = draw.stretch_limits(bands, valid) if limits is None else limits
    low, high = limits[:, :1, None], limits[:, 1:, None]
    level = np.clip((np.where(valid, bands, low) - low) / (high - low), -0.5, 1.5).sum(axis=0).astype(np.float32)
    level[~valid] = 0.0
    sigma = max(blur, 0.7)
    smooth = cv2.GaussianBlur(level, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    if not valid.all():
        share = cv2.GaussianBlur(valid.astype(np.float32), (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
        smooth = smooth / np.maximum(share, np.float32(1e-3))
    across, down = (cv2.Sobel(smooth, cv2.CV_32F, dx, 1 - dx, borderType=cv2.BORDER_REPLICATE) for dx in (1, 0))
    margin = 2 * round(2 * sigma) + 3
    inside = cv2.erode(valid.astype(np.uint8), np.ones((margin, margin), np.uint8), borderValue=1) > 0
    return np.where(inside, across, 0.0), np.where(inside, down, 0.0), inside


def edge_level(slopes: Slopes) -> float:
    """The slope from which an edge is a strong one, of slopes (H, W); 0 where there is none."""
    length = np.hypot(*slopes[:2])[slopes[2]]
    usual, top = np.quantile(length, [1.0 - EDGES, 1.0 - TOP]).tolist() if length.size else (0.0, 0.0)
    return max(usual, FAINT * top)


def strength(slopes: Slopes) -> draw.Floats:
    """Length of the slope, (H, W) float32, 0..1: what is among the strongest `EDGES` is 1."""
    return np.asarray(np.clip(np.hypot(*slopes[:2]) / (edge_level(slopes) or np.inf), 0.0, 1.0), np.float32)


def edges(slopes: Slopes, level: float | None = None) -> draw.Floats:
    """Edges as thin smooth lines, (H, W) float32, 0..1.

    `level` is what `edge_level` gives, by default that of the slopes: two pictures with one level compare.
    """
    import cv2

    across, down, inside = slopes
    strong = edge_level(slopes) if level is None else level
    unit = 1000.0 / (strong or np.inf)  # to integers, in which OpenCV wants slopes
    steps = [np.clip(np.rint(slope * unit), -16000, 16000).astype(np.int16) for slope in (across, down)]
    lines = cv2.Canny(steps[0], steps[1], 500, 1000, L2gradient=True)
    lines[cv2.erode(inside.astype(np.uint8), np.ones((5, 5), np.uint8), borderValue=1) == 0] = 0  # where slopes end
    wide = cv2.dilate(lines, np.ones((2, 2), np.uint8))
    return np.asarray(cv2.GaussianBlur(wide, (3, 3), 0.6), np.float32) / 255.0


def overlaid(base: draw.Bytes, reference: draw.Floats, sensor: draw.Floats) -> draw.Bytes:
    """Edges over an image: those of the reference in red, of the sensor in cyan, white where they coincide.

    Parameters
    ----------
    base : (H, W, 3) uint8 array
    reference, sensor : (H, W) float32 arrays
        Opacity of the edges, 0..1.
    """
    both = np.minimum(reference, sensor)
    return draw.tinted(base, np.stack([reference - both, sensor - both, both]), (REFERENCE, SENSOR, BOTH), alpha=1.0)
