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
from rasterloom.planning.rules import Rules
from rasterloom.project.project import SINGLE_LIMIT, batches
from rasterloom.stages import module_of

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
