"""Segmentation by structure: losses of skeletons and of local correlation."""

from __future__ import annotations

from typing import Any, NamedTuple

from lossary.array.namespace import Array, Namespace, namespace
from lossary.array.neighbours import dilate, erode, gaussian, window_moments
from lossary.array.primitives import divide, log_odds, magnitude, softplus, sqrt, stop_gradient, total
from lossary.core.families import ClassBatch, MaskLoss
from lossary.core.families.distance import choose, planes
from lossary.core.families.elements import keep, rank
from lossary.core.families.region import ClassLosses, OverlapLoss, pixel_weight
from lossary.core.loss import loss
from lossary.core.options import option
from lossary.core.reduction import Terms


class SkeletonSums(NamedTuple):
    """The sums that clDice is a ratio of, for each class in an image or batch."""

    on_target: Array  # Σ S_p·t
    predicted: Array  # Σ S_p
    on_prediction: Array  # Σ S_t·p
    true: Array  # Σ S_t
    overlap: Array  # Σ p·t
    mass: Array  # Σ p + Σ t
    target: Array  # Σ t
    places: Array


@loss(
    "Shit et al. 2021, clDice: a Novel Topology-Preserving Loss Function, algorithms 1 and 2",
    arxiv="2003.07311",
    aliases=("cldice", "soft_cldice", "centerline_dice"),
    surveys=("S3",),
    span=(0.0, 1.0),
    keeps=82.0,  # each step of thinning is a pass of its own
)
class ClDiceLoss(OverlapLoss):
    r"""One minus the Dice of skeletons: whether thin structures are found and hang together.

    $$\ell = 1 - \frac{2\,T_p\,T_s}{T_p + T_s}, \qquad T_p = \frac{\sum S_p\,t + s}{\sum S_p + s}, \quad
    T_s = \frac{\sum S_t\,p + s}{\sum S_t + s}$$

    with S the soft skeletons: what opening takes away, collected over erosions. Use it for vessels, roads and nerves,
    where a gap of one place breaks what a thousand right ones built; `dice_share=.5` adds the soft Dice that it needs
    to know how thick things are. Of compact objects a skeleton says little, and of a background nothing:
    `classes=(1, …)` leaves it out.

    Args:
        iterations: erosions, at least half the width of the thickest structure in places.
        dice_share: the share λ of the Dice loss, λ·Dice + (1-λ)·clDice.
        smooth: s, in places.

    Shapes: as classification; unreduced (N, C) per image. In [0, 1].

    Elsewhere: `monai.losses.SoftclDiceLoss(iter_=3, sigmoid=True)` of one channel has this number but for the 1e-4 in
    its denominator; of more channels it joins them before it divides. As there and in the authors' code an erosion is
    that of a cross; the paper draws a box.

    >>> import numpy as np, lossary
    >>> road = np.zeros((1, 5, 9), dtype=int)
    >>> road[:, 1:4] = 1
    >>> middle = np.full(road.shape, -40.0)  # found only one place wide, but whole
    >>> middle[:, 2] = 40
    >>> [round(float(loss("binary")(middle, road)), 3) for loss in (lossary.ClDiceLoss, lossary.DiceLoss)]
    [0.0, 0.5]
    """

    iterations: int = option(default=3, low=0)
    dice_share: float = option(default=0.0, low=0, high=1)
    smooth: float = option(default=1.0, low=0)

    def sums(self, batch: ClassBatch) -> SkeletonSums:
        """The sums that the formula reads: per image, or of the whole batch."""
        xp, (p, t, axes) = batch.xp, planes(batch)
        by_batch = self.per == "batch"
        weight = pixel_weight(batch, weigh_images=by_batch)
        if weight is not None and batch.task == "multiclass" and batch.axis is not None:
            weight = xp.expand_dims(weight, axis=batch.axis)
        over = (0, *axes) if by_batch and batch.has_images else axes

        def summed(x: Array) -> Array:
            return total(x if weight is None else x * weight, axis=over)

        of_prediction, of_target = skeleton(xp, p, axes, self.iterations), skeleton(xp, t, axes, self.iterations)
        return SkeletonSums(
            summed(of_prediction * t),
            summed(of_prediction),
            summed(of_target * p),
            summed(of_target),
            summed(p * t),
            summed(p + t),
            summed(t),
            summed(xp.ones_like(p)),
        )

    def class_losses(self, batch: ClassBatch) -> ClassLosses:
        return self._losses(batch.xp, self.sums(batch))

    def _losses(self, xp: Namespace, sums: SkeletonSums) -> ClassLosses:
        s = self.smooth
        precision = divide(xp, sums.on_target + s, sums.predicted + s)
        recall = divide(xp, sums.on_prediction + s, sums.true + s)
        # with nothing to find and nothing found both are 0/0, and nothing is wrong
        nothing = xp.logical_and(sums.predicted + s == 0, sums.true + s == 0)
        values = 1.0 - 2.0 * divide(xp, precision * recall, precision + recall)
        values = xp.where(nothing, 0.0, values)
        if self.dice_share:
            dice = divide(xp, sums.mass - 2.0 * sums.overlap, sums.mass + s)
            values = self.dice_share * dice + (1.0 - self.dice_share) * values
        counted = sums.places > 0
        if self.classes == "present":
            counted = xp.logical_and(counted, sums.target > 0)
        return ClassLosses(values, counted)

    def summarize(self, batch: ClassBatch) -> Any:
        return self.sums(batch) if self.per == "batch" else super().summarize(batch)

    def from_sums(self, sums: Any, *, normalizer: Any = None) -> Array:
        if isinstance(sums, SkeletonSums):
            xp = namespace(sums.mass)
            sums = self._average(xp, self._losses(xp, sums))
        return super().from_sums(sums, normalizer=normalizer)


def skeleton(xp: Namespace, x: Array, axes: tuple[int, ...], iterations: int) -> Array:
    """What an opening takes away from x and from each of its erosions, in a soft union."""
    found = _thin(xp, x, axes)
    for _ in range(iterations):
        x = erode(x, axes)
        found = found + (1.0 - found) * _thin(xp, x, axes)
    return found


def _thin(xp: Namespace, x: Array, axes: tuple[int, ...]) -> Array:
    opened = dilate(erode(x, axes), axes)
    return xp.where(x > opened, x - opened, 0.0)


@loss(
    "Zhao et al. 2019, Correlation Maximized Structural Similarity Loss for Semantic Segmentation, section 3",
    arxiv="1910.08711",
    aliases=("ssl", "cmss", "structural_similarity"),
    surveys=("S3",),
    keeps=21.0,  # five maps of local moments, and what they are made of
)
class StructuralSimilarityLoss(MaskLoss):
    r"""Cross entropy of the places whose neighbourhood correlates worst with the target.

    $$L = \frac{1}{M}\sum_{e_i > \beta E} e_i\,\mathrm{CE}(p_i, t_i), \qquad e = \lvert s(t) - s(p) \rvert, \qquad
    s(x) = \frac{x - \mu_x + C}{\sigma_x + C}, \qquad E = \max_i e_i$$

    with mean μ and deviation σ in a Gaussian window around each place, CE the binary cross entropy of each class, M the
    number of places that the sum is over, and E the largest error of the image. Use it beside `CrossEntropyLoss`, whose
    every place counts alone, to make the shape of outlines right. Far from any outline it teaches nothing.

    Args:
        constant: C. Small ones make flat neighbourhoods noisy.
        hardness: β, the share of the largest error of an image from which on a place counts.
        window: the side of the window in places, an odd number.
        sigma: the standard deviation of the Gaussian, in places.

    Shapes: as classification; unreduced the shape of the labels, for multiclass the mean over the classes with 0 where
    a place does not count. At least 0.

    Elsewhere: no library has it. Copies on the web take variances as differences of two means, which loses their digits
    where masks are flat, or one window for the whole image.

    >>> import numpy as np, lossary
    >>> target = np.array([[0, 0, 0, 1, 1, 1, 1, 1]])
    >>> logits = np.where(np.array([[0, 0, 0, 0, 1, 1, 1, 1]]), 3.0, -3.0)  # the outline is one place off
    >>> loss = lossary.StructuralSimilarityLoss("binary", window=3, reduction="none")
    >>> loss(logits, target).round(2).tolist()
    [[0.0, 0.0, 0.08, 3.97, 0.02, 0.0, 0.0, 0.0]]
    """

    constant: float = option(default=0.01, above=0)
    hardness: float = option(default=0.1, above=0, below=1)
    window: int = option(default=3, low=1)
    sigma: float = option(default=1.5, above=0)

    def check_options(self) -> None:
        super().check_options()
        if self.window % 2 == 0:
            raise ValueError(f"`window` must be odd, so that it has a middle; got {self.window}")

    def evaluate(self, batch: ClassBatch) -> Terms:
        xp, (p, t, axes) = batch.xp, self.planes(batch)
        error = magnitude(xp, self._structure(xp, t, axes) - self._structure(xp, p, axes))
        hard = self._hard(batch, error)
        terms = self.terms(batch, hard * error * self._cross_entropy(batch, t))
        count = self.terms(batch, hard, weigh=False).values
        return Terms(terms.values, count, None if terms.weight is None else self.terms(batch, hard).values)

    def _structure(self, xp: Namespace, x: Array, axes: tuple[int, ...]) -> Array:
        mean, variance = window_moments(x, axes, gaussian(self.window, self.sigma))
        return (x - mean + self.constant) / (sqrt(xp, variance) + self.constant)

    def _hard(self, batch: ClassBatch, error: Array) -> Array:
        """1 at the places whose error is among the large ones of their image, and 0 elsewhere."""
        xp, error = batch.xp, stop_gradient(error)
        error = keep(xp, batch.counted, error, batch.axis if batch.task == "multiclass" else None)
        error = keep(xp, self.taking_part(batch), error)
        over = tuple(range(1 if batch.has_images else 0, rank(error)))
        return xp.astype(xp.logical_not(error <= self.hardness * xp.max(error, axis=over, keepdims=True)), error.dtype)

    def _cross_entropy(self, batch: ClassBatch, t: Array) -> Array:
        """The binary cross entropy of each mask."""
        odds = batch.scores
        if batch.task == "multiclass" and batch.axis is not None:
            odds = choose(batch.xp, log_odds(odds, batch.axis), self.members(batch), batch.axis)
        return t * softplus(-odds) + (1.0 - t) * softplus(odds)
