"""What a training step minimises, and what it counts.

This module imports torch; import it only where a network trains.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def loss_of(logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Binary cross-entropy on coverage, the mean over pixels that count.

    Parameters
    ----------
    logits : (N, H, W) float32.
    target : (N, H, W) float32, coverage 0..1.
    weight : (N, H, W) float32, 1 where a pixel counts, else 0.

    Returns
    -------
    () float32; 0 where no pixel counts.
    """
    each = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return (each * weight).sum() / weight.sum().clamp(min=1.0)


def counts(logits: Tensor, target: Tensor, weight: Tensor) -> list[Tensor]:
    """Pixels that are true positive, false positive and false negative at one half."""
    found, wanted, seen = logits > 0, target > 0.5, weight > 0
    return [(found & wanted & seen).sum(), (found & ~wanted & seen).sum(), (~found & wanted & seen).sum()]
