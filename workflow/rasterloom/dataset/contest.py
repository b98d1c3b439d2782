"""The layout of the Dstl contest: folders `three_band` and `sixteen_band` and three tables, however unpacked."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rasterloom.dataset.contest_ids import SCORED, SENSORS, acquisition_of, ground_of, tile_of
from rasterloom.dataset.contest_images import Images, find_images, image_form
from rasterloom.dataset.contest_tables import grid_sizes, read_sample, table_paths, wkt_rows
from rasterloom.dataset.index import Dataset, Role, Scene, reference_sensor, without_seen_truth
from rasterloom.dataset.source_files import SourceFile, refuse_braces
from rasterloom.errors import ConfigError, InputError, LabelError, MissingInputError, concerning
from rasterloom.text import brief, counted, few, nearest

TABLES = {"train_wkt": "train_wkt_v4.csv", "grid_sizes": "grid_sizes.csv", "sample_submission": "sample_submission.csv"}

ALL_IN_ONE = "dstl-satellite-imagery-feature-detection.zip"
"""The archive of archives that is downloaded when everything is asked for at once."""

Tables = Mapping[str, SourceFile]

Found = Mapping[str, Mapping[str, object]]
"""Files by scene and sensor."""

SOURCE = "https://www.kaggle.com/c/dstl-satellite-imagery-feature-detection"


def load(dataset: Mapping[str, Any], sensors: Mapping[str, Mapping[str, Any]], classes: Mapping[str, int]) -> Dataset:
    """Index the contest's files; see `rasterloom.dataset.load_dataset`.

    ``predict`` is ``scored`` (the 32 images that the contest's score is made of, as far as they are there),
    ``all`` (every image of sample_submission.csv) or a list of ids; labelled scenes are training scenes
    whatever it says. Labels of scenes without an image are an error, or with ``partial`` left out.
    """
    root = Path(str(dataset.get("root") or "data/dstl"))
    with concerning("dataset.root"):
        refuse_braces(root)
    for sensor, options in sensors.items():
        if sensor not in SENSORS:
            raise ConfigError(
                f"`sensors.{sensor}`: layout dstl has no such sensor; {nearest(sensor, SENSORS)}; for other imagery "
                "use `dataset.layout` sheet"
            )
        bands, given = len(SENSORS[sensor].bands), options.get("bands")
        if given not in (None, bands):
            raise ConfigError(f"`sensors.{sensor}.bands`: {given} was given, but the contest's files have {bands}")
    reference = reference_sensor(sensors)
    choice = "scored" if dataset.get("predict") is None else dataset["predict"]
    tables = _tables(root, dataset.get("truth"))
    images = find_images(root, sensors)
    found = images.scenes
    _check_there(root, sensors, tables, images, dataset.get("truth"), choice)
    train, truth = _labelled(tables, set(found), bool(dataset.get("partial")))
    predicted, notes = _predicted(choice, root, tables, found, reference)
    notes += [*images.notes, *_stray(found, train, reference), *_not_scored(tables, truth, predicted)]
    scenes = {}
    for scene, files in sorted(found.items()):
        if reference not in files and scene not in train:
            continue
        role: Role = "train" if scene in train else "predict" if scene in predicted else "other"
        held_out = role == "predict" and scene in truth
        scenes[scene] = Scene(
            id=scene,
            ground=ground_of(scene),
            role=role,
            sensors=files,
            labelled=tuple(classes) if role == "train" or held_out else (),
            truth=held_out,
            grid=tables.get("grid_sizes"),
            acquisition=acquisition_of(scene),
            tile=tile_of(scene),
        )
    _check_complete(root, sensors, tables, scenes)
    scenes, seen = without_seen_truth(scenes)
    return Dataset("dstl", scenes, reference, dict(classes), tables, (*notes, *seen))


def _stray(found: Found, train: set[str], reference: str) -> list[str]:
    """What to say of files that are no scene, as the image of the reference sensor is not there."""
    stray = sorted(scene for scene, files in found.items() if reference not in files and scene not in train)
    if not stray:
        return []
    sensor = SENSORS[reference]
    return [
        f"{_scenes(stray)} left out, as the image of the reference sensor {reference} is not there"
        f" (the first is {sensor.folder}/{stray[0]}{sensor.ending}.tif)"
    ]


def _not_scored(tables: Tables, truth: set[str], predicted: set[str]) -> list[str]:
    """What to say of held-out truth that nothing is compared with."""
    idle = sorted(truth - predicted)
    said = "not predicted and so not scored; `dataset.predict` chooses"
    return [f"{tables['truth'].path} (dataset.truth): {_scenes(idle)} {said}"] if idle else []


def _scenes(ids: Sequence[str]) -> str:
    """Words for the subject of a sentence: how many scenes, and the first of them."""
    return f"scene {ids[0]} is" if len(ids) == 1 else f"{len(ids)} scenes, first {ids[0]}, are"


def _tables(root: Path, truth: object) -> dict[str, SourceFile]:
    places = {key: table_paths(root, name) for key, name in TABLES.items()}
    if truth is not None:
        places["truth"] = truth_paths(root, str(truth))
    found = {key: [path for path in paths if path.is_file()] for key, paths in places.items()}
    return {key: SourceFile.of(paths[0]) for key, paths in found.items() if paths}


def truth_paths(root: Path, truth: str) -> list[Path]:
    """Where the table of held-out truth is looked for: below the data set's folder, then as a path of its own."""
    return [*table_paths(root, truth)[:2], Path(truth)]


def _check_there(
    root: Path, sensors: Iterable[str], tables: Tables, images: Images, truth: object, choice: object
) -> None:
    """One error that lists everything that was looked for in vain."""
    missing = []
    for folder in sorted({SENSORS[name].folder for name in sensors}):
        if not any(SENSORS[name].folder == folder for files in images.scenes.values() for name in files):
            misfits = images.misfits.get(folder)
            other = f" (there are {len(misfits)} images of another name, first {misfits[0]!r})" if misfits else ""
            missing.append(
                f"{root / folder}/*.tif or {root / folder / folder}/*.tif, called {image_form(folder)}, or"
                f" {root / folder}.zip with them{other}"
            )
    needed = ["train_wkt", "grid_sizes", *(["sample_submission"] if choice == "all" else [])]
    missing += [" or ".join(map(str, table_paths(root, TABLES[key]))) for key in needed if key not in tables]
    if truth is not None and "truth" not in tables:
        missing.append(" or ".join(map(str, truth_paths(root, str(truth)))) + " (dataset.truth)")
    if not missing:
        return
    whole = root / ALL_IN_ONE
    packed = ["They are there, but packed once more; unpack them:", f"  unzip {whole} -d {root}"] * whole.is_file()
    lines = [
        f"The Dstl data are not complete in {root}. Looked for and not found:",
        *(f"  {place}" for place in missing),
        *packed,
        f"They come from Kaggle, dstl-satellite-imagery-feature-detection ({SOURCE}; needs an account and its rules "
        f"accepted) and go under {root} (`dataset.root`, normally data/dstl); docs/dstl.md shows how.",
        "To see the whole workflow run without them, on generated scenes: make demo",
    ]
    raise MissingInputError("\n".join(lines))


def _labelled(tables: Tables, found: set[str], partial: bool) -> tuple[set[str], set[str]]:
    """Ids of the scenes to learn from, all of which have an image unless `partial`, and of those with truth."""

    def labelled(key: str) -> set[str]:
        return {row.scene for row in wkt_rows(Path(tables[key].path))} if key in tables else set()

    train, truth = labelled("train_wkt"), labelled("truth")
    both = sorted(train & truth)
    if both:
        raise LabelError(
            f"{tables['truth'].path} (dataset.truth) and {tables['train_wkt'].path} both label scene"
            f" {both[0]}{f' and {len(both) - 1} others' if len(both) > 1 else ''}: truth that is held out"
            " must not be trained on; take the scene out of one of them"
        )
    absent = sorted(train - found)
    if absent and not partial:
        raise MissingInputError(
            f"{len(absent)} of the {len(train)} scenes that {tables['train_wkt'].path} labels have"
            f" no image, first {brief(absent[0])!r}: get all of three_band and sixteen_band, or take their rows out of"
            " the table"
        )
    return train & found, truth


def _predicted(choice: Any, root: Path, tables: Tables, found: Found, reference: str) -> tuple[set[str], list[str]]:
    """Ids of the scenes to predict, and what a user should be told about them."""
    there = {scene for scene, files in found.items() if reference in files}
    if choice == "scored":
        scored = SCORED.split()
        predicted = there & set(scored)
        if not predicted:
            raise ConfigError(
                f"dataset.predict: scored asks for the contest's 32 scored images, and {root} holds none of"
                f" them (it holds {len(there)} scenes, for example {min(there, default='none')}); for"
                " generated or other scenes set `predict: all` or a list of ids"
            )
        absent = [scene for scene in scored if scene not in there]
        notes = [f"{len(absent)} of the 32 scored images are not in {root}, first {absent[0]}"] if absent else []
        return predicted, notes
    if choice == "all":
        wanted = sorted({scene for scene, _ in read_sample(Path(tables["sample_submission"].path)).rows})
        remedy = "get all of three_band, or set `predict: scored`"
    else:
        wanted = [str(scene) for scene in choice]
        remedy = "correct the ids, or get the images"
    absent = [scene for scene in wanted if scene not in there]
    if absent:
        near = nearest(absent[0], sorted(there)) if len(there) < 1000 else "not there"
        raise ConfigError(
            f"dataset.predict: {len(absent)} of {len(wanted)} scenes have no {SENSORS[reference].folder} image in"
            f" {root}, first {brief(absent[0])!r} ({near}): {remedy}"
        )
    return set(wanted), []


def _check_complete(root: Path, sensors: Iterable[str], tables: Tables, scenes: Mapping[str, Scene]) -> None:
    """Every scene that is trained on or predicted has all sensors and a row of grid sizes."""
    used = [scene for scene in scenes.values() if scene.role != "other"]
    lacking = [(scene.id, SENSORS[name]) for scene in used for name in sensors if name not in scene.sensors]
    missing = [str(root / sensor.folder / f"{scene}{sensor.ending}.tif") for scene, sensor in lacking]
    if missing:
        shown = few(missing, between="\n  ", most=5)
        raise MissingInputError(
            f"{counted(len(missing), 'image file')} of scenes that are used not found, neither unpacked nor in an "
            f"archive:\n  {shown}\nGet the archives of {SOURCE} again, or leave the sensor out of `sensors` and "
            "`channels`"
        )
    path = Path(tables["grid_sizes"].path)
    unknown = sorted({scene.id for scene in used} - grid_sizes(path).keys())
    if unknown:
        raise InputError(
            f"{path} has no row for scene {unknown[0]} ({len(unknown)} such scenes): its polygons cannot be"
            " placed; get the file again, or leave the scene out of `predict`"
        )
