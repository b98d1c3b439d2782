"""The batch of a step: patches cut from the training scenes, normalised and varied."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rasterloom.config.model import TrainingConfig
from rasterloom.errors import LabelError
from rasterloom.learning.augment import TrainingScene, cut, jitter, kept_channels
from rasterloom.learning.sampling import draw_batch
from rasterloom.learning.windows import Floats


@dataclass(frozen=True)
class Batch:
    """What a step trains on.

    Attributes
    ----------
    images : (N, C, P, P) float32, normalised, 0 where a sensor is invalid.
    target : (N, P, P), or (N, K, P, P) of several classes, float32, coverage as a fraction 0..1.
    weight : (N, P, P) float32, 1 where the reference sensor is valid and the class is known, else 0.
    """

    images: Floats
    target: Floats
    weight: Floats


def require_positive(scenes: Sequence[TrainingScene], targets: Sequence[str], scale: str) -> None:
    """Refuse to train on a class that no training scene shows, the first of those that a network learns.

    Raises
    ------
    LabelError
        If no scene has a positive pixel; names the class, the scenes and the remedy.
    """
    shown = [any(scene.index.positives[i].count for scene in scenes) for i in range(len(targets))]
    if all(shown):
        return
    names = ", ".join(scene.name for scene in scenes[:8]) + (", ..." if len(scenes) > 8 else "")
    target = targets[shown.index(False)]
    raise LabelError(
        f"{target}: none of the {len(scenes)} training scenes ({names}) has a valid pixel of it at scale "
        f"{scale}; at least one is needed. Label it there, move a scene that has it to the training part "
        "(validation: another split, folds or seed), or remove the class from the configuration."
    )


def make_batch(scenes: Sequence[TrainingScene], recipe: TrainingConfig, step: int) -> Batch:
    """The batch of one step, a function of the arguments alone.

    Notes
    -----
    Memory: the batch, and the windows that one patch is cut from.
    """
    patches = draw_batch([scene.index for scene in scenes], recipe, step)
    shape = (recipe.batch, recipe.patch, recipe.patch)
    images = np.empty((recipe.batch, len(scenes[0].normalisation.mean), *shape[1:]), dtype=np.float32)
    target, weight = list[Floats](), np.empty(shape, dtype=np.float32)
    for i, patch in enumerate(patches):
        scene = scenes[patch.scene]
        data, valid, coverage = cut(patch, scene.read, scene.index.shape)
        sensors = scene.normalisation.planes
        images[i] = jitter(scene.normalisation.apply(data, valid), valid, sensors, recipe.augment, patch)
        images[i][~kept_channels(sensors, recipe.augment, patch)] = 0.0
        planes, classes = coverage.reshape(-1, *shape[1:]), len(scene.index.positives)
        own = planes[0] if classes == 1 else planes[:classes]
        target.append((own / np.float32(255)).astype(np.float32, copy=False))
        weight[i] = (valid[0] != 0) & (planes[classes:] == 255).all(axis=0)
    return Batch(images, np.stack(target), weight)
