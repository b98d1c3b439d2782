"""A results folder as the stages before `train` leave it, with scenes of a few dozen pixels."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.storage import ZipStore

from rasterloom.config.model import TrainingConfig
from rasterloom.learning.augment import Normalisation, TrainingScene
from rasterloom.learning.batches import make_batch
from rasterloom.learning.device import computing
from rasterloom.learning.sampling import index_scene
from rasterloom.learning.training import Trainer, train
from rasterloom.raster.scan import Moments
from rasterloom.stages import job_of
from rasterloom.store.digest import array_digest, digest
from rasterloom.store.job import Job
from rasterloom.store.manifest import Manifest
from rasterloom.store.store import Item, Store
from registrations import write_registration

SENSORS = {"p": 1, "rgb": 2, "a": 1}
"""Sensors and channels of the stacks; the reference, rgb, is not the first."""
MODEL = {"kind": "unet", "width": 4, "depth": 2, "convs_per_block": 1}
TRAINING = {
    "steps": 8, "batch": 2, "patch": 16, "positive_fraction": 0.5, "learning_rate": 1e-2, "weight_decay": 1e-4,
    "seed": 1, "augment": {"flips": True, "rotation": True, "colour": 0.1}, "precision": "bfloat16", "threads": 1,
}  # fmt: skip
PREDICTION = {"window": 16, "stride": 8, "symmetries": True, "batch": 3, "precision": "bfloat16", "threads": 1}

Scene = tuple[NDArray[np.uint16], NDArray[np.uint8], NDArray[np.uint8]]


def scene(seed: int, shape: tuple[int, int] = (40, 36)) -> Scene:
    """Data, valid and coverage: a bright rectangle is the class; some ground is invalid in two sensors."""
    rng = np.random.default_rng(seed)
    data = rng.normal(500, 10, (4, *shape))
    coverage = np.zeros(shape, np.uint8)
    top, left = rng.integers(4, 16, 2)
    coverage[top : top + 12, left : left + 10] = 255
    data[:, coverage > 0] += 60
    valid = np.full((3, *shape), 255, np.uint8)
    valid[1, :3, :4] = 0
    valid[2, -5:, :] = 0
    return data.round().astype(np.uint16), valid, coverage


class Tree:
    """Results in a folder, and jobs that run in it; `names` are other names for the sensors."""

    def __init__(
        self,
        root: Path,
        scenes: dict[str, Scene],
        folds: dict[str, dict[str, list[str]]],
        names: Mapping[str, str] | None = None,
    ) -> None:
        self.names = {sensor: (names or {}).get(sensor, sensor) for sensor in SENSORS}
        self.results = root
        self.store = Store(root / "store")
        self.scenes = scenes
        for name, (data, valid, coverage) in scenes.items():
            self.write_stack(name, data, valid)
            self.write_mask(name, coverage)
        self._json("split", "folds/g", {"g": {"folds": folds}}, ".folds.json")
        counts = np.cumsum([0, *SENSORS.values()])
        stacked = np.concatenate([d.reshape(len(d), -1) for d, _, _ in scenes.values()], axis=1)
        statistics = {
            self.names[sensor]: {
                "mean": stacked[counts[i] : counts[i + 1]].mean(axis=1).tolist(),
                "sd": stacked[counts[i] : counts[i + 1]].std(axis=1).tolist(),
                "count": [stacked.shape[1]] * channels,
            }
            for i, (sensor, channels) in enumerate(SENSORS.items())
        }
        self._json("normalisation", "statistics/statistics", statistics, ".statistics.json")

    def own_statistics(self, name: str, **missing: bool) -> None:
        """Write a registration with the moments of a scene's own pixels; without those of sensors that are missing."""
        ends, data = np.cumsum([0, *SENSORS.values()]), self.scenes[name][0]
        moments = {
            self.names[sensor]: [Moments.of(band.ravel()) for band in data[ends[i] : ends[i + 1]]]
            for i, sensor in enumerate(SENSORS)
            if not missing.get(sensor)
        }
        write_registration(self.results, name, moments)

    def _manifest(self, stage: str, path: str, items: dict[str, Item]) -> None:
        Manifest(stage, items).write(self.results / f"{path}.json")

    def _json(self, stage: str, path: str, values: dict[str, Any], suffix: str) -> None:
        items = {}
        for name, value in values.items():
            text = json.dumps(value)
            with self.store.writing(stage, f"{abs(hash((name, text))):032d}", suffix) as work:
                work.path.write_text(text, encoding="utf-8")
                work.digest = text
            items[name] = work.committed()
        self._manifest(stage, path, items)

    def write_stack(self, name: str, data: NDArray[np.uint16], valid: NDArray[np.uint8]) -> None:
        """Write a stack and its manifest."""
        ends = np.cumsum([0, *SENSORS.values()])
        parts = {
            self.names[sensor]: array_digest({"data": data[ends[i] : ends[i + 1]], "valid": valid[i]})
            for i, sensor in enumerate(SENSORS)
        }
        key = digest([array_digest({"d": data, "v": valid}), self.names])[:32]
        with self.store.writing("stack", key, ".zarr.zip") as work:
            with ZipStore(work.path, mode="w") as store:
                attributes = {"sensors": list(self.names.values()), "channels": list(SENSORS.values())}
                group = zarr.create_group(store=store, attributes=attributes)
                group.create_array("data", data=data, chunks=(len(data), 16, 16))
                group.create_array("valid", data=valid, chunks=(len(valid), 16, 16))
            work.digest = array_digest({"d": data, "v": valid})
            work.parts.update(parts)
        self._manifest("stack", f"stacks/s/{name}", {name: work.committed()})

    def write_mask(self, name: str, coverage: NDArray[np.uint8], target: str = "t") -> None:
        """Write the mask of a target and its manifest."""
        key = array_digest({"coverage": coverage})
        with self.store.writing("mask", key[:32], ".zarr.zip") as work:
            with ZipStore(work.path, mode="w") as store:
                zarr.create_group(store=store).create_array("coverage", data=coverage, chunks=(16, 16))
            work.digest = key
        self._manifest("mask", f"masks/s/{target}/{name}", {name: work.committed()})

    def train_job(self, fold: str = "fold-0", **changes: Any) -> Job:
        """A training job; `changes` are laid over its spec."""
        spec = {
            "stage": "train", "version": 1, "window": 16, "member": "m", "fold": fold, "target": "t", "model": MODEL,
            "sensors": [self.names["rgb"], self.names["a"]], "reference": self.names["rgb"],
            "scale": {"name": "s"}, "group": "g", "training": TRAINING,
            "scenes": sorted(self.scenes),
        }  # fmt: skip
        return job_of({**spec, **changes}, {}, self.results, self.store)

    def predict_job(self, scenes: list[str], **changes: Any) -> Job:
        """A prediction job; `changes` are laid over its spec."""
        spec = {
            "stage": "predict", "version": 1, "member": "m", "batch": "b", "scenes": scenes, "labelled": [],
            "model": MODEL, "sensors": [self.names["rgb"], self.names["a"]], "reference": self.names["rgb"],
            "scale": {"name": "s"}, "group": "g",
            "folds": ["fold-0", "fold-1"], "predict_with": "folds", "prediction": PREDICTION,
        }  # fmt: skip
        return job_of({**spec, **changes}, {}, self.results, self.store)

    def model(self, fold: str = "fold-0") -> Item:
        """The item of a checkpoint."""
        return Manifest.read(self.results / f"models/m/{fold}.json").items[fold]

    def prediction(self, name: str) -> Item:
        """The item of a scene's prediction."""
        return Manifest.read(self.results / "predictions/m/b.json").items[name]


def small_tree(root: Path, ids: str = "abcd", names: Mapping[str, str] | None = None) -> Tree:
    """Three labelled scenes in two folds and one to predict; the same under any ids and names of sensors."""
    a, b, c, _ = list(ids)
    scenes = {name: scene(i) for i, name in enumerate(ids)}
    folds = {
        "fold-0": {"train": sorted([a, b]), "validation": [c]},
        "fold-1": {"train": sorted([b, c]), "validation": [a]},
    }
    return Tree(root, scenes, folds, names)


NORMALISATION = Normalisation(np.full(4, 510, np.float32), np.full(4, 25, np.float32), np.array([0, 1, 1, 2]))


def memory_scene(name: str, seed: int, covered: bool = True) -> TrainingScene:
    """A scene in memory, with four channels of three sensors; not `covered`: without the class."""
    data, valid, coverage = scene(seed)
    coverage = coverage if covered else np.zeros_like(coverage)

    def read(y0: int, y1: int, x0: int, x1: int) -> Any:
        return data[:, y0:y1, x0:x1], valid[:, y0:y1, x0:x1], coverage[y0:y1, x0:x1]

    return TrainingScene(
        name, index_scene(lambda a, b: (coverage[a:b], valid[0, a:b]), len(coverage)), read, NORMALISATION
    )


SCENES = [memory_scene("a", 0), memory_scene("b", 1)]


def recipe(**changes: Any) -> TrainingConfig:
    """Settings of a short training; `changes` are laid over them."""
    return TrainingConfig.model_validate({**TRAINING, **changes})


def trained(
    recipe: TrainingConfig, state: dict[str, NDArray[Any]] | None = None, **options: Any
) -> dict[str, NDArray[Any]]:
    """Weights and history of a training on `SCENES`, from a state on if there is one; `options` of `train`."""
    with computing(recipe.threads):
        trainer = Trainer(recipe, MODEL, 4, "cpu")
        if state is not None:
            trainer.restore(state)
        train(trainer, lambda step: make_batch(SCENES, recipe, step), **options)
    return {**trainer.weights(), "history": trainer.state()["history"]}
