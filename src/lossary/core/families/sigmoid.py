"""Losses of a yes/no answer whose positive and negative terms are two formulas."""

from __future__ import annotations

import abc
from collections.abc import Hashable
from typing import ClassVar, Literal

from lossary.array.namespace import Array, Namespace
from lossary.array.primitives import elementwise
from lossary.core.families.answer import Labelled, Scored
from lossary.core.families.classification import ClassBatch, ProbabilityLoss, by_class
from lossary.core.families.elements import times, weighted
from lossary.core.loss import Taxonomy, family
from lossary.core.options import option
from lossary.core.reduction import Terms


@family
class SigmoidLoss(ProbabilityLoss):
    """Losses ℓ(z, t) of a logit z and a target t, 0 or 1 or between.

    A loss that treats positives and negatives alike is a function of the probability of the true answer and belongs
    to `LikelihoodLoss`. The unreduced loss has the shape of the target.
    """

    family_name: ClassVar[str] = "likelihood"
    family_taxonomy: ClassVar[Taxonomy] = "distribution"
    takes_sharded = True

    task: Literal["binary", "multilabel"] = option(default="binary", kw_only=False)

    @abc.abstractmethod
    def values(self, xp: Namespace, x: Scored, /) -> Array:
        """The formula."""

    @abc.abstractmethod
    def slope(self, xp: Namespace, x: Scored, /) -> Array:
        """Its derivative by z: eager torch computes both in one pass."""

    def formula(self, batch: ClassBatch) -> Array:
        """`values` at every place, with `slope` as derivative."""
        # a label that does not count may be any number
        of = Labelled if batch.share is None and batch.counted is None else Scored
        return elementwise(of, self.values, self.slope, batch.xp, batch.scores, batch.target)

    def mean_over(self) -> Hashable:
        return ("labels", False, self.class_axis, self.ignore_index, self.class_weight)

    def place_weight(self, batch: ClassBatch) -> Array | None:
        """Weights of the places: `sample_weight` and `class_weight`."""
        return batch.weight if self.class_weight is None else times(batch.weight, by_class(batch, self.class_weight))

    def evaluate(self, batch: ClassBatch) -> Terms:
        return weighted(batch.xp, self.formula(batch), batch.counted, self.place_weight(batch))
