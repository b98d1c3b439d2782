"""Opening the scenes that a member trains on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial

import numpy as np

from rasterloom.errors import StoreError
from rasterloom.learning.augment import Normalisation, Read, TrainingScene, Window
from rasterloom.learning.sampling import SceneIndex, index_scene
from rasterloom.learning.stack_reader import StackReader
from rasterloom.learning.windows import Bytes
from rasterloom.raster.chunks import ChunkedArray
from rasterloom.raster.planes import open_plane
from rasterloom.store.job import Job
from rasterloom.store.store import Item

CACHE_BYTES = 1_500_000_000
"""Decoded scenes that are kept in memory while a model trains; the others are read window by window."""


def open_training_scenes(
    job: Job,
    held: ExitStack,
    readers: Mapping[str, StackReader],
    masks: Mapping[str, Sequence[Item]],
    normalisations: Mapping[str, Normalisation],
    cache: int = CACHE_BYTES,
) -> list[TrainingScene]:
    """Open labelled scenes and find their positive pixels.

    Parameters
    ----------
    job : names the target, and opens items.
    held : keeps the files open.
    readers, masks, normalisations : of each scene; a mask for each class that a network learns.
    cache : bytes of decoded scenes kept in memory; scenes beyond it are read window by window.

    Notes
    -----
    Memory: `cache`, and for each class and the ground an eighth of a byte a pixel of every scene.
    """
    scenes: list[TrainingScene] = []
    for name, reader in readers.items():
        planes = [held.enter_context(open_plane(job.store.open_path(mask), "coverage")) for mask in masks[name]]
        for coverage in planes:
            if coverage.shape != reader.shape:
                raise StoreError(
                    f"scene {name}: the mask of {job.spec['target']} has shape {coverage.shape}, the stack "
                    f"{reader.shape}: they belong to different runs; run the workflow again"
                )
        height, width = reader.shape
        found = [index_scene(partial(_labels, reader, coverage), height) for coverage in planes]
        index = SceneIndex(tuple(own.positive for own in found), found[0].ground)
        read: Read = partial(_window, reader, planes)
        cost = height * width * (reader.bytes_per_pixel + len(planes))
        if cost <= cache:
            cache -= cost
            read = partial(_part, read(0, height, 0, width))
        scenes.append(TrainingScene(name, index, read, normalisations[name]))
    return scenes


def _labels(reader: StackReader, coverage: ChunkedArray, y0: int, y1: int) -> tuple[Bytes, Bytes]:
    return coverage[y0:y1], reader.reference(y0, y1)


def _window(reader: StackReader, planes: Sequence[ChunkedArray], y0: int, y1: int, x0: int, x1: int) -> Window:
    coverage = [plane[y0:y1, x0:x1] for plane in planes]
    return *reader.window(y0, y1, x0, x1), np.stack(coverage) if len(coverage) > 1 else coverage[0]


def _part(whole: Window, y0: int, y1: int, x0: int, x1: int) -> Window:
    data, valid, coverage = whole
    return data[:, y0:y1, x0:x1], valid[:, y0:y1, x0:x1], coverage[..., y0:y1, x0:x1]
