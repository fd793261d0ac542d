"""What the suite does not ask of every loss: special options, operands, domains and singular points of regression."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import lossary as L
from formulas import FORMULAS, mpf
from frameworks import RUN, to_numpy
from lossary.checker.draws import draw
from lossary.checker.engines import Batch
from lossary.core.loss import Loss

ERRORS = np.array([0.0, 1e-12, -1e-6, 1e-3, -0.1, 0.5, -1.0, 2.0, -30.0, 1e4])


# --- the special shapes of Barron's loss ------------------------------------------------------------------------------

NEAR = [0.0, *(s * 10.0**-k for k in (1, 4, 8, 12, 16, 30, 300) for s in (1, -1))]


@pytest.mark.parametrize("scale", [1.0, 1e-3, 50.0])
@pytest.mark.parametrize(
    "alpha", [*NEAR, *(2 + d for d in NEAR), *(-(10.0**k) for k in (1, 3, 8, 15, 16, 17, 18, 30, 300)), -math.inf]
)
def test_barron_has_no_seam(alpha: float, scale: float) -> None:
    """At the special α and next to them: value as the definition gives it in fifty digits, slope that of the value."""
    loss = L.GeneralRobustLoss(alpha=alpha, scale=scale, reduction="none")
    with np.errstate(over="ignore", under="ignore"):
        values = loss(ERRORS, np.zeros_like(ERRORS))
    for e, value in zip(ERRORS, values, strict=True):
        expected = _definition(loss, e)
        assert value == pytest.approx(float(expected), rel=1e-12, abs=1e-30)
    for framework, dtype, tolerance in (
        ("torch", "float64", 1e-12),
        ("torch", "float32", 3e-5),
        ("jax", "float32", 3e-5),
    ):
        found, slope = RUN[framework](loss, Batch(ERRORS, np.zeros_like(ERRORS)), dtype)
        np.testing.assert_allclose(to_numpy(found), values, rtol=tolerance, atol=1e-12)
        exact = [_slope(alpha, scale, e) for e in ERRORS]
        # XLA differentiates expm1 as expm1 + 1, which has no digits left in the tail
        rest = 1e-6 if framework == "jax" else 1e-12
        np.testing.assert_allclose(slope, exact, rtol=tolerance, atol=rest * max(1, np.abs(exact).max()))


def _definition(loss: L.GeneralRobustLoss, e: float) -> mpf:
    import mpmath

    alpha = loss.alpha
    if 0 < abs(alpha) < 1e-20:
        alpha = 0.0  # fifty digits do not reach closer, and neither does float64 see the difference
    if alpha < -1e20:
        alpha = -math.inf
    with mpmath.workdps(120):
        return FORMULAS[L.GeneralRobustLoss](loss.replace(alpha=alpha), mpf(float(e)))


def _slope(alpha: float, scale: float, e: float) -> float:
    import mpmath

    with mpmath.workdps(60):
        z, a = (mpf(float(e)) / mpf(scale)) ** 2, mpf(alpha)
        if alpha == 2:
            factor = mpf(1)
        elif alpha < -1e20:
            factor = mpmath.exp(-z / 2)
        else:
            factor = (z / abs(a - 2) + 1) ** (a / 2 - 1)
        return float(mpf(float(e)) / mpf(scale) ** 2 * factor)


# --- losses that are no sum over elements -----------------------------------------------------------------------------


def test_rmse_is_the_root_of_the_mean() -> None:
    batch = draw(L.MSELoss())
    for settings in ({}, {"reduction": "sum"}, {"reduction": "weighted_mean"}):
        weight = np.arange(15.0).reshape(3, 5)
        root, square = (
            cls(**settings)(batch.prediction, batch.target, sample_weight=weight) for cls in (L.RMSELoss, L.MSELoss)
        )
        assert root == pytest.approx(math.sqrt(square), rel=1e-12)
    assert np.isnan(L.RMSELoss(empty="nan")(np.zeros(0), np.zeros(0)))


@pytest.mark.parametrize("framework", list(RUN))
@pytest.mark.parametrize(
    "loss",
    [
        L.L1Loss(),
        L.SmoothL1Loss(beta=0),
        L.RMSELoss(),
        L.NormLoss(),
        L.NormLoss(p=1),
        L.NormLoss(p=1.5),
        L.NormLoss(p=math.inf),
        L.QuantileLoss(quantile=0.9),
        L.EpsilonInsensitiveLoss(epsilon=0),
        L.WingLoss(),
        L.AdaptiveWingLoss(alpha=2),
        L.MAPELoss(),
    ],
    ids=repr,
)
def test_a_perfect_prediction_has_gradient_0(loss: Loss, framework: str) -> None:
    value, gradient = RUN[framework](loss, Batch(np.ones((2, 3)), np.ones((2, 3))), "float32")
    assert to_numpy(value).max() == 0
    assert (gradient == 0).all()


@pytest.mark.parametrize("p", [1.0, 1.5, 2.0, 3.0, math.inf])
def test_norm_is_that_of_each_sample(p: float) -> None:
    x = np.random.default_rng(0).normal(size=(4, 3, 2))
    expected = np.linalg.norm(x.reshape(4, 6), ord=p, axis=1)
    loss = L.NormLoss(p=p, reduction="none")
    np.testing.assert_allclose(loss(x, np.zeros_like(x)), expected, rtol=1e-12)
    np.testing.assert_allclose(loss(x[0], np.zeros((3, 2))), np.linalg.norm(x[0], ord=p, axis=1), rtol=1e-12)
    assert loss(x[0, :, 0], np.zeros(3)) == pytest.approx(np.linalg.norm(x[0, :, 0], ord=p), rel=1e-12)
    for nothing in (np.zeros((4, 0)), torch.zeros(4, 0)):
        assert loss(nothing, nothing).tolist() == [0, 0, 0, 0]
    for size in (1e-30, 1e30):  # squares of these vanish or overflow in float32
        tensor = torch.tensor(size * x, dtype=torch.float32, requires_grad=True)
        value = loss(tensor, torch.zeros_like(tensor))
        value.sum().backward()
        np.testing.assert_allclose(to_numpy(value) / size, expected, rtol=1e-5)
        assert torch.isfinite(tensor.grad).all()
        assert tensor.grad.abs().max() > 0.1


# --- operands and domains ---------------------------------------------------------------------------------------------


def test_variance_is_an_operand() -> None:
    loss, batch = L.GaussianNLLLoss(full=True), draw(L.GaussianNLLLoss())
    x, y, v = (torch.tensor(a) for a in (batch.prediction, batch.target, batch.keywords["variance"]))
    torch.testing.assert_close(loss(x, y, variance=v), F.gaussian_nll_loss(x, y, v, full=True))
    with pytest.raises(TypeError, match="GaussianNLLLoss: the call needs `variance`"):
        loss(x, y)
    with pytest.raises(TypeError, match="unknown argument `var`; it takes variance"):
        loss(x, y, variance=v, var=v)
    with pytest.raises(ValueError, match=r"`prediction` has shape \(3, 5\) and `variance` \(3, 1\)"):
        loss(x, y, variance=v[:, :1])
    with pytest.raises(TypeError, match="`variance` must be an array"):
        loss(x, y, variance=1.0)


def test_the_gradient_of_a_variance_below_the_floor_pushes_it_up() -> None:
    v = torch.tensor([0.0, 1e-9, 4.0], requires_grad=True)
    ours = L.GaussianNLLLoss(reduction="sum")(torch.ones(3), torch.zeros(3), variance=v)
    theirs = F.gaussian_nll_loss(torch.ones(3), torch.zeros(3), v, reduction="sum")
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(torch.autograd.grad(ours, v), torch.autograd.grad(theirs, v))


def test_a_masked_operand_is_not_read() -> None:
    x = torch.zeros(3, requires_grad=True)
    v = torch.tensor([1.0, math.nan, 2.0], requires_grad=True)
    mask = torch.tensor([True, False, True])
    with L.checked():
        value = L.GaussianNLLLoss()(x, torch.ones(3), variance=v, mask=mask)
    value.backward()
    assert value.item() == pytest.approx((1 + math.log(2) + 0.5) / 4)
    assert v.grad[1] == x.grad[1] == 0
    assert torch.isfinite(v.grad).all()


@pytest.mark.parametrize(
    ("loss", "prediction", "target", "operands", "message"),
    [
        (L.MSELoss(), [math.nan], [0.0], {}, "MSELoss: `prediction` must be any number; got nan at [0]."),
        (L.MSLELoss(), [0.0], [-1.0], {}, "MSLELoss: `target` must be above -1; got -1 at [0]."),
        (L.PoissonNLLLoss(), [0.0, 0.0], [1, -2], {}, "PoissonNLLLoss: `target` must be at least 0; got -2 at [1]."),
        (L.PoissonNLLLoss(log_input=False), [-1.0], [1.0], {}, "PoissonNLLLoss: `prediction` must be at least 0"),
        (L.AdaptiveWingLoss(), [0.0], [255.0], {}, "AdaptiveWingLoss: `target` must be in [0, 1]; got 255 at [0]."),
        (L.GaussianNLLLoss(), [0.0], [0.0], {"variance": [-1.0]}, "GaussianNLLLoss: `variance` must be at least 0"),
    ],
)
def test_domains_are_checked_on_demand(
    loss: Loss, prediction: list[float], target: list[float], operands: dict[str, list[float]], message: str
) -> None:
    arrays = {name: np.array(x) for name, x in operands.items()}
    with L.checked(), pytest.raises(ValueError) as error:  # noqa: PT011 (the message is compared below)
        loss(np.array(prediction), np.array(target), **arrays)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize("framework", list(RUN))
@pytest.mark.parametrize("loss", [L.MSLELoss(), L.PoissonNLLLoss(log_input=False)], ids=repr)
def test_a_prediction_outside_the_domain_costs_infinity(loss: Loss, framework: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        value, gradient = RUN[framework](loss, Batch(np.array([-2.0, 1.0]), np.array([1.0, 1.0])), "float32")
    assert to_numpy(value) == math.inf
    assert np.isfinite(gradient).all()


def test_a_target_of_0_has_no_relative_error() -> None:
    x, t = np.array([1.0, 3.0]), np.array([0.0, 2.0])
    assert L.MAPELoss()(x, t) == 0.5
    assert L.MAPELoss()(x[:1], t[:1]) == 0
    assert np.isnan(L.MAPELoss(empty="nan")(x[:1], t[:1]))
    assert L.MAPELoss(floor=0.5)(x, t) == 1.25
    assert L.MAPELoss(reduction="none")(x, t).tolist() == [0.0, 0.5]


def test_likelihoods_equal_torch() -> None:
    for log_input in (True, False):
        for full in (True, False):
            loss = L.PoissonNLLLoss(log_input=log_input, full=full)
            batch = draw(loss)
            x, t = torch.tensor(batch.prediction), torch.tensor(batch.target)
            torch.testing.assert_close(loss(x, t), F.poisson_nll_loss(x, t, log_input=log_input, full=full, eps=1e-30))


# --- options and landmarks --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("beta", [math.exp(-1), 0.5, 0.8, 1.0])
def test_greatest_slope_of_focal_l1_is_1(beta: float) -> None:
    x = torch.linspace(-3, 3, 60001, dtype=torch.float64, requires_grad=True)
    L.FocalL1Loss(beta=beta, reduction="sum")(x, torch.zeros_like(x)).backward()
    assert x.grad.abs().max().item() == pytest.approx(1, rel=1e-7)


@pytest.mark.parametrize(
    ("cls", "settings", "message"),
    [
        (L.FocalL1Loss, {"beta": 0.3}, "`beta` must be in [0.367879, 1]; got 0.3"),
        (L.QuantileLoss, {"quantile": 1}, "`quantile` must be in (0, 1); got 1"),
        (L.NormLoss, {"p": 0.5}, "`p` must be at least 1; got 0.5"),
        (L.GeneralRobustLoss, {"alpha": math.inf}, "`alpha` must be"),
        (L.BalancedL1Loss, {"alpha": 0.01}, "`gamma` must be at most 80 times `alpha`; got gamma=1.5, alpha=0.01"),
        (L.AdaptiveWingLoss, {"alpha": 1}, "`alpha` must be at least 2; got 1"),
    ],
)
def test_options_outside_their_domain(cls: type[Loss], settings: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011 (the message is compared below)
        cls(**settings)
    assert message in str(error.value)


@pytest.mark.parametrize(
    "loss",
    [
        L.FocalL1Loss(),
        L.BalancedL1Loss(beta=1.0),
        L.WingLoss(width=1),
        L.TukeyLoss(c=1),
        L.AdaptiveWingLoss(threshold=1),
        L.SmoothL1Loss(),
        L.HuberLoss(),
    ],
    ids=repr,
)
def test_branches_meet(loss: Loss) -> None:
    """All of these have their seam at an error of 1."""
    below, at, above = loss.replace(reduction="none")(np.array([1 - 1e-9, 1, 1 + 1e-9]), np.zeros(3))
    assert below == pytest.approx(at, abs=1e-7)
    assert above == pytest.approx(at, abs=1e-7)


def test_sums_share_a_preparation_only_where_they_read_alike() -> None:
    loss = L.L1Loss() + 0.5 * L.GaussianNLLLoss() + L.MSLELoss()
    x, t, v = np.array([1.0, 2.0]), np.array([3.0, 2.5]), np.array([0.5, 2.0])
    expected = L.L1Loss()(x, t) + 0.5 * L.GaussianNLLLoss()(x, t, variance=v) + L.MSLELoss()(x, t)
    assert loss(x, t, variance=v) == pytest.approx(expected, rel=1e-12)


def test_curvature_of_a_norm_where_one_number_is_right() -> None:
    """The second derivative of ‖(0, 4)‖ by the first number is 1/4; through |x|² it would be 0."""
    hessian = torch.autograd.functional.hessian(
        lambda e: L.NormLoss()(e, torch.zeros(1, 2)), torch.tensor([[0.0, 4.0]])
    )
    torch.testing.assert_close(hessian.reshape(2, 2), torch.tensor([[0.25, 0.0], [0.0, 0.0]]))


def test_curvature_of_balanced_l1_at_0() -> None:
    """αb/β, with b of the default γ/α = 3; through |e| it would be 0."""
    loss = L.BalancedL1Loss()
    slope = torch.func.grad(lambda e: loss(e, torch.zeros(1, dtype=torch.float64)))
    curvature = torch.autograd.functional.jacobian(slope, torch.zeros(1, dtype=torch.float64))
    assert curvature.item() == pytest.approx(loss.alpha * math.expm1(loss.gamma / loss.alpha) / loss.beta, rel=1e-12)
