"""Scene ids, which water each scene has, and random generators that depend on (seed, id, purpose) alone."""

import hashlib

import numpy as np

from rasterloom.dataset.contest_ids import SCORED, SENSORS, ground_of
from rasterloom.errors import InputError

LABELLED = (
    "6040_2_2 6120_2_2 6010_4_2 6100_1_3 6110_1_2 6140_1_2 6170_2_4 6060_2_3 6090_2_0 6160_2_1 6040_1_0 6100_2_2 "
    "6010_1_2 6150_2_3 6070_2_3 6120_2_0 6040_4_4 6170_0_4 6110_3_1 6140_3_1 6010_4_4 6100_2_3 6170_4_1 6040_1_3 "
    "6110_4_0"
)
"""The contest's labelled scenes, in an order that puts the twins 6110_1_2 and 6140_1_2 among the first six."""

_TRAIN, _TEST = LABELLED.split(), SCORED.split()

_EVERY = [f"{scene}_{row}_{column}" for row in range(5) for column in range(5) for scene in range(6010, 6181, 10)]


def scene_ids(train: int, test: int) -> tuple[list[str], list[str]]:
    """Ids of the training and the test scenes; the first n ids are the same whatever the counts.

    Raises
    ------
    InputError
        If a count is negative or both together exceed the contest's 450 ids.
    """
    if train < 0 or test < 0 or train + test > len(_EVERY):
        raise InputError(
            f"scenes: {train} training and {test} test scenes asked for; "
            f"needed: counts of 0 or more that add up to at most {len(_EVERY)}. Lower --train or --test."
        )
    spare = [name for name in _EVERY if name not in {*_TRAIN, *_TEST}]
    chosen = [*_TRAIN, *spare, *reversed(_TEST)][:train]
    pool = [*_TEST, *reversed(spare), *reversed(_TRAIN)]
    return chosen, [name for name in pool if name not in set(chosen)][:test]


def waters(scene_id: str) -> tuple[bool, bool]:
    """Whether a scene has a river and whether it has ponds, by the place of its ground in the order of ids.

    The pattern over four scenes is both, neither, river, pond: the first scene of either part has every class.
    """
    name = ground_of(scene_id)
    listed = (order.index(name) for order in (_TRAIN, _TEST) if name in order)
    place = next(listed, int(name[5]) * 5 + int(name[7]) + int(name[:4]) // 10)
    return place % 4 in (0, 2), place % 4 in (0, 3)


def generator(seed: int, name: str, purpose: str) -> np.random.Generator:
    """A generator that depends on seed, name and purpose alone."""
    digest = hashlib.sha256(f"{seed}|{name}|{purpose}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "little"))


def sensor_sizes(seed: int, scene_id: str, size: tuple[int, int]) -> dict[str, tuple[int, int]]:
    """Width and height of each sensor's image, cut from larger ones at whole pixels as the contest's are.

    RGB differs from the nominal size by up to three pixels. The others' pixels are as large as `SENSORS` says; their
    images have as many as cover RGB best, or one more or less along an axis. Where they begin is part of
    `sensor_shifts`.
    """
    rng = generator(seed, scene_id, "sizes")
    width, height = size[0] + int(rng.integers(-3, 4)), size[1] + int(rng.integers(-2, 2))
    sizes = {"rgb": (width, height)}
    for name in ("p", "m", "a"):
        right, below = (int(more) for more in rng.integers(-1, 2, 2))
        pixel = SENSORS[name].pixel
        sizes[name] = round(width / pixel) + right, round(height / pixel) + below
    return sizes


def sensor_shifts(seed: int, scene_id: str, size: tuple[int, int]) -> dict[str, tuple[float, float]]:
    """Known shift (dx, dy) of each sensor in RGB pixels; see `Scene.shifts` for the sign.

    P is off by up to 2, M by up to 12 and A by up to 50 RGB pixels, x mostly negative. In scenes below 1024 pixels the
    shifts of A shrink with the size (not below a third), in those below 512 the shifts of M as well.
    """
    rng, side = generator(seed, scene_id, "shifts"), min(size)
    p = np.clip(rng.normal([-0.3, 0.1], 0.7), -2, 2)
    m = np.clip(rng.normal([-1.5, -0.8], [2.6, 2.2]), -12, 12) * np.clip(side / 512, 0.5, 1)
    a = np.clip(rng.normal([-14, -5], [14, 11]), [-50, -22], [6, 18]) * np.clip(side / 1024, 0.33, 1)
    named = {"rgb": np.zeros(2), "p": p, "m": m, "a": a}
    return {name: (round(float(dx), 3), round(float(dy), 3)) for name, (dx, dy) in named.items()}
