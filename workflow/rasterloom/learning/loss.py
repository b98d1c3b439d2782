"""What a training step minimises, and what it counts.

This module imports torch; import it only where a network trains.
"""

import torch
from torch import Tensor
from torch.nn import functional


def loss_of(
    logits: Tensor, target: Tensor, weight: Tensor, soft_jaccard: float = 0.0, exclusive: bool = False
) -> Tensor:
    """Cross-entropy on coverage, the mean over pixels that count, mixed with the soft Jaccard of the batch.

    Parameters
    ----------
    logits : (N, H, W) float32, (N, K, H, W) of several classes, or (N, K + 1, H, W) of exclusive ones.
    target : (N, H, W) or (N, K, H, W) float32, coverage 0..1.
    weight : (N, H, W) float32, 1 where a pixel counts, else 0.
    soft_jaccard : share of ``1 - soft Jaccard`` in the loss, 0..1.
    exclusive : whether a pixel is of one class at most; the last logit is that of background.

    Returns
    -------
    () float32; 0 where no pixel counts.

    Notes
    -----
    The soft Jaccard is the sum of the smaller of probability and coverage over the sum of the larger, each plus one
    pixel, so that a batch without the class has one too. Unlike products, it is best where the probability equals the
    coverage, also in pixels that are covered in part.

    The loss of several classes is the mean of theirs. That of exclusive ones has one cross-entropy, of the softmax
    against fractions of a pixel: coverage, divided by its sum where that is above 1, and background the rest.
    """
    if target.dim() == 4 and not exclusive:
        classes = zip(logits.unbind(1), target.unbind(1), strict=True)
        return torch.stack([loss_of(*one, weight, soft_jaccard) for one in classes]).mean()
    if exclusive:
        target = target / target.sum(1, keepdim=True).clamp(min=1.0)
        shares = torch.cat([target, 1.0 - target.sum(1, keepdim=True)], 1)
        each = -(shares * logits.log_softmax(1)).sum(1)
    else:
        each = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    entropy = (each * weight).sum() / weight.sum().clamp(min=1.0)
    if soft_jaccard == 0.0:
        return entropy
    found = logits.softmax(1).unbind(1)[:-1] if exclusive else [logits.sigmoid()]
    wanted = target.unbind(1) if exclusive else [target]
    jaccards = [_soft_jaccard(*one, weight) for one in zip(found, wanted, strict=True)]
    return (1.0 - soft_jaccard) * entropy + soft_jaccard * (1.0 - torch.stack(jaccards).mean())


def _soft_jaccard(probability: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    both = (torch.minimum(probability, target) * weight).sum() + 1.0
    either = (torch.maximum(probability, target) * weight).sum() + 1.0
    return both / either


def counts(logits: Tensor, target: Tensor, weight: Tensor) -> list[Tensor]:
    """Pixels that are true positive, false positive and false negative at one half, where the logit is 0."""
    found, wanted, seen = logits > 0, target > 0.5, weight > 0
    return [(found & wanted & seen).sum(), (found & ~wanted & seen).sum(), (~found & wanted & seen).sum()]
