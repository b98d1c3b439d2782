"""Predicting scenes: networks by windows, models per pixel by blocks, the mean over checkpoints."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import lru_cache, partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from rasterloom.config.model import Prediction, is_network, on_cores
from rasterloom.errors import StoreError
from rasterloom.learning import windows
from rasterloom.learning.augment import Normalisation
from rasterloom.learning.checkpoint import Arrays
from rasterloom.learning.device import computing, forward_pass, hardware_name, keep_memory, pick_device
from rasterloom.learning.networks import build
from rasterloom.learning.outputs import ONE, Outputs
from rasterloom.learning.pixel_features import PixelFeatures
from rasterloom.learning.pixel_models import SAMPLE_ROWS, predict_pixels
from rasterloom.learning.prefetch import prefetched
from rasterloom.learning.stack_reader import StackReader
from rasterloom.learning.state import read_state, write_state
from rasterloom.learning.windows import Bytes, Floats, Forward, Place
from rasterloom.store.digest import BLOCK_ROWS
from rasterloom.text import brief, now_and_then

Predictor = Callable[[StackReader, Normalisation, Sequence[str], Callable[[str], None], int], Iterator[Floats]]
"""Blocks of rows, from one of them on, of the mean probability of some checkpoints in a scene.

The checkpoints share what normalises a window. A model per pixel begins with row 0.
"""

STRIP = "strip-{}.safetensors"
"""File of a finished strip of a scene that is not finished yet, by number."""

TILE_COLUMNS = 1024
"""Columns of a scene whose features are made at a time. Changes no result."""


def load_network(model: Mapping[str, Any], checkpoint: Arrays, device: str, outputs: Outputs = ONE) -> Any:
    """The network of a checkpoint, ready to predict on a device."""
    import torch

    network = build(model, len(checkpoint["normalisation.mean"]), outputs.logits)
    weights = {k.removeprefix("network."): v for k, v in checkpoint.items() if k.startswith("network.")}
    try:
        network.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in weights.items()})
    except RuntimeError as error:
        raise StoreError(
            f"the checkpoint does not fit the network ({brief(' '.join(str(error).split()), 200)}): run the workflow "
            "again; a function of yours (kind module) must give its layers the same names in every call"
        ) from error
    return network.to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]


def mean_forward(networks: Sequence[Any], prediction: Prediction, device: str, outputs: Outputs = ONE) -> Forward:
    """Probabilities averaged over networks and symmetries.

    Parameters
    ----------
    networks : of the same channels.
    prediction : its ``symmetries`` and ``precision`` count.
    device : where they compute.
    outputs : of the networks.

    Returns
    -------
    function from (N, C, w, w) float32 to (N, w, w) float32, 0..1, or (N, w, w, K) of several classes. Sums are float32;
    one forward pass is made for each network and symmetry, with the whole batch.
    """
    import torch

    def forward(images: Floats) -> Floats:
        batch = torch.from_numpy(images).to(device)
        with torch.inference_mode(), forward_pass(device, prediction.precision):
            mean = mean_probability(networks, batch, prediction.symmetries, outputs).cpu().numpy()
        return np.asarray(np.moveaxis(mean, 1, -1) if outputs.planes else mean, dtype=np.float32)

    return forward


def mean_probability(networks: Sequence[Any], batch: Any, symmetries: bool | str, outputs: Outputs) -> Any:
    """The mean probability over networks and, if `symmetries` is True, flips and rotations.

    From a normalised tensor (N, C, w, w) to one of float32, (N, w, w), or (N, K, w, w) of several classes.
    """
    import torch

    turns = windows.SYMMETRIES if symmetries is True else windows.SYMMETRIES[:1]
    total = torch.zeros((batch.shape[0], *outputs.planes, *batch.shape[2:]), device=batch.device)
    for turn, mirror in turns:
        turned = torch.rot90(batch.flip(3) if mirror else batch, turn, (2, 3))
        turned = turned.contiguous(memory_format=torch.channels_last)
        for network in networks:
            answer = torch.rot90(outputs.probability(network(turned)), -turn, (-2, -1))
            total += answer.flip(-1) if mirror else answer
    return total / (len(turns) * len(networks))


def network_rows(
    reader: StackReader,
    normalisation: Normalisation,
    forward: Forward,
    prediction: Prediction,
    say: Callable[[str], None],
    outputs: Outputs = ONE,
    first: int = 0,
) -> Iterator[Floats]:
    """Blocks of rows of a network's probability, from row `first` on; windows are prepared by a thread meanwhile."""
    window, stride, shape = prediction.window, prediction.stride, reader.shape
    batches = windows.window_batches(reader.rows, normalisation.apply, shape, window, stride, prediction.batch, first)
    say_slowly = now_and_then(10.0, say)

    def answers() -> Iterator[tuple[Place, Floats]]:
        for batch in prefetched(lambda _: next(batches, None), count()):
            if batch is None:
                return
            say_slowly(f"{min(shape[0], batch.places[-1][0] + window)} of {shape[0]} rows")
            if prediction.symmetries != "alternate":
                yield from zip(batch.places, forward(batch.images), strict=True)
                continue
            ways = [windows.alternate(place, stride) for place in batch.places]
            images = [windows.turned(image, *way) for image, way in zip(batch.images, ways, strict=True)]
            for place, way, answer in zip(batch.places, ways, forward(np.stack(images)), strict=True):
                yield place, windows.turned_back(answer, *way)

    return windows.sliding_rows(answers(), shape, window, stride, outputs.planes, first)


def sample_windows(reader: StackReader, normalisation: Normalisation, prediction: Prediction) -> Iterator[Floats]:
    """Windows spread evenly over a scene, in batches (N, C, window, window) float32; those without data are left out.

    Notes
    -----
    Memory: a strip of rows, and a batch.
    """
    shape, window = reader.shape, prediction.window
    step = windows.sample_step(shape, window)
    batches = windows.window_batches(reader.rows, normalisation.apply, shape, window, step, prediction.batch)
    return (batch.images for batch in batches)


def pixel_rows(
    reader: StackReader, normalisation: Normalisation, checkpoints: Sequence[Arrays], threads: int
) -> Iterator[Floats]:
    """Blocks of 128 rows of a pixel model's probability in a scene, the mean over checkpoints of one member.

    Notes
    -----
    Memory: rows of the stack, a block and those that its neighbourhood needs; and the features of 128 x 1024 pixels.
    """
    height, width = reader.shape
    features = PixelFeatures.of_checkpoint(checkpoints[0])
    buffer = windows.RowBuffer(reader.rows, reader.shape, 1)
    for top in range(0, height, SAMPLE_ROWS):
        first, last, rows = features.around(top, min(height, top + SAMPLE_ROWS), height)
        data, valid = buffer.rows(first, last)
        means: list[Floats] = []
        for left in range(0, width, TILE_COLUMNS):
            low, high, columns = features.around(left, min(width, left + TILE_COLUMNS), width)
            part = np.s_[:, :, low:high]
            found = features.stacked(data[part], valid[part], normalisation, (rows, columns))
            total = np.zeros(found[0].size, dtype=np.float32)
            for checkpoint in checkpoints:
                total += predict_pixels(checkpoint, found.reshape(len(found), -1), threads)
            mean = np.divide(total, np.float32(len(checkpoints)), dtype=np.float32)
            means.append(mean.reshape(found.shape[1:]))
        yield np.concatenate(means, axis=1)


def encoded(blocks: Iterator[Floats], reader: StackReader, top: int = 0) -> Iterator[list[Bytes]]:
    """Probability of each class from row `top` on: bytes in blocks of 256 rows, 0 where the reference is invalid."""
    for block in windows.in_blocks(blocks, BLOCK_ROWS):
        valid = reader.reference(top, top + len(block))
        yield [windows.quantised(own, valid) for own in (np.moveaxis(block, -1, 0) if block.ndim == 3 else [block])]
        top += len(block)


def kept(folder: Path, strips: Callable[[int], Iterator[list[Bytes]]]) -> Iterator[list[Bytes]]:
    """Strips of a scene, kept in a folder as soon as they are finished; those that are there come first.

    Parameters
    ----------
    folder : of this scene alone.
    strips : those from a row on, each of 256 rows but the last, with the bytes of each class.
    """
    done = 0
    while (arrays := read_state(folder / STRIP.format(done))) is not None:
        yield [arrays[f"{plane}"] for plane in range(len(arrays))]
        done += 1
    for number, strip in enumerate(strips(done * BLOCK_ROWS), done):
        write_state(folder / STRIP.format(number), {f"{plane}": own for plane, own in enumerate(strip)})
        yield strip


def predictor(
    spec: Mapping[str, Any], held: ExitStack, checkpoints: Mapping[str, Arrays]
) -> tuple[Predictor, str | None]:
    """The function that predicts a scene with some of the checkpoints, on the device of a network.

    Parameters
    ----------
    spec : its ``model``, ``prediction`` and ``outputs`` count.
    held : holds the device.
    checkpoints : of one member, by fold.

    Returns
    -------
    The function, and the network's hardware; None for a model per pixel.
    """
    if not is_network(spec["model"]):
        threads = int(spec["prediction"]["threads"])
        return lambda reader, normalisation, chosen, *_: pixel_rows(
            reader, normalisation, [checkpoints[fold] for fold in chosen], threads
        ), None
    prediction = Prediction.model_validate(spec["prediction"])
    from rasterloom.learning.networks.layers import folded
    from rasterloom.learning.openvino_engine import compiled, converted

    fold, convert = (lru_cache(len(checkpoints))(once) for once in (folded, converted))
    keep_memory()
    device = "cpu" if on_cores(spec["prediction"]) else held.enter_context(pick_device())
    held.enter_context(computing(prediction.threads))
    model, outputs = spec["model"], Outputs.of(spec)
    networks = {fold: load_network(model, arrays, device, outputs) for fold, arrays in checkpoints.items()}

    def predict(
        reader: StackReader, normalisation: Normalisation, chosen: Sequence[str], say: Callable[[str], None], first: int
    ) -> Iterator[Floats]:
        own = [networks[fold] for fold in chosen]
        own = [fold(network) for network in own]
        if on_cores(spec["prediction"]):
            models = [convert(network, len(reader.planes), prediction.window) for network in own]
            sample = partial(sample_windows, reader, normalisation, prediction)
            own = [compiled(model, sample(), prediction.threads) for model in models]
        forward = mean_forward(own, prediction, device, outputs)
        return network_rows(reader, normalisation, forward, prediction, say, outputs, first)

    return predict, hardware_name(device, prediction.threads)
