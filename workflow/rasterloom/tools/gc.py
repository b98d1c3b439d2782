"""Remove artifacts that no results folder uses.

Kept: what was used within a day, what any registered results folder names, and everything of a stage that the
latest run of any of them has not finished, or that an active run may want.
"""

import argparse
import os
import re
import shutil
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

from rasterloom.errors import StoreError
from rasterloom.grouping import grouped
from rasterloom.stages import STAGES
from rasterloom.store.files import TEMPORARY
from rasterloom.store.folders import Claim, asked_outputs, claim, claims, manifests_of, require_own_store, walk
from rasterloom.store.lock import hold
from rasterloom.store.store import KEY_DIGITS, Store

HELP = "remove artifacts that no results folder uses"

DAY = 86_400.0

REMEMBERED = 30 * DAY
"""Scans of source files that were not used for so long are forgotten; such a file is read once more."""

_NO_ARTIFACTS = {"results", "sources", "rates"}
"""Folders of a store that hold no artifacts."""

_OURS = re.compile(rf"[0-9a-f]{{{KEY_DIGITS}}}(\.|$)|{re.escape(TEMPORARY)}")
"""How names in a store begin."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the subcommand."""
    parser.add_argument("--results", type=Path, default=Path("results"), help="the results folder (default: results)")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be removed")


def main(args: argparse.Namespace) -> None:
    """Remove stale manifests of this results folder, then what nothing names in its store.

    Raises
    ------
    StoreError
        If in doubt, before anything is removed: a folder that uses the store cannot be read, a manifest is damaged.
    RasterloomError
        If a run is active in this folder.
    """
    results, store = args.results, Store.of(args.results)
    if not results.is_dir():
        raise StoreError(f"{results} is not a folder: name the results folder with --results")
    with hold(results):
        _collect(results, store, args.dry_run)


def _collect(results: Path, store: Store, dry_run: bool) -> None:
    require_own_store(results, store)
    now = time.time()
    stale = stale_manifests(results)
    found, gone = claims(store, claim(results, dropped=stale))
    garbage = list(removable(store, found, now - DAY))
    files = [*leftovers(results, now - DAY), *forgotten(store, now - REMEMBERED)]
    size, count = sum(map(_size, files)), len(files)
    verb, remove = ("would remove", print) if dry_run else ("removed", _remove)
    for user in gone:
        why = "the store was moved or copied since" if user.moved else "it is gone"
        print(f"{'would forget' if dry_run else 'forgot'} that {user.results} uses this store: {why}")
    for path in [*(user.note for user in gone), *stale, *files]:
        remove(path)
    for group in garbage:
        with store.committing():
            if _newest_of(group) < now - DAY:  # else somebody has begun to use it
                size, count = size + sum(map(_size, group)), count + len(group)
                for path in group:
                    remove(path)
    if not dry_run:
        _remove_dangling_links(results)
    for line in kept_lines({stage: why for stage, why in spared(found).items() if (store.root / stage).is_dir()}):
        print(line)
    print(f"{verb} {len(stale)} manifests and {count} files or folders, {size / 1e6:.1f} MB")


def stale_manifests(results: Path) -> list[Path]:
    """Manifests that the latest run does not ask for; none if no run has said what it asks for."""
    asked = asked_outputs(results)
    if asked is None:
        return []
    wanted = {results / path for paths in asked.values() for path in paths}
    return [path for path in manifests_of(results) if path not in wanted]


def spared(found: Iterable[Claim]) -> dict[str, str]:
    """Stages of which everything is kept, each with the reason."""
    return {stage: entry.why for entry in found for stage in (STAGES if entry.wanted is None else sorted(entry.wanted))}


def kept_lines(stages: Mapping[str, str]) -> Iterator[str]:
    """What was kept, one line per reason."""
    for why in dict.fromkeys(stages.values()):
        names = [stage for stage in STAGES if stages.get(stage) == why]
        yield f"kept everything of stage{'s' * (len(names) > 1)} {', '.join(names)}: {why}"


def removable(store: Store, found: Collection[Claim], before: float) -> Iterator[list[Path]]:
    """Files and folders of the store that nobody has a claim to, grouped by key.

    Parameters
    ----------
    store : Store
    found : claims of all results folders that use it
    before : float
        Seconds since 1970: a key's files go if all of them were last used before it.
    """
    named = frozenset[str]().union(*(entry.named for entry in found))
    skipped = {*_NO_ARTIFACTS, *spared(found)}
    for stage in sorted(store.root.glob("*")):
        if stage.name in skipped or not stage.is_dir():
            continue
        ours = [path for path in stage.iterdir() if _OURS.match(path.name)]  # others may keep files in such a folder
        paths = sorted(ours, key=lambda path: (path.suffix != ".json", path.name))  # the record first
        for key, group in grouped((path.name.split(".")[0] or path.name, path) for path in paths).items():
            if key in named:  # a state beside an artifact was left behind, as the artifact was made after it
                group = [path for path in group if path.is_dir() and group[0].suffix == ".json"]
            if group and _newest_of(group) < before:
                yield group


def leftovers(results: Path, before: float) -> Iterator[Path]:
    """Temporary files that killed jobs left in the results tree, and arguments of earlier runs."""
    for path in walk(results, skip="store"):
        argument = path.relative_to(results).parts[0] == ".arguments"
        if (argument or path.name.startswith(TEMPORARY)) and _newest(path) < before:
            yield path


def forgotten(store: Store, before: float) -> list[Path]:
    """Scans of source files that were last used before a time, in seconds since 1970."""
    found = sorted((store.root / "sources").glob("*.json"))
    return [path for path in found if _OURS.match(path.name) and _newest(path) < before]


def _newest_of(group: Iterable[Path]) -> float:
    return max(_newest(path) for path in group)


def _newest(path: Path) -> float:
    """Time of the latest change of a file, or of anything in a folder; 0 if it is gone."""
    times = [0.0]
    for found in _within(path):
        try:
            times.append(found.lstat().st_mtime)
        except FileNotFoundError:  # a training renames its state when it takes it over
            times.append(time.time() if found != path else 0.0)
    return max(times)


def _size(path: Path) -> int:
    return sum(found.lstat().st_size for found in _within(path) if not found.is_dir() and os.path.lexists(found))


def _within(path: Path) -> Iterator[Path]:
    """A file; a folder and all that is in it."""
    yield path
    if path.is_dir():
        yield from path.rglob("*")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _remove_dangling_links(results: Path) -> None:
    for path in walk(results, skip="store"):
        if path.is_symlink() and not path.exists():
            path.unlink()
