"""Losses of soft counts, each class by itself: Dice, Tversky and what is made of them."""

from __future__ import annotations

from lossary.array.namespace import Array, Namespace
from lossary.array.primitives import divide
from lossary.core.families import Counts, RegionLoss
from lossary.core.loss import loss
from lossary.core.options import option


@loss(
    "Milletari et al. 2016, V-Net, section 3; Dice 1945",
    arxiv="1606.04797",
    surveys=("S0", "S1", "S3", "S4"),
    span=(0.0, 1.0),
)
class DiceLoss(RegionLoss):
    r"""One minus the soft Dice coefficient (F1 score) of each class.

    $$\ell = 1 - \frac{2\,TP + s}{2\,TP + FP + FN + s}$$

    Use it to segment where foreground is scarce: background pixels that are right do not enter. Its gradient is noisy
    for small objects and vanishes on empty masks (see `smooth`), so it is often added to `CrossEntropyLoss`.

    Args:
        smooth: s. An empty mask with no prediction gives 0.
        squared: sums of p² and t² in the denominator, as V-Net has it.

    Shapes: as classification; unreduced (N, C) per image. In [0, 1].

    Elsewhere: `monai.losses.DiceLoss(softmax=True, to_onehot_y=True)` has this mean and smooth; smp's joins the batch
    (`per="batch"`) and skips classes without target; kornia's default joins classes first, which for a softmax is the
    mean probability of the wrong classes and not Dice. The Jaccard index J relates by D = 2J/(1+J).

    >>> import numpy as np, lossary
    >>> logits = np.where(np.array([[1, 1, 1, 1], [1, 0, 0, 0]]), 20.0, -20.0)
    >>> target = np.array([[1, 1, 1, 1], [0, 1, 0, 0]])
    >>> [round(float(lossary.DiceLoss("binary", per=per)(logits, target)), 3) for per in ("image", "batch")]
    [0.5, 0.2]
    """

    squared: bool = option(default=False)

    @property
    def squares(self) -> bool:
        return self.squared

    def values(self, xp: Namespace, counts: Counts) -> Array:
        # 1 - (2TP+s)/(2TP+errors+s) with the subtraction done by hand: nothing cancels, nothing falls below 0
        errors = counts.fp + counts.fn
        return divide(xp, errors, 2.0 * counts.tp + errors + self.smooth)


@loss(
    "Salehi et al. 2017, Tversky Loss Function for Image Segmentation, eq. 3",
    arxiv="1706.05721",
    surveys=("S0", "S1", "S3"),
    span=(0.0, 1.0),
)
class TverskyLoss(RegionLoss):
    r"""One minus the Tversky index: Dice with its two kinds of error weighed apart.

    $$\ell = 1 - \frac{TP + s}{TP + w_{FP}\,FP + w_{FN}\,FN + s}$$

    Use it where a miss costs more than a false alarm: `fp_weight=.3, fn_weight=.7` raises recall. (.5, .5) is
    `DiceLoss` with half its smooth; (1, 1) is the Jaccard (IoU) loss.

    Args:
        fp_weight: the paper's α, weight of false positives.
        fn_weight: the paper's β, weight of false negatives.

    Shapes: as classification; unreduced (N, C) per image. In [0, 1].

    Elsewhere: MONAI, smp and optax call the weights alpha (false positives) and beta; Keras 3.15 documents them so and
    has them swapped; before kornia 0.9 only their sum mattered there. Survey S3 says α controls false negatives; the
    paper has it on false positives.

    >>> import numpy as np, lossary
    >>> logits, target = np.array([[40.0, 40.0, -40.0]]), np.array([[1, 0, 0]])
    >>> round(float(lossary.TverskyLoss("binary", fp_weight=0.9, fn_weight=0.1)(logits, target)), 3)
    0.474
    """

    fp_weight: float = option(default=0.5, low=0)
    fn_weight: float = option(default=0.5, low=0)

    def values(self, xp: Namespace, counts: Counts) -> Array:
        errors = self.fp_weight * counts.fp + self.fn_weight * counts.fn
        return divide(xp, errors, counts.tp + errors + self.smooth)
