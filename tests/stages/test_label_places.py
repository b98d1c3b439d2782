"""Labels as one more sensor: registered, placed, moved; and what follows them."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
from rasterio.errors import NotGeoreferencedWarning
from rasterio.transform import Affine
from shapely import affinity, box

from common import says
from rasterloom.errors import ConfigError
from rasterloom.labels.sheet import sheet_labels
from rasterloom.planning.graph import Dag
from rasterloom.planning.stale import Walk
from rasterloom.registration.table import read_table
from rasterloom.stages import job_of, module_of
from rasterloom.store.manifest import Manifest
from rasterloom.store.store import Store
from small_labels import NORTH_UP, UTM, image, label_job_of, on_map, sheet, vector_file
from towns import SIDE, houses, town

SHIFTS = {"a": (6.0, -4.0), "b": (6.4, -4.2), "c": (5.8, -3.7), "d": (6.0, -4.0), "alone": (6.0, -4.0)}
FEW = {"d", "alone"}
PIXEL = 0.5
STAGES = ("register", "place", "stack", "label", "mask")
CONFIG: dict[str, Any] = {
    "sensors": {"pan": {"reference": True}},
    "channels": {"all": ["pan"]},
    "scales": {"native": {}},
    "models": {"dots": {"kind": "forest"}},
    "validation": {"split": 0.8},
    "classes": {"houses": {"id": 1, "members": [{"model": "dots", "channels": "all", "scale": "native"}]}},
}


def telling(warning: type[Warning], georeference: Any) -> AbstractContextManager[Any]:
    """Where a file is written without a georeference, its library warns; with one it must not."""
    return nullcontext() if georeference else pytest.warns(warning)


class Town:
    """A sheet of four scenes taken together and one alone; two of them hold three houses."""

    def __init__(self, folder: Path, crs: str | None) -> None:
        self.folder, self.drawn = folder, dict[str, list[Any]]()
        rows = ["scene\tsplit\tacquisition\tpan\tlabels"]
        for number, (scene, shift) in enumerate(SHIFTS.items()):
            self.drawn[scene] = drawn = houses(3 if scene in FEW else 30, number)
            frame = {} if crs is None else {"crs": crs, "transform": Affine(PIXEL, 0, 500_000, 0, -PIXEL, 4_000_000)}
            image = (2000 + 300 * town(drawn, number)).astype(np.uint16)
            with (
                telling(NotGeoreferencedWarning, crs),
                rasterio.open(folder / f"{scene}.tif", "w", "GTiff", SIDE, SIDE, 1, dtype="uint16", **frame) as file,
            ):
                file.write(image)
            labels = [affinity.translate(house, *shift) for house in drawn]
            if crs is not None:
                labels = [affinity.affine_transform(h, [PIXEL, 0, 0, -PIXEL, 500_000, 4_000_000]) for h in labels]
            with telling(UserWarning, crs):
                geopandas.GeoDataFrame(geometry=labels, crs=crs).to_file(folder / f"{scene}.gpkg")
            rows.append(f"{scene}\ttrain\t{'' if scene == 'alone' else 'date1'}\t{scene}.tif\t{scene}.gpkg")
        (folder / "scenes.tsv").write_text("\n".join(rows) + "\n")

    def merged(self, registration: str = "auto", results: str = "results") -> dict[str, Any]:
        labels = {"registration": registration, "max_shift": 20}
        data = {"layout": "sheet", "table": str(self.folder / "scenes.tsv"), "labels": labels}
        return {**CONFIG, "dataset": data, "results": str(self.folder / results)}

    def run(self, registration: str = "auto", results: str = "results", store: str = "results/store") -> Path:
        """Run the jobs that lead to masks."""
        dag, kept = Dag.load(self.merged(registration, results)), Store(self.folder / store)
        for stage in STAGES:
            for names in dag.jobs()[stage]:
                spec, sources = (json.loads(json.dumps(found(stage, **names))) for found in (dag.spec, dag.sources))
                module_of(stage).run(job_of(spec, sources, dag.results, kept))
        return dag.results

    def away(self, results: Path, scene: str) -> tuple[float, float]:
        """How far the labels that are used lie, in the mean, from where the houses are."""
        found = geopandas.read_parquet(results / f"labels/houses/{scene}.parquet").geometry
        truth = geopandas.GeoSeries(self.drawn[scene])
        return tuple((np.array([found.centroid.x, found.centroid.y]) - [truth.centroid.x, truth.centroid.y]).mean(1))


def keys(results: Path, folder: str) -> dict[str, str]:
    manifests = [Manifest.read(path) for path in results.glob(f"{folder}.json") if "." not in path.stem]
    return {name: item.key for manifest in manifests for name, item in manifest.items.items()}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Town:
    made = Town(tmp_path_factory.mktemp("town"), "EPSG:32631")
    made.run()
    made.run("none", "plain")
    return made


def test_labels_are_put_back_and_scenes_of_few_follow_their_acquisition(found: Town) -> None:
    results = found.folder / "results"
    for scene in SHIFTS:
        expected = SHIFTS[scene] if scene == "alone" else (0.0, 0.0)
        assert found.away(results, scene) == pytest.approx(expected, abs=0.5), scene
        assert found.away(found.folder / "plain", scene) == pytest.approx(SHIFTS[scene], abs=0.1)


def test_labels_of_an_image_without_georeference_are_put_back(tmp_path: Path) -> None:
    made = Town(tmp_path, None)
    results = made.run()
    for scene in "abcd":
        assert made.away(results, scene) == pytest.approx((0.0, 0.0), abs=0.5)


def test_placements_say_how_labels_were_placed(found: Town) -> None:
    folder = found.folder / "results/placement"
    read = {scene: json.loads((folder / f"{scene}.registration.json").read_text()) for scene in SHIFTS}
    placed = {scene: own["sensors"]["labels"] for scene, own in read.items()}
    assert {scene: own["method"] for scene, own in placed.items()} == {
        "a": "outlines", "b": "outlines", "c": "outlines", "d": "group", "alone": "georeference",
    }  # fmt: skip
    assert placed["a"]["shift"] == pytest.approx(SHIFTS["a"], abs=0.3)
    few = "3 polygons in the scene, 5 are needed"
    assert placed["d"]["fallback"] == f"{few}: the median of 3 scenes of date1 is used"
    assert placed["alone"]["fallback"] == f"{few}: the georeference of the files is used"


def test_keys_change_only_for_scenes_that_move(found: Town) -> None:
    results, plain = found.folder / "results", found.folder / "plain"
    for folder in ("labels/houses", "masks/native/houses/*"):
        with_, without = keys(results, folder), keys(plain, folder)
        assert {scene for scene in SHIFTS if with_[scene] != without[scene]} == set("abcd"), folder
    assert keys(results, "stacks/native/*") == keys(plain, "stacks/native/*")
    with_, without = keys(results, "registration/*"), keys(plain, "registration/*")
    assert all(with_[scene] != without[scene] for scene in SHIFTS)


def test_nothing_is_stale_after_a_run_and_another_bound_is_named(found: Town) -> None:
    merged = found.merged()
    walk = Walk(Dag.load(merged), Store(found.folder / "results/store"), merged)
    assert [entry for entry in walk.stale() if entry.stage in STAGES] == []
    merged["dataset"]["labels"]["max_shift"] = 25
    walk = Walk(Dag.load(merged), Store(found.folder / "results/store"), merged)
    stale = [entry for entry in walk.stale() if entry.stage in STAGES]
    why = {entry.stage: entry.why for entry in stale if entry.certain}
    assert set(why) == {"register"}, "what follows is computed only if a place changes"
    assert says(why["register"], "dataset.labels.max_shift ... 20 ... 25")


def test_the_tables_of_quality_have_a_row_of_labels(found: Town) -> None:
    dag = Dag.load(found.merged())
    store = Store(found.folder / "results/store")
    for table in ("registration", "inputs"):
        spec = json.loads(json.dumps(dag.spec("quality", table=table)))
        module_of("quality").run(job_of(spec, {}, dag.results, store))
    rows = read_table(dag.results / "quality/registration.tsv")
    assert [(row.scene, row.sensor, row.method) for row in rows[:2]] == [
        ("alone", "labels", "georeference"),
        ("d", "labels", "group"),
    ]
    assert "3 polygons in the scene, 5 are needed" in rows[0].fallback


@pytest.mark.parametrize("transform", [NORTH_UP, None])
def test_masks_and_vectors_are_moved_back_alike(tmp_path: Path, transform: Affine | None) -> None:
    with telling(NotGeoreferencedWarning, transform):
        image(tmp_path / "a.tif", UTM if transform else None, transform)
    mask = np.zeros((10, 20), np.uint8)
    mask[4:8, 6:12] = 1
    with (
        telling(NotGeoreferencedWarning, transform),
        rasterio.open(tmp_path / "m.tif", "w", "GTiff", 20, 10, 1, dtype="uint8", transform=transform) as file,
    ):
        file.write(mask, 1)
    drawn = on_map(box(6, 4, 12, 8)) if transform else [box(6, 4, 12, 8)]
    with telling(UserWarning, transform):
        vector_file(tmp_path / "v.gpkg", drawn, transform and UTM)
    for name in ("m.tif", "v.gpkg"):
        dataset = sheet(tmp_path, "scene|split|rgb|labels:houses", f"a|train|a.tif|{name}")
        job = label_job_of(dataset, "houses", tmp_path / "r")
        (plain,), (moved,) = sheet_labels(job), sheet_labels(job, shifts={"a": (3.5, -1.0)})
        assert plain.polygons()[0][0].bounds == pytest.approx((6, 4, 12, 8), abs=1e-4)
        assert moved.polygons()[0][0].bounds == pytest.approx((2.5, 5, 8.5, 9), abs=1e-4)
        assert moved.inputs != plain.inputs
        (beyond,) = sheet_labels(job, shifts={"a": (30.0, 0.0)})
        assert beyond.polygons()[0] == [], "no error, as the file is not astray"


def test_the_contests_labels_are_not_registered(tmp_path: Path) -> None:
    data = {"layout": "dstl", "root": str(tmp_path), "labels": {"registration": "auto"}}
    with pytest.raises(ConfigError, match=r"labels.registration: auto.*layout sheet"):
        Dag.load({**CONFIG, "dataset": data, "results": str(tmp_path / "results")})
