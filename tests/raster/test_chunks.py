"""Windows of zip files: what zarr reads, whatever the window, codec and damage."""

from __future__ import annotations

import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from zarr.codecs import BloscCodec, GzipCodec, ZstdCodec
from zarr.storage import ZipStore

from rasterloom.errors import StoreError
from rasterloom.raster.chunks import open_chunks

BLOSC = BloscCodec(cname="lz4", clevel=5, shuffle="bitshuffle")
DATA = np.random.default_rng(0).integers(1, 1000, (3, 23, 30)).astype(np.uint16)
DATA[:, 8:16, 10:20] = 7  # a chunk of the fill value, which zarr does not write


def written(path: Path, data: Any = DATA, compressors: Any = BLOSC, **options: Any) -> Path:
    """A group with an array `data`, in chunks that do not divide it, and an attribute."""
    with ZipStore(path, mode="w") as store:
        group = zarr.create_group(store, attributes={"sensors": ["a"]}, zarr_format=3)
        chunks = (2, 8, 10)[-np.ndim(data) :]
        array = group.create_array(
            "data", shape=data.shape, chunks=chunks, dtype=data.dtype, compressors=compressors, fill_value=7, **options
        )
        array[:] = data
    return path


@pytest.fixture(scope="module")
def blosc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("chunks") / "b.zarr.zip")


def axis(length: int) -> st.SearchStrategy[int | slice]:
    ends = st.none() | st.integers(-length - 2, length + 2)
    return st.integers(-length, length - 1) | st.builds(slice, ends, ends)


@given(where=st.tuples(axis(3), axis(23), axis(30)) | st.tuples(axis(3), axis(23)) | axis(3))
def test_window_is_that_of_the_array(blosc: Path, where: Any) -> None:
    with open_chunks(blosc) as (arrays, attributes):
        np.testing.assert_array_equal(arrays["data"][where], DATA[where])
    assert attributes == {"sensors": ["a"]} and list(arrays) == ["data"]


@pytest.mark.parametrize(
    "compressors",
    [BLOSC, BloscCodec(cname="zstd"), ZstdCodec(), None],
    ids=["blosc-lz4", "blosc-zstd", "zstd", "none"],  # by hand: a codec's own text differs from one process to the next
)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_codecs_and_types(tmp_path: Path, compressors: Any, dtype: Any) -> None:
    data = (DATA[0] % 200).astype(dtype)
    with open_chunks(written(tmp_path / "x.zarr.zip", data, compressors)) as (arrays, _):
        found = arrays["data"]
        assert (found.shape, found.dtype, found.chunks) == ((23, 30), np.dtype(dtype), (8, 10))
        np.testing.assert_array_equal(found[:], data)


def test_a_chunk_that_was_not_written_is_the_fill_value(blosc: Path) -> None:
    with zipfile.ZipFile(blosc) as file:
        assert "data/c/0/1/1" not in file.namelist() and "data/c/0/1/0" in file.namelist()
    with open_chunks(blosc) as (arrays, _):
        assert (arrays["data"][:, 8:16, 10:20] == 7).all()


def test_many_threads_read_one_file(blosc: Path) -> None:
    rows = [(n % 20, n % 20 + 3) for n in range(200)]
    with open_chunks(blosc) as (arrays, _), ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda span: arrays["data"][:, slice(*span), 3:27], rows))
    for (start, stop), window in zip(rows, found, strict=True):
        np.testing.assert_array_equal(window, DATA[:, start:stop, 3:27])


@pytest.mark.parametrize("where", [3, -4, (0, 23), (slice(None, None, 2),)])
def test_a_window_outside_or_with_steps_is_refused(blosc: Path, where: Any) -> None:
    with open_chunks(blosc) as (arrays, _), pytest.raises(IndexError):
        arrays["data"][where]


def test_a_damaged_chunk_is_named_with_the_remedy(blosc: Path, tmp_path: Path) -> None:
    path = tmp_path / "damaged.zarr.zip"
    raw = bytearray(blosc.read_bytes())
    with zipfile.ZipFile(blosc) as file:
        info = file.getinfo("data/c/1/0/0")
    raw[info.header_offset + 30 + len(info.filename) + 40] ^= 1
    path.write_bytes(raw)
    with open_chunks(path) as (arrays, _):
        np.testing.assert_array_equal(arrays["data"][:2], DATA[:2])
        with pytest.raises(StoreError, match=r"data/c/1/0/0 .*rasterloom verify"):
            arrays["data"][2]


def test_a_file_that_is_no_stack(tmp_path: Path) -> None:
    path = tmp_path / "x.zarr.zip"
    path.write_bytes(b"nonsense")
    with pytest.raises(StoreError, match=r"x\.zarr\.zip cannot be read .*rasterloom verify --mend"), open_chunks(path):
        pass
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a", "b")
    with pytest.raises(StoreError, match="cannot be read"), open_chunks(path):
        pass


@pytest.mark.parametrize(
    ("compressors", "options"), [(GzipCodec(), {}), ([BLOSC, ZstdCodec()], {}), (None, {"shards": (2, 16, 20)})]
)
def test_other_codecs_are_refused(tmp_path: Path, compressors: Any, options: dict[str, Any]) -> None:
    path = written(tmp_path / "x.zarr.zip", compressors=compressors, **options)
    with pytest.raises(StoreError, match="data was written with the codecs"), open_chunks(path):
        pass


def test_a_compressed_zip_is_refused(blosc: Path, tmp_path: Path) -> None:
    path = tmp_path / "packed.zarr.zip"
    with zipfile.ZipFile(blosc) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    with open_chunks(path) as (arrays, _), pytest.raises(StoreError, match="is not what was written there"):
        arrays["data"][0]


def test_a_closed_file_is_not_read(blosc: Path) -> None:
    with open_chunks(blosc) as (arrays, _):
        assert arrays["data"][0].shape == (23, 30)
    with blosc.open("rb"), pytest.raises(OSError, match="Bad file descriptor"):
        arrays["data"][0]
