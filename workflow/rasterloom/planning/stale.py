"""Which artifacts a run would compute, and why: every stage is asked what it wants, and nothing is computed.

The key of an artifact that is made from another one is known only when that one is. Where a run would compute the
other one first, its content is not known yet: the artifact is then computed only if that content is another.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

from rasterloom.errors import RasterloomError
from rasterloom.planning.graph import Dag
from rasterloom.planning.reasons import NOTHING, PENDING, Change, KeyPaths, differences, shown
from rasterloom.stages import artifact_stages, folder_of, module_of, names_of, output_of
from rasterloom.store.digest import canonical
from rasterloom.store.files import sound_json
from rasterloom.store.job import Job, Wanted
from rasterloom.store.manifest import Manifest
from rasterloom.store.store import KEY_DIGITS, Item, Store, read_record
from rasterloom.text import few, now_and_then

_KEYED = re.compile(rf"([0-9a-f]{{{KEY_DIGITS}}})(\.[a-z.]+)")


class _Pending(RasterloomError):
    """A stage wants to read an artifact that is not there yet."""

    def __init__(self, place: str) -> None:
        super().__init__(f"{place} is not there yet")
        self.place = place


@dataclass(frozen=True)
class Stale:
    """An artifact that a run would compute.

    Attributes
    ----------
    stage : str
    place : str
        Where its link is, below the results folder and without its ending: ``masks/s1024/trees/6010_1_2``.
    certain : bool
        False: only if what it follows from turns out to have another content.
    changes : tuple of Change
        Its own reasons; empty if there was no such artifact before, or if it only follows others.
    follows : tuple of str
        Places of the artifacts that a run would compute first, and that it is made from.
    roots : tuple of Change
        The reasons that those are computed for.
    lost : bool
        True: a manifest names it, but the store does not have it any more.
    """

    stage: str
    place: str
    certain: bool
    changes: tuple[Change, ...] = ()
    follows: tuple[str, ...] = ()
    roots: tuple[Change, ...] = ()
    lost: bool = False

    @property
    def why(self) -> str:
        """The reason in words."""
        if self.lost:
            return "the store has lost it: run `rasterloom verify --mend` first"
        if self.certain:
            return "; ".join(map(str, self.changes)) or "there was none before"
        because = f" ({few(self.roots, '; ')})" if self.roots else ""
        return f"if {few(self.follows)} {'changes' if len(self.follows) == 1 else 'change'}{because}"


class _PlannedStore(Store):
    """The store, of which artifacts that are not there yet cannot be opened."""

    def __init__(self, store: Store) -> None:
        super().__init__(store.root, store.recompute)

    def open_path(self, item: Item) -> Path:
        if item.digest.startswith(PENDING):
            raise _Pending(item.digest.removeprefix(PENDING))
        return super().open_path(item)


class Walk:
    """A walk through all jobs in the order of the data.

    Parameters
    ----------
    dag : Dag
    store : Store
    merged : mapping
        The configuration that `dag` was made of, as YAML gave it.

    Notes
    -----
    Cost: a record of the store is read for each artifact, and source files whose size or time changed are read in
    full, as their content decides. Nothing is written but what is remembered of those.
    """

    def __init__(self, dag: Dag, store: Store, merged: Mapping[str, Any]) -> None:
        self.dag = dag
        self.store = _PlannedStore(store)
        self.planned: dict[str, Manifest] = {}
        self.paths = KeyPaths(dag.recipe, merged, _latest_recipe(dag.results))
        self.items = 0
        self._roots: dict[str, tuple[Change, ...]] = {}
        self._links = cache(lambda folder: dict(_links(folder)))

    def stale(self, progress: Callable[[int, int], None] = lambda done, total: None) -> Iterator[Stale]:
        """The artifacts that a run would compute, stage by stage; `progress` hears of each job that was looked at."""
        jobs = [(stage, names) for stage, names in self.dag.in_order() if stage in artifact_stages()]
        for done, (stage, names) in enumerate(jobs, 1):
            yield from self._job(stage, names)
            progress(done, len(jobs))

    def _job(self, stage: str, names: Mapping[str, str]) -> Iterator[Stale]:
        spec, sources = self.dag.spec(stage, **names), self.dag.sources(stage, **names)
        output = self.dag.results / output_of(spec)
        folder = folder_of(stage, output)
        job = Job(spec, sources, self.dag.results, self.store, output, folder, quiet=True, planned=self.planned)
        items: dict[str, Item] = {}
        for name, want in self._wanted(job):
            place = str(job.folder.relative_to(self.dag.results) / name)
            self.items += 1
            item = None if isinstance(want, _Pending) else self.store.lookup(stage, want.key)
            if item is None:
                pending = f"{PENDING}{place}"
                item = Item("", pending, "", defaultdict(partial(str, pending)))  # whatever part of it is asked for
                yield self._reason(job, name, place, want)
            items[name] = item
        self.planned[output_of(spec)] = Manifest(stage, items)

    def _wanted(self, job: Job) -> Iterable[tuple[str, Wanted | _Pending]]:
        """What a job wants, by name; where that cannot be known yet, what it waits for.

        Scenes are then asked one by one, so that one that is not known yet hides no other.
        """
        names = names_of(job.spec)
        try:
            # without what is needed to make them: labels of many scenes are not held at once
            return [(want.name, replace(want, work=None)) for want in module_of(job.stage).wanted(job)]
        except _Pending as waiting:
            if len(names) == 1 or names != job.spec.get("scenes"):
                return [(name, waiting) for name in names]
        return [entry for name in names for entry in self._wanted(replace(job, spec={**job.spec, "scenes": [name]}))]

    def _reason(self, job: Job, name: str, place: str, want: Wanted | _Pending) -> Stale:
        """Why an artifact that the store does not have would be computed; its reasons are those of what follows it."""
        before = self._record(job, name)
        if isinstance(want, _Pending):
            found = Stale(job.stage, place, before is None, follows=(want.place,))
        else:
            follows = tuple(sorted(set(re.findall(rf'"{PENDING}([^"]+)"', canonical(want.inputs)))))
            found = self._compared(job, place, want, before, follows)
        roots = dict.fromkeys(root for other in found.follows for root in self._roots.get(other, ()))
        self._roots[place] = tuple(dict.fromkeys([*found.changes, *roots]))
        return replace(found, roots=tuple(roots))

    def _compared(
        self, job: Job, place: str, want: Wanted, before: tuple[str, dict[str, Any]] | None, follows: tuple[str, ...]
    ) -> Stale:
        """An artifact against the record of the one before."""
        if before is None:
            return Stale(job.stage, place, True, follows=follows)
        key, old = before
        if key == want.key:
            wished = job.stage in self.store.recompute
            reason = (Change("RASTERLOOM_RECOMPUTE", NOTHING, job.stage),) if wished else ()
            return Stale(job.stage, place, True, reason, lost=not wished)
        made_of = {"stage version": job.spec["version"], "recipe": want.recipe, "inputs": want.inputs}
        found = list(differences({k: old.get(k, v) for k, v in made_of.items()}, made_of))
        # A pending digest says nothing yet; and where a setting differs, so do inputs that follow from it.
        known = [entry for entry in found if entry[1] is None or PENDING not in canonical(entry[2])]
        settings = [entry for entry in known if entry[0][0] != "inputs"]
        changes = [Change(self._path(job, path), shown(one), shown(other)) for path, one, other in settings or known]
        return Stale(job.stage, place, bool(known) or not follows, tuple(changes), follows)

    def _path(self, job: Job, path: tuple[str, ...]) -> str:
        if path[0] == "recipe" and len(path) > 1:
            return self.paths.of(job.spec, path[1:])
        if path[:2] == ("inputs", "sensors") and len(path) > 2 and path[2] in job.sources.get("sensors", {}):
            files = ", ".join(Path(file["path"]).name for file in job.sources["sensors"][path[2]])
            return f"{'.'.join(path)} ({files})"
        return ".".join(path)

    def _record(self, job: Job, name: str) -> tuple[str, dict[str, Any]] | None:
        """Key and record of the artifact that the results tree has under this name; None if it has none."""
        key = self._links(job.folder).get(name)
        if key is None:
            return None
        record = read_record(self.store.record_path(job.stage, key)) or {}
        stage_version = {"stage version": record["version"]} if record.get("version") is not None else {}
        return key, {**record, **stage_version}


def _links(folder: Path) -> Iterator[tuple[str, str]]:
    """Name and key of each artifact that a folder of the results tree links to."""
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        match = _KEYED.fullmatch(path.readlink().name) if path.is_symlink() else None
        if match and path.name.endswith(match[2]):
            yield path.name.removesuffix(match[2]), match[1]


def _latest_recipe(results: Path) -> dict[str, Any]:
    """The configuration of the latest run; empty if there was none."""
    value = sound_json(results / "config.json")
    return value if isinstance(value, dict) else {}


# Saying it --------------------------------------------------------------------------------------------------


def main_stale(dag: Dag, store: Store, merged: Mapping[str, Any]) -> None:
    """Print the artifacts that a run would compute, a line each, and a summary."""
    walk = Walk(dag, store, merged)
    found: list[Stale] = []
    say = now_and_then()
    for entry in walk.stale(lambda done, total: say(f"plan: looked at {done} of {total} jobs")):
        found.append(entry)
        print(f"{entry.stage}\t{entry.place}\t{entry.why}")
    print(summary(found, walk.items))


def summary(found: Iterable[Stale], total: int) -> str:
    """What a list of stale artifacts amounts to, in a few lines.

    Parameters
    ----------
    found : iterable of Stale
    total : int
        Artifacts of a full run.
    """
    entries = list(found)
    if not entries:
        return f"Nothing is stale: the store has all {total} artifacts; a run computes none."
    sure = Counter(entry.stage for entry in entries if entry.certain)
    perhaps = Counter(entry.stage for entry in entries if not entry.certain)
    lines = [f"{sum(sure.values())} of {total} artifacts would be computed{_by_stage(sure)}"]
    if perhaps:
        lines.append(f"{sum(perhaps.values())} more if what they follow from changes{_by_stage(perhaps)}")
    reasons = Counter(change for entry in entries for change in entry.changes if not change.path.startswith("inputs"))
    lines += [f"  {change} ({count} artifact{'s' * (count > 1)})" for change, count in reasons.most_common()]
    return "\n".join(lines)


def _by_stage(counts: Counter[str]) -> str:
    return ": " + ", ".join(f"{stage} {count}" for stage, count in counts.items()) if counts else ""
