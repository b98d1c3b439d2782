"""Reflectances of the generated materials in the sensors' bands, and how radiance becomes digital numbers."""

from __future__ import annotations

import numpy as np

from rasterloom.tools.scenes.model import F32

# Bands: coastal, blue, green, yellow, red, red edge, NIR1, NIR2 (425..950 nm) | eight SWIR bands (1210..2330 nm).
# Per mille.
_TABLE: dict[str, str] = {
    "soil":         " 72  94 142 194 226 264 310 332 | 402 440 444 434 368 370 358 336",
    "soil_dark":    " 56  70 102 136 158 190 230 252 | 308 342 346 338 284 286 276 260",
    "grass_dry":    " 60  80 124 156 170 226 296 320 | 376 364 364 354 270 274 264 248",
    "grass_green":  " 48  62 114 116 110 226 346 368 | 366 282 282 270 164 168 158 144",
    "canopy_dark":  " 32  39  70  58  48 156 318 340 | 310 200 198 190  98 102  96  90",
    "canopy_light": " 38  50 104  90  72 212 396 420 | 360 246 244 234 124 128 120 112",
    "lush":         " 38  52 124 102  74 222 430 456 | 404 272 268 256 136 142 132 122",
    "ripe":         " 70  94 160 204 214 286 358 380 | 430 406 404 392 306 310 298 278",
    "furrow":       " 60  76 112 150 174 206 246 268 | 328 366 370 362 302 304 294 276",
    "asphalt":      " 88  96 106 112 118 124 130 136 | 152 160 162 162 164 166 168 170",
    "paving":       "132 152 182 206 218 226 238 244 | 268 282 284 282 262 264 256 246",
    "track":        " 92 120 176 234 272 306 346 366 | 434 472 476 466 400 404 390 366",
    "yard":         " 82 108 160 212 246 280 324 346 | 414 452 456 446 380 384 370 348",
    "river":        " 74  90 118 104  84  56  26  20 |  10   6   5   5   4   4   4   4",
    "pond":         " 52  58  70  55  42  31  17  14 |   7   5   4   4   3   3   3   3",
    "bank":         " 62  78 112 142 156 176 206 216 | 228 210 208 200 140 142 134 124",
    "zinc":         "196 216 240 254 262 266 266 264 | 262 262 260 258 250 248 244 240",
    "rust":         " 80  96 130 180 220 252 282 296 | 334 358 360 354 322 322 314 302",
    "tile":         " 68  76 102 172 232 268 292 300 | 330 356 358 352 324 324 316 304",
    "blue_sheet":   "146 204 210 160 136 138 176 210 | 258 268 264 260 242 240 234 226",
    "white_roof":   "262 296 324 336 342 344 342 338 | 330 320 316 312 288 288 282 272",
    "grey_roof":    "142 156 174 184 188 192 198 202 | 220 230 232 230 220 222 216 208",
    "wood":         " 76  92 122 150 172 204 258 286 | 352 338 336 326 258 262 252 238",
    "wall":         "156 182 222 254 270 282 296 304 | 332 348 350 346 316 318 308 294",
    "tank":         "250 278 304 316 322 326 324 320 | 316 308 306 302 284 284 278 270",
    "paint_white":  "286 332 364 374 380 382 378 374 | 346 326 322 316 284 284 278 268",
    "paint_silver": "200 224 240 246 250 252 250 248 | 240 236 234 232 224 224 220 216",
    "paint_black":  " 42  44  46  48  50  54  60  64 |  74  78  78  78  76  76  74  74",
    "paint_red":    " 62  62  68 120 260 310 330 334 | 334 330 328 324 302 302 296 288",
    "paint_blue":   "104 160 134  86  76  94 180 230 | 276 284 282 278 256 256 248 240",
    "paint_yellow": " 74  90 250 330 348 354 352 350 | 338 326 322 316 288 290 282 272",
    "glass":        " 44  48  52  52  50  50  50  50 |  48  46  46  46  44  44  44  44",
}  # fmt: skip

PAN = np.array([0.01, 0.15, 0.22, 0.20, 0.22, 0.14, 0.06, 0.0])
"""Response of the panchromatic band (450..800 nm) as shares of the eight multispectral bands."""

RGB_BANDS = (4, 2, 1)
"""Bands of M that RGB shows: red, green, blue."""


def reflectances() -> dict[str, F32]:
    """By material its reflectances, (17,) float32 in 0..1: eight M bands, eight A bands, panchromatic."""
    table = np.array([[float(v) / 1000 for v in text.replace("|", " ").split()] for text in _TABLE.values()])
    return dict(zip(_TABLE, np.c_[table, table[:, :8] @ PAN].astype(np.float32), strict=True))


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
