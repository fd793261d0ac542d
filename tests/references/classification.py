"""Losses of scores and labels, place by place, and of groups of places."""

from __future__ import annotations

import itertools
import math
from typing import Any

import mpmath
import numpy as np

import lossary
from formulas import CONSTANTS, mpf
from formulas.likelihood import FROM_LOGITS, effective_number_weights
from lossary.checker.draws import unreduced_shape
from lossary.checker.engines import Batch
from references.places import (
    along_classes,
    at,
    class_numbers,
    counts,
    divide,
    formula_of,
    numbers,
    shares,
    sigmoid,
    softmax,
)


def is_positive(loss: Any, batch: Batch, place: tuple[int, ...]) -> bool:
    """Whether a detector's place holds something: not the background, class 0."""
    if loss.task != "multiclass":
        return batch.target[place] > 0
    return shares(loss, batch, place, 1)[0] < 1


def hardest(
    loss: Any, batch: Batch, mask: np.ndarray | None, values: list[float], masses: list[float], normalizer: float | None
) -> Any:
    """The k places of largest loss; those that tie at the edge share what is left of k."""
    places = list(np.ndindex(unreduced_shape(loss, batch)))
    counted = [counts(loss, batch, place, mask) for place in places]
    ranked = sorted((v for v, c in zip(values, counted, strict=True) if c), reverse=True)
    k = math.ceil(round(loss.fraction * len(ranked), 6))
    least = ranked[k - 1] if k else math.inf
    above = sum(v > least for v in ranked)
    tied = sum(v == least for v in ranked)
    kept = [1.0 if v > least else (k - above) / tied if v == least else 0.0 for v in values]
    kept = [s if c else 0.0 for s, c in zip(kept, counted, strict=True)]
    values = [v * s for v, s in zip(values, kept, strict=True)]
    if loss.reduction == "none":
        return values
    if loss.reduction == "weighted_mean":
        denominator = math.fsum(m * s for m, s in zip(masses, itertools.compress(kept, counted), strict=True))
    else:
        denominator = k
    return divide(loss, math.fsum(values), denominator, normalizer)


def balanced(
    loss: Any,
    batch: Batch,
    mask: np.ndarray | None,
    sample_weight: np.ndarray | None,
    normalizer: float | None,
    constants: Batch | None,
) -> Any:
    """Losses whose groups of places are weighed by their sizes, in each image or in the batch."""
    all_places = list(np.ndindex(batch.prediction.shape))
    values = dict.fromkeys(all_places, 0.0)
    weights: list[float] = []
    for n in range(batch.prediction.shape[0]) if getattr(loss, "per", "batch") == "image" else [None]:
        places = [p for p in all_places if n in (None, p[0]) and counts(loss, batch, p, mask)]
        numbers_there = [_weighed(loss, batch, place, sample_weight) for place in places]
        held = {}
        if constants is not None and type(loss) in CONSTANTS:
            held = CONSTANTS[type(loss)](loss, [_weighed(loss, constants, place, sample_weight) for place in places])
        found = formula_of(loss)(loss, numbers_there, **held)
        own = [w for *_, w in numbers_there]
        weights += own
        values |= {place: float(v * w) for place, v, w in zip(places, found, own, strict=True)}
    if loss.reduction == "none":
        return list(values.values())
    denominator = math.fsum(weights) if loss.reduction == "weighted_mean" else len(weights)
    return divide(loss, math.fsum(values.values()), denominator, normalizer)


def _weighed(
    loss: Any, batch: Batch, place: tuple[int, ...], sample_weight: np.ndarray | None
) -> tuple[mpf, mpf, mpf, float]:
    """p, q, target and weight of a place."""
    weight = at(sample_weight, place, 1.0)
    weight *= 1.0 if loss.class_weight is None else loss.class_weight[place[loss.class_axis]]
    return (*sigmoid(loss, batch.prediction[place]), mpf(float(batch.target[place])), float(weight))


def likelihood(loss: Any, batch: Batch, place: tuple[int, ...], _: Batch | None) -> tuple[Any, Any]:
    f = formula_of(loss)
    smoothing = getattr(loss, "label_smoothing", 0.0)
    if loss.task != "multiclass":
        p, q = sigmoid(loss, batch.prediction[place])
        t = mpf(float(batch.target[place])) * (1 - mpf(smoothing)) + mpf(smoothing) / 2
        weight = 1.0
        if loss.class_weight is not None:
            weight = loss.class_weight[place[loss.class_axis]]
        on, off = _sides(loss, place)
        value = (on * t * f(loss, p, q) if t > 0 else 0) + (off * (1 - t) * f(loss, q, p) if t < 1 else 0)
        return weight * value, weight
    scores = along_classes(loss, batch.prediction, place)
    p, q = softmax(loss, scores)
    t = shares(loss, batch, place, len(p))
    weights = class_numbers(loss, loss.class_weight, len(p))
    factors = class_numbers(loss, getattr(loss, "alpha", None), len(p))
    if isinstance(loss, lossary.ClassBalancedLoss):
        factors = effective_number_weights(loss) or factors
    value = mpf(0)

    def answer(c: int) -> mpf:
        if type(loss) not in FROM_LOGITS:
            return f(loss, p[c], q[c])
        tiny = mpf("2.2250738585072014e-308")
        return f(loss, [mpf(float(s)) if loss.from_logits else mpmath.log(mpf(float(s)) + tiny) for s in scores], c)

    for c in range(len(p)):
        share = (1 - mpf(smoothing)) * t[c] + mpf(smoothing) / len(p)
        if share > 0:
            value += weights[c] * factors[c] * share * answer(c)
    return value, math.fsum(w * float(s) for w, s in zip(weights, t, strict=True))


def token(loss: Any, batch: Batch, place: tuple[int, ...], _: Batch | None) -> tuple[Any, Any]:
    def scores(features: np.ndarray, weight: str, bias: str) -> list[mpf]:
        rows = zip(batch.keywords[weight], batch.keywords[bias], strict=True)
        return [mpmath.fdot(numbers(row), numbers(features)) + mpf(float(b)) for row, b in rows]

    true = int(batch.target[place])
    weights = class_numbers(loss, loss.class_weight, len(batch.keywords["weight"]))
    teacher = None
    if loss.distillation:
        teacher = scores(batch.keywords["teacher_features"][place], "teacher_weight", "teacher_bias")
    logits = scores(batch.prediction[place], "weight", "bias")
    return formula_of(loss)(loss, logits, true, weights, teacher), weights[true]


def _sides(loss: Any, place: tuple[int, ...]) -> tuple[float, float]:
    """Factors of the positive and of the negative term."""
    alpha, positive = getattr(loss, "alpha", None), getattr(loss, "pos_weight", None)
    if isinstance(loss, lossary.ClassBalancedLoss):
        factors = effective_number_weights(loss) or [1, 1]
        if loss.task == "binary" or loss.counts is None:
            return factors[1], factors[0]
        return (factors[place[loss.class_axis]],) * 2
    if alpha is not None:
        return alpha, 1 - alpha
    if positive is None:
        return 1.0, 1.0
    return (positive[place[loss.class_axis]] if isinstance(positive, tuple) else positive), 1.0


def yes_or_no(loss: Any, batch: Batch, place: tuple[int, ...], _: Batch | None) -> tuple[Any, Any]:
    weight = 1.0 if loss.class_weight is None else loss.class_weight[place[loss.class_axis]]
    p, q = sigmoid(loss, batch.prediction[place])
    return weight * formula_of(loss)(loss, p, q, mpf(float(batch.target[place]))), weight


def margin(loss: Any, batch: Batch, place: tuple[int, ...], _: Batch | None) -> tuple[Any, Any]:
    """The expectation over the answers that the target holds for possible."""
    f = formula_of(loss)
    if loss.task != "multiclass":
        weight = 1.0 if loss.class_weight is None else loss.class_weight[place[loss.class_axis]]
        t, score = max(mpf(float(batch.target[place])), mpf(0)), mpf(float(batch.prediction[place]))
        return weight * ((t * f(loss, score) if t else 0) + ((1 - t) * f(loss, -score) if t != 1 else 0)), weight
    scores = [mpf(float(s)) for s in along_classes(loss, batch.prediction, place)]
    weights = class_numbers(loss, loss.class_weight, len(scores))
    value = mass = mpf(0)
    for true, share in enumerate(shares(loss, batch, place, len(scores))):
        if share:
            mass += float(share) * weights[true]
            value += float(share) * weights[true] * _margin_of(loss, f, scores, true)
    return value, mass


def _margin_of(loss: Any, f: Any, scores: list[mpf], true: int) -> mpf:
    others = [s for c, s in enumerate(scores) if c != true]
    if loss.multiclass == "crammer-singer":
        return f(loss, scores[true] - max(others))
    if loss.multiclass == "weston-watkins":
        return mpmath.fsum(f(loss, scores[true] - s) for s in others)
    return f(loss, scores[true]) + mpmath.fsum(f(loss, -s) for s in others)


def divergence(loss: Any, batch: Batch, place: tuple[int, ...], _: Batch | None) -> tuple[Any, Any]:
    sides = []
    for array, form in ((batch.prediction, loss.prediction_form), (batch.target, loss.target_form)):
        numbers = [mpf(float(x)) for x in along_classes(loss, array, place)]
        if form == "logits":
            masses = [mpmath.exp(x) for x in numbers]
            numbers = [m / mpmath.fsum(masses) for m in masses]
        elif form == "log_probs":
            numbers = [mpmath.exp(x) for x in numbers]
        sides.append(numbers)
    if loss.prediction_form == "probs":
        sides[0] = [p + mpf("2.2250738585072014e-308") for p in sides[0]]
    operands = [int(labels[place]) for labels in batch.keywords.values()]
    return formula_of(loss)(loss, *sides, *operands), 1
