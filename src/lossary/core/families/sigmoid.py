"""Losses of a yes/no answer whose positive and negative terms are two formulas."""

from __future__ import annotations

import abc
from typing import ClassVar, Literal

from lossary.array.namespace import Array, Namespace
from lossary.array.primitives import elementwise, log_sigmoid, power, sigmoid
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

    task: Literal["binary", "multilabel"] = option(default="binary", kw_only=False)

    @abc.abstractmethod
    def values(self, xp: Namespace, z: Array, t: Array, /) -> Array:
        """The formula."""

    @abc.abstractmethod
    def slope(self, xp: Namespace, z: Array, t: Array, /) -> Array:
        """Its derivative by z: eager torch computes both in one pass."""

    def formula(self, batch: ClassBatch) -> Array:
        """`values` at every place, with `slope` as derivative."""
        z = batch.scores

        def values(xp: Namespace, z: Array, t: Array) -> Array:
            return self.values(xp, z, xp.astype(t, z.dtype))

        def slope(xp: Namespace, z: Array, t: Array) -> Array:
            return self.slope(xp, z, xp.astype(t, z.dtype))

        # a label stays bool until here, because the graph keeps what is given
        return elementwise(values, slope, batch.xp, z, batch.index if batch.share is None else batch.share)

    def place_weight(self, batch: ClassBatch) -> Array | None:
        """Weights of the places: `sample_weight` and `class_weight`."""
        return batch.weight if self.class_weight is None else times(batch.weight, by_class(batch, self.class_weight))

    def evaluate(self, batch: ClassBatch) -> Terms:
        return weighted(batch.xp, self.formula(batch), batch.counted, self.place_weight(batch))


# --- terms that several of these losses are made of, each with its derivative -----------------------------------------


def cross_entropy(z: Array, t: Array) -> Array:
    """-t ln p - (1-t) ln(1-p)."""
    return -(t * log_sigmoid(z) + (1.0 - t) * log_sigmoid(-z))


def error(z: Array, t: Array) -> Array:
    """p - t, which is the derivative of the cross entropy, without loss of digits at t = 0 and t = 1."""
    return (1.0 - t) * sigmoid(z) - t * sigmoid(-z)


def fading(xp: Namespace, z: Array, gamma: float) -> Array:
    """-(1-p)^γ ln p: the positive term of the focal loss. The negative one is that of -z."""
    return -power(xp, sigmoid(-z), gamma) * log_sigmoid(z)


def fading_slope(xp: Namespace, z: Array, gamma: float) -> Array:
    """The derivative of `fading` by z."""
    return power(xp, sigmoid(-z), gamma) * (gamma * sigmoid(z) * log_sigmoid(z) - sigmoid(-z))
