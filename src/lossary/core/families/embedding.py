"""Losses of features and labels: of features against a vector per class, and of features against one another."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from lossary.array.namespace import Array, Namespace
from lossary.array.primitives import (
    divide,
    length,
    log_softmax,
    lookup,
    numbers,
    pick,
    reshape_like,
    size,
    sizes,
    total,
)
from lossary.array.vectors import direction, inner_products, squared_distances
from lossary.core import contract
from lossary.core.families.classification import class_vector
from lossary.core.families.elements import both, class_indices, integer_labels, not_ignored, weighted, wide
from lossary.core.loss import Loss, Taxonomy, family
from lossary.core.options import option
from lossary.core.reduction import Terms

FAR = 1e30
"""Stands for infinity where one must be subtracted from another: no similarity, distance or logit comes near it."""


@dataclasses.dataclass
class Features:
    """A prepared batch of M features, each of which has a label."""

    xp: Namespace
    rows: Array  # (M, D) in the compute dtype, 0 where a feature does not count
    labels: Array  # (M,)
    counted: Array | None  # (M,)
    weight: Array | None  # (M,)
    target: Array  # the labels in the shape of the call
    operands: dict[str, Any]  # in the compute dtype


@family
class EmbeddingLoss(Loss):
    """Losses of features (*, D) and integer labels (*), one for each feature.

    The unreduced loss has the shape of the labels, and so have mask and sample weights, or its leading axes. Features
    are compared whatever axes they lie along: labels of shape (N, 2) are those of two views of N samples.

    Args:
        ignore_index: the label of features that are left out of value, mean and gradient.
    """

    family_name: ClassVar[str] = "embedding"
    family_taxonomy: ClassVar[Taxonomy] = "embedding"

    task: Literal["multiclass"] = option(default="multiclass", init=False)
    ignore_index: int | None = option(default=None)

    def encode(self, given: contract.Arguments) -> Features:
        xp, dtype = given.xp, given.dtype
        shape, width = self._shape(given.prediction)
        operands = {name: x for name, x in given.others.items() if name in self.operands}
        for name, x in operands.items():
            contract.compute_dtype(given.name, xp, x, name)
        self.check_operands(width, operands)
        counted, weight = given.places(shape)
        labels, counted = self.read_labels(xp, given.target, shape, counted, operands)
        rows = xp.reshape(contract.cast(xp, given.prediction, dtype), (-1, width))
        operands = {name: contract.cast(xp, x, dtype) for name, x in operands.items()}
        everywhere = xp.ones_like(labels)  # mask and weight may have leading axes of the labels only
        if counted is not None:
            counted = xp.reshape(xp.logical_and(counted, everywhere != 0), (-1,))
            rows = xp.where(xp.expand_dims(counted, axis=1), rows, 0.0)
        if weight is not None:
            weight = xp.reshape(weight * xp.astype(everywhere, dtype), (-1,))
        return Features(xp, rows, xp.reshape(labels, (-1,)), counted, weight, labels, operands)

    def _shape(self, prediction: Array) -> tuple[contract.Shape, int]:
        """The shape of the labels, and the length of a feature."""
        name, shape = type(self).__name__, sizes(prediction)
        if not shape or not shape[-1]:
            raise ValueError(
                f"{name}: `prediction` must hold features along its last axis, whose length is known and not 0; got "
                f"shape {shape}"
            )
        return shape[:-1], shape[-1]

    def check_operands(self, width: int, operands: Mapping[str, Any]) -> None:
        """Raises ValueError where an operand does not suit features of this length."""
        return  # (AutoGraph cannot read a function that is a docstring)

    def read_labels(
        self, xp: Namespace, target: Array, shape: contract.Shape, counted: Array | None, operands: Mapping[str, Any]
    ) -> tuple[Array, Array | None]:
        """The labels, checked, and which of them count."""
        labels = integer_labels(type(self).__name__, "target", target, shape)
        return labels, both(xp, counted, not_ignored(xp, labels, self.ignore_index))

    @abc.abstractmethod
    def terms(self, batch: Features) -> Terms:
        """The terms of the features, (M,)."""

    def evaluate(self, batch: Features) -> Terms:
        terms = self.terms(batch)
        return Terms(*(None if x is None else reshape_like(x, batch.target) for x in terms))


# --- against a vector per class ---------------------------------------------------------------------------------------


@family
class ClassVectorLoss(EmbeddingLoss):
    """Losses of features against one vector per class, an operand of shape (C, D): prototypes or centres.

    Args:
        class_weight: one number per class. `reduction="weighted_mean"` divides by their sum over the features.
    """

    class_vectors: ClassVar[str]
    """The operand that holds the vectors."""

    class_weight: Sequence[float] | None = option(default=None, low=0)

    def check_operands(self, width: int, operands: Mapping[str, Any]) -> None:
        name, shape = type(self).__name__, sizes(operands[self.class_vectors])
        if len(shape) != 2 or shape[1] not in (width, None) or shape[0] == 0:
            raise ValueError(
                f"{name}: `{self.class_vectors}` has shape {shape}; expected (classes, {width}), one vector per class "
                f"as long as the features of `prediction`"
            )
        if self.class_weight is not None and shape[0] not in (len(self.class_weight), None):
            raise ValueError(
                f"{name}: `class_weight` has {len(self.class_weight)} numbers, but `{self.class_vectors}` of shape "
                f"{shape} holds {shape[0]} classes"
            )

    def read_labels(
        self, xp: Namespace, target: Array, shape: contract.Shape, counted: Array | None, operands: Mapping[str, Any]
    ) -> tuple[Array, Array | None]:
        name, classes = type(self).__name__, length(operands[self.class_vectors], 0)
        labels, counted = super().read_labels(xp, target, shape, counted, operands)
        return class_indices(xp, name, "target", labels, shape, classes, counted)

    @abc.abstractmethod
    def values(self, batch: Features, vectors: Array) -> Array:
        """The formula: the loss of each feature, given the vectors of all classes."""

    def terms(self, batch: Features) -> Terms:
        values, weight = self.values(batch, batch.operands[self.class_vectors]), None
        if self.class_weight is not None:
            weight = lookup(class_vector(batch.xp, self.class_weight, values), batch.labels)
            values = values * weight
        return weighted(batch.xp, values, batch.counted, batch.weight, weight)


@dataclasses.dataclass
class Angle:
    """The angle θ between each feature and the prototype of its class, by their directions, (M, D)."""

    xp: Namespace
    feature: Array
    prototype: Array

    @property
    def cos(self) -> Array:
        return self.xp.sum(self.feature * self.prototype, axis=-1)

    @property
    def sin(self) -> Array:
        """½ ‖u - v‖ ‖u + v‖ (Kahan), exact where u and v are nearly parallel, where 1 - cos² has lost its digits; its
        gradient at 0, which has no one direction, is 0. Where a length is 0 the angle is a right one."""
        xp = self.xp
        u, v = self.feature, self.prototype
        directed = xp.logical_and(xp.any(u != 0, axis=-1), xp.any(v != 0, axis=-1))
        return xp.where(directed, 0.5 * direction(u - v)[1] * direction(u + v)[1], 1.0)


@family
class AngularLoss(ClassVectorLoss):
    """Softmax cross entropy of inner products of features and prototypes, the true one less than it is: for the true
    class cos θ is replaced by a smaller number, the margin."""

    class_vectors: ClassVar[str] = "prototypes"
    operands: ClassVar[tuple[str, ...]] = ("prototypes",)
    shared: ClassVar[tuple[str, ...]] = ("prototypes",)

    unit_prototypes: ClassVar[bool] = True
    """Whether prototypes are taken by their direction only."""

    @property
    def radius(self) -> float | None:
        """The length that features are given; None leaves them theirs."""
        return None

    def check_operands(self, width: int, operands: Mapping[str, Any]) -> None:
        super().check_operands(width, operands)
        shape = sizes(operands[self.class_vectors])
        if shape[0] == 1:
            raise ValueError(
                f"{type(self).__name__}: `{self.class_vectors}` of shape {shape} has one class, and a softmax over it "
                "is 1 whatever the feature; it needs two classes or more"
            )

    @abc.abstractmethod
    def cosine(self, batch: Features, angle: Angle) -> Array:
        """What stands for the cosine of the true class."""

    def values(self, batch: Features, vectors: Array) -> Array:
        xp, rows = batch.xp, batch.rows
        feature, reach = direction(rows)
        own, own_reach = direction(lookup(vectors, batch.labels))
        if self.radius is not None:
            rows, reach = self.radius * feature, self.radius
        if self.unit_prototypes:
            vectors, own_reach = direction(vectors)[0], 1.0
        scores, angle = inner_products(rows, vectors), Angle(xp, feature, own)
        # without a margin the difference is exactly 0, and the scores are the plain ones
        margin = reach * own_reach * (self.cosine(batch, angle) - angle.cos)
        true = xp.expand_dims(numbers(length(vectors, 0), batch.labels), axis=0) == xp.expand_dims(batch.labels, axis=1)
        scores = xp.where(true, scores + xp.expand_dims(margin, axis=1), scores)
        return -pick(log_softmax(scores, 1), batch.labels, 1)


# --- against one another ----------------------------------------------------------------------------------------------


@family
class PairLoss(EmbeddingLoss):
    """Losses of each feature, the anchor, against all others of the call, over a matrix with an entry for each pair.

    Others of the anchor's class are its positives, those of other classes its negatives. A feature that does not count
    is neither. Sample weights weigh anchors. What one feature costs depends on the others, so shards do not add up: to
    spread a batch over processes, gather its features first (`lossary.torch.gather_over_processes`).
    """

    @property
    def decomposable(self) -> bool:
        return False

    @abc.abstractmethod
    def values(self, xp: Namespace, quantity: Array, positive: Array, negative: Array) -> Array:
        """The formula: the loss of each anchor, from the similarities or distances of all pairs. Where there is no
        anchor, any finite number."""

    @abc.abstractmethod
    def quantity(self, rows: Array) -> Array:
        """What the formula is a function of, (M, M)."""

    def anchors(self, xp: Namespace, positive: Array, negative: Array) -> Array:
        """Which features count as anchors."""
        return xp.any(positive, axis=1)

    def terms(self, batch: Features) -> Terms:
        xp, labels, counted = batch.xp, batch.labels, batch.counted
        if sizes(batch.rows)[0] == 0:  # no library has the maximum of nothing
            return weighted(xp, xp.sum(batch.rows, axis=1), counted, batch.weight)
        row = numbers(size(labels), wide(xp, labels))
        pair = xp.expand_dims(row, axis=0) != xp.expand_dims(row, axis=1)
        if counted is not None:
            pair = both(xp, pair, xp.logical_and(xp.expand_dims(counted, axis=0), xp.expand_dims(counted, axis=1)))
        same = xp.expand_dims(labels, axis=0) == xp.expand_dims(labels, axis=1)
        positive, negative = xp.logical_and(pair, same), xp.logical_and(pair, xp.logical_not(same))
        values = self.values(xp, self.quantity(batch.rows), positive, negative)
        counted = both(xp, counted, self.anchors(xp, positive, negative))
        return weighted(xp, values, counted, batch.weight)


@family
class SimilarityLoss(PairLoss):
    """Losses of the cosines of all pairs. A feature of length 0 has the cosine 0 with every other."""

    def quantity(self, rows: Array) -> Array:
        unit, _ = direction(rows)
        return inner_products(unit, unit)


@family
class DistanceLoss(PairLoss):
    """Losses of the squared Euclidean distances of all pairs, which keep their digits for near ones too (see
    `squared_distances`)."""

    def quantity(self, rows: Array) -> Array:
        return squared_distances(rows)


def mean_where(xp: Namespace, values: Array, chosen: Array) -> Array:
    """The mean of the chosen entries of each row, 0 where there are none."""
    count = total(xp.astype(chosen, values.dtype), axis=1)
    return divide(xp, total(xp.where(chosen, values, 0.0), axis=1), count)
