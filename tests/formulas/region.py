"""References of the region family.

A formula takes the loss and the soft counts of one class; those of `FROM_PLACES` take all places of the class, as
(probability or score, target, weight); those that join the classes take the counts of each and the classes' weights.
"""

from __future__ import annotations

import math
from typing import Any

import mpmath

import lossary
from formulas import formula, mpf

FROM_PLACES = {lossary.LovaszHingeLoss, lossary.LovaszSoftmaxLoss, lossary.SensitivitySpecificityLoss}

Places = list[tuple[Any, float, float]]


@formula(lossary.DiceLoss)
def dice(loss: Any, tp: float, fp: float, fn: float) -> float:
    denominator = 2 * tp + fp + fn + loss.smooth
    return 1 - (2 * tp + loss.smooth) / denominator if denominator else 0.0


@formula(lossary.LogCoshDiceLoss)
def _(loss: Any, tp: float, fp: float, fn: float) -> float:
    return float(mpmath.log(mpmath.cosh(mpf(dice(loss, tp, fp, fn)))))


@formula(lossary.JaccardLoss)
def _(loss: Any, tp: float, fp: float, fn: float) -> float:
    union = tp + fp + fn + loss.smooth
    return 1 - (tp + loss.smooth) / union if union else 0.0


@formula(lossary.TverskyLoss)
def tversky(loss: Any, tp: float, fp: float, fn: float) -> float:
    denominator = tp + loss.fp_weight * fp + loss.fn_weight * fn + loss.smooth
    return 1 - (tp + loss.smooth) / denominator if denominator else 0.0


@formula(lossary.FocalTverskyLoss)
def _(loss: Any, tp: float, fp: float, fn: float) -> float:
    denominator = mpf(tp) + loss.fp_weight * mpf(fp) + loss.fn_weight * mpf(fn) + loss.smooth
    index = (mpf(tp) + loss.smooth) / denominator if denominator else mpf(1)
    return float((1 - index) ** (1 / mpf(loss.gamma)))


@formula(lossary.AsymmetricSimilarityLoss)
def _(loss: Any, tp: float, fp: float, fn: float) -> float:
    square = loss.beta**2
    denominator = (1 + square) * tp + square * fn + fp + loss.smooth
    return 1 - ((1 + square) * tp + loss.smooth) / denominator if denominator else 0.0


@formula(lossary.SensitivitySpecificityLoss)
def _(loss: Any, places: Places) -> float:
    def share(terms: list[tuple[mpf, mpf, float]]) -> mpf:
        """Σ error · share · weight over Σ share · weight."""
        below = mpmath.fsum(s * w for _, s, w in terms) + loss.smooth
        return mpmath.fsum(e * s * w for e, s, w in terms) / below if below else mpf(0)

    def error(p: mpf, t: mpf, answer: int) -> mpf:
        return (t - p) ** 2 if loss.squared else abs(answer - p)

    r = mpf(loss.sensitivity_weight)
    exact = [(p, mpf(float(t)), w) for p, t, w in places]
    if loss.soft == "l1":  # a place is missed by what the target is above the prediction, and the other way round
        positives = mpmath.fsum(t * w for _, t, w in exact) + loss.smooth
        negatives = mpmath.fsum((1 - t) * w for _, t, w in exact) + loss.smooth
        missed = mpmath.fsum(max(t - p, mpf(0)) * w for p, t, w in exact)
        alarms = mpmath.fsum(max(p - t, mpf(0)) * w for p, t, w in exact)
        return float((r * missed / positives if positives else 0) + ((1 - r) * alarms / negatives if negatives else 0))
    on = share([(error(p, t, 1), t, w) for p, t, w in exact])
    off = share([(error(p, t, 0), 1 - t, w) for p, t, w in exact])
    return float(r * on + (1 - r) * off)


@formula(lossary.GeneralizedDiceLoss)
def generalized_dice(loss: Any, *counts: Any) -> float:
    """Of a binary task: TP, FP and FN of its one class."""
    tp, errors = joined(loss, *counts) if len(counts) == 2 else (counts[0], counts[1] + counts[2])
    denominator = 2 * tp + errors + loss.smooth
    return 1 - (2 * tp + loss.smooth) / denominator if denominator else 0.0


@formula(lossary.PenaltyGeneralizedDiceLoss)
def _(loss: Any, *counts: Any) -> float:
    coefficient = 1 - generalized_dice(loss, *counts)
    return 1 - coefficient / (1 + loss.penalty * (1 - coefficient))


def joined(loss: Any, counts: list[tuple[float, float, float]], own: list[float]) -> tuple[float, float]:
    """TP and errors of all classes, with weights that sum to 1 over the classes of the target (or over all, where there
    is none). A class that the target lacks has the largest weight of those that it has."""
    volumes = [tp + fn for tp, _, fn in counts]
    present = [v > 0 and w > 0 for v, w in zip(volumes, own, strict=True)]
    power = {"square": 2, "simple": 1, "uniform": 0}[loss.weighting]
    rare = max((1 / v**power for v, here in zip(volumes, present, strict=True) if here), default=1.0)
    weights = [(1 / v**power if here else rare) * w for v, here, w in zip(volumes, present, own, strict=True)]
    total = math.fsum(w for w, here in zip(weights, present, strict=True) if here or not any(present))
    tp = math.fsum(w / total * c[0] for w, c in zip(weights, counts, strict=True))
    return tp, math.fsum(w / total * (c[1] + c[2]) for w, c in zip(weights, counts, strict=True))


# --- the Lovász extension ---------------------------------------------------------------------------------------------


@formula(lossary.LovaszSoftmaxLoss)
def _(loss: Any, places: Places) -> float:
    return lovasz([abs(float(t) - float(p)) for p, t, _ in places], places)


@formula(lossary.LovaszHingeLoss)
def _(loss: Any, places: Places) -> float:
    return lovasz([max(0.0, float(1 - (2 * mpf(t) - 1) * z)) for z, t, _ in places], places)


def lovasz(errors: list[float], places: Places) -> float:
    """Σ over sorted errors of the growth of Δ(M) = |M| / |{true} ∪ M|, each Δ counted anew from its set."""
    true, weights = [t > 0 for _, t, _ in places], [w for _, _, w in places]

    def jaccard_loss(wrong: list[int]) -> float:
        size = math.fsum(weights[i] for i in wrong)
        union = math.fsum(w for i, w in enumerate(weights) if true[i] or i in wrong)
        return size / union if union else 0.0

    order = sorted(range(len(errors)), key=lambda i: -errors[i])
    steps = [jaccard_loss(order[: k + 1]) - jaccard_loss(order[:k]) for k in range(len(order))]
    return math.fsum(errors[i] * step for i, step in zip(order, steps, strict=True))
