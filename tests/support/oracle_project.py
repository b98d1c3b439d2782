"""A project of instant stages that is edited at random, and the runs of it that Snakemake would make.

Runs are made in this process: `Rules`, which the `.smk` files call, says what must run, and the command line of each
job is what its rule would start. What Snakemake adds is in `Runs.plan`, a few lines; tests compare it with the real
one.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import io
import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from oracle_stages import LOG, image_text, later
from rasterloom import cli
from rasterloom.errors import RasterloomError
from rasterloom.planning import guard
from rasterloom.planning.graph import Dag
from rasterloom.planning.rules import Rules
from rasterloom.planning.stale import Stale, Walk
from rasterloom.stages import STAGES, artifact_stages, job_of, module_of
from rasterloom.store.digest import canonical, digest
from rasterloom.store.files import sound_json
from rasterloom.store.store import Item, Store, Writing
from rasterloom.tools import gc, verify
from small_recipe import small_recipe

Table = dict[str, Any]
Key = tuple[str, str]

VERSIONS = {stage: int(module_of(stage).VERSION) for stage in STAGES}

NOTHING = "nothing"
"""The results folder of a run from nothing."""

CONFIG = small_recipe(
    {"layout": "sheet", "table": "scenes.tsv"},
    {"rgb": {"reference": True, "registration": "none"}, "m": {"bands": 2, "registration": "auto", "max_shift": 8}},
    trees="unet",
    size=16,
    split=0.6,
)

KNOWN: dict[str, dict[str, str]] = {}
"""What runs from nothing gave, by what they were made of."""

COLUMNS = ("scene", "split", "ground", "acquisition", "labels", "rgb", "m")


@dataclass(frozen=True)
class File:
    """What a file holds, and its time in nanoseconds."""

    text: str
    time: int


@dataclass
class State:
    """What a user has: configurations by results folder, rows of the sheet, files by path, versions of stages."""

    configs: dict[str, Table]
    rows: dict[str, dict[str, str]] = field(default_factory=dict)
    files: dict[str, File] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=lambda: dict(VERSIONS))
    later: bool = False

    def meaning(self, results: str) -> str:
        """Digest of what decides the results of a folder: no times."""
        texts, config = {path: file.text for path, file in self.files.items()}, self.configs[results]
        return digest([canonical(config), list(config["sensors"]), self.rows, texts, self.versions])


@dataclass
class Outcome:
    """A run: whether it ended well, what it said, the jobs that it started, and what they computed: place by key."""

    ended: bool
    said: str
    jobs: list[str]
    computed: dict[Key, str]


class World:
    """A folder with a data set, and results of two recipes over one store; the working directory while it is used."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = Store(folder / "store")
        self.log = folder / "log"
        os.environ |= {LOG: str(self.log), "RASTERLOOM_STORE": str(self.store.root)}
        self.before, self.past = Path.cwd(), 1_600_000_000_000_000_000
        self.clock = 1_700_000_000_000_000_000
        os.chdir(folder)
        configs = {name: {**copy.deepcopy(CONFIG), "results": name} for name in ("results", "other")}
        self.state = State(configs)
        self.counter = 0
        for number, split in enumerate(["train", "train", "train", "predict"]):
            self.add_scene(self.state, f"s{number}", split)
        self.write(self.state)

    def close(self) -> None:
        """Leave the folder, and stages with the versions that they have."""
        for stage, version in VERSIONS.items():
            module_of(stage).VERSION = version
        os.chdir(self.before)
        for name in (LOG, "RASTERLOOM_STORE"):
            del os.environ[name]

    # What a user has

    def number(self) -> int:
        """A number that was never given."""
        self.counter += 1
        return self.counter

    def newer(self) -> int:
        """A time after all others."""
        self.clock += 1_000_000_000
        return self.clock

    def older(self) -> int:
        """A time before all others."""
        self.past -= 1_000_000_000
        return self.past

    def image(self, bands: int) -> str:
        """A new image."""
        return image_text([self.number() for _ in range(bands)])

    def labels(self) -> str:
        """New labels; of some classes none."""
        number = self.number()
        return json.dumps(
            {"buildings": [number, 2], "trees": [number + 1] if number % 3 else [], "houses": [number, 2]}
        )

    def add_scene(self, state: State, name: str, split: str) -> None:
        """A scene with files of its own; what is to be predicted has truth, now and then."""
        row = {"scene": name, "split": split, "rgb": f"data/{name}.rgb.tif", "m": f"data/{name}.m.tif"}
        state.files[row["rgb"]], state.files[row["m"]] = (File(self.image(n), self.newer()) for n in (1, 2))
        if split == "train" or self.number() % 2:
            row["labels"] = f"data/{name}.geojson"
            state.files[row["labels"]] = File(self.labels(), self.newer())
        state.rows[name] = row

    def write(self, state: State) -> None:
        """Put everything on disk; the state is this one from now on."""
        for path in [*self.state.files]:
            if path not in state.files or self.state.files[path] != state.files[path]:
                Path(path).unlink(missing_ok=True)
        for path, file in state.files.items():
            if not Path(path).exists():
                Path(path).parent.mkdir(exist_ok=True)
                Path(path).write_text(file.text, encoding="utf-8")
                os.utime(path, ns=(file.time, file.time))
        rows = ["\t".join(COLUMNS), *("\t".join(row.get(c, "") for c in COLUMNS) for row in state.rows.values())]
        Path("scenes.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
        self.state = state
        for stage, version in state.versions.items():
            module_of(stage).VERSION = version

    def accept(self, state: State) -> bool:
        """Put everything on disk, unless a run would refuse it."""
        before = self.state
        if not any(row["split"] == "train" and row["m"] for row in state.rows.values()):
            return False  # a job would say that a sensor has no statistics
        self.write(state)
        try:
            for results in state.configs:
                with self.version():
                    dag = self.dag(results)
                    for stage, names in dag.in_order():
                        dag.spec(stage, **names), dag.sources(stage, **names)
        except RasterloomError:
            self.write(before)
            return False
        return True

    def version(self) -> contextlib.AbstractContextManager[None]:
        """The library's version."""
        return later(self.state.later)

    def merged(self, results: str) -> Table:
        """The configuration as YAML gives it."""
        return copy.deepcopy(self.state.configs[results])

    def dag(self, results: str) -> Dag:
        """The graph of jobs."""
        return Dag.load(self.merged(results))

    # What is there

    def held(self) -> set[Key]:
        """The artifacts that the store has."""
        found = set()
        for path in artifacts(self.store):
            value = sound_json(record_of(path))
            if isinstance(value, dict) and path.stat().st_size == value["bytes"]:
                found.add((path.parent.name, value["key"]))
        return found

    def stale(self, results: str) -> list[Stale]:
        """What `rasterloom plan --stale` lists."""
        merged = self.merged(results)
        with self.version():
            return list(Walk(Dag.load(merged), self.store, merged).stale())

    def from_nothing(self, results: str) -> dict[str, str]:
        """What a run gives in an empty folder over an empty store: outputs by path, artifacts by stage and key."""
        meaning = self.state.meaning(results)
        if meaning not in KNOWN:
            own = PlainStore(self.folder / "nothing-store")
            shutil.rmtree(own.root, ignore_errors=True)
            shutil.rmtree(NOTHING, ignore_errors=True)
            os.environ[LOG] = os.devnull
            with self.version(), contextlib.redirect_stderr(io.StringIO()):
                dag = Dag.load({**self.merged(results), "results": NOTHING})
                for stage, names in dag.in_order():
                    spec, sources = (json.loads(canonical(f(stage, **names))) for f in (dag.spec, dag.sources))
                    module_of(stage).run(job_of(spec, sources, dag.results, own))
            os.environ[LOG] = str(self.log)
            found = {path: (dag.results / path).read_text("utf-8") for own in dag.outputs().values() for path in own}
            for path in artifacts(own):
                found[f"{path.parent.name}/{path.name.split('.')[0]}"] = path.read_text("utf-8")
            KNOWN[meaning] = found
        return KNOWN[meaning]


class PlainStore(Store):
    """A store without locks, records or a memory beyond its run: what the other one is compared with."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.items: dict[Key, Item] = {}
        self.noticed: dict[str, Table] = {}

    def register(self, results: Path) -> None:
        """See `Store`."""

    def find(self, stage: str, key: str) -> Item | None:
        """See `Store`."""
        return self.items.get((stage, key))

    def open_path(self, item: Item) -> Path:
        """See `Store`."""
        return self.root / item.path

    def facts(self, item: Item) -> Table:
        """See `Store`."""
        return self.noticed[item.path]

    @contextlib.contextmanager
    def writing(self, stage: str, key: str, suffix: str, **made_of: Any) -> Iterator[Writing]:
        """See `Store`."""
        (self.root / stage).mkdir(parents=True, exist_ok=True)
        work = Writing(self.root / stage / f"{key}{suffix}")
        yield work
        work.item = self.items[stage, key] = Item(key, work.digest, f"{stage}/{key}{suffix}", work.parts)
        self.noticed[work.item.path] = work.facts


def record_of(artifact: Path) -> Path:
    """Where the record of an artifact belongs."""
    return artifact.with_name(f"{artifact.name.split('.')[0]}.json")


def artifacts(store: Store) -> list[Path]:
    """Every artifact of a store, sorted; perhaps without a record."""
    found = [path for stage in artifact_stages() for path in (store.root / stage).glob("[0-9a-f]*")]
    return sorted(p for p in found if p != record_of(p) and p.suffix != ".log" and p.is_file())


class Runs:
    """Runs of a results folder of a `World`, as Snakemake makes them."""

    def __init__(self, world: World, results: str) -> None:
        self.world, self.results = world, results
        self.incomplete = Path(f"{results}.incomplete")

    def workflow(self, dry: bool) -> Any:
        """What the library asks of Snakemake's workflow."""
        settings = SimpleNamespace(forceall=False, forcerun=frozenset(), forcetargets=False, rerun_triggers=None)
        return SimpleNamespace(
            dag=SimpleNamespace(forcefiles=set(), priorityrules=set(), jobs=[]),
            rules=[],
            dag_settings=settings,
            is_main_process=True,
            executor_plugin=object(),
            touch=False,
            dryrun=dry,
            resource_settings=SimpleNamespace(nodes=None, resources={}),
            storage_settings=SimpleNamespace(default_storage_provider=None),
            modifier=SimpleNamespace(path_modifier=SimpleNamespace(replace_prefix=str)),
            scheduler=SimpleNamespace(job_rate_limiter=None),
        )

    def plan(self, rules: Rules) -> dict[str, tuple[str, dict[str, str]]]:
        """Jobs that run, in their order: declared output, stage, wildcards."""
        dag, made = rules.dag, {}
        for stage, jobs in dag.jobs().items():
            for names in jobs:
                output = module_of(stage).OUTPUT.format(**names)
                path = dag.declared.get(output, output)
                own = names if path == output else {**names, "scene": Path(path).stem}
                made[f"{rules.results}/{path}"] = stage, own
        unfinished = self.incomplete.read_text("utf-8").splitlines() if self.incomplete.exists() else []
        known: dict[str, bool] = {}
        order: dict[str, tuple[str, dict[str, str]]] = {}

        def runs(path: str) -> bool:
            if path not in known:
                stage, names = made[path]
                inputs = [runs(read) for read in rules.manifests(stage)(names)]
                forced = path in rules.workflow.dag.forcefiles or path in unfinished
                known[path] = any(inputs) or forced or not Path(path).exists()
                if known[path]:
                    order[path] = made[path]
            return known[path]

        for target in rules.targets({}):
            runs(target)
        return order

    def rules(self, dry: bool = False) -> Rules:
        """The rules, as the Snakefile loads them."""
        return Rules.load(self.world.merged(self.results), workflow=self.workflow(dry))

    def run(self) -> Outcome:
        """A run in this process."""
        start = self.world.log.stat().st_size if self.world.log.exists() else 0
        said, jobs, ended = io.StringIO(), [], True
        with self.world.version(), contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            rules = self.rules()
            try:
                for path, (stage, names) in self.plan(rules).items():
                    if not jobs:
                        rules.start()
                    jobs.append(path)
                    if not self._job(rules, path, stage, names):
                        ended = False
                        break
                else:
                    rules.finish()
            finally:
                if rules._lock is not None:
                    rules._lock.close()
        return Outcome(ended, said.getvalue(), jobs, self._computed(start))

    def planned(self) -> dict[str, tuple[str, dict[str, str]]]:
        """The jobs of a dry run; see `plan`."""
        with self.world.version(), contextlib.redirect_stderr(io.StringIO()):
            return self.plan(self.rules(dry=True))

    def _computed(self, start: int) -> dict[Key, str]:
        if not self.world.log.exists():
            return {}
        lines = self.world.log.read_bytes()[start:].decode().splitlines()
        return {(stage, key): place for stage, key, place in (line.split(" ", 2) for line in lines)}

    def _job(self, rules: Rules, path: str, stage: str, names: dict[str, str]) -> bool:
        """Run a job as its rule would; whether it ended well."""
        Path(path).unlink(missing_ok=True)
        with self.incomplete.open("a", encoding="utf-8") as file:
            file.write(f"{path}\n")
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        given = [stage, "--results", rules.folder(names), "--spec", rules.spec(stage)(names)]
        given += ["--sources", rules.stamps(stage)(names)]
        given += ["--inputs", rules.inputs(stage)(names, SimpleNamespace(manifests=rules.manifests(stage)(names)))]
        given += ["--output", path]
        try:
            cli.main(given)
        except SystemExit as end:
            if end.code:
                Path(path).unlink(missing_ok=True)
            self.incomplete.unlink()
            return not end.code and Path(path).exists()
        return True

    def killed(self, after: int) -> bool:
        """A run in a process of its own, killed before it changes a file for the n-th time; whether it was."""
        child = os.fork()
        if not child:
            left = after

            def count(event: str, given: tuple[Any, ...]) -> None:
                nonlocal left
                wrote = event == "open" and isinstance(given[1], str) and set(given[1]) & set("wxa+")
                if wrote or event in _CHANGES:
                    left -= 1
                    if left < 0:
                        os._exit(9)

            try:
                sys.addaudithook(count)
                self.run()
            except BaseException as error:
                print(repr(error), file=sys.__stderr__)
                os._exit(3)
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert code in (0, 9), code
        return code == 9

    def mend(self) -> None:
        """``rasterloom verify --mend``."""
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            verify.main(argparse.Namespace(results=Path(self.results), mend=True))

    def collect(self) -> None:
        """``rasterloom gc``, when everything has become old."""
        for path in self.world.store.root.rglob("*"):
            os.utime(path, (1_500_000_000, 1_500_000_000), follow_symlinks=False)
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            gc.main(argparse.Namespace(results=Path(self.results), dry_run=False))


_CHANGES = {"os.rename", "os.remove", "os.symlink", "os.mkdir", "os.utime", "os.rmdir", "shutil.rmtree"}


@contextlib.contextmanager
def raising() -> Iterator[None]:
    """Errors in functions of rules are raised, where they would end the process."""
    real = guard.stop

    def stop(error: BaseException) -> Any:
        raise error

    guard.stop = stop  # type: ignore[assignment]
    try:
        yield
    finally:
        guard.stop = real


def differing(before: Any, after: Any, path: tuple[str, ...] = ()) -> Iterator[str]:
    """Every key, joined by dots, at or below which two configurations differ, and those above it."""
    if before == after and (not isinstance(before, Mapping) or list(before) == list(after)):
        return
    yield ".".join(path)
    if isinstance(before, list) and isinstance(after, list):
        before, after = ({str(i): v for i, v in enumerate(table)} for table in (before, after))
    both = [table if isinstance(table, Mapping) else {} for table in (before, after)]
    for key in {**both[0], **both[1]}:
        yield from differing(both[0].get(key), both[1].get(key), (*path, str(key)))
