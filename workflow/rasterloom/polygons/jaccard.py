"""The contest's metric: areas of true positives, false positives and false negatives by geometry, pooled."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import shapely
from numpy.typing import NDArray

from rasterloom.polygons.geometry import polygonal


@dataclass(frozen=True)
class Areas:
    """Areas of agreement and disagreement, in square units of the geometries; they add up.

    Attributes
    ----------
    tp, fp, fn : float
        True positive, false positive and false negative, none negative.
    """

    tp: float = 0.0
    fp: float = 0.0
    fn: float = 0.0

    def __add__(self, other: Self) -> Self:
        return type(self)(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn)

    def scaled(self, factor: float) -> Self:
        """The areas in another unit: each times `factor`, > 0."""
        return type(self)(self.tp * factor, self.fp * factor, self.fn * factor)

    @property
    def jaccard(self) -> float | None:
        """TP / (TP + FP + FN), 0..1; None if there is neither truth nor prediction."""
        total = self.tp + self.fp + self.fn
        return self.tp / total if total > 0 else None


def areas(truth: Any, predicted: Any) -> Areas:
    """Areas of two sets of polygons, each united first.

    Parameters
    ----------
    truth, predicted : sequence or array of shapely Polygons and MultiPolygons
        In one system of coordinates. They may overlap, and be invalid (they are made valid); None and empty ones
        are passed over.

    Returns
    -------
    Areas

    Raises
    ------
    LabelError
        If a geometry is neither polygon nor multipolygon.

    Notes
    -----
    Where one side stays the same, `united` prepares it once for `areas_of`.

    Examples
    --------
    >>> from shapely import box
    >>> areas([box(0, 0, 2, 1)], [box(1, 0, 3, 1), box(1, 0, 2, 1)])
    Areas(tp=1.0, fp=1.0, fn=1.0)
    """
    return areas_of(united(truth), united(predicted))


def areas_of(truth: Any, predicted: Any) -> Areas:
    """Areas of two sets of polygons of which none overlap within a set.

    Parameters
    ----------
    truth, predicted : (N,) and (M,) arrays of valid shapely Polygons
        As `united` gives them.

    Notes
    -----
    Polygons whose bounds meet, directly or by way of others, are overlaid at once, apart from all others.
    So the time grows with the number of vertices, whether polygons are alike or one covers thousands. Measured: two
    sets of 48,000 trees of 24 vertices take 2.5 s, 3.2 s if each tree overlaps three others.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    of_truth, of_predicted = (float(shapely.area(side).sum()) for side in (truth, predicted))
    one, other = shapely.STRtree(predicted).query(truth)
    if not one.size:
        return Areas(0.0, of_predicted, of_truth)
    nodes = len(truth) + len(predicted)
    met = coo_array((np.ones(one.size), (one, len(truth) + other)), shape=(nodes, nodes))
    _, groups = connected_components(met, directed=False)
    sides = (truth, groups[: len(truth)], np.unique(one)), (predicted, groups[len(truth) :], np.unique(other))
    tp = float(shapely.area(shapely.intersection(*(_together(*side) for side in sides))).sum())
    return Areas(tp, max(0.0, of_predicted - tp), max(0.0, of_truth - tp))


def _together(polygons: Any, groups: NDArray[Any], chosen: NDArray[np.intp]) -> Any:
    """One multipolygon for each group, in order, of the chosen ones among (N,) polygons."""
    ordered = chosen[np.argsort(groups[chosen], kind="stable")]
    _, places = np.unique(groups[ordered], return_inverse=True)
    return shapely.multipolygons(polygons[ordered], indices=places)


def united(polygons: Any) -> NDArray[np.object_]:
    """What polygons, valid or not, cover together, as an array of valid polygons that touch at single points at most.

    Parameters
    ----------
    polygons : sequence or array of shapely Polygons and MultiPolygons
        None and empty ones are passed over.

    Raises
    ------
    LabelError
        If a geometry is neither polygon nor multipolygon.

    Notes
    -----
    Only polygons whose bounds meet are united.
    """
    found = polygonal(polygons)
    broken = ~shapely.is_valid(found)
    if broken.any():
        found[broken] = shapely.make_valid(found[broken])
    parts = shapely.get_parts(shapely.disjoint_subset_union_all(found))
    return np.asarray(parts[shapely.get_dimensions(parts) == 2], dtype=object)
