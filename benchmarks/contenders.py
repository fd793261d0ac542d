"""What is measured: losses of ours, and calls of other libraries as data, imported only where they run."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import importlib.util
from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch

import lossary
from benchmarks.embedding import prototypes

Evaluate = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

SHORT = {"segmentation_models_pytorch": "smp", "torch": "F", "pytorch_metric_learning": "pml", "benchmarks": "by hand"}


@dataclasses.dataclass(frozen=True)
class Ours:
    """A loss of this library."""

    loss: lossary.Loss
    vectors: str | None = None  # what the loss calls the prototypes that it is given

    library = "lossary"

    @property
    def name(self) -> str:
        return repr(self.loss)

    @property
    def installed(self) -> bool:
        return True

    def target(self, target: torch.Tensor) -> torch.Tensor:
        return target

    def make(self) -> Evaluate:
        if self.vectors is None:
            return self.loss
        return functools.partial(self.loss, **{self.vectors: prototypes()})


@dataclasses.dataclass(frozen=True)
class Call:
    """A loss of another library: where it is, its options, and the form in which it takes the target.

    The target is brought into that form before the clock starts, because a user of that library would store it so.
    """

    path: str  # a class, which is instantiated with the options, or a function, which is called with them
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    form: Literal["labels", "channel", "float"] = "labels"
    factor: float = 1.0  # ours over theirs, where the two differ by a documented constant
    before: Callable[[torch.Tensor], torch.Tensor] | None = None  # done to the prediction, inside the clock
    after: Callable[[Any], Any] | None = None  # done to the loss that was made of a class

    @property
    def library(self) -> str:
        return self.path.partition(".")[0]

    @property
    def name(self) -> str:
        short = SHORT.get(self.library, self.library)
        return f"{short}.{self.path.rpartition('.')[2]}"

    @property
    def installed(self) -> bool:
        return importlib.util.find_spec(self.library) is not None

    def target(self, target: torch.Tensor) -> torch.Tensor:
        if self.form == "channel":
            return target.unsqueeze(1)
        return target.float() if self.form == "float" else target

    def make(self) -> Evaluate:
        module, _, name = self.path.rpartition(".")
        made = getattr(importlib.import_module(module), name)
        options, before = dict(self.options), self.before
        if isinstance(made, type):
            made, options = made(**options), {}
            made = made if self.after is None else self.after(made)
        if before is None:
            return lambda prediction, target: made(prediction, target, **options)
        return lambda prediction, target: made(before(prediction), target, **options)


Contender = Ours | Call
