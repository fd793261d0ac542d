"""Rows of vectors: lengths and directions, inner products and distances of all pairs, sums by class."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# (neither TensorFlow nor jax is typed here; every array is Any)
from __future__ import annotations

from lossary.array.namespace import Array, is_jax, is_numpy, is_tensorflow, is_torch, namespace
from lossary.array.primitives import magnitude, numbers, stop_gradient, tiny


def direction(x: Array) -> tuple[Array, Array]:
    """x / ‖x‖ and ‖x‖ along the last axis. A vector of length 0 has the direction 0, and both have the gradient 0
    there."""
    xp = namespace(x)
    # both are the same for any m in x = m·(x/m): with m the largest entry no square overflows or vanishes, and the
    # gradient needs none through m
    largest = stop_gradient(xp.max(magnitude(xp, x), axis=-1, keepdims=True))
    zero = largest <= tiny(xp, x)
    scaled = xp.where(zero, 0.0, x) / xp.where(zero, 1.0, largest)
    if is_jax(x):
        import jax

        scaled = jax.lax.optimization_barrier(scaled)  # of constants XLA would square x and m apart, which may give 0/0
    length = xp.sqrt(xp.where(zero, 1.0, xp.sum(scaled * scaled, axis=-1, keepdims=True)))
    return scaled / length, xp.squeeze(xp.where(zero, 0.0, largest * length), axis=-1)


def inner_products(a: Array, b: Array) -> Array:
    """a_i · b_j of all pairs of rows: (N, D) and (M, D) to (N, M), in the dtype of the rows wherever that is done."""
    if is_torch(a):
        import torch

        if a.device.type == "meta":
            return a @ b.T
        with torch.autocast(a.device.type, enabled=False):  # it would round the rows to half precision
            return a @ b.T
    if is_jax(a):
        import jax.numpy as jnp

        return jnp.matmul(a, b.T, precision="highest")  # accelerators round the rows by default
    if is_tensorflow(a):
        import tensorflow as tf

        return tf.matmul(a, b, transpose_b=True)
    xp = namespace(a)
    return xp.matmul(a, xp.permute_dims(b, (1, 0)))


def squared_distances(x: Array) -> Array:
    """‖x_i - x_j‖² of all pairs of rows, exactly 0 for equal ones; by float64 where library and device have it.

    ‖x_i‖² + ‖x_j‖² - 2 x_i·x_j loses half of the digits of a distance, so it is taken in twice as many. What is left
    where the rows are one is its rounding error, and reads 0: two rows that differ by less than 1e-7 of their length.
    """
    if is_jax(x):
        return _differences_squared(x)  # float64 is rare there
    xp, dtype = namespace(x), x.dtype
    if not (is_torch(x) and x.device.type == "mps"):
        x = xp.astype(x, xp.float64)
    square = xp.sum(x * x, axis=1)
    sums = xp.expand_dims(square, axis=1) + xp.expand_dims(square, axis=0)
    distance = sums - 2.0 * inner_products(x, x)
    noise = 64 * (2.0**-52 if x.dtype == xp.float64 else 2.0**-23)
    return xp.astype(xp.where(distance <= noise * sums, 0.0, distance), dtype)


def _differences_squared(x: Array) -> Array:
    """‖x_i - x_j‖² in JAX, by the differences of one row at a time, which the backward pass computes again: on a
    CPU XLA would hold those of all pairs."""
    import jax

    def from_row(row: Array) -> Array:
        return ((row - x) ** 2).sum(-1)

    return jax.lax.map(jax.checkpoint(from_row), x)


def group_sums(rows: Array, index: Array, groups: int) -> Array:
    """Σ of the rows (N, D) of each group: (groups, D). `index` holds the group of each row."""
    xp = namespace(rows)
    if is_torch(rows):
        return rows.new_zeros((groups, rows.shape[1])).index_add(0, index.long(), rows)
    if is_jax(rows):
        import jax

        return jax.ops.segment_sum(rows, index, num_segments=groups)
    if is_tensorflow(rows):
        import tensorflow as tf

        return tf.math.unsorted_segment_sum(rows, index, groups)
    if is_numpy(rows):
        import numpy as np

        sums = np.zeros((groups, rows.shape[1]), rows.dtype)
        np.add.at(sums, index, rows)
        return sums
    member = xp.expand_dims(numbers(groups, index), axis=1) == xp.expand_dims(index, axis=0)
    return xp.matmul(xp.astype(member, rows.dtype), rows)
