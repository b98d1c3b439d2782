"""The table of what is odd about images and labels."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine
from shapely.geometry import box

from polygon_jobs import make_job
from rasterloom.errors import MissingInputError, StoreError
from rasterloom.planning.graph import Dag
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
from rasterloom.stages import quality
from rasterloom.stages.label import run as run_label
from rasterloom.stages.register import run as run_register
from small_labels import image, on_map, vector_file


def entry(*facts: BandFacts, fallback: str | None = None) -> dict[str, Any]:
    """The part of a registration of a sensor with 10 x 10 pixels."""
    return {
        "width": 10,
        "height": 10,
        "accepted": fallback is None,
        "fallback": fallback,
        "facts": [asdict(band) for band in facts],
    }


PLAIN = BandFacts(3, 200, 0, 0, 0)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (entry(PLAIN, PLAIN), {}),
        (entry(BandFacts(None, None, 100, 0, 0)), {"all-no-data": "all 100 pixels"}),
        (entry(BandFacts(1, 9, 7, 0, 0)), {"no-data": "7 of 100 pixels (7 %)"}),
        (
            entry(PLAIN, BandFacts(0.5, 9.0, 7, 3, 0)),
            {"no-data": "7 of 100 pixels (7 %)", "not-finite": "band 2: 3 pixels"},
        ),
        (entry(BandFacts(0, 0, 0, 0, 0), PLAIN), {"constant-band": "band 1: 0 everywhere"}),
        (entry(PLAIN, BandFacts(9, 16383, 20, 0, 2)), {"no-data": "20 of 100 pixels (20 %)",
         "saturated": "band 2: 2 of 80 pixels (2.5 %) at 16383"}),
        (entry(BandFacts(255, 255, 0, 0, 100)), {"constant-band": "band 1: 255 everywhere"}),
        (entry(PLAIN, fallback="no shift was found"), {"shift": "no shift was found"}),
    ],
)  # fmt: skip
def test_sensor_findings(given: dict[str, Any], found: dict[str, str]) -> None:
    rows = list(sensor_findings("s", "rgb", ["a.tif", "b.tif"], given))
    assert {row.finding: row.detail for row in rows} == found
    assert all((row.scene, row.source, row.file) == ("s", "rgb", "a.tif; b.tif") for row in rows)


def test_sensor_findings_a_few_pixels_at_the_end_of_the_range_are_normal() -> None:
    big = {**entry(BandFacts(0, 255, 0, 0, 10)), "width": 100, "height": 100}
    assert list(sensor_findings("s", "rgb", ["a.tif"], big)) == []
    big["facts"][0]["full"] = 11
    assert [row.finding for row in sensor_findings("s", "rgb", ["a.tif"], big)] == ["saturated"]


def test_size_findings_are_of_scales_that_keep_the_scenes_size() -> None:
    reference = {"width": 600, "height": 300, "gsd": 0.5}
    windows = [{"scale": {"name": "native"}, "window": 256}, {"scale": {"name": "half", "gsd": 1.0}, "window": 256}]
    (row,) = size_findings("s", "rgb", ["a.tif"], reference, windows)
    assert (row.finding, row.detail) == ("small", "300 x 150 pixels at scale half, the window has 256")


@pytest.mark.parametrize(
    ("facts", "found"),
    [
        ({"polygons": 7, "numbers": [1, 2]}, {}),
        ({"mended": 1, "no-area": 2}, {"mended": "1 polygon crosses itself", "no-area": "2 polygons without an area"}),
        ({"elsewhere": 2, "outside": 1}, {"outside": "3 features lie outside the image"}),
        ({"shared": True, "outside": 1, "clipped": 2}, {"clipped": "2 polygons reach beyond the image"}),
        ({"shared": True, "nowhere": True}, {"none-inside": "nothing of the file lies in the image"}),
        ({"part": 62.5}, {"part": "the mask shows 62.5 % of the image"}),
        ({"duplicate": 1, "duplicate-row": 2}, {"duplicate": "1 polygon equals another",
         "duplicate-row": "2 rows of this scene and class"}),
        ({"collection": 1}, {"collection": "1 GEOMETRYCOLLECTION"}),
        ({"collection": 2, "left-out": 1}, {"collection": "2 GEOMETRYCOLLECTIONs, 1 point or line in it left out"}),
        ({"third-coordinate": 1, "tiny": 3}, {"third-coordinate": "1 geometry with heights",
         "tiny": "3 polygons below a pixel"}),
        ({"empty": 1}, {"empty": "1 feature without a geometry"}),
    ],
)  # fmt: skip
def test_label_findings(facts: dict[str, Any], found: dict[str, str]) -> None:
    rows = list(label_findings("s", "houses", "h.gpkg", facts))
    assert {row.finding: row.detail for row in rows} == found
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
    with pytest.raises(StoreError, match="not a table of findings: delete it"):
        read_table(tmp_path / "inputs.tsv")


def test_remedies_hold_no_tab() -> None:
    assert not [text for text in REMEDIES.values() if "\t" in text or "\n" in text]


def add_image(path: Path, data: np.ndarray[Any, Any], **more: Any) -> None:
    count, height, width = data.shape
    profile = {"crs": "EPSG:32631", "transform": Affine(0.5, 0, 500_000, 0, -0.5, 4_000_000), **more}
    with rasterio.open(path, "w", "GTiff", width, height, count, dtype=data.dtype, **profile) as file:
        file.write(data)


CONFIG = {
    "dataset": {"layout": "sheet"},
    "sensors": {"rgb": {"reference": True, "nodata": 0}},
    "channels": {"all": ["rgb"]},
    "scales": {"native": {}},
    "models": {"net": {"kind": "unet", "width": 8, "depth": 2}, "dots": {"kind": "forest"}},
    "statistics": "train",
    "validation": {"split": 0.8},
    "defaults": {"prediction": {"window": 16, "stride": 8}},
    "classes": {
        "houses": {"id": 1, "members": [{"model": "net", "channels": "all", "scale": "native"}]},
        "roads": {"id": 2, "members": [{"model": "dots", "channels": "all", "scale": "native"}]},
    },
}


def test_run_collects_what_the_jobs_before_it_saw(tmp_path: Path) -> None:
    """Files -> registration and labels -> the table; no file is opened for the table itself."""
    data = np.random.default_rng(1).integers(1, 200, (3, 10, 20)).astype(np.uint8)
    data[1] = 7
    data[2, :5] = 255
    add_image(tmp_path / "a.tif", data)
    data[:, 0] = 0
    add_image(tmp_path / "b.tif", data[:, :, :12])
    image(tmp_path / "c.tif")
    shapes = [*on_map(box(1, 1, 3, 3), box(1, 1, 3, 3), box(18, 8, 25, 9), box(50, 50, 51, 51)), None, None]
    vector_file(tmp_path / "l.gpkg", shapes, classes=["houses", "houses", "1", "houses", "lake", "1"])
    (tmp_path / "none.geojson").write_text('{"type": "FeatureCollection", "features": []}')
    sheet = "scene\tsplit\trgb\tlabels\na\ttrain\ta.tif\tl.gpkg\nb\ttrain\tb.tif\tnone.geojson\nc\tpredict\tc.tif\t\n"
    (tmp_path / "scenes.tsv").write_text(sheet)
    dag = Dag.load({**CONFIG, "dataset": {"layout": "sheet", "table": str(tmp_path / "scenes.tsv")}})
    results = tmp_path / "results"
    for scene in "abc":
        run_register(make_job(results, dag.spec("register", scene=scene), dag.sources("register", scene=scene)))
    for name in ("houses", "roads"):
        run_label(make_job(results, dag.spec("label", **{"class": name}), dag.sources("label", **{"class": name})))
    spec = {**dag.spec("quality", table="inputs"), "notes": ["two scenes show one ground"]}
    job = make_job(results, json.loads(json.dumps(spec)))
    assert all((results / path).is_file() for path in quality.inputs(job.spec))
    for path in tmp_path.glob("*.*"):
        path.unlink()
    quality.run(job)
    rows = [tuple(row.values())[:5] for row in read_table(results / "quality/inputs.tsv")]
    assert rows == [
        ("", "", "", "note", "two scenes show one ground"),
        ("", "", "l.gpkg", "unknown-class", "classes 'lake'"),
        ("a", "houses", "l.gpkg", "clipped", "1 polygon reaches beyond the image"),
        ("a", "houses", "l.gpkg", "duplicate", "1 polygon equals another"),
        ("a", "houses", "l.gpkg", "empty", "1 feature without a geometry"),
        ("a", "houses", "l.gpkg", "outside", "1 feature lies outside the image"),
        ("a", "rgb", "a.tif", "constant-band", "band 2: 7 everywhere"),
        ("a", "rgb", "a.tif", "saturated", "band 3: 100 of 200 pixels (50 %) at 255"),
        ("a", "rgb", "a.tif", "small", "20 x 10 pixels at scale native, the window has 16"),
        ("b", "rgb", "b.tif", "constant-band", "band 2: 7 everywhere"),
        ("b", "rgb", "b.tif", "no-data", "12 of 120 pixels (10 %)"),
        ("b", "rgb", "b.tif", "saturated", "band 3: 48 of 108 pixels (44.4 %) at 255"),
        ("b", "rgb", "b.tif", "small", "12 x 10 pixels at scale native, the window has 16"),
        ("c", "rgb", "c.tif", "all-no-data", "all 200 pixels"),
        ("c", "rgb", "c.tif", "small", "20 x 10 pixels at scale native, the window has 16"),
    ]
