"""References of rotated boxes, by matrices as the papers write them. A formula takes the loss and two boxes, as lists
of centre x and y, width, height and angle."""

from __future__ import annotations

from typing import Any

import mpmath

import lossary
from formulas import formula, mpf


def covariance(box: list[mpf], share: mpf, least: mpf) -> Any:
    """R diag(w², h²) Rᵀ · share; no side counts less than `least`."""
    w, h = (max(side, least) for side in box[2:4])
    turn = mpmath.matrix([[mpmath.cos(box[4]), -mpmath.sin(box[4])], [mpmath.sin(box[4]), mpmath.cos(box[4])]])
    return turn * mpmath.diag([w**2 * share, h**2 * share]) * turn.T


def least_side(a: list[mpf], b: list[mpf]) -> mpf:
    """A millionth of the longest length; two equal points may have any size."""
    longest = max(abs(a[0] - b[0]), abs(a[1] - b[1]), *a[2:4], *b[2:4])
    return (longest or mpf(1)) / 10**6


def trace(m: Any) -> mpf:
    return m[0, 0] + m[1, 1]


def between(a: list[mpf], b: list[mpf], m: Any) -> mpf:
    """(μ-μ')ᵀ m (μ-μ')."""
    d = mpmath.matrix([a[0] - b[0], a[1] - b[1]])
    return (d.T * m * d)[0]


def root(m: Any) -> Any:
    """The root of a symmetric matrix."""
    values, vectors = mpmath.eigsy(m)
    return vectors * mpmath.diag([mpmath.sqrt(max(v, mpf(0))) for v in values]) * vectors.T


def bounded(loss: Any, d: mpf) -> mpf:
    d = max(d, mpf(0))  # fifty digits round too
    f = mpmath.log(1 + d) if loss.form == "log" else mpmath.sqrt(d)
    return 1 - 1 / (mpf(loss.tau) + f)


@formula(lossary.GWDLoss)
def _(loss: Any, a: list[mpf], b: list[mpf]) -> mpf:
    first, second = (covariance(box, mpf(1) / 4, mpf(0)) for box in (a, b))
    half = root(first)
    unit = mpmath.diag([1, 1])
    return bounded(loss, between(a, b, unit) + trace(first) + trace(second) - 2 * trace(root(half * second * half)))


@formula(lossary.KLDBoxLoss)
def _(loss: Any, a: list[mpf], b: list[mpf]) -> mpf:
    first, second = (covariance(box, mpf(1) / 4, least_side(a, b)) for box in ((b, a) if loss.reverse else (a, b)))
    inverse = second**-1
    logs = mpmath.log(mpmath.det(second) / mpmath.det(first))
    return bounded(loss, (between(a, b, inverse) + trace(inverse * first) + logs) / 2 - 1)


@formula(lossary.ProbIoULoss)
def _(loss: Any, a: list[mpf], b: list[mpf]) -> mpf:
    first, second = (covariance(box, mpf(1) / 12, least_side(a, b)) for box in (a, b))
    mean = (first + second) / 2
    shape = mpmath.log(mpmath.det(mean) / mpmath.sqrt(mpmath.det(first) * mpmath.det(second))) / 2
    distance = max(between(a, b, mean**-1) / 8 + shape, mpf(0))
    return distance if loss.form == "bhattacharyya" else mpmath.sqrt(1 - mpmath.exp(-distance))
