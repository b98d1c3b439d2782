"""Reading stacks: the digital numbers of all sensors on one grid, and where they are valid."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

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


@contextmanager
def open_stack(path: Path) -> Iterator[Stack]:
    """Open a stack for reading by windows, in any number of threads; see `rasterloom.raster.chunks`."""
    with open_chunks(path) as (arrays, attributes):
        sensors, channels = tuple(map(str, attributes["sensors"])), tuple(map(int, attributes["channels"]))
        yield Stack(sensors, channels, arrays["data"], arrays["valid"])
