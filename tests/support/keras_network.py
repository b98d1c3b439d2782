"""A network in Keras on the torch backend, as docs/networks.md shows it."""

from __future__ import annotations

import os

os.environ["KERAS_BACKEND"] = "torch"  # before Keras is imported

import keras
from torch import Tensor, nn


class FromKeras(nn.Module):
    """A Keras model whose channels come last, as one of torch, whose channels come first."""

    def __init__(self, model: keras.Model) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        return self.model(images.permute(0, 2, 3, 1), training=self.training).permute(0, 3, 1, 2)


def build(channels: int, width: int = 16, outputs: int = 1) -> nn.Module:
    """A small encoder and decoder; needs multiples of 2.

    Every layer has a name: Keras would number them on from model to model, and a checkpoint knows its weights by name.
    """
    layers = keras.layers
    images = keras.Input((None, None, channels))
    fine = layers.Conv2D(width, 3, padding="same", activation="relu", name="fine")(images)
    coarse = layers.Conv2D(width, 3, padding="same", name="coarse")(layers.MaxPooling2D(name="pooled")(fine))
    coarse = layers.ReLU(name="relu")(layers.BatchNormalization(name="norm")(coarse))
    both = layers.Concatenate(name="both")([fine, layers.UpSampling2D(name="stretched")(coarse)])
    return FromKeras(keras.Model(images, layers.Conv2D(outputs, 1, name="head")(both), name="network"))
