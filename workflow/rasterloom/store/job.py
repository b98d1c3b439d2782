"""What a stage is given: its slice of the recipe, its inputs, the store, and the manifest to write."""

import time
import traceback
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rasterloom.errors import RasterloomError, StoreError
from rasterloom.store.digest import digest
from rasterloom.store.files import link, read_json, write_text
from rasterloom.store.logs import ArtifactLog
from rasterloom.store.manifest import Manifest
from rasterloom.store.store import KEY_DIGITS, Item, Store, Writing, file_sha256
from rasterloom.text import to_stderr

ASKED = ".asked"
"""Folder, in the results, of what each output was asked with."""

GROUPED: Mapping[str, str] = {
    "placement": "acquisitions",
    "predictions": "batches",
    "ensembles": "batches",
    "polygons": "batches",
}
"""Folders whose manifests hold several scenes, and the key of a spec that says which; elsewhere one holds one."""

DATASET = "statistics"
"""Name of the statistics that all scenes share; with those of acquisitions, a spec says in `units` which is whose."""


def wildcards(spec: Mapping[str, Any]) -> dict[str, str]:
    """The names in a spec by which its output is found: strings, and the ``name`` of named tables."""
    named = {key: value.get("name") if isinstance(value, dict) else value for key, value in spec.items()}
    return {key: value for key, value in named.items() if isinstance(value, str)}


def asked_path(results: Path, output: str) -> Path:
    """Where a digest of what an output was made with lies; `output` is relative to the results folder."""
    return results / ASKED / f"{output}.txt"


def content(path: Path) -> str:
    """SHA-256 of a file's bytes; nothing if it is not there."""
    return file_sha256(path) if path.is_file() else ""


def scene_manifests(folder: str, scenes: Iterable[str]) -> list[str]:
    """Paths, relative to the results folder, of the manifests of scenes in a folder that is not batched."""
    return [f"{folder}/{scene}.json" for scene in scenes]


def batch_manifests(folder: str, spec: Mapping[str, Any]) -> list[str]:
    """Paths, relative to the results folder, of the manifests of a spec's batches in a batched folder."""
    return [f"{folder}/{batch}.json" for batch in batches_of(spec)]


def placement_manifests(spec: Mapping[str, Any]) -> list[str]:
    """Paths, relative to the results folder, of the manifests of a spec's acquisitions: where their sensors lie."""
    return [f"placement/{name}.json" for name in spec["acquisitions"]]


def batches_of(spec: Mapping[str, Any]) -> dict[str, list[str]]:
    """The batches that a spec names, each with its scenes."""
    return dict(spec["batches"]) if "batches" in spec else {spec["batch"]: list(spec["scenes"])}


@dataclass(frozen=True)
class Wanted:
    """An artifact that a job stands for, before anybody has looked whether the store has it.

    Attributes
    ----------
    name : str
        Its name in the job's manifest: a scene, a fold, a sensor.
    key : str
        Where it lies in the store.
    recipe, inputs
        What it is made of, as its record says: the settings that decide it, and the digests of what it is made from.
    work
        Whatever else the stage needs to make it; nothing of it decides the content.
    """

    name: str
    key: str
    recipe: Any
    inputs: Any
    work: Any = None


@dataclass
class Job:
    """One run of one stage.

    Attributes
    ----------
    spec : dict
        Exactly the slice of the recipe that can change the output, with ``stage`` and ``version``.
    sources : dict
        Paths, sizes and times of the source files that the stage reads; never part of a key.
    results : Path
        The results folder.
    store : Store
    output : Path
        The file that this job writes last: its manifest, or a final table.
    folder : Path
        The folder of the results tree in which this job's artifacts are linked.
    quiet : bool
        It says nothing.
    started : float
        Monotonic seconds.
    computed, found : int
        Its items that were made, and those that were in the store.
    planned : dict or None
        Manifests that were read, or that a run would write, by their path in the results folder; None: none is kept.
    places : dict of str to str
        Paths of files that it reads, by their names in the results folder, where they may lie elsewhere.
    """

    spec: dict[str, Any]
    sources: dict[str, Any]
    results: Path
    store: Store
    output: Path
    folder: Path
    quiet: bool = False
    started: float = field(default_factory=time.monotonic)
    computed: int = 0
    found: int = 0
    planned: dict[str, Manifest] | None = None
    places: Mapping[str, str] = field(default_factory=dict)
    _last: float = 0.0
    _log: ArtifactLog | None = None

    @property
    def stage(self) -> str:
        """Name of the stage."""
        return str(self.spec["stage"])

    def manifest(self, name: str) -> Manifest:
        """The manifest that is called ``<name>.json`` in the results folder."""
        path, known = f"{name}.json", {} if self.planned is None else self.planned
        if path not in known:
            known[path] = Manifest.read(self.path(path))
        return known[path]

    def read(self, folder: str, name: str) -> dict[str, Any]:
        """The table in the JSON artifact of a name, of the manifest of that name in a folder such as ``tuning``."""
        path = self.store.open_path(self.manifest(f"{folder}/{name}").items[name])
        try:
            found: dict[str, Any] = read_json(path)
        except ValueError as error:
            raise StoreError(f"{path} was damaged ({error}): run `rasterloom verify --mend`") from None
        return found

    def path(self, name: str) -> Path:
        """Where a file lies that the job reads; `name` is its path in the results folder."""
        return Path(self.places.get(name, self.results / name))

    def items(self, folder: str, scenes: Iterable[str]) -> dict[str, Item]:
        """The items of scenes in a folder of manifests, such as ``stacks/s1024`` or ``ensembles/trees``.

        Raises
        ------
        StoreError
            If a manifest lacks a scene: it was written for another configuration.
        """
        wanted = list(scenes)
        grouped = GROUPED.get(folder.split("/")[0])
        groups: Mapping[str, Iterable[str]] = {scene: [scene] for scene in wanted}
        if grouped is not None:
            groups = batches_of(self.spec) if grouped == "batches" else self.spec[grouped]
        found: dict[str, Item] = {}
        for name, ids in groups.items():
            if chosen := set(wanted).intersection(ids):
                items = self.manifest(f"{folder}/{name}").items
                found.update({scene: items[scene] for scene in chosen if scene in items})
        missing = [scene for scene in wanted if scene not in found]
        if missing:
            raise StoreError(
                f"the manifests in {self.results / folder} do not hold scene {missing[0]}: they belong to another "
                "configuration; run the workflow again"
            )
        return {scene: found[scene] for scene in wanted}

    def key(self, recipe: Mapping[str, Any], inputs: Any) -> str:
        """The key of an artifact: digest of the stage, its version, a recipe and the digests of its inputs."""
        return digest([self.stage, self.spec["version"], recipe, inputs])[:KEY_DIGITS]

    def obtain(
        self, wanted: Iterable[Wanted], suffix: str, make: Callable[[Wanted, Writing], None], total: int = 1
    ) -> dict[str, Item]:
        """The items of what is wanted, by name: found in the store, or made, one after the other.

        Parameters
        ----------
        wanted : iterable of Wanted
        suffix : str
            Ending of the artifacts' names, with the dot.
        make : callable
            Writes the artifact to `Writing.path` and sets `Writing.digest`.
        total : int
            How many are wanted, to say how far the job is.
        """
        items: dict[str, Item] = {}
        for done, want in enumerate(wanted, 1):
            item = self.find(want)
            items[want.name] = self.made(want, suffix, make) if item is None else item
            self.progress(done, total, want.name)
        return items

    def find(self, want: Wanted) -> Item | None:
        """The artifact that is wanted, marked as used, or None if the store does not have it."""
        item = self.store.find(self.stage, want.key)
        self.found += item is not None
        return item

    def made(self, want: Wanted, suffix: str, make: Callable[[Wanted, Writing], None]) -> Item:
        """Make an artifact, whatever the store has; see `obtain`. Its log has what is said meanwhile, or stops it."""
        made_of = {"recipe": want.recipe, "inputs": want.inputs, "version": self.spec["version"]}
        self._log = ArtifactLog(self.store.log_path(self.stage, want.key))
        try:
            with self.store.writing(self.stage, want.key, suffix, **made_of) as work:
                work.say = self.log
                make(want, work)
        except BaseException as error:
            self._log.add(str(error) if isinstance(error, RasterloomError) else traceback.format_exc().rstrip())
            raise
        finally:
            self._log = None
        self.computed += 1
        return work.committed()

    def reading(self, size: int) -> bool:
        """Say that a source file of `size` bytes will be read in full; whether what it holds is remembered."""
        return size >= 0

    def log(self, text: str) -> None:
        """Say something: on the standard error stream, the job's log, and in that of the artifact that is made."""
        if not self.quiet:
            to_stderr(text)
            if self._log is not None:
                self._log.add(text)

    def progress(self, done: int, total: int, text: str = "") -> None:
        """Say how far the job is, at most once in two seconds and at the end."""
        now = time.monotonic()
        if done >= total or now - self._last >= 2.0:
            self._last = now
            seconds = now - self.started
            self.log(f"{self.stage}: {done}/{total} {text} [{seconds:.0f} s]".replace("  ", " "))

    def each(self, names: Collection[str]) -> Iterator[str]:
        """The names one after the other; says after each how far the job is."""
        for done, name in enumerate(names, 1):
            yield name
            self.progress(done, len(names), name)

    def finish(self, items: dict[str, Item]) -> None:
        """Link the artifacts into the results tree and write the manifest, which ends the job."""
        for name, item in items.items():
            suffix = Path(item.path).name.removeprefix(item.key)
            link(self.store.root / item.path, self.folder / f"{name}{suffix}")
        self.store.register(self.results)
        Manifest(self.stage, items).write(self.output)

    def asked(self, inputs: Iterable[str], contents: Callable[[str], str] | None = None) -> str:
        """Digest of what the output was made with, and of the output itself if it is a manifest.

        That is its slice of the recipe, paths, sizes and times of its source files, and contents of the files of the
        results folder that it reads.

        Parameters
        ----------
        inputs : paths of these, relative to the results folder
        contents : what is known of a file's `content`
        """
        own = self.output.relative_to(self.results).as_posix()
        read = contents or (lambda path: content(self.path(path)))
        known = {path: read(path) for path in [*inputs, *([own] if own.endswith(".json") else [])]}
        return digest([self.spec, self.sources, known])[:KEY_DIGITS]

    def remember(self, inputs: Callable[[Any], Iterable[str]]) -> None:
        """Write down, beside the results, what the output was made with, if it is there, and what that cost.

        Snakemake's own records stay where they are when results are copied, restored from a backup, or made by hand.

        Parameters
        ----------
        inputs : of the stage: from a spec the paths, relative to the results folder, of the files in it that it reads
        """
        if self.output.exists():
            path = asked_path(self.results, self.output.relative_to(self.results).as_posix())
            write_text(path, f"{self.asked(inputs(self.spec))}\n{self.computed} {self.found}\n")
