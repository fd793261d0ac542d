"""What each loss should give, in plain Python: loops, `math.fsum` and mpmath numbers of fifty digits.

Nothing here is shared with the package but the options of a loss; formulas are those of the papers, written as the
papers write them, without any of the rearrangements that make the package stable. `evaluate(loss, batch)` gives the
reduced loss as a float, or a list of the unreduced values.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import mpmath
import numpy as np

import lossary
from formulas import CONSTANTS, FINISH, FORMULAS, mpf
from formulas.box import focal_weight
from formulas.compound import Answer, Place
from formulas.likelihood import FROM_LOGITS, effective_number_weights
from formulas.mask import FACTORS, Image
from formulas.region import FROM_PLACES
from lossary.checker.draws import unreduced_shape
from lossary.checker.engines import Batch
from lossary.core.families import (
    AlignmentLoss,
    BalancedLoss,
    BoxLoss,
    DistanceMapLoss,
    DivergenceLoss,
    EmbeddingLoss,
    LikelihoodLoss,
    MarginLoss,
    MaskLoss,
    NamedSumLoss,
    PointwiseLoss,
    ResidualLoss,
    RotatedBoxLoss,
    SequenceLoss,
    SigmoidLoss,
)
from lossary.core.families.embedding import ClassVectorLoss
from lossary.core.families.region import OverlapLoss
from lossary.core.loss import Loss

# --- the contract of a call
# -----------------------------------------------------------------------------------------------------


def evaluate(
    loss: Loss,
    batch: Batch,
    *,
    mask: np.ndarray | None = None,
    sample_weight: np.ndarray | None = None,
    normalizer: float | None = None,
    constants: Batch | None = None,
) -> Any:
    """The value of a call. `constants` is the batch at which what the gradient holds constant is computed."""
    if isinstance(loss, OverlapLoss):
        return _overlap(loss, batch, mask, sample_weight, normalizer)
    if isinstance(loss, NamedSumLoss):
        return _compound(loss, batch, mask, sample_weight)
    if isinstance(loss, (MaskLoss, DistanceMapLoss)):
        return _masks(loss, batch, mask, sample_weight, normalizer, constants)
    if isinstance(loss, BalancedLoss):
        return _balanced(loss, batch, mask, sample_weight, normalizer, constants)
    values: list[float] = []
    masses: list[float] = []
    own_masses: list[float] = []
    for place in np.ndindex(unreduced_shape(loss, batch)):
        if not counts(loss, batch, place, mask):
            values.append(0.0)
            continue
        weight = at(sample_weight, place, 1.0)
        if isinstance(loss, EmbeddingLoss):
            value, mass = _embedding(loss, batch, place, constants, mask)
        else:
            value, mass = PLACE[family_of(loss)](loss, batch, place, constants)
        if value is None:  # the formula has no value here
            values.append(0.0)
            continue
        values.append(float(value * weight))
        if getattr(loss, "normalizer", None) == "positives" and not _positive(loss, batch, place):
            continue
        masses.append(float(mass * weight))
        own_masses.append(float(mass))
    if isinstance(loss, lossary.TopKLoss):
        return _hardest(loss, batch, mask, values, masses, normalizer)
    if loss.reduction == "none":
        return values
    total = math.fsum(values)
    denominator = math.fsum(masses) if loss.reduction == "weighted_mean" else len(masses)
    if getattr(loss, "normalizer", None) == "positives":
        denominator = denominator or 1
    tokens = getattr(loss, "normalizer", None) == "tokens"
    if (isinstance(loss, lossary.FocalEIoULoss) or tokens) and loss.reduction == "mean":
        denominator = math.fsum(own_masses)
    return FINISH.get(type(loss), float)(divide(loss, total, denominator, normalizer))


def _positive(loss: Any, batch: Batch, place: tuple[int, ...]) -> bool:
    """Whether a detector's place holds something: not the background, class 0."""
    if loss.task != "multiclass":
        return batch.target[place] > 0
    return shares(loss, batch, place, 1)[0] < 1


def _hardest(
    loss: Any, batch: Batch, mask: np.ndarray | None, values: list[float], masses: list[float], normalizer: float | None
) -> Any:
    """The k places of largest loss; those that tie at the edge share what is left of k."""
    places = list(np.ndindex(unreduced_shape(loss, batch)))
    counted = [counts(loss, batch, place, mask) for place in places]
    ranked = sorted((v for v, c in zip(values, counted, strict=True) if c), reverse=True)
    k = math.ceil(round(loss.fraction * len(ranked), 6))
    least = ranked[k - 1] if k else math.inf
    above = sum(v > least for v in ranked)
    tied = sum(v == least for v in ranked)
    kept = [1.0 if v > least else (k - above) / tied if v == least else 0.0 for v in values]
    kept = [s if c else 0.0 for s, c in zip(kept, counted, strict=True)]
    values = [v * s for v, s in zip(values, kept, strict=True)]
    if loss.reduction == "none":
        return values
    if loss.reduction == "weighted_mean":
        denominator = math.fsum(m * s for m, s in zip(masses, itertools.compress(kept, counted), strict=True))
    else:
        denominator = k
    return divide(loss, math.fsum(values), denominator, normalizer)


def _balanced(
    loss: Any,
    batch: Batch,
    mask: np.ndarray | None,
    sample_weight: np.ndarray | None,
    normalizer: float | None,
    constants: Batch | None,
) -> Any:
    """Losses whose groups of places are weighed by their sizes, in each image or in the batch."""
    all_places = list(np.ndindex(batch.prediction.shape))
    values = dict.fromkeys(all_places, 0.0)
    weights: list[float] = []
    for n in range(batch.prediction.shape[0]) if getattr(loss, "per", "batch") == "image" else [None]:
        places = [p for p in all_places if n in (None, p[0]) and counts(loss, batch, p, mask)]
        numbers_there = [_weighed(loss, batch, place, sample_weight) for place in places]
        held = {}
        if constants is not None and type(loss) in CONSTANTS:
            held = CONSTANTS[type(loss)](loss, [_weighed(loss, constants, place, sample_weight) for place in places])
        found = _formula(loss)(loss, numbers_there, **held)
        own = [w for *_, w in numbers_there]
        weights += own
        values |= {place: float(v * w) for place, v, w in zip(places, found, own, strict=True)}
    if loss.reduction == "none":
        return list(values.values())
    denominator = math.fsum(weights) if loss.reduction == "weighted_mean" else len(weights)
    return divide(loss, math.fsum(values.values()), denominator, normalizer)


def _weighed(
    loss: Any, batch: Batch, place: tuple[int, ...], sample_weight: np.ndarray | None
) -> tuple[mpf, mpf, mpf, float]:
    """p, q, target and weight of a place."""
    weight = at(sample_weight, place, 1.0)
    weight *= 1.0 if loss.class_weight is None else loss.class_weight[place[loss.class_axis]]
    return (*sigmoid(loss, batch.prediction[place]), mpf(float(batch.target[place])), float(weight))


def divide(loss: Loss, total: float, denominator: float, normalizer: float | None) -> float:
    if normalizer is not None:
        denominator = normalizer
    elif loss.reduction == "sum":
        return total
    return total / denominator if denominator else 0.0


def at(values: np.ndarray | None, place: tuple[int, ...], default: Any) -> Any:
    """The entry of an array that has the shape of the places, or its leading axes."""
    return default if values is None else values[place[: values.ndim]]


def counts(loss: Any, batch: Batch, place: tuple[int, ...], mask: np.ndarray | None) -> bool:
    ignored = getattr(loss, "ignore_index", None)
    if ignored is not None and batch.target.shape == unreduced_shape(loss, batch) and batch.target[place] == ignored:
        return False
    return bool(at(mask, place, True))


def family_of(loss: Loss) -> type[Loss]:
    return next(f for f in PLACE if isinstance(loss, f))


def _formula(loss: Loss) -> Callable[..., Any]:
    return FORMULAS[type(loss)]


def _residual(loss: Loss, batch: Batch, place: tuple[int, ...], _: Batch | None) -> tuple[Any, Any]:
    prediction, target = numbers(batch.prediction[place]), numbers(batch.target[place])
    if isinstance(prediction, list):  # a place that is a vector
        return _formula(loss)(loss, [p - t for p, t in zip(prediction, target, strict=True)]), 1
    return _formula(loss)(loss, prediction - target), 1


def _pointwise(loss: Loss, batch: Batch, place: tuple[int, ...], _: Batch | None) -> tuple[Any, Any]:
    operands = {name: numbers(x[place]) for name, x in batch.keywords.items()}
    return _formula(loss)(loss, numbers(batch.prediction[place]), numbers(batch.target[place]), **operands), 1


def numbers(x: np.ndarray) -> Any:
    """The number, or the list of numbers, at a place."""
    return [mpf(float(v)) for v in np.ravel(x)] if np.ndim(x) else mpf(float(x))


def softmax(loss: Any, scores: list[float]) -> tuple[list[mpf], list[mpf]]:
    """Probabilities of the classes, and of all the others."""
    if getattr(loss, "from_logits", True):
        masses = [mpmath.exp(mpf(float(s))) for s in scores]
    else:
        masses = [mpf(float(s)) + mpf("2.2250738585072014e-308") for s in scores]
    total = mpmath.fsum(masses)
    p = [m / total for m in masses]
    q = [mpmath.fsum(masses[:c] + masses[c + 1 :]) / total for c in range(len(masses))]
    return p, q


def sigmoid(loss: Any, score: float) -> tuple[mpf, mpf]:
    z = mpf(float(score))
    if getattr(loss, "from_logits", True):
        return 1 / (1 + mpmath.exp(-z)), 1 / (1 + mpmath.exp(z))
    tiny = mpf("2.2250738585072014e-308")
    return (z + tiny) / (1 + 2 * tiny), (1 - z + tiny) / (1 + 2 * tiny)


def class_numbers(loss: Any, values: Any, classes: int) -> list[float]:
    return list(values) if isinstance(values, tuple) else [1.0] * classes


def along_classes(loss: Any, array: np.ndarray, place: tuple[int, ...]) -> list[float]:
    """The entries of all classes at a place."""
    axis = loss.class_axis % array.ndim
    return [array[(*place[:axis], c, *place[axis:])] for c in range(array.shape[axis])]


def shares(loss: Any, batch: Batch, place: tuple[int, ...], classes: int) -> list[float]:
    """The probability that the target gives to each class at a place."""
    if batch.target.ndim == batch.prediction.ndim:
        return along_classes(loss, batch.target, place)
    if loss.reads_between:
        return [max(0.0, 1.0 - abs(float(batch.target[place]) - c)) for c in range(classes)]
    return [float(batch.target[place] == c) for c in range(classes)]


def _likelihood(loss: Any, batch: Batch, place: tuple[int, ...], _: Batch | None) -> tuple[Any, Any]:
    f = _formula(loss)
    smoothing = getattr(loss, "label_smoothing", 0.0)
    if loss.task != "multiclass":
        p, q = sigmoid(loss, batch.prediction[place])
        t = mpf(float(batch.target[place])) * (1 - mpf(smoothing)) + mpf(smoothing) / 2
        weight = 1.0
        if loss.class_weight is not None:
            weight = loss.class_weight[place[loss.class_axis]]
        on, off = _sides(loss, place)
        value = (on * t * f(loss, p, q) if t > 0 else 0) + (off * (1 - t) * f(loss, q, p) if t < 1 else 0)
        return weight * value, weight
    scores = along_classes(loss, batch.prediction, place)
    p, q = softmax(loss, scores)
    t = shares(loss, batch, place, len(p))
    weights = class_numbers(loss, loss.class_weight, len(p))
    factors = class_numbers(loss, getattr(loss, "alpha", None), len(p))
    if isinstance(loss, lossary.ClassBalancedLoss):
        factors = effective_number_weights(loss) or factors
    value = mpf(0)

    def answer(c: int) -> mpf:
        if type(loss) not in FROM_LOGITS:
            return f(loss, p[c], q[c])
        tiny = mpf("2.2250738585072014e-308")
        return f(loss, [mpf(float(s)) if loss.from_logits else mpmath.log(mpf(float(s)) + tiny) for s in scores], c)

    for c in range(len(p)):
        share = (1 - mpf(smoothing)) * t[c] + mpf(smoothing) / len(p)
        if share > 0:
            value += weights[c] * factors[c] * share * answer(c)
    return value, math.fsum(w * float(s) for w, s in zip(weights, t, strict=True))


def _tokens(loss: Any, batch: Batch, place: tuple[int, ...], _: Batch | None) -> tuple[Any, Any]:
    def scores(features: np.ndarray, weight: str, bias: str) -> list[mpf]:
        rows = zip(batch.keywords[weight], batch.keywords[bias], strict=True)
        return [mpmath.fdot(numbers(row), numbers(features)) + mpf(float(b)) for row, b in rows]

    true = int(batch.target[place])
    weights = class_numbers(loss, loss.class_weight, len(batch.keywords["weight"]))
    teacher = None
    if loss.distillation:
        teacher = scores(batch.keywords["teacher_features"][place], "teacher_weight", "teacher_bias")
    logits = scores(batch.prediction[place], "weight", "bias")
    return _formula(loss)(loss, logits, true, weights, teacher), weights[true]


def _sides(loss: Any, place: tuple[int, ...]) -> tuple[float, float]:
    """Factors of the positive and of the negative term."""
    alpha, positive = getattr(loss, "alpha", None), getattr(loss, "pos_weight", None)
    if isinstance(loss, lossary.ClassBalancedLoss):
        factors = effective_number_weights(loss) or [1, 1]
        if loss.task == "binary" or loss.counts is None:
            return factors[1], factors[0]
        return (factors[place[loss.class_axis]],) * 2
    if alpha is not None:
        return alpha, 1 - alpha
    if positive is None:
        return 1.0, 1.0
    return (positive[place[loss.class_axis]] if isinstance(positive, tuple) else positive), 1.0


def _sigmoid(loss: Any, batch: Batch, place: tuple[int, ...], _: Batch | None) -> tuple[Any, Any]:
    weight = 1.0 if loss.class_weight is None else loss.class_weight[place[loss.class_axis]]
    p, q = sigmoid(loss, batch.prediction[place])
    return weight * _formula(loss)(loss, p, q, mpf(float(batch.target[place]))), weight


def _margin(loss: Any, batch: Batch, place: tuple[int, ...], _: Batch | None) -> tuple[Any, Any]:
    f = _formula(loss)
    if loss.task != "multiclass":
        weight = 1.0 if loss.class_weight is None else loss.class_weight[place[loss.class_axis]]
        y = 1 if batch.target[place] > 0 else -1
        return weight * f(loss, y * mpf(float(batch.prediction[place]))), weight
    scores = [mpf(float(s)) for s in along_classes(loss, batch.prediction, place)]
    true = int(batch.target[place])
    weight = class_numbers(loss, loss.class_weight, len(scores))[true]
    others = [s for c, s in enumerate(scores) if c != true]
    if loss.multiclass == "crammer-singer":
        value = f(loss, scores[true] - max(others))
    elif loss.multiclass == "weston-watkins":
        value = mpmath.fsum(f(loss, scores[true] - s) for s in others)
    else:
        value = f(loss, scores[true]) + mpmath.fsum(f(loss, -s) for s in others)
    return weight * value, weight


def _divergence(loss: Any, batch: Batch, place: tuple[int, ...], _: Batch | None) -> tuple[Any, Any]:
    sides = []
    for array, form in ((batch.prediction, loss.prediction_form), (batch.target, loss.target_form)):
        numbers = [mpf(float(x)) for x in along_classes(loss, array, place)]
        if form == "logits":
            masses = [mpmath.exp(x) for x in numbers]
            numbers = [m / mpmath.fsum(masses) for m in masses]
        elif form == "log_probs":
            numbers = [mpmath.exp(x) for x in numbers]
        sides.append(numbers)
    if loss.prediction_form == "probs":
        sides[0] = [p + mpf("2.2250738585072014e-308") for p in sides[0]]
    operands = [int(labels[place]) for labels in batch.keywords.values()]
    return _formula(loss)(loss, *sides, *operands), 1


def _alignment(loss: Any, batch: Batch, place: tuple[int, ...], _: Batch | None) -> tuple[Any, Any]:
    (n,) = place
    labels = [int(c) for c in batch.target[n] if c != loss.ignore_index]
    labels = labels[: batch.keywords.get("target_lengths", {n: len(labels)})[n]]
    scores = batch.prediction[n][: batch.keywords.get("lengths", {n: batch.prediction.shape[1]})[n]]
    if loss.frame_axes == 1:
        p: list[Any] = [softmax(loss, list(frame))[0] for frame in scores]
    else:
        p = [[softmax(loss, list(place))[0] for place in frame] for frame in scores]
    likelihood = _formula(loss)(loss, p, labels, batch.prediction.shape[-1])
    value = -mpmath.log(likelihood) if likelihood > 0 else None  # left out where there is no alignment
    return value, len(labels) if loss.normalizer == "tokens" else 1


def _sequence(loss: Any, batch: Batch, place: tuple[int, ...], _: Batch | None) -> tuple[Any, Any]:
    pairs = [(numbers(s), numbers(d)) for s, d in zip(batch.prediction[place], batch.target[place], strict=True)]
    present = [pair for pair in pairs if pair[0] > mpf("-inf")]
    return _formula(loss)(loss, *map(list, zip(*present, strict=True))), 1


def corners(loss: Any, box: np.ndarray) -> list[mpf]:
    a, b, c, d = (mpf(float(v)) for v in box)
    if loss.format == "xyxy":
        return [a, b, max(a, c), max(b, d)]
    w, h = max(c, mpf(0)), max(d, mpf(0))
    if loss.format == "cxcywh":
        a, b = a - w / 2, b - h / 2
    return [a, b, a + w, b + h]


def _box(loss: Any, batch: Batch, place: tuple[int, ...], constants: Batch | None) -> tuple[Any, Any]:
    prediction, target = corners(loss, batch.prediction[place]), corners(loss, batch.target[place])
    held = {}
    if constants is not None and type(loss) in CONSTANTS:
        held = CONSTANTS[type(loss)](loss, corners(loss, constants.prediction[place]), target)
    mass = 1
    if isinstance(loss, lossary.FocalEIoULoss) and loss.normalize:
        mass = held["weight"] if held else focal_weight(loss, prediction, target)
    return _formula(loss)(loss, prediction, target, **held), mass


def _rotated_box(loss: Any, batch: Batch, place: tuple[int, ...], _: Batch | None) -> tuple[Any, Any]:
    return _formula(loss)(loss, numbers(batch.prediction[place]), numbers(batch.target[place])), 1


def _vector(batch: Batch, place: tuple[int, ...]) -> tuple[mpf, ...]:
    return _exact(tuple(batch.prediction[place].tolist()))


@functools.cache  # differences of a loss move one feature of the batch at a time
def _exact(values: tuple[float, ...]) -> tuple[mpf, ...]:
    return tuple(mpf(v) for v in values)


def _embedding(
    loss: Any, batch: Batch, place: tuple[int, ...], constants: Batch | None, mask: np.ndarray | None
) -> tuple[Any, Any]:
    """Of a feature against the vectors of all classes, or of an anchor against all other features that count."""
    f, label = _formula(loss), int(batch.target[place])
    if isinstance(loss, ClassVectorLoss):
        operands = dict(batch.keywords)
        vectors = [numbers(row) for row in operands.pop(loss.class_vectors)]
        rest = {name: numbers(x) for name, x in operands.items()}
        weight = mpf(1) if loss.class_weight is None else mpf(loss.class_weight[label])
        return weight * f(loss, numbers(batch.prediction[place]), vectors, label, **rest), weight
    others = [p for p in np.ndindex(batch.target.shape) if p != place and counts(loss, batch, p, mask)]
    alike, unlike = ([p for p in others if (batch.target[p] == label) == same] for same in (True, False))

    def relations(of: Batch) -> tuple[Any, ...]:
        return _vector(of, place), *([_vector(of, p) for p in ps] for ps in (alike, unlike))

    held = {}
    if constants is not None and type(loss) in CONSTANTS:
        held = CONSTANTS[type(loss)](loss, *relations(constants))
    return f(loss, *relations(batch), **held), 1


PLACE: dict[type[Loss], Callable[..., tuple[Any, Any]]] = {
    ResidualLoss: _residual,
    PointwiseLoss: _pointwise,
    LikelihoodLoss: _likelihood,
    SigmoidLoss: _sigmoid,
    MarginLoss: _margin,
    DivergenceLoss: _divergence,
    BoxLoss: _box,
    AlignmentLoss: _alignment,
    SequenceLoss: _sequence,
    RotatedBoxLoss: _rotated_box,
    lossary.LinearCrossEntropyLoss: _tokens,
}
"""Value (with its class weight) and weight of one place, by family."""


# --- regions
# ------------------------------------------------------------------------------------------------------------------


def _overlap(
    loss: Any,
    batch: Batch,
    mask: np.ndarray | None,
    sample_weight: np.ndarray | None,
    normalizer: float | None,
    f: Callable[..., float] | None = None,
) -> Any:
    """Losses of whole images: per class from its places, then classes, then images.

    `f` is the formula of the region part of a compound loss.
    """
    images = list(range(batch.prediction.shape[0]))
    weigh_images = sample_weight is not None and sample_weight.ndim == 1
    groups = [[n] for n in images] if loss.per == "image" else [images]
    unreduced, totals, image_weights = [], [], []
    for group in groups:
        image_weight = float(sample_weight[group[0]]) if weigh_images and loss.per == "image" else 1.0
        pixel_weight = None if weigh_images and loss.per == "image" else sample_weight
        if f is None and loss.joins_classes and loss.task != "binary":
            classes = [_joined_loss(loss, batch, group, mask, pixel_weight)]
        else:
            classes = [_class_loss(loss, batch, group, c, mask, pixel_weight, f) for c in _classes(loss, batch)]
        unreduced += [value * weight * image_weight for value, weight, _ in classes]
        used = [(value, weight) for value, weight, part in classes if part]
        if used:
            top = math.fsum(v * w for v, w in used)
            bottom = math.fsum(w for _, w in used) if loss.reduction == "weighted_mean" else len(used)
            totals.append((top, bottom))
            image_weights.append(image_weight)
    if loss.reduction == "none":
        return unreduced
    if loss.reduction == "sum":
        return divide(loss, math.fsum(unreduced), 1, normalizer)
    if loss.per == "batch":
        top, bottom = totals[0] if totals else (0.0, 0.0)
        return divide(loss, top, bottom, normalizer)
    averages = [top / bottom if bottom else 0.0 for top, bottom in totals]
    total = math.fsum(a * w for a, w in zip(averages, image_weights, strict=True))
    denominator = math.fsum(image_weights) if loss.reduction == "weighted_mean" else len(averages)
    return divide(loss, total, denominator, normalizer)


def _classes(loss: Any, batch: Batch) -> Iterator[int]:
    return iter(range(1 if loss.task == "binary" else batch.prediction.shape[loss.class_axis]))


def _class_loss(
    loss: Any,
    batch: Batch,
    group: list[int],
    c: int,
    mask: np.ndarray | None,
    weights: np.ndarray | None,
    f: Callable[..., float] | None,
) -> tuple[float, float, bool]:
    """The loss of one class, its weight, and whether it takes part in the mean."""
    pairs = [pair for n in group for pair in _pixels(loss, batch, n, c, mask, weights)]
    weight = _part(loss, pairs, c)
    if not weight:
        return 0.0, 0.0, False
    if f is not None:
        return f(*_soft_counts(loss, pairs), c), weight, True
    if isinstance(loss, lossary.ClDiceLoss):
        images = [_image(loss, batch, n, mask) for n in group]

        def weigh(n: int, i: tuple[int, ...]) -> float:
            place = _place(loss, batch, group[n], c, i)
            return float(at(weights, place, 1.0)) * counts(loss, batch, place, mask)

        return FORMULAS[type(loss)](loss, images, c, weigh), weight, True
    if type(loss) in FROM_PLACES:
        return FORMULAS[type(loss)](loss, pairs), weight, True
    return FORMULAS[type(loss)](loss, *_soft_counts(loss, pairs)), weight, True


def _joined_loss(
    loss: Any, batch: Batch, group: list[int], mask: np.ndarray | None, weights: np.ndarray | None
) -> tuple[float, float, bool]:
    """The one loss of all classes."""
    counts, own = [], []
    for c in _classes(loss, batch):
        pairs = [pair for n in group for pair in _pixels(loss, batch, n, c, mask, weights)]
        counts.append(_soft_counts(loss, pairs))
        own.append(_part(loss, pairs, c))
    if not any(own):
        return 0.0, 0.0, False
    return FORMULAS[type(loss)](loss, counts, own), 1.0, True


def _part(loss: Any, pairs: list[tuple[Any, float, float]], c: int) -> float:
    """The weight of a class, 0 where it takes no part."""
    part = math.fsum(w for _, _, w in pairs) > 0
    if loss.classes == "present":
        part = part and any(t > 0 and w > 0 for _, t, w in pairs)
    elif loss.classes != "all":
        part = part and c in loss.classes
    return (1.0 if loss.class_weight is None else loss.class_weight[c]) if part else 0.0


def _soft_counts(loss: Any, pairs: list[tuple[Any, float, float]]) -> tuple[float, float, float]:
    """TP, FP and FN of one class."""
    power = 2 if getattr(loss, "squared", False) else 1
    tp, predicted, true = [], [], []
    for p, t, w in pairs:
        t = mpf(float(t))
        tp.append(float((p + t - abs(p - t)) / 2 if getattr(loss, "soft", "") == "l1" else p * t) * w)
        predicted.append(float(p**power) * w)
        true.append(float(t**power) * w)
    return math.fsum(tp), math.fsum([*predicted, *(-x for x in tp)]), math.fsum([*true, *(-x for x in tp)])


def _pixels(
    loss: Any, batch: Batch, n: int, c: int, mask: np.ndarray | None, weights: np.ndarray | None
) -> Iterator[tuple[mpf, float, float]]:
    """Probability of the class (or its score), its share of the target and its weight, at each counted place."""
    shape = unreduced_shape(loss, batch)
    axis = loss.class_axis % batch.prediction.ndim
    ranges = [range(s) for s in shape]
    ranges[0] = range(n, n + 1)
    if loss.task == "multilabel":
        ranges[axis] = range(c, c + 1)
    for place in itertools.product(*ranges):
        if not counts(loss, batch, place, mask):
            continue
        weight = float(at(weights, place, 1.0))
        if loss.task == "multiclass":
            p, _ = softmax(loss, along_classes(loss, batch.prediction, place))
            yield p[c], float(shares(loss, batch, place, len(p))[c]), weight
        elif isinstance(loss, lossary.LovaszHingeLoss):
            yield mpf(float(batch.prediction[place])), float(batch.target[place]), weight
        else:
            yield sigmoid(loss, batch.prediction[place])[0], float(batch.target[place]), weight


def _compound(loss: Any, batch: Batch, mask: np.ndarray | None, sample_weight: np.ndarray | None) -> float:
    """Losses of places and of regions; the formula knows how they are combined."""
    places = [
        Place(_answers(loss, batch, place), float(at(sample_weight, place, 1.0)), _channel(loss, place))
        for place in np.ndindex(unreduced_shape(loss, batch))
        if counts(loss, batch, place, mask)
    ]

    def region(f: Callable[..., float]) -> float:
        return _overlap(loss, batch, mask, sample_weight, None, f)

    return FORMULAS[type(loss)](loss, places, region)


def _channel(loss: Any, place: tuple[int, ...]) -> int:
    return place[loss.class_axis] if loss.task == "multilabel" else 0


def _answers(loss: Any, batch: Batch, place: tuple[int, ...]) -> list[Answer]:
    if loss.task == "multiclass":
        p, q = softmax(loss, along_classes(loss, batch.prediction, place))
        weights, t = class_numbers(loss, loss.class_weight, len(p)), shares(loss, batch, place, len(p))
        return [Answer(mpf(float(t[c])), p[c], q[c], c, weights[c]) for c in range(len(p))]
    p, q = sigmoid(loss, batch.prediction[place])
    t = mpf(float(batch.target[place]))
    weight = 1.0 if loss.class_weight is None else loss.class_weight[_channel(loss, place)]
    return [Answer(1 - t, q, p, 0, weight), Answer(t, p, q, 1, weight)]


# --- masks ------------------------------------------------------------------------------------------------------------


def _masks(
    loss: Any,
    batch: Batch,
    mask: np.ndarray | None,
    sample_weight: np.ndarray | None,
    normalizer: float | None,
    constants: Batch | None,
) -> Any:
    """Losses of whole images, class by class, of which each place has a value."""
    classes = _members(loss, batch)
    found = []
    for n in range(batch.prediction.shape[0]):
        image = _image(loss, batch, n, mask, classes)
        held = image if constants is None else _image(loss, constants, n, mask, classes)
        found.append(FACTORS.get(type(loss), _formula(loss))(loss, image, held))
    values, parts, masses = [], [], []
    for place in np.ndindex(unreduced_shape(loss, batch)):
        n, c, i = _coordinates(loss, place, batch)
        own = classes if c is None else [c]
        if not counts(loss, batch, place, mask) or not set(own) <= set(_members(loss, batch, compared=True)):
            values.append(0.0)
            continue
        weight = at(sample_weight, place, 1.0)
        if type(loss) in FACTORS:
            value, mass = _likelihood(loss, batch, place, None)
            value, part = value * found[n][own[0], i], 1.0
        else:
            weights = class_numbers(loss, loss.class_weight, 99)
            entries = [(weights[k], *found[n][k, i]) for k in own]
            value = mpmath.fsum(w * v for w, v, _ in entries) / len(own)
            part = float(mpmath.fsum(s for _, _, s in entries)) / len(own)
            mass = math.fsum(w * s for w, _, s in entries) / len(own)
        values.append(float(value * weight))
        parts.append(part)
        masses.append(float(mass * weight))
    if loss.reduction == "none":
        return values
    denominator = math.fsum(masses if loss.reduction == "weighted_mean" else parts)
    return divide(loss, math.fsum(values), denominator, normalizer)


def _members(loss: Any, batch: Batch, compared: bool = False) -> list[int]:
    """The classes that take part; for multilabel all of them have a map, whichever are compared."""
    every = list(_classes(loss, batch))
    chosen = getattr(loss, "classes", "all")
    if loss.task == "multiclass" or compared:
        if chosen == "foreground":
            return every[1:] if loss.task == "multiclass" else every
        if chosen != "all":
            return list(chosen)
    return every


def _image(loss: Any, batch: Batch, n: int, mask: np.ndarray | None, classes: list[int] | None = None) -> Image:
    """Probabilities and targets of an image; where a place does not count, both are the background."""
    shape = list(batch.prediction.shape[1:])
    if loss.task != "binary":
        del shape[loss.class_axis % batch.prediction.ndim - 1]
    p, q, t, counted = {}, {}, {}, set()
    for c in list(_classes(loss, batch)) if classes is None else classes:
        for i in itertools.product(*map(range, shape)):
            place = _place(loss, batch, n, c, i)
            if not counts(loss, batch, place, mask):
                p[c, i] = t[c, i] = mpf(loss.task == "multiclass" and c == 0)
                q[c, i] = 1 - p[c, i]
                continue
            counted.add((c, i))
            if loss.task == "multiclass":
                every, others = softmax(loss, along_classes(loss, batch.prediction, place))
                p[c, i], q[c, i] = every[c], others[c]
                t[c, i] = mpf(float(shares(loss, batch, place, len(every))[c]))
            else:
                p[c, i], q[c, i] = sigmoid(loss, batch.prediction[place])
                t[c, i] = mpf(float(batch.target[place]))
    return Image(tuple(shape), p, q, t, counted, loss.task == "multiclass")


def _place(loss: Any, batch: Batch, n: int, c: int, i: tuple[int, ...]) -> tuple[int, ...]:
    """Where in the unreduced loss a place of an image is."""
    place = (n, *i)
    if loss.task == "multilabel":
        axis = loss.class_axis % batch.prediction.ndim
        place = (*place[:axis], c, *place[axis:])
    return place


def _coordinates(loss: Any, place: tuple[int, ...], batch: Batch) -> tuple[int, int | None, tuple[int, ...]]:
    """Image, class (multilabel, binary) and place in the image."""
    if loss.task == "multiclass":
        return place[0], None, place[1:]
    if loss.task == "binary":
        return place[0], 0, place[1:]
    axis = loss.class_axis % batch.prediction.ndim
    return place[0], place[axis], (*place[1:axis], *place[axis + 1 :])
