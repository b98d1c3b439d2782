"""Fine-tuning: a network that begins with the weights of another one, its first layer adapted to other channels."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import accumulate, groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rasterloom.config.model import CONTENT
from rasterloom.errors import InputError
from rasterloom.learning.checkpoint import Arrays, load_checkpoint
from rasterloom.store.digest import digest
from rasterloom.store.job import Job

if TYPE_CHECKING:
    from torch import nn

Start = Callable[["nn.Module"], None]
"""Gives a network its first weights."""

Channels = Sequence[tuple[str, int]]
"""Sensors in the order of the channels, each with the number of its channels."""


def channel_counts(planes: Iterable[int]) -> list[int]:
    """How many channels each sensor has, from the plane of validity of each channel."""
    return [len(list(same)) for _, same in groupby(planes)]


def read_weights(path: Path, expected: str) -> tuple[Arrays, dict[str, Any]]:
    """Tensors and recipe of a user's safetensors file, be it a checkpoint of ours or any other; its digest is known.

    Raises
    ------
    InputError
        If the file is not there, is not the one that the recipe was made with, or cannot be read.
    """
    from safetensors import SafetensorError, safe_open

    try:
        if digest(path.read_bytes()) != expected:
            raise InputError(f"`init`: {path} changed while the workflow ran: run it again")
        with safe_open(path, framework="numpy") as file:
            recipe = json.loads((file.metadata() or {}).get("recipe", "{}"))
            return {name: file.get_tensor(name) for name in file.keys()}, recipe  # noqa: SIM118
    except (SafetensorError, OSError, TypeError, json.JSONDecodeError) as error:
        raise InputError(f"`init`: {path} cannot be read ({error}): a safetensors file is needed") from None


def sources(own: Channels, given: Channels) -> list[int | None]:
    """For each of our channels the one of another network that shows the same; None where there is none.

    Examples
    --------
    >>> sources([("rgb", 3), ("p", 1)], [("p", 1), ("m", 2), ("rgb", 3)])
    [3, 4, 5, 0]
    >>> sources([("rgb", 3), ("p", 1)], [("rgb", 3), ("p", 2)])
    [0, 1, 2, None]
    """
    ends = list(accumulate(count for _, count in given))
    place = {entry: end - entry[1] for entry, end in zip(given, ends, strict=True)}
    return [place[entry] + i if entry in place else None for entry in own for i in range(entry[1])]


def transfer(network: nn.Module, weights: Arrays, own: Channels, given: Channels, origin: str) -> None:
    """Give a network the weights of another one of the same kind and size.

    A channel of the first layer that the other network knows is copied. All others share what is left of the other
    network's channels, their sum divided by how many they are, so that what all channels show alike is answered as
    before; they begin with 0 if nothing is left. A head for another number of outputs stays as it is.

    Parameters
    ----------
    network : changed in place.
    weights : tensors by name; ``network.`` before a name does not count.
    own, given : our channels, and those of the other network; empty if nothing is known of them: as many as ours are
        then taken for the same ones, and another number for others.
    origin : what the weights are called in messages.

    Raises
    ------
    InputError
        If a tensor is missing or has another shape; names the first.
    """
    import torch

    found = {_bare(name): value for name, value in weights.items()}
    state, count = network.state_dict(), sum(channels for _, channels in own)
    first = next((name for name, tensor in state.items() if tensor.dim() == 4 and tensor.shape[1] == count), "")
    wrong: list[str] = []
    for name, tensor in state.items():
        value = found.get(_bare(name))
        if value is None:
            wrong.append(f"{name} is missing")
            continue
        if name == first and (*value.shape[:1], *value.shape[2:]) == tensor[:, 0].shape:
            known = sources(own, given) if given else list(range(count)) if value.shape[1] == count else [None] * count
            value = _adapted(value, known)
        if value.shape == tensor.shape:
            tensor.copy_(torch.from_numpy(np.array(value)))
        elif not name.startswith("head.") or value.shape[1:] != tensor.shape[1:]:
            wrong.append(f"{name} has the shape {value.shape}, {tuple(tensor.shape)} is needed")
    if wrong:
        raise InputError(
            f"`init`: the weights of {origin} are those of another network: {len(wrong)} of {len(state)} tensors do "
            f"not fit ({wrong[0]}); name weights of the same kind and size"
        )


def _bare(name: str) -> str:
    return re.sub(r"^(network\.)+", "", name)


def _adapted(weight: Any, channels: Sequence[int | None]) -> Any:
    """(O, C, h, w) weights of the first layer, for each of our channels of one of theirs, or of none."""
    left = sorted(set(range(weight.shape[1])) - set(channels))
    share = weight[:, left].sum(axis=1) / max(1, sum(channel is None for channel in channels))
    return np.stack([share if channel is None else weight[:, channel] for channel in channels], axis=1)


# In a job of the stage `train` -------------------------------------------------------------------------------


def origin_manifest(spec: Mapping[str, Any]) -> str:
    """Manifest, without its ending, of the checkpoint that a training begins with: another member's, of this fold."""
    return f"models/{spec['model']['init']}/{spec['fold']}"


def _seen(spec: Mapping[str, Any]) -> list[str]:
    return [*spec["sensors"], *spec.get("stacked", ())]


def origin_key(job: Job) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a checkpoint is made of, and what its key has for `init`, if its training begins with weights of others.

    Of another member that is the content of its checkpoint, and which of its sensors each of ours is. Of a file, whose
    digest is in the recipe, it is the names of our sensors, as they are looked up in it.
    """
    spec = job.spec
    if "origin" in spec:
        shared = [spec["origin"].index(name) if name in spec["origin"] else None for name in _seen(spec)]
        return {"init": job.manifest(origin_manifest(spec)).items[spec["fold"]].digest}, {"init": shared}
    return {}, {"init": spec["sensors"]} if spec["model"].get("init") else {}


def start_of(job: Job, planes: Iterable[int]) -> Start | None:
    """What gives a network the weights that its recipe says, if it says any; `planes` are those of its channels."""
    spec, init = job.spec, job.spec["model"].get("init")
    if init is None:
        return None
    if "origin" in spec:
        item = job.manifest(origin_manifest(spec)).items[spec["fold"]]
        weights, recipe = load_checkpoint(job.store.open_path(item), "network.")
        names = spec["origin"]
    else:
        weights, recipe = read_weights(Path(init), spec["model"][CONTENT]["init"])
        names = recipe.get("sensors", [])
    own = list(zip(_seen(spec), channel_counts(planes), strict=True))
    given = list(zip(names, recipe.get("channels", []), strict=False))
    return partial(transfer, weights=weights, own=own, given=given, origin=init)
