"""Few positives, many easy examples: losses that weigh places by their side, their difficulty or their number."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Literal

from lossary.array.namespace import Array, Namespace
from lossary.array.primitives import (
    add_product,
    along,
    class_sums,
    clip,
    descending,
    divide,
    flatten_from,
    log_sigmoid,
    lookup,
    magnitude,
    mix,
    power,
    running_sum,
    sizes,
    stop_gradient,
)
from lossary.core.families import BalancedLoss, ForegroundMean, LikelihoodLoss, SigmoidLoss
from lossary.core.families.answer import Answer, Scored
from lossary.core.families.classification import ClassBatch
from lossary.core.loss import loss
from lossary.core.options import option
from lossary.core.reduction import Terms, mean_statistics


@loss(
    "Xie & Tu 2015, Holistically-Nested Edge Detection, eq. 2",
    arxiv="1504.06375",
    aliases=("hed",),
    surveys=("S4",),
)
class BalancedBCELoss(BalancedLoss):
    r"""Binary cross entropy in which positives and negatives weigh alike, however few one side has.

    $$\ell = -\beta\,t\ln p - (1-\beta)(1-t)\ln(1-p), \qquad \beta = \frac{\#\text{negatives}}{\#\text{places}}$$

    Use it for edges and other thin structures. Both sides weigh the same in total, so probabilities come out too high
    for the rare one; where these matter, take `BCELoss`. A batch of one kind only costs nothing, as in the paper.

    Args:
        per: `"batch"`, or `"image"` for the paper's β of each image.
        ignore_index, mask, sample_weight: places left out and weights of places, see `lossary.Loss`. A place of weight
            2 counts in β as two.

    Shapes: prediction and target alike; the target bool, integer 0/1 or soft in [0, 1], where a place is counted on
    both sides by its share. The unreduced loss has that shape. Sums of both sides add up over shards, so β is that of
    the whole batch.

    Elsewhere: HED's own code sums over pixels (`reduction="sum"`); many of its ports take their mean.
    `pos_weight=#negatives/#positives` in `torch.nn.functional.binary_cross_entropy_with_logits` is this times
    #places/#positives. pytorch-toolbelt's balanced loss adds a focal exponent.

    >>> import numpy as np, lossary
    >>> logits, target = np.array([0.0, 0.0, 0.0, 0.0]), np.array([1, 0, 0, 0])
    >>> lossary.BalancedBCELoss(reduction="none")(logits, target).round(4).tolist()  # ¾ ln 2 and ¼ ln 2
    [0.5199, 0.1733, 0.1733, 0.1733]
    """

    per: Literal["batch", "image"] = option(default="batch")

    def sums(self, batch: ClassBatch, mass: Array) -> tuple[Array, Array]:
        xp, t = batch.xp, self._target(batch)
        first = 1 if self._by_image(batch) else 0
        axes = tuple(range(first, len(sizes(mass))))

        def total(x: Array) -> Array:
            return xp.sum(x, axis=axes)

        negative, positive = self._terms(batch)
        return (
            xp.stack([total(mass * negative), total(mass * positive)], axis=-1),
            xp.stack([total(mass * (1.0 - t)), total(mass * t)], axis=-1),
        )

    def factors(self, xp: Namespace, mass: Array) -> Array:
        return 1.0 - divide(xp, mass, xp.sum(mass, axis=-1, keepdims=True))

    def spread(self, batch: ClassBatch, factors: Array) -> Array:
        negative, positive = self._terms(batch)
        if self._by_image(batch):
            xp, ndim = batch.xp, len(sizes(batch.scores))
            return along(xp, factors[:, 0], ndim, 0) * negative + along(xp, factors[:, 1], ndim, 0) * positive
        return factors[0] * negative + factors[1] * positive

    def summarize(self, batch: ClassBatch) -> Any:
        if self._by_image(batch):
            return mean_statistics(self.evaluate(batch), self.reduction)
        return super().summarize(batch)

    def _by_image(self, batch: ClassBatch) -> bool:
        return self.per == "image" and batch.has_images

    def _target(self, batch: ClassBatch) -> Array:
        return batch.xp.astype(batch.index, batch.scores.dtype) if batch.share is None else batch.share

    def _terms(self, batch: ClassBatch) -> tuple[Array, Array]:
        """-(1-t) ln(1-p) and -t ln p."""
        xp, z = batch.xp, batch.scores
        if batch.share is None:
            values = self.formula(batch)  # one of the two is the cross entropy, the other 0
            return xp.where(batch.index, 0.0, values), xp.where(batch.index, values, 0.0)
        return -(1.0 - batch.share) * log_sigmoid(-z), -batch.share * log_sigmoid(z)


@loss(
    "Ridnik et al. 2021, Asymmetric Loss For Multi-Label Classification, eq. 7",
    arxiv="2009.14119",
    aliases=("asl",),
)
class AsymmetricLoss(ForegroundMean, SigmoidLoss):
    r"""Focal loss with an exponent for each side, and easy negatives cut off.

    $$\ell = -t\,(1-p)^{\gamma_+}\ln p - (1-t)\,p_m^{\gamma_-}\ln(1-p_m), \qquad p_m = \max(p-m,\ 0)$$

    Use it for images with many labels of which each shows few. A negative with p below m teaches nothing, which also
    forgives positives that nobody labelled. With equal exponents and m = 0 it is the focal loss; where probabilities
    must be right, take `BCELoss`.

    Args:
        gamma_pos: γ₊, how fast easy positives fade.
        gamma_neg: γ₋, how fast easy negatives fade.
        clip: m, by which probabilities of negatives are shifted down.
        normalizer: `"places"`, or `"positives"` for a mean over the positives, see `ForegroundMean`.
        ignore_index, mask, sample_weight: places left out and weights of places, see `lossary.Loss`.

    Shapes: prediction and target alike; the target bool, integer 0/1 or soft in [0, 1], read as an expectation. The
    unreduced loss has that shape.

    Elsewhere: the authors' `AsymmetricLoss` sums over everything (`reduction="sum"`), with the focal factor constant in
    the gradient by default; timm's `AsymmetricLossMultiLabel` divides that sum by the number of samples and holds
    nothing constant (older versions are like the authors'). Both take γ₊ = 1 by default, and stop the gradient where
    p < 1e-8. timm's `AsymmetricLossSingleLabel` is a softmax loss, smoothed by .1.

    >>> import numpy as np, lossary
    >>> loss = lossary.AsymmetricLoss("multilabel", reduction="none")
    >>> loss(np.array([[0.0, 0.0, -3.0]]), np.array([[1, 0, 0]])).round(4).tolist()  # σ(-3) = .047 < .05
    [[0.6931, 0.0245, 0.0]]
    """

    gamma_pos: float = option(default=0.0, low=0)
    gamma_neg: float = option(default=4.0, low=0)
    clip: float = option(default=0.05, low=0, below=1)

    def values(self, xp: Namespace, x: Scored) -> Array:
        yes, no = self._answers(x)
        return mix(x.t, yes.fading(self.gamma_pos), no.fading(self.gamma_neg))

    def slope(self, xp: Namespace, x: Scored) -> Array:
        (yes, no), gamma = self._answers(x), self.gamma_neg
        positive = yes.fading_slope(self.gamma_pos) * x.miss
        if self.clip == 0:
            return mix(x.t, positive, -no.fading_slope(gamma) * x.p)
        if gamma > 1:
            factor = power(xp, no.miss, gamma - 1.0) * (x.p * x.miss)
            negative = add_product(factor * (no.miss / no.p), factor, no.log_p, -gamma)
        else:  # p^(γ-1)·ln(1-p) as p^γ·(ln(1-p)/p), whose second factor is -1 at 0; the slope below the cut is 0
            by_p = power(xp, no.miss, gamma) * (1.0 / no.p - gamma * divide(xp, no.log_p, no.miss, fill=-1.0))
            negative = xp.where(no.miss > 0, by_p, 0.0) * (x.p * x.miss)
        return mix(x.t, positive, negative)

    def _answers(self, x: Scored) -> tuple[Answer, Answer]:
        """The answers yes and no, the second of probability 1 - p_m."""
        return (x.yes, x.no) if self.clip == 0 else x.less(self.clip)


@loss(
    "Li et al. 2019, Gradient Harmonized Single-stage Detector, eq. 5 and 8 (GHM-C)",
    arxiv="1811.05181",
    aliases=("ghm_c", "ghmc"),
    constant="the gradient density GD",
)
class GHMLoss(BalancedLoss):
    r"""Binary cross entropy in which every size of gradient has the same say.

    $$\ell_i = \frac{N}{GD(g_i)}\,\big(-t_i\ln p_i - (1-t_i)\ln(1-p_i)\big), \qquad g_i = |p_i - t_i|$$

    with GD the number of places whose g lies in the same of M bins, divided by the bins' width 1/M. Use it where both
    crowds harm: the many easy examples, and the outliers (g near 1) that `FocalLoss` prefers. The density is that of
    the batch, so small batches weigh by chance.

    Args:
        bins: M, the number of bins of g in [0, 1]; 1 is binary cross entropy.
        ignore_index, mask, sample_weight: places left out and weights of places, see `lossary.Loss`. A place of weight
            2 counts in the density as two.

    Shapes: prediction and target alike; the target bool, integer 0/1 or soft in [0, 1]. The unreduced loss has that
    shape. Loss and count of each bin add up over shards, so the density is that of the whole batch; counts have no
    gradient.

    Elsewhere: mmdetection's `GHMC` divides by the number of bins that hold something in place of M, and can smooth
    the counts over steps; this number times M over the filled bins is its own.

    >>> import numpy as np, lossary
    >>> logits, target = np.array([-4.0, -4.0, -4.0, 1.0]), np.zeros(4)
    >>> values = lossary.GHMLoss(reduction="none")(logits, target) / np.logaddexp(0, logits)
    >>> values.round(3).tolist()  # 4/(3 · 10) for the crowd, 4/(1 · 10) for the lone one
    [0.133, 0.133, 0.133, 0.4]
    """

    takes_sharded = False  # a bin counts the places of all processes

    bins: int = option(default=10, low=1)

    def sums(self, batch: ClassBatch, mass: Array) -> tuple[Array, Array]:
        index = self._bin(batch)
        return (
            class_sums(self.formula(batch) * mass, index, self.bins, batch=False),
            class_sums(mass, index, self.bins, batch=False),
        )

    def factors(self, xp: Namespace, mass: Array) -> Array:
        return divide(xp, xp.sum(mass) + xp.zeros_like(mass), mass * self.bins)

    def spread(self, batch: ClassBatch, factors: Array) -> Array:
        return lookup(factors, self._bin(batch)) * self.formula(batch)

    def _bin(self, batch: ClassBatch) -> Array:
        xp, error = batch.xp, Scored(batch.xp, stop_gradient(batch.scores), batch.target).error
        place = magnitude(xp, error) * self.bins
        place = xp.where(place > 0, place, 0.0)  # NaN is in no bin, and as an integer would index anything
        return xp.astype(clip(xp, xp.floor(place), max=self.bins - 1), xp.int32)


@loss(
    "Wu et al. 2016, Bridging Category-level and Instance-level Semantic Image Segmentation, section 3.1",
    arxiv="1605.06885",
    aliases=("top_k_ce", "ohem", "hard_mining"),
    surveys=("S3",),
)
class TopKLoss(LikelihoodLoss):
    r"""Cross entropy of the hardest places only.

    $$L = \frac{1}{k}\sum_{i \in \text{hardest } k} -\ln p_i, \qquad k = \lceil \text{fraction} \cdot N \rceil$$

    Use it in segmentation where most pixels are learned early and would drown the others; nnU-Net adds it to
    `DiceLoss`. Where labels are noisy it picks the wrong ones. It sorts all places of the batch.

    Args:
        fraction: the share of the counted places that is kept; 1 is cross entropy. Places that tie at the edge of the
            hardest share what is left of k, so that order never matters.
        class_weight, sample_weight: weigh the loss before it is ranked.
        ignore_index, mask: places left out count neither among the hardest nor in N.

    Shapes: as the task says, see `LikelihoodLoss`; the unreduced loss has the shape of the labels, 0 at places that
    are not among the hardest. k is of the whole batch, so statistics of shards do not add up.

    Elsewhere: nnU-Net's `TopKLoss(k=10)` counts ignored pixels in N and rounds down, which gives NaN for few pixels.
    OHEM with a threshold on p_t is a `mask`.

    >>> import numpy as np, lossary
    >>> logits, target = np.log(np.array([[1.0, 9.0], [1.0, 1.0], [3.0, 1.0]])), np.array([1, 0, 0])
    >>> round(float(lossary.TopKLoss("multiclass", fraction=0.3)(logits, target)), 4)  # ln 2, the hardest of three
    0.6931
    """

    weighs_linearly = False  # weights decide which places are the hardest
    takes_sharded = False  # the hardest places are those of all processes

    fraction: float = option(default=0.1, above=0, high=1)

    @property
    def decomposable(self) -> bool:
        return self.fraction == 1

    def mean_over(self) -> Hashable:
        return super().mean_over() if self.fraction == 1 else self

    def evaluate(self, batch: ClassBatch) -> Terms:
        xp, (values, counted, weight) = batch.xp, super().evaluate(batch)
        rank = stop_gradient(values)
        if counted is not None:
            rank = xp.where(counted, rank, float("-inf"))
        ranked, _ = descending(flatten_from(rank, 0))
        number = xp.sum(xp.astype(ranked > float("-inf"), values.dtype))
        # the slack keeps .1 · 30 = 3.0000000000000004 from being rounded up
        k = xp.ceil(self.fraction * number - 1e-3)
        place = running_sum(xp.astype(xp.ones_like(ranked), xp.int32))
        least = xp.sum(xp.where(place == xp.astype(k, place.dtype), ranked, 0.0))
        above, tie = xp.logical_not(rank <= least), rank == least  # NaN is above all
        left = k - xp.sum(xp.astype(above, values.dtype))
        share = xp.where(above, 1.0, xp.astype(tie, values.dtype) * divide(xp, left, _count(xp, tie, values)))
        if counted is not None:
            share = xp.where(counted, share, 0.0)
        return Terms(values * share, share, None if weight is None else weight * share)


def _count(xp: Namespace, condition: Array, like: Array) -> Array:
    return xp.sum(xp.astype(condition, like.dtype))
