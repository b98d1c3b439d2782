"""Networks as a user would write them: what `kind: module` names in tests."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn


class Bent(nn.Module):
    """Two convolutions with a pooling between them; needs even heights and widths."""

    def __init__(self, channels: int, width: int, outputs: int) -> None:
        super().__init__()
        self.fine = nn.Conv2d(channels, width, 3, padding=1)
        self.coarse = nn.Conv2d(width, width, 3, padding=1)
        self.norm = nn.BatchNorm2d(width)
        self.drop = nn.Dropout(0.2)
        self.last = nn.Conv2d(width, outputs, 1)

    def forward(self, images: Tensor) -> Tensor:
        features = self.norm(self.coarse(nn.functional.max_pool2d(self.fine(images), 2))).relu()
        return self.last(nn.functional.interpolate(self.drop(features), scale_factor=2.0))


def build(channels: int, width: int = 4, outputs: int = 1) -> nn.Module:
    """A network of two levels."""
    return Bent(channels, width, outputs)


def narrow(channels: int) -> nn.Module:
    """A network that gives fewer pixels than it gets."""
    return nn.Conv2d(channels, 1, 3)


def sizeless(channels: int) -> nn.Module:
    """A network that fails."""
    return nn.Conv2d(channels + 1, 1, 1)


def number(channels: int) -> Any:
    """No network at all."""
    return channels
