"""Sums of losses: `DiceLoss("multiclass") + 0.5 * FocalLoss("multiclass")`."""

from __future__ import annotations

from typing import Any

from lossary.array.namespace import Array
from lossary.core.compound.terms import CompoundLoss, added, shown
from lossary.core.loss import Loss, family


@family
class SumLoss(CompoundLoss):
    r"""A weighted sum of losses, written with `+` and `*`.

    $$L = \sum_i w_i\, L_i$$

    Parts that read the prediction in the same way share one preparation; each keeps its own reduction. `parts` gives
    their values by name and `gradient_norms` how hard each pulls. With `on` the parts read different outputs of a
    model, which come in dicts:

    >>> import numpy as np, lossary
    >>> loss = lossary.GIoULoss().on("boxes") + 2 * lossary.CrossEntropyLoss().on("classes")
    >>> boxes, logits = np.array([[0.0, 0.0, 1.0, 1.0]]), np.array([[0.0, 0.0]])
    >>> prediction, target = {"boxes": boxes, "classes": logits}, {"boxes": boxes, "classes": np.array([1])}
    >>> round(float(loss(prediction, target)), 4)
    1.3863
    """

    @classmethod
    def of(cls, loss: Loss) -> SumLoss:
        return loss if isinstance(loss, SumLoss) else cls(((1.0, loss),))

    def __add__(self, other: Loss) -> SumLoss:
        if not isinstance(other, Loss):  # pyright: ignore[reportUnnecessaryIsInstance]
            return NotImplemented
        return SumLoss((*self.terms, (1.0, other)))

    def __mul__(self, weight: float) -> SumLoss:
        if not isinstance(weight, (int, float)):  # pyright: ignore[reportUnnecessaryIsInstance]
            return NotImplemented
        return SumLoss(tuple((w * float(weight), loss) for w, loss in self.terms))

    __rmul__ = __mul__

    def __repr__(self) -> str:
        return shown(self.terms)

    def on(self, output: str) -> SumLoss:
        """All parts read the output of that name."""
        return SumLoss(tuple((w, loss.on(output)) for w, loss in self.terms))

    def combine(self, results: list[Array], operand: Any) -> Array:
        return added([r if w == 1 else w * r for (w, _), r in zip(self.terms, results, strict=True)])
