"""The Lovász extension: losses of sorted errors."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import ClassVar, Literal

from lossary.array.namespace import Array, Namespace
from lossary.array.primitives import class_sums, sizes, total
from lossary.array.sorted_errors import jaccard_extension
from lossary.core.families import ClassBatch
from lossary.core.families.region import Classes, ClassLosses, OverlapLoss, pixel_weight
from lossary.core.loss import family, loss
from lossary.core.options import option


@family
class LovaszLoss(OverlapLoss):
    """The Lovász extension of the Jaccard loss of each class, at the errors of all its places."""

    hard_targets: ClassVar[bool] = True

    @property
    def decomposable(self) -> bool:
        return self.per == "image"

    @abc.abstractmethod
    def scores(self, batch: ClassBatch) -> Array:
        """What the errors are a function of."""

    @abc.abstractmethod
    def errors(self, xp: Namespace, x: Array, true: Array) -> Array:
        """How wrong a place of score x is, at least 0."""

    def class_losses(self, batch: ClassBatch) -> ClassLosses:
        xp, joined = batch.xp, self.per == "batch"
        labels = batch.index
        assert labels is not None  # `hard_targets`
        ones = xp.astype(xp.ones_like(labels), batch.scores.dtype)
        weight = pixel_weight(batch, weigh_images=joined)
        mass = self._laid(batch, ones if weight is None else ones * weight, of_labels=True)
        x, labels = self._laid(batch, self.scores(batch)), self._laid(batch, labels, of_labels=True)
        classes = sizes(x)[1]
        assert classes is not None
        if batch.task == "multiclass":
            true = class_sums(mass, labels, classes, batch=True)
        else:
            true = total(xp.where(labels, mass, 0.0), axis=-1)
        counted = (
            true if self.classes == "present" else total(mass, axis=-1, keepdims=batch.task == "multiclass") + true
        )
        counted = (total(counted, axis=0) if joined else counted) > 0
        unread = None
        if batch.task != "binary":
            _, weight_of_class = self.taking_part(xp, xp.astype(counted, x.dtype), counted)
            unread = weight_of_class == 0  # what is multiplied by 0 need not be sorted
        values = jaccard_extension(self.errors, x, labels, None if weight is None else mass, joined, unread)
        if batch.task == "binary":
            values, counted = values[..., 0], counted[..., 0]
        if batch.has_images or joined:
            return ClassLosses(values, counted)
        return ClassLosses(values[0, ...], counted[0, ...])

    def _laid(self, batch: ClassBatch, x: Array, of_labels: bool = False) -> Array:
        """As (N, classes, places), with one class for a binary task; class indices as (N, places)."""
        if batch.task == "binary":
            return batch.xp.expand_dims(batch.places(x, None), axis=1)
        return batch.places(x, None if of_labels and batch.task == "multiclass" else batch.axis)


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

    def scores(self, batch: ClassBatch) -> Array:
        return batch.p()

    def errors(self, xp: Namespace, x: Array, true: Array) -> Array:
        return xp.where(true, 1.0 - x, x)


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
    exclude each other, take `LovaszSoftmaxLoss`. Where errors tie, the gradient is one of the
    subgradients.

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

    def scores(self, batch: ClassBatch) -> Array:
        return batch.scores

    def errors(self, xp: Namespace, x: Array, true: Array) -> Array:
        error = 1.0 - xp.where(true, x, -x)
        return xp.where(error <= 0, 0.0, error)  # NaN stays NaN
