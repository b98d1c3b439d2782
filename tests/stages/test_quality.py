"""The table of what is odd about images and labels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.transform import Affine
from shapely.geometry import box

from common import place_alone, says
from polygon_jobs import make_job
from rasterloom.planning.graph import Dag
from rasterloom.report.findings import (
    read_table,
)
from rasterloom.stages import quality
from rasterloom.stages.label import run as run_label
from rasterloom.stages.register import run as run_register
from small_labels import image, on_map, vector_file


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
        place_alone(results, scene)
    for name in ("houses", "roads"):
        run_label(make_job(results, dag.spec("label", **{"class": name}), dag.sources("label", **{"class": name})))
    spec = {**dag.spec("quality", table="inputs"), "notes": ["two scenes show one ground"]}
    job = make_job(results, json.loads(json.dumps(spec)))
    assert all((results / path).is_file() for path in quality.inputs(job.spec))
    for path in tmp_path.glob("*.*"):
        path.unlink()
    quality.run(job)
    rows = [tuple(row.values())[:5] for row in read_table(results / "quality/inputs.tsv")]
    expected = [
        ("", "", "", "note", "two scenes show one ground"),
        ("", "", "l.gpkg", "unknown-class", "'lake'"),
        ("a", "houses", "l.gpkg", "clipped", "1 polygon "),
        ("a", "houses", "l.gpkg", "duplicate", "1 polygon "),
        ("a", "houses", "l.gpkg", "empty", "1 feature "),
        ("a", "houses", "l.gpkg", "outside", "1 feature "),
        ("a", "rgb", "a.tif", "constant-band", "band 2: 7 "),
        ("a", "rgb", "a.tif", "saturated", "band 3: 100 of 200 ... 50 % ... 255"),
        ("a", "rgb", "a.tif", "small", "20 x 10 ... scale native ... 16"),
        ("b", "rgb", "b.tif", "constant-band", "band 2: 7 "),
        ("b", "rgb", "b.tif", "no-data", "12 of 120 ... 10 %"),
        ("b", "rgb", "b.tif", "saturated", "band 3: 48 of 108 ... 44.4 % ... 255"),
        ("b", "rgb", "b.tif", "small", "12 x 10 ... scale native ... 16"),
        ("c", "rgb", "c.tif", "all-no-data", "200"),
        ("c", "rgb", "c.tif", "small", "20 x 10 ... scale native ... 16"),
    ]
    assert [row[:4] for row in rows] == [row[:4] for row in expected]
    assert all(says(row[4], parts[4]) for row, parts in zip(rows, expected, strict=True))
