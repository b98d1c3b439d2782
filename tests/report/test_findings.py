"""Findings about images and labels, and their table."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from common import says
from rasterloom.errors import MissingInputError, StoreError
from rasterloom.raster.scan import BandFacts
from rasterloom.report.findings import (
    COLUMNS,
    REMEDIES,
    Finding,
    class_findings,
    label_findings,
    read_table,
    sensor_findings,
    size_findings,
    table,
)


def entry(*facts: BandFacts, fallback: str | None = None) -> dict[str, Any]:
    """The part of a registration of a sensor with 10 x 10 pixels."""
    return {
        "width": 10,
        "height": 10,
        "accepted": fallback is None,
        "fallback": fallback,
        "facts": [asdict(band) for band in facts],
    }


PLAIN = BandFacts(3, 200, 0, 0)


def told(rows: list[Finding], found: dict[str, str]) -> bool:
    """Whether these findings are the ones, each detail with its parts."""
    return [row.finding for row in rows] == list(found) and all(says(row.detail, found[row.finding]) for row in rows)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (entry(PLAIN, PLAIN), {}),
        (entry(BandFacts(None, None, 100, 0)), {"all-no-data": "100"}),
        (entry(BandFacts(1, 9, 7, 0)), {"no-data": "7 of 100"}),
        (
            entry(PLAIN, BandFacts(0.5, 9.0, 7, 3)),
            {"no-data": "7 of 100", "not-finite": "band 2: 3 "},
        ),
        (entry(BandFacts(0, 0, 0, 0), PLAIN), {"constant-band": "band 1: 0 "}),
        (entry(PLAIN, BandFacts(9, 16383, 20, 0, ((16383, 2),))), {"no-data": "20 of 100",
         "saturated": "band 2: 2 of 80 ... 2.5 % ... 16383"}),
        (entry(BandFacts(255, 255, 0, 0, ((255, 100),))), {"constant-band": "band 1: 255 "}),
        (entry(PLAIN, fallback="no shift was found"), {"shift": "no shift was found"}),
    ],
)  # fmt: skip
def test_sensor_findings(given: dict[str, Any], found: dict[str, str]) -> None:
    rows = list(sensor_findings("s", "rgb", ["a.tif", "b.tif"], given))
    assert told(rows, found)
    assert all((row.scene, row.source, row.file) == ("s", "rgb", "a.tif; b.tif") for row in rows)


def test_sensor_findings_a_few_pixels_at_the_end_of_the_range_are_normal() -> None:
    big = {**entry(BandFacts(0, 255, 0, 0, ((250, 9), (255, 10)))), "width": 100, "height": 100}
    assert list(sensor_findings("s", "rgb", ["a.tif"], big)) == []
    big["facts"][0]["top"] = [[250, 9], [255, 11]]
    assert [row.finding for row in sensor_findings("s", "rgb", ["a.tif"], big)] == ["saturated"]


def test_size_findings_are_of_scales_that_keep_the_scenes_size() -> None:
    reference = {"width": 600, "height": 300, "gsd": 0.5}
    windows = [{"scale": {"name": "native"}, "window": 256}, {"scale": {"name": "half", "gsd": 1.0}, "window": 256}]
    (row,) = size_findings("s", "rgb", ["a.tif"], reference, windows)
    assert told([row], {"small": "300 x 150 ... scale half ... 256"})


@pytest.mark.parametrize(
    ("facts", "found"),
    [
        ({"polygons": 7, "numbers": [1, 2]}, {}),
        ({"mended": 1, "no-area": 2}, {"mended": "1 polygon ", "no-area": "2 polygons "}),
        ({"elsewhere": 2, "outside": 1}, {"outside": "3 features "}),
        ({"shared": True, "outside": 1, "clipped": 2}, {"clipped": "2 polygons "}),
        ({"shared": True, "nowhere": True}, {"none-inside": "nothing"}),
        ({"part": 62.5}, {"part": "62.5 %"}),
        ({"duplicate": 1, "duplicate-row": 2}, {"duplicate": "1 polygon ", "duplicate-row": "2 rows "}),
        ({"collection": 1}, {"collection": "1 GEOMETRYCOLLECTION"}),
        ({"collection": 2, "left-out": 1}, {"collection": "2 GEOMETRYCOLLECTIONs ... 1 point or line"}),
        ({"third-coordinate": 1, "tiny": 3}, {"third-coordinate": "1 geometry ", "tiny": "3 polygons "}),
        ({"empty": 1}, {"empty": "1 feature "}),
    ],
)  # fmt: skip
def test_label_findings(facts: dict[str, Any], found: dict[str, str]) -> None:
    rows = list(label_findings("s", "houses", "h.gpkg", facts))
    assert told(rows, found)
    assert all((row.scene, row.source, row.file) == ("s", "houses", "h.gpkg") for row in rows)


def test_label_findings_of_a_shared_file_stand_once() -> None:
    facts = {"shared": True, "empty": 2}
    assert {row for scene in "ab" for row in label_findings(scene, "houses", "h.gpkg", facts)} == {
        Finding("", "houses", "h.gpkg", "empty", "2 features without a geometry")
    }


def test_class_findings_are_a_row_a_file() -> None:
    files = {
        "t.csv": [{"numbers": [1, 2, 9]}, {"numbers": [1, 12]}],
        "h.gpkg": [{"unknown": ["lake"]}, {"unknown": ["", "lake"]}, {}],
        "m.tif": [{}],
    }
    assert list(class_findings(files, {"houses": 1, "roads": 2})) == [
        Finding("", "", "t.csv", "unknown-class", "class numbers 9, 12"),
        Finding("", "", "h.gpkg", "unknown-class", "classes '', 'lake'"),
    ]


def test_table_is_sorted_each_row_once_and_reads_back(tmp_path: Path) -> None:
    one, two = Finding("b", "rgb", "x.tif", "no-data", "1\tof\n2"), Finding("a", "", "", "note", "hello")
    path = tmp_path / "inputs.tsv"
    path.write_text(table([one, two, one]))
    assert read_table(path) == [
        {"scene": "a", "source": "", "file": "", "finding": "note", "detail": "hello", "remedy": ""},
        {"scene": "b", "source": "rgb", "file": "x.tif", "finding": "no-data", "detail": "1 of 2",
         "remedy": REMEDIES["no-data"]},
    ]  # fmt: skip
    path.write_text(table([]))
    assert path.read_text() == "\t".join(COLUMNS) + "\n"
    assert read_table(path) == []


def test_read_table_errors(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match="run the stage `quality` first"):
        read_table(tmp_path / "inputs.tsv")
    (tmp_path / "inputs.tsv").write_text("scene\tother\n")
    with pytest.raises(StoreError, match=r"not a table of findings .*: delete it"):
        read_table(tmp_path / "inputs.tsv")


def test_remedies_hold_no_tab() -> None:
    assert not [text for text in REMEDIES.values() if "\t" in text or "\n" in text]
