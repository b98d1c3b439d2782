"""Networks that are not ours: those of segmentation_models.pytorch, and what a user's function returns.

This module imports torch; import it only where a network has to run.
"""

import importlib
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from torch import Tensor, nn

from rasterloom.config.networks import ModuleConfig, SMPConfig
from rasterloom.errors import InputError
from rasterloom.learning.networks.layers import Segmenter, seeded
from rasterloom.text import brief


class Foreign(Segmenter):
    """A network of somebody else's: padded and cropped as ours are, and watched for what it gives.

    Parameters
    ----------
    network : (N, C, H, W) images, whose height and width are multiples, to (N, outputs, H, W) logits.
    name : what it is called in messages.
    multiple, outputs : see `Segmenter`.
    """

    begins_itself = True

    def __init__(self, network: nn.Module, name: str, multiple: int, outputs: int) -> None:
        super().__init__(multiple)
        self.network = network
        self.name = name
        self.outputs = outputs

    def logits(self, images: Tensor) -> Tensor:
        """See `Segmenter`; InputError if the network fails or gives anything else."""
        with _explained(self.name):
            logits = self.network(images)
        shape, wanted = getattr(logits, "shape", None), (len(images), self.outputs, *images.shape[2:])
        if not isinstance(logits, Tensor) or shape != wanted:
            given = type(logits).__name__ if shape is None else f"logits of {tuple(shape)}"
            raise InputError(f"{self.name} gives {given} for images of {tuple(images.shape)}; {wanted} is needed")
        return logits


def smp_network(table: SMPConfig, channels: int, outputs: int) -> Foreign:
    """A network of segmentation_models.pytorch with random weights; nothing is downloaded."""
    try:
        import segmentation_models_pytorch as smp
    except ImportError as error:
        raise InputError(f"kind smp needs an extra ({error}): pip install 'rasterloom[smp]'") from None
    name = f"{table.architecture} with encoder {table.encoder} of segmentation_models.pytorch"
    with _explained(name):
        network = smp.create_model(
            table.architecture, table.encoder, encoder_weights=None, in_channels=channels, classes=outputs
        )
    return Foreign(network, name, table.deepest, outputs)


def module_network(table: ModuleConfig, channels: int, outputs: int) -> Foreign:
    """What a user's function returns; modules are also looked for in the folder that the workflow runs in."""
    module, _, function = table.factory.partition(":")
    several = {"outputs": outputs} if outputs > 1 else {}
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        with _explained(table.factory):
            with seeded(0):  # else the first weights would depend on what was imported before
                loaded = importlib.import_module(module)
            network = getattr(loaded, function)(channels, **table.options, **several)
    finally:
        sys.path.remove(here)
    if not isinstance(network, nn.Module):
        raise InputError(f"{table.factory} returns {type(network).__name__}; a torch.nn.Module is needed")
    return Foreign(network, table.factory, table.multiple, outputs)


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """InputError, in one line, for what goes wrong in code that is not ours: what, and in which line of which file."""
    try:
        yield
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        said = brief(" ".join(str(error).split()), 300)
        raise InputError(
            f"{name} fails: {type(error).__name__}: {said} ({Path(last.filename).name}, line {last.lineno})"
        ) from error
