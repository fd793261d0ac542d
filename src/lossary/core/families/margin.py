"""Losses of a margin: how far the score of the true answer is ahead."""

from __future__ import annotations

from typing import ClassVar, Literal

from lossary.array.namespace import Array
from lossary.array.primitives import along, numbers, pick
from lossary.core import contract
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
        weight = batch.weight if self.class_weight is None else times(batch.weight, by_class(batch, self.class_weight))
        values = self._multiclass(batch) if batch.task == "multiclass" else self._binary(batch)
        return weighted(batch.xp, values, batch.counted, weight)

    def _binary(self, batch: ClassBatch) -> Array:
        positive = batch.index if batch.share is None else batch.share > 0
        return self.formula(batch.xp, batch.xp.where(positive, batch.scores, -batch.scores))

    def _multiclass(self, batch: ClassBatch) -> Array:
        xp, f, axis = batch.xp, batch.scores, batch.axis
        assert axis is not None
        if batch.index is None:
            raise ValueError(
                f"{type(self).__name__}: a margin needs one true class per place; `target` holds distributions. "
                "Pass class indices."
            )
        true = along(xp, numbers(batch.classes, batch.index), rank(f), axis) == xp.expand_dims(batch.index, axis=axis)
        if self.multiclass == "one-vs-all":
            return xp.sum(self.formula(xp, xp.where(true, f, -f)), axis=axis)
        score = xp.expand_dims(pick(f, batch.index, axis), axis=axis)
        if self.multiclass == "weston-watkins":
            return xp.sum(xp.where(true, 0.0, self.formula(xp, xp.where(true, 1.0, score - f))), axis=axis)
        rival = xp.max(xp.where(true, float("-inf"), f), axis=axis)
        return self.formula(xp, xp.squeeze(score, axis=axis) - rival)

    def _axis(self, prediction: Array) -> int | None:
        axis = super()._axis(prediction)
        if self.task == "multiclass" and axis is not None and contract.sizes(prediction)[axis] == 1:
            raise ValueError(
                f"{type(self).__name__}: `prediction` of shape {contract.sizes(prediction)} has one class along axis "
                f"{axis}; a margin needs two. Use task='binary' for one score."
            )
        return axis
