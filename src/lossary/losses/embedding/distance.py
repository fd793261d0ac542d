"""Losses of the distances between the features of a batch."""

from __future__ import annotations

from typing import Literal

from lossary.array.namespace import Array, Namespace
from lossary.array.primitives import clip, flatten_from, reshape_like, running_sum, sqrt, total
from lossary.core.families import DistanceLoss
from lossary.core.families.embedding import FAR, mean_where
from lossary.core.loss import loss
from lossary.core.options import option


@loss(
    "Hadsell et al. 2006, Dimensionality Reduction by Learning an Invariant Mapping, eq. 4",
    aliases=("pair_margin",),
)
class ContrastiveLoss(DistanceLoss):
    r"""Pairs of one class drawn together, pairs of two classes pushed apart up to a margin.

    $$\ell_i = \frac{1}{|P_i| + |N_i|}\Big(\sum_{p \in P_i} \frac12 d_{ip}^2 + \sum_{n \in N_i}
      \frac12 (m - d_{in})_+^2\Big), \qquad d_{ij} = \lVert x_i - x_j \rVert$$

    Use it for pairs that are known to be alike or not. Where negatives are many, they rule the mean; `TripletLoss` and
    `InfoNCELoss` compare within an anchor instead.

    Args:
        margin: m, the distance at which two classes are far enough apart.
        lone: whether a feature that is alone in its class is an anchor too, and pushes others away. The paper's pairs
            have no anchors, and two features of two classes are a pair, so it is. False counts, as the other losses of
            features do, only anchors that have a positive.
        ignore_index, mask, sample_weight: features left out and weights of anchors.

    Shapes: features (*, D), labels (*): (N, 2, D) under `vmap` for N pairs. The unreduced loss is (*). Without masks
    and weights, the mean is the mean over all pairs.

    Elsewhere: `pytorch_metric_learning.losses.ContrastiveLoss` adds the means over positive and over negative pairs
    that are not 0, with no square and no ½. MONAI's `ContrastiveLoss` is `InfoNCELoss`.

    >>> import numpy as np, lossary
    >>> x = np.array([[0.0, 0.0], [0.6, 0.8]])
    >>> loss = lossary.ContrastiveLoss(margin=2)
    >>> float(loss(x, np.array([0, 0]))), float(loss(x, np.array([0, 1])))
    (0.5, 0.5)
    """

    margin: float = option(default=1.0, above=0)
    lone: bool = option(default=True)

    def values(self, xp: Namespace, quantity: Array, positive: Array, negative: Array) -> Array:
        near = _positive_part(xp, self.margin - sqrt(xp, quantity))
        pairs = xp.where(positive, 0.5 * quantity, 0.5 * near * near)
        return mean_where(xp, pairs, xp.logical_or(positive, negative))

    def anchors(self, xp: Namespace, positive: Array, negative: Array) -> Array:
        return xp.any(xp.logical_or(positive, negative) if self.lone else positive, axis=1)


@loss(
    "Schroff et al. 2015, FaceNet: A Unified Embedding for Face Recognition and Clustering, eq. 3; "
    "Hermans et al. 2017, In Defense of the Triplet Loss for Person Re-Identification, eq. 5 (mining='hard')",
    arxiv="1503.03832",
    aliases=("facenet",),
)
class TripletLoss(DistanceLoss):
    r"""An anchor's positives nearer than its negatives, by a margin.

    $$\ell_i = \frac{1}{|T_i|} \sum_{(p, n) \in T_i} (D_{ip} - D_{in} + m)_+, \qquad D_{ij} = \lVert x_i - x_j \rVert^2
      \ \text{or}\ \lVert x_i - x_j \rVert$$

    Use it where only the order of distances is known or matters. The triplets T_i that are looked at decide how it
    trains: `"semihard"` is the safe choice; `"hard"` learns faster from clean labels, and collapses easily from a bad
    start; `"all"` soon is a mean of zeros. `InfoNCELoss` needs no choice.

    Args:
        margin: m. The paper takes .2, for features of length 1: normalise yours, or scale the margin.
        mining: which triplets of an anchor count. `"all"`: each positive with each negative. `"semihard"`: each
            positive with the nearest negative that is farther than the positive, or with the farthest where none is.
            `"hard"`: the farthest positive with the nearest negative.
        squared: whether D is the squared distance (FaceNet) or the distance (Hermans et al., who found it trains
            better with hard triplets).
        ignore_index, mask, sample_weight: features left out (as negatives too) and weights of anchors.

    Shapes: features (*, D), labels (*); the unreduced loss is (*). An anchor counts if it has a positive and a
    negative; triplets that cost nothing count. No array is larger than two entries a pair of features: `"all"` sorts.

    Elsewhere: `torch.nn.functional.triplet_margin_loss` of given triplets is `squared=False`, but for the 1e-6 that it
    adds to every difference; `optax.losses.triplet_margin_loss` is unreduced and adds it within the root.
    `pytorch_metric_learning.losses.TripletMarginLoss` averages over triplets, not anchors, and only over those that are
    not 0, of normalised features, with a margin of .05: with `LpDistance(normalize_embeddings=False)` and
    `MeanReducer()` it is `mining="all", squared=False` where all anchors are in equally many.

    >>> import numpy as np, lossary
    >>> x, labels = np.array([[0.0], [1.0], [3.0]]), np.array([0, 0, 1])
    >>> loss = lossary.TripletLoss(margin=2, squared=False, reduction="none")
    >>> loss(x, labels).tolist()  # 1 - 3 + 2, 1 - 2 + 2, no positive
    [0.0, 1.0, 0.0]
    """

    margin: float = option(default=0.2, low=0)
    mining: Literal["all", "semihard", "hard"] = option(default="semihard")
    squared: bool = option(default=True)

    def values(self, xp: Namespace, quantity: Array, positive: Array, negative: Array) -> Array:
        distance = quantity if self.squared else sqrt(xp, quantity)
        if self.mining == "hard":
            farthest = xp.max(xp.where(positive, distance, -FAR), axis=1)
            nearest = xp.min(xp.where(negative, distance, FAR), axis=1)
            return _positive_part(xp, farthest - nearest + self.margin)
        if self.mining == "semihard":
            below, _ = _negatives_within(xp, distance, distance, negative)
            rank = xp.minimum(below, clip(xp, _count(xp, negative, distance) - 1.0, min=0.0))
            negatives = xp.where(negative, distance, FAR)
            order = xp.argsort(negatives, axis=1)
            ranked = xp.take_along_axis(negatives, order, axis=1)
            partner = xp.take_along_axis(ranked, xp.astype(rank, order.dtype), axis=1)
            return mean_where(xp, _positive_part(xp, distance - partner + self.margin), positive)
        reach = distance + self.margin
        below, nearer = _negatives_within(xp, reach, distance, negative)
        costs = mean_where(xp, below * reach - nearer, positive)  # Σ over negatives within reach of (reach - distance)
        return costs / xp.squeeze(clip(xp, _count(xp, negative, distance), min=1.0), axis=1)

    def anchors(self, xp: Namespace, positive: Array, negative: Array) -> Array:
        return xp.logical_and(xp.any(positive, axis=1), xp.any(negative, axis=1))


def _positive_part(xp: Namespace, x: Array) -> Array:
    return xp.where(x <= 0.0, 0.0, x)


def _count(xp: Namespace, chosen: Array, like: Array) -> Array:
    """How many entries of each row are chosen, (M, 1)."""
    return total(xp.astype(chosen, like.dtype), axis=1, keepdims=True)


def _negatives_within(xp: Namespace, reach: Array, distance: Array, negative: Array) -> tuple[Array, Array]:
    """How many negatives of anchor i are no farther than reach_ij, and the sum of their distances, both (M, M).

    Reaches and negatives are sorted together, so that a running count and a running sum have them for all j at once.
    """
    ones = xp.astype(negative, distance.dtype)
    zeros = xp.zeros_like(ones)
    both = xp.stack([xp.where(negative, distance, FAR), reach], axis=1)
    order = xp.argsort(flatten_from(both, 1), axis=1)  # stable: negatives come before reaches that equal them
    place = xp.argsort(order, axis=1)

    def up_to(x: Array) -> Array:
        sums = running_sum(xp.take_along_axis(flatten_from(xp.stack([x, zeros], axis=1), 1), order, axis=1))
        return reshape_like(xp.take_along_axis(sums, place, axis=1), both)[:, 1, :]

    return up_to(ones), up_to(xp.where(negative, distance, 0.0))
