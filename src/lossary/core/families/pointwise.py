"""Losses of prediction and target, place by place."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, ClassVar, NamedTuple

from lossary.array.namespace import Array, Namespace
from lossary.array.primitives import sizes
from lossary.core import contract
from lossary.core.families.elements import ElementLoss, both, rank, weighted
from lossary.core.loss import Taxonomy, family
from lossary.core.options import Domain
from lossary.core.reduction import Terms

REALS = Domain()
NEUTRAL = 1.0
"""What stands where a place does not count: it lies in the domain of every argument of every loss."""


class Pair(NamedTuple):
    """A prepared batch: prediction, target and operands of one shape and dtype, `NEUTRAL` where it does not count."""

    xp: Namespace
    prediction: Array
    target: Array
    operands: dict[str, Array]  # by name
    counted: Array | None
    weight: Array | None


@family
class PointwiseLoss(ElementLoss):
    """Losses that are a function of prediction and target (and of operands), place by place.

    All have one shape, and so has the unreduced loss. `values` takes the `Pair`.
    """

    family_name: ClassVar[str] = "pointwise"
    family_taxonomy: ClassVar[Taxonomy] = "regression"
    takes_sharded = True

    # --- what a loss may say of itself -----------------------------------------------------------------------------

    def domain(self, argument: str) -> Domain:
        """The numbers that `"prediction"`, `"target"` or an operand may hold; can depend on options."""
        return REALS

    def unreduced(self, shape: contract.Shape) -> contract.Shape:
        """The shape of the unreduced loss, and of masks and weights, for a prediction of `shape`."""
        return shape

    def quantity(self, pair: Pair) -> Any:
        """What the formula is a function of."""
        return pair

    def defined(self, pair: Pair) -> Array | None:
        """Where the formula has a value; the other places are left out. None where it always has."""
        return None

    def mean_over(self) -> Hashable:
        everywhere = type(self).defined is PointwiseLoss.defined
        return ("elements", self.unreduced((2, 3))) if everywhere else self

    # --- the way of a call -----------------------------------------------------------------------------------------

    def preparation_key(self) -> tuple[Any, ...]:
        domains = tuple(self.domain(argument) for argument in ("prediction", "target", *self.operands))
        return ("pointwise", self.operands, domains, self.unreduced((2, 3)))

    def encode(self, given: contract.Arguments) -> Pair:
        name, xp, prediction = given.name, given.xp, given.prediction
        pair = {"prediction": prediction, **{a: given.others[a] for a in ("target", *self.operands)}}
        for argument, x in pair.items():
            contract.same_shape(name, prediction, x, argument)
        counted, weight = given.places(self.unreduced(sizes(prediction)))
        inside = counted
        while inside is not None and rank(inside) < rank(prediction):
            inside = xp.expand_dims(inside, axis=-1)
        for argument, x in pair.items():
            if contract.checking(prediction):
                contract.in_domain(name, argument, x, self.domain(argument), inside)
            x = contract.cast(xp, x, given.dtype)
            pair[argument] = x if inside is None else xp.where(inside, x, NEUTRAL)
        return Pair(xp, pair.pop("prediction"), pair.pop("target"), pair, counted, weight)

    def evaluate(self, batch: Pair) -> Terms:
        xp = batch.xp
        counted = both(xp, batch.counted, self.defined(batch))
        return weighted(xp, self.formula(xp, self.quantity(batch)), counted, batch.weight)
