"""How the checker reads what people write: which arrays it takes, of how many classes, with which third argument."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F

import lossary
from lossary.checker import nearest
from lossary.checker.inference import NotUnderstoodError, understood
from lossary.checker.loading import subject_of


def mse(p, t):
    return ((p - t) ** 2).mean()


def mae(p, t):
    return (p - t).abs().mean()


def rmse(p, t):
    return ((p - t) ** 2).mean().sqrt()


def log_cosh(p, t):
    return torch.log(torch.cosh(p - t)).mean()


def charbonnier(p, t):
    return torch.sqrt((p - t) ** 2 + 1e-6).mean()


def pinball(p, t):
    error = t - p
    return torch.maximum(0.9 * error, -0.1 * error).mean()


@pytest.mark.parametrize(
    ("loss", "equals"),
    [
        (mse, "MSELoss"),
        (mae, "L1Loss"),
        (rmse, "RMSELoss"),
        (log_cosh, "LogCoshLoss"),
        (charbonnier, "CharbonnierLoss"),
        (pinball, "QuantileLoss(quantile=0.9)"),
    ],
)
def test_a_regression_is_read_as_one(loss: Callable[..., Any], equals: str) -> None:
    subject, convention = understood(subject_of(loss))
    assert str(convention) == "values of one shape"
    assert str(nearest.find(subject, convention)).startswith(equals)


@pytest.mark.parametrize("loss", [mse, mae, charbonnier, pinball])  # cosh overflows, and the root has no slope at 0
def test_a_regression_has_no_wrong_value(loss: Callable[..., Any]) -> None:
    assert lossary.check(loss, seconds=100).failing("wrong") == ()


class LDAM(torch.nn.Module):
    """Margins by class counts, as the paper's repository has them."""

    def __init__(self, counts: list[int]) -> None:
        super().__init__()
        margins = torch.tensor(counts, dtype=torch.float32) ** -0.25
        self.margins = 0.5 * margins / margins.max()

    def forward(self, logits, target):
        index = F.one_hot(target, logits.shape[1]).bool()
        margin = self.margins @ index.float().T
        return F.cross_entropy(30 * torch.where(index, logits - margin[:, None], logits), target)


def weighted_by_a_constant(logits, target):
    return F.cross_entropy(logits, target, weight=torch.linspace(1, 2, 7, dtype=logits.dtype))


@pytest.mark.parametrize(
    ("loss", "classes"),
    [
        (torch.nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 3.0])), 3),
        (torch.nn.CrossEntropyLoss(weight=torch.linspace(1, 2, 19)), 19),
        (LDAM([10, 20, 30, 50]), 4),
        (weighted_by_a_constant, 7),
        (F.cross_entropy, None),
    ],
)
def test_the_number_of_classes_is_found(loss: Callable[..., Any], classes: int | None) -> None:
    _, convention = understood(subject_of(loss))
    assert (convention.kind, convention.target, convention.classes) == ("multiclass", "labels", classes)


@pytest.mark.parametrize("classes", [None, 3])
def test_an_exception_at_another_number_of_classes_is_no_finding(classes: int | None) -> None:
    weighted = torch.nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 3.0]))
    report = lossary.check(weighted, classes=classes, seconds=100)
    # its weights are float32, and it takes half precision with no others
    raising = [f.name for f in report.findings if "raises" in f.words]
    assert set(raising) <= {"half_precision", "large_image"}
    assert report.failing("wrong") == ()


def test_another_number_of_classes_than_it_was_made_for() -> None:
    weighted = torch.nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 3.0]))
    with pytest.raises(NotUnderstoodError, match="all 5 classes"):
        understood(subject_of(weighted), "classification", kind="multiclass", classes=5)


def contrastive(a, b, same):
    distance = F.pairwise_distance(a, b)
    return (same * distance**2 + (1 - same) * F.relu(3 - distance) ** 2).mean()


def contrastive_of_unlike(a, b, unlike):
    return contrastive(a, b, 1 - unlike)


@pytest.mark.parametrize(
    ("loss", "role"),
    [
        (torch.nn.GaussianNLLLoss(), "variance"),
        (torch.nn.TripletMarginLoss(), "negative"),
        (torch.nn.CosineEmbeddingLoss(), "sign"),
        (torch.nn.MarginRankingLoss(margin=1.0), "order"),
        (contrastive, "flag"),
        (contrastive_of_unlike, "flag of unlike"),
    ],
)
def test_the_third_argument_is_known(loss: Callable[..., Any], role: str) -> None:
    _, convention = understood(subject_of(loss))
    assert convention.role == role


def masked_mean(p, t, mask):
    return ((p - t) ** 2 * mask).sum() / mask.sum()


def masked_values(p, t, mask):
    return ((p - t) ** 2 * mask).mean()


@pytest.mark.parametrize("loss", [masked_mean, masked_values])
def test_a_mask_is_taken_for_nothing_else(loss: Callable[..., Any]) -> None:
    with pytest.raises(NotUnderstoodError, match="wrap it in a function of two"):
        understood(subject_of(loss))


def nan_at_the_truth(p, t):
    error = (p - t).square()
    return (error / error.sqrt()).mean()


def test_nan_at_the_truth_is_a_finding_and_no_refusal() -> None:
    report = lossary.check(nan_at_the_truth, seconds=100)
    assert report.convention == "values of one shape"
    assert report.findings[0].fails == "the value is NaN or infinite"
    assert report.findings[0].words == "the value is NaN"


def test_the_nan_of_equal_boxes_is_shown_by_equal_boxes() -> None:
    report = lossary.check(nan_at_the_truth, task="boxes", seconds=100)
    named: dict[str, Any] = {}
    exec("\n".join(x for x in report.findings[0].code.splitlines() if "tensor(" in x or x == "import torch"), named)
    assert (named["prediction"] == named["target"]).all()


def test_a_result_without_gradient_says_that_none_was_looked_at() -> None:
    def detached(p, t):
        return ((p - t) ** 2).mean().detach()

    report = lossary.check(detached, task="regression", seconds=100)
    assert report.without_gradients == "the result is cut off from the prediction"
    assert "the gradient is finite" in report.not_asked
    assert [f.name for f in report.failing("wrong")] == ["attached"]
    assert lossary.check(lossary.L1Loss(), framework="numpy", seconds=100).without_gradients == "NumPy has none"
