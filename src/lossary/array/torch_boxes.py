"""The geometry of pairs of boxes for eager torch, with one gradient written by hand.

Autograd would keep some thirty arrays and visit each twice. Here the graph keeps the boxes alone, and the backward pass
works the lengths out again. Two things make it fast: coordinates lie in rows, because columns of an (N, 4) tensor do
not fill vector registers, and no comparison or `where` is needed, which cost several times what a multiplication does.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

Portable = Callable[[str, tuple[str, ...], Tensor, Tensor], tuple[Tensor, ...]]


class BoxGeometry(torch.autograd.Function):
    """The `wanted` of iou, hull_gap, center_distance, side_distance and aspect_penalty of boxes (..., 4).

    They are the properties of these names of `BoxPair`, `portable` is their definition there, and the derivative is by
    the first boxes only. Gradients of the gradient differentiate the definition.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        portable: Portable, format: str, wanted: tuple[str, ...], prediction: Tensor, target: Tensor
    ) -> tuple[Tensor, ...]:
        lengths = _lengths(_corners(_rows(prediction), format), _corners(_rows(target), format))
        found, shape = _measures(lengths, wanted), prediction.shape[:-1]
        return tuple(found[name].reshape(shape) for name in wanted)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.portable, ctx.format, ctx.wanted, prediction, target = inputs
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(prediction, target)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        prediction, target = ctx.saved_tensors
        if torch.is_grad_enabled():
            measures = ctx.portable(ctx.format, ctx.wanted, prediction, target)
            known = [(m, g) for m, g in zip(measures, gradients, strict=True) if g is not None]
            outputs, above = [m for m, _ in known], [g for _, g in known]
            # what comes from above depends on the boxes itself, and is no part of this derivative
            differentiate: Any = torch.autograd.grad
            gradient = differentiate(outputs, prediction, above, create_graph=True, materialize_grads=True)
            return None, None, None, gradient[0], None
        of = {name: g.reshape(-1) for name, g in zip(ctx.wanted, gradients, strict=True) if g is not None}
        return None, None, None, _gradient(prediction, target, ctx.format, of), None


class _Lengths(NamedTuple):
    """Lengths along x and y as rows (2, N), in units of the longer side of the enclosing box; see `BoxPair`."""

    own: Tensor
    other: Tensor
    shared: Tensor  # of the intersection; negative where there is none
    hull: Tensor
    offset: Tensor  # of the centres
    ends: tuple[Tensor, Tensor]  # lower and upper ends less the target's, in the caller's unit: their signs are read
    scale: Tensor  # (N,)


def _rows(boxes: Tensor) -> Tensor:
    """The numbers of boxes in memory of their own, (2, 2, N): first or second two of a box, x or y, pair.

    (Copying a matrix to its transpose goes through a path of torch's that takes four times as long.)
    """
    return boxes.reshape(-1, 2, 2).permute(1, 2, 0).clone(memory_format=torch.contiguous_format)


def _corners(rows: Tensor, format: str) -> tuple[Tensor, Tensor]:
    """Lower and upper ends (2, N) in place of the numbers of a format; negative sides become 0."""
    low, high = rows.unbind()
    if format == "xyxy":
        torch.maximum(low, high, out=high)
        return low, high
    high.clamp_(min=0)
    if format == "cxcywh":
        low.sub_(high, alpha=0.5)
    high.add_(low)
    return low, high


def _lengths(prediction: tuple[Tensor, Tensor], target: tuple[Tensor, Tensor]) -> _Lengths:
    (low, high), (low_t, high_t) = prediction, target
    hull = torch.maximum(high, high_t).sub_(torch.minimum(low, low_t))
    shared = torch.minimum(high, high_t).sub_(torch.maximum(low, low_t))
    own, other = high - low, high_t - low_t
    ends = (low - low_t, high - high_t)
    offset = (ends[0] + ends[1]).div_(2)
    scale = torch.maximum(hull[0], hull[1]).clamp_(min=_tiny(hull))  # two equal points have no scale
    for length in (own, other, shared, hull, offset):
        length.div_(scale)
    return _Lengths(own, other, shared, hull, offset, ends, scale)


def _measures(x: _Lengths, wanted: tuple[str, ...]) -> dict[str, Tensor]:
    tiny, found = _tiny(x.scale), dict[str, Tensor]()
    inter, union = _areas(x)
    if "iou" in wanted or "aspect_penalty" in wanted:
        found["iou"] = _iou(x, inter, union)
    if "hull_gap" in wanted:
        area = x.hull[0] * x.hull[1]
        found["hull_gap"] = (area - union).div_(area.clamp_(min=tiny))
    if "center_distance" in wanted:
        found["center_distance"] = _squared(x.offset).div_(_squared(x.hull).clamp_(min=tiny))
    if "side_distance" in wanted:
        found["side_distance"] = _squared((x.own - x.other).div_(x.hull.clamp(min=tiny)))
    if "aspect_penalty" in wanted:
        turn, alpha = _aspect(x, found["iou"])
        found["aspect_penalty"] = turn.square_().mul_(4 / math.pi**2).mul_(alpha)
    return found


def _areas(x: _Lengths) -> tuple[Tensor, Tensor]:
    """Of intersection and union."""
    width, height = x.shared.clamp(min=0)
    inter = width * height
    return inter, (x.own[0] * x.own[1]).addcmul_(x.other[0], x.other[1]).sub_(inter)


def _iou(x: _Lengths, inter: Tensor, union: Tensor) -> Tensor:
    """Boxes are equal where the intersection is the hull; then the quotient is 1 even if both areas are 0."""
    tiny = _tiny(union)
    apart = (x.hull - x.shared).sum(0).sign_()
    return torch.maximum(inter, (1 - apart).mul_(tiny)).div_(union.clamp(min=tiny))


def _aspect(x: _Lengths, iou: Tensor) -> tuple[Tensor, Tensor]:
    """The difference of the angles arctan(w/h), 0 where one box is a point, and CIoU's α."""
    turn = torch.atan2(x.own[0], x.own[1]).sub_(torch.atan2(x.other[0], x.other[1]))
    turn.mul_((x.own[0] + x.own[1]).sign_()).mul_((x.other[0] + x.other[1]).sign_())
    v = turn.square().mul_(4 / math.pi**2)
    return turn, v / (1 - iou).add_(v).clamp_(min=_tiny(v))


def _gradient(prediction: Tensor, target: Tensor, format: str, of: dict[str, Tensor]) -> Tensor:
    """The gradient by the predicted boxes, from those by the measures (N,)."""
    rows = _rows(prediction)
    proper = (rows[1] - rows[0] if format == "xyxy" else rows[1].clone()).sign_().add_(1).div_(2)
    x = _lengths(_corners(rows, format), _corners(_rows(target), format))
    own, shared, hull, offset = _by_lengths(x, of)
    # the lower end of the intersection is the prediction's where that is the greater one, that of the hull where it is
    # the less: with s the sign of the difference, d(shared)/d(low) = -(1+s)/2 and d(hull)/d(low) = -(1-s)/2
    stretch, trade, move = own + (shared + hull) / 2, (shared - hull) / 2, offset / 2
    low = (move - stretch - x.ends[0].sign_() * trade) / x.scale
    high = (move + stretch - x.ends[1].sign_() * trade) / x.scale
    if format == "xyxy":  # both ends of an inverted box are its first corner
        low, high = low + (1 - proper) * high, proper * high
    else:  # a negative side counts as 0, whatever it is
        side = high if format == "xywh" else (high - low) / 2
        low, high = low + high, proper * side
    return torch.stack([low, high]).permute(2, 0, 1).reshape(prediction.shape)


def _by_lengths(x: _Lengths, of: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The gradients (2, N) by own side, shared side, side of the hull and offset."""
    by_own = by_shared = by_hull = by_offset = torch.zeros_like(x.scale)
    inter, union = _areas(x)
    iou = _iou(x, inter, union)
    if "iou" in of or "hull_gap" in of:
        by_inter = by_area = torch.zeros_like(x.scale)
        if "iou" in of:  # d(I/U) = (1+IoU)/U dI - IoU/U dA, because U = A + A' - I
            slope = of["iou"] * _inverse(union)
            by_inter, by_area = (1 + iou) * slope, -iou * slope
        if "hull_gap" in of:  # d(1 - U/C) = (dI - dA)/C + U/C² dC
            inverse = _inverse(x.hull[0] * x.hull[1])
            slope = of["hull_gap"] * inverse
            by_inter, by_area = by_inter + slope, by_area - slope
            by_hull = slope * (union * inverse) * x.hull.flip(0)
        meets = x.shared.sign().add_(1).div_(2)
        by_shared = by_inter * meets * x.shared.clamp(min=0).flip(0)
        by_own = by_area * x.own.flip(0)
    if "center_distance" in of:
        inverse = _inverse(_squared(x.hull))
        slope = 2 * of["center_distance"] * inverse
        by_offset = slope * x.offset
        by_hull = by_hull - slope * (_squared(x.offset) * inverse) * x.hull
    if "side_distance" in of:
        inverse = _inverse(x.hull)
        share = (x.own - x.other) * inverse
        slope = 2 * of["side_distance"] * share * inverse
        by_own, by_hull = by_own + slope, by_hull - slope * share
    if "aspect_penalty" in of:  # d arctan(w/h) = (h dw - w dh)/(w² + h²)
        turn, alpha = _aspect(x, iou)
        slope = of["aspect_penalty"] * (alpha * turn * (8 / math.pi**2) / _squared(x.own).clamp_(min=_tiny(turn)))
        by_own = by_own + torch.stack([slope * x.own[1], -slope * x.own[0]])
    return by_own, by_shared, by_hull, by_offset


def _squared(rows: Tensor) -> Tensor:
    """The squared length of vectors."""
    return (rows[0] * rows[0]).addcmul_(rows[1], rows[1])


def _inverse(x: Tensor) -> Tensor:
    """1/x for x > 0, and 0 for 0."""
    return x.sign().div_(x.clamp(min=_tiny(x)))


def _tiny(x: Tensor) -> float:
    """The smallest normal number: what is divided by it is 0."""
    return torch.finfo(x.dtype).tiny
