"""Confidence: what raises and lowers it, and which estimates are refused."""

from dataclasses import replace

import pytest

from common import says
from rasterloom.registration.confidence import ACCEPTED, WEIGHTS, Evidence, confidence, refusal

GOOD = Evidence(height=0.6, second=0.1, apart=0.05, inconsistent=0.01, clearest=6.0)


@pytest.mark.parametrize("method", sorted(WEIGHTS))
def test_confidence_of_good_and_bad_evidence(method: str) -> None:
    assert confidence(method, GOOD) > 0.95
    assert confidence(method, Evidence(0.055, 0.05, 6.0, 3.0, 1.1)) < 0.2
    assert confidence(method, replace(GOOD, height=0.0, second=0.0)) == 0.0


@pytest.mark.parametrize("method", sorted(WEIGHTS))
@pytest.mark.parametrize("worse", [{"second": 0.4}, {"height": 0.2}, {"apart": 1.0}])
def test_confidence_falls_with_worse_evidence(method: str, worse: dict[str, float]) -> None:
    assert confidence(method, replace(GOOD, **worse)) < confidence(method, GOOD)


def test_confidence_falls_where_forward_and_backward_differ() -> None:
    assert confidence("regression", replace(GOOD, inconsistent=1.0)) < confidence("regression", GOOD)
    assert confidence("regression", replace(GOOD, inconsistent=None)) < confidence("regression", GOOD)


def test_confidence_of_a_peak_with_a_rival_is_0() -> None:
    assert all(confidence(method, replace(GOOD, second=GOOD.height)) == 0.0 for method in WEIGHTS)


def test_confidence_stays_within_its_bounds() -> None:
    extremes = [
        Evidence(1.0, -1.0, 0.0, 0.0, 10.0),
        Evidence(1e-9, 1.0, 1e9, 1e9, 0.0),
        Evidence(1.0, 0.0, 0.0, None, 10.0),
        Evidence(-1.0, -2.0, 0.0, 0.0, 0.0),
    ]
    for method in WEIGHTS:
        assert all(0 <= confidence(method, evidence) <= 1 for evidence in extremes)


def test_refusal() -> None:
    assert refusal(ACCEPTED, GOOD, (3.0, -60.0), 60.0) is None
    assert says(refusal(0.5, GOOD, (3.0, 4.0), 60.0) or "", f"confidence ... 0.50 ... {ACCEPTED:g}")
    assert says(refusal(1.0, GOOD, (3.0, -70.25), 60.0) or "", "shift ... 3.0, -70.2 ... max_shift 60")
    apart = refusal(1.0, replace(GOOD, inconsistent=1.25), (3.0, 4.0), 60.0)
    assert says(apart or "", "forward and backward ... 1.2 pixels ... 1 is allowed")
    chance = refusal(1.0, replace(GOOD, clearest=1.16), (3.0, 4.0), 60.0)
    assert says(chance or "", "peak ... 1.16 ... 1.25 is needed")


def test_clearness() -> None:
    assert GOOD.clearness == pytest.approx(6)
    assert replace(GOOD, second=-0.2).clearness == replace(GOOD, second=1e-9).clearness == pytest.approx(10)
    assert replace(GOOD, height=0.0).clearness == replace(GOOD, height=-0.1).clearness == 0.0
