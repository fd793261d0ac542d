"""From unreduced values to statistics that add up, and from statistics to a number.

Sums over elements add over shards and micro-batches where means do not: the mean of two means is wrong as soon as the
two counts differ. So a loss keeps numerator and denominator apart until `finalize`.
"""

from __future__ import annotations

import weakref
from typing import Any, ClassVar, Literal, NamedTuple

from lossary.array.namespace import Array, Namespace, eager, is_array, is_numpy, kind, namespace
from lossary.array.primitives import size, sizes, total
from lossary.core import contract

Reduction = Literal["mean", "weighted_mean", "sum", "none"]
Empty = Literal["zero", "nan", "raise"]


class Terms(NamedTuple):
    """The unreduced loss, weighted and 0 where a place does not count, and what the denominators need.

    `counted` is a bool array of the shape of `values` (or the share with which each place counts), or None where all
    count. `weight` is what "weighted_mean" divides by: the weight of each place, 0 where it does not count, or None
    where every weight is 1.
    """

    values: Array
    counted: Array | None
    weight: Array | None


# --- statistics ------------------------------------------------------------------------------------------------------


class Statistics:
    """Sums that know the loss they are of (`of`): `+` joins those of shards, and refuses those of another loss.

    The loss is an attribute of the type, not a field: each loss has a named tuple of its own. So JAX, torch and
    TensorFlow map over the fields as over those of any named tuple, the loss survives `jit`, `psum` and `tree_map`, and
    no framework has to be told of a new kind of tree.
    """

    __slots__ = ()
    __array_ufunc__ = None  # a NumPy number beside a tuple would become an array: this leaves the sum to `__radd__`
    of: ClassVar[Any]

    def __add__(self, other: Any) -> Any:
        _check_alike(self, other)
        return _joined(self, other)

    def __radd__(self, other: Any) -> Any:
        if type(other) is int and other == 0:
            return self  # sum([...]) starts from 0
        raise _not_statistics(self, other)

    def __reduce__(self) -> tuple[Any, ...]:
        fields = tuple(self)  # pyright: ignore (every statistics are a named tuple)
        return sums_of, (self.of, type(self).__bases__[1](*fields))


def sums_of(loss: Any, sums: Any) -> Any:
    """The sums, a named tuple, as statistics of `loss`."""
    # not the constructor, which Dynamo cannot call of a type that it has met as a constant
    return tuple.__new__(_type_of(loss, type(sums)), sums)  # pyright: ignore (of a type that is made)


def are_of(statistics: type, loss: Any) -> bool:
    """Whether statistics of that type are of the loss."""
    return statistics.of is loss or statistics.of == loss  # pyright: ignore


_types: weakref.WeakValueDictionary[tuple[Any, type], type] = weakref.WeakValueDictionary()
"""One type for equal losses, as long as anything is of it: trees of two types do not add up in JAX."""


def _type_of(loss: Any, base: type) -> Any:
    found = _types.get((loss, base))
    if found is None:
        own = {"__slots__": (), "__module__": base.__module__, "of": loss}
        found = _types[loss, base] = type(base.__name__, (Statistics, base), own)
    return found


# torch.compiler.assume_constant_result, without torch: Dynamo can neither make a type nor compare all losses
_type_of._dynamo_marked_constant = are_of._dynamo_marked_constant = True  # pyright: ignore


def _check_alike(one: Any, other: Any) -> None:
    if type(one) is type(other):
        return
    if not isinstance(other, Statistics):
        raise _not_statistics(one, other)
    if one.of != other.of or one._fields != other._fields:  # pyright: ignore
        raise ValueError(
            f"statistics of {one.of!r} and of {other.of!r} do not add up: they are sums of unlike terms. Finalize each "
            "with its own loss and add the numbers."
        )


def _not_statistics(one: Any, other: Any) -> TypeError:
    what = repr(other) if isinstance(other, (int, float)) else kind(other)
    return TypeError(
        f"statistics of {one.of!r} add up with statistics of the same loss alone; got {what}. Finalize them first, and "
        "add it to the number."
    )


def _joined(one: Any, other: Any) -> Any:
    """Field by field, in nested tuples too."""
    if isinstance(one, tuple):
        pairs: Any = zip(one, other, strict=True)  # pyright: ignore
        return tuple.__new__(type(one), [_joined(a, b) for a, b in pairs])  # pyright: ignore
    if not contract.agree(sizes(one), sizes(other)):
        raise ValueError(
            f"statistics of shapes {sizes(one)} and {sizes(other)} do not add up: the shards must have one number of "
            "classes"
        )
    return one + other


class Mean(NamedTuple):
    """Numerator and denominator of a mean."""

    total: Array
    count: Array


def mean_statistics(terms: Terms, reduction: Reduction) -> Mean:
    """Σ w·v over the counted places, and their number (or, for "weighted_mean", Σ w)."""
    xp = namespace(terms.values)
    numerator = total(terms.values)
    if reduction == "weighted_mean" and terms.weight is not None:
        return Mean(numerator, total(terms.weight))
    if terms.counted is None:
        return Mean(numerator, xp.zeros_like(numerator) + constant(xp, size(terms.values), numerator))
    return Mean(numerator, total(xp.astype(terms.counted, numerator.dtype)))


def constant(xp: Namespace, value: Any, like: Array) -> Any:
    """A number beside `like`: Python's own, or a cast 0-d tensor where TensorFlow found the size while tracing."""
    return float(value) if isinstance(value, int) else xp.astype(value, like.dtype)


def finalize_mean(
    statistics: Mean, reduction: Reduction, empty: Empty, normalizer: Any = None, name: str = "the loss"
) -> Array:
    """total / count, with `normalizer` in place of the count, and the policy `empty` where the denominator is 0."""
    numerator = statistics.total
    if normalizer is not None:
        normalizer = _checked_normalizer(name, normalizer, numerator)
    elif reduction == "sum":
        return numerator
    xp = namespace(numerator)
    denominator = statistics.count if normalizer is None else normalizer + xp.zeros_like(numerator)
    usable = denominator != 0
    if empty == "raise" and eager(usable) and not bool(usable):
        raise ValueError(
            f"{name}: nothing is left to average, the denominator is 0 (an empty batch, or everything ignored, masked "
            "or of weight 0). Pass empty='zero' to get 0 with a zero gradient, or empty='nan'."
        )
    # traced code cannot raise: there "raise" gives NaN, which is as loud as it can be
    fill = 0.0 if empty == "zero" else float("nan")
    return xp.where(usable, numerator / xp.where(usable, denominator, 1.0), fill)


def _checked_normalizer(name: str, normalizer: Any, like: Array) -> Any:
    """A number, at least 0, or a 0-d array, whose value is not looked at (but NumPy's may stand beside any other), in
    the library and dtype of the loss."""
    if is_numpy(normalizer) and sizes(normalizer) == ():
        normalizer = normalizer.item()
    if isinstance(normalizer, (int, float)):
        if not normalizer >= 0:
            raise ValueError(f"{name}: `normalizer` must be a number, at least 0; got {normalizer}")
    elif not is_array(normalizer):
        raise TypeError(f"{name}: `normalizer` must be a number or a 0-d array; got {kind(normalizer)}")
    elif sizes(normalizer) != ():
        raise ValueError(f"{name}: `normalizer` must be one number; got an array of shape {sizes(normalizer)}")
    else:
        xp, _, others = contract.arrays(name, like, normalizer=normalizer)
        normalizer = contract.cast(xp, others["normalizer"], like.dtype)
    return normalizer
