"""One image or one vector file."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from rasterloom.dataset.index import Dataset, Scene
from rasterloom.dataset.source_files import Folders, existing
from rasterloom.errors import InputError
from rasterloom.labels.files import read_vector
from rasterloom.raster.files import open_raster
from rasterloom.text import few
from rasterloom.tools.inspection.folder import IMAGES, VECTORS
from rasterloom.tools.inspection.found import Found
from rasterloom.tools.inspection.names import usable


def from_file(path: Path) -> Found:
    """One file as a data set: an image as a scene of one sensor, a vector file as what it says of itself.

    Raises
    ------
    InputError, LabelError
        If it is neither, or cannot be opened.
    """
    ending = path.suffix.lower()
    if ending in VECTORS or ending == ".csv":
        empty = Dataset("sheet", {}, "", {})
        return Found(path, vector_lines(path), empty, {}, ["name it in the column labels:<class> of a sheet"])
    if ending not in IMAGES:
        known = " ".join(sorted(IMAGES | VECTORS))
        raise InputError(f"{path} is no file that can be inspected: give a folder, a sheet (.tsv), or one of {known}")
    with open_raster(path):
        pass  # an image that cannot be opened is all that there is to say
    file = existing(path, "inspect", "check the path", folders=Folders())
    scene = usable(path.stem)
    dataset = Dataset("sheet", {scene: Scene(scene, scene, "predict", {"image": (file,)})}, "image", {})
    following = [f"rasterloom inspect {path.parent} --sheet scenes.tsv   writes a first sheet of the whole folder"]
    return Found(path, ["an image"], dataset, {"image": {"reference": True}}, following)


def vector_lines(path: Path) -> list[str]:
    """What a vector file holds: kinds of geometry, coordinate system, bounds, properties, values of ``class``."""
    frame = read_vector(path)
    kinds = Counter(frame.geometry.geom_type.dropna())
    lines = [f"a vector file: {len(frame)} features ({', '.join(f'{n} {k}' for k, n in kinds.items()) or 'empty'})"]
    if frame.crs is None:
        lines.append("it names no coordinate system: coordinates are pixels, or the scene's for a table of WKT")
    else:
        code = frame.crs.to_epsg()
        lines.append(f"coordinate system: {f'EPSG:{code} ' if code else ''}{frame.crs.name}")
    if len(frame):
        low_x, low_y, high_x, high_y = frame.total_bounds
        lines.append(f"x {low_x:.10g} to {high_x:.10g}, y {low_y:.10g} to {high_y:.10g}")
        invalid = int((~frame.geometry.is_valid).sum())
        lines += [f"{invalid} of its geometries are invalid: they are mended"] if invalid else []
        if any("Polygon" not in kind for kind in kinds):
            lines.append("points and lines are refused as labels: buffer them to the width of the objects")
    properties = few((name for name in frame.columns if name != frame.geometry.name), most=12)
    lines.append(f"properties: {properties or 'none'}")
    if "class" in frame.columns:
        values = Counter(map(str, frame["class"])).most_common(20)
        lines.append(f"property `class`: {', '.join(f'{value} ({many})' for value, many in values)}")
    else:
        lines.append("no property `class`: all that it holds is one class, in a sheet's column labels:<class>")
    return lines
