"""The axes that losses are drawn over: which prediction and target belong to a place on one, and whose axis it is."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from lossary.core.compound import SumLoss
from lossary.core.families import (
    AngularLoss,
    BalancedLoss,
    BoxLoss,
    DistanceLoss,
    DistanceMapLoss,
    DivergenceLoss,
    LikelihoodLoss,
    MarginLoss,
    MaskLoss,
    NamedSumLoss,
    PointwiseLoss,
    RotatedBoxLoss,
    SigmoidLoss,
    SimilarityLoss,
)
from lossary.core.families.classification import ClassificationLoss
from lossary.core.families.region import OverlapLoss
from lossary.core.loss import Loss
from lossary.losses.embedding import CenterLoss

Pair = tuple[NDArray[Any], NDArray[Any]]


def _same(x: float) -> float:
    return x


def _none(loss: Loss) -> Mapping[str, NDArray[Any]]:
    return {}


@dataclasses.dataclass(frozen=True)
class Axis:
    """What a curve runs over."""

    name: str  # what `--axis` calls it
    label: str
    slope_label: str
    scene: str  # what is held fixed meanwhile; empty where nothing is
    limits: tuple[float, float]
    pair: Callable[[Loss, float], Pair]  # prediction and target at a coordinate
    # the slope is by the coordinate: the logit where the axis shows a probability, the logarithm where it shows a ratio
    coordinate: Callable[[float], float] = _same
    place: Callable[[float], float] = _same  # the inverse of `coordinate`
    points: int = 201
    counts: bool = False  # whether it counts things: then there is nothing between two points
    logarithmic: bool = False
    open: bool = False  # whether it goes on beyond `limits`
    length: bool = False  # whether options such as Huber's delta are lengths on it, which a picture must hold
    operands: Callable[[Loss], Mapping[str, NDArray[Any]]] = _none  # what else the call takes, wherever on the axis


# --- what stands on the axes ------------------------------------------------------------------------------------------


def _classes(loss: Loss, least: int) -> int:
    """How many classes the loss is about: as many as it has weights or names, and `least` if that is open."""
    counts = [least]
    for part in parts(loss):
        for name, value in settings(part):
            if isinstance(value, tuple):
                numbers = cast("tuple[float, ...]", value)
                counts.append(int(max(numbers)) + 1 if name == "classes" else len(numbers))
    return max(counts)


def settings(loss: Loss) -> list[tuple[str, Any]]:
    """The options of a loss and their values."""
    return [(name, getattr(loss, name)) for name, _, _ in loss.options()]


def _task(loss: Loss) -> str:
    return next(part.task for part in parts(loss) if isinstance(part, ClassificationLoss))


def _residual(loss: Loss, error: float) -> Pair:
    # a target of 1, so that losses relative to the target have a value, or one that keeps the axis inside the domain of
    # predictions; one sample of one number
    lows = [part.domain("prediction").low for part in parts(loss) if isinstance(part, PointwiseLoss)]
    target = max(1.0, *(low + 4.0 for low in lows))
    return np.array([[target + error]]), np.array([[target]])


def _variance(loss: Loss) -> dict[str, NDArray[Any]]:
    """Where the loss takes a variance it is 1."""
    return {"variance": np.ones((1, 1))} if any("variance" in part.takes for part in parts(loss)) else {}


def _scores(loss: Loss, score: float) -> Pair:
    """One place whose true answer has this score, and whose other classes have 0."""
    task = _task(loss)
    if task == "binary":
        return np.array([score]), np.array([1])
    if task == "multilabel":
        shape = (1, _classes(loss, least=1))
        return np.full(shape, score), np.ones(shape, dtype=int)
    return np.array([[score] + [0.0] * (_classes(loss, least=2) - 1)]), np.array([0])


def _likelihood(loss: Loss, logit: float) -> Pair:
    """One place whose true answer has the probability σ(logit)."""
    others = _classes(loss, least=2) - 1 if _task(loss) == "multiclass" else 1
    return _scores(loss, logit + math.log(others))


def _distributions(loss: Loss, logit: float) -> Pair:
    return np.array([[logit, 0.0]]), np.array([[0.7, 0.3]])


def _region(loss: Loss, share: float) -> Pair:
    """An image of 20 × 20 pixels with an object of 10 × 10, of which columns are found from left to right."""
    truth = np.zeros((20, 20), dtype=int)
    truth[5:15, 5:15] = 1
    found = np.zeros(100, dtype=bool)
    found[: round(share * 100)] = True
    p = np.full((20, 20), 0.05)
    p[5:15, 5:15] = np.where(found.reshape(10, 10).T, 0.95, 0.05)
    return _as_scores(loss, p, truth)


def _as_scores(loss: Loss, p: NDArray[Any], truth: NDArray[Any]) -> Pair:
    """One image with the probability of its object, as the task of the loss has it."""
    score, task = np.log(p / (1 - p)), _task(loss)
    if task == "binary":
        return score[None], truth[None]
    if task == "multilabel":
        classes = _classes(loss, least=1)
        return np.stack([score] * classes)[None], np.stack([truth] * classes)[None]
    absent = [np.full(p.shape, -30.0)] * (_classes(loss, least=2) - 2)
    return np.stack([np.zeros(p.shape), score, *absent])[None], truth[None]


def _shifted(loss: Loss, offset: float) -> Pair:
    """An image of 12 × 36 pixels with an object of 6 × 8, which is found so many columns to the right."""
    truth, found = np.zeros((12, 36), dtype=int), np.full((12, 36), 0.05)
    truth[3:9, 4:12] = 1
    found[3:9, 4 + round(offset) : 12 + round(offset)] = 0.95
    return _as_scores(loss, found, truth)


def _against_square(loss: Loss, x: float, width: float, height: float) -> Pair:
    """A box of a centre on the x axis and of these sides, and the unit square in the middle."""
    if isinstance(parts(loss)[0], RotatedBoxLoss):
        return np.array([[x, 0.0, width, height, 0.0]]), np.array([[0.0, 0.0, 1.0, 1.0, 0.0]])
    prediction = np.array([[x - width / 2, -height / 2, x + width / 2, height / 2]])
    return prediction, np.array([[-0.5, -0.5, 0.5, 0.5]])


def _offset(loss: Loss, offset: float) -> Pair:
    return _against_square(loss, offset, 1.0, 1.0)


def _scale(loss: Loss, log_scale: float) -> Pair:
    return _against_square(loss, 0.0, math.exp(log_scale), math.exp(log_scale))


def _ratio(loss: Loss, log_ratio: float) -> Pair:
    return _against_square(loss, 0.0, math.exp(log_ratio / 2), math.exp(-log_ratio / 2))


def _rotated(loss: Loss, angle: float) -> Pair:
    return np.array([[0.0, 0.0, 3.0, 1.0, angle]]), np.array([[0.0, 0.0, 3.0, 1.0, 0.0]])


def _turned(loss: Loss, angle: float) -> Pair:
    """A feature of length 1 that turns away from the first prototype, at a right angle to the others."""
    others = np.zeros(_classes(loss, least=2) - 1)
    return np.array([[math.cos(angle), *others, math.sin(angle)]]), np.array([0])


def _prototypes(loss: Loss) -> Mapping[str, NDArray[Any]]:
    classes = _classes(loss, least=2)
    return {"prototypes": np.eye(classes, classes + 1)}


def _apart(loss: Loss, distance: float) -> Pair:
    return np.array([[distance, 0.0]]), np.array([0])


def _centers(loss: Loss) -> Mapping[str, NDArray[Any]]:
    return {"centers": np.zeros((_classes(loss, least=1), 2))}


def _alike(loss: Loss, cosine: float) -> Pair:
    """Two features of one class, and at a right angle to both one of another; all of length 1."""
    sine = math.sqrt(max(0.0, 1.0 - cosine * cosine))
    return np.array([[1.0, 0.0, 0.0], [cosine, sine, 0.0], [0.0, 0.0, 1.0]]), np.array([0, 0, 1])


def _near(loss: Loss, distance: float) -> Pair:
    return _alike(loss, 1.0 - distance * distance / 2.0)


def _logit(p: float) -> float:
    return math.log(p) - math.log1p(-p)


def _sigmoid(z: float) -> float:
    return 1.0 / (1.0 + math.exp(-z))


ERROR = Axis(
    "e",
    "error e = prediction − target",
    "slope dℓ/de",
    "",
    limits=(-3, 3),
    pair=_residual,
    operands=_variance,
    open=True,
    length=True,
)
MARGIN = Axis(
    "m",
    "margin m, how far the score of the true answer is ahead",
    "slope dℓ/dm",
    "",
    limits=(-3, 3),
    pair=_scores,
    open=True,
)
PROBABILITY = Axis(
    "p_t",
    "probability pₜ of the true answer",
    "slope by the logit of the true answer",
    "",
    limits=(0.002, 0.998),
    pair=_likelihood,
    coordinate=_logit,
    place=_sigmoid,
)
TWO_CLASSES = Axis(
    "p",
    "predicted probability p of the first of two classes",
    "slope by the logit of p",
    "target (0.7, 0.3)",
    limits=(0.002, 0.998),
    pair=_distributions,
    coordinate=_logit,
    place=_sigmoid,
)
SHARE = Axis(
    "tp",
    "share of the object's pixels that are found",
    "slope by the share",
    "object of 10 × 10 in 20 × 20 pixels, p = 0.95 where found and 0.05 elsewhere; "
    "multiclass: mean over object and background",
    limits=(0, 1),
    pair=_region,
    points=101,
    counts=True,
)
SHIFT = Axis(
    "shift",
    "how far the object is found from its place, in pixels",
    "slope by the shift",
    "object of 6 × 8 in 12 × 36 pixels, p = 0.95 where found and 0.05 elsewhere",
    limits=(0, 20),
    pair=_shifted,
    points=21,
    counts=True,
)
OFFSET = Axis(
    "offset",
    "offset x, in widths of the box",
    "slope dℓ/dx",
    "two boxes of one size, side by side",
    limits=(-2, 2),
    pair=_offset,
    open=True,
)
SCALE = Axis(
    "scale",
    "side of the prediction over side of the target, s",
    "slope dℓ/d ln s",
    "two squares with one centre",
    limits=(0.25, 4),
    pair=_scale,
    coordinate=math.log,
    place=math.exp,
    logarithmic=True,
)
RATIO = Axis(
    "ratio",
    "width over height of the prediction, r",
    "slope dℓ/d ln r",
    "a box against a square of the same area and centre",
    limits=(0.25, 4),
    pair=_ratio,
    coordinate=math.log,
    place=math.exp,
    logarithmic=True,
)
TURN = Axis(
    "turn",
    "angle θ between the boxes, in degrees",
    "slope dℓ/dθ, θ in radians",
    "two boxes of sides 3 and 1 with one centre",
    limits=(-180, 180),
    pair=_rotated,
    coordinate=math.radians,
    place=math.degrees,
)

ANGLE = Axis(
    "angle",
    "angle θ between the feature and its prototype, in degrees",
    "slope dℓ/dθ, θ in radians",
    "a feature of length 1 at a right angle to all other prototypes, of length 1 too",
    limits=(0, 180),
    pair=_turned,
    coordinate=math.radians,
    place=math.degrees,
    operands=_prototypes,
)
RADIUS = Axis(
    "radius",
    "distance d of the feature from the centre of its class",
    "slope dℓ/dd",
    "",
    limits=(0, 3),
    pair=_apart,
    open=True,
    operands=_centers,
)
DISTANCE = Axis(
    "distance",
    "distance d of two features of one class",
    "slope dℓ/dd",
    "three features of length 1, the third of another class and at a right angle to both; mean over anchors",
    limits=(0, 1.999),
    pair=_near,
)
COSINE = Axis(
    "cos",
    "cosine s of two features of one class",
    "slope dℓ/ds",
    "three features of length 1, the third of another class and at a right angle to both; mean over anchors",
    limits=(-0.999, 0.999),
    pair=_alike,
)

AXES: dict[type[Loss], tuple[Axis, ...]] = {
    PointwiseLoss: (ERROR,),
    DistanceMapLoss: (SHIFT, SHARE),
    MaskLoss: (SHIFT, SHARE),
    LikelihoodLoss: (PROBABILITY, MARGIN, SHARE, SHIFT),
    BalancedLoss: (SHARE, SHIFT),  # what one place costs depends on how many there are of its kind
    SigmoidLoss: (PROBABILITY, MARGIN, SHARE, SHIFT),
    MarginLoss: (MARGIN,),
    DivergenceLoss: (TWO_CLASSES,),
    OverlapLoss: (SHARE, SHIFT),
    NamedSumLoss: (SHARE, SHIFT),
    AngularLoss: (ANGLE,),
    CenterLoss: (RADIUS,),
    SimilarityLoss: (COSINE, DISTANCE),
    DistanceLoss: (DISTANCE, COSINE),
    BoxLoss: (OFFSET, SCALE, RATIO),
    RotatedBoxLoss: (TURN, OFFSET, SCALE, RATIO),
}
"""The axes of each family; the first is drawn unless another is asked for or shared with the other losses."""


# --- which axis -------------------------------------------------------------------------------------------------------


def parts(loss: Loss) -> list[Loss]:
    """The losses that a sum adds, or the loss itself."""
    return [part for _, part in loss.terms] if isinstance(loss, SumLoss) else [loss]


def axes_of(loss: Loss) -> tuple[Axis, ...]:
    """The axes that a loss has a curve over; a sum has those that all its parts have."""
    if isinstance(loss, SumLoss):
        return _shared([axes_of(part) for part in parts(loss)])
    own = next((axes for family, axes in AXES.items() if isinstance(loss, family)), ())
    return tuple(axis for axis in own if set(_needed(loss)) <= axis.operands(loss).keys())


def _needed(loss: Loss) -> tuple[str, ...]:
    """The operands without which the loss has no value."""
    return tuple(name for name in loss.takes if name not in loss.optional)


def scene(losses: Sequence[Loss], axis: Axis) -> str:
    """What a picture of these losses holds fixed; empty where that is nothing."""
    every = [part for loss in losses for part in parts(loss)]
    if any("variance" in part.takes for part in every):
        return "variance 1"
    return axis.scene if any(part.reads_target for part in every) else ""


def _shared(axes: Sequence[tuple[Axis, ...]]) -> tuple[Axis, ...]:
    return tuple(axis for axis in axes[0] if all(axis in others for others in axes[1:]))


def common_axis(losses: Sequence[Loss], name: str | None = None) -> Axis:
    """The axis of that name, or else the first that all the losses have.

    Raises:
        ValueError: there is none; the message says which axes each loss has.
    """
    if not losses:
        raise ValueError("a picture needs at least one loss")
    axes = [axes_of(loss) for loss in losses]
    for loss, own in zip(losses, axes, strict=True):
        if not own:
            raise ValueError(f"{_called(loss)} has no curve: {_no_axis(loss)}")
    shared = _shared(axes)
    if name is None and shared:
        return shared[0]
    for axis in shared:
        if axis.name == name:
            return axis
    listed = dict.fromkeys(
        f"{_called(loss)} has {_either(a.name for a in own)}" for loss, own in zip(losses, axes, strict=True)
    )
    problem = "these losses have no axis in common" if name is None else f"not every loss here has the axis {name!r}"
    raise ValueError(f"{problem}: {'; '.join(listed)}. {'Draw them apart.' if not shared else ''}".strip())


def _no_axis(loss: Loss) -> str:
    if isinstance(loss, SumLoss):
        listed = ", ".join(
            f"{_called(part)} has {_either(a.name for a in axes_of(part)) or 'none'}" for part in parts(loss)
        )
        return f"its parts have no axis in common ({listed})"
    if _needed(loss):
        return f"it is also a function of {', '.join(_needed(loss))}"
    return f"losses of the {loss.family_name} family are no function of one number"


def _called(loss: Loss) -> str:
    return " + ".join(type(part).__name__ for part in parts(loss))


def _either(names: Iterable[str]) -> str:
    return " or ".join(repr(name) for name in names)
