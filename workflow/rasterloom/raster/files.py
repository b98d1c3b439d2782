"""One image file, read in blocks of rows: GeoTIFF and its kin, and the contest's planar TIFFs.

Values are digital numbers: uint8 becomes uint16, float64 becomes float32, other integers are read as they are.
Files go through rasterio, but for uncompressed TIFFs of which nothing but pixels is known: tifffile maps the contest's
files (planar, RGB by their own account though they have eight bands) into memory as they were written. A member of a
zip archive is unpacked into memory and read in the same way.
"""

from __future__ import annotations

import io
import secrets
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rasterloom.dataset.archive import member_folder, open_stream, read_member, split_member
from rasterloom.dataset.source_files import Folders
from rasterloom.errors import InputError, MissingInputError
from rasterloom.raster.grid import Matrix

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
        Digital number of pixels without data, where all bands have the same.
    alpha : int or None
        Number, from 0, of the band that the file calls alpha, beside others: 0 in it means no data.
    names : tuple of str or None
        What the file calls each band; empty if it names none.
    band_nodata : tuple of float or None
        Digital number of pixels without data by band, where they differ; else empty.
    stored : str
        Type of the values in the file, such as ``uint8``.
    driver : str
        Short name of the format, such as ``GTiff``.
    masked : bool
        Whether a mask of the file's own, inside or beside it, says where there is data.
    colours : tuple of str
        What each of up to four bands shows by the file's header, such as ``red``; empty for more bands, as formats
        then call the first three red, green and blue whatever they are.
    """

    width: int
    height: int
    bands: int
    dtype: str
    crs: str | None
    transform: Matrix | None
    nodata: float | None
    alpha: int | None = None
    names: tuple[str | None, ...] = ()
    band_nodata: tuple[float | None, ...] = ()
    stored: str = ""
    driver: str = "TIFF"
    masked: bool = False
    colours: tuple[str, ...] = ()

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
        A raster that GDAL or tifffile reads; ``archive.zip!folder/image.tif`` for a member of an archive.

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
    Memory: the rows that are read, and `CACHE_BYTES`; the whole image for a TIFF of several compressed pages and for a
    member of an archive.
    """
    raster = _open(Path(path))
    try:
        yield raster
    finally:
        raster.close()


@dataclass(frozen=True)
class _Packed:
    """A member of an archive and what lies beside it, unpacked."""

    data: bytes
    beside: dict[str, bytes]


def _unpacked(path: Path) -> _Packed | None:
    """A member of an archive; None for a plain file."""
    named = split_member(path)
    if named is None:
        return None
    archive, member = named
    folder, _ = member_folder(member)
    sidecars = Folders().sidecars(path)
    return _Packed(read_member(archive, member), {name: read_member(archive, folder + name) for name, *_ in sidecars})


def _open(path: Path) -> Raster:
    packed = _unpacked(path)
    first = _first_bytes(path) if packed is None else packed.data[:4]
    if not first:
        raise InputError(f"{path} is empty: fetch it again")
    tiff = first in _TIFF_MAGIC
    try:
        dataset: _GdalRaster | None = _GdalRaster(path, packed)
    except _NotOpened as error:
        if not tiff:
            raise InputError(str(error)) from None
        dataset = None
    if dataset is not None and not (tiff and dataset.plain):
        return dataset
    try:
        planar = _PlanarRaster(path, packed, None if dataset is None else dataset.info)
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


def _first_bytes(path: Path) -> bytes:
    """The first four bytes of a plain file, which must be one: a pipe would be waited for without end."""
    if not path.is_file():
        what = "a folder" if path.is_dir() else "a pipe or a device" if path.exists() else "not there"
        raise MissingInputError(f"{path} is {what}: check the data set's folder or table")
    try:
        with path.open("rb") as file:
            return file.read(4)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): check its permissions and the disk") from None


def _read_dtype(dtype: Any, path: Path) -> np.dtype[Any]:
    kind: np.dtype[Any] = np.dtype(dtype)
    if kind.kind == "b" or kind == np.uint8:
        return np.dtype(np.uint16)
    if kind.kind == "f":
        return np.dtype(np.float32)
    if kind.kind in "iu":
        return np.dtype(kind.name)
    raise InputError(
        f"{path} holds values of type {kind}: integers or real numbers are needed; convert it, or take a part of it"
    )


def _checked_rows(info: RasterInfo, start: int, stop: int) -> None:
    if not 0 <= start < stop <= info.height:
        raise ValueError(f"rows {start}..{stop} are not within 0..{info.height}")


class _NotOpened(Exception):
    """GDAL does not open the file; the message says so."""


class _GdalRaster:
    """An image that rasterio reads."""

    def __init__(self, path: Path, packed: _Packed | None) -> None:
        from rasterio._err import CPLE_BaseError
        from rasterio.enums import MaskFlags

        self.path = path
        self._stack = ExitStack()
        with self._stack:
            try:
                data = self._dataset = self._opened(packed)
                self._native = self._type_of_bands()
                flags = data.mask_flag_enums[0]
                self._masked = MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags
                self.info = self._described()
            except CPLE_BaseError as error:  # rasterio raises it as it is where it asks for colours of bands
                raise self._not_opened(str(error)) from None
            self._stack = self._stack.pop_all()

    def _type_of_bands(self) -> np.dtype[Any]:
        kinds = list(self._dataset.dtypes)
        if len(set(kinds)) != 1:
            raise InputError(
                f"{self.path} has bands of types {kinds}: at least one band, all of one type, are needed; "
                "convert them to one (gdal_translate -ot)"
            )
        kind: np.dtype[Any] = np.dtype(kinds[0])
        return kind

    def _not_opened(self, reason: str) -> _NotOpened:
        return _NotOpened(f"{self.path} cannot be opened as an image ({reason}): check what it is, or fetch it again")

    def _opened(self, packed: _Packed | None) -> Any:
        import rasterio
        from rasterio.errors import NotGeoreferencedWarning, RasterioError
        from rasterio.io import MemoryFile

        # By its absolute path: GDAL takes `http:x.tif` or `s3:x.tif` for something else than a file.
        name = str(self.path.absolute())
        if packed is not None:
            folder = secrets.token_hex(8)
            for beside, data in packed.beside.items():
                self._stack.enter_context(MemoryFile(data, dirname=folder, filename=beside))
            own = self.path.name.rpartition("!")[2]
            name = self._stack.enter_context(MemoryFile(packed.data, dirname=folder, filename=own)).name
        try:
            with warnings.catch_warnings():
                # An image without georeference is a normal input here: `transform` None says so.
                warnings.simplefilter("ignore", NotGeoreferencedWarning)
                return self._stack.enter_context(rasterio.open(Path(name) if packed is None else name))
        except (RasterioError, UnicodeDecodeError) as error:
            reason = str(error).replace(f"'{name}' ", "").replace(name, self.path.name).rstrip(".")
            raise self._not_opened(reason) from None

    def _described(self) -> RasterInfo:
        from rasterio.enums import ColorInterp

        data = self._dataset
        alpha = [band for band, kind in enumerate(data.colorinterp) if kind == ColorInterp.alpha]
        self._refuse_palette()
        nodata = [None if n is None or np.isnan(n) else float(n) for n in data.nodatavals]
        return RasterInfo(
            width=data.width,
            height=data.height,
            bands=data.count,
            dtype=_read_dtype(self._native, self.path).name,
            crs=data.crs.to_wkt() if data.crs else None,
            transform=self._transform(),
            nodata=nodata[0],
            alpha=alpha[-1] if alpha and data.count > 1 else None,
            names=tuple(data.descriptions) if any(data.descriptions) else (),
            band_nodata=tuple(nodata) if len(set(nodata)) > 1 else (),
            stored=self._native.name,
            driver=data.driver,
            masked=self._masked,
            colours=tuple(kind.name for kind in data.colorinterp) if data.count <= 4 else (),
        )

    def _transform(self) -> Matrix | None:
        """The geotransform; None without one."""
        data = self._dataset
        rows = [list(data.transform[:3]), list(data.transform[3:6])]
        if data.transform.is_identity:
            points, _ = data.gcps
            if points:
                raise InputError(
                    f"{self.path} is placed by {len(points)} ground control points alone: rectify it first "
                    "(gdalwarp image.tif rectified.tif), or drop them to work in its pixels (gdal_translate -nogcp)"
                )
            return None
        (a, b, _), (d, e, _) = rows
        if not np.isfinite(rows).all() or a * e - b * d == 0:
            raise InputError(
                f"{self.path} has the geotransform {rows}, which maps the image onto a line or nowhere: mend it "
                "(gdal_edit -a_ullr), or its world file"
            )
        return rows

    def _refuse_palette(self) -> None:
        """Numbers of colours are no brightness, but those of a ramp of greys, as bilevel images have it, are."""
        from rasterio.enums import ColorInterp

        if self._dataset.count > 1 or self._dataset.colorinterp[0] != ColorInterp.palette:
            return
        colours = np.array([colour[:3] for _, colour in sorted(self._dataset.colormap(1).items())])
        steps = np.diff(colours[:, 0])
        grey = bool((colours == colours[:, :1]).all())
        if not (grey and ((steps >= 0).all() or (steps <= 0).all())):
            raise InputError(
                f"{self.path} holds numbers of colours in a palette, not brightness: expand it "
                "(gdal_translate -expand rgb)"
            )

    @property
    def plain(self) -> bool:
        """Whether nothing but pixels is known of the image."""
        info = self.info
        known = (info.transform, info.crs, info.alpha, info.nodata)
        return all(value is None for value in known) and not info.band_nodata and not self._masked

    def _window(self, start: int, stop: int) -> Any:
        from rasterio.windows import Window

        _checked_rows(self.info, start, stop)
        return Window(0, start, self.info.width, stop - start)

    def read(self, start: int, stop: int, bands: Sequence[int] | None = None) -> NDArray[Any]:
        indexes = [band + 1 for band in (self.info.data_bands if bands is None else bands)]
        block = self._block(start, stop, indexes)
        with np.errstate(over="ignore"):  # a float64 beyond float32 becomes infinite, so missing
            return block.astype(self.info.dtype, copy=False)

    def _block(self, start: int, stop: int, indexes: list[int]) -> NDArray[Any]:
        """Rows start..stop of bands, from 1, or of the mask if none is given, as the file has them."""
        import rasterio
        from rasterio.errors import RasterioError

        window = self._window(start, stop)
        try:
            with rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES):
                data = self._dataset
                return np.asarray(data.read(indexes, window=window) if indexes else data.dataset_mask(window=window))
        except (RasterioError, MemoryError) as error:  # a header that lies may ask for rows of terabytes
            raise _damaged(self.path, start, stop, error) from None

    def mask(self, start: int, stop: int, bands: Sequence[int] | None = None) -> NDArray[np.bool_] | None:
        good = np.asarray(self._block(start, stop, []) > 0) if self._masked else None
        alpha = self.info.alpha
        if alpha is None or (bands is not None and alpha in bands):
            return good
        opaque = np.asarray(self._block(start, stop, [alpha + 1])[0] > 0)
        return opaque if good is None else good & opaque

    def close(self) -> None:
        self._stack.close()


def _damaged(path: Path, start: int, stop: int, error: Exception) -> InputError:
    return InputError(
        f"{path} cannot be read at rows {start}..{stop} ({error.__cause__ or error}): "
        "it is truncated or damaged; fetch it again"
    )


class _GdalReadsIt(Exception):
    """A compressed TIFF that GDAL sees whole: it decodes more codecs, and in windows."""


class _PlanarRaster:
    """A TIFF without georeference, through tifffile."""

    def __init__(self, path: Path, packed: _Packed | None, other: RasterInfo | None) -> None:
        self.path = path
        array, axes = self._mapped(packed, other)
        self._array = self._bands_first(array, axes)
        bands, height, width = self._array.shape
        if not self._array.size:
            raise InputError(f"{path} holds an image of {width} x {height} pixels: it is damaged; fetch it again")
        dtype, stored = _read_dtype(self._array.dtype, path).name, self._array.dtype.name
        info = RasterInfo(width, height, bands, dtype, None, None, None, stored=stored)
        if other is not None and other.bands == bands:
            info = replace(info, names=other.names, driver=other.driver, colours=other.colours)
        self.info = info

    def _mapped(self, packed: _Packed | None, other: RasterInfo | None) -> tuple[NDArray[Any], str]:
        """The array of the first series, mapped or decoded, and its axes."""
        import struct
        import zlib

        import tifffile

        try:
            with tifffile.TiffFile(self.path if packed is None else io.BytesIO(packed.data)) as file:
                series = file.series[0]
                offset = series.dataoffset
                if offset is None and other is not None and series.size == other.bands * other.height * other.width:
                    raise _GdalReadsIt
                if offset is None:
                    array = series.asarray()
                elif packed is None:
                    array = tifffile.memmap(self.path, mode="r")
                else:
                    kind = np.dtype(series.dtype).newbyteorder(file.byteorder)
                    array = np.frombuffer(packed.data, kind, series.size, offset).reshape(series.shape)
                return np.asarray(array), series.axes
        except (
            tifffile.TiffFileError,
            ValueError,
            LookupError,
            TypeError,
            ArithmeticError,
            OSError,
            RuntimeError,
            MemoryError,
            struct.error,
            zlib.error,
        ) as error:
            raise InputError(
                f"{self.path} cannot be read as a TIFF ({error}): it is truncated or damaged; fetch it again"
            ) from None

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


def tiff_size(path: Path) -> tuple[int, int]:
    """Width and height of a TIFF, from its header alone.

    Raises
    ------
    MissingInputError
        If the file is not there.
    InputError
        If it is not a TIFF.
    """
    import tifffile

    try:
        with open_stream(path) as stream, tifffile.TiffFile(stream) as file:
            page = file.pages[0]
            return int(page.shape[page.axes.index("X")]), int(page.shape[page.axes.index("Y")])
    except FileNotFoundError:
        raise MissingInputError(f"{path} is not there any more: put it back and run again") from None
    except (tifffile.TiffFileError, ValueError, IndexError, OSError) as error:
        raise InputError(f"{path} cannot be read as a TIFF ({error}): unpack it again") from None
