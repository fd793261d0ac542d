"""References of losses of whole masks: loops over places, distances by brute force.

A formula takes the loss, an `Image`, and the image at which what the gradient holds constant is computed. It gives the
value of each class and place with the share that the mean counts. Losses that weigh a cross entropy have its factor of
each class and place in `FACTORS`; where one class excludes the others it is the same for all of them.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import mpmath

import lossary
from formulas import formula, mpf
from lossary.core.loss import Loss

Place = tuple[int, ...]
Values = dict[tuple[int, Place], tuple[Any, Any]]
Factors = dict[tuple[int, Place], Any]


@dataclasses.dataclass(frozen=True)
class Image:
    """One image: probability and target of each class and place, and the places that count. The others hold the
    background in both."""

    shape: tuple[int, ...]
    p: dict[tuple[int, Place], mpf]
    q: dict[tuple[int, Place], mpf]  # 1 - p, which may lie beyond the digits of p
    t: dict[tuple[int, Place], mpf]
    counted: set[tuple[int, Place]]
    exclusive: bool  # one class at each place

    @property
    def places(self) -> list[Place]:
        return list(itertools.product(*map(range, self.shape)))

    @property
    def classes(self) -> list[int]:
        return sorted({c for c, _ in self.p})


def spacing_of(loss: Any, image: Image) -> tuple[float, ...]:
    given = tuple(getattr(loss, "spacing", None) or ())
    return (1.0,) * (len(image.shape) - len(given)) + given if given else (1.0,) * len(image.shape)


def to_other_side(inside: dict[Place, bool], spacing: tuple[float, ...]) -> dict[Place, float]:
    """From each place to the nearest that is not of its side; 0 where there is none."""

    def far(a: Place, b: Place) -> float:
        return math.sqrt(math.fsum(((i - j) * s) ** 2 for i, j, s in zip(a, b, spacing, strict=True)))

    return {a: min((far(a, b) for b in inside if inside[b] != inside[a]), default=0.0) for a in inside}


def mask_of(image: Image, x: dict[tuple[int, Place], mpf], c: int) -> dict[Place, bool]:
    return {i: x[c, i] > mpf("0.5") for i in image.places}


def neighbours(image: Image, i: Place) -> Iterator[Place]:
    """The nearest places along each axis, within the frame."""
    for axis, size in enumerate(image.shape):
        for step in (-1, 1):
            if 0 <= i[axis] + step < size:
                yield (*i[:axis], i[axis] + step, *i[axis + 1 :])


@formula(lossary.BoundaryLoss)
def _(loss: Any, image: Image, held: Image) -> Values:
    values = {}
    for c in image.classes:
        inside = mask_of(image, image.t, c)
        d = to_other_side(inside, spacing_of(loss, image))
        for i in image.places:
            values[c, i] = (-d[i] if inside[i] else d[i]) * image.p[c, i], 1
    return values


@formula(lossary.HausdorffDTLoss)
def _(loss: Any, image: Image, held: Image) -> Values:
    values = {}
    for c in image.classes:
        d_t = to_other_side(mask_of(image, image.t, c), spacing_of(loss, image))
        d_p = to_other_side(mask_of(held, held.p, c), spacing_of(loss, image))
        for i in image.places:
            weight = mpf(d_t[i]) ** mpf(loss.alpha)
            if not loss.one_sided:
                weight += mpf(d_p[i]) ** mpf(loss.alpha)
            values[c, i] = (image.t[c, i] - image.p[c, i]) ** 2 * weight, 1
    return values


@formula(lossary.HausdorffErosionLoss)
def _(loss: Any, image: Image, held: Image) -> Values:
    values = {}
    cross = 1 + 2 * sum(n > 1 for n in image.shape)
    for c in image.classes:
        x = {i: (image.t[c, i] - image.p[c, i]) ** 2 for i in image.places}
        total = dict.fromkeys(image.places, mpf(0))
        for k in range(1, loss.erosions + 1):
            if loss.erosion == "minimum":
                x = {i: min([x[i], *(x[j] for j in neighbours(image, i))]) for i in x}
                total = {i: total[i] + mpf(k) ** mpf(loss.alpha) * x[i] for i in x}
                continue
            mean = {i: mpmath.fsum([x[i], *(x[j] for j in neighbours(image, i))]) / cross for i in x}
            x = {i: max(mean[i] - mpf("0.5"), mpf(0)) for i in x}
            low, high = min(x.values()), max(x.values())
            if high > low:
                x = {i: (v - low) / (high - low) for i, v in x.items()}
            total = {i: total[i] + mpf(k) ** mpf(loss.alpha) * x[i] for i in x}
        values |= {(c, i): (v, 1) for i, v in total.items()}
    return values


@formula(lossary.StructuralSimilarityLoss)
def _(loss: Any, image: Image, held: Image) -> Values:
    radius = loss.window // 2
    weights = {
        k: mpmath.exp(-mpf(sum(s * s for s in k)) / (2 * mpf(loss.sigma) ** 2))
        for k in itertools.product(range(-radius, radius + 1), repeat=len(image.shape))
    }
    weights = {k: w / mpmath.fsum(weights.values()) for k, w in weights.items()}
    constant = mpf(loss.constant)

    def structure(x: dict[tuple[int, Place], mpf], c: int, i: Place) -> mpf:
        near = {  # beyond the frame its outermost places repeat
            k: x[c, tuple(min(max(a + s, 0), n - 1) for a, s, n in zip(i, k, image.shape, strict=True))]
            for k in weights
        }
        mean = mpmath.fsum(w * near[k] for k, w in weights.items())
        variance = mpmath.fsum(w * (near[k] - mean) ** 2 for k, w in weights.items())
        return (x[c, i] - mean + constant) / (mpmath.sqrt(variance) + constant)

    errors = {
        (c, i): abs(structure(image.t, c, i) - structure(image.p, c, i)) for c in image.classes for i in image.places
    }
    taking = _members(loss, image)
    greatest = max((e for (c, i), e in errors.items() if (c, i) in image.counted and c in taking), default=mpf(0))
    values = {}
    for (c, i), e in errors.items():
        p, t = image.p[c, i], image.t[c, i]
        entropy = -(t * mpmath.log(p) if t else 0) - ((1 - t) * mpmath.log(image.q[c, i]) if t < 1 else 0)
        hard = e > mpf(loss.hardness) * greatest
        values[c, i] = (e * entropy, 1) if hard and (c, i) in image.counted else (mpf(0), 0)
    return values


def _members(loss: Any, image: Image) -> list[int]:
    return image.classes if isinstance(loss.classes, str) else list(loss.classes)


def _near_boundary(loss: Any, image: Image, held: Image) -> Factors:
    """1 + φ."""
    distances = {c: to_other_side(mask_of(image, image.t, c), spacing_of(loss, image)) for c in image.classes}
    if image.exclusive:
        own = {i: mpmath.fsum(image.t[c, i] * distances[c][i] for c in image.classes) for i in image.places}
        distances = dict.fromkeys(image.classes, own)
    factors = {}
    for c in image.classes:
        farthest = max((distances[c][i] for i in image.places if (c, i) in image.counted), default=0)
        for i in image.places:
            factors[c, i] = 2 - mpf(distances[c][i]) / farthest if farthest else mpf(1)
    return factors


def _off_outline(loss: Any, image: Image, held: Image) -> Factors:
    """1 + E."""

    def predicted(c: int, i: Place) -> bool:
        if image.exclusive:
            return held.p[c, i] == max(held.p[k, i] for k in image.classes)
        return held.p[c, i] > mpf("0.5")

    def offsets(c: int) -> list[float]:
        """How far each border place of the predicted mask is from the outline of the true one."""
        true = mask_of(image, image.t, c)
        d = to_other_side(true, spacing_of(loss, image))
        mine = {i: predicted(c, i) for i in image.places}
        border = [i for i in image.places if mine[i] and not all(mine[j] for j in neighbours(image, i))]
        return [d[i] - min(spacing_of(loss, image)) if true[i] else d[i] for i in border if d[i] > 0]

    def mean(values: list[float]) -> float:
        return math.fsum(values) / len(values) if values else 0.0

    off = {c: mean(offsets(c)) for c in image.classes}
    wrong = {(c, i): predicted(c, i) != (image.t[c, i] > mpf("0.5")) for c in image.classes for i in image.places}
    if image.exclusive:
        outlined = image.classes[1:] or image.classes
        off = dict.fromkeys(image.classes, mean([d for c in outlined for d in offsets(c)]))
        wrong = {(c, i): any(wrong[k, i] for k in image.classes) for c, i in wrong}
    return {(c, i): 1 + mpf(off[c]) * (wrong[c, i] or loss.pixels == "all") for c, i in wrong}


FACTORS: dict[type[Loss], Callable[[Any, Image, Image], Factors]] = {
    lossary.DistancePenalizedCrossEntropyLoss: _near_boundary,
    lossary.ShapeAwareLoss: _off_outline,
}


# --- clDice: a formula takes the loss, the image, one class and the weight of each place ------------------------------


@formula(lossary.ClDiceLoss)
def _(loss: Any, images: list[Image], c: int, weight: Callable[[int, Place], float]) -> float:
    sums = dict.fromkeys(("S_p t", "S_p", "S_t p", "S_t", "p t", "p", "t"), mpf(0))
    for n, image in enumerate(images):
        p, t = ({i: x[c, i] for i in image.places} for x in (image.p, image.t))
        s_p, s_t = skeleton(image, p, loss.iterations), skeleton(image, t, loss.iterations)
        for i in image.places:
            w = weight(n, i)
            terms = (s_p[i] * t[i], s_p[i], s_t[i] * p[i], s_t[i], p[i] * t[i], p[i], t[i])
            sums = {name: total + w * term for (name, total), term in zip(sums.items(), terms, strict=True)}
    s = mpf(loss.smooth)
    value = mpf(0)
    if sums["S_p"] + s or sums["S_t"] + s:
        precision = (sums["S_p t"] + s) / (sums["S_p"] + s) if sums["S_p"] + s else mpf(0)
        recall = (sums["S_t p"] + s) / (sums["S_t"] + s) if sums["S_t"] + s else mpf(0)
        value = 1 - (2 * precision * recall / (precision + recall) if precision + recall else 0)
    whole = sums["p"] + sums["t"] + s
    dice = 1 - (2 * sums["p t"] + s) / whole if whole else mpf(0)
    share = mpf(loss.dice_share)
    return float(share * dice + (1 - share) * value)


def skeleton(image: Image, x: dict[Place, mpf], iterations: int) -> dict[Place, mpf]:
    """Algorithm 1 of the paper, with an erosion by the cross, as in the authors' code."""

    def eroded(x: dict[Place, mpf]) -> dict[Place, mpf]:
        return {i: min([x[i], *(x[j] for j in neighbours(image, i))]) for i in x}

    def opened(x: dict[Place, mpf]) -> dict[Place, mpf]:
        small = eroded(x)
        return {i: max(small[j] for j in small if all(abs(a - b) <= 1 for a, b in zip(i, j, strict=True))) for i in x}

    wide = opened(x)
    found = {i: max(x[i] - wide[i], mpf(0)) for i in x}
    for _ in range(iterations):
        x = eroded(x)
        wide = opened(x)
        found = {i: found[i] + (1 - found[i]) * max(x[i] - wide[i], mpf(0)) for i in x}
    return found
