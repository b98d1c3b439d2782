"""FC-DenseNet, the "One Hundred Layers Tiramisu" (Jegou, Drozdzal, Vazquez, Romero and Bengio, 2017).

Every layer of a dense block sees the feature maps of all layers before it in the block and adds a few. The defaults are
those of FC-DenseNet56. There is no dropout.

This module imports torch; import it only where a network has to run.
"""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from rasterloom.config.networks import TiramisuConfig
from rasterloom.learning.networks.layers import Segmenter, normalisation


def layer(incoming: int, width: int, kernel: int, norm: str) -> nn.Sequential:
    """Normalisation, ReLU, convolution; keeps height and width."""
    convolution = nn.Conv2d(incoming, width, kernel, padding=kernel // 2, bias=False)
    return nn.Sequential(normalisation(norm, incoming), nn.ReLU(inplace=True), convolution)


class Dense(nn.Module):
    """A dense block: the new feature maps of all its layers."""

    def __init__(self, incoming: int, table: TiramisuConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            layer(incoming + i * table.growth, table.growth, 3, table.norm) for i in range(table.convs_per_block)
        )

    def forward(self, features: Tensor) -> Tensor:
        """(N, layers * growth, H, W) new maps of (N, C, H, W) maps."""
        found = [features]
        for each in self.layers:
            found.append(each(torch.cat(found, dim=1)))
        return torch.cat(found[1:], dim=1)


class Tiramisu(Segmenter):
    """Dense blocks down and up; on the way up a block hands on its new maps alone."""

    def __init__(self, table: TiramisuConfig, channels: int, outputs: int) -> None:
        super().__init__(table.deepest)
        new = table.growth * table.convs_per_block
        widths = [table.width + level * new for level in range(table.depth + 1)]
        self.first = nn.Conv2d(channels, table.width, 3, padding=1, bias=False)
        self.down = nn.ModuleList(Dense(width, table) for width in widths[:-1])
        self.pooled = nn.ModuleList(layer(width, width, 1, table.norm) for width in widths[1:])
        self.bottom = Dense(widths[-1], table)
        self.grown = nn.ModuleList(
            nn.ConvTranspose2d(new, new, 3, stride=2, padding=1, output_padding=1, bias=False) for _ in widths[1:]
        )
        self.up = nn.ModuleList(Dense(width + new, table) for width in widths[:0:-1])
        self.head = nn.Conv2d(widths[1] + 2 * new, outputs, 1)

    def logits(self, images: Tensor) -> Tensor:
        """See `Segmenter`."""
        features, skips = self.first(images), []
        for dense, pooled in zip(self.down, self.pooled, strict=True):
            features = torch.cat((features, dense(features)), dim=1)
            skips.append(features)
            features = functional.max_pool2d(pooled(features), 2)
        new = self.bottom(features)
        for grown, dense in zip(self.grown, self.up, strict=True):
            features = torch.cat((grown(new), skips.pop()), dim=1)
            new = dense(features)
        return cast(Tensor, self.head(torch.cat((features, new), dim=1)))
