"""Remove artifacts that no manifest names, in any results folder that uses the store.

Spared: anything younger than a day, what any registered results folder names, and training that is under way.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from rasterloom.dag import Dag
from rasterloom.errors import StoreError
from rasterloom.lock import hold
from rasterloom.manifest import Manifest
from rasterloom.store import Store
from rasterloom.verify import manifests_of

DAY = 86_400.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the subcommand."""
    parser.add_argument("--results", type=Path, default=Path("results"), help="the results folder (default: results)")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be removed")


def main(args: argparse.Namespace) -> None:
    """Remove stale manifests of this results folder, then what nothing names in its store."""
    if not args.results.is_dir():
        raise StoreError(f"{args.results} is not a folder: name the results folder with --results")
    lock = hold(args.results)
    store = Store.of(args.results)
    stale = list(stale_manifests(args.results))
    removed = list(removable(store, args.results, frozenset(stale), time.time() - DAY))
    size = sum(_size(path) for path in removed)
    if not args.dry_run:
        for path in [*stale, *removed]:
            _remove(path)
        _remove_dangling_links(args.results)
    lock.close()
    verb = "would remove" if args.dry_run else "removed"
    print(f"{verb} {len(stale)} manifests and {len(removed)} files or folders, {size / 1e6:.1f} MB")


def stale_manifests(results: Path) -> Iterator[Path]:
    """Manifests that the configuration of the latest run (``config.json``) no longer asks for."""
    record = results / "config.json"
    if not record.is_file():
        return
    dag = Dag.load(json.loads(record.read_text(encoding="utf-8")))
    asked = {results / path for paths in dag.outputs().values() for path in paths}
    yield from (path for path in manifests_of(results) if path not in asked)


def removable(store: Store, results: Path, stale: frozenset[Path], before: float) -> Iterator[Path]:
    """Files and folders of the store that nothing names and that are older than `before` (seconds since 1970)."""
    named: set[str] = set()
    for folder in {*store.registered(), results.resolve()}:
        for path in manifests_of(folder):
            if folder != results.resolve() or results / path.relative_to(folder) not in stale:
                named.update(item.key for item in Manifest.read(path).items.values())
    for stage in sorted(store.root.glob("*")):
        if stage.name in {"results", "sources"} or not stage.is_dir():
            continue
        for path in sorted(stage.iterdir()):
            if path.name.split(".")[0] not in named and _newest(path) < before:
                yield path


def _newest(path: Path) -> float:
    """Time of the latest change of a file, or of anything in a folder."""
    times = [p.lstat().st_mtime for p in [path, *(path.rglob("*") if path.is_dir() else [])]]
    return max(times)


def _size(path: Path) -> int:
    return sum(p.lstat().st_size for p in [path, *(path.rglob("*") if path.is_dir() else [])] if not p.is_dir())


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _remove_dangling_links(results: Path) -> None:
    for path in results.glob("*/**/*"):
        if path.is_symlink() and not path.exists():
            path.unlink()
