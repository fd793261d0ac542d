"""References of losses with a positive and a negative term. A formula takes the loss, p, q = 1 - p and the target t;
that of a balanced loss takes the loss and a list of (p, q, t, weight) of all places, and gives the list of values."""

from __future__ import annotations

from typing import Any

import mpmath

import lossary
from formulas import CONSTANTS, formula, mpf


def bce(p: mpf, q: mpf, t: mpf) -> mpf:
    return -t * mpmath.log(p) - (1 - t) * mpmath.log(q)


@formula(lossary.QualityFocalLoss)
def _(loss: Any, p: mpf, q: mpf, t: mpf) -> mpf:
    distance = q if t == 1 else abs(t - p)
    return distance ** mpf(loss.beta) * bce(p, q, t)


@formula(lossary.VarifocalLoss)
def _(loss: Any, p: mpf, q: mpf, t: mpf) -> mpf:
    if t > 0:
        return t * bce(p, q, t)
    return -mpf(loss.alpha) * p ** mpf(loss.gamma) * mpmath.log(q)


@formula(lossary.AsymmetricLoss)
def _(loss: Any, p: mpf, q: mpf, t: mpf) -> mpf:
    m = mpf(loss.clip)
    shifted, rest = (p, q) if m == 0 else (max(p - m, mpf(0)), min(q + m, mpf(1)))
    positive = -(q ** mpf(loss.gamma_pos)) * mpmath.log(p)
    negative = -(shifted ** mpf(loss.gamma_neg)) * mpmath.log(rest)
    return t * positive + (1 - t) * negative


@formula(lossary.BalancedBCELoss)
def _(loss: Any, places: list[tuple[mpf, mpf, mpf, float]]) -> list[mpf]:
    total = mpmath.fsum(w for *_, w in places)
    beta = mpmath.fsum((1 - t) * w for _, _, t, w in places) / total if total else mpf(0)
    return [-beta * t * mpmath.log(p) - (1 - beta) * (1 - t) * mpmath.log(q) for p, q, t, _ in places]


@formula(lossary.GHMLoss)
def _(loss: Any, places: list[tuple[mpf, mpf, mpf, float]], factors: list[mpf] | None = None) -> list[mpf]:
    factors = inverse_density(loss, places)["factors"] if factors is None else factors
    return [factor * bce(p, q, t) for factor, (p, q, t, _) in zip(factors, places, strict=True)]


def inverse_density(loss: Any, places: list[tuple[mpf, mpf, mpf, float]]) -> dict[str, list[mpf]]:
    """N/GD of each place: all places over those in its bin, per width of a bin."""
    bins = [min(int(float(abs(p - t)) * loss.bins), loss.bins - 1) for p, _, t, _ in places]
    total = mpmath.fsum(w for *_, w in places)
    density = [mpmath.fsum(w for (*_, w), b in zip(places, bins, strict=True) if b == own) * loss.bins for own in bins]
    return {"factors": [total / d if d else mpf(0) for d in density]}


CONSTANTS[lossary.GHMLoss] = inverse_density
