"""Objects: which of two sets of polygons are the same thing, and how many are."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

LEAST_IOU = 0.5
"""Intersection over union from which a predicted polygon is a true one."""


@dataclass(frozen=True)
class Objects:
    """Numbers of objects; they add up.

    Attributes
    ----------
    true, predicted, matched : int
        Objects of the truth, of the prediction, and pairs of both.
    """

    true: int = 0
    predicted: int = 0
    matched: int = 0

    def __add__(self, other: Self) -> Self:
        return type(self)(self.true + other.true, self.predicted + other.predicted, self.matched + other.matched)

    @property
    def precision(self) -> float | None:
        """Share of the predicted objects that match, 0..1; None without a prediction."""
        return self.matched / self.predicted if self.predicted else None

    @property
    def recall(self) -> float | None:
        """Share of the true objects that match, 0..1; None without truth."""
        return self.matched / self.true if self.true else None

    @property
    def f1(self) -> float | None:
        """Harmonic mean of precision and recall, 0..1; None if there is neither truth nor prediction."""
        total = self.true + self.predicted
        return 2 * self.matched / total if total else None

    @property
    def count_error(self) -> float | None:
        """By which share of the truth too many objects are predicted (-1: none at all); None without truth."""
        return (self.predicted - self.true) / self.true if self.true else None


def objects(truth: Any, predicted: Any) -> Objects:
    """How many objects two sets of polygons have, and how many match (`matches`)."""
    return Objects(len(truth), len(predicted), int(np.count_nonzero(matches(truth, predicted) >= 0)))


def matches(truth: Any, predicted: Any, least: float = LEAST_IOU) -> NDArray[np.intp]:
    """Which true polygon each predicted one is.

    As many pairs as possible are formed one to one of polygons whose intersection over union is at least `least`. If
    polygons within each set do not overlap, no polygon has a choice at more than 0.5.

    Parameters
    ----------
    truth, predicted : (N,) and (M,) sequences or arrays of valid shapely Polygons
        In one system of coordinates. Polygons of a set may overlap.
    least : float
        In (0, 1].

    Returns
    -------
    (M,) intp array
        Index of the true polygon; -1: none.

    Notes
    -----
    Only pairs whose areas and bounds permit that much overlap are overlaid. Measured: 48,000 trees of 24 vertices
    against as many take 1.2 s.

    Examples
    --------
    >>> from shapely import box
    >>> matches([box(0, 0, 4, 1), box(9, 0, 10, 1)], [box(0, 0, 1, 1), box(1, 0, 4, 1)])
    array([-1,  0])
    """
    import shapely
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import maximum_bipartite_matching

    true, found = np.asarray(truth, dtype=object), np.asarray(predicted, dtype=object)
    one, other = shapely.STRtree(true).query(found)
    areas, true_areas = shapely.area(found)[one], shapely.area(true)[other]
    (left, top, right, bottom), (west, north, east, south) = shapely.bounds(found)[one].T, shapely.bounds(true)[other].T
    common = (np.minimum(right, east) - np.maximum(left, west)) * (np.minimum(bottom, south) - np.maximum(top, north))
    possible = np.minimum(common, np.minimum(areas, true_areas)) >= least * np.maximum(areas, true_areas)
    one, other, total = one[possible], other[possible], (areas + true_areas)[possible]
    both = shapely.area(shapely.intersection(found[one], true[other]))
    same = (both >= least * (total - both)) & (both > 0)
    graph = csr_array((np.ones(same.sum()), (one[same], other[same])), shape=(len(found), len(true)))
    return np.asarray(maximum_bipartite_matching(graph, perm_type="column"), dtype=np.intp)
