"""The geometry of pairs of axis-aligned boxes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np

from lossary.array.namespace import Array, Namespace, eager, is_torch, namespace
from lossary.array.primitives import divide, has_tangent, learns, magnitude, sqrt, stop_gradient
from lossary.core.once import once

Format = Literal["xyxy", "xywh", "cxcywh"]


class Corners(NamedTuple):
    """Boxes as four coordinates of one shape; x2 ≥ x1 and y2 ≥ y1."""

    x1: Array
    y1: Array
    x2: Array
    y2: Array

    @property
    def width(self) -> Array:
        return self.x2 - self.x1

    @property
    def height(self) -> Array:
        return self.y2 - self.y1


class BoxPair:
    """Two arrays of boxes (..., 4) and the geometry between them; every quantity is computed at most once.

    Nearly every quantity here is a ratio, so it does not change when both boxes move or grow together. The coordinates
    are therefore taken relative to the enclosing box, whose longer side becomes 1: that leaves values and gradients as
    they are, and nothing over- or underflows, whether boxes are 1e-6 or 1e6 pixels wide. Shift and scale are constants
    in the gradient, which is exact because the derivative by either is 0. Lengths in the caller's unit are those of
    here times `scale`.

    The properties are the portable definition; `box_pair` puts what eager torch has computed in their place.
    """

    def __init__(self, xp: Namespace, read: Callable[[], tuple[Corners, Corners]]) -> None:
        self.xp, self._read = xp, read

    @classmethod
    def of(cls, xp: Namespace, prediction: Array, target: Array, format: Format) -> BoxPair:
        """The pair of two arrays (..., 4), whose corners are read when a quantity needs them."""
        return cls(xp, lambda: (corners(xp, prediction, format), corners(xp, target, format)))

    @once
    def _frame(self) -> tuple[Corners, Corners, Array]:
        """Prediction and target in the enclosing box, and its longer side."""
        xp, (p, t) = self.xp, self._read()
        left, top = xp.minimum(p.x1, t.x1), xp.minimum(p.y1, t.y1)
        right, bottom = xp.maximum(p.x2, t.x2), xp.maximum(p.y2, t.y2)
        side = xp.maximum(right - left, bottom - top)
        scale = stop_gradient(xp.where(side > 0, side, 1.0))  # two equal points have no scale
        x, y = stop_gradient(left), stop_gradient(top)

        def relative(box: Corners) -> Corners:
            return Corners((box.x1 - x) / scale, (box.y1 - y) / scale, (box.x2 - x) / scale, (box.y2 - y) / scale)

        return relative(p), relative(t), scale

    @once
    def prediction(self) -> Corners:
        return self._frame[0]

    @once
    def target(self) -> Corners:
        return self._frame[1]

    @once
    def scale(self) -> Array:
        """The longer side of the enclosing box in the caller's unit; 1 for two equal points."""
        return self._frame[2]

    # --- overlap ----------------------------------------------------------------------------------------------------

    @once
    def intersection(self) -> Array:
        xp, p, t = self.xp, self.prediction, self.target
        width = xp.minimum(p.x2, t.x2) - xp.maximum(p.x1, t.x1)
        height = xp.minimum(p.y2, t.y2) - xp.maximum(p.y1, t.y1)
        zero = xp.zeros_like(width)
        return xp.maximum(width, zero) * xp.maximum(height, zero)

    @once
    def union(self) -> Array:
        p, t = self.prediction, self.target
        return p.width * p.height + t.width * t.height - self.intersection

    @once
    def iou(self) -> Array:
        """Intersection over union; for boxes without area 1 where they are equal and 0 where not."""
        xp, p, t = self.xp, self.prediction, self.target
        union = self.union
        distance = (
            magnitude(xp, p.x1 - t.x1)
            + magnitude(xp, p.y1 - t.y1)
            + magnitude(xp, p.x2 - t.x2)
            + magnitude(xp, p.y2 - t.y2)
        )
        equal = stop_gradient(distance) == 0
        proper = xp.logical_not(union <= 0)  # NaN stays NaN
        return xp.where(proper, divide(xp, self.intersection, union), xp.where(equal, 1.0, xp.zeros_like(union)))

    # --- the enclosing box ------------------------------------------------------------------------------------------

    @once
    def hull_width(self) -> Array:
        xp, p, t = self.xp, self.prediction, self.target
        return xp.maximum(p.x2, t.x2) - xp.minimum(p.x1, t.x1)

    @once
    def hull_height(self) -> Array:
        xp, p, t = self.xp, self.prediction, self.target
        return xp.maximum(p.y2, t.y2) - xp.minimum(p.y1, t.y1)

    @once
    def hull_gap(self) -> Array:
        """|C∖(A∪B)|/|C|, the share of the enclosing box that neither box covers."""
        area = self.hull_width * self.hull_height
        return divide(self.xp, area - self.union, area)

    @once
    def squared_diagonal(self) -> Array:
        """c², of the enclosing box."""
        return self.hull_width**2 + self.hull_height**2

    # --- position ---------------------------------------------------------------------------------------------------

    @once
    def center_offset(self) -> tuple[Array, Array]:
        """From the centre of the target to that of the prediction."""
        p, t = self.prediction, self.target
        return (p.x1 + p.x2 - t.x1 - t.x2) / 2, (p.y1 + p.y2 - t.y1 - t.y2) / 2

    @once
    def squared_center_offset(self) -> Array:
        """ρ²."""
        dx, dy = self.center_offset
        return dx**2 + dy**2

    @once
    def center_distance(self) -> Array:
        """ρ²/c²: squared distance of the centres over squared diagonal of the enclosing box."""
        return divide(self.xp, self.squared_center_offset, self.squared_diagonal)

    @once
    def center_share(self) -> tuple[Array, Array]:
        """The centre's offset over the side of the enclosing box, along each axis."""
        dx, dy = self.center_offset
        return divide(self.xp, dx, self.hull_width), divide(self.xp, dy, self.hull_height)

    @once
    def squared_corner_offsets(self) -> tuple[Array, Array, Array, Array]:
        """The squared distances of the corners top left, top right, bottom right, bottom left from their targets."""
        p, t = self.prediction, self.target
        left, top, right, bottom = (p.x1 - t.x1) ** 2, (p.y1 - t.y1) ** 2, (p.x2 - t.x2) ** 2, (p.y2 - t.y2) ** 2
        return left + top, right + top, right + bottom, left + bottom

    @once
    def corner_distance(self) -> Array:
        """The mean distance of the four corners over the diagonal of the enclosing box, in [0, 1]."""
        xp = self.xp
        top_left, top_right, bottom_right, bottom_left = (sqrt(xp, d) for d in self.squared_corner_offsets)
        return divide(xp, (top_left + top_right + bottom_right + bottom_left) / 4, sqrt(xp, self.squared_diagonal))

    # --- shape ------------------------------------------------------------------------------------------------------

    @once
    def side_difference(self) -> tuple[Array, Array]:
        """Width and height of the prediction less those of the target."""
        p, t = self.prediction, self.target
        return p.width - t.width, p.height - t.height

    @once
    def side_distance(self) -> Array:
        """Δw²/C_w² + Δh²/C_h²: the differences of the sides over those of the enclosing box, squared."""
        xp, (dw, dh) = self.xp, self.side_difference
        return divide(xp, dw, self.hull_width) ** 2 + divide(xp, dh, self.hull_height) ** 2

    @once
    def aspect_difference(self) -> Array:
        """v = 4/π²·(arctan(w/h) - arctan(w'/h'))², in [0, 1]; a point has the aspect of the other box."""
        xp = self.xp
        angles: list[Array] = []
        for box in (self.prediction, self.target):
            point = xp.logical_and(box.width <= 0, box.height <= 0)
            # atan2 is the arctangent of the ratio without the division; at (0, 0) it has no gradient, so (1, 1) stands
            # in
            angles.append(xp.atan2(xp.where(point, 1.0, box.width), xp.where(point, 1.0, box.height)))
        p, t = self.prediction, self.target
        points = xp.logical_or(xp.logical_and(p.width <= 0, p.height <= 0), xp.logical_and(t.width <= 0, t.height <= 0))
        return 4 / math.pi**2 * xp.where(points, 0.0, angles[0] - angles[1]) ** 2

    @once
    def aspect_penalty(self) -> Array:
        """α·v with α = v/((1-IoU)+v) held constant (Zheng et al. 2020, eq. 11)."""
        v = self.aspect_difference
        return stop_gradient(divide(self.xp, v, 1.0 - self.iou + v)) * v

    # --- other pairs ------------------------------------------------------------------------------------------------

    def scaled(self, ratio: float) -> BoxPair:
        """Both boxes grown or shrunk about their own centres."""

        def scale(box: Corners) -> Corners:
            x, y, w, h = (box.x1 + box.x2) / 2, (box.y1 + box.y2) / 2, box.width * ratio / 2, box.height * ratio / 2
            return Corners(x - w, y - h, x + w, y + h)

        return BoxPair(self.xp, lambda: (scale(self.prediction), scale(self.target)))


def corners(xp: Namespace, boxes: Array, format: Format) -> Corners:
    """Boxes of any format as corners; negative sides become 0."""
    a, b, c, d = (boxes[..., i] for i in range(4))
    if format == "xyxy":
        return Corners(a, b, xp.maximum(a, c), xp.maximum(b, d))
    width, height = xp.maximum(c, xp.zeros_like(c)), xp.maximum(d, xp.zeros_like(d))
    if format == "cxcywh":
        a, b = a - width / 2, b - height / 2
    return Corners(a, b, a + width, b + height)


MEASURES = ("iou", "hull_gap", "center_distance", "side_distance", "aspect_penalty")
"""The properties of `BoxPair` that eager torch can compute in one operation."""


def box_pair(
    xp: Namespace, prediction: Array, target: Array, format: Format, measures: Callable[[], tuple[str, ...]]
) -> BoxPair:
    """The geometry of two arrays of boxes. `measures` tells which of the `MEASURES` are all that will be read.

    Where torch looks at one call after the other and only the prediction learns, these come from one operation with
    one gradient, which takes half of the time and keeps nothing but the boxes. Compilers fuse the portable formulas by
    themselves.
    """
    pair = BoxPair.of(xp, prediction, target, format)
    if is_torch(prediction) and _in_reverse(prediction, target):
        wanted = measures()
        if wanted and prediction.shape == target.shape:  # all pairs of two sets are broadcast
            from lossary.array.torch_boxes import BoxGeometry

            operation: Any = BoxGeometry
            found = operation.apply(_portable, format, wanted, prediction, target)
            vars(pair).update(zip(wanted, found, strict=True))
    return pair


def _in_reverse(prediction: Array, target: Array) -> bool:
    """Whether torch runs eagerly and differentiates backwards, if at all, and by the prediction alone."""
    return eager(prediction) and eager(target) and not learns(target) and not has_tangent(prediction)


def measures_read(formula: Callable[[Namespace, BoxPair], Array]) -> tuple[str, ...]:
    """The measures that a formula reads, found by evaluating it on one pair of boxes; none where it reads other
    geometry too, which needs most of the same work once more."""
    import array_api_compat.numpy as xp

    boxes = np.array([[0.0, 0, 1, 1]]), np.array([[0.0, 0, 2, 1]])
    first, second = (BoxPair.of(xp, *boxes, "xyxy") for _ in range(2))
    formula(xp, first)
    read = {name: vars(first)[name] for name in MEASURES if name in vars(first)}
    vars(second).update(read)
    formula(xp, second)
    return () if "_frame" in vars(second) else tuple(read)


def _portable(format: Format, wanted: tuple[str, ...], prediction: Array, target: Array) -> tuple[Array, ...]:
    """The measures by their definition, for gradients of the gradient."""
    pair = BoxPair.of(namespace(prediction), prediction, target, format)
    return tuple(getattr(pair, name) for name in wanted)
