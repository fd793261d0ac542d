"""Losses of soft counts: of whole images, class by class, and the named sums that hold one."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import lossary
from formulas import FORMULAS, mpf
from formulas.compound import Answer, Place
from formulas.region import FROM_PLACES
from lossary.checker.draws import unreduced_shape
from lossary.checker.engines import Batch
from references.mask import image_of, place_of
from references.places import (
    along_classes,
    at,
    class_numbers,
    class_range,
    counts,
    divide,
    shares,
    sigmoid,
    softmax,
)


def overlap(
    loss: Any,
    batch: Batch,
    mask: np.ndarray | None,
    sample_weight: np.ndarray | None,
    normalizer: float | None,
    f: Callable[..., float] | None = None,
) -> Any:
    """Losses of whole images: per class from its places, then classes, then images.

    `f` is the formula of the region part of a compound loss.
    """
    images = list(range(batch.prediction.shape[0]))
    weigh_images = sample_weight is not None and sample_weight.ndim == 1
    groups = [[n] for n in images] if loss.per == "image" else [images]
    unreduced, totals, image_weights = [], [], []
    for group in groups:
        image_weight = float(sample_weight[group[0]]) if weigh_images and loss.per == "image" else 1.0
        pixel_weight = None if weigh_images and loss.per == "image" else sample_weight
        if f is None and loss.joins_classes and loss.task != "binary":
            classes = [_joined_loss(loss, batch, group, mask, pixel_weight)]
        else:
            classes = [_class_loss(loss, batch, group, c, mask, pixel_weight, f) for c in class_range(loss, batch)]
        unreduced += [value * weight * image_weight for value, weight, _ in classes]
        used = [(value, weight) for value, weight, part in classes if part]
        if used:
            top = math.fsum(v * w for v, w in used)
            bottom = math.fsum(w for _, w in used) if loss.reduction == "weighted_mean" else len(used)
            totals.append((top, bottom))
            image_weights.append(image_weight)
    if loss.reduction == "none":
        return unreduced
    if loss.reduction == "sum":
        return divide(loss, math.fsum(unreduced), 1, normalizer)
    if loss.per == "batch":
        top, bottom = totals[0] if totals else (0.0, 0.0)
        return divide(loss, top, bottom, normalizer)
    averages = [top / bottom if bottom else 0.0 for top, bottom in totals]
    total = math.fsum(a * w for a, w in zip(averages, image_weights, strict=True))
    denominator = math.fsum(image_weights) if loss.reduction == "weighted_mean" else len(averages)
    return divide(loss, total, denominator, normalizer)


def _class_loss(
    loss: Any,
    batch: Batch,
    group: list[int],
    c: int,
    mask: np.ndarray | None,
    weights: np.ndarray | None,
    f: Callable[..., float] | None,
) -> tuple[float, float, bool]:
    """The loss of one class, its weight, and whether it takes part in the mean."""
    pairs = [pair for n in group for pair in _pixels(loss, batch, n, c, mask, weights)]
    if not _takes_part(loss, pairs, c):
        return 0.0, 0.0, False
    weight = _class_weight(loss, c)
    if f is not None:
        return f(*_soft_counts(loss, pairs), c), weight, True
    if isinstance(loss, lossary.ClDiceLoss):
        images = [image_of(loss, batch, n, mask) for n in group]

        def weigh(n: int, i: tuple[int, ...]) -> float:
            place = place_of(loss, batch, group[n], c, i)
            return float(at(weights, place, 1.0)) * counts(loss, batch, place, mask)

        return FORMULAS[type(loss)](loss, images, c, weigh), weight, True
    if type(loss) in FROM_PLACES:
        return FORMULAS[type(loss)](loss, pairs), weight, True
    return FORMULAS[type(loss)](loss, *_soft_counts(loss, pairs)), weight, True


def _joined_loss(
    loss: Any, batch: Batch, group: list[int], mask: np.ndarray | None, weights: np.ndarray | None
) -> tuple[float, float, bool]:
    """The one loss of all classes."""
    counts, own, some = [], [], False
    for c in class_range(loss, batch):
        pairs = [pair for n in group for pair in _pixels(loss, batch, n, c, mask, weights)]
        counts.append(_soft_counts(loss, pairs))
        part = _takes_part(loss, pairs, c)
        own.append(_class_weight(loss, c) if part else 0.0)
        some = some or part
    if not some:
        return 0.0, 0.0, False
    return FORMULAS[type(loss)](loss, counts, own), 1.0, True


def _class_weight(loss: Any, c: int) -> float:
    return 1.0 if loss.class_weight is None else loss.class_weight[c]


def _takes_part(loss: Any, pairs: list[tuple[Any, float, float]], c: int) -> bool:
    """Whether a class is averaged: whatever its weight is."""
    part = math.fsum(w for _, _, w in pairs) > 0
    if loss.classes == "present":
        part = part and any(t > 0 and w > 0 for _, t, w in pairs)
    elif loss.classes != "all":
        part = part and c in loss.classes
    return part


def _soft_counts(loss: Any, pairs: list[tuple[Any, float, float]]) -> tuple[float, float, float]:
    """TP, FP and FN of one class."""
    power = 2 if getattr(loss, "squared", False) else 1
    tp, predicted, true = [], [], []
    for p, t, w in pairs:
        t = mpf(float(t))
        tp.append(float((p + t - abs(p - t)) / 2 if getattr(loss, "soft", "") == "l1" else p * t) * w)
        predicted.append(float(p**power) * w)
        true.append(float(t**power) * w)
    return math.fsum(tp), math.fsum([*predicted, *(-x for x in tp)]), math.fsum([*true, *(-x for x in tp)])


def _pixels(
    loss: Any, batch: Batch, n: int, c: int, mask: np.ndarray | None, weights: np.ndarray | None
) -> Iterator[tuple[mpf, float, float]]:
    """Probability of the class (or its score), its share of the target and its weight, at each counted place."""
    shape = unreduced_shape(loss, batch)
    axis = loss.class_axis % batch.prediction.ndim
    ranges = [range(s) for s in shape]
    ranges[0] = range(n, n + 1)
    if loss.task == "multilabel":
        ranges[axis] = range(c, c + 1)
    for place in itertools.product(*ranges):
        if not counts(loss, batch, place, mask):
            continue
        weight = float(at(weights, place, 1.0))
        if loss.task == "multiclass":
            p, _ = softmax(loss, along_classes(loss, batch.prediction, place))
            yield p[c], float(shares(loss, batch, place, len(p))[c]), weight
        elif isinstance(loss, lossary.LovaszHingeLoss):
            yield mpf(float(batch.prediction[place])), float(batch.target[place]), weight
        else:
            yield sigmoid(loss, batch.prediction[place])[0], float(batch.target[place]), weight


def compound(loss: Any, batch: Batch, mask: np.ndarray | None, sample_weight: np.ndarray | None) -> float:
    """Losses of places and of regions; the formula knows how they are combined."""
    places = [
        Place(_answers(loss, batch, place), float(at(sample_weight, place, 1.0)), _channel(loss, place))
        for place in np.ndindex(unreduced_shape(loss, batch))
        if counts(loss, batch, place, mask)
    ]

    def region(f: Callable[..., float]) -> float:
        return overlap(loss, batch, mask, sample_weight, None, f)

    return FORMULAS[type(loss)](loss, places, region)


def _channel(loss: Any, place: tuple[int, ...]) -> int:
    return place[loss.class_axis] if loss.task == "multilabel" else 0


def _answers(loss: Any, batch: Batch, place: tuple[int, ...]) -> list[Answer]:
    if loss.task == "multiclass":
        p, q = softmax(loss, along_classes(loss, batch.prediction, place))
        weights, t = class_numbers(loss, loss.class_weight, len(p)), shares(loss, batch, place, len(p))
        return [Answer(mpf(float(t[c])), p[c], q[c], c, weights[c]) for c in range(len(p))]
    p, q = sigmoid(loss, batch.prediction[place])
    t = mpf(float(batch.target[place]))
    weight = 1.0 if loss.class_weight is None else loss.class_weight[_channel(loss, place)]
    return [Answer(1 - t, q, p, 0, weight), Answer(t, p, q, 1, weight)]
