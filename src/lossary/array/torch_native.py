"""Hand-written gradients for eager torch, used by `primitives` where they were measured to pay."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import array_api_compat.torch as xp
import torch


class Elementwise(torch.autograd.Function):
    """A function of one tensor, element by element, with its known derivative.

    The forward pass computes value and slope together. When a gradient of the gradient is asked for, the slope is
    computed again from the saved input, so that autograd can differentiate it; a saved slope would be a constant.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        values: Callable[..., torch.Tensor], slope: Callable[..., torch.Tensor], x: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return values(xp, x), slope(xp, x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[torch.Tensor, torch.Tensor]) -> None:
        _, ctx.slope, x = inputs
        ctx.mark_non_differentiable(output[1])
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x, output[1])
        ctx.save_for_forward(x, output[1])

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor | None) -> tuple[None, None, torch.Tensor | None]:
        gradient = gradients[0]
        if gradient is None:
            return None, None, None
        x, slope = ctx.saved_tensors
        if torch.is_grad_enabled():
            slope = ctx.slope(xp, x)
        return None, None, gradient * slope

    @staticmethod
    def jvp(ctx: Any, *tangents: torch.Tensor | None) -> tuple[torch.Tensor | None, None]:
        tangent = tangents[2]
        if tangent is None:
            return None, None
        x, _ = ctx.saved_tensors
        # from the input, not the saved slope: forward over reverse differentiates this once more
        return tangent * ctx.slope(xp, x), None
