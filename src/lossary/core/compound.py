"""Sums of losses: `DiceLoss("multiclass") + 0.5 * FocalLoss("multiclass")`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from lossary.array.namespace import Array
from lossary.array.primitives import sizes
from lossary.core import contract
from lossary.core.families.classification import ClassBatch
from lossary.core.loss import Facts, Loss, family
from lossary.core.options import option
from lossary.core.reduction import Empty, Reduction, Terms


class Parts(NamedTuple):
    """The statistics of each part of a sum; `+` joins them part by part."""

    statistics: tuple[Any, ...]

    def __add__(self, other: Parts) -> Parts:  # pyright: ignore[reportIncompatibleMethodOverride]
        return Parts(tuple(a + b for a, b in zip(self.statistics, other.statistics, strict=True)))

    def __radd__(self, other: Literal[0]) -> Parts:
        return self


@family
class SumLoss(Loss):
    """A weighted sum of losses on one prediction and target; parts keep their own reduction.

    Parts that read the prediction in the same way (task, class axis, link, ignored label) share one preparation, so
    the softmax of Dice plus cross entropy is computed once. An operand (`distance=`, say) reaches the parts that take
    it; one that no part takes is an error.
    """

    terms: tuple[tuple[float, Loss], ...] = dataclasses.field(kw_only=False)
    reduction: Reduction = option(default="mean", init=False)  # each part has its own
    empty: Empty = option(default="zero", init=False)

    facts = Facts("a sum of losses", None, (), (), "compound", (float("-inf"), float("inf")), 1e4, True, None)

    @classmethod
    def of(cls, loss: Loss) -> SumLoss:
        return loss if isinstance(loss, SumLoss) else cls(((1.0, loss),))

    def __post_init__(self) -> None:
        """Sums within the sum are opened, so that its terms are losses; a sum has no options of its own to clean."""
        if not self.terms:
            raise ValueError("a sum of losses needs at least one term")
        terms: list[tuple[float, Loss]] = []
        for weight, loss in self.terms:
            terms += [(weight * w, part) for w, part in loss.terms] if isinstance(loss, SumLoss) else [(weight, loss)]
        object.__setattr__(self, "terms", tuple(terms))

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
        return " + ".join(repr(loss) if w == 1 else f"{w:g} * {loss!r}" for w, loss in self.terms)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the parts: their short names, numbered where one occurs twice.

        >>> import lossary
        >>> (lossary.L1Loss() + lossary.MSELoss() + 2 * lossary.L1Loss()).names
        ('l1', 'mse', 'l1_2')
        """
        seen: dict[str, int] = {}
        names: list[str] = []
        for _, loss in self.terms:
            name = loss.short_name()
            seen[name] = seen.get(name, 0) + 1
            names.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
        return tuple(names)

    @property
    def takes(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for _, loss in self.terms for name in loss.takes))

    @property
    def decomposable(self) -> bool:
        return all(loss.decomposable for _, loss in self.terms)

    def prepare(
        self,
        prediction: Array,
        target: Array,
        *,
        mask: Array | None,
        sample_weight: Array | None,
        operands: Mapping[str, Array],
    ) -> tuple[Any, ...]:
        contract.operands(" + ".join(self.names), self.takes, operands)
        prepared: dict[Any, Any] = {}
        batches: list[Any] = []
        for _, loss in self.terms:
            own = {name: value for name, value in operands.items() if name in loss.takes}
            key = (loss.preparation_key(), tuple(own))  # a batch that lacks an operand cannot be shared
            if key not in prepared:
                prepared[key] = loss.prepare(prediction, target, mask=mask, sample_weight=sample_weight, operands=own)
            batches.append(prepared[key])
        for (_, loss), batch in zip(self.terms, batches, strict=True):
            if isinstance(batch, ClassBatch):
                batch.wanted |= {loss.reads}
        return tuple(batches)

    def evaluate(self, batch: tuple[Any, ...]) -> Terms:
        raise TypeError("a sum has parts of its own reductions; evaluate each part")

    def conclude(self, batch: tuple[Any, ...], normalizer: Any = None) -> Array:
        if normalizer is not None:
            raise ValueError("a sum has no one denominator to replace: finalize its parts, or call them one by one")
        results = [loss.conclude(b) for (_, loss), b in zip(self.terms, batch, strict=True)]
        shapes = {sizes(result) for result in results}
        if len(shapes) > 1:
            listed = ", ".join(f"{name} {sizes(r)}" for name, r in zip(self.names, results, strict=True))
            raise ValueError(
                f"the parts of a sum must reduce to one shape; got {listed}. Give every part a reduction other than "
                "'none', or parts whose unreduced values have one shape."
            )
        return self._add(results)

    def summarize(self, batch: tuple[Any, ...]) -> Parts:
        return Parts(tuple(loss.summarize(b) for (_, loss), b in zip(self.terms, batch, strict=True)))

    def finalize(self, statistics: Parts, *, normalizer: Any = None) -> Array:
        if normalizer is not None:
            raise ValueError("a sum has no one denominator to replace: finalize its parts one by one")
        return self._add([loss.finalize(s) for (_, loss), s in zip(self.terms, statistics.statistics, strict=True)])

    def _add(self, results: list[Array]) -> Array:
        weighted = [r if w == 1 else w * r for (w, _), r in zip(self.terms, results, strict=True)]
        total = weighted[0]
        for term in weighted[1:]:
            total = total + term
        return total

    def parts(
        self,
        prediction: Array,
        target: Array,
        *,
        mask: Array | None = None,
        sample_weight: Array | None = None,
        **operands: Array,
    ) -> dict[str, Array]:
        """The value of each part by name, before its weight.

        >>> import numpy as np, lossary
        >>> loss = lossary.L1Loss() + 0.1 * lossary.MSELoss()
        >>> {name: float(v) for name, v in loss.parts(np.array([3.0]), np.array([0.0])).items()}
        {'l1': 3.0, 'mse': 9.0}
        """
        batches = self.prepare(prediction, target, mask=mask, sample_weight=sample_weight, operands=operands)
        return {
            name: loss.conclude(batch) for name, (_, loss), batch in zip(self.names, self.terms, batches, strict=True)
        }

    def to_dict(self) -> dict[str, Any]:
        return {"loss": "SumLoss", "parts": [{"weight": w, **loss.to_dict()} for w, loss in self.terms]}

    @classmethod
    def from_parts(cls, settings: Mapping[str, Any]) -> SumLoss:
        from lossary.core.catalogue import from_dict

        terms: list[tuple[float, Loss]] = []
        for part in settings["parts"]:
            part = dict(part)
            terms.append((float(part.pop("weight")), from_dict(part)))
        return cls(tuple(terms))
