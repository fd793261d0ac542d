"""References of the region family. A formula takes the loss and the soft counts of one class, or its errors."""

from __future__ import annotations

import math
from typing import Any

import lossary
from formulas import formula


@formula(lossary.DiceLoss)
def _(loss: Any, tp: float, fp: float, fn: float) -> float:
    denominator = 2 * tp + fp + fn + loss.smooth
    return 1 - (2 * tp + loss.smooth) / denominator if denominator else 0.0


@formula(lossary.TverskyLoss)
def _(loss: Any, tp: float, fp: float, fn: float) -> float:
    denominator = tp + loss.fp_weight * fp + loss.fn_weight * fn + loss.smooth
    return 1 - (tp + loss.smooth) / denominator if denominator else 0.0


@formula(lossary.LovaszSoftmaxLoss)
def _(loss: Any, errors: list[float], true: list[bool], weights: list[float]) -> float:
    """Σ over sorted errors of the growth of Δ(M) = |M| / |{true} ∪ M|, each Δ counted anew from its set."""

    def jaccard_loss(wrong: list[int]) -> float:
        size = math.fsum(weights[i] for i in wrong)
        union = math.fsum(w for i, w in enumerate(weights) if true[i] or i in wrong)
        return size / union if union else 0.0

    order = sorted(range(len(errors)), key=lambda i: -errors[i])
    steps = [jaccard_loss(order[: k + 1]) - jaccard_loss(order[:k]) for k in range(len(order))]
    return math.fsum(errors[i] * step for i, step in zip(order, steps, strict=True))
