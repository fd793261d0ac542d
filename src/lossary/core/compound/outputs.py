"""A loss of one output of a model that has several."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, cast

from lossary.array.namespace import Array
from lossary.core.loss import Facts, Loss, family
from lossary.core.options import option
from lossary.core.reduction import Empty, Reduction, Terms


@family
class OutputLoss(Loss):
    r"""A loss of one output of a model that has several: `CIoULoss().on("boxes")`.

    $$L(\hat y, y) = \ell(\hat y_k, y_k)$$

    Prediction and target are dicts, of which it reads one entry. `mask`, `sample_weight`, `normalizer` and operands may
    be dicts too, with an entry for each output that has one; an array or number goes to every output.

    >>> import numpy as np, lossary
    >>> loss = lossary.L1Loss().on("depth")
    >>> loss
    L1Loss().on('depth')
    >>> float(loss({"depth": np.array([3.0, 9.0])}, {"depth": np.zeros(2)}, mask={"depth": np.array([True, False])}))
    3.0
    """

    loss: Loss = dataclasses.field(kw_only=False)
    output: str = dataclasses.field(kw_only=False)
    reduction: Reduction = option(default="mean", init=False)  # that of the loss
    empty: Empty = option(default="zero", init=False)

    facts = Facts("one of several outputs", None, (), (), "compound", (float("-inf"), float("inf")), 1e4, True)

    def __post_init__(self) -> None:
        """It has no options of its own to clean."""
        if not isinstance(self.loss, Loss):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"`loss` must be a loss; got {self.loss!r}")
        if isinstance(self.loss, OutputLoss) or not isinstance(self.output, str):  # pyright: ignore
            raise TypeError(f"`on` takes the name of an output, once; got {self.loss!r} on {self.output!r}")
        object.__setattr__(self, "reduction", self.loss.reduction)
        object.__setattr__(self, "empty", self.loss.empty)

    def __repr__(self) -> str:
        return f"{self.loss!r}.on({self.output!r})"

    @property
    def takes(self) -> tuple[str, ...]:
        return self.loss.takes

    @property
    def decomposable(self) -> bool:
        return self.loss.decomposable

    def preparation_key(self) -> Hashable:
        return (self.output, self.loss.preparation_key())

    def check(self, prediction: Any, argument: str = "prediction") -> None:
        """Raises where the dict lacks the output."""
        if not isinstance(prediction, Mapping):
            kind = type(prediction).__name__
            raise TypeError(f"{self!r}: `{argument}` must be a dict with an entry {self.output!r}; got {kind}")
        if self.output not in prediction:
            held = ", ".join(repr(k) for k in cast("Mapping[str, Any]", prediction))
            raise ValueError(f"{self!r}: `{argument}` has no entry {self.output!r}; it has {held or 'none'}")

    def prepare(
        self, prediction: Any, target: Any, *, mask: Any, sample_weight: Any, operands: Mapping[str, Any]
    ) -> Any:
        self.check(prediction)
        self.check(target, "target")
        own = {name: self._own(value) for name, value in operands.items()}
        return self.loss.prepare(
            prediction[self.output],
            target[self.output],
            mask=self._own(mask),
            sample_weight=self._own(sample_weight),
            operands={name: value for name, value in own.items() if value is not None},
        )

    def evaluate(self, batch: Any) -> Terms:
        return self.loss.evaluate(batch)

    def conclude(self, batch: Any, normalizer: Any = None) -> Array:
        return self.loss.conclude(batch, self._own(normalizer))

    def summarize(self, batch: Any) -> Any:
        return self.loss.summarize(batch)

    def from_sums(self, sums: Any, *, normalizer: Any = None) -> Array:
        return self.loss.from_sums(sums, normalizer=self._own(normalizer))

    def _own(self, value: Any) -> Any:
        """What a dict holds for this output, or what is given for all."""
        return value.get(self.output) if isinstance(value, Mapping) else value  # pyright: ignore

    def to_dict(self) -> dict[str, Any]:
        return {"loss": "OutputLoss", "output": self.output, "of": self.loss.to_dict()}

    @classmethod
    def from_parts(cls, settings: Mapping[str, Any]) -> OutputLoss:
        from lossary.core.catalogue import from_dict

        return cls(from_dict(settings["of"]), settings["output"])


def check_outputs(outputs: Sequence[str], given: Mapping[str, Any]) -> None:
    """Dicts of masks, weights and operands have no entry that no part reads."""
    for argument, value in given.items():
        if isinstance(value, Mapping):
            for key in value:  # pyright: ignore[reportUnknownVariableType]
                if key not in outputs:
                    read = ", ".join(repr(o) for o in dict.fromkeys(outputs)) or "no outputs"
                    raise ValueError(f"`{argument}` has an entry {key!r}, but the parts read {read}")
