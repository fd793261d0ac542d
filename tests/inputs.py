"""Inputs for every loss of the catalogue, drawn from what its class declares.

A new loss is picked up from its options and its family: `variants(cls)` changes one option at a time, and
`draw(loss, regime)` makes a batch that the loss accepts.
"""

from __future__ import annotations

import dataclasses
import typing
import zlib
from collections.abc import Sequence

import numpy as np

import lossary
from lossary.core import options
from lossary.core.families import (
    AlignmentLoss,
    BoxLoss,
    ClassificationLoss,
    DistanceLoss,
    DivergenceLoss,
    EmbeddingLoss,
    MarginLoss,
    MaskLoss,
    PointwiseLoss,
    RotatedBoxLoss,
    SequenceLoss,
)
from lossary.core.families.box import PairLoss
from lossary.core.families.classification import ProbabilityLoss
from lossary.core.loss import Loss
from lossary.losses.region.lovasz import LovaszLoss

CLASSES, PLACES, SAMPLES, WIDTH = 4, 5, 3, 4
REGIMES = ("ordinary", "edge", "extreme")


@dataclasses.dataclass(frozen=True)
class Batch:
    """What a call takes, as float64 and int64 NumPy arrays."""

    prediction: np.ndarray
    target: np.ndarray
    keywords: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    shared: tuple[str, ...] = ()  # keywords that belong to no sample

    def __getitem__(self, samples: object) -> Batch:
        """Some of the samples, operands included."""
        keywords = {k: v if k in self.shared else v[samples] for k, v in self.keywords.items()}
        return Batch(self.prediction[samples], self.target[samples], keywords, self.shared)

    def with_prediction(self, prediction: np.ndarray) -> Batch:
        return dataclasses.replace(self, prediction=prediction)


def tasks(cls: type[Loss]) -> list[str | None]:
    """The tasks a class can be made for, as `make` takes them; [None] where the call has no such option."""
    return list(cls.tasks()) if any(name == "task" for name, _, _ in cls.options()) else [None]


def make(cls: type[Loss], task: str | None, **settings: object) -> Loss:
    return cls(**({} if task is None else {"task": task}), **settings)


def loss_task(loss: Loss) -> str | None:
    return getattr(loss, "task", None)


def defaults() -> list[Loss]:
    """Every loss of the catalogue with its default options, for each of its tasks."""
    return [make(cls, task) for cls in lossary.catalogue() for task in tasks(cls)]


def variants(cls: type[Loss], crossed: bool = True) -> list[Loss]:
    """The losses of a class that differ from the default in one option (or in one that needs a second), and some that
    differ in several whose code meets. What a family declares is tried with the first class of the family, because its
    code is the family's."""
    own = {*cls.__annotations__} if cls is not _first_of_family(cls) else {name for name, _, _ in cls.options()}
    found: dict[Loss, None] = {}
    for task in tasks(cls):
        found[make(cls, task)] = None
        for name, field, annotation in cls.options():
            if name in ("task", "empty") or name not in own:  # test_edges.py has the policies for an empty batch
                continue
            for value in _values(name, annotation, field.metadata["domain"]):
                together = {"reduction": "weighted_mean"} if name == "class_weight" else {}
                try:
                    found[make(cls, task, **{name: value}, **together)] = None
                except ValueError:
                    continue  # an option that this task refuses; test_errors has these
        if issubclass(cls, ClassificationLoss) and crossed:
            found |= dict.fromkeys(_crossed(cls, task))
    return list(found)


def _first_of_family(cls: type[Loss]) -> type[Loss]:
    """Of those with the most tasks."""
    return max((c for c in lossary.catalogue() if c.family_name == cls.family_name), key=lambda c: len(c.tasks()))


def formulas(cls: type[Loss]) -> list[Loss]:
    """The variants whose formula differs."""
    return variants(cls, crossed=cls is _first_of_family(cls))


def _values(name: str, annotation: object, domain: options.Domain) -> list[object]:
    """A few values of an option that its domain allows."""
    if name == "ignore_index":
        return [1, 255]
    if name in ("class_axis", "blank"):
        return [-1]
    if name == "chunk":
        return [2]
    values: list[object] = list(options.choices(annotation))
    for kind in typing.get_args(annotation) or (annotation,):
        if kind is bool:
            values += [True, False]
        elif kind is int:
            values += [v for v in (1, 2, 3, 7) if v in domain]
        elif kind is float:
            values += [
                v for v in (domain.low, domain.high, 0.0, 0.3, 0.9, 1.0, 1.5, 2.0, 5.0) if v in domain and abs(v) < 1e9
            ]
        elif typing.get_origin(kind) is Sequence:
            item = typing.get_args(kind)[0]
            values.append((0, 2) if item is int else (0.5, 2.0, 0.0 if 0.0 in domain else 30.0, 1.25))
    return list(dict.fromkeys(values))


def _crossed(cls: type[Loss], task: str | None) -> list[Loss]:
    """Options whose code meets: ignored labels with weights, smoothing, every reduction and both scopes."""
    names = {name for name, _, _ in cls.options()}
    losses: list[Loss] = []
    for settings in (
        {
            "ignore_index": 1,
            "class_weight": (0.5, 2.0, 0.0, 1.25),
            "reduction": "weighted_mean",
            "label_smoothing": 0.2,
        },
        {"ignore_index": 255, "reduction": "none", "alpha": 0.25 if task != "multiclass" else (1.0, 2.0, 0.5, 0.25)},
        {"ignore_index": 255, "per": "batch", "classes": "present", "class_weight": (0.5, 2.0, 0.0, 1.25)},
        {"per": "batch", "reduction": "weighted_mean", "class_weight": (0.5, 2.0, 0.0, 1.25), "squared": True},
        {"reduction": "sum", "ignore_index": 255, "class_weight": (0.5, 2.0, 0.0, 1.25)},
        {
            "normalizer": "positives",
            "reduction": "weighted_mean",
            "class_weight": (0.5, 2.0, 0.0, 1.25),
            "counts": (90.0, 10.0) if task == "binary" else (1.0, 20.0, 3.0, 400.0),
        },
    ):
        known = {k: v for k, v in settings.items() if k in names}
        if known.get("reduction") not in (None, *options.choices(typing.get_type_hints(cls)["reduction"])):
            continue
        if isinstance(known.get("alpha"), float | tuple) and cls is not lossary.FocalLoss:
            known["alpha"] = 0.25
        if task == "binary":
            known.pop("class_weight", None)
        if issubclass(cls, MaskLoss):
            known.pop("classes", None)  # which has no "present"
        losses.append(make(cls, task, **known))
    return losses


# --- batches
# -----------------------------------------------------------------------------------------------------------


def generator(*key: object) -> np.random.Generator:
    """Random numbers that depend on nothing but the key."""
    return np.random.default_rng(zlib.crc32(repr(key).encode()))


def draw(loss: Loss, regime: str = "ordinary", dense: bool = False, samples: int = SAMPLES) -> Batch:
    """A batch for a loss. `dense` asks for soft targets where the loss takes them."""
    rng = generator(type(loss).__name__, regime, dense, samples)
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


def takes_dense(loss: Loss) -> bool:
    """Whether soft targets are another case for this loss."""
    if not isinstance(loss, ClassificationLoss) or isinstance(loss, (MarginLoss, LovaszLoss)):
        return False
    if loss.reads_between:
        return False  # labels between classes are soft already
    return loss.task != "multiclass" or loss.ignore_index is None


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
    target = _into(loss.domain("target"), target)
    prediction = _into(loss.domain("prediction"), target + error)
    operands = {}
    for operand in loss.operands:
        x = 2 * rng.normal(size=shape) if regime == "ordinary" else rng.choice([0.0, 1e-30, 1e-8, 1.0], size=shape)
        operands[operand] = _into(loss.domain(operand), x)
    return Batch(prediction, target, operands)


def _into(domain: options.Domain, x: np.ndarray) -> np.ndarray:
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


def probabilities(scores: np.ndarray, task: str) -> np.ndarray:
    if task == "multiclass":
        p = np.exp(scores - scores.max(1, keepdims=True))
        return p / p.sum(1, keepdims=True)
    return np.where(
        scores >= 0, 1 / (1 + np.exp(-np.abs(scores))), np.exp(-np.abs(scores)) / (1 + np.exp(-np.abs(scores)))
    )


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
    return Batch(*sides, labels)


def _features(loss: EmbeddingLoss, regime: str, rng: np.random.Generator, samples: int) -> Batch:
    """Features of several views a sample, their labels, and vectors of the classes where the loss takes them."""

    def vectors(*shape: int) -> np.ndarray:
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


def _nearest_sides(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The least distance between a vertical, or a horizontal, side of one box and one of the other."""
    first, second = (x.reshape(*x.shape[:-1], 2, 2) for x in (a, b))
    return np.abs(first[..., :, None, :] - second[..., None, :, :]).min((-1, -2, -3))


def _boxes(loss: BoxLoss, regime: str, rng: np.random.Generator, samples: int) -> Batch:
    def draw_boxes() -> np.ndarray:
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
    def draw_boxes() -> np.ndarray:
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


def to_format(boxes: np.ndarray, format: str) -> np.ndarray:
    low, size = boxes[..., :2], boxes[..., 2:] - boxes[..., :2]
    if format == "xywh":
        return np.concatenate([low, size], axis=-1)
    if format == "cxcywh":
        return np.concatenate([low + size / 2, size], axis=-1)
    return boxes


def unreduced_shape(loss: Loss, batch: Batch) -> tuple[int, ...]:
    """The shape of the places of a batch, which masks and weights have."""
    shape = batch.prediction.shape
    if isinstance(loss, PointwiseLoss):
        return loss.unreduced(shape)
    if isinstance(loss, (PairLoss, EmbeddingLoss, lossary.LinearCrossEntropyLoss)):
        return shape[:-1]
    if isinstance(loss, SequenceLoss):
        return shape[:1]
    if isinstance(loss, DivergenceLoss) or (isinstance(loss, ClassificationLoss) and loss.task == "multiclass"):
        axis = loss.class_axis % len(shape)
        return shape[:axis] + shape[axis + 1 :]
    return shape
