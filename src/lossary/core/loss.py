"""A loss is a frozen dataclass: its fields are its hyperparameters, calling it evaluates it.

The way of a call is `prepare` (check, `encode` into the family's quantity) → `evaluate` (the formula, unreduced) →
`summarize` (sums that add up over shards) → `from_sums` (a number). A family defines `encode` and `evaluate` once; a
loss is a formula on its family's quantity.
"""

from __future__ import annotations

import abc
import dataclasses
import functools
import math
import re
import sys
import typing
from collections.abc import Callable, Hashable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, TypeVar, dataclass_transform

from lossary.array.namespace import Array
from lossary.core import contract, options
from lossary.core.options import Domain, option
from lossary.core.reduction import Empty, Reduction, Statistics, Terms, are_of, finalize_mean, mean_statistics, sums_of

if TYPE_CHECKING:
    from lossary.core.compound import SumLoss

Taxonomy = Literal["distribution", "region", "boundary", "compound", "regression", "margin", "embedding", "sequence"]
"""The four classes of segmentation losses of Ma et al. 2021 (Loss odyssey), and a word for each field beyond them."""

L = TypeVar("L", bound="type[Loss]")


@dataclasses.dataclass(frozen=True)
class Facts:
    """What a machine may want to know of a loss class; said once, in its decorator."""

    source: str  # the paper, as a reader would look it up
    arxiv: str | None  # its number there
    aliases: tuple[str, ...]  # other names that `find` understands
    surveys: tuple[str, ...]  # which of the project's five survey documents ask for it; no user is shown the letters
    taxonomy: Taxonomy
    span: tuple[float, float]  # least and greatest value of one element
    reach: float  # the largest magnitude of the family's quantity at which float32 value and slope stay finite
    differentiable: bool  # False: the gradient is 0 wherever it exists
    constant: str | None = None  # the part of the formula that the gradient holds constant
    held: tuple[str, ...] = ()  # operands by which the gradient is not the slope of the value, or is none at all
    unseen: str | None = None  # errors that cost less than smaller ones do, by the paper's formula
    keeps: float = 8.0  # times the bytes of the prediction that torch keeps for the backward pass, at most


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(option, dataclasses.field))
def family(cls: L) -> L:
    """Marks a base class: a frozen, keyword-only dataclass that is not in the catalogue."""
    # repr, eq and hash are those of `Loss` and the fields; a family's fields come first in its losses' signature
    made = dataclasses.dataclass(frozen=True, kw_only=True, repr=False)(cls)  # pyright: ignore
    made.__init__ = _explained(made.__init__)  # pyright: ignore
    return made


def _explained(init: Callable[..., None]) -> Callable[..., None]:
    """A constructor that says which option it lacks or does not know, and what was meant. What it takes is only looked
    up once something was wrong."""

    @functools.wraps(init)
    def __init__(self: Loss, *positional: Any, **settings: Any) -> None:  # noqa: N807
        try:
            init(self, *positional, **settings)
        except TypeError:
            options.check_names(type(self), positional, tuple(settings))
            raise

    return __init__


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(option, dataclasses.field))
def loss(
    source: str,
    *,
    arxiv: str | None = None,
    aliases: tuple[str, ...] = (),
    surveys: tuple[str, ...] = (),
    taxonomy: Taxonomy | None = None,
    span: tuple[float, float] = (0.0, math.inf),
    reach: float = 1e4,
    differentiable: bool = True,
    constant: str | None = None,
    held: tuple[str, ...] = (),
    unseen: str | None = None,
    keeps: float = 8.0,
) -> Callable[[L], L]:
    """Makes a class a loss: a frozen dataclass with an entry in the catalogue."""

    def decorate(cls: L) -> L:
        from lossary.core.catalogue import register

        made = family(cls)
        made.facts = Facts(
            source,
            arxiv,
            aliases,
            surveys,
            taxonomy or made.family_taxonomy,
            span,
            reach,
            differentiable,
            constant,
            held,
            unseen,
            keeps,
        )
        return register(made)

    return decorate


def snake(name: str) -> str:
    """The name of a class as it is typed in a command: `FocalLoss` is `focal`, `CIoULoss` is `ciou`.

    >>> [snake(n) for n in ("FocalLoss", "CIoULoss", "KLDivLoss", "CrossEntropyLoss", "L1Loss", "SmoothL1Loss")]
    ['focal', 'ciou', 'kl_div', 'cross_entropy', 'l1', 'smooth_l1']
    >>> [snake(n) for n in ("IoULoss", "CDIoULoss", "FocalEIoULoss", "AlphaIoULoss")]
    ['iou', 'cdiou', 'focal_eiou', 'alpha_iou']
    """
    words = re.sub(r"IoU", "Iou", name.removesuffix("Loss"))
    # capitals before IoU belong to the same word
    words = re.sub(r"([A-Z])([A-Z]*)Iou", lambda m: f"{m[1]}{m[2].lower()}iou", words)
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", words).lower()


@family
class Loss(abc.ABC):
    """The base of every loss: options, the way of a call, arithmetic and serialisation.

    Args:
        reduction: `"mean"` divides by the number of counted elements, `"weighted_mean"` by the sum of their weights;
            `"sum"`, and `"none"` for the unreduced loss.
        empty: what a mean over nothing gives: `"zero"` (with a zero gradient), `"nan"` or `"raise"`.
    """

    facts: ClassVar[Facts]
    family_name: ClassVar[str] = ""
    """What the losses of this family are functions of, in one word: `lossary list --family` takes it."""
    family_taxonomy: ClassVar[Taxonomy] = "distribution"
    reads_target: ClassVar[bool] = True
    """Whether there is a target at all: a loss of the prediction alone takes any, and reads none."""
    operands: ClassVar[tuple[str, ...]] = ()
    """Names of what the call takes beyond prediction and target."""
    optional: ClassVar[tuple[str, ...]] = ()
    """Those of the operands that the call may leave out."""
    shared: ClassVar[tuple[str, ...]] = ()
    """Those that belong to no sample: the weights of a classifier, learned scales, the step of the training."""

    takes_sharded: ClassVar[bool] = False
    """Whether the arguments may be DTensors of torch."""

    reduction: Reduction = option(default="mean")
    empty: Empty = option(default="zero")

    def __post_init__(self) -> None:
        for name, field, annotation in self.options():
            value = options.clean(name, getattr(self, name), annotation, field.metadata.get("domain", Domain()))
            object.__setattr__(self, name, value)  # the one moment at which a frozen value may still be cleaned
        self.check_options()

    def check_options(self) -> None:  # noqa: B027 (a loss without such rules has nothing to define)
        """What must hold between options; raises ValueError. Losses with such rules extend it."""

    @classmethod
    def options(cls) -> list[tuple[str, dataclasses.Field[Any], Any]]:
        """Name, field and annotation of each option, in the order of the signature."""
        hints = _hints(cls)
        fields: list[dataclasses.Field[Any]] = [f for f in dataclasses.fields(cls) if f.init]
        return [(f.name, f, hints[f.name]) for f in sorted(fields, key=lambda f: f.kw_only is True)]

    @classmethod
    def tasks(cls) -> tuple[str, ...]:
        """The tasks that the loss can be made for; empty where it has no such option.

        >>> import lossary
        >>> lossary.FocalLoss.tasks(), lossary.CrossEntropyLoss.tasks(), lossary.L1Loss.tasks()
        (('binary', 'multilabel', 'multiclass'), ('multiclass',), ())
        """
        return options.choices(_hints(cls).get("task"))

    @classmethod
    def short_name(cls) -> str:
        return snake(cls.__name__)

    @property
    def reads(self) -> str:
        """What the loss reads of a shared batch; the parts of a sum tell each other, so that it is computed once."""
        return ""

    @property
    def decomposable(self) -> bool:
        """Whether statistics of shards add up to those of the whole batch."""
        return True

    @property
    def takes(self) -> tuple[str, ...]:
        """The operands that a call of this loss may have: those of its class, unless its options rule some out."""
        return self.operands

    def mean_over(self) -> Hashable:
        """What the mean is over. Parts of a sum that agree in it have one denominator, which one `normalizer` replaces;
        a family whose losses agree says what it depends on."""
        return self

    # --- the call -------------------------------------------------------------------------------------------------

    def __call__(
        self,
        prediction: Array,
        target: Array,
        *,
        mask: Array | None = None,
        sample_weight: Array | None = None,
        normalizer: Any = None,
        **operands: Array,
    ) -> Array:
        """The loss of `prediction` against `target`.

        Args:
            prediction: what the model says; a floating array of torch, JAX, TensorFlow or NumPy.
            target: what is true; shape as the family demands, nothing is broadcast.
            mask: bool, True where an element counts; the shape of the unreduced loss or its leading axes.
            sample_weight: weight of each element; the shape of the unreduced loss or its leading axes.
            normalizer: a number or 0-d array that replaces the denominator of the mean.
            operands: what this loss needs beyond that, by name (`operands` of the class lists them).

        Returns:
            A 0-d array, or the unreduced values with `reduction="none"`; float32 for half-precision input.
        """
        batch = self.prepare(prediction, target, mask=mask, sample_weight=sample_weight, operands=operands)
        return self.conclude(batch, normalizer)

    def statistics(
        self,
        prediction: Array,
        target: Array,
        *,
        mask: Array | None = None,
        sample_weight: Array | None = None,
        **operands: Array,
    ) -> Any:
        """The sums that `finalize` turns into the loss; `+` joins those of shards or micro-batches.

        >>> import numpy as np, lossary
        >>> loss = lossary.MSELoss()
        >>> x, y = np.array([1.0, 2.0, 4.0]), np.zeros(3)
        >>> parts = [loss.statistics(x[:1], y[:1]), loss.statistics(x[1:], y[1:])]
        >>> float(loss.finalize(sum(parts))) == float(loss(x, y)) == 7.0
        True
        """
        if self.reduction == "none":
            raise ValueError(f"{type(self).__name__}: statistics need a reduction; got reduction='none'")
        if not self.decomposable:
            raise ValueError(
                f"{self!r} has no statistics that add up (`decomposable` is False): what one element costs depends on "
                "the rest of the batch. Call the loss on the whole batch; lossary.torch.gather_over_processes joins "
                "the shards of processes."
            )
        batch = self.prepare(prediction, target, mask=mask, sample_weight=sample_weight, operands=operands)
        return sums_of(self, self.summarize(batch))

    def finalize(self, statistics: Any, *, normalizer: Any = None) -> Array:
        """The loss from its statistics, those of one batch or the sum of several.

        Raises:
            ValueError: statistics of another loss, or of another reduction.
        """
        if not isinstance(statistics, Statistics):
            raise TypeError(
                f"{type(self).__name__}: `finalize` takes what `statistics` of the same loss gives, or sums of it; got "
                f"{type(statistics).__name__}"
            )
        if not are_of(type(statistics), self):
            raise ValueError(
                f"these are statistics of {statistics.of!r}, and {self!r} would finalize them to another number; "
                "finalize them with the loss that they are of"
            )
        return self.from_sums(statistics, normalizer=normalizer)

    def conclude(self, batch: Any, normalizer: Any = None) -> Array:
        """The result for a prepared batch; sums of losses prepare once and conclude each part."""
        if self.reduction == "none":
            if normalizer is not None:
                raise ValueError(f"{type(self).__name__}: `normalizer` needs a reduction; got reduction='none'")
            return self.evaluate(batch).values
        return self.from_sums(self.summarize(batch), normalizer=normalizer)

    def preparation_key(self) -> Hashable:
        """Parts of a sum with one key share one prepared batch. A family that can share says what it depends on."""
        return self

    def prepare(
        self,
        prediction: Array,
        target: Array,
        *,
        mask: Array | None,
        sample_weight: Array | None,
        operands: Mapping[str, Array],
    ) -> Any:
        """The checked batch that `evaluate` understands."""
        name = type(self).__name__
        contract.operands(name, self.takes, operands, needed=tuple(o for o in self.takes if o not in self.optional))
        if not self.reads_target:
            target = None
        elif target is None:
            raise TypeError(f"{name}: the call needs a target; got None")
        xp, prediction, others = contract.arrays(
            name, prediction, target=target, mask=mask, sample_weight=sample_weight, **dict(operands)
        )
        contract.sharded(name, {"prediction": prediction, **others}, self.takes_sharded)
        dtype = contract.compute_dtype(name, xp, prediction)
        return self.encode(contract.Arguments(name, xp, dtype, prediction, others))

    def encode(self, given: contract.Arguments) -> Any:
        """The family's quantity, cast to the compute dtype and not yet touched by a formula."""
        raise NotImplementedError

    def check_batch(self, batch: Any) -> None:  # noqa: B027 (most losses ask nothing of it)
        """What the options ask of a prepared batch, which the parts of a sum may share; raises ValueError."""

    @abc.abstractmethod
    def evaluate(self, batch: Any) -> Terms:
        """The unreduced loss of a prepared batch."""

    def summarize(self, batch: Any) -> Any:
        """The sums of a prepared batch, a named tuple: what `statistics` gives."""
        return mean_statistics(self.evaluate(batch), self.reduction)

    def from_sums(self, sums: Any, *, normalizer: Any = None) -> Array:
        """The loss from its sums: what `finalize` gives, after it has looked whose they are."""
        return finalize_mean(sums, self.reduction, self.empty, normalizer, type(self).__name__)

    @property
    def name(self) -> str:
        """No attribute of a loss (`short_name()` is); here to refuse Keras, which asks every function that is given to
        `compile` for its name before it calls it with the target first. Such a call cannot be told from a right one."""
        if sys._getframe(1).f_globals.get("__name__", "").partition(".")[0] in ("keras", "tf_keras"):  # pyright: ignore
            raise TypeError(
                f"Keras calls a loss with the target first, and {self!r} takes the prediction first: pass "
                f"lossary.keras.KerasLoss({self!r})"
            )
        raise AttributeError(f"{type(self).__name__} has no attribute 'name'; its name is {self.short_name()!r}")

    # --- a value: printed, combined, stored -----------------------------------------------------------------------

    def __repr__(self) -> str:
        parts: list[str] = []
        for name, field, _ in self.options():
            value = getattr(self, name)
            if not field.kw_only:
                parts.append(repr(value))
            elif value != field.default:
                parts.append(f"{name}={value!r}")
        return f"{type(self).__name__}({', '.join(parts)})"

    def __add__(self, other: Loss) -> SumLoss:
        from lossary.core.compound import SumLoss

        return SumLoss.of(self) + other

    def __radd__(self, other: Literal[0]) -> Self:
        if other != 0:
            return NotImplemented
        return self  # sum([...]) starts from 0

    def __mul__(self, weight: float) -> SumLoss:
        from lossary.core.compound import SumLoss

        return SumLoss.of(self) * weight

    __rmul__ = __mul__

    def on(self, output: str) -> Loss:
        """This loss of one output of a model that has several; predictions and targets come in dicts.

        >>> import lossary
        >>> lossary.CIoULoss().on("boxes") + lossary.FocalLoss("multiclass").on("classes")
        CIoULoss().on('boxes') + FocalLoss('multiclass').on('classes')
        """
        from lossary.core.compound import OutputLoss

        return OutputLoss(self, output)

    def to_dict(self) -> dict[str, Any]:
        """The class name and the options, of plain types that JSON can hold; `from_dict` reads it back."""
        return {"loss": type(self).__name__, **{name: getattr(self, name) for name, _, _ in self.options()}}

    def replace(self, **changes: Any) -> Self:
        """The same loss with some options changed."""
        return dataclasses.replace(self, **changes)


_hints_of: dict[type, dict[str, Any]] = {}


def _hints(cls: type) -> dict[str, Any]:
    """Annotations with their names resolved; resolving takes longer than making a loss, so it is done once a class."""
    if cls not in _hints_of:
        _hints_of[cls] = typing.get_type_hints(cls)
    return _hints_of[cls]
