"""Robust regression: losses whose slope stays bounded or falls for large errors (M-estimators)."""

from __future__ import annotations

import math

from lossary.array.namespace import Array, Namespace
from lossary.array.primitives import clip, divide, sqrt
from lossary.core.families import ResidualLoss
from lossary.core.loss import loss
from lossary.core.options import option


@loss(
    "Charbonnier et al. 1994, Two Deterministic Half-Quadratic Regularization Algorithms for Computed Imaging",
    aliases=("pseudo_l1",),
)
class CharbonnierLoss(ResidualLoss):
    r"""Absolute error, rounded off near 0.

    $$\ell(e) = \sqrt{e^2 + \epsilon^2}$$

    Use it for restored images and flow, where it trains as `L1Loss` does and has a second derivative. Its least value
    is ε, not 0. Where errors have a scale of their own, `HuberLoss` or `GeneralRobustLoss` name it.

    Args:
        epsilon: half the width of the rounded part, in the unit of the target.

    Shapes: prediction and target alike, any shape; the unreduced loss has that shape.

    Elsewhere: `kornia.losses.charbonnier_loss` is another function: √(e²+1) - 1, `GeneralRobustLoss()` here; so is the
    pseudo-Huber loss δ²(√(1+e²/δ²) - 1), which is δ·(this - δ) at ε = δ. Some write the second summand as ε, not ε².

    >>> import numpy as np, lossary
    >>> float(lossary.CharbonnierLoss(epsilon=3)(np.array([4.0]), np.zeros(1)))
    5.0
    """

    epsilon: float = option(default=1e-3, above=0)

    def values(self, xp: Namespace, error: Array) -> Array:
        return sqrt(xp, error * error + self.epsilon**2)

    def slope(self, xp: Namespace, error: Array) -> Array:
        return divide(xp, error, self.values(xp, error))


@loss("Barron 2019, A General and Adaptive Robust Loss Function, eq. 8", arxiv="1701.03077", aliases=("barron",))
class GeneralRobustLoss(ResidualLoss):
    r"""One loss whose shape α runs from least squares to ones that ignore outliers.

    $$\ell(e) = \frac{|\alpha-2|}{\alpha} \Big( \Big( \frac{(e/c)^2}{|\alpha-2|} + 1 \Big)^{\alpha/2} - 1 \Big)$$

    Use it to try robustness as one number: α = 2 is least squares, 1 is Charbonnier, 0 Cauchy, -2 Geman-McClure, -∞
    Welsch. At 2, 0 and -∞ the formula has no value, and its limit is taken; value and slope are exact next to them too.
    Below α = 1 large errors pull less than moderate ones: start training at 1 or 2 if the model is far off.

    Args:
        alpha: the shape, any number, `-math.inf` included. Above 2 large errors weigh more than under least squares.
        scale: c, the error at which the quadratic part ends, in the unit of the target.

    Shapes: prediction and target alike, any shape; the unreduced loss, without a unit, has that shape.

    Elsewhere: `robust_loss_pytorch.lossfun` and `robust_loss_jax` of the author give the same number away from the
    special α; next to them they hold |α-2| and α above 1.2e-7, which shows as a seam.

    >>> import math, numpy as np, lossary
    >>> x, y = np.array([2.0]), np.zeros(1)
    >>> [round(float(lossary.GeneralRobustLoss(alpha=a)(x, y)), 4) for a in (2, 1, 0, -2, -math.inf)]
    [2.0, 1.2361, 1.0986, 1.0, 0.8647]
    """

    alpha: float = option(default=1.0, low=-math.inf)
    scale: float = option(default=1.0, above=0)

    def values(self, xp: Namespace, error: Array) -> Array:
        square, a, b = (error / self.scale) ** 2, self.alpha, abs(self.alpha - 2.0)
        if a == 2:
            return 0.5 * square
        if a < _VAST:
            return -xp.expm1(-0.5 * square)
        if abs(a) < _TINY:
            return xp.log1p(0.5 * square)
        # appendix B of the paper bounds α away from its special values; this form of the same formula need not
        return b / a * xp.expm1(0.5 * a * xp.log1p(square / b))

    def slope(self, xp: Namespace, error: Array) -> Array:
        square, a, b = (error / self.scale) ** 2, self.alpha, abs(self.alpha - 2.0)
        pull = error / self.scale**2
        if a == 2:
            return pull
        if a < _VAST:
            return pull * xp.exp(-0.5 * square)
        return pull * xp.exp((0.5 * a - 1.0) * xp.log1p(square / b))


# beyond these α the formula and its limit differ by less than float64 shows, while float32 could not hold its parts
_VAST = -1e17
_TINY = 1e-20


@loss("Beaton & Tukey 1974, The Fitting of Power Series", aliases=("biweight", "bisquare"))
class TukeyLoss(ResidualLoss):
    r"""Tukey's biweight: errors beyond c have no slope at all.

    $$\ell(e) = \frac{c^2}{6} \begin{cases} 1 - \big(1 - (e/c)^2\big)^3 & |e| \le c \\
    1 & \text{otherwise} \end{cases}$$

    Use it when gross outliers must have no influence and the start is good: a sample that begins beyond c never comes
    back. Near 0 it is e²/2.

    Args:
        c: the error from which on nothing pulls, in the unit of the target. 4.685 standard deviations keep 95 % of the
            efficiency of least squares on Gaussian errors.

    Shapes: prediction and target alike, any shape; the unreduced loss has that shape.

    Elsewhere: `statsmodels.robust.norms.TukeyBiweight(c).rho` gives the same number.

    >>> import numpy as np, lossary
    >>> lossary.TukeyLoss(c=6, reduction="none")(np.array([0.0, 6.0, 100.0]), np.zeros(3)).tolist()
    [0.0, 6.0, 6.0]
    """

    c: float = option(default=4.685, above=0)

    def values(self, xp: Namespace, error: Array) -> Array:
        u = clip(xp, (error / self.c) ** 2, max=1.0)
        return self.c**2 / 6.0 * u * (3.0 - 3.0 * u + u * u)  # 1 - (1-u)³, which cancels near 0

    def slope(self, xp: Namespace, error: Array) -> Array:
        return error * (1.0 - clip(xp, (error / self.c) ** 2, max=1.0)) ** 2


@loss("Black & Anandan 1996, The Robust Estimation of Multiple Motions, table 1", aliases=("lorentzian",))
class CauchyLoss(ResidualLoss):
    r"""Logarithm of the square: the slope falls as 1/e.

    $$\ell(e) = \frac{c^2}{2} \ln\big(1 + (e/c)^2\big)$$

    Use it for heavy tails: it is the likelihood of Cauchy errors, up to a factor. Outliers pull less the farther they
    are off, yet never not at all. Near 0 it is e²/2.

    Args:
        c: the error with the greatest slope, in the unit of the target; 2.385 standard deviations keep 95 % of the
            efficiency of least squares on Gaussian errors.

    Shapes: prediction and target alike, any shape; the unreduced loss has that shape.

    Elsewhere: `kornia.losses.cauchy_loss` is ln(1 + e²/2): this at c=√2. `scipy.optimize.least_squares(loss="cauchy")`
    minimises half of ln(1 + e²), this at c=1.

    >>> import math, numpy as np, lossary
    >>> math.isclose(lossary.CauchyLoss()(np.array([1.0]), np.zeros(1)), math.log(2) / 2)
    True
    """

    c: float = option(default=1.0, above=0)

    def values(self, xp: Namespace, error: Array) -> Array:
        return 0.5 * self.c**2 * xp.log1p((error / self.c) ** 2)

    def slope(self, xp: Namespace, error: Array) -> Array:
        return error / (1.0 + (error / self.c) ** 2)


@loss(
    "Holland & Welsch 1977, Robust Regression Using Iteratively Reweighted Least-Squares",
    aliases=("correntropy", "leclerc"),
)
class WelschLoss(ResidualLoss):
    r"""One minus a bell curve: the slope falls faster than any power of the error.

    $$\ell(e) = \frac{c^2}{2} \Big(1 - \exp\big(-(e/c)^2\big)\Big)$$

    Use it as a smooth `TukeyLoss`: outliers count c²/2 and teach next to nothing. It needs a good start for the same
    reason. Near 0 it is e²/2.

    Args:
        c: the scale, in the unit of the target; 2.985 standard deviations keep 95 % of the efficiency of least squares
            on Gaussian errors.

    Shapes: prediction and target alike, any shape; the unreduced loss has that shape.

    Elsewhere: `kornia.losses.welsch_loss` is 1 - exp(-e²/2): this at c=√2.

    >>> import math, numpy as np, lossary
    >>> round(float(lossary.WelschLoss(c=math.sqrt(2))(np.array([1.0]), np.zeros(1))), 4)
    0.3935
    """

    c: float = option(default=1.0, above=0)

    def values(self, xp: Namespace, error: Array) -> Array:
        return -0.5 * self.c**2 * xp.expm1(-((error / self.c) ** 2))

    def slope(self, xp: Namespace, error: Array) -> Array:
        return error * xp.exp(-((error / self.c) ** 2))


@loss("Geman & McClure 1985, Bayesian Image Analysis: An Application to Single Photon Emission Tomography")
class GemanMcClureLoss(ResidualLoss):
    r"""The square over one plus the square: it levels off at c²/2.

    $$\ell(e) = \frac{e^2/2}{1 + (e/c)^2}$$

    Use it as `WelschLoss`, with a slope that falls as 1/e³: outliers keep a little pull, so a bad start is less fatal.
    Near 0 it is e²/2.

    Args:
        c: the scale, in the unit of the target: half of the greatest loss is reached there.

    Shapes: prediction and target alike, any shape; the unreduced loss has that shape.

    Elsewhere: `kornia.losses.geman_mcclure_loss` is 2e²/(e²+4): this at c=2. Some leave out the half.

    >>> import numpy as np, lossary
    >>> lossary.GemanMcClureLoss(c=2, reduction="none")(np.array([2.0, 6.0]), np.zeros(2)).tolist()
    [1.0, 1.8]
    """

    c: float = option(default=1.0, above=0)

    def values(self, xp: Namespace, error: Array) -> Array:
        u = (error / self.c) ** 2
        return 0.5 * self.c**2 * (u / (1.0 + u))

    def slope(self, xp: Namespace, error: Array) -> Array:
        return error / (1.0 + (error / self.c) ** 2) ** 2
