"""The network: a U-Net with the same number of feature maps at every level.

The authors of the method report 64 maps at every level and about 1.7 million parameters. Blocks of three 3 x
3 convolutions at six poolings give 1.64 million on 20 channels; that reading is ours.

This module imports torch; import it only where a network has to run.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from rasterloom.learning.windows import reflected


class Block(nn.Sequential):
    """3 x 3 convolution, batch normalisation, ReLU, `convs` times; keeps height and width."""

    def __init__(self, incoming: int, width: int, convs: int) -> None:
        layers: list[nn.Module] = []
        for i in range(convs):
            first = incoming if i == 0 else width
            # batch normalisation subtracts the mean: a bias would be without effect
            layers += [
                nn.Conv2d(first, width, 3, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(inplace=True),
            ]
        super().__init__(*layers)


class UNet(nn.Module):
    """Fully convolutional network from image channels to one logit for each pixel.

    Parameters
    ----------
    channels : number of input channels.
    width : feature maps at every level.
    depth : number of 2 x 2 poolings.
    convs_per_block : 3 x 3 convolutions in each block.

    Notes
    -----
    Any height and width: the input is padded at the lower and right edge by reflection to a multiple of
    ``2**depth`` and the output is cropped again.
    """

    def __init__(self, channels: int, width: int, depth: int, convs_per_block: int) -> None:
        super().__init__()
        self.depth = depth
        self.down = nn.ModuleList(Block(width if i else channels, width, convs_per_block) for i in range(depth))
        self.bottom = Block(width if depth else channels, width, convs_per_block)
        self.up = nn.ModuleList(Block(2 * width, width, convs_per_block) for _ in range(depth))
        self.head = nn.Conv2d(width, 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of a batch.

        Parameters
        ----------
        images : (N, C, H, W) float tensor, normalised.

        Returns
        -------
        (N, 1, H, W) float tensor of logits, in the precision that autocast chooses.
        """
        height, width = images.shape[-2:]
        features = self._pad(images)
        skips: list[Tensor] = []
        for block in self.down:
            features = block(features)
            skips.append(features)
            features = functional.max_pool2d(features, 2)
        features = self.bottom(features)
        for block in self.up:
            features = functional.interpolate(features, scale_factor=2.0, mode="nearest")
            features = block(torch.cat((skips.pop(), features), dim=1))
        return cast(Tensor, self.head(features))[..., :height, :width]

    def _pad(self, images: Tensor) -> Tensor:
        multiple = 2**self.depth
        for axis in (-2, -1):
            length = images.shape[axis]
            target = -(-length // multiple) * multiple
            if target != length:
                index = torch.from_numpy(reflected(np.arange(target), length)).to(images.device)
                images = images.index_select(images.dim() + axis, index)
        return images
