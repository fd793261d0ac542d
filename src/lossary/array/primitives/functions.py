"""Functions of numbers, each with a right value and gradient at its singular points."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# (neither TensorFlow nor jax.lax is typed; every array here is Any)
from __future__ import annotations

from collections.abc import Callable

from lossary.array.namespace import Array, Namespace, is_jax, is_tensorflow, is_torch, kind, namespace


def apply_where(xp: Namespace, condition: Array, f: Callable[[Array], Array], x: Array, fill: float) -> Array:
    """`f(x)` where `condition` holds and `fill` elsewhere; `f` sees 1 there, so its gradient there is 0, never NaN."""
    return xp.where(condition, f(xp.where(condition, x, 1.0)), fill)


def stop_gradient(x: Array) -> Array:
    """`x` as a constant."""
    if is_torch(x):
        return x.detach()
    if is_jax(x):
        import jax

        return jax.lax.stop_gradient(x)
    if is_tensorflow(x):
        import tensorflow as tf

        return tf.stop_gradient(x)
    return x


def gradient_norm(f: Callable[[Array], Array], x: Array) -> Array:
    """The Euclidean norm of the gradient of f's sum at `x`, as a constant."""
    if is_torch(x):
        import torch

        with torch.enable_grad():
            leaf = x.detach().requires_grad_()
            return torch.autograd.grad(f(leaf).sum(), leaf)[0].norm()
    if is_jax(x):
        import jax
        import jax.numpy as jnp

        def summed(x: Array) -> Array:
            return jnp.sum(f(x))

        return jnp.linalg.norm(jnp.ravel(jax.grad(summed)(x)))  # pyright: ignore[reportUnknownArgumentType]
    if is_tensorflow(x):
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(x)
            value = f(x)
        return tf.norm(tape.gradient(value, x))
    raise TypeError(f"gradients need torch, JAX or TensorFlow; got an array of {kind(x)}")


def bounded(xp: Namespace, x: Array, low: float, high: float) -> Array:
    """`x`, or the bound that it lies a rounding beyond, with the slope 1 everywhere, so that it still teaches. What is
    further out stays there: its logarithm is NaN, and logits passed as probabilities do not train unnoticed."""
    beyond = xp.clip(x, min=low, max=high) - x
    return x + stop_gradient(xp.where(xp.abs(beyond) <= 1e-2, beyond, 0.0))  # bfloat16 rounds by up to .4 %


def tiny(xp: Namespace, x: Array) -> float:
    """The smallest normal number of the dtype of `x` (float32 or float64)."""
    return 2.2250738585072014e-308 if x.dtype == xp.float64 else 1.1754943508222875e-38


def log_softmax(x: Array, axis: int) -> Array:
    """log(exp(x) / Σ exp(x)) along `axis`. A logit of -inf is an impossible class and moves no other."""
    if is_torch(x):
        import torch

        return torch.log_softmax(x, axis)
    if is_jax(x):
        import jax

        return jax.nn.log_softmax(x, axis)
    if is_tensorflow(x):
        import tensorflow as tf

        return tf.nn.log_softmax(x, axis)
    xp = namespace(x)
    shifted = x - xp.max(x, axis=axis, keepdims=True)
    return shifted - xp.log(xp.sum(xp.exp(shifted), axis=axis, keepdims=True))


def log_sum_exp(x: Array, axis: int) -> Array:
    """log Σ exp(x) along `axis`, for finite x."""
    if is_torch(x):
        import torch

        return torch.logsumexp(x, axis)
    if is_jax(x):
        import jax

        return jax.nn.logsumexp(x, axis)
    if is_tensorflow(x):
        import tensorflow as tf

        return tf.reduce_logsumexp(x, axis)
    xp = namespace(x)
    top = xp.max(x, axis=axis, keepdims=True)
    return xp.squeeze(top + xp.log(xp.sum(xp.exp(x - top), axis=axis, keepdims=True)), axis=axis)


def softmax(x: Array, axis: int) -> Array:
    if is_torch(x):
        import torch

        return torch.softmax(x, axis)
    if is_jax(x):
        import jax

        return jax.nn.softmax(x, axis)
    if is_tensorflow(x):
        import tensorflow as tf

        # one NaN makes all of it NaN, as elsewhere; TensorFlow's own leaves the other classes 0
        p = tf.nn.softmax(x, axis)
        total = tf.reduce_sum(p, axis=axis, keepdims=True)
        return tf.where(tf.math.is_nan(total), total, p)
    return namespace(x).exp(log_softmax(x, axis))


def log_sigmoid(x: Array) -> Array:
    """log(1 / (1 + exp(-x))), exact in both tails."""
    if is_torch(x):
        import torch.nn.functional as F

        return F.logsigmoid(x)
    if is_jax(x):
        import jax

        return jax.nn.log_sigmoid(x)
    if is_tensorflow(x):
        import tensorflow as tf

        return tf.math.log_sigmoid(x)
    xp = namespace(x)
    return -xp.logaddexp(xp.zeros_like(x), -x)


def log_odds(x: Array, axis: int) -> Array:
    """log(p / (1 - p)) of each class of a softmax, exact also where p rounds to 1."""
    xp, log_p = namespace(x), log_softmax(x, axis)
    # at most one class: there 1 - p is the sum of the others, because from log p it would lose its digits
    likely = log_p > -0.5
    others = xp.where(likely, float("-inf"), x)
    top = stop_gradient(xp.max(others, axis=axis, keepdims=True))
    top = xp.where(xp.isinf(top), 0.0, top)
    rest = top + xp.log(xp.sum(xp.exp(others - top), axis=axis, keepdims=True) + tiny(xp, x))
    safe = xp.where(likely, -1.0, log_p)
    return xp.where(likely, x - rest, safe - xp.log(-xp.expm1(safe)))


def sigmoid(x: Array) -> Array:
    if is_torch(x):
        import torch

        return torch.sigmoid(x)
    if is_jax(x):
        import jax

        return jax.nn.sigmoid(x)
    if is_tensorflow(x):
        import tensorflow as tf

        return tf.math.sigmoid(x)
    return namespace(x).exp(log_sigmoid(x))


def softplus(x: Array) -> Array:
    """log(1 + exp(x)), exact in both tails."""
    return -log_sigmoid(-x)


def power(xp: Namespace, base: Array, exponent: float) -> Array:
    """`base ** exponent` for base ≥ 0, with gradient 0 at 0 where the true one is infinite (exponent < 1)."""
    if exponent == 0:
        return xp.ones_like(base)
    if exponent == 1:
        return base
    if exponent in (2, 3, 4, 5, 6, 7, 8):  # by squares: a tenth of the time of the general power
        half = power(xp, base, exponent // 2)
        return xp.square(half) if exponent % 2 == 0 else xp.square(half) * base
    if exponent >= 1:
        return base**exponent
    # below the smallest normal number the derivative would overflow before it meets the factor that tames it
    return apply_where(xp, xp.logical_not(base <= tiny(xp, base)), lambda b: b**exponent, base, 0.0)  # NaN stays NaN


def focal(xp: Namespace, log_p: Array, gamma: float, miss: Array | None = None, smooth: bool = True) -> Array:
    """-(1-p)^γ ln p. `miss` is 1 - p, where that is known already; `smooth` says that the value is differentiated."""
    if gamma == 0:
        return -log_p
    # 1 - p from log p keeps its digits as p → 1
    factor = power(xp, -xp.expm1(log_p) if miss is None else miss, gamma)
    if not smooth:
        return factor * -log_p
    # an impossible answer costs -ln p = ∞: the slope of the factor, 0, would meet it
    impossible = log_p == float("-inf")
    return xp.where(impossible, -log_p, factor * -xp.where(impossible, -1.0, log_p))


def focal_slope(
    xp: Namespace, log_p: Array, gamma: float, miss: Array | None = None, p: Array | None = None
) -> Array | float:
    """The derivative of `focal` by log p. `p` may have lost its digits where it is next to nothing beside 1 - p."""
    if gamma == 0:
        return -1.0
    rest = -xp.expm1(log_p) if miss is None else miss
    beside = 1.0 - rest if p is None else p
    log_p = clip(xp, log_p, min=-1e4)  # where p is 0, and its product with ln p too, were it -∞
    if gamma >= 1:
        return power(xp, rest, gamma - 1.0) * add_product(-rest, beside, log_p, gamma)
    # (1-p)^(γ-1) grows without bound as p → 1, and log p beats it: the limit is 0
    return power(xp, rest, gamma) * (divide(xp, gamma * beside * log_p, rest) - 1.0)


def affine(intercept: float, slope: float, x: Array) -> Array:
    """intercept + slope·x; in torch one pass over x instead of two."""
    if is_torch(x):
        import torch

        return torch.rsub(x, intercept, alpha=-slope)
    return intercept + slope * x


def add_product(x: Array, a: Array, b: Array, factor: float) -> Array:
    """x + factor·a·b; in torch one pass instead of three."""
    return x.addcmul(a, b, value=factor) if is_torch(x) else x + factor * (a * b)


def sqrt(xp: Namespace, x: Array) -> Array:
    """√x for x ≥ 0, with gradient 0 at 0."""
    return apply_where(xp, xp.logical_not(x <= 0), xp.sqrt, x, 0.0)  # NaN stays NaN


def signed_power(xp: Namespace, x: Array, exponent: float) -> Array:
    """sign(x)·|x|^exponent."""
    return x if exponent == 1 else sign(xp, x) * power(xp, magnitude(xp, x), exponent)


def magnitude(xp: Namespace, x: Array) -> Array:
    """|x|, with gradient 0 at 0, the mean of the slopes on both sides (JAX takes 1)."""
    return xp.where(x != 0, xp.abs(x), 0.0) if is_jax(x) else xp.abs(x)


def clip(xp: Namespace, x: Array, min: float | None = None, max: float | None = None) -> Array:
    """`x` between bounds. At a bound its gradient is that inside, 1, as a target of exactly 0 or 1 needs it (JAX takes
    1/2)."""
    if not is_jax(x):
        return xp.clip(x, min=min, max=max)
    x = x if min is None else xp.where(x < min, min, x)
    return x if max is None else xp.where(x > max, max, x)


def sign(xp: Namespace, x: Array) -> Array:
    """-1, 0 or 1."""
    if is_torch(x):
        return x.sign()  # the portable call writes through a boolean index, which vmap refuses
    return xp.sign(x)


def divide(xp: Namespace, numerator: Array, denominator: Array, fill: float = 0.0) -> Array:
    """`numerator / denominator`, and `fill` where the denominator is 0."""
    usable = denominator != 0
    return xp.where(usable, numerator / xp.where(usable, denominator, 1.0), fill)


def xlogy(xp: Namespace, x: Array, y: Array) -> Array:
    """x·log y for x ≥ 0, and 0 with gradient 0 where x is 0, whatever y is."""
    return xp.where(x > 0, x, 0.0) * xp.log(xp.where(x > 0, y, 1.0))


def mix(t: Array, on: Array, off: Array) -> Array:
    """t·on + (1-t)·off, exact at t = 0 and t = 1."""
    if is_torch(t):
        return off.lerp(on, t)
    return t * on + (1.0 - t) * off
