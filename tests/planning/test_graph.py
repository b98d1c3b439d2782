"""The graph: its size, and that a job's spec is a function of its wildcards and of nothing else."""

from __future__ import annotations

import copy
import errno
import json
import os
import random
import re
import string
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from common import LIBRARY, ROOT, ids, stand_in_dag
from rasterloom.config.overlays import merge
from rasterloom.errors import ConfigError, RasterloomError
from rasterloom.planning import graph as module
from rasterloom.planning.graph import LONG_ARGUMENT, Dag
from rasterloom.planning.rules import Rules
from rasterloom.stages import STAGES, full_run, module_of, output_of
from rasterloom.store.digest import canonical

Table = dict[str, Any]
Specs = dict[str, str]
TRAIN = [f"60{n}0_0_0" for n in range(1, 6)]
PREDICT = ["6110_0_0", "6110_0_1", "6110_0_2"]
OF_A_CLASS = ("label", "mask", "split", "train", "predict", "weigh", "ensemble", "tune", "vectorise")


@pytest.fixture(autouse=True)
def _versions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Specs without the stages' own versions, so that these tests need no stage."""
    monkeypatch.setattr(module, "version_of", lambda stage: 1)


@pytest.fixture
def small(settings_table: Table) -> Dag:
    return stand_in_dag(settings_table, TRAIN, PREDICT)  # type: ignore[no-any-return]


def names_of(stage: str, path: str) -> dict[str, str]:
    """The wildcards of an output."""
    parts = string.Formatter().parse(module_of(stage).OUTPUT)
    pattern = "".join(re.escape(text) + (f"(?P<{name}>.+)" if name else "") for text, name, _, _ in parts)
    # `/` only ever stands in {file}; a wildcard of any other name stops at it.
    pattern = pattern if stage == "wkt" else pattern.replace(".+", "[^/]+")
    found = re.fullmatch(pattern, path)
    assert found, (stage, path)
    return found.groupdict()


def jobs(dag: Dag, stages: tuple[str, ...] = tuple(full_run())) -> Iterator[tuple[str, str, dict[str, str]]]:
    for stage in stages:
        for path in dag.outputs()[stage]:
            yield stage, path, names_of(stage, path)


def specs(dag: Dag, stages: tuple[str, ...] = tuple(full_run())) -> Specs:
    """The canonical spec of every job, by its output."""
    return {path: canonical(dag.spec(stage, **names)) for stage, path, names in jobs(dag, stages)}


def test_outputs_are_those_of_every_stage_each_once(small: Dag) -> None:
    outputs = small.outputs()
    assert list(outputs) == full_run()
    every = [path for paths in outputs.values() for path in paths]
    assert len(every) == len(set(every))
    assert [stage for stage, paths in outputs.items() if not paths] == ["normalisation"], "each scene has its own"
    assert len(outputs["train"]) == 28
    assert len(outputs["mask"]) == len(TRAIN) * (7 * 2 + 1 + 3 * 2)


def test_outputs_refit_trains_once_more(settings_table: Table) -> None:
    overlay = {"validation": {"split": None, "folds": 3, "predict_with": "refit"}}
    dag = stand_in_dag(merge(settings_table, overlay), TRAIN, PREDICT)
    assert dag.folds == ["fold-0", "fold-1", "fold-2", "all"]
    assert len(dag.outputs()["train"]) == 4 * 28


def test_outputs_stack_only_the_scales_and_sensors_that_a_member_uses(settings_table: Table) -> None:
    table = merge(settings_table, {"scales": {"spare": {"size": 64}}, "classes": {"large_vehicle": None}})
    members = [{"model": "unet64", "channels": "rgbp", "scale": "native"}]
    table = merge(table, {"classes": {"small_vehicle": {"members": members}}, "targets": {"vehicles": None}})
    dag = stand_in_dag(table, TRAIN, PREDICT)
    every = ["rgb", "p", "m", "a"]
    assert dag.scale_sensors == {"native": ["rgb", "p"], "s1024": every, "s2048": every}
    assert not [path for path in dag.outputs()["stack"] if "spare" in path]
    assert dag.spec("stack", scale="native", scene=TRAIN[0])["sensors"] == ["rgb", "p"]


# Specs -----------------------------------------------------------------------------------------------------


def test_spec_of_every_job_leads_back_to_its_output(small: Dag) -> None:
    for stage, path, names in jobs(small):
        spec = small.spec(stage, **names)
        assert output_of(spec) == path
        assert (spec["stage"], spec["version"]) == (stage, 1)
        assert json.loads(canonical(spec)) == json.loads(json.dumps(spec))


def test_spec_and_sources_hold_no_path_size_or_time_in_the_spec(small: Dag) -> None:
    for stage, _, names in jobs(small):
        assert "mtime_ns" not in canonical(small.spec(stage, **names))
        assert "raw/" not in canonical(small.spec(stage, **names))
        text = canonical(small.sources(stage, **names))
        assert ("mtime_ns" in text) == (stage in {"register", "stack", "label", "submission"}), stage


def test_sources_name_the_files_that_a_job_reads(small: Dag) -> None:
    scene = PREDICT[0]
    found = small.sources("register", scene=scene)
    paths = {name: [file["path"] for file in files] for name, files in found["sensors"].items()}
    assert paths == {sensor: [f"raw/{scene}_{sensor}.tif"] for sensor in ("rgb", "p", "m", "a")}
    assert found["grid"]["path"] == "raw/grid_sizes.csv"
    files = {name: file["path"] for name, file in small.sources("submission").items()}
    assert files == {"sample": "raw/sample_submission.csv", "grid": "raw/grid_sizes.csv"}
    assert small.sources("train", member="x", fold="y") == {}


def _shuffled(value: Any, generator: random.Random) -> Any:
    """The value with the keys of its tables in another order, except where order has a meaning (channels)."""
    if isinstance(value, dict):
        keys = list(value)
        generator.shuffle(keys)
        return {k: value[k] if k == "sensors" else _shuffled(value[k], generator) for k in keys}
    return value


@pytest.mark.parametrize("seed", range(3))
def test_spec_ignores_the_order_of_keys_in_the_configuration(settings_table: Table, small: Dag, seed: int) -> None:
    table = _shuffled(settings_table, random.Random(seed))
    assert list(table) != list(settings_table)
    dag = stand_in_dag(table, TRAIN, PREDICT)
    assert specs(dag) == specs(small)
    assert {s: sorted(paths) for s, paths in dag.outputs().items()} == {
        s: sorted(paths) for s, paths in small.outputs().items()
    }


@pytest.mark.slow
def test_spec_and_order_of_outputs_are_the_same_in_every_process(settings_table: Table) -> None:
    """Iterating over a set of strings differs from process to process: Snakemake would see other parameters."""
    code = (
        "import json, sys\nimport test_graph as t\nfrom common import stand_in_dag\n"
        "t.module.version_of = lambda stage: 1\n"
        "dag = stand_in_dag(json.loads(sys.argv[1]), t.TRAIN, t.ids(70))\n"
        "constraints = t.Rules(dag, {}).wildcard_constraints\n"
        "print(t.canonical([t.specs(dag), list(dag.outputs().values()), list(constraints.values())]))\n"
    )
    found = set()
    for seed in ("1", "2", "3"):
        environment = {
            **os.environ,
            "PYTHONHASHSEED": seed,
            "PYTHONPATH": os.pathsep.join(
                map(str, [LIBRARY.parent, ROOT / "tests" / "support", Path(__file__).parent])
            ),
        }
        command = [sys.executable, "-c", code, json.dumps(settings_table)]
        found.add(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)
    assert len(found) == 1


def test_spec_ignores_defaults_that_are_written_out(settings_table: Table, small: Dag) -> None:
    table = copy.deepcopy(settings_table)
    del table["defaults"], table["execution"], table["statistics"]
    assert specs(stand_in_dag(table, TRAIN, PREDICT)) == specs(small)


def test_spec_ignores_where_results_go(settings_table: Table, small: Dag) -> None:
    assert specs(stand_in_dag({**settings_table, "results": "elsewhere"}, TRAIN, PREDICT)) == specs(small)


def _unchanged(before: Specs, after: Specs) -> None:
    common = before.keys() & after.keys()
    assert [path for path in sorted(common) if before[path] != after[path]] == []


@pytest.mark.parametrize("gone", ["trees", "waterway", "buildings"])
def test_spec_of_other_classes_survives_a_class_that_comes_or_goes(
    settings_table: Table, small: Dag, gone: str
) -> None:
    fewer = stand_in_dag(merge(settings_table, {"classes": {gone: None}}), TRAIN, PREDICT)
    before, after = specs(small, OF_A_CLASS), specs(fewer, OF_A_CLASS)
    assert {path for path in before if gone not in re.split("[/.-]", path)} == set(after)
    _unchanged(before, after)


def test_spec_of_scenes_survives_a_class_that_goes(settings_table: Table, small: Dag) -> None:
    stages = ("register", "stack", "normalisation")
    fewer = stand_in_dag(merge(settings_table, {"classes": {"trees": None}}), TRAIN, PREDICT)
    assert specs(fewer, stages) == specs(small, stages)


@pytest.mark.parametrize(
    ("overlay", "stages"),
    [
        ({"classes": {"trees": {"polygons": {"simplify": 1}}}}, {"tune", "vectorise"}),
        ({"classes": {"trees": {"polygons": {"min_area": 7}}}}, {"tune"}),
        ({"classes": {"trees": {"polygons": {"threshold": 0.5}}}}, {"tune"}),
        ({"classes": {"trees": {"prediction": {"stride": 32}}}}, {"predict"}),
        ({"classes": {"trees": {"training": {"steps": 9}}}}, {"train"}),
        (
            {"classes": {"trees": {"members": [{"model": "unet64", "channels": "all20", "scale": "s1024"}]}}},
            {"ensemble"},
        ),
        ({"classes": {"trees": {"ensemble": "weighted"}}}, {"weigh", "ensemble"}),
    ],
    ids=["simplify", "area", "threshold", "stride", "steps", "members", "ensemble"],
)
def test_spec_a_class_setting_changes_the_stages_that_it_decides(
    settings_table: Table, small: Dag, overlay: Table, stages: set[str]
) -> None:
    before = specs(small, OF_A_CLASS)
    after = specs(stand_in_dag(merge(settings_table, overlay), TRAIN, PREDICT), OF_A_CLASS)
    changed = {path for path in before.keys() & after.keys() if before[path] != after[path]}
    assert {json.loads(before[path])["stage"] for path in changed} == stages
    assert all("trees" in path for path in changed)


def test_spec_of_training_and_keys_of_items_ignore_the_number_of_scenes_a_job(settings_table: Table) -> None:
    scenes = ids(100)
    one, many = (
        stand_in_dag(merge(settings_table, {"execution": {"scenes_per_job": n}}), scenes[:5], scenes)
        for n in (1, "auto")
    )
    assert len(one.batches) == 100 > len(many.batches)
    stages = ("register", "stack", "normalisation", "label", "mask", "split", "train")
    assert specs(one, stages) == specs(many, stages)
    drop = {"batch", "scenes", "labelled"}

    def settings(dag: Dag) -> set[str]:
        found = [dag.spec(s, **names) for s, _, names in jobs(dag, ("predict", "ensemble", "vectorise"))]
        return {canonical({key: value for key, value in spec.items() if key not in drop}) for spec in found}

    assert settings(one) == settings(many)


def test_spec_a_new_scene_to_predict_retrains_nothing(settings_table: Table) -> None:
    table = {**settings_table, "statistics": "train"}
    before, after = (specs(stand_in_dag(table, TRAIN, found)) for found in (PREDICT, [*PREDICT, "6180_4_4"]))
    changed = {path for path in before if before[path] != after[path]}
    over_all_scenes = {"wkt", "submission", "measure", "quality", "report"}
    assert changed == {path for path in before if json.loads(before[path])["stage"] in over_all_scenes}


@pytest.mark.parametrize("by", ["scene", "acquisition"])
def test_spec_with_own_statistics_a_new_scene_retrains_nothing(settings_table: Table, by: str) -> None:
    """Whatever `statistics` says; and it is no new member of an acquisition."""
    table = {**settings_table, "normalise_by": by}
    before, after = (specs(stand_in_dag(table, TRAIN, found)) for found in (PREDICT, [*PREDICT, "6180_4_4"]))
    stages = {json.loads(before[path])["stage"] for path in before if before[path] != after[path]}
    assert stages == {"wkt", "submission", "measure", "quality", "report"}
    new = {json.loads(after[path])["stage"] for path in after.keys() - before.keys()}
    merged = {"normalisation"} if by == "acquisition" else set()
    assert new == {"register", "place", "stack", *merged, "predict", "ensemble", "vectorise", "export"}


def test_units_are_the_data_set_or_acquisitions(settings_table: Table) -> None:
    scenes = ["6010_1_2", "6010_1_3", "6020_0_0"]
    found = {}
    for by in ("dataset", "acquisition", "scene"):
        dag = stand_in_dag({**settings_table, "normalise_by": by}, scenes, [])
        found[by] = dag.units
        assert dag.outputs()["normalisation"] == [f"statistics/{unit}.json" for unit in dag.units]
        spec = dag.spec("train", member="trees-unet64-all20-s1024", fold="split")
        assert spec.get("normalise_by", "dataset") == by
        assert [dag.units[spec["units"][s]] for s in scenes if "units" in spec] == [
            ids for s in scenes for ids in dag.units.values() if s in ids and by == "acquisition"
        ]
    assert found["dataset"] == {"statistics": scenes}
    assert list(found["acquisition"].values()) == [scenes[:2], scenes[2:]]
    assert found["scene"] == {}


def test_labelled_leaves_out_scenes_where_a_class_of_the_group_was_not_looked_for(settings_table: Table) -> None:
    dag = stand_in_dag(settings_table, TRAIN, PREDICT)
    object.__setattr__(dag.dataset.scenes[TRAIN[0]], "labelled", ("small_vehicle", "trees"))
    group = dag.recipe.classes["small_vehicle"].group
    assert dag.labelled(group) == TRAIN[1:]
    assert dag.labelled("trees") == TRAIN
    assert TRAIN[0] not in dag.spec("split", group=group)["scenes"]
    assert not [path for path in dag.outputs()["mask"] if f"vehicles/{TRAIN[0]}" in path]


def test_statistics_over_named_scenes(settings_table: Table) -> None:
    table = {**settings_table, "normalise_by": "dataset"}

    def scenes(choice: Any) -> list[str]:
        found: list[str] = stand_in_dag({**table, "statistics": choice}, TRAIN, PREDICT).statistics_scenes
        return found

    assert scenes("all") == sorted([*TRAIN, *PREDICT])
    assert scenes("train") == TRAIN
    assert scenes([PREDICT[1], TRAIN[0]]) == sorted([PREDICT[1], TRAIN[0]])
    with pytest.raises(ConfigError, match=r"no scene '6110_0_9'; did you mean `6110_0_\d`"):
        scenes(["6110_0_9"])


# Arguments -------------------------------------------------------------------------------------------------


def test_argument_short_is_the_canonical_text(small: Dag) -> None:
    assert small.argument({"b": 1, "a": [2]}) == '{"a":[2],"b":1}'


def test_argument_long_goes_to_a_file_named_by_its_content(settings_table: Table, results: Path) -> None:
    dag = stand_in_dag({**settings_table, "results": str(results)}, TRAIN, PREDICT)
    short, long, other = ({"a": "x" * n, "b": 1} for n in (LONG_ARGUMENT - 14, LONG_ARGUMENT - 13, LONG_ARGUMENT))
    assert len(canonical(short)) == LONG_ARGUMENT
    assert dag.argument(short) == canonical(short)
    assert not (results / ".arguments").exists()
    argument = dag.argument(long)
    assert argument.startswith(f"@{results}/.arguments/")
    assert Path(argument[1:]).read_text() == canonical(long)
    assert dag.argument(dict(reversed(long.items()))) == argument
    assert dag.argument(other) != argument
    assert len(list((results / ".arguments").iterdir())) == 2


# What jobs read --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", full_run())
def test_inputs_are_outputs_of_earlier_stages(settings_table: Table, stage: str) -> None:
    """Nothing is read that no job writes, and data never flows back."""
    for predict_with, scenes in (("folds", PREDICT), ("refit", ids(70))):
        table = merge(settings_table, {"validation": {"predict_with": predict_with}})
        dag = stand_in_dag(table, TRAIN, scenes)
        order = {f"{dag.results}/{path}": STAGES.index(s) for s, paths in dag.outputs().items() for path in paths}
        for names in [names_of(stage, path) for path in dag.outputs()[stage]][:40]:
            found = dag.inputs(stage, **names)
            assert found == [f"results/{path}" for path in module_of(stage).inputs(dag.spec(stage, **names))]
            assert len(found) == len(set(found))
            assert [path for path in found if order.get(path, 99) >= STAGES.index(stage)] == []


def test_rules_functions_of_wildcards(small: Dag, settings_table: Table) -> None:
    rules = Rules(small, settings_table)
    assert rules.spec("label")({"class": "trees"}) == canonical(small.spec("label", **{"class": "trees"}))
    assert rules.stamps("register")({"scene": TRAIN[0]}) == canonical(small.sources("register", scene=TRAIN[0]))
    assert rules.threads("train")({"member": "trees-unet64-all20-s1024"}) == 2
    targets = rules.targets({})
    assert len(targets) == len(set(targets)) == sum(map(len, small.outputs().values()))


def test_rules_wildcards_match_the_names_of_the_configuration_alone(small: Dag, settings_table: Table) -> None:
    constraints = Rules(small, settings_table).wildcard_constraints
    for _, _, names in jobs(small):
        for key, value in names.items():
            assert re.fullmatch(constraints[key], value), (key, value)
    typos = {"class": "tree", "scale": "s102", "scene": "6010_0", "file": "wkt/tree.csv", "fold": "all"}
    for key, value in typos.items():
        assert not re.fullmatch(constraints[key], value)


def test_failed_run_ends_with_what_its_jobs_said(
    small: Dag, settings_table: Table, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "snakemake.log"
    log.write_text(
        "Error in rule stack:\nrasterloom: a.tif is damaged\n===\nstack: 1/2\nrasterloom: a.tif is damaged\n"
    )
    Rules(small, settings_table).explain([str(log), str(tmp_path / "none.log")])
    assert capsys.readouterr().err.splitlines()[-2:] == ["What stopped the run:", "rasterloom: a.tif is damaged"]
    killed = "Command 'set -euo pipefail;  exec python -m rasterloom train --spec x' died with <Signals.SIGKILL: 9>.\n"
    log.write_text(killed)
    Rules(small, settings_table).explain([str(log)])
    assert "rasterloom: a job of train was killed from outside, as happens where memory runs" in capsys.readouterr().err


def test_misspelt_stage_to_recompute_stops_at_once(
    small: Dag, settings_table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Dag, "load", lambda merged: small)
    monkeypatch.setenv("RASTERLOOM_RECOMPUTE", "trian")
    with pytest.raises(ConfigError, match=r"RASTERLOOM_RECOMPUTE .*'trian'.*train"):
        Rules.load(settings_table)


def test_results_folder_that_cannot_be_written(
    settings_table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    table = {**settings_table, "results": str(tmp_path / "file")}
    monkeypatch.setattr(Dag, "load", lambda merged: stand_in_dag(table, TRAIN, PREDICT))
    with pytest.raises(RasterloomError, match=r"`results`: .*/file is a file"):
        Rules.load(table)
    with pytest.raises(RasterloomError, match=r"nothing can be written to the results folder .*/file .*`results`"):
        Rules(stand_in_dag(table, TRAIN, PREDICT), table).start()


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP, errno.EROFS])
def test_results_folder_without_links_is_refused_before_any_job(
    settings_table: Table, results: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(path: Path, target: str) -> None:
        raise OSError(number, os.strerror(number), target, None, str(path))

    monkeypatch.setattr(Path, "symlink_to", refuse)
    rules = Rules(stand_in_dag(table := {**settings_table, "results": str(results)}, TRAIN, PREDICT), table)
    with pytest.raises(
        RasterloomError, match=rf"{os.strerror(number)}: .*symbolic links, or name another one"
    ) as caught:
        rules.start()
    assert "\n" not in str(caught.value)
    assert not [path for path in results.iterdir() if path.name.startswith(".tmp-")]


def test_rules_start_says_that_the_store_is_read_only(
    settings_table: Table, results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (results / "store").mkdir()
    rules = Rules(stand_in_dag(table := {**settings_table, "results": str(results)}, TRAIN, PREDICT), table)
    rules.start()
    assert "read-only" not in capsys.readouterr().err
    assert rules._lock is not None
    rules._lock.close()
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    rules.start()
    assert f"note: the store {results}/store is read-only; " in capsys.readouterr().err
    rules._lock.close()


def test_rules_start_takes_the_lock_and_writes_the_recipe(settings_table: Table, results: Path) -> None:
    from rasterloom.store.lock import hold

    table = {**settings_table, "results": str(results)}
    rules = Rules(stand_in_dag(table, TRAIN, PREDICT), table)
    rules.start()
    with pytest.raises(RasterloomError, match="another run"):
        hold(results)
    written = json.loads((results / "config.json").read_text())
    assert written["results"] == str(results)
    assert written["defaults"]["training"]["patch"] == 256, "defaults are filled in"
    assert rules._lock is not None
    rules._lock.close()
