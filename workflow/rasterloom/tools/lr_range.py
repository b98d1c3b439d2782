"""Try learning rates on a class: a short training of each of its networks, whose rate rises from step to step.

The loss falls as soon as the rate is large enough, fastest where it is right, and no longer where it is too large (the
range test of Smith, 2015). Suggested is the rate of the steepest descent: where the mean loss of the steps after it is
furthest below that of the steps before. Stacks, masks, folds and statistics of a run must be there; nothing is written.
"""

import argparse
import math
import shlex
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from statistics import fmean

from rasterloom.config import read_configuration
from rasterloom.config.model import TrainingConfig
from rasterloom.errors import InputError
from rasterloom.learning.batches import Batch, make_batch
from rasterloom.learning.device import computing, keep_memory, pick_device
from rasterloom.learning.outputs import Outputs
from rasterloom.learning.prefetch import prefetched
from rasterloom.learning.training import Trainer
from rasterloom.learning.transfer import start_of
from rasterloom.planning.graph import Dag
from rasterloom.stages import job_of
from rasterloom.stages.train import training_scenes, wanted
from rasterloom.store.job import Job
from rasterloom.store.store import Store
from rasterloom.text import nearest, table

HELP = "try learning rates on a class, and suggest one"

SPAN = 1 / 8
"""Share of the steps whose mean loss, before and after a step, says how steeply the loss falls there."""

LATEST = 10
"""Steps whose mean loss says whether the test goes on."""

DIVERGED = 4.0
"""Times the least mean loss at which a test stops."""

FALLS = 0.05
"""Share of the loss before that must be gone in the steepest descent."""

ROWS = 16
"""Lines of the table of a member."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the subcommand."""
    parser.add_argument("--class", dest="class_name", required=True, help="which class")
    parser.add_argument("--member", help="one of its networks; by default all, one after the other")
    parser.add_argument("--configfile", nargs="+", type=Path, default=[], help="laid over config.yaml; later ones win")
    parser.add_argument("--steps", type=int, default=200, help="steps of a test (default: 200)")
    parser.add_argument("--lowest", type=float, default=1e-5, help="the first step's rate (default: 1e-5)")
    parser.add_argument("--highest", type=float, default=1.0, help="the last step's rate (default: 1)")


def main(args: argparse.Namespace) -> None:
    """Test, print a table for each network and a line for the configuration.

    Raises
    ------
    InputError
        If there is no such class or network, options do not fit, or what a training reads is missing.
    """
    if not (0 < args.lowest < args.highest and args.steps >= LATEST):
        raise InputError(
            f"--lowest {args.lowest:g}, --highest {args.highest:g} and --steps {args.steps} were given: rates above 0, "
            f"the lowest below the highest, and at least {LATEST} steps are needed"
        )
    dag = Dag.load(read_configuration(args.configfile))
    over = shlex.join(["--configfile", *map(str, args.configfile)]) if args.configfile else ""
    tried = rates(args.steps, args.lowest, args.highest)
    name, found = args.class_name, list[float]()
    for member in networks(dag, name, args.member):
        job = job_of_member(dag, member, over)
        losses = range_test(job, tried)
        print("\n".join([f"{member}, fold {job.spec['fold']}", *lines(tried, losses)]))
        rate = suggestion(tried, losses)
        if rate is None:
            print("  no suggestion: the loss does not fall, or fastest at the end; try other rates, or more steps")
        else:
            print(f"  suggested, where the loss falls fastest:  learning_rate: {rate:.1e}")
            found.append(rate)
    if found:
        classes = dag.recipe.classes
        sharing = [other for other, own in classes.items() if {*own.members} & {*classes[name].members}]
        entries = ", ".join(f"{other}: {{training: {{learning_rate: {min(found):.1e}}}}}" for other in sharing)
        print(f"for the configuration:\nclasses: {{{entries}}}")


def networks(dag: Dag, class_name: str, member: str | None) -> list[str]:
    """The networks of a class, or the one that is named; InputError if there are none."""
    classes, members = dag.recipe.classes, dag.recipe.members
    if class_name not in classes:
        raise InputError(f"--class {class_name}: the configuration has no such class; {nearest(class_name, classes)}")
    found = [name for name in classes[class_name].members if members[name].is_network]
    if not found:
        raise InputError(f"class {class_name} has no network: models per pixel have no learning rate")
    if member is not None and member not in found:
        raise InputError(f"--member {member}: class {class_name} has no such network; {nearest(member, found)}")
    return found if member is None else [member]


def job_of_member(dag: Dag, member: str, options: str = "") -> Job:
    """The training of a member on its first fold; InputError, with Snakemake's `options`, if its inputs are missing."""
    names = {"member": member, "fold": dag.folds[0]}
    inputs = dag.inputs("train", **names)
    missing = [path for path in inputs if not Path(path).is_file()]
    if missing:
        others = (f"{dag.results}/models/", f"{dag.results}/predictions/")  # of other members
        first = [path for path in missing if path.startswith(others)]
        targets = first or ["--until stack mask split normalisation"]
        made_by = " ".join(filter(None, ["snakemake --cores all", *targets, options]))
        raise InputError(
            f"{member}: {len(missing)} of the {len(inputs)} results that its training reads are missing, such as "
            f"{missing[0]}: make them first, by `{made_by}`"
        )
    return job_of(dag.spec("train", **names), dag.sources("train", **names), dag.results, Store.of(dag.results))


def rates(steps: int, lowest: float, highest: float) -> list[float]:
    """The rate of each step, each by the same factor larger than the one before."""
    return [lowest * (highest / lowest) ** (step / (steps - 1)) for step in range(steps)]


def range_test(job: Job, rates: Sequence[float]) -> list[float]:
    """The loss of each step of a training of a job's network on its scenes; see `try_rates`."""
    keep_memory()
    recipe = TrainingConfig.model_validate({**job.spec["training"], "steps": len(rates)})
    with ExitStack() as held, pick_device() as device, computing(recipe.threads):
        (want,) = wanted(job)
        scenes, *_ = training_scenes(job, held, want)
        own, outputs = scenes[0].normalisation, Outputs.of(job.spec)
        start = start_of(job, own.planes)
        trainer = Trainer(recipe, job.spec["model"], len(own.mean), device, start=start, outputs=outputs)
        return try_rates(
            trainer,
            lambda step: make_batch(scenes, recipe, step),
            rates,
            lambda step, loss: job.progress(step, recipe.steps, f"{job.spec['member']}: loss {loss:.4f}"),
        )


def try_rates(
    trainer: Trainer,
    batch_of: Callable[[int], Batch],
    rates: Sequence[float],
    report: Callable[[int, float], None] = lambda step, loss: None,
) -> list[float]:
    """Train with one rate after the other, until the loss has grown too large.

    Parameters
    ----------
    trainer : a new one, with as many steps as there are rates.
    batch_of : the batch of a step.
    rates : of each step.
    report : called with the number of steps and the mean loss of the latest.

    Returns
    -------
    The loss of each step; shorter than `rates` if it stopped.
    """
    trainer.rate_of = rates.__getitem__
    losses, least = list[float](), math.inf
    for tensors in prefetched(lambda step: trainer.tensors(batch_of(step)), range(len(rates))):
        trainer.advance(*tensors)
        loss = float(trainer.history[len(losses), 0])
        if not math.isfinite(loss):
            break
        losses.append(loss)
        mean = fmean(losses[-LATEST:])
        least = min(least, mean)
        report(len(losses), mean)
        if mean > DIVERGED * least:
            break
    return losses


def suggestion(rates: Sequence[float], losses: Sequence[float]) -> float | None:
    """The rate at which the loss falls fastest; None if it does not fall, or fastest at the end.

    Examples
    --------
    >>> falling = [0.7] * 20 + [0.5] * 20 + [0.4] * 20
    >>> suggestion([10.0 ** (-step / 10) for step in range(60, 0, -1)], falling)
    0.0001
    """
    span = max(1, round(SPAN * len(rates)))
    before = [fmean(losses[step - span : step]) for step in range(span, len(losses) - span + 1)]
    drops = [one - fmean(losses[step : step + span]) for step, one in enumerate(before, span)]
    steepest = max(range(len(drops)), key=drops.__getitem__, default=0)
    if not drops or drops[steepest] < FALLS * before[steepest] or steepest == len(drops) - 1:
        return None
    return rates[steepest + span]


def lines(rates: Sequence[float], losses: Sequence[float]) -> list[str]:
    """A table of rates and the mean losses around them, one for each of `ROWS` parts of the steps, with bars."""
    edges = [round(len(rates) * row / ROWS) for row in range(ROWS + 1)]
    parts = [(rates[(low + high) // 2], fmean(losses[low:high])) for low, high in pairwise(edges) if losses[low:high]]
    most = max((loss for _, loss in parts), default=1.0)
    bars = [[f"{rate:.1e}", f"{loss:.4f}", "#" * round(40 * loss / most)] for rate, loss in parts]
    return table([["rate", "loss", ""], *bars], right=[0, 1])
