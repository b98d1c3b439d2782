"""The U-Net: its size by the readings of the authors and of the U-Net as it was published."""

from __future__ import annotations

from typing import Any

import pytest

from rasterloom.learning.networks import parameters


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ({"convs_per_block": 2, "depth": 4}, 0.79e6),
        ({"convs_per_block": 2, "depth": 6}, 1.16e6),
        ({}, 1.64e6),
        # 31.0 million with learned upsampling by 2 x 2, here with 3 x 3 convolutions of what is upsampled
        ({"convs_per_block": 2, "depth": 4, "widths": "doubling"}, 31.4e6),
    ],
)
def test_parameters_of_the_readings(model: dict[str, Any], expected: float) -> None:
    assert parameters({"kind": "unet", **model}, 20) == pytest.approx(expected, rel=0.01)
