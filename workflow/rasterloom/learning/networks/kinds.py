"""The kinds of networks, and what builds each from its table, a number of channels and a number of outputs.

This module imports torch; import it only where a network has to run.
"""

from collections.abc import Callable, Mapping
from typing import Any

from rasterloom.learning.networks.fcn8 import FCN8
from rasterloom.learning.networks.foreign import module_network, smp_network
from rasterloom.learning.networks.layers import Segmenter
from rasterloom.learning.networks.reseg import ReSeg
from rasterloom.learning.networks.tiramisu import Tiramisu
from rasterloom.learning.networks.unet import UNet

KINDS: Mapping[str, Callable[[Any, int, int], Segmenter]] = {
    "unet": UNet,
    "fcn8": FCN8,
    "tiramisu": Tiramisu,
    "reseg": ReSeg,
    "smp": smp_network,
    "module": module_network,
}
