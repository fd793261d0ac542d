"""References of the sequence family: every alignment, one by one.

A formula takes the loss, the probabilities (frames, ..., classes) as nested lists, and the labels; it gives the
probability of the labels. That of `ExpectedEditDistanceLoss` takes log-probabilities and distances.
"""

from __future__ import annotations

import itertools
from typing import Any

import mpmath

import lossary
from formulas import formula, mpf


@formula(lossary.CTCLoss)
def _(loss: Any, p: list[list[mpf]], labels: list[int], classes: int) -> mpf:
    """Over all paths that say the labels: one class a frame, repeats become one, blanks are dropped."""
    blank = loss.blank % classes
    total = mpf(0)
    for path in itertools.product(sorted({blank, *labels}), repeat=len(p)):
        if [c for c, _ in itertools.groupby(path) if c != blank] == labels:
            total += mpmath.fprod(frame[c] for frame, c in zip(p, path, strict=True))
    return total


@formula(lossary.RNNTLoss)
def _(loss: Any, p: list[list[list[mpf]]], labels: list[int], classes: int) -> mpf:
    """Over all orders of T blanks, the last of which ends it, and the labels."""
    blank, steps = loss.blank % classes, len(p) + len(labels)
    if not p:
        return mpf(not labels)
    total = mpf(0)
    for where in itertools.combinations(range(steps - 1), len(labels)):
        t, u, product = 0, 0, mpf(1)
        for step in range(steps):
            if step in where:
                product *= p[t][u][labels[u]]
                u += 1
            else:
                product *= p[t][u][blank]
                t += 1
        total += product
    return total


@formula(lossary.ExpectedEditDistanceLoss)
def _(loss: Any, log_p: list[mpf], distances: list[mpf]) -> mpf:
    masses = [mpmath.exp(x) for x in log_p]
    mean = mpmath.fsum(distances) / len(distances) if loss.subtract_mean else 0
    return mpmath.fsum(m * (d - mean) for m, d in zip(masses, distances, strict=True)) / mpmath.fsum(masses)
