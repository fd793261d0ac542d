"""Measures of a trained model on a whole split, as functions of predictions and truth (NumPy arrays).

Segmentation metrics take predicted labels (N, *), classification metrics take logits (N, C); targets are integers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Literal

import numpy as np


@dataclasses.dataclass(frozen=True)
class Metric:
    """A measure with what a table needs to know of it."""

    name: str  # its key in results.json
    label: str  # its heading
    function: Callable[[np.ndarray, np.ndarray], float]
    better: Literal["high", "low"] = "high"
    every_epoch: bool = True  # False for one that takes long: then it is of the test set only


@dataclasses.dataclass(frozen=True)
class ClassMetric:
    """A measure with one value for each class: `function(prediction, target, classes)`. The best value is 1."""

    label: str
    function: Callable[[np.ndarray, np.ndarray, int], np.ndarray]


def confusion(labels: np.ndarray, target: np.ndarray, classes: int) -> np.ndarray:
    """Counts (C, C) of true class (row) against predicted class (column)."""
    pairs = target.ravel().astype(np.int64) * classes + labels.ravel()
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


@dataclasses.dataclass(frozen=True, eq=False)
class Counts:
    """How often each class is predicted, is true, and is both: the margins of the confusion table without the table,
    which for many classes would not fit into memory."""

    hits: np.ndarray
    predicted: np.ndarray
    true: np.ndarray


def counts(labels: np.ndarray, target: np.ndarray, classes: int) -> Counts:
    """Of each class from 0."""
    labels, target = labels.ravel().astype(np.int64), target.ravel().astype(np.int64)
    every = (target[labels == target], labels, target)
    return Counts(*(np.bincount(which, minlength=classes) for which in every))


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Where there is nothing to divide by, NaN: a class that neither occurs nor is predicted has no score."""
    return np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)


def _mean(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else float("nan")


def _classes(labels: np.ndarray, target: np.ndarray) -> int:
    return int(max(labels.max(), target.max())) + 1


# --- segmentation -----------------------------------------------------------------------------------------------------


def class_iou(labels: np.ndarray, target: np.ndarray, classes: int) -> np.ndarray:
    """Intersection over union of each class, over all pixels of the split."""
    found = counts(labels, target, classes)
    return _ratio(found.hits, found.predicted + found.true - found.hits)


def class_dice(labels: np.ndarray, target: np.ndarray, classes: int) -> np.ndarray:
    """Dice of each class, over all pixels of the split."""
    found = counts(labels, target, classes)
    return _ratio(2 * found.hits, found.predicted + found.true)


def mean_iou(labels: np.ndarray, target: np.ndarray) -> float:
    """Mean IoU of the classes that occur or are predicted."""
    return _mean(class_iou(labels, target, _classes(labels, target)))


def foreground_iou(labels: np.ndarray, target: np.ndarray) -> float:
    """Mean IoU without class 0, the background."""
    return _mean(class_iou(labels, target, _classes(labels, target))[1:])


def foreground_dice(labels: np.ndarray, target: np.ndarray) -> float:
    """Mean Dice without class 0, the background."""
    return _mean(class_dice(labels, target, _classes(labels, target))[1:])


# --- classification ---------------------------------------------------------------------------------------------------


def class_recall(logits: np.ndarray, target: np.ndarray, classes: int) -> np.ndarray:
    """The share of each class that is found."""
    found = counts(logits.argmax(1), target, classes)
    return _ratio(found.hits, found.true)


def balanced_accuracy(logits: np.ndarray, target: np.ndarray) -> float:
    """Mean recall of the classes that occur."""
    return _mean(class_recall(logits, target, logits.shape[1]))


def macro_f1(logits: np.ndarray, target: np.ndarray) -> float:
    """Mean F1 of the classes that occur or are predicted; F1 is the Dice of hard labels."""
    return _mean(class_dice(logits.argmax(1), target, logits.shape[1]))


@dataclasses.dataclass(frozen=True, eq=False)
class Reliability:
    """Predictions sorted into bins by confidence, the probability of the predicted class."""

    count: np.ndarray
    confidence: np.ndarray  # mean in each bin; 0 where the bin is empty
    accuracy: np.ndarray


def reliability(logits: np.ndarray, target: np.ndarray, bins: int = 15) -> Reliability:
    """How often predictions of one confidence are right. Confidence is the largest softmax probability."""
    from scipy.special import softmax  # pyright: ignore

    sure: np.ndarray = softmax(logits.astype(np.float64), axis=1).max(1)
    right = logits.argmax(1) == target
    which = np.clip(np.ceil(sure * bins).astype(int) - 1, 0, bins - 1)  # bins are (low, high], as in Guo et al. 2017
    count = np.bincount(which, minlength=bins)
    safe = np.maximum(count, 1)
    return Reliability(
        count,
        np.bincount(which, weights=sure, minlength=bins) / safe,
        np.bincount(which, weights=right, minlength=bins) / safe,
    )


def calibration_error(logits: np.ndarray, target: np.ndarray) -> float:
    """Expected calibration error with 15 bins (Guo et al. 2017): mean gap between confidence and accuracy."""
    bins = reliability(logits, target)
    return float((bins.count * np.abs(bins.confidence - bins.accuracy)).sum() / len(target))
