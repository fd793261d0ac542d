"""Regression of places: offsets of boxes, landmarks and heat maps."""

from __future__ import annotations

import math

from lossary.array.namespace import Array, Namespace
from lossary.array.primitives import apply_where, clip, magnitude, sign, xlogy
from lossary.core.families import Pair, PointwiseLoss, ResidualLoss
from lossary.core.families.pointwise import REALS
from lossary.core.loss import loss
from lossary.core.options import Domain, option


@loss(
    "Zhang et al. 2021, Focal and Efficient IOU Loss for Accurate Bounding Box Regression, eq. 16",
    arxiv="2101.08158",
    surveys=("S0",),
)
class FocalL1Loss(ResidualLoss):
    r"""Regression loss whose gradient is greatest at moderate errors and fades for small ones.

    $$\ell(e) = \begin{cases} -\frac{\alpha}{4} x^2 (2 \ln(\beta x) - 1) & x \le 1 \\
    -\alpha x \ln\beta + \frac{\alpha}{4} (2 \ln\beta + 1) & \text{otherwise} \end{cases}, \qquad x = |e|$$

    Use it for offsets of boxes that are normalised to about 1, where many near misses outweigh the boxes that are worth
    improving. Its slope is -αx ln(βx) up to an error of 1 and constant beyond; it has its peak α/(eβ) at 1/(eβ). Errors
    in other units must be scaled first: the place where the branches meet is not an option.

    Args:
        alpha: the scale of the gradient; None is e·β, with which the greatest slope is 1 whatever β.
        beta: the steepness, from 1/e, where the slope grows up to an error of 1, to 1, where it is 0 from there on.

    Shapes: prediction and target alike, any shape; the unreduced loss has that shape.

    Elsewhere: no major library has it.

    >>> import numpy as np, lossary
    >>> loss = lossary.FocalL1Loss(alpha=1, beta=1, reduction="none")
    >>> loss(np.array([0.0, 1.0, 5.0]), np.zeros(3)).tolist()
    [0.0, 0.25, 0.25]
    """

    alpha: float | None = option(default=None, above=0)
    beta: float = option(default=0.8, low=math.exp(-1), high=1)

    @property
    def _scale(self) -> float:
        return math.e * self.beta if self.alpha is None else self.alpha

    def values(self, xp: Namespace, error: Array) -> Array:
        size, log_beta = magnitude(xp, error), math.log(self.beta)
        x = xp.where(size < 1, size, 1.0)
        near = 0.25 * x * x - 0.5 * xlogy(xp, x * x, self.beta * x)
        far = 0.25 * (2.0 * log_beta + 1.0) - log_beta * size
        return self._scale * xp.where(size < 1, near, far)

    def slope(self, xp: Namespace, error: Array) -> Array:
        x = clip(xp, magnitude(xp, error), max=1.0)
        return (
            -self._scale
            * sign(xp, error)
            * xp.where(magnitude(xp, error) < 1, xlogy(xp, x, self.beta * x), math.log(self.beta))
        )


@loss("Pang et al. 2019, Libra R-CNN: Towards Balanced Learning for Object Detection, eq. 8 to 11", arxiv="1904.02701")
class BalancedL1Loss(ResidualLoss):
    r"""Smooth L1 loss that lets inliers pull harder, up to the same limit.

    $$\ell(e) = \beta \begin{cases} \frac{\alpha}{b} (bx+1) \ln(bx+1) - \alpha x & x < 1 \\
    \gamma x + \frac{\gamma}{b} - \alpha & \text{otherwise} \end{cases}, \qquad x = |e| / \beta,
    \quad b = \exp(\gamma/\alpha) - 1$$

    Use it for offsets of boxes where the many accurate ones contribute too little under `SmoothL1Loss`. Its slope is
    α ln(b|e|/β + 1) up to β and γ beyond.

    Args:
        alpha: less of it gives inliers a greater slope.
        gamma: the greatest slope; at most 80 times `alpha`, for b must be a finite number.
        beta: the error where the branches meet, in the unit of the target.

    Shapes: prediction and target alike, any shape; the unreduced loss has that shape.

    Elsewhere: `mmdet.models.losses.balanced_l1_loss` gives the same number at beta=1, the paper's. At another beta its
    slope at e = 0 is ±(α/β - α) and not 0; here beta is a change of unit.

    >>> import numpy as np, lossary
    >>> loss = lossary.BalancedL1Loss(reduction="none")
    >>> near, far = loss(np.array([2.0, 3.0]), np.zeros(2))
    >>> round(float(far - near), 12)
    1.5
    """

    alpha: float = option(default=0.5, above=0)
    gamma: float = option(default=1.5, above=0)
    beta: float = option(default=1.0, above=0)

    def check_options(self) -> None:
        super().check_options()
        if self.gamma > 80 * self.alpha:
            raise ValueError(f"`gamma` must be at most 80 times `alpha`; got gamma={self.gamma}, alpha={self.alpha}")

    def values(self, xp: Namespace, error: Array) -> Array:
        b = math.expm1(self.gamma / self.alpha)
        x = _side(xp, error) * error / self.beta
        inner = b * xp.where(x < 1, x, 1.0)
        near = self.alpha / b * ((inner + 1.0) * xp.log1p(inner) - inner)
        far = self.gamma * x + (self.gamma / b - self.alpha)
        return self.beta * xp.where(x < 1, near, far)

    def slope(self, xp: Namespace, error: Array) -> Array:
        side = _side(xp, error)
        x = clip(xp, side * error / self.beta, max=1.0)
        return self.alpha * side * xp.log1p(math.expm1(self.gamma / self.alpha) * x)


def _side(xp: Namespace, error: Array) -> Array:
    """-1 or 1, and 1 at 0: with |e| written as side · e, a formula that is smooth at 0 has its second derivative there,
    where autograd's |e| has none."""
    return xp.where(error < 0, -1.0, xp.ones_like(error))


@loss(
    "Feng et al. 2018, Wing Loss for Robust Facial Landmark Localisation with Convolutional Neural Networks, eq. 5",
    arxiv="1711.06753",
)
class WingLoss(ResidualLoss):
    r"""Logarithmic for small errors, which pull hardest, and absolute for large ones.

    $$\ell(e) = \begin{cases} w \ln(1 + |e|/\epsilon) & |e| < w \\ |e| - w + w \ln(1 + w/\epsilon) & \text{otherwise}
    \end{cases}$$

    Use it for coordinates of landmarks in pixels, when the last pixels matter. Its slope is w/ε at an error of 0 and
    falls to w/(ε+w): it never rests, and noise in the labels keeps pulling. At w it jumps to 1.

    Args:
        width: w, the error where the branches meet, in the unit of the target.
        curvature: ε, the smaller, the steeper at 0.

    Shapes: prediction and target alike, any shape; the unreduced loss has that shape.

    Elsewhere: `mmpose.models.losses.WingLoss(omega=…, epsilon=…)` has the same formula, but sums over the coordinates
    of a sample before it averages.

    >>> import numpy as np, lossary
    >>> loss = lossary.WingLoss(width=1, curvature=1, reduction="none")
    >>> [round(float(v), 4) for v in loss(np.array([0.0, 1.0, 2.0]), np.zeros(3))]
    [0.0, 0.6931, 1.6931]
    """

    width: float = option(default=10.0, above=0)
    curvature: float = option(default=2.0, above=0)

    def values(self, xp: Namespace, error: Array) -> Array:
        size = magnitude(xp, error)
        near = self.width * xp.log1p(xp.where(size < self.width, size, 0.0) / self.curvature)
        far = size + self.width * (math.log1p(self.width / self.curvature) - 1.0)
        return xp.where(size < self.width, near, far)

    def slope(self, xp: Namespace, error: Array) -> Array:
        size = magnitude(xp, error)
        return sign(xp, error) * xp.where(size < self.width, self.width / (self.curvature + size), 1.0)


@loss(
    "Wang et al. 2019, Adaptive Wing Loss for Robust Face Alignment via Heatmap Regression, eq. 4",
    arxiv="1904.07399",
    aliases=("awing",),
)
class AdaptiveWingLoss(PointwiseLoss):
    r"""Wing loss for heat maps: its bend adapts to the target, sharp on the landmark and smooth in the background.

    $$\ell = \begin{cases} \omega \ln(1 + |e/\epsilon|^{\alpha - t}) & |e| < \theta \\ A |e| - C & \text{otherwise}
    \end{cases}, \qquad A = \omega (\alpha - t) \frac{(\theta/\epsilon)^{\alpha-t-1}}{\epsilon (1 +
    (\theta/\epsilon)^{\alpha-t})}$$

    Use it for heat maps of landmarks with targets in [0, 1]: pixels near a landmark (t = 1) keep a large slope down to
    small errors, background pixels (t = 0) settle. C joins the branches: C = θA - ω ln(1 + (θ/ε)^(α-t)). The paper
    multiplies foreground pixels by 10 besides: that is `sample_weight`.

    Args:
        alpha: the exponent at a target of 0, at least 2, so that the slope at e = 0 exists for every target.
        width: ω, the scale of the loss.
        curvature: ε, the error at which the logarithm bends.
        threshold: θ, the error where the branches meet.

    Shapes: prediction and target alike, any shape, target in [0, 1]; the unreduced loss has that shape.

    Elsewhere: `mmpose.models.losses.AdaptiveWingLoss` has the same formula and takes its mean over all pixels.

    >>> import numpy as np, lossary
    >>> loss = lossary.AdaptiveWingLoss(alpha=2, width=1, threshold=2, reduction="none")
    >>> [round(float(v), 4) for v in loss(np.array([1.0, 1.0]), np.array([1.0, 0.0]))]
    [0.0, 0.6931]
    """

    alpha: float = option(default=2.1, low=2)
    width: float = option(default=14.0, above=0)
    curvature: float = option(default=1.0, above=0)
    threshold: float = option(default=0.5, above=0)

    def domain(self, argument: str) -> Domain:
        return Domain(low=0, high=1) if argument == "target" else REALS

    def values(self, xp: Namespace, pair: Pair) -> Array:
        size, exponent = magnitude(xp, pair.prediction - pair.target), self.alpha - pair.target
        near = size < self.threshold
        x = xp.where(near, size, self.threshold) / self.curvature
        # x^(α-t), in log space because the exponent is an array
        bend = xp.where(x > 0, xp.exp(exponent * apply_where(xp, x > 0, xp.log, x, 0.0)), 0.0)
        edge = xp.exp(exponent * math.log(self.threshold / self.curvature))
        steep = self.width * exponent * edge / (self.threshold * (1.0 + edge))
        beyond = xp.where(near, 0.0, size - self.threshold)
        return self.width * xp.log1p(bend) + steep * beyond
