"""Losses of overlap: true positives, false positives and false negatives, counted softly."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, NamedTuple

from lossary.array.namespace import Array, Namespace, namespace
from lossary.array.primitives import along, class_sums, divide, region_sums, sizes, stop_gradient, total
from lossary.core.families.classification import ClassBatch, ProbabilityLoss, class_vector
from lossary.core.families.elements import rank, weighted
from lossary.core.loss import Taxonomy, family
from lossary.core.options import option
from lossary.core.reduction import Mean, Terms, mean_statistics

Classes = Literal["all", "present"]

Counting = Literal["product", "l1", "squares", "squared errors"]
"""How places are counted, p being the prediction and t the target of a class.

- `"product"`: TP = Σ p·t, FP = Σ p - TP, FN = Σ t - TP.
- `"l1"`: TP = Σ (p + t - |p - t|)/2, which is Σ min(p, t); FP and FN as above, so that they are 0 at p = t.
- `"squares"`: TP = Σ p·t, FP = Σ p² - TP, FN = Σ t² - TP. FP + FN is Σ (p - t)²; neither has a meaning alone.
- `"squared errors"`: FP = Σ (p - t)²·(1 - t), FN = Σ (p - t)²·t, TP = Σ t - FN.
"""


class Counts(NamedTuple):
    """Soft counts, sums over places. Of shape (N, C), per image and class, (N,) for a binary task, without N when per
    batch."""

    tp: Array  # Σ p·t
    fp: Array  # Σ p·(1-t)
    fn: Array  # Σ (1-p)·t
    places: Array  # Σ of the weights of the places that count


class ClassLosses(NamedTuple):
    """The loss of each class, and whether it is averaged: shape (N, C), (C,) per batch, without C where there is one
    number for all classes."""

    values: Array
    counted: Array


@family
class ScopedLoss(ProbabilityLoss):
    """Losses of which a part, at least, is one number of each class and image (or batch).

    Args:
        per: `"image"`, or `"batch"` to join the images first.
        classes: which are averaged: `"all"`, `"present"` or a tuple of indices.
    """

    per: Literal["image", "batch"] = option(default="image")
    classes: Classes | Sequence[int] = option(default="all", low=0)

    def check_options(self) -> None:
        super().check_options()
        if self.task == "binary" and not isinstance(self.classes, str):
            raise ValueError(f"`classes` needs classes, and task='binary' has one; got {self.classes}")

    @property
    def reads(self) -> str:
        return "p"

    def check_batch(self, batch: ClassBatch) -> None:
        super().check_batch(batch)
        chosen = self.classes
        if not isinstance(chosen, str) and max(chosen) >= batch.classes:
            raise ValueError(
                f"{type(self).__name__}: `classes` holds {max(chosen)}, but `prediction` of shape "
                f"{sizes(batch.scores)} has {batch.classes} classes, 0 to {batch.classes - 1}"
            )


@family
class OverlapLoss(ScopedLoss):
    """Losses of the overlap of a predicted and a true region, one number per class and image (or batch).

    `per="image"` takes each image by itself and averages the losses, `per="batch"` joins the images first. `classes`
    are those that are averaged: `"all"`, `"present"` (in the target of that image or batch) or a tuple of indices.
    The unreduced loss has shape (N, C) per image and (C,) per batch; (N,) and () for a binary task and for losses that
    join the classes. `mask` and pixel weights have the shape of the labels; a `sample_weight` of shape (N,) weighs the
    images.
    """

    family_name: ClassVar[str] = "region"
    family_taxonomy: ClassVar[Taxonomy] = "region"
    joins_classes: ClassVar[bool] = False
    """Whether there is one number for all classes, in which class weights have their say before."""

    @abc.abstractmethod
    def class_losses(self, batch: ClassBatch) -> ClassLosses:
        """The loss of each class, and which take part."""

    def evaluate(self, batch: ClassBatch) -> Terms:
        values, counted, weight = self._weighted(batch.xp, self.class_losses(batch))
        image = self._image_weight(batch)
        if image is not None:
            values = values * along(batch.xp, image, rank(values), 0)
        return Terms(values, counted, weight)

    def summarize(self, batch: ClassBatch) -> Mean | Counts:
        xp = batch.xp
        if self.reduction == "sum":
            return mean_statistics(self.evaluate(batch), "sum")
        mean = self._average(xp, self.class_losses(batch))
        if self.per == "batch" or not batch.has_images:
            return mean
        values = divide(xp, mean.total, mean.count)
        return mean_statistics(weighted(xp, values, mean.count != 0, self._image_weight(batch)), self.reduction)

    def _image_weight(self, batch: ClassBatch) -> Array | None:
        return image_weight(batch) if self.per == "image" else None

    @property
    def _has_class_axis(self) -> bool:
        return self.task != "binary" and not self.joins_classes

    def _weighted(self, xp: Namespace, losses: ClassLosses) -> tuple[Array, Array, Array]:
        """The weighted loss of each class, whether the class is averaged, and its weight: 0 where it is not. A class of
        weight 0 is averaged all the same; `classes` is what leaves one out."""
        if self._has_class_axis:
            counted, weight = self.taking_part(xp, losses.values, losses.counted)
        else:
            counted, weight = losses.counted, xp.astype(losses.counted, losses.values.dtype)
        return xp.where(counted, losses.values, 0.0) * weight, counted, weight

    def taking_part(self, xp: Namespace, like: Array, counted: Array) -> tuple[Array, Array]:
        """Which classes (on the last axis) are averaged, and the weight of each: 0 for one that is not."""
        if not isinstance(self.classes, str):
            classes = sizes(like)[-1]
            assert classes is not None
            chosen = class_vector(xp, tuple(float(c in self.classes) for c in range(classes)), like)
            counted = xp.logical_and(counted, chosen > 0)
        weight = xp.astype(counted, like.dtype)
        return counted, weight if self.class_weight is None else weight * class_vector(xp, self.class_weight, like)

    def _average(self, xp: Namespace, losses: ClassLosses) -> Mean:
        """Numerator and denominator of the mean over classes."""
        values, counted, weight = self._weighted(xp, losses)
        share = weight if self.reduction == "weighted_mean" else xp.astype(counted, values.dtype)
        if not self._has_class_axis:
            return Mean(values, share)
        return Mean(xp.sum(values, axis=-1), xp.sum(share, axis=-1))


@family
class RegionLoss(OverlapLoss):
    r"""Overlap losses that are a formula on soft counts: $TP = \sum p\,t$, $FP = \sum p\,(1-t)$, $FN = \sum (1-p)\,t$.

    `smooth` is added to numerator and denominator of the score. On an empty mask the slope is about smooth/(FP+smooth)²
    per place, next to nothing at the default of 1e-5: where empty masks must teach, take `smooth=1` or more.

    With targets between 0 and 1 the product p·t is no overlap: at p = t = ½ it is a quarter of a place, and the loss of
    the best prediction is far from 0. `soft="l1"` counts min(p, t) in its place: no errors at p = t, and the same
    number for hard targets.

    Args:
        smooth: a number of places, added to numerator and denominator of the score.
        soft: how places with a soft target overlap, `"product"` or `"l1"`.
    """

    smooth: float = option(default=1e-5, low=0)
    soft: Literal["product", "l1"] = option(default="product")

    @property
    def reads(self) -> str:
        return "true_p"

    @abc.abstractmethod
    def values(self, xp: Namespace, counts: Counts) -> Array:
        """The formula: the loss of each class from its counts."""

    def check_options(self) -> None:
        super().check_options()
        if self.soft == "l1" and self.counting != "l1":
            raise ValueError(
                "`soft='l1'` is for errors that are not squared: with squared=True the loss is 0 at p = t already"
            )

    @property
    def counting(self) -> Counting:
        """How the places are counted."""
        return self.soft

    def joined(self, xp: Namespace, counts: Counts, weight: Array) -> Counts:
        """The counts of all classes in one, for losses that join them before the formula. `weight` is the weight of
        each class, 0 for one that takes no part."""
        raise NotImplementedError

    def counts(self, batch: ClassBatch) -> Counts:
        """The counts that the formula reads: per image, or of the whole batch."""
        per_image = count(batch, self.counting, weigh_images=self.per == "batch")
        if self.per == "image" or not batch.has_images:
            return per_image
        return Counts(*(batch.xp.sum(x, axis=0) for x in per_image))

    def class_losses(self, batch: ClassBatch) -> ClassLosses:
        return self._losses(batch.xp, self.counts(batch))

    def _losses(self, xp: Namespace, counts: Counts) -> ClassLosses:
        counted = counts.places > 0  # an image of which everything is ignored has no classes
        if self.classes == "present":
            counted = xp.logical_and(counted, xp.logical_not(counts.tp + counts.fn <= 0))  # NaN is present
        if self.joins_classes and self.task != "binary":
            counted, weight = self.taking_part(xp, counts.tp, counted)
            counts, counted = self.joined(xp, counts, weight), xp.any(counted, axis=-1)
        return ClassLosses(self.values(xp, counts), counted)

    def summarize(self, batch: ClassBatch) -> Mean | Counts:
        return self.counts(batch) if self.per == "batch" else super().summarize(batch)

    def from_sums(self, sums: Mean | Counts, *, normalizer: Any = None) -> Array:
        if isinstance(sums, Counts):
            xp = namespace(sums.tp)
            sums = self._average(xp, self._losses(xp, sums))
        return super().from_sums(sums, normalizer=normalizer)


# --- counting, for every loss that reads counts ----------------------------------------------------------------------


def count(batch: ClassBatch, counting: Counting, weigh_images: bool) -> Counts:
    """Soft counts per image and class, once for all parts of a sum that read the same ones."""
    if counting == "l1" and batch.share is None:
        counting = "product"  # of a hard target they are the same
    key = ("counts", counting, weigh_images and image_weight(batch) is not None)
    if key not in batch.memo:
        pixel = pixel_weight(batch, weigh_images)
        labels = batch.task == "multiclass" and batch.share is None and batch.axis is not None
        batch.memo[key] = _count_labels(batch, counting, pixel) if labels else _count(batch, counting, pixel)
    return batch.memo[key]


def _count_labels(batch: ClassBatch, counting: Counting, pixel: Array | None) -> Counts:
    """From class indices, without a one-hot target."""
    xp, p, index, axis = batch.xp, batch.p(), batch.index, batch.axis
    assert index is not None
    assert axis is not None
    ones = xp.astype(xp.ones_like(index), p.dtype)
    true = class_sums(ones if pixel is None else ones * pixel, index, batch.classes, batch.has_images)
    places = total(true, axis=-1, keepdims=True)
    if counting == "squared errors":
        hit = batch.true_p()
        mass, hits = region_sums(p * p, hit * hit, index, axis, pixel)
        missed = (1.0 - hit) ** 2
        fn = class_sums(missed if pixel is None else missed * pixel, index, batch.classes, batch.has_images)
        return _counts(xp, true - fn, mass - hits, fn, places)
    mass, tp = region_sums(p, batch.true_p(), index, axis, pixel)
    if counting == "squares":
        weight = None if pixel is None else xp.expand_dims(pixel, axis=axis)
        mass = total(p * p if weight is None else p * p * weight, axis=batch.spatial)
    return _counts(xp, tp, mass - tp, true - tp, places, counting)


def _count(batch: ClassBatch, counting: Counting, pixel: Array | None) -> Counts:
    """From a target of the shape of the scores."""
    xp, p = batch.xp, batch.p()
    t = xp.astype(batch.index, p.dtype) if batch.share is None else batch.share
    weight = xp.expand_dims(pixel, axis=batch.axis) if batch.task == "multiclass" and pixel is not None else pixel
    ones = xp.ones_like(p) if weight is None else weight * xp.ones_like(p)

    def summed(x: Array) -> Array:
        return total(x * ones, axis=batch.spatial)

    places = summed(xp.ones_like(p))
    if counting == "squared errors":
        error, true = (p - t) ** 2, summed(t)
        fn = summed(error * t)
        return _counts(xp, true - fn, summed(error * (1.0 - t)), fn, places)
    tp = summed(xp.minimum(p, t) if counting == "l1" else p * t)
    squares = counting == "squares"
    mass, true = summed(p * p if squares else p), summed(t * t if squares else t)
    return _counts(xp, tp, mass - tp, true - tp, places, counting)


def _counts(xp: Namespace, tp: Array, fp: Array, fn: Array, places: Array, counting: Counting = "product") -> Counts:
    """Errors are differences of sums: rounding can leave one that is 0 a little below it, and a target beyond 1 far
    below it. That is lifted, without touching the gradient."""
    if counting == "squares":  # either may well be below 0, only their sum has a meaning
        fn = _lifted(xp, fp + fn) - fp
    else:
        fp, fn = _lifted(xp, fp), _lifted(xp, fn)
    return Counts(tp, fp, fn, places + xp.zeros_like(tp))


def _lifted(xp: Namespace, x: Array) -> Array:
    return x + stop_gradient(xp.maximum(-x, xp.zeros_like(x)))


def pixel_weight(batch: ClassBatch, weigh_images: bool) -> Array | None:
    """Weights of places, 0 where they do not count; with `weigh_images` those of images are weights of their pixels."""
    weight = batch.weight
    if weight is not None and not weigh_images and image_weight(batch) is not None:
        weight = None
    if batch.counted is None:
        return weight
    mask = batch.xp.astype(batch.counted, batch.scores.dtype)
    return mask if weight is None else batch.xp.where(batch.counted, weight * mask, 0.0)


def image_weight(batch: ClassBatch) -> Array | None:
    """A sample weight of shape (N,), which weighs images and not their pixels."""
    weight = batch.weight
    if weight is None or not batch.has_images or any(n != 1 for n in sizes(weight)[1:]):
        return None
    return batch.xp.reshape(weight, (-1,))
