"""Regression by the size of the error e = prediction - target."""

from __future__ import annotations

import math
from typing import Any

from lossary.array.namespace import Array, Namespace, namespace
from lossary.array.primitives import clip, magnitude, power, sign, sizes, softplus, stop_gradient
from lossary.core.contract import Shape
from lossary.core.families import ResidualLoss
from lossary.core.families.elements import rank
from lossary.core.loss import loss
from lossary.core.options import option
from lossary.core.reduction import Mean


@loss(
    "Legendre 1805 and Laplace 1793: least absolute deviations",
    aliases=("mae", "absolute_error"),
    surveys=("S0", "S2", "S4"),
)
class L1Loss(ResidualLoss):
    r"""Absolute error.

    $$\ell(e) = |e|, \qquad e = \text{prediction} - \text{target}$$

    Use it when some targets are far off and should not rule the fit: its minimiser is the median. Its slope is ±1
    however small the error, so a fixed learning rate oscillates around the optimum; `SmoothL1Loss` and `HuberLoss` do
    not. At e = 0 the gradient is 0.

    Shapes: prediction and target alike, any shape, in the target's unit; the unreduced loss has that shape and unit.

    Elsewhere: `torch.nn.functional.l1_loss` and `keras.losses.MeanAbsoluteError` give the same number for equal shapes;
    they broadcast unequal ones, here these raise.

    >>> import numpy as np, lossary
    >>> float(lossary.L1Loss()(np.array([1.0, 5.0]), np.array([0.0, 2.0])))
    2.0
    """

    def values(self, xp: Namespace, error: Array) -> Array:
        return magnitude(xp, error)


@loss(
    "Gauss 1809, Theoria motus, section 179: least squares", aliases=("l2", "squared_error"), surveys=("S0", "S2", "S4")
)
class MSELoss(ResidualLoss):
    r"""Squared error.

    $$\ell(e) = e^2, \qquad e = \text{prediction} - \text{target}$$

    Use it when errors are roughly Gaussian: its minimiser is the mean. One outlier of size 100 weighs as much as ten
    thousand errors of size 1; where that is wrong take `HuberLoss` or `L1Loss`. Of targets 1000 (95 %) and 10 (5 %) the
    minimiser is 950.5, so the many pull it, not the few.

    Shapes: prediction and target alike, any shape; the unreduced loss has that shape and the squared unit.

    Elsewhere: `torch.nn.functional.mse_loss` and `keras.losses.MeanSquaredError`; `optax.losses.squared_error` is
    unreduced, and `optax.losses.l2_loss` is half of it.

    >>> import numpy as np, lossary
    >>> float(lossary.MSELoss()(np.array([1.0, 5.0]), np.array([0.0, 2.0])))
    5.0
    """

    def values(self, xp: Namespace, error: Array) -> Array:
        return error**2


@loss(
    "Gauss 1821, Theoria combinationis, article 7: the mean error",
    aliases=("root_mean_squared_error",),
    surveys=("S4",),
)
class RMSELoss(ResidualLoss):
    r"""Root of the mean squared error, in the unit of the target.

    $$\ell = \sqrt{\frac{1}{n} \sum_i e_i^2}, \qquad e = \text{prediction} - \text{target}$$

    Use it to report an error in the target's own unit. As an objective it has the minimiser of `MSELoss`, with a
    gradient of constant length near it: the step of each batch is divided by that batch's RMSE, so batches that fit
    well pull as hard as batches that do not. At e = 0, where the root has no slope, the gradient is 0.

    The root is taken of the mean, once, after the statistics of shards and micro-batches have been added; it is no sum
    over places. So `reduction="none"` gives the squared errors whose mean it is the root of, `"sum"` the root of their
    sum (the norm of all errors together), and losses of micro-batches over one `normalizer` do not add up: add their
    statistics.

    Shapes: prediction and target alike, any shape.

    Elsewhere: `sklearn.metrics.root_mean_squared_error` and `keras.metrics.RootMeanSquaredError` give the same number
    for one output; scikit-learn averages the roots of several outputs. `torch.sqrt(F.mse_loss(…))` has the gradient NaN
    at 0.

    >>> import numpy as np, lossary
    >>> float(lossary.RMSELoss()(np.array([1.0, 7.0]), np.zeros(2)))
    5.0
    """

    def values(self, xp: Namespace, error: Array) -> Array:
        return error**2

    def from_sums(self, sums: Mean, *, normalizer: Any = None) -> Array:
        mean = super().from_sums(sums, normalizer=normalizer)
        xp = namespace(mean)
        positive = mean > 0
        # where it is not positive it stays as it is: 0 with the slope of e², which is 0 too, or the NaN of empty="nan"
        return xp.where(positive, xp.sqrt(xp.where(positive, mean, 1.0)), mean)


@loss("Minkowski 1896, Geometrie der Zahlen", aliases=("l2_norm", "endpoint_error", "epe"), surveys=("S4",))
class NormLoss(ResidualLoss):
    r"""The p-norm of each sample's error: its length, not a mean over its elements.

    $$\ell = \lVert e \rVert_p = \Big( \sum_i |e_i|^p \Big)^{1/p}, \qquad e = \text{prediction} - \text{target}$$

    Use it for targets that are vectors, where direction should not matter: displacements, flow, keypoints. With p=2 it
    is the L2 norm, which is neither `MSELoss` nor `RMSELoss`: its slope has length 1 however short the error, so a few
    samples that are far off do not rule the fit. p=1 is the L1 norm, a sum where `L1Loss` is a mean; p=∞ is the largest
    error. At e = 0 the gradient is 0.

    Args:
        p: the order of the norm, at least 1; `math.inf` for the largest error.

    Shapes: prediction and target alike, (N, *); the unreduced loss, `mask` and `sample_weight` have shape (N,).
    One-dimensional arrays are one vector, as `vmap` over a batch sees it. To leave out an element of a vector, give
    target and prediction the same number there.

    Elsewhere: `torch.linalg.vector_norm(prediction - target, ord=p, dim=1)` for two axes, whose gradient at 0 is 0 too;
    `jnp.linalg.norm` has the gradient NaN there. `F.pairwise_distance` adds 1e-6 to every element of the error.

    >>> import numpy as np, lossary
    >>> lossary.NormLoss(reduction="none")(np.array([[3.0, 4.0], [0.0, 2.0]]), np.zeros((2, 2))).tolist()
    [5.0, 2.0]
    """

    p: float = option(default=2.0, low=1, high=math.inf)

    def unreduced(self, shape: Shape) -> Shape:
        return shape[:1] if len(shape) > 1 else ()

    def values(self, xp: Namespace, error: Array) -> Array:
        axes = tuple(range(1 if rank(error) > 1 else 0, rank(error)))
        size = magnitude(xp, error)
        if 0 in sizes(error)[axes[0] if axes else 0 :]:
            return xp.sum(size, axis=axes)  # vectors without elements: no library has the maximum of nothing
        if math.isinf(self.p):
            return xp.max(size, axis=axes)
        # a norm is m·‖e/m‖ for any m: with m its largest element no power overflows or vanishes, and the gradient
        # needs none through m
        largest = stop_gradient(xp.max(size, axis=axes, keepdims=True))
        scale = xp.where(largest > 0, largest, 1.0)
        # |x| has no second derivative at 0, where that of x² is 2
        powers = (error / scale) ** 2 if self.p == 2 else power(xp, size / scale, self.p)
        total = xp.sum(powers, axis=axes)
        largest = xp.max(largest, axis=axes)
        return largest * xp.where(largest > 0, total, 1.0) ** (1.0 / self.p)


@loss("Girshick 2015, Fast R-CNN, eq. 3", arxiv="1504.08083", surveys=("S0", "S2", "S4"))
class SmoothL1Loss(ResidualLoss):
    r"""Quadratic for small errors, absolute for large ones, with slope ±1 there.

    $$\ell(e) = \begin{cases} e^2/(2\beta) & |e| < \beta \\ |e| - \beta/2 & \text{otherwise} \end{cases}$$

    Use it for box offsets and other targets with outliers. It is `HuberLoss(delta=beta)` divided by β: as β → 0 it
    becomes `L1Loss`, where Huber's goes to 0.

    Args:
        beta: where the two branches meet, in the unit of the target; 0 gives `L1Loss`.

    Shapes: prediction and target alike, any shape; the unreduced loss has that shape.

    Elsewhere: `torch.nn.functional.smooth_l1_loss(beta=…)` gives the same number.

    >>> import numpy as np, lossary
    >>> loss = lossary.SmoothL1Loss(reduction="none")
    >>> loss(np.array([0.5, 3.0]), np.zeros(2)).tolist()
    [0.125, 2.5]
    """

    beta: float = option(default=1.0, low=0)

    def values(self, xp: Namespace, error: Array) -> Array:
        size = magnitude(xp, error)
        if self.beta == 0:
            return size
        return xp.where(size < self.beta, error * error / (2 * self.beta), size - 0.5 * self.beta)

    def slope(self, xp: Namespace, error: Array) -> Array:
        if self.beta == 0:
            return sign(xp, error)
        return clip(xp, error / self.beta, min=-1.0, max=1.0)


@loss("Huber 1964, Robust Estimation of a Location Parameter", surveys=("S2", "S4"))
class HuberLoss(ResidualLoss):
    r"""Quadratic for small errors, linear with slope ±δ for large ones.

    $$\ell(e) = \begin{cases} e^2/2 & |e| < \delta \\ \delta\,(|e| - \delta/2) & \text{otherwise} \end{cases}$$

    Use it for regression with outliers: it fits the mean of the bulk and lets an outlier pull no harder than δ. δ → ∞
    gives half of `MSELoss`; δ → 0 gives 0 (it is Huber/δ that goes to `L1Loss`, and that is `SmoothL1Loss`).

    Args:
        delta: where the two branches meet, in the unit of the target; `math.inf` for nowhere.

    Shapes: prediction and target alike, any shape; the unreduced loss has that shape.

    Elsewhere: `torch.nn.functional.huber_loss(delta=…)`, `optax.losses.huber_loss` (unreduced), `keras.losses.Huber`.

    >>> import numpy as np, lossary
    >>> loss = lossary.HuberLoss(delta=2, reduction="none")
    >>> loss(np.array([1.0, 3.0]), np.zeros(2)).tolist()
    [0.5, 4.0]
    """

    delta: float = option(default=1.0, above=0, high=math.inf)

    def values(self, xp: Namespace, error: Array) -> Array:
        if math.isinf(self.delta):
            return 0.5 * error * error  # the other branch would be inf - inf
        size = magnitude(xp, error)
        return xp.where(size < self.delta, 0.5 * error * error, self.delta * (size - 0.5 * self.delta))

    def slope(self, xp: Namespace, error: Array) -> Array:
        return clip(xp, error, min=-self.delta, max=self.delta)


@loss(
    "Green 1990, Bayesian Reconstructions From Emission Tomography Data, eq. 6", surveys=("S4",), aliases=("logcosh",)
)
class LogCoshLoss(ResidualLoss):
    r"""Logarithm of the hyperbolic cosine: e²/2 for small errors, |e| - ln 2 for large ones, smooth throughout.

    $$\ell(e) = \ln\cosh e$$

    Use it where Huber's kink in the second derivative disturbs, as in Newton-like methods (XGBoost). It has no scale
    parameter: divide prediction and target by the size of error that should count as large.

    Shapes: prediction and target alike, any shape; the unreduced loss has that shape.

    Elsewhere: `optax.losses.log_cosh` (unreduced) and `keras.losses.LogCosh`; in float32 both give 0 or a rounding
    error at e = 1e-4, where this one gives 5e-9.

    >>> import numpy as np, lossary
    >>> f"{float(lossary.LogCoshLoss()(np.array([1e-4]), np.array([0.0]))):.4g}"
    '5e-09'
    """

    def values(self, xp: Namespace, error: Array) -> Array:
        # two forms of one function: the first loses all digits near 0, the second overflows for large errors
        size = magnitude(xp, error)
        large = size + softplus(-2.0 * size) - math.log(2.0)
        near = size < 1.0
        half = xp.sinh(xp.where(near, 0.5 * error, 0.5))
        return xp.where(near, xp.log1p(2.0 * half * half), large)

    def slope(self, xp: Namespace, error: Array) -> Array:
        return xp.tanh(error)


@loss("Koenker & Bassett 1978, Regression Quantiles", aliases=("pinball",))
class QuantileLoss(ResidualLoss):
    r"""Absolute error with unlike prices for too much and too little; its minimiser is a quantile.

    $$\ell(e) = \begin{cases} (1-q)\,e & e > 0 \\ -q\,e & \text{otherwise} \end{cases}$$

    Use it to predict the value that a share q of the targets stays below, and two of them for an interval. At
    q = ½ it is half of `L1Loss`. Models that predict several quantiles may let them cross: nothing here forbids it. At
    e = 0 the gradient is 0.

    Args:
        quantile: the share q of the targets that should lie below the prediction.

    Shapes: prediction and target alike, any shape, in the target's unit; the unreduced loss has that shape and unit.

    Elsewhere: `sklearn.metrics.mean_pinball_loss(target, prediction, alpha=…)` gives the same number.

    >>> import numpy as np, lossary
    >>> lossary.QuantileLoss(quantile=0.75, reduction="none")(np.array([-2.0, 2.0]), np.zeros(2)).tolist()
    [1.5, 0.5]
    """

    quantile: float = option(default=0.5, above=0, below=1)

    def values(self, xp: Namespace, error: Array) -> Array:
        short = xp.where(error == 0, 0.0, -self.quantile * error)
        return xp.where(error > 0, (1.0 - self.quantile) * error, short)

    def slope(self, xp: Namespace, error: Array) -> Array:
        return xp.where(error > 0, 1.0 - self.quantile + 0.0 * error, xp.where(error < 0, -self.quantile, 0.0 * error))


@loss("Vapnik 1995, The Nature of Statistical Learning Theory", aliases=("svr",))
class EpsilonInsensitiveLoss(ResidualLoss):
    r"""Absolute error beyond a tolerance, and nothing within it.

    $$\ell(e) = \max(0,\, |e| - \epsilon)$$

    Use it where errors below a known tolerance, such as the resolution of the instrument, should teach nothing: the
    loss of support vector regression. Predictions within the tolerance of their target have no gradient at all.

    Args:
        epsilon: the tolerance, in the unit of the target; 0 gives `L1Loss`.

    Shapes: prediction and target alike, any shape; the unreduced loss has that shape.

    Elsewhere: the loss of `sklearn.svm.LinearSVR(epsilon=…)` and `SGDRegressor(loss="epsilon_insensitive")`.

    >>> import numpy as np, lossary
    >>> lossary.EpsilonInsensitiveLoss(epsilon=0.5, reduction="none")(np.array([0.25, -2.0]), np.zeros(2)).tolist()
    [0.0, 1.5]
    """

    epsilon: float = option(default=0.1, low=0)

    def values(self, xp: Namespace, error: Array) -> Array:
        size = magnitude(xp, error)
        return xp.where(size <= self.epsilon, 0.0, size - self.epsilon)

    def slope(self, xp: Namespace, error: Array) -> Array:
        return xp.where(magnitude(xp, error) > self.epsilon, sign(xp, error), 0.0)
