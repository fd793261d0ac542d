"""Losses of the probability that the model gives to the true answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from lossary.array.namespace import Array
from lossary.array.primitives import along, log_sigmoid, pick
from lossary.core.families.classification import ClassBatch, ProbabilityLoss, by_class, class_vector
from lossary.core.families.elements import ElementLoss, rank, times, weighted
from lossary.core.loss import Taxonomy, family
from lossary.core.reduction import Terms


@family
class LikelihoodLoss(ElementLoss, ProbabilityLoss):
    """Losses ℓ(log p) of the probability p of the true answer.

    Soft targets are expectations: Σ_c t_c·ℓ(log p_c) for multiclass, t·ℓ(log p) + (1-t)·ℓ(log(1-p)) otherwise, so
    labels and one-hot targets give the same number. The unreduced loss has the shape of the labels.
    """

    family_name: ClassVar[str] = "likelihood"
    family_taxonomy: ClassVar[Taxonomy] = "distribution"
    reads: ClassVar[str] = "log_p"

    # --- what a loss may add to the formula ------------------------------------------------------------------------

    @property
    def smoothing(self) -> float:
        """The share of the target that is spread evenly over the classes."""
        return 0.0

    def sides(self) -> tuple[float | Sequence[float], float] | None:
        """Factors of the positive and the negative term (binary, multilabel); None is (1, 1)."""
        return None

    def class_factor(self) -> Sequence[float] | None:
        """A factor for each class that belongs to the formula, not to the weights of the mean (multiclass)."""
        return None

    # --- evaluation -------------------------------------------------------------------------------------------------

    def evaluate(self, batch: ClassBatch) -> Terms:
        if batch.task == "multiclass":
            values, included = self._multiclass(batch)
            return weighted(batch.xp, values, batch.counted, batch.weight, included)
        weight = batch.weight if self.class_weight is None else times(batch.weight, by_class(batch, self.class_weight))
        return weighted(batch.xp, self._sigmoid(batch), batch.counted, weight)

    def _sigmoid(self, batch: ClassBatch) -> Array:
        xp, z = batch.xp, batch.scores
        positive, negative = self._sides(batch)
        if batch.index is not None and not self.smoothing:
            # a hard label leaves one of the two terms: log p of the label is log σ(±z)
            values = self.formula(xp, log_sigmoid(xp.where(batch.index, z, -z)))
            if positive is None:
                return values
            return values * xp.where(batch.index, positive + xp.zeros_like(z), negative + xp.zeros_like(z))
        t = xp.astype(batch.index, z.dtype) if batch.share is None else batch.share
        t = t * (1.0 - self.smoothing) + 0.5 * self.smoothing
        on, off = t, 1.0 - t
        if positive is not None:
            on, off = on * positive, off * negative
        return on * self.formula(xp, log_sigmoid(z)) + off * self.formula(xp, log_sigmoid(-z))

    def _sides(self, batch: ClassBatch) -> tuple[Any, Any]:
        sides = self.sides()
        if sides is None:
            return None, None
        positive, negative = sides
        return by_class(batch, positive) if isinstance(positive, tuple) else positive, negative

    def _multiclass(self, batch: ClassBatch) -> tuple[Array, Array | None]:
        """Values with their class weights, and these weights (None where there are none).

        A smoothed target is (1-ε)·t + ε/C. Weights of the denominator are those of the target before smoothing, so
        that labels and one-hot targets agree, as they do in torch for labels.
        """
        xp, axis = batch.xp, batch.axis
        assert axis is not None
        included = None
        if self.class_weight is not None:
            included = by_class(batch, self.class_weight)
        factor = included
        if self.class_factor() is not None:
            factor = times(included, by_class(batch, self.class_factor() or ()))
        if batch.index is not None:
            values = self.formula(xp, pick(batch.log_p(), batch.index, axis))
            values = values if factor is None else values * factor
        else:
            # an impossible class (log p = -inf) of no share in the target contributes 0, not 0 · inf
            log_p, share = batch.log_p(), batch.share
            assert share is not None
            log_p = xp.where(xp.logical_and(share == 0, xp.isinf(log_p)), 0.0, log_p)
            values = share * self.formula(xp, log_p)
            values = xp.sum(values if factor is None else values * factor, axis=axis)
            included = None if included is None else xp.sum(included * share, axis=axis)
        if self.smoothing:
            values = (1.0 - self.smoothing) * values + self.smoothing / batch.classes * self._spread(batch, axis)
        return values, included

    def _spread(self, batch: ClassBatch, axis: int) -> Array:
        """Σ_c w_c·ℓ(log p_c) over the classes that are possible: one whose logit is -inf takes no share."""
        xp, log_p = batch.xp, batch.log_p()
        values = self.formula(xp, xp.where(xp.isinf(log_p), 0.0, log_p))
        for weights in (self.class_weight, self.class_factor()):
            if weights is not None:
                values = values * along(xp, class_vector(xp, weights, values), rank(values), axis)
        return xp.sum(values, axis=axis)
