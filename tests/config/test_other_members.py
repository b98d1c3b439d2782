"""Members that read predictions of others: those whose probability they see, and the first round of a second one."""

from __future__ import annotations

from typing import Any

import pytest

from rasterloom.config import load_config, resolve
from rasterloom.config.model import Config
from rasterloom.config.recipe import Recipe
from rasterloom.errors import ConfigError

NET: dict[str, Any] = {"kind": "unet", "width": 8, "depth": 2}
SHEET = {"layout": "sheet", "table": "scenes.tsv"}
FIRST, SECOND = "houses-net-all-native", "houses-net.round2-all-native"
STACKED = "houses-net-stacked-native"


def config_of(**changes: Any) -> Config:
    """One network of class `houses`; `changes` are laid over the table."""
    table: dict[str, Any] = {
        "dataset": SHEET,
        "sensors": {"rgb": {"reference": True}},
        "channels": {"all": ["rgb"], "stacked": ["rgb", FIRST]},
        "scales": {"native": {}},
        "models": {"net": NET, "forest": {"kind": "forest"}},
        "validation": {"folds": 2},
        "classes": {"houses": members({}, {"channels": "stacked"})},
    }
    return load_config({**table, **changes})


def members(*found: dict[str, Any], id: int = 1) -> dict[str, Any]:
    return {"id": id, "members": [{"model": "net", "channels": "all", "scale": "native", **own} for own in found]}


def recipe_of(**changes: Any) -> Recipe:
    return resolve(config_of(**changes))


def test_member_in_channels_is_seen_beside_the_sensors() -> None:
    recipe = recipe_of()
    assert (recipe.members[STACKED].sensors, recipe.members[STACKED].stacked) == (("rgb",), (FIRST,))
    assert recipe.needed(STACKED) == [FIRST]


def test_chains_are_told_from_circles() -> None:
    channels = {"all": ["rgb"], "stacked": ["rgb", FIRST], "third": ["rgb", STACKED]}
    recipe = recipe_of(
        channels=channels, classes={"houses": members({}, {"channels": "stacked"}, {"channels": "third"})}
    )
    assert recipe.needed("houses-net-third-native") == [STACKED, FIRST]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"channels": {"all": ["rgb"], "stacked": ["rgb", "houses-nett-all-native"]}},
         "`channels.stacked`: no member is called .*did you mean `houses-net-all-native`"),
        ({"channels": {"all": ["rgb"], "stacked": ["rgb", "houses-net-stacked-nativ"]}},
         "`channels.stacked`: no member is called .*did you mean `houses-net-all-native`"),  # not itself
        ({"channels": {"all": ["rgb"], "stacked": [FIRST]}}, "`channels.stacked`: members alone, .*name a sensor"),
        ({"channels": {"all": ["rgb"], "stacked": ["rgb", FIRST, FIRST]}}, "`channels.stacked`: each sensor once"),
        ({"channels": {"all": ["rgb"], "stacked": ["rgb", STACKED]}},
         f"`channels.stacked`: member {STACKED} would need its own probability; take {STACKED} out"),
        ({"channels": {"all": ["rgb", STACKED], "stacked": ["rgb", FIRST]}}, "would need its own probability"),
        ({"models": {"net": {**NET, "init": STACKED}}}, "would begin with its own weights"),
        ({"classes": {"houses": members({}), "trees": members({"channels": "stacked"}, id=2)}},
         "divided into folds apart.*name a member that learns trees"),
        ({"validation": {"folds": 2, "predict_with": "refit"},
          "classes": {"houses": members({"training": {"rounds": 2}})}},
         "`training.rounds`: 2 was given, but with `validation.predict_with: refit`"),
        ({"dataset": {**SHEET, "region": "north"}, "classes": {"houses": members({"training": {"rounds": 2}})}},
         "`training.rounds`: 2 learns from all scenes to predict: give no `dataset.region`"),
        ({"dataset": {**SHEET, "region": "north"}, "normalise_by": "dataset", "classes": {"houses": members({})}},
         "`statistics`: all would train anew in each `dataset.region`"),
        ({"classes": {"houses": members({"model": "forest", "training": {"rounds": 2}})}},
         "`classes.houses.members.0..training.rounds`: it has no effect on models of kind forest"),
        ({"classes": {"houses": members({"training": {"rounds": 3}})}}, "rounds`: .*at most 2"),
    ],
)  # fmt: skip
def test_what_no_member_can_see_or_learn_is_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        recipe_of(**changes)


def test_second_round_is_a_member_that_takes_the_place_of_the_first() -> None:
    recipe = recipe_of(classes={"houses": members({"training": {"rounds": 2}})})
    assert list(recipe.members) == [FIRST, SECOND]
    assert recipe.classes["houses"].members == (SECOND,)
    assert recipe.members[SECOND].teacher == FIRST
    assert recipe.needed(SECOND) == [FIRST]
    once = recipe_of(classes={"houses": members({})})
    assert recipe.members[FIRST] == once.members[FIRST], "a first round that is there is found again"
    assert "rounds" not in once.members[FIRST].training


def test_both_rounds_may_be_members() -> None:
    classes = {"houses": members({}, {"training": {"rounds": 2}})}
    assert recipe_of(classes=classes).classes["houses"].members == (FIRST, SECOND)
    with pytest.raises(ConfigError, match=f"lists member {FIRST} twice"):
        recipe_of(classes={"houses": members(*[{"training": {"rounds": 2}}] * 2)})


def test_rounds_of_the_defaults_leave_models_per_pixel_alone() -> None:
    recipe = recipe_of(defaults={"training": {"rounds": 2}}, classes={"houses": members({}, {"model": "forest"})})
    assert recipe.classes["houses"].members == (SECOND, "houses-forest-all-native")
