"""Labels of any source, as polygons in reference pixels, and their division into folds."""
