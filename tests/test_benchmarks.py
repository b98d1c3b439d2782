"""What the benchmarks measure with: cases whose truth is known, and the way their errors are counted."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from rasterloom.grid import compose
from rasterloom.resample import resample

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))

from registration_cases import VARIANTS, Case, corner, generated_cases, true_shifts


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Case]:
    """One generated scene of 256 pixels in all variants."""
    folder = tmp_path_factory.mktemp("cases")
    return {case.variant: case for case in generated_cases(sizes=[256], scenes=1, cache=folder)}


def test_true_shifts_spread_over_their_ranges() -> None:
    drawn = [true_shifts(seed, "6040_2_2", 1024) for seed in range(300)]
    for name, low, high in (("p", 0.0, 2.0), ("m", 0.0, 12.0)):
        length = np.hypot(*np.array([shifts[name] for shifts in drawn]).T)
        assert length.min() >= low and length.max() <= high + 1e-3
        assert np.quantile(length, 0.5) == pytest.approx(high / 2, rel=0.15)
    a = np.array([shifts["a"] for shifts in drawn])
    assert a.min() >= -51 and a.max() <= 16
    np.testing.assert_allclose(np.quantile(a, [0.25, 0.75], axis=0), [[-34.25] * 2, [-0.75] * 2], atol=7)


@pytest.mark.parametrize("angle", [0.0, 0.7, 2.0, 4.6])
@pytest.mark.parametrize("shape", [(40, 60), (13, 10)])
def test_corner_is_a_quarter_in_its_direction(shape: tuple[int, int], angle: float) -> None:
    found = corner(shape, angle)
    assert found.mean() == pytest.approx(0.25, abs=1.5 / min(shape))
    y, x = np.nonzero(found)
    assert np.cos(angle) * (x.mean() / shape[1] - 0.5) + np.sin(angle) * (y.mean() / shape[0] - 0.5) > 0.2


def test_generated_cases_state_where_each_sensor_lies(cases: dict[str, Case]) -> None:
    """Brought to the reference by the truth, P and M correlate with it; by the nominal place they do less."""
    case = cases["clean"]
    assert list(case.sensors) == ["rgb", "p", "m", "a"] and list(cases) == list(VARIANTS)
    grey = case.sensors["rgb"].bands.mean(0)
    inner = (slice(16, -16), slice(16, -16))
    for name in ("p", "m"):
        sensor = case.sensors[name]
        there = compose(sensor.nominal, [[1.0, 0.0, sensor.shift[0]], [0.0, 1.0, sensor.shift[1]]])
        kept = []
        for matrix in (there, sensor.nominal):
            seen = resample(sensor.bands, matrix, grey.shape)[0].mean(0)
            kept.append(np.corrcoef(seen[inner].ravel(), grey[inner].ravel())[0, 1])
        assert kept[0] > 0.75 and kept[0] > kept[1], name


def test_generated_cases_come_from_the_cache_unchanged(
    tmp_path: Path, cases: dict[str, Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = next(generated_cases(sizes=[256], scenes=1, variants=["clean"], cache=tmp_path))
    monkeypatch.setattr("registration_cases.generate_scene", None)
    second = next(generated_cases(sizes=[256], scenes=1, variants=["clean"], cache=tmp_path))
    for name, sensor in second.sensors.items():
        np.testing.assert_array_equal(sensor.bands, first.sensors[name].bands)
        np.testing.assert_array_equal(sensor.bands, cases["clean"].sensors[name].bands)
        assert sensor.shift == first.sensors[name].shift and sensor.nominal == first.sensors[name].nominal


@pytest.mark.parametrize("variant", ["empty", "both empty"])
def test_variant_empty_takes_a_quarter(cases: dict[str, Case], variant: str) -> None:
    for name, sensor in cases[variant].sensors.items():
        if name == "rgb" and variant == "empty":
            assert sensor.valid is None
            continue
        assert sensor.valid is not None and sensor.valid.mean() == pytest.approx(0.75, abs=0.06), name
        assert (sensor.bands[:, ~sensor.valid] == 0).all()
        np.testing.assert_array_equal(
            sensor.bands[:, sensor.valid], cases["clean"].sensors[name].bands[:, sensor.valid]
        )


def test_variant_inverted_spares_the_reference(cases: dict[str, Case]) -> None:
    for name, sensor in cases["inverted"].sensors.items():
        clean = cases["clean"].sensors[name].bands
        turned = np.corrcoef(sensor.bands[0].ravel(), clean[0].ravel())[0, 1]
        assert turned == pytest.approx(1.0 if name == "rgb" else -1.0)


def test_variants_noisy_and_saturated(cases: dict[str, Case]) -> None:
    for name, sensor in cases["clean"].sensors.items():
        noisy, clipped = (cases[v].sensors[name].bands for v in ("noisy", "saturated"))
        added = noisy[0].astype(float) - sensor.bands[0]
        assert added.std() == pytest.approx(0.5 * sensor.bands[0].std(), rel=0.2)
        assert (clipped[0] == clipped[0].max()).mean() >= 0.2 and (clipped <= sensor.bands).all()


def test_variant_field_is_another_ground(cases: dict[str, Case]) -> None:
    field, clean = cases["field"].sensors, cases["clean"].sensors
    assert field["rgb"].bands.shape == clean["rgb"].bands.shape and field["a"].shift == clean["a"].shift
    assert (field["rgb"].bands != clean["rgb"].bands).mean() > 0.5
