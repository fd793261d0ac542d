"""Regression: losses of e = prediction - target."""

from __future__ import annotations

import math

from lossary.array.namespace import Array, Namespace
from lossary.array.primitives import softplus
from lossary.core.families import ResidualLoss
from lossary.core.loss import loss
from lossary.core.options import option


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

    Elsewhere: `torch.nn.functional.l1_loss`, `optax.losses.l1_loss` (unreduced) and `keras.losses.MeanAbsoluteError`
    give the same number for equal shapes; torch and Keras broadcast unequal ones, here they raise.

    >>> import numpy as np, lossary
    >>> float(lossary.L1Loss()(np.array([1.0, 5.0]), np.array([0.0, 2.0])))
    2.0
    """

    def values(self, xp: Namespace, error: Array) -> Array:
        return xp.abs(error)


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
        size = xp.abs(error)
        if self.beta == 0:
            return size
        return xp.where(size < self.beta, error * error / (2 * self.beta), size - 0.5 * self.beta)

    def slope(self, xp: Namespace, error: Array) -> Array:
        if self.beta == 0:
            return xp.sign(error)
        return xp.clip(error / self.beta, min=-1.0, max=1.0)


@loss("Huber 1964, Robust Estimation of a Location Parameter", surveys=("S2", "S4"))
class HuberLoss(ResidualLoss):
    r"""Quadratic for small errors, linear with slope ±δ for large ones.

    $$\ell(e) = \begin{cases} e^2/2 & |e| < \delta \\ \delta\,(|e| - \delta/2) & \text{otherwise} \end{cases}$$

    Use it for regression with outliers: it fits the mean of the bulk and lets an outlier pull no harder than δ. δ → ∞
    gives half of `MSELoss`; δ → 0 gives 0 (it is Huber/δ that goes to `L1Loss`, and that is `SmoothL1Loss`).

    Args:
        delta: where the two branches meet, in the unit of the target.

    Shapes: prediction and target alike, any shape; the unreduced loss has that shape.

    Elsewhere: `torch.nn.functional.huber_loss(delta=…)`, `optax.losses.huber_loss` (unreduced), `keras.losses.Huber`.

    >>> import numpy as np, lossary
    >>> loss = lossary.HuberLoss(delta=2, reduction="none")
    >>> loss(np.array([1.0, 3.0]), np.zeros(2)).tolist()
    [0.5, 4.0]
    """

    delta: float = option(default=1.0, above=0)

    def values(self, xp: Namespace, error: Array) -> Array:
        if math.isinf(self.delta):
            return 0.5 * error * error  # the other branch would be inf - inf
        size = xp.abs(error)
        return xp.where(size < self.delta, 0.5 * error * error, self.delta * (size - 0.5 * self.delta))

    def slope(self, xp: Namespace, error: Array) -> Array:
        return xp.clip(error, min=-self.delta, max=self.delta)


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
        size = xp.abs(error)
        large = size + softplus(-2.0 * size) - math.log(2.0)
        near = size < 1.0
        half = xp.sinh(xp.where(near, 0.5 * error, 0.5))
        return xp.where(near, xp.log1p(2.0 * half * half), large)

    def slope(self, xp: Namespace, error: Array) -> Array:
        return xp.tanh(error)
