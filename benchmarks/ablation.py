"""What registration is worth: generated scenes with it and without, Jaccard by class side by side.

A data set for each seed (as `make demo` writes it, whose sensors are off by known shifts) goes through the workflow
twice, once as the preset is and once with `registration: none` for every sensor but the reference; everything else is
equal, and what does not depend on it is computed once, in a store that all runs share.

    python benchmarks/ablation.py --work FOLDER                       three seeds, half an hour on two cores
    python benchmarks/ablation.py --work FOLDER --preset tiny --train 4 --test 2 --size 256 --seeds 1      to try it

A run that was stopped goes on where it was, and one that is finished is read.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

ROOT = Path(__file__).resolve().parent.parent
REPOSITORY = ("Snakefile", "config.yaml", "workflow", "presets", "envs", "profiles")
"""What Snakemake reads, linked into the work folder, so that its records and the results lie there."""
PARTS = ("held-out", "out-of-fold")

Scores = dict[tuple[str, str], float | None]
"""(part, class) -> Jaccard pooled over scenes; None where there is neither truth nor prediction."""


def main() -> None:
    """Run what is missing and print the tables."""
    options = arguments()
    folder = options.work.resolve()
    prepare(folder)
    found: dict[tuple[int, bool], Scores] = {}
    for seed in options.seeds:
        write_scenes(folder, seed, options)
        for registered in (True, False):
            found[seed, registered] = run(folder, seed, registered, options)
    for part in PARTS:
        print(f"\n{part} scenes: Jaccard with registration / without (difference)\n")
        print(*table(found, part), sep="\n")


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder of data, results and store")
    parser.add_argument("--seeds", default="1,2,3", help="of the data sets (default: %(default)s)")
    parser.add_argument("--preset", default="demo", help="a file below presets/ (default: %(default)s)")
    parser.add_argument("--train", type=int, default=10, help="labelled scenes (default: %(default)s)")
    parser.add_argument("--test", type=int, default=3, help="scenes held out (default: %(default)s)")
    parser.add_argument("--size", default="512", help="of the scenes, pixels (default: %(default)s)")
    parser.add_argument("--cores", default="all", help="for Snakemake (default: %(default)s)")
    options = parser.parse_args()
    if not (ROOT / "presets" / f"{options.preset}.yaml").is_file():
        parser.error(f"--preset {options.preset} given, but there is no presets/{options.preset}.yaml")
    try:
        options.seeds = [int(text) for text in options.seeds.split(",")]
    except ValueError:
        parser.error(f"--seeds {options.seeds} given; needed: whole numbers, for example 1,2,3")
    return options


def prepare(folder: Path) -> None:
    """The work folder, with the repository's files."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in REPOSITORY:
        link = folder / name
        if not link.is_symlink():
            link.symlink_to(ROOT / name)


def write_scenes(folder: Path, seed: int, options: argparse.Namespace) -> None:
    """The data set of a seed; nothing is done if it is there."""
    counts = ["--train", str(options.train), "--test", str(options.test)]
    shell(folder, ["rasterloom", "scenes", f"data/{seed}", *counts, "--size", options.size, "--seed", str(seed)])


def overlay(seed: int, registered: bool, sensors: Mapping[str, Any]) -> dict[str, Any]:
    """What a run's configuration has over the preset's."""
    root = f"data/{seed}"
    found: dict[str, Any] = {
        "results": results(seed, registered),
        "dataset": {"root": root, "truth": f"{root}/truth_wkt.csv"},
    }
    if not registered:
        found["sensors"] = {n: {"registration": "none"} for n, s in sensors.items() if not s.get("reference")}
    return found


def results(seed: int, registered: bool) -> str:
    """The results folder of a run, below the work folder."""
    return f"results-{seed}-{'with' if registered else 'without'}"


def run(folder: Path, seed: int, registered: bool, options: argparse.Namespace) -> Scores:
    """Run the workflow up to its scores, which takes seconds if they are there, and read them."""
    sensors = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))["sensors"]
    name = results(seed, registered)
    config = folder / f"{name}.yaml"
    config.write_text(yaml.safe_dump(overlay(seed, registered, sensors)), encoding="utf-8")
    files = [f"presets/{options.preset}.yaml", config.name]
    print(f"{name}: seed {seed}, {'with' if registered else 'without'} registration", file=sys.stderr, flush=True)
    shell(folder, ["snakemake", f"{name}/score.tsv", "--cores", options.cores, "--configfile", *files])
    return read_scores(folder / name / "score.tsv")


def shell(folder: Path, command: list[str]) -> None:
    """Run a module in the work folder; what it writes goes to standard error, and its failure ends everything."""
    environment = os.environ | {"RASTERLOOM_STORE": str(folder / "store")}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT / "workflow"), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run([sys.executable, "-m", *command], cwd=folder, env=environment, stdout=sys.stderr, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}: see above; the same command goes on from there")


def read_scores(path: Path) -> Scores:
    """Pooled Jaccard by part and class, their mean as class ``mean``."""
    with path.open(encoding="utf-8", newline="") as stream:
        rows = [row for row in csv.DictReader(stream, delimiter="\t") if row["scene"] == "all"]
    return {(row["part"], row["class"]): float(row["jaccard"]) if row["jaccard"] else None for row in rows}


def table(found: Mapping[tuple[int, bool], Scores], part: str) -> Iterator[str]:
    """A Markdown table of a part: one row per class, one column per seed, means over seeds, range of the difference."""
    seeds = list(dict.fromkeys(seed for seed, _ in found))
    classes = list(dict.fromkeys(name for scores in found.values() for where, name in scores if where == part))
    yield f"| class | {' | '.join(f'seed {seed}' for seed in seeds)} | mean | difference, range |"
    yield f"|---|{'---|' * len(seeds)}---|---|"
    for name in classes:
        pairs = [(found[seed, True].get((part, name)), found[seed, False].get((part, name))) for seed in seeds]
        known = np.array([pair for pair in pairs if None not in pair], dtype=float).reshape(-1, 2)
        cells = [cell(*pair) for pair in pairs]
        if len(known):
            apart = known[:, 0] - known[:, 1]
            with_it, without = known.mean(axis=0)
            cells += [cell(with_it, without), f"{apart.mean():+.3f}, {apart.min():+.3f} to {apart.max():+.3f}"]
        else:
            cells += ["", ""]
        yield f"| {name} | {' | '.join(cells)} |"


def cell(with_it: float | None, without: float | None) -> str:
    """Both scores and their difference; a dash where there is neither truth nor prediction."""
    shown = [f"{score:.3f}" if score is not None else "-" for score in (with_it, without)]
    apart = f" ({with_it - without:+.3f})" if with_it is not None and without is not None else ""
    return f"{shown[0]} / {shown[1]}{apart}"


if __name__ == "__main__":
    main()
