"""Hand-written gradients for eager torch, used by `primitives` where they were measured to pay."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# (torch does not type all of its methods)

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import array_api_compat.torch as xp
import torch

from lossary.array import torch_blocks
from lossary.array.namespace import eager
from lossary.array.sorted_errors import jaccard_steps
from lossary.array.torch_blocks import blockwise


class Elementwise(torch.autograd.Function):
    """`values` of a quantity of one tensor, element by element, with the known derivative; `given` tensors have none.

    The forward pass computes value and slope together. When a gradient of the gradient is asked for, the slope is
    computed again from the saved input, so that autograd can differentiate it; a saved slope would be a constant.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        of: Callable[..., Any],
        values: Callable[..., torch.Tensor],
        slope: Callable[..., torch.Tensor],
        x: torch.Tensor,
        *given: torch.Tensor,
    ) -> tuple[torch.Tensor, ...]:
        return blockwise(of, (values, slope), x, given)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[torch.Tensor, ...]) -> None:
        of, _, slope, x, *given = inputs
        ctx.of, ctx.slope = of, slope
        ctx.mark_non_differentiable(output[1])
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x, output[1], *given)
        ctx.save_for_forward(x, output[1], *given)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor | None) -> tuple[torch.Tensor | None, ...]:
        gradient = gradients[0]
        x, slope, *given = ctx.saved_tensors
        none = [None] * len(given)
        if gradient is None:
            return None, None, None, None, *none
        if torch.is_grad_enabled():
            slope = ctx.slope(xp, ctx.of(xp, x, *given))
        return None, None, None, gradient * slope, *none

    @staticmethod
    def jvp(ctx: Any, *tangents: torch.Tensor | None) -> tuple[torch.Tensor | None, None]:
        tangent = tangents[3]
        if tangent is None:
            return None, None
        x, _, *given = ctx.saved_tensors
        # from the input, not the saved slope: forward over reverse differentiates this once more
        return tangent * ctx.slope(xp, ctx.of(xp, x, *given)), None


def scatter_classes(values: torch.Tensor, index: torch.Tensor, classes: int) -> torch.Tensor:
    """Σ of `values` (N, places) over the places of each class, as (N, classes).

    In float64, where the device has it: scatter adds one after the other, and in float32 such a sum rounds terms of
    .9997 up to 1 and stands still at 2**24.
    """
    wide = values.dtype if values.device.type == "mps" else torch.float64
    zeros = torch.zeros((values.shape[0], classes), dtype=wide, device=values.device)
    return zeros.scatter_add(1, index, values.to(wide)).to(values.dtype)


class SoftmaxAt(torch.autograd.Function):
    """The softmax p of scores (N, C, places), and what it gives the class `index` (N, places): p, or log p with `log`.

    One backward pass for all that is made of the two, where autograd has one for the gather, one for each sum over
    places and one for the softmax. Both results are saved, not the scores, and the gradient is a formula on them: they
    are outputs, so that autograd can differentiate it again.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        scores: torch.Tensor, index: torch.Tensor, log: bool
    ) -> tuple[torch.Tensor, torch.Tensor]:
        # torch copies scores whose classes lie innermost before it works along an outer axis
        innermost = scores.stride(1) == 1
        z, axis = (scores.transpose(1, 2), 2) if innermost else (scores, 1)
        p = torch.log_softmax(z, axis) if log else torch.softmax(z, axis)
        p = p.transpose(1, 2) if innermost else p
        at = p.gather(1, index.unsqueeze(1)).squeeze(1)
        return p.exp_() if log else p, at

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[torch.Tensor, torch.Tensor]) -> None:
        _, index, ctx.log = inputs
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*output, index)
        ctx.save_for_forward(*output, index)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor | None) -> tuple[torch.Tensor | None, None, None]:
        p, at, index = ctx.saved_tensors
        of_p, of_at = gradients
        if of_at is None:
            return None if of_p is None else _softmax_backward(of_p, p), None, None
        # d log p_y / dz = onehot - p, and d p_y / dz is p_y times that
        of_log, p_at = (of_at, at.exp()) if ctx.log else (of_at * at, at)
        if of_p is None:
            gradient, at_index = p * -of_log.unsqueeze(1), of_log - p_at * of_log
        elif of_p.stride(2) == 0:  # the gradient of a sum over places: one number per image and class
            of_p = of_p[:, :, 0]
            centre = torch.bmm(of_p.unsqueeze(1), p).squeeze(1) + of_log
            gradient = (of_p.unsqueeze(2) - centre.unsqueeze(1)).mul_(p)
            at_index = p_at * (of_p.gather(1, index) - centre) + of_log
        else:
            gradient = _softmax_backward(of_p, p) - p * of_log.unsqueeze(1)
            at_index = gradient.gather(1, index.unsqueeze(1)).squeeze(1) + of_log
        # set, not added: that would read it all once more
        return _put(gradient, 1, index.unsqueeze(1), at_index.unsqueeze(1)), None, None

    @staticmethod
    def jvp(ctx: Any, *tangents: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        p, at, index = ctx.saved_tensors
        assert tangents[0] is not None
        of_log = tangents[0] - (p * tangents[0]).sum(1, keepdim=True)
        at_index = of_log.gather(1, index.unsqueeze(1)).squeeze(1)
        return p * of_log, at_index if ctx.log else at * at_index


class LogSoftmaxAt(torch.autograd.Function):
    """The log-softmax of scale·scores + shift along `axis` (the last or the one before), where the logit of the class
    `index` is `less` by an amount: that at `index`, and all of it.

    The changed logits are made sample by sample and live in the cache; autograd would keep a tensor of them for each
    change, and pass through all of them again.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        scores: torch.Tensor,
        index: torch.Tensor,
        axis: int,
        scale: float,
        shift: torch.Tensor | None,
        less: torch.Tensor | None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        at = index.unsqueeze(axis)
        lower = None if less is None else -less.unsqueeze(axis)
        if not (eager(scores) and scores.device.type == "cpu"):
            z = scores * scale if shift is None else scores * scale + shift
            log_p = torch.log_softmax(z if lower is None else z.scatter_add(axis, at, lower), axis)
            return log_p.gather(axis, at).squeeze(axis), log_p
        log_p = torch.empty_like(scores, memory_format=torch.contiguous_format)
        floor = scores.new_full(at.shape, -math.inf)
        # blocks of few rows would cost more in calls than they save
        samples = max(1, 4 * torch_blocks.BLOCK * torch.get_num_threads() // max(1, scores[:1].numel()))
        for start in range(0, len(scores), samples):
            block = slice(start, start + samples)
            z, x = log_p[block], scores[block]
            _ = torch.mul(x, scale, out=z) if shift is None else torch.add(shift, x, alpha=scale, out=z)
            if lower is not None:
                z.scatter_add_(axis, at[block], lower[block])
            if scale > 1:
                _raise_negligible(z, axis, floor[block])
            torch.log_softmax(z, axis, out=z)
        at_index = log_p.gather(axis, at)
        if scale > 1:  # where the label was raised, it is put back
            label = scale * scores.gather(axis, at)
            label = label if shift is None else label + shift.expand(scores.shape).gather(axis, at)
            label = label if lower is None else label + lower
            at_index += (label - floor).clamp_(max=0.0)
        return at_index.squeeze(axis), log_p

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[torch.Tensor, torch.Tensor]) -> None:
        _, index, ctx.axis, ctx.scale, _, _ = inputs
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(output[1], index)
        ctx.save_for_forward(output[1], index)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor | None) -> tuple[torch.Tensor | None, ...]:
        log_p, index = ctx.saved_tensors
        of_at, of_all = (None if g is None else ctx.scale * g for g in gradients)
        none = (None,) * 5
        if of_at is not None:
            at, of_at = index.unsqueeze(ctx.axis), of_at.unsqueeze(ctx.axis)
            if of_all is None:
                of_all = _put(of_at.new_zeros(log_p.shape), ctx.axis, at, of_at)
            else:
                of_all = of_all.scatter_add(ctx.axis, at, of_at)
        if of_all is None:
            return None, *none
        return torch._log_softmax_backward_data(of_all, log_p, ctx.axis, log_p.dtype), *none  # pyright: ignore

    @staticmethod
    def jvp(ctx: Any, *tangents: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        log_p, index = ctx.saved_tensors
        assert tangents[0] is not None
        of_all = ctx.scale * tangents[0]
        of_all = of_all - (log_p.exp() * of_all).sum(ctx.axis, keepdim=True)
        return of_all.gather(ctx.axis, index.unsqueeze(ctx.axis)).squeeze(ctx.axis), of_all


def _raise_negligible(z: torch.Tensor, axis: int, floor: torch.Tensor) -> None:
    """Raises logits whose share is nothing, in place, and writes to `floor` what they are raised to: an exponential
    that is not a normal number takes ten times as long."""
    depth = -math.log(torch.finfo(z.dtype).tiny * z.shape[axis])
    low, high = torch.aminmax(z)
    if high - low > depth:
        torch.amax(z, axis, keepdim=True, out=floor)
        floor -= depth
        torch.maximum(z, floor, out=z)


def _put(x: torch.Tensor, axis: int, index: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """`x`, a temporary, with `values` at `index`: in place, where neither vmap nor a second derivative forbids it."""
    return x.scatter_(axis, index, values) if eager(x) and not x.requires_grad else x.scatter(axis, index, values)


def _softmax_backward(of_p: torch.Tensor, p: torch.Tensor) -> torch.Tensor:
    return torch._softmax_backward_data(of_p, p, 1, p.dtype)  # pyright: ignore


class JaccardExtension(torch.autograd.Function):
    """`jaccard_extension` of scores (N, C, places), and its gradient by them, which is constant between ties.

    All that is kept for the backward pass is that gradient: autograd would keep the errors, their order and more.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        errors: Callable[..., torch.Tensor],
        x: torch.Tensor,
        labels: torch.Tensor,
        weight: torch.Tensor | None,
        joined: bool,
        unread: torch.Tensor | None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        def rows(a: torch.Tensor) -> torch.Tensor:
            return a.transpose(0, 1).flatten(1) if joined else a

        if not (eager(x) and x.device.type == "cpu"):
            if labels.ndim == 2:
                labels = labels.unsqueeze(1) == torch.arange(x.shape[1], device=x.device).unsqueeze(1)
            if weight is not None:
                weight = rows((weight.unsqueeze(1) if weight.ndim == 2 else weight).expand(labels.shape))
            values, slopes = _sorted_errors(errors, rows(x), rows(labels), weight)
            return values, slopes.unflatten(1, (x.shape[0], x.shape[2])).transpose(0, 1) if joined else slopes
        # one class after the other: what is sorted stays in the cache, and the absent ones cost nothing
        images = [slice(None)] if joined else [slice(n, n + 1) for n in range(x.shape[0])]
        values, slopes = x.new_zeros(len(images), x.shape[1]), torch.zeros_like(x)
        skip = torch.zeros(values.shape, dtype=torch.bool) if unread is None else unread.reshape(values.shape)
        for i, c in (~skip).nonzero().tolist():
            image = images[i]
            true = labels[image] == c if labels.ndim == 2 else labels[image, c]
            w = None if weight is None else (weight[image] if weight.ndim == 2 else weight[image, c]).reshape(-1)
            values[i, c], slope = _sorted_errors(errors, x[image, c].reshape(-1), true.reshape(-1), w)
            slopes[image, c] = slope.view(-1, x.shape[2])
        return values[0] if joined else values, slopes

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[torch.Tensor, torch.Tensor]) -> None:
        ctx.joined = inputs[4]
        ctx.mark_non_differentiable(output[1])
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(output[1])
        ctx.save_for_forward(output[1])

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor | None) -> tuple[torch.Tensor | None, ...]:
        (slopes,) = ctx.saved_tensors
        g = gradients[0]
        return None, None if g is None else g.unsqueeze(-1) * slopes, None, None, None, None

    @staticmethod
    def jvp(ctx: Any, *tangents: torch.Tensor | None) -> tuple[torch.Tensor, None]:
        (slopes,) = ctx.saved_tensors
        assert tangents[1] is not None
        return (tangents[1] * slopes).sum((0, 2) if ctx.joined else 2), None


def _sorted_errors(
    errors: Callable[..., torch.Tensor], x: torch.Tensor, true: torch.Tensor, weight: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Along the last axis: Σ error · step over the errors from large to small, and its derivative by x."""
    error = errors(xp, x, true)
    error, order = _descending(error)
    true = true.gather(-1, order)
    weight = None if weight is None else weight.gather(-1, order)
    steps = jaccard_steps(xp, true.to(x.dtype), weight)
    values = (error * steps).sum(-1)
    slopes = torch.where(true, -steps, steps) * (error > 0)
    return values, _put(torch.empty_like(slopes), -1, order, slopes)


def _descending(error: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Errors from large to small and their places; equal ones stay in order.

    The bits of floats that are not negative sort as integers do, and one row of integers is sorted by their digits, in
    a tenth of the time.
    """
    integer, largest = (torch.int64, 0x7FF << 52) if error.dtype == torch.float64 else (torch.int32, 0x7F800000)
    keys, order = torch.sort(largest - error.view(integer), dim=-1, stable=True)
    return (largest - keys).view(error.dtype), order


@torch.library.custom_op("lossary::signed_distance", mutates_args=())
def signed_distance(
    regions: torch.Tensor, classes: list[int], axes: int, steps: list[float], wide: bool
) -> torch.Tensor:
    """See `lossary.array.distance`. An operator, so that compilers and vmap take it as one; it has no derivative."""
    from lossary.array.distance import transform_regions

    maps = transform_regions(regions.detach().cpu().numpy(), tuple(classes), axes, tuple(steps), wide)
    return torch.from_numpy(maps).to(regions.device)  # pyright: ignore[reportUnknownMemberType]


@signed_distance.register_fake  # pyright: ignore[reportUnknownMemberType]
def _(regions: torch.Tensor, classes: list[int], axes: int, steps: list[float], wide: bool) -> torch.Tensor:
    first = regions.ndim - axes
    shape = (*regions.shape[:first], *([len(classes)] if classes else []), *regions.shape[first:])
    return regions.new_empty(shape, dtype=torch.float64 if wide else torch.float32)


@signed_distance.register_vmap  # pyright: ignore[reportUnknownMemberType]
def _(info: Any, in_dims: tuple[Any, ...], regions: torch.Tensor, *options: Any) -> tuple[torch.Tensor, int]:
    # all axes but those of an image are rows
    return signed_distance(regions.movedim(in_dims[0], 0), *options), 0


# --- CTC --------------------------------------------------------------------------------------------------------------


def ctc(
    scores: torch.Tensor, target: torch.Tensor, lengths: torch.Tensor, target_lengths: torch.Tensor, blank: int
) -> torch.Tensor:
    """`alignments.ctc` by torch's own operator, which `torch.compile` cannot follow and nobody can differentiate twice;
    as an operator of ours it is opaque to the compiler, and its second derivative is that of the portable form."""
    wanted = scores.requires_grad and torch.is_grad_enabled()
    return _ctc(scores, target.long(), lengths, target_lengths, blank, wanted)[0]  # pyright: ignore


@torch.library.custom_op("lossary::ctc", mutates_args=())
def _ctc(
    scores: torch.Tensor,
    target: torch.Tensor,
    lengths: torch.Tensor,
    target_lengths: torch.Tensor,
    blank: int,
    gradient: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    log_p = torch.log_softmax(scores, 2).transpose(0, 1)
    call: tuple[Any, ...] = (log_p, target, lengths.tolist(), target_lengths.tolist())  # pyright: ignore
    cost, states = torch.ops.aten._ctc_loss(*call, blank, False)
    if not gradient:
        return -cost, scores.new_empty(0)
    # what torch calls the gradient by the log-probabilities is that by the scores: softmax minus posterior
    slope = torch.ops.aten._ctc_loss_backward(-torch.ones_like(cost), *call, cost, states, blank, True)
    slope = slope.masked_fill(log_p == -torch.inf, 0.0)  # for a class that is ruled out torch divides 0 by 0
    return -cost, slope.transpose(0, 1).contiguous()


@_ctc.register_fake  # pyright: ignore[reportUnknownMemberType]
def _(
    scores: torch.Tensor,
    target: torch.Tensor,
    lengths: torch.Tensor,
    target_lengths: torch.Tensor,
    blank: int,
    gradient: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    return scores.new_empty(scores.shape[0]), torch.empty_like(scores) if gradient else scores.new_empty(0)


def _setup_ctc(ctx: Any, inputs: tuple[Any, ...], output: tuple[torch.Tensor, torch.Tensor]) -> None:
    scores, target, lengths, target_lengths, ctx.blank, _ = inputs
    ctx.save_for_backward(scores, target, lengths, target_lengths, output[1])


def _backward_ctc(ctx: Any, of_value: torch.Tensor, _: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    scores, target, lengths, target_lengths, slope = ctx.saved_tensors
    none = (None,) * 5
    if not torch.is_grad_enabled() or torch.compiler.is_compiling():
        return slope * of_value[:, None, None], *none
    # a gradient of the gradient is asked for: the saved slope would be a constant
    from lossary.array.alignments import ctc_forward

    value = ctc_forward(scores, target, lengths, target_lengths, ctx.blank)
    return torch.autograd.grad(value, scores, of_value, create_graph=True)[0], *none  # pyright: ignore


_ctc.register_autograd(_backward_ctc, setup_context=_setup_ctc)  # pyright: ignore[reportUnknownMemberType]
