"""Losses of the probability that the model gives to the true answer."""

from __future__ import annotations

import functools
from collections.abc import Hashable, Sequence
from typing import Any, ClassVar

from lossary.array.namespace import Array, Namespace, eager
from lossary.array.primitives import along, clip, elementwise, mix, pick
from lossary.core import contract
from lossary.core.families.answer import Answer, Scored
from lossary.core.families.classification import ClassBatch, ProbabilityLoss, by_class, class_vector
from lossary.core.families.elements import ElementLoss, rank, times, weighted
from lossary.core.loss import Taxonomy, family
from lossary.core.reduction import Terms


@family
class LikelihoodLoss(ElementLoss, ProbabilityLoss):
    """Losses ℓ(p) of the probability p of the true answer; cross entropy, -ln p, unless a loss says otherwise.

    Soft targets are expectations: Σ_c t_c·ℓ(log p_c) for multiclass, t·ℓ(log p) + (1-t)·ℓ(log(1-p)) otherwise, so
    labels and one-hot targets give the same number. The unreduced loss has the shape of the labels.
    """

    family_name: ClassVar[str] = "likelihood"
    family_taxonomy: ClassVar[Taxonomy] = "distribution"
    takes_sharded = True

    def values(self, xp: Namespace, answer: Answer, /) -> Array:
        """The formula."""
        return -answer.log_p

    def slope(self, xp: Namespace, answer: Answer, /) -> Array | float:
        """Its derivative by log p."""
        return -1.0

    of = Answer

    def mean_over(self) -> Hashable:
        return ("labels", self.task == "multiclass", self.class_axis, self.ignore_index, self.class_weight)

    # --- what a loss may add to the formula ------------------------------------------------------------------------

    @property
    def smoothing(self) -> float:
        """The share of the target that is spread evenly over the classes."""
        return 0.0

    def sides(self) -> tuple[float | Sequence[float], float | Sequence[float]] | None:
        """Factors of the positive and the negative term (binary, multilabel); None is (1, 1)."""
        return None

    def class_factor(self) -> Sequence[float] | None:
        """A factor for each class that belongs to the formula, not to the weights of the mean (multiclass)."""
        return None

    def log_p(self, batch: ClassBatch) -> Array:
        """Log-probabilities of all classes (multiclass), each as it would be if that class were the true one. A loss
        that changes the logits first defines it."""
        return batch.log_p()

    def true_log_p(self, batch: ClassBatch, index: Array) -> Array:
        """Those of the classes `index` (multiclass). A loss may define it where it needs no others."""
        if self.reads == "true_log_p":
            return batch.true_log_p()
        assert batch.axis is not None
        return pick(self.log_p(batch), index, batch.axis)

    def everywhere(self, batch: ClassBatch) -> Array | None:
        """A term that is the same whichever class is true (multiclass)."""
        return None

    @property
    def reads(self) -> str:
        every = self.smoothing or type(self).log_p is not LikelihoodLoss.log_p
        return "log_p" if every else "true_log_p"

    # --- evaluation -------------------------------------------------------------------------------------------------

    def evaluate(self, batch: ClassBatch) -> Terms:
        if batch.task == "multiclass":
            values, included = self._multiclass(batch)
            return weighted(batch.xp, values, batch.counted, batch.weight, included)
        weight = batch.weight if self.class_weight is None else times(batch.weight, by_class(batch, self.class_weight))
        return weighted(batch.xp, self._sigmoid(batch), batch.counted, weight)

    def _sigmoid(self, batch: ClassBatch) -> Array:
        positive, negative = self._sides(batch)
        if isinstance(positive, float) and isinstance(negative, float):
            return self._terms(batch, positive, negative)
        return positive * self._terms(batch, 1.0, 0.0) + negative * self._terms(batch, 0.0, 1.0)

    def _terms(self, batch: ClassBatch, on: float, off: float) -> Array:
        """on · t · ℓ(p) + off · (1-t) · ℓ(1-p)."""
        hard = batch.share is None and not self.smoothing
        # compilers cannot follow a cache
        terms = (_two_terms if eager(batch.scores) else LikelihoodLoss.two_terms)(self, on, off, hard)
        return elementwise(*terms, batch.xp, batch.scores, batch.target)

    def two_terms(self, on: float, off: float, hard: bool) -> tuple[Any, Any, Any]:
        """Quantity, values and slope of on · t · ℓ(p) + off · (1-t) · ℓ(1-p)."""
        smoothing = self.smoothing

        def of(xp: Namespace, z: Array, t: Array, smooth: bool = True) -> Scored:
            x = Scored(xp, z, t, smooth)
            if smoothing:
                x.t = x.t * (1.0 - smoothing) + 0.5 * smoothing
            return x

        def values(xp: Namespace, x: Scored) -> Array:
            if hard:  # one of the two terms is left
                return _times(x.side(on, off), self.values(xp, x.label))
            return mix(x.t, _times(on, self.values(xp, x.yes)), _times(off, self.values(xp, x.no)))

        def slope(xp: Namespace, x: Scored) -> Array:
            if hard:
                return _times(x.side(on, off), self.slope(xp, x.label) * x.label.miss * x.sign)
            yes, no = self.slope(xp, x.yes) * x.miss, self.slope(xp, x.no) * x.p
            return mix(x.t, _times(on, yes), -_times(off, no))

        return of, values, slope if self.has_slope else None

    def _sides(self, batch: ClassBatch) -> tuple[Any, Any]:
        sides = self.sides()
        if sides is None:
            return 1.0, 1.0
        positive, negative = (by_class(batch, side) if isinstance(side, tuple) else side for side in sides)
        return positive, negative

    def _multiclass(self, batch: ClassBatch) -> tuple[Array, Array | None]:
        """Values with their class weights, and these weights (None where there are none).

        A smoothed target is (1-ε)·t + ε/C. Weights of the denominator are those of the target before smoothing, so
        that labels and one-hot targets agree, as they do in torch for labels.
        """
        xp, axis = batch.xp, batch.axis
        assert axis is not None
        if batch.share is None:
            values, included = self._labels(batch)
        else:
            # an impossible class (log p = -inf) of no share in the target contributes 0, not 0 · inf
            share, log_p = batch.share, self.log_p(batch)
            possible = xp.where(xp.logical_and(share == 0, xp.isinf(log_p)), 0.0, log_p)
            values, included = self._answers(batch, possible, share, None)
            values = xp.sum(values, axis=axis)
            included = None if included is None else xp.sum(included, axis=axis)
        term = self.everywhere(batch)
        if term is not None:
            values = values + (term if included is None else included * term)
        if self.smoothing:
            spread = self._spread(batch, self.log_p(batch), axis)
            values = (1.0 - self.smoothing) * values + self.smoothing / batch.classes * spread
        return values, included

    def _labels(self, batch: ClassBatch) -> tuple[Array, Array | None]:
        """The loss of labels; one between two classes is shared by them, each the more the nearer it is."""
        xp, axis, index = batch.xp, batch.axis, batch.index
        assert axis is not None
        assert index is not None
        if contract.is_integer(index):
            return self._answers(batch, self.true_log_p(batch, index), None, index)
        # the last label belongs to the last two classes, with no share for the first of them
        lower = clip(xp, xp.floor(index), min=0, max=max(batch.classes - 2, 0))
        share = contract.cast(xp, index - lower, batch.scores.dtype)
        lower = xp.astype(lower, xp.int32)
        upper = clip(xp, lower + 1, max=batch.classes - 1)
        values, included = self._answers(batch, pick(self.log_p(batch), lower, axis), 1.0 - share, lower)
        more, others = self._answers(batch, pick(self.log_p(batch), upper, axis), share, upper)
        return values + more, None if included is None or others is None else included + others

    def _answers(
        self, batch: ClassBatch, log_p: Array, share: Array | None, index: Array | None
    ) -> tuple[Array, Array | None]:
        """share · ℓ(log p) with the class weights, and share · weight; the classes are those of `index`, or all."""
        weight, factor = (
            None if numbers is None else by_class(batch, numbers, index)
            for numbers in (self.class_weight, self.class_factor())
        )
        values, factor = self.formula(batch.xp, log_p), times(times(share, weight), factor)
        return values if factor is None else values * factor, None if weight is None else times(weight, share)

    def _spread(self, batch: ClassBatch, log_p: Array, axis: int) -> Array:
        """Σ_c w_c·ℓ(log p_c) over the classes that are possible: one whose logit is -inf takes no share."""
        xp = batch.xp
        values = self.formula(xp, xp.where(xp.isinf(log_p), 0.0, log_p))
        for weights in (self.class_weight, self.class_factor()):
            if weights is not None:
                values = values * along(xp, class_vector(xp, weights, values), rank(values), axis)
        return xp.sum(values, axis=axis)


def _times(factor: float | Array, x: Array) -> Array:
    return x if isinstance(factor, float) and factor == 1.0 else factor * x


@functools.lru_cache(maxsize=256)
def _two_terms(loss: LikelihoodLoss, on: float, off: float, hard: bool) -> tuple[Any, Any, Any]:
    """The same functions in every call: eager torch finds by them what it recorded of them."""
    return loss.two_terms(on, off, hard)
