"""References of the embedding family, in two kinds.

Against a vector per class a formula takes the loss, a feature, the vectors, the number of the true class, and operands
by name. Of pairs it takes the loss, the anchor, its positives and its negatives, all features as lists of numbers; None
is no anchor.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from typing import Any

import mpmath

import lossary
from formulas import CONSTANTS, formula, mpf

Vector = Sequence[mpf]


def dot(a: Vector, b: Vector) -> mpf:
    return mpmath.fsum(x * y for x, y in zip(a, b, strict=True))


def norm(a: Vector) -> mpf:
    return mpmath.sqrt(dot(a, a))


def cosine(a: Vector, b: Vector) -> mpf:
    """Of the angle between two vectors; one of length 0 is at a right angle to all."""
    return _cosine(tuple(a), tuple(b))


@functools.cache
def _cosine(a: tuple[mpf, ...], b: tuple[mpf, ...]) -> mpf:
    if norm(a) == 0 or norm(b) == 0:
        return mpf(0)
    return min(mpf(1), max(mpf(-1), dot(a, b) / (norm(a) * norm(b))))


def distance(a: Vector, b: Vector) -> mpf:
    return norm([x - y for x, y in zip(a, b, strict=True)])


# --- against a vector per class ---------------------------------------------------------------------------------------


def cross_entropy(scores: list[mpf], true: int) -> mpf:
    return mpmath.log(mpmath.fsum(mpmath.exp(s - scores[true]) for s in scores))


def psi(theta: mpf, m: int) -> mpf:
    k = min(int(mpmath.floor(theta * m / mpmath.pi)), m - 1)
    return (-1) ** k * mpmath.cos(m * theta) - 2 * k


@formula(lossary.LargeMarginSoftmaxLoss)
def _(loss: Any, x: Vector, prototypes: list[Vector], true: int, annealing: float | mpf = 0) -> mpf:
    scores = [dot(x, w) for w in prototypes]
    theta = mpmath.acos(cosine(x, prototypes[true]))
    size = norm(x) * norm(prototypes[true])
    scores[true] = size * (annealing * mpmath.cos(theta) + psi(theta, loss.margin)) / (1 + annealing)
    return cross_entropy(scores, true)


@formula(lossary.SphereFaceLoss)
def _(loss: Any, x: Vector, prototypes: list[Vector], true: int, annealing: float | mpf = 0) -> mpf:
    thetas = [mpmath.acos(cosine(x, w)) for w in prototypes]
    scores = [norm(x) * mpmath.cos(theta) for theta in thetas]
    own = annealing * mpmath.cos(thetas[true]) + psi(thetas[true], loss.margin)
    scores[true] = norm(x) * own / (1 + annealing)
    return cross_entropy(scores, true)


@formula(lossary.ArcFaceLoss)
def _(loss: Any, x: Vector, prototypes: list[Vector], true: int) -> mpf:
    thetas, m = [mpmath.acos(cosine(x, w)) for w in prototypes], mpf(loss.margin)
    scores = [loss.scale * mpmath.cos(theta + (m if c == true else 0)) for c, theta in enumerate(thetas)]
    if loss.monotone and thetas[true] > mpmath.pi - m:
        scores[true] = loss.scale * (mpmath.cos(thetas[true]) - m * mpmath.sin(m))
    return cross_entropy(scores, true)


@formula(lossary.CosFaceLoss)
def _(loss: Any, x: Vector, prototypes: list[Vector], true: int) -> mpf:
    margins = [mpf(loss.margin) if c == true else 0 for c in range(len(prototypes))]
    scores = [loss.scale * (cosine(x, w) - m) for w, m in zip(prototypes, margins, strict=True)]
    return cross_entropy(scores, true)


@formula(lossary.CenterLoss)
def _(loss: Any, x: Vector, centers: list[Vector], true: int) -> mpf:
    return distance(x, centers[true]) ** 2 / 2


# --- of pairs ---------------------------------------------------------------------------------------------------------


def mean(values: list[mpf]) -> mpf:
    return mpmath.fsum(values) / len(values)


def scaled(loss: Any, x: Vector, others: list[Vector]) -> list[mpf]:
    """exp(s/τ) of the others."""
    return [mpmath.exp(cosine(x, y) / mpf(loss.temperature)) for y in others]


@formula(lossary.InfoNCELoss)
def _(loss: Any, x: Vector, positives: list[Vector], negatives: list[Vector]) -> mpf | None:
    rest = mpmath.fsum(scaled(loss, x, negatives))
    return mean([-mpmath.log(e / (e + rest)) for e in scaled(loss, x, positives)]) if positives else None


@formula(lossary.SupConLoss)
def _(loss: Any, x: Vector, positives: list[Vector], negatives: list[Vector]) -> mpf | None:
    everyone = mpmath.fsum(scaled(loss, x, positives + negatives))
    return mean([-mpmath.log(e / everyone) for e in scaled(loss, x, positives)]) if positives else None


def strengths(loss: Any, x: Vector, positives: list[Vector], negatives: list[Vector]) -> dict[str, Any]:
    return {
        "pulls": [max(mpf(0), 1 + mpf(loss.margin) - cosine(x, p)) for p in positives],
        "pushes": [max(mpf(0), cosine(x, n) + mpf(loss.margin)) for n in negatives],
    }


@formula(lossary.CircleLoss)
def _(loss: Any, x: Vector, positives: list[Vector], negatives: list[Vector], **held: Any) -> mpf | None:
    held = held or strengths(loss, x, positives, negatives)
    gamma, m = mpf(loss.scale), mpf(loss.margin)
    of_positives = [
        mpmath.exp(-gamma * a * (cosine(x, p) - (1 - m))) for a, p in zip(held["pulls"], positives, strict=True)
    ]
    of_negatives = [mpmath.exp(gamma * a * (cosine(x, n) - m)) for a, n in zip(held["pushes"], negatives, strict=True)]
    return mpmath.log(1 + mpmath.fsum(of_negatives) * mpmath.fsum(of_positives)) if positives else None


CONSTANTS[lossary.CircleLoss] = strengths


@formula(lossary.ContrastiveLoss)
def _(loss: Any, x: Vector, positives: list[Vector], negatives: list[Vector]) -> mpf | None:
    if not positives and not (loss.lone and negatives):
        return None
    alike = [distance(x, p) ** 2 / 2 for p in positives]
    unlike = [max(mpf(0), mpf(loss.margin) - distance(x, n)) ** 2 / 2 for n in negatives]
    return mean(alike + unlike)


@formula(lossary.TripletLoss)
def _(loss: Any, x: Vector, positives: list[Vector], negatives: list[Vector]) -> mpf | None:
    if not positives or not negatives:
        return None
    power = 2 if loss.squared else 1
    near, far = ([distance(x, y) ** power for y in others] for others in (positives, negatives))
    if loss.mining == "all":
        triplets = list(itertools.product(near, far))
    elif loss.mining == "hard":
        triplets = [(max(near), min(far))]
    else:
        triplets = [(p, min((n for n in far if n > p), default=max(far))) for p in near]
    return mean([max(mpf(0), p - n + mpf(loss.margin)) for p, n in triplets])
