"""What our networks are made of: padding to a multiple, blocks of convolutions, normalisation.

This module imports torch; import it only where a network has to run.
"""

import torch
from torch import Tensor, nn

GROUP = 8
"""Feature maps that group normalisation takes together at least."""


class Segmenter(nn.Module):
    """A network from image channels to logits for each pixel, of any height and width.

    Parameters
    ----------
    multiple : pixels. The input is padded at the lower and right edge by reflection to a multiple of it, and the output
        is cropped again.
    """

    def __init__(self, multiple: int) -> None:
        super().__init__()
        self.multiple = multiple

    def forward(self, images: Tensor) -> Tensor:
        """Logits of a batch.

        Parameters
        ----------
        images : (N, C, H, W) float tensor, normalised.

        Returns
        -------
        (N, K, H, W) float tensor of logits, in the precision that autocast chooses; K outputs.
        """
        height, width = images.shape[-2:]
        return self.logits(self._pad(images))[..., :height, :width]

    def logits(self, images: Tensor) -> Tensor:
        """(N, K, H, W) logits of (N, C, H, W) images whose height and width are multiples."""
        raise NotImplementedError

    def _pad(self, images: Tensor) -> Tensor:
        for axis in (-2, -1):
            length = images.shape[axis]
            target = -(-length // self.multiple) * self.multiple
            if target != length:
                # as `windows.reflected`, but on the device: to copy an index there would wait for all that it has to do
                period = max(1, 2 * (length - 1))
                folded = torch.arange(target, device=images.device) % period
                index = torch.minimum(folded, period - folded)
                images = images.index_select(images.dim() + axis, index)
        return images


def normalisation(norm: str, width: int) -> nn.Module:
    """Normalisation of `width` feature maps: ``batch``, or ``group`` with at least 8 maps in each group."""
    if norm == "batch":
        return nn.BatchNorm2d(width)
    return nn.GroupNorm(max(n for n in range(1, max(1, width // GROUP) + 1) if width % n == 0), width)


class Block(nn.Sequential):
    """3 x 3 convolution, normalisation, ReLU, `convs` times; keeps height and width."""

    def __init__(self, incoming: int, width: int, convs: int, norm: str) -> None:
        layers: list[nn.Module] = []
        for i in range(convs):
            # normalisation adds a number of its own to each map: a bias would be without effect, or nearly so
            layers += [
                nn.Conv2d(width if i else incoming, width, 3, padding=1, bias=False),
                normalisation(norm, width),
                nn.ReLU(inplace=True),
            ]
        super().__init__(*layers)
