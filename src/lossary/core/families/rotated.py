"""Losses of two rotated boxes, each taken for a Gaussian distribution."""

from __future__ import annotations

import abc
from typing import ClassVar

from lossary.array.namespace import Array, Namespace
from lossary.array.primitives import apply_where, magnitude, sqrt, stop_gradient, tiny
from lossary.core.families.box import Numbers, PairLoss
from lossary.core.families.box_pair import once
from lossary.core.loss import family

THINNEST = 1e-6
"""The least side of a box, as a share of the longest length of its pair, where a formula divides by it."""


class GaussianPair:
    """Two rotated boxes (cx, cy, w, h, angle) and the Gaussians that stand for them.

    A box is the Gaussian of its centre whose axes are its sides, so nothing jumps where an angle does: (w, h, θ) and
    (h, w, θ + π/2) are one distribution, and so are all angles of a square. Every formula needs the angles only by
    sin²δ and sin δ cos δ of their difference δ, and the centre's offset in the frame of the target. Lengths are in
    units of the longest of the pair, a constant in the gradient, so that nothing over- or underflows; those of the
    caller are these times `scale`.
    """

    def __init__(self, xp: Namespace, prediction: Array, target: Array) -> None:
        self.xp = xp
        x, y, *sides, angle = (prediction[..., i] for i in range(5))
        x_t, y_t, *sides_t, angle_t = (target[..., i] for i in range(5))
        lengths = [x - x_t, y - y_t, *(xp.where(side < 0, 0.0, side) for side in (*sides, *sides_t))]
        longest = magnitude(xp, lengths[0])
        for length in lengths[1:]:
            longest = xp.maximum(longest, magnitude(xp, length))
        self.scale = stop_gradient(xp.where(longest > 0, longest, 1.0))  # two equal points have no scale
        dx, dy, self.width, self.height, self.target_width, self.target_height = (
            length / self.scale for length in lengths
        )
        cos, sin = xp.cos(angle_t), xp.sin(angle_t)
        self.offset = dx * cos + dy * sin, dy * cos - dx * sin
        """Of the centres, along width and height of the target."""
        self.sin, self.cos = xp.sin(angle - angle_t), xp.cos(angle - angle_t)

    @once
    def thick(self) -> tuple[Array, Array, Array, Array]:
        """Width and height of the prediction and of the target, none below `THINNEST`: a Gaussian without width has no
        density, and a divergence from it no value."""
        sides = (self.width, self.height, self.target_width, self.target_height)
        return tuple(self.xp.where(side < THINNEST, THINNEST, side) for side in sides)  # pyright: ignore

    @once
    def wasserstein(self) -> Array:
        """The squared Wasserstein distance, with covariances of half sides squared."""
        xp, (x, y) = self.xp, self.offset
        # with the sides of each box in units of its longer one, the trace of the paper's root is √(m² - turned); what
        # it lacks to m is turned/(m + root), so nothing cancels, and equal boxes give 0
        w, h, long = _in_longer_side(xp, self.width, self.height)
        w_t, h_t, long_t = _in_longer_side(xp, self.target_width, self.target_height)
        mixed = w * w_t + h * h_t
        turned = self.sin**2 * ((w - h) * (w + h)) * ((w_t - h_t) * (w_t + h_t))
        both = mixed + sqrt(xp, xp.maximum(mixed**2 - turned, xp.zeros_like(mixed)))
        lacks = long * long_t * apply_where(xp, both > tiny(xp, both) ** 0.5, lambda z: 1 / z, both, 0.0) * turned
        sides = (self.width - self.target_width) ** 2 + (self.height - self.target_height) ** 2
        return x**2 + y**2 + (sides + 2 * lacks) / 4

    @once
    def divergence(self) -> Array:
        """KL(prediction ‖ target): the first box's from the second's."""
        xp, (w, h, w_t, h_t), (x, y) = self.xp, self.thick, self.offset

        def stretch(ratio: Array) -> Array:  # r² - 1 - ln r², 0 where sides are equal
            return (ratio - 1) * (ratio + 1) - 2 * xp.log(ratio)

        turned = self.sin**2 * (h**2 - w**2) * ((1 / w_t - 1 / h_t) * (1 / w_t + 1 / h_t))
        distance = (2 * x / w_t) ** 2 + (2 * y / h_t) ** 2
        value = (distance + stretch(w / w_t) + stretch(h / h_t) + turned) / 2
        return xp.maximum(value, xp.zeros_like(value))  # rounding may take it below

    @once
    def bhattacharyya(self) -> Array:
        """The Bhattacharyya distance of the uniform distributions' Gaussians."""
        xp, (w, h, w_t, h_t), (x, y) = self.xp, self.thick, self.offset
        a, b, a_t, b_t = w**2, h**2, w_t**2, h_t**2
        # covariances are squared sides over 12; their sum in the frame of the target, in units of its diagonal at δ = 0
        along, across = a + a_t, b + b_t
        x, y = x / xp.sqrt(along), y / xp.sqrt(across)
        long = self.sin * (a - b)
        mixed = long * self.cos / xp.sqrt(along) / xp.sqrt(across)
        squared = (1 + self.sin * long / across) * x**2 + (1 - self.sin * long / along) * y**2 - 2 * mixed * x * y
        distance = squared / (1 + self.sin * long / along * ((a_t - b_t) / across))
        # the determinant of the sum over the geometric mean of those of the two, less 1
        wider, higher = (w - w_t) ** 2 / (2 * w * w_t), (h - h_t) ** 2 / (2 * h * h_t)
        shape = wider + higher + wider * higher + self.sin * long / (2 * w * h) * ((a_t - b_t) / (2 * w_t * h_t))
        zero = xp.zeros_like(shape)
        return 3 * xp.maximum(distance, zero) + xp.log1p(xp.maximum(shape, zero)) / 2


def _in_longer_side(xp: Namespace, width: Array, height: Array) -> tuple[Array, Array, Array]:
    """The sides in units of the longer one, and that; 1 for a point."""
    longer = xp.maximum(width, height)
    longer = stop_gradient(xp.where(longer > 0, longer, 1.0))
    return width / longer, height / longer, longer


@family
class RotatedBoxLoss(PairLoss):
    """Losses between pairs of rotated boxes.

    `prediction` and `target` have one shape (..., 5): centre x and y, width, height, and the angle of the width to the
    x axis in radians, in the direction from x to y. The unreduced loss has the leading shape. A negative width or
    height counts as 0; `with lossary.checked()` names it.
    """

    family_name: ClassVar[str] = "rotated box"
    numbers = (5, "five")

    @abc.abstractmethod
    def values(self, xp: Namespace, pair: GaussianPair) -> Array:
        """The formula."""

    def pair(self, xp: Namespace, prediction: Array, target: Array) -> GaussianPair:
        return GaussianPair(xp, prediction, target)

    def preparation_key(self) -> str:
        return "rotated boxes"

    def sides(self, boxes: Numbers) -> tuple[Numbers, str]:
        return boxes[..., 2:4], "Are these corners? A rotated box is (cx, cy, w, h, angle)."
