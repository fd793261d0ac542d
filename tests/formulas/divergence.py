"""References of the divergence family. A formula takes the loss and two distributions, as lists of numbers."""

from __future__ import annotations

from typing import Any

import mpmath

import lossary
from formulas import formula, mpf


@formula(lossary.KLDivLoss)
def _(loss: Any, p: list[mpf], t: list[mpf]) -> mpf:
    return mpmath.fsum(tc * mpmath.log(tc / pc) for pc, tc in zip(p, t, strict=True) if tc > 0)


@formula(lossary.JSDivLoss)
def _(loss: Any, p: list[mpf], t: list[mpf]) -> mpf:
    def divergence(a: list[mpf], b: list[mpf]) -> mpf:
        return mpmath.fsum(x * mpmath.log(x / y) for x, y in zip(a, b, strict=True) if x > 0)

    middle = [(pc + tc) / 2 for pc, tc in zip(p, t, strict=True)]
    return (divergence(p, middle) + divergence(t, middle)) / 2


@formula(lossary.EntropyLoss)
def _(loss: Any, p: list[mpf], t: list[mpf]) -> mpf:
    return -mpmath.fsum(pc * mpmath.log(pc) for pc in p if pc > 0)


@formula(lossary.DistillationLoss)
def _(loss: Any, p: list[mpf], t: list[mpf], label: int | None = None) -> mpf:
    def soften(distribution: list[mpf]) -> list[mpf]:
        masses = [x ** (1 / mpf(loss.temperature)) for x in distribution]
        return [m / mpmath.fsum(masses) for m in masses]

    pairs = zip(soften(t), soften(p), strict=True)
    soft = mpf(loss.temperature) ** 2 * mpmath.fsum(a * mpmath.log(a / b) for a, b in pairs if a > 0)
    hard = 0 if label is None else -mpmath.log(p[label])
    return (1 - mpf(loss.hard_weight)) * soft + mpf(loss.hard_weight) * hard
