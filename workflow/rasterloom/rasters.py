"""Reading source images in blocks of rows: GeoTIFF and its kin, and the contest's planar TIFFs.

Values are digital numbers: uint8 becomes uint16, float64 becomes float32, other integers are read as they are.
Files go through rasterio, but for uncompressed TIFFs without georeference: tifffile maps the contest's files (planar,
RGB by their own account though they have eight bands) into memory as they were written.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rasterloom.errors import InputError, MissingInputError
from rasterloom.grid import Matrix

CACHE_BYTES = 256 * 2**20
"""GDAL's cache of decoded blocks; its own default, a twentieth of the machine's memory, is no bound."""

_TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


@dataclass(frozen=True)
class RasterInfo:
    """What a file says about its image.

    Attributes
    ----------
    width, height, bands : int
    dtype : str
        Of the values that are read: a numpy name such as ``uint16``.
    crs : str or None
        WKT of the coordinate system.
    transform : 2 x 3 list of rows or None
        Pixel edge coordinates to map coordinates; None without georeference.
    nodata : float or None
        Digital number of pixels without data.
    alpha : int or None
        Number, from 0, of the band that the file calls alpha, beside others: 0 in it means no data.
    """

    width: int
    height: int
    bands: int
    dtype: str
    crs: str | None
    transform: Matrix | None
    nodata: float | None
    alpha: int | None = None

    @property
    def data_bands(self) -> list[int]:
        """Bands, from 0, that hold data: all but the alpha band."""
        return [band for band in range(self.bands) if band != self.alpha]


class Raster(Protocol):
    """An open image; a context manager."""

    path: Path
    info: RasterInfo

    def read(self, start: int, stop: int, bands: Sequence[int] | None = None) -> NDArray[Any]:
        """Rows start..stop of bands (from 0; None: `info.data_bands`) as a (b, rows, w) array of `info.dtype`."""
        ...

    def mask(self, start: int, stop: int, bands: Sequence[int] | None = None) -> NDArray[np.bool_] | None:
        """Validity of rows start..stop by the file's own mask and alpha band, (rows, w), or None if it has none.

        An alpha band that is among `bands` is data there and masks nothing.
        """
        ...

    def close(self) -> None:
        """Close the file."""
        ...


@contextmanager
def open_raster(path: str | Path) -> Iterator[Raster]:
    """Open an image.

    Parameters
    ----------
    path : str or Path
        A raster that GDAL or tifffile reads.

    Yields
    ------
    Raster

    Raises
    ------
    MissingInputError
        If the file is not there.
    InputError
        If it is not an image, is truncated, or holds something else than bands x rows x columns of real numbers.

    Notes
    -----
    Memory: the rows that are read, and `CACHE_BYTES`; the whole image for a TIFF of several compressed pages.
    """
    raster = _open(Path(path))
    try:
        yield raster
    finally:
        raster.close()


def _open(path: Path) -> Raster:
    if not path.is_file():
        raise MissingInputError(f"{path} is not there: check the data set's folder or table")
    with path.open("rb") as file:
        tiff = file.read(4) in _TIFF_MAGIC
    try:
        dataset: _GdalRaster | None = _GdalRaster(path)
    except InputError:
        if not tiff:
            raise
        dataset = None
    if dataset is not None:
        info = dataset.info
        if not tiff or info.transform is not None or info.crs is not None or info.alpha is not None:
            return dataset
    try:
        planar = _PlanarRaster(path, None if dataset is None else dataset.info)
    except _GdalReadsIt:
        assert dataset is not None
        return dataset
    except InputError:
        if dataset is not None:
            dataset.close()
        raise
    if dataset is not None:
        dataset.close()
    return planar


def _read_dtype(dtype: Any, path: Path) -> np.dtype[Any]:
    kind: np.dtype[Any] = np.dtype(dtype)
    if kind.kind == "b" or kind == np.uint8:
        return np.dtype(np.uint16)
    if kind.kind == "f":
        return np.dtype(np.float32)
    if kind.kind in "iu":
        return np.dtype(kind.name)
    raise InputError(f"{path} holds values of type {kind}: integers or real numbers are needed")


def _checked_rows(info: RasterInfo, start: int, stop: int) -> None:
    if not 0 <= start < stop <= info.height:
        raise ValueError(f"rows {start}..{stop} are not within 0..{info.height}")


class _GdalRaster:
    """An image that rasterio reads."""

    def __init__(self, path: Path) -> None:
        import rasterio
        from rasterio.enums import ColorInterp, MaskFlags
        from rasterio.errors import NotGeoreferencedWarning, RasterioError

        self.path = path
        try:
            with warnings.catch_warnings():
                # An image without georeference is a normal input here: `transform` None says so.
                warnings.simplefilter("ignore", NotGeoreferencedWarning)
                self._dataset = rasterio.open(path)
        except RasterioError as error:
            raise InputError(f"{path} cannot be opened as an image ({error}): check or fetch it again") from None
        data = self._dataset
        if data.count == 0 or len(set(data.dtypes)) != 1:
            raise InputError(f"{path} has bands of types {list(data.dtypes)}: at least one band, all of one type")
        self._native = np.dtype(data.dtypes[0])
        transform = None if data.transform.is_identity else [list(data.transform[:3]), list(data.transform[3:6])]
        flags = data.mask_flag_enums[0]
        self._masked = MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags
        alpha = [band for band, kind in enumerate(data.colorinterp) if kind == ColorInterp.alpha]
        self.info = RasterInfo(
            width=data.width,
            height=data.height,
            bands=data.count,
            dtype=_read_dtype(self._native, path).name,
            crs=data.crs.to_wkt() if data.crs else None,
            transform=transform,
            nodata=None if data.nodata is None or np.isnan(data.nodata) else float(data.nodata),
            alpha=alpha[-1] if alpha and data.count > 1 else None,
        )

    def _window(self, start: int, stop: int) -> Any:
        from rasterio.windows import Window

        _checked_rows(self.info, start, stop)
        return Window(0, start, self.info.width, stop - start)

    def read(self, start: int, stop: int, bands: Sequence[int] | None = None) -> NDArray[Any]:
        indexes = [band + 1 for band in (self.info.data_bands if bands is None else bands)]
        return self._block(start, stop, indexes).astype(self.info.dtype, copy=False)

    def _block(self, start: int, stop: int, indexes: list[int]) -> NDArray[Any]:
        """Rows start..stop of bands, from 1, as the file has them."""
        import rasterio
        from rasterio.errors import RasterioError

        try:
            with rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES):
                return np.asarray(self._dataset.read(indexes, window=self._window(start, stop)))
        except RasterioError as error:
            raise _damaged(self.path, start, stop, error) from None

    def mask(self, start: int, stop: int, bands: Sequence[int] | None = None) -> NDArray[np.bool_] | None:
        good = None
        if self._masked:
            good = np.asarray(self._dataset.dataset_mask(window=self._window(start, stop)) > 0)
        alpha = self.info.alpha
        if alpha is None or (bands is not None and alpha in bands):
            return good
        opaque = np.asarray(self._block(start, stop, [alpha + 1])[0] > 0)
        return opaque if good is None else good & opaque

    def close(self) -> None:
        self._dataset.close()


def _damaged(path: Path, start: int, stop: int, error: Exception) -> InputError:
    return InputError(
        f"{path} cannot be read at rows {start}..{stop} ({error.__cause__ or error}): "
        "it is truncated or damaged; fetch it again"
    )


class _GdalReadsIt(Exception):
    """A compressed TIFF that GDAL sees whole: it decodes more codecs, and in windows."""


class _PlanarRaster:
    """A TIFF without georeference, through tifffile."""

    def __init__(self, path: Path, other: RasterInfo | None) -> None:
        import zlib

        import tifffile

        self.path = path
        try:
            with tifffile.TiffFile(path) as file:
                series = file.series[0]
                mapped = series.dataoffset is not None
                if not mapped and other is not None and series.size == other.bands * other.height * other.width:
                    raise _GdalReadsIt
                axes = series.axes
                array = tifffile.memmap(path, mode="r") if mapped else series.asarray()
        except (tifffile.TiffFileError, ValueError, IndexError, OSError, RuntimeError, zlib.error) as error:
            raise InputError(
                f"{path} cannot be read as a TIFF ({error}): it is truncated or damaged; fetch it again"
            ) from None
        self._array = self._bands_first(np.asarray(array), axes)
        bands, height, width = self._array.shape
        dtype = _read_dtype(self._array.dtype, path)
        self.info = RasterInfo(width, height, bands, dtype.name, None, None, None)

    def _bands_first(self, array: NDArray[Any], axes: str) -> NDArray[Any]:
        if len(axes) != array.ndim:
            raise InputError(f"{self.path} holds an array of shape {array.shape} with axes {axes}: store it planar")
        keep = [i for i, axis in enumerate(axes) if axis in "YX" or array.shape[i] > 1]
        names = "".join(axes[i] for i in keep)
        array = array.reshape([array.shape[i] for i in keep])
        if names == "YX":
            return array[None]
        if len(names) == 3 and names.endswith("YX"):
            return array
        if len(names) == 3 and names.startswith("YX"):
            return np.moveaxis(array, 2, 0)
        raise InputError(
            f"{self.path} holds an array of shape {array.shape} with axes {names}: "
            "one image of bands x rows x columns is needed"
        )

    def read(self, start: int, stop: int, bands: Sequence[int] | None = None) -> NDArray[Any]:
        _checked_rows(self.info, start, stop)
        rows = self._array[:, start:stop] if bands is None else self._array[list(bands), start:stop]
        return np.ascontiguousarray(rows, dtype=self.info.dtype)

    def mask(self, start: int, stop: int, bands: Sequence[int] | None = None) -> NDArray[np.bool_] | None:
        return None

    def close(self) -> None:
        del self._array


class SensorReader:
    """One sensor of a scene: the bands of one or several files, one after another; a context manager.

    Parameters
    ----------
    files : sequence of mappings
        Each with ``path``, and ``bands``: band numbers from 1, or None (or absent) for all but an alpha band, which
        says where there is data; one that is chosen by its number is data itself.
    bands : int or None
        Number of bands needed; None: as many as there are.
    nodata : float or None
        Digital number of pixels without data; None: as each file says.
    label : str
        Which sensor of which scene, for messages.

    Raises
    ------
    MissingInputError, InputError
        As `open_raster`; and if files disagree in size or georeference, or the number of bands is another.
    """

    def __init__(self, files: Sequence[Mapping[str, Any]], bands: int | None, nodata: float | None, label: str) -> None:
        self._label = label
        self._stack = ExitStack()
        with self._stack:
            self._rasters = [self._stack.enter_context(open_raster(file["path"])) for file in files]
            self._picks = [
                _picked(raster, file.get("bands")) for raster, file in zip(self._rasters, files, strict=True)
            ]
            self._chosen = [file.get("bands") is not None for file in files]
            self._nodata = [r.info.nodata if nodata is None else nodata for r in self._rasters]
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
                f"check the file, or `bands` of the sensor in the configuration{self._alpha_hint()}"
            )
        dtype = np.result_type(*(np.dtype(raster.info.dtype) for raster in self._rasters))
        if dtype == np.float64:
            dtype = np.dtype(np.float32)
        return RasterInfo(first.width, first.height, count, dtype.name, first.crs, first.transform, self._nodata[0])

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

    def __enter__(self) -> SensorReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the files."""
        self._stack.close()

    @property
    def shape(self) -> tuple[int, int, int]:
        """(bands, height, width)."""
        return self.info.bands, self.info.height, self.info.width

    def read(self, start: int, stop: int) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
        """Rows start..stop: values (bands, rows, w) and validity (rows, w), None if all are valid.

        A pixel is valid if every file of the sensor has data there (see `missing_pixels`).
        """
        blocks: list[NDArray[Any]] = []
        valid: NDArray[np.bool_] | None = None
        for raster, pick, nodata in zip(self._rasters, self._picks, self._nodata, strict=True):
            block = raster.read(start, stop, pick)
            missing = missing_pixels(block, nodata)
            own = raster.mask(start, stop, pick)
            good = None if missing is None else ~missing
            for part in (good, own):
                if part is not None:
                    valid = part if valid is None else valid & part
            blocks.append(block)
        data = blocks[0] if len(blocks) == 1 else np.concatenate(blocks).astype(self.info.dtype, copy=False)
        return data, None if valid is None or bool(valid.all()) else valid


def _picked(raster: Raster, bands: Sequence[int] | None) -> list[int]:
    if bands is None:
        return raster.info.data_bands
    wrong = [band for band in bands if not 1 <= band <= raster.info.bands]
    if wrong:
        raise InputError(
            f"{raster.path} has no band {wrong[0]}: it has {raster.info.bands}, counted from 1; mend the table"
        )
    return [band - 1 for band in bands]


def _check_same_grid(label: str, one: Raster, other: Raster) -> None:
    a, b = one.info, other.info
    if (a.width, a.height) != (b.width, b.height):
        raise InputError(
            f"{label}: {one.path} measures {a.width} x {a.height}, {other.path} {b.width} x {b.height}: "
            "files of one sensor must agree in size; make them sensors of their own"
        )
    if a.transform is not None and b.transform is not None and not np.allclose(a.transform, b.transform, rtol=1e-9):
        raise InputError(
            f"{label}: {one.path} and {other.path} have different geotransforms: "
            "files of one sensor must share their grid; make them sensors of their own"
        )


def missing_pixels(block: NDArray[Any], nodata: float | None) -> NDArray[np.bool_] | None:
    """Where an image has no data.

    Parameters
    ----------
    block : (bands, rows, W) array
    nodata : float or None
        The digital number that says so.

    Returns
    -------
    (rows, W) bool array, or None if nothing can be missing
        True where a band is NaN or infinite, or has the number `nodata`. The number 0 counts only where every band
        has it: a single band at 0 is a dark pixel.
    """
    missing = ~np.isfinite(block).all(axis=0) if block.dtype.kind == "f" else None
    if nodata is None or np.isnan(nodata) or (block.dtype.kind != "f" and nodata != int(nodata)):
        return missing
    equal = block == (block.dtype.type(nodata) if block.dtype.kind == "f" else int(nodata))
    empty = np.asarray(equal.all(axis=0) if nodata == 0 else equal.any(axis=0))
    return empty if missing is None else empty | missing
