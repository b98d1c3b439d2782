"""The kinds of networks: every one of the configuration can be built, learns, and is what is said of it."""

from __future__ import annotations

import importlib.util
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import torch

from common import ROOT
from network_table import DOCUMENT, document
from rasterloom.config.model import MODELS, TrainingConfig, is_network, model_table
from rasterloom.config.networks import NetworkConfig
from rasterloom.errors import InputError
from rasterloom.learning.inference import load_network
from rasterloom.learning.networks import build, parameters
from rasterloom.learning.networks.foreign import Foreign
from rasterloom.learning.networks.kinds import KINDS
from rasterloom.learning.networks.layers import folded, initialise, normalisation, seeded
from rasterloom.learning.pixel_models import PIXEL_MODELS
from rasterloom.learning.training import Trainer
from rasterloom.learning.windows import reflected
from small_training import TRAINING

Table = dict[str, Any]

OWN: list[Table] = [
    {"kind": "unet", "width": 4, "depth": 2, "convs_per_block": 1},
    {"kind": "unet", "width": 3, "depth": 3, "convs_per_block": 2, "widths": "doubling", "norm": "group"},
    {"kind": "fcn8", "width": 2, "convs_per_block": 1},
    {"kind": "fcn8", "width": 4, "convs_per_block": 1, "norm": "group"},
    {"kind": "tiramisu", "width": 5, "growth": 2, "depth": 2, "convs_per_block": 2},
    {"kind": "tiramisu", "width": 4, "growth": 3, "depth": 1, "convs_per_block": 3, "norm": "group"},
    {"kind": "reseg", "width": 3, "units": 2, "depth": 1, "convs_per_block": 1, "sweeps": 2},
    {"kind": "reseg", "width": 4, "units": 3, "depth": 2, "convs_per_block": 2, "sweeps": 1, "norm": "group"},
]
USERS: Table = {"kind": "module", "factory": "user_network:build", "options": {"width": 3}, "multiple": 2}
OPTIONAL = {
    "keras": [{"kind": "module", "factory": "keras_network:build", "multiple": 2}],
    "segmentation_models_pytorch": [
        {"kind": "smp", "encoder": "resnet18"},
        {"kind": "smp", "architecture": "FPN", "encoder": "mobilenet_v2"},
        {"kind": "smp", "architecture": "PAN", "encoder": "resnet18"},
    ],
}
"""Networks of libraries that extras install."""


def case(model: Table, library: str = "torch") -> Any:
    missing = importlib.util.find_spec(library) is None
    name = "-".join(str(value) for value in model.values())
    return pytest.param(model, marks=pytest.mark.skipif(missing, reason=f"needs {library}"), id=name)


OTHERS = [case(USERS), *(case(model, library) for library, models in OPTIONAL.items() for model in models)]

each_own = pytest.mark.parametrize("model", [case(model) for model in OWN])
each_network = pytest.mark.parametrize("model", [*(case(model) for model in OWN), *OTHERS])


def first(model: Table, channels: int, seed: int, outputs: int = 1) -> torch.nn.Module:
    with seeded(seed):
        network = build(model, channels, outputs)
    initialise(network, seed)
    return network


def test_every_kind_of_the_configuration_is_registered() -> None:
    networks = {kind for kind, table in MODELS.items() if issubclass(table, NetworkConfig)}
    assert networks == KINDS.keys() == {kind for kind in MODELS if is_network({"kind": kind})}
    assert MODELS.keys() - networks == PIXEL_MODELS.keys()
    tested = [*OWN, USERS, *OPTIONAL["segmentation_models_pytorch"]]
    assert {model["kind"] for model in tested} == networks, "add a small one above"


@each_network
@pytest.mark.parametrize(("shape", "outputs"), [((1, 1), 1), ((5, 3), 1), ((33, 40), 3), ((64, 32), 1)])
def test_network_gives_logits_for_each_pixel_of_any_size(model: Table, shape: tuple[int, int], outputs: int) -> None:
    network = build(model, 3, outputs).eval()
    with torch.inference_mode():
        assert network(torch.randn(2, 3, *shape)).shape == (2, outputs, *shape)


@each_network
@pytest.mark.parametrize("channels", [1, 4])
def test_parameters_are_those_that_torch_counts(model: Table, channels: int) -> None:
    built = build(model, channels)
    assert parameters(model, channels) == sum(p.numel() for p in built.parameters() if p.requires_grad)


@each_network
def test_every_parameter_has_a_gradient(model: Table) -> None:
    network = first(model, 3, 1).train()
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    target = (images[:, :1] > 0).float()
    torch.nn.functional.binary_cross_entropy_with_logits(network(images), target).backward()
    dead = [n for n, p in network.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
    assert dead == []


@each_network
def test_network_computes_in_bfloat16(model: Table) -> None:
    network = first(model, 3, 1).eval()
    images = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        sure = network(images)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            coarse = network(images).float()
    assert (sure - coarse).abs().max() < 0.1 * max(1.0, float(sure.abs().max()))


@each_network
def test_folded_network_is_the_same_function(model: Table) -> None:
    network = first(model, 3, 1)
    for _ in range(3):
        network(torch.randn(2, 3, 64, 64))  # moves the running statistics
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        sure = network.eval()(images)
        less = folded(network)
        assert torch.allclose(less(images), sure, atol=1e-4, rtol=1e-4)
        assert torch.equal(network(images), sure), "the network itself stays as it is"


def test_folding_leaves_no_batch_normalisation_of_a_unet() -> None:
    network = folded(first({"kind": "unet", "width": 4, "depth": 2, "convs_per_block": 3}, 3, 1).eval())
    assert not any(isinstance(layer, torch.nn.BatchNorm2d) for layer in network.modules())


@each_network
def test_network_that_is_saved_and_loaded_predicts_the_same(model: Table) -> None:
    network = first(model, 3, 1)
    network(torch.randn(2, 3, 64, 64))  # moves the running statistics
    arrays = {f"network.{name}": value.numpy() for name, value in network.state_dict().items()}
    again = load_network(model, {**arrays, "normalisation.mean": np.zeros(3, np.float32)}, "cpu")
    images = torch.randn(1, 3, 40, 33)
    with torch.inference_mode():
        assert torch.allclose(network.eval()(images), again(images), atol=1e-5)  # which is laid out otherwise


@each_network
def test_first_weights_follow_from_the_seed_alone(model: Table) -> None:
    found = []
    for seed, noise in ((5, 1), (5, 2), (6, 3)):
        torch.manual_seed(noise)
        found.append(torch.cat([p.detach().flatten() for p in first(model, 2, seed).parameters()]))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


@pytest.mark.parametrize("model", [case(OWN[-1]), *OTHERS])
def test_training_goes_on_after_an_interruption_as_if_there_was_none(model: Table) -> None:
    """Dropout of networks that are not ours included."""
    recipe = TrainingConfig.model_validate({**TRAINING, "steps": 3, "patch": 64, "precision": "float32"})
    images = torch.randn(2, 3, 64, 64)
    batch = images, (images[:, 0] > 0).float(), torch.ones(2, 64, 64)
    whole, begun = (Trainer(recipe, model, 3, "cpu") for _ in range(2))
    for _ in range(3):
        whole.advance(*batch)
    begun.advance(*batch)
    torch.rand(7)
    resumed = Trainer(recipe, model, 3, "cpu")
    resumed.restore(begun.state())
    for _ in range(2):
        resumed.advance(*batch)
    assert all(np.array_equal(value, resumed.weights()[name]) for name, value in whole.weights().items())


@pytest.mark.parametrize("model", [*(case(model) for model in OWN), *OTHERS[1:]])
@pytest.mark.parametrize("times", [1, 2])
def test_patch_that_cannot_be_learned_alone_is_known(model: Table, times: int) -> None:
    """Torch refuses it: so that the configuration can say it before."""
    table = model_table(model)
    assert isinstance(table, NetworkConfig)
    side = times * table.deepest
    fails = pytest.raises((ValueError, InputError), match="more than 1 value") if table.lonely(side) else nullcontext()
    with fails:
        build(model, 3).train()(torch.randn(1, 3, side, side))


def test_padding_is_by_reflection() -> None:
    network = build(OWN[0], 2).eval()
    image = torch.randn(1, 2, 6, 7)
    rows, columns = (reflected(np.arange(8), length) for length in (6, 7))
    with torch.inference_mode():
        expected = network(image[:, :, rows][:, :, :, columns])[..., :6, :7]
        assert torch.equal(network(image), expected)


@pytest.mark.parametrize(("width", "groups"), [(1, 1), (7, 1), (8, 1), (16, 2), (60, 6), (64, 8)])
def test_groups_of_maps_have_eight_at_least(width: int, groups: int) -> None:
    found = normalisation("group", width)
    assert isinstance(found, torch.nn.GroupNorm)
    assert found.num_groups == groups


@pytest.mark.slow
def test_table_in_the_docs_is_that_of_the_networks() -> None:
    """Remedy: python tests/support/network_table.py --write."""
    text = DOCUMENT.read_text(encoding="utf-8")
    assert document(text) == text


def test_example_in_the_docs_is_the_one_that_is_tested() -> None:
    code = (ROOT / "tests/support/keras_network.py").read_text(encoding="utf-8")
    assert code.split("annotations\n\n", 1)[1] in DOCUMENT.read_text(encoding="utf-8")


def test_networks_of_others_keep_their_first_weights() -> None:
    with seeded(3):
        network = build(USERS, 3)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    initialise(network, 9)
    assert isinstance(network, Foreign)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
