"""Regression by ratio: errors relative to the target, or of the logarithm."""

from __future__ import annotations

from lossary.array.namespace import Array, Namespace
from lossary.array.primitives import apply_where, clip, divide, magnitude
from lossary.core.families import Pair, PointwiseLoss
from lossary.core.loss import loss
from lossary.core.options import Domain, option


@loss(
    "de Myttenaere et al. 2016, Mean Absolute Percentage Error for Regression Models, eq. 1",
    arxiv="1605.02541",
    aliases=("absolute_percentage_error", "relative_error"),
)
class MAPELoss(PointwiseLoss):
    r"""Absolute error relative to the size of the target.

    $$\ell = \frac{|\text{prediction} - t|}{\max(|t|,\, \text{floor})}$$

    Use it when an error of one tenth matters as much for small targets as for large ones. It favours predictions that
    are too small: those cost 1 at most, too large ones any number; `MSLELoss` does not. A target of 0 has no relative
    error: such a place is left out, as a masked one, unless `floor` says what to divide by.

    Args:
        floor: the least size of a target to divide by, in the unit of the target.

    Shapes: prediction and target alike, any shape; the unreduced loss has that shape. It is a share: 0.1 is 10 %.

    Elsewhere: `sklearn.metrics.mean_absolute_percentage_error` gives the same number where no target is 0 and divides
    by 2.2e-16 there; `keras.losses.MeanAbsolutePercentageError` is 100 times it, with a floor of 1e-7, and
    `torchmetrics.functional.mean_absolute_percentage_error` has one of 1.17e-6.

    >>> import numpy as np, lossary
    >>> float(lossary.MAPELoss()(np.array([15.0, 3.0, 7.0]), np.array([10.0, 4.0, 0.0])))
    0.375
    """

    floor: float = option(default=0.0, low=0)

    def defined(self, pair: Pair) -> Array | None:
        return pair.target != 0 if self.floor == 0 else None

    def values(self, xp: Namespace, pair: Pair) -> Array:
        return divide(
            xp, magnitude(xp, pair.prediction - pair.target), clip(xp, magnitude(xp, pair.target), min=self.floor)
        )


@loss(
    "the error measure of Kaggle's contests on sales and demand, where it is called RMSLE with the root",
    aliases=("squared_logarithmic_error",),
)
class MSLELoss(PointwiseLoss):
    r"""Squared error of the logarithms of one plus prediction and target.

    $$\ell = \big(\ln(1 + \text{prediction}) - \ln(1 + t)\big)^2$$

    Use it for counts and prices over several orders of magnitude, where the ratio matters: twice and half cost about
    the same. Targets much below 1 are seen as absolute numbers, because of the one that is added: choose the unit
    so that 1 is small. A prediction of -1 or less has no logarithm and costs ∞, with no gradient to bring it back: end
    the model with a softplus.

    Shapes: prediction and target alike, any shape, above -1; the unreduced loss has that shape.

    Elsewhere: `sklearn.metrics.mean_squared_log_error` (one output) gives the same number.
    `keras.losses.MeanSquaredLogarithmicError` reads everything below 1e-7, so all of (-1, 0), as 1e-7.

    >>> import math, numpy as np, lossary
    >>> float(lossary.MSLELoss()(np.array([math.e - 1]), np.array([0.0])))
    1.0
    """

    def domain(self, argument: str) -> Domain:
        return Domain(low=-1, above=True)

    def values(self, xp: Namespace, pair: Pair) -> Array:
        log_p, log_t = (
            apply_where(xp, xp.logical_not(x <= -1), xp.log1p, x, float("-inf")) for x in (pair.prediction, pair.target)
        )
        return (log_p - log_t) ** 2
