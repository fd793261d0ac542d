"""Segmentation by overlap: losses of soft counts and of sorted errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from lossary.array.namespace import Array, Namespace
from lossary.array.primitives import class_sums, divide, total
from lossary.array.sorted_errors import jaccard_extension
from lossary.core.families import ClassBatch, Counts, RegionLoss
from lossary.core.families.classification import class_vector
from lossary.core.families.region import Classes, ClassLosses, OverlapLoss, pixel_weight
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


@loss(
    "Berman et al. 2018, The Lovász-Softmax Loss, eq. 11 and 12",
    arxiv="1705.08790",
    aliases=("lovasz",),
    surveys=("S1", "S3"),
    span=(0.0, 1.0),
)
class LovaszSoftmaxLoss(OverlapLoss):
    r"""The Lovász extension of the Jaccard loss: a convex surrogate of one minus the IoU of each class.

    $$\ell_c = \sum_i e_{(i)}\,\big(\Delta(S_i) - \Delta(S_{i-1})\big), \qquad e_i = |[t_i = c] - p_{i,c}|$$

    with errors sorted from large to small, S_i the i places of largest error and Δ(S) the Jaccard loss if these were
    wrong. Use it to fine-tune a segmentation network for mIoU, after training with `CrossEntropyLoss`; from scratch it
    learns slowly. Errors that tie give the same value in any order, and the gradient is one of the subgradients. It
    sorts all pixels of every class, so it costs several times a cross entropy.

    Args:
        per: the paper's default is one Jaccard index per batch.
        classes: the paper averages those present in the target.

    Shapes: logits (N, C, *), target (N, *) integers. Unreduced (N, C) per image, (C,) per batch. In [0, 1]. Its
    statistics do not add up over shards, except those of images with `per="image"`.

    Elsewhere: Berman's `lovasz_softmax` takes probabilities; smp's `LovaszLoss("multiclass")` gives the same number;
    kornia's, since 0.9, gives that of `per="image", classes="all"`.

    >>> import numpy as np, lossary
    >>> logits, target = np.array([[[9.0, 9, -9]], [[-9.0, -9, 9]]]).transpose(1, 0, 2), np.array([[0, 1, 1]])
    >>> round(float(lossary.LovaszSoftmaxLoss()(logits, target)), 3)
    0.5
    """

    task: Literal["multiclass"] = option(default="multiclass", init=False)
    per: Literal["image", "batch"] = option(default="batch")
    classes: Classes | Sequence[int] = option(default="present", low=0)

    @property
    def decomposable(self) -> bool:
        return self.per == "image"

    def class_losses(self, batch: ClassBatch) -> ClassLosses:
        xp, index, axis = batch.xp, batch.index, batch.axis
        if index is None or axis is None:
            raise ValueError(
                "LovaszSoftmaxLoss: errors are sorted by class, which needs one true class per place; `target` holds "
                "distributions. Pass class indices."
            )
        joined = self.per == "batch"
        weight = pixel_weight(batch, weigh_images=joined)
        ones = xp.astype(xp.ones_like(index), batch.scores.dtype)
        ones = ones if weight is None else ones * weight
        true = class_sums(ones, index, batch.classes, batch.has_images)
        counted = true if self.classes == "present" else true + total(true, axis=-1, keepdims=True)
        counted = (total(counted, axis=0) if joined and batch.has_images else counted) > 0
        p, labels = batch.places(batch.p(), axis), batch.places(index, None)
        weight = None if weight is None else batch.places(ones, None)
        unread = class_vector(xp, self._class_weights(batch.classes), ones) * xp.astype(counted, ones.dtype) == 0
        values = jaccard_extension(self.errors, p, labels, weight, joined, unread)
        return ClassLosses(values if batch.has_images or joined else values[0, ...], counted)

    def errors(self, xp: Namespace, p: Array, true: Array) -> Array:
        return xp.where(true, 1.0 - p, p)
