"""List the finished runs of results folders, and compare two: what differs in the recipe, what it changed in the score.

A run is kept when `snakemake` has finished one that was not there: in RESULTS/runs, with its recipe, its scores and
the learning curves of its trainings. The export writes what is not there yet.
"""

import argparse
from pathlib import Path
from typing import Any

from rasterloom.errors import InputError
from rasterloom.report.runs import PARTS, Curve, Run, current_curves, differences, find_run, read_runs, run_curves
from rasterloom.text import NOTHING, brief, counted, duration, number, table

HELP = "list finished runs, compare two, show or export learning curves"

CURVE = ("step", "loss", "jaccard", "validation", "threshold", "learning_rate", "seconds")
"""Columns of a learning curve, as far as they are shown."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the subcommand."""
    parser.add_argument("runs", metavar="RUN", nargs="*", help="the run to compare with the one before it, or two runs")
    parser.add_argument("--results", type=Path, default=Path("results"), help="the results folder (default: results)")
    parser.add_argument("--curves", metavar="MEMBER", help="print the learning curves of a member: now, or in RUN")
    parser.add_argument("--tensorboard", metavar="FOLDER", type=Path, help="export all runs (package tensorboard)")
    parser.add_argument(
        "--mlflow", metavar="URI", help="export all runs (package mlflow): sqlite:///FILE, or the address of a server"
    )


def main(args: argparse.Namespace) -> None:
    """List, compare, show or export.

    Raises
    ------
    InputError
        If a run or a member is not there, or a package is missing.
    StoreError
        If a record is damaged.
    """
    if not args.results.is_dir():
        raise InputError(f"{args.results} is not a folder: name the results folder with --results")
    runs = read_runs(args.results)
    places = [find_run(runs, name) for name in args.runs]
    if args.tensorboard is not None or args.mlflow is not None:
        from rasterloom.tools.runs import export

        curves = {run.name: run_curves(args.results, run) for run in runs}
        if args.tensorboard is not None:
            print(f"{counted(export.to_tensorboard(runs, curves, args.tensorboard), 'run')} exported")
        if args.mlflow is not None:
            print(f"{counted(export.to_mlflow(runs, curves, args.mlflow, args.results), 'run')} exported")
        return
    if args.curves is not None:
        own = run_curves(args.results, runs[places[0]]) if places else current_curves(args.results)
        _print_curves(args.curves, own)
    elif places:
        if len(places) > 2:
            raise InputError(f"{len(places)} runs are given: name one or two")
        if places == [0]:
            raise InputError(f"{runs[0].name} is the first run: name the one to compare it with")
        old, new = places if len(places) == 2 else (places[0] - 1, places[0])
        print(*comparison(runs[old], runs[new]), sep="\n")
    else:
        print(*listing(args.results, runs, current_curves(args.results)), sep="\n")


def listing(results: Path, runs: list[Run], curves: dict[str, Curve]) -> list[str]:
    """Lines: the runs, oldest first, and how far the folder's trainings are."""
    if not runs:
        lines = [f"{results} has no finished run with a score: run `snakemake` there first"]
    else:
        rows = [["run", "finished (UTC)", *PARTS, "training", "what differs from the run before"]]
        for before, run in zip([None, *runs], runs, strict=False):
            means = (number(run.scores[part].get("mean"), 4) for part in PARTS)
            changes = [] if before is None else differences(before, run)
            rows.append([run.name, run.when[:16].replace("T", " "), *means, duration(run.seconds), _changed(changes)])
        lines = [f"Runs in {results}, with the mean Jaccard over classes:", *table(rows, right=range(2, 5))]
    if curves:
        trainings = [(name, *_cells(curve[-1])) for name, curve in curves.items() if curve]
        lines += ["", "Trainings there now, at their last line:"]
        lines += table([("training", *CURVE), *trainings], range(1, 9))
    return lines


def _changed(changes: list[tuple[str, str | None, str | None]]) -> str:
    if not changes:
        return NOTHING
    path, old, new = changes[0]
    more = f"; {len(changes) - 1} more" if len(changes) > 1 else ""
    return f"{path}: {_shown(old)} -> {_shown(new)}{more}"


def _shown(value: str | None) -> str:
    return NOTHING if value is None else brief(value, 40)


def _cells(row: dict[str, Any]) -> list[str]:
    return [number(row.get(name)) for name in CURVE]


def comparison(old: Run, new: Run) -> list[str]:
    """Lines: what differs in the recipe, how many trainings are the same, and the scores of both."""
    changes = [(path, _shown(before), _shown(after)) for path, before, after in differences(old, new)]
    lines = [f"Recipe, {old.name} -> {new.name}:", *(table(changes) if changes else ["  the same"])]
    same = sum(old.trainings.get(name, {}).get("digest") == own["digest"] for name, own in new.trainings.items())
    lines.append(f"Checkpoints: {same} of {len(new.trainings)} are those of {old.name}")
    rows = [("Jaccard", "", old.name, new.name, "difference")]
    for part in PARTS:
        for name in dict.fromkeys([*old.scores[part], *new.scores[part]]):
            before, after = (run.scores[part].get(name) for run in (old, new))
            gain = NOTHING if before is None or after is None else f"{after - before:+.4f}"
            rows.append((part, name, number(before, 4), number(after, 4), gain))
    return [*lines, *table(rows, right=range(2, 5), indent=0)]


def _print_curves(member: str, curves: dict[str, Curve]) -> None:
    found = {name: curve for name, curve in curves.items() if name.split("/")[0] == member}
    if not found:
        members = dict.fromkeys(name.split("/")[0] for name in curves)
        raise InputError(f"there is no learning curve of {member}; there is one of {', '.join(members) or 'none'}")
    for name, curve in found.items():
        print(name, *table([CURVE, *map(_cells, curve)], right=range(9)), sep="\n")
