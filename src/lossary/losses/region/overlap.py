"""Losses of soft counts, each class by itself: Dice, Jaccard, Tversky and what is made of them."""

from __future__ import annotations

from lossary.array.namespace import Array, Namespace
from lossary.array.primitives import clip, divide, power
from lossary.core.families import Counts, RegionLoss
from lossary.core.families.region import Counting
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
        squared: sums of p² and t² in the denominator, as V-Net has it. It needs no `soft="l1"`: at p = t it is 0.

    Shapes: as classification; unreduced (N, C) per image. In [0, 1].

    Elsewhere: `monai.losses.DiceLoss(softmax=True, to_onehot_y=True)` has this mean and smooth, and `soft_label=True`
    for `soft="l1"`; smp's joins the batch (`per="batch"`), counts as `soft="l1"` and gives classes without target a 0
    that stays in the mean; kornia's default joins classes first, which for a softmax is the mean probability of the
    wrong classes and not Dice. `docs/segmentation.md` has the table. The Jaccard index J relates by D = 2J/(1+J).

    >>> import numpy as np, lossary
    >>> logits = np.where(np.array([[1, 1, 1, 1], [1, 0, 0, 0]]), 20.0, -20.0)
    >>> target = np.array([[1, 1, 1, 1], [0, 1, 0, 0]])
    >>> [round(float(lossary.DiceLoss("binary", per=per)(logits, target)), 3) for per in ("image", "batch")]
    [0.5, 0.2]
    """

    squared: bool = option(default=False)

    @property
    def counting(self) -> Counting:
        return "squares" if self.squared else self.soft

    def values(self, xp: Namespace, counts: Counts) -> Array:
        # 1 - (2TP+s)/(2TP+errors+s) with the subtraction done by hand: nothing cancels, nothing falls below 0
        errors = counts.fp + counts.fn
        return divide(xp, errors, 2.0 * counts.tp + errors + self.smooth)


@loss(
    "Jadon 2020, A survey of loss functions for semantic segmentation, log-cosh Dice loss",
    arxiv="2006.14822",
    surveys=("S3",),
    span=(0.0, 0.4338),
)
class LogCoshDiceLoss(DiceLoss):
    r"""Dice loss whose slope falls off in proportion as the masks come to agree.

    $$\ell = \ln\cosh\Big(1 - \frac{2\,TP + s}{2\,TP + FP + FN + s}\Big)$$

    Use it where Dice jumps about near the end of training. For a Dice loss d it is nearly d²/2, so classes that are
    found well teach little: where several must be equally good, take `DiceLoss`.

    Args:
        smooth: s, see `DiceLoss`.
        squared: see `DiceLoss`.

    Shapes: as classification; unreduced (N, C) per image. In [0, ln cosh 1 = 0.434]. Its minimum is that of Dice.

    Elsewhere: the author's code takes the Dice loss of the whole batch, all classes joined, before the logarithm, which
    here is `per="batch"` of a binary task.

    >>> import numpy as np, lossary
    >>> logits, target = np.array([[40.0, 40.0, -40.0]]), np.array([[1, 0, 0]])  # Dice loss 1/3
    >>> round(float(lossary.LogCoshDiceLoss("binary")(logits, target)), 4)
    0.0546
    """

    def values(self, xp: Namespace, counts: Counts) -> Array:
        # cosh d is 1 + 2 sinh²(d/2), which keeps the digits of a small d
        half = xp.sinh(0.5 * super().values(xp, counts))
        return xp.log1p(2.0 * half * half)


@loss(
    "Rahman & Wang 2016, Optimizing Intersection-Over-Union in Deep Neural Networks for Image Segmentation",
    aliases=("iou_segmentation", "soft_iou"),
    surveys=("S1", "S4"),
    span=(0.0, 1.0),
)
class JaccardLoss(RegionLoss):
    r"""One minus the soft Jaccard index (intersection over union) of each class.

    $$\ell = 1 - \frac{TP + s}{TP + FP + FN + s}$$

    Use it to segment for mIoU. It orders masks as `DiceLoss` does, and is steeper near a perfect one and flatter near a
    bad one. `LovaszSoftmaxLoss` comes nearer to the index itself, because it equals it on hard predictions of one
    image; boxes have `IoULoss`.

    Args:
        smooth: s. An empty mask with no prediction gives 0.

    Shapes: as classification; unreduced (N, C) per image. In [0, 1]. J = D/(2-D) for a Dice coefficient D.

    Elsewhere: `segmentation_models_pytorch.losses.JaccardLoss` joins the batch (`per="batch"`), counts as `soft="l1"`
    and gives classes without target a 0 that stays in the mean; `monai.losses.DiceLoss(jaccard=True)` counts a
    smooth half: its 1 (`smooth_nr=1, smooth_dr=1`) is `smooth=0.5` here. Some surveys average the index over pixels; it
    is one of whole images.

    >>> import numpy as np, lossary
    >>> logits, target = np.array([[40.0, 40.0, -40.0]]), np.array([[1, 0, 0]])
    >>> round(float(lossary.JaccardLoss("binary")(logits, target)), 3)
    0.5
    """

    def values(self, xp: Namespace, counts: Counts) -> Array:
        errors = counts.fp + counts.fn
        return divide(xp, errors, counts.tp + errors + self.smooth)


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
    `DiceLoss` with half its smooth; (1, 1) is `JaccardLoss`.

    Args:
        fp_weight: the paper's α, weight of false positives.
        fn_weight: the paper's β, weight of false negatives.

    Shapes: as classification; unreduced (N, C) per image. In [0, 1].

    Elsewhere: MONAI, smp and optax call the weights alpha (false positives) and beta; Keras 3.15 documents them so and
    has them swapped; before kornia 0.9 only their sum mattered there. Some surveys say that α controls false negatives;
    the paper has it on false positives.

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


@loss(
    "Abraham & Khan 2019, A Novel Focal Tversky Loss Function With Improved Attention U-Net",
    arxiv="1810.07842",
    surveys=("S3",),
    span=(0.0, 1.0),
)
class FocalTverskyLoss(TverskyLoss):
    r"""Tversky loss to a power: classes that are found well keep teaching.

    $$\ell = \Big(1 - \frac{TP + s}{TP + w_{FP}\,FP + w_{FN}\,FN + s}\Big)^{1/\gamma}$$

    Use it for small structures, whose Tversky index stalls. γ > 1 makes the slope larger the better the mask, and
    infinite at a perfect one (there the gradient is taken as 0), so training may not settle: the authors leave the last
    layer to the plain Tversky loss. γ < 1 does the opposite and looks away from classes that are nearly right.

    Args:
        gamma: γ; the power is its inverse.
        fp_weight: weight of false positives, the paper's β.
        fn_weight: weight of false negatives, the paper's α.

    Shapes: as classification; unreduced (N, C) per image. In [0, 1]. The paper sums over classes, this is their mean.

    Elsewhere: `segmentation_models_pytorch.losses.TverskyLoss(gamma=…)` raises the mean over classes, not each class,
    to the power γ itself (1/γ here), and gives NaN gradients at a perfect mask for a power below 1.

    >>> import numpy as np, lossary
    >>> logits, target = np.array([[40.0, 40.0, -40.0]]), np.array([[1, 0, 0]])  # Tversky loss .3/1.3
    >>> round(float(lossary.FocalTverskyLoss("binary")(logits, target)), 3)
    0.333
    """

    fp_weight: float = option(default=0.3, low=0)
    fn_weight: float = option(default=0.7, low=0)
    gamma: float = option(default=4 / 3, above=0)

    def values(self, xp: Namespace, counts: Counts) -> Array:
        return power(xp, super().values(xp, counts), 1.0 / self.gamma)


@loss(
    "Hashemi et al. 2019, Asymmetric Loss Functions and Deep Densely-Connected Networks, asymmetric similarity loss",
    arxiv="1803.11078",
    aliases=("f_beta", "asym"),
    surveys=("S3",),
    span=(0.0, 1.0),
)
class AsymmetricSimilarityLoss(RegionLoss):
    r"""One minus the soft F_β score: Tversky loss with one dial from precision to recall.

    $$\ell = 1 - \frac{(1+\beta^2)\,TP + s}{(1+\beta^2)\,TP + \beta^2\,FN + FP + s}$$

    Use it where recall matters β times as much as precision, as for lesions. β = 1 is `DiceLoss`. `TverskyLoss` is the
    same family with both weights free.

    Args:
        beta: β; above 1 misses cost more than false alarms.

    Shapes: as classification; unreduced (N, C) per image. In [0, 1].

    Elsewhere: `TverskyLoss(fp_weight=1/(1+β²), fn_weight=β²/(1+β²))` with smooth s/(1+β²). SegLossOdyssey's `AsymLoss`
    has β = 1.5, and returns the negative score.

    >>> import numpy as np, lossary
    >>> logits, target = np.array([[40.0, -40.0, -40.0]]), np.array([[1, 1, 0]])  # one of two found
    >>> [round(float(lossary.AsymmetricSimilarityLoss("binary", beta=b)(logits, target)), 3) for b in (0.5, 1, 2)]
    [0.167, 0.333, 0.444]
    """

    beta: float = option(default=1.5, low=0)

    def values(self, xp: Namespace, counts: Counts) -> Array:
        square = self.beta**2
        errors = square * counts.fn + counts.fp
        return divide(xp, errors, (1.0 + square) * counts.tp + errors + self.smooth)


@loss(
    "Brosch et al. 2015, Deep Convolutional Encoder Networks for Multiple Sclerosis Lesion Segmentation",
    aliases=("ss",),
    surveys=("S3",),
    span=(0.0, 1.0),
)
class SensitivitySpecificityLoss(RegionLoss):
    r"""The mean squared error on the object and that on the background, weighed against each other.

    $$\ell = r\,\frac{\sum (t-p)^2\,t}{\sum t + s} + (1-r)\,\frac{\sum (t-p)^2\,(1-t)}{\sum (1-t) + s}$$

    Use it where sensitivity and specificity are what is judged. Errors count one by one, so the gradient is steadier
    than that of `DiceLoss`, and an empty mask teaches: false alarms keep their price. With an object of a few pixels
    the second term is small however many false alarms surround it; then r must be small too.

    Args:
        sensitivity_weight: r; the paper takes .05.
        squared: False for errors |t-p| in place of their squares: 1 - (r·sensitivity + (1-r)·specificity).

    Shapes: as classification; unreduced (N, C) per image. In [0, 1]. `smooth` is added to both denominators. For a
    perfect soft prediction of a soft target it is 0 with `squared=True` only, or with `soft="l1"`.

    Elsewhere: NiftyNet has this r, .05, and adds up over classes where this is their mean; SegLossOdyssey has r = .1,
    smooth 1, and the names of the two terms exchanged.

    >>> import numpy as np, lossary
    >>> logits, target = np.array([[40.0, -40.0, 40.0, -40.0]]), np.array([[1, 1, 0, 0]])  # half of each is found
    >>> round(float(lossary.SensitivitySpecificityLoss("binary")(logits, target)), 3)
    0.5
    """

    sensitivity_weight: float = option(default=0.05, low=0, high=1)
    squared: bool = option(default=True)

    @property
    def counting(self) -> Counting:
        return "squared errors" if self.squared else self.soft

    def values(self, xp: Namespace, counts: Counts) -> Array:
        positives = counts.tp + counts.fn
        # a target beyond 1 must not make the background negative
        negatives = clip(xp, counts.places - positives, min=0.0)
        missed = divide(xp, counts.fn, positives + self.smooth)
        alarms = divide(xp, counts.fp, negatives + self.smooth)
        return self.sensitivity_weight * missed + (1.0 - self.sensitivity_weight) * alarms
