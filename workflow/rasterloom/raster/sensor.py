"""One sensor of a scene: the bands of its files one after another, and where they have data."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from rasterloom.errors import InputError, concerning
from rasterloom.raster.files import Raster, RasterInfo, open_raster
from rasterloom.text import nearest

Nodata = float | Sequence[float | None] | None
"""The digital number of pixels without data: of all bands, or by band where they differ; None if there is none."""


class SensorReader:
    """One sensor of a scene: the bands of one or several files, one after another; a context manager.

    Parameters
    ----------
    files : sequence of mappings
        Each with ``path``, and ``bands``: band numbers from 1 or names, or None (or absent) for all but an alpha band,
        which says where there is data; one that is chosen is data itself.
    bands : int or None
        Number of bands needed; None: as many as there are.
    nodata : float or None
        Digital number of pixels without data; None: as each file says.
    label : str
        Which sensor of which scene, for messages.

    Raises
    ------
    MissingInputError, InputError
        As `open_raster`; and if files disagree in size or georeference, a band is not there, or the number of bands
        is another. They begin with `label`.
    """

    def __init__(self, files: Sequence[Mapping[str, Any]], bands: int | None, nodata: float | None, label: str) -> None:
        self._label = label
        self._stack = ExitStack()
        with concerning(label), self._stack:
            self._rasters = [self._stack.enter_context(open_raster(file["path"])) for file in files]
            pairs = list(zip(self._rasters, files, strict=True))
            self._picks = [picked_bands(raster, file.get("bands")) for raster, file in pairs]
            self._chosen = [file.get("bands") is not None for file in files]
            self._nodata = [nodata_of(r.info, pick, nodata) for r, pick in zip(self._rasters, self._picks, strict=True)]
            self.info = self._merged(bands)
            self._stack = self._stack.pop_all()

    def _merged(self, bands: int | None) -> RasterInfo:
        first = self._rasters[0].info
        for raster in self._rasters[1:]:
            _check_same_grid(self._label, self._rasters[0], raster)
        count = sum(len(pick) for pick in self._picks)
        if bands is not None and count != bands:
            names = ", ".join(str(raster.path) for raster in self._rasters)
            raise InputError(
                f"{self._label}: {names} has {count} band{'s' * (count != 1)} "
                f"(size {first.width} x {first.height}), but {bands} are needed: "
                "check the file, choose bands in a sheet or for `apply` as in FILE[1,2,3], or correct `bands` of the "
                f"sensor in the configuration{self._alpha_hint()}"
            )
        dtype = np.result_type(*(np.dtype(raster.info.dtype) for raster in self._rasters))
        if dtype == np.float64:
            dtype = np.dtype(np.float32)
        placed = next((r.info for r in self._rasters if r.info.transform is not None), first)
        nodata = self._nodata[0] if isinstance(self._nodata[0], float | int) else None
        return RasterInfo(first.width, first.height, count, dtype.name, placed.crs, placed.transform, nodata)

    def refuse_unclear_alpha(self) -> None:
        """Raise InputError if a file has an alpha band of which nobody has said whether it is validity or data.

        Programs call the fourth of four 8-bit bands alpha by default, although it may be near infrared.
        """
        hint = self._alpha_hint()
        if hint and not any(self._chosen):
            raise InputError(
                f"{self._label}: it is not clear how many bands are meant{hint}; "
                f"if it is validity, set `bands` of the sensor in the configuration to {self.info.bands}"
            )

    def _alpha_hint(self) -> str:
        """For the number of bands: that an alpha band was not counted, and how to have it counted."""
        for raster, pick in zip(self._rasters, self._picks, strict=True):
            alpha = raster.info.alpha
            if alpha is not None and alpha not in pick:
                return (
                    f"; {raster.path} calls its band {alpha + 1} alpha, so it is read as validity: "
                    f"if it is data, choose it by its number, {raster.path.name}[1,2,...] in the table"
                )
        return ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    @property
    def files(self) -> list[RasterInfo]:
        """What each file says about its image."""
        return [raster.info for raster in self._rasters]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(bands, height, width)."""
        return self.info.bands, self.info.height, self.info.width

    def read(
        self, start: int, stop: int, bands: Sequence[int] | None = None
    ) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
        """Rows start..stop: values (bands, rows, w) and validity (rows, w), None if all are valid.

        `bands`, from 0, are those that are wanted; None: all. A pixel is valid if every file of the sensor has data
        there (see `missing_pixels`).
        """
        blocks: list[NDArray[Any]] = []
        valid: NDArray[np.bool_] | None = None
        for raster, pick, nodata in zip(self._rasters, self._picks, self._nodata, strict=True):
            with concerning(self._label):
                block = raster.read(start, stop, pick)
                own = raster.mask(start, stop, pick)
            missing = missing_pixels(block, nodata)
            good = None if missing is None else ~missing
            for part in (good, own):
                if part is not None:
                    valid = part if valid is None else valid & part
            blocks.append(block)
        data = blocks[0] if len(blocks) == 1 else np.concatenate(blocks).astype(self.info.dtype, copy=False)
        return data if bands is None else data[list(bands)], None if valid is None or bool(valid.all()) else valid


def picked_bands(raster: Raster, bands: Sequence[int | str] | None) -> list[int]:
    """Bands of an image, from 0.

    Parameters
    ----------
    raster : Raster
    bands : sequence of int or str, or None
        Numbers from 1, or names as the file has them, in letters of any size; None: all but an alpha band.

    Raises
    ------
    InputError
        If there is no such band, or several have that name.
    """
    return raster.info.data_bands if bands is None else [_picked(raster, band) for band in bands]


def _picked(raster: Raster, band: int | str) -> int:
    names = [(known or "").strip() for known in raster.info.names]
    if isinstance(band, int):
        if 1 <= band <= raster.info.bands:
            return band - 1
        raise InputError(
            f"{raster.path} has no band {band}: it has {raster.info.bands}, counted from 1; mend the table"
        )
    found = [number for number, known in enumerate(names) if known.lower() == band.lower()]
    if len(found) == 1:
        return found[0]
    if found:
        numbers = ", ".join(str(number + 1) for number in found)
        raise InputError(f"{raster.path} calls several bands {band!r} ({numbers}): choose one by its number")
    if not any(names):
        raise InputError(
            f"{raster.path} has no band {band!r}: it names none of its {raster.info.bands} bands; choose by number"
        )
    raise InputError(f"{raster.path} has no band {band!r}; {nearest(band, filter(None, names))}")


def nodata_of(info: RasterInfo, bands: Sequence[int], given: float | None) -> Nodata:
    """The digital number of pixels without data in `bands` (from 0): `given` if it is not None, else the file's."""
    if given is not None or not info.band_nodata:
        return info.nodata if given is None else given
    numbers = [info.band_nodata[band] for band in bands]
    return numbers[0] if len(set(numbers)) == 1 else numbers


def _check_same_grid(label: str, one: Raster, other: Raster) -> None:
    a, b = one.info, other.info
    shared = "share their grid"
    if (a.width, a.height) != (b.width, b.height):
        differ, shared = f"measures {a.width} x {a.height}, {other.path} {b.width} x {b.height}", "agree in size"
    elif a.transform is not None and b.transform is not None and not np.allclose(a.transform, b.transform, rtol=1e-9):
        differ = f"and {other.path} have different geotransforms"
    elif a.crs is not None and b.crs is not None and not same_crs(a.crs, b.crs):
        differ = f"and {other.path} name different coordinate systems"
    else:
        return
    raise InputError(f"{label}: {one.path} {differ}: files of one sensor must {shared}; make them sensors of their own")


def same_crs(one: str | None, other: str | None) -> bool:
    """Whether two texts in WKT name the same coordinate system."""
    from rasterio.crs import CRS

    return one == other or bool(CRS.from_wkt(one) == CRS.from_wkt(other))


def missing_pixels(block: NDArray[Any], nodata: Nodata) -> NDArray[np.bool_] | None:
    """Where an image has no data.

    Parameters
    ----------
    block : (bands, rows, W) array
    nodata : float, sequence of float or None by band, or None
        The digital number that says so.

    Returns
    -------
    (rows, W) bool array, or None if nothing can be missing
        True where a band is NaN or infinite, or has the number `nodata`. The number 0 counts only where every band
        has its own: a single band at 0 is a dark pixel.
    """
    missing = ~np.isfinite(block).all(axis=0) if block.dtype.kind == "f" else None
    given = list(nodata) if isinstance(nodata, Sequence) else [nodata] * len(block)
    numbers = [_as_stored(number, block.dtype) for number in given]
    if all(number is None for number in numbers):
        return missing
    some = np.zeros(block.shape[1:], np.bool_) if missing is None else missing
    every = np.ones(block.shape[1:], np.bool_)
    for plane, number in zip(block, numbers, strict=True):
        equal = np.zeros(plane.shape, np.bool_) if number is None else plane == number
        every &= equal
        if number != 0:
            some |= equal
    return some | every


def _as_stored(nodata: float | None, dtype: np.dtype[Any]) -> Any:
    """A number as an array holds it; None if it cannot (NaN, or 0.5 among integers): no pixel has it."""
    if nodata is None or not np.isfinite(nodata):
        return None
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            value = dtype.type(nodata)  # -3.40282347e+38 is a little less than the least number
        return value if np.isfinite(value) else None
    return int(nodata) if nodata == int(nodata) else None
