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
from rasterloom.raster import georeference
from rasterloom.raster.files import RasterInfo
from rasterloom.raster.scan import BandFacts
from rasterloom.raster.sensor import SensorReader
from rasterloom.report.findings import REMEDIES, STOPS, Finding
from rasterloom.tools.inspection import found, lines, survey
from rasterloom.tools.inspection.lines import WIDTH, finding_lines, values, wrapped
from rasterloom.tools.inspection.survey import LEAST_ROWS, STRIPS, Look, same_pixels, strips


@pytest.mark.parametrize("module", [found, survey, lines, georeference], ids=lambda module: module.__name__)
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


def look(files: list[dict[str, Any]], bands: int | None = None, nodata: float | None = None, part: float = 1.0) -> Look:
    told: list[float] = []
    with SensorReader(files, bands, nodata, "x") as reader:
        seen = survey.look(reader, part, 10_000, told.append)
    assert told[-1] == 1
    return seen


@given(st.integers(1, 30_000), st.floats(0.0001, 1))
def test_strips_are_rows_in_order_and_never_twice(height: int, share: float) -> None:
    pieces = strips(height, share)
    assert all(start < stop for start, stop in pieces)
    assert all(stop <= following for (_, stop), (following, _) in pairwise(pieces))
    assert pieces[0][0] == 0
    assert pieces[-1][1] == height
    rows = sum(stop - start for start, stop in pieces)
    assert rows == height if share == 1 else rows >= min(height, int(height * share)) - STRIPS
    assert rows <= max(height * share + STRIPS, LEAST_ROWS + STRIPS)


def test_look_counts_what_is_missing_black_and_not_a_number(tmp_path: Path) -> None:
    array = np.full((2, 4, 8), 5, "float32")
    array[:, 0] = 0
    array[0, 1] = np.nan
    array[:, 2] = -1
    array[1, 3] = 0
    seen = look(put(tmp_path / "x.tif", array, nodata=-1))
    assert (seen.pixels, seen.black, seen.info.nodata) == (32, 8, -1)
    assert (seen.files[0].stored, seen.files[0].driver, seen.files[0].masked) == ("float32", "GTiff", False)
    first, second = seen.bands
    assert (first.count, first.zeros, first.facts) == (16, 8, BandFacts(0, 5, 16, 8, ((0, 8), (5, 8))))
    assert (second.count, second.zeros, second.facts.not_finite) == (16, 16, 0)
    assert seen.whole


def test_look_heeds_the_configuration(tmp_path: Path) -> None:
    files = put(tmp_path / "x.tif", np.arange(32, dtype="uint8").reshape(2, 4, 4) % 16)
    seen = look(files, bands=2, nodata=0)
    assert (seen.missing, seen.black, seen.info.nodata) == (1, 0, 0)
    with pytest.raises(InputError, match="but 3 are needed"):
        look(files, bands=3)


def test_look_at_a_part_reads_strips_from_top_to_bottom(tmp_path: Path) -> None:
    rows = np.repeat(np.arange(1000, dtype="uint16")[None, :, None], 4, axis=2)
    seen = look(put(tmp_path / "x.tif", rows), part=0.1)
    assert seen.pixels == 104 * 4
    assert (seen.bands[0].facts.low, seen.bands[0].facts.high) == (0, 999)
    assert abs(float(np.median(np.concatenate(seen.bands[0].sample))) - 500) < 80


def test_same_pixels_are_found_but_not_those_of_a_constant(tmp_path: Path) -> None:
    array = np.arange(16, dtype="uint16").reshape(1, 4, 4)
    images = {"a": array, "b": array, "turned": array[:, ::-1], "c": array * 0 + 3, "d": array * 0 + 3}
    looks = {name: look(put(tmp_path / f"{name}.tif", pixels)) for name, pixels in images.items()}
    assert [finding.detail for finding in same_pixels({"pan": looks})] == ["a pan = b pan"]


def test_values_are_the_range_of_all_scenes(tmp_path: Path) -> None:
    looks = [look(put(tmp_path / f"{n}.tif", np.full((1, 2, 2), n, "uint16"), nodata=9)) for n in (0, 4, 8, 9)]
    assert values([seen.bands[0] for seen in looks]) == ["0", "0", "4", "8", "8", "33 %"]
    assert values([looks[-1].bands[0]])[0] == "–"


# Where scenes lie --------------------------------------------------------------------------------------


def info(width: int, height: int, transform: Any = None, crs: str | None = None) -> RasterInfo:
    return RasterInfo(width, height, 1, "uint16", crs, transform, None)


def test_outline_carries_the_corners() -> None:
    border = georeference.outline(info(10, 20), [[0.5, 0, 1], [0, 0.5, 0]])
    assert border.bounds == (1, 0, 6, 10)
    assert border.area == 50


def test_footprint_is_in_longitude_and_latitude() -> None:
    from pyproj import CRS

    metres = info(10, 10, [[1, 0, 500_000], [0, -1, 5_000_000]], CRS.from_epsg(32633).to_wkt())
    outline = georeference.footprint(metres)
    assert outline is not None
    assert outline.centroid.x == pytest.approx(15, abs=0.01)
    assert outline.centroid.y == pytest.approx(45.15, abs=0.01)
    assert georeference.footprint(info(10, 10)) is None


# Lines -------------------------------------------------------------------------------------------------


def test_finding_lines_put_what_stops_a_run_first_and_cut_long_lists() -> None:
    many = [Finding(f"t{n}", "pan", "x.tif", "rotated", f"{n} degrees") for n in range(9)]
    torn = [Finding("", "ms", "", "error", text) for text in ("x" * 70, "b")]
    remedy = f"      {REMEDIES['rotated']}"
    assert finding_lines([*many, *torn], False)[2:] == [
        "  ! error, ms (2):",
        f"      {'x' * 70}",
        "      b",
        "  - rotated, pan (9): t0 (0 degrees), t1 (1 degrees), t2 (2 degrees), t3 (3 degrees), ...",
        remedy,
    ]
    assert finding_lines(many, True)[-2].endswith("t8 (8 degrees)")
    assert finding_lines([], False) == ["", "findings  none"]


def test_findings_that_stop_a_run_say_how_to_mend_them_in_their_detail() -> None:
    assert all(REMEDIES[finding] == "" for finding in STOPS)


@given(st.text("ab c", min_size=1, max_size=400))
def test_wrapped_fits_and_loses_no_word(line: str) -> None:
    parts = wrapped(line, 4)
    assert " ".join(parts).split() == line.split()
    assert all(len(part) <= WIDTH or " " not in part.strip() for part in parts)
