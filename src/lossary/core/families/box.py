"""Losses of the geometry of two boxes."""

from __future__ import annotations

import abc
import math
from typing import ClassVar, Literal, NamedTuple

import numpy as np

from lossary.array.namespace import Array, Namespace, to_numpy
from lossary.array.primitives import divide, sizes, sqrt, stop_gradient
from lossary.core import contract
from lossary.core.families.elements import keep, weighted
from lossary.core.loss import Loss, Taxonomy, family
from lossary.core.once import once
from lossary.core.options import option
from lossary.core.reduction import Terms

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
    """Two boxes and the geometry between them; every quantity is computed at most once.

    Nearly every quantity here is a ratio, so it does not change when both boxes move or grow together. The coordinates
    are therefore taken relative to the enclosing box, whose longer side becomes 1: that leaves values and gradients as
    they are, and nothing over- or underflows, whether boxes are 1e-6 or 1e6 pixels wide. Shift and scale are constants
    in the gradient, which is exact because the derivative by either is 0. Lengths in the caller's unit are those of
    here times `scale`.
    """

    def __init__(self, xp: Namespace, prediction: Corners, target: Corners) -> None:
        self.xp = xp
        left, top = xp.minimum(prediction.x1, target.x1), xp.minimum(prediction.y1, target.y1)
        right, bottom = xp.maximum(prediction.x2, target.x2), xp.maximum(prediction.y2, target.y2)
        side = xp.maximum(right - left, bottom - top)
        self.scale = scale = stop_gradient(xp.where(side > 0, side, 1.0))  # two equal points have no scale
        x, y = stop_gradient(left), stop_gradient(top)

        def relative(box: Corners) -> Corners:
            return Corners((box.x1 - x) / scale, (box.y1 - y) / scale, (box.x2 - x) / scale, (box.y2 - y) / scale)

        self.prediction, self.target = relative(prediction), relative(target)

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
        distance = xp.abs(p.x1 - t.x1) + xp.abs(p.y1 - t.y1) + xp.abs(p.x2 - t.x2) + xp.abs(p.y2 - t.y2)
        equal = stop_gradient(distance) == 0
        return xp.where(union > 0, divide(xp, self.intersection, union), xp.where(equal, 1.0, xp.zeros_like(union)))

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

        return BoxPair(self.xp, scale(self.prediction), scale(self.target))


class Boxes(NamedTuple):
    """A prepared batch of box pairs."""

    xp: Namespace
    pair: BoxPair
    counted: Array | None
    weight: Array | None


@family
class BoxLoss(Loss):
    """Losses between pairs of boxes.

    `prediction` and `target` have one shape (..., 4), in the same `format`: corners `"xyxy"`, corner and size
    `"xywh"`, or centre and size `"cxcywh"`. The unreduced loss has the leading shape. A box whose sides are negative
    (x2 < x1) counts as one of width or height 0; `with lossary.checked()` names it.
    """

    family_name: ClassVar[str] = "box"
    family_taxonomy: ClassVar[Taxonomy] = "regression"

    format: Format = option(default="xyxy")

    @abc.abstractmethod
    def values(self, xp: Namespace, pair: BoxPair) -> Array:
        """The formula."""

    def preparation_key(self) -> tuple[str, ...]:
        return ("boxes", self.format)

    def encode(self, given: contract.Arguments) -> Boxes:
        name, xp, prediction, target = given.name, given.xp, given.prediction, given.target
        contract.same_shape(name, prediction, target)
        shape = sizes(prediction)
        if not shape or shape[-1] != 4:
            raise ValueError(f"{name}: `prediction` has shape {shape}; boxes need four numbers on the last axis")
        counted, weight = given.places(shape[:-1])
        pair: list[Corners] = []
        for argument, boxes in (("prediction", prediction), ("target", target)):
            if contract.checking(boxes):
                self._check_boxes(argument, boxes, counted)
            boxes = keep(xp, counted, contract.cast(xp, boxes, given.dtype), -1)
            pair.append(corners(xp, boxes, self.format))
        return Boxes(xp, BoxPair(xp, *pair), counted, weight)

    def evaluate(self, batch: Boxes) -> Terms:
        return weighted(batch.xp, self.values(batch.xp, batch.pair), batch.counted, batch.weight)

    def _check_boxes(self, argument: str, boxes: Array, counted: Array | None) -> None:
        """Finite coordinates, sides that are not negative."""
        name = type(self).__name__
        contract.within(
            name, argument, boxes, -math.inf, math.inf, None if counted is None else to_numpy(counted)[..., None]
        )
        values = to_numpy(boxes)
        sides = values[..., 2:] - values[..., :2] if self.format == "xyxy" else values[..., 2:]
        bad = (sides < 0).any(-1)
        if counted is not None:
            bad &= to_numpy(counted)
        if bad.any():
            position = [int(i) for i in np.argwhere(bad)[0]]
            box = [float(v) for v in values[tuple(position)]]
            hint = "Is the format 'xywh' or 'cxcywh'?" if self.format == "xyxy" else "Is the format 'xyxy'?"
            raise ValueError(f"{name}: `{argument}` at {position} is {box}, a box of negative width or height. {hint}")


def corners(xp: Namespace, boxes: Array, format: Format) -> Corners:
    """Boxes of any format as corners; negative sides become 0."""
    a, b, c, d = (boxes[..., i] for i in range(4))
    if format == "xyxy":
        return Corners(a, b, xp.maximum(a, c), xp.maximum(b, d))
    width, height = xp.maximum(c, xp.zeros_like(c)), xp.maximum(d, xp.zeros_like(d))
    if format == "cxcywh":
        a, b = a - width / 2, b - height / 2
    return Corners(a, b, a + width, b + height)
