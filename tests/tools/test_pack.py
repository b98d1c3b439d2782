"""A class as an ONNX file: what it says of itself, what it computes, and which classes one graph cannot hold."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine

from common import ROOT, stand_in_dag
from rasterloom.config.model import Prediction
from rasterloom.errors import InputError
from rasterloom.learning.augment import Normalisation
from rasterloom.learning.checkpoint import load_checkpoint, save_checkpoint
from rasterloom.learning.inference import load_network, mean_forward
from rasterloom.learning.windows import quantised
from rasterloom.raster.means import mean_strips
from rasterloom.tools.pack import _config
from rasterloom.tools.pack.onnx import detector_of, members_of, metadata, stac_item, write_onnx

SCHEMAS = ROOT / "tests" / "support" / "stac"
NET = {"kind": "unet", "width": 4, "depth": 2, "convs_per_block": 1}


def member(**changes: Any) -> dict[str, Any]:
    return {"model": "net", "channels": "some", "scale": "native", **changes}


def dag_of(**changes: Any) -> Any:
    table: dict[str, Any] = {
        "results": "results",
        "dataset": {"layout": "dstl", "root": "data"},
        "sensors": {"rgb": {"reference": True, "bands": 3}, "m": {"bands": 8}, "p": {"bands": 1}},
        "channels": {"some": ["m", "rgb"]},
        "scales": {"native": {}, "half": {"factor": 0.5}},
        "models": {"net": NET, "wide": {**NET, "width": 6}, "forest": {"kind": "forest"}},
        "classes": {
            "trees": {"id": 5, "members": [member()]},
            "pair": {"id": 1, "members": [member(), member(model="wide", prediction={"stride": 4})]},
            "crops": {"id": 6, "members": [member(), member(scale="half")]},
            "road": {"id": 3, "members": [member(model="forest")]},
        },
        "defaults": {"prediction": {"window": 32, "stride": 8, "symmetries": False}},
        "validation": {"folds": 2},
        **changes,
    }
    return stand_in_dag(table, ["a_0_0", "b_0_0"], [])


@pytest.fixture
def bundle() -> dict[str, Any]:
    score = {"part": "held-out", "class": "trees", "jaccard": "0.5123", "low": "", "high": ""}
    return {
        "classes": ["trees"],
        "folds": ["fold-0", "fold-1"],
        "models": {"trees-net-some-native": {"fold-0": "0" * 64, "fold-1": "1" * 64}},
        "tuning": {"trees": {"threshold": 101.5}},
        "weights": {},
        "gsd": 0.31,
        "size": [3400, 3350],
        "sensors": {name: {"bands": bands, "high": 2047} for name, bands in (("rgb", 3), ("m", 8), ("p", 1))},
        "scores": [score],
    }


def checkpoints(folder: Path, model: dict[str, Any] = NET, name: str = "trees-net-some-native") -> dict[str, Any]:
    from rasterloom.learning.networks import build
    from rasterloom.learning.networks.layers import initialise

    files = {}
    for seed in range(2):
        network = build(model, 11)
        initialise(network, seed)
        tensors = {f"network.{name}": value.numpy() for name, value in network.state_dict().items()}
        tensors["normalisation.mean"] = np.linspace(300, 600, 11, dtype=np.float32) + 10 * seed
        tensors["normalisation.sd"] = np.linspace(20, 80, 11, dtype=np.float32) + seed
        files[f"fold-{seed}"] = folder / f"{name}-fold-{seed}.safetensors"
        save_checkpoint(files[f"fold-{seed}"], tensors, {})
    return {name: files}


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        (["trees", "crops"], "trees, crops as ONNX: Deepness has one threshold for all; write an ONNX file for each"),
        (["crops"], "crops-net-some-native and crops-net-some-half differ in channels, scale or window, and a graph"),
        (["road"], "road-forest-some-native must be a network that sees sensors alone"),
    ],
)
def test_class_that_a_graph_cannot_hold(bundle: dict[str, Any], classes: list[str], words: str) -> None:
    with pytest.raises(InputError) as found:
        members_of(dag_of(), {**bundle, "classes": classes})
    assert words in str(found.value)


def test_recipe_of_a_bundle_names_no_scenes() -> None:
    dag = dag_of(statistics=["a_0_0"], normalise_by="dataset")
    found = _config(dag, {}, ["trees"], dag.recipe.classes["trees"].members)
    assert list(found["classes"]) == ["trees"] and "a_0_0" not in json.dumps(found)


def test_metadata_is_what_deepness_reads(bundle: dict[str, Any]) -> None:
    dag = dag_of()
    assert metadata(members_of(dag, bundle)[0], bundle, 11) == {
        "model_type": "Segmentor",
        "class_names": [{"0": "background", "1": "trees"}],
        "resolution": 31.0,
        "tile_size": 32,
        "tiles_overlap": 50,  # of the 75 percent of the recipe
        "standardization_mean": [0.0] * 11,
        "standardization_std": [1 / 255] * 11,
        "seg_thresh": 0.398039,
        "seg_small_segment": 0,
    }
    half = [dag.recipe.members["crops-net-some-half"]]
    assert metadata(half, {**bundle, "classes": ["trees"]}, 11)["resolution"] == 62.0
    assert "resolution" not in metadata(half, {**bundle, "gsd": None}, 11)


def test_item_keeps_to_the_schema_of_the_extension(bundle: dict[str, Any]) -> None:
    from jsonschema import Draft7Validator
    from referencing import Registry, Resource

    schemas = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(SCHEMAS.glob("*.json"))]
    registry: Any = Registry().with_resources(
        [(schema["$id"].removesuffix("#"), Resource.from_contents(schema)) for schema in schemas]
    )
    (mlm,) = (schema for schema in schemas if "/mlm/" in schema["$id"])
    dag = dag_of()
    found, _ = members_of(dag, bundle)
    item = stac_item(Path("out/my-trees.onnx"), metadata(found, bundle, 11), found, bundle)
    validator = Draft7Validator(mlm, registry=registry)
    assert list(validator.iter_errors(item)) == []
    assert (item["id"], item["properties"]["mlm:name"]) == ("my-trees", "trees-net-some-native")
    assert item["assets"]["model"]["href"] == "./my-trees.onnx"
    bands = [*(f"m-{n}" for n in range(1, 9)), "rgb-1", "rgb-2", "rgb-3"]
    assert item["properties"]["mlm:input"][0]["bands"] == bands
    assert [band["name"] for band in item["properties"]["bands"]] == bands
    assert item["properties"]["mlm:input"][0]["input"]["shape"] == [-1, 11, 32, 32]
    assert item["properties"]["mlm:output"][0]["classification:classes"][1]["name"] == "trees"
    assert item["properties"]["gsd"] == 0.31
    assert "exceeds 0.398039" in item["properties"]["description"]
    assert "held-out 0.512" in item["properties"]["description"]
    item["properties"]["mlm:input"][0]["input"].pop("shape")
    assert list(validator.iter_errors(item)), "the schema is not an empty one"


def test_missing_extra_is_one_line(bundle: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InputError, match=r"an ONNX file needs an extra \(.*\): pip install 'rasterloom\[onnx\]'"):
        write_onnx(tmp_path / "trees.onnx", dag_of(), bundle, {})
    assert not list(tmp_path.iterdir())


def test_member_without_weight_is_not_written(bundle: dict[str, Any]) -> None:
    weighed = {**bundle, "classes": ["crops"], "weights": {"crops": {"weights": [0, 2], "scenes": {}}}}
    members, weights = members_of(dag_of(), weighed)
    assert ([own.name for own in members], weights) == (["crops-net-some-half"], [2])


@pytest.mark.slow
@pytest.mark.parametrize("weights", [None, [0.25, 0.75]])
def test_onnx_file_gives_the_ensemble_of_several_networks(
    bundle: dict[str, Any], tmp_path: Path, weights: list[float] | None
) -> None:
    runtime = pytest.importorskip("onnxruntime", reason="needs the extra: pip install 'rasterloom[onnx]'")
    pytest.importorskip("onnxscript", reason="needs the extra: pip install 'rasterloom[onnx]'")
    wide, names = {**NET, "width": 6}, ["pair-net-some-native", "pair-wide-some-native"]
    files = checkpoints(tmp_path, NET, names[0]) | checkpoints(tmp_path, wide, names[1])
    dag = dag_of(normalise_by="dataset")
    bundle |= {"classes": ["pair"], "tuning": {"pair": {"threshold": 128}}, "models": {key: {} for key in names}}
    bundle["weights"] = {} if weights is None else {"pair": {"weights": weights, "scenes": {}}}
    write_onnx(tmp_path / "pair.onnx", dag, bundle, files)
    session = runtime.InferenceSession((tmp_path / "pair.onnx").read_bytes())
    numbers = np.random.default_rng(3).integers(200, 800, (11, 32, 32)).astype(np.float32)
    (ours,) = session.run(None, {"image": numbers[None]})

    # the workflow's steps: normalisation, the mean over the folds of each member, the ensemble of their bytes
    valid = np.ones((2, 32, 32), np.uint8)
    settings = Prediction(window=32, stride=32, symmetries=False, precision="float32")
    planes = []
    for name, model in zip(names, (NET, wide), strict=True):
        arrays = [load_checkpoint(path)[0] for path in files[name].values()]
        kept = Normalisation(*(arrays[0][f"normalisation.{key}"] for key in ("mean", "sd")), np.repeat([0, 1], [8, 3]))
        forward = mean_forward([load_network(model, own, "cpu") for own in arrays], settings, "cpu")
        planes.append(forward(kept.apply(numbers, valid)[None])[0])
    assert np.abs(planes[0] - planes[1]).max() > 0.01, "the weights matter"
    assert np.abs(ours[0, 0] - np.average(planes, axis=0, weights=weights)).max() < 1e-3
    whole = [quantised(plane, valid[0]) for plane in planes]
    (ensemble,) = mean_strips(whole, (32, 32), [valid[0]] * 2, weights)
    assert np.abs(255 * ours[0, 0] - ensemble).max() <= 1.01, "each is rounded to a byte, and the mean again"


@pytest.mark.slow
def test_onnx_file_gives_the_probability_of_the_networks(
    bundle: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = pytest.importorskip("onnxruntime", reason="needs the extra: pip install 'rasterloom[onnx]'")
    pytest.importorskip("onnxscript", reason="needs the extra: pip install 'rasterloom[onnx]'")
    import torch

    files, dag = checkpoints(tmp_path), dag_of()
    found, _ = members_of(dag, bundle)
    detector = detector_of(dag, found[0], bundle, files["trees-net-some-native"])
    numbers = np.random.default_rng(1).integers(200, 800, (3, 11, 32, 32)).astype(np.float32)
    numbers[1, :, :10] = 0
    with torch.inference_mode():
        theirs = detector(torch.from_numpy(numbers)).numpy()
    bundle["tuning"]["trees"]["threshold"] = 255 * float(np.median(theirs[0]))
    paths = [tmp_path / "trees.onnx", tmp_path / "again" / "trees.onnx"]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        write_onnx(path, dag, bundle, files)
    content = paths[0].read_bytes()
    assert content == paths[1].read_bytes(), "equal content is equal bytes"
    assert str(Path.home()).encode() not in content and b"rasterloom/learning" not in content, "no path is in it"
    session = runtime.InferenceSession(content)
    (image,), (probability,) = session.get_inputs(), session.get_outputs()
    assert image.shape == ["batch", 11, 32, 32] and probability.shape == ["batch", 1, 32, 32]
    said = session.get_modelmeta().custom_metadata_map
    assert {key: json.loads(value) for key, value in said.items()} == metadata(found, bundle, 11)
    (ours,) = session.run(None, {"image": numbers})
    assert np.ptp(theirs) > 0.05 and np.abs(ours - theirs).max() < 1e-4
    assert not ours[1, :, :10].any()
    assert json.loads((tmp_path / "trees.json").read_text())["id"] == "trees"

    # the program of the documentation, on a scene of one tile and on one that its tiles do not divide
    (program,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "bundles.md").read_text(), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    paths[0].rename("buildings.onnx")
    for height, width in ((32, 32), (70, 41)):
        scene = np.random.default_rng(2).integers(200, 800, (11, height, width)).astype(np.uint16)
        profile = {"count": 11, "height": height, "width": width, "dtype": "uint16", "crs": "EPSG:32633"}
        with rasterio.open("scene.tif", "w", transform=Affine(0.3, 0, 5e5, 0, -0.3, 5e6), **profile) as out:
            out.write(scene)
        exec(compile(program, "docs/bundles.md", "exec"), {})
        with rasterio.open("found.tif") as written:
            mask, known = written.read(1), written.transform.a
        assert mask.shape == (height, width) and known == 0.3 and set(np.unique(mask)) <= {0, 1}
        with torch.inference_mode():
            probability = detector(torch.from_numpy(scene[None, :, :32, :32].astype(np.float32))).numpy()[0, 0]
        above = probability[:16, :16] - bundle["tuning"]["trees"]["threshold"] / 255  # no other tile reaches there
        clear = np.abs(above) > 1e-4
        assert np.array_equal(mask[:16, :16][clear], above[clear] > 0) and 0 < mask[:16, :16].mean() < 1
