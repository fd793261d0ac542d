"""The loss under examination, whoever wrote it."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# (of an object that somebody else wrote nothing is known)
from __future__ import annotations

import copy
import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from lossary.checker.engines import RUN, Batch, Dtype, Framework, Outcome, tensors, to_numpy
from lossary.checker.scenes import Convention, Scene
from lossary.core.loss import Loss

Array = np.ndarray[Any, Any]


@dataclasses.dataclass(frozen=True)
class Subject:
    """A callable `(prediction, target) -> array`, and what is known of it beforehand.

    Args:
        call: the loss, with the prediction first.
        framework: whose arrays it takes.
        name: what reports call it.
        owner: the object whose attributes a call must not change; None for a function.
        ignore_index: the label that it leaves out, if it has one.
        like: the loss of the catalogue that it is meant to be, or is. What this one holds constant in the gradient may
            be constant here.
        ours: whether it is itself of the catalogue; then all that its class declares is no fault.
        widest: the widest dtype that it computes in; some losses make float32 tensors of their own and refuse others.
        computes: the narrowest dtype that it casts to inside when it is given the widest: its digits.
        target_first: whether the loss as it was given takes the target first; `call` does not.
        positional: whether the loss as it was given takes operands by their place; `call` takes them by name.
    """

    call: Callable[..., Any]
    framework: Framework
    name: str
    owner: Any = None
    ignore_index: int | None = None
    like: Loss | None = None
    ours: bool = False
    widest: Dtype = "float64"
    target_first: bool = False
    positional: bool = False
    computes: Dtype = "float64"

    def run(self, batch: Batch, dtype: Dtype | None = None, **how: Any) -> Outcome:
        """Value and gradient of a call. `how`: `compiled`, and for torch `scale`."""
        return RUN[self.framework](self.call, dtype or self.widest, **how)(batch)

    def number(self, batch: Batch, dtype: Dtype | None = None) -> Array:
        """What a call gives, without its gradient."""
        prediction, target, keywords = tensors(self.framework, batch, dtype or self.widest)
        return to_numpy(self.call(prediction, target, **keywords))

    def value(self, batch: Batch, dtype: Dtype | None = None) -> float:
        """The reduced loss as a number; unreduced values are summed."""
        return float(np.sum(self.number(batch, dtype), dtype=float))

    def fresh(self) -> Subject:
        """The same loss as it was given, so that what one call leaves behind is not another's fault."""
        if self.owner is None:
            return self
        try:
            owner = _like(self.owner, copy.deepcopy(vars(self.owner)))
        except Exception:  # whatever a foreign object raises; then its calls share it
            return self
        call = self.call
        if isinstance(call, functools.partial):
            bound: functools.partial[Any] = call
            call = functools.partial(bound.func, owner)
        else:
            call = owner
        return dataclasses.replace(self, call=call, owner=owner)

    def reduced(self, reduction: str) -> Subject | None:
        """The same loss with another reduction; None where it has no option of that name."""
        call = _reduced(self.call, reduction)
        return None if call is None else dataclasses.replace(self, call=call)

    @property
    def reach(self) -> float:
        """The largest number that it is meant for."""
        return self.like.facts.reach if self.ours and self.like is not None else math.inf

    # --- what the declaration of a known loss excuses ----------------------------------------------------------------

    @property
    def differentiable(self) -> bool:
        return not self.ours or self.like is None or self.like.facts.differentiable

    @property
    def forgives(self) -> bool:
        """Whether some errors cost less than smaller ones, by the formula of the paper."""
        return self.like is not None and any(part.facts.unseen is not None for part in _parts(self.like))

    @property
    def may_keep(self) -> float:
        """How many times the prediction it may keep for the backward pass."""
        return self.like.facts.keeps if self.ours and self.like is not None else 8.0

    @property
    def holds_constants(self) -> bool:
        """Whether a part of the formula is constant in the gradient, which is then not the slope of the value."""
        return self.like is not None and any(part.facts.constant is not None for part in _parts(self.like))


def _like(owner: Any, attributes: dict[str, Any]) -> Any:
    """Another of the same class with these attributes. Classes that copy themselves may drop some: Keras its dtype."""
    other = object.__new__(type(owner))
    other.__dict__.update(attributes)
    return other


def _reduced(loss: Callable[..., Any], reduction: str) -> Any:
    if isinstance(loss, functools.partial):
        bound: functools.partial[Any] = loss
        if "reduction" in bound.keywords:
            return functools.partial(bound.func, *bound.args, **bound.keywords | {"reduction": reduction})
        inner = _reduced(bound.args[0], reduction) if bound.args else None  # a loss that takes the target first
        return None if inner is None else functools.partial(bound.func, inner, *bound.args[1:], **bound.keywords)
    if not isinstance(getattr(loss, "reduction", None), str):
        return None
    attributes: dict[str, Any] = vars(loss)
    return _like(loss, attributes | {"reduction": reduction})


def _parts(loss: Loss) -> list[Loss]:
    from lossary.core.compound import SumLoss

    return [part for _, part in loss.terms] if isinstance(loss, SumLoss) else [loss]


@dataclasses.dataclass(frozen=True)
class Trial:
    """What a claim is tried on: a subject, the arrays of a call and, where they come from one, their scene."""

    subject: Subject
    batch: Batch
    regime: str = "ordinary"
    scene: Scene | None = None
    convention: Convention | None = None
    outcomes: dict[Dtype, Outcome] = dataclasses.field(default_factory=dict[Dtype, Outcome], repr=False, compare=False)

    @classmethod
    def of(cls, subject: Subject, convention: Convention, scene: Scene, regime: str = "ordinary") -> Trial:
        return cls(subject, convention.render(scene), regime, scene, convention)

    def __getitem__(self, samples: Any) -> Trial:
        """Some of the samples; they belong to no scene."""
        return Trial(self.subject, self.batch[samples], self.regime)

    def with_scene(self, scene: Scene) -> Trial:
        assert self.convention is not None
        return Trial.of(self.subject, self.convention, scene, self.regime)

    @property
    def of_places(self) -> bool:
        """Whether it comes from scenes with labels at places."""
        return self.convention is not None and self.convention.of_places

    def value(self) -> float:
        return self.subject.value(self.batch)

    def value_of(self, scene: Scene) -> float:
        """The value of another scene of the same convention."""
        return self.with_scene(scene).value()

    def run(self, dtype: Dtype = "float64") -> Outcome:
        """Value and gradient; claims that look at the same call share it."""
        if dtype not in self.outcomes:
            self.outcomes[dtype] = self.subject.run(self.batch, dtype)
        return self.outcomes[dtype]
