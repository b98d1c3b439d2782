"""Watching a training: at fixed steps the network predicts windows of scenes that it does not train on.

The windows are those of a prediction whose stride is the window, without symmetries, and the network is in the state
in which it predicts. Nothing that is watched changes a weight.
"""

from collections.abc import Sequence
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rasterloom.config.model import TrainingConfig
from rasterloom.learning.augment import TrainingScene
from rasterloom.learning.device import forward_pass
from rasterloom.learning.outputs import ONE, Outputs
from rasterloom.learning.prefetch import prefetched
from rasterloom.learning.sampling import generator
from rasterloom.learning.windows import Floats, padded_index, quantised, window_starts
from rasterloom.polygons.thresholds import best_threshold
from rasterloom.text import counted

LOOKS = (3, 16)
"""Fewest and most looks at the validation scenes."""

COST = 0.04
"""Largest share of a training's multiplications that all looks add; at least two windows are looked at."""

PASSES = 3
"""What a step of the training costs per patch, in predictions of it: forward, and backward twice as much."""

FEW_WINDOWS = 48
"""A look at fewer windows says little: rather there are fewer looks."""

_DRAW = 2**63 + 1
"""Item number, which no item has, under which the windows are drawn."""


class Place(NamedTuple):
    """A window of a scene: where it begins, the part of it that no earlier window holds, and how many it stands for."""

    scene: int
    top: int
    left: int
    part: tuple[int, int, int, int]
    factor: float


class Look(NamedTuple):
    """Pooled pixel Jaccard at its best threshold (a probability); None without the class. `everything`: called it.

    Of several classes the means, each at its own threshold, of those that the windows show.
    """

    jaccard: float | None
    threshold: float
    everything: float


class Watch:
    """What is looked at, and when.

    Parameters
    ----------
    scenes : validation scenes.
    recipe : of the training; the cost and the draw of the windows follow from it.
    window : side of a window in pixels.
    workers : threads that read windows.
    outputs : of the network.

    Attributes
    ----------
    steps : steps after which to look; the last is the training's last.
    places : all windows with valid ground, if the cost allows; else as many of those with the class as of the others
        where there are enough, drawn without replacement. Each counts as many times as it stands for windows of its
        kind, so that the counts are those of all windows on average.
    total : number of windows with valid ground.
    """

    def __init__(
        self,
        scenes: Sequence[TrainingScene],
        recipe: TrainingConfig,
        window: int,
        workers: int = 1,
        outputs: Outputs = ONE,
    ) -> None:
        self.scenes, self.precision, self.outputs = scenes, recipe.precision, outputs
        self.window, self.workers = window, workers
        self.batch = max(1, recipe.batch * recipe.patch**2 // window**2)  # in the memory of a step
        kinds: tuple[list[Place], list[Place]] = [], []
        for number, scene in enumerate(scenes):
            for place in _places(number, scene.index.shape, window):
                if scene.index.ground.window(*place.part).any():
                    kinds[any(pixels.window(*place.part).any() for pixels in scene.index.positives)].append(place)
        self.total = sum(map(len, kinds))
        affordable = int(COST * PASSES * recipe.steps * recipe.batch * recipe.patch**2 / window**2)
        looks = min(max(affordable // min(max(1, self.total), FEW_WINDOWS), LOOKS[0]), LOOKS[1], recipe.steps)
        self.steps = sorted({recipe.steps * (look + 1) // looks for look in range(looks)})
        self.places = _drawn(kinds, max(2, affordable // looks), recipe.seed)

    def __str__(self) -> str:
        scenes = counted(len(self.scenes), "validation scene")
        shown = sum(any(pixels.count for pixels in scene.index.positives) for scene in self.scenes)
        return (
            f"{counted(len(self.steps), 'look')} at {len(self.places)} of {counted(self.total, 'window')} of {scenes} "
            f"({shown or 'none'} with the class)"
        )

    def look(self, network: Any) -> Look:
        """Predict the windows by a network, and leave it in the mode that it was in."""
        import torch

        training, device = network.training, next(network.parameters()).device
        counts = np.zeros((self.outputs.classes, 2, 256))
        batches = prefetched(self._images, range(0, len(self.places), self.batch), self.workers)
        network.eval()
        with torch.inference_mode(), forward_pass(device.type, self.precision):
            for first, images in zip(range(0, len(self.places), self.batch), batches, strict=True):
                given = torch.from_numpy(images).to(device).contiguous(memory_format=torch.channels_last)
                found = self.outputs.probability(network(given)).cpu().numpy()
                for place, probability in zip(self.places[first : first + len(found)], found, strict=True):
                    counts += place.factor * self._counts(place, probability)
        network.train(training)
        looks = [_look(np.rint(own).astype(np.int64)) for own in counts]
        shown = [look for look in looks if look.jaccard is not None]
        return Look(*map(fmean, zip(*shown, strict=True))) if shown else looks[0]

    def _images(self, first: int) -> Floats:
        """The batch of windows that begins with one, (N, C, window, window); pixels beyond a scene are reflected."""
        images = []
        for place in self.places[first : first + self.batch]:
            scene, window = self.scenes[place.scene], self.window
            bottom, right = (min(n, at + window) for n, at in zip(scene.index.shape, place[1:3], strict=True))
            data, valid, _ = scene.read(place.top, bottom, place.left, right)
            rows, columns = padded_index(bottom - place.top, window), padded_index(right - place.left, window)
            images.append(scene.normalisation.apply(data[:, rows][:, :, columns], valid[:, rows][:, :, columns]))
        return np.stack(images)

    def _counts(self, place: Place, probability: Floats) -> NDArray[np.int64]:
        """Valid pixels of each probability 0..255 outside and inside each class, (K, 2, 256)."""
        index, (y0, y1, x0, x1) = self.scenes[place.scene].index, place.part
        pads = [max(0, self.window - length) // 2 for length in index.shape]
        top, left = (pad - at for pad, at in zip(pads, place[1:3], strict=True))
        ground = index.ground.window(*place.part)
        part = probability[..., y0 + top : y1 + top, x0 + left : x1 + left]
        values = quantised(part, ground.astype(np.uint8)).reshape(-1, *ground.shape)
        joints = [own + np.uint16(256) * p.window(*place.part) for own, p in zip(values, index.positives, strict=True)]
        return np.stack([np.bincount(joint[ground], minlength=512) for joint in joints]).reshape(-1, 2, 256)


def _look(counts: NDArray[np.int64]) -> Look:
    threshold, jaccard, _ = best_threshold(counts)
    return Look(jaccard, threshold / 255, float(counts[1].sum() / max(1, counts.sum())))


def _places(scene: int, shape: tuple[int, int], window: int) -> list[Place]:
    """Windows side by side, the last of a row or column flush with the scene; their parts divide the scene."""

    def along(length: int) -> list[tuple[int, int, int]]:
        starts = window_starts(length, window, window)
        ends = [min(length, start + window) for start in starts]
        return list(zip(starts, [0, *ends[:-1]], ends, strict=True))

    rows, columns = map(along, shape)
    return [Place(scene, top, left, (y0, y1, x0, x1), 1.0) for top, y0, y1 in rows for left, x0, x1 in columns]


def _drawn(kinds: tuple[list[Place], list[Place]], count: int, seed: int) -> list[Place]:
    """At most `count` windows, half of them of each kind where there are enough, in the order of the scenes."""
    without, having = map(len, kinds)
    of_class = min(having, max(count // 2, count - without))
    rng = generator(seed, 0, _DRAW)
    drawn: list[Place] = []
    for kind, size in zip(kinds, (min(without, count - of_class), of_class), strict=True):
        drawn += [kind[i]._replace(factor=len(kind) / size) for i in rng.permutation(len(kind))[:size]]
    return sorted(drawn)


def learned_nothing(training_jaccard: float, look: Look | None) -> bool:
    """Whether a network finds nothing in training patches, and to call everything positive is as good on other scenes.

    Parameters
    ----------
    training_jaccard : on training patches at one half, over the last third of the training.
    look : the last one.
    """
    blind = look is None or look.jaccard is None or look.jaccard <= 1.05 * look.everything
    return training_jaccard == 0 and blind
