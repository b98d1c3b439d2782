"""How fast networks compute, by records of the store and a benchmark on this machine; and how much they have to do."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from rasterloom.config.model import Prediction, TrainingConfig
from rasterloom.config.recipe import MemberRecipe
from rasterloom.learning.batches import Batch
from rasterloom.learning.cost import Speed, Work, forward_passes, speed_of
from rasterloom.learning.device import computing, hardware_name, keep_memory, pick_device
from rasterloom.learning.inference import mean_forward
from rasterloom.learning.networks import parameters
from rasterloom.planning.graph import Dag
from rasterloom.planning.sizes import Sizes
from rasterloom.store.digest import digest
from rasterloom.store.files import sound_json, write_json
from rasterloom.store.store import Store, read_record

RECORDS = 300
"""Records of a stage that are read at most, evenly spread over its keys."""

BENCHMARK_SECONDS = 10.0
"""Time after which the benchmark of a network's training, or of its prediction, stops; it takes at least 3 steps."""

START_MINUTES = 20
"""What a job of a network is given beside its work: to begin, to read, to look at validation scenes."""

Kind = tuple[str, str, int | None]
"""What a rate holds for: training or prediction, the precision, and the parameters that tell a network from others."""


def known_rates(store: Store) -> dict[str, dict[Kind, float]]:
    """Seconds per pixel by device and kind of work; where the store has a record, the benchmark does not count.

    Notes
    -----
    Reads at most `RECORDS` records per stage.
    """
    benchmarks = [(sound_json(path) or {}).get("speeds", []) for path in (store.root / "rates").glob("*.json")]
    rates: dict[str, dict[Kind, float]] = {}
    for entries in ([entry for found in benchmarks for entry in found], _recorded(store)):
        sums: dict[tuple[str, Kind], tuple[float, float]] = {}
        for speed in filter(None, map(_speed, entries)):
            key = speed.hardware, (speed.work, speed.precision, speed.parameters)
            seconds, pixels = sums.get(key, (0.0, 0.0))
            sums[key] = seconds + speed.seconds, pixels + speed.pixels
        for (hardware, kind), (seconds, pixels) in sums.items():
            rates.setdefault(hardware, {})[kind] = seconds / pixels
    return rates


def _recorded(store: Store) -> Iterator[Any]:
    """The speeds that records of trainings and predictions hold; None where a record holds none."""
    for stage in ("train", "predict"):
        paths = sorted((store.root / stage).glob("*.json"))
        for path in paths[:: len(paths) // RECORDS + 1]:
            yield (read_record(path) or {}).get("cost", {}).get("network")


def _speed(entry: Any) -> Speed | None:
    """A speed as JSON holds it; None if it says nothing, or comes from another version."""
    try:
        speed = Speed(**entry)
    except TypeError:
        return None
    return speed if speed.pixels > 0 and speed.seconds > 0 else None


def benchmark(store: Store, networks: Iterable[tuple[MemberRecipe, int]], say: Callable[[str], None]) -> list[Speed]:
    """Time training steps and forward passes of networks on this machine, and keep the rates in the store.

    Parameters
    ----------
    store : where they are kept, in ``rates/``; the next plan reads them there
    networks : members, each with its number of channels
    say : called with a line of text

    Notes
    -----
    Takes a GPU if there is one, and waits while others hold it. Numbers are random: speed does not depend on them.
    """
    keep_memory()
    found: list[Speed] = []
    say("benchmark: waiting for a free GPU, if this machine has any")
    with pick_device() as device:
        for member, channels in networks:
            for work, side, step in _steps(member, channels, device):
                settings = getattr(member, work)
                name = hardware_name(device, int(settings["threads"]))
                say(f"benchmark: {work} of the network of {member.name} on {name}")
                with computing(int(settings["threads"])):
                    seconds = _timed(step)
                precision, batch = settings["precision"], int(settings["batch"])
                found.append(speed_of(work, name, precision, seconds, member.model, channels, side, batch))
    write_rates(store, found)
    return found


def write_rates(store: Store, speeds: Iterable[Speed]) -> Path:
    """Keep speeds where `known_rates` finds them; the path of the file."""
    entries = [asdict(speed) for speed in speeds]
    path = store.root / "rates" / f"{digest(entries)[:32]}.json"
    write_json(path, {"speeds": entries})
    return path


def _steps(member: MemberRecipe, channels: int, device: str) -> Iterator[tuple[Work, int, Callable[[], Any]]]:
    """Of training and of prediction: the side of an image, and a function that computes one batch of images."""
    from rasterloom.learning.networks.layers import folded
    from rasterloom.learning.training import Trainer

    rng, window = np.random.default_rng(0), int(member.prediction["window"])
    recipe = TrainingConfig.model_validate({**member.training, "steps": 1})
    trainer = Trainer(recipe, member.model, channels, device)
    images = rng.standard_normal((recipe.batch, channels, recipe.patch, recipe.patch), dtype=np.float32)
    target = (images[:, 0] > 0).astype(np.float32)
    tensors = trainer.tensors(Batch(images, target, np.ones_like(target)))

    def train() -> float:
        trainer.step = 0
        trainer.advance(*tensors)
        return float(trainer.history[0, 0])  # waits for the device

    yield "training", recipe.patch, train
    once = Prediction.model_validate({**member.prediction, "symmetries": False})
    forward = mean_forward([folded(trainer.network.eval())], once, device)
    windows = rng.standard_normal((int(member.prediction["batch"]), channels, window, window), dtype=np.float32)
    yield "prediction", window, partial(forward, windows)


def _timed(step: Callable[[], Any]) -> float:
    """Seconds of the fastest of several steps, after one that warms up: other programs disturb that one least."""
    step()
    times: list[float] = []
    while len(times) < 3 or sum(times) < BENCHMARK_SECONDS:
        started = time.monotonic()
        step()
        times.append(time.monotonic() - started)
    return min(times)


@dataclass(frozen=True)
class Task:
    """Work of a network for one output: a checkpoint, or the prediction of one scene of a batch."""

    member: str
    output: str
    kind: Kind
    pixels: int
    done: bool


def tasks(dag: Dag, sizes: Sizes, members: Mapping[str, MemberRecipe] | None = None) -> Iterator[Task]:
    """All that networks have to do, those of the recipe or `members` of the same names with other settings."""
    for member in (members or dag.recipe.members).values():
        size = parameters(member.model, sizes.channels(member.sensors))
        if size is None:
            continue
        training, prediction, window = member.training, member.prediction, int(member.prediction["window"])
        pixels = int(training["steps"]) * int(training["batch"]) * int(training["patch"]) ** 2
        for fold in dag.folds:
            output = f"models/{member.name}/{fold}.json"
            done = (dag.results / output).exists()
            yield Task(member.name, output, ("training", training["precision"], size), pixels, done)
        for batch, scenes in dag.batches.items():
            output = f"predictions/{member.name}/{batch}.json"
            done = (dag.results / output).exists()
            for scene in scenes:
                passes = forward_passes(prediction, *sizes.shape(member.scale, scene)) * checkpoints(dag, member, scene)
                kind = "prediction", prediction["precision"], size
                yield Task(member.name, output, kind, passes * window**2, done)


def checkpoints(dag: Dag, member: MemberRecipe, scene: str) -> int:
    """How many checkpoints predict a scene: the one that it was held out from, or those for new scenes."""
    if scene in dag.labelled(dag.recipe.group_of(member.name)) or "all" in dag.folds:
        return 1
    return len(dag.folds)


def job_minutes(dag: Dag, sizes: Sizes, rates: Mapping[str, Mapping[Kind, float]]) -> dict[str, int]:
    """Minutes to ask a cluster for, by the output of a job of a network: twice what the slowest known device takes.

    Parameters
    ----------
    dag : the graph of jobs
    sizes : of its scenes
    rates : see `known_rates`; outputs of a network that none of them knows are left out
    """
    minutes: dict[str, int] = {}
    for task in tasks(dag, sizes):
        if known := [rate[task.kind] for rate in rates.values() if task.kind in rate]:
            minutes[task.output] = minutes.get(task.output, START_MINUTES) + ceil(2 * task.pixels * max(known) / 60)
    return minutes
