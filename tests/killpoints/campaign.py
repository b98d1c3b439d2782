"""Every durable call of every stage as a point at which the process dies, or the call fails; then the same command.

A process that has imported everything forks for each attempt, so that thousands of them take minutes. Stages run as the
workflow runs them, on scenes of 64 pixels; a training saves its state after each step, a prediction each strip.

- ``killed``, and ``torn`` (half of a write is done): whatever looks finished is right, and after the same command
  everything is as after a run that nothing has disturbed;
- ``failed`` (no room, read-only, broken, without locks): the command ends with one line that names a file and the
  remedy, or it does without the call; then the same;
- ``paired``: of two runs that share a store one stops at the point and the other one goes on; if it waits for the
  first, that one dies now, else when the other one has ended. Both are right in the end.

What was tried is added to the notes, and is not tried again as long as the code is the same.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from durable import build, lacking

HERE = Path(__file__).resolve().parent

ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
    "PYTHONPATH": os.pathsep.join(map(str, [HERE, HERE.parent / "support", HERE.parents[1] / "workflow"])),
}
"""What keeps libraries from starting threads, which forks would lack; and where modules are."""


def parser() -> argparse.ArgumentParser:
    """The options."""
    found = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    found.add_argument("--only", nargs="+", metavar="NAME", help="these jobs of the table, or stages")
    found.add_argument("--how", nargs="+", default=["killed", "torn", "failed", "paired"], help="in these ways alone")
    found.add_argument("--states", nargs="+", help="new (nothing of the job is there), found (in the store), again ...")
    found.add_argument("--every", type=int, default=1, help="try each so many-th point")
    found.add_argument("--sample", action="store_true", help="of each job one state and way, not that of the last")
    found.add_argument("--seconds", type=float, default=float("inf"), help="begin no other job after so many")
    found.add_argument("--notes", type=Path, help="file of what was tried")
    return found


def main() -> None:
    """Build the library of kill points, and start `tries` with it."""
    parser().parse_args()
    if reason := lacking():
        sys.exit(reason)
    with tempfile.TemporaryDirectory() as folder:
        library = build(Path(folder))
        kept = os.open(library, os.O_RDONLY)
    os.set_inheritable(kept, True)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RASTERLOOM_")} | ENVIRONMENT
    environment["LD_PRELOAD"] = f"/proc/self/fd/{kept}"  # there until the process ends, under no name
    os.execve(sys.executable, [sys.executable, str(HERE / "tries.py"), *sys.argv[1:]], environment)


if __name__ == "__main__":
    main()
