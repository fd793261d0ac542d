"""Losses of the literature that are a sum of a loss of places and a loss of regions."""

from __future__ import annotations

import abc
from typing import Any, ClassVar, Literal

from lossary.array.namespace import Array
from lossary.core import contract
from lossary.core.compound import Parts, SumLoss
from lossary.core.compound.terms import Prepared
from lossary.core.families.classification import ClassBatch
from lossary.core.families.region import ScopedLoss
from lossary.core.loss import Loss, Taxonomy, family
from lossary.core.options import option
from lossary.core.reduction import Terms


@family
class NamedSumLoss(ScopedLoss):
    """A weighted sum of losses that read one prepared batch, with a name and options of its own.

    The parts share preparation, softmax and counts. Each keeps what it is a mean of, places or classes and images, so
    there is no unreduced loss and no one denominator that `normalizer` could replace; statistics are those of the
    parts. `per`, `classes` and `smooth` are those of the region part, see `RegionLoss`; `class_weight` weighs places
    by their label in one part and classes in the other.

    Args:
        reduction: that of each part; there is no `"none"`.
        smooth: a number of places, added to numerator and denominator of the region's score.
    """

    family_name: ClassVar[str] = "compound"
    family_taxonomy: ClassVar[Taxonomy] = "compound"

    reduction: Literal["mean", "weighted_mean", "sum"] = option(default="mean")
    smooth: float = option(default=1e-5, low=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "sum", SumLoss(self.terms()))  # made of the options, once

    sum: ClassVar[SumLoss]
    """The sum that this loss is."""

    @abc.abstractmethod
    def terms(self) -> tuple[tuple[float, Loss], ...]:
        """The parts and their weights."""

    @property
    def reads(self) -> str:
        return "log_p"  # in a sum with others; by itself it says what each part reads

    def common(self) -> dict[str, Any]:
        """The options that every part has."""
        names = ("task", "class_axis", "ignore_index", "class_weight", "from_logits", "reduction", "empty")
        return {name: getattr(self, name) for name in names}

    def region(self) -> dict[str, Any]:
        """The options of the part that is a loss of regions."""
        return {**self.common(), "per": self.per, "classes": self.classes, "smooth": self.smooth}

    @property
    def decomposable(self) -> bool:
        return self.sum.decomposable

    def encode(self, given: contract.Arguments) -> ClassBatch:
        batch = super().encode(given)
        batch.wanted = frozenset(part.reads for _, part in self.sum.terms)
        return batch

    def evaluate(self, batch: ClassBatch) -> Terms:
        raise TypeError("a compound loss has parts of their own shapes; evaluate each part")

    def conclude(self, batch: ClassBatch, normalizer: Any = None) -> Array:
        return self.sum.conclude(self._for_each(batch), normalizer)

    def summarize(self, batch: ClassBatch) -> Parts:
        return self.sum.summarize(self._for_each(batch))

    def from_sums(self, sums: Parts, *, normalizer: Any = None) -> Array:
        return self.sum.from_sums(sums, normalizer=normalizer)

    def _for_each(self, batch: ClassBatch) -> Prepared:
        return Prepared((batch,) * len(self.sum.terms), None)

    def parts(
        self, prediction: Array, target: Array, *, mask: Array | None = None, sample_weight: Array | None = None
    ) -> dict[str, Array]:
        """The value of each part by name, before its weight.

        >>> import numpy as np, lossary
        >>> loss, logits, target = lossary.ComboLoss("binary"), np.zeros((1, 4)), np.array([[1, 1, 0, 0]])
        >>> {name: round(float(v), 4) for name, v in loss.parts(logits, target).items()}
        {'one_vs_rest': 0.3466, 'dice': 0.5}
        """
        batch = self.prepare(prediction, target, mask=mask, sample_weight=sample_weight, operands={})
        return {name: part.conclude(batch) for name, (_, part) in zip(self.sum.names, self.sum.terms, strict=True)}
