"""Regression by likelihood: the prediction is a parameter of the distribution of the target."""

from __future__ import annotations

import math

from lossary.array.namespace import Array, Namespace
from lossary.array.primitives import clip, stop_gradient
from lossary.core.families import Pair, PointwiseLoss
from lossary.core.families.pointwise import REALS
from lossary.core.loss import loss
from lossary.core.options import Domain, option


@loss(
    "Nelder & Wedderburn 1972, Generalized Linear Models: the Poisson likelihood",
    aliases=("poisson",),
    span=(-math.inf, math.inf),
    reach=80.0,
)
class PoissonNLLLoss(PointwiseLoss):
    r"""Negative log-likelihood of counts whose rate the model predicts.

    $$\ell = \lambda - t \ln\lambda, \qquad \ln\lambda = \text{prediction}$$

    Use it for counts of rare events: the variance grows with the rate as it does in counts. Counts that scatter more
    than their mean need another likelihood. The term ln t! does not depend on the model and is left out unless `full`,
    so the loss can be negative.

    Args:
        log_input: whether the prediction is ln λ; `False` takes the rate λ itself, at least 0.
        full: whether to add Stirling's approximation of ln t!, t ln t - t + ½ ln(2πt), for targets above 1.

    Shapes: prediction and target alike, any shape, target at least 0; the unreduced loss has that shape, in nats.

    Elsewhere: `torch.nn.functional.poisson_nll_loss(log_input=…, full=…)` gives the same number; for rates it adds 1e-8
    within the logarithm (`eps`), where this adds 1e-30. `keras.losses.Poisson` takes rates and adds 1e-7. Negative
    rates cost ∞ here and NaN there. `sklearn.metrics.mean_poisson_deviance` is twice this less its least value.

    >>> import math, numpy as np, lossary
    >>> math.isclose(lossary.PoissonNLLLoss()(np.array([math.log(3)]), np.array([2.0])), 3 - 2 * math.log(3))
    True
    """

    log_input: bool = option(default=True)
    full: bool = option(default=False)

    def domain(self, argument: str) -> Domain:
        return REALS if argument == "prediction" and self.log_input else Domain(low=0)

    def values(self, xp: Namespace, pair: Pair) -> Array:
        p, t = pair.prediction, pair.target
        if self.log_input:
            values = xp.exp(p) - t * p
        else:
            # 1e-30 keeps value and slope finite in float32 where events were seen at a rate of 0
            values = xp.where(p < 0, float("inf"), p - t * xp.log(xp.where(p < 0, 1.0, p) + 1e-30))
        if self.full:
            many = xp.where(t > 1, t, 1.0)
            values = values + xp.where(t > 1, many * xp.log(many) - many + 0.5 * xp.log(2 * math.pi * many), 0.0)
        return values


@loss(
    "Nix & Weigend 1994, Estimating the Mean and Variance of the Target Probability Distribution, eq. 2",
    aliases=("gaussian_nll", "heteroscedastic"),
    span=(-math.inf, math.inf),
    held=("variance",),  # below the floor its gradient is that at the floor
)
class GaussianNLLLoss(PointwiseLoss):
    r"""Negative log-likelihood of a Gaussian whose mean and variance the model predicts.

    $$\ell = \frac{1}{2} \Big( \ln v + \frac{e^2}{v} \Big), \qquad e = \text{prediction} - \text{target}$$

    Use it when the noise differs from place to place and the model should say how much: `variance=` is the model's
    second output, an operand of the call. Large variances excuse large errors, so it may give up hard places early:
    train the mean alone first if it does. At a constant variance it is `MSELoss`, scaled and shifted.

    Args:
        full: whether to add the constant ½ ln 2π.
        floor: variances below it are read as it, in the squared unit of the target; their gradient is that at the
            floor, so that they are pushed up again.

    Shapes: prediction, target and variance alike, any shape; the unreduced loss has that shape, in nats.

    Elsewhere: `torch.nn.functional.gaussian_nll_loss(prediction, target, variance, full=…, eps=floor)` gives the same
    number and gradient. It also takes one variance per sample, which here is expanded by the caller, and refuses a
    negative one, which here `lossary.checked()` does.

    >>> import numpy as np, lossary
    >>> loss = lossary.GaussianNLLLoss()
    >>> float(loss(np.array([3.0]), np.array([1.0]), variance=np.array([1.0])))
    2.0
    """

    operands = ("variance",)

    full: bool = option(default=False)
    floor: float = option(default=1e-6, above=0)

    def domain(self, argument: str) -> Domain:
        return Domain(low=0) if argument == "variance" else REALS

    def values(self, xp: Namespace, pair: Pair) -> Array:
        variance = pair.operands["variance"]
        variance = variance + stop_gradient(clip(xp, self.floor - variance, min=0.0))
        constant = 0.5 * math.log(2 * math.pi) if self.full else 0.0
        return 0.5 * (xp.log(variance) + (pair.prediction - pair.target) ** 2 / variance) + constant
