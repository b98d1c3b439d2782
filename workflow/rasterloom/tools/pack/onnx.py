"""A class as an ONNX file with the metadata of Deepness, the plug-in of QGIS, and a STAC item that describes it.

The graph holds everything from digital numbers to the probability: normalisation, folds, symmetries, weighted members.
"""

import json
import logging
import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from rasterloom.config.recipe import MemberRecipe
from rasterloom.errors import InputError, StoreError
from rasterloom.learning.augment import Normalisation
from rasterloom.learning.checkpoint import load_checkpoint
from rasterloom.learning.inference import load_network
from rasterloom.learning.outputs import Outputs
from rasterloom.planning.graph import Dag
from rasterloom.raster.grid import scale_grid
from rasterloom.store.files import atomic_path, read_json, write_json

MOST_OVERLAP = 50
"""Percent of its side by which a tile overlaps the next one at most: Deepness averages nothing, it keeps the middle."""

WITHIN = 1e-3
"""By how much a probability of ONNX Runtime may differ from torch's."""

FORMAT = 8
OPTIONS: Any = {"input_names": ["image"], "output_names": ["probability"], "opset_version": 18, "verbose": False}
"""Versions of file and operators: ONNX Runtime 1.14 reads them, and Deepness allows 1.17 at most."""

ITEM = Path(__file__).with_name("item.json")
"""What every STAC item says, by the latest version of the extension MLM that pystac reads."""


def write_onnx(path: Path, dag: Dag, bundle: Mapping[str, Any], files: Mapping[str, Mapping[str, Path]]) -> None:
    """Write a class as `path`, and the STAC item beside it, as ``.json``.

    Parameters
    ----------
    path : ends in ``.onnx``.
    dag : of the run.
    bundle : what a bundle of the class says of itself.
    files : the checkpoint of each member and fold.

    Raises
    ------
    InputError
        If packages are missing, or one graph cannot hold the class.
    StoreError
        If ONNX Runtime gives other probabilities than torch.
    """
    members, weights = members_of(dag, bundle)
    try:
        import onnxruntime
        import onnxscript  # noqa: F401 (torch needs it)
        import torch

        from rasterloom.learning.detector import Ensemble
    except ImportError as error:
        raise InputError(f"an ONNX file needs an extra ({error}): pip install 'rasterloom[onnx]'") from None
    kinds = [bundle["sensors"][sensor] for sensor in members[0].sensors]
    seen = [own for own in kinds for _ in range(own["bands"])]
    about = metadata(members, bundle, len(seen))
    detector = Ensemble([detector_of(dag, own, bundle, files[own.name]) for own in members], weights).eval()
    high, shape = np.array([own["high"] for own in seen]), (2, len(seen), about["tile_size"], about["tile_size"])
    image = torch.from_numpy(np.random.default_rng(0).random(shape) * high[:, None, None]).float()
    export: Any = partial(torch.onnx.export, dynamo=True, dynamic_shapes=({0: torch.export.Dim("batch")},))
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(action="ignore"), torch.inference_mode():
            wanted, model = detector(image).numpy(), export(detector, (image,), **OPTIONS).model_proto
    except torch.onnx.OnnxExporterError as error:
        given = bundle["classes"][0]
        raise InputError(f"torch cannot write {given} as ONNX: pack a bundle for `rasterloom apply`") from error
    model.ir_version, graph, item = FORMAT, model.graph, stac_item(path, about, members, bundle)
    for part in (graph, *graph.node, *graph.initializer, *graph.input, *graph.output, *graph.value_info):
        part.ClearField("metadata_props")  # among it paths of this machine
    model.doc_string = item["properties"]["description"]
    for key, value in about.items():
        model.metadata_props.add(key=key, value=json.dumps(value))
    content = model.SerializeToString(deterministic=True)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    worst = float(np.abs(session.run(None, {"image": image.numpy()})[0] - wanted).max())
    if not worst <= WITHIN:
        raise StoreError(f"ONNX Runtime's probabilities differ by {worst:.2g} from torch's; {WITHIN} is allowed")
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)
    write_json(path.with_suffix(".json"), item)


def members_of(dag: Dag, bundle: Mapping[str, Any]) -> tuple[list[MemberRecipe], list[float]]:
    """The members of a class that count, with their weights; InputError if one graph cannot hold what finds it."""
    classes = bundle["classes"]
    names, problem = dag.recipe.classes[classes[0]].members, ""
    weights = bundle["weights"][classes[0]]["weights"] if classes[0] in bundle["weights"] else [1.0] * len(names)
    members = [dag.recipe.members[name] for name, weight in zip(names, weights, strict=True) if weight > 0]
    if len(classes) > 1:
        problem = "Deepness has one threshold for all; write an ONNX file for each class"
    for member in members:
        if not member.is_network or member.stacked:
            problem = problem or f"{member.name} must be a network that sees sensors alone; change it"
        kinds = [(own.sensors, own.scale, own.prediction.get("window")) for own in (members[0], member)]
        if kinds[0] != kinds[1]:
            problem = problem or (
                f"{members[0].name} and {member.name} differ in channels, scale or window, and a graph takes "
                "tiles of one kind; keep members that are alike"
            )
    if problem:
        raise InputError(f"{', '.join(classes)} as ONNX: {problem}, or pack a bundle for `rasterloom apply`")
    return members, [weight for weight in weights if weight > 0]


def metadata(members: Sequence[MemberRecipe], bundle: Mapping[str, Any], channels: int) -> dict[str, Any]:
    """What Deepness reads. It divides numbers by 255, and then by the deviation: so the graph gets them as they are."""
    (name,), (width, height), window = bundle["classes"], bundle["size"], members[0].prediction["window"]
    stride = min(member.prediction["stride"] for member in members)
    gsd = bundle["gsd"] and bundle["gsd"] * scale_grid(members[0].scale, width, height, bundle["gsd"]).pixel[0]
    return {
        "model_type": "Segmentor",
        "class_names": [{"0": "background", "1": name}],
        "tile_size": window,
        "tiles_overlap": min(MOST_OVERLAP, 100 - 100 * stride // window),
        "standardization_mean": [0.0] * channels,
        "standardization_std": [1 / 255] * channels,
        "seg_thresh": round(bundle["tuning"][name]["threshold"] / 255, 6),
        "seg_small_segment": 0,
    } | ({"resolution": round(100 * gsd, 4)} if gsd else {})


def detector_of(dag: Dag, member: MemberRecipe, bundle: Mapping[str, Any], files: Mapping[str, Path]) -> Any:
    """A member as a `Detector`: from the digital numbers of a tile to the probability of the class."""
    from rasterloom.learning.detector import Detector
    from rasterloom.learning.networks.layers import folded

    own, sensors, spec = dag.config.normalise_by != "dataset", list(member.sensors), dag.member(member.name)
    outputs, found = Outputs.of(spec), [load_checkpoint(path)[0] for path in files.values()]
    kept = found if own else found[:1]  # as `prediction_normalisation` does
    mean, sd = (np.mean([arrays[f"normalisation.{key}"] for arrays in kept], axis=0) for key in ("mean", "sd"))
    planes = np.repeat(np.arange(len(sensors)), [bundle["sensors"][sensor]["bands"] for sensor in sensors])
    networks = [folded(load_network(spec["model"], arrays, "cpu", outputs)) for arrays in found]
    nodata = [dag.config.sensors[sensor].nodata or 0.0 for sensor in sensors]
    reference = sensors.index(dag.reference) if dag.reference in sensors else 0
    way = (reference, member.prediction["symmetries"], outputs, member.plane(bundle["classes"][0]).get("plane", 0))
    return Detector(networks, Normalisation(mean, sd, planes), own, nodata, way).eval()


def stac_item(
    path: Path, about: Mapping[str, Any], members: Sequence[MemberRecipe], bundle: Mapping[str, Any]
) -> dict[str, Any]:
    """The STAC item of the ONNX file `path`, with the extension MLM: what it takes, what it gives, what it is worth."""
    item: dict[str, Any] = read_json(ITEM)
    properties, model = item["properties"], item["assets"]["model"]
    (takes,), (gives,), sides = properties["mlm:input"], properties["mlm:output"], [about["tile_size"]] * 2
    bands = [f"{sensor}-{n + 1}" for sensor in members[0].sensors for n in range(bundle["sensors"][sensor]["bands"])]
    scores = [f"{row['part']} {float(row['jaccard']):.3f}" for row in bundle["scores"] if row["jaccard"]]
    properties["description"] = (
        f"Probability of {bundle['classes'][0]}; an object is where it exceeds {about['seg_thresh']}. "
        f"Pooled Jaccard of the workflow that it comes from: {', '.join(scores) or 'unknown'}."
    )
    item["id"], properties["mlm:name"] = path.stem, " + ".join(own.name for own in members)
    properties["bands"] = model["bands"] = [{"name": band} for band in bands]
    takes["bands"], model["href"] = bands, f"./{path.name}"
    takes["input"]["shape"], gives["result"]["shape"] = [-1, len(bands), *sides], [-1, 1, *sides]
    gives["classification:classes"][1]["name"] = bundle["classes"][0]
    kinds = ", ".join(dict.fromkeys(own.model["kind"] for own in members))
    properties |= {"mlm:architecture": kinds, "mlm:hyperparameters": dict(about)}
    properties |= {"gsd": about["resolution"] / 100} if "resolution" in about else {}
    properties |= {f"rasterloom:{key}": bundle[key] for key in ("models", "scores")}
    return item
