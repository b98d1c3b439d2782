"""What lies on the ground of a scene, and the polygons that label it."""

from __future__ import annotations

import shapely
from shapely.geometry import Polygon, box

from rasterloom.dataset.contest_ids import CLASS_NAMES
from rasterloom.tools.scenes import shapes
from rasterloom.tools.scenes.ids import content, generator, ground_id
from rasterloom.tools.scenes.model import Ground
from rasterloom.tools.scenes.planting import build_trees, tree_outlines
from rasterloom.tools.scenes.settlement import build_settlement
from rasterloom.tools.scenes.shapes import Occupancy
from rasterloom.tools.scenes.terrain import build_fields, build_terrain
from rasterloom.tools.scenes.traffic import build_traffic


def build_ground(seed: int, scene_id: str, size: tuple[int, int]) -> Ground:
    """The ground of a scene: a function of (seed, ground, size), but for the vehicles, which depend on the
    scene id as well.

    Parameters
    ----------
    seed : seed of the data set.
    scene_id : contest-style id; twins (the same ground on another date) get the same ground.
    size : nominal (W, H) in RGB pixels.
    """
    place = ground_id(scene_id)
    ground, taken = Ground(size), Occupancy(size)
    build_terrain(generator(seed, place, "terrain"), ground, taken, content(scene_id))
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
    found: dict[int, list[Polygon]] = {
        1: [house.outline for house in ground.buildings],
        2: [thing.outline for thing in ground.structures],
        3: shapes.parts(roads),
        4: shapes.parts(tracks, 40),
        5: tree_outlines(ground),
        6: [plot.outline for plot in ground.fields],
        7: ground.river,
        8: ground.ponds,
        9: [v.outline for v in ground.vehicles if v.large],
        10: [v.outline for v in ground.vehicles if not v.large],
    }
    least = {9: 30.0, 10: 20.0}
    clipped: dict[int, list[Polygon]] = {}
    for number in CLASS_NAMES:
        drawn = [p.simplify(0.2) if number in (3, 4, 7, 8) else p for p in found[number]]
        pieces = [piece for p in drawn for piece in shapes.parts(p)]
        kept: list[Polygon] = []
        for piece in pieces:
            if not tile.contains(piece):
                kept.extend(shapes.parts(shapely.make_valid(piece).intersection(tile), least.get(number, 6.0)))
            else:
                kept.append(piece)
        clipped[number] = kept
    return clipped
