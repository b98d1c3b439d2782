"""Means of planes of different sizes, weighted or not, on the finest grid among them."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rasterloom.errors import require_same
from rasterloom.raster.planes import open_plane
from rasterloom.raster.stacks import open_stack
from rasterloom.store.digest import BLOCK_ROWS
from rasterloom.store.job import Job, batch_manifests, scene_manifests
from rasterloom.store.store import Item, Store

Strip = tuple[NDArray[np.float32], NDArray[np.bool_]]
"""(rows, W) values of a member, 0 where it does not count, and where it counts."""


@dataclass(frozen=True)
class Plane:
    """One plane of an array (S, H, W), by rows."""

    array: Any
    index: int

    @property
    def shape(self) -> tuple[int, int]:
        return int(self.array.shape[1]), int(self.array.shape[2])

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        return np.asarray(self.array[self.index, rows])


class Member(NamedTuple):
    """The prediction of a member in a scene, the stack that it was made from, and which plane of it is the class's."""

    prediction: Item
    stack: Item
    plane: int | None = None

    @property
    def digest(self) -> str:
        """Of the plane; None: the prediction has but one."""
        return self.prediction.digest if self.plane is None else self.prediction.parts[str(self.plane)]

    @property
    def array(self) -> str:
        """Name of the plane's array in the prediction."""
        return probability_array(self.plane)


def probability_array(plane: int | None) -> str:
    """Name of the array of a prediction that holds a plane; None: of its only one."""
    return "probability" if plane is None else f"probability-{plane}"


def probability_arrays(classes: int) -> list[str]:
    """Names of the arrays of a prediction of several classes, or of one, which counts as 0."""
    return [probability_array(plane) for plane in range(classes)] or [probability_array(None)]


def on_grid(plane: Any, shape: tuple[int, int]) -> Any:
    """A probability, (h, w) uint8, on another grid of its scene: resampled as `mean_strips` does, in memory."""
    if plane.shape == shape:
        return plane
    everywhere = np.broadcast_to(np.uint8(1), plane.shape)
    return np.concatenate(list(mean_strips([plane], shape, [everywhere])))


def finest(shapes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """The (H, W) with most pixels; of several, the first."""
    return max(shapes, key=lambda shape: shape[0] * shape[1])


def member_manifests(spec: Mapping[str, Any]) -> list[str]:
    """Paths of the manifests of a spec's members on its scenes: of their predictions, and of their stacks."""
    scales = dict.fromkeys(member["scale"]["name"] for member in spec["members"])
    return [
        *(path for member in spec["members"] for path in batch_manifests(f"predictions/{member['name']}", spec)),
        *(path for scale in scales for path in scene_manifests(f"stacks/{scale}", spec["scenes"])),
    ]


def member_items(job: Job, scenes: Sequence[str]) -> dict[str, list[Member]]:
    """By scene, the prediction of each member of a job's spec, and the stack that it was made from."""
    members = [(member["name"], member["scale"]["name"], member.get("plane")) for member in job.spec["members"]]
    predictions = {name: job.items(f"predictions/{name}", scenes) for name, *_ in members}
    stacks = {scale: job.items(f"stacks/{scale}", scenes) for scale in {scale for _, scale, _ in members}}
    return {
        scene: [Member(predictions[name][scene], stacks[scale][scene], plane) for name, scale, plane in members]
        for scene in scenes
    }


def member_origin(found: Sequence[Member], reference: str) -> list[list[Any]]:
    """What decides the content of members on a scene: their predictions, and where the sensor `reference` is valid."""
    return [[member.digest, member.stack.parts[reference]] for member in found]


@contextmanager
def open_members(
    store: Store, found: Sequence[Member], reference: str
) -> Iterator[tuple[list[Any], list[Plane], tuple[int, int]]]:
    """Open members for reading by rows.

    Yields
    ------
    list of (h, w) uint8 arrays, list of (h, w) uint8 planes, (H, W)
        Probabilities, where the sensor `reference` is valid, and the finest grid among them.

    Raises
    ------
    StoreError
        If a prediction and its stack have different shapes.
    """
    paths = [(store.open_path(member.prediction), store.open_path(member.stack)) for member in found]
    with ExitStack() as opened:
        files = {stack: opened.enter_context(open_stack(stack)) for _, stack in paths}
        valid = [Plane(files[stack].valid, files[stack].sensors.index(reference)) for _, stack in paths]
        names = [member.array for member in found]
        arrays = [opened.enter_context(open_plane(path, name)) for (path, _), name in zip(paths, names, strict=True)]
        for (member, stack), array, plane in zip(paths, arrays, valid, strict=True):
            require_same(f"the prediction {member}", array.shape, f"its stack {stack}", plane.shape)
        yield arrays, valid, finest([plane.shape for plane in valid])


def mean_strips(
    members: Sequence[Any], shape: tuple[int, int], valid: Sequence[Any], weights: Sequence[float] | None = None
) -> Iterator[NDArray[np.uint8]]:
    """Mean of probabilities on one grid, in strips of rows.

    Parameters
    ----------
    members : sequence of (h, w) uint8 arrays, or of anything that gives rows when sliced (Zarr arrays)
        Grids over the same scene, corner to corner.
    shape : (H, W)
        The grid of the result. A coarser member is interpolated bilinearly between pixel centres (as
        ``cv2.INTER_LINEAR``), a finer one is averaged over the footprint of each pixel.
    valid : sequence of (h, w) arrays, or of anything that gives rows when sliced
        Not 0 where a member is valid, on its own grid.
    weights : sequence of float, optional
        Above 0, one for each member; None: all alike.

    Yields
    ------
    (rows, W) uint8 array
        256 rows, the last strip fewer; means in float32, rounded half up, over the members that are valid in at least
        half of a pixel, of which valid pixels alone count. 0 where there is none, and where the first member that has
        the result's own grid is invalid.

    Notes
    -----
    Memory: a strip per member and a block of rows of each.
    """
    own = next((i for i, member in enumerate(members) if member.shape == shape), None)
    factors = [np.float32(1)] * len(members) if weights is None else [np.float32(weight) for weight in weights]
    for strips in member_strips(members, shape, valid):
        total = np.zeros(strips[0][0].shape, np.float32)
        count = np.zeros_like(total)
        for (strip, good), factor in zip(strips, factors, strict=True):
            total += strip * factor
            count += good * factor
        mean = np.floor(total / np.where(count > 0, count, np.float32(1)) + np.float32(0.5))
        if own is not None:
            mean *= strips[own][1]
        yield np.clip(mean, 0, 255).astype(np.uint8)


def member_strips(members: Sequence[Any], shape: tuple[int, int], valid: Sequence[Any]) -> Iterator[tuple[Strip, ...]]:
    """All members on one grid, in strips of 256 rows, the last one fewer; see `mean_strips`."""
    return zip(*(_strips(member, plane, shape) for member, plane in zip(members, valid, strict=True)), strict=True)


def _strips(member: Any, valid: Any, shape: tuple[int, int]) -> Iterator[Strip]:
    """Strips of one member on a grid."""

    def read(start: int, stop: int) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        return np.asarray(member[start:stop])[None], np.asarray(valid[start:stop]) != 0

    height, width = member.shape
    if (height, width) == shape:
        for start in range(0, height, BLOCK_ROWS):
            values, good = read(start, min(start + BLOCK_ROWS, height))
            yield values[0].astype(np.float32) * good, good
        return
    from rasterloom.raster.resample import resample_strips

    matrix = [[width / shape[1], 0.0, 0.0], [0.0, height / shape[0], 0.0]]
    for _, strip, reached in resample_strips(read, (1, height, width), matrix, shape):
        yield strip[0], reached != 0
