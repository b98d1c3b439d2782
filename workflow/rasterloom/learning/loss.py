"""What a training step minimises, and what it counts.

This module imports torch; import it only where a network trains.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def loss_of(logits: Tensor, target: Tensor, weight: Tensor, soft_jaccard: float = 0.0) -> Tensor:
    """Binary cross-entropy on coverage, the mean over pixels that count, mixed with the soft Jaccard of the batch.

    Parameters
    ----------
    logits : (N, H, W) float32.
    target : (N, H, W) float32, coverage 0..1.
    weight : (N, H, W) float32, 1 where a pixel counts, else 0.
    soft_jaccard : share of ``1 - soft Jaccard`` in the loss, 0..1.

    Returns
    -------
    () float32; 0 where no pixel counts.

    Notes
    -----
    The soft Jaccard is the sum of the smaller of probability and coverage over the sum of the larger, each plus one
    pixel, so that a batch without the class has one too. Unlike products, it is best where the probability equals the
    coverage, also in pixels that are covered in part.
    """
    each = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    entropy = (each * weight).sum() / weight.sum().clamp(min=1.0)
    if soft_jaccard == 0.0:
        return entropy
    probability = logits.sigmoid()
    both = (torch.minimum(probability, target) * weight).sum() + 1.0
    either = (torch.maximum(probability, target) * weight).sum() + 1.0
    return (1.0 - soft_jaccard) * entropy + soft_jaccard * (1.0 - both / either)


def counts(logits: Tensor, target: Tensor, weight: Tensor) -> list[Tensor]:
    """Pixels that are true positive, false positive and false negative at one half."""
    found, wanted, seen = logits > 0, target > 0.5, weight > 0
    return [(found & wanted & seen).sum(), (found & ~wanted & seen).sum(), (~found & wanted & seen).sum()]
