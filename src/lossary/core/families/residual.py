"""Losses of a residual: prediction minus target."""

from __future__ import annotations

from typing import ClassVar

from lossary.array.namespace import Array
from lossary.core.families.pointwise import Pair, PointwiseLoss
from lossary.core.loss import family


@family
class ResidualLoss(PointwiseLoss):
    """Losses that are a function of e = prediction - target, element by element.

    `prediction` and `target` have one shape, and so has the unreduced loss.
    """

    family_name: ClassVar[str] = "residual"

    def quantity(self, pair: Pair) -> Array:
        return pair.prediction - pair.target
