"""Sums over all alignments of two sequences, in log space: the forward recursions of CTC and of the transducer.

Both give log p(target | scores), shape (N,), and are written once over `scan`, which XLA and TensorFlow run as one loop
of their own. Impossible states hold `IMPOSSIBLE`, a number: -inf would turn into NaN where a gradient meets it.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportMissingTypeStubs=false
# (neither TensorFlow nor jax.lax is typed; every array here is Any)
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lossary.array.namespace import Array, Namespace, eager, is_jax, is_tensorflow, is_torch, namespace
from lossary.array.primitives import length, log_softmax, numbers, pick, sizes

IMPOSSIBLE = -1e30
"""The log-probability of what cannot happen. No sum of real ones comes near it, and sums of it stay finite."""

Arrays = tuple[Array, ...]


def scan(step: Callable[[Arrays, Arrays], Arrays], carry: Arrays, inputs: Arrays) -> Arrays:
    """`carry = step(carry, x)` for each `x` along the first axis of `inputs`, one after the other; the last carry."""
    first = inputs[0]
    if is_jax(first):
        return _scan_jax(step, carry, inputs)
    if is_tensorflow(first):
        return _scan_tensorflow(step, carry, inputs)
    # torch: one `unbind`, whose backward writes once; that of x[t] would write all of x for each t
    split = is_torch(first)
    rows: list[Any] = [x.unbind(0) if split else x for x in inputs]
    for t in range(first.shape[0]):
        carry = step(carry, tuple(x[t] if split else x[t, ...] for x in rows))
    return carry


def _scan_jax(step: Callable[[Arrays, Arrays], Arrays], carry: Arrays, inputs: Arrays) -> Arrays:
    import jax
    import jax.numpy as jnp

    # inside shard_map the carry must differ from device to device from the start if the inputs do: this 0 makes it so
    of_device = sum(jnp.where(jnp.reshape(x, (-1,))[:1].sum() == 0, 0, 0) for x in inputs)
    start = tuple(c + jnp.astype(of_device, c.dtype) for c in carry)
    return jax.lax.scan(lambda c, x: (step(c, x), None), start, inputs)[0]


def _scan_tensorflow(step: Callable[[Arrays, Arrays], Arrays], carry: Arrays, inputs: Arrays) -> Arrays:
    import tensorflow as tf

    count = tf.shape(inputs[0])[0]
    rows: list[Any] = [tf.TensorArray(x.dtype, count, element_shape=x.shape[1:]).unstack(x) for x in inputs]

    def body(t: Any, *carry: Any) -> tuple[Any, ...]:
        return (t + 1, *step(carry, tuple(row.read(t) for row in rows)))

    def more(t: Any, *carry: Any) -> Any:
        return t < count

    shapes = (tf.TensorShape([]), *(tf.TensorShape([None] * c.shape.rank) for c in carry))
    found: Any = tf.while_loop(more, body, (tf.constant(0), *carry), shape_invariants=shapes)
    return tuple(found[1:])  # pyright: ignore[reportUnknownArgumentType]


def log_add(xp: Namespace, *terms: Array) -> Array:
    """log Σ exp(x) of finite numbers, whatever lies between them. (`logaddexp` of torch has no second derivative there:
    it computes 1 / (1 + exp(y - x)).)"""
    if is_torch(terms[0]):
        import torch

        return torch.logsumexp(torch.stack(terms), 0)
    if is_jax(terms[0]):
        import jax

        return jax.nn.logsumexp(xp.stack(terms), axis=0)
    if is_tensorflow(terms[0]):
        import tensorflow as tf

        return tf.reduce_logsumexp(tf.stack(terms), axis=0)
    total = terms[0]
    for term in terms[1:]:
        total = xp.logaddexp(total, term)
    return total


# --- CTC --------------------------------------------------------------------------------------------------------------


def ctc(scores: Array, target: Array, lengths: Array, target_lengths: Array, blank: int) -> Array:
    """log of the probability that CTC gives to each target (Graves et al. 2006, section 4).

    Args:
        scores: logits (N, T, C).
        target: class indices (N, S), all of them valid ones.
        lengths: how many frames of each row are read.
        target_lengths: how many labels of each row are read.
        blank: the class of the blank.

    Where no alignment exists the result is below `IMPOSSIBLE / 2`, and its gradient 0.
    """
    if is_torch(scores) and scores.device.type in ("cpu", "cuda") and 0 not in scores.shape and _native(scores):
        from lossary.array.torch_native import ctc

        return ctc(scores, target, lengths, target_lengths, blank)
    return ctc_forward(scores, target, lengths, target_lengths, blank)


def _native(scores: Array) -> bool:
    """Whether the operator of torch can be used: not inside the transforms of torch.func."""
    import torch

    if torch.compiler.is_compiling():
        return scores.shape[0] > 1  # of one sequence it may be `vmap` that is compiled, which cannot be asked here
    return eager(scores)


def ctc_forward(scores: Array, target: Array, lengths: Array, target_lengths: Array, blank: int) -> Array:
    """The portable form of `ctc`, whose derivatives of every order are right."""
    xp = namespace(scores)
    frames = length(scores, 1)
    log_p = _log_probabilities(xp, scores)
    of_blank, of_label = log_p[:, :, blank], _columns(log_p, target)
    # Two rows of states: `blanks` holds log p(prefix so far), the last frame a blank, for each of the S + 1 prefixes;
    # `labels` the same, the last frame the last label of the prefix. Before the first frame there is the empty prefix.
    labels = full((length(target, 0), length(target, 1)), IMPOSSIBLE, log_p)
    nothing = full((length(target, 0), 1), IMPOSSIBLE, log_p)
    blanks = xp.concat([xp.zeros_like(nothing), labels], axis=1)
    # a label may follow another without a blank between them if they differ
    differs = target != xp.concat([target[:, :1], target[:, :-1]], axis=1)

    def step(carry: Arrays, frame: Arrays) -> Arrays:
        blanks, labels = carry
        p_blank, p_label, read = frame
        before = xp.concat([nothing, labels], axis=1)
        skipped = xp.where(differs, before[:, :-1], IMPOSSIBLE)
        next_blanks = log_add(xp, blanks, before) + xp.expand_dims(p_blank, axis=1)
        next_labels = log_add(xp, labels, blanks[:, :-1], skipped) + p_label
        read = xp.expand_dims(read, axis=1)
        return xp.where(read, next_blanks, blanks), xp.where(read, next_labels, labels)

    time = numbers(frames, lengths)
    read = xp.expand_dims(time, axis=1) < xp.expand_dims(lengths, axis=0)
    inputs = (xp.permute_dims(of_blank, (1, 0)), xp.permute_dims(of_label, (1, 0, 2)), read)
    blanks, labels = scan(step, (blanks, labels), inputs)
    ends = log_add(xp, blanks, xp.concat([nothing, labels], axis=1))
    result = pick(ends, target_lengths, 1)
    # without a frame nothing was computed from the scores; their empty sum keeps the result in the graph
    return result + xp.sum(log_p, axis=(1, 2)) if sizes(scores)[1] == 0 else result


# --- the transducer ---------------------------------------------------------------------------------------------------


def transducer(scores: Array, target: Array, lengths: Array, target_lengths: Array, blank: int) -> Array:
    """log of the probability that an RNN transducer gives to each target (Graves 2012, section 2.4).

    Args:
        scores: logits (N, T, U + 1, C) of what comes next at frame t after u labels.
        target: class indices (N, U), all of them valid ones.
        lengths: how many frames of each row are read.
        target_lengths: how many labels of each row are read.
        blank: the class of the blank, which moves on by a frame.
    """
    xp = namespace(scores)
    frames, places = length(scores, 1), length(scores, 2)
    log_p = _log_probabilities(xp, scores)
    last = xp.concat([target, xp.zeros_like(lengths)[:, None]], axis=1)  # after the last label comes none
    index = xp.expand_dims(last, axis=1) + xp.zeros_like(numbers(frames, last))[None, :, None]
    # the last step is a blank: no label follows the last frame (and no way leads back from behind the last label)
    read = numbers(frames, lengths)[None, :, None] < lengths[:, None, None]
    blanks = _diagonals(xp, log_p[:, :, :, blank])
    labels = _diagonals(xp, xp.where(read, pick(log_p, index, 3), IMPOSSIBLE))
    # node (t, u) lies on the diagonal t + u: all of a diagonal follows from the one before it
    nothing = full((length(target, 0), 1), IMPOSSIBLE, log_p)
    start = xp.concat([xp.zeros_like(nothing), full((length(target, 0), length(target, 1)), IMPOSSIBLE, log_p)], axis=1)
    ends = lengths + target_lengths

    def step(carry: Arrays, diagonal: Arrays) -> Arrays:
        (nodes,) = carry
        p_blank, p_label, number = diagonal
        moved = xp.concat([nothing, (nodes + p_label)[:, :-1]], axis=1)
        return (xp.where(xp.expand_dims(number < ends, axis=1), log_add(xp, nodes + p_blank, moved), nodes),)

    (nodes,) = scan(step, (start,), (blanks, labels, numbers(frames + places - 1, lengths)))
    result = pick(nodes, target_lengths, 1)
    return result + xp.sum(log_p, axis=(1, 2, 3)) if sizes(scores)[1] == 0 else result


def _diagonals(xp: Namespace, x: Array) -> Array:
    """(N, T, U + 1) as (T + U, N, U + 1): entry (t, u) goes to (t + u, u), and the rest is impossible."""
    rows, frames, places = (length(x, axis) for axis in range(3))
    x = xp.concat([xp.permute_dims(x, (0, 2, 1)), full((rows, places, places), IMPOSSIBLE, x)], axis=2)
    # read with a row length that is one less, row u begins u places later
    flat = xp.reshape(x, (rows, places * (frames + places)))[:, : places * (frames + places - 1)]
    return xp.permute_dims(xp.reshape(flat, (rows, places, frames + places - 1)), (2, 0, 1))


# --- parts of both ----------------------------------------------------------------------------------------------------


def _log_probabilities(xp: Namespace, scores: Array) -> Array:
    log_p = log_softmax(scores, len(sizes(scores)) - 1)
    return xp.where(log_p < IMPOSSIBLE, IMPOSSIBLE, log_p)  # a class of score -inf


def _columns(values: Array, index: Array) -> Array:
    """The entries of `values` (N, T, C) at `index` (N, S) of every frame: (N, T, S)."""
    if is_tensorflow(values):
        import tensorflow as tf

        return tf.gather(values, index, axis=2, batch_dims=1)
    if is_torch(values):
        return values.gather(2, index.long().unsqueeze(1).expand(-1, values.shape[1], -1))
    xp = namespace(values)
    index = xp.broadcast_to(xp.expand_dims(index, axis=1), (index.shape[0], values.shape[1], index.shape[1]))
    return xp.take_along_axis(values, index, axis=2)


def full(shape: tuple[Any, ...], value: float, like: Array) -> Array:
    """An array of one number, of the dtype and on the device of `like`."""
    if is_tensorflow(like):
        import tensorflow as tf

        return tf.fill(shape, tf.constant(value, like.dtype))
    xp = namespace(like)
    if is_torch(like):
        return xp.full(shape, value, dtype=like.dtype, device=like.device)
    return xp.full(shape, value, dtype=like.dtype)
