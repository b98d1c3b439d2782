"""Places of sensors on a reference: known shifts and turns, helpers, doubt, and what is said of them."""

from typing import Any

import numpy as np
import pytest
from arrays import ArraySource, resample

from grounds import ground, moved
from rasterloom.dataset.contest_ids import SENSORS
from rasterloom.raster.georeference import stretched
from rasterloom.raster.grid import IDENTITY, Matrix, compose, invert
from rasterloom.registration import search as module
from rasterloom.registration.comparison import Floats, comparison_grid
from rasterloom.registration.confidence import ACCEPTED
from rasterloom.registration.motions import farthest, pixel_sides, rotation, translation
from rasterloom.registration.refinement import FREE, Compared, Fit, NotRefined
from rasterloom.registration.search import Attempt, Placed, band_label, given, locate
from rasterloom.tools.scenes.model import Scene
from rasterloom.tools.scenes.sensing import generate_scene

AUTO: dict[str, Any] = {"registration": "auto", "motion": "translation", "max_shift": 60.0}


def place(scene: Scene, names: list[str], **changes: Any) -> dict[str, Placed]:
    """Places of some sensors of a scene; a change replaces a sensor's source or options."""
    images = {name: scene.sensors[name] for name in ("rgb", *names)}
    sources = {k: ArraySource(v if v.ndim == 3 else v[None]) for k, v in images.items()} | changes.get("sources", {})
    by_size = {k: stretched(scene.size, (s.shape[2], s.shape[1])) for k, s in sources.items() if k != "rgb"}
    nominal = {name: square(name) for name in by_size}
    options = {name: {**AUTO, **changes.get(name, {})} for name in sources}
    return locate("rgb", sources, nominal, scene.size, options, by_size)


def square(name: str, pixel: float = 1.0) -> Matrix:
    """The place of a contest's sensor by the size of its pixels, or of pixels so many times as large."""
    side = 1 / (SENSORS[name].pixel * pixel)
    return [[side, 0.0, 0.0], [0.0, side, 0.0]]


def error(placed: Placed, scene: Scene, name: str) -> float:
    return float(np.hypot(*np.subtract(placed.shift, scene.shifts[name])))


@pytest.fixture(scope="module")
def scene() -> Scene:
    return generate_scene("6120_2_2", 3, (512, 500))


def test_locate_a_generated_scene(scene: Scene) -> None:
    found = place(scene, ["p", "m", "a"])
    assert found["rgb"] == Placed(IDENTITY, (0.0, 0.0), 1.0, "identity")
    for name, limit in (("p", 0.1), ("m", 0.2), ("a", 4.0)):
        placed = found[name]
        assert error(placed, scene, name) < limit, name
        assert placed.accepted and placed.confidence >= ACCEPTED and placed.method == "ecc" and placed.fallback is None
        assert placed.consistency is not None and placed.consistency < limit
        assert placed.matrix == compose(square(name), translation(placed.shift)) and placed.scale == "files"
        assert placed.error is not None and max(placed.error) < limit
        assert [attempt.method for attempt in placed.attempts] == ["ecc", "regression"]
    assert found["a"].against is not None and found["a"].against.startswith("m")
    assert found["a"].attempts[1].against == "rgb+m"


@pytest.mark.parametrize("name", ["m", "a"])
def test_inverted_contrast_and_a_quarter_without_data(scene: Scene, name: str) -> None:
    image = scene.sensors[name].max() - scene.sensors[name]
    valid = np.ones(image.shape[1:], np.bool_)
    valid[: image.shape[1] // 2, : image.shape[2] // 2] = False
    found = place(scene, [name], sources={name: ArraySource(np.where(valid, image, 0), valid)})[name]
    assert error(found, scene, name) < {"m": 0.2, "a": 6.0}[name]
    assert found.accepted


def test_other_ground_is_not_accepted(scene: Scene) -> None:
    other = generate_scene("6040_2_2", 4, (512, 500))
    for name in ("p", "m", "a"):
        image = other.sensors[name] if other.sensors[name].ndim == 3 else other.sensors[name][None]
        found = place(scene, [], sources={name: ArraySource(image)})[name]
        assert not found.accepted and found.method == "nominal" and found.shift == (0.0, 0.0)
        assert found.fallback is not None and "its confidence is" in found.fallback
        assert found.confidence < ACCEPTED and all(attempt.refused for attempt in found.attempts)


def test_a_place_that_was_not_accepted_helps_nobody(scene: Scene) -> None:
    other = generate_scene("6040_2_2", 4, (512, 500)).sensors["m"]
    found = place(scene, ["a"], sources={"m": ArraySource(other)})
    assert not found["m"].accepted
    assert found["a"].accepted and found["a"].attempts[1].against == "rgb"


def test_a_shift_beyond_the_bound_is_not_used(scene: Scene) -> None:
    assert np.abs(scene.shifts["a"]).max() > 5
    found = place(scene, ["a"], a={"max_shift": 2.0})["a"]
    assert not found.accepted and found.shift == (0.0, 0.0)


def test_ecc_that_fails_leaves_the_peak_to_decide(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> Matrix:
        raise NotRefined("ECC did not converge (why)")

    monkeypatch.setattr(module, "refined", fails)
    found = place(scene, ["m"])["m"]
    assert [attempt.method for attempt in found.attempts] == ["ecc", "phase", "regression"]
    assert found.method in {"phase", "regression"} and error(found, scene, "m") < 0.4
    assert found.fallback is not None and found.fallback.startswith("ecc: ECC did not converge (why)")
    assert found.fallback.endswith(f"{found.method} is used")


def test_ecc_that_runs_away_is_not_believed(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(shown: Compared, start: Matrix, kind: str = "translation") -> Fit:
        number = 2 + len(FREE[kind])
        return Fit(
            translation((80.0, 0.0)), shown.ones.shape[1:], kind, np.zeros(number), np.eye(number), np.eye(number)
        )

    monkeypatch.setattr(module, "refined", away)
    found = place(scene, ["m"])["m"]
    assert found.method != "ecc" and error(found, scene, "m") < 0.4
    assert "reference pixels from the correlation's peak" in str(found.attempts[0].refused)


@pytest.mark.parametrize("angle", [0.4, -1.3, 2.6])
def test_euclidean(scene: Scene, angle: float) -> None:
    """The sensor turned about its middle: the corners come out within a fifth of its pixel."""
    image = scene.sensors["m"]
    height, width = image.shape[1:]
    turn = rotation(angle, (width, height))
    turned, valid = resample(image, turn, (height, width))
    found = place(scene, [], m={"motion": "euclidean"}, sources={"m": ArraySource(turned, valid > 0)})["m"]
    nominal = square("m")
    true = compose(invert(turn), compose(nominal, translation(scene.shifts["m"])))
    assert found.accepted and found.method == "ecc"
    assert farthest(compose(invert(nominal), found.matrix), compose(invert(nominal), true), scene.size) < 0.8
    plain = place(scene, [], sources={"m": ArraySource(turned, valid > 0)})["m"]
    assert np.array(plain.matrix)[0, 1] == 0.0


@pytest.mark.parametrize("flat", [True, False])
def test_images_without_edges_or_data(flat: bool) -> None:
    one = ground(side=128)[None]
    other = ArraySource(np.full((1, 64, 64), 7, np.uint16), None if flat else np.zeros((64, 64), np.bool_))
    nominal = {"x": stretched((128, 128), (64, 64))}
    found = locate("r", {"r": ArraySource(one), "x": other}, nominal, (128, 128), {"x": AUTO})["x"]
    assert (found.accepted, found.confidence, found.matrix) == (False, 0.0, nominal["x"])


def test_given_places_and_none() -> None:
    nominal = [[0.25, 0.0, 0.0], [0.0, 0.5, 0.0]]
    assert given("none", nominal, (100, 80)) == Placed(nominal, (0.0, 0.0), 1.0, "none")
    shift = given({"shift": [4.0, -2.0]}, nominal, (100, 80))
    assert (shift.matrix, shift.method) == ([[0.25, 0.0, 1.0], [0.0, 0.5, -1.0]], "given")
    same = given({"matrix": shift.matrix}, nominal, (100, 80))
    assert (same.matrix, same.shift) == (shift.matrix, (4.0, -2.0))
    assert compose(nominal, translation((4.0, -2.0))) == shift.matrix


def test_grids_that_differ_start_from_the_georeference() -> None:
    """A sensor that shows the middle of the reference alone, at half the resolution, off by 5.4 and -3.2 pixels."""
    one: Floats = ground(side=400)
    start = compose([[0.5, 0.0, -50.0], [0.0, 0.5, -40.0]], translation((5.4, -3.2)))
    sensor, _ = resample(moved(one, 0, 0)[None], invert(start), (110, 100))
    nominal = [[0.5, 0.0, -50.0], [0.0, 0.5, -40.0]]
    found = locate(
        "r", {"r": ArraySource(one[None]), "x": ArraySource(sensor)}, {"x": nominal}, (400, 400), {"x": AUTO}
    )
    np.testing.assert_allclose(found["x"].shift, (5.4, -3.2), atol=0.15)
    assert found["x"].accepted


def test_band_label() -> None:
    assert (band_label(0, 1), band_label(0, 3), band_label(3, 3)) == ("", "[1]", " mean")


def test_attempts_say_what_they_rest_on(scene: Scene) -> None:
    attempt = place(scene, ["m"])["m"].attempts[0]
    assert isinstance(attempt, Attempt)
    evidence = attempt.evidence
    assert evidence.height > evidence.second > 0 and evidence.clearest >= evidence.clearness > 1
    assert 0 <= evidence.apart < 0.2 and evidence.inconsistent is not None and evidence.inconsistent < 0.2


def test_one_band_against_one_says_nothing_both_ways(scene: Scene) -> None:
    """A fit of one band to one is the same forward and backward: that must not count as consistency."""
    lead, image = scene.sensors["rgb"][:1], scene.sensors["m"][4:5]
    nominal = {"m": square("m")}
    sources = {"rgb": ArraySource(lead), "m": ArraySource(image)}
    found = locate("rgb", sources, nominal, scene.size, {"m": AUTO})["m"]
    assert found.attempts[1].evidence.inconsistent is None and found.attempts[1].consistency is None
    assert found.accepted and error(found, scene, "m") < 0.3


def test_a_large_scene_is_refined_in_a_window(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """With grids of an eighth of the scene at most, as a scene of 12000 pixels has them."""
    monkeypatch.setattr(module, "COARSE_SIDE", 128)
    monkeypatch.setattr(module, "FINE_SIDE", 128)
    monkeypatch.setattr(module, "CLOSER", 1e9)
    whole = place(scene, ["p"])["p"]
    monkeypatch.setattr(module, "CLOSER", 2.0)
    near = place(scene, ["p"])["p"]
    assert near.accepted and error(near, scene, "p") < 0.05 < error(whole, scene, "p")


def test_best_window_lies_where_both_show_edges() -> None:
    coarse, fine = comparison_grid((400, 300), 4.0, 1000), comparison_grid((400, 300), 1.0, 1000)
    values = np.zeros(coarse.shape, np.float32)
    values[60:70, 5:15] = 1.0
    other = values.copy()
    other[0:40, 60:] = 5.0
    valid = np.ones(coarse.shape, np.bool_)
    pair = (module.Signal("a", 0, values, valid), module.Signal("b", 0, other, valid))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "FINE_SIDE", 80)
        window = module.best_window(pair, coarse, fine)
    assert window.shape == (80, 80) and window.pixel == (1.0, 1.0)
    left, upper = window.matrix[0][2], window.matrix[1][2]
    assert 0 <= left <= 20 and left + 80 >= 60 and upper <= 240 and upper + 80 >= 280 and upper + 80 <= 300
    assert module.best_window(pair, coarse, fine) == fine


@pytest.fixture(scope="module")
def wide() -> Scene:
    """A scene wide enough that a wrong size of A's pixels is seen."""
    return generate_scene("6120_2_2", 3, (1024, 1000))


def away(found: Matrix, scene: Scene, name: str) -> float:
    """How far a place is off in the worst corner, reference pixels."""
    true = compose(square(name), translation(scene.shifts[name]))
    return farthest(compose(invert(square(name)), found), compose(invert(square(name)), true), scene.size)


@pytest.mark.parametrize("name", ["m", "a"])
def test_a_size_that_is_a_pixel_more_or_less_bends_nothing(wide: Scene, name: str) -> None:
    """The image without its last row and with its last column twice: the pixels are as large as before."""
    image = np.concatenate([wide.sensors[name], wide.sensors[name][..., -1:]], axis=2)[:, :-1]
    found = place(wide, ["m"] if name == "a" else [], sources={name: ArraySource(image)})[name]
    assert found.accepted and found.scale == "files"
    assert away(found.matrix, wide, name) < {"m": 0.2, "a": 2.5}[name]


@pytest.mark.parametrize("motion", ["translation", "euclidean"])
def test_images_that_were_resized_are_stretched(wide: Scene, motion: str) -> None:
    """What M shows of the reference's ground resampled to a pixel more along one axis, one less along the other."""
    size = (wide.size[0] // 4 + 1, wide.size[1] // 4 - 1)
    by_size = stretched(wide.size, size)
    resized, valid = resample(wide.sensors["m"], compose(square("m"), invert(by_size)), size[::-1])
    found = place(wide, [], m={"motion": motion}, sources={"m": ArraySource(resized, valid > 0)})["m"]
    true = compose(by_size, translation(wide.shifts["m"]))
    assert found.accepted and found.scale == "stretched"
    assert farthest(compose(invert(square("m")), found.matrix), compose(invert(square("m")), true), wide.size) < 0.5


def test_pixels_that_neither_the_files_nor_the_sizes_explain(wide: Scene) -> None:
    """M's pixels a 200th larger than said, in an image of whatever size: the size of pixels is estimated."""
    sources = {"rgb": ArraySource(wide.sensors["rgb"]), "m": ArraySource(wide.sensors["m"])}
    other = {"m": stretched(wide.size, (wide.size[0] // 4 + 1, wide.size[1] // 4 + 1))}
    found = locate("rgb", sources, {"m": square("m", 1.005)}, wide.size, {"m": AUTO}, other)["m"]
    assert found.accepted and found.scale == "free"
    assert away(found.matrix, wide, "m") < 0.3
    np.testing.assert_allclose(pixel_sides(found.matrix), 4, atol=2e-3)
    files = locate("rgb", sources, {"m": square("m", 1.005)}, wide.size, {"m": AUTO})["m"]
    assert files.scale == "files" and pixel_sides(files.matrix) == [4.02, 4.02]


@pytest.mark.parametrize("motion", ["scale", "affine"])
def test_scale_and_affine_are_estimated_whatever_the_files_say(wide: Scene, motion: str) -> None:
    sources = {"rgb": ArraySource(wide.sensors["rgb"]), "m": ArraySource(wide.sensors["m"])}
    options = {"m": {**AUTO, "motion": motion}}
    found = locate("rgb", sources, {"m": square("m", 1.004)}, wide.size, options)["m"]
    assert found.accepted and away(found.matrix, wide, "m") < 0.3


def test_pixel_sides() -> None:
    assert pixel_sides(square("a")) == [25.0, 25.0]
    assert pixel_sides(compose([[0.5, 0.0, 3.0], [0.0, 0.25, 0.0]], rotation(90, (10, 10)))) == [2.0, 4.0]


def test_bands_that_lie_apart(wide: Scene) -> None:
    """Two bands of M lie half of its pixel lower and a quarter to the left: two reference pixels, and one."""
    image = wide.sensors["m"].copy()
    lower, _ = resample(image[:2], translation((0.25, -0.5)), image.shape[1:])
    image[:2] = np.rint(lower)
    found = place(wide, [], m={"alignment": "apart"}, sources={"m": ArraySource(image)})["m"]
    assert found.accepted and len(found.apart) == 8
    apart = np.array(found.apart)
    np.testing.assert_allclose(apart[:2].mean(axis=0) - apart[2:].mean(axis=0), (-1.0, 2.0), atol=0.3)
    together = place(wide, [], sources={"m": ArraySource(image)})["m"]
    assert together.apart == () and together.matrix == found.matrix


def test_bands_that_lie_together_stay_so(wide: Scene) -> None:
    found = place(wide, ["m"], a={"alignment": "apart"}, sources={"a": ArraySource(wide.sensors["a"])})["a"]
    assert found.accepted and np.abs(np.array(found.apart)).max(initial=0) < 3
