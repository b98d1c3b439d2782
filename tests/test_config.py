"""The configuration: config.yaml and the model agree; mistakes are named with their remedy."""

from __future__ import annotations

import copy
import re
import typing
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from conftest import ROOT
from rasterloom.config import Config, Recipe, load_config, read_config_files, read_configuration, resolve
from rasterloom.config.load import merge, nearest, without_nulls
from rasterloom.config.model import DefaultsConfig, ExecutionConfig, ModelConfig, SensorConfig
from rasterloom.config.recipe import scale_table
from rasterloom.errors import ConfigError, InputError, MissingInputError
from rasterloom.schema import schema_text

Table = dict[str, Any]
Change = tuple[Sequence[Any], Any]
UNET_CLASSES = ("buildings", "structures", "road", "track", "trees", "crops", "standing_water")
VEHICLES = "large_vehicle+small_vehicle+vehicles"


def changed(table: Table, *changes: Change) -> Table:
    """A copy of the table with values set at key paths; tables on the way are made."""
    table = copy.deepcopy(table)
    for path, value in changes:
        place: Any = table
        for key in path[:-1]:
            place = place.setdefault(key, {}) if isinstance(place, dict) else place[key]
        place[path[-1]] = value
    return table


def mistake(table: Table, *changes: Change) -> str:
    """What the user is told about a changed configuration."""
    with pytest.raises(ConfigError) as caught:
        resolve(load_config(changed(table, *changes)))
    return str(caught.value)


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


def test_config_yaml_inputs_have_20_and_4_channels(settings_table: Table) -> None:
    config = load_config(settings_table)
    bands = {name: sensor.bands or 0 for name, sensor in config.sensors.items()}
    assert {name: sum(bands[s] for s in sensors) for name, sensors in config.inputs.items()} == {"all20": 20, "rgbp": 4}


def test_members_hold_the_settings_of_their_kind_alone(recipe: Recipe) -> None:
    forest = recipe.members["waterway-forest-all20-s1024"]
    assert forest.model == {"kind": "forest", "trees": 40, "depth": 12, "samples": 200_000}
    assert forest.training == {"threads": 2, "seed": 0}
    assert forest.prediction == {"threads": 2}
    unet = recipe.members["trees-unet64-all20-s2048"]
    assert unet.model == {"kind": "unet", "maps": 64, "levels": 6, "convolutions": 3}
    assert (unet.training["patch"], unet.training["batch"], unet.prediction["stride"]) == (256, 4, 64)


# Overlays that the repository offers -----------------------------------------------------------------------


@pytest.mark.parametrize("preset", sorted(path.name for path in (ROOT / "presets").glob("*.yaml")))
def test_presets_are_valid_and_write_elsewhere(preset: str) -> None:
    config = load_config(read_config_files([ROOT / "config.yaml", ROOT / "presets" / preset]))
    assert resolve(config).members
    assert config.results == f"results-{preset.removesuffix('.yaml')}"


# Drift -----------------------------------------------------------------------------------------------------

SAID_IN_COMMENTS = {
    "sensors.*.registration.shift",
    "sensors.*.registration.matrix",
    "scales.*.gsd",
    "scales.*.factor",
    "classes.*.training",
    "classes.*.prediction",
    "classes.*.members.*.training",
    "classes.*.members.*.prediction",
}
"""Keys that config.yaml explains where they would stand, but does not set."""


def models_in(annotation: Any) -> tuple[str, list[type[BaseModel]]]:
    """The tables that a field may hold, and how their keys continue its path."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "", [annotation]
    found, step = [], ".*" if typing.get_origin(annotation) in (dict, list) else ""
    for part in typing.get_args(annotation):
        deeper, models = models_in(part)
        found += models
        step += deeper if models else ""
    return step, found


def keys_of(model: type[BaseModel], place: str = "") -> Iterator[str]:
    """Every key path of a model, ``*`` for names of the user's choice and items of lists.

    What a class or a member may override is explained once, under `defaults`.
    """
    overridden = {found for field in DefaultsConfig.model_fields.values() for found in models_in(field.annotation)[1]}
    for name, field in model.model_fields.items():
        path = f"{place}.{name}".removeprefix(".")
        yield path
        step, models = models_in(field.annotation)
        if path not in SAID_IN_COMMENTS:
            for inner in models if path.startswith("defaults") else [m for m in models if m not in overridden]:
                yield from keys_of(inner, path + step)


def paths_in(value: Any, place: str = "") -> Iterator[str]:
    """Every key path of a table, with ``*`` tried for each key and item."""
    entries = value.items() if isinstance(value, dict) else [("*", v) for v in value] if isinstance(value, list) else []
    for key, entry in entries:
        for name in {key, "*"}:
            path = f"{place}.{name}".removeprefix(".")
            yield path
            yield from paths_in(entry, path)


def test_every_key_of_the_model_stands_in_config_yaml(settings_table: Table) -> None:
    known, there = set(keys_of(Config)), set(paths_in(settings_table))
    assert {"classes.*.members.*.scale", "defaults.training.augment.flips", "sensors.*.registration.shift"} <= known
    assert known - there - SAID_IN_COMMENTS == set()
    assert known >= SAID_IN_COMMENTS, "a key that no longer exists is exempted"
    comments = " ".join(re.findall(r"#.*", (ROOT / "config.yaml").read_text()))
    for path in SAID_IN_COMMENTS:
        assert re.search(rf"\b{path.split('.')[-1]}\b", comments), path


def test_defaults_in_config_yaml_are_those_of_the_model(settings_table: Table) -> None:
    config = load_config(settings_table)
    assert config.defaults == DefaultsConfig()
    assert config.execution == ExecutionConfig()
    fields = Config.model_fields
    assert (config.results, config.statistics) == (fields["results"].default, fields["statistics"].default)
    for section in ("validation", "dataset"):
        found = getattr(config, section)
        for name, field in type(found).model_fields.items():
            if name not in {"split", "root", "predict"}:
                assert getattr(found, name) == field.get_default(), f"{section}.{name}"
    for name, model in config.models.items():
        assert model == ModelConfig(kind=model.kind), name
    assert config.sensors["rgb"].max_shift == SensorConfig().max_shift


def test_schema_file_is_that_of_the_model() -> None:
    """Remedy: python -m rasterloom schema > workflow/schemas/config.schema.json"""
    assert (ROOT / "workflow/schemas/config.schema.json").read_text(encoding="utf-8") == schema_text()


def test_every_key_of_the_model_is_described() -> None:
    def models(model: type[BaseModel]) -> set[type[BaseModel]]:
        inner = [found for field in model.model_fields.values() for found in models_in(field.annotation)[1]]
        return {model}.union(*(models(found) for found in inner))

    every = [(m.__name__, name, field) for m in models(Config) for name, field in m.model_fields.items()]
    assert len(every) > 50
    assert [f"{model}.{name}" for model, name, field in every if not field.description] == []


# Mistakes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (["scalez"], "scales"),
        (["dataset", "rooot"], "root"),
        (["sensors", "rgb", "band"], "bands"),
        (["scales", "s1024", "sizes"], "size"),
        (["models", "unet64", "level"], "levels"),
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
    place = ".".join(map(str, path))
    assert told == f"the configuration has a mistake: unknown key `{place}`; did you mean `{name}`?"


def test_unknown_key_far_from_all_lists_the_valid_ones(settings_table: Table) -> None:
    told = mistake(settings_table, (["validation", "qqqqqq"], 1))
    assert told.endswith("unknown key `validation.qqqqqq`; valid: split, folds, final, seed")


def test_several_mistakes_are_one_line_each(settings_table: Table) -> None:
    told = mistake(settings_table, (["scalez"], 1), (["defaults", "training", "steps"], 0)).splitlines()
    assert told[0] == "the configuration has 2 mistakes:"
    assert {line.strip().split("`")[1] for line in told[1:]} == {"scalez", "defaults.training.steps"}


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (["defaults", "prediction", "stride"], 257, "stride 257 is larger than window 256"),
        (["classes", "trees", "prediction"], {"window": 32}, "classes.trees.prediction` with the defaults: stride 64"),
        (["classes", "trees", "members", 0, "prediction"], {"stride": 300}, "stride 300 is larger than window 256"),
        (["classes", "trees", "members", 0, "scale"], "s2049", "no scale is called `s2049`; did you mean `s2048`?"),
        (["classes", "trees", "members", 0, "input"], "all2", "no input is called `all2`; did you mean `all20`?"),
        (["classes", "trees", "members", 0, "model"], "unet6", "no model is called `unet6`; did you mean `unet64`?"),
        (["classes", "trees", "members", 0, "target"], "vehicle", "is called `vehicle`; did you mean `vehicles`?"),
        (["inputs", "rgbp"], ["rgb", "pp"], "`inputs.rgbp`: no sensor is called `pp`; did you mean `p`?"),
        (["inputs", "rgbp"], ["rgb", "rgb"], "`inputs.rgbp`: each sensor once"),
        (["inputs", "rgbp"], [], "`inputs.rgbp`: each sensor once, and at least one"),
        (["targets", "vehicles"], ["car"], "`targets.vehicles`: no class is called `car`"),
        (["targets", "vehicles"], [], "`targets.vehicles`: each class once, and at least one"),
        (["targets", "trees"], ["crops"], "`targets.trees`: a class has this name"),
        (["classes", "trees", "id"], 1, "`classes.trees.id`: 1 is also the id of `buildings`"),
        (["classes", "trees", "members"], [], "`classes.trees.members`: at least 1 is needed"),
        (["sensors", "p", "reference"], True, "exactly one must have `reference: true`, not 2 (rgb, p)"),
        (["sensors", "rgb", "reference"], False, "exactly one must have `reference: true`, not 0"),
        (["sensors", "m", "max_shift"], float("inf"), "`sensors.m.max_shift`: input should be a finite number"),
        (["sensors", "m", "nodata"], float("nan"), "`sensors.m.nodata`: input should be a finite number"),
        (["sensors", "m", "bands"], "8", "`sensors.m.bands`: input should be an integer, but '8' was given"),
        (["sensors", "m-2"], {}, "'m-2' is not a name: use letters, digits and _"),
        (["scales", "s1024"], {"size": 64, "gsd": 1.0}, "`scales.s1024`: give only one of size, gsd and factor"),
        (["defaults", "training", "steps"], True, "`defaults.training.steps`: input should be an integer"),
        (["validation", "folds"], 5, "`validation`: give either `split` (a hold-out) or `folds`"),
        (["validation", "split"], None, "`validation`: give either `split` (a hold-out) or `folds`"),
        (["dataset", "root"], None, "layout dstl needs `root`"),
        (["dataset", "table"], "scenes.tsv", "`table` belongs to layout sheet"),
        (["dataset", "layout"], "sheet", "layout sheet needs `table`"),
        (["dataset"], None, "`dataset` is missing: add it"),
        (["models", "unet64"], 64, "`models.unet64`: input should be a table of keys, but 64 was given"),
        (["classes"], {}, "`classes`: at least 1 is needed"),
        (["classes"], 3, "`classes`: input should be a table of keys, but 3 was given"),
    ],
)
def test_mistake_says_where_what_and_the_remedy(settings_table: Table, path: list[Any], value: Any, words: str) -> None:
    told = mistake(settings_table, (path, value))
    assert words in told
    assert "\n" not in told
    assert "pydantic" not in told


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (["sensors", "m", "registration"], {"shfit": [1, 2]}, "did you mean `shift`?"),
        (["sensors", "m", "registration"], {"shift": [1]}, "at least 2 items"),
        (["sensors", "m", "registration"], {"matrix": [[1, 0, 0]]}, "at least 2 items"),
        (["sensors", "m", "registration"], "atuo", "'auto' or 'none'"),
        (["statistics"], "trian", "'all' or 'train'"),
        (["defaults", "polygons", "threshold"], 1.5, "less than or equal to 1"),
        (["execution", "scenes_per_job"], 2, "2 was given"),
        (["dataset", "predict"], "scord", "'scored' or 'all'"),
    ],
)
def test_mistake_where_several_kinds_are_valid_is_about_one_key(
    settings_table: Table, path: list[Any], value: Any, words: str
) -> None:
    told = mistake(settings_table, (path, value))
    assert words in told
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
    assert "member vehicles-unet64-all20-native is shared by the classes large_vehicle and small_vehicle" in told
    assert "\n" not in told
    both = [(["classes", name, "training"], {"steps": 3}) for name in ("large_vehicle", "small_vehicle")]
    assert len(resolve(load_config(changed(settings_table, *both))).members) == 28


def test_member_twice_in_a_class_is_refused(settings_table: Table) -> None:
    member = {"model": "unet64", "input": "all20", "scale": "s1024"}
    told = mistake(settings_table, (["classes", "trees", "members"], [member, {**member, "target": "trees"}]))
    assert "class trees lists member trees-unet64-all20-s1024 twice" in told


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
    assert augment == {"flips": False, "rotation": True, "colour": 0.3}


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
    assert nearest("x", []) == "; valid: none"


# Files and overlays ----------------------------------------------------------------------------------------


def test_read_config_files_in_order(tmp_path: Path) -> None:
    for name, text in {"a": "x: {p: 1, q: 2}\ny: [1, 2]\n", "b": "x: {p: 3}\ny: [4]\n", "c": "# nothing\n"}.items():
        (tmp_path / name).write_text(text)
    paths = [tmp_path / name for name in "abc"]
    assert read_config_files(paths) == {"x": {"p": 3, "q": 2}, "y": [4]}
    assert read_config_files([]) == {}


@pytest.mark.parametrize(("text", "words"), [("a: [1\n", "not valid YAML"), ("- 1\n", "a table of keys, not list")])
def test_read_config_files_that_hold_no_table(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(ConfigError, match=words) as caught:
        read_config_files([tmp_path / "a.yaml"])
    assert str(tmp_path / "a.yaml") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_read_configuration_lays_files_over_config_yaml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"run this beside config\.yaml, or give one with --configfile"):
        read_configuration([])
    Path("mine.yaml").write_text("x: {q: 2}", encoding="utf-8")
    assert read_configuration([Path("mine.yaml")]) == {"x": {"q": 2}}
    Path("config.yaml").write_text("x: {p: 1, q: 1}", encoding="utf-8")
    assert read_configuration([Path("mine.yaml")]) == {"x": {"p": 1, "q": 2}}
    assert read_configuration([]) == {"x": {"p": 1, "q": 1}}


def test_read_config_files_missing(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match=r"none\.yaml is not there"):
        read_config_files([tmp_path / "none.yaml"])


def test_null_in_an_overlay_removes_a_key(settings_table: Table) -> None:
    overlay = {"classes": {"trees": None}, "defaults": {"training": {"steps": None}}}
    config = load_config(merge(settings_table, overlay))
    assert "trees" not in config.classes
    assert config.defaults.training == DefaultsConfig().training
    told = mistake(merge(settings_table, {"scales": {"s1024": None}}))
    assert "no scale is called `s1024`" in told


leaves = st.none() | st.integers(0, 3) | st.lists(st.integers(0, 3) | st.none(), max_size=2)
trees = st.recursive(leaves, lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3), max_leaves=8)
nested = st.dictionaries(st.sampled_from("abc"), trees, max_size=3)


@given(nested, nested)
def test_merge_is_that_of_snakemake(base: Table, overlay: Table) -> None:
    from snakemake.utils import update_config

    theirs = copy.deepcopy(base)
    update_config(theirs, copy.deepcopy(overlay))
    assert merge(base, overlay) == theirs


@given(nested, nested)
def test_merge_changes_neither_table(base: Table, overlay: Table) -> None:
    before = copy.deepcopy((base, overlay))
    merge(base, overlay)
    assert (base, overlay) == before


@given(nested, nested)
def test_merge_lets_the_overlay_win_and_is_idempotent(base: Table, overlay: Table) -> None:
    merged = merge(base, overlay)
    assert merge(merged, overlay) == merged
    assert merge(base, {}) == base
    for path, value in _leaves(overlay):
        place: Any = merged
        for key in path:
            place = place[key]
        assert place == value


def _leaves(table: Table, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _leaves(value, (*path, key))
        else:
            yield (*path, key), value


@given(nested)
def test_without_nulls_keeps_all_but_keys_that_are_null(table: Table) -> None:
    before = copy.deepcopy(table)
    found = without_nulls(table)
    assert without_nulls(found) == found
    assert list(_leaves(found)) == [(path, value) for path, value in _leaves(table) if value is not None]
    assert table == before
