"""FCN-8s (Long, Shelhamer and Darrell, 2015) in a compact form that is trained from scratch.

Five poolings; the logits of the last, of the fourth and of the third are added up and stretched eightfold. Instead of
VGG's classifier of 7 x 7 and 4096 maps there is one more block; stretching is bilinear and not learned.

This module imports torch; import it only where a network has to run.
"""

from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from rasterloom.config.networks import FCN8Config
from rasterloom.learning.networks.layers import Block, Segmenter

GROWTH = (1, 2, 4, 8, 8)
"""Feature maps of each level, in widths of the first."""


class FCN8(Segmenter):
    """Logits of three levels, added up."""

    def __init__(self, table: FCN8Config, channels: int, outputs: int) -> None:
        super().__init__(table.deepest)
        convs, norm, widths = table.convs_per_block, table.norm, [table.width * factor for factor in GROWTH]
        self.down = nn.ModuleList(Block(*pair, convs, norm) for pair in pairwise([channels, *widths]))
        self.bottom = Block(widths[-1], widths[-1], convs, norm)
        self.scores = nn.ModuleList(nn.Conv2d(widths[level], outputs, 1, bias=False) for level in (2, 3))
        self.head = nn.Conv2d(widths[-1], outputs, 1)

    def logits(self, images: Tensor) -> Tensor:
        """See `Segmenter`."""
        features, pooled = images, []
        for block in self.down:
            features = functional.max_pool2d(block(features), 2)
            pooled.append(features)
        logits = cast(Tensor, self.head(self.bottom(features)))
        logits = stretched(logits, 2) + self.scores[1](pooled[3])
        logits = stretched(logits, 2) + self.scores[0](pooled[2])
        return stretched(logits, 8)


def stretched(maps: Tensor, factor: int) -> Tensor:
    """(N, K, H, W) maps, `factor` times as large by bilinear interpolation.

    By two products of matrices: unlike torch's interpolation their gradient is the same in every run on a GPU.
    """
    for _ in range(2):  # along the last axis, which becomes the one before it
        length = maps.shape[-1]
        at = ((torch.arange(length * factor, device=maps.device) + 0.5) / factor - 0.5).clamp(0, length - 1)
        shares = 1 - (at - torch.arange(length, device=maps.device)[:, None]).abs()
        maps = (maps @ shares.clamp(min=0).to(maps.dtype)).transpose(-1, -2)
    return maps
