"""Measures: how many objects of each class a scene has, what area they cover, and where their middle is.

A row a scene and class. The place of every single object is in the GeoPackages that the stage `export` writes.
"""

from collections.abc import Mapping
from typing import Any

from rasterloom.polygons.areas import Locate, areas_m2, centre, locator, valid_pixels
from rasterloom.polygons.record import polygon_items, polygon_manifests, read_polygons
from rasterloom.polygons.scores import known_errors
from rasterloom.project.project import Project
from rasterloom.registration.record import read_registration
from rasterloom.store.files import write_text
from rasterloom.store.job import Job, scene_manifests
from rasterloom.store.tables import tsv_text

OUTPUT = "summary.tsv"
HELP = "count objects and measure areas"
VERSION = 3

PLACE = ("x", "y", "longitude", "latitude")
"""Middle of the class's objects, weighted by their area: in map coordinates (pixels of the reference where a scene has
none), and in WGS 84 degrees. Empty without objects or without a CRS."""

ERRORS = ("count_error", "area_error", "part")
"""By which share of the truth numbers and areas of the class are too large in that part of the scores (see
`known_errors`)."""

COLUMNS = ("scene", "class", "count", "area_px", "area_m2", "percent", *PLACE, *ERRORS)


def row(scene: str, name: str, polygons: Any, registration: Mapping[str, Any], locate: Locate) -> list[str]:
    """The row, without errors, of a class's polygons (a polygons artifact as a GeoDataFrame) on a scene."""
    import shapely

    reference = registration["reference"]
    pixel, mapped = polygons["pixel"].to_numpy(), polygons.geometry.to_numpy()
    area = float(shapely.area(pixel).sum())
    square = areas_m2(mapped, pixel, reference.get("crs"), reference.get("gsd"), reference.get("transform"))
    valid = valid_pixels(registration)
    metres = "" if square is None else f"{float(square.sum()):.2f}"
    percent = f"{100 * area / valid:.4f}" if valid else ""
    middle = centre(mapped)
    place = None if middle is None else locate(*middle)
    # Twelve digits: grid units of the contest need as many behind the point as metres before and behind it.
    cells = ["", ""] if middle is None else [f"{value:.12g}" for value in middle]
    cells += ["", ""] if place is None else [f"{value:.7f}" for value in place]
    return [scene, name, str(len(pixel)), f"{area:.2f}", metres, percent, *cells]


def jobs(project: Project) -> list[dict[str, str]]:
    """One job."""
    return [{}]


def spec(project: Project) -> dict[str, Any]:
    """The polygons of all classes."""
    return project.polygon_tables(project.recipe.classes)


def inputs(spec: dict[str, Any]) -> list[str]:
    """The table of scores, and manifests read: the polygons of every class and batch, and the registrations."""
    return ["score.tsv", *polygon_manifests(spec), *scene_manifests("registration", spec["scenes"])]


def run(job: Job) -> None:
    """Write the summary: a row for every scene and class."""
    scenes = list(job.spec["scenes"])
    items, registrations = polygon_items(job, scenes), job.items("registration", scenes)
    errors = known_errors(job.path("score.tsv"))
    found = []
    for scene in job.each(scenes):
        registration = read_registration(job.store.open_path(registrations[scene]))
        locate = locator(registration["reference"])
        for name in job.spec["classes"]:
            polygons = read_polygons(job.store.open_path(items[name][scene]))
            found.append([*row(scene, name, polygons, registration, locate), *errors.get(name, [""] * len(ERRORS))])
    write_text(job.output, tsv_text(COLUMNS, found))
