"""Losses that generalise one another give one number where they meet."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

import lossary as L
from inputs import Batch, draw
from lossary.core.loss import Loss

SMOOTH = 0.75

EQUAL: list[tuple[Loss, Loss, float]] = [
    # left, right, factor: left == factor * right
    (L.FocalLoss("binary", gamma=0), L.BCELoss(), 1),
    (L.FocalLoss("binary", gamma=0, alpha=0.5), L.BCELoss(), 0.5),
    (L.FocalLoss("multiclass", gamma=0), L.CrossEntropyLoss(), 1),
    (L.FocalLoss("multiclass", alpha=(2, 2, 2, 2)), L.FocalLoss("multiclass"), 2),
    (L.BCELoss(pos_weight=1), L.BCELoss(), 1),
    (L.BCELoss("multilabel", class_weight=(1, 1, 1, 1)), L.BCELoss(), 1),
    (L.CrossEntropyLoss(class_weight=(3, 3, 3, 3), reduction="weighted_mean"), L.CrossEntropyLoss(), 1),
    (L.TverskyLoss("multiclass", smooth=SMOOTH), L.DiceLoss("multiclass", smooth=2 * SMOOTH), 1),
    (L.TverskyLoss("binary", per="batch", smooth=SMOOTH), L.DiceLoss("binary", per="batch", smooth=2 * SMOOTH), 1),
    (L.HuberLoss(delta=2), L.SmoothL1Loss(beta=2), 2),
    (L.HuberLoss(delta=math.inf), L.MSELoss(), 0.5),
    (L.HuberLoss(delta=1e9), L.MSELoss(), 0.5),
    (L.SmoothL1Loss(beta=0), L.L1Loss(), 1),
    (L.DiceLoss("multiclass", classes=(0, 1, 2, 3)), L.DiceLoss("multiclass"), 1),
    (L.DiceLoss("multiclass", class_weight=(1, 1, 1, 1)), L.DiceLoss("multiclass"), 1),
]


@pytest.mark.parametrize(("left", "right", "factor"), EQUAL, ids=lambda x: repr(x))
def test_equal(left: Loss, right: Loss, factor: float) -> None:
    batch = draw(left)
    expected = factor * float(right(batch.prediction, batch.target))
    assert float(left(batch.prediction, batch.target)) == pytest.approx(expected, rel=1e-9)


LIMITS: list[tuple[Callable[[float], Loss], Loss, Callable[[float], float]]] = [
    (lambda d: L.HuberLoss(delta=d), L.L1Loss(), lambda d: d),
    (lambda d: L.SmoothL1Loss(beta=d), L.L1Loss(), lambda d: 1.0),
]


@pytest.mark.parametrize(("family", "limit", "factor"), LIMITS)
def test_limits(family: Callable[[float], Loss], limit: Loss, factor: Callable[[float], float]) -> None:
    """As the parameter goes to 0: Huber/δ and smooth L1 to L1 (and Huber itself to 0)."""
    batch = draw(limit)
    expected = float(limit(batch.prediction, batch.target))
    errors = [abs(float(family(d)(batch.prediction, batch.target)) / factor(d) - expected) for d in (1e-2, 1e-4, 1e-6)]
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 1e-6


def values(loss: Loss, batch: Batch) -> np.ndarray:
    return np.asarray(loss.replace(reduction="none")(batch.prediction, batch.target))


def test_bounds() -> None:
    boxes = draw(L.GIoULoss(), samples=40)
    iou = values(L.GIoULoss(), boxes) - values_of_hull(boxes)
    assert (values(L.GIoULoss(), boxes) >= iou - 1e-12).all()  # GIoU ≤ IoU
    assert (values(L.CIoULoss(), boxes) >= iou - 1e-12).all()
    margins = draw(L.HingeLoss("binary"))
    wrong = (np.where(margins.target > 0, 1, -1) * margins.prediction) <= 0
    assert (values(L.HingeLoss("binary"), margins) >= wrong).all()  # hinge and exponential bound the zero-one loss
    assert (values(L.ExponentialLoss("binary"), margins) >= wrong).all()
    errors = draw(L.L1Loss())
    assert (values(L.HuberLoss(), errors) <= values(L.L1Loss(), errors)).all()
    assert (values(L.LogCoshLoss(), errors) <= values(L.HuberLoss(), errors) + math.log(2)).all()
    likely = draw(L.CrossEntropyLoss())
    assert (values(L.FocalLoss("multiclass"), likely) <= values(L.CrossEntropyLoss(), likely)).all()


def values_of_hull(boxes: Batch) -> np.ndarray:
    from formulas.box import hull, overlap

    def gap(a: list[float], b: list[float]) -> float:
        width, height = hull(a, b)
        return float((width * height - overlap(a, b)[1]) / (width * height))

    shape = boxes.prediction.shape[:-1]
    return np.reshape([gap(list(boxes.prediction[i]), list(boxes.target[i])) for i in np.ndindex(shape)], shape)


def test_cross_entropy_is_divergence_plus_entropy() -> None:
    batch = draw(L.KLDivLoss())
    entropy = -(batch.target * np.log(batch.target)).sum(1).mean()
    divergence = L.KLDivLoss()(batch.prediction, batch.target)
    assert L.CrossEntropyLoss()(batch.prediction, batch.target) == pytest.approx(divergence + entropy, rel=1e-12)


def test_two_classes_are_a_binary_task() -> None:
    z = np.random.default_rng(0).normal(size=(6, 3))
    t = (z > 0.3).astype(int)
    both = np.stack([np.zeros_like(z), z], axis=1)
    assert L.CrossEntropyLoss()(both, t) == pytest.approx(L.BCELoss()(z, t), rel=1e-12)
    assert L.FocalLoss("multiclass")(both, t) == pytest.approx(L.FocalLoss("binary")(z, t), rel=1e-12)


def test_mean_and_median() -> None:
    """What S0 and S4 get wrong: of 95 % targets at 1000 and 5 % at 10, MSE finds 950.5 and L1 finds 1000."""
    target = np.repeat([1000.0, 10.0], [95, 5])
    candidates = np.linspace(0, 1100, 2201)
    best = {
        cls: candidates[np.argmin([cls()(np.full(100, c), target) for c in candidates])]
        for cls in (L.MSELoss, L.L1Loss)
    }
    assert best == {L.MSELoss: 950.5, L.L1Loss: 1000.0}


def test_lovasz_on_hard_predictions_is_the_jaccard_loss() -> None:
    rng = np.random.default_rng(1)
    predicted, target = rng.integers(0, 3, (2, 30)), rng.integers(0, 3, (2, 30))
    logits = np.moveaxis(np.where(np.eye(3)[predicted] > 0, 50.0, -50.0), -1, 1)
    jaccard = [
        1 - ((predicted == c) & (target == c)).sum() / ((predicted == c) | (target == c)).sum() for c in range(3)
    ]
    assert L.LovaszSoftmaxLoss()(logits, target) == pytest.approx(np.mean(jaccard), rel=1e-9)
