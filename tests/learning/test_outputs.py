"""Several classes in one network: the loss, whose patches are drawn, their coverage, and what is watched."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from rasterloom.learning.augment import TrainingScene, cut
from rasterloom.learning.batches import make_batch
from rasterloom.learning.loss import loss_of
from rasterloom.learning.outputs import ONE, Outputs
from rasterloom.learning.sampling import SceneIndex, class_of, draw_batch
from rasterloom.learning.training import Trainer
from rasterloom.learning.watching import Watch
from small_training import MODEL, SCENES, memory_scene, recipe

RNG = torch.Generator().manual_seed(0)
LOGITS = torch.randn((2, 3, 4, 4), generator=RNG)
TARGET = torch.rand((2, 2, 4, 4), generator=RNG)
WEIGHT = (torch.rand((2, 4, 4), generator=RNG) > 0.3).float()


def joint_scene(name: str, seeds: tuple[int, int]) -> TrainingScene:
    """A scene in memory whose two classes are those of two scenes."""
    first, second = (memory_scene(name, seed) for seed in seeds)

    def read(y0: int, y1: int, x0: int, x1: int) -> Any:
        data, valid, coverage = first.read(y0, y1, x0, x1)
        return data, valid, np.stack([coverage, second.read(y0, y1, x0, x1)[2]])

    index = SceneIndex((first.index.positive, second.index.positive), first.index.ground)
    return TrainingScene(name, index, read, first.normalisation)


def of_class(scene: TrainingScene, number: int) -> TrainingScene:
    """A scene with one of its classes alone."""

    def read(y0: int, y1: int, x0: int, x1: int) -> Any:
        data, valid, coverage = scene.read(y0, y1, x0, x1)
        return data, valid, coverage[number]  # type: ignore[call-overload]

    return replace(scene, index=SceneIndex((scene.index.positives[number],), scene.index.ground), read=read)


JOINT = [joint_scene("a", (0, 2)), joint_scene("b", (1, 3))]


# Loss -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("soft", [0.0, 0.4])
def test_loss_of_overlapping_classes_is_the_mean_of_theirs(soft: float) -> None:
    each = [loss_of(LOGITS[:, k], TARGET[:, k], WEIGHT, soft) for k in (0, 1)]
    found = loss_of(LOGITS[:, :2], TARGET, WEIGHT, soft)
    assert found.item() == pytest.approx(sum(loss.item() for loss in each) / 2)


def test_loss_of_exclusive_classes_is_the_cross_entropy_of_shares() -> None:
    """Of coverages 0.2 and 0.3 background is the rest; 1.0 and 0.6 are too much, and are rescaled to 1."""
    target = torch.tensor([[0.2, 1.0], [0.3, 0.6]])[None, :, None]
    shares = np.array([[0.2, 1 / 1.6], [0.3, 0.6 / 1.6], [0.5, 0.0]])
    logits = LOGITS[:1, :, :1, :2]
    odds = np.exp(logits[0, :, 0].numpy().astype(np.float64))
    expected = -(shares * np.log(odds / odds.sum(axis=0))).sum(axis=0).mean()
    assert loss_of(logits, target, torch.ones((1, 1, 2)), exclusive=True).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("soft", [0.0, 1.0])
def test_loss_of_exclusive_classes_is_least_at_the_truth_and_counts_valid_pixels_alone(soft: float) -> None:
    target = TARGET / 2.5
    truth = torch.cat([target, 1 - target.sum(1, keepdim=True)], 1).log()
    best = loss_of(truth, target, WEIGHT, soft, exclusive=True)
    assert best < loss_of(truth + 0.3 * LOGITS, target, WEIGHT, soft, exclusive=True)
    assert soft == 0.0 or best.item() == pytest.approx(0, abs=1e-6)
    other = torch.where(WEIGHT[:, None] > 0, truth, truth.flip(1))
    assert loss_of(other, target, WEIGHT, soft, exclusive=True).item() == pytest.approx(best.item())


def test_probability() -> None:
    assert torch.equal(ONE.probability(LOGITS[:, :1]), LOGITS[:, 0].sigmoid())
    assert torch.equal(Outputs(3).probability(LOGITS), LOGITS.sigmoid())
    found = Outputs(2, exclusive=True).probability(LOGITS)
    assert found.shape == (2, 2, 4, 4)
    assert torch.equal(found, LOGITS.softmax(1)[:, :2])


# Patches ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fraction", [0.5, 1.0, 0.3])
def test_positive_patches_are_drawn_for_each_class_in_turn(fraction: float) -> None:
    settings = recipe(batch=3, positive_fraction=fraction, augment={"rotation": False, "flips": False})
    drawn = []
    for step in range(20):
        count = int((step + 1) * 3 * fraction) - int(step * 3 * fraction)
        for item, patch in enumerate(draw_batch([scene.index for scene in JOINT], settings, step)[:count]):
            drawn.append(class_of(step, item, settings, 2))
            assert cut(patch, JOINT[patch.scene].read, (40, 36))[2][drawn[-1]].max() == 255
    assert drawn == [i % 2 for i in range(int(60 * fraction))]


def test_a_class_is_drawn_from_the_scenes_that_show_it() -> None:
    without = replace(SCENES[0].index.positive, ends=np.zeros(40, np.int64))
    scenes = [JOINT[0].index, SceneIndex((JOINT[1].index.positives[0], without), JOINT[1].index.ground)]
    settings = recipe(batch=4, positive_fraction=1.0)
    found = [patch.scene for step in range(9) for patch in draw_batch(scenes, settings, step)]
    assert set(found[1::2]) == {0}
    assert set(found[::2]) == {0, 1}


@pytest.mark.parametrize("augment", [{"rotation": False}, {"rotation": True}, {"rotation": True, "zoom": 0.4}])
def test_both_coverages_of_a_patch_are_cut_alike(augment: dict[str, Any]) -> None:
    """The patches of the classes by themselves, drawn at the same places, are the planes."""
    settings = recipe(batch=4, positive_fraction=0.0, patch=20, augment=augment)
    batch = make_batch(JOINT, settings, 1)
    assert batch.target.shape == (4, 2, 20, 20)
    for k in (0, 1):
        alone = make_batch([of_class(scene, k) for scene in JOINT], settings, 1)
        assert np.array_equal(batch.target[:, k], alone.target)
        assert np.array_equal(batch.images, alone.images)


# Training and watching --------------------------------------------------------------------------------------


@pytest.mark.parametrize("outputs", [Outputs(2), Outputs(2, exclusive=True)])
def test_a_step_counts_the_pixels_of_all_classes(outputs: Outputs) -> None:
    settings = recipe(precision="float32")
    trainer = Trainer(settings, MODEL, 4, "cpu", outputs=outputs)
    batch = make_batch(JOINT, settings, 0)
    tensors = trainer.tensors(batch)
    probability = outputs.probability(trainer.network(tensors[0])).detach().numpy()
    trainer.advance(*tensors)
    found, wanted, seen = probability > 0.5, batch.target > 0.5, batch.weight[:, None] > 0
    expected = [(found & wanted & seen).sum(), (found & ~wanted & seen).sum(), (~found & wanted & seen).sum()]
    assert trainer.history[0, 1:].tolist() == expected


def test_a_look_is_the_mean_of_those_at_the_classes() -> None:
    network = torch.nn.Conv2d(4, 2, 1)
    single = [torch.nn.Conv2d(4, 1, 1), torch.nn.Conv2d(4, 1, 1)]
    for k, own in enumerate(single):
        own.load_state_dict({name: value[k : k + 1] for name, value in network.state_dict().items()})
    settings = recipe(steps=10_000, precision="float32")
    look = Watch(JOINT, settings, 16, outputs=Outputs(2)).look(network)
    alone = [Watch([of_class(scene, k) for scene in JOINT], settings, 16).look(own) for k, own in enumerate(single)]
    assert look.jaccard == pytest.approx(np.mean([one.jaccard for one in alone]))
    assert look.threshold == pytest.approx(np.mean([one.threshold for one in alone]))
