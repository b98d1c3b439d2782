"""The network of the recipe: a U-Net, with the same number of feature maps at every level or twice as many at each.

The authors of the method report 64 maps at every level and about 1.7 million parameters. Blocks of three 3 x
3 convolutions at six poolings give 1.64 million on 20 channels; that reading is ours. Doubling widths are those of the
U-Net as it was published.

This module imports torch; import it only where a network has to run.
"""

from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from rasterloom.config.networks import UNetConfig
from rasterloom.learning.networks import level_widths
from rasterloom.learning.networks.layers import Block, Segmenter


class UNet(Segmenter):
    """Features on the way down are joined to those of the same level on the way up."""

    def __init__(self, table: UNetConfig, channels: int, outputs: int) -> None:
        super().__init__(table.deepest)
        convs, norm = table.convs_per_block, table.norm
        *widths, bottom = level_widths(table)
        self.down = nn.ModuleList(Block(*pair, convs, norm) for pair in pairwise([channels, *widths]))
        self.bottom = Block(widths[-1], bottom, convs, norm)
        upwards = pairwise([bottom, *widths[::-1]])
        self.up = nn.ModuleList(Block(below + width, width, convs, norm) for below, width in upwards)
        self.head = nn.Conv2d(widths[0], outputs, 1)

    def logits(self, images: Tensor) -> Tensor:
        """See `Segmenter`."""
        features = images
        skips: list[Tensor] = []
        for block in self.down:
            features = block(features)
            skips.append(features)
            features = functional.max_pool2d(features, 2)
        features = self.bottom(features)
        for block in self.up:
            features = functional.interpolate(features, scale_factor=2.0, mode="nearest")
            features = block(torch.cat((skips.pop(), features), dim=1))
        return cast(Tensor, self.head(features))
