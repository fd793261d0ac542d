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
    ("ours", "theirs"), [(L.GIoULoss, "generalized_box_iou_loss"), (L.CIoULoss, "complete_box_iou_loss")]
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
