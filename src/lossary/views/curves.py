"""The curve of a loss: its value and its slope along an axis of its family, computed with NumPy alone.

An axis says which prediction and target belong to a place on it, so a curve shows the loss that a caller gets, its
reduction included. Slopes are central differences of the value. Where a loss holds a factor constant in its gradient
(the α of CIoU), what training follows differs from that.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossary.core.compound import SumLoss
from lossary.core.families import PointwiseLoss
from lossary.core.loss import Loss
from lossary.views.axes import Axis, common_axis, parts, settings
from lossary.views.description import plain

Numbers = NDArray[np.float64]

STEP = 1e-5
"""Half the width of the central differences: their error, about STEP² + 1e-16/STEP, is far below a pixel."""


@dataclasses.dataclass(frozen=True, eq=False)
class Curve:
    """The value and slope of a loss over an axis; NaN where there is none (at a jump, the slope at a kink)."""

    loss: Loss
    axis: Axis
    x: Numbers
    value: Numbers
    slope: Numbers

    def to_dict(self) -> dict[str, Any]:
        """Plain types for JSON; None where a number is not finite."""
        return {
            "loss": plain(self.loss.to_dict()),
            "axis": self.axis.name,
            "label": self.axis.label,
            "slope_label": self.axis.slope_label,
            "x": [round(float(x), 7) for x in self.x],
            "value": [_rounded(v) for v in self.value],
            "slope": [_rounded(s) for s in self.slope],
        }


def _rounded(value: float) -> float | None:
    """A number without the digits that rounding left in the difference."""
    return round(float(value), 7) + 0.0 if math.isfinite(value) else None


# --- value and slope --------------------------------------------------------------------------------------------------


def curves(losses: Sequence[Loss], axis: str | None = None, limits: tuple[float, float] | None = None) -> list[Curve]:
    """The curves of several losses over one axis.

    Args:
        losses: of one family, or of families that share an axis.
        axis: its name; the first that all the losses have if None.
        limits: where the axis begins and ends; a range that shows what matters if None.

    >>> import lossary
    >>> huber, = curves([lossary.HuberLoss()])
    >>> huber.axis.name, float(huber.value[0]), round(float(huber.slope[0]), 6)
    ('e', 2.5, -1.0)
    """
    chosen = common_axis(losses, axis)
    low, high = _limits(losses, chosen, limits)
    return [_curve(loss, chosen, low, high) for loss in losses]


def value_and_slope(loss: Loss, x: float, axis: str | None = None) -> tuple[float, float]:
    """The value of a loss at one place of an axis, and its slope there by central difference.

    >>> import lossary
    >>> value, slope = value_and_slope(lossary.BCELoss(), 0.5)
    >>> round(value, 4), round(slope, 4)
    (0.6931, -0.5)
    """
    chosen = common_axis([loss], axis)
    value = _function(loss, chosen)
    low, high = chosen.limits
    u, step = chosen.coordinate(x), (high - low) / (chosen.points - 1) if chosen.counts else STEP
    return value(u), (value(u + step) - value(u - step)) / (2 * step)


def _limits(losses: Sequence[Loss], axis: Axis, limits: tuple[float, float] | None) -> tuple[float, float]:
    """The range of a picture, checked; on an axis of lengths one that holds the lengths among the options."""
    least, most = axis.limits
    if limits is not None:
        low, high = limits
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ValueError(f"`limits` must be two finite numbers, the smaller first; got {low:g} and {high:g}")
        if not axis.open and (low < least or high > most):
            raise ValueError(
                f"`limits` must lie in [{least:g}, {most:g}] on the axis {axis.name!r}; got {low:g} and {high:g}"
            )
        return low, high
    if axis.length:
        every = [part for loss in losses for part in parts(loss)]
        ends = [part.domain("target").high for part in every if isinstance(part, PointwiseLoss)]
        if max(ends) < math.inf:  # errors are no larger than targets
            return -1.5 * max(ends), 1.5 * max(ends)
        numbers = [v for part in every for _, v in settings(part) if type(v) is float]
        most = max([most, *(1.5 * n for n in numbers if n <= 100)])
        least = -most
    return least, most


def _curve(loss: Loss, axis: Axis, low: float, high: float) -> Curve:
    value = _function(loss, axis)
    if axis.counts:
        x = np.linspace(*axis.limits, axis.points)
        x = x[(x >= low) & (x <= high)]
        if x.size < 3:
            raise ValueError(f"`limits` must hold three of the {axis.points} places of the axis {axis.name!r}")
        values = np.array([value(u) for u in x])
        slopes = np.gradient(values, x, edge_order=2)
        slopes[np.abs(slopes) < 1e-9 * np.max(np.abs(values))] = 0.0  # rounding, where the value does not change
        return Curve(loss, axis, x, values, slopes)
    # evenly in x where a picture is even in x, evenly in the logarithm where that is what it shows
    evenly = np.linspace(axis.coordinate(low), axis.coordinate(high), axis.points)
    u = evenly if axis.logarithmic else np.array([axis.coordinate(x) for x in np.linspace(low, high, axis.points)])

    def slope(at: float) -> float:
        return (value(at + STEP) - value(at - STEP)) / (2 * STEP)

    jumps = _breaks(value, u)
    u = _without(u, jumps)
    kinks = [at for at in _breaks(slope, u) if all(abs(at - jump) > 10 * STEP for jump in jumps)]
    u = _without(u, kinks)
    values, slopes = np.array([value(at) for at in u]), np.array([slope(at) for at in u])
    values[np.isin(u, jumps)] = np.nan
    slopes[np.isin(u, [*jumps, *kinks])] = np.nan
    return Curve(loss, axis, np.array([axis.place(at) for at in u]), values, slopes)


def _function(loss: Loss, axis: Axis) -> Callable[[float], float]:
    """The value of the loss as a function of the axis' coordinate."""
    laid_out = _laid_out(loss)

    @functools.cache
    def value(u: float) -> float:
        prediction, target = axis.pair(laid_out, u)
        with np.errstate(all="ignore"):  # a curve may leave the domain of its loss: that is a gap in it
            result: Any = laid_out(prediction, target, **axis.operands(laid_out))
            return float(np.asarray(result).mean())

    return value


def _laid_out(loss: Loss) -> Loss:
    """The same function with its input laid out as the axes lay it out."""
    if isinstance(loss, SumLoss):
        return SumLoss(tuple((weight, _laid_out(part)) for weight, part in loss.terms))
    layout = {
        "class_axis": 1,
        "ignore_index": None,
        "from_logits": True,
        "format": "xyxy",
        "prediction_form": "logits",
        "target_form": "probs",
    }
    if loss.reduction == "none":
        layout["reduction"] = "mean"
    names = {name for name, _, _ in loss.options()}
    return loss.replace(**{name: value for name, value in layout.items() if name in names})


# --- kinks and jumps --------------------------------------------------------------------------------------------------


def _breaks(f: Callable[[float], float], u: Numbers, most: int = 12) -> list[float]:
    """Where `f` jumps: changes between neighbours of `u` that stay however close one looks."""
    values = np.array([f(at) for at in u])
    change = np.abs(np.diff(values))
    finite = np.isfinite(change)
    if not finite.any():
        return []
    known = values[np.isfinite(values)]
    size = float(np.max(known)) - float(np.min(known))
    if size < 1e-8 * float(np.max(np.abs(known))):
        return []  # the slope of a straight line: what changes there is the rounding of the differences
    suspects = [int(i) for i in np.argsort(-np.where(finite, change, 0.0))[:most] if change[i] > 0.04 * size > 0]
    found = sorted(at for i in suspects if (at := _jump(f, float(u[i]), float(u[i + 1]))) is not None)
    # a jump at a point of the grid is found from both sides
    merged: list[list[float]] = []
    for at in found:
        if merged and at - merged[-1][-1] < 10 * STEP:
            merged[-1].append(at)
        else:
            merged.append([at])
    return [sum(group) / len(group) for group in merged]


def _jump(f: Callable[[float], float], low: float, high: float) -> float | None:
    """The place of a jump between two points, by bisection; None where the function only is steep there."""
    at_low, at_high = f(low), f(high)
    whole = abs(at_high - at_low)
    while high - low > 4 * STEP:
        middle = (low + high) / 2
        at_middle = f(middle)
        if abs(at_middle - at_low) > abs(at_high - at_middle):
            high, at_high = middle, at_middle
        else:
            low, at_low = middle, at_middle
    return (low + high) / 2 if abs(at_high - at_low) > 0.4 * whole else None


def _without(u: Numbers, breaks: Sequence[float]) -> Numbers:
    """The grid with each break in it, and beside it two points that are just far enough for a slope of their own."""
    for at in breaks:
        u = u[np.abs(u - at) > 5 * STEP]
        u = np.sort(np.append(u, [at - 5 * STEP, at, at + 5 * STEP]))
    return u
