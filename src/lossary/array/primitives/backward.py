"""Operations that eager torch runs with a backward pass of our own."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# (neither TensorFlow nor jax.lax is typed; every array here is Any)
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lossary.array.namespace import Array, Namespace, compiling, eager, is_torch, namespace
from lossary.array.primitives.functions import log_softmax
from lossary.array.primitives.indexing import add_at, along, pick, product, sizes


def shares_backward(scores: Array) -> bool:
    """Whether `softmax_at` pays for these scores: in eager torch, where a gradient is wanted. Compilers do without."""
    if not is_torch(scores) or compiling(scores):
        return False
    import torch

    return scores.requires_grad and torch.is_grad_enabled()


def learns(*arrays: Array | None) -> bool:
    """Whether a gradient by one of these torch arrays may be wanted, backwards or forwards. A gradient by hand is that
    by the prediction alone: it serves where nothing else learns."""
    from torch._C._functorch import is_functorch_wrapped_tensor as transformed

    # nested transforms of torch.func hide from each other by which arrays they differentiate
    return any(
        x is not None and x.is_floating_point() and (x.requires_grad or has_tangent(x) or transformed(x))
        for x in arrays
    )


def has_tangent(x: Array) -> bool:
    """Whether a gradient by a torch array is carried forwards, which no attribute of it tells."""
    import torch.autograd.forward_ad as forward

    return forward.unpack_dual(x).tangent is not None


def softmax_at(scores: Array, index: Array, axis: int, log: bool) -> tuple[Array, Array]:
    """The softmax of torch `scores` along `axis`, and its entry (or with `log` the logarithm of that) at `index`, which
    has the shape without `axis`: all that losses of labels read, with one backward pass for its gradient."""
    from lossary.array.torch_native import SoftmaxAt

    first, flat = _places_last(scores, index, axis)
    p, at = SoftmaxAt.apply(*flat, log)  # pyright: ignore
    p = p.reshape(first.shape)
    return p.squeeze(0) if axis == 0 else p.movedim(1, axis), at.reshape(index.shape)


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


def _places_last(scores: Array, index: Array, axis: int) -> tuple[Array, tuple[Array, Array]]:
    """Torch `scores` with their classes on axis 1; and these as (N, C, places) with their `index` as (N, places)."""
    first = scores.unsqueeze(0) if axis == 0 else scores.movedim(axis, 1)
    samples, classes, places = *first.shape[:2], product(tuple(first.shape[2:]))
    return first, (first.reshape(samples, classes, places), index.long().reshape(samples, places))


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
    if not x.requires_grad or learns(*given):
        return values(xp, of(xp, x, *given))
    return Elementwise.apply(of, values, slope, x, *given)[0]  # pyright: ignore


def _forward_mode() -> bool:
    """Whether a tensor may carry a tangent, which no attribute of it tells."""
    import torch.autograd.forward_ad as forward

    return forward._current_level >= 0  # pyright: ignore
