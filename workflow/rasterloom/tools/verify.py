"""Check that every artifact that a manifest names is in the store, with the bytes that were written.

--mend removes a damaged artifact and the manifests that name a missing or damaged one, so that the next run of the
workflow computes just that; it makes links of the results tree again.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from rasterloom.errors import MissingInputError, StoreError
from rasterloom.stages import folder_of
from rasterloom.store.files import link
from rasterloom.store.folders import manifests_of, require_own_store
from rasterloom.store.lock import hold
from rasterloom.store.manifest import Manifest
from rasterloom.store.store import Item, Store, file_sha256
from rasterloom.text import counted, now_and_then, plural

HELP = "check that the store has every artifact that a manifest names"

REMADE = "was made again with another content"

Progress = Callable[[int, int], None]
"""Called with how many artifacts have been read, of how many."""


@dataclass(frozen=True)
class Fault:
    """Something in a results folder that differs from what was written.

    Attributes
    ----------
    manifest : the manifest; it is damaged itself, or names an artifact that was made again with another content, or
        something is wrong with the artifact.
    name : whose artifact it is: a scene, a fold; empty if the manifest is damaged.
    reason : in words.
    item : the artifact, or None if the manifest is damaged.
    damaged : the artifact is missing or damaged.
    link : where the link to the artifact belongs, if that is what is wrong.
    """

    manifest: Path
    name: str
    reason: str
    item: Item | None = None
    damaged: bool = False
    link: Path | None = None

    def __str__(self) -> str:
        return ": ".join(filter(None, (str(self.manifest), self.name, self.reason)))


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the subcommand."""
    parser.add_argument("--results", type=Path, default=Path("results"), help="the results folder (default: results)")
    parser.add_argument("--mend", action="store_true", help="remove what is damaged, so that the next run makes it")


def main(args: argparse.Namespace) -> None:
    """Check, report, and mend if asked.

    Raises
    ------
    StoreError
        If something is wrong and was not mended (code 1), or the store is not the folder's.
    RasterloomError
        If a run is active in the folder that is to be mended.
    """
    if not args.results.is_dir():
        raise StoreError(f"{args.results} is not a folder: name the results folder with --results")
    store = Store.of(args.results)
    with hold(args.results) if args.mend else nullcontext():
        _verify(args.results, store, args.mend)


def _verify(results: Path, store: Store, mended: bool) -> None:
    """Check a folder, and mend it if asked; its lock is held then."""
    require_own_store(results, store)
    manifests = list(manifests_of(results))
    if not manifests:
        print(f"{results} holds no manifests: nothing was run there; --results names another folder")
        return
    say = now_and_then()
    faults = list(
        find_faults(store, manifests, lambda done, total: say(f"verify: read {done:,} of {total:,} artifacts"))
    )
    for fault in faults:
        print(fault, file=sys.stderr)
    if not faults:
        print(f"{len(manifests)} manifests in {results}: all artifacts are as they were written")
        return
    if not mended:
        raise StoreError(
            f"{_many(faults)} missing or damaged: `rasterloom verify --mend --results {results}` "
            "removes what is damaged, and the next run makes it again"
        )
    for fault in faults:
        mend(store, fault)
    if links := sum(fault.link is not None for fault in faults):
        print(f"made {counted(links, 'link')} again")
    if gone := {fault.manifest for fault in faults if fault.link is None}:
        print(f"removed {counted(len(gone), 'manifest')} and what was damaged; run the workflow again")


def _many(faults: list[Fault]) -> str:
    """``1 artifact is``, ``2 artifacts and 1 link are``."""
    nouns = Counter("manifest" if f.item is None else "link" if f.link else "artifact" for f in faults)
    words = " and ".join(counted(count, noun) for noun, count in sorted(nouns.items()))
    return f"{words} {plural(len(faults), 'is', 'are')}"


def find_faults(store: Store, manifests: list[Path], progress: Progress = lambda done, total: None) -> Iterator[Fault]:
    """What is wrong with manifests, the artifacts that they name, and the links to those.

    Parameters
    ----------
    store : Store
    manifests : their paths
    progress : called after each artifact

    Notes
    -----
    Reads every artifact once, however many manifests name it: it takes as long as reading the store from disk.
    """
    known: dict[Path, Manifest] = {}
    for path in manifests:
        try:
            known[path] = Manifest.read(path)
        except MissingInputError:  # a run that is under way makes it again
            continue
        except StoreError:
            yield Fault(path, "", "is not a manifest")
    total = len({item.path for manifest in known.values() for item in manifest.items.values()})
    checked: dict[str, str | None] = {}
    for path, manifest in known.items():
        for name, item in manifest.items.items():
            if item.path not in checked:
                checked[item.path] = _damage(store, item)
                progress(len(checked), total)
            yield from _fault(store, path, manifest.stage, name, item, checked[item.path])


def _damage(store: Store, item: Item) -> str | None:
    """What is wrong with an artifact, judged by its own record alone; None if nothing is."""
    path, record = store.root / item.path, store.record(item)
    if not path.is_file():
        return f"{path} is missing"
    if record is None:
        return f"{path} has no record of its content"
    return None if file_sha256(path) == record["sha256"] else f"{path} is damaged"


def _fault(store: Store, manifest: Path, stage: str, name: str, item: Item, damage: str | None) -> Iterator[Fault]:
    """The fault of one item of a manifest, if it has one."""
    path, place, record = store.root / item.path, link_place(manifest, stage, name, item), store.record(item)
    if damage is not None:
        yield Fault(manifest, name, damage, item, damaged=True)
    elif record is None or record["digest"] != item.digest:
        yield Fault(manifest, name, f"{path} {REMADE}", item)
    elif not place.is_symlink() or not place.exists():
        yield Fault(manifest, name, f"the link {place} is missing", item, link=place)
    elif not place.samefile(path):
        yield Fault(manifest, name, f"{place} leads to {place.resolve()}, not to {path}", item, link=place)


def link_place(manifest: Path, stage: str, name: str, item: Item) -> Path:
    """Where a job links an artifact that its manifest names, as `Job.finish` does."""
    return folder_of(stage, manifest) / f"{name}{Path(item.path).name.removeprefix(item.key)}"


def mend(store: Store, fault: Fault) -> None:
    """Remove a damaged artifact and the manifest that names it, or make a link again.

    A sound artifact stays even if the manifest says another content: another results folder may name it.
    """
    if fault.item is not None and fault.link is not None:
        link(store.root / fault.item.path, fault.link)
        return
    if fault.item is not None and fault.damaged:
        with store.committing():
            if _damage(store, fault.item) is not None:  # else another run has made it again meanwhile
                path = store.root / fault.item.path
                store.record_path(path.parent.name, fault.item.key).unlink(missing_ok=True)
                path.unlink(missing_ok=True)
    fault.manifest.unlink(missing_ok=True)
