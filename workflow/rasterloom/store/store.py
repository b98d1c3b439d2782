"""The store: artifacts by content key, beside each its provenance.

An artifact is one file, ``<store>/<stage>/<key><suffix>``, and a record ``<key>.json`` that is written last: an
artifact without a record does not exist. The key is the digest of everything that decides the content (stage
version, recipe, digests of the inputs); the digest is that of the content. What was said while it was made is in
``<key>.log``. Nothing here is ever declared to Snakemake, which deletes what is declared.
"""

import contextlib
import hashlib
import os
import platform
import resource
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from rasterloom import __version__
from rasterloom.errors import StoreError
from rasterloom.store.digest import digest
from rasterloom.store.files import flush, json_text, read_json, sound_json, temporary_path, write_json
from rasterloom.store.lock import locked
from rasterloom.text import to_stderr

KEY_DIGITS = 32

COMMIT_LOCK = ".commit"


@dataclass(frozen=True)
class Item:
    """An artifact in the store.

    Attributes
    ----------
    key : str
        Digest of what the artifact was made from, 32 hexadecimal digits.
    digest : str
        Digest of what it holds, 64 hexadecimal digits.
    path : str
        Its file, relative to the store's root.
    parts : dict of str to str
        Digests of named parts (for a stack: of each sensor), so that a reader may depend on a part alone.
    """

    key: str
    digest: str
    path: str
    parts: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The item as a JSON object."""
        value: dict[str, Any] = {"key": self.key, "digest": self.digest, "path": self.path}
        return {**value, "parts": self.parts} if self.parts else value

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """The item that `to_json` gave."""
        return cls(value["key"], value["digest"], value["path"], dict(value.get("parts", {})))


@dataclass
class Writing:
    """An artifact in the making: write `path`, set `digest`; `item` is there when the block has ended.

    `cost` and `facts` are kept beside the artifact, outside its digest: what it took, and what was noticed on the way.
    `say` is told if it differs from an earlier one of the same key.
    """

    path: Path
    digest: str = ""
    parts: dict[str, str] = field(default_factory=dict)
    cost: dict[str, Any] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    item: Item | None = None
    say: Callable[[str], None] = to_stderr

    def json(self, value: Any, parts: Mapping[str, Any] | None = None) -> None:
        """Write a value as JSON; its digest is that of the value, and that of each part the part's."""
        write_json(self.path, value)
        self.digest = digest(value)
        self.parts = {name: digest(part) for name, part in (parts or {}).items()}

    def committed(self) -> Item:
        """The item, once it is in the store."""
        if self.item is None:
            raise StoreError("the artifact has not been committed: its block has not ended")
        return self.item


@dataclass(frozen=True)
class User:
    """A results folder that has used a store.

    Attributes
    ----------
    note : Path
        The file that says so.
    results : Path
    moved : bool
        Whether it had the store within itself where the store no longer is: both were moved or copied since.
    """

    note: Path
    results: Path
    moved: bool


class Store:
    """Artifacts below one folder.

    Parameters
    ----------
    root : Path
        The folder, by default ``results/store``; several results folders may share one.
    recompute : frozenset of str
        Stages whose artifacts `find` denies, so that they are made again.
    """

    def __init__(self, root: Path, recompute: frozenset[str] = frozenset()) -> None:
        self.root = root
        self.recompute = recompute

    @classmethod
    def of(cls, results: Path, recompute: frozenset[str] = frozenset()) -> Self:
        """The store of a results folder: ``RASTERLOOM_STORE`` if set, else ``<results>/store``."""
        root = os.environ.get("RASTERLOOM_STORE")
        return cls(Path(root) if root else results / "store", recompute)

    def register(self, results: Path) -> None:
        """Note that a results folder uses this store, so that `gc` spares what it names."""
        path = results.resolve()
        note = self.root / "results" / f"{digest(str(path))[:KEY_DIGITS]}.json"
        value = {"results": str(path), "own": self.root.resolve() == path / "store"}
        if sound_json(note) != value and not self.read_only:
            write_json(note, value)

    @property
    def read_only(self) -> bool:
        """Whether it is there, but nothing can be written to it: what it holds is used all the same."""
        return self.root.exists() and not os.access(self.root, os.W_OK)

    def users(self) -> list[User]:
        """The results folders that have used this store.

        Raises
        ------
        StoreError
            If a note cannot be read; names it.
        """
        return [self._user(note) for note in sorted((self.root / "results").glob("[0-9a-f]*.json"))]

    def _user(self, note: Path) -> User:
        try:
            value = read_json(note)
            results = Path(value["results"])
            moved = bool(value.get("own")) and self.root.resolve() != results / "store"
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise StoreError(
                f"{note}, which names a results folder that uses the store, cannot be read ({error}): delete it and "
                "run the workflow in each results folder that uses the store"
            ) from None
        return User(note, results, moved)

    def record_path(self, stage: str, key: str) -> Path:
        """Where the provenance of an artifact lies."""
        return self.root / stage / f"{key}.json"

    def log_path(self, stage: str, key: str) -> Path:
        """Where the log of an artifact lies, if anything was said while it was made."""
        return self.root / stage / f"{key}.log"

    def find(self, stage: str, key: str) -> Item | None:
        """The artifact of a key, marked as used, or None if there is none whose file has the recorded size."""
        with self._looking():
            item = self.lookup(stage, key)
            if item is not None:
                with contextlib.suppress(OSError):  # a shared store may belong to somebody else, or be read-only
                    os.utime(self.root / item.path)  # `gc` spares what is young, also before a manifest names it
                    os.utime(self.record_path(stage, key))
        return item

    def lookup(self, stage: str, key: str) -> Item | None:
        """What `find` gives, without a trace."""
        if stage in self.recompute:
            return None
        record = read_record(self.record_path(stage, key))
        if record is None:
            return None
        path = self.root / record["path"]
        return Item.from_json(record) if path.is_file() and path.stat().st_size == record["bytes"] else None

    def open_path(self, item: Item) -> Path:
        """The file of an item; StoreError, naming the item and the remedy, if it is not there as it was made."""
        path = self.root / item.path
        with self._looking():
            record = self.record(item)
            size = path.stat().st_size if path.is_file() else None
        remedy = "run `rasterloom verify --mend` and then the workflow again"
        if record is None or size is None:
            raise StoreError(f"{path} is named by a manifest but is not in the store: {remedy}")
        if size != record["bytes"]:
            raise StoreError(f"{path} has {size} bytes instead of {record['bytes']}: it was damaged; {remedy}")
        if record["digest"] != item.digest:
            raise StoreError(
                f"{path} was made again with another content than a manifest of this folder says: {remedy}"
            )
        return path

    def record(self, item: Item) -> dict[str, Any] | None:
        """The record beside an artifact, or None where there is none, or it is damaged."""
        return read_record((self.root / item.path).parent / f"{item.key}.json")

    def cost(self, item: Item) -> dict[str, Any]:
        """What an artifact cost: seconds, peak memory and whatever its stage recorded."""
        return dict((self.record(item) or {}).get("cost", {}))

    def facts(self, item: Item) -> dict[str, Any]:
        """What was noticed when an artifact was made: a function of its key, as the artifact is."""
        self.open_path(item)
        return dict((self.record(item) or {}).get("facts", {}))

    @contextmanager
    def writing(
        self, stage: str, key: str, suffix: str, *, recipe: Any = None, inputs: Any = None, version: int | None = None
    ) -> Iterator[Writing]:
        """Make an artifact: write the given temporary path and set its digest within the block.

        Parameters
        ----------
        stage : str
        key : str
        suffix : str
            Ending of the file's name, with the dot.
        recipe, inputs, version
            What the key was made of, the last of the stage, kept as provenance.

        Raises
        ------
        StoreError
            If the block ends without a digest: a fault of the stage.
        """
        if suffix in (".json", ".log"):
            raise StoreError(f"an artifact cannot end in {suffix}, as its record or log does: choose another suffix")
        final = self.root / stage / f"{key}{suffix}"
        started = time.monotonic()
        with temporary_path(final) as temporary:
            work = Writing(temporary)
            yield work
            if not work.digest:
                raise StoreError(f"stage {stage} wrote {final} without giving its digest")
            item = Item(key, work.digest, str(final.relative_to(self.root)), work.parts)
            record = {
                **item.to_json(),
                "stage": stage,
                "version": version,
                "bytes": temporary.stat().st_size,
                "sha256": file_sha256(temporary),
                "recipe": recipe,
                "inputs": inputs,
                "cost": {**_cost(started), **work.cost},
                "facts": work.facts,
                "made_by": {"rasterloom": __version__, "python": platform.python_version()},
            }
            with temporary_path(self.record_path(stage, key)) as told:
                told.write_text(json_text(record), encoding="utf-8")
                flush(temporary)  # which takes long, so not under the lock
                flush(told)
                with self.committing():
                    self._say_if_different(stage, key, record, work.say)
                    self.record_path(stage, key).unlink(missing_ok=True)
                    temporary.replace(final)
                    told.replace(self.record_path(stage, key))
                flush(final.parent)
        work.item = item

    def _say_if_different(self, stage: str, key: str, record: Mapping[str, Any], say: Callable[[str], None]) -> None:
        """Say loudly that an artifact came out differently from the same inputs: keys promise that it does not."""
        earlier = read_record(self.record_path(stage, key))
        if earlier is not None and earlier["digest"] != record["digest"]:
            say(
                f"WARNING: {self.root / record['path']} was made again from the same inputs, and its content differs "
                f"(digest {earlier['digest'][:12]} before, {record['digest'][:12]} now; made by "
                f"{_makers(earlier)} before, {_makers(record)} now). Stage {stage} is not deterministic here, or the "
                "earlier one is from another processor or other libraries. What was made from it is made again by the "
                "next run."
            )

    @contextmanager
    def committing(self) -> Iterator[None]:
        """Alone among all processes that use the store: for a writer, and for who removes something.

        Keeps file and record of one artifact together when two runs that share the store write the same key.
        """
        with (self.root / COMMIT_LOCK).open("w") as lock:
            locked(lock, wait=True)
            yield

    @contextmanager
    def _looking(self) -> Iterator[None]:
        """Together with other readers, but without a writer, or `gc`, that changes what is looked at."""
        try:
            lock = (self.root / COMMIT_LOCK).open("rb", buffering=0)
        except (FileNotFoundError, NotADirectoryError, PermissionError):  # nothing was written, or it is not for us
            yield
            return
        with lock:
            locked(lock, shared=True, wait=True)
            yield


def _makers(record: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {version}" for name, version in sorted(record.get("made_by", {}).items()))


def _cost(started: float) -> dict[str, float]:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": round(time.monotonic() - started, 3), "peak_memory_mb": round(peak, 1)}


def read_record(path: Path) -> dict[str, Any] | None:
    """The provenance of an artifact, or None if there is none that can be read."""
    record = sound_json(path)
    return record if isinstance(record, dict) and {"key", "digest", "path", "bytes"} <= record.keys() else None


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, read once."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
