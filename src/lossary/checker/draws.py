"""Batches for every loss of the catalogue, drawn from what its class declares: domains, reach, operands, labels.

A new loss is picked up by its family: `draw(loss, regime)` makes a batch that the loss accepts. The suite and the
checker draw from here.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

import lossary
from lossary.checker.engines import Batch
from lossary.checker.scenes import probabilities
from lossary.core import options
from lossary.core.families import (
    AlignmentLoss,
    BoxLoss,
    ClassificationLoss,
    DistanceLoss,
    DivergenceLoss,
    EmbeddingLoss,
    PointwiseLoss,
    RotatedBoxLoss,
    SequenceLoss,
)
from lossary.core.families.box import PairLoss
from lossary.core.families.classification import ProbabilityLoss
from lossary.core.loss import Loss

Array = np.ndarray[Any, Any]
CLASSES, PLACES, SAMPLES, WIDTH = 4, 5, 3, 4


def generator(*key: object) -> np.random.Generator:
    """Random numbers that depend on nothing but the key."""
    return np.random.default_rng(zlib.crc32(repr(key).encode()))


def draw(
    loss: Loss, regime: str = "ordinary", dense: bool = False, samples: int = SAMPLES, seed: int | None = None
) -> Batch:
    """A batch for a loss. `dense` asks for soft targets where the loss takes them; a `seed` for another batch."""
    rng = generator(type(loss).__name__, regime, dense, samples, *([] if seed is None else [seed]))
    if isinstance(loss, PointwiseLoss):
        return _pairs(loss, regime, rng, samples)
    if isinstance(loss, ClassificationLoss):
        return _labels(loss, regime, rng, dense, samples)
    if isinstance(loss, DivergenceLoss):
        return _distributions(loss, regime, rng, samples)
    if isinstance(loss, BoxLoss):
        return _boxes(loss, regime, rng, samples)
    if isinstance(loss, AlignmentLoss):
        return _sequences(loss, regime, rng, samples)
    if isinstance(loss, lossary.ExpectedEditDistanceLoss):
        return _hypotheses(loss, regime, rng, samples)
    if isinstance(loss, RotatedBoxLoss):
        return _rotated_boxes(regime, rng, samples)
    if isinstance(loss, lossary.LinearCrossEntropyLoss):
        return _tokens(loss, regime, rng, samples)
    if isinstance(loss, EmbeddingLoss):
        return _features(loss, regime, rng, samples)
    raise NotImplementedError(f"no inputs for the family of {type(loss).__name__}")


def has_draws(loss: Loss) -> bool:
    """Whether there are batches for a loss: for all of the catalogue, not for every sum of them."""
    try:
        draw(loss)
    except NotImplementedError:
        return False
    return True


def takes_dense(loss: Loss) -> bool:
    """Whether soft targets are another case for this loss."""
    if not isinstance(loss, ClassificationLoss) or loss.hard_targets:
        return False
    if loss.reads_between:
        return False  # labels between classes are soft already
    return loss.task != "multiclass" or loss.ignore_index is None


def unreduced_shape(loss: Loss, batch: Batch) -> tuple[int, ...]:
    """The shape of the places of a batch, which masks and weights have."""
    shape = batch.prediction.shape
    if isinstance(loss, PointwiseLoss):
        return tuple(n for n in loss.unreduced(shape) if n is not None)
    if isinstance(loss, (PairLoss, EmbeddingLoss, lossary.LinearCrossEntropyLoss)):
        return shape[:-1]
    if isinstance(loss, SequenceLoss):
        return shape[:1]
    if isinstance(loss, DivergenceLoss) or (isinstance(loss, ClassificationLoss) and loss.task == "multiclass"):
        axis = loss.class_axis % len(shape)
        return shape[:axis] + shape[axis + 1 :]
    return shape


def _pairs(loss: PointwiseLoss, regime: str, rng: np.random.Generator, samples: int) -> Batch:
    """Prediction, target and operands from their domains."""
    shape = (samples, PLACES)
    target = rng.normal(size=shape)
    error = 2 * rng.normal(size=shape)
    if regime == "edge":
        kinks = [v for v in dataclasses.asdict(loss).values() if isinstance(v, float)]
        error = rng.choice([0.0, 1e-30, -1e-8, 1.0, -1.0, *kinks], size=shape)
        target = np.zeros(shape)
    if regime == "extreme":
        error = rng.choice([-1.0, 1.0], size=shape) * loss.facts.reach
    target = into_domain(loss.domain("target"), target)
    prediction = into_domain(loss.domain("prediction"), target + error)
    operands = {}
    for operand in loss.operands:
        x = 2 * rng.normal(size=shape) if regime == "ordinary" else rng.choice([0.0, 1e-30, 1e-8, 1.0], size=shape)
        operands[operand] = into_domain(loss.domain(operand), x)
    return Batch(prediction, target, operands)


def into_domain(domain: options.Domain, x: Array) -> Array:
    """Numbers of a domain, from any numbers; those in it stay as they are."""
    if np.isfinite(domain.low):
        x = domain.low + np.abs(x - domain.low) + (0.1 if domain.above else 0.0)
    if np.isfinite(domain.high):
        period = domain.high - domain.low
        x = domain.low + period - np.abs((x - domain.low) % (2 * period) - period)
    return x


def _labels(loss: ClassificationLoss, regime: str, rng: np.random.Generator, dense: bool, samples: int) -> Batch:
    shape = (samples, CLASSES, PLACES)
    scores = 2 * rng.normal(size=shape)
    if regime == "edge":
        scores = rng.choice([0.0, 0.0, 1.0, -1.0, 40.0, -40.0], size=shape)
    if regime == "extreme":
        scores = rng.choice([0.0, 1.0, -1.0], size=shape) * loss.facts.reach
    if loss.task == "multiclass":
        target = rng.integers(0, CLASSES, size=(samples, PLACES))
        if loss.reads_between:
            target = np.minimum(target + rng.uniform(size=target.shape), CLASSES - 1)
            target = target if regime == "ordinary" else np.round(2 * target) / 2
        if dense:
            target = np.moveaxis(rng.dirichlet(np.ones(CLASSES), size=(samples, PLACES)), -1, 1)
            if regime != "ordinary":  # one-hot: probabilities of exactly 0 and 1
                target = (target == target.max(1, keepdims=True)).astype(float)
    else:
        target = rng.integers(0, 2, size=shape)
        if dense:
            target = rng.uniform(size=shape) if regime == "ordinary" else rng.choice([0.0, 0.5, 1.0], size=shape)
    if loss.ignore_index is not None:
        ignored = rng.uniform(size=target.shape) < 0.3
        target = np.where(ignored, loss.ignore_index, target)
    prediction = scores
    if isinstance(loss, ProbabilityLoss) and not loss.from_logits:
        prediction = probabilities(scores, loss.task)
    if loss.class_axis == -1:
        prediction = np.moveaxis(prediction, 1, -1)
        if target.ndim == prediction.ndim:
            target = np.moveaxis(target, 1, -1)
    return Batch(prediction, target)


def _tokens(loss: lossary.LinearCrossEntropyLoss, regime: str, rng: np.random.Generator, samples: int) -> Batch:
    """Features of three numbers and a classifier whose logits are of every size."""
    shape, width = (samples, PLACES), 3
    features, weight = rng.normal(size=(*shape, width)), rng.normal(size=(CLASSES, width))
    if regime == "edge":
        features = rng.choice([0.0, 0.0, 1.0, -1.0, 20.0], size=features.shape)
    if regime == "extreme":
        features = rng.choice([0.0, 1.0, -1.0], size=features.shape) * loss.facts.reach
    target = rng.integers(0, CLASSES, size=shape)
    if loss.ignore_index is not None:
        target = np.where(rng.uniform(size=shape) < 0.3, loss.ignore_index, target)
    operands = {"weight": weight, "bias": rng.normal(size=CLASSES)}
    if loss.distillation:
        operands["teacher_features"] = rng.normal(size=(*shape, 2))
        operands |= {"teacher_weight": rng.normal(size=(CLASSES, 2)), "teacher_bias": rng.normal(size=CLASSES)}
    return Batch(features, target, operands, loss.shared)


def _distributions(loss: DivergenceLoss, regime: str, rng: np.random.Generator, samples: int) -> Batch:
    sides = []
    for form in (loss.prediction_form, loss.target_form):
        scores = 2 * rng.normal(size=(samples, CLASSES, PLACES))
        if regime == "edge":
            scores = rng.choice([0.0, 1.0, -30.0], size=scores.shape)
        if regime == "extreme":
            scores = rng.choice([0.0, 1.0, -1.0], size=scores.shape) * loss.facts.reach
        p = probabilities(scores, "multiclass")
        if form == "probs":
            scores = p
        elif form == "log_probs":
            with np.errstate(divide="ignore"):
                scores = np.maximum(np.log(p), -loss.facts.reach)
        sides.append(np.moveaxis(scores, 1, -1) if loss.class_axis == -1 else scores)
    labels = {"labels": rng.integers(0, CLASSES, size=(samples, PLACES))} if loss.takes else {}
    return Batch(sides[0], sides[1], labels)


def _features(loss: EmbeddingLoss, regime: str, rng: np.random.Generator, samples: int) -> Batch:
    """Features of several views a sample, their labels, and vectors of the classes where the loss takes them."""

    def vectors(*shape: int) -> Array:
        if regime == "edge":
            rows = [row for row in EDGE_VECTORS if not (isinstance(loss, DistanceLoss) and 0 < max(row) < 1)]
            count = int(np.prod(shape))  # each at least once, where there is room
            chosen = rng.permutation(np.arange(max(len(rows), count)) % len(rows))[:count]
            return np.array(rows, dtype=float)[chosen].reshape(*shape, WIDTH)
        if regime == "extreme":
            return rng.choice([0.0, 1.0, -1.0], size=(*shape, WIDTH)) * loss.facts.reach
        return 2 * rng.normal(size=(*shape, WIDTH))

    target = rng.integers(0, CLASSES, size=(samples, PLACES))
    if loss.ignore_index is not None:
        target = np.where(rng.uniform(size=target.shape) < 0.3, loss.ignore_index, target)
    operands = {name: vectors(CLASSES) for name in loss.takes if name not in loss.optional}
    if "annealing" in loss.operands:
        operands["annealing"] = np.array(0.5)
    return Batch(vectors(samples, PLACES), target, operands, loss.shared)


EDGE_VECTORS = (
    (0, 0, 0, 0),  # no direction
    (1, 0, 0, 0),
    (1, 0, 0, 0),  # identical more often than not
    (-1, 0, 0, 0),  # opposite
    (2, 0, 0, 0),  # parallel
    (0, 1, 0, 0),  # at a right angle
    (1, 1, 0, 0),
    (3, 0, 4, 0),
    (1e-30, 0, 0, 0),  # its square is 0 in float32
)


def _sequences(loss: AlignmentLoss, regime: str, rng: np.random.Generator, samples: int) -> Batch:
    """Scores and labels with their lengths. At the edge there are empty targets, impossible ones, and no frames."""
    frames, labels = (5, 2) if loss.frame_axes == 1 else (4, 2)
    shape = (samples, frames, *[labels + 1] * (loss.frame_axes - 1), CLASSES)
    scores = 2 * rng.normal(size=shape)
    if regime == "extreme":
        scores = rng.choice([0.0, 1.0, -1.0], size=shape) * loss.facts.reach
    known = [c for c in range(CLASSES) if c not in (loss.blank % CLASSES, loss.ignore_index)]
    target = rng.choice(known, size=(samples, labels))
    least, shortest = (0, 0) if regime == "edge" else (frames - 2, 1)
    lengths = rng.integers(least, frames, size=samples, endpoint=True)
    target_lengths = rng.integers(shortest, labels, size=samples, endpoint=True)
    if regime == "edge":
        target[:] = target[:, :1]  # a label that follows its equal needs a blank between
        scores = rng.choice([0.0, 0.0, 1.0, -40.0], size=shape)
    if loss.ignore_index is None:
        return Batch(scores, target, {"lengths": lengths, "target_lengths": target_lengths})
    target = np.where(np.arange(labels) < target_lengths[:, None], target, loss.ignore_index)
    return Batch(scores, target, {"lengths": lengths})


def _hypotheses(loss: Loss, regime: str, rng: np.random.Generator, samples: int) -> Batch:
    """Log-probabilities and edits of a few hypotheses; at the edge some are missing."""
    scores = 2 * rng.normal(size=(samples, PLACES)) - 5
    if regime == "edge":
        scores = rng.choice([0.0, 0.0, -1.0, -40.0, -np.inf], size=scores.shape)
    if regime == "extreme":
        scores = rng.choice([0.0, -1.0], size=scores.shape) * loss.facts.reach
    return Batch(scores, rng.integers(0, 7, size=scores.shape))


def _nearest_sides(a: Array, b: Array) -> Array:
    """The least distance between a vertical, or a horizontal, side of one box and one of the other."""
    first, second = (x.reshape(*x.shape[:-1], 2, 2) for x in (a, b))
    return np.abs(first[..., :, None, :] - second[..., None, :, :]).min((-1, -2, -3))


def _boxes(loss: BoxLoss, regime: str, rng: np.random.Generator, samples: int) -> Batch:
    def draw_boxes() -> Array:
        corners = np.sort(rng.uniform(0, 10, size=(samples, PLACES, 2, 2)), axis=2)
        return corners.reshape(samples, PLACES, 4)

    prediction, target = draw_boxes(), draw_boxes()
    # no two sides so close that half precision makes them one: at ties each framework chooses its own subgradient
    while (tied := _nearest_sides(prediction, target) < 0.1).any():
        prediction = np.where(tied[..., None], draw_boxes(), prediction)
    if regime == "edge":
        pairs = np.array(EDGE_BOXES, dtype=float)
        chosen = rng.permutation(np.arange(max(len(pairs), samples * PLACES)) % len(pairs))[: samples * PLACES]
        prediction, target = (pairs[chosen, side].reshape(samples, PLACES, 4) for side in (0, 1))
    if regime == "extreme":
        size = rng.choice([1e-6, 1.0, 1e6], size=(samples, PLACES, 1))
        prediction, target = prediction * size, target * size
    return Batch(to_format(prediction, loss.format), to_format(target, loss.format))


def _rotated_boxes(regime: str, rng: np.random.Generator, samples: int) -> Batch:
    def draw_boxes() -> Array:
        low, high = (0, 0, 0.5, 0.5, -4), (5, 5, 6, 6, 4)
        return rng.uniform(low, high, size=(samples, PLACES, 5))

    prediction, target = draw_boxes(), draw_boxes()
    if regime == "edge":
        pairs = np.array([[(*_centred(box), angle) for box in pair] for pair in EDGE_BOXES for angle in (0, 0.7)])
        pairs[1::3, 1, 4] += np.pi / 2  # equal sides, other angle
        chosen = rng.permutation(len(pairs))[: samples * PLACES]
        prediction, target = (pairs[chosen, side].reshape(samples, PLACES, 5) for side in (0, 1))
    if regime == "extreme":
        size = rng.choice([1e-6, 1.0, 1e6], size=(samples, PLACES, 1)) * np.array([1, 1, 1, 1, 0]) + [0, 0, 0, 0, 1]
        prediction, target = prediction * size, target * size
    return Batch(prediction, target)


def _centred(box: Sequence[float]) -> tuple[float, ...]:
    x1, y1, x2, y2 = box
    return ((x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1)


EDGE_BOXES = (
    ([0, 0, 1, 1], [0, 0, 1, 1]),  # identical
    ([0, 0, 1, 0], [0, 0, 1, 1]),  # no height against a proper box
    ([0, 0, 0, 1], [0, 0, 1, 1]),  # no width
    ([0, 0, 0, 0], [0, 0, 1, 1]),  # a point
    ([0, 0, 0, 0], [0, 0, 0, 0]),  # two equal points
    ([0, 0, 0, 0], [1, 2, 1, 2]),  # two points apart
    ([0, 0, 1, 0], [2, 0, 3, 0]),  # two segments on one line
    ([0, 0, 1, 1], [1, 0, 2, 1]),  # touching edges
    ([0, 0, 1, 1], [1, 1, 2, 2]),  # touching corners
    ([1, 1, 2, 2], [0, 0, 4, 4]),  # one inside the other
    ([0, 0, 1e-3, 1e-3], [0, 0, 1e-3, 1e-3]),  # small and identical
    ([0, 0, 1, 1], [5, 5, 6, 6]),  # disjoint
)


def to_format(boxes: Array, format: str) -> Array:
    low, size = boxes[..., :2], boxes[..., 2:] - boxes[..., :2]
    if format == "xywh":
        return np.concatenate([low, size], axis=-1)
    if format == "cxcywh":
        return np.concatenate([low + size / 2, size], axis=-1)
    return boxes
