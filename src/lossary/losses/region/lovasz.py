"""The Lovász extension: losses of sorted errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from lossary.array.namespace import Array, Namespace
from lossary.array.primitives import along, divide, flatten_from, numbers, running_sum, stop_gradient
from lossary.core.families import ClassBatch
from lossary.core.families.elements import rank
from lossary.core.families.region import Classes, ClassLosses, OverlapLoss, pixel_weight
from lossary.core.loss import loss
from lossary.core.options import option


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
    learns slowly. Where errors tie, the order is arbitrary and the gradient a subgradient. It sorts all pixels of every
    class, so it costs several times a cross entropy.

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
        xp = batch.xp
        if batch.index is None or batch.axis is None:
            raise ValueError(
                "LovaszSoftmaxLoss: errors are sorted by class, which needs one true class per place; `target` holds "
                "distributions. Pass class indices."
            )
        p = batch.p()
        classes = along(xp, numbers(batch.classes, batch.index), rank(p), batch.axis)
        true = xp.astype(classes == xp.expand_dims(batch.index, axis=batch.axis), p.dtype)
        weight = pixel_weight(batch, weigh_images=self.per == "batch")
        error = self._lay(batch, xp.abs(true - p))
        true = self._lay(batch, true)
        if weight is not None:
            weight = self._lay(batch, xp.expand_dims(weight, axis=batch.axis) * xp.ones_like(p))
        present = xp.sum(true if weight is None else true * weight, axis=-1) > 0
        if self.classes != "present":
            somewhere = xp.sum(xp.ones_like(error) if weight is None else weight, axis=-1) > 0
            present = xp.logical_or(present, somewhere)
        return ClassLosses(jaccard_extension(xp, error, true, weight), present)

    def _lay(self, batch: ClassBatch, x: Array) -> Array:
        """From the axes of the scores to (N, C, places), or (C, places) per batch."""
        axis = batch.axis or 0
        if not batch.has_images:
            return flatten_from(batch.xp.permute_dims(x, (axis, *batch.spatial)), 1)
        if self.per == "image":
            return flatten_from(batch.xp.permute_dims(x, (0, axis, *batch.spatial)), 2)
        return flatten_from(batch.xp.permute_dims(x, (axis, 0, *batch.spatial)), 1)


def jaccard_extension(xp: Namespace, error: Array, true: Array, weight: Array | None) -> Array:
    """The Lovász extension of the Jaccard loss at `error`, along the last axis.

    The i-th largest error is multiplied by what it adds to Δ = 1 - I/U, with I = G - Σ true and U = G + Σ (1 - true)
    over the errors so far and G = Σ true over all. Written as differences of Δ these factors lose their digits where
    there are many places; in closed form they are w/U for a foreground place and w·I/(U·(U - w)) for another.
    """
    order = xp.argsort(stop_gradient(error), axis=-1, descending=True)
    error = xp.take_along_axis(error, order, axis=-1)
    true = xp.take_along_axis(true, order, axis=-1)
    w = xp.ones_like(true) if weight is None else xp.take_along_axis(weight, order, axis=-1)
    foreground = xp.sum(true * w, axis=-1, keepdims=True)
    intersection = foreground - running_sum(true * w)
    union = foreground + running_sum((1.0 - true) * w)
    # with no foreground at all the first error takes Δ from 0 to 1
    other = divide(xp, w * intersection, union * (union - w))
    other = xp.where(xp.logical_and(union == w, w > 0), 1.0, other)
    factor = xp.where(true > 0, divide(xp, w, union), other)
    return xp.sum(error * stop_gradient(factor), axis=-1)
