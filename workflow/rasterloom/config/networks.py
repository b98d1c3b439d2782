"""The tables of networks in config.yaml, one for each kind (see `rasterloom.learning.networks`)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from rasterloom.config.tables import KIND, ModelTable


class NetworkConfig(ModelTable):
    """A network: it is trained on patches and predicts by sliding windows (see `rasterloom.learning.networks`)."""

    @property
    def deepest(self) -> int:
        """How many pixels of the image a pixel of the network's deepest level is wide."""
        raise NotImplementedError


class UNetConfig(NetworkConfig):
    """A U-Net with the same number of feature maps at every level."""

    kind: Literal["unet"] = Field(description=KIND)
    width: int = Field(64, ge=1, le=4096, description="feature maps at every level")
    depth: int = Field(6, ge=1, le=8, description="poolings; a pixel of the deepest level is 2**depth pixels wide")
    convs_per_block: int = Field(3, ge=1, le=16, description="3 x 3 convolutions in each block")

    @property
    def deepest(self) -> int:
        """How many pixels of the image a pixel of the network's deepest level is wide."""
        return 1 << self.depth
