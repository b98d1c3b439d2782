"""The configuration: config.yaml and the model agree; mistakes are named with their remedy."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest

from common import ROOT, says
from configurations import changed, mistake
from rasterloom.config import Recipe, load_config, read_config_files, resolve
from rasterloom.config.explain import place
from rasterloom.config.model import AugmentConfig
from rasterloom.config.recipe import scale_table
from rasterloom.text import nearest

Table = dict[str, Any]
UNET_CLASSES = ("buildings", "structures", "road", "track", "trees", "crops", "standing_water")
VEHICLES = "large_vehicle+small_vehicle+vehicles"


# config.yaml -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def recipe(settings_table: Table) -> Recipe:
    return resolve(load_config(settings_table))


def test_config_yaml_has_ten_classes_with_the_ids_of_the_contest(recipe: Recipe) -> None:
    assert [found.id for found in recipe.classes.values()] == list(range(1, 11))
    assert list(recipe.classes) == [
        *UNET_CLASSES[:6],
        "waterway",
        "standing_water",
        "large_vehicle",
        "small_vehicle",
    ]


def test_config_yaml_has_28_members(recipe: Recipe) -> None:
    vehicles = ("large_vehicle", "small_vehicle", "vehicles")
    expected = {f"{name}-unet64-all20-{scale}" for name in UNET_CLASSES for scale in ("s1024", "s2048")}
    expected |= {"waterway-forest-all20-s1024", "waterway-linear-all20-s1024"}
    expected |= {f"{t}-unet64-{i}-{s}" for t in vehicles for i in ("all20", "rgbp") for s in ("native", "s2048")}
    assert len(expected) == 28
    assert set(recipe.members) == expected
    assert all(name == member.name for name, member in recipe.members.items())


def test_config_yaml_vehicles_share_the_members_of_both(recipe: Recipe) -> None:
    large, small = recipe.classes["large_vehicle"], recipe.classes["small_vehicle"]
    assert len(large.members) == len(small.members) == 8
    assert set(large.members) & set(small.members) == {name for name in recipe.members if name.startswith("vehicles-")}
    assert recipe.members["vehicles-unet64-rgbp-native"].classes == ("large_vehicle", "small_vehicle")


def test_config_yaml_groups_are_targets_that_meet_in_an_ensemble(recipe: Recipe) -> None:
    assert set(recipe.groups) == {*UNET_CLASSES, "waterway", VEHICLES}
    assert recipe.groups[VEHICLES] == {
        "large_vehicle": ("large_vehicle",),
        "small_vehicle": ("small_vehicle",),
        "vehicles": ("large_vehicle", "small_vehicle"),
    }
    assert recipe.groups["trees"] == {"trees": ("trees",)}
    assert recipe.classes["small_vehicle"].group == recipe.group_of("vehicles-unet64-rgbp-native") == VEHICLES


def test_config_yaml_sets_of_channels_have_20_and_4_channels(settings_table: Table) -> None:
    config = load_config(settings_table)
    bands = {name: sensor.bands or 0 for name, sensor in config.sensors.items()}
    assert {name: sum(bands[s] for s in sensors) for name, sensors in config.channels.items()} == {
        "all20": 20,
        "rgbp": 4,
    }


def test_members_hold_the_settings_of_their_kind_alone(recipe: Recipe) -> None:
    forest = recipe.members["waterway-forest-all20-s1024"]
    off = {"indices": False, "neighbourhood": []}
    assert forest.model == {"kind": "forest", "trees": 40, "max_depth": 12, "samples": 200_000, **off}
    assert forest.training == {"threads": 2, "seed": 0}
    assert forest.prediction == {"threads": 2}
    unet = recipe.members["trees-unet64-all20-s2048"]
    assert unet.model == {
        "kind": "unet", "init": None, "norm": "batch", "width": 64, "widths": "constant", "depth": 6,
        "convs_per_block": 3,
    }  # fmt: skip
    assert (unet.training["patch"], unet.training["batch"], unet.prediction["stride"]) == (256, 4, 64)


@pytest.mark.parametrize(
    ("defaults", "member", "expected"),
    [
        ({}, {}, (256, 64, True)),
        ({"quality": "fast"}, {}, (256, 128, "alternate")),
        ({"quality": "preview"}, {}, (256, 256, False)),
        ({"quality": "preview"}, {"quality": "authors"}, (256, 64, True)),
        ({"quality": "fast", "window": 192}, {}, (192, 96, "alternate")),
        ({"stride": 32}, {"quality": "fast"}, (256, 32, "alternate")),
        ({"quality": "fast", "symmetries": True}, {"stride": 64}, (256, 64, True)),
    ],
)
def test_quality_says_what_is_not_given(
    settings_table: Table, defaults: Table, member: Table, expected: tuple[int, int, bool | str]
) -> None:
    table = copy.deepcopy(settings_table)
    table["defaults"]["prediction"].update(defaults)
    table["classes"]["trees"]["members"][0]["prediction"] = member
    found = resolve(load_config(table)).members["trees-unet64-all20-s1024"].prediction
    assert (found["window"], found["stride"], found["symmetries"]) == expected
    assert "quality" not in found, "what decides is what it stands for"


# Overlays that the repository offers -----------------------------------------------------------------------


@pytest.mark.parametrize("preset", sorted(path.name for path in (ROOT / "presets").glob("*.yaml")))
def test_presets_are_valid_and_write_elsewhere(preset: str) -> None:
    config = load_config(read_config_files([ROOT / "config.yaml", ROOT / "presets" / preset]))
    assert resolve(config).members
    assert config.results == f"results-{preset.removesuffix('.yaml')}"


# Mistakes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (["scalez"], "scales"),
        (["dataset", "rooot"], "root"),
        (["sensors", "rgb", "band"], "bands"),
        (["scales", "s1024", "sizes"], "size"),
        (["models", "unet64", "widht"], "width"),
        (["classes", "trees", "member"], "members"),
        (["classes", "trees", "members", 0, "scales"], "scale"),
        (["classes", "trees", "members", 0, "training", "stepz"], "steps"),
        (["classes", "trees", "members", 1, "prediction", "strid"], "stride"),
        (["classes", "trees", "training", "augment", "flip"], "flips"),
        (["classes", "trees", "prediction", "windows"], "window"),
        (["classes", "trees", "polygons", "minarea"], "min_area"),
        (["defaults", "trainning"], "training"),
        (["defaults", "training", "lerning_rate"], "learning_rate"),
        (["defaults", "training", "augment", "color"], "colour"),
        (["defaults", "prediction", "symetries"], "symmetries"),
        (["defaults", "polygons", "treshold"], "threshold"),
        (["validation", "fold"], "folds"),
        (["execution", "scene_per_job"], "scenes_per_job"),
    ],
    ids=lambda value: ".".join(map(str, value)) if isinstance(value, list) else "",
)
def test_unknown_key_names_the_nearest_valid_one(settings_table: Table, path: list[Any], name: str) -> None:
    told = mistake(settings_table, (path, 1))
    assert told.startswith("the configuration has a mistake: ") and "\n" not in told
    assert says(told, f"unknown ... `{place(path)}` ... did you mean `{name}`")


def test_unknown_key_far_from_all_lists_the_valid_ones(settings_table: Table) -> None:
    told = mistake(settings_table, (["validation", "qqqqqq"], 1))
    assert says(told, "unknown ... `validation.qqqqqq` ... valid: " + ", ".join(settings_table["validation"]))


def test_several_mistakes_are_one_line_each(settings_table: Table) -> None:
    told = mistake(settings_table, (["scalez"], 1), (["defaults", "training", "steps"], 0)).splitlines()
    assert told[0] == "the configuration has 2 mistakes:"
    assert {line.strip().split("`")[1] for line in told[1:]} == {"scalez", "defaults.training.steps"}


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (["defaults", "prediction", "stride"], 257, "`defaults.prediction` ... stride 257 ... window 256"),
        (["classes", "trees", "prediction"], {"stride": 300}, "`classes.trees.prediction` ... stride 300"),
        (
            ["classes", "trees", "members", 0, "prediction"],
            {"stride": 300},
            "members[0].prediction` ... stride 300 ... window 256",
        ),
        (["classes", "trees", "members", 0, "scale"], "s2049", "scale ... `s2049` ... did you mean `s2048`"),
        (["classes", "trees", "members", 0, "channels"], "all2", ".channels` ... `all2` ... did you mean `all20`"),
        (["classes", "trees", "members", 0, "model"], "unet6", "model ... `unet6` ... did you mean `unet64`"),
        (["classes", "trees", "members", 0, "target"], "vehicle", "target ... `vehicle` ... did you mean `vehicles`"),
        (["channels", "rgbp"], ["rgb", "pp"], "`channels.rgbp` ... `pp` ... did you mean `p`"),
        (["channels", "rgbp"], ["rgb", "rgb"], "`channels.rgbp` ... sensor once"),
        (["channels", "rgbp"], [], "`channels.rgbp` ... at least one"),
        (["targets", "vehicles"], ["car"], "`targets.vehicles` ... `car`"),
        (["targets", "vehicles"], [], "`targets.vehicles` ... at least one"),
        (["targets", "trees"], ["crops"], "`targets.trees` ... class ... name"),
        (["classes", "trees", "id"], 1, "`classes.trees.id` ... 1 ... `buildings`"),
        (["classes", "trees", "members"], [], "`classes.trees.members` ... at least 1 ... 0"),
        (["sensors", "p", "reference"], True, "`sensors` ... one ... `reference: true` ... rgb, p"),
        (["sensors", "rgb", "reference"], False, "`sensors` ... one ... `reference: true` ... 0"),
        (["sensors", "m", "max_shift"], float("inf"), "`sensors.m.max_shift` ... finite"),
        (["sensors", "m", "nodata"], float("nan"), "`sensors.m.nodata` ... finite"),
        (["sensors", "m", "bands"], "8", "`sensors.m.bands` ... integer ... '8' was given"),
        (["sensors", "m-2"], {}, "'m-2' ... letters, digits"),
        (["scales", "s1024"], {"size": 64, "gsd": 1.0}, "`scales.s1024` ... only one ... size, gsd and factor"),
        (["defaults", "training", "steps"], True, "`defaults.training.steps` ... integer"),
        (["validation", "folds"], 5, "`validation` ... `split` ... `folds`"),
        (["validation", "split"], None, "`validation` ... `split` ... `folds`"),
        (["dataset", "root"], None, "`dataset` ... dstl ... `root`"),
        (["dataset", "table"], "scenes.tsv", "`dataset` ... `table` ... sheet"),
        (["dataset", "layout"], "sheet", "`dataset` ... layout sheet needs ... `table`"),
        (["dataset"], None, "`dataset` is missing ... add it"),
        (["models", "unet64"], 64, "`models.unet64` ... table ... 64 was given"),
        (["classes"], {}, "`classes` ... at least 1 ... 0"),
        (["classes"], 3, "`classes` ... table ... 3 was given"),
    ],
)
def test_mistake_says_where_what_and_the_remedy(settings_table: Table, path: list[Any], value: Any, words: str) -> None:
    told = mistake(settings_table, (path, value))
    assert says(told, words)
    assert "\n" not in told
    assert "pydantic" not in told


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (["sensors", "m", "registration"], {"shfit": [1, 2]}, "did you mean `shift`?"),
        (["sensors", "m", "registration"], {"shift": [1]}, "at least 2 ... 1"),
        (["sensors", "m", "registration"], {"matrix": [[1, 0, 0]]}, "at least 2 ... 1"),
        (["sensors", "m", "registration"], "atuo", "'auto' ... 'none'"),
        (["statistics"], "trian", "'all' ... 'train'"),
        (["defaults", "polygons", "threshold"], 1.5, "at most 1 ... 1.5 was given"),
        (["execution", "scenes_per_job"], 2, "2 was given"),
        (["dataset", "predict"], "scord", "'scored' ... 'all'"),
    ],
)
def test_mistake_where_several_kinds_are_valid_is_about_one_key(
    settings_table: Table, path: list[Any], value: Any, words: str
) -> None:
    told = mistake(settings_table, (path, value))
    assert says(told, words)
    places = set(re.findall(r"`([^`]+)`(?::| is missing)|unknown key `([^`]+)`", told))
    assert all(any(part.startswith(".".join(path)) for part in place) for place in places), told


@pytest.mark.parametrize(
    ("path", "value", "wrong"),
    [
        (["sensors", "m", "registration"], {"shift": [1]}, "unknown key"),
        (["sensors", "m", "registration"], {"matrix": [[1, 0, 0]]}, "unknown key"),
        (["sensors", "m", "registration"], {"shfit": [1, 2]}, "matrix` is missing"),
        (["sensors", "m", "registration"], "atuo", "mistakes"),
        (["defaults", "polygons", "threshold"], 1.5, "'auto'"),
        (["statistics"], "trian", "mistakes"),
    ],
)
def test_mistake_where_several_kinds_are_valid_says_nothing_of_those_not_meant(
    settings_table: Table, path: list[Any], value: Any, wrong: str
) -> None:
    assert wrong not in mistake(settings_table, (path, value))


def test_shared_member_with_different_settings_is_refused(settings_table: Table) -> None:
    told = mistake(settings_table, (["classes", "large_vehicle", "training"], {"steps": 3}))
    assert says(told, "member vehicles-unet64-all20-native ... large_vehicle ... small_vehicle")
    assert "\n" not in told
    both = [(["classes", name, "training"], {"steps": 3}) for name in ("large_vehicle", "small_vehicle")]
    assert len(resolve(load_config(changed(settings_table, *both))).members) == 28


def test_member_twice_in_a_class_is_refused(settings_table: Table) -> None:
    member = {"model": "unet64", "channels": "all20", "scale": "s1024"}
    told = mistake(settings_table, (["classes", "trees", "members"], [member, {**member, "target": "trees"}]))
    assert says(told, "class trees ... member trees-unet64-all20-s1024 ... twice")


# Settings laid over each other ----------------------------------------------------------------------------


def test_settings_of_member_go_before_class_before_defaults(settings_table: Table) -> None:
    table = changed(
        settings_table,
        (["defaults", "training", "steps"], 1),
        (["classes", "trees", "training"], {"steps": 2, "augment": {"colour": 0.3}}),
        (["classes", "trees", "members", 1, "training"], {"steps": 3, "augment": {"flips": False}}),
    )
    members = resolve(load_config(table)).members
    steps = {name: members[f"{name}-unet64-all20-s2048"].training["steps"] for name in ("trees", "crops")}
    assert steps == {"trees": 3, "crops": 1}
    assert members["trees-unet64-all20-s1024"].training["steps"] == 2
    augment = members["trees-unet64-all20-s2048"].training["augment"]
    assert augment == {**AugmentConfig().model_dump(), "flips": False, "colour": 0.3}


def test_numbers_written_with_or_without_point_are_one_recipe(settings_table: Table) -> None:
    """A key is the digest of canonical JSON, which tells 60 from 60.0."""
    places = [["sensors", "rgb", "max_shift"], *(["defaults", "polygons", key] for key in ("threshold", "simplify"))]
    whole, point = (load_config(changed(settings_table, *[(place, value) for place in places])) for value in (1, 1.0))
    assert whole.model_dump_json() == point.model_dump_json()
    assert '"max_shift":1.0' in whole.model_dump_json()


def test_scale_table_holds_the_one_key_that_is_set(settings_table: Table) -> None:
    config = load_config(changed(settings_table, (["scales", "half"], {"gsd": 1})))
    assert scale_table(config, "s1024") == {"name": "s1024", "size": 1024}
    assert scale_table(config, "half") == {"name": "half", "gsd": 1.0}
    assert scale_table(config, "native") == {"name": "native"}


def test_nearest_of_nothing_valid() -> None:
    assert nearest("x", []) == "valid: none"
