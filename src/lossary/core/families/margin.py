"""Losses of a margin: how far the score of the true answer is ahead."""

from __future__ import annotations

from typing import ClassVar, Literal

from lossary.array.namespace import Array, Namespace
from lossary.array.primitives import along, clip, numbers, pick
from lossary.core.families.classification import ClassBatch, ClassificationLoss, by_class
from lossary.core.families.elements import ElementLoss, rank, times, weighted
from lossary.core.loss import Taxonomy, family
from lossary.core.options import option
from lossary.core.reduction import Terms

Multiclass = Literal["crammer-singer", "weston-watkins", "one-vs-all"]


@family
class MarginLoss(ElementLoss, ClassificationLoss):
    """Losses ℓ(m) of the margin m = y·f, with y = ±1 the label and f the score.

    Binary labels are positive (1, True) or not (0, -1, False). With several classes `multiclass` chooses the margin:
    `"crammer-singer"`, f_y - max_{c≠y} f_c; `"weston-watkins"`, Σ_{c≠y} ℓ(f_y - f_c); `"one-vs-all"`, Σ_c ℓ(±f_c).

    Args:
        multiclass: which margin several classes have.
    """

    family_name: ClassVar[str] = "margin"
    family_taxonomy: ClassVar[Taxonomy] = "margin"
    reads_probabilities = False

    multiclass: Multiclass = option(default="crammer-singer")

    def evaluate(self, batch: ClassBatch) -> Terms:
        weight, included = None if self.class_weight is None else by_class(batch, self.class_weight), None
        if batch.task != "multiclass":
            values = self._binary(batch) if batch.share is None else self._between(batch, batch.share)
        elif batch.share is None:
            values = self._labels(batch)
        else:  # an expectation, and so is the weight of the place
            values = self._expected(batch, batch.share, weight)
            included = None if weight is None else batch.xp.sum(batch.share * weight, axis=batch.axis)
            weight = None
        return weighted(batch.xp, values, batch.counted, times(batch.weight, weight), included)

    def _binary(self, batch: ClassBatch) -> Array:
        return self.formula(batch.xp, batch.xp.where(batch.index, batch.scores, -batch.scores))

    def _between(self, batch: ClassBatch, share: Array) -> Array:
        """t·ℓ(f) + (1-t)·ℓ(-f) of a floating target, of which -1 is the answer no, as 0 is."""
        xp, t = batch.xp, clip(batch.xp, share, min=0.0, max=1.0)
        return self._part(xp, t, batch.scores) + self._part(xp, 1.0 - t, -batch.scores)

    def _part(self, xp: Namespace, t: Array, margin: Array) -> Array:
        """t·ℓ(m), which is 0 for t = 0 though ℓ(m) may be infinite."""
        return t * self.formula(xp, xp.where(t == 0, 1.0, margin))

    def _expected(self, batch: ClassBatch, share: Array, weight: Array | None) -> Array:
        """Σ_c t_c·ℓ(margin of class c), each class with its weight."""
        xp, f, axis = batch.xp, batch.scores, batch.axis
        assert axis is not None
        share = times(share, weight)
        if self.multiclass == "one-vs-all":
            every = xp.sum(share, axis=axis, keepdims=True)
            return xp.sum(self._part(xp, share, f) + self._part(xp, every - share, -f), axis=axis)
        if self.multiclass == "crammer-singer":
            order = along(xp, numbers(batch.classes, f), rank(f), axis)
            best = order == xp.expand_dims(xp.astype(xp.argmax(f, axis=axis), f.dtype), axis=axis)
            first = xp.sum(xp.where(best, f, 0.0), axis=axis, keepdims=True)
            second = xp.max(xp.where(best, float("-inf"), f), axis=axis, keepdims=True)
            rival = xp.where(best, second, first)
            return xp.sum(self._part(xp, share, f - rival), axis=axis)
        # pairs of classes, the true one along `axis` and its rival on the last axis
        others = xp.expand_dims(xp.permute_dims(f, (*(a for a in range(rank(f)) if a != axis), axis)), axis=axis)
        row = numbers(batch.classes, f)
        apart = along(xp, row, rank(f) + 1, axis) != along(xp, row, rank(f) + 1, rank(f))
        pairs = xp.where(apart, xp.expand_dims(share, axis=-1), 0.0)
        return xp.sum(self._part(xp, pairs, xp.expand_dims(f, axis=-1) - others), axis=(axis, rank(f)))

    def _labels(self, batch: ClassBatch) -> Array:
        xp, f, axis = batch.xp, batch.scores, batch.axis
        assert axis is not None
        assert batch.index is not None
        true = along(xp, numbers(batch.classes, batch.index), rank(f), axis) == xp.expand_dims(batch.index, axis=axis)
        if self.multiclass == "one-vs-all":
            return xp.sum(self.formula(xp, xp.where(true, f, -f)), axis=axis)
        score = xp.expand_dims(pick(f, batch.index, axis), axis=axis)
        if self.multiclass == "weston-watkins":
            return xp.sum(xp.where(true, 0.0, self.formula(xp, xp.where(true, 1.0, score - f))), axis=axis)
        rival = xp.max(xp.where(true, float("-inf"), f), axis=axis)
        return self.formula(xp, xp.squeeze(score, axis=axis) - rival)
