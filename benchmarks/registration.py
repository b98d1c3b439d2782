"""How well, how fast and in how much memory sensors are registered: rasterloom against public ways.

Generated scenes whose shifts are known, and real pairs (RASTERLOOM_TEST_DATA) with shifts put between them; see
registration_cases.py and registration_pairs.py for the cases, registration_methods.py for the methods. Errors are in
pixels of the reference (RGB, PAN, 10 m), then in the sensor's own. `failures` are off by more than a pixel of the
coarser image, whatever the method says of them (a fall-back to the identity fails where the shift is larger);
`wrong` are those of them that the method accepts. Everything runs on one thread; seconds are the processor's.

    pip install -e '.[benchmarks]'           SimpleITK; AROSICS (pip install arosics) needs GDAL and is left out without
    python benchmarks/registration.py        an hour or two; --quick: minutes
"""

from __future__ import annotations

import argparse
import csv
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, fields
from pathlib import Path

import cv2
from registration_cases import FULL_SIZE, VARIANTS, Case, generated_cases
from registration_figures import Row, rows_of, table, targets, times, unique
from registration_methods import METHODS, Found, missing
from registration_pairs import real_cases

from rasterloom.store.files import atomic_path

SCENES = {1024: 20, 1500: 8, FULL_SIZE: 2, 512: 20, 256: 20}
"""Scenes by size."""
QUICK = {1024: 3, 256: 3}
FULL_VARIANTS = ("clean", "field")
"""Variants at full size, where the alternatives take minutes."""


def main() -> None:
    """Run every method on every case and print what came out."""
    options = arguments()
    cv2.setNumThreads(1)
    methods = available(options.methods)
    rows: list[Row] = []
    for case, unmoved in all_cases(options):
        rows += run(case, methods, unmoved)
        if sys.stderr.isatty():
            print(f"\r{case.label:40}", end="", file=sys.stderr, flush=True)
    if not rows:
        sys.exit("no cases: give sizes, or RASTERLOOM_TEST_DATA")
    for group in unique(row.group for row in rows):
        print(f"\n{group}")
        print(*table([row for row in rows if row.group == group]), sep="\n")
    print("\nseconds a sensor, and peak memory of a clean scene beside its images")
    print(*times(rows, lambda method, size: peak_memory(method, size, options.seed, options.cache)), sep="\n")
    print()
    for met, text in targets(rows):
        print(f"{'met' if met else 'MISSED':8}{text}")
    if options.table:
        write_rows(options.table, rows)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few scenes and few shifts")
    parser.add_argument("--methods", default=",".join(METHODS), metavar="NAMES", help="default: %(default)s")
    parser.add_argument("--sizes", metavar="PIXELS", help="sides of generated scenes; default: 1024,1500,3396,512,256")
    parser.add_argument("--seed", type=int, default=1, help="of scenes and shifts (default: %(default)s)")
    parser.add_argument(
        "--cache",
        type=Path,
        default=Path(tempfile.gettempdir()) / "rasterloom-registration-cases",
        help="folder that keeps generated scenes (default: %(default)s)",
    )
    parser.add_argument("--table", type=Path, metavar="TSV", help="one row per sensor, case and method goes there")
    options = parser.parse_args()
    names = options.methods.split(",")
    unknown = [name for name in names if name not in METHODS]
    if unknown:
        parser.error(f"--methods {unknown[0]} given; there are {', '.join(METHODS)}")
    options.methods = names
    counts = QUICK if options.quick else SCENES
    try:
        sizes = [int(text) for text in options.sizes.split(",")] if options.sizes else list(counts)
    except ValueError:
        parser.error(f"--sizes {options.sizes} given; needed: numbers of pixels, for example 1024,512")
    options.scenes = {size: counts.get(size, 3 if options.quick else 10) for size in sizes}
    return options


def available(names: list[str]) -> list[str]:
    """Methods whose packages are installed; says which are left out."""
    kept = []
    for name in names:
        package = missing(name)
        if package is None:
            kept.append(name)
        else:
            print(f"{package}: not installed, left out")
    return kept


Base = dict[str, dict[str, Found]]
"""Method -> what it found for a real pair without a shift, filled when that case is run."""


def all_cases(options: argparse.Namespace) -> Iterator[tuple[Case, Base | None]]:
    """Generated cases, then real ones with the store of their pair's estimates without a shift."""
    for size, count in options.scenes.items():
        variants = FULL_VARIANTS if size == FULL_SIZE else VARIANTS
        for case in generated_cases([size], count, variants, options.seed, options.cache):
            yield case, None
    folder = os.environ.get("RASTERLOOM_TEST_DATA")
    if not folder:
        print("RASTERLOOM_TEST_DATA is not set, which names the folder of real imagery: real pairs left out")
        return
    bases: dict[str, Base] = {}
    for case in real_cases(Path(folder), 2 if options.quick else 12, options.seed):
        yield case, bases.setdefault(case.scene, {})


def run(case: Case, methods: list[str], base: Base | None) -> Iterator[Row]:
    """Rows of a case; none for the case without a shift, which is kept in `base`."""
    for method in methods:
        start = time.process_time()
        found = METHODS[method][1](case)
        seconds = time.process_time() - start
        if base is not None and case.variant == "unmoved":
            base[method] = found
        else:
            yield from rows_of(case, method, found, seconds, None if base is None else base[method])


def peak_memory(method: str, size: int, seed: int, cache: Path) -> float | None:
    """Megabytes that a method takes beyond a clean scene in memory, in a process of its own; None if not known."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(_growth, method, size, seed, cache).result()


def _growth(method: str, size: int, seed: int, cache: Path) -> float | None:
    cv2.setNumThreads(1)
    small = next(generated_cases([256], 1, ["clean"], seed, cache))
    METHODS[method][1](small)  # imports what the method needs
    case = next(generated_cases([size], 1, ["clean"], seed, cache))
    before = _high_water(reset=True)
    METHODS[method][1](case)
    after = _high_water()
    return None if before is None or after is None else after - before


def _high_water(reset: bool = False) -> float | None:
    """The process's peak of resident memory in megabytes, from now on if `reset`; None but on Linux."""
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    for text in status.read_text().splitlines():
        if text.startswith("VmHWM:"):
            return float(text.split()[1]) / 1024
    return None


def write_rows(path: Path, rows: list[Row]) -> None:
    """All rows as a tab-separated table."""
    with atomic_path(path) as temporary, temporary.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, [field.name for field in fields(Row)], delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)


if __name__ == "__main__":
    main()
