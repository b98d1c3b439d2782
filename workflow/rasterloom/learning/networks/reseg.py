"""A recurrent network in the manner of ReSeg (Visin and others, 2016).

Convolutions and poolings make the image smaller; gated recurrent units sweep the columns and then the rows of what is
left, in both directions, so that every place knows of every other; learned upsampling brings it back to full size.

This module imports torch; import it only where a network has to run.
"""

from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from rasterloom.config.networks import ReSegConfig
from rasterloom.learning.networks.layers import Block, Segmenter, activated


class Sweep(nn.Module):
    """Bidirectional recurrence along the rows of feature maps."""

    def __init__(self, incoming: int, units: int) -> None:
        super().__init__()
        self.recurrence = nn.GRU(incoming, units, batch_first=True, bidirectional=True)

    def forward(self, features: Tensor) -> Tensor:
        """(N, 2 * units, H, W) of (N, C, H, W), float32: small errors would add up along a row."""
        count, maps, height, width = features.shape
        rows = features.permute(0, 2, 3, 1).reshape(count * height, width, maps)
        with torch.autocast(features.device.type, enabled=False):
            swept = self.recurrence(rows.float())[0]
        return cast(Tensor, swept).reshape(count, height, width, -1).permute(0, 3, 1, 2)


class ReSeg(Segmenter):
    """Poolings, sweeps, and as many upsamplings."""

    def __init__(self, table: ReSegConfig, channels: int, outputs: int) -> None:
        super().__init__(table.deepest)
        width, norm, swept = table.width, table.norm, 2 * table.units
        widths = pairwise([channels, *[width] * table.depth])
        self.down = nn.ModuleList(Block(*pair, table.convs_per_block, norm) for pair in widths)
        self.columns = nn.ModuleList(Sweep(swept if i else width, table.units) for i in range(table.sweeps))
        self.rows = nn.ModuleList(Sweep(swept, table.units) for _ in range(table.sweeps))
        grown = (nn.ConvTranspose2d(width if i else swept, width, 2, stride=2, bias=False) for i in range(table.depth))
        self.up = nn.ModuleList(nn.Sequential(*activated(convolution, norm)) for convolution in grown)
        self.head = nn.Conv2d(width, outputs, 1)

    def logits(self, images: Tensor) -> Tensor:
        """See `Segmenter`."""
        features = images
        for block in self.down:
            features = functional.max_pool2d(block(features), 2)
        for columns, rows in zip(self.columns, self.rows, strict=True):
            features = rows(columns(features.transpose(2, 3)).transpose(2, 3))
        for block in self.up:
            features = block(features)
        return cast(Tensor, self.head(features))
