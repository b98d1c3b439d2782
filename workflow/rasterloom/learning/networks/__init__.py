"""Networks for segmentation, by the `kind` of a model in the configuration: how each is built, and what it costs.

A new network is a file here, an entry in `NETWORKS`, and the table of its keys in `rasterloom.config.model`. Nothing
here imports torch before a network is built, so that a plan can know the costs without it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rasterloom.config.model import NetworkConfig, UNetConfig, model_table

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Convolution:
    """One convolution of a network, as far as its cost depends on it.

    Attributes
    ----------
    level : how often the image was halved before it.
    incoming, outgoing : feature maps that it reads and writes.
    side : of its kernel in pixels.
    normalised : whether a batch normalisation follows, which takes the place of its bias.
    """

    level: int
    incoming: int
    outgoing: int
    side: int = 3
    normalised: bool = True


@dataclass(frozen=True)
class Network:
    """A kind of network.

    Attributes
    ----------
    build : makes it with torch's default weights, from its table and a number of channels; it gives one logit for
        each pixel: (N, C, H, W) to (N, 1, H, W), for any height and width.
    convolutions : lists its convolutions, from its table and a number of channels.
    """

    build: Callable[[Any, int], nn.Module]
    convolutions: Callable[[Any, int], list[Convolution]]


def _unet(table: UNetConfig, channels: int) -> nn.Module:
    from rasterloom.learning.networks.unet import UNet

    return UNet(channels, table.width, table.depth, table.convs_per_block)


def _unet_convolutions(table: UNetConfig, channels: int) -> list[Convolution]:
    width, depth = table.width, table.depth
    blocks = [(level, width if level else channels) for level in range(depth + 1)]
    blocks += [(level, 2 * width) for level in range(depth)]
    found = [
        Convolution(level, width if i else incoming, width)
        for level, incoming in blocks
        for i in range(table.convs_per_block)
    ]
    return [*found, Convolution(0, width, 1, side=1, normalised=False)]


NETWORKS: Mapping[str, Network] = {"unet": Network(_unet, _unet_convolutions)}


def build(model: Mapping[str, Any], channels: int) -> nn.Module:
    """The network that a spec's table of a model describes, for a number of channels, with torch's default weights."""
    table = model_table(model)
    return NETWORKS[table.kind].build(table, channels)


def initialise(network: nn.Module, seed: int) -> None:
    """Draw all convolution weights (He, normal) from `seed` alone, not from torch's global generator."""
    import torch
    from torch import nn

    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()


def convolutions(model: Mapping[str, Any], channels: int) -> list[Convolution]:
    """The convolutions of the network that a spec's table of a model describes."""
    table = model_table(model)
    return NETWORKS[table.kind].convolutions(table, channels)


def network_parameters(model: Mapping[str, Any], channels: int) -> int:
    """Trainable parameters of a network.

    Examples
    --------
    >>> network_parameters({"kind": "unet", "width": 64, "depth": 6, "convs_per_block": 3}, 20)
    1638593
    """
    found = convolutions(model, channels)
    return sum((c.side**2 * c.incoming + 1 + c.normalised) * c.outgoing for c in found)


def network_bytes(model: Mapping[str, Any], channels: int) -> int:
    """Size of a network's weights and of the running statistics (mean, variance, count) of its normalisations."""
    running = sum(8 * c.outgoing + 8 for c in convolutions(model, channels) if c.normalised)
    return 4 * network_parameters(model, channels) + running


def multiply_adds(model: Mapping[str, Any], channels: int, height: int, width: int) -> int:
    """Multiplications with addition of a network's convolutions in one forward pass over one image.

    Parameters
    ----------
    model : a spec's table of a model.
    channels : input channels.
    height, width : of the image, which the network pads to a multiple of the width of its deepest pixels.
    """
    table = model_table(model)
    assert isinstance(table, NetworkConfig)
    rows, columns = (-(-length // table.deepest) * table.deepest for length in (height, width))
    return sum(
        c.side**2 * c.incoming * c.outgoing * (rows >> c.level) * (columns >> c.level)
        for c in NETWORKS[table.kind].convolutions(table, channels)
    )
