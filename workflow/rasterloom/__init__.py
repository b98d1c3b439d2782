"""rasterloom: from raw multi-resolution satellite images to polygons."""

__version__ = "0.1.0"
