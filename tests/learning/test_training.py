"""Training a network: the schedule, the batches, the loss; reproducible and resumed weights."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rasterloom.errors import LabelError
from rasterloom.learning import training
from rasterloom.learning.batches import Batch, make_batch, require_positive
from rasterloom.learning.curves import jaccard, learning_curve
from rasterloom.learning.device import computing
from rasterloom.learning.state import read_state, write_state
from rasterloom.learning.training import Trainer
from rasterloom.store.digest import array_digest
from small_training import MODEL, SCENES, memory_scene, recipe, trained

# Pure functions ---------------------------------------------------------------------------------------------


def test_learning_rate_is_one_cycle() -> None:
    rates = [training.learning_rate(step, 100, 2.0) for step in range(100)]
    assert rates[0] == pytest.approx(2.0 / 25)
    assert max(rates) == rates[20] == 2.0
    assert rates[-1] == pytest.approx(2e-3)
    assert rates[:21] == sorted(rates[:21])
    assert rates[20:] == sorted(rates[20:], reverse=True)


@pytest.mark.parametrize("steps", [1, 2, 3, 7])
def test_learning_rate_of_short_trainings(steps: int) -> None:
    assert all(0 < training.learning_rate(step, steps, 1.0) <= 1.0 for step in range(steps))


def test_jaccard_pools_pixels() -> None:
    assert jaccard(np.array([[0.0, 1, 1, 0], [0.0, 5, 1, 2]])) == 0.6
    assert jaccard(np.zeros((2, 4))) == 1.0


@pytest.mark.parametrize(("steps", "points"), [(1, 1), (7, 7), (1000, 400)])
def test_learning_curve(steps: int, points: int) -> None:
    curve = learning_curve(np.ones((steps, 4), np.float32))
    assert [len(value) for value in curve.values()] == [points] * 3
    assert curve["history.step"][-1] == steps
    assert (curve["history.iou"] == np.float32(1 / 3)).all()


def test_make_batch_masks_invalid_reference_and_zeroes_invalid_sensors() -> None:
    still = recipe(batch=4, patch=40, augment={"flips": False, "rotation": False, "colour": 0.5})
    batch = make_batch(SCENES, still, 0)
    assert batch.images.shape == (4, 4, 40, 40)
    assert {str(a.dtype) for a in (batch.images, batch.target, batch.weight)} == {"float32"}
    assert batch.weight.sum() == 4 * 40 * 36  # columns beyond the scene have no weight
    assert set(np.unique(batch.target)) == {0.0, 1.0}
    assert (batch.images[:, 1:3, :3, 2:6] == 0).all()  # plane 1 is invalid in its corner
    assert (batch.images[:, 3, -5:] == 0).all()
    assert (batch.images[:, 0, :, 2:38] != 0).mean() > 0.99


def test_make_batch_draws_the_same_numbers_for_ever() -> None:
    """What was drawn before there were zoom, contrast and dropout; they are off."""
    batch = make_batch(SCENES, recipe(), 3)
    sums = [batch.images.sum(dtype=float), np.abs(batch.images).sum(dtype=float), batch.target.sum()]
    np.testing.assert_allclose(sums, [1171.97052, 2130.32223, 207.64313], rtol=1e-5)


def test_make_batch_leaves_out_sensors_and_channels() -> None:
    augment = {"colour": 0.5, "rotation": False, "sensor_dropout": 1.0}
    batch = make_batch(SCENES, recipe(batch=8, patch=16, augment=augment), 0)
    dark = (batch.images == 0).all(axis=(2, 3))
    assert np.array_equal(dark[:, 1], dark[:, 2])  # one sensor
    assert (dark.sum(axis=1) == np.where(dark[:, 1], 2, 1)).all() and not dark[:, 0].any()
    assert dark[:, 1].any() and dark[:, 3].any()
    assert batch.weight.any(axis=(1, 2)).all()


def test_make_batch_is_a_function_of_the_step() -> None:
    one, again, other = (make_batch(SCENES, recipe(), step) for step in (3, 3, 4))
    assert np.array_equal(one.images, again.images)
    assert not np.array_equal(one.images, other.images)


# The loop ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["bfloat16", "float32"])
def test_train_equal_inputs_equal_weights(precision: str) -> None:
    one, again, other = (
        trained(recipe(precision=precision, seed=seed), workers=workers) for seed, workers in ((1, 1), (1, 3), (2, 1))
    )
    assert array_digest(one) == array_digest(again)
    assert array_digest(one) != array_digest(other)


@pytest.mark.parametrize("precision", ["bfloat16", "float32"])
def test_train_resumed_equals_uninterrupted(precision: str, tmp_path: Path) -> None:
    states: list[dict[str, NDArray[Any]]] = []
    whole = trained(recipe(precision=precision), save=states.append, save_seconds=0.0)
    assert [len(state["history"]) for state in states] == list(range(1, 8))
    for state in (states[0], states[4]):
        write_state(tmp_path / "s.safetensors", state)
        read = read_state(tmp_path / "s.safetensors")
        assert array_digest(trained(recipe(precision=precision), read)) == array_digest(whole)


def test_train_learns() -> None:
    history = trained(recipe(steps=60, batch=4, precision="float32", soft_jaccard=0.0))["history"]
    assert history[-10:, 0].mean() < 0.5 * history[:5, 0].mean()
    assert jaccard(history[-10:]) > 0.6
    assert jaccard(trained(recipe(steps=60, batch=4, precision="float32"))["history"][-10:]) > 0.6


def test_train_ignores_invalid_ground() -> None:
    """What lies where the reference is invalid changes no weight."""
    digests = set()
    for value in (0.0, 1.0):

        def batch_of(step: int, value: float = value) -> Batch:
            batch = make_batch(SCENES, recipe(), step)
            batch.weight[:, :5] = 0.0
            batch.target[:, :5] = value
            return batch

        with computing(1):
            trainer = Trainer(recipe(steps=2), MODEL, 4, "cpu")
            training.train(trainer, batch_of)
        digests.add(array_digest(trainer.weights()))
    assert len(digests) == 1


def test_train_reports_progress() -> None:
    seen: list[tuple[int, str]] = []
    trained(recipe(steps=45), report=lambda *told: seen.append(told))
    assert [step for step, _ in seen] == [20, 40, 45]
    words = r"loss \d\.\d{4} Jaccard \d\.\d{3} validation \S+ rate \S+ \d+ ms/step network (\d+)% .+ left"
    assert all((found := re.fullmatch(words, text)) and int(found[1]) <= 100 for _, text in seen)


@pytest.mark.parametrize("idle", [True, False])
def test_waiting_for_a_batch_counts_only_if_the_device_is_idle(idle: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU that is behind computes while the loop waits."""
    monkeypatch.setattr(Trainer, "idle", idle)
    clock = iter(range(10_000))
    monkeypatch.setattr(training.time, "monotonic", lambda: float(next(clock)))
    busy = training.train(Trainer(recipe(steps=5), MODEL, 4, "cpu"), lambda step: make_batch(SCENES, recipe(), step))
    assert (busy < 1) == idle


def test_require_positive_names_class_scenes_and_remedy() -> None:
    empty = [memory_scene(name, 0, covered=False) for name in ("s1", "s2")]
    with pytest.raises(LabelError, match=r"lakes: none of the 2 training scenes \(s1, s2\).*scale s.*Label it there"):
        require_positive(empty, ["lakes"], "s")
    require_positive([*empty, SCENES[0]], ["lakes"], "s")


def test_start_has_the_last_word_on_the_first_weights() -> None:
    import torch

    trainer = Trainer(recipe(), MODEL, 4, "cpu", start=lambda network: network.head.bias.data.fill_(-2.5))
    assert list(trainer.network.parameters())[-1].tolist() == [-2.5]
    plain = Trainer(recipe(), MODEL, 4, "cpu")
    images = torch.randn(1, 4, 16, 16)
    assert torch.allclose(trainer.network(images), plain.network(images) - 2.5, atol=1e-5)


# What a step minimises --------------------------------------------------------------------------------------


def test_soft_jaccard_of_hard_labels_is_that_of_products() -> None:
    import torch

    from rasterloom.learning.loss import loss_of

    draw = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 8, 8, generator=draw)
    target, weight = ((torch.rand(2, 8, 8, generator=draw) > 0.3).float() for _ in range(2))
    p = logits.sigmoid()
    both, all_of_them = (p * target * weight).sum(), ((p + target - p * target) * weight).sum()
    assert loss_of(logits, target, weight, 1.0).item() == pytest.approx(1 - ((both + 1) / (all_of_them + 1)).item())
    half = (loss_of(logits, target, weight) + loss_of(logits, target, weight, 1.0)) / 2
    assert loss_of(logits, target, weight, 0.5).item() == pytest.approx(half.item())


def test_soft_jaccard_is_best_at_the_coverage_of_a_pixel() -> None:
    import torch

    from rasterloom.learning.loss import loss_of

    target, weight = torch.full((1, 4, 4), 0.3), torch.ones(1, 4, 4)
    losses = [loss_of(torch.full((1, 4, 4), p).logit(), target, weight, 1.0).item() for p in (0.1, 0.3, 0.5, 0.9)]
    assert losses[1] == min(losses) == pytest.approx(0.0, abs=1e-6)


def test_soft_jaccard_without_the_class_and_without_ground_is_finite() -> None:
    import torch

    from rasterloom.learning.loss import loss_of

    logits, none = torch.zeros(1, 4, 4, requires_grad=True), torch.zeros(1, 4, 4)
    loss_of(logits, none, none + 1, 1.0).backward()
    assert logits.grad is not None and (logits.grad > 0).all()  # it is to say less
    assert loss_of(logits, none, none, 0.5).item() == 0.0


def test_gradient_clip_shortens_a_step() -> None:
    """A norm that no gradient reaches changes no bit; a small one changes the weights."""
    free, wide, narrow = (trained(recipe(steps=2, gradient_clip=norm)) for norm in (None, 1e6, 1e-3))
    assert array_digest(free) == array_digest(wide) != array_digest(narrow)
