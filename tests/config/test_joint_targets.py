"""Targets of several classes in one network: what the recipe makes of them, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from common import says
from configurations import changed, mistake
from rasterloom.config import Recipe, load_config, resolve

Table = dict[str, Any]
WATER = {"classes": ["waterway", "standing_water"], "overlap": False}
MEMBER = {"model": "unet64", "channels": "all20", "scale": "s2048", "target": "water"}
NAME = "water-unet64-all20-s2048"


def joint() -> list[Any]:
    return [(["targets", "water"], {**WATER}), (["classes", "standing_water", "members", 1], {**MEMBER})]


def recipe(table: Table, *changes: Any) -> Recipe:
    return resolve(load_config(changed(table, *joint(), *changes)))


def test_member_has_an_output_for_each_class_and_shares_their_folds(settings_table: Table) -> None:
    found = recipe(settings_table)
    member = found.members[NAME]
    assert (member.outputs, member.exclusive) == (("standing_water", "waterway"), True)
    assert member.targets == {"standing_water": ("standing_water",), "waterway": ("waterway",)}
    assert found.groups["standing_water+waterway"] == member.targets
    assert "standing_water" not in found.groups
    assert {found.group_of(name) for name in found.classes["waterway"].members} == {"standing_water+waterway"}


def test_overlap_is_assumed_and_two_classes_share_one_member(settings_table: Table) -> None:
    shared = (["classes", "waterway", "members", 1], MEMBER)
    found = recipe(settings_table, shared, (["targets", "water"], {"classes": ["waterway", "standing_water"]}))
    assert not found.members[NAME].exclusive
    assert NAME in found.classes["waterway"].members
    assert NAME in found.classes["standing_water"].members


def test_union_is_what_it_was(settings_table: Table) -> None:
    member = resolve(load_config(settings_table)).members["vehicles-unet64-rgbp-native"]
    assert (member.outputs, member.exclusive) == ((), False)
    assert member.targets == {"vehicles": ("large_vehicle", "small_vehicle")}


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (["targets", "water"], {"classes": ["waterway"]}, "`targets.water.classes` ... at least 2 ... 1"),
        (["targets", "water", "classes"], ["waterway", "wtaerway"], "`targets.water.classes` ... did you mean `waterw"),
        (
            ["targets", "water", "classes"],
            ["road", "track"],
            "members[1].target` ... `water` (road, track) ... include",
        ),
        (["targets", "water", "classes"], ["standing_water"] * 2, "`targets.water.classes` ... class once"),
        (["targets", "water", "overlap"], "no", "`targets.water.overlap` ... true or false"),
        (["targets", "water", "overlpa"], True, "unknown key `targets.water.overlpa`; did you mean `overlap`"),
        (["targets", "water"], 3, "`targets.water` ... a list or a table of keys ... 3 was given"),
        (
            ["classes", "standing_water", "members", 1, "model"],
            "forest",
            "members[1].target` ... kind forest has one output ... `water` ... name a network",
        ),
    ],
)
def test_mistake_says_where_what_and_the_remedy(settings_table: Table, path: list[Any], value: Any, words: str) -> None:
    told = mistake(settings_table, *joint(), (path, value))
    assert says(told, words)
    assert "\n" not in told
