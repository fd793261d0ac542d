"""Losses of soft counts that join the classes before the ratio: generalised Dice."""

from __future__ import annotations

from typing import Literal

from lossary.array.namespace import Array, Namespace
from lossary.array.primitives import divide
from lossary.core.families import Counts, RegionLoss
from lossary.core.loss import loss
from lossary.core.options import option


@loss(
    "Sudre et al. 2017, Generalised Dice overlap as a deep learning loss function for unbalanced segmentations",
    arxiv="1707.03237",
    aliases=("gdl",),
    surveys=("S3",),
    span=(0.0, 1.0),
)
class GeneralizedDiceLoss(RegionLoss):
    r"""One Dice ratio for all classes, in which small classes count as much as large ones.

    $$\ell = 1 - \frac{2\sum_c w_c\,TP_c + s}{\sum_c w_c\,(2\,TP_c + FP_c + FN_c) + s}, \qquad
      w_c \propto \frac{1}{(\sum t_c)^2}, \quad \sum_c w_c = 1$$

    Use it for classes of very unlike size. One small class can hold nearly all the weight, and with it the noise:
    `weighting="simple"` is milder, and `DiceLoss` with its mean over classes needs no weights at all.

    Args:
        weighting: w is 1 over the `"square"` of the number of places of the class, over that number (`"simple"`), or
            `"uniform"`: the Dice coefficient of all classes thrown together.

    Shapes: as classification; unreduced (N,) per image. In [0, 1]. `class_weight` multiplies w, and `classes` chooses
    which classes enter the sums. A class that the target does not have takes the largest weight of those that it has,
    so false alarms of it cost; where nothing is predicted of it either, it leaves both sums and the normalisation.
    Without any class all weigh alike. The weights sum to 1 before `smooth` enters: 1/n² by itself is so small in large
    images that `smooth` would be all that is left.

    Elsewhere: `monai.losses.GeneralizedDiceLoss(softmax=True, to_onehot_y=True, w_type=…)` has these weights, not
    normalised: the same number for smooth 0. `weighting="uniform"` is kornia's `dice_loss(average="micro")`, with its
    eps for smooth. SegLossOdyssey gives an absent class 1e20 (or 1e5) and with it the whole loss.

    >>> import numpy as np, lossary
    >>> p = np.array([[0.9, 0.9, 0.9, 0.1]])
    >>> p, target = np.stack([1 - p, p], axis=1), np.array([[1, 1, 1, 0]])
    >>> for weighting in ("square", "simple", "uniform"):
    ...     loss = lossary.GeneralizedDiceLoss("multiclass", weighting=weighting, from_logits=False, smooth=0)
    ...     print(round(float(loss(p, target)), 5))
    0.15625
    0.12903
    0.1
    """

    joins_classes = True
    weighs_linearly = False

    weighting: Literal["square", "simple", "uniform"] = option(default="square")

    def joined(self, xp: Namespace, counts: Counts, weight: Array) -> Counts:
        share = self._shares(xp, counts.tp + counts.fn, weight)
        return Counts(*(xp.sum(share * x, axis=-1) for x in counts))

    def _shares(self, xp: Namespace, volume: Array, weight: Array) -> Array:
        """The weight of each class in the sums; of those that the target has, they sum to 1."""
        present = xp.logical_and(volume > 0, weight > 0)
        exponent = {"square": 2, "simple": 1, "uniform": 0}[self.weighting]
        # in multiples of the largest weight, so that no power over- or underflows
        smallest = xp.min(xp.where(present, volume, float("inf")), axis=-1, keepdims=True)
        none = xp.isinf(smallest)
        ratio = xp.where(present, xp.where(none, 1.0, smallest) / xp.where(present, volume, 1.0), 1.0)
        share = weight * ratio**exponent
        norm = xp.sum(xp.where(xp.logical_or(present, none), share, 0.0), axis=-1, keepdims=True)
        return divide(xp, share, norm)

    def values(self, xp: Namespace, counts: Counts) -> Array:
        errors = counts.fp + counts.fn
        return divide(xp, errors, 2.0 * counts.tp + errors + self.smooth)


@loss(
    "Yang et al. 2019, Major Vessel Segmentation on X-ray Coronary Angiography using Deep Networks with a Novel "
    "Penalty Loss Function (MIDL abstract)",
    aliases=("penalty_gd", "pgd"),
    surveys=("S3",),
    span=(0.0, 1.0),
)
class PenaltyGeneralizedDiceLoss(GeneralizedDiceLoss):
    r"""Generalised Dice loss with a penalty on what is left: every error counts 1+k times.

    $$\ell = 1 - \frac{GD}{1 + k\,(1-GD)} = 1 - \frac{2\,TP + s}{2\,TP + (1+k)(FP+FN) + s}$$

    with GD the generalised Dice coefficient and TP, FP, FN the joined counts of `GeneralizedDiceLoss`. Use it where
    generalised Dice leaves thin structures with false alarms. It flattens where masks hardly overlap, so it starts more
    slowly from scratch.

    Args:
        penalty: k; 0 is `GeneralizedDiceLoss`.
        weighting: see `GeneralizedDiceLoss`.

    Shapes: as classification; unreduced (N,) per image. In [0, 1].

    Elsewhere: survey papers and SegLossOdyssey write L/(1+k(1-L)) with L = 1-GD, which is (FP+FN)/((1+k)·2TP+FP+FN):
    that makes errors cheaper, while k is there to weigh false positives and negatives more. Read with GD, as here, the
    same expression does. One version of SegLossOdyssey's code also passes -GD for L.

    >>> import numpy as np, lossary
    >>> logits, target = np.array([[40.0, 40.0, -40.0]]), np.array([[1, 0, 0]])  # GD 2/3: 1 - (2/3)/(1 + 2.5/3)
    >>> round(float(lossary.PenaltyGeneralizedDiceLoss("binary")(logits, target)), 3)
    0.636
    """

    penalty: float = option(default=2.5, low=0)

    def values(self, xp: Namespace, counts: Counts) -> Array:
        errors = (1.0 + self.penalty) * (counts.fp + counts.fn)
        return divide(xp, errors, 2.0 * counts.tp + errors + self.smooth)
