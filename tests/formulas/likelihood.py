"""References of the likelihood family. A formula takes the loss, the probability p of the answer and q = 1 - p."""

from __future__ import annotations

from typing import Any

import mpmath

import lossary
from formulas import formula, mpf


@formula(lossary.BCELoss)
@formula(lossary.CrossEntropyLoss)
def _(loss: Any, p: mpf, q: mpf) -> mpf:
    return -mpmath.log(p)


@formula(lossary.FocalLoss)
def _(loss: Any, p: mpf, q: mpf) -> mpf:
    return -(q ** mpf(loss.gamma)) * mpmath.log(p)
