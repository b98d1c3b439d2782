"""What a model costs: its parameters, the windows that it predicts, and the speed that was measured."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from rasterloom.learning.networks import parameters
from rasterloom.learning.windows import sampled

Work = Literal["training", "prediction"]


def forward_passes(prediction: Mapping[str, Any], height: int, width: int) -> int:
    """Windows that go through one network to predict a scene: all positions in all symmetries."""
    positions = sampled((height, width), int(prediction["window"]), int(prediction["stride"]))
    return positions * (8 if prediction["symmetries"] is True else 1)


@dataclass(frozen=True)
class Speed:
    """How long a device took for some work of a network.

    Attributes
    ----------
    work : training (forward, backward and the optimiser's step) or prediction
    hardware : see `device.hardware_name`
    precision : bfloat16 or float32
    parameters : of the network, which tell it from others
    seconds : time
    pixels : that went through the network
    """

    work: str
    hardware: str
    precision: str
    parameters: int | None
    seconds: float
    pixels: float


def speed_of(
    work: Work, device: str, precision: str, seconds: float, model: Mapping[str, Any], channels: int, side: int, n: int
) -> Speed:
    """The speed of a network that took a device `seconds` for `n` images of `side` x `side` pixels."""
    return Speed(work, device, precision, parameters(model, channels), round(seconds, 6), float(n) * side**2)
