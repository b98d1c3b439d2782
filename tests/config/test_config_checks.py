"""What is refused before any job: settings that do not fit together, names, folders, the data."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from common import says, stand_in_dag
from configurations import Change, changed, mistake
from rasterloom.config import load_config, resolve
from rasterloom.config.overlays import merge
from rasterloom.errors import ConfigError
from rasterloom.planning.graph import Dag
from rasterloom.project.checks import data_checks

Table = dict[str, Any]
TRAIN = [f"60{i}0_1_2" for i in range(1, 6)]
PIXELS = {"members": [{"model": "linear", "channels": "rgbp", "scale": "native"}]}
MEMBER = ["classes", "trees", "members", 0]


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ([*MEMBER, "training"], {"patch": 32}, "`classes.trees.members[0].training.patch` ... 32 was given"),
        (["classes", "trees", "training"], {"patch": 32}, "`classes.trees.training.patch` ... 32 was given"),
        (
            ["defaults", "training", "patch"],
            63,
            "`defaults.training.patch` ... 63 was given ... 64",
        ),
        (
            ["classes", "trees", "prediction"],
            {"window": 63, "stride": 9},
            "`classes.trees.prediction.window` ... 63 was given",
        ),
        (["classes", "trees", "training"], {"patch": 64, "batch": 1}, "normalisation needs two"),
        (
            ["classes", "trees", "training"],
            {"patch": 1088},
            "1088 ... scale s1024 ... 1024 pixels",
        ),
        ([*MEMBER, "target"], "vehicles", "`vehicles` ... trees ... large_vehicle, small_vehicle"),
        ([*MEMBER, "target"], "crops", "members[0].target` ... `crops` ... trees"),
        (["models", "forest", "width"], 8, "`models.forest` ... `width` ... unet ... remove it"),
        (["models", "unet64", "kind"], "unett", "`models.unet64.kind` ... 'unet' or ... 'linear' or 'logistic'"),
        (["models", "unet64", "kind"], None, "`models.unet64.kind` is missing ... add it"),
        (["inputs"], {"all20": ["rgb"]}, "`inputs` ... called `channels` now"),
        ([*MEMBER, "input"], "all20", "`classes.trees.members[0].input` ... called `channels` now"),
        (MEMBER, {"model": "unet64", "input": "all20", "scale": "s1024"}, "members[0].input` ... `channels` now"),
        (["models", "unet64", "maps"], 8, "`models.unet64.maps` ... called `width` now"),
        (["models", "unet64", "levels"], 8, "`models.unet64.levels` ... called `depth` now"),
        (["models", "unet64", "convolutions"], 8, "`models.unet64.convolutions` ... `convs_per_block` now"),
        (["models", "forest", "depth"], 8, "`models.forest.depth` ... called `max_depth` now"),
        (["defaults", "polygons", "dilate"], 2, "`defaults.polygons.dilate`; remove it: ... `close` ... tuned"),
        (["classes", "trees", "polygons", "erode"], 2, "`classes.trees.polygons.erode`; remove it: ... `close`"),
        (["validation", "final"], "refit_all", "`validation.final` ... called `predict_with` now"),
        (["models", "spare"], {"kidn": "unet"}, "`models.spare.kidn` ... did you mean `kind`"),
        (["models", "spare"], {"indices": True, "trees": 10}, "`models.spare.kind` is missing"),
        (["defaults", "prediction", "adapt"], True, "`defaults.prediction.adapt`; remove it"),
        (
            ["models", "unet64", "samples"],
            800,
            "`models.unet64` ... `samples` ... forest, boosting, linear and logistic",
        ),
        (
            ["classes", "waterway", "training"],
            {"steps": 5},
            "`classes.waterway.training.steps` ... no effect",
        ),
        (
            ["classes", "waterway", "prediction"],
            {"stride": 5},
            "`classes.waterway.prediction.stride` ... no effect ... threads",
        ),
        (["classes", "waterway", "members", 0, "training"], {"batch": 2}, "training.batch` ... no effect ... forest"),
        (
            ["sensors", "rgb", "registration"],
            {"shift": [1, 2]},
            "`sensors.rgb.registration` ... reference",
        ),
        (
            ["sensors", "m", "registration"],
            {"matrix": [[1, 1, 0], [2, 2, 0]]},
            "`sensors.m.registration ... onto a line",
        ),
        (["classes", "Trees"], {**PIXELS, "id": 11}, "`classes.Trees` ... `trees` in case only"),
        (["scales", "S1024"], {"size": 1024}, "`scales.S1024` ... `s1024` in case only"),
        (["targets", "Vehicles"], ["trees"], "`targets.Vehicles` ... `vehicles` in case only"),
        (["targets", "TREES"], ["trees"], "`targets.TREES` ... `trees` in case only"),
        (["models", "m" * 101], {"kind": "linear"}, "`models.mmm ... at most 100 characters"),
        (["results"], "", "`results` ... path ... empty"),
        (["results"], "~/results", "`results` ... `~` and `$` ... path in full"),
        (["results"], "$SCRATCH/results", "`results` ... `~` and `$` ... path in full"),
        (["results"], "a\nb", "`results` ... 'a\\nb' ... control characters"),
        (["results"], "results/{class}", "`results` ... without braces ... 'results/{class}'"),
        (["results"], "s3://bucket/results", "`results` ... this machine ... 's3://bucket/results'"),
        (["results"], ".", "`results` ... '.' ... workflow runs in"),
        (["results"], "..", "`results` ... '..' ... workflow runs in"),
        (["results"], "data/dstl", "`results` ... 'data/dstl' ... `dataset.root`"),
        (["results"], "data/../data", "`results` ... 'data/../data' ... 'data/dstl' ... `dataset.root`"),
        (["dataset", "root"], " data", "`dataset.root` ... ' data' ... blanks"),
        (["statistics"], [], "`statistics` ... at least 1 ... 0"),
        (["statistics"], ["a", "b", "a"], "`statistics` ... 'a' ... twice ... remove one"),
        (
            ["statistics"],
            [612022],
            "`statistics[0]` ... text ... 612022 was given ... quotes",
        ),
        (["dataset", "predict"], ["6120_2_2", "6120_2_2"], "`dataset.predict` ... '6120_2_2' ... twice"),
        (["dataset", "predict"], [True], "`dataset.predict[0]` ... text ... true was given ... quotes"),
        (["dataset", "predict"], ["a", None], "`dataset.predict[1]` ... text ... null was given"),
        (["channels", "rgbp"], ["rgb", None], "`channels.rgbp[1]` ... text ... null was given"),
        (
            ["defaults", "training", "learning_rate"],
            "1e-3",
            "`defaults.training.learning_rate` ... '1e-3' was given ... YAML",
        ),
        (["defaults", "training", "steps"], "5", "`defaults.training.steps` ... integer ... quotes ... --config"),
        (["defaults", "training", "steps"], 5.0, "`defaults.training.steps` ... integer ... 5.0 was given"),
        (
            ["defaults", "training", "learning_rate"],
            True,
            "`defaults.training.learning_rate` ... number ... true was given",
        ),
        (
            ["defaults", "training", "seed"],
            2**64,
            "`defaults.training.seed` ... at most 9223372036854775807 ... 18446744073",
        ),
        (["defaults", "training", "seed"], 2**999, "`defaults.training.seed` ... 1000 bits was given"),
        (
            ["defaults", "training", "threads"],
            99999,
            "`defaults.training.threads` ... at most 1024 ... 99999 was given",
        ),
        (["sensors", "m", "max_shift"], 10**400, "`sensors.m.max_shift`"),
        (["sensors", "m", "max_shift"], -0.0, "`sensors.m.max_shift` ... above 0 ... -0.0 was given"),
        (["defaults.training.steps"], 5, "`defaults: {training: {steps: ...}}`"),
        ([*MEMBER, "modle"], "unet64", "`classes.trees.members[0].modle` ... did you mean `model`"),
        (
            MEMBER,
            {"modle": "unet64", "channels": "all20", "scale": "s1024"},
            "members[0].modle` ... did you mean `model`",
        ),
        (MEMBER, None, "`classes.trees.members[0]` ... table ... null was given"),
        (
            [*MEMBER, "training"],
            {"augment": {"flps": True}},
            "`classes.trees.members[0].training.augment.flps` ... did you mean `flips`",
        ),
        (["models", "a b"], {"kind": "linear"}, "'a b' ... letters, digits"),
        (
            ["sensors", "m", "registration"],
            3,
            "`sensors.m.registration` ... 'auto' ... 'none' ... table ... 3 was given",
        ),
        (["statistics"], "trian", "`statistics` ... 'all' ... 'train' ... list ... 'trian' was given"),
    ],
)
def test_mistake_is_told_in_one_line(settings_table: Table, path: list[Any], value: Any, told: str) -> None:
    found = mistake(settings_table, (path, value))
    assert says(found, told)
    assert len(found.splitlines()) == 1


@pytest.mark.parametrize("key", [True, None, 1.5, 2**70])
def test_keys_that_are_no_text_are_refused(settings_table: Table, key: Any) -> None:
    """YAML takes a class called `on` for one called True."""
    told = mistake(merge(settings_table, {"classes": {key: {"id": 11}}}))
    assert says(told, "`classes` ... quotes")


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
    assert says(told, "278 characters ... 200")


def test_mistake_of_the_defaults_is_told_once(settings_table: Table) -> None:
    """Not for each of the 26 members that it concerns."""
    told = mistake(settings_table, (["defaults", "prediction"], {"stride": 300}))
    assert told.count("`defaults.prediction`") == 1 and says(told, "stride 300 ... window 256")
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
    assert says(told, "`validation.folds` ... 6 was given ... 2 to 5")
    assert refused(dag, "train", member="trees-unet64-all20-s1024", fold="fold-0") == [told]
    (told,) = refused(stand_in(with_folds(settings_table, 2), ground="same"), "split", group="trees")
    assert says(told, "`validation.folds` ... 2 was given ... `validation.split`")


def test_graph_lets_a_split_of_one_ground_and_the_users_folds_be(settings_table: Table) -> None:
    assert stand_in(settings_table, ground="same").spec("split", group="trees")["scenes"] == TRAIN
    dag = stand_in(with_folds(settings_table, 6), fold="north")
    assert dag.spec("split", group="trees")["folds"] == dict.fromkeys(TRAIN, "north")


def test_graph_refuses_to_learn_without_labels(settings_table: Table) -> None:
    labelled = tuple(name for name in settings_table["classes"] if name not in {"trees", "small_vehicle"})
    dag = stand_in(settings_table, labelled=labelled)
    told = refused(dag, "split", group="trees")
    assert told[0] == "the configuration has 2 mistakes:"
    assert says(told[1], "training scene ... for trees")
    assert says(told[2], "training scene ... for large_vehicle, small_vehicle")
    assert dag.spec("split", group="crops")["scenes"] == TRAIN, "what can be learned can be had"
    assert dag.spec("stack", scale="s1024", scene="x")["scene"] == "x", "nor does a stack need labels"


def test_data_checks_names_that_stand_for_something_else(settings_table: Table) -> None:
    assert list(data_checks(stand_in(settings_table).dataset)) == []
    for name in ("all", "sanity"):
        (told,) = data_checks(stand_in(settings_table, fold=name).dataset)
        assert f"a fold is called `{name}`" in told
    (told,) = data_checks(stand_in(settings_table, predict="all").dataset)
    assert "a scene is called `all`" in told
    dataset = stand_in(settings_table, predict="x").dataset
    dataset.scenes["bucket-00"] = dataset.scenes["x"]
    (told,) = data_checks(dataset)
    assert "a scene is called `bucket-00`, as are batches of scenes" in told


def test_data_checks_stop_the_graph(settings_table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    good, bad = (stand_in(settings_table, predict=name).dataset for name in ("x", "all"))
    monkeypatch.setattr("rasterloom.project.project.load_dataset", lambda *_: good)
    assert Dag.load(settings_table).training == TRAIN
    monkeypatch.setattr("rasterloom.project.project.load_dataset", lambda *_: bad)
    with pytest.raises(ConfigError, match=r"mistake: a scene is called `all`"):
        Dag.load(settings_table)
