"""Losses of masks as wholes: how far places are from a boundary, and what their neighbours say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal, NamedTuple

from lossary.array.distance import label_distances, mask_distances
from lossary.array.namespace import Array, Namespace
from lossary.array.primitives import along, clip, numbers, sizes, stop_gradient
from lossary.core import contract
from lossary.core.families.classification import ClassBatch, ProbabilityLoss, by_class, class_vector
from lossary.core.families.elements import both, keep, rank, times, weighted
from lossary.core.loss import Taxonomy, family
from lossary.core.options import option
from lossary.core.reduction import Terms

LARGEST = 3.4028234663852886e38
"""The largest number of float32: a distance above it is infinite."""


class Planes(NamedTuple):
    """Prediction and target of masks, in the layout of the scores.

    A place that does not count is background in both, so that it is no error and has no boundary of its own.
    """

    p: Array
    t: Array
    axes: tuple[int, ...]  # those of an image


@family
class MaskLoss(ProbabilityLoss):
    """Losses in which the value at a place depends on the mask around it, class by class.

    The unreduced loss has the shape of the labels. For multiclass it is the mean over `classes`, so that the mean loss
    is that over places and classes; for multilabel the other classes are left out.

    Args:
        classes: whose masks are compared: `"foreground"` (all but class 0 of a multiclass task), `"all"` or a tuple.
    """

    family_name: ClassVar[str] = "distance"
    family_taxonomy: ClassVar[Taxonomy] = "boundary"

    classes: Literal["foreground", "all"] | Sequence[int] = option(default="foreground", low=0)

    @property
    def reads(self) -> str:
        return "p"

    def check_options(self) -> None:
        super().check_options()
        if self.task == "binary" and not isinstance(self.classes, str):
            raise ValueError(f"`classes` needs classes, and task='binary' has one; got {self.classes}")

    def members(self, batch: ClassBatch) -> tuple[int, ...]:
        """The classes whose masks are compared."""
        members = self.classes
        if isinstance(members, str):
            first = 1 if members == "foreground" and batch.task == "multiclass" else 0
            members = tuple(range(first, batch.classes))
        if not members or max(members) >= batch.classes:
            raise ValueError(
                f"{type(self).__name__}: `classes` is {self.classes!r}, but `prediction` of shape "
                f"{sizes(batch.scores)} has {batch.classes} class{'' if batch.classes == 1 else 'es'}"
            )
        return tuple(members)

    def chosen(self, batch: ClassBatch) -> tuple[int, ...] | None:
        """The classes that `planes` holds: those that are compared for multiclass, else None for all."""
        return self.members(batch) if batch.task == "multiclass" else None

    def planes(self, batch: ClassBatch) -> Planes:
        """Prediction and target of the masks; those of other classes too for multilabel, where `terms` leaves them
        out."""
        return planes(batch, self.chosen(batch))

    def terms(self, batch: ClassBatch, values: Array, weigh: bool = True) -> Terms:
        """The terms of values of each mask; without `weigh` no weights are applied."""
        xp, axis, counted = batch.xp, batch.axis, batch.counted
        weight = batch.weight if weigh else None
        class_weight = self.class_weight if weigh else None
        if batch.task != "multiclass" or axis is None:
            if class_weight is not None:
                weight = times(weight, by_class(batch, class_weight))
            return weighted(xp, values, both(xp, counted, self.taking_part(batch)), weight)
        chosen, included = self.members(batch), None
        if class_weight is not None:
            own = tuple(class_weight[c] for c in chosen)
            values = values * along(xp, class_vector(xp, own, values), rank(values), axis)
            included = along(xp, class_vector(xp, (sum(own) / len(own),), values), rank(values) - 1, 0)
        return weighted(xp, xp.sum(values, axis=axis) / len(chosen), counted, weight, included)

    def taking_part(self, batch: ClassBatch) -> Array | None:
        """Which masks of a multilabel task are compared; None if all are, or are chosen already."""
        members = self.members(batch)
        if batch.task != "multilabel" or len(members) == batch.classes:
            return None
        return by_class(batch, tuple(float(c in members) for c in range(batch.classes))) > 0


@family
class DistanceMapLoss(ProbabilityLoss):
    """Losses of the distance of places to the boundary of the target.

    The map is computed in every call, on the host, unless it is given as `distance=`: `lossary.distance_map` makes it
    in a data loader, signed or unsigned. It has the shape of the prediction.

    Args:
        spacing: the distance of neighbours along each axis of an image, such as millimetres; 1 by default.
    """

    family_name: ClassVar[str] = "distance"
    family_taxonomy: ClassVar[Taxonomy] = "boundary"
    operands = ("distance",)
    optional = ("distance",)
    takes_sharded = False  # what is near a place may lie in another process

    spacing: Sequence[float] | None = option(default=None, above=0)

    def check_options(self) -> None:
        super().check_options()
        if self.spacing is not None and len(self.spacing) > 3:
            raise ValueError(f"`spacing` has one number for each of up to three axes; got {self.spacing}")

    @property
    def step(self) -> float:
        """The least distance of two places."""
        return min(self.spacing or (1.0,))

    def encode(self, given: contract.Arguments) -> ClassBatch:
        batch = super().encode(given)
        if "distance" in given.others:
            name, xp, distance = given.name, given.xp, given.others["distance"]
            axis = batch.axis if batch.task == "multiclass" else None
            contract.same_shape(name, given.prediction, distance, "distance")
            distance = keep(xp, batch.counted, contract.cast(xp, distance, given.dtype), axis)
            if contract.checking(distance):
                contract.within(
                    name, "distance", distance, -LARGEST, LARGEST, hint="A mask without a boundary has map 0."
                )
            batch.distance = distance
        return batch

    def target_distance(self, batch: ClassBatch, chosen: tuple[int, ...] | None) -> Array:
        """The distance map of the target's masks: those of the chosen classes (multiclass), or of all. Signed if it is
        computed, else as it was given."""
        if batch.distance is not None:
            if chosen is None or batch.axis is None:
                return batch.distance
            return choose(batch.xp, batch.distance, chosen, batch.axis)
        key = ("distance", chosen, self.spacing)
        if key not in batch.memo:
            if chosen is not None and batch.index is not None and batch.axis is not None:
                labels, wide = batch.index, is_wide(batch)
                name, axis, images = type(self).__name__, batch.axis, batch.has_images
                batch.memo[key] = label_distances(name, labels, chosen, axis, images, self.steps, wide)
            else:
                batch.memo[key] = self.distance_of(batch, planes(batch, chosen).t)
        return batch.memo[key]

    def distance_of(self, batch: ClassBatch, soft: Array) -> Array:
        """The signed distance map of masks in the layout of the scores, thresholded at ½ and held constant."""
        masks = stop_gradient(soft) > 0.5
        return mask_distances(type(self).__name__, masks, batch.axis, batch.has_images, self.steps, is_wide(batch))

    @property
    def steps(self) -> tuple[float, ...] | None:
        return None if self.spacing is None else tuple(self.spacing)


def is_wide(batch: ClassBatch) -> bool:
    return batch.scores.dtype == batch.xp.float64


def planes(batch: ClassBatch, chosen: tuple[int, ...] | None = None) -> Planes:
    """Prediction and target of the masks of chosen classes, or of all."""
    xp, axis, p = batch.xp, batch.axis, batch.p()
    if batch.task != "multiclass" or axis is None:
        t = xp.astype(batch.index, p.dtype) if batch.share is None else batch.share
        # a mask of 0 and 255 is read as one of 0 and 1; `lossary.checked()` finds it
        t = clip(xp, t, min=0.0, max=1.0)
        return Planes(keep(xp, batch.counted, p), keep(xp, batch.counted, t), batch.spatial)
    chosen = tuple(range(batch.classes)) if chosen is None else chosen
    t = _true(batch, chosen, axis)
    p = choose(xp, p, chosen, axis)
    if batch.counted is not None:
        counted = xp.expand_dims(batch.counted, axis=axis)
        # class 0 is the background; labels say so already
        background = class_vector(xp, tuple(float(c == 0) for c in chosen), p)
        t = xp.where(counted, t, along(xp, background, rank(p), axis))
        p = xp.where(counted, p, t)
    return Planes(p, t, batch.spatial)


def _true(batch: ClassBatch, chosen: tuple[int, ...], axis: int) -> Array:
    """The share of the target that each chosen class has."""
    xp = batch.xp
    if batch.index is None:
        assert batch.share is not None
        return choose(xp, batch.share, chosen, axis)
    classes = choose(xp, numbers(batch.classes, batch.index), chosen, 0)
    hit = along(xp, classes, rank(batch.scores), axis) == xp.expand_dims(batch.index, axis=axis)
    return xp.astype(hit, batch.scores.dtype)


def choose(xp: Namespace, x: Array, classes: tuple[int, ...], axis: int) -> Array:
    """The entries of some classes along their axis: a view where they follow one another."""
    before = [slice(None)] * axis
    if classes == tuple(range(classes[0], classes[-1] + 1)):
        return x[(*before, slice(classes[0], classes[-1] + 1), ...)]
    return xp.concat([x[(*before, slice(c, c + 1), ...)] for c in classes], axis=axis)
