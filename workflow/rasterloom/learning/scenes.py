"""Opening the scenes that a member trains on: with labels, or with what another member is sure of."""

import resource
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from rasterloom.errors import require_same
from rasterloom.learning.augment import Normalisation, Read, TrainingScene, Window
from rasterloom.learning.outputs import Outputs
from rasterloom.learning.sampling import SceneIndex, index_scene
from rasterloom.learning.stack_reader import StackReader
from rasterloom.learning.windows import Bytes
from rasterloom.raster.means import probability_arrays
from rasterloom.raster.planes import open_plane
from rasterloom.store.job import Job
from rasterloom.store.store import Item

CACHE_BYTES = 1_500_000_000
"""Decoded scenes that are kept in memory while a model trains; the others are read window by window."""

FILES = 2**16
"""Open files that a training may have, if the system allows: two and more for each scene."""

SURE = 0.1
"""Farthest from 0 or 1 that a mean probability over folds and symmetries may be to count as a label."""


@dataclass(frozen=True)
class PseudoLabels:
    """What a member is sure of in a scene, as a plane that is read by windows like a mask.

    Attributes
    ----------
    probabilities : (H, W) uint8 arrays, one for each class.
    known : False: coverage, 255 where it is sure that the only class is there, else 0; True: 255 where it is sure of
        all classes, that they are there or not, else 0.
    """

    probabilities: Sequence[Any]
    known: bool = False

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W)."""
        height, width = self.probabilities[0].shape
        return height, width

    def __getitem__(self, where: Any) -> Bytes:
        there = [own[where] >= 255 * (1 - SURE) for own in self.probabilities]
        if self.known:
            there = [own | (plane[where] <= 255 * SURE) for own, plane in zip(there, self.probabilities, strict=True)]
        return np.asarray(np.where(np.all(there, axis=0), 255, 0), np.uint8)


def open_training_scenes(
    job: Job,
    held: ExitStack,
    readers: Mapping[str, StackReader],
    masks: Mapping[str, Sequence[Item]],
    normalisations: Mapping[str, Normalisation],
    cache: int = CACHE_BYTES,
    unlabelled: Collection[str] = (),
) -> list[TrainingScene]:
    """Open scenes and find their positive pixels, and the ground where that is known.

    Parameters
    ----------
    job : names the target, and opens items.
    held : keeps the files open.
    readers, masks, normalisations : of each scene; a mask for each class that a network learns.
    cache : bytes of decoded scenes kept in memory; scenes beyond it are read window by window.
    unlabelled : scenes that have, in place of masks, one prediction by another member.

    Notes
    -----
    Memory: `cache`, and for each class and the ground an eighth of a byte a pixel of every scene.
    """
    scenes: list[TrainingScene] = []
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, FILES)), hard))
    classes = Outputs.of(job.spec).classes
    for name, reader in readers.items():
        arrays = probability_arrays(classes if classes > 1 else 0) if name in unlabelled else ["coverage"]
        opened = [(job.store.open_path(mask), array) for mask in masks[name] for array in arrays]
        planes: list[Any] = [held.enter_context(open_plane(*own)) for own in opened]
        if name in unlabelled:
            planes = [*(PseudoLabels([plane]) for plane in planes), PseudoLabels(planes, known=True)]
        for coverage in planes:
            require_same(f"scene {name}: the mask of {job.spec['target']}", coverage.shape, "the stack", reader.shape)
        height, width = reader.shape
        found = [index_scene(partial(_labels, reader, own, planes[classes:]), height) for own in planes[:classes]]
        index = SceneIndex(tuple(own.positive for own in found), found[0].ground)
        read: Read = partial(_window, reader, planes)
        cost = height * width * (reader.bytes_per_pixel + len(planes))
        if cost <= cache:
            cache -= cost
            read = partial(_part, read(0, height, 0, width))
        scenes.append(TrainingScene(name, index, read, normalisations[name]))
    return scenes


def _labels(reader: StackReader, coverage: Any, known: Sequence[Any], y0: int, y1: int) -> tuple[Bytes, Bytes]:
    valid = reader.reference(y0, y1)
    return coverage[y0:y1], np.minimum.reduce([valid, *(plane[y0:y1] for plane in known)])


def _window(reader: StackReader, planes: Sequence[Any], y0: int, y1: int, x0: int, x1: int) -> Window:
    coverage = [plane[y0:y1, x0:x1] for plane in planes]
    return *reader.window(y0, y1, x0, x1), np.stack(coverage) if len(coverage) > 1 else coverage[0]


def _part(whole: Window, y0: int, y1: int, x0: int, x1: int) -> Window:
    data, valid, coverage = whole
    return data[:, y0:y1, x0:x1], valid[:, y0:y1, x0:x1], coverage[..., y0:y1, x0:x1]
