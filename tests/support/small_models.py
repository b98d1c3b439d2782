"""A project of per-pixel models on a few generated scenes, whose jobs are run one after another in this process."""

from __future__ import annotations

import copy
import json
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

from common import ROOT
from rasterloom.config.overlays import merge
from rasterloom.planning.graph import Dag
from rasterloom.planning.stale import Stale, Walk
from rasterloom.stages import artifact_stages, job_of, module_of, recomputed
from rasterloom.store.digest import canonical
from rasterloom.store.store import Store
from rasterloom.tools.scenes.writing import write_scenes

Table = dict[str, Any]
FOREST = {"model": "forest", "channels": "all20", "scale": "s64"}
OVERLAY: Table = {
    "scales": {"s64": {"size": 64}, "s128": None, "native": None},
    "models": {"unet8": None},
    "classes": {
        "buildings": {"members": [FOREST, {**FOREST, "model": "linear"}]},
        "waterway": {"members": [FOREST]},
    },
    "statistics": "train",
    "normalise_by": "dataset",
}
SCENES, TRAIN = 4, 3


class Small:
    """A data set and its results, whose jobs are run one after another in this process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        write_scenes(folder / "data", train=TRAIN, test=SCENES - TRAIN, size=(256, 256), seed=5)
        tables = [yaml.safe_load((ROOT / name).read_text("utf-8")) for name in ("config.yaml", "presets/tiny.yaml")]
        place = {"results": str(folder / "results")}
        data = {"dataset": {"root": str(folder / "data"), "truth": str(folder / "data/truth_wkt.csv")}}
        self.table: Table = {}
        for overlay in [*tables, OVERLAY, place, data]:
            self.table = merge(self.table, overlay)

    def merged(self, overlay: Table | None = None) -> Table:
        return merge(copy.deepcopy(self.table), overlay or {})

    def stale(self, overlay: Table | None = None) -> list[Stale]:
        merged = self.merged(overlay)
        dag = Dag.load(merged)
        return list(Walk(dag, Store.of(dag.results, recomputed()), merged).stale())

    def dag(self, overlay: Table | None = None) -> Dag:
        return Dag.load(self.merged(overlay))

    def run(self, overlay: Table | None = None) -> Counter[str]:
        """Run every stage that makes artifacts; how many it computed, by stage."""
        dag = self.dag(overlay)
        store = Store.of(dag.results)
        before = set(store.root.glob("*/*.json"))
        for stage, names in dag.in_order():
            if stage in artifact_stages():
                spec, sources = (json.loads(canonical(f(stage, **names))) for f in (dag.spec, dag.sources))
                job = job_of(spec, sources, dag.results, store)
                module_of(stage).run(job)
                job.remember(module_of(stage).inputs)
        records = {path for path in set(store.root.glob("*/*.json")) - before if "." not in path.stem}
        return Counter(path.parent.name for path in records if path.parent.name not in {"sources", "results"})
