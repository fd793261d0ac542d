"""The Lovász extension: losses of sorted errors."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import Literal

from lossary.array.namespace import Array, Namespace
from lossary.array.primitives import along, divide, flatten_from, numbers, running_sum, stop_gradient
from lossary.core.families import ClassBatch
from lossary.core.families.elements import rank
from lossary.core.families.region import Classes, ClassLosses, OverlapLoss, pixel_weight
from lossary.core.loss import family, loss
from lossary.core.options import option


@family
class LovaszLoss(OverlapLoss):
    """The Lovász extension of the Jaccard loss of each class, at the errors of all its places."""

    @property
    def decomposable(self) -> bool:
        return self.per == "image"

    @abc.abstractmethod
    def truth(self, batch: ClassBatch) -> Array:
        """Whether a place belongs to a class: bool, of the shape of the scores."""

    @abc.abstractmethod
    def errors(self, batch: ClassBatch, true: Array) -> Array:
        """How wrong each place is for each class, at least 0."""

    def class_losses(self, batch: ClassBatch) -> ClassLosses:
        xp = batch.xp
        true = self.truth(batch)
        error = self._lay(batch, self.errors(batch, true))
        weight = pixel_weight(batch, weigh_images=self.per == "batch")
        if weight is not None:
            weight = xp.expand_dims(weight, axis=batch.axis) if batch.task == "multiclass" else weight
            weight = self._lay(batch, weight * xp.ones_like(batch.scores))
        true = self._lay(batch, xp.astype(true, error.dtype))
        counted = xp.sum(xp.ones_like(error) if weight is None else weight, axis=-1) > 0
        if self.classes == "present":
            counted = xp.sum(true if weight is None else true * weight, axis=-1) > 0
        return ClassLosses(jaccard_extension(xp, error, true, weight), counted)

    def _lay(self, batch: ClassBatch, x: Array) -> Array:
        """From the axes of the scores to (N, C, places), (C, places) per batch, without C for a binary task."""
        first = [0] if batch.has_images else []
        classes = [] if batch.axis is None else [batch.axis]
        kept = [*first, *classes] if self.per == "image" else classes
        joined = [] if self.per == "image" else first
        return flatten_from(batch.xp.permute_dims(x, (*kept, *joined, *batch.spatial)), len(kept))


@loss(
    "Berman et al. 2018, The Lovász-Softmax Loss, eq. 11 and 12",
    arxiv="1705.08790",
    aliases=("lovasz",),
    surveys=("S1", "S3"),
    span=(0.0, 1.0),
)
class LovaszSoftmaxLoss(LovaszLoss):
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

    def truth(self, batch: ClassBatch) -> Array:
        xp, index, axis = batch.xp, batch.index, batch.axis
        if index is None or axis is None:
            raise ValueError(
                "LovaszSoftmaxLoss: errors are sorted by class, which needs one true class per place; `target` holds "
                "distributions. Pass class indices."
            )
        classes = along(xp, numbers(batch.classes, index), rank(batch.scores), axis)
        return classes == xp.expand_dims(index, axis=axis)

    def errors(self, batch: ClassBatch, true: Array) -> Array:
        p = batch.p()
        return batch.xp.abs(batch.xp.astype(true, p.dtype) - p)


@loss(
    "Yu & Blaschko 2015, The Lovász Hinge; Berman et al. 2018, The Lovász-Softmax Loss",
    arxiv="1705.08790",
    surveys=("S1", "S3"),
)
class LovaszHingeLoss(LovaszLoss):
    r"""The Lovász extension of the Jaccard loss at hinge errors: the Jaccard index for one score per place.

    $$\ell = \sum_i \max(e_{(i)}, 0)\,\big(\Delta(S_i) - \Delta(S_{i-1})\big), \qquad e_i = 1 - y_i z_i$$

    with y = ±1 the label, z the score, errors sorted from large to small, S_i the i places of largest error and Δ(S)
    the Jaccard loss if these were wrong. Use it to fine-tune a binary segmentation network for IoU, after training with
    `BCELoss`. Scores grow until every margin is 1 and are no log-odds afterwards: for probabilities, or classes that
    exclude each other, take `LovaszSoftmaxLoss`. Where errors tie, the order is arbitrary and the gradient a
    subgradient.

    Args:
        per: the paper's default is one Jaccard index per image.
        classes: which are averaged in a multilabel task. An image without the class costs its largest hinge error.

    Shapes: logits and target alike, the target bool or integer 0/1: (N, *), or (N, C, *) for `"multilabel"`. Unreduced
    (N,) or (N, C) per image, () or (C,) per batch. Not bounded above. Its statistics do not add up over shards, except
    those of images with `per="image"`.

    Elsewhere: Berman's `lovasz_hinge`; `segmentation_models_pytorch.losses.LovaszLoss("binary", per_image=True)` gives
    the same number, and by default that of `per="batch"`. An image whose places are all ignored counts there as a loss
    of 0, here not at all. kornia's `lovasz_hinge_loss` is `per="image"`.

    >>> import numpy as np, lossary
    >>> logits, target = np.array([[2.0, -2.0, 0.5]]), np.array([[1, 0, 0]])  # hinge errors 0, 0 and 1.5
    >>> round(float(lossary.LovaszHingeLoss("binary")(logits, target)), 3)
    0.75
    """

    task: Literal["binary", "multilabel"] = option(kw_only=False)
    from_logits: bool = option(default=True, init=False)

    def truth(self, batch: ClassBatch) -> Array:
        if batch.index is None:
            raise ValueError(
                "LovaszHingeLoss: a margin needs one true answer per place; `target` is floating, as probabilities "
                "are. Pass bool or integers, `mask > 0.5` say."
            )
        return batch.index

    def errors(self, batch: ClassBatch, true: Array) -> Array:
        xp = batch.xp
        error = 1.0 - xp.where(true, batch.scores, -batch.scores)
        return xp.where(error > 0, error, 0.0)


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
