"""The recipe of small projects that change and run again: two classes, three members, of which one class has two."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def small_recipe(
    dataset: Mapping[str, Any], sensors: Mapping[str, Any], trees: str, size: int, split: float, **settings: Any
) -> dict[str, Any]:
    """A recipe.

    Parameters
    ----------
    dataset, sensors : these sections; the sensors are `rgb` and `m`.
    trees : model of the class trees.
    size : of the coarse scale.
    split : share of the ground that trains.
    settings : of training and prediction alike.
    """
    return {
        "results": "results",
        "dataset": dict(dataset),
        "sensors": dict(sensors),
        "channels": {"both": ["rgb", "m"], "colours": ["rgb"]},
        "scales": {"coarse": {"size": size}, "native": {}},
        "models": {
            "forest": {"kind": "forest", "trees": 4, "max_depth": 5, "samples": 500},
            "linear": {"kind": "linear", "samples": 500},
            "unet": {"kind": "unet", "width": 4, "depth": 1, "convs_per_block": 1},
        },
        "targets": {},
        "classes": {
            "buildings": {
                "id": 1,
                "members": [
                    {"model": "forest", "channels": "both", "scale": "coarse"},
                    {"model": "linear", "channels": "colours", "scale": "native"},
                ],
            },
            "trees": {"id": 5, "members": [{"model": trees, "channels": "both", "scale": "coarse"}]},
        },
        "defaults": {
            "training": {"steps": 2, "batch": 2, "patch": 16, **settings, "threads": 1},
            "prediction": {"quality": "preview", "window": 16, **settings, "threads": 1},
        },
        "statistics": "train",
        "normalise_by": "dataset",
        "validation": {"split": split},
    }
