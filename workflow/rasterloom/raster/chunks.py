"""Windows of a Zarr array in a zip file, read chunk by chunk in the calling thread.

Zarr itself hands every chunk to an event loop and back: a patch of nine chunks then takes about twice as long,
and the loop, one for the whole process, is where threads that prepare batches would meet. A zip file's members lie in
it as they are, so that a chunk is one read at a known place and one call of its decoder; both leave the interpreter to
other threads.
"""

import os
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rasterloom.errors import StoreError

REMEDY = "run `rasterloom verify --mend` and then the workflow again"

_HEADER = 30
"""Bytes of a member's header in a zip file, before its name."""


@dataclass
class ZipBytes:
    """The members of an open zip file, stored as they are; safe in threads, and after a fork.

    Attributes
    ----------
    path : Path
    file : int
        Descriptor; nothing moves its position.
    members : mapping of name to zipfile.ZipInfo
    """

    path: Path
    file: int
    members: Mapping[str, zipfile.ZipInfo]
    _places: dict[str, int] = field(default_factory=dict)

    def read(self, name: str) -> bytes | None:
        """The bytes of a member, checked against its checksum when it is read first; None if there is none."""
        info = self.members.get(name)
        if info is None:
            return None
        place = self._places.get(name)
        if place is not None:
            return os.pread(self.file, info.file_size, place)
        header = os.pread(self.file, _HEADER, info.header_offset)
        start = info.header_offset + _HEADER
        start += int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
        data = os.pread(self.file, info.file_size, start)
        if info.compress_type != zipfile.ZIP_STORED or len(data) != info.file_size or zlib.crc32(data) != info.CRC:
            raise StoreError(f"{self.path}: {name} is not what was written there: {REMEDY}")
        self._places[name] = start
        return data


@dataclass(frozen=True)
class ChunkedArray:
    """An array of a zip file.

    Attributes
    ----------
    shape, chunks : tuple of int
    dtype : numpy dtype
    fill : number
        Of chunks that were not written.
    """

    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: np.dtype[Any]
    fill: Any
    _key: Callable[[tuple[int, ...]], str]
    _decode: Callable[[bytes], Any]
    _bytes: ZipBytes

    def __getitem__(self, where: int | slice | tuple[int | slice, ...]) -> NDArray[Any]:
        """A window, as of a numpy array: an index or a range without steps on each axis, all of those not named.

        Notes
        -----
        Memory: the window, and one chunk.
        """
        axes = where if isinstance(where, tuple) else (where,)
        axes += (slice(None),) * (len(self.shape) - len(axes))
        spans = [_span(axis, length) for axis, length in zip(axes, self.shape, strict=True)]
        out = np.empty([stop - start for start, stop in spans], self.dtype)
        touched = [range(a // c, -(-b // c) if a < b else a // c) for (a, b), c in zip(spans, self.chunks, strict=True)]
        for index in product(*touched):
            corner = [i * c for i, c in zip(index, self.chunks, strict=True)]
            low = [max(a, o) for (a, _), o in zip(spans, corner, strict=True)]
            high = [min(b, o + c) for (_, b), o, c in zip(spans, corner, self.chunks, strict=True)]
            target = tuple(slice(x - a, y - a) for x, y, (a, _) in zip(low, high, spans, strict=True))
            chunk = self._chunk(index)
            source = tuple(slice(x - o, y - o) for x, y, o in zip(low, high, corner, strict=True))
            out[target] = self.fill if chunk is None else chunk[source]
        return out[tuple(0 if isinstance(axis, int) else slice(None) for axis in axes)]

    def _chunk(self, index: tuple[int, ...]) -> NDArray[Any] | None:
        key = self._key(index)
        data = self._bytes.read(key)
        if data is None:
            return None
        values = np.frombuffer(self._decode(data), self.dtype)
        if values.size != np.prod(self.chunks):
            raise StoreError(f"{self._bytes.path}: {key} holds {values.size} numbers: {REMEDY}")
        return values.reshape(self.chunks)


def _span(axis: int | slice, length: int) -> tuple[int, int]:
    if isinstance(axis, slice):
        start, stop, step = axis.indices(length)
        if step != 1:
            raise IndexError(f"a window is read without steps, not {axis}")
        return start, max(start, stop)
    if not -length <= axis < length:
        raise IndexError(f"index {axis} is not within an axis of {length}")
    return axis % length, axis % length + 1


@contextmanager
def open_chunks(path: Path) -> Iterator[tuple[dict[str, ChunkedArray], dict[str, Any]]]:
    """Open the group of a ``.zarr.zip`` file for reading by windows.

    Yields
    ------
    dict of str to ChunkedArray, dict
        Its arrays by name, and its attributes.

    Raises
    ------
    StoreError
        If the file is none, or was written with codecs that this program does not use.
    """
    import zarr
    from zarr.storage import ZipStore

    try:
        with zipfile.ZipFile(path) as file:
            members = {info.filename: info for info in file.infolist()}
        with ZipStore(path, mode="r") as store:
            group: Any = zarr.open_group(store, mode="r")
            found: dict[str, Any] = dict(group.arrays())
            attributes = dict(group.attrs)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise StoreError(f"{path} cannot be read ({error}): {REMEDY}") from None
    opened = ZipBytes(path, os.open(path, os.O_RDONLY), members)
    try:
        yield {name: _array(name, array.metadata, opened) for name, array in found.items()}, attributes
    finally:
        os.close(opened.file)
        opened.file = -1  # another file may get the number


def _array(name: str, metadata: Any, opened: ZipBytes) -> ChunkedArray:
    return ChunkedArray(
        shape=tuple(metadata.shape),
        chunks=tuple(metadata.chunk_grid.chunk_shape),
        dtype=metadata.dtype.to_native_dtype().newbyteorder("<"),
        fill=metadata.fill_value,
        _key=lambda index: f"{name}/{metadata.encode_chunk_key(index)}",
        _decode=_decoder(name, metadata.codecs, opened.path),
        _bytes=opened,
    )


def _decoder(name: str, codecs: tuple[Any, ...], path: Path) -> Callable[[bytes], Any]:
    """What turns a chunk's bytes into those of its numbers, in little-endian order."""
    from numcodecs import blosc, zstd

    known: dict[str, Callable[[bytes], Any]] = {"blosc": blosc.decompress, "zstd": zstd.decompress}
    first, *rest = (codec.to_dict() for codec in codecs)
    names = [str(codec["name"]) for codec in rest]
    plain = first["name"] == "bytes" and first.get("configuration", {}).get("endian", "little") == "little"
    if plain and not names:
        return bytes
    if plain and len(names) == 1 and names[0] in known:
        return known[names[0]]
    raise StoreError(f"{path}: {name} was written with the codecs {[first['name'], *names]}: {REMEDY}")
