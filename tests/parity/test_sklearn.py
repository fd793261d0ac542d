"""The losses among scikit-learn's metrics, as values."""

from __future__ import annotations

import numpy as np
import pytest

import lossary as L
from parity.samples import CLASSES, distributions, masks, numbers, rows

metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn comes with lossary[studies]")


def close(ours, theirs):
    assert float(ours) == pytest.approx(float(theirs), rel=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
def test_log_loss(weighted):
    """With sample weights it is the weighted mean."""
    _, p = (x.numpy() for x in distributions())
    t = rows()[1].numpy()
    weight = np.linspace(0.5, 3, len(t)) if weighted else None
    ours = L.CrossEntropyLoss(from_logits=False, reduction="weighted_mean")
    close(ours(p, t, sample_weight=weight), metrics.log_loss(t, p, labels=range(CLASSES), sample_weight=weight))


def test_binary_log_loss():
    z, hard, _ = (x.numpy().ravel() for x in masks())
    p = 1 / (1 + np.exp(-z))
    close(L.BCELoss(from_logits=False)(p, hard), metrics.log_loss(hard, p))


def test_binary_hinge():
    z, hard, _ = (x.numpy().ravel() for x in masks())
    close(L.HingeLoss("binary")(z, hard.astype(int)), metrics.hinge_loss(hard, z))


def test_multiclass_hinge():
    z, t = (x.numpy() for x in rows())
    close(L.HingeLoss("multiclass")(z, t), metrics.hinge_loss(t, z, labels=range(CLASSES)))


def test_brier_score():
    z, hard, _ = (x.numpy().ravel() for x in masks())
    p = 1 / (1 + np.exp(-z))
    close(L.MSELoss()(p, hard), metrics.brier_score_loss(hard, p))


@pytest.mark.parametrize(
    ("ours", "theirs"), [(L.L1Loss(), "mean_absolute_error"), (L.MSELoss(), "mean_squared_error")], ids=["l1", "mse"]
)
def test_regression(ours, theirs):
    x, y = (v.numpy().ravel() for v in numbers())
    weight = np.linspace(0, 2, len(x))
    close(ours(x, y), getattr(metrics, theirs)(y, x))
    weighted = ours.replace(reduction="weighted_mean")
    close(weighted(x, y, sample_weight=weight), getattr(metrics, theirs)(y, x, sample_weight=weight))


@pytest.mark.parametrize(
    ("ours", "theirs", "options"),
    [
        (L.QuantileLoss(quantile=0.8), "mean_pinball_loss", {"alpha": 0.8}),
        (L.RMSELoss(), "root_mean_squared_error", {}),
        (L.MAPELoss(), "mean_absolute_percentage_error", {}),
    ],
    ids=["quantile", "rmse", "mape"],
)
def test_regression_of_one_output(ours, theirs, options):
    x, y = (v.numpy().ravel() for v in numbers())
    close(ours(x, y), getattr(metrics, theirs)(y, x, **options))


def test_regression_of_numbers_above_0():
    x, y = (abs(v.numpy().ravel()) for v in numbers())
    close(L.MSLELoss()(x, y), metrics.mean_squared_log_error(y, x))
    least = L.PoissonNLLLoss(log_input=False)(y, y)
    close(2 * (L.PoissonNLLLoss(log_input=False)(x, y) - least), metrics.mean_poisson_deviance(y, x))


def test_zero_one():
    z, t = (x.numpy() for x in rows())
    close(L.ZeroOneLoss("multiclass")(z, t), metrics.zero_one_loss(t, z.argmax(1)))
