"""Segmentation by boundaries: losses of the distance between outlines."""

from __future__ import annotations

from typing import Literal

from lossary.array.distance import mask_distances
from lossary.array.namespace import Array, Namespace
from lossary.array.neighbours import cross_mean, erode
from lossary.array.primitives import divide, magnitude, pick, sizes, stop_gradient
from lossary.core.families import ClassBatch, DistanceMapLoss, LikelihoodLoss, MaskLoss
from lossary.core.families.distance import choose, is_wide, planes
from lossary.core.families.elements import keep, rank
from lossary.core.loss import loss
from lossary.core.options import option
from lossary.core.reduction import Terms


@loss(
    "Kervadec et al. 2019, Boundary loss for highly unbalanced segmentation, eq. 5",
    arxiv="1812.07032",
    aliases=("surface",),
    surveys=("S3",),
    span=(float("-inf"), float("inf")),
)
class BoundaryLoss(DistanceMapLoss, MaskLoss):
    r"""The mean distance of what is predicted to the boundary of the target, negative inside.

    $$\ell_i = \frac{1}{|C|}\sum_{c \in C} \phi_{i,c}\,p_{i,c}$$

    with φ the signed distance to the boundary of class c: the further out a place is, the more its probability costs,
    and the deeper inside, the more it pays. Use it with small objects and where outlines matter, added to `DiceLoss` or
    `CrossEntropyLoss` with a weight that grows from .01 during training; alone it may end at an empty mask. It is
    linear in p and often negative. An absent class teaches nothing: its map is 0.

    Args:
        distance: the map of the target, which must be signed here; see `lossary.distance_map`.

    Shapes: as classification; unreduced the shape of the labels.

    Elsewhere: the authors' `SurfaceLoss` has this number with `distance=distance_map(target, "border", …)`, whose map
    is 0 on the border of the object: inside it is one step less deep.

    >>> import numpy as np, lossary
    >>> target = np.array([[0, 1, 1, 0, 0]])  # signed distances 1, -1, -1, 1, 2
    >>> logits = np.where(np.array([[0, 1, 1, 0, 1]]), 40.0, -40.0)
    >>> float(lossary.BoundaryLoss("binary", reduction="sum")(logits, target))
    0.0
    """

    def evaluate(self, batch: ClassBatch) -> Terms:
        return self.terms(batch, self.target_distance(batch, self.chosen(batch)) * self.planes(batch).p)


@loss(
    "Karimi & Salcudean 2019, Reducing the Hausdorff Distance in Medical Image Segmentation, Loss_DT",
    arxiv="1904.10030",
    aliases=("hausdorff",),
    surveys=("S3",),
    constant="the distance map of the prediction",
)
class HausdorffDTLoss(DistanceMapLoss, MaskLoss):
    r"""Squared errors, weighed by how far they are from both outlines: an estimate of the Hausdorff distance.

    $$\ell_i = \frac{1}{|C|}\sum_{c \in C} (t_{i,c} - p_{i,c})^2\,\big(d_{t,i,c}^\alpha + d_{p,i,c}^\alpha\big)$$

    with $d_t$ the distance to the boundary of the target and $d_p$ that to the boundary of the prediction, thresholded
    at ½. Use it to get rid of far outliers, added to `DiceLoss` with a weight that makes the two alike; distances are
    large numbers. The transform of the prediction is computed in every step, on the host: `one_sided=True` leaves it
    out, and with `distance=` no transform is left.

    Args:
        alpha: α, how steeply distance costs.
        one_sided: only $d_t$.
        distance: the map of the target, of either sign; see `lossary.distance_map`.

    Shapes: as classification; unreduced the shape of the labels. At least 0.

    Elsewhere: `monai.losses.HausdorffDTLoss(softmax=True, to_onehot_y=True)` has this mean; it wants two or three axes
    and leaves class 0 of a multilabel task out, here `classes=(1, …)`.

    >>> import numpy as np, lossary
    >>> target = np.array([[0, 1, 1, 0, 0]])
    >>> logits = np.where(np.array([[0, 1, 1, 0, 1]]), 40.0, -40.0)  # one error, 2 from the target's outline
    >>> loss = lossary.HausdorffDTLoss("binary", reduction="sum")
    >>> float(loss(logits, target)), float(loss.replace(one_sided=True)(logits, target))
    (5.0, 4.0)
    """

    alpha: float = option(default=2.0, above=0)
    one_sided: bool = option(default=False)

    def evaluate(self, batch: ClassBatch) -> Terms:
        xp, (p, t, _) = batch.xp, self.planes(batch)
        weight = magnitude(xp, self.target_distance(batch, self.chosen(batch))) ** self.alpha
        if not self.one_sided:
            weight = weight + magnitude(xp, self.distance_of(batch, p)) ** self.alpha
        return self.terms(batch, (t - p) ** 2 * weight)


@loss(
    "Karimi & Salcudean 2019, Reducing the Hausdorff Distance in Medical Image Segmentation, Loss_ER",
    arxiv="1904.10030",
    aliases=("hausdorff_er",),
    surveys=("S3",),
    keeps=78.0,  # each erosion is a pass of its own
)
class HausdorffErosionLoss(MaskLoss):
    r"""How many erosions the errors survive: an estimate of the Hausdorff distance without a distance transform.

    $$\ell_i = \frac{1}{|C|}\sum_{c \in C} \sum_{k=1}^{K} k^\alpha\,\big((t - p)^2 \ominus_k B\big)_{i,c}$$

    with ⊖ₖ B k erosions by a cross B, a place and its nearest neighbours: thick errors survive many. Use it in place of
    `HausdorffDTLoss` where a transform in every step is too slow, or everything must stay on the device. An error one
    place thick costs nothing, so add it to `DiceLoss`.

    Args:
        alpha: α, how steeply thickness costs.
        erosions: K, how many are tried: errors up to that many places deep are told apart.
        erosion: `"minimum"` over the cross, which is erosion; or the `"mean"` over it, less ½, cut off below 0 and
            stretched to [0, 1] in each mask, as published code approximates it. Stretched, remains of a thin error may
            survive for ever, so that thicker does not always cost more.

    Shapes: as classification; unreduced the shape of the labels. At least 0.

    Elsewhere: kornia's `HausdorffERLoss` of the probabilities has this mean with `erosion="mean", classes="all"`.

    >>> import numpy as np, lossary
    >>> target = np.zeros((1, 7, 7), dtype=int)
    >>> logits = np.full((1, 7, 7), -40.0)
    >>> logits[:, 1:6, 1:6] = 40  # an object of 5 × 5 where there is none
    >>> lossary.HausdorffErosionLoss("binary", reduction="none")(logits, target)[0, 3].round(2).tolist()
    [0.0, 0.0, 1.0, 5.0, 1.0, 0.0, 0.0]
    """

    alpha: float = option(default=2.0, low=0)
    erosions: int = option(default=10, low=1)
    erosion: Literal["minimum", "mean"] = option(default="minimum")

    def evaluate(self, batch: ClassBatch) -> Terms:
        xp, (p, t, axes) = batch.xp, self.planes(batch)
        axes = tuple(a for a in axes if sizes(p)[a] != 1)  # an axis of one place has no neighbours
        error = (t - p) ** 2
        total = xp.zeros_like(error)
        for k in range(1, self.erosions + 1):
            error = erode(error, axes) if self.erosion == "minimum" else _stretched_mean(xp, error, axes)
            total = total + k**self.alpha * error
        return self.terms(batch, total)


def _stretched_mean(xp: Namespace, x: Array, axes: tuple[int, ...]) -> Array:
    mean = cross_mean(x, axes)
    eroded = xp.where(mean <= 0.5, 0.0, mean - 0.5)  # NaN stays NaN
    low, high = xp.min(eroded, axis=axes, keepdims=True), xp.max(eroded, axis=axes, keepdims=True)
    return xp.where(high > low, divide(xp, eroded - low, high - low), eroded)


@loss(
    "Caliva et al. 2019, Distance Map Loss Penalty Term for Semantic Segmentation, eq. 2",
    arxiv="1908.03679",
    aliases=("dpce",),
    surveys=("S3",),
    span=(0.0, float("inf")),
)
class DistancePenalizedCrossEntropyLoss(DistanceMapLoss, LikelihoodLoss):
    r"""Cross entropy that counts up to twice near the boundaries of the target.

    $$\ell_i = (1 + \phi_i)\,(-\ln p_i), \qquad \phi_i = 1 - \frac{d_i}{\max_j d_j}$$

    with d the distance to the next place of another class, scaled in each image. Use it where outlines are blurred and
    the inside is easy. Its factor is at most 2, so it changes little; labels that are uncertain at the outline are the
    wrong place for it. An image of one class has no boundary: cross entropy.

    Args:
        distance: the map of the target, of either sign, from which the entry of the true class is read; see
            `lossary.distance_map`.

    Shapes: as the task says, see `LikelihoodLoss`; the unreduced loss has the shape of the labels. At least 0, and from
    1 to 2 times the cross entropy.

    Elsewhere: SegLossOdyssey's `DisPenalizedCE` returns the cross entropy without its factors, and NaN for an empty
    mask. Others scale the inside and the outside by a maximum of their own, which gives thin objects no extra weight.

    >>> import numpy as np, lossary
    >>> loss = lossary.DistancePenalizedCrossEntropyLoss("binary", reduction="none")
    >>> (loss(np.zeros((1, 6)), np.array([[0, 0, 0, 1, 1, 0]])) / np.log(2)).round(3).tolist()
    [[1.0, 1.333, 1.667, 1.667, 1.667, 1.667]]
    """

    def evaluate(self, batch: ClassBatch) -> Terms:
        terms = super().evaluate(batch)
        xp, distance = batch.xp, self._to_boundary(batch)
        first = 1 if batch.has_images else 0
        axes = batch.spatial if batch.task != "multiclass" else tuple(range(first, rank(distance)))
        farthest = xp.max(keep(xp, batch.counted, distance), axis=axes, keepdims=True)
        return terms._replace(values=terms.values * (1.0 + divide(xp, farthest - distance, farthest)))

    def _to_boundary(self, batch: ClassBatch) -> Array:
        """The distance of each place to the next one of another class."""
        xp, index, axis = batch.xp, batch.index, batch.axis
        if batch.task != "multiclass" or axis is None:
            return magnitude(xp, self.target_distance(batch, None))
        if index is None:
            every = self.target_distance(batch, tuple(range(batch.classes)))
            return xp.sum(planes(batch).t * magnitude(xp, every), axis=axis)
        if batch.distance is not None:
            return pick(magnitude(xp, batch.distance), index, axis)
        name, wide = type(self).__name__, is_wide(batch)
        return magnitude(xp, mask_distances(name, index, None, batch.has_images, self.steps, wide))


@loss(
    "Al Arif et al. 2017, Shape-aware Deep Convolutional Neural Network for Vertebrae Segmentation",
    surveys=("S3",),
    constant="the distance E of the outlines",
)
class ShapeAwareLoss(DistanceMapLoss, LikelihoodLoss):
    r"""Cross entropy that counts more where the prediction is wrong, the more the further its outline is off.

    $$\ell_i = \big(1 + [\hat y_i \ne y_i]\,E\big)\,(-\ln p_i), \qquad
    E = \frac{1}{|\hat{C}|}\sum_{j \in \hat{C}} \operatorname{dist}(x_j, C)$$

    with Ĉ the border places of the predicted masks and C those of the target, in each image. Use it for one compact
    object whose outline is known well, after some training: the outline of a first guess is far off, and E large.

    Args:
        pixels: where E counts: on `"wrong"` places, as in the paper, or on `"all"`, as surveys write it.
        distance: the map of the target, of either sign; see `lossary.distance_map`.

    Shapes: as the task says, see `LikelihoodLoss`; the unreduced loss has the shape of the labels. At least 0.
    Multiclass: the prediction is the likeliest class, and E the mean over the outlines of all classes but 0;
    multilabel: each class has its own. A class that is absent has no outline, and leaves E as it is.

    Elsewhere: no library has it. The paper has one class; E is a number for each image there too, though surveys write
    it with the index of a place.

    >>> import numpy as np, lossary
    >>> target = np.array([[0, 1, 1, 0, 0, 0]])
    >>> logits = np.where(np.array([[0, 1, 1, 1, 1, 0]]), 1.0, -1.0)  # borders at 1 and 4: 0 and 2 off, E = 1
    >>> loss = lossary.ShapeAwareLoss("binary", reduction="none")
    >>> (loss(logits, target) / np.logaddexp(0, np.where(target, -logits, logits))).round(3).tolist()
    [[1.0, 1.0, 1.0, 2.0, 2.0, 1.0]]
    """

    pixels: Literal["wrong", "all"] = option(default="wrong")

    def evaluate(self, batch: ClassBatch) -> Terms:
        terms = super().evaluate(batch)
        xp, axis, (p, t, axes) = batch.xp, batch.axis, planes(batch)
        p, true = stop_gradient(p), t > 0.5
        if batch.task != "multiclass" or axis is None:
            predicted = p > 0.5
            wrong, off = predicted != true, self._off(batch, predicted, true, None, axes)
        else:
            predicted = p == xp.max(p, axis=axis, keepdims=True)
            wrong = xp.any(predicted != true, axis=axis)
            chosen = tuple(range(min(1, batch.classes - 1), batch.classes))
            outlined, true = choose(xp, predicted, chosen, axis), choose(xp, true, chosen, axis)
            off = xp.squeeze(self._off(batch, outlined, true, chosen, (axis, *axes)), axis=axis)
        if self.pixels == "wrong":
            off = off * xp.astype(wrong, p.dtype)
        return terms._replace(values=terms.values * (1.0 + off))

    def _off(
        self, batch: ClassBatch, predicted: Array, true: Array, chosen: tuple[int, ...] | None, axes: tuple[int, ...]
    ) -> Array:
        """E, the mean over `axes` of how far the border places of the predicted masks are from the outline."""
        xp = batch.xp
        distance = magnitude(xp, self.target_distance(batch, chosen))
        mask = xp.astype(predicted, distance.dtype)
        # a mask without outline has map 0
        border = (mask - erode(mask, batch.spatial)) * xp.astype(distance > 0, distance.dtype)
        # inside, the map has the distance to the next place outside, one step beyond the border
        off = border * xp.where(true, distance - self.step, distance)
        return divide(xp, xp.sum(off, axis=axes, keepdims=True), xp.sum(border, axis=axes, keepdims=True))
