"""Scenes of the contest's sizes that are mere names."""

from __future__ import annotations

from rasterloom.planning.graph import Dag
from rasterloom.planning.sizes import Sizes

TRAIN, PREDICT = ["6010_1_1", "6020_1_1", "6040_1_1"], ["6050_1_1", "6060_1_1"]


def contest_sizes(dag: Dag) -> Sizes:
    """Sizes like the contest's."""
    return Sizes({"rgb": 3, "p": 1, "m": 8, "a": 8}, dict.fromkeys(dag.predicted, (3348, 3396)), 0.31)
