"""Losses of overlap: true positives, false positives and false negatives, counted softly."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple

from lossary.array.namespace import Array, Namespace, namespace
from lossary.array.primitives import along, class_sums, divide, region_sums, sizes, stop_gradient, total
from lossary.core.families.classification import ClassBatch, ProbabilityLoss, class_vector
from lossary.core.families.elements import rank, weighted
from lossary.core.loss import Taxonomy, family
from lossary.core.options import option
from lossary.core.reduction import Mean, Terms, mean_statistics

Classes = Literal["all", "present"]


class Counts(NamedTuple):
    """Soft counts. Of shape (N, C), per image and class, (N,) for a binary task, or without N when per batch.

    They are sums over places, so `+` joins those of shards.
    """

    tp: Array  # Σ p·t
    fp: Array  # Σ p·(1-t)
    fn: Array  # Σ (1-p)·t
    places: Array  # Σ of the weights of the places that count

    def __add__(self, other: Counts) -> Counts:  # pyright: ignore[reportIncompatibleMethodOverride]
        return Counts(*(a + b for a, b in zip(self, other, strict=True)))

    def __radd__(self, other: Literal[0]) -> Counts:
        return self


class ClassLosses(NamedTuple):
    """The loss of each class, and whether it is averaged: shape (N, C), (C,) per batch, without C for a binary task."""

    values: Array
    counted: Array


@family
class OverlapLoss(ProbabilityLoss):
    """Losses of the overlap of a predicted and a true region, one number per class and image (or batch).

    `per="image"` takes each image by itself and averages the losses, `per="batch"` joins the images first. `classes`
    are those that are averaged: `"all"`, `"present"` (in the target of that image or batch) or a tuple of indices.
    The unreduced loss has shape (N, C) per image and (C,) per batch; (N,) and () for a binary task. `mask` and pixel
    weights have the shape of the labels; a `sample_weight` of shape (N,) weighs the images.

    Args:
        per: `"image"`, or `"batch"` to join the images first.
        classes: which are averaged: `"all"`, `"present"` or a tuple of indices.
    """

    family_name: ClassVar[str] = "region"
    family_taxonomy: ClassVar[Taxonomy] = "region"

    per: Literal["image", "batch"] = option(default="image")
    classes: Classes | Sequence[int] = option(default="all", low=0)

    def check_options(self) -> None:
        super().check_options()
        if self.task == "binary" and not isinstance(self.classes, str):
            raise ValueError(f"`classes` needs classes, and task='binary' has one; got {self.classes}")

    @property
    def reads(self) -> str:
        return "p"

    @abc.abstractmethod
    def class_losses(self, batch: ClassBatch) -> ClassLosses:
        """The loss of each class, and which take part."""

    def prepare(
        self,
        prediction: Array,
        target: Array,
        *,
        mask: Array | None,
        sample_weight: Array | None,
        operands: Mapping[str, Array],
    ) -> ClassBatch:
        batch = super().prepare(prediction, target, mask=mask, sample_weight=sample_weight, operands=operands)
        chosen = self.classes
        if not isinstance(chosen, str) and max(chosen) >= batch.classes:
            raise ValueError(
                f"{type(self).__name__}: `classes` holds {max(chosen)}, but `prediction` of shape {sizes(prediction)} "
                f"has {batch.classes} classes, 0 to {batch.classes - 1}"
            )
        return batch

    def evaluate(self, batch: ClassBatch) -> Terms:
        values, weight = self._weighted(batch.xp, self.class_losses(batch))
        image = self._image_weight(batch)
        if image is not None:
            values = values * along(batch.xp, image, rank(values), 0)
        return Terms(values, weight != 0, weight)

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

    def _weighted(self, xp: Namespace, losses: ClassLosses) -> tuple[Array, Array]:
        """The weighted loss of each class, 0 for one that is not averaged, and the weights, with that 0 too."""
        weight = xp.astype(losses.counted, losses.values.dtype)
        if self.task != "binary":
            classes = sizes(losses.values)[-1]
            assert classes is not None
            weight = weight * class_vector(xp, self._class_weights(classes), losses.values)
        return xp.where(weight != 0, losses.values, 0.0) * weight, weight

    def _class_weights(self, classes: int) -> tuple[float, ...]:
        weights = self.class_weight or (1.0,) * classes
        chosen = range(classes) if isinstance(self.classes, str) else self.classes
        return tuple(w if c in chosen else 0.0 for c, w in enumerate(weights))

    def _average(self, xp: Namespace, losses: ClassLosses) -> Mean:
        """Numerator and denominator of the mean over classes."""
        values, weight = self._weighted(xp, losses)
        if self.reduction != "weighted_mean":
            weight = xp.astype(weight != 0, values.dtype)
        if self.task == "binary":
            return Mean(values, weight)
        return Mean(xp.sum(values, axis=-1), xp.sum(weight, axis=-1))


@family
class RegionLoss(OverlapLoss):
    r"""Overlap losses that are a formula on soft counts: $TP = \sum p\,t$, $FP = \sum p\,(1-t)$, $FN = \sum (1-p)\,t$.

    `smooth` is added to numerator and denominator of the score. On an empty mask the slope is about smooth/(FP+smooth)²
    per place, next to nothing at the default of 1e-5: where empty masks must teach, take `smooth=1` or more.

    Args:
        smooth: a number of places, added to numerator and denominator of the score.
    """

    smooth: float = option(default=1e-5, low=0)

    @property
    def reads(self) -> str:
        return "true_p"

    @abc.abstractmethod
    def values(self, xp: Namespace, counts: Counts) -> Array:
        """The formula: the loss of each class from its counts."""

    @property
    def squares(self) -> bool:
        """Whether the sums of p and t in FP and FN are sums of squares."""
        return False

    def counts(self, batch: ClassBatch) -> Counts:
        """The counts that the formula reads: per image, or of the whole batch."""
        per_image = count(batch, self.squares, weigh_images=self.per == "batch")
        if self.per == "image" or not batch.has_images:
            return per_image
        return Counts(*(batch.xp.sum(x, axis=0) for x in per_image))

    def class_losses(self, batch: ClassBatch) -> ClassLosses:
        return self._losses(batch.xp, self.counts(batch))

    def _losses(self, xp: Namespace, counts: Counts) -> ClassLosses:
        counted = counts.places > 0  # an image of which everything is ignored has no classes
        if self.classes == "present":
            counted = xp.logical_and(counted, counts.tp + counts.fn > 0)
        return ClassLosses(self.values(xp, counts), counted)

    def summarize(self, batch: ClassBatch) -> Mean | Counts:
        return self.counts(batch) if self.per == "batch" else super().summarize(batch)

    def finalize(self, statistics: Mean | Counts, *, normalizer: Any = None) -> Array:
        if isinstance(statistics, Counts):
            xp = namespace(statistics.tp)
            statistics = self._average(xp, self._losses(xp, statistics))
        return super().finalize(statistics, normalizer=normalizer)


# --- counting, for every loss that reads counts ----------------------------------------------------------------------


def count(batch: ClassBatch, squares: bool, weigh_images: bool) -> Counts:
    """Soft counts per image and class, once for all parts of a sum that read the same ones."""
    key = ("counts", squares, weigh_images and image_weight(batch) is not None)
    if key not in batch.memo:
        batch.memo[key] = _count(batch, squares, pixel_weight(batch, weigh_images))
    return batch.memo[key]


def _count(batch: ClassBatch, squares: bool, pixel: Array | None) -> Counts:
    xp, p = batch.xp, batch.p()
    if batch.task == "multiclass" and batch.index is not None and batch.axis is not None:
        mass, tp = region_sums(p, batch.true_p(), batch.index, batch.axis, pixel)
        ones = xp.astype(xp.ones_like(batch.index), p.dtype)
        true = class_sums(ones if pixel is None else ones * pixel, batch.index, batch.classes, batch.has_images)
        weight = None if pixel is None else xp.expand_dims(pixel, axis=batch.axis)
        if squares:
            mass = total(p * p if weight is None else p * p * weight, axis=batch.spatial)
        return _from_sums(xp, tp, mass, true, total(true, axis=-1, keepdims=True), squares)
    t = xp.astype(batch.index, p.dtype) if batch.share is None else batch.share
    weight = xp.expand_dims(pixel, axis=batch.axis) if batch.task == "multiclass" and pixel is not None else pixel
    ones = xp.ones_like(p) if weight is None else weight * xp.ones_like(p)
    tp = total(p * t * ones, axis=batch.spatial)
    mass = total((p * p if squares else p) * ones, axis=batch.spatial)
    true = total((t * t if squares else t) * ones, axis=batch.spatial)
    return _from_sums(xp, tp, mass, true, total(ones, axis=batch.spatial), squares)


def _from_sums(xp: Namespace, tp: Array, mass: Array, true: Array, places: Array, squares: bool) -> Counts:
    return Counts(tp, _excess(xp, mass, tp, squares), _excess(xp, true, tp, squares), places + xp.zeros_like(tp))


def _excess(xp: Namespace, mass: Array, tp: Array, squares: bool) -> Array:
    """mass - tp. Rounding can leave an excess of 0 a little below it: that is lifted without touching the gradient.
    (Sums of squares may well be below TP; of these only FP + FN has a meaning.)"""
    excess = mass - tp
    return excess if squares else excess + stop_gradient(xp.maximum(-excess, xp.zeros_like(excess)))


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
