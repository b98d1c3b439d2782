"""Check every artifact that a manifest names: it must be in the store with the bytes that were written.

With --mend the manifests that name a missing or damaged artifact are removed together with the artifact, and the
next run of the workflow computes just that.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rasterloom.errors import StoreError
from rasterloom.lock import hold
from rasterloom.manifest import Manifest
from rasterloom.store import Item, Store, file_sha256, read_sidecar

REMADE = "was made again with another content"


@dataclass(frozen=True)
class Fault:
    """A manifest's item that is not in the store as it was written."""

    manifest: Path
    name: str
    item: Item
    reason: str


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the subcommand."""
    parser.add_argument("--results", type=Path, default=Path("results"), help="the results folder (default: results)")
    parser.add_argument("--mend", action="store_true", help="remove what is damaged, so that the next run makes it")


def main(args: argparse.Namespace) -> None:
    """Check, report, and mend if asked; StoreError (code 1) if something is wrong and was not mended."""
    if not args.results.is_dir():
        raise StoreError(f"{args.results} is not a folder: name the results folder with --results")
    store = Store.of(args.results)
    manifests = list(manifests_of(args.results))
    faults = list(find_faults(store, manifests))
    for fault in faults:
        print(f"{fault.manifest}: {fault.name}: {fault.reason}", file=sys.stderr)
    if not manifests:
        print(f"{args.results} holds no manifests: nothing was run there; --results names another folder")
        return
    if not faults:
        print(f"{len(manifests)} manifests in {args.results}: all artifacts are as they were written")
        return
    if not args.mend:
        many = f"{len(faults)} artifacts are" if len(faults) > 1 else "1 artifact is"
        raise StoreError(
            f"{many} missing or damaged: `rasterloom verify --mend --results {args.results}` "
            "removes what is damaged, and the next run makes it again"
        )
    lock = hold(args.results)
    for fault in faults:
        if not fault.reason.endswith(REMADE):  # else the artifact is good, and the manifest out of date
            (store.root / fault.item.path).unlink(missing_ok=True)
            (store.root / fault.item.path).parent.joinpath(f"{fault.item.key}.json").unlink(missing_ok=True)
        fault.manifest.unlink(missing_ok=True)
    lock.close()
    print(f"removed what {len(faults)} manifest{'s' * (len(faults) != 1)} named in vain; run the workflow again")


def manifests_of(results: Path) -> Iterator[Path]:
    """Every manifest below a results folder (not below its store), sorted."""
    for path in sorted(results.glob("*/**/*.json")):
        top = path.relative_to(results).parts[0]
        if top in {"store", ".arguments", "report"} or path.is_symlink() or path.name.startswith("."):
            continue
        yield path


def find_faults(store: Store, manifests: list[Path]) -> Iterator[Fault]:
    """Items of manifests whose artifact is missing, or differs in a byte from what was written.

    Notes
    -----
    Reads every artifact once: time is that of reading the store from disk.
    """
    checked: dict[str, str | None] = {}
    for path in manifests:
        for name, item in Manifest.read(path).items.items():
            if item.path not in checked:
                checked[item.path] = _fault(store, item)
            reason = checked[item.path]
            if reason:
                yield Fault(path, name, item, reason)


def _fault(store: Store, item: Item) -> str | None:
    path = store.root / item.path
    record = read_sidecar(path.parent / f"{item.key}.json")
    if not path.is_file():
        return f"{path} is missing"
    if record is None:
        return f"{path} has no record of its content"
    if file_sha256(path) != record["sha256"]:
        return f"{path} is damaged"
    return None if record["digest"] == item.digest else f"{path} {REMADE}"
