"""What a model costs: against torch where torch can count."""

from __future__ import annotations

from typing import Any

import numpy as np

from rasterloom.learning.cost import Speed, forward_passes, speed_of
from rasterloom.learning.networks import parameters
from rasterloom.learning.windows import window_batches

MODEL = {"kind": "unet", "width": 5, "depth": 1, "convs_per_block": 1}


def test_parameters_of_a_model_per_pixel_are_none() -> None:
    assert parameters({"kind": "forest", "trees": 3}, 4) is None


def test_forward_passes_equals_the_windows_that_are_predicted() -> None:
    def read(y0: int, y1: int) -> Any:
        return np.zeros((1, y1 - y0, 50), np.uint16), np.full((1, y1 - y0, 50), 255, np.uint8)

    batches = list(window_batches(read, lambda data, _: data.astype(np.float32), (37, 50), 16, 5, 3))
    windows = sum(len(batch.places) for batch in batches)
    prediction = {"window": 16, "stride": 5, "symmetries": False}
    assert forward_passes(prediction, 37, 50) == windows
    assert forward_passes({**prediction, "symmetries": True}, 37, 50) == 8 * windows
    assert forward_passes({**prediction, "symmetries": "alternate"}, 37, 50) == windows


def test_speed_of_counts_the_pixels() -> None:
    found = speed_of("training", "GPU", "float32", 2.0, MODEL, 3, 16, 5)
    assert found == Speed("training", "GPU", "float32", parameters(MODEL, 3), 2.0, 5 * 256)
