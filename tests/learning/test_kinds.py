"""What is particular about each kind of network."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional

from rasterloom.errors import InputError
from rasterloom.learning.networks import build, parameters
from rasterloom.learning.networks.fcn8 import stretched
from rasterloom.learning.networks.layers import initialise, seeded

USERS = {"kind": "module", "factory": "user_network:build", "multiple": 2}


@pytest.mark.parametrize("factor", [2, 8])
def test_stretched_is_bilinear_interpolation(factor: int) -> None:
    maps = torch.randn(2, 3, 4, 7)
    expected = functional.interpolate(maps, scale_factor=factor, mode="bilinear", align_corners=False)
    assert torch.allclose(stretched(maps, factor), expected, atol=1e-5)


def test_fcn8_adds_up_three_levels() -> None:
    network: Any = build({"kind": "fcn8", "width": 2, "convs_per_block": 1}, 1).eval()
    initialise(network, 1)
    images = torch.randn(1, 1, 64, 64)
    with torch.inference_mode():
        whole = network(images)
        for score in network.scores:
            score.weight.zero_()
            assert not torch.allclose(network(images), whole)
            whole = network(images)
        seen: list[torch.Tensor] = []
        network.head.register_forward_hook(lambda layer, given, logits: seen.append(logits))
        assert torch.equal(network(images), stretched(stretched(stretched(seen[0], 2), 2), 8))


def test_tiramisu_has_the_size_of_fc_densenet56() -> None:
    """1.5 million in the article, whose convolutions have biases."""
    assert parameters({"kind": "tiramisu"}, 3) == pytest.approx(1.4e6, rel=0.05)


def test_tiramisu_layers_see_all_maps_before_them() -> None:
    network: Any = build({"kind": "tiramisu", "width": 5, "growth": 2, "depth": 1, "convs_per_block": 3}, 1)
    assert [layer[-1].in_channels for layer in network.down[0].layers] == [5, 7, 9]
    assert network.head.in_channels == 5 + 6 + 2 * 6  # the skip, what is upsampled, what is new


@pytest.mark.parametrize(("kind", "far"), [("reseg", True), ("unet", False)])
def test_reseg_knows_of_the_whole_image_everywhere(kind: str, far: bool) -> None:
    sizes = {"units": 4} if kind == "reseg" else {}
    network = build({"kind": kind, "width": 4, "depth": 1, "convs_per_block": 1, **sizes}, 1).eval()
    initialise(network, 1)
    images = torch.zeros(1, 1, 32, 32)
    other = images.clone()
    other[..., 0, 0] = 100.0
    with torch.inference_mode():
        assert bool((network(other) != network(images))[..., -1, -1]) == far


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"factory": "user_network:missing"}, ["user_network:missing fails", "AttributeError", "missing"]),
        ({"factory": "no_such_module:build"}, ["no_such_module:build fails", "ModuleNotFoundError"]),
        ({"options": {"depth": 3}}, ["user_network:build fails", "TypeError", "'depth'"]),
        ({"factory": "user_network:number"}, ["user_network:number returns int", "torch.nn.Module is needed"]),
        ({"factory": "user_network:narrow"}, ["gives logits of (1, 1, 14, 14)", "(1, 1, 16, 16) is needed"]),
        ({"factory": "user_network:sizeless"}, ["user_network:sizeless fails", "RuntimeError", "channels"]),
        ({"multiple": 1}, ["user_network:build gives logits of (1, 1, 14, 14)", "(1, 1, 15, 15)"]),
    ],
)
def test_mistakes_in_a_network_of_ones_own_are_told_in_one_line(changes: dict[str, Any], says: list[str]) -> None:
    side = 15 if changes == {"multiple": 1} else 16
    with pytest.raises(InputError) as error:
        build({**USERS, **changes}, 3)(torch.zeros(1, 3, side, side))
    assert "\n" not in str(error.value)
    assert [words for words in says if words not in str(error.value)] == []


def test_import_of_a_network_of_ones_own_changes_no_first_weight(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "drawing_network.py").write_text(
        "import random, torch\n"
        "random.random(), torch.rand(1)\n"
        "def build(channels):\n"
        "    network = torch.nn.Conv2d(channels, 1, 1)\n"
        "    torch.nn.init.constant_(network.bias, random.random())\n"
        "    return network\n"
    )
    built = []
    for _ in range(2):
        with seeded(3):
            built.append(build({"kind": "module", "factory": "drawing_network:build"}, 2).state_dict())
    assert all(torch.equal(value, built[1][name]) for name, value in built[0].items())


def test_network_of_an_extra_that_is_not_there_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "segmentation_models_pytorch", None)
    with pytest.raises(InputError, match=r"pip install 'rasterloom\[smp\]'"):
        build({"kind": "smp"}, 3)


def test_encoder_that_is_not_there_is_told_in_one_line() -> None:
    pytest.importorskip("segmentation_models_pytorch")
    with pytest.raises(InputError, match="resnet35") as error:
        build({"kind": "smp", "encoder": "resnet35"}, 3)
    assert "\n" not in str(error.value)
