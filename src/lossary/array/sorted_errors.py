"""The Lovász extension of the Jaccard loss: a sum of sorted errors, each times what it adds to the loss."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
from __future__ import annotations

from collections.abc import Callable

from lossary.array.namespace import Array, Namespace, compiling, is_torch, namespace
from lossary.array.primitives import (
    along,
    descending,
    divide,
    flatten_from,
    learns,
    numbers,
    running_sum,
    sizes,
    stop_gradient,
)

Errors = Callable[[Namespace, Array, Array], Array]
"""`errors(xp, x, true)`: how wrong each place is, at least 0, from its score and whether it is foreground. The slope by
the score is -1 in the foreground and 1 elsewhere, and 0 where the error is 0."""


def jaccard_extension(
    errors: Errors, x: Array, labels: Array, weight: Array | None, joined: bool, unread: Array | None = None
) -> Array:
    """The Lovász extension of the Jaccard loss of each image and class, (N, C), or (C,) with the images `joined`.

    Args:
        errors: the error of each place.
        x: scores (N, C, places).
        labels: class indices (N, places), or bool (N, C, places): the foreground of each class.
        weight: of the places, with one axis per axis of `labels` or none for the classes.
        unread: True for results that nobody reads; they may be skipped and are 0 then.
    """
    if is_torch(x) and not compiling(x) and not learns(weight):
        from lossary.array.torch_native import JaccardExtension

        return JaccardExtension.apply(errors, x, labels, weight, joined, unread)[0]  # pyright: ignore
    xp, classes = namespace(x), sizes(x)[1]
    assert classes is not None
    of_place = len(sizes(labels)) == 2
    if of_place:
        labels = xp.expand_dims(labels, axis=1) == along(xp, numbers(classes, labels), 3, 1)
    error, true = errors(xp, x, labels), xp.astype(labels, x.dtype)
    if weight is not None:
        weight = (xp.expand_dims(weight, axis=1) if len(sizes(weight)) == 2 else weight) * xp.ones_like(x)
    if joined:
        error, true, weight = (
            None if a is None else flatten_from(xp.permute_dims(a, (1, 0, 2)), 1) for a in (error, true, weight)
        )
    _, order = descending(stop_gradient(error))
    error, true, weight = (None if a is None else xp.take_along_axis(a, order, axis=-1) for a in (error, true, weight))
    return xp.sum(error * jaccard_steps(xp, true, weight), axis=-1)


def jaccard_steps(xp: Namespace, true: Array, weight: Array | None) -> Array:
    """What each place adds to the Jaccard loss Δ = 1 - I/U when it is made wrong after those before it.

    I = G - Σ w·true and U = G + Σ w·(1 - true) over the places so far, and G = Σ w·true over all. Written as
    differences of Δ the steps lose their digits where there are many places; in closed form they are w/U for a
    foreground place, and w/U · I/(U - w) for another. With no foreground at all, the first takes Δ from 0 to 1.
    """
    hit, miss, w = true, 1.0 - true, 1.0
    if weight is not None:
        hit, miss, w = hit * weight, miss * weight, weight
    foreground = xp.sum(hit, axis=-1, keepdims=True)
    intersection = foreground - running_sum(hit)
    union = foreground + running_sum(miss)
    return divide(xp, w, union) * xp.where(true > 0, 1.0, divide(xp, intersection, union - w, fill=1.0))
