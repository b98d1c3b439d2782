"""`make bench`: a table of rasterloom beside named alternatives, each pair in one process, in turn.

    python benchmarks/bench.py [--out FILE.md] [--quick]      a quarter of an hour; --quick: small scenes, minutes

A ratio says how many times as long the alternative takes. What is not installed is left out, as each script says. Run
it on an idle machine.
"""

from __future__ import annotations

import argparse
import csv
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

from ratios import TABLE

from rasterloom.learning.device import hardware_name
from rasterloom.store.files import write_text

HERE = Path(__file__).resolve().parent
SCRIPTS = (
    ("precision.py", [], ["--patch", "64", "--rounds", "2"]),
    ("training.py", ["speed"], ["speed", "--rounds", "1", "--patch", "64"]),
    ("prediction.py", ["--side", "1024"], ["--side", "320", "--width", "4", "--rounds", "1"]),
    ("stacking.py", [], ["--size", "400x400", "--rounds", "1"]),
    ("outlines.py", ["--large", "3400"], ["--large", "600"]),
)
"""Each with its arguments, and those of `--quick`."""


def main() -> None:
    """Run the scripts, their output as it comes; then print the table, or write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, metavar="FILE.md", help="where the table goes (default: printed)")
    parser.add_argument("--quick", action="store_true", help="small scenes: whether it runs, not how fast")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder, "ratios.tsv")
        for script, full, quick in SCRIPTS:
            print(f"\n{script}", flush=True)
            command = [sys.executable, str(HERE / script), *(quick if given.quick else full)]
            subprocess.run(command, env={**os.environ, TABLE: str(table)}, check=True)
        rows = list(csv.reader(table.open(encoding="utf-8"), delimiter="\t"))
    lines = ["| what | beside | ratio |", "|---|---|---:|", *(f"| {' | '.join(row)} |" for row in rows)]
    text = "\n".join([f"{hardware_name('cpu', 1)}, {platform.system()}", "", *lines]) + "\n"
    if given.out:
        write_text(given.out, text)
    else:
        print(f"\n{text}", end="")


if __name__ == "__main__":
    main()
