"""Predicting in integers by OpenVINO: near to float32, any batch, ranges from the same windows, no GPU."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

from rasterloom.config.model import Prediction, on_cores
from rasterloom.errors import InputError

torch = pytest.importorskip("torch")

from rasterloom.learning.inference import mean_forward  # noqa: E402
from rasterloom.learning.networks import build  # noqa: E402
from rasterloom.learning.networks.layers import folded  # noqa: E402
from rasterloom.learning.openvino_engine import CALIBRATED, compiled, converted  # noqa: E402

SIDE = 32


def prediction(precision: str, **changes: Any) -> Prediction:
    table = {"window": SIDE, "stride": 16, "symmetries": False, "threads": 1, "precision": precision, **changes}
    return Prediction.model_validate(table)


@pytest.fixture(scope="module")
def network() -> Any:
    torch.manual_seed(3)
    return folded(build({"kind": "unet", "width": 8, "depth": 2, "convs_per_block": 1}, 3).eval())


def images(count: int) -> Any:
    return np.random.default_rng(5).standard_normal((count, 3, SIDE, SIDE)).astype(np.float32)


def engine(network: Any, *batches: Any) -> Any:
    pytest.importorskip("openvino", reason="OpenVINO is not installed (extra openvino)")
    return compiled(converted(network, 3, SIDE), batches, 1)


def probabilities(network: Any, given: Any) -> Any:
    return mean_forward([network], prediction("int8"), "cpu")(given)


def test_near_to_float32(network: Any) -> None:
    given = images(5)
    away = 255 * np.abs(probabilities(engine(network, images(8)), given) - probabilities(network, given))
    assert 0 < away.max() <= 30 and away.mean() <= 3


def test_without_windows_nothing_is_quantised(network: Any) -> None:
    given = images(5)
    away = 255 * np.abs(probabilities(engine(network), given) - probabilities(network, given))
    assert away.max() <= 3 and away.mean() <= 0.4


def test_any_batch_gives_the_same(network: Any) -> None:
    given, used = images(5), engine(network, images(8))
    apart = np.concatenate([probabilities(used, part) for part in (given[:1], given[1:3], given[3:])])
    np.testing.assert_allclose(probabilities(used, given), apart, atol=1 / 255)


def test_ranges_come_from_the_first_windows(network: Any) -> None:
    given, more = images(4), images(CALIBRATED)
    one = engine(network, more)
    two = engine(network, more[:10], more[10:], 100 * more)
    assert torch.equal(one(torch.from_numpy(given)), two(torch.from_numpy(given)))


def test_without_the_extra(network: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(
        InputError, match=r"needs an extra .*pip install 'rasterloom\[openvino\]', or set `precision: bf"
    ):
        converted(network, 3, SIDE)


def test_a_network_that_cannot_be_converted() -> None:
    pytest.importorskip("openvino", reason="OpenVINO is not installed (extra openvino)")

    class Odd(torch.nn.Module):
        def forward(self, given: Any) -> Any:
            return given if float(given.sum()) > 0 else -given

    with pytest.raises(InputError, match=r"OpenVINO cannot compute the network .*set `precision: bfloat16`"):
        converted(Odd().eval(), 3, SIDE)


def test_integers_stay_on_the_cores() -> None:
    assert [on_cores({"precision": name}) for name in ("bfloat16", "float32", "int8")] == [False, False, True]
