"""Reading stacks: the digital numbers of all sensors on one grid, and where they are valid."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rasterloom.errors import StoreError
from rasterloom.raster.chunks import ChunkedArray, open_chunks


@dataclass(frozen=True)
class Stack:
    """An open stack.

    Attributes
    ----------
    sensors : tuple of str
    channels : tuple of int
        Number of channels of each sensor.
    data, valid : ChunkedArray
        (C, H, W) uint16 or float32 digital numbers, and (S, H, W) uint8, 255 or 0.
    """

    sensors: tuple[str, ...]
    channels: tuple[int, ...]
    data: ChunkedArray
    valid: ChunkedArray

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W)."""
        return int(self.data.shape[1]), int(self.data.shape[2])

    def planes(self, sensor: str) -> slice:
        """Which channels of `data` belong to a sensor; StoreError if the stack lacks it."""
        if sensor not in self.sensors:
            raise StoreError(f"the stack holds {', '.join(self.sensors)}, not {sensor}: run the workflow again")
        index = self.sensors.index(sensor)
        first = sum(self.channels[:index])
        return slice(first, first + self.channels[index])

    def window(self, rows: tuple[int, int], columns: tuple[int, int]) -> tuple[NDArray[Any], NDArray[np.uint8]]:
        """Rows and columns start..stop of all channels, (C, h, w), and validity of all sensors, (S, h, w)."""
        where = (slice(None), slice(*rows), slice(*columns))
        return self.data[where], self.valid[where]


@contextmanager
def open_stack(path: Path) -> Iterator[Stack]:
    """Open a stack for reading by windows, in any number of threads; see `rasterloom.raster.chunks`."""
    with open_chunks(path) as (arrays, attributes):
        yield Stack(
            tuple(str(name) for name in attributes["sensors"]),
            tuple(int(count) for count in attributes["channels"]),
            arrays["data"],
            arrays["valid"],
        )
