"""Pack what finds a class into one file, for `rasterloom apply`: models, statistics, thresholds, and how to use them.

The file is a zip archive of a JSON description and safetensors files: nothing in it is run when it is opened. If its
name ends in .onnx it is an ONNX file instead, for Deepness in QGIS and for ONNX Runtime, with a STAC item beside it.
The run must be complete for the class. Labels, images and paths do not go into it.
"""

import argparse
import json
import zipfile
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from rasterloom import __version__
from rasterloom.config import read_configuration
from rasterloom.config.load import recorded
from rasterloom.errors import InputError, MissingInputError
from rasterloom.planning.graph import Dag
from rasterloom.polygons.scores import COLUMNS
from rasterloom.registration.record import read_registration
from rasterloom.store.files import atomic_path, read_json
from rasterloom.store.manifest import Manifest
from rasterloom.store.store import Item, Store
from rasterloom.store.tables import read_tsv
from rasterloom.text import nearest

HELP = "pack the models of a class into one file, for `rasterloom apply` or (.onnx) for QGIS"

FORMAT = 2
"""Of the description; another one cannot be read."""

DESCRIPTION = "bundle.json"

UNUSED = frozenset({"dataset", "results", "execution", "sanity", "statistics"})
"""Keys of the configuration that say nothing of another scene."""

FIXED = (1980, 1, 1, 0, 0, 0)
"""Time of all that is packed, so that equal content is equal bytes."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the subcommand."""
    parser.add_argument(
        "--class", dest="classes", nargs="+", required=True, metavar="CLASS", help="which class, or several"
    )
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FILE", help="the file to write: a bundle, or .onnx"
    )
    parser.add_argument("--configfile", nargs="+", type=Path, default=[], help="laid over config.yaml; later ones win")


def main(args: argparse.Namespace) -> None:
    """Write a bundle or an ONNX file, and say what is in it.

    Raises
    ------
    RasterloomError
        If a class is unknown, its run is not complete, or its models cannot be packed.
    """
    merged = read_configuration(args.configfile)
    dag = Dag.load(merged)
    for name in args.classes:
        if name not in dag.recipe.classes:
            raise InputError(f"--class: no class is called {name!r}; {nearest(name, dag.recipe.classes)}")
    members, store = needed_members(dag, args.classes), Store.of(dag.results)
    models = {name: {fold: _item(dag.results, f"models/{name}/{fold}", fold) for fold in dag.folds} for name in members}
    chosen, classes = partial(_chosen, dag.results, store), dag.recipe.classes
    description = {
        "format": FORMAT,
        "rasterloom": __version__,
        "classes": list(args.classes),
        "config": _config(dag, merged, args.classes, members),
        "folds": dag.folds,
        "models": {name: {fold: item.digest for fold, item in found.items()} for name, found in models.items()},
        "tuning": {name: chosen("tuning", name) for name in args.classes},
        "weights": {name: chosen("weights", name) for name in args.classes if classes[name].ensemble != "mean"},
        **_seen(dag, store),
        "scores": _scores(dag.results / "score.tsv", args.classes),
    }
    files = {name: {fold: store.open_path(item) for fold, item in found.items()} for name, found in models.items()}
    if args.output.suffix == ".onnx":
        from rasterloom.tools.pack.onnx import write_onnx

        write_onnx(args.output, dag, description, files)
    else:
        _write_bundle(args.output, description, files)
    megabytes = args.output.stat().st_size / 1e6
    print(f"{args.output}: {', '.join(args.classes)}; {len(members)} x {len(dag.folds)} models; {megabytes:.1f} MB")


def _write_bundle(output: Path, description: Mapping[str, Any], files: Mapping[str, Mapping[str, Path]]) -> None:
    """Write the description and the files of the models as an archive."""
    for name, model in description["config"]["models"].items():
        if model is not None and model["kind"] == "module":
            raise InputError(f"model {name} is a network of your own code, which a bundle does not hold")
    with atomic_path(output) as path, zipfile.ZipFile(path, "w") as archive:
        archive.writestr(zipfile.ZipInfo(DESCRIPTION, FIXED), json.dumps(description, indent=1))
        for name, found in files.items():
            for fold, file in found.items():
                archive.writestr(zipfile.ZipInfo(model_path(name, fold), FIXED), file.read_bytes())


def model_path(member: str, fold: str) -> str:
    """Where a model lies in the archive."""
    return f"models/{member}/{fold}.safetensors"


def needed_members(dag: Dag, classes: Iterable[str]) -> list[str]:
    """The members of classes, and those whose probability these see.

    Raises
    ------
    InputError
        If one of these is of a class that is not packed.
    """
    found = list(dict.fromkeys(name for own in classes for name in dag.recipe.classes[own].members))
    for name in found:
        member = dag.recipe.members[name]
        for other in member.stacked:
            if other not in found:
                raise InputError(f"member {name} sees the probability of {other}: add its class to --class")
    return found


def _config(dag: Dag, merged: Mapping[str, Any], classes: list[str], members: list[str]) -> dict[str, Any]:
    """The recipe without what other classes and the data set need; it resolves to the same members."""
    found = recorded(dag.config, merged)
    used = [dag.recipe.members[name] for name in members]
    sensors = {dag.reference, *(sensor for member in used for sensor in member.sensors)}
    found["sensors"] = {
        name: found["sensors"][name] | {"pixel": dag.pixel(name)} for name in dag.config.sensors if name in sensors
    }
    for entry in found["models"].values():
        if entry is not None and entry.get("init") is not None:
            entry["init"] = None  # what a training began with
    kept = {name: found["classes"][name] for name in classes}
    for name in classes:  # classes that a target is made of, besides the one that is packed
        for member in found["classes"][name]["members"]:
            for other in dag.config.classes_of(member.get("target") or name):
                own = {**found["classes"][name], "id": found["classes"][other]["id"], "members": [member]}
                kept.setdefault(other, own)
    found["classes"] = kept
    entries = [member for entry in kept.values() for member in entry["members"]]
    for kind, key in (("channels", "channels"), ("scales", "scale"), ("models", "model"), ("targets", "target")):
        names = {member.get(key) for member in entries}
        found[kind] = {name: value for name, value in found[kind].items() if name in names}
    if not set(found["water"] or []) <= set(classes):
        found["water"] = None
    return {key: value for key, value in found.items() if key not in UNUSED}


def _item(results: Path, path: str, name: str) -> Item:
    """An item of a manifest that a complete run has."""
    try:
        return Manifest.read(results / f"{path}.json").items[name]
    except MissingInputError:
        raise MissingInputError(f"{results / path}.json is not there: run the workflow first, then pack") from None


def _chosen(results: Path, store: Store, kind: str, name: str) -> dict[str, Any]:
    """What was chosen for new scenes: thresholds, or weights."""
    value: dict[str, Any] = read_json(store.open_path(_item(results, f"{kind}/{name}", name)))
    return {**value, "scenes": {}}


def _seen(dag: Dag, store: Store) -> dict[str, Any]:
    """What the training scenes looked like: size and pixel (metres) of the reference, bands and numbers of sensors."""
    items = [_item(dag.results, f"registration/{scene}", scene) for scene in dag.training]
    records = [read_registration(store.open_path(item)) for item in items]
    sizes = sorted(record["reference"]["gsd"] for record in records if record["reference"].get("gsd"))
    sensors: dict[str, Any] = {}
    for name in dag.config.sensors:
        found = [record["sensors"][name] for record in records if name in record["sensors"]]
        if found:
            sensors[name] = {"bands": found[0]["bands"], "high": max(highest(own) for own in found)}
    gsd, reference = sizes[len(sizes) // 2] if sizes else None, records[0]["reference"]
    size = [reference["width"], reference["height"]]
    return {"gsd": gsd, "size": size, "sensors": sensors, "training_scenes": len(records)}


def highest(record: Mapping[str, Any]) -> float:
    """The largest digital number of a sensor in the registration of a scene; 0 without any."""
    return max((band["high"] for band in record["facts"] if band["high"] is not None), default=0)


def _scores(path: Path, classes: list[str]) -> list[dict[str, str]]:
    """The pooled rows of score.tsv for the classes, if there is one."""
    if not path.exists():
        return []
    rows = read_tsv(path, COLUMNS, "score", "scores", dict)
    return [row for row in rows if row["class"] in classes and row["scene"] == "all"]
