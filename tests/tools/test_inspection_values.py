"""Reading values for an inspection, where scenes lie, and the lines that are printed."""

from __future__ import annotations

import doctest
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st

from rasterloom.errors import InputError
from rasterloom.raster.files import RasterInfo
from rasterloom.tools.inspection import found, grounds, oddities, pixels, text
from rasterloom.tools.inspection.oddities import Oddity, grouped
from rasterloom.tools.inspection.pixels import STRIPS, Look, merged, read_header, strips
from rasterloom.tools.inspection.survey import coverage
from rasterloom.tools.inspection.text import WIDTH, table, wrapped


@pytest.mark.parametrize("module", [found, grounds, oddities, pixels, text], ids=lambda module: module.__name__)
def test_doctests_hold(module: ModuleType) -> None:
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0


# Values ------------------------------------------------------------------------------------------------


def put(path: Path, values: Any, **options: Any) -> list[dict[str, Any]]:
    """Write an image; the file as a reader takes it."""
    bands, height, width = values.shape
    shape = {"count": bands, "height": height, "width": width, "dtype": values.dtype}
    place = {"crs": "EPSG:32633", "transform": rasterio.Affine(1, 0, 500_000, 0, -1, 5_000_000)}
    with rasterio.open(path, "w", driver="GTiff", **shape, **place, **options) as file:
        file.write(values)
    return [{"path": str(path)}]


def look(files: list[dict[str, Any]], options: dict[str, Any], share: float = 1.0) -> Look:
    headers = [read_header(Path(file["path"])) for file in files]
    return pixels.look(files, headers, options, "x", share, 10_000)


@given(st.integers(1, 30_000), st.floats(0.0001, 1))
def test_strips_are_rows_in_order_and_never_twice(height: int, share: float) -> None:
    pieces = strips(height, share)
    assert all(start < stop for start, stop in pieces)
    assert all(stop <= following for (_, stop), (following, _) in pairwise(pieces))
    assert pieces[0][0] == 0
    assert pieces[-1][1] == height
    rows = sum(stop - start for start, stop in pieces)
    assert rows == height if share == 1 else rows >= min(height, int(height * share)) - STRIPS
    assert rows <= max(height * share + STRIPS, pixels.LEAST_ROWS + STRIPS)


def test_look_counts_what_is_missing_black_and_not_a_number(tmp_path: Path) -> None:
    values = np.full((2, 4, 8), 5, "float32")
    values[:, 0] = 0
    values[0, 1] = np.nan
    values[:, 2] = -1
    values[1, 3] = 0
    seen = look(put(tmp_path / "x.tif", values, nodata=-1), {})
    assert (seen.pixels, seen.missing, seen.black, seen.nodata) == (32, 16, 8, -1)
    first, second = seen.bands
    assert (first.count, first.zeros, first.nans, first.low, first.high, first.tops) == (16, 8, 8, 0, 5, 8)
    assert (second.count, second.zeros, second.nans) == (16, 16, 0)
    assert first.whole


def test_look_heeds_the_configuration(tmp_path: Path) -> None:
    files = put(tmp_path / "x.tif", np.arange(32, dtype="uint8").reshape(2, 4, 4) % 16)
    seen = look(files, {"nodata": 0, "bands": 2})
    assert (seen.missing, seen.black, seen.nodata) == (1, 0, 0)
    with pytest.raises(InputError, match="but 3 are needed"):
        look(files, {"bands": 3})


def test_look_at_a_share_reads_strips_from_top_to_bottom(tmp_path: Path) -> None:
    rows = np.repeat(np.arange(1000, dtype="uint16")[None, :, None], 4, axis=2)
    seen = look(put(tmp_path / "x.tif", rows), {}, 0.1)
    assert seen.rows == 104
    assert seen.pixels == 416
    assert (seen.bands[0].low, seen.bands[0].high) == (0, 999)
    assert abs(float(np.median(seen.bands[0].sample)) - 500) < 80


def test_look_knows_the_same_pixels_but_not_a_constant(tmp_path: Path) -> None:
    values = np.arange(16, dtype="uint16").reshape(1, 4, 4)
    one, two, other = (
        look(put(tmp_path / f"{n}.tif", array), {}) for n, array in enumerate((values, values, values[:, ::-1]))
    )
    assert one.fingerprint == two.fingerprint != other.fingerprint
    assert look(put(tmp_path / "c.tif", values * 0 + 3), {}).fingerprint == ""


def test_merged_is_the_range_of_all_scenes(tmp_path: Path) -> None:
    looks = [look(put(tmp_path / f"{n}.tif", np.full((1, 2, 2), n, "uint16"), nodata=9), {}) for n in (0, 4, 8, 9)]
    values = merged([seen.bands[0] for seen in looks], 8)
    assert (values.low, values.p50, values.high) == (0, 4, 8)
    assert (values.zeros, values.tops) == (pytest.approx(1 / 3), pytest.approx(1 / 3))
    assert np.isnan(merged([looks[-1].bands[0]], 8).low)


# Where scenes lie --------------------------------------------------------------------------------------


def info(width: int, height: int, transform: Any = None, crs: str | None = None) -> RasterInfo:
    return RasterInfo(width, height, 1, "uint16", crs, transform, None)


@pytest.mark.parametrize(("shift", "share"), [(0, 1.0), (5, 0.5), (-5, 0.5), (20, 0.0)])
def test_coverage_is_the_share_of_the_reference(shift: float, share: float) -> None:
    matrix = np.array([[0.5, 0, shift / 2], [0, 0.5, 0]])
    assert coverage(matrix, info(10, 10), info(5, 5)) == pytest.approx(share)


def test_footprint_is_in_longitude_and_latitude() -> None:
    from pyproj import CRS

    metres = info(10, 10, [[1, 0, 500_000], [0, -1, 5_000_000]], CRS.from_epsg(32633).to_wkt())
    outline = grounds.footprint(metres)
    assert outline is not None
    assert outline.centroid.x == pytest.approx(15, abs=0.01)
    assert outline.centroid.y == pytest.approx(45.15, abs=0.01)
    assert grounds.footprint(info(10, 10)) is None


# Lines -------------------------------------------------------------------------------------------------


def test_grouped_puts_what_stops_a_run_first_and_cuts_long_lists() -> None:
    found_ = [Oddity("dark", f"scene {n}") for n in range(9)] + [
        Oddity("torn", "x" * 70, True),
        Oddity("torn", "b", True),
    ]
    assert grouped(found_) == [
        "! torn (2):",
        f"    {'x' * 70}",
        "    b",
        "  dark (9): scene 0, scene 1, scene 2, scene 3, ...",
    ]
    assert grouped(found_, all_=True)[-1].endswith("scene 7, scene 8")


@given(st.lists(st.lists(st.text("ab ", max_size=5), min_size=3, max_size=3), min_size=1, max_size=5))
def test_table_aligns_columns(rows: list[list[str]]) -> None:
    lines = table([["|", "|", "|"], *rows], indent=0)
    assert len(lines) == len(rows) + 1
    starts = [index for index, character in enumerate(lines[0]) if character == "|"]
    for line, row in zip(lines[1:], rows, strict=True):
        for start, cell in zip(starts, row, strict=True):
            assert line[start:].startswith(cell.rstrip()) or not cell.strip()


@given(st.text("ab c", min_size=1, max_size=400))
def test_wrapped_fits_and_loses_no_word(line: str) -> None:
    lines = wrapped(line, 4)
    assert " ".join(lines).split() == line.split()
    assert all(len(part) <= WIDTH or " " not in part.strip() for part in lines)
