"""A class's members as one network, for use without this library: from the digital numbers of a tile to a probability.

This module imports torch; import it only where a network has to run.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from rasterloom.learning.augment import Normalisation
from rasterloom.learning.inference import mean_probability
from rasterloom.learning.normalisation import SHARE
from rasterloom.learning.outputs import Outputs

Way = tuple[int, bool | str, Outputs, int]
"""The sensor without whose data the probability is 0; symmetries and outputs, as `mean_probability` takes them; and
which output counts.
"""


class Detector(nn.Module):
    """The mean of networks over folds and symmetries, in float32.

    Parameters
    ----------
    networks : ready to predict, one for each fold.
    kept : the normalisation that their checkpoints keep; its planes are the sensors of a tile, in order.
    own : whether a tile is normalised by its own statistics, as `scene_normalisation` does a scene.
    nodata : digital number of each sensor's pixels without data: 0 where every band has it, another where any has.
        Pixels that are 0 in every band never count, since tiles are padded so.
    way : how they predict; see `Way`.
    """

    def __init__(
        self, networks: Sequence[nn.Module], kept: Normalisation, own: bool, nodata: Sequence[float], way: Way
    ) -> None:
        super().__init__()
        self.networks, self.own, self.nodata, self.way = nn.ModuleList(networks), own, nodata, way
        self.mean, self.sd = (torch.from_numpy(values)[:, None, None] for values in (kept.mean, kept.sd))
        self.counts = np.bincount(kept.planes).tolist()

    def forward(self, numbers: Tensor) -> Tensor:
        """(N, 1, w, w) probabilities, 0..1, of (N, C, w, w) digital numbers in float32."""
        sensors = zip(torch.split(numbers, self.counts, 1), self.nodata, strict=True)
        planes = [_valid(bands, nodata).float() for bands, nodata in sensors]
        valid = torch.cat([own.expand(-1, n, -1, -1) for own, n in zip(planes, self.counts, strict=True)], 1)
        images, sd = numbers - self.mean, self.sd
        if self.own:
            count = valid.sum((2, 3), keepdim=True)
            images = images - (images * valid).sum((2, 3), keepdim=True) / count.clamp(min=1)
            variance = (images**2 * valid).sum((2, 3), keepdim=True) / count.clamp(min=1)
            sd = torch.where(count > 0, (SHARE * variance + (1 - SHARE) * sd**2).sqrt(), sd)
        images = images / torch.where(sd > 0, sd, torch.ones_like(sd)) * valid
        reference, symmetries, outputs, plane = self.way
        found: Tensor = mean_probability(list(self.networks), images, symmetries, outputs)
        return (found[:, plane, None] if outputs.planes else found[:, None]) * planes[reference]


class Ensemble(nn.Module):
    """The mean of detectors that see the same tiles, each with its weight, above 0; in float32."""

    def __init__(self, detectors: Sequence[Detector], weights: Sequence[float]) -> None:
        super().__init__()
        self.detectors, self.shares = nn.ModuleList(detectors), [weight / sum(weights) for weight in weights]

    def forward(self, numbers: Tensor) -> Tensor:
        """(N, 1, w, w) probabilities, 0..1, of (N, C, w, w) digital numbers in float32."""
        found = [detector(numbers) * share for detector, share in zip(self.detectors, self.shares, strict=True)]
        return torch.stack(found).sum(0)


def _valid(bands: Tensor, nodata: float) -> Tensor:
    """(N, 1, w, w), where a sensor has data; to half a number, for what was divided and multiplied again."""
    some = (bands != 0).any(1, keepdim=True)
    return some if nodata == 0 else some & ((bands - nodata).abs() >= 0.5).all(1, keepdim=True)
