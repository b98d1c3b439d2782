"""The stage `place`: a sensor without an estimate of its own, and what the other scenes of its acquisition say."""

from __future__ import annotations

import copy
import json
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine
from scipy.ndimage import gaussian_filter

from common import says
from polygon_jobs import make_job, text_item
from rasterloom.planning.graph import Dag
from rasterloom.planning.stale import Walk
from rasterloom.registration.table import read_table
from rasterloom.stages import job_of, module_of, place
from rasterloom.store.digest import digest
from rasterloom.store.folders import manifests_of
from rasterloom.store.job import placement_manifests
from rasterloom.store.manifest import Manifest
from rasterloom.store.store import Store
from rasterloom.tools.verify import find_faults
from registrations import Table, group, registration, sensor, settle

# The job ------------------------------------------------------------------------------------------------


def write_all(folder: Path, scenes: dict[str, Table]) -> None:
    store = Store(folder / "store")
    for scene, value in scenes.items():
        name = digest([scene, value])[:32]
        item = text_item(store, "register", name, ".registration.json", value)
        Manifest("register", {scene: item}).write(folder / f"registration/{scene}.json")


def place_all(folder: Path, scenes: dict[str, Table], name: str = "6010") -> dict[str, Any]:
    """Run the job of an acquisition; gives its items."""
    job = make_job(
        folder,
        {
            "stage": "place",
            "acquisition": {"name": name, "scenes": list(scenes)},
            "scenes": list(scenes),
            "tiles": {scene: ["", ""] for scene in scenes},
        },
    )
    assert place.inputs(job.spec) == [f"registration/{scene}.json" for scene in scenes]
    place.run(job)
    return dict(Manifest.read(folder / f"placement/{name}.json").items)


def test_run_leaves_registrations_with_an_estimate_as_they_are(tmp_path: Path) -> None:
    scenes = group((3.0, -2.0), (4.0, -2.5), (3.5, 8.0), None)
    write_all(tmp_path, scenes)
    items = place_all(tmp_path, scenes)
    assert {scene: items[scene].digest for scene in "abc"} == {scene: digest(scenes[scene]) for scene in "abc"}
    assert {item.path for item in items.values()} == {f"place/{item.key}.registration.json" for item in items.values()}
    for scene in scenes:
        link = json.loads((tmp_path / f"placement/{scene}.registration.json").read_text())
        assert link == settle(scenes, "6010")[scene]
    assert place_all(tmp_path, scenes) == items


def test_key_of_a_scene_alone_does_not_hold_its_name(tmp_path: Path) -> None:
    (refused,) = group(None).values()
    item = text_item(Store(tmp_path / "store"), "register", digest(refused)[:32], ".registration.json", refused)
    for name in "ab":
        Manifest("register", {name: item}).write(tmp_path / f"registration/{name}.json")
    items = {name: place_all(tmp_path, {name: refused}, name)[name] for name in "ab"}
    assert items["a"] == items["b"]


def test_run_computes_again_what_other_estimates_change_alone(tmp_path: Path) -> None:
    scenes = group((3.0, -2.0), (4.0, -2.0), (3.0, -2.0), None, None)
    write_all(tmp_path, scenes)
    before = place_all(tmp_path, scenes)
    scenes["a"]["sensors"]["m"]["moments"] = "other pixels, the same shift"
    write_all(tmp_path, scenes)
    items = place_all(tmp_path, scenes)
    assert items["a"] != before["a"]
    assert {scene: items[scene] for scene in "bcde"} == {scene: before[scene] for scene in "bcde"}
    scenes["a"]["sensors"]["m"] = sensor((5.0, -2.0))
    write_all(tmp_path, scenes)
    after = place_all(tmp_path, scenes)
    assert {scene for scene in scenes if after[scene] != items[scene]} == {"a", "d", "e"}
    assert len(list((tmp_path / "store/place").glob("*.registration.json"))) == 5 + 1 + 3


def test_items_of_a_placement_come_from_the_acquisitions_of_the_spec(tmp_path: Path) -> None:
    scenes = group((3.0, -2.0), (4.0, -2.0), (3.0, -2.0), None)
    alone = {"z": registration(m=sensor(None))}
    write_all(tmp_path, {**scenes, **alone})
    items = place_all(tmp_path, scenes) | place_all(tmp_path, alone, "z")
    spec = {"stage": "quality", "table": "registration", "acquisitions": {"6010": list(scenes), "z": ["z"]}}
    assert make_job(tmp_path, spec).items("placement", ["z", "d", "a"]) == {scene: items[scene] for scene in "zda"}
    assert placement_manifests(spec) == ["placement/6010.json", "placement/z.json"]


# With real jobs -----------------------------------------------------------------------------------------

SCENES = {"a": (3, -2), "b": (4, -2), "c": (3, -1), "d": None}
SIDE = 128


def write_image(path: Path, bands: np.ndarray[Any, Any], pixel: float) -> None:
    count, height, width = bands.shape
    profile = {"crs": "EPSG:32631", "transform": Affine(pixel, 0, 500_000, 0, -pixel, 4_000_000), "dtype": "uint16"}
    with rasterio.open(path, "w", "GTiff", width, height, count, **profile) as file:
        file.write(bands)


def write_pair(folder: Path, scene: str, shift: tuple[int, int] | None) -> None:
    """A reference and a sensor of pixels four times as large; without a shift it shows something else."""
    generator = np.random.default_rng(sum(scene.encode()))

    def field() -> np.ndarray[Any, Any]:
        values = gaussian_filter(generator.normal(size=(SIDE + 32, SIDE + 32)), 3.0)
        return 1000 + 300 * values / values.std()

    ground = field()
    write_image(folder / f"{scene}.tif", np.stack([ground[16:-16, 16:-16]] * 3).astype(np.uint16), 0.5)
    x, y = (0, 0) if shift is None else shift
    other = field() if shift is None else ground
    seen = other[16 - y : SIDE + 16 - y, 16 - x : SIDE + 16 - x].reshape(SIDE // 4, 4, SIDE // 4, 4).mean((1, 3))
    write_image(folder / f"{scene}_m.tif", np.stack([seen] * 2).astype(np.uint16), 2.0)


CONFIG: Table = {
    "sensors": {"rgb": {"reference": True}, "m": {"max_shift": 12.0}},
    "channels": {"all": ["rgb", "m"]},
    "scales": {"native": {}, "half": {"factor": 0.5}},
    "models": {"dots": {"kind": "forest"}},
    "statistics": "train",
    "validation": {"split": 0.8},
    "classes": {
        "houses": {"id": 1, "members": [{"model": "dots", "channels": "all", "scale": s} for s in ("native", "half")]}
    },
}
STAGES = ("register", "place", "stack")


class Sheet:
    """A sheet of a group of four scenes, one of which shows other ground in its second sensor, and one alone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for scene, shift in {**SCENES, "alone": (1, 1)}.items():
            write_pair(folder, scene, shift)
        (folder / "none.geojson").write_text('{"type": "FeatureCollection", "features": []}')
        rows = [f"{s}\tpredict\tdate1\t{s}.tif\t{s}_m.tif\t" for s in SCENES]
        rows.append("alone\ttrain\t\talone.tif\talone_m.tif\tnone.geojson")
        (folder / "scenes.tsv").write_text("scene\tsplit\tacquisition\trgb\tm\tlabels\n" + "\n".join(rows) + "\n")

    @property
    def merged(self) -> Table:
        data = {"layout": "sheet", "table": str(self.folder / "scenes.tsv")}
        return {**CONFIG, "dataset": data, "results": str(self.folder / "results")}

    @property
    def dag(self) -> Dag:
        return Dag.load(self.merged)

    def run(self) -> Counter[str]:
        """Run the jobs that lead to stacks; what was computed, by stage."""
        dag = self.dag
        store = Store.of(dag.results)
        before = {path: path.stat().st_mtime_ns for path in store.root.glob("*/*.json")}
        for stage in STAGES:
            for names in dag.jobs()[stage]:
                module_of(stage).run(job_of(dag.spec(stage, **names), dag.sources(stage, **names), dag.results, store))
        new = [path for path in store.root.glob("*/*.json") if path not in before and "." not in path.stem]
        return Counter(path.parent.name for path in new if path.parent.name in STAGES)

    def stale(self) -> Iterator[tuple[str, str, bool, str]]:
        dag = self.dag
        for entry in Walk(dag, Store.of(dag.results), self.merged).stale():
            if entry.stage in STAGES:
                yield entry.stage, entry.place, entry.certain, entry.why

    def entry(self, path: str) -> Table:
        return dict(json.loads((self.folder / "results" / path).read_text())["sensors"]["m"])


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Sheet:
    found = Sheet(tmp_path_factory.mktemp("sheet"))
    assert found.run() == {"register": 5, "place": 5, "stack": 10}
    return found


@pytest.fixture
def sheet(first: Sheet, tmp_path: Path) -> Sheet:
    """A finished project of its own."""
    shutil.copytree(first.folder, tmp_path / "sheet", symlinks=True)
    found = copy.copy(first)
    found.folder = tmp_path / "sheet"
    return found


def test_jobs_are_one_per_acquisition(first: Sheet) -> None:
    dag = first.dag
    assert dag.outputs()["place"] == ["placement/alone.json", "placement/date1.json"]
    assert dag.inputs("stack", scale="half", scene="d") == [f"{dag.results}/placement/date1.json"]
    assert dag.inputs("stack", scale="half", scene="alone") == [f"{dag.results}/placement/alone.json"]
    assert dag.spec("quality", table="registration")["acquisitions"] == {"alone": ["alone"], "date1": list(SCENES)}


def test_a_scene_that_shows_other_ground_is_put_where_its_group_says(first: Sheet) -> None:
    own, settled = first.entry("registration/d.registration.json"), first.entry("placement/d.registration.json")
    assert not own["accepted"] and own["shift"] == [0.0, 0.0]
    assert settled["method"] == "group"
    assert settled["shift"] == pytest.approx([3.0, -2.0], abs=0.3)
    assert says(settled["fallback"], "median of 3 scenes of date1")
    record = next((first.folder / "results/stacks/half").glob("d.zarr.zip")).resolve().name.split(".")[0]
    made_of = json.loads((first.folder / f"results/store/stack/{record}.json").read_text())["inputs"]["sensors"]["m"]
    assert made_of["matrix"] == settled["matrix"]


def test_the_tables_of_quality_say_so(sheet: Sheet) -> None:
    dag = sheet.dag
    spec = dag.spec("quality", table="registration")
    module_of("quality").run(job_of(json.loads(json.dumps(spec)), {}, dag.results, Store.of(dag.results)))
    rows = read_table(dag.results / "quality/registration.tsv")
    assert rows[0].scene == "d" and {row.scene for row in rows} == {*SCENES, "alone"}
    assert (rows[0].method, rows[0].accepted, rows[0].against) == ("group", False, "3 scenes of date1")
    spec = {**dag.spec("quality", table="inputs"), "labels": {}}
    module_of("quality").run(job_of(json.loads(json.dumps(spec)), {}, dag.results, Store.of(dag.results)))
    text = (dag.results / "quality/inputs.tsv").read_text()
    (line,) = [line for line in text.splitlines() if "\tshift\t" in line]
    assert line.startswith("d\tm\td_m.tif\tshift\t") and "median of 3 scenes of date1" in line


def test_nothing_is_stale_after_a_run(sheet: Sheet) -> None:
    assert list(sheet.stale()) == []
    assert sheet.run() == {}


def test_another_image_of_a_scene_that_nobody_leans_on_computes_its_own_alone(sheet: Sheet) -> None:
    path = sheet.folder / "d.tif"
    with rasterio.open(path, "r+") as file:
        file.write(file.read() + 1)
    found = list(sheet.stale())
    assert {(stage, place) for stage, place, *_ in found} == {
        ("register", "registration/d"), ("place", "placement/d"), ("stack", "stacks/half/d"),
        ("stack", "stacks/native/d"),
    }  # fmt: skip
    assert {why for stage, _, certain, why in found if not certain} and all(
        certain == (stage == "register") for stage, _, certain, _ in found
    )
    assert sheet.run() == {"register": 1, "place": 1, "stack": 2}


def test_another_shift_of_a_scene_reaches_those_that_lean_on_it(sheet: Sheet) -> None:
    write_pair(sheet.folder, "a", (5, -2))
    found = list(sheet.stale())
    assert {place for stage, place, *_ in found if stage == "stack"} == {
        f"stacks/{scale}/{scene}" for scale in ("half", "native") for scene in "ad"
    }
    assert {place for stage, place, *_ in found if stage == "place"} == {"placement/a", "placement/d"}
    before = sheet.entry("placement/d.registration.json")
    assert sheet.run() == {"register": 1, "place": 2, "stack": 4}
    after = sheet.entry("placement/d.registration.json")
    assert before["shift"] != after["shift"] == pytest.approx([4.0, -2.0], abs=0.5)


def test_verify_names_every_manifest_of_a_damaged_registration(sheet: Sheet) -> None:
    results = sheet.folder / "results"
    store = Store.of(results)
    assert list(find_faults(store, list(manifests_of(results)))) == []
    items = Manifest.read(results / "placement/date1.json").items
    for scene, manifests in {
        "a": ["placement/date1.json"],
        "d": ["placement/date1.json"],
    }.items():
        path = store.root / items[scene].path
        content = path.read_bytes()
        path.write_bytes(content + b" ")
        faults = list(find_faults(store, list(manifests_of(results))))
        assert sorted(str(fault.manifest.relative_to(results)) for fault in faults) == manifests
        assert {fault.name for fault in faults} == {scene}
        path.write_bytes(content)


def test_a_first_run_is_sure_of_everything(first: Sheet, tmp_path: Path) -> None:
    merged = {**first.merged, "results": str(tmp_path / "new")}
    dag = Dag.load(merged)
    found = [entry for entry in Walk(dag, Store.of(dag.results), merged).stale() if entry.stage in STAGES]
    assert Counter((entry.stage, entry.certain) for entry in found) == {
        ("register", True): 5, ("place", True): 5, ("stack", True): 10,
    }  # fmt: skip


def test_a_scene_more_in_the_acquisition_computes_its_own_and_the_median(sheet: Sheet) -> None:
    write_pair(sheet.folder, "e", (4, -1))
    with (sheet.folder / "scenes.tsv").open("a") as file:
        file.write("e\tpredict\tdate1\te.tif\te_m.tif\t\n")
    assert sheet.run() == {"register": 1, "place": 2, "stack": 4}
    assert "median of 4 scenes of date1" in sheet.entry("placement/d.registration.json")["fallback"]
