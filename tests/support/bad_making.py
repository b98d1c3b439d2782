"""What the tests of bad input share: images, tables and archives to spoil."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.transform import Affine

from rasterloom.dataset import Dataset, load_dataset

CLASSES = {"houses": 1, "roads": 2}
GEO: dict[str, Any] = {"crs": "EPSG:32631", "transform": Affine(0.5, 0, 500_000, 0, -0.5, 5_000_000)}
NUMBERS = np.random.default_rng(0).integers(1, 2047, (3, 60, 50)).astype(np.uint16)


def image(path: Path, data: NDArray[Any] = NUMBERS, **options: Any) -> Path:
    """Write a GeoTIFF; with ``plain=True`` without georeference."""
    path.parent.mkdir(parents=True, exist_ok=True)
    geo = {} if options.pop("plain", False) else GEO
    bands, height, width = data.shape
    profile = {"driver": "GTiff", "count": bands, "height": height, "width": width, "dtype": data.dtype}
    with rasterio.open(path, "w", **{**profile, **geo, **options}) as file:
        file.write(data)
    return path


def text(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(f"{line}\n" for line in lines).encode())
    return path


def sheet(root: Path, *lines: str) -> Dataset:
    """Load a sheet; ``|`` stands for a tab."""
    table = text(root / "scenes.tsv", *(line.replace("|", "\t") for line in lines))
    return load_dataset({"layout": "sheet", "table": str(table)}, {"rgb": {"reference": True}, "nir": {}}, CLASSES)


def pack(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path
