"""The formulas of all losses as the papers write them, one module a family, in numbers of fifty digits.

A new loss enters its formula with `@formula(lossary.NewLoss)`; what that takes, its family's module says.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import mpmath

import lossary
from lossary.core.loss import Loss

mpmath.mp.dps = 50
mpf = mpmath.mpf

FORMULAS: dict[type[Loss], Callable[..., Any]] = {}
"""The formula of each loss on the quantity of its family."""

CONSTANTS: dict[type[Loss], Callable[..., dict[str, Any]]] = {}
"""What the gradient of a loss holds constant, as keywords of its formula, from the same arguments."""

FINISH: dict[type[Loss], Callable[[float], float]] = {lossary.RMSELoss: math.sqrt}
"""What a loss makes of the reduced number."""


def formula(cls: type[Loss]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def enter(function: Callable[..., Any]) -> Callable[..., Any]:
        FORMULAS[cls] = function
        return function

    return enter


from formulas import (  # noqa: E402
    box,
    compound,
    divergence,
    embedding,
    likelihood,
    margin,
    mask,
    pointwise,
    region,
    residual,
    rotated,
    sequence,
    sigmoid,
)

__all__ = [
    "CONSTANTS",
    "FINISH",
    "FORMULAS",
    "box",
    "compound",
    "divergence",
    "embedding",
    "formula",
    "likelihood",
    "margin",
    "mask",
    "mpf",
    "pointwise",
    "region",
    "residual",
    "rotated",
    "sequence",
    "sigmoid",
]
