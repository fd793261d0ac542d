"""What every loss made of weighted parts shares."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple, Self, cast

from lossary.array.namespace import Array, is_array, namespace
from lossary.array.primitives import gradient_norm, sizes
from lossary.core import contract
from lossary.core.compound.outputs import OutputLoss, check_outputs
from lossary.core.families.classification import ClassBatch
from lossary.core.loss import Facts, Loss, family
from lossary.core.options import option
from lossary.core.reduction import Empty, Mean, Reduction, Terms, sums_of


class Parts(NamedTuple):
    """The statistics of each part, as that part finalizes them, and the mean of the operand of the weights if there is
    one."""

    statistics: tuple[Any, ...]


class Prepared(NamedTuple):
    """The batch of each part, and the operand that the weights are a function of."""

    batches: tuple[Any, ...]
    operand: Any


@family
class CompoundLoss(Loss):
    """Weighted losses added up; each part keeps its own reduction.

    Parts that read the prediction in the same way (task, class axis, link, ignored label) share one preparation, so
    the softmax of Dice plus cross entropy is computed once. An operand (`distance=`, say) reaches the parts that take
    it; one that no part takes is an error.
    """

    terms: tuple[tuple[float, Loss], ...] = dataclasses.field(kw_only=False)
    reduction: Reduction = option(default="mean", init=False)  # each part has its own; "none" where one has it
    empty: Empty = option(default="zero", init=False)

    weighed_by: ClassVar[str | None] = None
    """The operand that the weights are a function of."""

    facts = Facts("losses of losses", None, (), (), "compound", (float("-inf"), float("inf")), 1e4, True)

    def __post_init__(self) -> None:
        """Sums within the sum are opened, so that its terms are losses. It has no options of its own to clean."""
        from lossary.core.compound.sums import SumLoss

        terms: list[tuple[float, Loss]] = []
        for weight, loss in self.terms:
            if not isinstance(loss, Loss):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise TypeError(
                    f"the parts of a sum are (weight, loss) pairs; got {type(loss).__name__} for a loss. Hydra makes "
                    "configs of losses in a list: set `_convert_: object`, or read the sum with `from_dict`"
                )
            opened = [(weight * w, part) for w, part in loss.terms] if isinstance(loss, SumLoss) else [(weight, loss)]
            terms += opened
        if not terms:
            raise ValueError("a sum of losses needs at least one term")
        object.__setattr__(self, "terms", tuple(terms))
        if any(loss.reduction == "none" for _, loss in terms):
            object.__setattr__(self, "reduction", "none")

    @abc.abstractmethod
    def combine(self, results: list[Array], operand: Any) -> Array:
        """One number of those of the parts."""

    @property
    def pairs(self) -> tuple[tuple[float, Loss], ...]:
        """The weight and loss of each part, whether `terms` was given as such or as a sum."""
        return self.terms

    # --- the parts ----------------------------------------------------------------------------------------------------

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the parts: their short names, numbered where one occurs twice.

        >>> import lossary
        >>> (lossary.L1Loss() + lossary.MSELoss() + 2 * lossary.L1Loss()).names
        ('l1', 'mse', 'l1_2')
        >>> (lossary.CIoULoss().on("boxes") + lossary.FocalLoss("multiclass").on("classes")).names
        ('boxes.ciou', 'classes.focal')
        """
        seen: dict[str, int] = {}
        names: list[str] = []
        for _, loss in self.terms:
            name = f"{loss.output}.{loss.loss.short_name()}" if isinstance(loss, OutputLoss) else loss.short_name()
            seen[name] = seen.get(name, 0) + 1
            names.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
        return tuple(names)

    @property
    def takes(self) -> tuple[str, ...]:
        own = () if self.weighed_by is None else (self.weighed_by,)
        return tuple(dict.fromkeys([*own, *(name for _, loss in self.terms for name in loss.takes)]))

    @property
    def decomposable(self) -> bool:
        return all(loss.decomposable for _, loss in self.terms)

    def parts(
        self,
        prediction: Any,
        target: Any,
        *,
        mask: Any = None,
        sample_weight: Any = None,
        **operands: Any,
    ) -> dict[str, Array]:
        """The value of each part by name, before its weight.

        >>> import numpy as np, lossary
        >>> loss = lossary.L1Loss() + 0.1 * lossary.MSELoss()
        >>> {name: float(v) for name, v in loss.parts(np.array([3.0]), np.array([0.0])).items()}
        {'l1': 3.0, 'mse': 9.0}
        """
        batch = self.prepare(prediction, target, mask=mask, sample_weight=sample_weight, operands=operands)
        results = [loss.conclude(b) for (_, loss), b in zip(self.terms, batch.batches, strict=True)]
        return dict(zip(self.names, results, strict=True))

    def gradient_norms(
        self,
        prediction: Any,
        target: Any,
        *,
        mask: Any = None,
        sample_weight: Any = None,
        **operands: Any,
    ) -> dict[str, Array]:
        """The Euclidean norm of the gradient of each part by the prediction (or its output), before its weight.

        It says how hard each part pulls, which its value does not: use it to choose weights. Torch, JAX and
        TensorFlow; it runs each part forward and backward by itself, so ask for it now and then.

        >>> import lossary, torch
        >>> loss = lossary.L1Loss(reduction="sum") + 0.1 * lossary.MSELoss(reduction="sum")
        >>> norms = loss.gradient_norms(torch.tensor([3.0, 4.0]), torch.zeros(2))
        >>> {name: round(norm.item(), 3) for name, norm in norms.items()}
        {'l1': 1.414, 'mse': 10.0}
        """
        norms: dict[str, Array] = {}
        for name, (_, loss) in zip(self.names, self.terms, strict=True):
            own = {key: value for key, value in operands.items() if key in loss.takes}

            def value(given: Any, loss: Loss = loss, own: dict[str, Any] = own) -> Array:
                return loss.conclude(loss.prepare(given, target, mask=mask, sample_weight=sample_weight, operands=own))

            outputs = outputs_of(loss)
            if not outputs:
                norms[name] = gradient_norm(value, prediction)
                continue
            squares = [
                gradient_norm(lambda x, k=k, value=value: value({**prediction, k: x}), prediction[k]) ** 2
                for k in outputs
            ]
            norms[name] = added(squares) ** 0.5
        return norms

    # --- the way of a call --------------------------------------------------------------------------------------------

    def prepare(
        self, prediction: Any, target: Any, *, mask: Any, sample_weight: Any, operands: Mapping[str, Any]
    ) -> Prepared:
        needed = () if self.weighed_by is None else (self.weighed_by,)
        contract.operands(" + ".join(self.names), self.takes, operands, needed=needed)
        check_outputs(outputs_of(self), {"mask": mask, "sample_weight": sample_weight, **operands})
        owns = [{name: value for name, value in operands.items() if name in loss.takes} for _, loss in self.terms]
        prepared: list[tuple[Any, tuple[str, ...], Any]] = []

        def found(loss: Loss, own: Mapping[str, Any]) -> Any:
            """The batch of a part that reads alike and has at least the operands of this one."""
            key = _reading(loss)
            return next((batch for k, names, batch in prepared if k == key and all(n in names for n in own)), None)

        for (_, loss), own in sorted(zip(self.terms, owns, strict=True), key=lambda part: -len(part[1])):
            if found(loss, own) is None:
                batch = loss.prepare(prediction, target, mask=mask, sample_weight=sample_weight, operands=own)
                prepared.append((_reading(loss), tuple(own), batch))
        batches = [found(loss, own) for (_, loss), own in zip(self.terms, owns, strict=True)]
        for (_, loss), batch in zip(self.terms, batches, strict=True):
            part = loss.loss if isinstance(loss, OutputLoss) else loss
            part.check_batch(batch)
            if isinstance(batch, ClassBatch):
                batch.wanted |= {part.reads}
        return Prepared(tuple(batches), None if self.weighed_by is None else operands[self.weighed_by])

    def evaluate(self, batch: Prepared) -> Terms:
        raise TypeError("a sum has parts of its own reductions; evaluate each part")

    def conclude(self, batch: Prepared, normalizer: Any = None) -> Array:
        results = [
            loss.conclude(b, n)
            for (_, loss), b, n in zip(self.terms, batch.batches, self._normalizers(normalizer), strict=True)
        ]
        shapes = {sizes(result) for result in results}
        if len(shapes) > 1:
            listed = ", ".join(f"{name} {sizes(r)}" for name, r in zip(self.names, results, strict=True))
            raise ValueError(
                f"the parts of a sum must reduce to one shape; got {listed}. Give every part a reduction other than "
                "'none', or parts whose unreduced values have one shape."
            )
        return self.combine(results, self._beside(results[0], batch.operand))

    def summarize(self, batch: Prepared) -> Parts:
        statistics = [sums_of(loss, loss.summarize(b)) for (_, loss), b in zip(self.terms, batch.batches, strict=True)]
        if self.weighed_by is None:
            return Parts(tuple(statistics))
        # a mean, so that statistics of shards, which all carry it, add up like the others
        like = self._from_sums(statistics)[0]
        operand = self._beside(like, batch.operand) + namespace(like).zeros_like(like)
        return Parts((*statistics, Mean(operand, namespace(like).ones_like(like))))

    def from_sums(self, sums: Parts, *, normalizer: Any = None) -> Array:
        results = self._from_sums(sums.statistics[: len(self.terms)], normalizer)
        if self.weighed_by is None:
            return self.combine(results, None)
        mean = sums.statistics[-1]
        return self.combine(results, mean.total / mean.count)

    def _from_sums(self, statistics: Any, normalizer: Any = None) -> list[Array]:
        return [
            loss.from_sums(s, normalizer=n)
            for (_, loss), s, n in zip(self.terms, statistics, self._normalizers(normalizer), strict=True)
        ]

    def _normalizers(self, normalizer: Any) -> list[Any]:
        """What replaces the denominator of each part."""
        if normalizer is None:
            return [None] * len(self.terms)
        outputs = outputs_of(self)
        if isinstance(normalizer, Mapping):
            given = cast("Mapping[str, Any]", normalizer)
            check_outputs(outputs or self.names, {"normalizer": given})
            if not outputs:
                return [given.get(name) for name in self.names]
            return [given if outputs_of(loss) else None for _, loss in self.terms]
        if outputs or len({(loss.reduction, loss.mean_over()) for _, loss in self.terms}) > 1:
            kind, names = ("output", outputs) if outputs else ("part", self.names)
            raise ValueError(
                f"the parts of this sum are means over unlike things, so one `normalizer` cannot be the denominator of "
                f"all: give a dict with a number for each {kind} ({', '.join(names)}); one that is left out keeps its "
                "own denominator"
            )
        return [normalizer] * len(self.terms)

    def _beside(self, result: Array, operand: Any) -> Any:
        """The operand of the weights in the library and dtype of the results; a number stays one."""
        if not is_array(operand):
            return operand
        xp, result, others = contract.arrays(type(self).__name__, result, **{str(self.weighed_by): operand})
        return contract.cast(xp, others[str(self.weighed_by)], result.dtype)

    # --- a value ------------------------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        return {"loss": type(self).__name__, "parts": [{"weight": w, **loss.to_dict()} for w, loss in self.terms]}

    @classmethod
    def from_parts(cls, settings: Mapping[str, Any]) -> Self:
        return cls(read_terms(settings["parts"]))


def outputs_of(loss: Loss) -> list[str]:
    """The outputs that a loss reads; none where its prediction is an array."""
    if isinstance(loss, OutputLoss):
        return [loss.output]
    if isinstance(loss, CompoundLoss):
        return list(dict.fromkeys(output for _, part in loss.terms for output in outputs_of(part)))
    return []


def read_terms(parts: Any) -> tuple[tuple[float, Loss], ...]:
    """The weighted losses that `to_dict` wrote."""
    from lossary.core.catalogue import from_dict

    terms: list[tuple[float, Loss]] = []
    for part in parts:
        part = dict(part)
        terms.append((float(part.pop("weight")), from_dict(part)))
    return tuple(terms)


def shown(terms: tuple[tuple[float, Loss], ...]) -> str:
    """The terms as they are written; a weight is short where that is exact."""
    texts = [f"{w:g}" if float(f"{w:g}") == w else repr(w) for w, _ in terms]
    return " + ".join(
        repr(loss) if w == 1 else f"{text} * {loss!r}" for text, (w, loss) in zip(texts, terms, strict=True)
    )


def added(terms: list[Array]) -> Array:
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


def _reading(loss: Loss) -> Any:
    """What a prepared batch depends on. An operand that a loss needs may change what is prepared; an optional one only
    stands beside it, so parts without it may share the batch."""
    return loss.preparation_key(), tuple(name for name in loss.takes if name not in loss.optional)
