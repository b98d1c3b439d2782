"""Scenes of the contest's sizes that are mere names."""

from __future__ import annotations

from rasterloom.planning.graph import Dag
from rasterloom.planning.sizes import Sensor, Sizes

TRAIN, PREDICT = ["6010_1_1", "6020_1_1", "6040_1_1"], ["6050_1_1", "6060_1_1"]


def contest_sizes(dag: Dag) -> Sizes:
    """Sizes like the contest's."""
    sensors = {
        "rgb": Sensor(3, "uint16", 1.0),
        "p": Sensor(1, "uint16", 1.0),
        "m": Sensor(8, "uint16", 0.25),
        "a": Sensor(8, "uint16", 0.04),
    }
    return Sizes(sensors, dict.fromkeys(dag.predicted, (3348, 3396)), 0.31, len(dag.predicted))
