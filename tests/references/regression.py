"""Losses of prediction and target, place by place."""

from __future__ import annotations

from typing import Any

from lossary.checker.engines import Batch
from lossary.core.loss import Loss
from references.places import formula_of, numbers


def residual(loss: Loss, batch: Batch, place: tuple[int, ...], _: Batch | None) -> tuple[Any, Any]:
    prediction, target = numbers(batch.prediction[place]), numbers(batch.target[place])
    if isinstance(prediction, list):  # a place that is a vector
        return formula_of(loss)(loss, [p - t for p, t in zip(prediction, target, strict=True)]), 1
    return formula_of(loss)(loss, prediction - target), 1


def pointwise(loss: Loss, batch: Batch, place: tuple[int, ...], _: Batch | None) -> tuple[Any, Any]:
    operands = {name: numbers(x[place]) for name, x in batch.keywords.items()}
    return formula_of(loss)(loss, numbers(batch.prediction[place]), numbers(batch.target[place]), **operands), 1
