"""Cross entropy of a linear classifier, token by token, without the logits of all tokens at once.

Tokens are taken in chunks. The loss of a token is a function of its own logits, so that a chunk needs nothing of the
others: the one thing that all share is the classifier. `token_losses` says the formula once, in the array API, and
where its gradient is taken the logits of a chunk are computed again. Eager and compiled torch has a gradient by hand
(`torch_vocabulary`), which needs each logit once.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false, reportUntypedFunctionDecorator=false
# (neither TensorFlow nor jax.lax is typed; every array here is Any)
from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from lossary.array.namespace import Array, is_jax, is_tensorflow, is_torch, namespace
from lossary.array.primitives import focal, log_softmax, lookup, pick, sizes, stop_gradient, total

CHUNK = 2**23
"""Logits of a chunk, unless the caller says how many tokens it has. Fewer make the products of matrices slower, more
gain no time: measured from 8,000 to 128,000 classes."""
FEWEST_TOKENS = 64
"""Below that, adding to the weight's gradient takes longer than computing it."""


class Formula(NamedTuple):
    """The numbers of the loss; 0 turns a term off."""

    smoothing: float  # share of the target that is spread over the classes
    gamma: float  # of the focal loss
    z_loss: float  # factor of (log Σ exp z)²
    softcap: float  # logits are softcap·tanh(z / softcap)
    teaching: float  # share of the divergence from the teacher
    temperature: float  # of the divergence


class Tokens(NamedTuple):
    """What each token has: one row in every array."""

    features: Array
    labels: Array
    teacher: Array | None  # its logits, or its features


class Classifier(NamedTuple):
    """What all tokens share."""

    weight: Array  # (V, D)
    bias: Array | None
    class_weight: Array | None
    teacher_weight: Array | None  # None where the teacher's logits are given
    teacher_bias: Array | None


def chunk_size(chunk: int, classifier: Classifier) -> int:
    """How many tokens a chunk has; 0 asks for what was measured to be good."""
    return chunk or max(FEWEST_TOKENS, CHUNK // max(_classes(classifier), 1))


# --- the formula -----------------------------------------------------------------------------------------------------


def formula(options: Formula, tokens: Tokens, classifier: Classifier, dtype: Any) -> Array:
    """The loss of each token, from all its logits."""
    xp = namespace(tokens.features)
    z = logits(tokens.features, classifier.weight, classifier.bias, dtype)
    if options.softcap:
        z = options.softcap * xp.tanh(z / options.softcap)
    log_p = log_softmax(z, 1)
    values = focal(xp, pick(log_p, tokens.labels, 1), options.gamma)
    if classifier.class_weight is not None:
        values = values * lookup(classifier.class_weight, tokens.labels)
    if options.smoothing:
        # a class of logit -inf is impossible and takes no share
        spread = xp.where(xp.isinf(log_p), 0.0, log_p)
        if classifier.class_weight is not None:
            spread = spread * classifier.class_weight
        share = options.smoothing / _classes(classifier)
        values = (1.0 - options.smoothing) * values - share * xp.sum(spread, axis=1)
    if options.teaching:
        soft = options.temperature**2 * _divergence(options, z, teacher_logits(tokens, classifier, dtype))
        values = (1.0 - options.teaching) * values + options.teaching * soft
    if options.z_loss:
        values = values + options.z_loss * (pick(z, tokens.labels, 1) - pick(log_p, tokens.labels, 1)) ** 2
    return values


def logits(features: Array, weight: Array, bias: Array | None, dtype: Any) -> Array:
    xp = namespace(features)
    z = xp.matmul(_cast(features, dtype), xp.permute_dims(_cast(weight, dtype), (1, 0)))
    return z if bias is None else z + _cast(bias, dtype)


def teacher_logits(tokens: Tokens, classifier: Classifier, dtype: Any) -> Array:
    """The teacher is a constant."""
    if classifier.teacher_weight is None:
        return stop_gradient(_cast(tokens.teacher, dtype))
    return stop_gradient(logits(tokens.teacher, classifier.teacher_weight, classifier.teacher_bias, dtype))


def _divergence(options: Formula, z: Array, teacher: Array) -> Array:
    """Σ t·(ln t - ln q), both softened by the temperature."""
    xp = namespace(z)
    log_t = log_softmax(teacher / options.temperature, 1)
    possible = log_t > float("-inf")
    difference = xp.where(possible, log_t - log_softmax(z / options.temperature, 1), 0.0)
    return xp.sum(xp.exp(log_t) * difference, axis=1)


def _classes(classifier: Classifier) -> int:
    count = sizes(classifier.weight)[0]
    assert count is not None
    return count


def _cast(x: Array, dtype: Any) -> Array:
    return x if x.dtype == dtype else namespace(x).astype(x, dtype)


# --- chunk by chunk --------------------------------------------------------------------------------------------------


def token_losses(options: Formula, tokens: Tokens, classifier: Classifier, chunk: int, dtype: Any) -> Array:
    """The loss of each token."""
    if is_torch(tokens.features):
        from lossary.array import torch_vocabulary

        return torch_vocabulary.token_losses(options, tokens, classifier, chunk)
    return in_chunks(lambda t, c: formula(options, t, c, dtype), tokens, classifier, chunk)


def weighted_total(
    options: Formula, tokens: Tokens, classifier: Classifier, chunk: int, dtype: Any, weight: Array
) -> Array:
    """Σ weight·loss over the tokens. Torch computes value and gradient of a chunk from one computation of its logits,
    because the gradient by the loss of each token is known but for one factor."""
    if is_torch(tokens.features):
        from lossary.array import torch_vocabulary

        return torch_vocabulary.weighted_total(options, tokens, classifier, chunk, weight)
    return total(weight * token_losses(options, tokens, classifier, chunk, dtype))


def in_chunks(f: Callable[[Tokens, Classifier], Array], tokens: Tokens, classifier: Classifier, chunk: int) -> Array:
    """`f` of all tokens, computed for `chunk` of them at a time; its gradient computes each chunk again."""
    count, chunk = sizes(tokens.features)[0], chunk_size(chunk, classifier)
    if count is not None and count <= chunk:
        return f(tokens, classifier)
    if is_jax(tokens.features):
        return _scan(f, tokens, classifier, chunk)
    if is_tensorflow(tokens.features):
        return _map(f, tokens, classifier, chunk)
    assert count is not None
    parts = [f(_rows(tokens, slice(i, i + chunk)), classifier) for i in range(0, count, chunk)]
    return namespace(tokens.features).concat(parts, axis=0)


def _rows(tokens: Tokens, rows: slice) -> Tokens:
    return Tokens(*(None if x is None else x[rows, ...] for x in tokens))


def _scan(f: Callable[[Tokens, Classifier], Array], tokens: Tokens, classifier: Classifier, chunk: int) -> Array:
    """JAX: a scan whose body is computed again in the backward pass."""
    import jax
    import jax.numpy as jnp

    count = tokens.features.shape[0]

    def split(x: Array) -> Array:
        x = jnp.pad(x, [(0, -count % chunk), *[(0, 0)] * (x.ndim - 1)])
        return x.reshape(-1, chunk, *x.shape[1:])

    body = jax.checkpoint(f)
    _, values = jax.lax.scan(lambda _, rows: (None, body(rows, classifier)), None, jax.tree.map(split, tokens))
    return values.reshape(-1)[:count]


def _map(f: Callable[[Tokens, Classifier], Array], tokens: Tokens, classifier: Classifier, chunk: int) -> Array:
    """TensorFlow: a loop whose body is computed again in the backward pass. The number of tokens may be unknown."""
    import tensorflow as tf

    count: Any = tf.shape(tokens.features)[0]
    held = [x is not None for x in (*tokens, *classifier)]

    @tf.recompute_grad
    def body(*given: Array) -> Array:
        rest = iter(given)
        full = [next(rest) if there else None for there in held]
        return f(Tokens(*full[:3]), Classifier(*full[3:]))

    def split(x: Array) -> Array:
        x = tf.pad(x, [[0, -count % chunk], *[[0, 0]] * (x.shape.rank - 1)])
        return tf.reshape(x, [-1, chunk, *x.shape[1:]])

    shared = [x for x in classifier if x is not None]
    rows = tuple(split(x) for x in tokens if x is not None)
    kind = tf.float64 if tokens.features.dtype == tf.float64 else tf.float32
    values = tf.map_fn(lambda row: body(*row, *shared), rows, fn_output_signature=tf.TensorSpec((chunk,), kind))
    return tf.reshape(values, [-1])[:count]
