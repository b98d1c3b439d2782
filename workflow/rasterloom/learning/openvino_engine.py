"""Networks that predict in integers of 8 bits, by OpenVINO on the cores: an extra.

This module imports torch; import it only where a network has to predict by it.
"""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from itertools import chain, islice
from typing import Any

import numpy as np
import torch

from rasterloom.errors import InputError
from rasterloom.learning.windows import Floats
from rasterloom.text import brief

CALIBRATED = 64
"""Windows of a scene at most, spread evenly over it, whose activations give the ranges of the integers."""


def converted(network: Any, channels: int, window: int) -> Any:
    """A network as a model of OpenVINO, for any number of windows (channels, window, window).

    Raises
    ------
    InputError
        If the extra is not installed, or OpenVINO cannot compute the network.
    """
    example = torch.zeros((2, channels, window, window))
    with _explained(), torch.no_grad():
        import openvino

        program = torch.export.export(network, (example,), dynamic_shapes=({0: torch.export.Dim("windows")},))
        model = openvino.convert_model(program)
        model.reshape([-1, *example.shape[1:]])
        return model


def compiled(model: Any, images: Iterable[Floats], threads: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """What computes a model in integers; what cannot be, and all on a processor without them, in floating point.

    Parameters
    ----------
    model : of `converted`; not changed.
    images : batches (N, C, window, window) float32 of normalised windows of the scene. The first 64 windows give the
        ranges, however the work is cut; without any, nothing is quantised.
    threads : compute threads.

    Returns
    -------
    function from (N, C, window, window) to (N, K, window, window) float32 tensors.

    Notes
    -----
    Time: some seconds, and one pass of the 64 windows in float32.
    """
    windows = [image[None] for image in islice(chain.from_iterable(images), CALIBRATED)]
    with _explained(), redirect_stdout(sys.stderr):  # progress belongs into the log
        import nncf
        import openvino

        if windows:
            model = nncf.quantize(model, nncf.Dataset(windows), subset_size=len(windows))
        settings = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": "bf16"}
        request = openvino.Core().compile_model(model, "CPU", settings).create_infer_request()

    def predict(given: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(np.array(request.infer([given.contiguous().numpy()])[0], dtype=np.float32))

    return predict


@contextmanager
def _explained() -> Iterator[None]:
    """Turn what fails into an error with a remedy."""
    remedy = "set `precision: bfloat16`, which PyTorch computes"
    try:
        yield
    except ImportError as error:
        needed = "pip install 'rasterloom[openvino]'"
        raise InputError(f"`precision: int8` needs an extra ({error}): {needed}, or {remedy}") from None
    except RuntimeError as error:
        said = brief(" ".join(str(error).split()), 200)
        raise InputError(f"OpenVINO cannot compute the network ({said}): {remedy}") from error
