"""One image file, read in blocks of rows: GeoTIFF and its kin, and the contest's planar TIFFs.

Values are digital numbers: uint8 becomes uint16, float64 becomes float32, other integers are read as they are.
Files go through rasterio. TIFFs of which nothing but pixels is known are mapped into memory: of the contest's, which
are planar with each band in one piece, GDAL would read whole bands. A member of a zip archive is read in place, by its
``/vsizip/`` name.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rasterloom.dataset.archive import check_member, gdal_name, open_stream, split_member
from rasterloom.errors import InputError, MissingInputError, RasterloomError
from rasterloom.raster.grid import Matrix, rows_of

CACHE_BYTES = 256 * 2**20
"""GDAL's cache of decoded blocks; its own default, a twentieth of the machine's memory, is no bound."""

BLOCK_BYTES = 2**31
"""Most that a block, which is decoded as a whole, may take: a strip of an image of 20000 x 20000 x 2 bytes is half."""


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
    bands: int = 1
    dtype: str = "uint16"
    crs: str | None = None
    transform: Matrix | None = None
    nodata: float | None = None
    alpha: int | None = None
    names: tuple[str | None, ...] = ()
    band_nodata: tuple[float | None, ...] = ()
    stored: str = ""
    driver: str = "TIFF"
    masked: bool = False
    colours: tuple[str, ...] = ()

    @property
    def plain(self) -> bool:
        """Whether nothing but pixels is known of the image."""
        known = (self.transform, self.crs, self.alpha, self.nodata)
        return all(value is None for value in known) and not self.band_nodata and not self.masked

    @property
    def data_bands(self) -> list[int]:
        """Bands, from 0, that hold data: all but the alpha band."""
        return [band for band in range(self.bands) if band != self.alpha]


class Raster:
    """An open image, read in blocks of rows.

    Parameters
    ----------
    path : Path
    info : RasterInfo
    pages : sequence of rasterio datasets
        The image, or one for each band.
    """

    def __init__(self, path: Path, info: RasterInfo, pages: Sequence[Any]) -> None:
        self.path, self.info, self._pages = path, info, pages

    def read(self, start: int, stop: int, bands: Sequence[int] | None = None) -> NDArray[Any]:
        """Rows start..stop of bands.

        Parameters
        ----------
        start, stop : int
        bands : sequence of int or None
            Numbers from 0; None: `RasterInfo.data_bands`.

        Returns
        -------
        (B, stop - start, W) array of `RasterInfo.dtype`

        Raises
        ------
        InputError
            If the file is truncated or damaged there.
        """
        if not 0 <= start < stop <= self.info.height:
            raise ValueError(f"rows {start}..{stop} are not within 0..{self.info.height}")
        picked = self.info.data_bands if bands is None else list(bands)
        with np.errstate(over="ignore"):  # a float64 beyond float32 becomes infinite, so missing
            return np.ascontiguousarray(self._rows(start, stop, picked), dtype=self.info.dtype)

    def mask(self, start: int, stop: int, bands: Sequence[int] | None = None) -> NDArray[np.bool_] | None:
        """Validity of rows start..stop by the file's own mask and alpha band.

        Returns
        -------
        (stop - start, W) bool array or None
            None if the file has neither. An alpha band that is among `bands` is data there and masks nothing.
        """
        good = np.asarray(self._rows(start, stop, []) > 0) if self.info.masked else None
        alpha = self.info.alpha
        if alpha is None or (bands is not None and alpha in bands):
            return good
        opaque = np.asarray(self._rows(start, stop, [alpha])[0] > 0)
        return opaque if good is None else good & opaque

    def _rows(self, start: int, stop: int, bands: list[int]) -> NDArray[Any]:
        """Rows of bands, from 0, in the type that the file has them in or, if none is given, of the file's mask."""
        import rasterio
        from rasterio.errors import RasterioError
        from rasterio.windows import Window

        data, window = self._pages[0], Window(0, start, self.info.width, stop - start)
        try:
            with rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES):
                if not bands:
                    return np.asarray(data.dataset_mask(window=window))
                if len(self._pages) > 1:
                    return np.stack([self._pages[band].read(1, window=window) for band in bands])
                return np.asarray(data.read([band + 1 for band in bands], window=window))
        except (RasterioError, MemoryError) as error:  # a header that lies may ask for rows of terabytes
            raise InputError(
                f"{self.path} cannot be read at rows {start}..{stop} ({error.__cause__ or error}): "
                "it is truncated or damaged; fetch it again"
            ) from None


@contextmanager
def open_raster(path: str | Path) -> Iterator[Raster]:
    """Open an image.

    Parameters
    ----------
    path : str or Path
        A raster that GDAL reads; ``archive.zip!folder/image.tif`` for a member of an archive.

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
    Memory: the rows that are read, a block of at most `BLOCK_BYTES`, and `CACHE_BYTES`.
    """
    with ExitStack() as opened:
        yield _opened(Path(path), opened)


def raster_info(path: str | Path) -> RasterInfo:
    """What a file says about its image, from its header; see `open_raster`."""
    with open_raster(path) as raster:
        return raster.info


@contextmanager
def open_dataset(path: Path, page: str = "", mapped: bool = False) -> Iterator[Any]:
    """Open a file, or a member of an archive, or a page of one by its name in `subdatasets`, with rasterio.

    Parameters
    ----------
    path : Path
    page : str
    mapped : bool
        An uncompressed TIFF is mapped into memory.

    Raises
    ------
    InputError
        If GDAL knows no such format, or the header is damaged.
    """
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning, RasterioError

    # By its absolute path: GDAL takes `http:x.tif` or `s3:x.tif` for something else than a file.
    name = gdal_name(path)
    try:
        with warnings.catch_warnings():
            # An image without georeference is a normal input here: `transform` None says so.
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.Env(GTIFF_VIRTUAL_MEM_IO=mapped):
                dataset = rasterio.open(page or (path.absolute() if split_member(path) is None else name))
    except (RasterioError, UnicodeDecodeError) as error:
        reason = str(error).replace(f"'{name}' ", "").replace(name, path.name).rstrip(".")
        raise _not_an_image(path, reason) from None
    with dataset:
        yield dataset


def _not_an_image(path: Path, reason: str) -> InputError:
    remedy = "check what it is; if it is truncated or damaged, fetch it again"
    return InputError(f"{path} cannot be opened as an image ({reason}): {remedy}")


def _opened(path: Path, stack: ExitStack) -> Raster:
    from rasterio._err import CPLE_BaseError

    if not _first_byte(path):
        raise InputError(f"{path} is empty: fetch it again")
    try:
        dataset = stack.enter_context(open_dataset(path))
        info, pages = _described(path, dataset), [dataset]
    except CPLE_BaseError as error:  # rasterio raises it as it is where it asks for colours of bands
        raise _not_an_image(path, str(error)) from None
    except InputError:
        if split_member(path) is not None:
            check_member(path)
        raise
    if info.driver == "GTiff" and info.plain:
        names, kind = dataset.subdatasets or [""], (dataset.shape, dataset.dtypes)
        found = [stack.enter_context(open_dataset(path, name, mapped=True)) for name in names]
        pages = [page for page in found if (page.shape, page.dtypes) == kind]
    if len(pages) > 1 < info.bands:
        raise InputError(f"{path} holds {len(pages)} pages of {info.bands} bands: one image of all bands is needed")
    return Raster(path, replace(info, bands=len(pages), colours=()) if len(pages) > 1 else info, pages)


def _first_byte(path: Path) -> bytes:
    """The first byte, if any, of a file or member; a plain file must be one: a pipe would be waited for without end."""
    if split_member(path) is None and not path.is_file():
        what = "a folder" if path.is_dir() else "a pipe or a device" if path.exists() else "not there"
        raise MissingInputError(f"{path} is {what}: check the data set's folder or table")
    try:
        with open_stream(path) as file:
            return file.read(1)
    except RasterloomError:
        raise
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): check its permissions and the disk") from None


def _read_dtype(dtype: Any, path: Path) -> str:
    kind: np.dtype[Any] = np.dtype("complex64" if dtype == "complex_int16" else dtype)  # which numpy does not know
    if kind.kind == "b" or kind == np.uint8:
        return "uint16"
    if kind.kind == "f":
        return "float32"
    if kind.kind in "iu":
        return kind.name
    raise InputError(
        f"{path} holds values of type {dtype}: integers or real numbers are needed; convert it, or take a part of it"
    )


def _described(path: Path, data: Any) -> RasterInfo:
    """What rasterio says of an image; InputError if it is none that can be worked with."""
    from rasterio.enums import ColorInterp, MaskFlags

    kinds = list(data.dtypes)
    if len(set(kinds)) != 1:
        raise InputError(
            f"{path} has bands of types {kinds}: at least one band, all of one type, are needed; "
            "convert them to one (gdal_translate -ot)"
        )
    dtype = _read_dtype(kinds[0], path)
    alpha = [band for band, kind in enumerate(data.colorinterp) if kind == ColorInterp.alpha]
    _refuse_palette(path, data)
    _refuse_huge_blocks(path, data)
    nodata = [None if n is None or np.isnan(n) else float(n) for n in data.nodatavals]
    flags = data.mask_flag_enums[0]
    return RasterInfo(
        width=data.width,
        height=data.height,
        bands=data.count,
        dtype=dtype,
        crs=data.crs.to_wkt() if data.crs else None,
        transform=_transform(path, data),
        nodata=nodata[0],
        alpha=alpha[-1] if alpha and data.count > 1 else None,
        names=tuple(data.descriptions) if any(data.descriptions) else (),
        band_nodata=tuple(nodata) if len(set(nodata)) > 1 else (),
        stored=str(kinds[0]),
        driver=data.driver,
        masked=MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags,
        colours=tuple(kind.name for kind in data.colorinterp) if data.count <= 4 else (),
    )


def _transform(path: Path, data: Any) -> Matrix | None:
    """The geotransform; None without one."""
    if data.transform.is_identity:
        points, _ = data.gcps
        if points:
            raise InputError(
                f"{path} is placed by {len(points)} ground control points alone: rectify it first "
                "(gdalwarp image.tif rectified.tif), or drop them to work in its pixels (gdal_translate -nogcp)"
            )
        return None
    matrix = rows_of(data.transform)
    if not np.isfinite(matrix).all() or data.transform.is_degenerate:
        raise InputError(
            f"{path} has the geotransform {matrix}, which maps the image onto a line or nowhere: mend it "
            "(gdal_edit -a_ullr), or its world file"
        )
    return matrix


def _refuse_huge_blocks(path: Path, data: Any) -> None:
    """A block is read as a whole, whatever part of it is asked for; a header that lies may ask for any amount."""
    from rasterio.enums import Interleaving

    rows, columns = data.block_shapes[0]
    bands = data.count if data.interleaving == Interleaving.pixel else 1
    needed = rows * columns * bands * np.dtype(data.dtypes[0]).itemsize
    if needed > BLOCK_BYTES:
        raise InputError(
            f"{path} is stored in blocks of {rows} x {columns} pixels, {needed / 2**30:.1f} GB each: tile it "
            "(gdal_translate -co TILED=YES); if it cannot be that large, it is truncated or damaged; fetch it again"
        )


def _refuse_palette(path: Path, data: Any) -> None:
    """Numbers of colours are no brightness, but those of a ramp of greys, as bilevel images have it, are."""
    from rasterio.enums import ColorInterp

    if data.count > 1 or data.colorinterp[0] != ColorInterp.palette:
        return
    colours = np.array([colour[:3] for _, colour in sorted(data.colormap(1).items())])
    steps = np.diff(colours[:, 0])
    grey = bool((colours == colours[:, :1]).all())
    if not (grey and ((steps >= 0).all() or (steps <= 0).all())):
        raise InputError(
            f"{path} holds numbers of colours in a palette, not brightness: expand it (gdal_translate -expand rgb)"
        )
