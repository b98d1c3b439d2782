"""What a model per pixel knows of a pixel: its channels, and if wanted indices of bands and means around it.

Indices are made of digital numbers (or reflectances), never of normalised channels: a quotient of numbers that were
shifted and scaled one by one means nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from rasterloom.errors import InputError
from rasterloom.learning.augment import Normalisation
from rasterloom.learning.windows import Bytes, Floats

_STEPS = 2.0**16
"""Steps of a standard deviation that normalised numbers are rounded to before they are added up: so sums of doubles
are exact, and a mean does not depend on the strip that it was computed in."""

_FARTHEST = 2.0**20
"""Standard deviations beyond which a number counts as this far away, so that the sums of 255 x 255 stay exact."""

_MOST_CCCI = 2.0
"""Largest CCCI: over bare ground the second difference is near 0, and the quotient could be anything."""


@dataclass(frozen=True)
class PixelFeatures:
    """The features of a pixel.

    Attributes
    ----------
    indices : (K, 4) int32, channels of each index: the difference of the first two by their sum, divided by that of
        the last two, which are -1 where there are none.
    widths : odd widths of the squares over which each channel is averaged.
    """

    indices: NDArray[np.int32]
    widths: tuple[int, ...]

    @classmethod
    def of_checkpoint(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Those that a checkpoint was trained with; one without any says nothing of them."""
        widths = arrays.get("features.widths", np.zeros(0))
        return cls(arrays.get("features.indices", np.zeros((0, 4), dtype=np.int32)), tuple(int(w) for w in widths))

    @property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """The same as arrays of a checkpoint; none where there are neither indices nor widths."""
        found = {"features.indices": self.indices, "features.widths": np.array(self.widths, dtype=np.int32)}
        return {name: array for name, array in found.items() if len(array)}

    def around(self, start: int, stop: int, length: int) -> tuple[int, int, slice]:
        """What start..stop of an axis needs: the first and last pixel (exclusive), and where it lies among these."""
        margin = max(self.widths, default=1) // 2
        low, high = max(0, start - margin), min(length, stop + margin)
        return low, high, slice(start - low, stop - low)

    def planes(self, data: NDArray[Any], valid: Bytes, normalisation: Normalisation) -> Iterator[Floats]:
        """The features of a window, one after the other.

        Parameters
        ----------
        data : (C, H, W) digital numbers.
        valid : (S, H, W), not 0 where a sensor is valid.
        normalisation : of the channels.

        Returns
        -------
        iterator of (H, W) float32: C channels, K indices, and for each channel its mean over each width. 0 where a
        sensor is invalid; means are over the valid pixels of the window, and 0 where there is none.

        Notes
        -----
        Memory: the normalised window, a plane per width and sensor, and a few planes of doubles.
        """
        normalised = normalisation.apply(data, valid)
        yield from normalised
        for a, b, c, d in self.indices:
            index = _difference(data[a], data[b])
            if c >= 0:
                below = _difference(data[c], data[d])
                index = np.divide(index, below, out=np.zeros_like(index), where=below != 0)
                index = index.clip(-_MOST_CCCI, _MOST_CCCI)
            yield np.where(valid[normalisation.planes[a]] != 0, index, np.float32(0))
        if not self.widths:
            return
        pixels = {(w, plane): _sums(valid[plane] != 0, w) for w in self.widths for plane in {*normalisation.planes}}
        for channel, plane in zip(normalised, normalisation.planes, strict=True):
            steps = np.rint(channel.clip(-_FARTHEST, _FARTHEST) * _STEPS)
            for width in self.widths:
                counted = np.maximum(pixels[width, plane], 1.0) * _STEPS
                yield (_sums(steps, width) / counted).astype(np.float32)

    def stacked(
        self, data: NDArray[Any], valid: Bytes, normalisation: Normalisation, inner: tuple[slice, slice]
    ) -> Floats:
        """The features of the inner rows and columns of a window, (F, h, w) float32; see `planes`."""
        count = len(data) * (1 + len(self.widths)) + len(self.indices)
        rows, columns = inner
        out = np.empty((count, rows.stop - rows.start, columns.stop - columns.start), dtype=np.float32)
        for feature, plane in enumerate(self.planes(data, valid, normalisation)):
            out[feature] = plane[inner]
        return out


def _difference(one: NDArray[Any], other: NDArray[Any]) -> Floats:
    """(one - other) / (one + other) within -1..1, and 0 where the sum is not positive."""
    a, b = one.astype(np.float32), other.astype(np.float32)
    quotient: Floats = np.divide(a - b, a + b, out=np.zeros_like(a), where=a + b > 0)
    return quotient.clip(-1, 1)


def _sums(plane: NDArray[Any], width: int) -> NDArray[np.float64]:
    """Sums over squares around each pixel, as far as they lie in the plane."""
    import cv2

    box, numbers = (width, width), plane.astype(np.float64)
    return np.asarray(cv2.boxFilter(numbers, -1, box, normalize=False, borderType=cv2.BORDER_CONSTANT))


def pixel_features(
    indices: Mapping[str, Mapping[str, Sequence[int]]],
    widths: Sequence[int],
    sensors: Sequence[str],
    reference: str,
    planes: NDArray[np.intp],
) -> PixelFeatures:
    """The features that a model per pixel wants.

    Parameters
    ----------
    indices : by sensor and name, the numbers of its bands, from 0.
    widths : odd, in pixels.
    sensors : of the member, in channel order.
    reference : the sensor whose validity is plane 0.
    planes : (C,) plane of `valid` of each channel.

    Raises
    ------
    InputError
        If a sensor has fewer bands than were named.
    """
    order = list(dict.fromkeys([reference, *sensors]))
    found = []
    for sensor in (name for name in sensors if name in indices):
        channels = np.flatnonzero(planes == order.index(sensor))
        for name, bands in sorted(indices[sensor].items()):
            if max(bands) >= len(channels):
                raise InputError(
                    f"sensor {sensor} has {len(channels)} bands, but {name} needs band {max(bands) + 1}, as "
                    f"`sensors.{sensor}.bands_are` says: name the bands that there are"
                )
            found.append([*channels[list(bands)], -1, -1][:4])
    return PixelFeatures(np.array(found, dtype=np.int32).reshape(-1, 4), tuple(widths))
