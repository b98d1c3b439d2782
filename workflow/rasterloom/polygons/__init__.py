"""Polygons: rasterised and traced again, measured, tuned, compared and written."""
