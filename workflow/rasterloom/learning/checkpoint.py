"""Checkpoints: the tensors of a trained model, and the recipe that it was made with."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rasterloom.errors import StoreError
from rasterloom.store.digest import array_digest, canonical

Arrays = dict[str, NDArray[Any]]


def save_checkpoint(path: Path, tensors: Arrays, recipe: Mapping[str, Any]) -> str:
    """Write a checkpoint.

    Parameters
    ----------
    path : the file.
    tensors : weights (``network.*``, ``forest.*`` or ``linear.*``), ``normalisation.mean`` and ``.sd``, learning curve
        (``history.*``, ``watch.*``).
    recipe : model, sensors, reference and training, kept as metadata.

    Returns
    -------
    Content digest, over names, shapes, dtypes and values of the tensors; but for ``watch.*``, which validation scenes
    decide and no prediction reads.
    """
    from safetensors.numpy import save

    ordered = {name: np.ascontiguousarray(tensors[name]).reshape(tensors[name].shape) for name in sorted(tensors)}
    path.write_bytes(save(ordered, metadata={"recipe": canonical(recipe)}))
    return checkpoint_digest(ordered)


def checkpoint_digest(tensors: Arrays) -> str:
    """The content digest of the tensors of a checkpoint, as `save_checkpoint` gives it."""
    return array_digest({name: value for name, value in tensors.items() if not name.startswith("watch.")})


def load_checkpoint(path: Path, prefix: str = "") -> tuple[Arrays, dict[str, Any]]:
    """Tensors, those whose names begin with a prefix, and recipe of a checkpoint.

    Raises
    ------
    StoreError
        If the file is no checkpoint; names it and the remedy.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            recipe = json.loads((file.metadata() or {})["recipe"])
            names = [name for name in file.keys() if name.startswith(prefix)]  # noqa: SIM118
            return {name: file.get_tensor(name) for name in names}, recipe
    except (SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise StoreError(
            f"{path} is not a checkpoint ({error}): run `rasterloom verify --mend` and then the workflow again"
        ) from None
