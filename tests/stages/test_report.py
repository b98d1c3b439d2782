"""The stage `report`, end to end on a store of made-up items."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import geopandas
import numpy as np
import pytest
import shapely
import zarr
from numpy.typing import NDArray

from rasterloom.learning.checkpoint import save_checkpoint
from rasterloom.polygons.scores import COLUMNS
from rasterloom.registration.table import ShiftRow
from rasterloom.registration.table import table as shifts_table
from rasterloom.report.findings import Finding
from rasterloom.report.findings import table as findings_table
from rasterloom.report.members import member_classes
from rasterloom.stages import job_of, report
from rasterloom.store.manifest import Manifest
from rasterloom.store.store import Item, Store

SIDE = 64
Table = Mapping[str, Mapping[str, Sequence[Any]]]
"""Polygons by class and scene."""


def house(x: float, y: float, side: float = 16.0) -> Any:
    return shapely.box(x, y, x + side, y + side)


def make_spec(**changes: Any) -> dict[str, Any]:
    scale = {"name": "small", "size": SIDE}
    spec: dict[str, Any] = {
        "stage": "report",
        "version": 1,
        "classes": {"house": 1, "pond": 2},
        "groups": {"house": "house", "pond": "pond"},
        "truth": {"house": ["held"], "pond": ["held"]},
        "labelled": {"house": ["one", "two"], "pond": ["one", "two"]},
        "scenes": ["held", "new", "one", "two"],
        "batches": {"a": ["held", "new"], "b": ["one", "two"]},
        "reference": "rgb",
        "members": {"house": ["house-unet", "house-forest"], "pond": ["pond-forest"]},
        "ensembles": {"house": "weighted", "pond": "mean"},
        "scales": {"small": scale},
        "scale_sensors": {"small": ["rgb", "m"]},
        "class_scales": {"house": [scale], "pond": [scale]},
        "folds": ["fold-0"],
    }
    return {**spec, **changes}


TRUTH: Table = {
    "house": {"held": [house(8, 8)], "one": [house(32, 32)], "two": [house(4, 40), house(40, 4)]},
    "pond": {"held": [], "one": [], "two": []},
}
PREDICTED: Table = {"house": {"held": [house(8, 16)], "one": [house(32, 32)], "two": [house(4, 40)]}}


def write_stack(path: Path, data: NDArray[Any], valid: NDArray[np.uint8], channels: Sequence[int]) -> None:
    with zarr.storage.ZipStore(path, mode="w") as store:
        attributes = {"sensors": ["rgb", "m"][: len(channels)], "channels": list(channels)}
        group = zarr.create_group(store, attributes=attributes)
        group.create_array("data", data=data, chunks=(len(data), 32, 32))
        group.create_array("valid", data=valid)


class Results:
    """A results folder with just what the report reads."""

    def __init__(self, root: Path, spec: dict[str, Any], size: int = SIDE) -> None:
        self.root, self.spec, self.size = root, spec, size
        self.store = Store(root / "store")

    def item(self, stage: str, name: str, suffix: str, write: Any, **cost: Any) -> Item:
        with self.store.writing(stage, name.replace("/", "-"), suffix) as work:
            write(work.path)
            work.digest = "0" * 64
            work.cost.update(cost)
        return work.committed()

    def manifest(self, path: str, items: dict[str, Item]) -> None:
        Manifest(path.split("/")[0], items).write(self.root / f"{path}.json")

    def json(self, path: str, item: str, value: Any) -> None:
        text = json.dumps(value)
        self.manifest(path, {item: self.item("json", path, ".value.json", lambda p: p.write_text(text))})

    def fill(self, truth: Table = TRUTH, predicted: Table = PREDICTED, **options: Any) -> Results:
        for scene in self.spec["scenes"]:
            self.registration(scene)
            for scale, table in self.spec["scales"].items():
                image = options.get("image", self.image)(scene, int(table.get("size", self.size)))
                self.stack(scale, scene, *image)
        for name in self.spec["classes"]:
            self.polygons(name, truth.get(name, {}), predicted.get(name, {}))
            self.json(
                f"tuning/{name}",
                name,
                {"threshold": 101.5, "jaccard": 0.625, "reason": None, "present": 1, "scenes": {}},
            )
            if len(self.spec["members"][name]) > 1:
                found = {"weights": [0.75, 0.25], "jaccards": [0.5625, 0.4375], "reason": None, "scenes": {}}
                self.json(f"weights/{name}", name, found)
            self.json(
                f"folds/{name}",
                name,
                {
                    "folds": {"fold-0": {"train": ["two"], "validation": ["one"]}},
                    "validated": {"fold-0": {name: 0.375}},
                    "having": {"fold-0": {name: [1, 1]}},
                    "note": "a note of the split" if name == "pond" else None,
                },
            )
        for member in member_classes(self.spec):
            for fold in self.spec["folds"]:
                self.model(member, fold, options.get("history", "unet" in member))
        self.scores(options.get("scores", SCORES))
        self.shifts()
        return self

    def image(self, scene: str, side: int) -> tuple[NDArray[Any], NDArray[np.uint8], list[int]]:
        data = np.random.default_rng(len(scene)).integers(200, 900, (4, side, side)).astype(np.uint16)
        valid = np.full((2, side, side), 255, np.uint8)
        valid[0, :4] = 0
        return data, valid, [3, 1]

    def stack(self, scale: str, scene: str, data: Any, valid: Any, channels: Sequence[int]) -> None:
        item = self.item(
            "stack", f"{scale}-{scene}", ".zarr.zip", lambda path: write_stack(path, data, valid, channels)
        )
        self.manifest(f"stacks/{scale}/{scene}", {scene: item})

    def registration(self, scene: str) -> None:
        reference = {"sensor": "rgb", "width": self.size, "height": self.size, "transform": None, "crs": None}
        self.json(f"registration/{scene}", scene, {"reference": reference, "sensors": {}})

    def shifts(self) -> None:
        rows = [
            ShiftRow(scene, "m", (4.0, 4.0), (0.0, 0.0), 0.1, False, "identity", fallback="no <peak>")
            if scene == "new"
            else ShiftRow(scene, "m", (4.0, 4.0), (3.0, 4.0), 0.9, True, "ecc")
            for scene in [*self.spec["scenes"], "elsewhere"]
        ]
        (self.root / "quality").mkdir(exist_ok=True)
        (self.root / "quality/registration.tsv").write_text(shifts_table(rows))

    def polygons(self, name: str, truth: Mapping[str, Any], predicted: Mapping[str, Any]) -> None:
        labelled = [*self.spec["labelled"][name], *self.spec["truth"][name]]
        items = {s: self.item("label", f"{name}-{s}", ".parquet", table(truth.get(s, []), s, name)) for s in labelled}
        self.manifest(f"labels/{name}", items)
        for batch, scenes in self.spec["batches"].items():
            items = {
                s: self.item("vectorise", f"{name}-{s}", ".parquet", table(predicted.get(s, []), s, name, True))
                for s in scenes
            }
            self.manifest(f"polygons/{name}/{batch}", items)

    def model(self, member: str, fold: str, history: bool) -> None:
        arrays = {"weights": np.zeros(3, np.float32)}
        if history:
            arrays["history.step"] = np.array([10, 20, 30])
            arrays["history.loss"] = np.array([0.8, 0.4, 0.125], np.float32)
            arrays["history.iou"] = np.array([0.1, 0.5, 0.75], np.float32)
        cost = {"seconds": 4000.0, "peak_memory_mb": 3072.0, "device": "cpu"} | ({} if history else {"samples": 77})
        item = self.item(
            "train", f"{member}-{fold}", ".safetensors", lambda path: save_checkpoint(path, arrays, {}), **cost
        )
        self.manifest(f"models/{member}/{fold}", {fold: item})

    def scores(self, rows: Sequence[Sequence[Any]]) -> None:
        between = [""] * (len(COLUMNS) - 8)
        lines = ["\t".join(str(value) for value in row) for row in (COLUMNS, *((*row, *between, 99.5) for row in rows))]
        (self.root / "score.tsv").write_text("\n".join(lines) + "\n")
        (self.root / "quality").mkdir(exist_ok=True)
        finding = Finding("one", "house", "h.gpkg", "mended", "1 polygon crosses itself")
        (self.root / "quality/inputs.tsv").write_text(findings_table([finding]))

    def run(self) -> str:
        job = job_of(self.spec, {}, self.root, self.store)
        for path in report.inputs(self.spec):
            assert (self.root / path).is_file(), path
        report.run(job)
        return job.output.read_text(encoding="utf-8")

    def page(self, name: str = "") -> str:
        """The page of a class, or the index."""
        return (self.root / "report" / (f"class-{name}.html" if name else "index.html")).read_text(encoding="utf-8")

    def pictures(self) -> set[str]:
        folder = self.root / "report" / "pictures"
        return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


SCORES = [
    ("held-out", "house", "held", 128, 128, 128, 0.3333),
    ("held-out", "house", "all", 128, 128, 128, 0.3333),
    ("held-out", "mean", "all", "", "", "", 0.3333),
    ("out-of-fold", "house", "one", 256, 0, 0, 1.0),
    ("out-of-fold", "house", "all", 256, 0, 0, 1.0),
    ("out-of-fold", "pond", "one", 0, 0, 0, ""),
    ("out-of-fold", "pond", "all", 0, 0, 0, ""),
    ("out-of-fold", "mean", "all", "", "", "", 0.9),
]


def table(polygons: Sequence[Any], scene: str, name: str, pixel: bool = False) -> Any:
    frame = geopandas.GeoDataFrame(
        {"scene": [scene] * len(polygons), "class": [name] * len(polygons)}, geometry=geopandas.GeoSeries(polygons)
    )
    if pixel:
        frame["pixel"] = geopandas.GeoSeries(polygons)
        frame = frame.set_geometry(frame.geometry.translate(1e6, 1e6))
    return frame.to_parquet


def local_links(html: str) -> list[str]:
    return list(re.findall(r'(?:href|src)="([^"#]+)"', html))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Results whose report is written; look, and change nothing."""
    results = Results(tmp_path_factory.mktemp("finished"), make_spec()).fill()
    results.run()
    return results


def test_run_writes_pages_whose_links_lead_to_files(finished: Results) -> None:
    index = finished.page()
    for html in (index, finished.page("house"), finished.page("pond")):
        for link in local_links(html):
            assert (finished.root / "report" / link).is_file(), link
        assert "http" not in html and "<script" not in html
    assert len(index) < 200_000


def test_run_index_has_scores_registrations_members_and_provenance(finished: Results) -> None:
    index = finished.page()
    assert "0.333" in index and "1.000" in index and "0.900" in index
    assert "0.398" in index  # 101.5 / 255
    assert "tuned on 1 scene only" in index and "no truth to score against" in index
    assert "no &lt;peak&gt;" in index
    assert "house-unet" in index and "1 h 06 min" in index and "3.2 GB" in index and "0.125" in index
    assert "77 pixels" in index
    assert "1 polygon crosses itself" in index and 'href="../quality/inputs.tsv"' in index
    assert index.count("<polyline") == 1
    assert index.count("62 %") == index.count("38 %") == 2 and "pond: a note of the split" in index
    assert "the mean of the folds' models" in index
    assert all(f">{value}<" in index for value in ("weighted", "0.75", "0.25", "0.562", "0.438", "0.625"))
    assert '<tr id="class-house">' in index


def test_run_class_page_shows_held_out_then_out_of_fold_then_in_sample(finished: Results) -> None:
    page = finished.page("house")
    assert re.findall(r"<h3>(\w+)</h3>", page) == ["held", "one", "two"]
    assert re.findall(r'class="part ([\w-]+)"', page) == ["held-out", "out-of-fold", "in-sample"]
    assert "Jaccard 0.333" in page
    assert "Jaccard about 0.50" in page
    assert "No scored scene has a polygon" in finished.page("pond")


def test_run_pictures_show_right_wrong_and_missed(finished: Results) -> None:
    picture = cv2.imread(str(finished.root / "report/pictures/house.held.errors.jpg"))[..., ::-1].astype(int)
    assert picture.shape == (512, 512, 3)
    middle = {
        name: picture[8 * y - 16 : 8 * y + 16, 112:144].mean(axis=(0, 1))
        for name, y in (("miss", 12), ("hit", 20), ("extra", 28))
    }
    assert [middle[name].argmax() for name in ("extra", "hit", "miss")] == [0, 1, 2]
    assert np.abs(picture[:24] - 119).max() < 12  # invalid rows are grey, muted


def test_run_shows_the_worst_registrations_before_and_after(finished: Results) -> None:
    index = finished.page()
    shown = {name for name in finished.pictures() if name.startswith("registration.")}
    moved = {f"registration.{scene}.m.{when}.jpg" for scene in ("held", "one", "two") for when in ("before", "after")}
    assert shown == {"registration.new.m.after.jpg", *moved}
    places = [index.index(f'id="overlay-{scene}-m"') for scene in ("new", "held", "one", "two")]
    assert places == sorted(places) and "elsewhere" not in index


@pytest.mark.slow
def test_run_removes_stale_pictures_and_pages(tmp_path: Path) -> None:
    results = Results(tmp_path, make_spec()).fill()
    results.run()
    assert "pond.held.errors.jpg" not in results.pictures()
    before = results.pictures()
    folder = tmp_path / "report"
    for stale in ("pictures/gone.held.errors.jpg", "pictures/.tmp-1-x.jpg", "class-gone.html", ".tmp-1-index.html"):
        (folder / stale).write_text("stale")
    (folder / "mine.txt").write_text("kept")
    results.run()
    assert results.pictures() == before
    assert {path.name for path in folder.iterdir()} == {
        "class-house.html", "class-pond.html", "index.html", "mine.txt", "pictures",
    }  # fmt: skip


def test_run_twice_gives_equal_bytes(finished: Results) -> None:
    assert finished.page() == finished.run()


def test_run_without_truth_or_predictions(tmp_path: Path) -> None:
    spec = make_spec(
        truth={"house": [], "pond": []}, labelled={"house": [], "pond": []}, scenes=["new"], batches={"a": ["new"]}
    )
    results = Results(tmp_path, spec).fill({}, {}, scores=[])
    index = results.run()
    assert "no labelled scene has it" in index
    assert results.pictures() == {"new.classes.jpg", "new.image.jpg", "registration.new.m.after.jpg"}
    assert "no scene to show" in index


def test_run_of_no_scene_at_all(tmp_path: Path) -> None:
    spec = make_spec(truth={"house": [], "pond": []}, labelled={"house": [], "pond": []}, scenes=[], batches={})
    results = Results(tmp_path, spec).fill({}, {}, scores=[])
    assert "No scene was predicted." in results.run()
    assert results.pictures() == set()


def grey(scene: str, side: int) -> tuple[NDArray[Any], NDArray[np.uint8], list[int]]:
    data = np.linspace(-1, 1, side * side, dtype=np.float32).reshape(1, side, side)
    data[0, :8] = np.nan
    return data, np.full((1, side, side), 255, np.uint8), [1]


def empty(scene: str, side: int) -> tuple[NDArray[Any], NDArray[np.uint8], list[int]]:
    return np.zeros((2, side, side), np.uint16), np.zeros((1, side, side), np.uint8), [2]


@pytest.mark.parametrize(("image", "colour"), [(grey, 251), (empty, 140)])
def test_run_of_a_reference_without_colours(tmp_path: Path, image: Any, colour: int) -> None:
    results = Results(tmp_path, make_spec(reference="absent")).fill(image=image)
    results.run()
    picture = cv2.imread(str(tmp_path / "report/pictures/held.image.jpg")).astype(int)
    assert np.ptp(picture, axis=2).max() <= 3
    assert abs(picture[500, 500].mean() - colour) <= 5
    assert abs(picture[10, 10].mean() - 140) <= 3


@pytest.mark.slow
def test_run_looks_closer_at_small_objects_on_the_finest_scale(tmp_path: Path) -> None:
    coarse, fine = {"name": "coarse", "size": 1024}, {"name": "fine", "size": 2048}
    spec = make_spec(scales={"coarse": coarse, "fine": fine}, class_scales={"house": [coarse, fine], "pond": [coarse]})
    spec["scale_sensors"] = {"coarse": ["rgb", "m"], "fine": ["rgb", "m"]}
    spec |= {"scenes": ["held", "one", "two"], "batches": {"b": ["held", "one", "two"]}}
    cars = {"house": {"held": [house(1900 + 12 * i, 300, 8) for i in range(8)]}}
    results = Results(tmp_path, spec, size=2048)
    results.fill(cars, cars, history=False, image=lambda scene, _: results.image(scene, 256))
    results.run()
    assert {name for name in results.pictures() if name.startswith("house.held")} == {
        f"house.held.{kind}.jpg" for kind in ("errors", "outlines", "errors-detail", "outlines-detail")
    }
    near = cv2.imread(str(tmp_path / "report/pictures/house.held.errors-detail.jpg"))
    assert near.shape == (640, 640, 3)


def test_inputs_ask_for_stacks_that_may_be_shown_alone() -> None:
    many = [f"s{i:03d}" for i in range(100)]
    coarse, fine, native = {"name": "c", "size": 512}, {"name": "f", "size": 1024}, {"name": "n"}
    spec = make_spec(
        scenes=[*many, "one"], batches={"a": [*many, "one"]}, truth={"house": [], "pond": []},
        labelled={"house": ["one"], "pond": []}, scales={"c": coarse, "f": fine, "n": native},
        scale_sensors={scale: ["rgb"] for scale in "cfn"}, class_scales={"house": [coarse, native], "pond": [fine]},
    )  # fmt: skip
    stacks = [path for path in report.inputs(spec) if path.startswith("stacks/")]
    assert stacks == [*sorted(f"stacks/f/{s}.json" for s in [*many[:8], "one"]), "stacks/n/one.json"]


def test_inputs_ask_for_all_stacks_that_an_overlay_may_be_drawn_from() -> None:
    scales = {"c": {"name": "c", "size": 512}, "f": {"name": "f", "size": 1024}, "n": {"name": "n"}}
    sensors = {"c": ["rgb", "m"], "f": ["rgb", "m"], "n": ["rgb"]}
    spec = make_spec(
        scales=scales, scale_sensors=sensors, class_scales={name: [scales["c"]] for name in ("house", "pond")},
        truth={"house": [], "pond": []}, labelled={"house": [], "pond": []},
    )  # fmt: skip
    stacks = [path for path in report.inputs(spec) if path.startswith("stacks/")]
    assert stacks == sorted(f"stacks/f/{scene}.json" for scene in spec["scenes"])
    assert "quality/registration.tsv" in report.inputs(spec)
