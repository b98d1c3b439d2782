"""Say in words and numbers what the configuration amounts to: data, models, jobs, disk and hours.

Opens no pixels and computes nothing. Hours follow from rates that the store has recorded, from those of an earlier
--measure on this machine, or else from a built-in rate of two CPU cores.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from rasterloom.config import read_configuration
from rasterloom.config.recipe import MemberRecipe
from rasterloom.errors import ConfigError
from rasterloom.learning.cost import forward_passes
from rasterloom.learning.networks import multiply_adds, network_parameters
from rasterloom.planning.disk import Disk, room, space
from rasterloom.planning.estimates import PIXEL_SECONDS
from rasterloom.planning.graph import Dag
from rasterloom.planning.rates import Rates, known_rates, measure
from rasterloom.stages import recomputed
from rasterloom.store.store import Store

if TYPE_CHECKING:
    from rasterloom.planning.sizes import Sizes

GIGA = 1e9

NEW_SCENE = ("register", "stack", "predict", "ensemble", "vectorise")
"""Stages that have an artifact more for each scene more."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the subcommand."""
    parser.add_argument("--configfile", nargs="+", type=Path, default=[], help="laid over config.yaml, in order")
    parser.add_argument(
        "--measure",
        action="store_true",
        help="first time the largest network on this machine's GPU or cores (a minute at most), and keep the rate "
        "in the store",
    )
    parser.add_argument(
        "--stale", action="store_true", help="instead list the artifacts that a run would compute, and why"
    )


def main(args: argparse.Namespace) -> None:
    """Print the plan."""
    from rasterloom.planning.sizes import read_sizes

    merged = read_configuration(args.configfile)
    dag = Dag.load(merged)
    store = Store.of(dag.results, recomputed())
    if args.stale:
        from rasterloom.planning.stale import main_stale

        main_stale(dag, store, merged)
        return
    sizes = read_sizes(dag)
    if args.measure:
        member = largest(dag, sizes)
        measure(store, member, sizes.channels(member.sensors), lambda text: print(text, file=sys.stderr, flush=True))
    disk = space(dag, sizes, store)
    rates = known_rates(store)
    sections = (
        data_lines(dag, sizes),
        model_lines(dag, sizes),
        job_lines(dag, disk),
        disk_lines(disk, store),
        time_lines(dag, sizes, rates),
        scene_lines(dag, sizes, disk, rates),
    )
    print("\n\n".join("\n".join(section) for section in sections))


def largest(dag: Dag, sizes: Sizes) -> MemberRecipe:
    """The member whose network does most multiply-adds a pixel; ConfigError if no member is a network."""
    networks = [member for member in dag.recipe.members.values() if member.is_network]
    if not networks:
        raise ConfigError("the configuration has no member that is a network: there is nothing to measure")
    return max(networks, key=lambda member: intensity(member, sizes))


def intensity(member: MemberRecipe, sizes: Sizes) -> float:
    """Multiply-adds a pixel of a member's network in training."""
    patch = int(member.training["patch"])
    return multiply_adds(member.model, sizes.channels(member.sensors), patch, patch) / patch**2


# Words ------------------------------------------------------------------------------------------------------


def counted(number: int, noun: str, many: str | None = None) -> str:
    """``1 scene``, ``1,200 scenes``."""
    return f"{number:,} {noun if number == 1 else many or noun + 's'}"


def gigabytes(number: float) -> str:
    """Bytes as GB, with as many decimals as small numbers need."""
    value = number / GIGA
    return f"{value:,.0f} GB" if value >= 100 else f"{value:.1f} GB" if value >= 0.95 else f"{number / 1e6:,.1f} MB"


def duration(seconds: float) -> str:
    """A time in hours, or in minutes or seconds where it is short."""
    hours = seconds / 3600
    if hours >= 1:
        return f"{hours:,.0f} h" if hours >= 10 else f"{hours:.1f} h"
    return f"{seconds / 60:.1f} min" if seconds >= 60 else f"{seconds:.1f} s"


def table(rows: Sequence[Sequence[str]], left: int = 1) -> Iterator[str]:
    """Rows of cells in aligned columns: the first `left` to the left, the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = [c.ljust(w) if i < left else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))]
        yield ("  " + "  ".join(cells)).rstrip()


# Sections ---------------------------------------------------------------------------------------------------


def data_lines(dag: Dag, sizes: Sizes) -> list[str]:
    """Scenes, sensors, channels, sizes."""
    dataset, scenes = dag.config.dataset, dag.dataset.scenes
    roles = Counter(scene.role for scene in scenes.values())
    truth = sum(scene.truth for scene in scenes.values())
    said = [
        f"{roles['train']:,} labelled",
        f"{roles['predict']:,} to predict" + (f" ({truth:,} with held-out truth)" * bool(truth)),
    ]
    if roles["other"] and dag.config.statistics == "all":
        said.append(f"{roles['other']:,} in the statistics alone")
    shapes = list(sizes.reference.values())
    rows, columns = (round(sum(shape[axis] for shape in shapes) / len(shapes)) for axis in (0, 1))
    whole = sizes.read == len(shapes)
    sensors = ", ".join(f"{name} {sensor.bands}" for name, sensor in sizes.sensors.items())
    seen = "" if whole else f" ({sizes.read} headers read, the others by their bytes)"
    return [
        f"Data: {dataset.root or dataset.table}, layout {dataset.layout}",
        f"  {', '.join(said)}",
        f"  channels: {sensors}: {sizes.channels(tuple(sizes.sensors))} in all",
        f"  {columns:,} x {rows:,} pixels of {dag.reference} a scene on average{seen}",
    ]


def model_lines(dag: Dag, sizes: Sizes) -> list[str]:
    """Members by model, input and scale, with their checkpoints."""
    members = list(dag.recipe.members.values())
    groups: dict[tuple[str, ...], list[MemberRecipe]] = {}
    for member in members:
        _, model, input_, scale = member.name.rsplit("-", 3)
        groups.setdefault((model, input_, scale), []).append(member)
    rows = [("model", "input", "scale", "members", "channels", "parameters", "steps", "batch", "patch")]
    for (model, input_, scale), found in sorted(groups.items()):
        channels = sizes.channels(found[0].sensors)
        rows.append((model, input_, scale, f"{len(found):,}", f"{channels}", *_model_cells(found, channels)))
    folds = [fold for fold in dag.folds if fold != "all"]
    refit = " and one trained once more on everything" if "all" in dag.folds else ""
    head = (
        f"Models: {counted(len(members), 'member')} of {counted(len(dag.recipe.classes), 'class', 'classes')}, "
        f"{counted(len(members) * len(dag.folds), 'checkpoint')}: {counted(len(folds), 'fold')} each{refit}"
    )
    return [head, *table(rows, left=3)]


def _model_cells(members: Iterable[MemberRecipe], channels: int) -> tuple[str, str, str, str]:
    def span(values: Iterable[int]) -> str:
        found = sorted(set(values))
        return f"{found[0]:,}" + (f"-{found[-1]:,}" if len(found) > 1 else "")

    found = list(members)
    if not found[0].is_network:
        return "-", "-", "-", "-"
    steps, batch, patch = (span(int(m.training[key]) for m in found) for key in ("steps", "batch", "patch"))
    return f"{network_parameters(found[0].model, channels):,}", steps, batch, patch


def job_lines(dag: Dag, disk: Disk) -> list[str]:
    """Jobs and artifacts by stage, and how much of them is there."""
    rows = [("stage", "jobs", "done", "artifacts", "there", "disk", "there")]
    jobs = done = 0
    for stage, paths in dag.outputs().items():
        if not paths:
            continue
        ended = sum((dag.results / path).exists() for path in paths)
        jobs, done = jobs + len(paths), done + ended
        own = disk.stages.get(stage)
        cells = (
            ("-",) * 4
            if own is None
            else (f"{own.items:,}", f"{own.found:,}", gigabytes(own.total), gigabytes(own.there))
        )
        rows.append((stage, f"{len(paths):,}", f"{ended:,}", *cells))
    items, found = (sum(getattr(own, key) for own in disk.stages.values()) for key in ("items", "found"))
    rows.append(
        ("all", f"{jobs:,}", f"{done:,}", f"{items:,}", f"{found:,}", gigabytes(disk.total), gigabytes(disk.there))
    )
    return [f"Jobs: {jobs:,} of {counted(len(rows) - 2, 'stage')}", *table(rows)]


def disk_lines(disk: Disk, store: Store) -> list[str]:
    """Space that is needed and free."""
    needed, free = max(0.0, disk.total - disk.there), room(store.root)
    how = f"by {counted(disk.learnt, 'artifact')} that are there" if disk.learnt else "by built-in constants"
    lines = [
        f"Disk: {gigabytes(disk.total)}, {how}; the report's pictures come on top",
        f"  {gigabytes(disk.there)} are there, {gigabytes(needed)} to come, {gigabytes(free)} free in {store.root}",
    ]
    if needed > free:
        lines.append(
            f"  WARNING: {gigabytes(needed - free)} are lacking: name a folder on a larger disk with the key `results` "
            "or RASTERLOOM_STORE"
        )
    return lines


# Time -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Hours:
    """Seconds of a device for some work, in all and of what is not done; None: no rate is known."""

    total: float | None
    left: float | None

    def words(self) -> str:
        """Both in words."""
        if self.total is None or self.left is None:
            return "not known"
        left = "all to do" if self.left == self.total else f"{duration(self.left)} to do" if self.left else "all done"
        return f"{duration(self.total)} ({left})"


def time_lines(dag: Dag, sizes: Sizes, rates: Sequence[Rates]) -> list[str]:
    """Device-hours of training and prediction."""
    lines = ["Time of one device:"]
    for own in rates:
        training, prediction = training_hours(dag, sizes, own), prediction_hours(dag, sizes, own)
        lines += [
            f"  {own.hardware}: {own.origin}",
            f"    training {training.words()}, prediction {prediction.words()}",
        ]
    pixel = pixel_seconds(dag, sizes)
    if pixel:
        lines.append(f"  models per pixel: {duration(pixel)} of a core in all")
    if networks(dag) and not any(own.gpu for own in rates):
        lines.append("  GPU-hours are not known: no GPU has worked for this store. On a machine with one, run")
        lines.append("  `rasterloom plan --measure`")
    return lines


def networks(dag: Dag) -> list[MemberRecipe]:
    """The members that are networks."""
    return [member for member in dag.recipe.members.values() if member.is_network]


def training_hours(dag: Dag, sizes: Sizes, rates: Rates) -> Hours:
    """Device time of all checkpoints of networks."""
    total = left = 0.0
    for member in networks(dag):
        seconds = training_seconds(member, sizes, rates)
        if seconds is None:
            return Hours(None, None)
        missing = sum(not (dag.results / f"models/{member.name}/{fold}.json").exists() for fold in dag.folds)
        total, left = total + seconds * len(dag.folds), left + seconds * missing
    return Hours(total, left)


def training_seconds(member: MemberRecipe, sizes: Sizes, rates: Rates) -> float | None:
    """Device time of one checkpoint of a network."""
    training = member.training
    pixels = int(training["steps"]) * int(training["batch"]) * int(training["patch"]) ** 2
    each = intensity(member, sizes)
    return rates.seconds("training", str(training["precision"]), each, each * pixels)


def prediction_hours(dag: Dag, sizes: Sizes, rates: Rates) -> Hours:
    """Device time of the predictions of networks."""
    total = left = 0.0
    for member in networks(dag):
        for batch, scenes in dag.batches.items():
            done = (dag.results / f"predictions/{member.name}/{batch}.json").exists()
            for scene in scenes:
                seconds = prediction_seconds(dag, member, scene, sizes, rates)
                if seconds is None:
                    return Hours(None, None)
                total, left = total + seconds, left + seconds * (not done)
    return Hours(total, left)


def prediction_seconds(dag: Dag, member: MemberRecipe, scene: str, sizes: Sizes, rates: Rates) -> float | None:
    """Device time of the prediction of one scene by a network."""
    prediction, channels = member.prediction, sizes.channels(member.sensors)
    window = int(prediction["window"])
    one = multiply_adds(member.model, channels, window, window)
    passes = forward_passes(prediction, *sizes.shape(member.scale, scene)) * checkpoints(dag, member, scene)
    return rates.seconds("prediction", str(prediction["precision"]), one / window**2, one * passes)


def checkpoints(dag: Dag, member: MemberRecipe, scene: str) -> int:
    """How many checkpoints predict a scene: the one that it was held out from, or those for new scenes."""
    if scene in dag.labelled(dag.recipe.group_of(member.name)) or "all" in dag.folds:
        return 1
    return len(dag.folds)


def pixel_seconds(dag: Dag, sizes: Sizes) -> float:
    """Seconds of a core for forests and linear regressions, training and prediction."""
    total = 0.0
    for member in dag.recipe.members.values():
        if member.is_network:
            continue
        train, predict = PIXEL_SECONDS[member.model["kind"]]
        size = int(member.model.get("trees", 1)) * int(member.model.get("max_depth", 1))
        pixels = sum(prod(sizes.shape(member.scale, s)) * checkpoints(dag, member, s) for s in dag.predicted)
        total += size * (train * int(member.model["samples"]) * len(dag.folds) + predict * pixels)
    return total


# One scene more ---------------------------------------------------------------------------------------------


def scene_lines(dag: Dag, sizes: Sizes, disk: Disk, rates: Sequence[Rates]) -> list[str]:
    """What one scene more would cost and retrain."""
    members, classes = len(dag.recipe.members), len(dag.recipe.classes)
    size = sum(disk.stages[stage].total for stage in NEW_SCENE if stage in disk.stages) / max(1, len(dag.predicted))
    times = [
        f"  {duration(hours.total / len(dag.predicted))} of prediction on {own.hardware}"
        for own in rates
        if (hours := prediction_hours(dag, sizes, own)).total is not None
    ]
    parts = [
        counted(len(dag.scale_sensors), "stack"),
        counted(members, "prediction"),
        counted(classes, "set") + " of polygons",
        gigabytes(size),
    ]
    return ["One scene more to predict: " + ", ".join(parts), *times, *retrained(dag)]


def retrained(dag: Dag) -> list[str]:
    """What new scenes would train again, by the configuration's `statistics`."""
    count = counted(len(dag.recipe.members) * len(dag.folds), "checkpoint")
    choice = dag.config.statistics
    if choice == "all":
        return [
            "  WARNING: `statistics: all`: any new image in the data set changes the normalisation. It trains",
            f"  all {count} and predicts all scenes again. With `statistics: train` a new scene to predict",
            "  retrains nothing.",
        ]
    why = "`statistics: train`" if choice == "train" else "`statistics` names the scenes that it is made of"
    labelled = (
        f"all {count} again: it changes the normalisation and the split"
        if choice == "train"
        else "the members of every class that it is labelled for again: it changes their split"
    )
    return [f"  It retrains nothing ({why}).", f"One labelled scene more trains {labelled}."]
