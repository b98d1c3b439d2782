"""What our networks are made of: padding to a multiple, blocks of convolutions, normalisation.

This module imports torch; import it only where a network has to run.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

GROUP = 8
"""Feature maps that group normalisation takes together at least."""


class Segmenter(nn.Module):
    """A network from image channels to logits for each pixel, of any height and width.

    Parameters
    ----------
    multiple : pixels. The input is padded at the lower and right edge by reflection to a multiple of it, and the output
        is cropped again.
    """

    begins_itself = False
    """Its layers draw their first weights themselves, as those of a network that is not ours do."""

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


def activated(convolution: nn.Conv2d | nn.ConvTranspose2d, norm: str) -> list[nn.Module]:
    """A convolution, normalisation and ReLU.

    Normalisation adds a number of its own to each map: a bias before it would be without effect, or nearly so.
    """
    return [convolution, normalisation(norm, convolution.out_channels), nn.ReLU(inplace=True)]


class Block(nn.Sequential):
    """3 x 3 convolution, normalisation, ReLU, `convs` times; keeps height and width."""

    def __init__(self, incoming: int, width: int, convs: int, norm: str) -> None:
        layers: list[nn.Module] = []
        for i in range(convs):
            layers += activated(nn.Conv2d(width if i else incoming, width, 3, padding=1, bias=False), norm)
        super().__init__(*layers)


def folded(network: nn.Module) -> nn.Module:
    """A copy for prediction whose batch normalisation is part of the convolution before it, in layers side by side.

    The same function but for rounding: probabilities of trained networks changed by up to 4e-6 in float32; in bfloat16
    by as much as they differ from those in float32 anyway (.001 on average). It saves a twentieth of the time on cores.
    """
    copy = deepcopy(network)
    for block in copy.modules():
        if not isinstance(block, nn.Sequential) or type(block).forward is not nn.Sequential.forward:
            continue
        for i, (first, then) in enumerate(pairwise(list(block.children()))):
            if type(first) is nn.Conv2d and type(then) is nn.BatchNorm2d and then.running_mean is not None:
                block[i], block[i + 1] = fuse_conv_bn_eval(first, then), nn.Identity()
    return copy


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Within, what torch and Python draw at random on the cores follows from a seed; afterwards as if nothing was."""
    state = random.getstate()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        random.seed(seed)
        yield
    random.setstate(state)


def initialise(network: Segmenter, seed: int) -> None:
    """Draw the weights of our layers from `seed` alone, not from torch's global generator.

    Convolutions are drawn by He's normal distribution, recurrent units by torch's uniform one. A network that is not
    ours keeps its own first weights.

    Parameters
    ----------
    network : Segmenter
    seed : int
    """
    if network.begins_itself:
        return
    generator = torch.Generator().manual_seed(seed)
    for layer in (own for own in network.modules() if isinstance(own, nn.Conv2d | nn.ConvTranspose2d)):
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    for unit in (own for own in network.modules() if isinstance(own, nn.GRU)):
        for weight in unit.parameters():
            nn.init.uniform_(weight, -(unit.hidden_size**-0.5), unit.hidden_size**-0.5, generator=generator)
