"""Losses of features and their labels."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from formulas import CONSTANTS, mpf
from lossary.checker.engines import Batch
from lossary.core.families.embedding import ClassVectorLoss
from references.places import counts, formula_of, numbers


def _vector(batch: Batch, place: tuple[int, ...]) -> tuple[mpf, ...]:
    return _exact(tuple(batch.prediction[place].tolist()))


@functools.cache  # differences of a loss move one feature of the batch at a time
def _exact(values: tuple[float, ...]) -> tuple[mpf, ...]:
    return tuple(mpf(v) for v in values)


def feature(
    loss: Any, batch: Batch, place: tuple[int, ...], constants: Batch | None, mask: np.ndarray | None
) -> tuple[Any, Any]:
    """Of a feature against the vectors of all classes, or of an anchor against all other features that count."""
    f, label = formula_of(loss), int(batch.target[place])
    if isinstance(loss, ClassVectorLoss):
        operands = dict(batch.keywords)
        vectors = [numbers(row) for row in operands.pop(loss.class_vectors)]
        rest = {name: numbers(x) for name, x in operands.items()}
        weight = mpf(1) if loss.class_weight is None else mpf(loss.class_weight[label])
        return weight * f(loss, numbers(batch.prediction[place]), vectors, label, **rest), weight
    others = [p for p in np.ndindex(batch.target.shape) if p != place and counts(loss, batch, p, mask)]
    alike, unlike = ([p for p in others if (batch.target[p] == label) == same] for same in (True, False))

    def relations(of: Batch) -> tuple[Any, ...]:
        return _vector(of, place), *([_vector(of, p) for p in ps] for ps in (alike, unlike))

    held = {}
    if constants is not None and type(loss) in CONSTANTS:
        held = CONSTANTS[type(loss)](loss, *relations(constants))
    return f(loss, *relations(batch), **held), 1
