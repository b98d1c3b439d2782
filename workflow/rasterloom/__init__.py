"""rasterloom: from raw multi-resolution satellite images to polygons."""

from __future__ import annotations

__version__ = "0.1.0"
