"""Space of a run: a unit an artifact, corrected by what is there."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from common import stand_in_dag
from contest_sizes import PREDICT, TRAIN, contest_sizes
from rasterloom.planning.disk import room, space, units
from rasterloom.planning.graph import Dag
from rasterloom.planning.sizes import Sizes
from rasterloom.store.manifest import Manifest
from rasterloom.store.store import Store


@pytest.fixture
def dag(settings_table: dict[str, Any], tmp_path: Path) -> Dag:
    found: Dag = stand_in_dag({**settings_table, "results": str(tmp_path / "results")}, TRAIN, PREDICT)
    return found


@pytest.fixture
def sizes(dag: Dag) -> Sizes:
    return contest_sizes(dag)


def name_stack(dag: Dag, store: Store, scale: str, scene: str, size: int) -> None:
    """A stack of a scene as a finished job leaves it, of so many bytes."""
    with store.writing("stack", f"{scale}{scene}".encode().hex()[:32].ljust(32, "0"), ".zarr.zip") as work:
        with work.path.open("wb") as file:
            file.truncate(size)
        work.digest = "d"
    Manifest("stack", {scene: work.committed()}).write(dag.results / f"stacks/{scale}/{scene}.json")


def test_units_are_named_by_the_manifests_of_a_run(dag: Dag, sizes: Sizes) -> None:
    named: dict[str, set[str]] = {}
    for unit in units(dag, sizes):
        named.setdefault(unit.stage, set()).add(unit.manifest)
    for stage, paths in dag.outputs().items():
        if stage in {"place", "score", "measure", "quality", "report", "export"}:
            continue  # a placement is what a registration is, but for few scenes
        assert named[stage] == set(paths), stage
    assert named["export"] == {f"vectors/{scene}.gpkg" for scene in dag.predicted}


def test_units_are_one_a_scene_where_a_manifest_has_many(settings_table: dict[str, Any]) -> None:
    dag: Dag = stand_in_dag(settings_table, TRAIN, [f"7{i:03d}_1_1" for i in range(70)])
    count = Counter(unit.stage for unit in units(dag, contest_sizes(dag)))
    assert len(dag.batches) < 33
    assert count["predict"] == 73 * 28
    assert count["ensemble"] == count["vectorise"] == 73 * 10
    assert count["stack"] == 73 * 3


def test_space_of_the_contest_is_what_its_formats_were_measured_to_take(dag: Dag, sizes: Sizes) -> None:
    """A generated scene of 3,396 x 3,348 pixels takes 331 MB on its three grids."""
    disk = space(dag, sizes, Store.of(dag.results))
    assert disk.stages["stack"].total / len(dag.predicted) == pytest.approx(331e6, rel=0.05)
    assert disk.there == 0
    assert disk.learnt == 0
    assert 350e6 < disk.total / len(dag.predicted) < 500e6


def test_space_counts_only_sensors_that_a_scene_has(dag: Dag, sizes: Sizes) -> None:
    store = Store.of(dag.results)
    before = space(dag, sizes, store).stages["stack"].total
    for sensor in ("m", "a"):
        del dag.dataset.scenes[PREDICT[0]].sensors[sensor]
    assert space(dag, sizes, store).stages["stack"].total < before * 0.9


def test_space_learns_from_stacks_of_the_same_scale_then_of_others(dag: Dag, sizes: Sizes) -> None:
    store = Store.of(dag.results)
    estimates = {(u.kind, u.name): u.estimate for u in units(dag, sizes) if u.stage == "stack"}
    for scene in PREDICT:
        name_stack(dag, store, "s1024", scene, round(estimates["s1024", scene] * 2))
    own = space(dag, sizes, store).stages["stack"]
    assert own.found == 2
    assert own.total == pytest.approx(2 * sum(estimates.values()), rel=0.01)
    name_stack(dag, store, "native", PREDICT[0], round(estimates["native", PREDICT[0]]))
    own = space(dag, sizes, store).stages["stack"]
    of = {scale: sum(v for (k, _), v in estimates.items() if k == scale) for scale in ("s1024", "s2048", "native")}
    between = (2 * 2 * estimates["s1024", PREDICT[0]] + estimates["native", PREDICT[0]]) / (
        2 * estimates["s1024", PREDICT[0]] + estimates["native", PREDICT[0]]
    )
    assert own.total == pytest.approx(2 * of["s1024"] + of["native"] + between * of["s2048"], rel=0.01)
    assert own.there == pytest.approx(4 * estimates["s1024", PREDICT[0]] + estimates["native", PREDICT[0]], rel=0.01)


def test_space_learns_from_records_of_another_recipe(dag: Dag, sizes: Sizes) -> None:
    store = Store.of(dag.results)
    before = space(dag, sizes, store).stages
    with store.writing("predict", "a" * 32, ".zarr.zip") as work:
        work.path.write_bytes(bytes(540_000))
        work.digest, work.cost["megapixels"] = "d", 1.0
    recipe = {"scale": {"size": 1000}, "sensors": ["rgb"]}
    grid = {"grid": [1000, 1000, [[3.4, 0, 0], [0, 3.4, 0]]]}
    with store.writing("stack", "b" * 32, ".zarr.zip", recipe=recipe, inputs=grid) as work:
        work.path.write_bytes(bytes(2_000_000))
        work.digest = "d"
    with store.writing("stack", "c" * 32, ".zarr.zip", recipe={"sensors": ["unknown"]}, inputs=grid) as work:
        work.path.write_bytes(bytes(9))
        work.digest = "d"
    after = space(dag, sizes, store).stages
    assert after["predict"].total == pytest.approx(2 * before["predict"].total, rel=0.01)
    assert after["stack"].total == pytest.approx(before["stack"].total / 2.03, rel=0.01)
    assert after["predict"].there == after["stack"].there == 0, "this run names none of it"


def test_space_of_a_lost_artifact_is_still_to_come(dag: Dag, sizes: Sizes) -> None:
    store = Store.of(dag.results)
    name_stack(dag, store, "s1024", PREDICT[0], 10**6)
    for path in (store.root / "stack").glob("*.zarr.zip"):
        path.unlink()
    (dag.results / "stacks/s1024/6060_1_1.json").write_text("{")
    assert space(dag, sizes, store).stages["stack"].found == 0


def test_space_counts_tables_beside_the_store(dag: Dag, sizes: Sizes) -> None:
    dag.results.mkdir()
    (dag.results / "wkt.csv").write_bytes(bytes(5000))
    own = space(dag, sizes, Store.of(dag.results)).stages["wkt"]
    assert (own.there, own.found, own.items) == (5000, 1, 11)


def test_room_of_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    status = os.statvfs(tmp_path)
    assert room(tmp_path / "a" / "b") == pytest.approx(status.f_bavail * status.f_frsize, rel=0.05)
