"""Fine-tuning: weights of one network in another one, and channels that the first layer did not know."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from rasterloom.errors import InputError
from rasterloom.learning.networks import build
from rasterloom.learning.networks.layers import initialise
from rasterloom.learning.transfer import channel_counts, read_weights, sources, transfer
from rasterloom.store.digest import digest

MODEL = {"kind": "unet", "width": 3, "depth": 1, "convs_per_block": 1}
RGB_P = [("rgb", 3), ("p", 1)]


def network_of(channels: int, seed: int, outputs: int = 1, **changes: Any) -> torch.nn.Module:
    network = build({**MODEL, **changes}, channels, outputs).eval()
    initialise(network, seed)
    return network


def weights_of(network: torch.nn.Module, prefix: str = "network.") -> dict[str, Any]:
    return {f"{prefix}{name}": value.numpy().copy() for name, value in network.state_dict().items()}


def said(network: torch.nn.Module, images: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return network(images)


def test_channel_counts_follow_from_the_planes() -> None:
    assert channel_counts(np.array([1, 1, 1, 0, 2, 2])) == [3, 1, 2]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (RGB_P, [0, 1, 2, 3]),
        ([("p", 1), ("rgb", 3)], [1, 2, 3, 0]),
        ([("m", 8), ("p", 1)], [None, None, None, 8]),
        ([("rgb", 4), ("p", 1)], [None, None, None, 4]),  # not the same bands
        ([], [None] * 4),
    ],
)
def test_sources_are_found_by_name_and_number_of_channels(given: list[Any], expected: list[Any]) -> None:
    assert sources(RGB_P, given) == expected


@pytest.mark.parametrize("prefix", ["network.", ""])
def test_network_of_the_same_channels_becomes_the_other_one(prefix: str) -> None:
    given, own, images = network_of(4, 1), network_of(4, 2), torch.randn(1, 4, 6, 6)
    transfer(own, weights_of(given, prefix), RGB_P, [], "a.safetensors")
    assert torch.equal(said(own, images), said(given, images))


def test_channels_in_another_order_are_found() -> None:
    given, own, images = network_of(4, 1), network_of(4, 2), torch.randn(1, 4, 6, 6)
    transfer(own, weights_of(given), [("p", 1), ("rgb", 3)], RGB_P, "a.safetensors")
    assert torch.allclose(said(own, images[:, [3, 0, 1, 2]]), said(given, images), atol=1e-6)


def test_channels_that_are_left_are_shared_out_among_the_new_ones() -> None:
    """What all channels show alike is answered as before."""
    given, own = network_of(12, 1), network_of(6, 2)
    transfer(own, weights_of(given), [("rgb", 3), ("s", 2), ("p", 1)], [("m", 8), *RGB_P], "a.safetensors")
    one = torch.randn(1, 1, 6, 6)
    assert torch.allclose(said(own, one.expand(1, 6, 6, 6)), said(given, one.expand(1, 12, 6, 6)), atol=1e-5)
    first = own.state_dict()["down.0.0.weight"], given.state_dict()["down.0.0.weight"]
    assert torch.equal(first[0][:, [0, 1, 2, 5]], first[1][:, 8:12])
    assert torch.allclose(first[0][:, 3], first[1][:, :8].sum(1) / 2)


def test_new_channels_beside_all_old_ones_begin_without_a_say() -> None:
    given, own, images = network_of(4, 1), network_of(6, 2), torch.randn(1, 6, 6, 6)
    transfer(own, weights_of(given), [*RGB_P, ("s", 2)], RGB_P, "a.safetensors")
    assert torch.allclose(said(own, images), said(given, images[:, :4]), atol=1e-6)


def test_other_channels_without_names_share_all() -> None:
    given, own, one = network_of(3, 1), network_of(4, 2), torch.randn(1, 1, 6, 6)
    transfer(own, weights_of(given), RGB_P, [], "a.safetensors")
    assert torch.allclose(said(own, one.expand(1, 4, 6, 6)), said(given, one.expand(1, 3, 6, 6)), atol=1e-5)


def test_head_for_other_outputs_stays_as_it_was_drawn() -> None:
    given, own = network_of(4, 1), network_of(4, 2, outputs=3)
    head = own.state_dict()["head.weight"].clone()
    transfer(own, weights_of(given), RGB_P, RGB_P, "a.safetensors")
    assert torch.equal(own.state_dict()["head.weight"], head)
    assert torch.equal(own.state_dict()["bottom.0.weight"], given.state_dict()["bottom.0.weight"])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"depth": 2}, "down.1.0.weight is missing"),
        ({"width": 4}, r"down.0.0.weight has the shape \(3, 4, 3, 3\), \(4, 4, 3, 3\) is needed"),
        ({"kind": "reseg", "units": 2}, "columns.0.recurrence.weight_ih_l0 is missing"),
    ],
)
def test_weights_of_another_network_are_refused(changes: dict[str, Any], says: str) -> None:
    own = network_of(4, 2, **changes)
    with pytest.raises(InputError, match=says) as error:
        transfer(own, weights_of(network_of(4, 1)), RGB_P, RGB_P, "a.safetensors")
    assert str(error.value).startswith("`init`: the weights of a.safetensors are those of another network")


def test_read_weights_reads_any_safetensors(tmp_path: Path) -> None:
    path = tmp_path / "plain.safetensors"
    save_file({"a": np.arange(3.0)}, path)
    tensors, recipe = read_weights(path, digest(path.read_bytes()))
    assert (list(tensors), recipe) == (["a"], {})


def test_read_weights_refuses_a_file_that_changed_or_is_none(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    with pytest.raises(InputError, match=r"weights.safetensors cannot be read .*No such file"):
        read_weights(path, "")
    path.write_bytes(b"no weights at all")
    with pytest.raises(InputError, match="changed while the workflow ran"):
        read_weights(path, digest(b"others"))
    with pytest.raises(InputError, match="a safetensors file is needed"):
        read_weights(path, digest(path.read_bytes()))
