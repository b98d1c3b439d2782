"""What a model costs: parameters, multiply-adds and forward passes, and the speed that was measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from rasterloom.config.model import is_network
from rasterloom.learning.networks import multiply_adds, network_bytes
from rasterloom.learning.pixel_models import pixel_model_bytes
from rasterloom.learning.windows import window_starts

Work = Literal["training", "prediction"]

WORKS: tuple[Work, Work] = ("training", "prediction")


def checkpoint_bytes(model: Mapping[str, Any], channels: int) -> float:
    """Size of the tensors of a checkpoint: the model, the learning curve of a network, the normalisation."""
    if is_network(model):
        return network_bytes(model, channels) + 400 * 16 + 8 * channels
    return pixel_model_bytes(model, channels) + 8 * channels


def forward_passes(prediction: Mapping[str, Any], height: int, width: int) -> int:
    """Windows that go through one network to predict a scene: all positions, in all symmetries."""
    window, stride = int(prediction["window"]), int(prediction["stride"])
    positions = len(window_starts(height, window, stride)) * len(window_starts(width, window, stride))
    return positions * (8 if prediction["symmetries"] else 1)


@dataclass(frozen=True)
class Speed:
    """How long a device took for some work of a network.

    Attributes
    ----------
    work : training (forward, backward and the optimiser's step) or prediction.
    hardware : see `device.hardware_name`.
    precision : bfloat16 or float32.
    seconds : time.
    multiply_adds : of the forward passes.
    pixels : that went through the network.
    """

    work: str
    hardware: str
    precision: str
    seconds: float
    multiply_adds: float
    pixels: float

    @property
    def intensity(self) -> float:
        """Multiply-adds a pixel."""
        return self.multiply_adds / self.pixels


def speed_of(
    work: Work,
    hardware: str,
    precision: str,
    seconds: float,
    model: Mapping[str, Any],
    channels: int,
    side: int,
    n: int,
) -> Speed:
    """The speed of a network that took `seconds` for `n` images of `side` x `side` pixels."""
    total = float(n) * multiply_adds(model, channels, side, side)
    return Speed(work, hardware, precision, round(seconds, 6), total, float(n) * side * side)
