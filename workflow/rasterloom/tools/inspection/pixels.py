"""What a sensor's files hold in one scene: their headers, and values read whole or in strips spread over the image."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rasterloom.dataset.archive import gdal_name
from rasterloom.raster.files import RasterInfo
from rasterloom.raster.sensor import SensorReader, missing_pixels

BUDGET = 2**28
"""Values (pixels x bands) that are read of a whole data set unless everything is asked for."""

STRIPS = 8
"""Strips of a sampled image: full width, spread evenly from its first row to its last."""

LEAST_ROWS = 32
"""Rows that are read of an image at least."""

ROWS = 256
"""Rows that are read at a time."""


@dataclass(frozen=True)
class Header:
    """What a file says of itself beside `RasterInfo`.

    Attributes
    ----------
    dtype : str
        Of the values as they are stored; '' where only the contest's reader opens the file.
    driver : str
        GDAL's short name of the format.
    bands : tuple of str
        Description of each band, else the colour that it is said to be; '' where neither is said.
    masked : bool
        Whether a mask of its own, inside or beside it, says where there is data.
    values : int
        Pixels times bands; 0 where GDAL does not open the file.
    """

    dtype: str = ""
    driver: str = ""
    bands: tuple[str, ...] = ()
    masked: bool = False
    values: int = 0


def read_header(path: Path) -> Header:
    """The header of an image; an empty one for what GDAL does not open (the contest's reader may)."""
    import warnings

    import rasterio
    from rasterio.enums import MaskFlags
    from rasterio.errors import NotGeoreferencedWarning, RasterioError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(gdal_name(path)) as data:
                # Of many bands the first three are called red, green and blue by default, whatever they are.
                colours = [c.name if data.count <= 4 else "" for c in data.colorinterp]
                names = [
                    text or ("" if colour in ("gray", "grey", "undefined") else colour)
                    for text, colour in zip(data.descriptions, colours, strict=True)
                ]
                flags = data.mask_flag_enums[0]
                masked = MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags
                return Header(data.dtypes[0], data.driver, tuple(names), masked, data.width * data.height * data.count)
    except RasterioError:
        return Header()


@dataclass(frozen=True)
class Band:
    """Values of one band where there is data.

    Attributes
    ----------
    count, zeros, nans : int
        Values that were read where there is data; of these 0; of all values, those that are no finite number.
    low, high : float
        Least and greatest; NaN without any value.
    tops : int
        How often `high` occurs.
    whole : bool
        Whether all are whole numbers.
    sample : (n,) float32 array
        Some of them, evenly spread.
    """

    count: int
    zeros: int
    nans: int
    low: float
    high: float
    tops: int
    whole: bool
    sample: NDArray[np.float32]


@dataclass(frozen=True)
class Look:
    """What was seen of one sensor in one scene.

    Attributes
    ----------
    info : RasterInfo
    headers : tuple of Header
        One a file.
    nodata : float or None
        The number that marks missing pixels, by the configuration or else the first file.
    rows : int
        Rows that were read, of `info.height`.
    missing, black : int
        Pixels, of those read, without data; and with data but 0 in every band.
    bands : tuple of Band
    fingerprint : str
        Digest of the values that were read; '' if they are all the same.
    """

    info: RasterInfo
    headers: tuple[Header, ...]
    nodata: float | None
    rows: int
    missing: int
    black: int
    bands: tuple[Band, ...]
    fingerprint: str

    @property
    def pixels(self) -> int:
        """Pixels that were read."""
        return self.rows * self.info.width


def strips(height: int, share: float) -> list[tuple[int, int]]:
    """Rows (start, stop) to read of an image: all of them for a share of 1, else strips spread evenly.

    Examples
    --------
    >>> strips(600, 1)
    [(0, 256), (256, 512), (512, 600)]
    >>> strips(20_000, 0.01)[:2], len(strips(20_000, 0.01))
    ([(0, 25), (2853, 2878)], 8)
    """
    wanted = max(LEAST_ROWS, int(height * share))
    if share >= 1 or wanted >= height:
        return [(start, min(start + ROWS, height)) for start in range(0, height, ROWS)]
    each = -(-wanted // STRIPS)
    starts = [(height - each) * number // (STRIPS - 1) for number in range(STRIPS)]
    cut = [
        (start, min(start + each, following)) for start, following in zip(starts, [*starts[1:], height], strict=True)
    ]
    return [(low, min(low + ROWS, stop)) for start, stop in cut for low in range(start, stop, ROWS)]


def look(
    files: Sequence[Mapping[str, Any]],
    headers: Sequence[Header],
    options: Mapping[str, Any],
    label: str,
    share: float,
    sample: int,
    tell: Callable[[float], None] = lambda done: None,
) -> Look:
    """Look at one sensor of one scene.

    Parameters
    ----------
    files : sequence of mappings
        As `SensorReader` takes them.
    headers : sequence of Header
        Of each file.
    options : mapping
        The sensor in the configuration: ``bands`` and ``nodata`` count.
    label : str
        Which sensor of which scene, for messages.
    share : float, (0, 1]
        Share of the rows to read; at least `LEAST_ROWS` are.
    sample : int
        Values to keep of each band.
    tell : callable
        Told, block by block, the share that was read.

    Raises
    ------
    MissingInputError, InputError
        As `SensorReader` does, when opening and when reading.

    Notes
    -----
    Memory: `ROWS` rows at a time.
    """
    nodata = options.get("nodata")
    with SensorReader(files, options.get("bands"), nodata, label) as reader:
        info = reader.info
        pieces = strips(info.height, share)
        gather = [_Gather() for _ in range(info.bands)]
        step = max(1, sum(stop - start for start, stop in pieces) * info.width // max(1, sample))
        prints, missing, black, constant = hashlib.sha256(), 0, 0, True
        for number, (start, stop) in enumerate(pieces, 1):
            block, valid = reader.read(start, stop)
            tell(number / len(pieces))
            prints.update(np.ascontiguousarray(block).tobytes())
            constant = constant and bool((block == block[:, :1, :1]).all())
            there = np.ones(block.shape[1:], dtype=bool) if valid is None else valid
            missing += int((~there).sum())
            dark = missing_pixels(block, 0.0)
            black += 0 if dark is None else int((dark & there & np.isfinite(block).all(axis=0)).sum())
            for band, plane in zip(gather, block, strict=True):
                band.add(plane, valid, step)
    rows = sum(stop - start for start, stop in pieces)
    known = info.nodata if nodata is None else float(nodata)
    name = "" if constant else f"{info.width}x{info.height}:{prints.hexdigest()}"
    return Look(info, tuple(headers), known, rows, missing, black, tuple(band.done() for band in gather), name)


class _Gather:
    """Running facts of a band."""

    def __init__(self) -> None:
        self.count = self.zeros = self.nans = self.tops = 0
        self.low, self.high, self.whole = np.inf, -np.inf, True
        self.samples: list[NDArray[np.float32]] = []

    def add(self, plane: NDArray[Any], valid: NDArray[np.bool_] | None, step: int) -> None:
        """Take in a block of rows, and keep each `step`-th value."""
        values = plane.ravel() if valid is None else plane[valid]
        if plane.dtype.kind == "f":
            finite = np.isfinite(plane)
            self.nans += int(plane.size - finite.sum())
            values = values[np.isfinite(values)]
            self.whole = self.whole and bool((values == np.round(values)).all())
        if not values.size:
            return
        low, high = float(values.min()), float(values.max())
        tops = int((values == values.max()).sum())
        if high >= self.high:
            self.tops, self.high = tops + (self.tops if high == self.high else 0), high
        self.low = min(self.low, low)
        self.count += int(values.size)
        self.zeros += int((values == 0).sum()) if low <= 0 <= high else 0
        # an odd way through the rows: a step that divides their width would keep to some columns
        self.samples.append(values[step // 2 :: step | 1].astype(np.float32))

    def done(self) -> Band:
        """The facts."""
        nothing = np.zeros(0, dtype=np.float32)
        sample = np.concatenate(self.samples) if self.samples else nothing
        low, high = (self.low, self.high) if self.count else (np.nan, np.nan)
        return Band(self.count, self.zeros, self.nans, low, high, self.tops, self.whole, sample)


@dataclass(frozen=True)
class Values:
    """Values of one band over scenes: range, percentiles, and what stands out.

    Attributes
    ----------
    low, high, p2, p50, p98 : float
        NaN without any value.
    zeros, tops : float
        Shares of the values that are 0, and that are the sensor's greatest.
    """

    low: float
    p2: float
    p50: float
    p98: float
    high: float
    zeros: float
    tops: float


def merged(bands: Sequence[Band], top: float) -> Values:
    """The values of one band in several scenes together; `top`: the sensor's greatest value."""
    filled = [band for band in bands if band.count]
    count = sum(band.count for band in filled)
    if not count:
        nan = float("nan")
        return Values(nan, nan, nan, nan, nan, 0.0, 0.0)
    samples = np.concatenate([band.sample for band in filled if band.sample.size] or [np.zeros(1, np.float32)])
    p2, p50, p98 = (float(value) for value in np.percentile(samples, [2, 50, 98], method="nearest"))
    tops = sum(band.tops for band in filled if band.high == top)
    zeros = sum(band.zeros for band in filled)
    low, high = min(band.low for band in filled), max(band.high for band in filled)
    return Values(low, p2, p50, p98, high, zeros / count, tops / count)


def bits(high: float) -> int | None:
    """How many bits whole numbers up to `high` need: 8, or 10 to 16 as sensors have them; None for more or none.

    Examples
    --------
    >>> bits(255), bits(1733), bits(2047), bits(16383), bits(70_000)
    (8, 11, 11, 14, None)
    """
    return next((n for n in (8, 10, 11, 12, 13, 14, 15, 16) if 0 <= high < 2**n), None)
