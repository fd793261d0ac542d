"""References of prediction and target. A formula takes the loss, both, and the operands by name; None is no value."""

from __future__ import annotations

from typing import Any

import mpmath

import lossary
from formulas import formula, mpf


@formula(lossary.MAPELoss)
def _(loss: Any, p: mpf, t: mpf) -> mpf | None:
    size = max(abs(t), mpf(loss.floor))
    return abs(t - p) / size if size > 0 else None


@formula(lossary.MSLELoss)
def _(loss: Any, p: mpf, t: mpf) -> mpf:
    return mpmath.log((1 + p) / (1 + t)) ** 2


@formula(lossary.PoissonNLLLoss)
def _(loss: Any, p: mpf, t: mpf) -> mpf:
    # minus the logarithm of λ^t e^-λ / t!, without or with Stirling's t!
    rate, log_rate = (mpmath.exp(p), p) if loss.log_input else (p, mpmath.log(p + mpf(1e-30)))
    stirling = mpmath.log(mpmath.sqrt(2 * mpmath.pi * t) * (t / mpmath.e) ** t) if loss.full and t > 1 else 0
    return rate - t * log_rate + stirling


@formula(lossary.GaussianNLLLoss)
def _(loss: Any, p: mpf, t: mpf, variance: mpf) -> mpf:
    v = max(variance, mpf(loss.floor))
    density = mpmath.exp(-((p - t) ** 2) / (2 * v)) / mpmath.sqrt(v)
    return -mpmath.log(density / mpmath.sqrt(2 * mpmath.pi) if loss.full else density)


@formula(lossary.AdaptiveWingLoss)
def _(loss: Any, p: mpf, t: mpf) -> mpf:
    omega, epsilon, theta = mpf(loss.width), mpf(loss.curvature), mpf(loss.threshold)
    x, k = abs(t - p), mpf(loss.alpha) - t
    if x < theta:
        return omega * mpmath.log(1 + (x / epsilon) ** k)
    r = theta / epsilon
    steep = omega * (1 / (1 + r**k)) * k * r ** (k - 1) / epsilon
    return steep * x - (theta * steep - omega * mpmath.log(1 + r**k))
