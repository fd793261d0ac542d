"""The mean of detectors: a sum over all places, divided by the number of places that hold something."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Literal

from lossary.array.namespace import Array, namespace
from lossary.core.families.classification import ClassBatch
from lossary.core.families.elements import both
from lossary.core.loss import Loss, family
from lossary.core.options import option
from lossary.core.reduction import Terms


@family
class ForegroundMean(Loss):
    """A classification loss whose mean may be taken over the positives alone, while every place is summed.

    Positive is a target above 0 (binary, multilabel) or another class than 0, the background (multiclass). A batch
    without positives is divided by 1, as RetinaNet does, so that it still teaches what background is.
    """

    normalizer: Literal["places", "positives"] = option(default="places")

    def mean_over(self) -> Hashable:
        places = super().mean_over()
        return places if self.normalizer == "places" else (self.normalizer, places)

    def evaluate(self, batch: ClassBatch) -> Terms:
        terms: Terms = super().evaluate(batch)
        if self.normalizer == "places":
            return terms
        xp, positive = batch.xp, self._positive(batch)
        weight = None if terms.weight is None else xp.where(positive, terms.weight, 0.0)
        return Terms(terms.values, both(xp, terms.counted, positive), weight)

    def _positive(self, batch: ClassBatch) -> Array:
        if batch.task != "multiclass":
            return batch.index if batch.share is None else batch.share > 0
        if batch.share is None:
            return batch.index != 0
        assert batch.axis is not None
        return batch.share[(*[slice(None)] * batch.axis, 0)] < 1

    def from_sums(self, sums: Any, *, normalizer: Any = None) -> Array:
        if self.normalizer == "positives":
            xp, count = namespace(sums.total), sums.count
            sums = sums._replace(count=xp.where(count == 0, 1.0, count))
        return super().from_sums(sums, normalizer=normalizer)
