"""What a recipe amounts to, in numbers: arithmetic of networks, windows and bytes, without opening a pixel.

The bytes are measured ones: of scenes of the contest's size and formats that were generated, and of real imagery
(WorldView-2 of 8 bits, Sentinel-2 of 16).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TypeVar

Name = TypeVar("Name")

STACK_BYTES: Mapping[str, float] = {"uint8": 1.0, "uint16": 1.2, "float32": 3.2}
"""Bytes of a value in a stack by the dtype of its sensor's files, where a pixel of the grid is one of the sensor:
0.9 to 1.6 for uint16 (11 bits of noise to 14), 1.0 for 8 bits."""

MAGNIFIED = -0.1
"""Exponent by which they change with the pixels of the grid per pixel of the sensor, along an axis: what is
interpolated is smooth. Measured from 0.3 to 25: within 8 % for all sensors of the contest together."""

PLANE_BYTES: Mapping[str, float] = {"mask": 0.02, "predict": 0.27, "ensemble": 0.3}
"""Bytes of a pixel in the other arrays: coverage, probability of a member, mean of a class's members."""

POLYGON_BYTES: Mapping[str, float] = {"label": 0.02, "vectorise": 0.05, "wkt": 0.03, "submission": 0.03, "export": 0.06}
"""Bytes of a pixel of the reference, of a class: labels, outlines, and the tables that hold them."""

ITEM_BYTES: Mapping[str, float] = {
    "register": 6_000.0,
    "stack": 8_000.0,
    "statistics": 1_500.0,
    "label": 4_000.0,
    "mask": 1_500.0,
    "split": 2_000.0,
    "train": 5_000.0,
    "predict": 3_000.0,
    "ensemble": 3_000.0,
    "tune": 4_000.0,
    "vectorise": 4_000.0,
}
"""Bytes of an artifact beyond that: its record, its headers."""

PIXEL_SECONDS: Mapping[str, tuple[float, float]] = {"forest": (2e-7, 2.5e-9), "linear": (4e-7, 1e-8)}
"""Seconds of a core to train, per sampled pixel, and to predict, per pixel of a scene; a forest's per tree and level
of its depth as well."""


def stack_bytes(dtype: str, magnification: float) -> float:
    """Bytes of one value of a sensor in a stack.

    Parameters
    ----------
    dtype : of the sensor's files; what is neither 8 bits nor 16 counts as float32.
    magnification : pixels of the grid per pixel of the sensor, along an axis.
    """
    kind = {"uint8": "uint8", "int8": "uint8", "uint16": "uint16", "int16": "uint16"}.get(dtype, "float32")
    return STACK_BYTES[kind] * math.pow(magnification, MAGNIFIED)


def sample(names: Sequence[Name], count: int) -> list[Name]:
    """At most `count` of some names, evenly spread over them."""
    if len(names) <= count:
        return list(names)
    return [names[i * len(names) // count] for i in range(count)]
