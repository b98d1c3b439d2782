"""How a stack should be cut into chunks: patches a second, rows, writing, and bytes on disk.

The stack of 2048 pixels of a generated scene of the contest's full size, 20 channels of uint16, written anew in other
chunks and codecs. Measured in turn: random patches of 256 x 256 pixels of all channels and their validity, as training
reads them, by rasterloom and by zarr; the whole stack in strips of 128 rows, as prediction reads it; writing it in
strips of 256 rows. The memory map of an uncompressed array is the bound. Ratios are to the chunks that stacks have.

    python benchmarks/chunks.py [--size 3396x3349] [--rounds 5]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from stacking import contest_scene, stack_once
from zarr.codecs import BloscCodec
from zarr.storage import ZipStore

from rasterloom.raster.chunks import open_chunks
from rasterloom.raster.stacking import CHUNK
from rasterloom.raster.stacks import open_stack
from rasterloom.tools.scenes import parse_size

PATCH, PATCHES, ROWS = 256, 30, 128
ALL, SENSORS, BAND = (20,), (3, 1, 8, 8), (1,) * 20
"""Channels of a chunk: all of them, those of a sensor, or one."""

Reader = Callable[[tuple[int, int], tuple[int, int]], Any]


@dataclass(frozen=True)
class Layout:
    """Side of a chunk, the channels that go together, and the codec: name, level and shuffle."""

    side: int
    groups: tuple[int, ...] = ALL
    codec: tuple[str, int, str] | None = ("lz4", 5, "bitshuffle")

    def __str__(self) -> str:
        channels = {ALL: "all channels", SENSORS: "a sensor", BAND: "a channel"}[self.groups]
        codec = "none" if self.codec is None else f"{self.codec[0]} {self.codec[1]} {self.codec[2]}"
        return f"{self.side:4d}  {channels:13s} {codec:18s}"

    @property
    def compressor(self) -> BloscCodec | None:
        """The codec as zarr has it."""
        return self.codec and BloscCodec(cname=self.codec[0], clevel=self.codec[1], shuffle=self.codec[2])


LAYOUTS = [
    *(Layout(side) for side in (CHUNK, 64, 256, 512)),
    *(Layout(side, groups) for groups in (SENSORS, BAND) for side in (128, 256)),
    *(Layout(CHUNK, ALL, ("lz4", 5, shuffle)) for shuffle in ("shuffle", "noshuffle")),
    *(Layout(CHUNK, ALL, ("lz4", level, "bitshuffle")) for level in (1, 9)),
    *(Layout(CHUNK, ALL, ("zstd", level, "bitshuffle")) for level in (1, 5)),
    Layout(CHUNK, ALL, ("zstd", 1, "shuffle")),
    Layout(CHUNK, ALL, None),
]


def write(path: Path, layout: Layout, data: NDArray[Any], valid: NDArray[np.uint8]) -> float:
    """Write a stack in strips of at least 256 rows, each an array a group of channels; seconds."""
    path.unlink(missing_ok=True)
    started = time.perf_counter()
    with ZipStore(path, mode="w") as store:
        group, parts, first = zarr.create_group(store, zarr_format=3), [], 0
        # Groups of one size are one array, as channels of a chunk.
        counts = [sum(layout.groups)] if len(set(layout.groups)) == 1 else layout.groups
        for number, count in enumerate(counts):
            parts.append((f"data{number}", data[first : first + count], min(count, max(layout.groups))))
            first += count
        parts.append(("valid", valid, len(valid)))
        arrays = {
            name: group.create_array(
                name,
                shape=part.shape,
                chunks=(depth, layout.side, layout.side),
                dtype=part.dtype,
                compressors=layout.compressor,
                fill_value=0,
            )
            for name, part, depth in parts
        }
        band = max(256, layout.side)
        for top in range(0, data.shape[1], band):
            for name, part, _ in parts:
                arrays[name][:, top : top + band] = part[:, top : top + band]
    return time.perf_counter() - started


def reader(arrays: Mapping[str, Any]) -> Reader:
    """Reads rows and columns of all arrays."""
    return lambda rows, columns: [np.asarray(array[:, slice(*rows), slice(*columns)]) for array in arrays.values()]


def patches(read: Reader, side: int, seed: int) -> float:
    """Random patches a second."""
    corners = np.random.default_rng(seed).integers(0, side - PATCH, (PATCHES, 2)).tolist()
    started = time.perf_counter()
    for top, left in corners:
        read((top, top + PATCH), (left, left + PATCH))
    return PATCHES / (time.perf_counter() - started)


def in_rows(read: Reader, side: int) -> float:
    """Seconds for the whole stack in strips of rows."""
    started = time.perf_counter()
    for top in range(0, side, ROWS):
        read((top, top + ROWS), (0, side))
    return time.perf_counter() - started


def measure(folder: Path, data: NDArray[Any], valid: NDArray[np.uint8], rounds: int) -> dict[Layout, list[float]]:
    """By layout: MB, and medians of seconds to write, patches a second by us and by zarr, and seconds in rows."""
    side = data.shape[1]
    paths = {layout: folder / f"{number}.zarr.zip" for number, layout in enumerate(LAYOUTS)}
    found: dict[Layout, list[list[float]]] = {layout: [[], [], [], []] for layout in LAYOUTS}
    for _ in range(min(rounds, 3)):
        for layout, path in paths.items():
            found[layout][0].append(write(path, layout, data, valid))
    with ExitStack() as opened:
        ours = {layout: reader(opened.enter_context(open_chunks(path))[0]) for layout, path in paths.items()}
        theirs = {
            layout: reader(dict(zarr.open_group(opened.enter_context(ZipStore(path, mode="r")), mode="r").arrays()))
            for layout, path in paths.items()
        }
        for seed in range(rounds):
            for layout, times in found.items():
                times[1].append(patches(ours[layout], side, seed))
                times[2].append(patches(theirs[layout], side, seed))
                times[3].append(in_rows(ours[layout], side))
    sizes = {layout: path.stat().st_size / 1e6 for layout, path in paths.items()}
    return {layout: [sizes[layout], *map(statistics.median, times)] for layout, times in found.items()}


def mapped(folder: Path, data: NDArray[Any], valid: NDArray[np.uint8], rounds: int) -> float:
    """Patches a second of memory maps, copied."""
    maps = {}
    for name, array in (("data", data), ("valid", valid)):
        np.save(folder / f"{name}.npy", array)
        maps[name] = np.load(folder / f"{name}.npy", mmap_mode="r")

    def read(rows: tuple[int, int], columns: tuple[int, int]) -> Any:
        return [np.array(array[:, slice(*rows), slice(*columns)]) for array in maps.values()]

    return statistics.median(patches(read, data.shape[1], seed) for seed in range(rounds))


def main() -> None:
    """Print one row per layout."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="3396x3349", help="RGB pixels of the generated scene")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        dag, scene = contest_scene(folder, parse_size(args.size))
        stack_once(dag, scene, ["s2048"])
        with open_stack((dag.results / f"stacks/s2048/{scene}.zarr.zip").resolve()) as stack:
            data, valid = stack.data[:], stack.valid[:]
        found = measure(folder, data, valid, args.rounds)
        base = found[LAYOUTS[0]]
        columns = "patches/s ratio  by zarr  rows: s ratio  write: s ratio     MB ratio"
        print(f"side  in a chunk    codec              {columns}")
        for layout, (size, writing, ours, theirs, rows) in found.items():
            print(
                f"{layout} {ours:9.0f} {ours / base[2]:5.2f} {theirs:8.0f} {rows:8.3f} {rows / base[4]:5.2f} "
                f"{writing:9.2f} {writing / base[1]:5.2f} {size:6.1f} {size / base[0]:5.2f}"
            )
        print(f"\nuncompressed memory map: {mapped(folder, data, valid, args.rounds):.0f} patches/s")


if __name__ == "__main__":
    main()
