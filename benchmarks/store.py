"""Artifacts that the store takes in a second, by 1 and by 8 processes, beside plain files of the same bytes.

A plain file is written under a temporary name, synced, renamed, and its folder synced: the least that a file needs to
survive a crash. An artifact also has a record, a lock that keeps the two together, and folders that are made. Both are
measured in turn, in folders of their own; rates are medians over rounds. Last, how many keys a second one process looks
up, those of artifacts and as many that the store does not have.

    python benchmarks/store.py [--folder .] [--bytes 100000] [--seconds 3] [--rounds 5] [--artifacts 5000]
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import secrets
import statistics
import tempfile
import time
from collections.abc import Callable
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

from rasterloom.store.files import flush
from rasterloom.store.store import Store

PROCESSES = (1, 8)


def plain(folder: Path, content: bytes) -> None:
    """Write one file so that it survives a crash."""
    path = folder / f"{secrets.token_hex(16)}.bin"
    temporary = path.with_name(f".tmp-{path.name}")
    temporary.write_bytes(content)
    flush(temporary)
    temporary.replace(path)
    flush(folder)


def committed(folder: Path, content: bytes) -> None:
    """Put one artifact into a store."""
    with Store(folder).writing("stage", secrets.token_hex(16), ".bin", recipe={"a": 1}, inputs=["b"] * 4) as work:
        work.path.write_bytes(content)
        work.digest = "0" * 64


WAYS: dict[str, Callable[[Path, bytes], None]] = {"plain files": plain, "the store": committed}


def _work(way: str, folder: Path, size: int, seconds: float, ready: Barrier, counts: Any) -> None:
    """Write for some seconds, when all processes are there; adds the number of files to `counts`."""
    content = os.urandom(size)
    WAYS[way](folder, content)  # folders are there, and code is loaded
    ready.wait()
    started, number = time.monotonic(), 0
    while time.monotonic() - started < seconds:
        WAYS[way](folder, content)
        number += 1
    counts.put(number / (time.monotonic() - started))


def rate(way: str, processes: int, above: Path, size: int, seconds: float) -> float:
    """Files a second of all processes together."""
    context = multiprocessing.get_context("spawn")
    ready, counts = context.Barrier(processes), context.Queue()
    with tempfile.TemporaryDirectory(dir=above) as folder:
        given = (way, Path(folder), size, seconds, ready, counts)
        started = [context.Process(target=_work, args=given) for _ in range(processes)]
        for process in started:
            process.start()
        total = sum(counts.get() for _ in started)
        for process in started:
            process.join()
    return float(total)


def look_ups(above: Path, artifacts: int) -> tuple[float, float]:
    """Keys a second that one process looks up in a store of so many artifacts: there, and not there."""
    with tempfile.TemporaryDirectory(dir=above) as folder:
        for _ in range(artifacts):
            committed(Path(folder), b"0")
        store = Store(Path(folder))
        known = [path.stem for path in (store.root / "stage").rglob("*.json")]
        random.Random(1).shuffle(known)
        rates = []
        for keys, there in ((known, artifacts), ([secrets.token_hex(16) for _ in known], 0)):
            started = time.perf_counter()
            found = sum(store.lookup("stage", key) is not None for key in keys)
            rates.append(artifacts / (time.perf_counter() - started))
            assert found == there, (found, there)
    return rates[0], rates[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path.cwd(), help="on the disk to be measured")
    parser.add_argument("--bytes", type=int, default=100_000, help="of an artifact")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--artifacts", type=int, default=5000, help="of the store in which keys are looked up")
    args = parser.parse_args()
    for processes in PROCESSES:
        found: dict[str, list[float]] = {way: [] for way in WAYS}
        for _ in range(args.rounds):
            for way, rates in found.items():
                rates.append(rate(way, processes, args.folder, args.bytes, args.seconds))
        middle = {way: statistics.median(rates) for way, rates in found.items()}
        shown = ", ".join(
            f"{way} {middle[way]:.0f} a second ({min(rates):.0f} to {max(rates):.0f})" for way, rates in found.items()
        )
        ratio = middle["plain files"] / middle["the store"]
        print(f"{processes} process{'es' * (processes > 1)}: {shown}; an artifact costs {ratio:.1f} plain files")
    there, missing = look_ups(args.folder, args.artifacts)
    print(f"look-ups in a store of {args.artifacts} artifacts: {there:.0f} a second found, {missing:.0f} not there")


if __name__ == "__main__":
    main()
