"""What a model costs: parameters, multiply-adds and forward passes, and the speed that was measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from rasterloom.learning.windows import window_starts

Work = Literal["training", "prediction"]

WORKS: tuple[Work, Work] = ("training", "prediction")


def convolutions(model: Mapping[str, Any], channels: int) -> list[tuple[int, int]]:
    """Of every 3 x 3 convolution the level that it works on and how many maps it reads."""
    maps, levels, count = (int(model[key]) for key in ("maps", "levels", "convolutions"))
    found: list[tuple[int, int]] = []
    for level in range(levels + 1):
        found += [(level, channels if level == 0 else maps)] + [(level, maps)] * (count - 1)
    for level in range(levels):
        found += [(level, 2 * maps)] + [(level, maps)] * (count - 1)
    return found


def network_parameters(model: Mapping[str, Any], channels: int) -> int:
    """Trainable parameters of a U-Net.

    Parameters
    ----------
    model : ``maps``, ``levels`` and ``convolutions``.
    channels : input channels.

    Examples
    --------
    >>> network_parameters({"maps": 64, "levels": 6, "convolutions": 3}, 20)
    1638593
    """
    maps = int(model["maps"])
    layers = convolutions(model, channels)
    return sum(9 * incoming * maps + 2 * maps for _, incoming in layers) + maps + 1


def multiply_adds(model: Mapping[str, Any], channels: int, height: int, width: int) -> int:
    """Multiplications with addition of a U-Net's convolutions in one forward pass over one image.

    Parameters
    ----------
    model : ``maps``, ``levels`` and ``convolutions``.
    channels : input channels.
    height, width : of the image, which is padded to a multiple of ``2**levels``.
    """
    maps, step = int(model["maps"]), 1 << int(model["levels"])
    rows, columns = (-(-length // step) * step for length in (height, width))
    total = maps * rows * columns
    for level, incoming in convolutions(model, channels):
        total += 9 * incoming * maps * (rows >> level) * (columns >> level)
    return total


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
