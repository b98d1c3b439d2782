"""Space of a run: one constant per stage, corrected by the artifacts that are there."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from common import stand_in_dag
from contest_sizes import PREDICT, TRAIN, contest_sizes
from rasterloom.errors import StoreError
from rasterloom.planning.disk import BYTES, ITEM_BYTES, room, space
from rasterloom.planning.graph import Dag
from rasterloom.planning.sizes import Sizes
from rasterloom.raster.grid import Grid
from rasterloom.raster.stacking import StackSensor, write_stack
from rasterloom.stages import artifact_stages
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


def stack_bytes(side: int) -> float:
    """Bytes that a stack of the contest's 20 channels is estimated to take."""
    return ITEM_BYTES + BYTES["stack"] * 20 * side**2


def test_space_counts_every_artifact_of_a_run(dag: Dag, sizes: Sizes) -> None:
    stages = space(dag, sizes, Store.of(dag.results))
    counts = {stage: own.items for stage, own in stages.items()}
    expected = {
        "register": 5,
        "stack": 15,
        "place": 5,
        "label": 30,
        "mask": len(dag.outputs()["mask"]),
        "split": len(dag.recipe.groups),
        "train": 28,
        "predict": 5 * 28,
        "weigh": 10,
        "ensemble": 50,
        "tune": 10,
        "vectorise": 50,
        "all": sum(count for stage, count in counts.items() if stage != "all"),
    }
    assert {stage: counts[stage] for stage in expected} == expected
    assert counts.keys() == {*artifact_stages(), "all"} - {"normalisation"}, "each scene has its own"


def test_space_counts_scenes_where_a_manifest_has_many(settings_table: dict[str, Any]) -> None:
    dag: Dag = stand_in_dag(settings_table, TRAIN, [f"7{i:03d}_1_1" for i in range(70)])
    stages = space(dag, contest_sizes(dag), Store(Path("nowhere")))
    assert len(dag.batches) < 33
    assert stages["predict"].items == 73 * 28
    assert stages["ensemble"].items == stages["vectorise"].items == 73 * 10
    assert stages["stack"].items == 73 * 3


def test_space_of_the_contest_is_what_its_formats_were_measured_to_take(dag: Dag, sizes: Sizes) -> None:
    """A generated scene of 3,396 x 3,348 pixels takes 331 MB on its three grids."""
    stages = space(dag, sizes, Store.of(dag.results))
    assert stages["stack"].total / len(dag.predicted) == pytest.approx(331e6, rel=0.05)
    assert stages["all"].there == stages["all"].found == 0
    assert 350e6 < stages["all"].total / len(dag.predicted) < 500e6


def test_space_of_networks_is_that_of_their_parameters(dag: Dag, sizes: Sizes) -> None:
    """26 networks of 1.63 million parameters."""
    assert space(dag, sizes, Store.of(dag.results))["train"].total == pytest.approx(26 * 1.63e6 * 4, rel=0.02)


def test_space_counts_only_sensors_that_a_scene_has(dag: Dag, sizes: Sizes) -> None:
    store = Store.of(dag.results)
    before = space(dag, sizes, store)["stack"].total
    for sensor in ("m", "a"):
        del dag.dataset.scenes[PREDICT[0]].sensors[sensor]
    assert space(dag, sizes, store)["stack"].total < before * 0.9


def test_space_learns_from_stacks_of_the_same_scale_then_of_others(dag: Dag, sizes: Sizes) -> None:
    store = Store.of(dag.results)
    small, middle = stack_bytes(1024), stack_bytes(2048)
    for scene in PREDICT:
        name_stack(dag, store, "s1024", scene, round(small * 2))
    before = space(dag, sizes, store)["stack"]
    assert before.found == 2
    assert before.there == pytest.approx(4 * small, rel=0.01)
    name_stack(dag, store, "s2048", PREDICT[0], round(middle))
    after = space(dag, sizes, store)["stack"]
    native = ITEM_BYTES + 20 * 3348 * 3396
    all_scales = (4 * small + middle) / (2 * small + middle)
    assert before.total == pytest.approx(2 * 5 * (small + middle + native), rel=0.01)
    assert after.total == pytest.approx(5 * (2 * small + middle + all_scales * native), rel=0.01)


def test_space_of_a_lost_artifact_is_still_to_come(dag: Dag, sizes: Sizes) -> None:
    store = Store.of(dag.results)
    name_stack(dag, store, "s1024", PREDICT[0], 10**6)
    for path in (store.root / "stack").glob("*.zarr.zip"):
        path.unlink()
    assert space(dag, sizes, store)["stack"].found == 0


def test_space_names_a_damaged_manifest(dag: Dag, sizes: Sizes) -> None:
    path = dag.results / "stacks/s1024/6060_1_1.json"
    path.parent.mkdir(parents=True)
    path.write_text("{")
    with pytest.raises(StoreError, match=r"6060_1_1\.json is not a manifest"):
        space(dag, sizes, Store.of(dag.results))


def written_bytes(path: Path, image: NDArray[Any], factor: float) -> float:
    """Bytes of a value of a stack of an image, magnified."""
    bands, height, width = image.shape
    grid = Grid(int(height * factor), int(width * factor), [[1 / factor, 0.0, 0.0], [0.0, 1 / factor, 0.0]])
    reader: Any = SimpleNamespace(shape=image.shape, read=lambda start, stop: (image[:, start:stop], None))
    write_stack(path, [StackSensor("x", bands, np.uint16, reader, [[1.0, 0.0, 0.3], [0.0, 1.0, 0.3]])], grid)
    return path.stat().st_size / (bands * grid.height * grid.width)


@pytest.mark.parametrize(("sensor", "factor"), [("rgb", 0.5), ("rgb", 1.0), ("m", 2.0), ("m", 4.0), ("a", 15.0)])
def test_constant_of_stacks_is_near_generated_scenes(tmp_path: Path, sensor: str, factor: float) -> None:
    """The contest's sensors take 0.7 to 1.6 bytes per value, least where the grid magnifies them."""
    from rasterloom.tools.scenes.sensing import generate_scene

    image = generate_scene("6010_1_1", 3, (512, 512)).sensors[sensor]
    measured = written_bytes(tmp_path / "x.zarr.zip", image, factor)
    assert BYTES["stack"] == pytest.approx(measured, rel=0.5), measured


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0])
def test_constant_of_stacks_is_near_real_imagery_of_8_bits(tmp_path: Path, test_data: Path, factor: float) -> None:
    from rasterloom.raster.files import open_raster

    with open_raster(test_data / "spacenet-rio/images/rio_50.tif") as raster:
        image = raster.read(0, raster.info.height).astype("uint16")
    assert BYTES["stack"] == pytest.approx(written_bytes(tmp_path / "x.zarr.zip", image, factor), rel=0.2)


def test_room_of_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    status = os.statvfs(tmp_path)
    assert room(tmp_path / "a" / "b") == pytest.approx(status.f_bavail * status.f_frsize, rel=0.05)
