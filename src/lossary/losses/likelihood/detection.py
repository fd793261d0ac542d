"""Dense detection: scores that say how good a box is, and offsets that are distributions over bins."""

from __future__ import annotations

from typing import Literal

from lossary.array.namespace import Array, Namespace
from lossary.array.primitives import add_product, affine, magnitude, power, sign, signed_power
from lossary.core.families import ForegroundMean, LikelihoodLoss, SigmoidLoss
from lossary.core.families.answer import Scored
from lossary.core.loss import loss
from lossary.core.options import option


@loss(
    "Li et al. 2020, Generalized Focal Loss, eq. 2",
    arxiv="2006.04388",
    aliases=("qfl", "qfocal"),
    surveys=("S2",),
)
class QualityFocalLoss(ForegroundMean, SigmoidLoss):
    r"""Focal loss for a score between 0 and 1: the quality of a box in place of yes or no.

    $$\ell = -|t-p|^\beta\,\big(t\ln p + (1-t)\ln(1-p)\big), \qquad p = \sigma(\text{logit})$$

    Use it where one score stands for class and quality at once: t is the IoU of the predicted box at its class and 0
    elsewhere. On hard labels it is the focal loss without α. Where t is noisy it is not: a wrong target is far from p.

    Args:
        beta: β, how fast scores near their target fade; 0 is binary cross entropy.
        normalizer: `"places"`, or `"positives"` for the paper's mean over targets above 0, see `ForegroundMean`.
        ignore_index, mask, sample_weight: places left out and weights of places, see `lossary.Loss`.

    Shapes: prediction and target alike; the target bool, integer 0/1 or a quality in [0, 1]. The unreduced loss has
    that shape.

    Elsewhere: mmdetection's `QualityFocalLoss` sums over classes and divides by what it is given; its mean is C times
    this one's. Code that takes (t-p)^β without the absolute value has NaN for β that is not even. The soft targets of
    `FocalLoss` are expectations, another number.

    >>> import numpy as np, lossary
    >>> loss = lossary.QualityFocalLoss()
    >>> float(loss(np.array([0.0]), np.array([0.5])))  # the score meets its target
    0.0
    >>> z, t = np.array([1.0]), np.array([1])
    >>> bool(np.isclose(loss(z, t), lossary.FocalLoss("binary")(z, t)))
    True
    """

    beta: float = option(default=2.0, low=0)

    def values(self, xp: Namespace, x: Scored) -> Array:
        return power(xp, magnitude(xp, x.error), self.beta) * x.cross_entropy

    def slope(self, xp: Namespace, x: Scored) -> Array:
        if self.beta == 0:
            return x.error
        steeper = add_product(xp.square(x.error), x.p * x.miss, x.cross_entropy, self.beta)
        return signed_power(xp, x.error, self.beta - 1.0) * steeper


@loss(
    "Li et al. 2020, Generalized Focal Loss, eq. 6",
    arxiv="2006.04388",
    aliases=("dfl",),
    surveys=("S2",),
)
class DistributionFocalLoss(LikelihoodLoss):
    r"""Cross entropy of a number that lies between two bins, shared by the two.

    $$\ell = -(i+1-y)\,\ln p_i - (y-i)\,\ln p_{i+1}, \qquad i = \lfloor y \rfloor$$

    Use it where a network predicts a number as a distribution over bins 0, 1, … C-1 (an edge of a box, a depth, an
    age) and its mean is read out. Despite its name nothing fades. Where one number per place is enough, take `L1Loss`.

    Args:
        class_weight: one number per bin; a number between two takes its share of both.
        ignore_index, mask, sample_weight: places left out and weights of places, see `lossary.Loss`.

    Shapes: logits (N, C, *) with bins on `class_axis`; target (N, *), floating or integer, in [0, C-1] in units of
    bins, both ends included; the unreduced loss is (N, *). A distribution (N, C, *) is taken as it is.

    Elsewhere: mmdetection's `DistributionFocalLoss` and Ultralytics' `DFLoss` read a bin beyond the last at y = C-1,
    and clip y below it; elsewhere the number is the same.

    >>> import numpy as np, lossary
    >>> logits = np.log(np.array([[0.1, 0.6, 0.3]]))
    >>> round(float(lossary.DistributionFocalLoss()(logits, np.array([1.25]))), 4)  # -.75 ln .6 - .25 ln .3
    0.6841
    >>> round(float(lossary.DistributionFocalLoss()(logits, np.array([2.0]))), 4)  # -ln .3
    1.204
    """

    task: Literal["multiclass"] = option(default="multiclass", init=False)

    reads_between = True


@loss(
    "Zhang et al. 2021, VarifocalNet: An IoU-aware Dense Object Detector, eq. 2",
    arxiv="2008.13367",
    aliases=("vfl",),
)
class VarifocalLoss(ForegroundMean, SigmoidLoss):
    r"""Focal on negatives only; positives count as much as they are good.

    $$\ell = \begin{cases} -t\,\big(t\ln p + (1-t)\ln(1-p)\big) & t > 0 \\
      -\alpha\,p^\gamma\ln(1-p) & t = 0 \end{cases}$$

    Use it for the IoU-aware score of a dense detector, where positives are rare and must not fade. A positive of
    quality near 0 counts for almost nothing: where all positives matter alike, take `QualityFocalLoss`.

    Args:
        alpha: α, the weight of negatives.
        gamma: γ, how fast easy negatives fade.
        normalizer: `"places"`, or `"positives"` for the paper's mean over targets above 0, see `ForegroundMean`.
        ignore_index, mask, sample_weight: places left out and weights of places, see `lossary.Loss`.

    Shapes: prediction and target alike; the target is the IoU at the true class and 0 elsewhere, or 0/1. The unreduced
    loss has that shape.

    Elsewhere: mmdetection's `VarifocalLoss` (`iou_weighted=True`); as there the gradient flows through p^γ.

    >>> import numpy as np, lossary
    >>> loss = lossary.VarifocalLoss(reduction="none")
    >>> loss(np.zeros(2), np.array([0.0, 0.5])).round(4).tolist()  # .75 · .25 · ln 2, .5 · ln 2
    [0.13, 0.3466]
    """

    alpha: float = option(default=0.75, low=0)
    gamma: float = option(default=2.0, low=0)

    def values(self, xp: Namespace, x: Scored) -> Array:
        return (x.t + self._of_negatives(xp, x)) * x.cross_entropy

    def slope(self, xp: Namespace, x: Scored) -> Array:
        negative = self._of_negatives(xp, x)
        return add_product((x.t + negative) * x.error, negative * x.miss, x.cross_entropy, self.gamma)

    def _of_negatives(self, xp: Namespace, x: Scored) -> Array:
        """α·p^γ where t = 0, and 0 elsewhere: the weight of a negative, whose cross entropy is -ln(1-p)."""
        return x.shared(
            "negatives", lambda: affine(self.alpha, -self.alpha, sign(xp, x.t)) * power(xp, x.p, self.gamma)
        )
