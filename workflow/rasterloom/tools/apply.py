"""Find the objects of a bundle's classes in one scene: raw files in, a GeoPackage out, without any configuration.

The bundle is a file of `rasterloom pack`. The scene goes through the very stages of the workflow, so its polygons are
the same. With several sensors, name the files of those besides the reference by --sensor.
"""

import argparse
import json
import re
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rasterloom.dataset.index import ID_LENGTH
from rasterloom.errors import InputError, MissingInputError
from rasterloom.learning.checkpoint import checkpoint_digest, load_checkpoint
from rasterloom.planning.graph import Dag
from rasterloom.polygons.record import read_polygons
from rasterloom.registration.record import read_registration
from rasterloom.stages import job_of, module_of
from rasterloom.stages.export import geopackage, layer
from rasterloom.store.digest import digest
from rasterloom.store.files import write_text
from rasterloom.store.manifest import Manifest
from rasterloom.store.store import KEY_DIGITS, Store
from rasterloom.store.tables import tsv_text
from rasterloom.text import nearest
from rasterloom.tools.pack import DESCRIPTION, FORMAT, highest, model_path, needed_members

HELP = "find objects in a scene with a bundle of `rasterloom pack`"

COARSER = 1.5
"""Times larger or smaller pixels than the training scenes' that are refused: what models know has a size."""

BRIGHTER, DARKER = 4.0, 1 / 16
"""Times the largest digital number of training that are refused: another type or scaling of the numbers."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the subcommand."""
    parser.add_argument("bundle", metavar="BUNDLE", type=Path, help="a file of `rasterloom pack`")
    parser.add_argument("scene", metavar="SCENE", type=Path, help="the scene's image of the reference sensor")
    parser.add_argument(
        "--sensor", action="append", default=[], metavar="NAME=FILE", help="the image of another sensor; repeat it"
    )
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="GPKG", help="the GeoPackage to write")
    parser.add_argument(
        "--work", type=Path, metavar="FOLDER", help="keep what is computed there: the same command goes on after a kill"
    )


def main(args: argparse.Namespace) -> None:
    """Write a GeoPackage, one layer for each class.

    Raises
    ------
    RasterloomError
        If the bundle is none, or the scene is not one that its models can judge.
    """
    with _opened(args.bundle) as (archive, bundle), _folder(args.work, args.output) as work:
        files, store = _files(args, bundle), Store(work / "store")
        dag = _project(bundle, files, work)
        _unpack(archive, bundle, dag, store)
        for stage, names in _jobs(dag, bundle):
            spec = dag.spec(stage, **names)
            module_of(stage).run(job_of(spec, dag.sources(stage, **names), dag.results, store))
            if stage == "register":
                placed = read_registration(_made(dag, store, "registration"))
                check_scene(bundle, placed, files)
        with geopackage(args.output) as add:
            for name in bundle["classes"]:
                polygons = read_polygons(_made(dag, store, f"polygons/{name}"))
                add(name, layer(polygons, placed["reference"]))
                print(f"{args.output}: {len(polygons)} objects of class {name}")


@contextmanager
def _opened(path: Path) -> Iterator[tuple[zipfile.ZipFile, dict[str, Any]]]:
    """The archive and the description of a bundle."""
    if not path.is_file():
        raise MissingInputError(f"{path} is not there: make it with `rasterloom pack --class CLASS -o {path}`")
    try:
        with zipfile.ZipFile(path) as archive:
            bundle = json.loads(archive.read(DESCRIPTION))
            _check_bundle(path, bundle)
            yield archive, bundle
    except (zipfile.BadZipFile, KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise InputError(f"{path} is not a whole bundle of `rasterloom pack` ({error})") from None


def _check_bundle(path: Path, bundle: Mapping[str, Any]) -> None:
    """Refuse a bundle of another format, and one that runs code or writes elsewhere: strangers make bundles, too."""
    if bundle.get("format") != FORMAT:
        raise InputError(
            f"{path} is a bundle of format {bundle.get('format')}, of rasterloom {bundle.get('rasterloom')}; "
            f"format {FORMAT} is needed: pack it again, or use that version"
        )
    names = [*bundle["folds"], *bundle["classes"], *bundle["tuning"], *bundle["weights"]]
    if not all(re.fullmatch(r"\w[\w.-]*", name) for name in names):
        raise InputError(f"{path}: names of folds and classes are letters, digits, - and _; given {', '.join(names)}")
    if any(model["kind"] == "module" for model in bundle["config"]["models"].values()):
        raise InputError(f"{path}: it names code of somebody's own as a network, which a bundle must not run")


@contextmanager
def _folder(given: Path | None, output: Path) -> Iterator[Path]:
    """Where the work is done: a folder to keep, or one beside the output that vanishes."""
    if output.suffix != ".gpkg" or output.is_dir():
        raise InputError(f"-o {output}: a GeoPackage is written; name a file that ends in .gpkg")
    for option, folder in [("-o", output.parent), *([("--work", given)] if given is not None else [])]:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise InputError(f"cannot write in {folder} ({error.strerror}): give {option} another folder") from None
    if given is not None:
        yield given.resolve()
        return
    with tempfile.TemporaryDirectory(prefix=".rasterloom-", dir=output.parent) as made:
        try:
            yield Path(made).resolve()
        except KeyboardInterrupt:
            print("rasterloom: stopped; give --work FOLDER to go on after a stop", file=sys.stderr)
            sys.exit(130)


def _files(args: argparse.Namespace, bundle: Mapping[str, Any]) -> dict[str, str]:
    """The file of each sensor; refuses those that lack and those that nobody needs."""
    sensors = bundle["config"]["sensors"]
    reference = next(name for name, own in sensors.items() if own.get("reference"))
    found = {reference: str(args.scene)}
    for text in args.sensor:
        name, _, path = text.partition("=")
        if name not in sensors or not path:
            raise InputError(f"--sensor {text}: NAME=FILE is needed; {nearest(name, sensors)}")
        found[name] = path
    for name, path in found.items():
        parts = [path] if Path(path).is_file() else [part.strip() for part in path.split(";")]
        for part in parts:
            if not Path(re.sub(r"\[[^\[\]]*\]$", "", part)).is_file():
                raise MissingInputError(f"{part} is not there: correct the path of the image of sensor {name}")
        found[name] = ";".join(str(Path(part).resolve()) for part in parts)
    for name in sensors:
        if name not in found:
            raise InputError(f"the models see {', '.join(sensors)}: give --sensor {name}=FILE as well")
    return found


def _project(bundle: Mapping[str, Any], files: Mapping[str, str], work: Path) -> Dag:
    """The jobs of a sheet of one scene, which is called as its reference image is."""
    stem = re.sub(r"[^A-Za-z0-9._-]", "_", Path(next(iter(files.values()))).stem)
    table, name = work / "scenes.tsv", re.sub(r"^(?=[._-]|all$)", "scene", stem)
    write_text(table, tsv_text(["scene", "split", *files], [[name[:ID_LENGTH], "predict", *files.values()]]))
    dataset = {"layout": "sheet", "table": str(table)}
    dag = Dag.load({**bundle["config"], "dataset": dataset, "results": str(work / "results")})
    dag.folds = bundle["folds"]
    return dag


def _unpack(archive: zipfile.ZipFile, bundle: Mapping[str, Any], dag: Dag, store: Store) -> None:
    """Put models, tunings and weights where the stages look for them."""
    for member in needed_members(dag, bundle["classes"]):
        for fold in bundle["folds"]:
            key = digest([member, fold, bundle["models"][member][fold]])[:KEY_DIGITS]
            with store.writing("train", key, ".safetensors") as writing:
                writing.path.write_bytes(archive.read(model_path(member, fold)))
                writing.digest = checkpoint_digest(load_checkpoint(writing.path)[0])
            Manifest("train", {fold: writing.committed()}).write(dag.results / f"models/{member}/{fold}.json")
    for stage, folder in (("tune", "tuning"), ("weigh", "weights")):
        for name, value in bundle[folder].items():
            with store.writing(stage, digest(value)[:KEY_DIGITS], f".{folder}.json") as writing:
                writing.json(value)
            Manifest(stage, {name: writing.committed()}).write(dag.results / f"{folder}/{name}.json")


def _jobs(dag: Dag, bundle: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, str]]]:
    """The jobs that make the polygons of the scene, in their order."""
    members = set(needed_members(dag, bundle["classes"]))
    first = {"register", "place", "stack"} | ({"normalisation"} if dag.config.normalise_by == "acquisition" else set())
    for stage, names in dag.in_order():
        own = stage in ("ensemble", "vectorise") and names["class"] in bundle["classes"]
        if stage in first or own or (stage == "predict" and names["member"] in members):
            yield stage, names


def _made(dag: Dag, store: Store, folder: str) -> Path:
    """What a stage has made of the scene."""
    (scene,) = dag.predicted
    return store.open_path(Manifest.read(dag.results / folder / f"{scene}.json").items[scene])


def check_scene(bundle: Mapping[str, Any], record: Mapping[str, Any], files: Mapping[str, str]) -> None:
    """Refuse a scene that is not like those that the models were trained on.

    Parameters
    ----------
    bundle : the description of a bundle: ``sensors`` with ``bands`` and ``high``, ``gsd`` in metres or None.
    record : the registration of the scene.
    files : the file of each sensor, the reference's first.

    Raises
    ------
    InputError
        If the number of bands, the range of the digital numbers or the size of a pixel is another one.
    """
    for name, known in bundle["sensors"].items():
        own = record["sensors"].get(name)
        if own is None:
            continue
        if own["bands"] != known["bands"]:
            raise InputError(
                f"{files[name]}: sensor {name} has {own['bands']} bands, and the models were trained on "
                f"{known['bands']}: choose these, as in FILE[1,2,3]"
            )
        high = highest(own)
        if not DARKER * known["high"] <= high <= BRIGHTER * known["high"]:
            raise InputError(
                f"{files[name]}: digital numbers of sensor {name} go up to {high:g}, those of the training scenes to "
                f"{known['high']:g}: it is of another type or scaled; bring it to theirs, as with gdal_translate -scale"
            )
    size, known = record["reference"].get("gsd"), bundle["gsd"]
    if size and known and not 1 / COARSER <= size / known <= COARSER:
        finer = f"resample the scene, as with gdalwarp -tr {known:.3g} {known:.3g}"
        remedy = finer if size < known else "it does not show what they look for; take a finer image"
        raise InputError(
            f"{next(iter(files.values()))}: a pixel is {size:.3g} m wide, and the models were trained on "
            f"{known:.3g} m: {remedy}"
        )
    if not (size and known):
        print("note: the size of a pixel is not known; it must be about that of the training scenes", file=sys.stderr)
