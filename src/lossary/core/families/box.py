"""Losses of the geometry of two boxes."""

from __future__ import annotations

import abc
import functools
import math
from typing import Any, ClassVar, NamedTuple

import numpy as np

from lossary.array.namespace import Array, Namespace, to_numpy
from lossary.array.primitives import sizes
from lossary.core import contract
from lossary.core.families.box_pair import BoxPair, Format, box_pair, measures_read
from lossary.core.families.elements import keep, weighted
from lossary.core.loss import Loss, Taxonomy, family
from lossary.core.options import option
from lossary.core.reduction import Terms

Numbers = np.ndarray[Any, np.dtype[Any]]


class Boxes(NamedTuple):
    """A prepared batch of box pairs."""

    xp: Namespace
    pair: Any  # what the formulas of the family read
    counted: Array | None
    weight: Array | None


@family
class PairLoss(Loss):
    """Losses between two arrays of boxes, of a few numbers each on the last axis."""

    family_taxonomy: ClassVar[Taxonomy] = "regression"
    numbers: ClassVar[tuple[int, str]]
    """How many numbers a box is, and that in a word."""

    @abc.abstractmethod
    def values(self, xp: Namespace, pair: Any) -> Array:
        """The formula."""

    @abc.abstractmethod
    def pair(self, xp: Namespace, prediction: Array, target: Array) -> Any:
        """What the formulas of this family read."""

    @abc.abstractmethod
    def sides(self, boxes: Numbers) -> tuple[Numbers, str]:
        """Width and height of boxes (..., 2), and what may be wrong where one is negative."""

    def encode(self, given: contract.Arguments) -> Boxes:
        name, xp, prediction, target = given.name, given.xp, given.prediction, given.target
        contract.same_shape(name, prediction, target)
        shape, (count, word) = sizes(prediction), self.numbers
        if not shape or shape[-1] != count:
            raise ValueError(f"{name}: `prediction` has shape {shape}; boxes need {word} numbers on the last axis")
        counted, weight = given.places(shape[:-1])
        both: list[Array] = []
        for argument, boxes in (("prediction", prediction), ("target", target)):
            if contract.checking(boxes):
                self._check_boxes(argument, boxes, counted)
            both.append(keep(xp, counted, contract.cast(xp, boxes, given.dtype), -1))
        return Boxes(xp, self.pair(xp, *both), counted, weight)

    def evaluate(self, batch: Boxes) -> Terms:
        return weighted(batch.xp, self.values(batch.xp, batch.pair), batch.counted, batch.weight)

    def _check_boxes(self, argument: str, boxes: Array, counted: Array | None) -> None:
        """Finite numbers, sides that are not negative."""
        name = type(self).__name__
        contract.within(
            name, argument, boxes, -math.inf, math.inf, None if counted is None else to_numpy(counted)[..., None]
        )
        values = to_numpy(boxes)
        sides, hint = self.sides(values)
        bad = (sides < 0).any(-1)
        if counted is not None:
            bad &= to_numpy(counted)
        if bad.any():
            position = [int(i) for i in np.argwhere(bad)[0]]
            box = [float(v) for v in values[tuple(position)]]
            raise ValueError(f"{name}: `{argument}` at {position} is {box}, a box of negative width or height. {hint}")


@family
class BoxLoss(PairLoss):
    """Losses between pairs of boxes whose sides are parallel to the axes.

    `prediction` and `target` have one shape (..., 4), in the same `format`: corners `"xyxy"`, corner and size
    `"xywh"`, or centre and size `"cxcywh"`. The unreduced loss has the leading shape. A box whose sides are negative
    (x2 < x1) counts as one of width or height 0; `with lossary.checked()` names it.
    """

    family_name: ClassVar[str] = "box"
    numbers = (4, "four")

    format: Format = option(default="xyxy")

    @abc.abstractmethod
    def values(self, xp: Namespace, pair: BoxPair) -> Array:
        """The formula."""

    def pair(self, xp: Namespace, prediction: Array, target: Array) -> BoxPair:
        return box_pair(xp, prediction, target, self.format, lambda: _measures(self))

    def preparation_key(self) -> tuple[str, ...]:
        return ("boxes", self.format)

    def sides(self, boxes: Numbers) -> tuple[Numbers, str]:
        if self.format == "xyxy":
            return boxes[..., 2:] - boxes[..., :2], "Is the format 'xywh' or 'cxcywh'?"
        return boxes[..., 2:], "Is the format 'xyxy'?"


@functools.cache
def _measures(loss: BoxLoss) -> tuple[str, ...]:
    return measures_read(loss.values)
