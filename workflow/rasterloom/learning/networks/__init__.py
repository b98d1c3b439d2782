"""Networks for segmentation, by the `kind` of a model in the configuration: how each is built, and what it costs.

A new network is a file here, an entry in `kinds`, and the table of its keys in `rasterloom.config.networks`. Torch is
imported only to build a network, so that a plan can know the size of a U-Net without it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from rasterloom.config.model import CONTENT, is_network, model_table
from rasterloom.config.named import source_digest
from rasterloom.config.networks import ModuleConfig, UNetConfig
from rasterloom.errors import StoreError
from rasterloom.store.digest import canonical

if TYPE_CHECKING:
    from rasterloom.learning.networks.layers import Segmenter


def build(model: Mapping[str, Any], channels: int, outputs: int = 1) -> Segmenter:
    """The network that a spec's table of a model describes, with the first weights that its layers draw by themselves.

    Parameters
    ----------
    model : mapping
        A spec's table of a model.
    channels : int
        Of the images.
    outputs : int
        Logits for each pixel: (N, channels, H, W) becomes (N, outputs, H, W), for any height and width.

    Raises
    ------
    InputError
        If a network that is not ours cannot be built.
    StoreError
        If the code of a user's network is not that of the recipe any more.
    """
    from rasterloom.learning.networks.kinds import KINDS

    table = model_table(model)
    if isinstance(table, ModuleConfig) and CONTENT in model and source_digest(table) != model[CONTENT]["factory"]:
        raise StoreError(f"the code of {table.factory} changed while the workflow ran: run it again")
    return KINDS[table.kind](table, channels, outputs)


def parameters(model: Mapping[str, Any], channels: int) -> int | None:
    """Trainable parameters of a network; None for a model per pixel.

    Parameters
    ----------
    model : mapping
        A spec's table of a model.
    channels : int
        Of the input.

    Notes
    -----
    Those of a U-Net are calculated. Other networks are built to be counted, without memory for their weights unless
    they are a user's own; the first one takes the seconds that torch needs to load.

    Examples
    --------
    >>> parameters({"kind": "unet", "width": 64, "depth": 6, "convs_per_block": 3}, 20)
    1638593
    """
    if not is_network(model):
        return None
    table = model_table(model)
    return _unet_parameters(table, channels) if isinstance(table, UNetConfig) else _counted(canonical(model), channels)


def level_widths(table: UNetConfig) -> list[int]:
    """Feature maps of each level of a U-Net, from the first to the deepest."""
    return [table.width << (level if table.widths == "doubling" else 0) for level in range(table.depth + 1)]


def _unet_parameters(table: UNetConfig, channels: int) -> int:
    widths = level_widths(table)
    # on the way up a block reads what comes from below beside its own level
    blocks = [*pairwise([channels, *widths]), *((below + width, width) for width, below in pairwise(widths))]
    more = table.convs_per_block - 1
    return sum((9 * (incoming + more * width) + 2 * (more + 1)) * width for incoming, width in blocks) + widths[0] + 1


@cache
def _counted(model: str, channels: int) -> int:
    import torch

    table = json.loads(model)
    with torch.device("cpu" if table["kind"] == "module" else "meta"):
        return sum(weight.numel() for weight in build(table, channels).parameters() if weight.requires_grad)
