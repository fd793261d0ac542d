"""What every family reads of a batch: which places count, the numbers there, and the links."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import mpmath
import numpy as np

from formulas import FORMULAS, mpf
from lossary.checker.draws import unreduced_shape
from lossary.checker.engines import Batch
from lossary.core.loss import Loss


def divide(loss: Loss, total: float, denominator: float, normalizer: float | None) -> float:
    if normalizer is not None:
        denominator = normalizer
    elif loss.reduction == "sum":
        return total
    return total / denominator if denominator else 0.0


def at(values: np.ndarray | None, place: tuple[int, ...], default: Any) -> Any:
    """The entry of an array that has the shape of the places, or its leading axes."""
    return default if values is None else values[place[: values.ndim]]


def counts(loss: Any, batch: Batch, place: tuple[int, ...], mask: np.ndarray | None) -> bool:
    ignored = getattr(loss, "ignore_index", None)
    if ignored is not None and batch.target.shape == unreduced_shape(loss, batch) and batch.target[place] == ignored:
        return False
    return bool(at(mask, place, True))


def formula_of(loss: Loss) -> Callable[..., Any]:
    return FORMULAS[type(loss)]


def numbers(x: np.ndarray) -> Any:
    """The number, or the list of numbers, at a place."""
    return [mpf(float(v)) for v in np.ravel(x)] if np.ndim(x) else mpf(float(x))


def softmax(loss: Any, scores: list[float]) -> tuple[list[mpf], list[mpf]]:
    """Probabilities of the classes, and of all the others."""
    if getattr(loss, "from_logits", True):
        masses = [mpmath.exp(mpf(float(s))) for s in scores]
    else:
        masses = [mpf(float(s)) + mpf("2.2250738585072014e-308") for s in scores]
    total = mpmath.fsum(masses)
    p = [m / total for m in masses]
    q = [mpmath.fsum(masses[:c] + masses[c + 1 :]) / total for c in range(len(masses))]
    return p, q


def sigmoid(loss: Any, score: float) -> tuple[mpf, mpf]:
    z = mpf(float(score))
    if getattr(loss, "from_logits", True):
        return 1 / (1 + mpmath.exp(-z)), 1 / (1 + mpmath.exp(z))
    tiny = mpf("2.2250738585072014e-308")
    return (z + tiny) / (1 + 2 * tiny), (1 - z + tiny) / (1 + 2 * tiny)


def class_numbers(loss: Any, values: Any, classes: int) -> list[float]:
    return list(values) if isinstance(values, tuple) else [1.0] * classes


def along_classes(loss: Any, array: np.ndarray, place: tuple[int, ...]) -> list[float]:
    """The entries of all classes at a place."""
    axis = loss.class_axis % array.ndim
    return [array[(*place[:axis], c, *place[axis:])] for c in range(array.shape[axis])]


def shares(loss: Any, batch: Batch, place: tuple[int, ...], classes: int) -> list[float]:
    """The probability that the target gives to each class at a place."""
    if batch.target.ndim == batch.prediction.ndim:
        return along_classes(loss, batch.target, place)
    if loss.reads_between:
        return [max(0.0, 1.0 - abs(float(batch.target[place]) - c)) for c in range(classes)]
    return [float(batch.target[place] == c) for c in range(classes)]


def class_range(loss: Any, batch: Batch) -> Iterator[int]:
    return iter(range(1 if loss.task == "binary" else batch.prediction.shape[loss.class_axis]))
