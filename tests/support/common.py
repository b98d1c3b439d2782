"""What tests of many rooms share."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rasterloom.config import load_config
from rasterloom.stages import job_of, module_of
from rasterloom.store.store import Store

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "workflow" / "rasterloom"


def says(text: str, parts: str) -> bool:
    """Whether a text has each of the parts, which ` ... ` separates, in whatever order."""
    return all(part in text for part in parts.split(" ... "))


def ids(count: int) -> list[str]:
    """Ids as the contest has them: scenes of 5 x 5 tiles."""
    return [f"{6010 + 10 * (n // 25)}_{n % 25 // 5}_{n % 5}" for n in range(count)]


def stand_in_dag(table: dict[str, Any], train: Iterable[str], predict: Iterable[str]) -> Any:
    """The graph of a configuration over scenes that are mere names: no file is there."""
    from rasterloom.dataset import Dataset, Scene, SourceFile
    from rasterloom.dataset.contest_ids import acquisition_of
    from rasterloom.planning.graph import Dag

    config = load_config(table)
    classes = {name: entry.id for name, entry in config.classes.items()}
    labelled = set(train)

    def file(path: str) -> SourceFile:
        return SourceFile(path, size=len(path), mtime_ns=1)

    scenes = {
        scene: Scene(
            id=scene,
            ground=scene,
            role="train" if scene in labelled else "predict",
            sensors={sensor: (file(f"raw/{scene}_{sensor}.tif"),) for sensor in config.sensors},
            labelled=tuple(classes) if scene in labelled else (),
            grid=file("raw/grid_sizes.csv"),
            acquisition=acquisition_of(scene),
        )
        for scene in sorted({*labelled, *predict})
    }
    names = ("train_wkt", "grid_sizes", "sample_submission")
    tables = {name: file(f"raw/{name}.csv") for name in names}
    return Dag(config, Dataset("dstl", scenes, "rgb", classes, tables))


def place_alone(results: Path, scene: str, acquisition: str = "") -> None:
    """Place a registered scene as the only one of its acquisition, by default one named after it."""
    taken = {
        "acquisition": {"name": acquisition or scene, "scenes": [scene]},
        "scenes": [scene],
        "tiles": {scene: ["", ""]},
    }
    module_of("place").run(job_of({"stage": "place", "version": 1, **taken}, {}, results, Store.of(results)))
