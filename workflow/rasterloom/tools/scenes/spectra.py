"""Reflectances of the generated materials in the sensors' bands, and how radiance becomes digital numbers."""

from pathlib import Path

import numpy as np

from rasterloom.tools.scenes.model import F32

_TABLE = Path(__file__).with_suffix(".txt")
"""A row per material: its name, and reflectances per mille in the eight bands of M and the eight of A."""

PAN = np.array([0.01, 0.15, 0.22, 0.20, 0.22, 0.14, 0.06, 0.0])
"""Response of the panchromatic band (450..800 nm) as shares of the eight multispectral bands."""

RGB_BANDS = (4, 2, 1)
"""Bands of M that RGB shows: red, green, blue."""


def reflectances() -> dict[str, F32]:
    """By material its reflectances, (17,) float32 in 0..1: eight M bands, eight A bands, panchromatic."""
    rows = [line.split() for line in _TABLE.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    table = np.array([[float(v) / 1000 for v in values] for _, *values in rows])
    return dict(zip((name for name, *_ in rows), np.c_[table, table[:, :8] @ PAN].astype(np.float32), strict=True))


# Digital numbers = offset + haze + gain * reflectance + noise: generated scenes have about the contest's channel means
# and deviations. By sensor, one number per band.
GAIN = {
    "rgb": np.array([930.0, 1040, 570]),
    "p": np.array([1060.0]),
    "m": np.array([370.0, 640, 1170, 1220, 1000, 970, 900, 880]),
    "a": np.array([7000.0, 9500, 8400, 7900, 8400, 7400, 7900, 8200]),
}

OFFSET = {
    "rgb": np.array([283.0, 335, 284]),
    "p": np.array([353.0]),
    "m": np.array([274.0, 278, 320, 316, 273, 331, 424, 266]),
    "a": np.array([2030.0, 1700, 1720, 1460, 1060, 970, 850, 780]),
}

_SCATTERED = np.array([26.0, 24, 17, 13, 10, 7, 4, 3])

HAZE = {"rgb": _SCATTERED[list(RGB_BANDS)], "p": PAN @ _SCATTERED, "m": _SCATTERED, "a": np.zeros(8)}
"""Digital numbers that one unit of haze adds: scattering, strongest in the blue."""

NOISE = {"rgb": 2.5, "p": 3.5, "m": 2.0, "a": 14.0}
"""Deviation in digital numbers."""

TOP = {"rgb": 2047, "p": 2047, "m": 2047, "a": 16383}
"""The largest digital number."""
