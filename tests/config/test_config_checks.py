"""What is refused before any job: settings that do not fit together, names, folders, the data."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from configurations import Change, changed, mistake
from conftest import stand_in_dag
from rasterloom.config import load_config, resolve
from rasterloom.config.checks import DSTL_BANDS
from rasterloom.config.overlays import merge
from rasterloom.dataset import contest as dstl
from rasterloom.errors import ConfigError
from rasterloom.planning.checks import data_checks
from rasterloom.planning.graph import Dag

Table = dict[str, Any]
TRAIN = [f"60{i}0_1_2" for i in range(1, 6)]
PIXELS = {"members": [{"model": "linear", "channels": "rgbp", "scale": "native"}]}
MEMBER = ["classes", "trees", "members", 0]


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ([*MEMBER, "training"], {"patch": 32}, "`classes.trees.members[0].training.patch`: 32 was given, but a pixel"),
        (["classes", "trees", "training"], {"patch": 32}, "`classes.trees.training.patch`: 32 was given, but a pixel"),
        (
            ["defaults", "training", "patch"],
            63,
            "`defaults.training.patch`: 63 was given, but a pixel of",
        ),
        (["classes", "trees", "prediction"], {"window": 63, "stride": 9}, "`classes.trees.prediction.window`: 63 was"),
        (["classes", "trees", "training"], {"patch": 64, "batch": 1}, "batch normalisation needs two: make either"),
        (
            ["classes", "trees", "training"],
            {"patch": 1088},
            "but scale s1024 has 1024 pixels a side; make the",
        ),
        ([*MEMBER, "target"], "vehicles", "`vehicles` (large_vehicle, small_vehicle) does not include class trees"),
        ([*MEMBER, "target"], "crops", "`crops` (crops) does not include class trees; use trees"),
        (
            ["models", "forest", "width"],
            8,
            "`models.forest`: `width` belongs to kind unet, not forest: remove it",
        ),
        (["models", "unet64", "kind"], "unett", "`models.unet64.kind`: 'unet' or 'forest' or 'linear' is needed, but"),
        (["models", "unet64", "kind"], None, "`models.unet64.kind` is missing: add it"),
        (["inputs"], {"all20": ["rgb"]}, "unknown key `inputs`; it is called `channels` now"),
        ([*MEMBER, "input"], "all20", "unknown key `classes.trees.members[0].input`; it is called `channels` now"),
        (MEMBER, {"model": "unet64", "input": "all20", "scale": "s1024"}, "members[0].input`; it is called `channels`"),
        (["models", "unet64", "maps"], 8, "unknown key `models.unet64.maps`; it is called `width` now"),
        (["models", "unet64", "levels"], 8, "unknown key `models.unet64.levels`; it is called `depth` now"),
        (["models", "unet64", "convolutions"], 8, "`models.unet64.convolutions`; it is called `convs_per_block` now"),
        (["models", "forest", "depth"], 8, "unknown key `models.forest.depth`; it is called `max_depth` now"),
        (["validation", "final"], "refit_all", "unknown key `validation.final`; it is called `predict_with` now"),
        (["models", "spare"], {"kidn": "unet"}, "unknown key `models.spare.kidn`; did you mean `kind`?"),
        (["models", "unet64", "samples"], 800, "`samples` belongs to kind forest and linear, not unet"),
        (
            ["classes", "waterway", "training"],
            {"steps": 5},
            "waterway.training.steps`: it has no effect on models of kind forest",
        ),
        (["classes", "waterway", "prediction"], {"stride": 5}, "(of prediction they use only threads): remove it"),
        (
            ["classes", "waterway", "members", 0, "training"],
            {"batch": 2},
            "members[0].training.batch`: it has no effect on models of kind forest (of",
        ),
        (
            ["sensors", "rgb", "registration"],
            {"shift": [1, 2]},
            "`sensors.rgb.registration`: rgb is the reference",
        ),
        (["sensors", "m", "registration"], {"matrix": [[1, 1, 0], [2, 2, 0]]}, "maps the image onto a line or a point"),
        (["sensors", "m", "bands"], 4, "`sensors.m.bands`: 4 was given, but the contest's files have 8"),
        (["sensors", "rbg"], {}, "`sensors.rbg`: layout dstl has no such sensor; did you mean `rgb`?"),
        (["classes", "Trees"], {**PIXELS, "id": 11}, "`classes.Trees`: it differs from `trees` in case only"),
        (["scales", "S1024"], {"size": 1024}, "`scales.S1024`: it differs from `s1024` in case only"),
        (["targets", "Vehicles"], ["trees"], "`targets.Vehicles`: it differs from `vehicles` in case only"),
        (["targets", "TREES"], ["trees"], "`targets.TREES`: it differs from `trees` in case only"),
        (["models", "m" * 101], {"kind": "linear"}, "a name of at most 100 characters is needed"),
        (["results"], "", "`results`: a path is needed, but an empty text was given"),
        (["results"], "~/results", "`~` and `$` are not expanded; write the path in full"),
        (["results"], "$SCRATCH/results", "`~` and `$` are not expanded; write the path in full"),
        (["results"], "a\nb", "'a\\nb' has blanks around it or control characters"),
        (["results"], "results/{class}", "a folder of this machine, without braces in its path, is needed"),
        (["results"], "s3://bucket/results", "a folder of this machine, without braces in its path, is needed"),
        (["results"], ".", "`results`: '.' is the folder that the workflow runs in, or above it"),
        (["results"], "..", "`results`: '..' is the folder that the workflow runs in, or above it"),
        (["results"], "data/dstl", "`results`: 'data/dstl' holds the data ('data/dstl', `dataset.root`)"),
        (["results"], "data/../data", "`results`: 'data/../data' holds the data ('data/dstl', `dataset.root`)"),
        (["dataset", "root"], " data", "`dataset.root`: ' data' has blanks around it"),
        (["statistics"], [], "`statistics`: at least 1 of them must be given, not 0"),
        (["statistics"], ["a", "b", "a"], "`statistics`: 'a' is listed twice; remove one of them"),
        (
            ["statistics"],
            [612022],
            "`statistics[0]`: text is needed, but 612022 was given; put it in quotes",
        ),
        (["dataset", "predict"], ["6120_2_2", "6120_2_2"], "`dataset.predict`: '6120_2_2' is listed twice"),
        (["dataset", "predict"], [True], "`dataset.predict[0]`: text is needed, but true was given; put it in quotes"),
        (["dataset", "predict"], ["a", None], "`dataset.predict[1]`: text is needed, but null was given"),
        (["channels", "rgbp"], ["rgb", None], "`channels.rgbp[1]`: text is needed, but null was given"),
        (
            ["defaults", "training", "learning_rate"],
            "1e-3",
            "a number is needed, but '1e-3' was given; YAML takes",
        ),
        (["defaults", "training", "steps"], "5", "in quotes, or in a table given with --config, it is text"),
        (["defaults", "training", "steps"], 5.0, "`defaults.training.steps`: an integer is needed, but 5.0 was given"),
        (["defaults", "training", "learning_rate"], True, "a number is needed, but true was given"),
        (["defaults", "training", "seed"], 2**64, "a number of at most 9223372036854775807 is needed, but 18446744073"),
        (["defaults", "training", "seed"], 2**999, "is needed, but an integer of 1000 bits was given"),
        (["defaults", "training", "threads"], 99999, "a number of at most 1024 is needed, but 99999 was given"),
        (["sensors", "m", "max_shift"], 10**400, "`sensors.m.max_shift`"),
        (["sensors", "m", "max_shift"], -0.0, "`sensors.m.max_shift`: a number above 0 is needed, but -0.0 was given"),
        (["defaults.training.steps"], 5, "`defaults: {training: {steps: ...}}`"),
        ([*MEMBER, "modle"], "unet64", "unknown key `classes.trees.members[0].modle`; did you mean `model`?"),
        (
            MEMBER,
            {"modle": "unet64", "channels": "all20", "scale": "s1024"},
            "members[0].modle`; did you mean `model`?",
        ),
        (MEMBER, None, "`classes.trees.members[0]`: a table of keys is needed, but null was given"),
        ([*MEMBER, "training"], {"augment": {"flps": True}}, "`classes.trees.members[0].training.augment.flps`; did"),
        (["models", "a b"], {"kind": "linear"}, "'a b' is not a name: use letters, digits and _"),
        (["sensors", "m", "registration"], 3, "'auto' or 'none' or a table of keys is needed, but 3 was given"),
        (["statistics"], "trian", "`statistics`: 'all' or 'train' or a list is needed, but 'trian' was given"),
    ],
)
def test_mistake_is_told_in_one_line(settings_table: Table, path: list[Any], value: Any, told: str) -> None:
    found = mistake(settings_table, (path, value))
    assert told in found
    assert len(found.splitlines()) == 1


@pytest.mark.parametrize("key", [True, None, 1.5, 2**70])
def test_keys_that_are_no_text_are_refused(settings_table: Table, key: Any) -> None:
    """YAML takes a class called `on` for one called True."""
    told = mistake(merge(settings_table, {"classes": {key: {"id": 11}}}))
    assert "in `classes` is no text: put it in quotes" in told


def test_classes_called_as_pydantic_calls_kinds_are_found(settings_table: Table) -> None:
    """Locations of mistakes hold words of pydantic's own, such as `int`, that may be a user's names as well."""
    for name in ("int", "str", "Shift", "Matrix", "list"):
        entry = {**settings_table["classes"]["trees"], "id": 11, "polygon": {}}
        told = mistake(merge(settings_table, {"classes": {name: entry}}))
        assert f"unknown key `classes.{name}.polygon`; did you mean `polygons`?" in told


@pytest.mark.parametrize("name", ["mean", "all"])
def test_class_called_as_a_row_of_the_score(settings_table: Table, name: str) -> None:
    told = mistake(merge(settings_table, {"classes": {name: {**PIXELS, "id": 11}}}))
    assert f"`classes.{name}`: rows of score.tsv" in told


def test_names_that_do_not_fit_into_a_file_name(settings_table: Table) -> None:
    long = "x" * 90
    changes: list[Change] = [
        (["models", long], {"kind": "linear"}),
        (["channels", long], ["rgb"]),
        (["classes", "trees", "members", 0], {"model": long, "channels": long, "scale": "native"}),
    ]
    assert "has 194 characters" not in mistake(settings_table, *changes, (["scales", long], {}), (["results"], ""))
    long_scale: list[Change] = [(["scales", long], {}), (["classes", "trees", "members", 0, "scale"], long)]
    told = mistake(settings_table, *changes, *long_scale)
    assert "the name of the member trees-xxx" in told
    assert "has 278 characters, and 200 at most fit" in told


def test_mistake_of_the_defaults_is_told_once(settings_table: Table) -> None:
    """Not for each of the 26 members that it concerns."""
    told = mistake(settings_table, (["defaults", "prediction"], {"stride": 300}))
    assert told.count("`defaults.prediction`: stride 300 is larger than window 256") == 1
    assert len(told.splitlines()) == 1


def test_many_mistakes_are_cut_short(settings_table: Table) -> None:
    told = mistake(merge(settings_table, {"sensors": {f"q{i}": 1 for i in range(50)}})).splitlines()
    assert told[0] == "the configuration has 50 mistakes:"
    assert len(told) == 22
    assert told[-1] == "  and 30 more"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["scales", "spare"], {"factor": 0.5}),
        (["models", "spare"], {"kind": "unet"}),
        (["channels", "spare"], ["a"]),
        (["channels", "all20"], ["p", "m", "a"]),
        (["targets", "spare"], ["trees"]),
        (["dataset", "predict"], []),
        (["dataset", "predict"], ["6120_2_2"]),
        (["statistics"], ["6120_2_2"]),
        (["sensors", "m", "registration"], {"matrix": [[0.25, 0, 1], [0, 0.25, -1]]}),
        (["defaults", "training", "patch"], 100),
        (["classes", "waterway", "training"], {"seed": 3, "threads": 1}),
        (["classes", "trees", "prediction"], {"window": 2048}),
        (["results"], "/scratch/somebody's results/run 1"),
        (["classes", "wkt"], {**PIXELS, "id": 11}),
    ],
)
def test_what_is_odd_but_has_a_meaning_is_let_be(settings_table: Table, path: list[Any], value: Any) -> None:
    assert resolve(load_config(changed(settings_table, (path, value)))).members


def test_data_may_lie_below_the_working_directory(
    settings_table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_config(changed(settings_table, (["dataset", "root"], "."))).dataset.root == "."


def test_sensors_of_the_contest_are_those_of_the_layout() -> None:
    assert DSTL_BANDS.keys() == dstl.SENSORS.keys()


# Against the data ------------------------------------------------------------------------------------------


def stand_in(table: Table, train: Sequence[str] = TRAIN, predict: str = "x", **other: Any) -> Any:
    """The graph of a configuration over scenes; `other` are fields of every training scene."""
    dag = stand_in_dag(table, train, [predict])
    for name in train:
        dag.dataset.scenes[name] = dataclasses.replace(dag.dataset.scenes[name], **other)
    return dag


def refused(dag: Any, stage: str, **names: str) -> list[str]:
    """The lines of mistakes that the graph tells when it is asked for a job."""
    with pytest.raises(ConfigError) as caught:
        dag.spec(stage, **names)
    return str(caught.value).removeprefix("the configuration has a mistake: ").split("\n  ")


def with_folds(table: Table, number: int) -> Table:
    return merge(table, {"validation": {"split": None, "folds": number}})


def test_graph_refuses_more_folds_than_grounds(settings_table: Table) -> None:
    assert stand_in(with_folds(settings_table, 5)).spec("split", group="trees")["names"][-1] == "fold-4"
    dag = stand_in(with_folds(settings_table, 6))
    (told,) = refused(dag, "split", group="trees")
    assert told.startswith("`validation.folds`: 6 was given, but each fold needs ground of its own, and that of the")
    assert told.endswith("scenes is 5: give 2 to 5")
    assert refused(dag, "train", member="trees-unet64-all20-s1024", fold="fold-0") == [told]
    (told,) = refused(stand_in(with_folds(settings_table, 2), ground="same"), "split", group="trees")
    assert told.endswith("scenes is 1: give `validation.split`: all of it trains")


def test_graph_lets_a_split_of_one_ground_and_the_users_folds_be(settings_table: Table) -> None:
    assert stand_in(settings_table, ground="same").spec("split", group="trees")["scenes"] == TRAIN
    dag = stand_in(with_folds(settings_table, 6), fold="north")
    assert dag.spec("split", group="trees")["folds"] == dict.fromkeys(TRAIN, "north")


def test_graph_refuses_to_learn_without_labels(settings_table: Table) -> None:
    labelled = tuple(name for name in settings_table["classes"] if name not in {"trees", "small_vehicle"})
    dag = stand_in(settings_table, labelled=labelled)
    told = refused(dag, "split", group="trees")
    assert told[0] == "the configuration has 2 mistakes:"
    assert told[1].startswith("no training scene is labelled for trees, so there is nothing to learn from")
    assert told[2].startswith("no training scene is labelled for large_vehicle, small_vehicle together")
    assert dag.spec("split", group="crops")["scenes"] == TRAIN, "what can be learned can be had"
    assert dag.spec("stack", scale="s1024", scene="x")["scene"] == "x", "nor does a stack need labels"


def test_data_checks_names_that_stand_for_something_else(settings_table: Table) -> None:
    assert list(data_checks(stand_in(settings_table).dataset)) == []
    (told,) = data_checks(stand_in(settings_table, fold="all").dataset)
    assert "a fold is called `all`" in told
    (told,) = data_checks(stand_in(settings_table, predict="all").dataset)
    assert "a scene is called `all`" in told


def test_data_checks_stop_the_graph(settings_table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    good, bad = (stand_in(settings_table, predict=name).dataset for name in ("x", "all"))
    monkeypatch.setattr("rasterloom.planning.graph.load_dataset", lambda *_: good)
    assert Dag.load(settings_table).training == TRAIN
    monkeypatch.setattr("rasterloom.planning.graph.load_dataset", lambda *_: bad)
    with pytest.raises(ConfigError, match=r"mistake: a scene is called `all`"):
        Dag.load(settings_table)
