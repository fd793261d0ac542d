"""What a place sees of its neighbours: erosion, dilation and Gaussian windows, over chosen axes of any array."""

from __future__ import annotations

import math
from typing import Literal

from lossary.array.namespace import Array, namespace

Edge = Literal["zero", "repeat"]
"""What lies beyond the frame of an image: 0, or its outermost places again."""


def _part(x: Array, axis: int, start: int | None, stop: int | None) -> Array:
    return x[(*[slice(None)] * axis, slice(start, stop), ...)]


def shifts(x: Array, axis: int, radius: int, edge: Edge) -> list[Array]:
    """For each step from -radius to radius the neighbour that many places on, along `axis`."""
    xp = namespace(x)
    first, last = _part(x, axis, None, 1), _part(x, axis, -1, None)
    if edge == "zero":
        first, last = xp.zeros_like(first), xp.zeros_like(last)
    padded = xp.concat([*[first] * radius, x, *[last] * radius], axis=axis)
    return [_part(padded, axis, k, k - 2 * radius or None) for k in range(2 * radius + 1)]


def erode(x: Array, axes: tuple[int, ...]) -> Array:
    """The least of each place and its nearest neighbours along `axes`: a minimum over a cross."""
    xp, least = namespace(x), x
    for axis in axes:
        before, _, after = shifts(x, axis, 1, "repeat")
        least = xp.minimum(least, xp.minimum(before, after))
    return least


def dilate(x: Array, axes: tuple[int, ...]) -> Array:
    """The greatest of the places that touch each, corners included: a maximum over a box."""
    xp = namespace(x)
    for axis in axes:
        before, here, after = shifts(x, axis, 1, "repeat")
        x = xp.maximum(here, xp.maximum(before, after))
    return x


def cross_mean(x: Array, axes: tuple[int, ...]) -> Array:
    """The mean of each place and its nearest neighbours along `axes`, of which there are none beyond the frame."""
    total = x
    for axis in axes:
        before, _, after = shifts(x, axis, 1, "zero")
        total = total + before + after
    return total / (2 * len(axes) + 1)


def gaussian(window: int, sigma: float) -> tuple[float, ...]:
    """The weights of a window of an odd number of places; they sum to 1."""
    weights = [math.exp(-((k - window // 2) ** 2) / (2 * sigma**2)) for k in range(window)]
    return tuple(w / math.fsum(weights) for w in weights)


def window_moments(x: Array, axes: tuple[int, ...], weights: tuple[float, ...]) -> tuple[Array, Array]:
    """Mean and variance of `x` in the window of `weights` around each place, along all of `axes`.

    One axis after the other: the variance over two is the mean of that over the first, plus that of its means. Taken
    from differences to the middle, it is exactly 0 where a window is constant.
    """
    mean, variance = x, None
    for axis in axes:
        differences = [near - mean for near in shifts(mean, axis, len(weights) // 2, "repeat")]
        change = _weighted_sum(differences, weights)
        own = _weighted_sum([(d - change) ** 2 for d in differences], weights)
        if variance is not None:
            own = own + _weighted_sum(shifts(variance, axis, len(weights) // 2, "repeat"), weights)
        mean, variance = mean + change, own
    return mean, namespace(x).zeros_like(x) if variance is None else variance


def _weighted_sum(terms: list[Array], weights: tuple[float, ...]) -> Array:
    total = weights[0] * terms[0]
    for weight, term in zip(weights[1:], terms[1:], strict=True):
        total = total + weight * term
    return total
