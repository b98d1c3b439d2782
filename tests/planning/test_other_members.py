"""Jobs of members that read predictions of others: in which order, what they read, and what is refused before any."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from common import stand_in_dag
from rasterloom.config.overlays import merge
from rasterloom.errors import ConfigError
from rasterloom.learning.sanity import SANITY
from rasterloom.planning.graph import Dag
from rasterloom.planning.reasons import KeyPaths
from rasterloom.stages import module_of

Table = dict[str, Any]
TRAIN, PREDICT = ["6010_1_0", "6010_2_0", "6020_1_1"], ["6030_0_0", "6030_1_1"]
FIRST, STACKED = "trees-unet64-all20-s1024", "trees-unet64-stacked-s2048"
SECOND = "trees-unet64.round2-all20-s1024"
OVERLAY: Table = {
    "channels": {"stacked": ["rgb", "p", FIRST]},
    "validation": {"split": None, "folds": 3},
    "classes": {
        "trees": {
            "members": [
                {"model": "unet64", "channels": "stacked", "scale": "s2048"},
                {"model": "unet64", "channels": "all20", "scale": "s1024", "training": {"rounds": 2}},
                {"model": "unet64", "channels": "all20", "scale": "s1024"},
            ]
        }
    },
}


def dag_of(table: Table, overlay: Table | None = None, predict: list[str] = PREDICT) -> Dag:
    found: Dag = stand_in_dag(merge(merge(table, OVERLAY), overlay or {}), TRAIN, predict)
    return found


def test_every_job_comes_after_what_it_reads(settings_table: Table) -> None:
    dag = dag_of(settings_table)
    written: set[str] = set()
    found = [job for job in dag.in_order() if job[0] != "report"]
    for stage, names in found:
        read = set(dag.inputs(stage, **names))
        assert read <= written, (stage, names)
        written.add(f"{dag.results}/{module_of(stage).OUTPUT.format(**names)}")
    assert len(found) == sum(map(len, dag.jobs().values())) - 1


def test_a_recipe_without_such_members_is_in_the_order_of_the_stages(settings_table: Table) -> None:
    dag = stand_in_dag(settings_table, TRAIN, PREDICT)
    stages = [stage for stage, _ in dag.in_order()]
    assert list(dict.fromkeys(stages)) == [stage for stage, found in dag.jobs().items() if found]
    assert stages == [stage for stage, found in dag.jobs().items() for _ in found]


def test_specs_name_what_is_read_of_others(settings_table: Table) -> None:
    dag = dag_of(settings_table)
    stacked = dag.spec("train", member=STACKED, fold="fold-0")
    assert stacked["stacked"] == {FIRST: 0}
    assert set(stacked["batches"]) == set(TRAIN)
    assert dag.spec("predict", member=STACKED, batch=PREDICT[0])["stacked"] == {FIRST: 0}
    second = dag.spec("train", member=SECOND, fold="fold-0")
    assert (second["teacher"], second["unlabelled"], set(second["batches"])) == (FIRST, PREDICT, set(PREDICT))
    assert set(second["ground"]) == {*TRAIN, *PREDICT}
    assert "teacher" not in dag.spec("train", member=SECOND, fold=SANITY), "labelled scenes are learned by heart"
    assert not {"teacher", "stacked", "batches"} & set(dag.spec("train", member=FIRST, fold="fold-0"))


def test_scenes_whose_truth_is_scored_teach_nothing_nor_does_their_ground(settings_table: Table) -> None:
    dag = dag_of(settings_table)
    scenes = dag.dataset.scenes
    assert dag.unlabelled("trees") == PREDICT
    scenes[PREDICT[0]] = replace(scenes[PREDICT[0]], truth=True, labelled=("trees",))
    assert dag.unlabelled("trees") == PREDICT[1:]
    assert dag.unlabelled("crops") == PREDICT, "it is not scored on crops"
    scenes[PREDICT[1]] = replace(scenes[PREDICT[1]], ground=PREDICT[0])
    assert dag.unlabelled("trees") == []
    with pytest.raises(ConfigError, match=rf"rounds`: 2 was given for member {FIRST}, but there is no scene to pred"):
        dag.spec("train", member=SECOND, fold="fold-0")


def test_a_stacked_member_needs_several_folds(settings_table: Table) -> None:
    dag = dag_of(settings_table, {"validation": {"split": 0.8, "folds": None}})
    with pytest.raises(ConfigError, match=rf"{STACKED} sees the probability of {FIRST}.*give `validation.folds`"):
        dag.spec("train", member=FIRST, fold="fold-0")
    assert dag.spec("train", member="crops-unet64-all20-s1024", fold="fold-0")
    for number, scene in enumerate(TRAIN):
        dag.dataset.scenes[scene] = replace(dag.dataset.scenes[scene], fold=f"part{number % 2}")
    assert dag.spec("train", member=FIRST, fold="part0"), "folds of the user's"


def test_sanity_takes_a_member_that_needs_no_other(settings_table: Table) -> None:
    dag = dag_of(settings_table)
    assert dag.spec("sanity")["classes"]["trees"]["member"] == FIRST
    only = {"classes": {"trees": {"members": OVERLAY["classes"]["trees"]["members"][1:2]}}}
    assert dag_of(settings_table, only).spec("sanity")["classes"]["trees"]["member"] == FIRST


def test_settings_of_both_rounds_are_found_in_the_configuration(settings_table: Table) -> None:
    overlay: Table = {"classes": {"trees": {"members": [{**OVERLAY["classes"]["trees"]["members"][1]}]}}}
    merged = merge(merge(settings_table, OVERLAY), overlay)
    dag = stand_in_dag(merged, TRAIN, PREDICT)
    paths = KeyPaths(dag.recipe, merged, {})
    for member in (FIRST, SECOND):
        spec = dag.spec("train", member=member, fold="fold-0")
        assert paths.of(spec, ("training", "steps")) == "defaults.training.steps"
        assert paths.of(spec, ("model", "maps")) == "models.unet64.width"
