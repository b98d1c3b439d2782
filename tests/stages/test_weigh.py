"""A job that weighs the members of a class."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
from numpy.typing import NDArray
from shapely import Point, box

from rasterloom.errors import LabelError
from rasterloom.raster.planes import read_plane, write_plane
from rasterloom.stages import ensemble, job_of, weigh
from rasterloom.store.job import Job
from rasterloom.store.manifest import Manifest
from rasterloom.store.store import Item, Store

U8 = NDArray[np.uint8]
SIDE = 8
GOOD, POOR = np.zeros((SIDE, SIDE), np.uint8), np.zeros((SIDE // 2, SIDE // 2), np.uint8)
GOOD[:4], POOR[:, :2] = 200, 100  # the truth is the upper half
MEMBERS = {"fine": GOOD, "coarse": POOR}


def add(store: Store, stage: str, key: str, suffix: str, write: Any, digest: str = "") -> Item:
    with store.writing(stage, key, suffix) as work:
        work.digest = write(work.path) or digest or key
        work.parts.update(rgb=key)
    return work.committed()


def stack(path: Path, shape: tuple[int, int]) -> None:
    import zarr

    with zarr.storage.ZipStore(path, mode="w") as file:
        group = zarr.create_group(file, attributes={"sensors": ["rgb"], "channels": [1]})
        group.create_array("data", data=np.ones((1, *shape), np.uint16))
        group.create_array("valid", data=np.full((1, *shape), 255, np.uint8))


def make_job(folder: Path, how: str = "best", members: dict[str, U8] = MEMBERS, validated: str = "st") -> Job:
    """A job of members, each on a scale of its own name, over scenes s, t and u; u only trains."""
    store = Store(folder / "store")
    labels = {}
    for scene in "stu":
        for name, image in members.items():
            own = image if scene != "u" else 255 - image
            key = f"{name}{scene}{own.sum()}"
            item = add(store, "predict", key, ".z.zip", lambda p, i=own: write_plane(p, "probability", i.shape, [i]))
            Manifest("predict", {scene: item}).write(folder / f"predictions/{name}/{scene}.json")
            item = add(store, "stack", f"{name}{scene}", ".z.zip", lambda p, i=own: stack(p, i.shape))
            Manifest("stack", {scene: item}).write(folder / f"stacks/{name}/{scene}.json")
        table = geopandas.GeoDataFrame(geometry=geopandas.GeoSeries([box(0, 0, 16, 8)]))
        labels[scene] = add(store, "label", scene, ".parquet", table.to_parquet)
        text = json.dumps({"reference": {"width": 16, "height": 16}, "sensors": {}})
        item = add(store, "register", f"r{scene}", ".registration.json", lambda p, t=text: p.write_text(t) and None)
        Manifest("register", {scene: item}).write(folder / f"registration/{scene}.json")
    Manifest("label", labels).write(folder / "labels/house.json")
    divide(store, folder, validated)
    spec = {
        "stage": "weigh", "version": 1, "class": "house", "group": "house", "ensemble": how, "reference": "rgb",
        "members": [{"name": name, "scale": {"name": name}} for name in members],
        "scenes": ["s", "t", "u"], "ground": {"s": "one", "t": "two", "u": "three"},
        "batches": {scene: [scene] for scene in "stu"},
    }  # fmt: skip
    return job_of(spec, {}, folder, store)


def divide(store: Store, folder: Path, validated: str) -> None:
    folds = json.dumps({"folds": {"fold-0": {"train": ["u"], "validation": list(validated)}}})
    item = add(store, "split", f"f{validated}", ".folds.json", lambda p: p.write_text(folds) and None)
    Manifest("split", {"house": item}).write(folder / "folds/house.json")


def result(job: Job) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(job.store.open_path(Manifest.read(job.output).items["house"]).read_text())
    return found


def ensemble_job(job: Job, scene: str) -> Job:
    """The job that makes the ensemble of a scene by the weights of another job."""
    keys = ("class", "ensemble", "members", "reference")
    spec = {"stage": "ensemble", "version": 1, "batch": scene, "scenes": [scene], **{k: job.spec[k] for k in keys}}
    return job_of(spec, {}, job.results, job.store)


def test_inputs_are_those_of_the_labelled_scenes(tmp_path: Path) -> None:
    found = weigh.inputs(make_job(tmp_path).spec)
    assert found == [
        *(f"predictions/{name}/{scene}.json" for name in MEMBERS for scene in "stu"),
        *(f"stacks/{name}/{scene}.json" for name in MEMBERS for scene in "stu"),
        *("labels/house.json", "folds/house.json"),
        *(f"registration/{scene}.json" for scene in "stu"),
    ]
    assert all((tmp_path / path).is_file() for path in found)


@pytest.mark.parametrize(("how", "weights"), [("best", [1, 0]), ("mean", [0.5, 0.5])])
def test_run_scores_members_on_the_finest_grid(tmp_path: Path, how: str, weights: list[float]) -> None:
    job = make_job(tmp_path, how)
    weigh.run(job)
    found = result(job)
    assert found["weights"] == weights
    assert found["jaccards"][0] == 1.0
    # Left or not left: 16 of 48 pixels; where the coarse image was enlarged a column more may be better or not.
    assert found["jaccards"][1] == pytest.approx(1 / 3, abs=0.1)
    assert found["scenes"].keys() == ({"s", "t"} if how == "best" else set())


def test_run_does_not_depend_on_scenes_that_only_trained(tmp_path: Path) -> None:
    job = make_job(tmp_path)
    weigh.run(job)
    first = Manifest.read(job.output)
    item = add(job.store, "predict", "other", ".z.zip", lambda p: write_plane(p, "probability", GOOD.shape, [GOOD]))
    Manifest("predict", {"u": item}).write(tmp_path / "predictions/fine/u.json")
    weigh.run(job)
    assert Manifest.read(job.output) == first
    divide(job.store, tmp_path, "s")
    weigh.run(job)
    assert Manifest.read(job.output) != first


def test_run_of_a_weighted_class_finds_what_members_are_worth_together(tmp_path: Path) -> None:
    # Each member sees half of the truth and something else: together they see all of it.
    one, other = np.zeros((SIDE, SIDE), np.uint8), np.zeros((SIDE, SIDE), np.uint8)
    one[:4, :6], other[:4, 2:], one[7, 0], other[7, 7] = 200, 200, 90, 90
    job = make_job(tmp_path, "weighted", {"one": one, "other": other, "nothing": np.full((2, 2), 130, np.uint8)})
    weigh.run(job)
    found = result(job)
    assert found["jaccards"][0] == found["jaccards"][1] == 0.75
    assert sum(found["weights"]) == pytest.approx(1) and min(found["weights"][:2]) > 0.2
    ensemble.run(ensemble_job(job, "u"))
    weigh.run(job)  # from the store
    assert result(job) == found


def test_run_without_validated_scenes_says_so_and_weighs_alike(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = make_job(tmp_path, "weighted", validated="")
    weigh.run(job)
    assert result(job)["weights"] == [0.5, 0.5]
    assert "class house: all members count alike, not `weighted`: no truth pixel" in capsys.readouterr().err


def test_run_names_the_class_and_scene_of_a_bad_label(tmp_path: Path) -> None:
    job = make_job(tmp_path)
    table = geopandas.GeoDataFrame(geometry=geopandas.GeoSeries([Point(1, 1)]))
    items = Manifest.read(tmp_path / "labels/house.json").items
    items["t"] = add(job.store, "label", "point", ".parquet", table.to_parquet)
    Manifest("label", items).write(tmp_path / "labels/house.json")
    with pytest.raises(LabelError, match="class house on scene t: "):
        weigh.run(job)


# What the ensemble makes of it -------------------------------------------------------------------------------


def test_ensemble_of_the_best_member_is_its_prediction_and_reads_no_other(tmp_path: Path) -> None:
    job = make_job(tmp_path)
    weigh.run(job)
    unread = Manifest.read(tmp_path / "predictions/coarse/u.json").items["u"]
    (tmp_path / "store" / unread.path).unlink()
    made = ensemble_job(job, "u")
    assert "weights/house.json" in ensemble.inputs(made.spec)
    ensemble.run(made)
    item = Manifest.read(made.output).items["u"]
    np.testing.assert_array_equal(read_plane(tmp_path / "store" / item.path, "probability"), 255 - GOOD)
    # A class that has this member alone finds the same artifact.
    alone = ensemble_job(job, "u")
    alone.spec |= {"ensemble": "mean", "members": job.spec["members"][:1]}
    assert "weights/house.json" not in ensemble.inputs(alone.spec)
    assert [want.key for want in ensemble.wanted(alone)] == [item.key]


def test_ensemble_of_alike_weights_is_that_of_a_mean(tmp_path: Path) -> None:
    job = make_job(tmp_path, "weighted", validated="")
    weigh.run(job)
    weighted = ensemble_job(job, "u")
    mean = ensemble_job(job, "u")
    mean.spec["ensemble"] = "mean"
    assert [want.key for want in ensemble.wanted(weighted)] == [want.key for want in ensemble.wanted(mean)]


def test_ensemble_takes_the_weights_of_other_grounds_for_a_scene_that_was_weighed_on(tmp_path: Path) -> None:
    job = make_job(tmp_path, "weighted")
    values = {"weights": [0.75, 0.25], "scenes": {"s": {"weights": [0.5, 0.5]}, "t": {"weights": [0.0, 1.0]}}}
    item = add(job.store, "weigh", "w", ".weights.json", lambda p: p.write_text(json.dumps(values)) and None)
    Manifest("weigh", {"house": item}).write(job.output)
    found = {}
    for scene in "stu":
        made = ensemble_job(job, scene)
        ensemble.run(made)
        item = Manifest.read(made.output).items[scene]
        found[scene] = read_plane(tmp_path / "store" / item.path, "probability")
    assert found["s"][0, 0] == 150 and found["s"][0, 7] == 100  # 200 and 100; 200 and 0
    assert found["t"].shape == POOR.shape and (found["t"] == POOR).all()
    assert found["u"][0, 0] == 80 and found["u"][0, 7] == 105  # 0.75 * 55 + 0.25 * 155; 0.75 * 55 + 0.25 * 255
