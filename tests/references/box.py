"""Losses of pairs of boxes."""

from __future__ import annotations

from typing import Any

import numpy as np

import lossary
from formulas import CONSTANTS, mpf
from formulas.box import focal_weight
from lossary.checker.engines import Batch
from references.places import formula_of, numbers


def corners(loss: Any, box: np.ndarray) -> list[mpf]:
    a, b, c, d = (mpf(float(v)) for v in box)
    if loss.format == "xyxy":
        return [a, b, max(a, c), max(b, d)]
    w, h = max(c, mpf(0)), max(d, mpf(0))
    if loss.format == "cxcywh":
        a, b = a - w / 2, b - h / 2
    return [a, b, a + w, b + h]


def box(loss: Any, batch: Batch, place: tuple[int, ...], constants: Batch | None) -> tuple[Any, Any]:
    prediction, target = corners(loss, batch.prediction[place]), corners(loss, batch.target[place])
    held = {}
    if constants is not None and type(loss) in CONSTANTS:
        held = CONSTANTS[type(loss)](loss, *(corners(loss, x[place]) for x in (constants.prediction, constants.target)))
    mass = 1
    if isinstance(loss, lossary.FocalEIoULoss) and loss.normalize:
        mass = held["weight"] if held else focal_weight(loss, prediction, target)
    return formula_of(loss)(loss, prediction, target, **held), mass


def rotated_box(loss: Any, batch: Batch, place: tuple[int, ...], _: Batch | None) -> tuple[Any, Any]:
    return formula_of(loss)(loss, numbers(batch.prediction[place]), numbers(batch.target[place])), 1
