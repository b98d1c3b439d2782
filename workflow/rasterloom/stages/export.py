"""Vectors for a GIS: one GeoPackage a scene, one layer a class, and a list of them a batch."""

import errno
import sqlite3
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from rasterloom.polygons.areas import areas_m2
from rasterloom.polygons.record import polygon_items, polygon_manifests, read_polygons
from rasterloom.project.project import Project
from rasterloom.registration.record import references
from rasterloom.store.files import atomic_path, temporary_path, write_text
from rasterloom.store.job import Job, scene_manifests
from rasterloom.store.tables import tsv_text

OUTPUT = "vectors/{batch}.tsv"
HELP = "write one GeoPackage per scene"
VERSION = 3

COLUMNS = ("scene", "file", "layer", "objects")


def layer(polygons: Any, reference: dict[str, Any]) -> Any:
    """What a layer holds.

    Parameters
    ----------
    polygons : GeoDataFrame
        A polygons artifact: scene, class, geometry (map coordinates), pixel, confidence.
    reference : dict
        The ``reference`` of the scene's registration.

    Returns
    -------
    GeoDataFrame
        scene, class, number (from 1), area_px, confidence, area_m2 (if known), x and y (a point within the object,
        map coordinates), longitude and latitude (of that point, if there is a CRS of the Earth), geometry.
    """
    import geopandas
    import shapely
    from pyproj.exceptions import ProjError

    pixel, mapped = polygons["pixel"].to_numpy(), polygons.geometry.to_numpy()
    points = shapely.point_on_surface(mapped)
    columns: dict[str, Any] = {
        "scene": polygons["scene"].to_numpy(),
        "class": polygons["class"].to_numpy(),
        "number": np.arange(1, len(polygons) + 1),
        "area_px": shapely.area(pixel),
        "confidence": polygons["confidence"].to_numpy(),
    }
    square = areas_m2(mapped, pixel, reference.get("crs"), reference.get("gsd"), reference.get("transform"))
    if square is not None:
        columns["area_m2"] = square
    columns |= {"x": shapely.get_x(points), "y": shapely.get_y(points)}
    if polygons.crs is not None and reference.get("transform") is not None:
        with suppress(ProjError):  # a system that is tied to no place on the Earth
            places = geopandas.GeoSeries(points, crs=polygons.crs).to_crs("EPSG:4326").to_numpy()
            columns |= {"longitude": shapely.get_x(places), "latitude": shapely.get_y(places)}
    return geopandas.GeoDataFrame(columns, geometry=mapped, crs=polygons.crs)


@contextmanager
def geopackage(path: Path) -> Iterator[Callable[[str, Any], None]]:
    """What adds polygons, a GeoDataFrame, to a layer of a GeoPackage that appears when the block ends well.

    An empty table gives an empty layer.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    import pyogrio

    # A file that nobody else opens, and that has its name when it is whole, needs neither locks nor a journal.
    pyogrio.set_gdal_config_options(dict.fromkeys(("OGR_SQLITE_SYNCHRONOUS", "OGR_SQLITE_JOURNAL"), "OFF"))
    pyogrio.set_gdal_config_options({"OGR_SQLITE_PRAGMA": "locking_mode=EXCLUSIVE"})
    counts: Counter[str] = Counter()
    with atomic_path(path) as temporary:

        def add(name: str, table: Any) -> None:
            counts[name] += len(table)
            with warnings.catch_warnings(), _explained(path):
                # A table without CRS is a normal one here: not all imagery has a georeference.
                warnings.filterwarnings("ignore", message="'crs' was not provided")
                pyogrio.write_dataframe(
                    table, temporary, layer=name, driver="GPKG", geometry_type="Polygon", append=True
                )
                if table.crs is not None and pyogrio.read_info(temporary, layer=name)["crs"] is None:
                    raise pyogrio.errors.DataLayerError(f"layer {name} has no coordinate system")

        yield add
        with _explained(path):
            _check_whole(temporary, counts)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Make an error of GDAL or SQLite one of the file system, with the name of the file."""
    from pyogrio import errors

    try:
        yield
    except (errors.DataSourceError, errors.DataLayerError, errors.FeatureError, sqlite3.Error) as error:
        with temporary_path(path) as probe:  # SQLite says that something failed, not what
            probe.write_bytes(bytes(2**20))
        raise OSError(errno.EIO, " ".join(str(error).split())[-200:], str(path)) from None


def _check_whole(path: Path, counts: Mapping[str, int]) -> None:
    """Refuse a GeoPackage that lacks what GDAL could not write, which it does not always say."""
    with closing(sqlite3.connect(path)) as file:
        (sound,) = file.execute("PRAGMA quick_check").fetchone()
        (systems,) = file.execute("SELECT count(DISTINCT srs_id) FROM gpkg_contents").fetchone()
        (indexed,) = file.execute("SELECT count(*) FROM gpkg_extensions WHERE extension_name LIKE '%rtree%'").fetchone()
        bounded = dict(file.execute("SELECT table_name, max_y IS NOT NULL FROM gpkg_contents"))
        found = "SELECT tbl_name, count(*) FROM sqlite_master WHERE type = 'trigger' GROUP BY tbl_name"
        triggers = dict(file.execute(found))
        counted = dict(file.execute("SELECT table_name, feature_count FROM gpkg_ogr_contents"))
        rows = {name: file.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in counts}
    usual = max((triggers.get(name, 0) for name in counts), default=0)  # GDAL gives each layer as many
    lost = {name for name, count in counts.items() if (rows[name], counted.get(name)) != (count, count)}
    lost |= {
        name for name, count in counts.items() if triggers.get(name, 0) < usual or (count and not bounded.get(name))
    }
    if lost or sound != "ok" or systems > 1 or indexed < len(counts):
        raise sqlite3.DatabaseError(f"the file is not whole; layers that lack something: {sorted(lost)}")


def jobs(project: Project) -> Iterator[dict[str, str]]:
    """One job per batch of scenes."""
    return ({"batch": batch} for batch in project.batches)


def spec(project: Project, batch: str) -> dict[str, Any]:
    """The polygons of all classes on the scenes of the batch."""
    return {**project.polygon_tables(project.recipe.classes, project.batches[batch]), "batch": batch}


def inputs(spec: dict[str, Any]) -> list[str]:
    """Manifests read: the polygons of every class, and the registration."""
    return [*polygon_manifests(spec), *scene_manifests("registration", spec["scenes"])]


def run(job: Job) -> None:
    """Write a GeoPackage a scene, then the list of them, which ends the job."""
    rows: list[tuple[str, str, str, int]] = []
    for scene in job.each(job.spec["scenes"]):
        items, reference = polygon_items(job, [scene]), references(job, [scene])[scene]
        with geopackage(job.output.parent / f"{scene}.gpkg") as add:
            for name in job.spec["classes"]:
                polygons = read_polygons(job.store.open_path(items[name][scene]))
                add(name, layer(polygons, reference))
                rows.append((scene, f"{scene}.gpkg", name, len(polygons)))
    write_text(job.output, tsv_text(COLUMNS, rows))
