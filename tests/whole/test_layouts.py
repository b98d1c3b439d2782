"""A data set in all the forms that it may have gives the same artifacts under the same keys."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import yaml
from rasterio.transform import Affine

from common import ROOT, place_alone
from rasterloom.config.overlays import merge
from rasterloom.dataset import load_dataset
from rasterloom.dataset.contest_tables import read_sample
from rasterloom.errors import InputError, MissingInputError
from rasterloom.planning.graph import Dag
from rasterloom.stages import job_of, label, register, stack
from rasterloom.store.manifest import Manifest
from rasterloom.store.store import Item, Store
from rasterloom.tools.scenes.writing import write_scenes
from small_labels import label_job_of

FOLDERS = ("three_band", "sixteen_band")


@pytest.fixture(scope="module")
def contest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two training scenes and one other, generated in the contest's formats."""
    out = tmp_path_factory.mktemp("contest") / "data"
    write_scenes(out, 2, 1, (256, 256), 3)
    return out


@pytest.fixture
def data(contest: Path, tmp_path: Path) -> Path:
    """A copy of `contest` that a test may change."""
    return shutil.copytree(contest, tmp_path / "data")


def pack(data: Path, folder: str, inner: str = "", method: int = zipfile.ZIP_DEFLATED) -> None:
    """Replace a folder by an archive of it."""
    with zipfile.ZipFile(data / f"{folder}.zip", "w", method) as archive:
        for path in sorted((data / folder).rglob("*.tif")):
            archive.write(path, f"{inner or folder}/{path.name}")
    shutil.rmtree(data / folder)


def dag_of(data: Path, **dataset: Any) -> Dag:
    tables = [yaml.safe_load((ROOT / name).read_text()) for name in ("config.yaml", "presets/tiny.yaml")]
    own = {"dataset": {"root": str(data), "truth": None, **dataset}, "results": str(data.parent / "results")}
    return Dag.load(merge(merge(*tables), own))


def run(dag: Dag, stage: Any, **names: str) -> Item:
    """Run a job as the workflow would; the item of its only, or of the named, scene."""
    name = stage.__name__.rpartition(".")[2]
    job = job_of(dag.spec(name, **names), dag.sources(name, **names), dag.results, Store.of(dag.results))
    stage.run(job)
    items = Manifest.read(job.output).items
    return items[names.get("scene", min(items))]


def everything(dag: Dag, scene: str) -> list[Item]:
    """The items of the stages that read source files."""
    registered = run(dag, register, scene=scene)
    place_alone(dag.results, scene, dag.dataset.scenes[scene].acquisition or scene)
    return [
        registered,
        run(dag, stack, scale="s128", scene=scene),
        run(dag, label, **{"class": "buildings"}),
    ]


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_packed_images_give_the_same_items_as_unpacked_ones(
    data: Path, monkeypatch: pytest.MonkeyPatch, method: int
) -> None:
    dag = dag_of(data)
    scene = dag.training[0]
    unpacked = everything(dag, scene)
    pack(data, "three_band", method=method)
    pack(data, "sixteen_band", "sixteen_band/sixteen_band", method)
    # Nothing is computed a second time: what computes it is gone.
    for module, name in ((register, "register_scene"), (stack, "write_stack"), (label, "write_polygons")):
        monkeypatch.delattr(module, name)
    packed = dag_of(data)
    assert "zip!" in packed.dataset.scenes[scene].sensors["a"][0].path
    assert everything(packed, scene) == unpacked


def test_packed_images_alone_give_the_same_content(data: Path) -> None:
    scene = dag_of(data).training[0]
    unpacked = everything(dag_of(data), scene)
    for folder in FOLDERS:
        pack(data, folder)
    shutil.rmtree(data.parent / "results")
    assert [item.digest for item in everything(dag_of(data), scene)] == [item.digest for item in unpacked]


def test_a_replaced_member_touches_its_scene_alone(data: Path) -> None:
    for folder in FOLDERS:
        pack(data, folder)
    dag = dag_of(data)
    before = {scene: dag.sources("register", scene=scene) for scene in dag.predicted}
    first, second = dag.training
    with zipfile.ZipFile(data / "sixteen_band.zip") as archive:
        content = {info: archive.read(info) for info in archive.infolist()}
    other = content[next(info for info in content if info.filename.endswith(f"{second}_P.tif"))]
    with zipfile.ZipFile(data / "sixteen_band.zip", "w") as archive:
        for info, own in content.items():
            archive.writestr(info, other if info.filename.endswith(f"{first}_P.tif") else own)
    after = {scene: dag_of(data).sources("register", scene=scene) for scene in dag.predicted}
    assert [scene for scene in before if before[scene] != after[scene]] == [first]


def test_a_job_stops_if_a_member_changed_since_the_run_was_planned(data: Path) -> None:
    for folder in FOLDERS:
        pack(data, folder)
    dag = dag_of(data)
    scene = dag.training[0]
    planned = dag.sources("register", scene=scene)
    planned["sensors"]["m"][0]["crc"] ^= 1
    with pytest.raises(InputError, match=rf"scene {scene}, sensor m: .*sixteen_band\.zip!.* has changed since"):
        register.run(job_of(dag.spec("register", scene=scene), planned, dag.results, Store.of(dag.results)))
    (data / "sixteen_band.zip").unlink()
    with pytest.raises(MissingInputError, match=rf"scene {scene}, sensor p: .*sixteen_band\.zip is not there"):
        run(dag, register, scene=scene)


def test_members_of_archives_are_known_by_their_sums(data: Path) -> None:
    pack(data, "sixteen_band")
    dag = dag_of(data)
    scene = dag.training[0]
    sensors = dag.sources("register", scene=scene)["sensors"]
    assert sensors["p"][0]["path"] == f"{data}/sixteen_band.zip!sixteen_band/{scene}_P.tif"
    assert sensors["p"][0]["crc"] > 0 and "crc" not in sensors["rgb"][0]


def test_training_images_among_those_of_the_sample_submission(data: Path) -> None:
    """The contest's 429 ids hold labelled images too: they are predicted out-of-fold, and never scored as unseen."""
    plain = dag_of(data)
    train, other = plain.training, plain.dataset.predicted()
    path = data / "sample_submission.csv"
    rows = [f'{scene},{number},"POLYGON ((0 0, 1 0, 1 1, 0 0))"\r\n' for scene in [*other, *train] for number in (1, 7)]
    path.write_bytes(("ImageId,ClassType,MultipolygonWKT\r\n" + "".join(rows)).encode())
    dag = dag_of(data, predict="all")
    assert (dag.training, dag.dataset.predicted()) == (train, other)
    assert dag.predicted == sorted([*train, *other])
    assert {scene for scene, _ in read_sample(path).rows} <= set(dag.spec("submission")["scenes"])
    for member in dag.recipe.members:
        assert set(dag.spec("train", member=member, fold=dag.folds[0])["scenes"]) == set(train)
        assert set(dag.spec("predict", member=member, batch=train[0])["labelled"]) == {train[0]}
        assert dag.spec("predict", member=member, batch=other[0])["labelled"] == []
    scored = dag.spec("score")
    assert set(scored["labelled"]["buildings"]) == set(train)
    assert scored["truth"]["buildings"] == []
    assert all(dag.dataset.scenes[scene].truth is False for scene in [*train, *other])
    assert dag.outputs()["submission"] == ["submission.csv"]


def test_chosen_training_images_train_all_the_same(data: Path) -> None:
    train = dag_of(data).training
    dag = dag_of(data, predict=[train[0]])
    assert (dag.training, dag.dataset.predicted(), dag.predicted) == (train, [], train)


@pytest.mark.parametrize("name", ["", "ImageId", '"ImageId"', "\ufeffImageId", "\ufeff"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_both_headers_of_the_table_of_sizes(data: Path, name: str, newline: str) -> None:
    scene = dag_of(data).training[0]
    plain = run(dag_of(data), register, scene=scene)
    path = data / "grid_sizes.csv"
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    lines[0] = f"{name},Xmax,Ymin"
    path.write_bytes(newline.join([*lines, ""]).encode())
    dag = dag_of(data)
    assert run(dag, register, scene=scene) == plain


def test_reference_of_a_sheet_in_an_archive_places_its_labels(tmp_path: Path) -> None:
    """A georeferenced image in an archive, its labels in longitude and latitude: the same polygons as unpacked."""
    path = tmp_path / "north.tif"
    profile = {"driver": "GTiff", "count": 3, "height": 40, "width": 50, "dtype": "uint16", "crs": "EPSG:4326"}
    with rasterio.open(path, "w", transform=Affine(1e-5, 0, 5, 0, -1e-5, 45), **profile) as file:
        file.write(np.ones((3, 40, 50), np.uint16))
    ring = [[5.0001, 44.9999], [5.0003, 44.9999], [5.0003, 44.9997], [5.0001, 44.9999]]
    feature = {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [ring]}}
    (tmp_path / "houses.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    with zipfile.ZipFile(tmp_path / "images.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(path, "2020/north.tif")
    found = []
    for cell in ("north.tif", "images.zip!2020/north.tif"):
        table = tmp_path / "scenes.tsv"
        table.write_text(f"scene\tsplit\trgb\tlabels:houses\na\ttrain\t{cell}\thouses.geojson\n")
        dataset = load_dataset({"layout": "sheet", "table": str(table)}, {"rgb": {}}, {"houses": 1})
        job = label_job_of(dataset, "houses", tmp_path / "results")
        label.run(job)
        found.append(Manifest.read(job.output).items["a"])
    assert found[0] == found[1]
