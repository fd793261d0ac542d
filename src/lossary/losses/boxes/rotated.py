"""Losses of rotated boxes."""

from __future__ import annotations

import abc
from typing import Literal

from lossary.array.namespace import Array, Namespace
from lossary.array.primitives import sqrt
from lossary.core.families import GaussianPair, RotatedBoxLoss
from lossary.core.loss import family, loss
from lossary.core.options import option


@family
class BoundedDistanceLoss(RotatedBoxLoss):
    """Losses 1 - 1/(τ + f(d)) of a distance d between two Gaussians (Yang et al. 2021)."""

    form: Literal["log", "sqrt"] = option(default="log")
    tau: float = option(default=1.0, low=1)

    @abc.abstractmethod
    def distance(self, xp: Namespace, pair: GaussianPair) -> Array:
        """What f is taken of; not negative."""

    def values(self, xp: Namespace, pair: GaussianPair) -> Array:
        d = self.distance(xp, pair)
        f = xp.log1p(d) if self.form == "log" else sqrt(xp, d)
        return (self.tau - 1.0 + f) / (self.tau + f)


@loss(
    "Yang et al. 2021, Rethinking Rotated Object Detection with Gaussian Wasserstein Distance Loss",
    arxiv="2101.11952",
    span=(0.0, 1.0),
)
class GWDLoss(BoundedDistanceLoss):
    r"""The Wasserstein distance of two rotated boxes taken for Gaussians.

    $$\ell = 1 - \frac{1}{\tau + f(d^2)}, \quad
      d^2 = \|\mu - \mu'\|^2 + \mathrm{Tr}\Big(\Sigma + \Sigma' - 2 (\Sigma^{1/2} \Sigma' \Sigma^{1/2})^{1/2}\Big)$$

    Use it to regress rotated boxes: it has no jump where the angle wraps or width and height change places, a gradient
    for disjoint boxes, and a value for boxes without area. Not where boxes of many sizes are to weigh alike: d is a
    length in the unit of the boxes, so that an error of one pixel costs the same in a small box as in a large one, and
    in pixels most losses are close to 1. `KLDBoxLoss` and `ProbIoULoss` have no unit. μ is the centre; Σ has the half
    sides squared along the sides of the box.

    Args:
        form: f; `"log"` is ln(1 + d²), `"sqrt"` is d, whose slope does not fade as the boxes meet.
        tau: τ; 1 makes the loss of two equal boxes 0, a larger one flattens it and adds 1 - 1/τ.

    Shapes: (..., 5) both, centre x and y, width, height, angle in radians; the unreduced loss has the leading shape.
    Two equal boxes give exactly 0 with `tau=1`, points included.

    Elsewhere: mmrotate's `gwd_loss` takes ln(1 + d), not d², of a d that it divides by the geometric mean of the sides
    (`normalize=True`). OpenCV and many data sets give angles in degrees: convert them.

    >>> import math, numpy as np, lossary
    >>> box, turned = np.array([[0.0, 0, 4, 2, 0]]), np.array([[0.0, 0, 2, 4, math.pi / 2]])
    >>> round(float(lossary.GWDLoss()(box, turned)), 12)
    0.0
    >>> float(lossary.GWDLoss(form="sqrt")(box, box + [3, 0, 0, 0, 0]))
    0.75
    """

    def distance(self, xp: Namespace, pair: GaussianPair) -> Array:
        return pair.wasserstein * pair.scale**2


@loss(
    "Yang et al. 2021, Learning High-Precision Bounding Box for Rotated Object Detection via KL Divergence",
    arxiv="2106.01883",
    span=(0.0, 1.0),
)
class KLDBoxLoss(BoundedDistanceLoss):
    r"""The Kullback-Leibler divergence of two rotated boxes taken for Gaussians.

    $$\ell = 1 - \frac{1}{\tau + f(D)}, \quad D = \frac{1}{2} (\mu - \mu')^T \Sigma'^{-1} (\mu - \mu') +
      \frac{1}{2} \mathrm{Tr}(\Sigma'^{-1} \Sigma) + \frac{1}{2} \ln \frac{|\Sigma'|}{|\Sigma|} - 1$$

    Use it to regress rotated boxes accurately, long ones above all: an error counts by the side of the target along
    which it lies, so the angle matters the more the longer the box is. It has no unit. Not for targets without area: a
    side below 1e-6 of the longest length in the pair counts as that, which leaves a finite loss near 1.

    Args:
        form: f; `"log"` is ln(1 + D), the paper's choice, `"sqrt"` is √D.
        tau: τ; 1 makes the loss of two equal boxes 0, a larger one flattens it and adds 1 - 1/τ.
        reverse: False has D of the prediction from the target, KL(prediction ‖ target); True KL(target ‖ prediction),
            where an error counts by the sides of the prediction.

    Shapes: (..., 5) both, centre x and y, width, height, angle in radians; the unreduced loss has the leading shape. It
    does not depend on the unit. Two equal boxes give exactly 0 with `tau=1`, points included.

    Elsewhere: mmrotate's `kld_loss` takes KL(target ‖ prediction): with `fun="log1p", tau=1, sqrt=False` it is
    `reverse=True` at ordinary sizes. By default it takes √D in the place of D. Its `jd_loss` (the mean of both
    directions) and `kld_symmax_loss`, `kld_symmin_loss` are symmetric forms that are not here.

    >>> import numpy as np, lossary
    >>> box = np.array([[0.0, 0, 4, 2, 0.3]])
    >>> wide = box * [1, 1, 2, 1, 1]
    >>> round(float(lossary.KLDBoxLoss()(wide, box)), 4)  # D = (4 - 1 - ln 4)/2
    0.3717
    >>> round(float(lossary.KLDBoxLoss(reverse=True)(wide, box)), 4)  # D = (1/4 - 1 + ln 4)/2
    0.2164
    """

    reverse: bool = option(default=False)

    def pair(self, xp: Namespace, prediction: Array, target: Array) -> GaussianPair:
        return GaussianPair(xp, target, prediction) if self.reverse else super().pair(xp, prediction, target)

    def preparation_key(self) -> str:
        return f"{super().preparation_key()}, reversed" if self.reverse else super().preparation_key()

    def distance(self, xp: Namespace, pair: GaussianPair) -> Array:
        return pair.divergence


@loss(
    "Llerena et al. 2021, Gaussian Bounding Boxes and Probabilistic Intersection-over-Union for Object Detection",
    arxiv="2106.06072",
)
class ProbIoULoss(RotatedBoxLoss):
    r"""The Hellinger distance of two rotated boxes taken for Gaussians: one minus the probabilistic IoU.

    $$\ell = \sqrt{1 - e^{-B}}, \quad B = \frac{1}{8} (\mu - \mu')^T \bar\Sigma^{-1} (\mu - \mu') +
      \frac{1}{2} \ln \frac{|\bar\Sigma|}{\sqrt{|\Sigma| |\Sigma'|}}, \quad \bar\Sigma = \frac{\Sigma + \Sigma'}{2}$$

    Use it to regress rotated boxes with a loss in [0, 1] that is a metric and close to 1 - IoU; YOLO's oriented models
    do. Boxes far apart have next to no slope: begin with `form="bhattacharyya"`, as the paper does. Σ is the covariance
    of the uniform distribution on the box, its squared sides over 12.

    Args:
        form: `"hellinger"`, the paper's L1, in [0, 1]; or `"bhattacharyya"`, its L2, which is B itself.

    Shapes: (..., 5) both, centre x and y, width, height, angle in radians; the unreduced loss has the leading shape. It
    does not depend on the unit. Two equal boxes give exactly 0, points included. A side below 1e-6 of the longest
    length in the pair counts as that.

    Elsewhere: `probiou` of Ultralytics is 1 minus this loss, with small numbers added in several places, so that equal
    boxes do not give exactly 1 there.

    >>> import numpy as np, lossary
    >>> box = np.array([[0.0, 0, 4, 2, 0.3]])
    >>> round(float(lossary.ProbIoULoss()(box + [1, 0, 0, 0, 0], box)), 4)
    0.334
    """

    form: Literal["hellinger", "bhattacharyya"] = option(default="hellinger")

    def values(self, xp: Namespace, pair: GaussianPair) -> Array:
        distance = pair.bhattacharyya
        return distance if self.form == "bhattacharyya" else sqrt(xp, -xp.expm1(-distance))
