"""Losses that weigh groups of places by how many places each group has in the whole batch."""

from __future__ import annotations

import abc
from typing import Any, ClassVar, NamedTuple

from lossary.array.namespace import Array, Namespace, namespace
from lossary.core.families.answer import Scored
from lossary.core.families.classification import ClassBatch
from lossary.core.families.elements import weighted
from lossary.core.families.sigmoid import SigmoidLoss
from lossary.core.loss import family
from lossary.core.reduction import Mean, Terms, finalize_mean, mean_statistics


class GroupSums(NamedTuple):
    """Σ w·ℓ and Σ w of each group, and the denominator of the mean. The weights of the groups follow from the sums of
    all shards, so they are exact wherever the parts were summed."""

    total: Array
    mass: Array
    count: Array


@family
class BalancedLoss(SigmoidLoss):
    """Binary cross entropies in which each group of places has a factor that depends on the sizes of all groups."""

    weighs_linearly: ClassVar[bool] = False  # class weights are in the sizes too

    def values(self, xp: Namespace, x: Scored) -> Array:
        return x.cross_entropy

    def slope(self, xp: Namespace, x: Scored) -> Array:
        return x.error

    @abc.abstractmethod
    def sums(self, batch: ClassBatch, mass: Array) -> tuple[Array, Array]:
        """Σ mass·ℓ and Σ mass of each group, groups on the last axis. `mass` is 0 where a place does not count."""

    @abc.abstractmethod
    def factors(self, xp: Namespace, mass: Array) -> Array:
        """The factor of each group."""

    @abc.abstractmethod
    def spread(self, batch: ClassBatch, factors: Array) -> Array:
        """The unreduced loss: each place with the factor of its group."""

    def mass(self, batch: ClassBatch) -> Array:
        """The weight with which each place counts."""
        ones = batch.xp.ones_like(batch.scores)
        return weighted(batch.xp, ones, batch.counted, self.place_weight(batch)).values

    def evaluate(self, batch: ClassBatch) -> Terms:
        _, mass = self.sums(batch, self.mass(batch))
        values = self.spread(batch, self.factors(batch.xp, mass))
        return weighted(batch.xp, values, batch.counted, self.place_weight(batch))

    def summarize(self, batch: ClassBatch) -> Any:
        ones = weighted(batch.xp, batch.xp.ones_like(batch.scores), batch.counted, self.place_weight(batch))
        total, mass = self.sums(batch, ones.values)
        return GroupSums(total, mass, mean_statistics(ones, self.reduction).count)

    def from_sums(self, sums: Any, *, normalizer: Any = None) -> Array:
        if isinstance(sums, GroupSums):
            xp = namespace(sums.total)
            total = xp.sum(self.factors(xp, sums.mass) * sums.total)
            sums = Mean(total, sums.count)
        return finalize_mean(sums, self.reduction, self.empty, normalizer, type(self).__name__)
