"""Batches of scenes: which scenes they hold, and which jobs Snakemake runs as one."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common import ids, stand_in_dag
from rasterloom.config.overlays import merge
from rasterloom.planning.graph import BATCHES_NOTE, batch_count
from rasterloom.planning.rules import Rules
from rasterloom.project.project import SINGLE_LIMIT, batches, usual_count
from rasterloom.stages import module_of
from rasterloom.store.files import read_json, write_json
from rasterloom.store.store import Store
from rasterloom.tools import plan

Table = dict[str, Any]


def test_batches_up_to_the_limit_are_single_scenes() -> None:
    scenes = ids(SINGLE_LIMIT)
    assert batches(scenes) == {scene: [scene] for scene in sorted(scenes)}
    assert SINGLE_LIMIT == 64


@pytest.mark.parametrize(("scenes", "count"), [(65, 4), (128, 8), (450, 16)])
def test_batches_beyond_the_limit_are_as_many_as_a_power_of_two(scenes: int, count: int) -> None:
    found = batches(ids(scenes))
    assert len(found) == count
    assert 12 < scenes / count <= 32
    assert all(re.fullmatch(r"bucket-\d\d", name) for name in found)


def test_batch_of_a_scene_stays_what_it_is() -> None:
    assert "6010_0_0" in batches(ids(65))["bucket-00"], "a bucket is a hash of the id, forever"
    few, many = batches(ids(65)), batches(ids(128))  # twice as many: each falls into two
    assert all(
        {s for s in ids(65) if s in {*many[n], *many[f"bucket-{int(n[-2:]) + 4:02d}"]}} == {*few[n]} for n in few
    )


def test_batches_one_scene_a_job_at_any_number() -> None:
    assert set(batches(ids(200), 1)) == set(ids(200))


@given(st.lists(st.sampled_from(ids(450)), unique=True, max_size=120), st.randoms(use_true_random=False))
def test_batches_hold_each_scene_once_in_any_order(scenes: list[str], generator: random.Random) -> None:
    found = batches(scenes)
    assert sorted(scene for batch in found.values() for scene in batch) == sorted(scenes)
    shuffled = list(scenes)
    generator.shuffle(shuffled)
    assert list(batches(shuffled).items()) == list(found.items())


@given(st.sampled_from(ids(450)[100:]))
def test_batches_a_scene_more_changes_one_batch(scene: str) -> None:
    before, after = batches(ids(100)), batches([*ids(100), scene])
    changed = [name for name in after if after[name] != before.get(name)]
    assert len(changed) == 1
    assert sorted({*before.get(changed[0], []), scene}) == after[changed[0]]


# Batches of jobs -------------------------------------------------------------------------------------------


def test_snakemake_has_at_most_1200_jobs_for_the_full_contest(settings_table: Table) -> None:
    dag = stand_in_dag(settings_table, ids(450)[::18], ids(450))
    counts = {stage: len(paths) for stage, paths in dag.outputs().items()}
    assert (len(dag.training), counts["register"], counts["place"], counts["stack"]) == (25, 450, 18, 3 * 450)
    assert (counts["predict"], counts["ensemble"], counts["vectorise"]) == (28 * 16, 10 * 16, 10 * 16)
    jobs = {dag.declared.get(path, path) for paths in dag.outputs().values() for path in paths}
    assert 900 < len(jobs) <= 1200
    rules = Rules(dag, settings_table)
    assert set(rules.targets({})) == {f"{dag.results}/{path}" for path in jobs}
    inputs = 0
    for stage, found in dag.jobs().items():
        several = {
            path: next(iter(own.values())) for path, (own_stage, own) in dag.batched.items() if own_stage == stage
        }
        asked = [{**names, "scene": Path(path).stem} for path, names in several.items()]
        asked += [names for names in found if module_of(stage).OUTPUT.format(**names) in jobs]
        assert len(asked) == len({dag.declared.get(path, path) for path in dag.outputs()[stage]})
        inputs += sum(len(rules.manifests(stage)(names)) for names in asked)
    assert inputs < 10_000


def test_jobs_of_single_scenes_are_run_as_one_where_there_are_many(settings_table: Table) -> None:
    dag = stand_in_dag(settings_table, ids(100)[:5], ids(100))
    rules, names = Rules(dag, settings_table), {"scale": "s1024", "scene": "bucket-03"}
    stage, own = dag.batched["stacks/s1024/bucket-03.json"]
    assert stage == "stack" and len(own) > 5
    specs, sources = json.loads(rules.spec("stack")(names)), json.loads(rules.stamps("stack")(names))
    assert [spec["scene"] for spec in specs] == [one["scene"] for one in own.values()]
    assert [entry["sensors"]["rgb"][0]["path"] for entry in sources] == [f"raw/{s['scene']}_rgb.tif" for s in specs]
    acquisitions = sorted({f"results/placement/{next(iter(spec['acquisitions']))}.json" for spec in specs})
    assert sorted(rules.manifests("stack")(names)) == acquisitions
    read = rules.manifests("place")({"acquisition": "6010"})
    assert set(read) == {
        dag.declared[f"registration/{s}.json"].join(["results/", ""]) for s in dag.acquisitions["6010"]
    }
    assert all(path.startswith("results/registration/bucket-") for path in read)
    assert len({path for path, (stage, _) in dag.batched.items() if stage == "mask"}) == len(
        {(own["scale"], own["target"]) for own in dag.jobs()["mask"]}
    ), "few scenes have labels: all masks of a target and scale"
    alone = {"scale": "s1024", "scene": specs[0]["scene"]}
    assert json.loads(rules.spec("stack")(alone)) == specs[0], "as somebody asks for one scene"
    single = stand_in_dag(merge(settings_table, {"execution": {"scenes_per_job": 1}}), ids(100)[:5], ids(100))
    assert not single.batched and not stand_in_dag(settings_table, ids(64)[:5], ids(64)).batched


# Their number, by the time that scenes take -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("minutes", "before", "cores", "count"),
    [
        (None, 4, 1, 16),  # nobody knows: the usual number, whatever it was before
        (160.0, 0, 1, 16),  # which fits
        (15.0, 0, 1, 2),
        (2.0, 0, 1, 1),
        (0.0, 0, 1, 1),
        (15.0, 0, 3, 4),  # a batch for each core
        (15.0, 0, 64, 16),
        (1000.0, 0, 1, 128),
        (90_000.0, 0, 1, 512),  # a scene each
        (1000.0, 64, 1, 64),  # as before, as it fits
        (1300.0, 64, 1, 128),
    ],
)
def test_number_of_batches_follows_the_time_of_the_scenes(
    minutes: float | None, before: int, cores: int, count: int
) -> None:
    assert usual_count(450) == 16
    assert batch_count(450, minutes, before, cores) == count


@given(st.floats(0, 1e5), st.integers(1, 1000), st.sampled_from([0, 1, 4, 32, 1024]), st.floats(0.75, 1.3))
def test_number_of_batches_is_a_power_of_two_and_no_small_change_moves_it(
    minutes: float, scenes: int, before: int, change: float
) -> None:
    count = batch_count(scenes, minutes, before, 1)
    assert count.bit_count() == 1 and count < 2 * scenes
    if 5 <= minutes / scenes <= 20 or (minutes >= 5 and minutes / scenes <= 5):
        assert 5 <= minutes / count <= 20
    if before == 0 and count != usual_count(scenes):
        assert batch_count(scenes, minutes * change, count, 1) == count


def timed(results: Path, stage: str, seconds: float) -> None:
    """Records of a stage in the store of a results folder."""
    for key in "abcd":
        with Store.of(results).writing(stage, key * 32, ".bin") as work:
            work.path.write_bytes(b"x")
            work.digest, work.cost["seconds"] = "d", seconds


def test_scenes_are_divided_by_records_and_jobs_on_other_nodes_by_the_note_of_the_run(
    settings_table: Table, tmp_path: Path
) -> None:
    table = {**settings_table, "results": str(tmp_path / "results")}
    dag = stand_in_dag(table, ids(450)[::18], ids(450))
    timed(dag.results, "stack", 4.0)
    timed(dag.results, "register", 60.0)
    dag.divide(Store.of(dag.results), 2)
    assert dag.counts == {"register": 32, "stack": 4, "mask": 1}
    assert dag.minutes == {"register": 450.0, "stack": 30.0}
    assert len({path for path in dag.batched if path.startswith("stacks/native/")}) == 4
    jobs = {dag.declared.get(path, path) for paths in dag.outputs().values() for path in paths}
    assert len(jobs) <= 1200
    said = plan.job_lines(dag, {})[-1]
    assert said == "  batches of scenes: register 32 of 14 min 04 s, stack 4 of 7 min 30 s, mask 1"
    rules = Rules(dag, table)
    rules.start()
    assert read_json(dag.results / BATCHES_NOTE) == dag.counts
    timed(dag.results, "stack", 40.0)  # meanwhile
    other = stand_in_dag(table, ids(450)[::18], ids(450))
    other.divide(Store.of(dag.results), 0)
    assert other.batched == dag.batched
    later = stand_in_dag(table, ids(450)[::18], ids(450))
    later.divide(Store.of(dag.results), 2)
    assert later.counts == {"register": 32, "stack": 32, "mask": 1}


def test_note_of_few_scenes_or_none_divides_nothing(settings_table: Table, tmp_path: Path) -> None:
    table = {**settings_table, "results": str(tmp_path / "results")}
    few = stand_in_dag(table, ids(64)[:5], ids(64))
    few.divide(Store.of(few.results), 2)
    assert few.counts == {} and not few.batched
    Rules(few, table).start()
    assert not (few.results / BATCHES_NOTE).exists()
    write_json(few.results / BATCHES_NOTE, {"stack": 8})
    few.divide(Store.of(few.results), 0)
    assert not few.batched, "one scene a job, as up to the limit"
