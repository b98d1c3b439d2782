"""What the benchmarks measure with: cases whose truth is known, how errors are counted, what runs differ in."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import graph
import numpy as np
import pytest
from ablation import cell, overlay, read_scores, table
from arrays import resample
from ratios import TABLE, record
from registration_cases import VARIANTS, Case, Sensor, corner, generated_cases, true_shifts
from registration_figures import Row, figures, rows_of, targets
from registration_methods import IDENTITY, METHODS, Found, missing, translation
from registration_pairs import PAIRS, Pair, drawn_move, fourier_shifted, moved

from rasterloom.config import read_config_files
from rasterloom.planning.graph import Dag
from rasterloom.planning.rates import known_rates
from rasterloom.planning.settle import Settled
from rasterloom.raster.grid import compose
from rasterloom.store.store import Store


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


def waves(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A smooth ground."""
    return np.sin(0.08 * x + 0.05 * y) + np.cos(0.05 * x - 0.09 * y)


def waves_image(pixels: int, ratio: int) -> np.ndarray:
    """Its values at the centres of pixels `ratio` fine pixels wide: (1, pixels, pixels) float32."""
    y, x = (np.mgrid[:pixels, :pixels] + 0.5) * ratio
    return waves(x, y)[None].astype(np.float32)


@pytest.mark.parametrize("number", [0, 1, 2, 3])
def test_moved_pair_lies_where_it_says(number: int) -> None:
    """The sensor shows at nominal(x + shift) what the reference shows at x, for whole and fractional moves."""
    pair = Pair("waves", {"fine": (), "coarse": ()}, {"fine": 1, "coarse": 6}, None)
    case = moved(pair, {"fine": waves_image(300, 1), "coarse": waves_image(50, 6)}, number, seed=1)
    sensor = case.sensors["coarse"]
    assert case.extent == (252, 252) and sensor.bands.shape == (1, 42, 42) and sensor.pixel == 6
    assert (sensor.shift == (0, 0)) == (number == 0) and np.hypot(*sensor.shift) <= 12
    assert all(value == round(value) for value in sensor.shift) == (number % 2 == 0)
    inner = (slice(24, -24), slice(24, -24))

    def apart(dx: float, dy: float) -> float:
        there = [[1.0, 0.0, sensor.shift[0] + dx], [0.0, 1.0, sensor.shift[1] + dy]]
        seen, valid = resample(sensor.bands, compose(sensor.nominal, there), (252, 252))
        assert (valid[inner] == 255).all()
        return float(np.abs(seen[0][inner] - case.sensors["fine"].bands[0][inner]).mean())

    assert apart(0, 0) < 0.03
    assert apart(0, 0) < min(apart(dx, dy) for dx, dy in ((0.25, 0), (-0.25, 0), (0, 0.25), (0, -0.25)))


def test_moves_of_real_pairs_stay_within_reach_and_differ() -> None:
    for pair in PAIRS:
        names = [name for name, ratio in pair.ratios.items() if ratio > 1]
        drawn = [drawn_move(pair, number, 1) for number in range(1, 13)]
        shifts = [move.shift(name, pair.ratios[name]) for move in drawn for name in names]
        assert max(np.hypot(*shift) for shift in shifts) <= 12.5 and len(set(shifts)) > len(shifts) / 2
        assert all(max(map(abs, move.whole)) <= 12 for move in drawn)


def test_fourier_shifted_moves_the_content_and_spares_no_data() -> None:
    image = waves_image(80, 1)
    valid = np.ones((80, 80), np.bool_)
    valid[:20, :20] = False
    found, usable = fourier_shifted(np.where(valid, image, 0), valid, (0.4, -0.3))
    y, x = np.mgrid[:80, :80] + 0.5
    inner = np.zeros((80, 80), np.bool_)
    inner[8:-8, 8:-8] = True
    assert usable is not None and not usable[:23, :20].any() and usable[30:, 30:].all()
    np.testing.assert_allclose(found[0][usable & inner], waves(x - 0.4, y + 0.3)[usable & inner], atol=0.03)


def small_case(variant: str = "clean", size: int = 1024) -> Case:
    """A reference of 100 x 100 pixels and a sensor of 4 times as large ones, shifted by (3, 4)."""
    lead = Sensor(np.zeros((1, 100, 100)), None, IDENTITY, (0.0, 0.0), 0.0)
    other = Sensor(np.zeros((1, 25, 25)), None, [[0.25, 0.0, 0.0], [0.0, 0.25, 0.0]], (3.0, 4.0), 20.0)
    return Case("s", size, variant, "rgb", {"rgb": lead, "m": other})


def test_rows_of_measures_the_distance_from_the_truth() -> None:
    found = {"m": Found(translation(3.0, 4.5), True)}
    (row,) = rows_of(small_case(), "ecc", found, 2.0)
    assert (row.error, row.pixel, row.failed, row.seconds) == (pytest.approx(0.5), 4.0, False, 2.0)
    (row,) = rows_of(small_case(), "ecc", {"m": Found(IDENTITY, False)}, 2.0)
    assert row.error == pytest.approx(5.0) and row.failed and not row.accepted
    turned = [[np.cos(0.1), -np.sin(0.1), 3.0], [np.sin(0.1), np.cos(0.1), 4.0]]
    (row,) = rows_of(small_case(), "ecc", {"m": Found(turned, True)}, 2.0)
    assert row.error > 4


def test_rows_of_real_pairs_measure_the_move_alone() -> None:
    found, unmoved = {"m": Found(translation(3.7, 4.0), True)}, {"m": Found(translation(0.7, 0.1), True)}
    (row,) = rows_of(small_case("moved"), "ecc", found, 1.0, unmoved)
    assert row.group == "real" and row.error == pytest.approx(0.1)


def row(method: str, sensor: str, error: float, accepted: bool = True, seconds: float = 1.0) -> Row:
    return Row("generated, 1024 pixels and more", "s", 1024, "clean", sensor, method, 4.0, error, accepted, seconds)


def test_figures_count_failures_and_those_accepted() -> None:
    found = list(figures([row("ecc", "m", 2.0), row("ecc", "m", 6.0), row("ecc", "m", 8.0, accepted=False)]))
    assert found == ["6.000", "7.800", "8.000", "1.500", "1.950", "2.000", "2", "1", "67%"]


def test_targets_say_what_is_met() -> None:
    own = [row("rasterloom", "m", 0.05), row("rasterloom", "m", 0.1)]
    others = [row("ecc", "m", 9.0), row("simpleitk", "m", 0.0, seconds=6.0), row("simpleitk", "m", 0.0, seconds=6.0)]
    found = {text.split(":")[0].split(" (")[0]: met for met, text in targets([*own, *others])}
    assert found["m"] and found["accepted, but off by more than a pixel of its own sensor"]
    assert found["6.0 times as fast as simpleitk"]
    texts = [(met, text) for met, text in targets([*own, *others]) if text.startswith("failures")]
    assert texts == [(True, "failures: 0 of 2, ecc 1"), (False, "failures: 0 of 2, simpleitk 0")]
    missed = {text.split(":")[0]: met for met, text in targets([row("rasterloom", "m", 5.0)])}
    assert missed == {"m": False, "accepted, but off by more than a pixel of its own sensor": False}


@pytest.mark.parametrize("method", METHODS)
def test_methods_agree_on_the_sign_of_a_shift(cases: dict[str, Case], method: str) -> None:
    """Panchromatic against RGB, easy for all: every method's motion means what `Sensor.shift` means."""
    if package := missing(method):
        pytest.skip(f"{package} is not installed, which benchmarks/registration.py compares with")
    case = cases["clean"]
    found = METHODS[method][1](case)["p"]
    assert found.accepted and np.hypot(*case.sensors["p"].shift) > 0.8
    np.testing.assert_allclose(np.array(found.motion)[:, 2], case.sensors["p"].shift, atol=0.5)


@pytest.mark.slow
def test_gpu_benchmark_runs_dry_and_its_rates_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import gpu

    sizes = ["--width", "2", "--patch", "64", "--batch", "2", "--threads", "1"]
    monkeypatch.setattr(
        sys, "argv", ["gpu.py", "--device", "cpu", "--seconds", "0.01", "--store", str(tmp_path), *sizes]
    )
    gpu.main()
    printed = capsys.readouterr().out
    assert printed.count("bare step") == 4 and "share of the time in which the network computed" in printed
    (kinds,) = known_rates(Store(tmp_path)).values()
    assert {(work, precision) for work, precision, _ in kinds} == {("training", "bfloat16"), ("prediction", "bfloat16")}


def test_ablation_overlay_turns_off_all_but_the_reference() -> None:
    sensors = {"rgb": {"reference": True}, "p": {"bands": 1}, "m": {}}
    assert "sensors" not in overlay(2, True, sensors)
    off = overlay(2, False, sensors)
    assert off["sensors"] == {"p": {"registration": "none"}, "m": {"registration": "none"}}
    assert off["results"] != overlay(2, True, sensors)["results"] and off["dataset"]["root"] == "data/2"


def test_ablation_table_shows_both_and_the_range(tmp_path: Path) -> None:
    text = "part\tclass\tscene\tjaccard\nheld-out\troad\tx\t0.9\nheld-out\troad\tall\t{}\nheld-out\tmean\tall\t\n"
    scores = {}
    for key, value in {(1, True): 0.5, (1, False): 0.4, (2, True): 0.7, (2, False): 0.4}.items():
        (tmp_path / "score.tsv").write_text(text.format(value))
        scores[key] = read_scores(tmp_path / "score.tsv")
    head, _, road, mean = table(scores, "held-out")
    assert head == "| class | seed 1 | seed 2 | mean | difference, range |"
    assert road == (
        "| road | 0.500 / 0.400 (+0.100) | 0.700 / 0.400 (+0.300) | 0.600 / 0.400 (+0.200) | +0.200, +0.100 to +0.300 |"
    )
    assert mean == "| mean | - / - | - / - |  |  |"
    assert cell(0.5, None) == "0.500 / -"


def test_graph_of_nobodys_results_is_a_finished_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph, "LABELLED", 3)
    graph.write_data(tmp_path, 4)
    jobs = graph.write_results(tmp_path)

    def settled() -> Settled:
        with contextlib.chdir(tmp_path):
            dag = Dag.load(read_config_files([Path("config.yaml")]))
            return Settled(dag, Store.of(dag.results), looks=True, writes=False)

    assert len(settled().fresh) == len(settled().outputs) == jobs
    graph.touch(tmp_path, 4)
    touched = settled()
    assert touched.jobs > 0 and touched.fresh == touched.outputs
    graph.write_config(tmp_path, 0.75)
    graph.write_results(tmp_path)
    graph.write_config(tmp_path)
    restored = settled()
    assert {path.split("/")[0] for path in restored.outputs - restored.fresh} == {
        *("wkt.csv", "wkt", "submission.csv", "score.tsv", "vectors", "summary.tsv", "report"),
    }


def test_ratios_are_told_only_to_who_listens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "ratios.tsv"
    record("one", "other", 2.0)
    monkeypatch.setenv(TABLE, str(table))
    record("outlines", "rasterio", 1.5)
    record("training", "bare steps", 0.954)
    assert table.read_text() == "outlines\trasterio\t1.50\ntraining\tbare steps\t0.95\n"
