"""References of the divergence family. A formula takes the loss and two distributions, as lists of numbers."""

from __future__ import annotations

from typing import Any

import mpmath

import lossary
from formulas import formula, mpf


@formula(lossary.KLDivLoss)
def _(loss: Any, p: list[mpf], t: list[mpf]) -> mpf:
    return mpmath.fsum(tc * mpmath.log(tc / pc) for pc, tc in zip(p, t, strict=True) if tc > 0)
