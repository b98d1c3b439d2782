"""One pass over sources: digest of content, moments, memory of scans."""

import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
import rasterio
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from rasterio.transform import Affine

from rasterloom.errors import InputError, MissingInputError
from rasterloom.raster import scan
from rasterloom.raster.scan import BandFacts, Moments, scan_sensor

DATA = np.random.default_rng(3).integers(0, 2048, (2, 600, 40)).astype(np.uint16)


def write(path: Path, data: np.ndarray, **options: object) -> dict[str, object]:
    bands, height, width = data.shape
    profile = {"crs": "EPSG:32631", "transform": Affine(1, 0, 100, 0, -1, 0), **options}
    with rasterio.open(
        path, "w", driver="GTiff", count=bands, height=height, width=width, dtype=data.dtype, **profile
    ) as file:
        file.write(data)
    status = path.stat()
    return {"path": str(path), "size": status.st_size, "mtime_ns": status.st_mtime_ns, "bands": None}


@given(st.lists(st.lists(st.integers(-1000, 1000), max_size=8), min_size=1, max_size=5))
def test_moments_of_parts_merge_to_those_of_the_whole(parts: list[list[int]]) -> None:
    merged = sum((Moments.of(np.array(part, np.float32)) for part in parts), Moments())
    whole = np.array([number for part in parts for number in part], np.float64)
    assert merged.count == whole.size
    if whole.size:
        assert merged.mean == pytest.approx(whole.mean(), abs=1e-9)
        assert merged.m2 == pytest.approx(((whole - whole.mean()) ** 2).sum(), abs=1e-6)
        assert merged.deviation == pytest.approx(whole.std(), abs=1e-6)


def test_moments_of_large_numbers_do_not_cancel() -> None:
    part = Moments.of(np.array([1e9, 1e9 + 1, 1e9 + 2]))
    assert (part + part).deviation == pytest.approx(np.std([0, 1, 2]), rel=1e-9)


def test_scan_gives_moments_over_all_blocks(tmp_path: Path) -> None:
    found = scan_sensor([write(tmp_path / "a.tif", DATA)], None, "s")
    assert found.dtype == "uint16"
    for band, moments in zip(DATA, found.moments, strict=True):
        assert moments.count == band.size
        assert moments.mean == pytest.approx(band.mean(), rel=1e-12)
        assert moments.deviation == pytest.approx(band.std(), rel=1e-12)


def test_scan_leaves_out_nodata_and_nan(tmp_path: Path) -> None:
    values = DATA.astype(np.float32)
    values[0, :300] = np.nan
    values[1, 500:] = -9999
    found = scan_sensor([write(tmp_path / "a.tif", values, nodata=-9999)], None, "s")
    assert found.dtype == "float32"
    assert [moments.count for moments in found.moments] == [200 * 40] * len(DATA)
    assert found.moments[1].mean == pytest.approx(DATA[1, 300:500].mean(), rel=1e-9)


def test_scan_facts_of_floats(tmp_path: Path) -> None:
    values = DATA.astype(np.float32) + 0.5
    values[0, :3] = np.nan
    values[0, 599, 0] = np.inf
    values[1, 500:502] = -9999
    found = scan_sensor([write(tmp_path / "a.tif", values, nodata=-9999)], None, "s").facts
    good = np.delete(values[1], [0, 1, 2, 500, 501], axis=0)
    assert found[0].not_finite == 3 * 40 + 1 and found[1].not_finite == 0
    assert [band.missing for band in found] == [5 * 40 + 1] * 2
    assert found[1] == BandFacts(float(good.min()), float(good.max()), 5 * 40 + 1)


@pytest.mark.parametrize(
    ("top", "kind", "full"),
    [(16383, "uint16", 5), (16382, "uint16", 0), (255, "uint8", 5), (127, "uint8", 0), (2047, "float32", 5)],
)
def test_scan_facts_count_values_at_the_end_of_the_range(tmp_path: Path, top: int, kind: str, full: int) -> None:
    values = np.zeros((2, 600, 4), kind)
    values[0, [0, 255, 256, 599], 0] = top
    values[0, 300, 1] = top
    values[0, 3] = 63  # the largest of the first block, before a larger one comes
    values[1, 0, 0], values[1, 599, 3] = min(1023, top), top
    found = scan_sensor([write(tmp_path / "a.tif", values)], None, "s").facts
    assert [(band.low, band.high, band.full) for band in found] == [
        (0, top, full),
        (0, top, min(full, 2 if top in (127, 255) else 1)),
    ]


@pytest.mark.parametrize("kind", ["uint16", "int32", "float32"])
def test_scan_facts_find_values_heaped_on_another_top(tmp_path: Path, kind: str) -> None:
    values = np.arange(2 * 600 * 40).reshape(2, 600, 40) % 1000
    heaped = np.minimum(values, 899).astype(kind)
    found = scan_sensor([write(tmp_path / "a.tif", heaped)], None, "s").facts
    assert [(band.high, band.full, band.top[-2]) for band in found] == [(899, 24 * 101, (898, 24))] * 2
    plain = scan_sensor([write(tmp_path / "b.tif", values.astype(kind))], None, "s").facts
    assert [(band.high, band.full, band.top[0], len(band.top)) for band in plain] == [(999, 0, (984, 24), 16)] * 2
    levels = np.where(values > 500, 998, 40).astype(kind)  # a map of two values has no levels below the largest
    assert scan_sensor([write(tmp_path / "c.tif", levels)], None, "s").facts[0].full == 0


def test_band_facts_of_parts_are_those_of_the_whole() -> None:
    numbers = np.random.default_rng(3).integers(0, 300, 5000).clip(0, 270)
    parts = [BandFacts.of(part, part) for part in np.split(np.sort(numbers), [1000, 1010, 4700])]
    whole = BandFacts.of(numbers, numbers)
    assert parts[0] + parts[1] + parts[2] + parts[3] == whole == parts[3] + (parts[1] + parts[0]) + parts[2]
    assert whole.full == np.count_nonzero(numbers == 270) > 100


def test_scan_facts_of_an_image_without_data_and_of_several_files(tmp_path: Path) -> None:
    empty = write(tmp_path / "a.tif", np.zeros((2, 4, 5), np.uint16))
    full = write(tmp_path / "b.tif", np.full((1, 4, 5), 7, np.uint16))
    found = scan_sensor([empty, full], 0, "s").facts
    assert found == (*[BandFacts(None, None, 20)] * 2, BandFacts(7, 7, 0, 0, ((7, 20),)))


def test_scan_counts_a_single_band_at_zero_as_data(tmp_path: Path) -> None:
    values = np.full((2, 4, 5), 7, np.uint8)
    values[0, 0] = 0
    values[:, 1] = 0
    found = scan_sensor([write(tmp_path / "a.tif", values, nodata=0)], None, "s")
    assert [moments.count for moments in found.moments] == [15, 15]
    assert found.moments[0].mean == pytest.approx(10 * 7 / 15)


@pytest.mark.parametrize(
    ("kind", "low", "nodata", "expected"),
    [
        ("int16", 0, None, "uint16"),
        ("int16", -5, None, "float32"),
        ("int16", -5, -5, "uint16"),
        ("int32", 70_000, None, "float32"),
        ("uint8", 3, None, "uint16"),
    ],
)
def test_type_of_the_stack(tmp_path: Path, kind: str, low: int, nodata: int | None, expected: str) -> None:
    data = (DATA[:, :9, :9] % 200).astype(kind)
    data[0, 0, 0] = low
    assert scan_sensor([write(tmp_path / "a.tif", data)], nodata, "s").dtype == expected


def test_digest_is_of_content_not_of_the_file(tmp_path: Path) -> None:
    one = scan_sensor([write(tmp_path / "a.tif", DATA)], None, "s").digest
    assert scan_sensor([write(tmp_path / "b.tif", DATA, compress="deflate", tiled=True)], None, "s").digest == one
    small = (DATA % 256).astype(np.uint8)
    assert (
        scan_sensor([write(tmp_path / "c.tif", small)], None, "s").digest
        == scan_sensor([write(tmp_path / "d.tif", small.astype(np.uint16))], None, "s").digest
    )


def test_digest_sees_values_bands_and_georeference(tmp_path: Path) -> None:
    changed = DATA.copy()
    changed[1, 599, 39] ^= 1
    file = write(tmp_path / "a.tif", DATA)
    digests = [
        scan_sensor([file], None, "s").digest,
        scan_sensor([write(tmp_path / "b.tif", changed)], None, "s").digest,
        scan_sensor([write(tmp_path / "c.tif", DATA, transform=Affine(1, 0, 100, 0, -2, 0))], None, "s").digest,
        scan_sensor([write(tmp_path / "d.tif", DATA, crs="EPSG:32632")], None, "s").digest,
        scan_sensor([write(tmp_path / "e.tif", DATA, nodata=0)], None, "s").digest,
        scan_sensor([{**file, "bands": [2, 1]}], None, "s").digest,
        scan_sensor([{**file, "bands": [1]}, {**file, "bands": [2]}], None, "s").digest,
    ]
    assert len(set(digests)) == len(digests)


def _aged(path: Path) -> dict[str, object]:
    """The file, last changed a minute ago."""
    then = time.time_ns() - 60 * 10**9
    os.utime(path, ns=(then, then))
    return {"path": str(path), "size": path.stat().st_size, "mtime_ns": path.stat().st_mtime_ns}


def test_scans_are_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tifffile.imwrite(tmp_path / "p.tif", DATA[0])
    file, memory = _aged(tmp_path / "p.tif"), tmp_path / "sources"
    first = scan_sensor([file], None, "s", memory)
    record = json.loads(next(memory.iterdir()).read_text())
    assert record["digest"] == first.digest

    def forbidden(*_: object) -> None:
        raise AssertionError("the file was read again")

    with monkeypatch.context() as patch:
        patch.setattr(scan, "scan_raster", forbidden)
        assert scan_sensor([file], None, "s", memory) == first
        with pytest.raises(AssertionError, match="read again"):
            scan_sensor([file], 7.0, "s", memory)  # other no-data, other moments
    next(memory.iterdir()).write_text("{")  # a damaged memory is no memory
    assert scan_sensor([file], None, "s", memory) == first


def test_remembered_scan_is_marked_as_used(tmp_path: Path) -> None:
    """`gc` forgets what nobody has asked for in a month."""
    tifffile.imwrite(tmp_path / "p.tif", DATA[0])
    file, memory = _aged(tmp_path / "p.tif"), tmp_path / "sources"
    scan_sensor([file], None, "s", memory)
    (record,) = memory.iterdir()
    os.utime(record, (1, 1))
    scan_sensor([file], None, "s", memory)
    assert record.stat().st_mtime > 1


def test_fresh_files_are_not_remembered(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "p.tif", DATA[0])
    scan_sensor([{"path": str(tmp_path / "p.tif")}], None, "s", tmp_path / "sources")
    assert not (tmp_path / "sources").exists()


def test_changed_and_missing_files_are_named(tmp_path: Path) -> None:
    file = write(tmp_path / "a.tif", DATA)
    with pytest.raises(InputError, match=r"scene s: .*a\.tif has changed since the run was planned"):
        scan_sensor([{**file, "size": 1}], None, "scene s")
    with pytest.raises(MissingInputError, match=r"b\.tif is not there"):
        scan_sensor([{**file, "path": str(tmp_path / "b.tif")}], None, "s")


def test_scan_takes_an_alpha_band_for_validity(tmp_path: Path) -> None:
    data = np.full((4, 6, 5), 40, np.uint8)
    data[:3, 0], data[3, 0] = 0, 0
    file = write(tmp_path / "a.tif", data, photometric="RGB", ALPHA="YES")
    found = scan_sensor([file], None, "s")
    assert [(band.count, band.mean) for band in found.moments] == [(25, 40.0)] * 3
    data[3, 0, 0] = 9
    other = scan_sensor([write(tmp_path / "b.tif", data, photometric="RGB", ALPHA="YES")], None, "s")
    assert other.digest != found.digest and other.moments[0].count == 26
    chosen = scan_sensor([{**file, "bands": [1, 2, 3, 4]}], None, "s")
    assert [band.count for band in chosen.moments] == [30] * 4


def test_digest_changes_with_the_meaning_of_a_scan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A registration holds the moments under a key made of this digest."""
    file = write(tmp_path / "a.tif", DATA)
    first = scan_sensor([file], None, "s").digest
    monkeypatch.setattr(scan, "SCAN_VERSION", scan.SCAN_VERSION + 1)
    assert scan_sensor([file], None, "s").digest != first


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")  # only its world file says where it is
def test_scan_notices_an_edited_world_file(tmp_path: Path) -> None:
    file = write(tmp_path / "a.tif", DATA, crs=None, transform=None)
    old = time.time() - 60
    world = tmp_path / "a.tfw"
    found = []
    for step in (1.0, 2.0):
        world.write_text(f"{step}\n0\n0\n-{step}\n100\n200\n")
        for path in (world, Path(str(file["path"]))):
            os.utime(path, (old, old + step if path == world else old))
        found.append(scan_sensor([{"path": file["path"]}], None, "s", tmp_path / "memory").digest)
    assert found[0] != found[1]
    planned = {"path": file["path"], "sidecars": [["a.tfw", 1, 1]]}
    with pytest.raises(InputError, match="a file beside it, such as a world file"):
        scan_sensor([planned], None, "s")
