"""Raw sensors that lie in memory, for benchmarks and tests: the library reads them from files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rasterloom.raster.grid import Matrix
from rasterloom.raster.resample import resample_rows

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class ArraySource:
    """A raw sensor in memory, which the registration reads like a `SensorReader`.

    Attributes
    ----------
    bands : (C, h, w) array of numbers
    valid : (h, w) bool array or None
        None: all of it.
    """

    bands: NDArray[Any]
    valid: Mask | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, h, w)."""
        channels, height, width = self.bands.shape
        return channels, height, width

    def read(self, start: int, stop: int, bands: Sequence[int] | None = None) -> tuple[NDArray[Any], Mask | None]:
        """Rows start..stop of every band, or of some, (C, n, w), and their validity, (n, w) or None."""
        chosen = self.bands if bands is None else self.bands[list(bands)]
        return chosen[:, start:stop], None if self.valid is None else self.valid[start:stop]


def resample(
    data: NDArray[Any], matrix: Matrix, out_shape: tuple[int, ...], valid: Mask | None = None
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """`resample_rows` of an image in memory, (C, h, w); False in `valid` is what is not to be used, NaN included."""
    source = ArraySource(data, valid)
    return resample_rows(source.read, source.shape, matrix, out_shape)
