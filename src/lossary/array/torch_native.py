"""Hand-written gradients for eager torch, used by `primitives` where they were measured to pay."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import array_api_compat.torch as xp
import torch

from lossary.array.namespace import eager

BLOCK = 2**16
"""Elements per thread that a formula takes at a time on a CPU: few calls, and intermediates that fit a cache."""


def blockwise(
    of: Callable[..., Any],
    formulas: Sequence[Callable[..., torch.Tensor]],
    x: torch.Tensor,
    given: Sequence[torch.Tensor],
) -> tuple[torch.Tensor, ...]:
    """The values of formulas on one quantity, as constants. On a CPU that goes block by block."""
    step = BLOCK * torch.get_num_threads()
    arrays = (x, *given)
    if x.device.type != "cpu" or x.numel() <= step or not eager(x) or not all(a.is_contiguous() for a in arrays):
        quantity = of(xp, *arrays, smooth=False)
        results = [formula(xp, quantity) for formula in formulas]
        return tuple(torch.full_like(x, r) if isinstance(r, float) else r for r in results)
    flat = [a.view(-1) for a in arrays]
    results = [torch.empty_like(flat[0]) for _ in formulas]
    for start in range(0, x.numel(), step):
        quantity = of(xp, *(a[start : start + step] for a in flat), smooth=False)
        for formula, result in zip(formulas, results, strict=True):
            result[start : start + step] = formula(xp, quantity)
    return tuple(result.view(x.shape) for result in results)


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
