"""Opening the scenes that a member trains on."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass

from rasterloom.errors import StoreError
from rasterloom.learning.augment import TrainingScene, Window
from rasterloom.learning.sampling import index_scene
from rasterloom.learning.stack_reader import StackReader
from rasterloom.learning.windows import Bytes
from rasterloom.raster.chunks import ChunkedArray
from rasterloom.raster.planes import open_plane
from rasterloom.store.job import Job
from rasterloom.store.store import Item

CACHE_BYTES = 1_500_000_000
"""Decoded scenes that are kept in memory while a model trains; the others are read window by window."""


# Data -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Source:
    """A labelled scene on disk, or decoded in memory."""

    stack: StackReader
    coverage: ChunkedArray
    files: ExitStack
    cached: Window | None

    def window(self, y0: int, y1: int, x0: int, x1: int) -> Window:
        if self.cached is not None:
            data, valid, coverage = self.cached
            return data[:, y0:y1, x0:x1], valid[:, y0:y1, x0:x1], coverage[y0:y1, x0:x1]
        data, valid = self.stack.window(y0, y1, x0, x1)
        return data, valid, self.coverage[y0:y1, x0:x1]

    def labels(self, y0: int, y1: int) -> tuple[Bytes, Bytes]:
        if self.cached is not None:
            return self.cached[2][y0:y1], self.cached[1][0, y0:y1]
        return self.coverage[y0:y1], self.stack.reference(y0, y1)


def open_training_scenes(
    job: Job, stacks: Mapping[str, Item], masks: Mapping[str, Item], cache: int = CACHE_BYTES
) -> list[TrainingScene]:
    """Open labelled scenes and find their positive pixels.

    Parameters
    ----------
    job : names sensors and reference, and opens items.
    stacks, masks : items of each scene.
    cache : bytes of decoded scenes kept in memory; scenes beyond it are read window by window.

    Notes
    -----
    Memory: `cache`, and a quarter of a byte a pixel of every scene.
    """
    scenes: list[TrainingScene] = []
    for name, item in stacks.items():
        reader = StackReader(job.store.open_path(item), job.spec["sensors"], job.spec["reference"])
        files = ExitStack()
        coverage = files.enter_context(open_plane(job.store.open_path(masks[name]), "coverage"))
        if coverage.shape != reader.shape:
            raise StoreError(
                f"scene {name}: the mask of {job.spec['target']} has shape {coverage.shape}, the stack "
                f"{reader.shape}: they belong to different runs; run the workflow again"
            )
        source = _Source(reader, coverage, files, None)
        pixels = reader.shape[0] * reader.shape[1]
        cost = pixels * (reader.bytes_per_pixel + 1)
        if cost <= cache:
            cache -= cost
            source = _Source(reader, coverage, files, source.window(0, reader.shape[0], 0, reader.shape[1]))
        scenes.append(TrainingScene(name, index_scene(source.labels, reader.shape[0]), source.window))
    return scenes
