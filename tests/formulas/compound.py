"""References of compound losses.

A formula takes the loss, its counted places and `region(f)`, the reduced region part for a formula
f(TP, FP, FN, class).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import mpmath

import lossary
from formulas import formula, mpf


@dataclasses.dataclass
class Answer:
    """One of the answers that may be true at a place: a class, or one of two sides (0 and 1)."""

    share: mpf  # the probability that it is true
    p: mpf
    q: mpf  # 1 - p
    label: int
    weight: float  # its class weight


@dataclasses.dataclass
class Place:
    answers: list[Answer]
    weight: float
    channel: int  # of a multilabel task, else 0


Region = Callable[[Callable[[float, float, float, int], Any]], float]


def mean(loss: Any, places: list[Place], cost: Callable[[Place], mpf]) -> float:
    """`cost` holds the class weights already."""
    total = float(mpmath.fsum(place.weight * cost(place) for place in places))
    if loss.reduction == "sum":
        return total
    below = float(len(places))
    if loss.reduction == "weighted_mean":
        below = math.fsum(p.weight * float(label_weight(p)) for p in places)
    return total / below if below else 0.0


def label_weight(place: Place) -> mpf:
    return mpmath.fsum(a.share * a.weight for a in place.answers)


def expectation(cost: Callable[[Answer], mpf]) -> Callable[[Place], mpf]:
    return lambda place: mpmath.fsum(a.share * a.weight * cost(a) for a in place.answers if a.share > 0)


@formula(lossary.ComboLoss)
def _(loss: Any, places: list[Place], region: Region) -> float:
    beta = mpf(loss.beta)

    def one_vs_rest(place: Place) -> mpf:
        questions = place.answers if loss.task == "multiclass" else place.answers[1:]
        terms = [
            -(beta * a.share * mpmath.log(a.p) if a.share > 0 else 0)
            - ((1 - beta) * (1 - a.share) * mpmath.log(a.q) if a.share < 1 else 0)
            for a in questions
        ]
        return label_weight(place) * mpmath.fsum(terms) / len(questions)

    def dice(tp: float, fp: float, fn: float, _: int) -> float:
        below = 2 * tp + fp + fn + loss.smooth
        return 1 - (2 * tp + loss.smooth) / below if below else 0.0

    return loss.weight * mean(loss, places, one_vs_rest) + (1 - loss.weight) * region(dice)


@formula(lossary.ExpLogLoss)
def _(loss: Any, places: list[Place], region: Region) -> float:
    def dice(tp: float, fp: float, fn: float, _: int) -> float:
        coefficient = (2 * mpf(tp) + loss.smooth) / (2 * mpf(tp) + mpf(fp) + mpf(fn) + loss.smooth)
        return float((-mpmath.log(coefficient)) ** mpf(loss.gamma_dice))

    def frequency(place: Place, answer: Answer) -> mpf:
        """f_y / Σ f."""
        if loss.counts is not None:
            numbers = loss.counts
            return mpf(numbers[place.channel if loss.task == "multilabel" else answer.label]) / math.fsum(numbers)
        own = [(p.weight, a) for p in places if p.channel == place.channel for a in p.answers]
        return mpmath.fsum(w * a.share for w, a in own if a.label == answer.label) / mpmath.fsum(
            w * a.share for w, a in own
        )

    def cross(place: Place) -> mpf:
        if place.weight == 0:
            return mpf(0)
        return expectation(lambda a: (-mpmath.log(a.p)) ** mpf(loss.gamma_cross) / mpmath.sqrt(frequency(place, a)))(
            place
        )

    return loss.dice_weight * region(dice) + loss.cross_weight * mean(loss, places, cross)


@formula(lossary.UnifiedFocalLoss)
def _(loss: Any, places: list[Place], region: Region) -> float:
    delta, gamma = mpf(loss.delta), mpf(loss.gamma)

    def focal(a: Answer) -> mpf:
        if a.label == 0:
            return (1 - delta) * a.q**gamma * -mpmath.log(a.p)
        return delta * (1 if loss.asymmetric else a.q**gamma) * -mpmath.log(a.p)

    def tversky(tp: float, fp: float, fn: float, c: int) -> float:
        below = mpf(tp) + delta * mpf(fn) + (1 - delta) * mpf(fp) + loss.smooth
        miss = 1 - (mpf(tp) + loss.smooth) / below if below else mpf(0)
        plain = loss.asymmetric and loss.task == "multiclass" and c == 0
        return float(miss if plain else miss ** (1 - gamma))

    return loss.weight * mean(loss, places, expectation(focal)) + (1 - loss.weight) * region(tversky)
