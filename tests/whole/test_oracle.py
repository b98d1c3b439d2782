"""Caching against an oracle: random edits of a project of instant stages, each compared with a run from nothing.

After each edit a run computes what the store lacks and nothing else, `plan --stale` has named all of it with its
reasons, and everything that is there then is, byte for byte, what a run from nothing gives. ``RASTERLOOM_ORACLE_EDITS``
is the number of edits (`make oracle`), ``RASTERLOOM_ORACLE_SEED`` another random sequence of them.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

import oracle_edits
import oracle_stages
from common import ROOT
from matrix import jobs_table
from oracle_edits import EDITS, LOSSES, SETTINGS, edited
from oracle_project import Key, Outcome, Runs, Table, World, differing, raising
from rasterloom.errors import StoreError
from rasterloom.planning.stale import Stale
from rasterloom.store.manifest import Manifest
from warm_python import WarmPython

pytestmark = pytest.mark.slow

STEPS = 20
EDITS_IN_CI = 240
NUMBER = st.integers(0, 2**24)
FOLDERS = st.sampled_from(["results", "other"])
KILLS = st.one_of(st.none(), st.none(), st.none(), st.none(), st.integers(0, 600))
ACTS: list[Any] = [*EDITS, *LOSSES, *["revert"] * 4, "collect"]
REAL = {"place", "normalisation", "split"}
"""Stages that compute what they always do: of other inputs they may well make the same."""
COUNTS: Counter[str] = Counter()
"""Of this process: edits, runs, artifacts computed, kills."""


class Oracle(RuleBasedStateMachine):
    """A project of two recipes over one store."""

    folder: Path
    """Where projects lie, one after the other."""

    def __init__(self) -> None:
        super().__init__()
        os.chdir(self.folder)  # an earlier project may have failed before it could be left
        own, first = self.folder / "project", self.folder / "first"
        shutil.rmtree(own, ignore_errors=True)
        if first.exists():
            subprocess.run(["cp", "-a", first, own], check=True)
        else:
            own.mkdir()
        self.world = World(own)
        self.past: dict[str, list[Table]] = defaultdict(list)
        self.earlier = [self.world.state]
        self.lost = self.sources_changed = False
        self.contents: dict[tuple[str, int, str], Key] = {}
        if not first.exists():
            self.run("results", None)
            subprocess.run(["cp", "-a", own, first], check=True)
        self.past["results"].append(self.world.merged("results"))

    def teardown(self) -> None:
        self.world.close()

    @rule(act=st.sampled_from(ACTS), pick=NUMBER, results=FOLDERS, runs=st.integers(0, 4), kill=KILLS)
    def step(self, act: Any, pick: int, results: str, runs: int, kill: int | None) -> None:
        """An edit; after most of them a run, which is killed now and then, and made again."""
        before = self.world.state
        if act in EDITS:
            done = edited(self.world, act, results, pick)
            self.earlier += [self.world.state] * done
        elif act == "revert":
            done = self.revert(pick)
        elif act == "collect":
            done = self.collect(results)
        else:
            act(self.world, results, pick)
            done = self.lost = True
        if done:
            self.sources_changed |= (before.rows, before.files) != (self.world.state.rows, self.world.state.files)
            COUNTS["edits"] += 1
            COUNTS[act if isinstance(act, str) else act.__name__] += 1
            if runs:
                self.run(results, kill)

    def revert(self, pick: int) -> bool:
        """Everything, or the configurations alone, is as it was at some time before."""
        earlier, now = self.earlier[pick // 2 % len(self.earlier)], self.world.state
        return self.world.accept(replace(earlier, rows=now.rows, files=now.files) if pick % 2 else earlier)

    def collect(self, results: str) -> bool:
        """`rasterloom gc`: afterwards nothing has to be computed that a folder names."""
        if Path(results).exists():
            for folder in ("results", "other"):
                if self.lost and Path(folder).exists():
                    Runs(self.world, folder).mend()
            self.lost = False
            self.run(results, None)
            Runs(self.world, results).collect()
            assert not self.run(results, None).computed
        return Path(results).exists()

    # Runs

    def run(self, results: str, kill: int | None) -> Outcome:
        """Run a folder, perhaps killed before, and compare."""
        runs = Runs(self.world, results)
        if kill is not None:
            COUNTS["kills"] += runs.killed(kill)
        stale, held = self.stale(results), self.world.held()
        foreseen = list(runs.planned()) if COUNTS["runs"] % 4 == 0 else None
        outcome = runs.run()
        if not outcome.ended:
            assert self.lost, outcome.said
            assert re.search("verify --mend", outcome.said), outcome.said
            runs.mend()
            stale, held = self.stale(results), self.world.held()
            foreseen, outcome = None, runs.run()
            assert outcome.ended, outcome.said
        assert foreseen in (None, outcome.jobs), "a dry run said something else"
        COUNTS["runs"] += 1
        COUNTS["computed"] += len(outcome.computed)
        needless = outcome.computed.keys() & held
        assert not needless, f"computed although the store had them: {needless}"
        self.compare(results)
        if stale is not None:
            self.reasons(results, stale, outcome, held)
        self.past[results].append(self.world.merged(results))
        again = list(runs.planned())
        assert not again, f"a second run has something to do: {again}"
        return outcome

    def stale(self, results: str) -> list[Stale] | None:
        """What would be computed and why; None if something that was lost hides it."""
        try:
            return self.world.stale(results)
        except StoreError as error:
            assert self.lost, error
            return None

    def compare(self, results: str) -> None:
        """No wrong hit: outputs and artifacts are those of a run from nothing."""
        with self.world.version():
            dag = self.world.dag(results)
        expected = self.world.from_nothing(results)
        for path in (path for paths in dag.outputs().values() for path in paths):
            text = Path(results, path).read_text("utf-8")
            assert text == expected[path], f"{path} differs from that of a run from nothing"
            if not path.endswith(".json"):
                continue
            manifest = Manifest.read(Path(results, path))
            version = self.world.state.versions[manifest.stage]
            for name, item in manifest.items.items():
                own, wanted = self.world.store.root / item.path, expected[f"{manifest.stage}/{item.key}"]
                there = own.read_text("utf-8") if own.is_file() else ""
                # a run that does not read an artifact does not see that it is gone, or cut off
                assert there == wanted or (self.lost and wanted.startswith(there)), (path, name)
                first = self.contents.setdefault((manifest.stage, version, item.digest), (path, item.key))
                assert first[1] == item.key or manifest.stage in REAL, f"{path}, {name}: {first[0]} had it, other key"

    def reasons(self, results: str, stale: list[Stale], outcome: Outcome, held: set[Key]) -> None:
        """Each computation was foretold, with a reason that is true."""
        foretold = {entry.place: entry for entry in stale}
        unforeseen = [place for place in outcome.computed.values() if place not in foretold]
        assert not unforeseen, f"not in plan --stale: {unforeseen}"
        present = self.world.merged(results)
        keys = {key for before in [*self.past[results], {}] for key in differing(before, present)}
        places = {place: key for key, place in outcome.computed.items()}
        for entry in stale:
            assert entry.why
            if entry.certain and not self.lost and entry.place not in places:
                key = entry.stage, self.key(results, entry)
                assert key in outcome.computed or (entry.follows and key in held), f"not computed: {entry}"
            named = [*entry.changes, *entry.roots]
            true = [change for change in named if self.is_true(change.path, keys)]
            for change in named:
                derived = re.search(r"prediction\.quality \(", change.path)
                assert change in true or (derived and true), (entry, change, keys)

    def is_true(self, path: str, keys: set[str]) -> bool:
        """Whether what a reason names has changed."""
        if re.match(r"(inputs|tuning/|stage version)", path):
            return True
        if re.match(r"(ground|folds|names|acquisition|tile)\b", path):  # columns of the sheet
            return self.sources_changed
        path = path.removesuffix(".order").split(" (")[0]
        return any(re.fullmatch(path.replace("*", r"[^.]+"), key) for key in keys)

    def key(self, results: str, entry: Stale) -> str:
        link = next(path for path in Path(results).glob(f"{entry.place}.*") if path.is_symlink())
        return link.readlink().name.split(".")[0]


@pytest.fixture
def instant(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    oracle_stages.install(monkeypatch.setattr)
    memory = Path("/dev/shm")
    monkeypatch.chdir(Path.cwd())  # runs change it: what comes after is to be where it was
    with raising(), tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        monkeypatch.setattr(Oracle, "folder", Path(folder), raising=False)
        yield


def test_no_edit_leads_to_a_wrong_hit_or_needless_work(instant: None) -> None:
    wished = int(os.environ.get("RASTERLOOM_ORACLE_EDITS", EDITS_IN_CI))
    given = os.environ.get("RASTERLOOM_ORACLE_SEED")
    options = settings(
        max_examples=max(1, wished // STEPS),
        stateful_step_count=STEPS,
        derandomize=given is None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )
    machine = Oracle if given is None else seed(int(given))(Oracle)
    try:
        run_state_machine_as_test(machine, settings=options)
    finally:
        print(dict(COUNTS))


# Snakemake itself -----------------------------------------------------------------------------------------


def snakemake(folder: Path, python: Path, *arguments: str) -> str:
    """Run the workflow of a folder with instant stages; gives what it said."""
    support = str(ROOT / "tests/support")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder / "workflow"), support])}
    command = [str(python), "-m", "snakemake", "--cores", "1", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return done.stdout + done.stderr


def instant_workflow(folder: Path) -> None:
    """The repository's rules and library, whose jobs and planning use instant stages."""
    for name in ("profiles", "envs"):
        (folder / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "workflow", folder / "workflow", ignore=shutil.ignore_patterns("__pycache__"))
    install = "import oracle_stages\noracle_stages.install(setattr)\n"
    text = (ROOT / "Snakefile").read_text("utf-8")
    (folder / "Snakefile").write_text(text.replace("\nRULES = ", f"\n{install}RULES = "), encoding="utf-8")
    main = folder / "workflow/rasterloom/__main__.py"
    main.write_text(f"{install}{main.read_text('utf-8')}", encoding="utf-8")


@pytest.mark.workflow
def test_snakemake_runs_the_same_jobs(instant: None, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """What the oracle's runs take for Snakemake's choice is Snakemake's choice."""
    world = World(tmp_path)
    instant_workflow(tmp_path)
    edits = [
        *(
            (oracle_edits.scene_changed, 20),
            (oracle_edits.setting, len(SETTINGS)),
            (oracle_edits.file_changed, 40),
        ),
        *((oracle_edits.scene_added, 4), (oracle_edits.renamed, 0), (oracle_edits.scene_removed, 1)),
    ]
    runs, numbers = Runs(world, "results"), []
    with WarmPython(tmp_path_factory.mktemp("warm") / "python") as warm:
        for number, (edit, pick) in enumerate([(None, 0), *edits]):
            if edit is not None:
                assert edited(world, edit, "results", pick)
            table = yaml.safe_dump(world.state.configs["results"], sort_keys=False)
            Path("config.yaml").write_text(table, encoding="utf-8")
            foreseen = runs.planned()
            said = snakemake(tmp_path, warm.executable, "-n")
            jobs = {} if "Nothing to be done" in said else jobs_table(said)
            assert Counter(stage for stage, _ in foreseen.values()) == Counter(jobs) - Counter(["all", "total"] * 999)
            numbers.append(len(foreseen))
            if number == 2:
                snakemake(tmp_path, warm.executable)
            else:
                assert runs.run().jobs == [*foreseen]
            assert not runs.planned()
            expected = world.from_nothing("results")
            assert {path: Path("results", path).read_text("utf-8") for path in expected if "." in path} == {
                path: text for path, text in expected.items() if "." in path
            }
    world.close()
    assert len({*numbers}) > 3 and min(numbers) == 1, numbers
