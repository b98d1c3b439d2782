"""Images whose numbers are odd: a scene of each goes through the stages that look at it.

Where work goes on, what is said is the finding and its detail, as ``quality/inputs.tsv`` has them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bad_inputs import BadInput, register_in
from bad_making import image
from rasterloom.planning.graph import Dag
from rasterloom.report.findings import read_table
from rasterloom.stages import job_of, module_of
from rasterloom.store.store import Store

CASES: list[BadInput] = []
case = register_in(CASES)

CONFIG: dict[str, Any] = {
    "sensors": {"rgb": {"reference": True}},
    "channels": {"all": ["rgb"]},
    "scales": {"native": {}},
    "models": {"net": {"kind": "unet", "width": 8, "depth": 2}},
    "statistics": "train",
    "normalise_by": "dataset",
    "validation": {"split": 0.8},
    "defaults": {"prediction": {"window": 16, "stride": 8}, "training": {"patch": 16}},
    "classes": {"houses": {"id": 1, "members": [{"model": "net", "channels": "all", "scale": "native"}]}},
}
NUMBERS = np.random.default_rng(3).integers(1, 2000, (3, 30, 40)).astype(np.float32)
LOOK = ("register", "place", "label", "quality")
TRAIN = ("register", "place", "stack", "normalisation", "label", "mask", "split", "train")


def spoilt(where: Any, value: float) -> NDArray[Any]:
    """Numbers with a value in some bands, rows and columns; -1 is no-data."""
    data = NUMBERS.copy()
    data[where] = value
    return data


def findings(root: Path, data: NDArray[Any], stages: tuple[str, ...] = LOOK, window: int = 16) -> list[str]:
    """Run stages of one scene whose labels are empty; what the quality table says of its image, but for no-data."""
    finite = bool(np.isfinite(data).all())
    image(root / "a.tif", data.astype(np.int16) if finite else data, nodata=-1)
    (root / "none.geojson").write_text('{"type": "FeatureCollection", "features": []}', encoding="utf-8")
    (root / "scenes.tsv").write_text("scene\tsplit\trgb\tlabels\na\ttrain\ta.tif\tnone.geojson\n", encoding="utf-8")
    defaults = {**CONFIG["defaults"], "prediction": {"window": window, "stride": 8}}
    dataset = {"layout": "sheet", "table": str(root / "scenes.tsv")}
    dag = Dag.load({**CONFIG, "dataset": dataset, "defaults": defaults, "results": str(root / "results")})
    for stage in stages:
        for names in dag.jobs()[stage]:
            spec, sources = dag.spec(stage, **names), dag.sources(stage, **names)
            module_of(stage).run(job_of(spec, sources, dag.results, Store.of(dag.results)))
    rows = read_table(dag.results / "quality/inputs.tsv")
    assert all(row["remedy"] for row in rows)
    said = [f"{row['finding']}: {row['detail']}" for row in rows if row["source"] == "rgb"]
    also = ("no-data: 3 of 1200 pixels", "no-data: 2 of 1200 pixels")  # as numbers that are none count as no-data
    return [line for line in said if not line.startswith(also)]


@case("NaN in 3 pixels of a band", "not-finite: ", "band 1", "3 pixels", stops=False)
def pixels_that_are_not_a_number(root: Path) -> list[str]:
    return findings(root, spoilt(np.s_[0, 4, 4:7], np.nan))


@case("2 infinite pixels", "not-finite: ", "band 2", "2 pixels", stops=False)
def pixels_that_are_infinite(root: Path) -> list[str]:
    return findings(root, spoilt(np.s_[1, 4, 4:6], np.inf))


@case("a band that is 7 everywhere", "constant-band: ", "band 2", "7 everywhere", stops=False)
def constant_band(root: Path) -> list[str]:
    return findings(root, spoilt(1, 7))


@case("no-data everywhere", "all-no-data: ", "1200 pixels", stops=False)
def image_without_data(root: Path) -> list[str]:
    return findings(root, spoilt(..., -1))


@case("no-data in a quarter of the image", "no-data: 300 of 1200 pixels", "25 %", stops=False)
def image_partly_without_data(root: Path) -> list[str]:
    return findings(root, spoilt(np.s_[:, :15, :20], -1))


@case("a tenth of a 14-bit band at 16383", "saturated: ", "band 3", "120 of 1200", "10 %", "16383", stops=False)
def saturated_pixels(root: Path) -> list[str]:
    return findings(root, spoilt(np.s_[2, :3], 16383))


@case("an image of 40 x 30 pixels, and a window of 64", "small: ", "40 x 30", "scale native", "64", stops=False)
def scene_smaller_than_a_window(root: Path) -> list[str]:
    return findings(root, NUMBERS, window=64)


@case(
    "an empty file of labels for each scene that trains",
    *("houses", "1 training scenes (a)", "scale native", "Label it there", "validation", "remove the class"),
)
def class_without_training_pixels(root: Path) -> list[str]:
    return findings(root, NUMBERS, TRAIN)


@case("every image of the statistics without data", "sensor rgb", "band 1", "1 scenes", "`nodata`")
def no_data_in_any_image(root: Path) -> list[str]:
    return findings(root, spoilt(..., -1), TRAIN)
