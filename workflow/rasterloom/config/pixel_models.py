"""The tables of models per pixel in config.yaml, one for each kind (see `rasterloom.learning.pixel_models`)."""

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from rasterloom.config.tables import KIND, ModelTable, unique

BandName = Literal["coastal", "blue", "green", "yellow", "red", "red_edge", "nir", "nir2"]

INDICES: Mapping[str, tuple[BandName, ...]] = {
    "NDWI": ("green", "nir"),
    "CCCI": ("nir", "red_edge", "nir", "red"),
    "(RE-NIR2)/(RE+NIR2)": ("red_edge", "nir2"),
}
"""Indices and their bands: (a - b) / (a + b) of the first two; where there are four, divided by that of the others."""


def indices_of(bands: Sequence[str | None]) -> dict[str, list[int]]:
    """The indices that the bands of a sensor allow, each with the numbers of its bands, from 0."""
    return {name: [bands.index(band) for band in own] for name, own in INDICES.items() if set(own) <= set(bands)}


def _odd(width: int) -> int:
    """An odd number; ValueError otherwise."""
    if width % 2 == 0:
        raise ValueError(f"{width} is even; an odd width is needed, as a square is centred on its pixel")
    return width


OddWidth = Annotated[int, Field(ge=3, le=255), AfterValidator(_odd)]


class PixelModelConfig(ModelTable):
    """A model per pixel: it knows the channels of one pixel, and what is made of them and of the pixels around it.

    See `rasterloom.learning.pixel_models` and `rasterloom.learning.pixel_features`.
    """

    SETTINGS: ClassVar[Mapping[str, tuple[str, ...]]] = {"training": ("threads", "seed"), "prediction": ("threads",)}

    samples: int = Field(200_000, ge=100, le=100_000_000)
    """pixels sampled for training, half of them positive"""
    indices: bool = False
    """true: NDWI, CCCI and (RE-NIR2)/(RE+NIR2) are features too, as far as `bands_are` of a sensor names their bands"""
    neighbourhood: Annotated[list[OddWidth], AfterValidator(unique)] = Field([])
    """odd widths in pixels, such as [3, 9, 27]: the mean of each channel over squares of these widths is a feature too;
    [] for none
    """


class ForestConfig(PixelModelConfig):
    """A random forest, pixel by pixel."""

    kind: Literal["forest"] = Field(description=KIND)
    trees: int = Field(40, ge=1, le=10_000)
    """number of trees"""
    max_depth: int = Field(12, ge=1, le=30)
    """largest depth of a tree"""


class BoostingConfig(PixelModelConfig):
    """Gradient boosting, pixel by pixel: trees that correct each other."""

    kind: Literal["boosting"] = Field(description=KIND)
    trees: int = Field(200, ge=1, le=10_000)
    """number of trees"""
    max_depth: int = Field(8, ge=1, le=30)
    """largest depth of a tree"""


class LinearConfig(PixelModelConfig):
    """A linear regression, pixel by pixel."""

    kind: Literal["linear"] = Field(description=KIND)


class LogisticConfig(PixelModelConfig):
    """A logistic regression, pixel by pixel."""

    kind: Literal["logistic"] = Field(description=KIND)
