"""References of the residual family. A formula takes the loss and e."""

from __future__ import annotations

from typing import Any

import mpmath

import lossary
from formulas import formula, mpf


@formula(lossary.L1Loss)
def _(loss: Any, e: mpf) -> mpf:
    return abs(e)


@formula(lossary.MSELoss)
def _(loss: Any, e: mpf) -> mpf:
    return e * e


@formula(lossary.SmoothL1Loss)
def _(loss: Any, e: mpf) -> mpf:
    return e * e / (2 * mpf(loss.beta)) if abs(e) < loss.beta else abs(e) - mpf(loss.beta) / 2


@formula(lossary.HuberLoss)
def _(loss: Any, e: mpf) -> mpf:
    return e * e / 2 if abs(e) < loss.delta else mpf(loss.delta) * (abs(e) - mpf(loss.delta) / 2)


@formula(lossary.LogCoshLoss)
def _(loss: Any, e: mpf) -> mpf:
    return mpmath.log(mpmath.cosh(e))
