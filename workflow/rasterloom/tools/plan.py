"""Estimate models, jobs, disk and hours of the configuration, or list what is out of date.

Opens no pixels and computes nothing. Hours follow from rates that the store has recorded, or from those of an earlier
--benchmark on this machine; where there is neither, they are unknown.
"""

import argparse
import os
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import get_args

from rasterloom.config import read_configuration
from rasterloom.config.model import PredictionConfig
from rasterloom.config.recipe import MemberRecipe
from rasterloom.config.resolve import with_quality
from rasterloom.grouping import grouped
from rasterloom.learning.cost import Work
from rasterloom.learning.networks import parameters
from rasterloom.planning.disk import Space, room, space
from rasterloom.planning.graph import Dag
from rasterloom.planning.rates import Kind, Task, benchmark, known_rates, tasks
from rasterloom.planning.sizes import Sizes, read_sizes
from rasterloom.planning.stale import main_stale
from rasterloom.stages import recomputed
from rasterloom.store.files import sound_json
from rasterloom.store.manifest import Manifest
from rasterloom.store.store import Store
from rasterloom.text import counted, duration, gigabytes, span, table

HELP = "estimate models, jobs, disk and hours; list what is out of date"

SETTINGS = ("steps", "batch", "patch")
"""Settings of trainings that are shown."""

WINDOWS = ("window", "stride", "symmetries")
"""Settings of prediction that a quality gives where the configuration does not."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the subcommand."""
    parser.add_argument("--configfile", nargs="+", type=Path, default=[], help="laid over config.yaml; later ones win")
    parser.add_argument("--benchmark", action="store_true", help="first time each network here, and keep the rates")
    parser.add_argument(
        "--stale", action="store_true", help="instead list the artifacts that a run would compute, and why"
    )


def main(args: argparse.Namespace) -> None:
    """Print the plan."""
    merged = read_configuration(args.configfile)
    dag = Dag.load(merged)
    store = Store.of(dag.results, recomputed())
    if args.stale:
        main_stale(dag, store, merged)
        return
    sizes = read_sizes(dag)
    dag.divide(store, os.cpu_count() or 1)
    if args.benchmark:
        benchmark(store, networks(dag, sizes), lambda text: print(text, file=sys.stderr, flush=True))
    stages = space(dag, sizes, store)
    sections = (
        data_lines(dag, sizes),
        model_lines(dag, sizes),
        job_lines(dag, stages),
        disk_lines(stages["all"], store),
        time_lines(dag, sizes, known_rates(store)),
        split_lines(dag, store),
        retrained(dag),
    )
    print("\n\n".join("\n".join(section) for section in sections if section))


def networks(dag: Dag, sizes: Sizes) -> list[tuple[MemberRecipe, int]]:
    """A member, with its channels, for each kind of network."""
    found = {}
    for member in dag.recipe.members.values():
        channels = sizes.channels(member.sensors)
        if size := parameters(member.model, channels):
            found[size, member.training["precision"], member.prediction["precision"]] = member, channels
    return list(found.values())


# Sections ---------------------------------------------------------------------------------------------------


def data_lines(dag: Dag, sizes: Sizes) -> list[str]:
    """Scenes, sensors, channels, sizes."""
    dataset, scenes = dag.config.dataset, dag.dataset.scenes
    roles = Counter(scene.role for scene in scenes.values())
    truth = sum(scene.truth for scene in scenes.values())
    held = f" ({truth:,} with held-out truth)" if truth else ""
    alone = len(dag.registered) - len(dag.predicted)
    other = f", {alone:,} in the statistics alone" if alone else ""
    rows, columns = (sum(sizes.reference[s][axis] for s in dag.predicted) // len(dag.predicted) for axis in (0, 1))
    return [
        f"Data: {dataset.root or dataset.table}, layout {dataset.layout}",
        f"  {roles['train']:,} labelled, {roles['predict']:,} to predict{held}{other}",
        f"  channels: {', '.join(f'{s} {n}' for s, n in sizes.bands.items())}: {sum(sizes.bands.values())} in all",
        f"  {columns:,} x {rows:,} pixels of {dag.reference} per scene on average, by one header and bytes of files",
    ]


def model_lines(dag: Dag, sizes: Sizes) -> list[str]:
    """Members by model, input and scale, with their checkpoints."""
    members = dag.recipe.members.values()
    groups = grouped((tuple(member.name.rsplit("-", 3)[1:]), member) for member in members)
    rows = [("model", "input", "scale", "members", "channels", "parameters", *SETTINGS)]
    for names, found in sorted(groups.items()):
        channels = sizes.channels(found[0].sensors)
        size = parameters(found[0].model, channels)
        trained = [member.training for member in found] if size else []
        spans = (span([own[key] for own in trained], "{:,}".format, "-") if trained else "-" for key in SETTINGS)
        rows.append((*names, f"{len(found):,}", f"{channels}", f"{size:,}" if size else "-", *spans))  # type: ignore[arg-type]
    folds = [fold for fold in dag.folds if fold != "all"]
    refit = " and one trained once more on everything" if "all" in dag.folds else ""
    head = (
        f"Models: {counted(len(members), 'member')} of {counted(len(dag.recipe.classes), 'class', 'classes')}, "
        f"{counted(len(members) * len(dag.folds), 'checkpoint')}: {counted(len(folds), 'fold')} each{refit}"
    )
    return [head, *table(rows, right=range(3, 9))]


def job_lines(dag: Dag, stages: Mapping[str, Space]) -> list[str]:
    """Jobs and artifacts by stage, and how many of them are there."""
    counts: dict[str, tuple[int, int]] = {}
    for stage, found in dag.outputs().items():
        left = {dag.declared.get(path, path) for path in found if not (dag.results / path).exists()}
        jobs = {dag.declared.get(path, path) for path in found}
        counts |= {stage: (len(jobs), len(jobs - left))} if jobs else {}
    total = sum(count for count, _ in counts.values())
    rows = [("stage", "jobs", "done", "artifacts", "there", "disk", "there")]
    for stage, (count, done) in {**counts, "all": (total, sum(done for _, done in counts.values()))}.items():
        own = stages.get(stage)
        cells = (f"{own.items:,}", f"{own.found:,}", gigabytes(own.total), gigabytes(own.there)) if own else ("-",) * 4
        rows.append((stage, f"{count:,}", f"{done:,}", *cells))
    known = {stage: f" of {duration(60 * time / dag.counts[stage])}" for stage, time in dag.minutes.items()}
    said = ", ".join(f"{stage} {count}{known.get(stage, '')}" for stage, count in dag.counts.items())
    batches = [f"  batches of scenes: {said}"] if said else []
    return [f"Jobs: {total:,} of {counted(len(counts), 'stage')}", *table(rows, right=range(1, 7)), *batches]


def disk_lines(own: Space, store: Store) -> list[str]:
    """Space that all stages need, and that is free."""
    left, free = own.total - own.there, room(store.root)
    how = f"by {counted(own.found, 'artifact')} that are there" if own.found else "by built-in constants"
    lines = [
        f"Disk: {gigabytes(own.total)}, {how}; tables, GeoPackages and pictures come on top",
        f"  {gigabytes(own.there)} are there, {gigabytes(left)} to come, {gigabytes(free)} free in {store.root}",
    ]
    if left > free:
        remedy = "name a folder on a larger disk with the key `results` or RASTERLOOM_STORE"
        lines.append(f"  WARNING: {gigabytes(left - free)} too little disk space: {remedy}")
    return lines


def time_lines(dag: Dag, sizes: Sizes, rates: Mapping[str, Mapping[Kind, float]]) -> list[str]:
    """Device-hours of training and prediction, of what is to be done and in all."""
    found = list(tasks(dag, sizes))
    if not found:
        return ["Time: no member is a network, which would take nearly all of it"]
    lines = ["Time of networks on one device:"]
    for hardware, known in rates.items():
        lines.append(f"  {hardware}: training {hours(found, 'training', known)}")
        lines.append(f"  {' ' * len(hardware)}  prediction {hours(found, 'prediction', known)}")
        lines += quality_lines(dag, sizes, known)
    lacking = {task.member for task in found if not any(task.kind in known for known in rates.values())}
    if lacking:
        lines += [
            f"  unknown for {counted(len(lacking), 'member')}: the store has no record of such a network;",
            "  `rasterloom plan --benchmark` times it on this machine",
        ]
    return lines


def quality_lines(dag: Dag, sizes: Sizes, known: Mapping[Kind, float]) -> list[str]:
    """What all predictions would take with each quality, where that makes a difference and rates are known."""
    times = {}
    for quality in get_args(PredictionConfig.model_fields["quality"].annotation):
        found = [t for t in tasks(dag, sizes, with_quality(dag.config, quality).members) if t.kind[0] == "prediction"]
        times[quality] = sum(task.pixels * known[task.kind] for task in found if task.kind in known)
    if not any(times.values()):
        return []
    said = ", ".join(f"{quality} {duration(time)}" for quality, time in times.items())
    layers = [dag.config.defaults.prediction]
    for entry in dag.config.classes.values():
        layers += [entry.prediction, *(member.prediction for member in entry.members)]
    given = [f"`{key}`" for key in WINDOWS if any(getattr(layer, key) is not None for layer in layers)]
    fixed = f"; {', '.join(given)} of the configuration take precedence" if given else ""
    return [f"    by `quality`: {said}{fixed}"]


def hours(found: Iterable[Task], work: Work, known: Mapping[Kind, float]) -> str:
    """Time of some work in words, to do and in all, by the seconds per pixel of a device."""
    own = [task for task in found if task.kind[0] == work]
    sure = [task for task in own if task.kind in known]
    if not sure:
        return "unknown"
    total, left = (sum(t.pixels * known[t.kind] for t in sure if not (t.done and rest)) for rest in (False, True))
    unknown = {task.member for task in own} - {task.member for task in sure}
    more = f", unknown for {counted(len(unknown), 'member')}" if unknown else ""
    return f"{duration(left) if left else 'nothing'} to do of {duration(total)}{more}"


def split_lines(dag: Dag, store: Store) -> list[str]:
    """What an earlier run noted about the division of labelled scenes, such as a class that is not validated."""
    paths = {group: dag.results / f"folds/{group}.json" for group in dag.recipe.groups}
    items = {group: Manifest.read(path).items[group] for group, path in paths.items() if path.exists()}
    notes = {group: (sound_json(store.open_path(item)) or {}).get("note") for group, item in items.items()}
    lines = [f"  {group}: {note}" for group, note in notes.items() if note]
    return ["Splits, as the latest run made them:", *lines] if lines else []


def retrained(dag: Dag) -> list[str]:
    """What new scenes would train again, by the configuration's `statistics` and `normalise_by`."""
    count = counted(len(dag.recipe.members) * len(dag.folds), "checkpoint")
    nothing = "One more scene to predict retrains nothing"
    split = "One more labelled scene retrains every class that it is labelled for: it changes their split."
    if (by := dag.config.normalise_by) != "dataset":
        unless = ", unless it was taken together with a labelled scene" if by == "acquisition" else ""
        return [f"{nothing}{unless} (`normalise_by: {by}`).", split]
    if dag.config.statistics == "train":
        labelled = f"One more labelled scene trains all {count} again: it changes the normalisation and the split."
        return [f"{nothing} (`statistics: train`).", labelled]
    if dag.config.statistics != "all":
        return [f"{nothing} (`statistics` names the scenes that it is made of).", split]
    return [
        "WARNING: `statistics: all`: any new image in the data set changes the normalisation. It trains",
        f"all {count} and predicts all scenes again. `statistics: train` avoids this.",
    ]
