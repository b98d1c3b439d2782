"""Disk space of a run's artifacts, stage by stage: of those that are there, and of those to come.

One constant per stage estimates the artifacts to come. The artifacts that are there correct it: those of the same
scale, member or class if there are any, else those of the same stage.
"""

import shutil
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from math import prod
from pathlib import Path

from rasterloom.learning.networks import parameters
from rasterloom.planning.graph import Dag
from rasterloom.planning.sizes import Sizes
from rasterloom.stages import artifact_stages, module_of, names_of
from rasterloom.store.manifest import Manifest
from rasterloom.store.store import Item, Store

BYTES: Mapping[str, float] = {
    "stack": 1.0,
    "mask": 0.02,
    "predict": 0.27,
    "ensemble": 0.3,
    "label": 0.02,
    "vectorise": 0.05,
    "train": 4.0,
}
"""Bytes of an artifact: per pixel and channel of a stack, per pixel of other arrays, per pixel of the reference image
of labels and polygons, per parameter of a network. Measured on generated scenes of the contest's size and formats."""

ITEM_BYTES = 5_000.0
"""Bytes of an artifact beyond that: its record, its headers."""


@dataclass
class Space:
    """Artifacts of a stage, or of a folder of it.

    Attributes
    ----------
    items, found : how many a full run has, and how many of them are there
    there, total : bytes of those that are there, and of all once the run is done
    matched, missing : estimates, in bytes, of those that are there and of those that are not
    """

    items: int = 0
    found: int = 0
    there: float = 0.0
    total: float = 0.0
    matched: float = 0.0
    missing: float = 0.0

    def add(self, estimate: float, actual: int | None) -> None:
        """Count an artifact; `actual` is None if it is not there."""
        self.items += 1
        if actual is None:
            self.missing += estimate
        else:
            self.found, self.there, self.matched = self.found + 1, self.there + actual, self.matched + estimate


def space(dag: Dag, sizes: Sizes, store: Store) -> dict[str, Space]:
    """Artifacts and bytes by stage, and of `all`; reads the manifests that are there, and no artifact.

    Raises
    ------
    StoreError
        If a manifest is damaged; names it.
    """
    stages: dict[str, Space] = {}
    folders: dict[tuple[str, Path], Space] = {}
    jobs = dag.jobs()
    for stage, names in ((name, own) for name in artifact_stages() for own in jobs[name]):
        path = dag.results / module_of(stage).OUTPUT.format(**names)
        items = Manifest.read(path).items if path.exists() else {}
        for name in names_of(dag.spec(stage, **names)):
            estimate = ITEM_BYTES + _amount(dag, sizes, stage, names, name) * BYTES.get(stage, 0.0)
            actual = _size(store, items[name]) if name in items else None
            stages.setdefault(stage, Space()).add(estimate, actual)
            folders.setdefault((stage, path.parent), Space()).add(estimate, actual)
    for (stage, _), own in folders.items():
        known = next((group for group in (own, stages[stage]) if group.matched), None)
        stages[stage].total += own.there + own.missing * (known.there / known.matched if known else 1.0)
    stages["all"] = Space(*map(sum, zip(*map(astuple, stages.values()), strict=True)))
    return stages


def _amount(dag: Dag, sizes: Sizes, stage: str, names: Mapping[str, str], name: str) -> float:
    """How many pixels, values or parameters an artifact has that the constant of its stage counts."""
    members = dag.recipe.members
    if stage in ("stack", "mask"):
        present = dag.dataset.scenes[name].sensors
        channels = sizes.channels(s for s in dag.scale_sensors[names["scale"]] if s in present)
        return prod(sizes.shape(dag.scale(names["scale"]), name)) * (channels if stage == "stack" else 1)
    if stage == "predict":
        member = members[names["member"]]
        return prod(sizes.shape(member.scale, name)) * max(1, len(member.outputs))
    if stage == "ensemble":
        return max(prod(sizes.shape(members[m].scale, name)) for m in dag.recipe.classes[names["class"]].members)
    if stage in ("label", "vectorise"):
        return prod(sizes.reference[name])
    if stage == "train":
        member = members[names["member"]]
        return parameters(member.model, sizes.channels(member.sensors)) or 0
    return 0


def _size(store: Store, item: Item) -> int | None:
    """Bytes of an artifact with its record; None if the store has lost one of them."""
    try:
        paths = store.root / item.path, store.record_path(item.path.split("/")[0], item.key)
        return sum(path.stat().st_size for path in paths)
    except FileNotFoundError:
        return None


def room(folder: Path) -> int:
    """Free bytes of the disk that a folder lies on, or will lie on."""
    found = folder.absolute()
    return shutil.disk_usage(next(path for path in (found, *found.parents) if path.exists())).free
