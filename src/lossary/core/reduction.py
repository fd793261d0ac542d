"""From unreduced values to statistics that add up, and from statistics to a number.

Sums over elements add over shards and micro-batches where means do not: the mean of two means is wrong as soon as the
two counts differ. So a loss keeps numerator and denominator apart until `finalize`.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from lossary.array.namespace import Array, Namespace, eager, is_array, is_numpy, kind, namespace
from lossary.array.primitives import size, sizes, total

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


class Mean(NamedTuple):
    """Numerator and denominator of a mean. Adding two of them joins the places they were summed over."""

    total: Array
    count: Array

    def __add__(self, other: Mean) -> Mean:  # pyright: ignore[reportIncompatibleMethodOverride]
        return Mean(self.total + other.total, self.count + other.count)

    def __radd__(self, other: Literal[0]) -> Mean:
        return self  # sum([...]) starts from 0


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
        normalizer = _checked_normalizer(name, normalizer)
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


def _checked_normalizer(name: str, normalizer: Any) -> Any:
    """A number, at least 0, or a 0-d array, whose value is not looked at (but NumPy's may stand beside any other)."""
    if is_numpy(normalizer) and sizes(normalizer) == ():
        normalizer = normalizer.item()
    if isinstance(normalizer, (int, float)):
        if not normalizer >= 0:
            raise ValueError(f"{name}: `normalizer` must be a number, at least 0; got {normalizer}")
    elif not is_array(normalizer):
        raise TypeError(f"{name}: `normalizer` must be a number or a 0-d array; got {kind(normalizer)}")
    elif sizes(normalizer) != ():
        raise ValueError(f"{name}: `normalizer` must be one number; got an array of shape {sizes(normalizer)}")
    return normalizer
