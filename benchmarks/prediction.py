"""A scene predicted by windows: the share of time inside the network, and what MONAI and pytorch-toolbelt take.

    python benchmarks/prediction.py                       time: a scene of 1024 pixels a side, 20 channels, unet64
    python benchmarks/prediction.py --memory --side 5000  peak memory, each in a process of its own, a narrow network

Times are seconds of one core, in turn, so that other programs on the machine disturb little. rasterloom predicts as
it does by itself and, where its extra `openvino` is installed, in integers. The others, where they are
installed (`pip install monai pytorch-toolbelt`), get the same network and windows: as their documentations show, in
float32, and with the bfloat16 and channels_last of the recipe.
"""

from __future__ import annotations

import argparse
import importlib.util
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
from ratios import record

from rasterloom.config.model import Prediction, on_cores
from rasterloom.learning.augment import Normalisation
from rasterloom.learning.device import keep_memory
from rasterloom.learning.inference import encoded, mean_forward, network_rows, sample_windows
from rasterloom.learning.networks import build
from rasterloom.learning.networks.layers import folded
from rasterloom.learning.openvino_engine import compiled, converted
from rasterloom.learning.stack_reader import read_stack
from rasterloom.learning.windows import sampled
from rasterloom.raster.planes import write_planes

CHANNELS = 20
COARSE = ", bfloat16 and channels_last"
WAYS = {
    "rasterloom": "torch",
    "rasterloom, int8": "nncf",
    "MONAI": "monai",
    f"MONAI{COARSE}": "monai",
    "pytorch-toolbelt": "pytorch_toolbelt",
    f"pytorch-toolbelt{COARSE}": "pytorch_toolbelt",
}
"""Ways to predict a scene, and the package that each needs."""
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


def by_rasterloom(path: Path, network: torch.nn.Module, precision: str) -> float:
    """From the stack to the file of the prediction; the seconds inside the network."""
    prediction = PREDICTION.model_copy(update={"precision": precision})
    with read_stack(path, ["all"], "all") as reader:
        used: Any = folded(network)
        if on_cores(prediction.model_dump()):
            sample = sample_windows(reader, normalisation(), prediction)
            used = compiled(converted(used, CHANNELS, prediction.window), sample, prediction.threads)
        timed = Timed(used)
        rows = network_rows(
            reader, normalisation(), mean_forward([timed], prediction, "cpu"), prediction, print_nothing
        )
        write_planes(path.with_name("out.zarr.zip"), "probability", reader.shape, encoded(rows, reader), ["p"])
    return timed.seconds


def print_nothing(_: str) -> None:
    """No progress."""


@contextmanager
def whole_scene(path: Path, network: torch.nn.Module, coarse: bool) -> Iterator[tuple[torch.Tensor, Any, Timed]]:
    """A scene (C, H, W) in memory, the network from (N, C, w, w) to probabilities, and its seconds."""
    timed, layout = Timed(network), torch.channels_last if coarse else torch.contiguous_format

    def predict(images: torch.Tensor) -> Any:
        with torch.autocast("cpu", torch.bfloat16, enabled=coarse):
            return timed(images.contiguous(memory_format=layout)).float().sigmoid()

    with read_stack(path, ["all"], "all") as reader, torch.inference_mode():
        yield torch.from_numpy(normalisation().apply(*reader.rows(0, reader.shape[0]))), predict, timed


def by_monai(path: Path, network: torch.nn.Module, coarse: bool) -> float:
    """As its documentation shows; the seconds inside the network."""
    from monai.inferers import sliding_window_inference

    with whole_scene(path, network, coarse) as (scene, predict, timed):
        found = sliding_window_inference(scene[None], (256, 256), 4, predict, overlap=0.5, mode="constant")
        np.save(path.with_name("out.npy"), (found * 255).round().to(torch.uint8).numpy())
    return timed.seconds


def by_toolbelt(path: Path, network: torch.nn.Module, coarse: bool) -> float:
    """As its documentation shows: tiles of an image, a data loader, a merger; the seconds inside the network."""
    from pytorch_toolbelt.inference.tiles import ImageSlicer, TileMerger
    from torch.utils.data import DataLoader

    with whole_scene(path, network, coarse) as (scene, predict, timed):
        image = np.moveaxis(scene.numpy(), 0, -1)
        tiler = ImageSlicer(image.shape, tile_size=256, tile_step=128, weight="mean")
        tiles = [torch.from_numpy(np.moveaxis(tile, -1, 0).copy()) for tile in tiler.split(image)]
        merger = TileMerger(tiler.target_shape, 1, tiler.weight)
        for images, places in DataLoader(list(zip(tiles, tiler.crops, strict=True)), batch_size=4):
            merger.integrate_batch(predict(images), places)
        found = tiler.crop_to_orignal_size(np.moveaxis(merger.merge().numpy(), 0, -1))
        np.save(path.with_name("out.npy"), np.round(found * 255).astype(np.uint8))
    return timed.seconds


def run_way(way: str, path: Path, network: torch.nn.Module) -> float:
    """Predict a scene in a way; the seconds inside the network."""
    name, _, precision = way.partition(", ")
    if name == "rasterloom":
        return by_rasterloom(path, network, precision or PREDICTION.precision)
    coarse = way.endswith(COARSE)
    network = network.to(memory_format=torch.channels_last if coarse else torch.contiguous_format)  # type: ignore[call-overload]
    return (by_monai if name == "MONAI" else by_toolbelt)(path, network, coarse)


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
        if way != "rasterloom":
            record("prediction of a scene", way, ratio)


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
    ways = [way for way, package in WAYS.items() if importlib.util.find_spec(package)]
    for package in sorted({package for way, package in WAYS.items() if way not in ways}):
        print(f"{package} is not installed: left out")
    if args.memory:
        memory(ways, args.side, args.width or 4)
    else:
        times(ways, args.side, args.width or 64, args.rounds)


if __name__ == "__main__":
    main()
