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


@formula(lossary.RMSELoss)
def _(loss: Any, e: mpf) -> mpf:
    return e * e  # the root is taken of the mean: FINISH


@formula(lossary.NormLoss)
def _(loss: Any, e: list[mpf]) -> mpf:
    if mpmath.isinf(loss.p):
        return max(abs(x) for x in e)
    return mpmath.fsum(abs(x) ** mpf(loss.p) for x in e) ** (1 / mpf(loss.p))


@formula(lossary.QuantileLoss)
def _(loss: Any, e: mpf) -> mpf:
    q = mpf(loss.quantile)
    return max(q * -e, (q - 1) * -e)


@formula(lossary.EpsilonInsensitiveLoss)
def _(loss: Any, e: mpf) -> mpf:
    return max(mpf(0), abs(e) - mpf(loss.epsilon))


@formula(lossary.FocalL1Loss)
def _(loss: Any, e: mpf) -> mpf:
    # the integral of the gradient that the paper draws, -αx ln(βx) up to 1 and -α ln β beyond
    x, b = abs(e), mpf(loss.beta)
    a = mpmath.e * b if loss.alpha is None else mpf(loss.alpha)
    if x == 0:
        return mpf(0)
    if x <= 1:
        return -a * x**2 * (2 * mpmath.log(b * x) - 1) / 4
    return -a * mpmath.log(b) * x + a * (2 * mpmath.log(b) + 1) / 4


@formula(lossary.BalancedL1Loss)
def _(loss: Any, e: mpf) -> mpf:
    a, g, x = mpf(loss.alpha), mpf(loss.gamma), abs(e) / mpf(loss.beta)
    b = mpmath.exp(g / a) - 1
    near = a / b * (b * x + 1) * mpmath.log(b * x + 1) - a * x
    return mpf(loss.beta) * (near if x < 1 else g * x + g / b - a)


@formula(lossary.WingLoss)
def _(loss: Any, e: mpf) -> mpf:
    w, epsilon = mpf(loss.width), mpf(loss.curvature)
    near, constant = w * mpmath.log(1 + abs(e) / epsilon), w - w * mpmath.log(1 + w / epsilon)
    return near if abs(e) < w else abs(e) - constant


@formula(lossary.CharbonnierLoss)
def _(loss: Any, e: mpf) -> mpf:
    return mpmath.sqrt(e**2 + mpf(loss.epsilon) ** 2)


@formula(lossary.GeneralRobustLoss)
def _(loss: Any, e: mpf) -> mpf:
    a, z = mpf(loss.alpha), (e / mpf(loss.scale)) ** 2
    if a == 2:
        return z / 2
    if a == 0:
        return mpmath.log(z / 2 + 1)
    if mpmath.isinf(a):
        return 1 - mpmath.exp(-z / 2)
    return abs(a - 2) / a * ((z / abs(a - 2) + 1) ** (a / 2) - 1)


@formula(lossary.TukeyLoss)
def _(loss: Any, e: mpf) -> mpf:
    c = mpf(loss.c)
    return c**2 / 6 * (1 - (1 - (e / c) ** 2) ** 3) if abs(e) <= c else c**2 / 6


@formula(lossary.CauchyLoss)
def _(loss: Any, e: mpf) -> mpf:
    return mpf(loss.c) ** 2 / 2 * mpmath.log(1 + (e / mpf(loss.c)) ** 2)


@formula(lossary.WelschLoss)
def _(loss: Any, e: mpf) -> mpf:
    return mpf(loss.c) ** 2 / 2 * (1 - mpmath.exp(-((e / mpf(loss.c)) ** 2)))


@formula(lossary.GemanMcClureLoss)
def _(loss: Any, e: mpf) -> mpf:
    return e**2 / 2 / (1 + e**2 / mpf(loss.c) ** 2)
