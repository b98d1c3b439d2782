"""What lies on the ground of a scene, and the polygons that label it."""

from collections.abc import Sequence

import shapely
from shapely.geometry import Polygon, box
from shapely.geometry.base import BaseGeometry

from rasterloom.dataset.contest_ids import CLASS_NAMES, ground_of
from rasterloom.tools.scenes import shapes
from rasterloom.tools.scenes.ids import generator, waters
from rasterloom.tools.scenes.model import Ground
from rasterloom.tools.scenes.settlement import build_settlement, build_traffic
from rasterloom.tools.scenes.terrain import build_fields, build_terrain, build_trees, tree_outlines


def build_ground(seed: int, scene_id: str, size: tuple[int, int]) -> Ground:
    """The ground of a scene: a function of (seed, ground, size), but for the vehicles, which depend on the id as well.

    Parameters
    ----------
    seed : int
        Of the data set.
    scene_id : str
        Contest-style id; twins (the same ground on another date) get the same ground.
    size : (W, H)
        Nominal, in RGB pixels.
    """
    place, ground, taken = ground_of(scene_id), Ground(size), shapes.Occupancy(size)
    build_terrain(generator(seed, place, "terrain"), ground, taken, waters(scene_id))
    build_settlement(generator(seed, place, "settlement"), ground, taken)
    build_fields(generator(seed, place, "fields"), ground, taken)
    build_trees(generator(seed, place, "trees"), ground, taken)
    build_traffic(generator(seed, scene_id, "traffic"), ground, taken)
    return ground


def labels(ground: Ground, width: int, height: int) -> dict[int, list[Polygon]]:
    """Polygons by class id in RGB pixel coordinates, clipped to what the contest's grid can hold.

    The grid's x in [0, Xmax] stands for pixels in [0, W * W / (W + 1)], just short of the last column's edge.
    """
    tile = box(0, 0, width * width / (width + 1), height * height / (height + 1))
    roads = shapely.union_all([road.surface for road in ground.roads])
    tracks = shapely.union_all([track.surface for track in ground.tracks]).difference(roads)
    found: dict[int, Sequence[BaseGeometry]] = {
        1: [house.outline for house in ground.buildings],
        2: [thing.outline for thing in ground.structures],
        3: [road.simplify(0.2) for road in shapes.parts(roads)],
        4: [track.simplify(0.2) for track in shapes.parts(tracks, 40)],
        5: tree_outlines(ground),
        6: [plot.outline for plot in ground.fields],
        7: [piece.simplify(0.2) for piece in ground.river],
        8: [pond.simplify(0.2) for pond in ground.ponds],
        9: [vehicle.outline for vehicle in ground.vehicles if vehicle.large],
        10: [vehicle.outline for vehicle in ground.vehicles if not vehicle.large],
    }
    least = {9: 30.0, 10: 20.0}
    clipped: dict[int, list[Polygon]] = {number: [] for number in CLASS_NAMES}
    for number, drawn in found.items():
        for piece in shapes.parts(drawn):
            if tile.contains(piece):
                clipped[number].append(piece)
            else:
                clipped[number] += shapes.parts(shapely.make_valid(piece).intersection(tile), least.get(number, 6.0))
    return clipped
