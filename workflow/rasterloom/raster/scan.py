"""One pass over a sensor's files: content digest, moments of each band, and facts about its values."""

import contextlib
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from rasterloom.dataset.archive import check_member
from rasterloom.dataset.source_files import Folders, SourceFile, existing
from rasterloom.errors import InputError, concerning
from rasterloom.raster.files import Raster, open_raster
from rasterloom.raster.sensor import SensorReader, missing_pixels, nodata_of, picked_bands
from rasterloom.store.digest import BLOCK_ROWS, ArrayDigest, digest
from rasterloom.store.files import read_json, write_json

SATURATED_SHARE = 0.001
"""Share of a band's pixels with data at the end of its range from which the band counts as saturated."""

SCAN_VERSION = 4
"""Raised when the meaning of a scan changes: part of its digest, and of the name under which it is remembered."""

FACTS_VERSION = 1
"""Raised when the meaning of `BandFacts` alone changes: part of the name under which a scan is remembered."""

LEAST_BITS = 8
"""A largest value of 2^k - 1, with k from here on, counts as the end of a sensor's range: 255, 2047, 16383, ..."""

LEVELS = 16
"""Highest whole numbers of a band whose pixels are counted."""

HEAPED = 8
"""Times as many pixels as at any of the levels below it from which another largest value ends a range."""

FRESH_NS = 2_000_000_000
"""A file changed more recently than this may change again within its time stamp: its scan is not remembered."""


@dataclass(frozen=True)
class Moments:
    """Count, mean and sum of squared deviations of numbers; those of parts merge to those of the whole."""

    count: int = 0
    mean: float = 0.0
    m2: float = 0.0

    @classmethod
    def of(cls, values: NDArray[Any]) -> Self:
        """The moments of finite numbers, an array of any shape (N, ...), computed in float64."""
        if not values.size:
            return cls()
        numbers = values.astype(np.float64).ravel()
        mean = float(numbers.mean())
        numbers -= mean
        np.square(numbers, out=numbers)
        return cls(int(numbers.size), mean, float(numbers.sum()))

    def __add__(self, other: Self) -> Self:
        """The moments of both together (Chan, Golub and LeVeque)."""
        count = self.count + other.count
        if not count:
            return self
        delta = other.mean - self.mean
        mean = self.mean + delta * other.count / count
        return type(self)(count, mean, self.m2 + other.m2 + delta * delta * self.count * other.count / count)

    @property
    def deviation(self) -> float:
        """Standard deviation (of the numbers, not estimated for a population); 0 without numbers."""
        return float(np.sqrt(self.m2 / self.count)) if self.count else 0.0


def statistics_of(bands: Sequence[Moments]) -> dict[str, list[Any]]:
    """Mean, deviation and number of pixels of bands, as they are written."""
    names = {"mean": "mean", "sd": "deviation", "count": "count"}
    return {name: [getattr(band, own) for band in bands] for name, own in names.items()}


@dataclass(frozen=True)
class BandFacts:
    """What is odd about the values of a band.

    Attributes
    ----------
    low, high : float, int or None
        Smallest and largest value of pixels with data; None if there is none.
    missing : int
        Pixels without data in the sensor's file, by any of its bands or its mask.
    not_finite : int
        Pixels that are NaN or infinite in this band, among those.
    top : tuple of (value, number)
        Whole numbers of less than `LEVELS` below `high` that occur, ascending, and how many pixels with data have each.
    """

    low: float | None = None
    high: float | None = None
    missing: int = 0
    not_finite: int = 0
    top: tuple[tuple[float, int], ...] = ()

    @property
    def full(self) -> int:
        """Pixels at `high`, if it may be the end of the sensor's range; else 0.

        It may where it is 2^k - 1, and where values are heaped on it as those beyond a limit are: many times as many
        pixels as at any of the levels below, some of which have pixels too.
        """
        if self.high is None or self.high < 2**LEAST_BITS - 1 or not self.top or self.top[-1][0] != self.high:
            return 0
        *others, here = (number for _, number in self.top)
        ends = int(self.high) & (int(self.high) + 1) == 0
        return here if ends or here > HEAPED * max(others, default=here) else 0

    @classmethod
    def of(cls, plane: NDArray[Any], good: NDArray[Any]) -> Self:
        """The facts of (rows, W) numbers of a band, and of the (N,) among them that are data."""
        missing = plane.size - good.size
        not_finite = int(np.count_nonzero(~np.isfinite(plane))) if missing and plane.dtype.kind == "f" else 0
        if not good.size:
            return cls(missing=missing, not_finite=not_finite)
        low, high = good.min().item(), good.max().item()
        near = good[good > high - LEVELS]
        levels, numbers = np.unique(near[near == np.floor(near)], return_counts=True)
        return cls(low, high, missing, not_finite, tuple(zip(levels.tolist(), numbers.tolist(), strict=True)))

    def __add__(self, other: Self) -> Self:
        """The facts of both parts of a band."""
        lows = [part.low for part in (self, other) if part.low is not None]
        highs = [part.high for part in (self, other) if part.high is not None]
        high, top = max(highs, default=None), Counter(dict(self.top)) + Counter(dict(other.top))
        kept = tuple(sorted((level, n) for level, n in top.items() if high is not None and level > high - LEVELS))
        pixels = self.missing + other.missing, self.not_finite + other.not_finite
        return type(self)(min(lows, default=None), high, *pixels, kept)


def band_facts(facts: Mapping[str, Any]) -> BandFacts:
    """The facts of a band as JSON holds them."""
    return BandFacts(**{**facts, "top": tuple(map(tuple, facts["top"]))})


@dataclass(frozen=True)
class Scan:
    """What one pass over a sensor finds.

    Attributes
    ----------
    digest : str
        Over decoded values (after uint8 -> uint16, float64 -> float32), masks, georeference and no-data values, and
        `SCAN_VERSION`, as a registration keeps the moments too.
    dtype : str
        ``uint16`` if all values are integers in 0..65535 (but for no-data), else ``float32``: how stacks hold them.
    moments : tuple of Moments
        One per band, over finite values that are not no-data.
    facts : tuple of BandFacts
        One per band.
    """

    digest: str
    dtype: str
    moments: tuple[Moments, ...]
    facts: tuple[BandFacts, ...]


def scan_sensor(
    files: Sequence[Mapping[str, Any]],
    nodata: float | None,
    label: str,
    memory: Path | None = None,
    reading: Callable[[int], bool] = lambda size: True,
) -> Scan:
    """Scan the files of a sensor.

    Parameters
    ----------
    files : sequence of mappings
        Each with ``path`` and optionally ``bands`` (numbers from 1, or names), ``size``, ``mtime_ns``
        and ``crc``.
    nodata : float or None
        Digital number of pixels without data; None: as each file says.
    label : str
        Which sensor of which scene, for messages.
    memory : Path or None
        Folder in which scans are remembered by path, size and time, so that a file is read once.
    reading : callable
        Hears, with its bytes, of each file that must be read in full; says whether its scan is to be remembered.

    Returns
    -------
    Scan

    Raises
    ------
    InputError
        If a file cannot be read or has changed since the workflow was planned; names it.

    Notes
    -----
    Memory: 256 rows of one file.
    """
    with SensorReader(files, None, nodata, label):
        pass
    parts = [_scan_file(file, nodata, label, memory, reading) for file in files]
    integers = all(part.dtype == "uint16" for part in parts)
    moments = tuple(m for part in parts for m in part.moments)
    total = parts[0].digest if len(parts) == 1 else digest([part.digest for part in parts])
    facts = tuple(band for part in parts for band in part.facts)
    return Scan(total, "uint16" if integers else "float32", moments, facts)


def check_unchanged(file: Mapping[str, Any], label: str) -> SourceFile:
    """The state of a file; an error if it is gone or is not the one that the workflow was planned with."""
    now = existing(Path(file["path"]), label, "check the data set's folder or table", folders=Folders())
    planned = (file.get("size", now.size), file.get("mtime_ns", now.mtime_ns), file.get("crc", now.crc))
    beside = [list(entry) for entry in now.sidecars]
    if planned != (now.size, now.mtime_ns, now.crc) or file.get("sidecars", beside) != beside:
        raise InputError(
            f"{label}: {file['path']} has changed since the run was planned (size or time differ, its own or "
            "those of a file beside it, such as a world file): start the workflow again"
        )
    return now


def _scan_file(
    file: Mapping[str, Any], nodata: float | None, label: str, memory: Path | None, reading: Callable[[int], bool]
) -> Scan:
    now = check_unchanged(file, label)
    path, bands = str(Path(file["path"]).absolute()), file.get("bands")
    stamp = [path, now.size, now.mtime_ns, now.crc, bands, nodata, now.sidecars]
    name = digest([SCAN_VERSION, FACTS_VERSION, *stamp])[:32]
    remembered = None if memory is None else memory / f"{name}.json"
    # A member of an archive is known by its checksum.
    changed = 0 if now.crc is not None else max([now.mtime_ns, *(seen for _, _, seen in now.sidecars)])
    stable = time.time_ns() - changed > FRESH_NS
    if remembered is not None and stable and (known := _remembered(remembered)) is not None:
        with contextlib.suppress(OSError):
            os.utime(remembered)  # `gc` forgets what nobody has asked for in a month
        return known
    keep = reading(now.size)
    with concerning(label):
        if now.crc is not None:
            check_member(Path(file["path"]))
        with open_raster(file["path"]) as raster:
            found = scan_raster(raster, picked_bands(raster, bands), nodata)
    check_unchanged({"size": now.size, "mtime_ns": now.mtime_ns, "crc": now.crc, **file}, label)
    if remembered is not None and stable and keep:
        with contextlib.suppress(OSError):  # as where the store is read-only
            write_json(remembered, asdict(found))
    return found


def _remembered(path: Path) -> Scan | None:
    try:
        value = read_json(path)
        moments = tuple(Moments(**band) for band in value["moments"])
        return Scan(value["digest"], value["dtype"], moments, tuple(map(band_facts, value["facts"])))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def scan_raster(raster: Raster, bands: Sequence[int] | None = None, nodata: float | None = None) -> Scan:
    """Digest, moments and facts of an open image in one pass; see `Scan` and `scan_sensor`.

    Parameters
    ----------
    raster : Raster
    bands : sequence of int, from 0, or None for all but an alpha band
    nodata : float or None
        None: as the file says.
    """
    info = raster.info
    picks = info.data_bands if bands is None else list(bands)
    number = nodata_of(info, picks, nodata)
    values = ArrayDigest("data", info.dtype, (len(picks), info.height, info.width))
    masks: ArrayDigest | None = None
    moments = [Moments() for _ in picks]
    facts = [BandFacts() for _ in picks]
    for start in range(0, info.height, BLOCK_ROWS):
        stop = min(start + BLOCK_ROWS, info.height)
        block = raster.read(start, stop, picks)
        values.update(block)
        own = raster.mask(start, stop, picks)
        if own is not None:
            masks = masks or ArrayDigest("mask", np.uint8, (info.height, info.width))
            masks.update(own.astype(np.uint8))
        missing = missing_pixels(block, number)
        excluded = missing if own is None else ~own if missing is None else missing | ~own
        for band, plane in enumerate(block):
            good = plane if excluded is None else plane[~excluded]
            moments[band] = moments[band] + Moments.of(good)
            facts[band] = facts[band] + BandFacts.of(plane, good)
    content = {
        "scan": SCAN_VERSION,
        "data": values.hexdigest(),
        "mask": None if masks is None else masks.hexdigest(),
        "transform": info.transform,
        "crs": info.crs,
        "nodata": number if info.band_nodata else info.nodata,
    }
    fits = np.dtype(info.dtype).kind in "iu" and all((f.low or 0) >= 0 and (f.high or 0) <= 65535 for f in facts)
    return Scan(digest(content), "uint16" if fits else "float32", tuple(moments), tuple(facts))
