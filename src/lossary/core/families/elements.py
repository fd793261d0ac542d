"""What families share whose unreduced loss has one value per element: mask and sample weight in its shape."""

from __future__ import annotations

import abc
from typing import Any, ClassVar

from lossary.array.namespace import Array, Namespace, eager, is_array, on_cpu
from lossary.array.primitives import elementwise, sizes
from lossary.core import contract
from lossary.core.loss import Loss, family
from lossary.core.reduction import Terms


@family
class ElementLoss(Loss):
    """Losses whose formula is a function of one number per element."""

    has_slope: ClassVar[bool] = False
    """Whether `slope` is that of `values`: a loss with a formula of its own does not inherit the slope of another."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        owner = {name: [name in vars(c) for c in cls.__mro__].index(True) for name in ("values", "slope")}
        cls.has_slope = cls.slope is not ElementLoss.slope and owner["slope"] <= owner["values"]

    @abc.abstractmethod
    def values(self, xp: Namespace, quantity: Any, /) -> Array:
        """The formula, on the quantity of the family."""

    def slope(self, xp: Namespace, quantity: Any, /) -> Array | float:
        """The derivative of `values`; a number where it is constant. A loss may define it, so that eager torch
        computes both in one pass."""
        raise NotImplementedError

    def formula(self, xp: Namespace, quantity: Array, /) -> Array:
        """`values`, with its slope as derivative where the loss defines one."""
        return elementwise(self.of, self.values, self.slope if self.has_slope else None, xp, quantity)

    @staticmethod
    def of(xp: Namespace, quantity: Array, /, smooth: bool = True) -> Any:
        """What the formula reads of its quantity: here that itself."""
        return quantity


def both(xp: Namespace, a: Array | None, b: Array | None) -> Array | None:
    """Where both masks hold; None is a mask that holds everywhere."""
    if a is None or b is None:
        return b if a is None else a
    return xp.logical_and(a, b)


def times(a: Array | None, b: Array | None) -> Array | None:
    """The product of two weights; None is a weight of 1."""
    if a is None or b is None:
        return b if a is None else a
    return a * b


def weighted(
    xp: Namespace, values: Array, counted: Array | None, weight: Array | None, included: Array | None = None
) -> Terms:
    """The terms of unreduced values: times `weight`, and 0 where a place does not count.

    `included` is a weight that the values hold already; it counts in the denominator of "weighted_mean" only.
    """
    weight = where_counted(xp, counted, weight)
    if counted is not None:
        counted = xp.logical_and(
            counted, xp.ones_like(values) != 0
        )  # the full shape: a mask may have leading axes only
        values = xp.where(counted, values, 0.0)
    mass = times(weight, included)
    if mass is not None:
        mass = mass * xp.ones_like(values)
        mass = mass if counted is None else xp.where(counted, mass, 0.0)
    return Terms(values if weight is None else values * weight, counted, mass)


def where_counted(xp: Namespace, counted: Array | None, weight: Array | None) -> Array | None:
    """The weight with 0 where nothing counts that it weighs, so that a NaN there meets nothing.

    Along an axis of length 1 one weight is that of all places.
    """
    if counted is None or weight is None:
        return weight
    shared = tuple(axis for axis, n in enumerate(sizes(weight)) if n == 1)
    return xp.where(xp.any(counted, axis=shared, keepdims=True) if shared else counted, weight, 0.0)


def not_ignored(xp: Namespace, labels: Array, ignore_index: int | None) -> Array | None:
    """Where a label is not the ignored one; None where none can be. A number that the dtype of the labels cannot hold
    equals none of them: beside an array it would wrap around."""
    if ignore_index is None or labels.dtype == xp.bool:
        return None
    if contract.is_integer(labels):
        low, high = contract.limits(labels)
        if not low <= ignore_index <= high:
            return None
        if not -(2**31) <= ignore_index < 2**31:
            return labels != xp.asarray(ignore_index, dtype=labels.dtype)  # JAX reads a bare number as int32
    return labels != ignore_index


def keep(xp: Namespace, counted: Array | None, x: Array, axis: int | None = None, fill: float = 0.0) -> Array:
    """`x` with `fill` where a place does not count, so that a NaN there meets neither value nor gradient.

    `axis` is an axis of `x` that `counted` does not have.
    """
    if counted is None:
        return x
    return xp.where(counted if axis is None else xp.expand_dims(counted, axis=axis), x, fill)


def integer_labels(name: str, argument: str, labels: Array, shape: contract.Shape) -> Array:
    """The labels, if they are integers of the shape of the places."""
    if not contract.agree(sizes(labels), shape):
        raise ValueError(f"{name}: `{argument}` has shape {sizes(labels)}; expected class indices of shape {shape}")
    if not contract.is_integer(labels):
        raise TypeError(f"{name}: class indices must be integers; `{argument}` has dtype {labels.dtype}")
    return labels


def class_indices(
    xp: Namespace, name: str, argument: str, labels: Array, shape: contract.Shape, classes: Any, counted: Any
) -> tuple[Array, Array | None]:
    """Labels of the shape of the places as valid indices, and the places that count. The number of classes is a 0-d
    tensor where TensorFlow does not know it yet."""
    index = wide(xp, integer_labels(name, argument, labels, shape))
    high = xp.astype(classes - 1, index.dtype) if is_array(classes) else classes - 1
    counted = in_range(xp, name, argument, labels, 0, high, None, counted)
    return index_or_zero(xp, counted, index), counted


def wide(xp: Namespace, labels: Array) -> Array:
    """Integer labels in int32 or int64, by which every library counts and indexes. One that is too large for these
    becomes the largest number, which is the label of no class: it must not wrap around to one that is."""
    if labels.dtype in (xp.int32, xp.int64):
        return labels
    text = str(labels.dtype)
    if "uint32" not in text and "uint64" not in text:
        return xp.astype(labels, xp.int32)
    signed = xp.astype(labels, xp.int64 if "64" in text else xp.int32)
    return xp.where(signed < 0, xp.zeros_like(signed) + contract.limits(signed)[1], signed)


def in_range(
    xp: Namespace, name: str, argument: str, labels: Array, low: int, high: Any, ignored: int | None, counted: Any
) -> Array | None:
    """The places that count, by their labels. One out of range raises where that costs no wait; elsewhere its place
    does not count, because the alternative is to read foreign memory."""
    integers = contract.is_integer(labels)
    known = wide(xp, labels) if integers else labels
    if not readable(labels):
        return both(xp, counted, xp.logical_and(known >= low, known <= high))
    if integers:
        contract.labels(name, known, low, high, ignored, counted, labels)
    else:
        contract.within(name, argument, labels, low, high, counted)
    return counted


def readable(x: Array) -> bool:
    """Whether the values of `x` may be looked at: it costs no wait, or checks are on."""
    return eager(x) and (on_cpu(x) or contract.checking(x))


def index_or_zero(xp: Namespace, counted: Array | None, labels: Array) -> Array:
    """Labels that index something valid everywhere: 0 where a place does not count."""
    return labels if counted is None else xp.where(counted, labels, xp.zeros_like(labels))


def rank(x: Array) -> int:
    return len(sizes(x))
