"""Networks for segmentation, by the `kind` of a model in the configuration: how each is built, and what it costs.

A new network is a file here, an entry in `NETWORKS`, and the table of its keys in `rasterloom.config.networks`. Nothing
here imports torch before a network is built, so that a plan can know the costs without it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rasterloom.config.model import is_network, model_table
from rasterloom.config.networks import UNetConfig

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Network:
    """A kind of network.

    Attributes
    ----------
    build : makes it with torch's default weights, from its table and a number of channels; it gives one logit for
        each pixel: (N, C, H, W) to (N, 1, H, W), for any height and width.
    parameters : how many of them are trained, from its table and a number of channels, without building it.
    """

    build: Callable[[Any, int], nn.Module]
    parameters: Callable[[Any, int], int]


def _unet(table: UNetConfig, channels: int) -> nn.Module:
    from rasterloom.learning.networks.unet import UNet

    return UNet(channels, table.width, table.depth, table.convs_per_block)


def _unet_parameters(table: UNetConfig, channels: int) -> int:
    width, layers = table.width, (2 * table.depth + 1) * table.convs_per_block
    # on the way up the first layer of a level reads twice the width
    incoming = channels + (layers - 1 + table.depth) * width
    return 9 * incoming * width + 2 * width * layers + width + 1


NETWORKS: Mapping[str, Network] = {"unet": Network(_unet, _unet_parameters)}


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


def parameters(model: Mapping[str, Any], channels: int) -> int | None:
    """Trainable parameters of a network, without building it; None for a model per pixel.

    Parameters
    ----------
    model : mapping
        A spec's table of a model.
    channels : int
        Of the input.

    Examples
    --------
    >>> parameters({"kind": "unet", "width": 64, "depth": 6, "convs_per_block": 3}, 20)
    1638593
    """
    table = model_table(model)
    return NETWORKS[table.kind].parameters(table, channels) if is_network(model) else None
