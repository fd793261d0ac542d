"""The numerical operations that every loss shares, each with a right value and gradient at its singular points.

An operation has one portable definition in the array API. Where a framework has a native one that is faster, leaner or
more exact, an explicit `if` takes it. The rule that keeps gradients finite: `where(c, f(x), y)` still differentiates
`f` where `c` is false, and `0 * inf` is NaN, so the argument of `f` is made harmless first.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# (neither TensorFlow nor jax.lax is typed; every array here is Any)
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lossary.array.namespace import Array, Namespace, eager, is_jax, is_tensorflow, is_torch, kind, namespace


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

        return tf.nn.softmax(x, axis)
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


def focal(xp: Namespace, log_p: Array, gamma: float, miss: Array | None = None) -> Array:
    """-(1-p)^γ ln p. `miss` is 1 - p, where that is known already."""
    if gamma == 0:
        return -log_p
    # 1 - p from log p keeps its digits as p → 1
    return power(xp, -xp.expm1(log_p) if miss is None else miss, gamma) * -log_p


def focal_slope(
    xp: Namespace, log_p: Array, gamma: float, miss: Array | None = None, p: Array | None = None
) -> Array | float:
    """The derivative of `focal` by log p. `p` may have lost its digits where it is next to nothing beside 1 - p."""
    if gamma == 0:
        return -1.0
    rest = -xp.expm1(log_p) if miss is None else miss
    beside = 1.0 - rest if p is None else p
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
    return x if exponent == 1 else sign(xp, x) * power(xp, xp.abs(x), exponent)


def magnitude(xp: Namespace, x: Array) -> Array:
    """|x|, with gradient 0 at 0 (JAX takes 1)."""
    return xp.where(x != 0, xp.abs(x), 0.0) if is_jax(x) else xp.abs(x)


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
    return namespace(x).reshape(x, (*shape[:axis], _product(shape[axis:])))


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
        shape = (index.shape[0] if batch else 1, _product(tuple(index.shape[1 if batch else 0 :])))
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


def shares_backward(scores: Array) -> bool:
    """Whether `softmax_at` pays for these scores: in eager torch, where a gradient is wanted. Compilers do without."""
    if not is_torch(scores) or compiling(scores):
        return False
    import torch

    return scores.requires_grad and torch.is_grad_enabled()


def softmax_at(scores: Array, index: Array, axis: int, log: bool) -> tuple[Array, Array]:
    """The softmax of torch `scores` along `axis`, and its entry (or with `log` the logarithm of that) at `index`, which
    has the shape without `axis`: all that losses of labels read, with one backward pass for its gradient."""
    from lossary.array.torch_native import SoftmaxAt

    first, flat = _places_last(scores, index, axis)
    p, at = SoftmaxAt.apply(*flat, log)  # pyright: ignore
    p = p.reshape(first.shape)
    return p.squeeze(0) if axis == 0 else p.movedim(1, axis), at.reshape(index.shape)


def _places_last(scores: Array, index: Array, axis: int) -> tuple[Array, tuple[Array, Array]]:
    """Torch `scores` with their classes on axis 1; and these as (N, C, places) with their `index` as (N, places)."""
    first = scores.unsqueeze(0) if axis == 0 else scores.movedim(axis, 1)
    samples, classes, places = *first.shape[:2], _product(tuple(first.shape[2:]))
    return first, (first.reshape(samples, classes, places), index.long().reshape(samples, places))


def log_softmax_at(
    scores: Array, index: Array, axis: int, scale: float = 1.0, shift: Array | None = None, less: Array | None = None
) -> Array:
    """The log-softmax of scale·scores + shift at `index`, where that logit alone is `less` by an amount.

    `shift` has one number per class, `index` and `less` the shape of `scores` without `axis`.
    """
    if shares_backward(scores):
        from lossary.array.torch_native import LogSoftmaxAt

        _, (z, at) = _places_last(scores, index, axis)
        # torch copies scores whose classes lie innermost before it works along another axis
        z, axis = (z.transpose(1, 2), 2) if z.stride(1) == 1 else (z, 1)
        shift = None if shift is None else shift.reshape(-1, *(1,) * (2 - axis))
        less = None if less is None else less.reshape(at.shape)
        return LogSoftmaxAt.apply(z, at, axis, scale, shift, less)[0].reshape(index.shape)  # pyright: ignore
    xp = namespace(scores)
    z = scores if scale == 1 else scale * scores
    z = z if shift is None else z + along(xp, shift, len(sizes(z)), axis)
    z = z if less is None else add_at(z, index, axis, -less)
    return pick(log_softmax(z, axis), index, axis)


def compiling(x: Array) -> bool:
    """Whether torch traces: then the portable definition is taken, which the compiler fuses."""
    import torch

    return torch.compiler.is_compiling()


def elementwise(
    of: Callable[..., Any],
    values: Callable[..., Array],
    slope: Callable[..., Array] | None,
    xp: Namespace,
    x: Array,
    *given: Array,
) -> Array:
    """`values(xp, q)` of the quantity q = `of(xp, x, *given)`, whose derivative by x is `slope(xp, q)`.

    `given` arrays have the shape of x. In eager torch value and slope come of one q, in one pass, and the graph keeps
    x, what is given and the slope, where autograd would keep every intermediate. Nothing differentiates through that q,
    which is therefore made with `smooth=False`. Compilers fuse the formula by themselves, and NumPy has no gradient.
    Where a gradient by what is given is wanted too, autograd finds it.
    """
    if slope is None or not is_torch(x) or compiling(x):
        return values(xp, of(xp, x, *given))
    import torch

    from lossary.array.torch_blocks import blockwise
    from lossary.array.torch_native import Elementwise

    wanted = torch.is_grad_enabled() and any(a.requires_grad for a in (x, *given))
    if not wanted and eager(x) and not _forward_mode():
        return blockwise(of, (values,), x, given)[0]
    if not x.requires_grad or any(g.requires_grad for g in given):
        return values(xp, of(xp, x, *given))
    return Elementwise.apply(of, values, slope, x, *given)[0]  # pyright: ignore


def _forward_mode() -> bool:
    """Whether a tensor may carry a tangent, which no attribute of it tells."""
    import torch.autograd.forward_ad as forward

    return forward._current_level >= 0  # pyright: ignore


def mix(t: Array, on: Array, off: Array) -> Array:
    """t·on + (1-t)·off, exact at t = 0 and t = 1."""
    if is_torch(t):
        return off.lerp(on, t)
    return t * on + (1.0 - t) * off


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
    return _product(shape)


def _product(shape: tuple[int | None, ...]) -> int:
    count = 1
    for n in shape:  # a plain loop, because torch.compile follows it where it does not follow math.prod
        count *= n or 0
    return count


__all__ = [
    "add_at",
    "add_product",
    "affine",
    "along",
    "apply_where",
    "class_sums",
    "compiling",
    "divide",
    "eager",
    "elementwise",
    "flatten_from",
    "focal",
    "focal_slope",
    "gradient_norm",
    "length",
    "log_odds",
    "log_sigmoid",
    "log_softmax",
    "log_softmax_at",
    "log_sum_exp",
    "lookup",
    "magnitude",
    "mix",
    "numbers",
    "pick",
    "power",
    "region_sums",
    "reshape_like",
    "running_sum",
    "shares_backward",
    "sigmoid",
    "sign",
    "signed_power",
    "size",
    "sizes",
    "softmax",
    "softmax_at",
    "softplus",
    "sqrt",
    "stop_gradient",
    "tiny",
    "total",
    "xlogy",
]
