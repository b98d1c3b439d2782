"""Batch normalisation adapted to a scene: its running statistics, blended with those of windows of the scene."""

from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from rasterloom.config.model import Prediction
from rasterloom.learning.augment import Normalisation
from rasterloom.learning.device import forward_pass
from rasterloom.learning.stack_reader import StackReader
from rasterloom.learning.windows import Floats, sample_step, window_batches

SHARE = 0.5
"""Share of the scene in the blend. With all of it, a scene that shows one thing only, such as water, would be stretched
until its noise looks like objects; half of it bounds that to the square root of two a layer."""


def sample_windows(reader: StackReader, normalisation: Normalisation, prediction: Prediction) -> Iterator[Floats]:
    """Windows spread evenly over a scene, in batches (N, C, window, window) float32; those without data are left out.

    Notes
    -----
    Memory: a strip of rows, and a batch.
    """
    window, step = prediction.window, sample_step(reader.shape, prediction.window)
    batches = window_batches(reader.rows, normalisation.apply, reader.shape, window, step, prediction.batch)
    return (batch.images for batch in batches)


def adapted(network: Any, images: Iterable[Floats], device: str, precision: str) -> Any:
    """A network whose batch normalisation knows a scene.

    Parameters
    ----------
    network : ready to predict; not changed.
    images : batches of normalised windows of the scene.
    device, precision : where and how it computes.

    Returns
    -------
    A copy whose running means and variances are, in every such layer, the mean of the trained ones and the scene's; the
    same network if it has no such layer.

    Notes
    -----
    Each window goes through once. A layer sees what the layers before it make of the scene when they are adapted
    themselves, as far as the windows seen until then tell.
    """
    copy = deepcopy(network)
    layers = [layer for layer in copy.modules() if isinstance(layer, _BatchNorm) and layer.running_mean is not None]
    if not layers:
        return network
    hooks = [layer.register_forward_pre_hook(_blend(layer)) for layer in layers]
    with torch.no_grad(), forward_pass(device, precision):
        for batch in images:
            copy(torch.from_numpy(batch).to(device).contiguous(memory_format=torch.channels_last))
    for hook in hooks:
        hook.remove()
    return copy


def _blend(layer: Any) -> Callable[[nn.Module, tuple[Any, ...]], None]:
    """A hook that takes the moments of what a layer is given, and blends those of all so far into its statistics."""
    trained = torch.stack([layer.running_mean, layer.running_var])
    sums, images = torch.zeros_like(trained, dtype=torch.float64), 0

    def hook(_: nn.Module, given: tuple[Any, ...]) -> None:
        nonlocal sums, images
        values = given[0].float()
        variance, mean = torch.var_mean(values, dim=(0, *range(2, values.ndim)), correction=0)
        moments = torch.stack([mean.double(), variance.double() + mean.double() ** 2])
        sums, images = sums + moments * len(values), images + len(values)
        mean, square = sums / images
        scene = torch.stack([mean, (square - mean**2).clamp(min=0)]).to(trained.dtype)
        blended = (1 - SHARE) * trained + SHARE * scene
        layer.running_mean.copy_(blended[0])
        layer.running_var.copy_(blended[1])

    return hook
