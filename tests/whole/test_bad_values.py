"""What is said of images with odd numbers: a scene of each case goes through the stages that look at it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bad_inputs import BadInput
from bad_making import image
from bad_values import CASES
from rasterloom.errors import RasterloomError
from rasterloom.planning.graph import Dag
from rasterloom.report.findings import read_table
from rasterloom.stages import module_of
from rasterloom.store.job import Job
from rasterloom.store.store import Store

CONFIG: dict[str, Any] = {
    "sensors": {"rgb": {"reference": True}},
    "channels": {"all": ["rgb"]},
    "scales": {"native": {}},
    "models": {"net": {"kind": "unet", "width": 8, "depth": 2}},
    "statistics": "train",
    "validation": {"split": 0.8},
    "defaults": {"prediction": {"window": 16, "stride": 8}, "training": {"patch": 16}},
    "classes": {"houses": {"id": 1, "members": [{"model": "net", "channels": "all", "scale": "native"}]}},
}
NUMBERS = np.random.default_rng(3).integers(1, 2000, (3, 30, 40)).astype(np.float32)


def spoilt(name: str) -> NDArray[Any]:
    """The numbers of a case."""
    data = NUMBERS.copy()
    if name == "pixels that are not a number":
        data[0, 4, 4:7] = np.nan
    elif name == "pixels that are infinite":
        data[1, 4, 4:6] = np.inf
    elif name == "constant band":
        data[1] = 7
    elif name in {"image without data", "no data in any image"}:
        data[:] = -1
    elif name == "image partly without data":
        data[:, :15, :20] = -1
    elif name == "saturated pixels":
        data[2, :3] = 16383
    return data


def looked_at(folder: Path, data: NDArray[Any], window: int, until: str) -> Dag:
    """Run the stages of one scene up to a stage; its labels are empty."""
    finite = bool(np.isfinite(data).all())
    image(folder / "a.tif", data.astype(np.int16) if finite else data, nodata=-1)
    (folder / "none.geojson").write_text('{"type": "FeatureCollection", "features": []}', encoding="utf-8")
    (folder / "scenes.tsv").write_text("scene\tsplit\trgb\tlabels\na\ttrain\ta.tif\tnone.geojson\n", encoding="utf-8")
    defaults = {**CONFIG["defaults"], "prediction": {"window": window, "stride": 8}}
    dataset = {"layout": "sheet", "table": str(folder / "scenes.tsv")}
    dag = Dag.load({**CONFIG, "dataset": dataset, "defaults": defaults, "results": str(folder / "results")})
    every = ["register", "stack", "statistics", "label", "mask", "split", "train"]
    for stage in ["register", "label", "quality"] if until == "quality" else every[: every.index(until) + 1]:
        for names in dag.jobs()[stage]:
            spec, sources = dag.spec(stage, **names), dag.sources(stage, **names)
            module_of(stage).run(Job(spec, sources, dag.results, Store.of(dag.results)))
    return dag


@pytest.mark.parametrize("bad", CASES, ids=lambda bad: bad.name)
def test_odd_image_is_told_word_for_word(tmp_path: Path, bad: BadInput) -> None:
    window = 64 if "window" in bad.name else 16
    until = "train" if "training" in bad.name else "statistics" if bad.stops else "quality"
    if bad.stops:
        with pytest.raises(RasterloomError) as caught:
            looked_at(tmp_path, spoilt(bad.name), window, until)
        assert str(caught.value) == bad.says
        return
    rows = read_table(looked_at(tmp_path, spoilt(bad.name), window, until).results / "quality/inputs.tsv")
    said = [f"{row['finding']}: {row['detail']}" for row in rows if row["source"] == "rgb"]
    also = {"no-data: 3 of 1200 pixels (0.25 %)", "no-data: 2 of 1200 pixels (0.167 %)"}
    assert [line for line in said if line not in also] == [bad.says]
    assert all(row["remedy"] for row in rows)
