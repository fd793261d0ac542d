"""Losses of whole masks and of distance maps."""

from __future__ import annotations

import itertools
import math
from typing import Any

import mpmath
import numpy as np

from formulas import mpf
from formulas.mask import FACTORS, Image
from lossary.checker.draws import unreduced_shape
from lossary.checker.engines import Batch
from references.classification import likelihood
from references.places import (
    along_classes,
    at,
    class_numbers,
    class_range,
    counts,
    divide,
    formula_of,
    shares,
    sigmoid,
    softmax,
)


def masks(
    loss: Any,
    batch: Batch,
    mask: np.ndarray | None,
    sample_weight: np.ndarray | None,
    normalizer: float | None,
    constants: Batch | None,
) -> Any:
    """Losses of whole images, class by class, of which each place has a value."""
    classes = _members(loss, batch)
    found = []
    for n in range(batch.prediction.shape[0]):
        image = image_of(loss, batch, n, mask, classes)
        held = image if constants is None else image_of(loss, constants, n, mask, classes)
        found.append(FACTORS.get(type(loss), formula_of(loss))(loss, image, held))
    values, parts, masses = [], [], []
    for place in np.ndindex(unreduced_shape(loss, batch)):
        n, c, i = _coordinates(loss, place, batch)
        own = classes if c is None else [c]
        if not counts(loss, batch, place, mask) or not set(own) <= set(_members(loss, batch, compared=True)):
            values.append(0.0)
            continue
        weight = at(sample_weight, place, 1.0)
        if type(loss) in FACTORS:
            value, mass = likelihood(loss, batch, place, None)
            value, part = value * found[n][own[0], i], 1.0
        else:
            weights = class_numbers(loss, loss.class_weight, 99)
            entries = [(weights[k], *found[n][k, i]) for k in own]
            value = mpmath.fsum(w * v for w, v, _ in entries) / len(own)
            part = float(mpmath.fsum(s for _, _, s in entries)) / len(own)
            mass = math.fsum(w * s for w, _, s in entries) / len(own)
        values.append(float(value * weight))
        parts.append(part)
        masses.append(float(mass * weight))
    if loss.reduction == "none":
        return values
    denominator = math.fsum(masses if loss.reduction == "weighted_mean" else parts)
    return divide(loss, math.fsum(values), denominator, normalizer)


def _members(loss: Any, batch: Batch, compared: bool = False) -> list[int]:
    """The classes that take part; for multilabel all of them have a map, whichever are compared."""
    every = list(class_range(loss, batch))
    chosen = getattr(loss, "classes", "all")
    if loss.task == "multiclass" or compared:
        if chosen == "foreground":
            return every[1:] if loss.task == "multiclass" else every
        if chosen != "all":
            return list(chosen)
    return every


def image_of(loss: Any, batch: Batch, n: int, mask: np.ndarray | None, classes: list[int] | None = None) -> Image:
    """Probabilities and targets of an image; where a place does not count, both are the background."""
    shape = list(batch.prediction.shape[1:])
    if loss.task != "binary":
        del shape[loss.class_axis % batch.prediction.ndim - 1]
    p, q, t, counted = {}, {}, {}, set()
    for c in list(class_range(loss, batch)) if classes is None else classes:
        for i in itertools.product(*map(range, shape)):
            place = place_of(loss, batch, n, c, i)
            if not counts(loss, batch, place, mask):
                p[c, i] = t[c, i] = mpf(loss.task == "multiclass" and c == 0)
                q[c, i] = 1 - p[c, i]
                continue
            counted.add((c, i))
            if loss.task == "multiclass":
                every, others = softmax(loss, along_classes(loss, batch.prediction, place))
                p[c, i], q[c, i] = every[c], others[c]
                t[c, i] = mpf(float(shares(loss, batch, place, len(every))[c]))
            else:
                p[c, i], q[c, i] = sigmoid(loss, batch.prediction[place])
                t[c, i] = mpf(float(batch.target[place]))
    return Image(tuple(shape), p, q, t, counted, loss.task == "multiclass")


def place_of(loss: Any, batch: Batch, n: int, c: int, i: tuple[int, ...]) -> tuple[int, ...]:
    """Where in the unreduced loss a place of an image is."""
    place = (n, *i)
    if loss.task == "multilabel":
        axis = loss.class_axis % batch.prediction.ndim
        place = (*place[:axis], c, *place[axis:])
    return place


def _coordinates(loss: Any, place: tuple[int, ...], batch: Batch) -> tuple[int, int | None, tuple[int, ...]]:
    """Image, class (multilabel, binary) and place in the image."""
    if loss.task == "multiclass":
        return place[0], None, place[1:]
    if loss.task == "binary":
        return place[0], 0, place[1:]
    axis = loss.class_axis % batch.prediction.ndim
    return place[0], place[axis], (*place[1:axis], *place[axis + 1 :])
