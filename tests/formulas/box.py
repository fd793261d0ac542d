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


@formula(lossary.GIoULoss)
def _(loss: Any, a: list[mpf], b: list[mpf]) -> mpf:
    iou, union = overlap(a, b)
    width, height = hull(a, b)
    area = width * height
    return 1 - iou + ((area - union) / area if area > 0 else 0)


@formula(lossary.CIoULoss)
def _(loss: Any, a: list[mpf], b: list[mpf], alpha: mpf | None = None) -> mpf:
    """`alpha`, where given, is the constant that the gradient takes it for."""
    iou, _ = overlap(a, b)
    width, height = hull(a, b)
    diagonal = width**2 + height**2
    centers = ((a[0] + a[2] - b[0] - b[2]) / 2) ** 2 + ((a[1] + a[3] - b[1] - b[3]) / 2) ** 2
    v = aspect(a, b)
    if alpha is None:
        alpha = ciou_alpha(a, b)
    return 1 - iou + (centers / diagonal if diagonal > 0 else 0) + alpha * v


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


CONSTANTS[lossary.CIoULoss] = lambda a, b: {"alpha": ciou_alpha(a, b)}
