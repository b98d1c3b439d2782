"""What users do to a project between two runs: each edit takes a state and a number, which picks what it does.

An edit of settings, rows or files gives a new `State`; one of results or of the store changes what is on disk.
"""

from __future__ import annotations

import copy
import random
import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from matrix import changed
from oracle_project import File, State, World, artifacts, record_of
from rasterloom.config import load_config
from rasterloom.config.load import recorded
from rasterloom.stages import artifact_stages

FOREST = {"model": "forest", "channels": "both", "scale": "coarse"}
LINEAR = {"model": "linear", "channels": "colours", "scale": "native"}
UNET = {"model": "unet", "channels": "both", "scale": "coarse"}

SETTINGS: dict[str, list[Any]] = {
    "classes.buildings.polygons.threshold": [None, 0.3, 0.5, "auto"],
    "classes.trees.polygons": [None, {"min_area": 5}, {"min_area": 60, "open": 1.0}, {"simplify": 0.25}],
    "classes.trees.polygons.threshold": [None, 0.4],
    "defaults.polygons": [None, {"simplify": 0.5}, {"shape": "rectangular"}, {"divide": "none"}],
    "defaults.training.seed": [None, 0, 1],
    "defaults.training.steps": [2, 3],
    "defaults.training.keep": [None, "last", "best", "ema"],
    "defaults.training.threads": [1, 2],
    "defaults.training.augment": [None, {"zoom": 1.0}, {"contrast": 0.1}, {"flips": True}],
    "classes.buildings.training": [None, {"seed": 3}, {"seed": 0}],
    "classes.trees.members.0.training": [None, {"learning_rate": 0.01}, {"gradient_clip": 1.0}],
    "classes.trees.training.rounds": [None, 2],
    "defaults.prediction.window": [16, 32],
    "defaults.prediction.quality": ["preview", "fast"],
    "classes.trees.prediction": [None, {"batch": 2}, {"batch": 4}],
    "models.forest.trees": [4, 5],
    "models.forest.neighbourhood": [None, [], [3]],
    "models.linear.samples": [500, 600],
    "models.unet.width": [4, 8],
    "models.unet.norm": [None, "batch", "group"],
    "classes.buildings.ensemble": [None, "mean", "best", "weighted"],
    "classes.buildings.id": [1, 7],
    "scales.coarse": [{"size": 16}, {"size": 20}, {"factor": 0.5}],
    "scales.spare": [None, {"size": 18}],
    "targets.both": [None, ["buildings", "trees"]],
    "targets.joint": [None, {"classes": ["buildings", "trees"], "overlap": True}],
    "sensors.m.registration": ["auto", "none", {"shift": [1.0, 0.0]}],
    "sensors.m.max_shift": [8, 9],
    "sensors.m.motion": [None, "translation", "affine"],
    "sensors.m.nodata": [None, 0],
    "channels.both": [["rgb", "m"], ["m", "rgb"], ["rgb"]],
    "statistics": ["train", "all", None],
    "normalise_by": ["dataset", "acquisition", "scene"],
    "validation": [{"split": 0.6}, {"folds": 2}, {"split": 0.4, "seed": 1}, {"folds": 3, "predict_with": "refit"}],
    "validation.predict_with": [None, "folds", "refit"],
    "dataset.labels": [None, {"registration": "auto"}, {"registration": "auto", "max_shift": 5}],
    "dataset.predict": [None, "all", []],
    "execution.scenes_per_job": [None, "auto", 1],
    "sanity.steps": [None, 3],
    "classes.houses": [None, {"id": 9, "members": [FOREST]}, {"id": 9, "members": [{**UNET, "scale": "native"}]}],
    "classes.buildings.members": [
        *([FOREST, LINEAR], [LINEAR], [LINEAR, FOREST], [FOREST, {**UNET, "target": "both"}]),
        *([FOREST, {**FOREST, "scale": "native"}], [FOREST, {**UNET, "target": "joint"}], [UNET, LINEAR]),
    ],
    "classes.trees.members": [[UNET], [FOREST, UNET], [{**UNET, "channels": "colours"}], [{**UNET, "target": "joint"}]],
}
"""Values of keys; None: the key is removed."""

NAMES = {"coarse": "rough", "native": "full", "forest": "wood", "unet": "net", "both": "every", "trees": "woods"}
"""What scales, models, channels and a class may be called instead."""


def setting(world: World, state: State, results: str, pick: int) -> None:
    """A key is set, or removed."""
    path = [*SETTINGS][pick % len(SETTINGS)]
    values = SETTINGS[path]
    state.configs[results] = changed(state.configs[results], path, values[pick // len(SETTINGS) % len(values)])


def renamed(world: World, state: State, results: str, pick: int) -> None:
    """A scale, a model, channels or a class gets another name, wherever it stands."""
    old, new = [*NAMES.items()][pick % len(NAMES)]
    names = {old: new, new: old}

    def named(value: Any) -> Any:
        if isinstance(value, dict):
            return {names.get(key, key): named(entry) for key, entry in value.items()}
        if isinstance(value, list):
            return [named(entry) for entry in value]
        return names.get(value, value) if isinstance(value, str) else value

    state.configs[results] = {
        key: value if key in ("results", "dataset") else named(value) for key, value in state.configs[results].items()
    }


def reordered(world: World, state: State, results: str, pick: int) -> None:
    """Keys of a table in another order: of sensors, which is that of the channels of a stack, or of any other."""
    config = state.configs[results]
    table = ["sensors", "classes", "scales", "models", "channels", "defaults"][pick % 6]
    config[table] = dict(reversed(config[table].items()))


def defaults_written(world: World, state: State, results: str, pick: int) -> None:
    """Every default is written down."""
    config = state.configs[results]
    state.configs[results] = recorded(load_config(config), config)


def stacking(world: World, state: State, results: str, pick: int) -> None:
    """A member sees the probability of another one, for which there must be folds; or no longer."""
    config = state.configs[results]
    seen = ["rgb", "trees-unet-both-coarse"]
    config["channels"] = {**config["channels"], "stacked": [seen, [seen[1], "rgb", "m"]][pick % 2]}
    config["classes"]["trees"]["members"] = [[{**FOREST, "channels": "stacked"}, UNET], [UNET]][pick // 2 % 2]
    config["validation"] = {"folds": 2}


def taken_over(world: World, state: State, results: str, pick: int) -> None:
    """A folder takes over the recipe of the other one."""
    other = next(name for name in state.configs if name != results)
    state.configs[results] = {**copy.deepcopy(state.configs[other]), "results": results}


def version(world: World, state: State, results: str, pick: int) -> None:
    """A stage has another version, or that which it had before."""
    stage = artifact_stages()[pick % len(artifact_stages())]
    state.versions[stage] = state.versions[stage] % 1000 + 1000 * (pick // len(artifact_stages()) % 3)


def later(world: World, state: State, results: str, pick: int) -> None:
    """A version of the library where settings have other names, and one more has a default; or back."""
    state.later = not state.later


# The sheet and its files ----------------------------------------------------------------------------------


def scene_added(world: World, state: State, results: str, pick: int) -> None:
    """A scene is added, whose files are new, or are still there from before."""
    name = f"s{pick % 9}"
    if name not in state.rows:
        world.add_scene(state, name, ["predict", "train"][pick // 9 % 2])


def scene_removed(world: World, state: State, results: str, pick: int) -> None:
    """A scene is taken out of the sheet; its files stay."""
    del state.rows[[*state.rows][pick % len(state.rows)]]


def scene_changed(world: World, state: State, results: str, pick: int) -> None:
    """A cell of a row is filled or emptied."""
    row = state.rows[[*state.rows][pick % len(state.rows)]]
    pick //= len(state.rows)
    column, values = [
        ("split", ["train", "predict"]),
        ("ground", ["", "hill", "vale"]),
        ("acquisition", ["", "may", "may", "june"]),
        ("m", ["", f"data/{row['scene']}.m.tif"]),
        ("m", [f"data/{row['scene']}.m.tif[2,1]", f"data/{row['scene']}.m.tif"]),
    ][pick % 5]
    if column != "m" or f"data/{row['scene']}.m.tif" in state.files:
        row[column] = values[pick // 5 % len(values)]


def scene_renamed(world: World, state: State, results: str, pick: int) -> None:
    """A scene gets another id; its files keep their names."""
    old = [*state.rows][pick % len(state.rows)]
    new = old.removesuffix("x") if old.endswith("x") else f"{old}x"
    if new not in state.rows:
        state.rows = {new if name == old else name: row for name, row in state.rows.items()}
        state.rows[new]["scene"] = new


def file_changed(world: World, state: State, results: str, pick: int) -> None:
    """A file is touched, or replaced: by a newer or an older one, with or without other content, or by another's."""
    path = sorted(state.files)[pick % len(state.files)]
    pick //= len(state.files)
    old, others = state.files[path], sorted(p for p in state.files if Path(p).suffixes == Path(path).suffixes)
    other = others[pick % len(others)]
    bands = {"rgb": 1, "m": 2}
    new = f"{world.number()}"
    if not path.endswith(".tfw"):
        new = world.labels() if path.endswith(".geojson") else world.image(bands[path.split(".")[-2]])
    match pick % 8:
        case 0:
            state.files[path] = replace(old, time=world.newer())
        case 1:
            state.files[path] = replace(old, time=world.older())
        case 2:
            state.files[path] = File(new, world.newer())
        case 3:
            state.files[path] = File(new, world.older())
        case 4:
            state.files[path] = File(new, time.time_ns())
        case 5:
            state.files[path], state.files[other] = state.files[other], old
        case 6:
            state.files[path] = state.files[other]
        case 7:
            state.files[path] = replace(state.files[other], time=world.newer())


def world_file(world: World, state: State, results: str, pick: int) -> None:
    """A world file is put beside an image, or removed."""
    images = sorted(path for path in state.files if path.endswith(".tif"))
    path = images[pick % len(images)].replace(".tif", ".tfw")
    if path in state.files:
        del state.files[path]
    else:
        state.files[path] = File(f"{pick % 3}", world.newer())


def image_moved(world: World, state: State, results: str, pick: int) -> None:
    """An image gets another path, and so does its cell."""
    row = state.rows[[*state.rows][pick % len(state.rows)]]
    old = row["rgb"]
    new = old.replace("data/", "data/moved.") if "moved" not in old else old.replace("moved.", "")
    if old in state.files and new not in state.files:
        state.files[new] = state.files[old]
        if all(other["rgb"] != old for other in state.rows.values() if other is not row):
            del state.files[old]
        row["rgb"] = new


EDITS: list[Callable[[World, State, str, int], None]] = [
    *(setting, setting, setting, renamed, reordered, stacking, defaults_written, taken_over, version, later),
    *(scene_added, scene_removed, scene_changed, scene_changed, scene_renamed, file_changed, file_changed),
    *(file_changed, world_file, image_moved),
]


# Results and the store ------------------------------------------------------------------------------------


def _one(found: Iterable[Path], pick: int) -> Iterable[Path]:
    """One of some files, if there are any."""
    files = sorted(found)
    return files[pick % len(files) :][:1] if files else []


def _garble(path: Path, pick: int) -> None:
    """Cut a file off."""
    path.write_bytes(path.read_bytes()[: pick % 40])


def results_lost(world: World, results: str, pick: int) -> None:
    """Something of a results folder is removed or damaged: manifests, notes, links, tables, folders, all of it."""
    what, pick, folder = pick % 10, pick // 10, Path(results)
    notes = sorted((folder / ".asked").rglob("*.txt"))
    manifests = [path for path in folder.glob("*/**/*.json") if not path.is_symlink() and ".asked" not in path.parts]
    if what < 2:
        for path in _one(manifests, pick):
            path.unlink()
    elif what == 2:
        for path in _one(manifests, pick):
            _garble(path, pick)
    elif what == 3:
        for path in random.Random(pick).sample(notes, len(notes) // 2):
            path.unlink()
    elif what == 4:
        for path in _one(notes, pick):
            _garble(path, pick)
    elif what == 5:
        tables = [*folder.glob("*.[tc]sv"), *folder.glob("*/*.[tc]sv"), *folder.glob("report/*")]
        for path in _one([*tables, *folder.glob("*.json"), *folder.glob(".outputs.json")], pick):
            path.unlink()
    elif what == 6:
        links = sorted(path for path in folder.rglob("*") if path.is_symlink())
        for path in random.Random(pick).sample(links, len(links) // 2):
            path.unlink()
    elif what == 7:
        for path in _one(folder.glob("*/"), pick):
            shutil.rmtree(path)
    elif what == 8:
        for path in random.Random(pick).sample(manifests, len(manifests) // 2):
            path.unlink()
    else:
        shutil.rmtree(results, ignore_errors=True)


def store_lost(world: World, results: str, pick: int) -> None:
    """Something of the store is removed or damaged: artifacts, records, scans, notes, folders."""
    what, pick, root = pick % 9, pick // 9, world.store.root
    kept = artifacts(world.store)
    files = [kept, kept, map(record_of, kept), map(record_of, kept), root.glob("sources/*"), root.glob("sources/*")]
    if what == 8:
        for path in _one(root.glob("*/"), pick):
            shutil.rmtree(path)
    elif what == 7:
        for path in random.Random(pick).sample(kept, len(kept) // 3):
            path.unlink()
    else:
        for path in _one([*files, root.glob("results/*")][what], pick):
            if path.exists():
                _garble(path, pick) if what % 2 else path.unlink()


def put_back(world: World, results: str, pick: int) -> None:
    """Results are kept, or those that were kept are put back as they were, with their times."""
    kept = Path(f"{results}.kept")
    if pick % 2 and kept.exists():
        shutil.rmtree(results, ignore_errors=True)
        shutil.copytree(kept, results, symlinks=True)
    elif Path(results).exists():
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(results, kept, symlinks=True)


LOSSES: list[Callable[[World, str, int], None]] = [results_lost, results_lost, store_lost, store_lost, put_back]


def edited(world: World, edit: Callable[[World, State, str, int], None], results: str, pick: int) -> bool:
    """Make an edit, unless a run would refuse it; whether it was made."""
    state = copy.deepcopy(world.state)
    try:
        edit(world, state, results, pick)
    except (KeyError, IndexError, TypeError):  # a key or a member that this recipe does not have
        return False
    return world.accept(state)
