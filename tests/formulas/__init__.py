"""The formulas of all losses as the papers write them, one module a family, in numbers of fifty digits.

A new loss enters its formula with `@formula(lossary.NewLoss)`; what that takes, its family's module says.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath

from lossary.core.loss import Loss

mpmath.mp.dps = 50
mpf = mpmath.mpf

FORMULAS: dict[type[Loss], Callable[..., Any]] = {}
"""The formula of each loss on the quantity of its family."""

CONSTANTS: dict[type[Loss], Callable[..., dict[str, Any]]] = {}
"""What the gradient of a loss holds constant, as keywords of its formula, from the same arguments."""


def formula(cls: type[Loss]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def enter(function: Callable[..., Any]) -> Callable[..., Any]:
        FORMULAS[cls] = function
        return function

    return enter


from formulas import box, divergence, likelihood, margin, region, residual  # noqa: E402

__all__ = ["CONSTANTS", "FORMULAS", "box", "divergence", "formula", "likelihood", "margin", "mpf", "region", "residual"]
