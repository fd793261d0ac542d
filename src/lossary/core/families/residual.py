"""Losses of a residual: prediction minus target."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, NamedTuple

from lossary.array.namespace import Array, Namespace
from lossary.array.primitives import sizes
from lossary.core import contract
from lossary.core.families.elements import ElementLoss, keep, places, weighted
from lossary.core.loss import Taxonomy, family
from lossary.core.reduction import Terms


class Residuals(NamedTuple):
    """A prepared batch: e = prediction - target, 0 where it does not count."""

    xp: Namespace
    error: Array
    counted: Array | None
    weight: Array | None


@family
class ResidualLoss(ElementLoss):
    """Losses that are a function of e = prediction - target, element by element.

    `prediction` and `target` have one shape, and so has the unreduced loss.
    """

    family_name: ClassVar[str] = "residual"
    family_taxonomy: ClassVar[Taxonomy] = "regression"

    def preparation_key(self) -> str:
        return "residual"

    def prepare(
        self,
        prediction: Array,
        target: Array,
        *,
        mask: Array | None,
        sample_weight: Array | None,
        operands: Mapping[str, Array],
    ) -> Residuals:
        name = type(self).__name__
        contract.operands(name, self.operands, operands)
        xp, others = contract.arrays(name, prediction, target=target, mask=mask, sample_weight=sample_weight)
        target = others["target"]
        contract.same_shape(name, prediction, target)
        dtype = contract.compute_dtype(name, xp, prediction)
        counted, weight = places(xp, name, sizes(prediction), dtype, others)
        error = contract.cast(xp, prediction, dtype) - contract.cast(xp, target, dtype)
        if contract.checking(prediction):
            contract.within(name, "prediction", prediction, float("-inf"), float("inf"), counted)
            contract.within(name, "target", target, float("-inf"), float("inf"), counted)
        return Residuals(xp, keep(xp, counted, error), counted, weight)

    def evaluate(self, batch: Residuals) -> Terms:
        xp = batch.xp
        values = self.formula(xp, batch.error)
        return weighted(xp, values, batch.counted, batch.weight)
