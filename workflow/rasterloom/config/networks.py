"""The tables of networks in config.yaml, one for each kind (see `rasterloom.learning.networks`)."""

import re
from typing import Annotated, Literal

from pydantic import Field, JsonValue, field_validator

from rasterloom.config.tables import KIND, ModelTable, PathText


class NetworkConfig(ModelTable):
    """A network: it is trained on patches and predicts by sliding windows (see `rasterloom.learning.networks`)."""

    init: PathText | None = None
    """first weights: a .safetensors file, or another member of the recipe, by name, whose checkpoint of the same fold
    is taken; null: random
    """

    @property
    def deepest(self) -> int:
        """How many pixels of the image a pixel of the network's deepest level is wide; five poolings without a key."""
        return int(1 << getattr(self, "depth", 5))

    def lonely(self, patch: int) -> bool:
        """Whether batch normalisation sees but one value of a feature map in a patch so large; torch then refuses."""
        return False


class OwnNetworkConfig(NetworkConfig):
    """A network that is built of our own layers."""

    norm: Literal["batch", "group"] = "batch"
    """normalisation of feature maps: batch, or group (in groups of maps, image by image)"""

    def lonely(self, patch: int) -> bool:
        """See `NetworkConfig`."""
        return self.norm == "batch" and patch == self.deepest


Width = Annotated[int, Field(ge=1, le=4096, description="feature maps of the first level")]

Depth = Annotated[int, Field(ge=1, le=8, description="poolings; a pixel of the deepest level is 2**depth pixels wide")]

Convolutions = Annotated[int, Field(ge=1, le=16, description="3 x 3 convolutions in each block")]


class UNetConfig(OwnNetworkConfig):
    """A U-Net: skip connections between the levels of the way down and of the way up."""

    kind: Literal["unet"] = Field(description=KIND)
    width: Width = 64
    widths: Literal["constant", "doubling"] = "constant"
    """feature maps of deeper levels: constant (as many as the first) or doubling at each"""
    depth: Depth = 6
    convs_per_block: Convolutions = 3


class FCN8Config(OwnNetworkConfig):
    """FCN-8s: the predictions of three levels, added up; 1, 2, 4, 8 and 8 times `width` feature maps."""

    kind: Literal["fcn8"] = Field(description=KIND)
    width: Width = 32
    convs_per_block: Convolutions = 2


class TiramisuConfig(OwnNetworkConfig):
    """FC-DenseNet: blocks in which each layer sees the feature maps of all layers before it."""

    kind: Literal["tiramisu"] = Field(description=KIND)
    width: Width = 48
    growth: int = Field(12, ge=1, le=1024)
    """feature maps that each layer of a dense block adds"""
    depth: Depth = 5
    convs_per_block: Convolutions = 4


class ReSegConfig(OwnNetworkConfig):
    """A recurrent network: what poolings leave is swept along columns and rows."""

    kind: Literal["reseg"] = Field(description=KIND)
    width: Width = 64
    depth: Depth = 3
    convs_per_block: Convolutions = 2
    sweeps: int = Field(2, ge=1, le=16)
    """how often the recurrence goes along all columns and then all rows"""
    units: int = Field(64, ge=1, le=4096)
    """feature maps of the recurrence in each direction"""

    def lonely(self, patch: int) -> bool:
        """Never: nothing is normalised at the deepest level."""
        return False


class SMPConfig(NetworkConfig):
    """A network of the library segmentation_models.pytorch, which the extra `smp` installs."""

    kind: Literal["smp"] = Field(description=KIND)
    architecture: Literal[
        "Unet", "UnetPlusPlus", "MAnet", "Linknet", "FPN", "PSPNet", "DeepLabV3", "DeepLabV3Plus", "PAN", "UPerNet"
    ] = "Unet"
    """of segmentation_models.pytorch"""
    encoder: str = "resnet34"
    """of segmentation_models.pytorch, such as resnet34"""
    weights: Literal["none"] = "none"
    """none: random; no weights are downloaded"""

    @field_validator("encoder")
    @classmethod
    def _free(cls, encoder: str) -> str:
        if encoder.startswith("mit_"):
            raise ValueError(f"the licence of encoder {encoder} forbids commercial use; choose another, as resnet34")
        return encoder

    @property
    def deepest(self) -> int:
        """As of the others; PAN pools three times more."""
        return 128 if self.architecture == "PAN" else 32

    def lonely(self, patch: int) -> bool:
        """At the deepest level of the encoder, of which PSPNet takes a part; four normalise means of whole images."""
        pooled = self.architecture in ("DeepLabV3", "DeepLabV3Plus", "PAN", "UPerNet")
        return pooled or (patch == self.deepest and self.architecture != "PSPNet")


class ModuleConfig(NetworkConfig):
    """A network of your own: what a function of yours returns."""

    kind: Literal["module"] = Field(description=KIND)
    factory: str
    """package.module:function; called with the number of channels and the options, it returns a torch.nn.Module that
    gives (N, 1, H, W) logits of (N, C, H, W) images
    """
    options: dict[str, JsonValue] = Field(default_factory=dict)
    """what else the function is given, by name"""
    multiple: int = Field(32, ge=1, le=4096)
    """images are padded to multiples of so many pixels before the network sees them"""

    @field_validator("factory")
    @classmethod
    def _function(cls, factory: str) -> str:
        if not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", factory, re.ASCII):
            raise ValueError(f"{factory!r} was given; package.module:function is needed")
        return factory

    @property
    def deepest(self) -> int:
        """How many pixels of the image a pixel of the network's deepest level is wide."""
        return self.multiple


AnyNetwork = UNetConfig | FCN8Config | TiramisuConfig | ReSegConfig | SMPConfig | ModuleConfig
