"""What the tests of `gc` share: old files, manifests, and a look at what is left."""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

from rasterloom.store.files import write_json
from rasterloom.store.folders import OUTPUTS_NOTE
from rasterloom.store.manifest import Manifest
from rasterloom.store.store import Item, Store
from rasterloom.tools import gc
from rasterloom.tools.verify import main as verify


def collect(results: Path, dry_run: bool = False) -> None:
    gc.main(argparse.Namespace(results=results, dry_run=dry_run))


def verify_all(results: Path) -> None:
    verify(argparse.Namespace(results=results, mend=False))


def age(folder: Path) -> None:
    """Make everything below a folder two days old."""
    then = time.time() - 2 * gc.DAY
    for path in folder.rglob("*"):
        os.utime(path, (then, then), follow_symlinks=False)


def name_it(results: Path, item: Item, name: str = "stacks/s1/a") -> Path:
    path = results / f"{name}.json"
    Manifest("stack", {path.stem: item}).write(path)
    return path


def there(store: Store) -> list[str]:
    """Keys in the store, whatever of them is left."""
    found = [p for p in store.root.glob("*/*") if p.parent.name not in {"results", "sources", "rates"}]
    return sorted({path.name.split(".")[0] for path in found})


def ask(results: Path, *stacks: str, **others: str) -> None:
    """Note in a results folder what its latest run asks for: stacks, and one output of each other stage."""
    outputs = {"stack": list(stacks), **{stage: [path] for stage, path in others.items()}}
    write_json(results / OUTPUTS_NOTE, outputs)
