"""Shapes, entries at an index, and sums over places."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# (neither TensorFlow nor jax.lax is typed; every array here is Any)
from __future__ import annotations

from typing import Any

from lossary.array.namespace import Array, Namespace, compiling, is_jax, is_tensorflow, is_torch, namespace


def sizes(x: Array) -> tuple[int | None, ...]:
    """The shape as a tuple; an axis whose size is unknown while TensorFlow traces is None."""
    return tuple(x.shape.as_list()) if is_tensorflow(x) else tuple(x.shape)


def length(x: Array, axis: int) -> Any:
    """The number of entries along an axis: an int, or a 0-d tensor where TensorFlow does not know it yet."""
    known = sizes(x)[axis]
    if known is None:
        import tensorflow as tf

        return tf.shape(x)[axis]
    return known


def size(x: Array) -> Any:
    """The number of elements: an int, or a 0-d tensor where TensorFlow does not know it yet."""
    shape = sizes(x)
    if None in shape:
        import tensorflow as tf

        return tf.size(x)
    return product(shape)


def product(shape: tuple[int | None, ...]) -> int:
    count = 1
    for n in shape:  # a plain loop, because torch.compile follows it where it does not follow math.prod
        count *= n or 0
    return count


def pick(values: Array, index: Array, axis: int) -> Array:
    """The entry of `values` at `index` along `axis`, which disappears: the log-probability of the true class, say.

    `index` has the shape of `values` without `axis`, and holds valid indices.
    """
    xp = namespace(values)
    if is_torch(values):
        # gather takes any valid int64 index without the promotion work of the portable call
        return values.gather(axis, index.long().unsqueeze(axis)).squeeze(axis)
    if is_tensorflow(values):
        import tensorflow as tf

        rank = values.shape.rank
        axis %= rank
        if axis != rank - 1:
            values = tf.transpose(values, [a for a in range(rank) if a != axis] + [axis])
        return tf.gather(values, index, axis=-1, batch_dims=rank - 1)
    return xp.squeeze(xp.take_along_axis(values, xp.expand_dims(index, axis=axis), axis=axis), axis=axis)


def add_at(x: Array, index: Array, axis: int, amounts: Array) -> Array:
    """`x` with `amounts` added to its entries at `index` along `axis`; both have the shape of `x` without that axis."""
    xp = namespace(x)
    index, amounts = xp.expand_dims(index, axis=axis), xp.expand_dims(amounts, axis=axis)
    if is_torch(x):
        return x.scatter_add(axis, index.long(), amounts)
    count = sizes(x)[axis]
    assert count is not None
    return xp.where(along(xp, numbers(count, index), len(sizes(x)), axis) == index, x + amounts, x)


def running_sum(x: Array) -> Array:
    """The sum up to each place along the last axis."""
    if is_torch(x):
        return x.cumsum(-1)  # the portable call goes through a cache that torch.compile cannot follow
    return namespace(x).cumulative_sum(x, axis=len(sizes(x)) - 1)


def descending(x: Array) -> tuple[Array, Array]:
    """The numbers along the last axis from large to small, and where they stood; equal ones in any order."""
    if is_torch(x):
        return x.sort(dim=-1, descending=True)  # not the stable sort of the standard, which ONNX does not have
    xp = namespace(x)
    order = xp.argsort(x, axis=-1, descending=True)
    return xp.take_along_axis(x, order, axis=-1), order


def lookup(entries: Array, index: Array) -> Array:
    """The entry (a number, or a row) for each of the valid indices in `index`, whose shape the result begins with."""
    if is_torch(entries):
        return entries[index.long()]
    xp = namespace(entries)
    if is_tensorflow(entries):
        return xp.take(entries, index)
    return xp.reshape(xp.take(entries, xp.reshape(index, (-1,)), axis=0), (*index.shape, *entries.shape[1:]))


def along(xp: Namespace, vector: Array, ndim: int, axis: int) -> Array:
    """A vector laid along one axis of an array of `ndim` axes, the others of length 1."""
    return xp.reshape(vector, tuple(-1 if a == axis % ndim else 1 for a in range(ndim)))


def flatten_from(x: Array, axis: int) -> Array:
    """`x` with its axes from `axis` on joined into one (of length 1 where there are none)."""
    if is_tensorflow(x):
        import tensorflow as tf

        leading = [n if n is not None else tf.shape(x)[i] for i, n in enumerate(sizes(x)[:axis])]
        return tf.reshape(x, [*leading, -1])
    shape = sizes(x)
    return namespace(x).reshape(x, (*shape[:axis], product(shape[axis:])))


def reshape_like(x: Array, like: Array) -> Array:
    """`x` in the shape of `like`."""
    if is_tensorflow(x):
        import tensorflow as tf

        return tf.reshape(x, tf.shape(like))
    return namespace(x).reshape(x, tuple(like.shape))


def numbers(count: Any, like: Array) -> Array:
    """0, 1, … count - 1 in the integer dtype and on the device of `like`; `count` may be an `length`."""
    if is_torch(like):
        import torch

        return torch.arange(count, dtype=like.dtype, device=like.device)
    xp = namespace(like)
    return xp.astype(xp.arange(count), like.dtype)


def total(x: Array, axis: Any = None, keepdims: bool = False) -> Array:
    """The sum over `axis`, to the precision of one rounding per level of a tree.

    NumPy and TensorFlow add along an outer axis one after the other: 262,144 terms of .9997 in float32 come out 85 too
    large, and beyond 2**24 terms of 1 the sum stands still. These two therefore add in float64; torch and XLA add in
    trees.
    """
    xp = namespace(x)
    if is_torch(x) or is_jax(x):
        return xp.sum(x, axis=axis, keepdims=keepdims)
    return xp.astype(xp.sum(xp.astype(x, xp.float64), axis=axis, keepdims=keepdims), x.dtype)


def class_sums(values: Array, index: Array, classes: int, batch: bool) -> Array:
    """Σ of `values` over the places of each class: shape (N, classes), or (classes,) without a batch axis.

    `values` and `index` have one shape, (N, *) or (*).
    """
    xp = namespace(values)
    if is_torch(values) and not compiling(values):
        from lossary.array.torch_native import scatter_classes

        # scatter reads each place once; the comparison below reads it once per class
        shape = (index.shape[0] if batch else 1, product(tuple(index.shape[1 if batch else 0 :])))
        sums = scatter_classes(values.reshape(shape), index.long().reshape(shape), classes)
        return sums if batch else sums[0]
    # no one-hot tensor where a compiler (XLA, Inductor) fuses the comparison with the sum
    hit = xp.expand_dims(index, axis=-1) == numbers(classes, index)
    axes = tuple(range(1 if batch else 0, len(sizes(index))))
    return total(xp.where(hit, xp.expand_dims(values, axis=-1), 0.0), axis=axes)


def region_sums(p: Array, p_true: Array, index: Array, axis: int, weight: Array | None) -> tuple[Array, Array]:
    """Per image and class the mass Σ w·p and the hits Σ w·p·[index = class], each of shape (N, C) (or (C,)).

    `p` has its classes along `axis`; `p_true`, which is p of the class `index`, and `weight` are without that axis.
    """
    xp, images = namespace(p), axis != 0
    classes = sizes(p)[axis]
    assert classes is not None
    hits = class_sums(p_true if weight is None else p_true * weight, index, classes, images)
    mass = p if weight is None else p * xp.expand_dims(weight, axis=axis)
    places = tuple(a for a in range(1 if images else 0, len(sizes(p))) if a != axis)
    return total(mass, axis=places), hits
