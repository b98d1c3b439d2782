"""Scene ids, what each must contain, and random generators that depend on (seed, id, purpose) alone."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

import numpy as np

from rasterloom.errors import InputError

_ID = re.compile(r"(\d{4})_(\d)_(\d)")

_TWINS = {"6140": "6110", "6150": "6030", "6130": "6020"}
"""Another date of the same ground -> the ground it shows."""

# The contest's own labelled scenes, in an order that puts the twins 6110_1_2 and 6140_1_2 among the first
# six.
_TRAIN = [
    "6040_2_2",
    "6120_2_2",
    "6010_4_2",
    "6100_1_3",
    "6110_1_2",
    "6140_1_2",
    "6170_2_4",
    "6060_2_3",
    "6090_2_0",
    "6160_2_1",
    "6040_1_0",
    "6100_2_2",
    "6010_1_2",
    "6150_2_3",
    "6070_2_3",
    "6120_2_0",
    "6040_4_4",
    "6170_0_4",
    "6110_3_1",
    "6140_3_1",
    "6010_4_4",
    "6100_2_3",
    "6170_4_1",
    "6040_1_3",
    "6110_4_0",
]

# The contest's scored scenes, in the order that the contest's readers list them.
_TEST = [
    "6080_4_4",
    "6080_4_1",
    "6010_0_1",
    "6150_3_4",
    "6020_0_4",
    "6020_4_3",
    "6150_4_3",
    "6070_3_4",
    "6020_1_3",
    "6060_1_4",
    "6050_4_4",
    "6110_2_3",
    "6060_4_1",
    "6100_2_4",
    "6050_3_3",
    "6100_0_2",
    "6060_0_0",
    "6060_0_1",
    "6060_0_3",
    "6060_2_0",
    "6120_1_4",
    "6160_1_4",
    "6120_3_3",
    "6140_2_3",
    "6090_3_2",
    "6090_3_4",
    "6170_4_4",
    "6120_4_4",
    "6030_1_4",
    "6120_0_2",
    "6030_1_2",
    "6160_0_0",
]

CAPACITY = 450
"""Number of ids that the contest has."""


@dataclass(frozen=True)
class Content:
    """What a scene is made to contain beside what every scene has."""

    river: bool
    pond: bool


def _others() -> list[str]:
    """Ids that are neither labelled nor scored, in order."""
    used = {*_TRAIN, *_TEST}
    every = [f"{s}_{r}_{c}" for r in range(5) for c in range(5) for s in range(6010, 6181, 10)]
    return [name for name in every if name not in used]


def scene_ids(train: int, test: int) -> tuple[list[str], list[str]]:
    """Ids of the training and the test scenes; the first n ids are the same whatever the counts.

    Raises
    ------
    InputError
        If a count is negative or both together exceed the contest's 450 ids.
    """
    if train < 0 or test < 0 or train + test > CAPACITY:
        raise InputError(
            f"scenes: {train} training and {test} test scenes asked for; "
            f"needed: counts of 0 or more that add up to at most {CAPACITY}. Lower --train or --test."
        )
    spare = _others()
    spill = max(0, train - len(_TRAIN))
    names_train = [*_TRAIN, *spare][:train]
    if spill > len(spare):  # more training scenes than unscored ids: give them the scored ones from the end
        names_train += _TEST[::-1][: train - len(names_train)]
    pool = [*_TEST, *spare[::-1], *reversed(_TRAIN)]
    names_test = [name for name in pool if name not in set(names_train)][:test]
    return names_train, names_test


def check_id(scene_id: str) -> str:
    """Return the id if it has the contest's form, else raise InputError."""
    if not _ID.fullmatch(scene_id):
        raise InputError(f"scenes: id {scene_id!r} given; needed: four digits, row and column, for example 6040_2_2.")
    return scene_id


def ground_id(scene_id: str) -> str:
    """Id of the ground that a scene shows: twins (the same ground on another date) share it."""
    head, tail = scene_id[:4], scene_id[4:]
    return _TWINS.get(head, head) + tail


def content(scene_id: str) -> Content:
    """Which kinds of water a scene has, by its place in the order of ids (twins follow their first date).

    The pattern over four scenes is both, neither, river, pond: the first scene of either part has every
    class.
    """
    name = ground_id(scene_id)
    for order in (_TRAIN, _TEST):
        if name in order:
            step = order.index(name) % 4
            break
    else:
        step = int(name[5]) * 5 + int(name[7]) + int(name[:4]) // 10
    step %= 4
    return Content(river=step in (0, 2), pond=step in (0, 3))


def generator(seed: int, name: str, purpose: str) -> np.random.Generator:
    """A generator that depends on seed, name and purpose alone."""
    digest = hashlib.sha256(f"{seed}|{name}|{purpose}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "little"))


def sensor_sizes(seed: int, scene_id: str, size: tuple[int, int]) -> dict[str, tuple[int, int]]:
    """Width and height of each sensor's image: near the nominal RGB size, its quarter and its twenty-fifth.

    RGB differs from the nominal size by up to three pixels, P from RGB by up to one; M is 849 x 837 and A
    136 x 134
    for an RGB image of 3396 x 3349.
    """
    rng = generator(seed, scene_id, "sizes")
    width = size[0] + int(rng.integers(-3, 4))
    height = size[1] + int(rng.integers(-2, 2))
    return {
        "rgb": (width, height),
        "p": (width + int(rng.integers(-1, 2)), height + int(rng.integers(-1, 2))),
        "m": (round(width / 4), round(height / 4)),
        "a": (round(width * 136 / 3396), round(height * 134 / 3349)),
    }


def sensor_shifts(seed: int, scene_id: str, size: tuple[int, int]) -> dict[str, tuple[float, float]]:
    """Known shift (dx, dy) of each sensor in RGB pixels; see `Scene.shifts` for the sign.

    P is off by up to 2, M by up to 12 and A by up to 50 RGB pixels, x mostly negative. In scenes below 1024
    pixels the
    shifts of A shrink with the size (not below a third), in those below 512 the shifts of M as well.
    """
    rng = generator(seed, scene_id, "shifts")
    side = min(size)
    small_a, small_m = float(np.clip(side / 1024, 0.33, 1)), float(np.clip(side / 512, 0.5, 1))
    p = np.clip(rng.normal([-0.3, 0.1], 0.7), -2, 2)
    m = np.clip(rng.normal([-1.5, -0.8], [2.6, 2.2]), -12, 12) * small_m
    a = np.clip(rng.normal([-14, -5], [14, 11]), [-50, -22], [6, 18]) * small_a
    named = {"rgb": np.zeros(2), "p": p, "m": m, "a": a}
    return {key: (round(float(v[0]), 3), round(float(v[1]), 3)) for key, v in named.items()}
