"""What the rules ask of the library."""

from __future__ import annotations

import copy
import inspect
import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from common import stand_in_dag
from rasterloom.config import load_config
from rasterloom.errors import ConfigError
from rasterloom.planning.graph import Dag
from rasterloom.planning.rules import Rules, prepare_jobs
from rasterloom.polygons.scores import COLUMNS
from rasterloom.report.runs import read_runs
from rasterloom.stages import job_of
from rasterloom.store.files import write_text
from rasterloom.store.folders import asked_outputs
from rasterloom.store.job import asked_path
from rasterloom.store.manifest import Manifest
from rasterloom.store.store import Store
from rasterloom.store.tables import tsv_text


@pytest.fixture
def rules(settings_table: dict[str, Any], tmp_path: Path) -> Rules:
    table = {**settings_table, "results": str(tmp_path / "results")}
    return Rules(stand_in_dag(table, ["6010_1_2", "6040_2_2"], ["6080_4_4"]), table)


def test_spec_is_asked_once_for_equal_wildcards(rules: Rules, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    real: Callable[..., dict[str, Any]] = rules.dag.spec
    monkeypatch.setattr(rules.dag, "spec", lambda stage, **names: asked.append(names) or real(stage, **names))
    spec = rules.spec("stack")
    first = spec({"scale": "s1024", "scene": "6010_1_2"})
    assert spec({"scene": "6010_1_2", "scale": "s1024"}) == first
    assert spec({"scene": "6040_2_2", "scale": "s1024"}) != first
    assert len(asked) == 2
    assert json.loads(first)["scale"] == {"name": "s1024", "size": 1024}


def test_inputs_say_where_snakemake_has_each_file(rules: Rules) -> None:
    """In the order in which the rule declares them, whatever Snakemake makes of their paths."""
    names = {"scale": "s1024", "scene": "6010_1_2"}
    declared = rules.manifests("stack")(names)
    assert declared == [f"{rules.results}/placement/6010.json"]
    found = json.loads(rules.inputs("stack")(names, SimpleNamespace(manifests=["copies/x.json"])))
    assert found == {"placement/6010.json": "copies/x.json"}
    assert {"wildcards", "input"} == inspect.signature(rules.inputs("stack")).parameters.keys(), "Snakemake's names"


def test_inputs_are_a_file_where_they_are_many(rules: Rules) -> None:
    many = SimpleNamespace(manifests=[f"{'long/' * 2_000}{path}" for path in rules.manifests("report")({})])
    given = rules.inputs("report")({}, many)
    assert given.startswith(f"@{rules.results}/.arguments/")
    assert list(json.loads(Path(given[1:]).read_text()).values()) == sorted(many.manifests)


def test_results_of_a_module_lie_under_its_prefix(settings_table: dict[str, Any]) -> None:
    dag = stand_in_dag({**settings_table, "results": "results"}, ["6010_1_2"], [])
    rules = Rules(dag, settings_table, workflow_with(prefix="area/"))
    assert (rules.declared, rules.results, dag.results) == (Path("results"), *[Path("area/results")] * 2)
    assert rules.folder({}) == "area/results", "a parameter, which Snakemake leaves as it is"
    rules.workflow = None
    assert all(path.startswith("results/") for path in rules.targets({})), "inputs, to which Snakemake adds the prefix"


def test_rules_of_a_results_folder_are_loaded_once(
    settings_table: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Snakemake reads a module's files for each `use rule`; a run must not find its own lock."""
    monkeypatch.setattr(Dag, "load", lambda merged: stand_in_dag(merged, ["6010_1_2"], []))
    monkeypatch.setattr("rasterloom.planning.rules.prepare_jobs", lambda share: None)
    tables = [{**settings_table, "results": str(tmp_path / name)} for name in ("one", "other")]
    workflow = workflow_with(True)
    first = Rules.load(tables[0], workflow=workflow)
    assert Rules.load(dict(tables[0]), workflow=workflow) is first
    assert Rules.load(tables[1], workflow=workflow) is not first
    assert Rules.load(tables[0], workflow=workflow_with(True)) is not first


def test_in_a_storage_each_manifest_is_declared_and_snakemake_decides(settings_table: dict[str, Any]) -> None:
    """A job gets what is declared and nothing else; the results folder says nothing of what the storage has."""
    ids = [f"{number}_0_0" for number in range(6000, 6100)]
    dag = stand_in_dag(settings_table, ids[:5], ids)
    assert dag.batched
    rules = Rules(dag, settings_table, workflow_with(True, storage="fs"))
    assert rules.settled() is None
    assert len(rules.targets({})) == sum(map(len, dag.outputs().values()))
    assert f"results/stacks/s1024/{ids[7]}.json" in rules.targets({})
    assert not rules.workflow.dag.forcefiles


def test_stamps_hold_size_and_time_of_each_source(rules: Rules) -> None:
    stamps = json.loads(rules.stamps("register")({"scene": "6010_1_2"}))
    assert set(stamps["sensors"]) == {"rgb", "p", "m", "a"}
    assert {"path", "size", "mtime_ns", "bands"} == set(stamps["sensors"]["m"][0])


def test_wildcards_are_the_names_of_the_configuration(rules: Rules) -> None:
    patterns = rules.wildcard_constraints
    assert re.fullmatch(patterns["class"], "standing_water")
    assert not re.fullmatch(patterns["class"], "standing")
    assert re.fullmatch(patterns["group"], "large_vehicle+small_vehicle+vehicles"), "names are escaped"
    assert re.fullmatch(patterns["file"], "wkt/trees.csv")
    assert not re.fullmatch(patterns["file"], "score.tsv")
    assert re.fullmatch(patterns["fold"], "sanity") and not re.fullmatch(patterns["fold"], "all")


def test_threads_are_those_of_the_recipe(settings_table: dict[str, Any]) -> None:
    table = copy.deepcopy(settings_table)
    table["classes"]["trees"]["training"] = {"threads": 7}
    rules = Rules(stand_in_dag(table, ["6010_1_2"], []), table)
    assert rules.threads("train")({"member": "trees-unet64-all20-s1024"}) == 7
    assert rules.threads("predict")({"member": "trees-unet64-all20-s1024"}) == 2
    table["classes"]["trees"]["prediction"] = {"threads": 5}
    assert Rules(stand_in_dag(table, ["6010_1_2"], []), table).threads("sanity")({}) == 5, "those of any member"


def test_only_networks_ask_for_a_gpu(rules: Rules) -> None:
    assert rules.gpus({"member": "trees-unet64-all20-s1024"}) == 1
    assert rules.gpus({"member": "waterway-forest-all20-s1024"}) == 0
    assert rules.gpus({"member": "waterway-linear-all20-s1024"}) == 0
    assert rules.gpus({}) == 1


def test_gpus_knows_the_member_in_the_wildcards_of_snakemake(rules: Rules) -> None:
    """Of which `in` asks for values, not for names."""
    from snakemake.iocontainers import Wildcards

    assert rules.gpus(Wildcards(fromdict={"member": "waterway-forest-all20-s1024", "fold": "fold-0"})) == 0


FOLD = {"member": "trees-unet64-all20-s1024", "fold": "fold-0"}


def test_minutes_are_a_day_off_a_cluster_and_without_a_rate(rules: Rules) -> None:
    assert [rules.minutes("train")(FOLD, attempt) for attempt in (1, 4)] == [1440, 1440]
    assert rules.minutes("train")({**FOLD, "member": "waterway-forest-all20-s1024"}, 2) == 240


@pytest.mark.parametrize(("minutes", "asked"), [(100, [100, 200]), (1000, [1000, 1440]), (5000, [1440, 1440])])
def test_minutes_on_a_cluster_follow_the_rates_and_the_attempt_up_to_a_day(
    rules: Rules, monkeypatch: pytest.MonkeyPatch, minutes: int, asked: list[int]
) -> None:
    found = {"models/trees-unet64-all20-s1024/fold-0.json": minutes}
    monkeypatch.setattr("rasterloom.planning.rates.job_minutes", lambda *given: found)
    monkeypatch.setattr("rasterloom.planning.sizes.read_sizes", lambda dag: None)
    rules.workflow = SimpleNamespace(resource_settings=SimpleNamespace(nodes=100))
    assert [rules.minutes("train")(FOLD, attempt) for attempt in (1, 2)] == asked
    assert rules.minutes("predict")({**FOLD, "batch": "6080_4_4"}, 1) == 1440, "of a network that nobody has timed"


def test_start_takes_the_lock_and_writes_the_recipe(rules: Rules, tmp_path: Path) -> None:
    rules.start()
    recipe = json.loads((tmp_path / "results/config.json").read_text())
    assert recipe["scales"]["s1024"] == {"size": 1024}
    assert list(recipe["sensors"]) == ["rgb", "p", "m", "a"], "their order is that of the channels"
    assert load_config(recipe) == rules.dag.config
    assert (tmp_path / "results/.lock").read_text().startswith(f"{os.getpid()} on ")
    assert asked_outputs(tmp_path / "results") == rules.dag.outputs(), "for `gc`, in this folder or another"


@pytest.mark.parametrize("asked", [True, False])
def test_finished_run_is_kept_if_it_was_to_score(asked: bool, rules: Rules, capsys: pytest.CaptureFixture[str]) -> None:
    write_text(rules.results / "score.tsv", tsv_text(COLUMNS, []))  # of this recipe, or of an earlier one
    for path in rules.dag.outputs()["train"]:
        Manifest("train", {}).write(rules.results / path)
    outputs = [f"{rules.results}/{path}" for path in ("wkt.csv", *(["score.tsv"] if asked else []))]
    rules.workflow = SimpleNamespace(dag=SimpleNamespace(jobs=[SimpleNamespace(output=[path]) for path in outputs]))
    rules.finish()
    runs = read_runs(rules.results)
    assert [f"this is run {run.name}" in capsys.readouterr().err for run in runs] == [True] * asked
    assert all(run.versions["train"] >= 1 and run.recipe["scales"]["s1024"] == {"size": 1024} for run in runs)
    rules.finish()
    assert read_runs(rules.results) == runs
    assert capsys.readouterr().err == ""


def test_sanity_check_ends_with_what_came_out(rules: Rules, capsys: pytest.CaptureFixture[str]) -> None:
    write_text(rules.results / "sanity/sanity.txt", "trees: go on\n")
    for output, said in (("score", ""), ("sanity", "trees: go on\n")):
        job = SimpleNamespace(output=[f"{rules.results}/{output}/{output}.json"])
        rules.workflow = SimpleNamespace(dag=SimpleNamespace(jobs=[job]))
        rules.finish()
        assert capsys.readouterr().err == said


def test_load_looks_at_the_files_before_anything_else(settings_table: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("results: a\nresults: b\n")
    with pytest.raises(ConfigError, match=r"a\.yaml, line 2: the key 'results' stands in line 1 already"):
        Rules.load(settings_table, [str(tmp_path / "a.yaml")])


def test_prepare_jobs_puts_this_library_and_interpreter_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/somewhere")
    monkeypatch.setenv("PYTHONPATH", "/else")
    monkeypatch.setenv("RASTERLOOM_GPU_SHARE", "1")
    for _ in range(2):  # as a process may load the workflow again and again
        prepare_jobs(gpu_share=3)
    assert os.environ["RASTERLOOM_GPU_SHARE"] == "3"
    assert os.environ["PATH"].split(os.pathsep) == [str(Path(sys.executable).parent), "/somewhere"]
    library, other = os.environ["PYTHONPATH"].split(os.pathsep)
    assert (Path(library) / "rasterloom/planning/rules.py").is_file()
    assert other == "/else"
    monkeypatch.delenv("PYTHONPATH")
    prepare_jobs(gpu_share=1)
    assert os.environ["PYTHONPATH"] == library


def workflow_with(
    executes: bool = False, prefix: str = "", storage: str | None = None, **settings: Any
) -> SimpleNamespace:
    """What the rules ask of Snakemake's workflow, and a place for what is to be forced."""
    return SimpleNamespace(
        is_main_process=True,
        rules=[],
        dag=SimpleNamespace(forcefiles=set(), priorityrules=set()),
        dag_settings=SimpleNamespace(**{"forceall": False, "forcerun": (), "forcetargets": False, **settings}),
        executor_plugin=object() if executes else None,
        touch=False,
        dryrun=True,
        resource_settings=SimpleNamespace(nodes=None, resources={}),
        storage_settings=SimpleNamespace(default_storage_provider=storage),
        modifier=SimpleNamespace(path_modifier=SimpleNamespace(replace_prefix=lambda path: f"{prefix}{path}")),
    )


def note_labels(rules: Rules, written: str = "now") -> str:
    """Labels of trees, and the note of what they were made with; their path."""
    job = job_of(
        rules.dag.spec("label", **{"class": "trees"}),
        rules.dag.sources("label", **{"class": "trees"}),
        rules.results,
        Store.of(rules.results),
    )
    write_text(job.output, "{}")
    if written == "other":
        job.spec = {**job.spec, "id": 99}
    if written != "never":
        job.remember(lambda spec: ["labels/crops.json"] if written == "unread" else [])
    if written == "changed":
        write_text(job.output, "{} ")
    return str(job.output)


@pytest.mark.parametrize(
    ("written", "forced"), [("now", False), ("never", True), ("other", True), ("unread", True), ("changed", True)]
)
def test_manifests_force_an_output_that_was_made_for_something_else(written: str, forced: bool, rules: Rules) -> None:
    """That is, not for the present slice of the recipe, not from the present labels, or changed since."""
    path = note_labels(rules, written)
    rules.workflow = workflow_with()
    assert rules.manifests("label")({"class": "trees"}) == []
    assert rules.workflow.dag.forcefiles == ({path} if forced else set())


@pytest.mark.parametrize("executes", [True, False])
def test_what_need_not_run_is_left_out_of_a_run_alone(executes: bool, rules: Rules) -> None:
    label = note_labels(rules)
    rules.workflow = workflow_with(executes)
    read = rules.manifests("split")({"group": "trees"})
    assert (label in read, label in rules.targets({})) == (not executes, not executes)
    assert not (rules.results / ".lock").exists(), "it is a dry run"


@pytest.mark.parametrize("settings", [{"forceall": True}, {"forcerun": {"mask"}}, {"forcetargets": True}])
def test_nothing_is_left_out_where_a_user_forces_jobs(settings: dict[str, Any], rules: Rules) -> None:
    rules.workflow = workflow_with(True, **settings)
    settled = rules.settled()
    assert settled is not None and not settled.looks and not settled.writes
    assert len(rules.targets({})) == sum(map(len, rules.dag.outputs().values()))


def test_nothing_is_left_out_where_artifacts_are_to_be_made_again(
    rules: Rules, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RASTERLOOM_RECOMPUTE", "mask")
    rules.workflow = workflow_with(True)
    settled = rules.settled()
    assert settled is not None and not settled.looks


def test_items_of_a_run_are_counted(rules: Rules, capsys: pytest.CaptureFixture[str]) -> None:
    """That is, those of jobs that were noted after the run has begun."""
    before = asked_path(rules.results, "labels/trees.json")
    write_text(before, "x\n5 6\n")
    os.utime(before, (1, 1))
    rules.start()
    rules.workflow = SimpleNamespace(dag=SimpleNamespace(jobs=[]))
    write_text(asked_path(rules.results, "labels/crops.json"), "x\n1 2\n")
    write_text(asked_path(rules.results, "labels/road.json"), "x\n1200 1\n")
    rules.finish()
    assert capsys.readouterr().err == "rasterloom: 1,201 items computed, 3 found in the store\n"
