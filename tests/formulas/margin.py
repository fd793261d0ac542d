"""References of the margin family. A formula takes the loss and m."""

from __future__ import annotations

from typing import Any

import mpmath

import lossary
from formulas import formula, mpf


@formula(lossary.HingeLoss)
def _(loss: Any, m: mpf) -> mpf:
    return max(mpf(0), 1 - m) ** mpf(loss.power)


@formula(lossary.ZeroOneLoss)
def _(loss: Any, m: mpf) -> mpf:
    return mpf(m <= 0)


@formula(lossary.ExponentialLoss)
def _(loss: Any, m: mpf) -> mpf:
    return mpmath.exp(-m)
