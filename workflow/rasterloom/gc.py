"""Remove artifacts that no manifest names, in any results folder that uses the store.

Spared: anything used within a day, what any registered results folder names, and everything of a stage that the
latest run has not finished.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Collection, Iterator
from pathlib import Path

from rasterloom.dag import Dag
from rasterloom.errors import StoreError
from rasterloom.files import TEMPORARY
from rasterloom.job import OUTPUTS
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
    asked = asked_manifests(args.results)
    stale = [] if asked is None else [path for path in manifests_of(args.results) if path not in asked]
    spared = unfinished_stages(args.results, asked or set())
    before = time.time() - DAY
    removed = [*removable(store, args.results, frozenset(stale), before, spared), *leftovers(args.results, before)]
    size = sum(_size(path) for path in removed)
    for path in [*stale, *removed]:
        if args.dry_run:
            print(path)
        else:
            _remove(path)
    if not args.dry_run:
        _remove_dangling_links(args.results)
    lock.close()
    for stage in sorted(spared):
        print(f"kept everything of stage {stage}: the latest run has not finished it")
    verb = "would remove" if args.dry_run else "removed"
    print(f"{verb} {len(stale)} manifests and {len(removed)} files or folders, {size / 1e6:.1f} MB")


def asked_manifests(results: Path) -> set[Path] | None:
    """Manifests that the configuration of the latest run (``config.json``) asks for; None without such a record."""
    record = results / "config.json"
    if not record.is_file():
        return None
    outputs = Dag.load(json.loads(record.read_text(encoding="utf-8"))).outputs()
    return {results / path for paths in outputs.values() for path in paths if path.endswith(".json")}


def unfinished_stages(results: Path, asked: set[Path]) -> set[str]:
    """Stages of which a manifest that is asked for is not there: their artifacts may be wanted without being named.

    Snakemake deletes a manifest before it runs the job again, so a killed run leaves models that nothing names.
    """
    missing = {path.relative_to(results).parts[0] for path in asked if not path.exists()}
    return {stage for stage, path in OUTPUTS.items() if path.split("/")[0] in missing}


def removable(
    store: Store,
    results: Path,
    stale: frozenset[Path],
    before: float,
    spared: Collection[str] = (),
) -> Iterator[Path]:
    """Files and folders of the store that nothing names.

    Parameters
    ----------
    store : Store
    results : Path
        The results folder that is cleaned; others that use the store are known to it.
    stale : paths
        Manifests whose items do not count.
    before : float
        Seconds since 1970: of a key whose files were all used last before it, everything goes.
    spared : stages that nothing is removed of
    """
    named: set[str] = set()
    for folder in {*store.registered(), results.resolve()}:
        for path in manifests_of(folder):
            if folder != results.resolve() or results / path.relative_to(folder) not in stale:
                named.update(item.key for item in Manifest.read(path).items.values())
    for stage in sorted(store.root.glob("*")):
        if stage.name in {"results", "sources", *spared} or not stage.is_dir():
            continue
        files: dict[str, list[Path]] = {}
        for path in sorted(stage.iterdir()):
            files.setdefault(path.name.split(".")[0] or path.name, []).append(path)
        for key, group in files.items():
            if key not in named and max(_newest(path) for path in group) < before:
                yield from group


def leftovers(results: Path, before: float) -> Iterator[Path]:
    """Temporary files that killed jobs left in the results tree."""
    for path in sorted(results.glob(f"**/{TEMPORARY}*")):
        if path.relative_to(results).parts[0] != "store" and _newest(path) < before:
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
