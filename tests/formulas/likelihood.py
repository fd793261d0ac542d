"""References of the likelihood family. A formula takes the loss, the probability p of the answer and q = 1 - p."""

from __future__ import annotations

from typing import Any

import mpmath

import lossary
from formulas import formula, mpf


@formula(lossary.BCELoss)
@formula(lossary.CrossEntropyLoss)
def _(loss: Any, p: mpf, q: mpf) -> mpf:
    return -mpmath.log(p)


@formula(lossary.FocalLoss)
def _(loss: Any, p: mpf, q: mpf) -> mpf:
    return -(q ** mpf(loss.gamma)) * mpmath.log(p)


@formula(lossary.PolyLoss)
def _(loss: Any, p: mpf, q: mpf) -> mpf:
    return -mpmath.log(p) + mpf(loss.epsilon) * (1 - p)


@formula(lossary.DistancePenalizedCrossEntropyLoss)
@formula(lossary.DistributionFocalLoss)
@formula(lossary.ShapeAwareLoss)
@formula(lossary.TopKLoss)
def _(loss: Any, p: mpf, q: mpf) -> mpf:
    return -mpmath.log(p)


@formula(lossary.GeneralizedCrossEntropyLoss)
def _(loss: Any, p: mpf, q: mpf) -> mpf:
    return (1 - p ** mpf(loss.q)) / mpf(loss.q)


@formula(lossary.SymmetricCrossEntropyLoss)
def _(loss: Any, p: mpf, q: mpf) -> mpf:
    reverse = -(p * mpmath.log(1) + q * mpf(loss.log_zero))  # Σ over the true class and all others
    return -mpf(loss.alpha) * mpmath.log(p) + mpf(loss.beta) * reverse


@formula(lossary.ClassBalancedLoss)
def _(loss: Any, p: mpf, q: mpf) -> mpf:
    return -(q ** mpf(loss.gamma)) * mpmath.log(p)


def effective_number_weights(loss: Any) -> list[mpf] | None:
    """Cui et al.: (1-β)/(1-βⁿ) of each class, scaled to sum to the number of classes."""
    if loss.counts is None:
        return None
    weights = [(1 - mpf(loss.beta)) / (1 - mpf(loss.beta) ** mpf(n)) for n in loss.counts]
    return [w * len(weights) / mpmath.fsum(weights) for w in weights]


# --- losses that change the logits: a formula takes the loss, the logits and the number of the true class -----------


def softmax(logits: list[mpf]) -> list[mpf]:
    masses = [mpmath.exp(z) for z in logits]
    return [m / mpmath.fsum(masses) for m in masses]


@formula(lossary.LDAMLoss)
def _(loss: Any, logits: list[mpf], true: int) -> mpf:
    counts = [mpf(n) for n in loss.counts or [1] * len(logits)]
    raw = [n ** (-mpf(1) / 4) for n in counts]
    margins = [mpf(loss.max_margin) * m / max(raw) for m in raw]
    scores = [z - margins[true] if c == true else z for c, z in enumerate(logits)]
    return -mpmath.log(softmax([mpf(loss.scale) * z for z in scores])[true])


@formula(lossary.LogitAdjustedLoss)
def _(loss: Any, logits: list[mpf], true: int) -> mpf:
    counts = [mpf(n) for n in loss.counts or [1] * len(logits)]
    prior = [n / mpmath.fsum(counts) for n in counts]
    adjusted = [z + mpf(loss.tau) * mpmath.log(pi) for z, pi in zip(logits, prior, strict=True)]
    return -mpmath.log(softmax(adjusted)[true])


@formula(lossary.BiTemperedLoss)
def _(loss: Any, logits: list[mpf], true: int) -> mpf:
    t1 = mpf(loss.t1)
    p = softmax(logits) if loss.t2 == 1 else tempered_softmax(logits, mpf(loss.t2))
    log = mpmath.log(p[true]) if t1 == 1 else (p[true] ** (1 - t1) - 1) / (1 - t1)
    return -log - (1 - mpmath.fsum(x ** (2 - t1) for x in p)) / (2 - t1)


def tempered_softmax(logits: list[mpf], t: mpf) -> list[mpf]:
    """exp_t(z - λ), λ by bisection."""

    def p(norm: mpf) -> list[mpf]:
        return [(1 + (1 - t) * (z - norm)) ** (1 / (1 - t)) for z in logits]

    low = max(logits)
    high = low + (mpf(len(logits)) ** (t - 1) - 1) / (t - 1)  # where even equal logits sum to 1
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if mpmath.fsum(p(middle)) > 1 else (low, middle)
    return p((low + high) / 2)


@formula(lossary.LinearCrossEntropyLoss)
def _(loss: Any, logits: list[mpf], true: int, weights: list[float], teacher: list[mpf] | None) -> mpf:
    """Takes the class weights and the teacher's logits too."""
    if loss.softcap is not None:
        logits = [loss.softcap * mpmath.tanh(z / mpf(loss.softcap)) for z in logits]
    p, smoothing, t = softmax(logits), mpf(loss.label_smoothing), mpf(loss.temperature)
    shares = [smoothing / len(p) + (1 - smoothing if c == true else 0) for c in range(len(p))]
    value = mpf(0)
    for c, share in enumerate(shares):
        if share:
            others = mpmath.fsum(p[:c] + p[c + 1 :])
            value -= weights[c] * share * others ** mpf(loss.gamma) * mpmath.log(p[c])
    if teacher is not None:
        soft = zip(softmax([z / t for z in teacher]), softmax([z / t for z in logits]), strict=True)
        divergence = mpmath.fsum(a * mpmath.log(a / b) for a, b in soft)
        value = (1 - mpf(loss.distillation)) * value + mpf(loss.distillation) * t**2 * divergence
    return value + mpf(loss.z_loss) * mpmath.log(mpmath.fsum(mpmath.exp(z) for z in logits)) ** 2


FROM_LOGITS = {lossary.LDAMLoss, lossary.LogitAdjustedLoss, lossary.BiTemperedLoss}
