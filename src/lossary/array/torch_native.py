"""Hand-written gradients for eager torch, used by `primitives` where they were measured to pay."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import array_api_compat.torch as xp
import torch


class Elementwise(torch.autograd.Function):
    """A function of one tensor, element by element, with its known derivative; `given` tensors have none.

    The forward pass computes value and slope together. When a gradient of the gradient is asked for, the slope is
    computed again from the saved input, so that autograd can differentiate it; a saved slope would be a constant.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        values: Callable[..., torch.Tensor], slope: Callable[..., torch.Tensor], x: torch.Tensor, *given: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return values(xp, x, *given), slope(xp, x, *given)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[torch.Tensor, torch.Tensor]) -> None:
        _, ctx.slope, x, *given = inputs
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
            return None, None, None, *none
        if torch.is_grad_enabled():
            slope = ctx.slope(xp, x, *given)
        return None, None, gradient * slope, *none

    @staticmethod
    def jvp(ctx: Any, *tangents: torch.Tensor | None) -> tuple[torch.Tensor | None, None]:
        tangent = tangents[2]
        if tangent is None:
            return None, None
        x, _, *given = ctx.saved_tensors
        # from the input, not the saved slope: forward over reverse differentiates this once more
        return tangent * ctx.slope(xp, x, *given), None


def scatter_classes(values: torch.Tensor, index: torch.Tensor, classes: int) -> torch.Tensor:
    """Σ of `values` (N, places) over the places of each class, as (N, classes).

    In float64, where the device has it: scatter adds one after the other, and in float32 such a sum rounds terms of
    .9997 up to 1 and stands still at 2**24.
    """
    wide = values.dtype if values.device.type == "mps" else torch.float64
    zeros = torch.zeros((values.shape[0], classes), dtype=wide, device=values.device)
    return zeros.scatter_add(1, index, values.to(wide)).to(values.dtype)


class RegionSums(torch.autograd.Function):
    """Σ w·p and Σ w·p·[index = c] of probabilities p (N, C, places), per image and class.

    Linear in p: the graph keeps labels and weights, and second derivatives are those of the operations below.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        p: torch.Tensor, index: torch.Tensor, weight: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return _region_sums(p, index, weight)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[torch.Tensor, torch.Tensor]) -> None:
        p, index, weight = inputs
        ctx.shape = p.shape
        ctx.save_for_backward(index, weight)
        ctx.save_for_forward(index, weight)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        index, weight = ctx.saved_tensors
        of_mass, of_hits = gradients
        # d/dp is g_mass everywhere, and g_mass + g_hits at the true class: set there, not added
        gradient = of_mass.unsqueeze(2).expand(ctx.shape)
        at_true = (of_mass + of_hits).gather(1, index).unsqueeze(1)
        gradient = gradient.scatter(1, index.unsqueeze(1), at_true)
        return gradient if weight is None else gradient * weight.unsqueeze(1), None, None

    @staticmethod
    def jvp(ctx: Any, *tangents: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        index, weight = ctx.saved_tensors
        assert tangents[0] is not None
        return _region_sums(tangents[0], index, weight)


def _region_sums(
    p: torch.Tensor, index: torch.Tensor, weight: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor]:
    p_true = p.gather(1, index.unsqueeze(1)).squeeze(1)
    mass = p if weight is None else p * weight.unsqueeze(1)
    p_true = p_true if weight is None else p_true * weight
    return mass.sum(2), scatter_classes(p_true, index, p.shape[1])


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
