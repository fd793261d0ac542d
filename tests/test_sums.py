"""Sums of losses: operands, outputs, parts and their gradients, learned and scheduled weights."""

from __future__ import annotations

import numpy as np
import pytest

import lossary as L


def test_operands_reach_the_parts_that_take_them() -> None:
    rng = np.random.default_rng(0)
    x, y, variance = rng.normal(size=(3, 4)), rng.normal(size=(3, 4)), rng.uniform(0.5, 2, size=(3, 4))
    nll, l1 = L.GaussianNLLLoss(), L.L1Loss()
    total = l1 + 0.5 * nll + L.MSELoss()
    assert total.takes == ("variance",)
    expected = l1(x, y) + 0.5 * nll(x, y, variance=variance) + L.MSELoss()(x, y)
    assert total(x, y, variance=variance) == pytest.approx(expected, rel=1e-12)
    parts = total.statistics(x, y, variance=variance)
    assert total.finalize(parts) == pytest.approx(expected, rel=1e-12)
    with pytest.raises(TypeError, match="GaussianNLLLoss: the call needs `variance`"):
        total(x, y)
    with pytest.raises(TypeError, match=r"l1 \+ gaussian_nll \+ mse: unknown argument `distance`; it takes variance"):
        total(x, y, variance=variance, distance=x)
    with pytest.raises(TypeError, match="unknown argument `variance`; it takes none beyond the common ones"):
        (l1 + L.MSELoss())(x, y, variance=variance)


def test_an_operand_that_options_rule_out_is_not_passed_on() -> None:
    """Distillation takes labels with a hard share only; beside one that does, the soft one must not see them."""
    rng = np.random.default_rng(0)
    student, teacher, labels = rng.normal(size=(3, 4)), rng.normal(size=(3, 4)), np.array([0, 3, 1])
    soft, hard = L.DistillationLoss(), L.DistillationLoss(hard_weight=0.3)
    assert (soft + hard)(student, teacher, labels=labels) == pytest.approx(
        soft(student, teacher) + hard(student, teacher, labels=labels), rel=1e-12
    )
