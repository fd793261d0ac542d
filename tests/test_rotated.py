"""Rotated boxes: the losses put pairs in the order of their true IoU, which a polygon clipper computes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import lossary as L
from lossary.checker.draws import generator

LOSSES = (
    L.GWDLoss(reduction="none"),
    L.KLDBoxLoss(reduction="none"),
    L.KLDBoxLoss(reverse=True, reduction="none"),
    L.ProbIoULoss(reduction="none"),
    L.ProbIoULoss(form="bhattacharyya", reduction="none"),
)

Polygon = list[tuple[float, float]]


def polygon(box: np.ndarray) -> Polygon:
    x, y, w, h, angle = map(float, box)
    cos, sin = math.cos(angle), math.sin(angle)
    signs = ((-1, -1), (1, -1), (1, 1), (-1, 1))
    return [(x + (i * w * cos - j * h * sin) / 2, y + (i * w * sin + j * h * cos) / 2) for i, j in signs]


def area(points: Polygon) -> float:
    following = points[1:] + points[:1]
    return abs(sum(x * v - u * y for (x, y), (u, v) in zip(points, following, strict=True))) / 2


def clip(subject: Polygon, window: Polygon) -> Polygon:
    """What of a polygon lies in a convex one (Sutherland & Hodgman 1974)."""
    for (x, y), (u, v) in zip(window, window[1:] + window[:1], strict=True):

        def side(point: tuple[float, float], x: float = x, y: float = y, u: float = u, v: float = v) -> float:
            return (u - x) * (point[1] - y) - (v - y) * (point[0] - x)

        kept: Polygon = []
        for a, b in zip(subject, subject[1:] + subject[:1], strict=True):
            p, q = side(a), side(b)
            if p >= 0:
                kept.append(a)
            if p * q < 0:
                share = p / (p - q)
                kept.append((a[0] + share * (b[0] - a[0]), a[1] + share * (b[1] - a[1])))
        subject = kept
        if not subject:
            return []
    return subject


def iou(a: np.ndarray, b: np.ndarray) -> float:
    inter = area(clip(polygon(a), polygon(b)) or [(0, 0)])
    return inter / (float(a[2] * a[3] + b[2] * b[3]) - inter)


def moved(
    box: np.ndarray, x: float = 0.0, y: float = 0.0, width: float = 0.0, height: float = 0.0, angle: float = 0.0
) -> np.ndarray:
    return box + np.array([x, y, width, height, angle])


def ranks(x: np.ndarray) -> np.ndarray:
    return np.argsort(np.argsort(x)).astype(float)


def test_the_clipper() -> None:
    square = np.array([0.0, 0, 1, 1, 0])
    octagon = 2 * (math.sqrt(2) - 1)  # two unit squares at 45 degrees share this much
    assert iou(square, moved(square, angle=math.pi / 4)) == pytest.approx(octagon / (2 - octagon))
    assert iou(square, moved(square, 0.5, angle=math.pi / 2)) == pytest.approx(1 / 3)
    assert iou(square, moved(square, 3, angle=0.4)) == 0


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_order_of_random_pairs(loss: L.Loss) -> None:
    """Spearman's correlation of loss and IoU over pairs of one target: -.87 (KLD), -.89 (GWD) and -.99
    (ProbIoU) here, and -.75 for the L1 distance of the five numbers."""
    rng = generator("rotated")
    target = np.tile([0.0, 0, 4, 2, 0.5], (600, 1))
    prediction = target + rng.normal(size=(600, 5)) * [0.6, 0.6, 0.6, 0.4, 0.4]
    prediction[:, 2:4] = np.maximum(prediction[:, 2:4], 0.3)
    true = np.array([iou(a, b) for a, b in zip(prediction, target, strict=True)])
    assert true.max() > 0.8
    assert true.min() < 0.2
    ours, plain = (
        np.corrcoef(ranks(cost), ranks(true))[0, 1]
        for cost in (loss(prediction, target), np.abs(prediction - target).sum(1))
    )
    assert ours < min(plain, -0.85)


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
@pytest.mark.parametrize(
    "change",
    [(0.3, 0, 0, 0, 0), (0, 0.2, 0, 0, 0), (0, 0, 0.4, 0, 0), (0, 0, 0, 0.2, 0), (0, 0, 0, 0, 0.1)],
    ids=["along", "across", "width", "height", "angle"],
)
def test_order_of_one_change(loss: L.Loss, change: tuple[float, ...]) -> None:
    """The further from the target along one number, the smaller the IoU and the larger the loss."""
    target = np.array([1.0, 2, 4, 1.5, 0.7])
    cos, sin = math.cos(0.7), math.sin(0.7)
    along, across, *rest = change
    step = np.array([along * cos - across * sin, along * sin + across * cos, *rest])
    prediction = target + np.arange(8)[:, None] * step
    true = [iou(box, target) for box in prediction]
    assert (np.diff(true) < 0).all()
    assert (np.diff(loss(prediction, np.tile(target, (8, 1)))) > 0).all()


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_one_box_has_many_names(loss: L.Loss) -> None:
    """Half turns, exchanged sides, and every angle of a square: all the same box."""
    box = np.array([[1.0, 2, 4, 2, 0.3]])
    near = moved(box, 0.3, -0.2, 0.5, 0.1, 0.2)
    for other in (moved(near, angle=math.pi), moved(near[:, [0, 1, 3, 2, 4]], angle=math.pi / 2)):
        np.testing.assert_allclose(loss(other, box), loss(near, box), rtol=1e-12)
        np.testing.assert_allclose(loss(box, other), loss(box, near), rtol=1e-12)
    square = np.array([[0.0, 0, 2, 2, 0]])
    assert loss(moved(square, angle=0.6), square) == pytest.approx(0, abs=1e-7)


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_equal_boxes_cost_nothing_at_any_size(loss: L.Loss) -> None:
    for size in (0.0, 1e-6, 1e-3, 1.0, 1e6):
        for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
            box = torch.tensor([[1.0, 2.0, size, 2 * size, 0.3]]).clamp(max=6e4).to(dtype).requires_grad_()
            value = loss(box, box.detach().clone())
            value.sum().backward()
            assert value == 0
            assert torch.isfinite(box.grad).all()


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_thin_boxes_far_away(loss: L.Loss) -> None:
    """Sides that vanish beside the distance: squares of them underflow in float32."""
    target = torch.tensor([[0.0, 0, 1, 0, 0.0], [0, 0, 1e-12, 1e-13, 0.4], [0, 0, 1e-20, 1, 1]])
    box = torch.tensor([[1e6, 0, 0, 1, 1.5], [1e3, 1e3, 1e-12, 1e-13, 0], [0, 1, 1, 1e-20, 0]]).requires_grad_()
    value = loss(box, target)
    value.sum().backward()
    assert torch.isfinite(value).all()
    assert torch.isfinite(box.grad).all()


def test_a_negative_side_is_named() -> None:
    boxes = np.array([[[0.0, 0, 1, 1, 0], [0, 0, 1, -2, 0]]])
    with L.checked(), pytest.raises(ValueError, match=r"`target` at \[0, 1\] is \[0.0, 0.0, 1.0, -2.0, 0.0\]"):
        L.ProbIoULoss()(boxes[:, [0, 0]], boxes)
    with pytest.raises(ValueError, match="five numbers"):
        L.GWDLoss()(boxes[..., :4], boxes[..., :4])


def test_direction_of_the_divergence() -> None:
    """mmrotate's `kld_loss` is KL(target ‖ prediction): .2164 for this pair (`fun="log1p", tau=1, sqrt=False`, by hand:
    D = (1/4 - 1 + ln 4)/2); ours is the other direction, and `reverse` gives the first."""
    wide, box = np.array([[0.0, 0, 8, 2, 0.3]]), np.array([[0.0, 0, 4, 2, 0.3]])
    back, there = (1 / 4 - 1 + math.log(4)) / 2, (4 - 1 - math.log(4)) / 2
    assert L.KLDBoxLoss(reverse=True)(wide, box) == pytest.approx(1 - 1 / (1 + math.log1p(back)))
    assert L.KLDBoxLoss()(wide, box) == pytest.approx(1 - 1 / (1 + math.log1p(there)))
    both = L.KLDBoxLoss() + L.KLDBoxLoss(reverse=True)  # a sum shares no batch between the two
    assert both(wide, box) == pytest.approx(L.KLDBoxLoss()(wide, box) + L.KLDBoxLoss(reverse=True)(wide, box))
