"""The losses of torchvision."""

from __future__ import annotations

import pytest
import torch

import lossary as L
from parity.samples import boxes, masks, same

ops = pytest.importorskip("torchvision.ops", reason="torchvision is in .venv-peers: make parity")


@pytest.mark.parametrize("gamma", [0.0, 1.0, 2.0, 3.5])
@pytest.mark.parametrize("alpha", [None, 0.25, 0.9])
def test_focal(alpha, gamma):
    z, hard, _ = masks()
    ours = L.FocalLoss("binary", alpha=alpha, gamma=gamma)
    options = {"alpha": -1 if alpha is None else alpha, "gamma": gamma, "reduction": "mean"}
    same(lambda z: ours(z, hard.bool()), lambda z: ops.sigmoid_focal_loss(z, hard, **options), z)


def test_focal_of_soft_targets_differs():
    """torchvision takes p_t as the mixture t·p + (1-t)·(1-p); ours is the expectation of the loss over t."""
    z, _, t = masks()
    p = torch.sigmoid(z)
    expectation = -(t * (1 - p) ** 2 * p.log() + (1 - t) * p**2 * (1 - p).log()).mean()
    ours, theirs = L.FocalLoss("binary")(z, t), ops.sigmoid_focal_loss(z, t, alpha=-1, reduction="mean")
    torch.testing.assert_close(ours, expectation)
    assert not torch.isclose(ours, theirs, rtol=1e-2)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (L.GIoULoss, "generalized_box_iou_loss"),
        (L.DIoULoss, "distance_box_iou_loss"),
        (L.CIoULoss, "complete_box_iou_loss"),
    ],
)
def test_boxes(ours, theirs, reduction):
    """Within 1e-6 on a thousand pairs: torchvision adds 1e-7 to its denominators."""
    prediction, target = boxes()
    same(
        lambda x: ours(reduction=reduction)(x, target),
        lambda x: getattr(ops, theirs)(x, target, reduction=reduction),
        prediction,
        rtol=1e-6,
        atol=1e-6,
    )


def test_boxes_without_height():
    """CIoU of a box of height 0: torchvision's gradient is NaN, ours finite."""
    flat, target = torch.tensor([[0.0, 0, 1, 0]], requires_grad=True), torch.tensor([[0.0, 0, 1, 1]])
    (theirs,) = torch.autograd.grad(ops.complete_box_iou_loss(flat, target, reduction="sum"), flat)
    value = L.CIoULoss()(flat, target)
    (ours,) = torch.autograd.grad(value, flat)
    assert theirs.isnan().any()
    assert ours.isfinite().all()
    assert value.item() == pytest.approx(1.175)


def test_small_equal_boxes():
    """Equal boxes of side 1e-3: torchvision's epsilon shows as a loss of .09, ours is 0."""
    box = torch.tensor([[0.1, 0.1, 0.101, 0.101]])
    assert ops.generalized_box_iou_loss(box, box, reduction="mean") > 0.05
    assert L.GIoULoss()(box, box) == 0
    assert L.CIoULoss()(box, box) == 0


def test_inverted_boxes():
    """torchvision scores an inverted box as perfect; here its sides count as 0."""
    inverted, target = torch.tensor([[2.0, 2, 0, 0]]), torch.tensor([[0.0, 0, 2, 2]])
    assert ops.generalized_box_iou_loss(inverted, target, reduction="mean").abs() < 1e-6
    assert L.GIoULoss()(inverted, target) >= 1


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("iou", "box_iou"),
        ("giou", "generalized_box_iou"),
        ("diou", "distance_box_iou"),
        ("ciou", "complete_box_iou"),
    ],
)
def test_pairwise(ours, theirs):
    a, b = boxes()
    a, b = a[:40].double(), b[:25].double()
    torch.testing.assert_close(
        getattr(L.boxes, ours)(a, b, pairwise=True), getattr(ops, theirs)(a, b), rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("whole", [False, True], ids=["any", "whole pixels"])
def test_nms(threshold, whole):
    """Equal boxes, equal order; on whole pixels many pairs lie right at the threshold and many scores are equal."""
    generator = torch.Generator().manual_seed(3)
    low = torch.rand(4000, 2, generator=generator) * 300
    found = torch.cat([low, low + 1 + torch.rand(4000, 2, generator=generator) * 40], dim=1)
    scores = torch.rand(4000, generator=generator)
    classes = torch.randint(0, 5, (4000,), generator=generator)
    if whole:
        found, scores = found.round(), scores.mul(100).round()
    assert torch.equal(L.boxes.nms(found, scores, threshold), ops.nms(found, scores, threshold))
    ours = L.boxes.nms(found, scores, threshold, classes=classes)
    theirs = ops.batched_nms(found, scores, classes, threshold)
    # torchvision leaves the order of equal scores of different classes open
    assert sorted(ours.tolist()) == sorted(theirs.tolist())
    assert torch.equal(scores[ours], scores[theirs])
