"""A scene predicted by windows: the share of time inside the network, and MONAI's sliding_window_inference beside it.

    python benchmarks/prediction.py                       time: a scene of 1024 pixels a side, 20 channels, unet64
    python benchmarks/prediction.py --memory --side 5000  peak memory, each in a process of its own, a narrow network

Times are seconds of one core, in turn, so that other programs on the machine disturb little. MONAI, where it is
installed (`pip install monai`), gets the same network and windows twice: as its documentation shows, in float32, and
with the bfloat16 and channels_last of the recipe.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rasterloom.config.model import Prediction
from rasterloom.learning.augment import Normalisation
from rasterloom.learning.device import keep_memory
from rasterloom.learning.inference import encoded, mean_forward, network_rows
from rasterloom.learning.networks import build
from rasterloom.learning.networks.layers import folded
from rasterloom.learning.stack_reader import read_stack
from rasterloom.learning.windows import sampled
from rasterloom.raster.planes import write_planes

CHANNELS = 20
WAYS = ("rasterloom", "MONAI", "MONAI, bfloat16 and channels_last")
PREDICTION = Prediction(window=256, stride=128, symmetries=False, batch=4, threads=1)


def write_scene(path: Path, side: int) -> None:
    """A stack of random digital numbers, strip by strip."""
    import zarr

    rng = np.random.default_rng(0)
    with zarr.storage.ZipStore(path, mode="w") as store:
        group = zarr.create_group(store, attributes={"sensors": ["all"], "channels": [CHANNELS]})
        sides = {"shards": None, "chunks": (CHANNELS, 128, 128)}
        data = group.create_array("data", shape=(CHANNELS, side, side), dtype="uint16", **sides)
        valid = group.create_array("valid", shape=(1, side, side), dtype="uint8", chunks=(1, 128, 128))
        for row in range(0, side, 128):
            rows = min(128, side - row)
            data[:, row : row + rows] = rng.integers(0, 2048, (CHANNELS, rows, side), dtype=np.uint16)
            valid[:, row : row + rows] = np.full((1, rows, side), 255, np.uint8)


class Timed:
    """A network that counts the seconds that it computes."""

    def __init__(self, network: torch.nn.Module) -> None:
        self.network, self.seconds = network, 0.0

    def __call__(self, images: torch.Tensor) -> Any:
        """What the network says."""
        begun = time.thread_time()
        found = self.network(images)
        self.seconds += time.thread_time() - begun
        return found


@contextmanager
def scene_and_network(side: int, width: int) -> Iterator[tuple[Path, torch.nn.Module]]:
    """A stack in a temporary folder, and a U-Net of the recipe's shape."""
    torch.set_num_threads(1)
    model = {"kind": "unet", "width": width, "depth": 6, "convs_per_block": 3}
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "scene.zarr.zip")
        write_scene(path, side)
        yield path, build(model, CHANNELS).eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def normalisation() -> Normalisation:
    """That of numbers from 0 to 2047."""
    return Normalisation(*np.full((2, CHANNELS), [[1023.5], [591.0]], np.float32), np.zeros(CHANNELS, np.intp))


def by_rasterloom(path: Path, network: torch.nn.Module) -> float:
    """From the stack to the file of the prediction; the seconds inside the network."""
    timed = Timed(folded(network))
    with read_stack(path, ["all"], "all") as reader:
        rows = network_rows(
            reader, normalisation(), mean_forward([timed], PREDICTION, "cpu"), PREDICTION, print_nothing
        )
        write_planes(path.with_name("out.zarr.zip"), "probability", reader.shape, encoded(rows, reader), ["p"])
    return timed.seconds


def print_nothing(_: str) -> None:
    """No progress."""


def by_monai(path: Path, network: torch.nn.Module, coarse: bool) -> float:
    """The whole scene as a tensor, as its documentation shows; the seconds inside the network."""
    from monai.inferers import sliding_window_inference

    timed = Timed(network)

    def predict(images: torch.Tensor) -> Any:
        layout = torch.channels_last if coarse else torch.contiguous_format
        with torch.autocast("cpu", torch.bfloat16, enabled=coarse):
            return timed(images.contiguous(memory_format=layout)).float()

    with read_stack(path, ["all"], "all") as reader, torch.inference_mode():
        scene = torch.from_numpy(normalisation().apply(*reader.rows(0, reader.shape[0])))[None]
        found = sliding_window_inference(scene, (256, 256), 4, predict, overlap=0.5, mode="constant")
        np.save(path.with_name("out.npy"), (found.sigmoid() * 255).round().to(torch.uint8).numpy())
    return timed.seconds


def run_way(way: str, path: Path, network: torch.nn.Module) -> float:
    """Predict a scene in a way; the seconds inside the network."""
    if way == "rasterloom":
        return by_rasterloom(path, network)
    layout = torch.channels_last if way != "MONAI" else torch.contiguous_format
    return by_monai(path, network.to(memory_format=layout), way != "MONAI")  # type: ignore[call-overload]


def times(ways: list[str], side: int, width: int, rounds: int) -> None:
    """Print the medians of the seconds, in all and inside the network, and the ratio to rasterloom's."""
    keep_memory()
    found: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    with scene_and_network(side, width) as (path, network):
        for round_ in range(rounds):
            for way in ways:
                begun = time.process_time()
                inside = run_way(way, path, network)
                found[way].append((time.process_time() - begun, inside))
                print(f"round {round_ + 1}: {way}: {found[way][-1][0]:.1f} s", file=sys.stderr, flush=True)
    medians = {way: [statistics.median(column) for column in zip(*own, strict=True)] for way, own in found.items()}
    windows = sampled((side, side), PREDICTION.window, PREDICTION.stride)
    for way, (total, inside) in medians.items():
        ratio, speed = total / medians["rasterloom"][0], windows / total
        print(f"{way:34s} {total:8.1f} s, {inside / total:.0%} in the network, {speed:.2f} windows/s, {ratio:.2f}")


def memory(ways: list[str], side: int, width: int) -> None:
    """Print the peak memory of each way in a process of its own, above that of one that predicts next to nothing."""
    for way in ways:
        peaks = [int(subprocess.check_output([sys.executable, __file__, "--way", way, "--side", f"{n}", "--width",
                                              f"{width}"])) for n in (256, side)]  # fmt: skip
        print(f"{way:34s} {peaks[1] / 1024:8.0f} MB, {(peaks[1] - peaks[0]) / 1024:6.0f} MB more than for one window")


def main() -> None:
    """Compare the ways that can be had."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=1024, help="pixels")
    parser.add_argument("--width", type=int, help="feature maps: 64; 4 with --memory")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.way:
        with scene_and_network(args.side, args.width) as (path, network):
            run_way(args.way, path, network)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
        return
    try:
        import monai  # noqa: F401

        ways = list(WAYS)
    except ImportError:
        print("MONAI is not installed (pip install monai): left out")
        ways = ["rasterloom"]
    if args.memory:
        memory(ways, args.side, args.width or 4)
    else:
        times(ways, args.side, args.width or 64, args.rounds)


if __name__ == "__main__":
    main()
