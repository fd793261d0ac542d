"""References of the box family. A formula takes the loss and two boxes, as lists of corners x1, y1, x2, y2."""

from __future__ import annotations

from typing import Any

import mpmath

import lossary
from formulas import CONSTANTS, formula, mpf


def overlap(a: list[mpf], b: list[mpf]) -> tuple[mpf, mpf]:
    """Intersection over union, and the area of the union."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    inter = width * height if width > 0 and height > 0 else mpf(0)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inter
    if union == 0:
        return mpf(a == b), union
    return inter / union, union


def hull(a: list[mpf], b: list[mpf]) -> tuple[mpf, mpf]:
    return max(a[2], b[2]) - min(a[0], b[0]), max(a[3], b[3]) - min(a[1], b[1])


def diagonal(a: list[mpf], b: list[mpf]) -> mpf:
    """Of the enclosing box, squared."""
    width, height = hull(a, b)
    return width**2 + height**2


def ratio(x: mpf, y: mpf) -> mpf:
    """What the formulas divide by is 0 only where the numerator is: two points, two segments on one line."""
    return x / y if y > 0 else mpf(0)


def centers(a: list[mpf], b: list[mpf]) -> mpf:
    return ((a[0] + a[2] - b[0] - b[2]) / 2) ** 2 + ((a[1] + a[3] - b[1] - b[3]) / 2) ** 2


def gap(a: list[mpf], b: list[mpf]) -> mpf:
    width, height = hull(a, b)
    return ratio(width * height - overlap(a, b)[1], width * height)


def aspect(a: list[mpf], b: list[mpf]) -> mpf:
    angles = []
    for box in (a, b):
        w, h = box[2] - box[0], box[3] - box[1]
        if w == 0 and h == 0:
            return mpf(0)
        angles.append(mpmath.pi / 2 if h == 0 else mpmath.atan(w / h))
    return 4 / mpmath.pi**2 * (angles[0] - angles[1]) ** 2


def ciou_alpha(a: list[mpf], b: list[mpf]) -> mpf:
    v = aspect(a, b)
    return v / (1 - overlap(a, b)[0] + v) if v > 0 else mpf(0)


def penalty(base: str, a: list[mpf], b: list[mpf], alpha: mpf | None) -> list[mpf]:
    """The terms that a loss of that name has beyond 1 - IoU."""
    if base == "ciou":
        return [*penalty("diou", a, b, alpha), (ciou_alpha(a, b) if alpha is None else alpha) * aspect(a, b)]
    return {"iou": [], "giou": [gap(a, b)], "diou": [ratio(centers(a, b), diagonal(a, b))]}[base]


@formula(lossary.IoULoss)
def _(loss: Any, a: list[mpf], b: list[mpf]) -> mpf:
    iou, _ = overlap(a, b)
    if loss.form == "log":
        return -mpmath.log(max(iou, mpf(loss.floor)))
    return 1 - iou if loss.form == "linear" else 1 - iou**2


@formula(lossary.GIoULoss)
def _(loss: Any, a: list[mpf], b: list[mpf]) -> mpf:
    return 1 - overlap(a, b)[0] + gap(a, b)


@formula(lossary.AlphaIoULoss)
def _(loss: Any, a: list[mpf], b: list[mpf], alpha: mpf | None = None) -> mpf:
    terms = penalty(loss.base, a, b, alpha)
    return 1 - overlap(a, b)[0] ** mpf(loss.alpha) + mpmath.fsum(term ** mpf(loss.alpha) for term in terms)


@formula(lossary.InnerIoULoss)
def _(loss: Any, a: list[mpf], b: list[mpf]) -> mpf:
    inner = []
    for x1, y1, x2, y2 in (a, b):
        x, y, w, h = (x1 + x2) / 2, (y1 + y2) / 2, (x2 - x1) * mpf(loss.ratio), (y2 - y1) * mpf(loss.ratio)
        inner.append([x - w / 2, y - h / 2, x + w / 2, y + h / 2])
    return 1 - overlap(*inner)[0]


@formula(lossary.DIoULoss)
def _(loss: Any, a: list[mpf], b: list[mpf]) -> mpf:
    return 1 - overlap(a, b)[0] + ratio(centers(a, b), diagonal(a, b))


@formula(lossary.CIoULoss)
def _(loss: Any, a: list[mpf], b: list[mpf], alpha: mpf | None = None) -> mpf:
    """`alpha`, where given, is the constant that the gradient takes it for."""
    return 1 - overlap(a, b)[0] + mpmath.fsum(penalty("ciou", a, b, alpha))


def eiou(a: list[mpf], b: list[mpf]) -> mpf:
    width, height = hull(a, b)
    dw, dh = (a[2] - a[0]) - (b[2] - b[0]), (a[3] - a[1]) - (b[3] - b[1])
    sides = ratio(dw**2, width**2) + ratio(dh**2, height**2)
    return 1 - overlap(a, b)[0] + ratio(centers(a, b), diagonal(a, b)) + sides


@formula(lossary.EIoULoss)
def _(loss: Any, a: list[mpf], b: list[mpf]) -> mpf:
    return eiou(a, b)


def focal_weight(loss: Any, a: list[mpf], b: list[mpf]) -> mpf:
    return overlap(a, b)[0] ** mpf(loss.gamma)


@formula(lossary.FocalEIoULoss)
def _(loss: Any, a: list[mpf], b: list[mpf], weight: mpf | None = None) -> mpf:
    return (focal_weight(loss, a, b) if weight is None else weight) * eiou(a, b)


@formula(lossary.CDIoULoss)
def _(loss: Any, a: list[mpf], b: list[mpf], alpha: mpf | None = None) -> mpf:
    corners = [mpmath.hypot(a[i] - b[i], a[j] - b[j]) for i, j in ((0, 1), (2, 1), (2, 3), (0, 3))]
    distance = ratio(mpmath.fsum(corners), 4 * mpmath.sqrt(diagonal(a, b)))
    return 1 - overlap(a, b)[0] + mpmath.fsum(penalty(loss.base, a, b, alpha)) + distance


@formula(lossary.SIoULoss)
def _(loss: Any, a: list[mpf], b: list[mpf]) -> mpf:
    offsets = [abs(a[0] + a[2] - b[0] - b[2]) / 2, abs(a[1] + a[3] - b[1] - b[3]) / 2]
    sigma = mpmath.hypot(*offsets)
    angle = mpf(0)
    if sigma > 0:
        angle = 1 - 2 * mpmath.sin(mpmath.asin(min(offsets) / sigma) - mpmath.pi / 4) ** 2
    rho = [ratio(offset**2, side**2) for offset, side in zip(offsets, hull(a, b), strict=True)]
    distance = mpmath.fsum(1 - mpmath.exp(-(2 - angle) * r) for r in rho)
    shape = mpf(0)
    for low, high in ((0, 2), (1, 3)):
        u, v = a[high] - a[low], b[high] - b[low]
        shape += (1 - mpmath.exp(-ratio(abs(u - v), max(u, v)))) ** mpf(loss.theta)
    return 1 - overlap(a, b)[0] + (distance + shape) / 2


@formula(lossary.MPDIoULoss)
def _(loss: Any, a: list[mpf], b: list[mpf]) -> mpf:
    squared = mpmath.fsum((x - y) ** 2 for x, y in zip(a, b, strict=True))
    if loss.image_size is None:
        return 1 - overlap(a, b)[0] + ratio(squared, diagonal(a, b))
    width, height = loss.image_size
    return 1 - overlap(a, b)[0] + squared / (mpf(width) ** 2 + mpf(height) ** 2)


@formula(lossary.WIoULoss)
def _(loss: Any, a: list[mpf], b: list[mpf], held_diagonal: mpf | None = None) -> mpf:
    squared = diagonal(a, b) if held_diagonal is None else held_diagonal
    return mpmath.exp(ratio(centers(a, b), squared)) * (1 - overlap(a, b)[0])


for cls in (lossary.CIoULoss, lossary.CDIoULoss, lossary.AlphaIoULoss):
    CONSTANTS[cls] = lambda loss, a, b: {"alpha": ciou_alpha(a, b)}
CONSTANTS[lossary.FocalEIoULoss] = lambda loss, a, b: {"weight": focal_weight(loss, a, b)}
CONSTANTS[lossary.WIoULoss] = lambda loss, a, b: {"held_diagonal": diagonal(a, b)}
