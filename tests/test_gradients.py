"""Gradients by all that a call takes, not by the prediction alone; and gradients where formulas have kinks."""

from __future__ import annotations

import ast
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import lossary
from frameworks import RUN, tensors, to_numpy
from lossary.array.namespace import namespace
from lossary.array.primitives import clip, magnitude
from lossary.checker.draws import CLASSES, draw, generator, into_domain, takes_dense, unreduced_shape
from lossary.checker.engines import Batch
from lossary.core.families import (
    ClassificationLoss,
    EmbeddingLoss,
    MaskLoss,
    NamedSumLoss,
    PointwiseLoss,
)
from lossary.core.families.box import PairLoss
from lossary.core.loss import Loss
from references import evaluate
from variants import defaults, everything, make, tasks

ALL = everything()
DEFAULTS = defaults()


# --- by every floating input ------------------------------------------------------------------------------------------


def full_call(loss: Loss) -> Batch:
    """A batch with everything that a call may have: soft targets, operands, a weight for each place, a normalizer."""
    batch = draw(loss, dense=takes_dense(loss))
    rng = generator("weights", repr(loss))
    more = {"sample_weight": rng.uniform(0.5, 2, size=unreduced_shape(loss, batch))}
    if loss.reduction != "none" and not isinstance(loss, NamedSumLoss):
        more["normalizer"] = np.array(3.0)
    target = batch.target
    if isinstance(loss, ClassificationLoss) and loss.reads_between:  # away from the last class, beyond which is nothing
        target = np.where(target == CLASSES - 1, target - 0.3, target)
    return Batch(batch.prediction, target, {**batch.keywords, **more}, batch.shared)


def directions(loss: Loss, batch: Batch) -> dict[str, np.ndarray]:
    """A direction for each input by which the loss says that it has a gradient. Ignored labels are no numbers."""
    inputs = {"target": batch.target, **batch.keywords}
    rng = generator("directions", repr(loss))
    found = {k: rng.normal(size=x.shape) for k, x in inputs.items() if x.dtype.kind == "f" and k not in loss.facts.held}
    if "target" in found and getattr(loss, "ignore_index", None) is not None:
        found["target"] = np.where(batch.target == loss.ignore_index, 0.0, found["target"])
    if "target" in found and not has_signs(batch.target):
        found["target"] *= np.minimum(batch.target, 1.0)  # shares near 0 stay above it
    return found


def has_signs(x: np.ndarray) -> bool:
    return bool((x < 0).any())


def moved(batch: Batch, name: str, direction: np.ndarray, step: float) -> Batch:
    if name == "target":
        return dataclasses.replace(batch, target=batch.target + step * direction)
    return dataclasses.replace(batch, keywords={**batch.keywords, name: batch.keywords[name] + step * direction})


def value(loss: Loss, batch: Batch, constants: Batch) -> float:
    """The value in NumPy; by the reference, where part of the formula is held constant."""
    if loss.facts.constant is None:
        return float(np.sum(loss(batch.prediction, batch.target, **batch.keywords)))
    keywords = dict(batch.keywords)
    weight, normalizer = keywords.pop("sample_weight"), keywords.pop("normalizer", None)
    own = dataclasses.replace(batch, keywords=keywords)
    return float(
        np.sum(
            evaluate(loss, own, sample_weight=weight, normalizer=normalizer and float(normalizer), constants=constants)
        )
    )


def slope_along(loss: Loss, batch: Batch, name: str, direction: np.ndarray, step: float = 1e-4) -> float:
    """The derivative of the value along a direction of one input, by differences of fourth order."""
    near, far = (
        value(loss, moved(batch, name, direction, k * step), batch)
        - value(loss, moved(batch, name, direction, -k * step), batch)
        for k in (1, 2)
    )
    return (8 * near - far) / (12 * step)


def torch_gradients(loss: Loss, batch: Batch, name: str) -> np.ndarray:
    """The gradient by one input, where the prediction learns too."""
    prediction, target, keywords = tensors("torch", batch, "float64")
    leaf = target if name == "target" else keywords[name]
    leaf.requires_grad_()
    outcome = loss(prediction.requires_grad_(), target, **keywords).sum()
    gradient = torch.autograd.grad(outcome, leaf, allow_unused=True)[0] if outcome.requires_grad else None
    return np.zeros(leaf.shape) if gradient is None else to_numpy(gradient)


@pytest.mark.parametrize("loss", ALL, ids=repr)
def test_gradient_by_every_input(loss: Loss) -> None:
    batch = full_call(loss)
    for name, direction in directions(loss, batch).items():
        gradient = torch_gradients(loss, batch, name)
        expected = slope_along(loss, batch, name, direction)
        scale = max(1.0, float(np.abs(gradient * direction).sum()))
        assert float(np.sum(gradient * direction)) == pytest.approx(expected, rel=1e-6, abs=1e-7 * scale), name


def jax_gradients(loss: Loss, batch: Batch, names: list[str]) -> dict[str, np.ndarray]:
    import jax

    prediction, target, keywords = tensors("jax", batch, "float32")
    inputs = {"target": target, **keywords}
    leaves = {name: inputs.pop(name) for name in names}

    def run(leaves: dict[str, Any]) -> Any:
        full = {**inputs, **leaves}
        return loss(prediction, full.pop("target"), **full).sum()

    return {name: np.asarray(x) for name, x in jax.grad(run)(leaves).items()}


def tensorflow_gradients(loss: Loss, batch: Batch, names: list[str]) -> dict[str, np.ndarray]:
    import tensorflow as tf

    prediction, target, keywords = tensors("tensorflow", batch, "float64")
    inputs = {"target": target, **keywords}
    leaves = {name: inputs[name] for name in names}
    with tf.GradientTape() as tape:
        tape.watch(leaves)
        outcome = loss(prediction, inputs.pop("target"), **inputs)
    found = tape.gradient(outcome, leaves, unconnected_gradients="zero")
    return {name: tf.convert_to_tensor(x).numpy() for name, x in found.items()}


@pytest.mark.parametrize("framework", ["jax", "tensorflow"])
@pytest.mark.parametrize("loss", DEFAULTS, ids=repr)
def test_gradient_by_every_input_on_every_framework(loss: Loss, framework: str) -> None:
    batch = full_call(loss)
    names = list(directions(loss, batch))
    found = {"jax": jax_gradients, "tensorflow": tensorflow_gradients}[framework](loss, batch, names)
    for name in names:
        expected = torch_gradients(loss, batch, name)
        tolerance = {"jax": 2e-5, "tensorflow": 1e-9}[framework] * max(1.0, float(np.abs(expected).max()))
        np.testing.assert_allclose(found[name], expected, rtol=tolerance, atol=tolerance, err_msg=name)


# --- at kinks ---------------------------------------------------------------------------------------------------------


def tied(loss: Loss, dense: bool) -> Batch:
    """Small whole numbers, at which formulas tie: e = 0, |e| = δ, p = t, edges and corners that coincide. Ties are
    exact on every framework: none hangs on how a sigmoid is rounded."""
    batch, rng = draw(loss, dense=dense), generator("tied", repr(loss), dense)
    shape = batch.prediction.shape

    def whole(low: int, high: int, shape: tuple[int, ...]) -> np.ndarray:
        return rng.integers(low, high, size=shape, endpoint=True).astype(float)

    if isinstance(loss, PointwiseLoss):
        kinks = [v for v in dataclasses.asdict(loss).values() if isinstance(v, float) and np.isfinite(v)]
        target = into_domain(loss.domain("target"), whole(-2, 2, shape))
        error = rng.choice([0.0, 1.0, -1.0, *kinks, *(-k for k in kinks)], size=shape)
        operands = {k: into_domain(loss.domain(k), whole(0, 2, x.shape)) for k, x in batch.keywords.items()}
        return Batch(into_domain(loss.domain("prediction"), target + error), target, operands)
    if isinstance(loss, PairLoss):
        angle = [np.pi / 2 * whole(0, 1, (*shape[:-1], 1))] if shape[-1] == 5 else []
        low, size = (whole(*bounds, (2, *shape[:-1], 2)) for bounds in ((0, 3), (1, 3)))
        far = size if angle or loss.format != "xyxy" else low + size
        return Batch(*(np.concatenate([low[i], far[i], *angle], axis=-1) for i in (0, 1)))
    if isinstance(loss, EmbeddingLoss):
        vectors = {k: whole(-1, 1, x.shape) if x.ndim else x for k, x in batch.keywords.items()}
        return dataclasses.replace(batch, prediction=whole(-1, 1, shape), keywords=vectors)
    if not isinstance(loss, ClassificationLoss):
        return dataclasses.replace(batch, prediction=np.round(batch.prediction))
    scores = whole(-1, 1, shape)
    if isinstance(loss, (MaskLoss, lossary.ClDiceLoss)):  # p is 1/2 or 1, or in another class 0
        first = np.arange(shape[1]).reshape(-1, 1) == 0 if loss.task == "multiclass" else True
        scores = 40.0 * (first & (whole(0, 1, (shape[0], 1, shape[2])) > 0)) * np.ones(shape)
    if not dense or loss.task == "multiclass":
        return dataclasses.replace(batch, prediction=scores)
    return Batch(scores, np.where(scores == 0, 0.5, whole(0, 1, shape)), batch.keywords)


def one_sided_slopes(loss: Loss, batch: Batch, step: float = 1e-6) -> tuple[np.ndarray, np.ndarray]:
    """By each entry of the prediction, upwards and downwards."""

    def at(prediction: np.ndarray) -> float:
        return float(np.sum(loss(prediction, batch.target, **batch.keywords)))

    here, slopes = at(batch.prediction), (np.zeros(batch.prediction.shape), np.zeros(batch.prediction.shape))
    for index in np.ndindex(batch.prediction.shape):
        for slope, distance in zip(slopes, (step, -step), strict=True):
            prediction = batch.prediction.copy()
            prediction[index] += distance
            slope[index] = (at(prediction) - here) / distance
    return slopes


# |p - t| is a factor of the value there, and no other default has it
TIES = [(loss, dense) for loss in DEFAULTS for dense in sorted({False, takes_dense(loss)})]
TIES += [(lossary.QualityFocalLoss("binary", beta=1), dense) for dense in (False, True)]


@pytest.mark.parametrize("framework", ["jax", "tensorflow"])
@pytest.mark.parametrize(("loss", "dense"), TIES, ids=repr)
def test_frameworks_agree_at_ties(loss: Loss, dense: bool, framework: str) -> None:
    batch = tied(loss, dense)
    _, expected = RUN["torch"](loss, batch, "float32")
    _, gradient = RUN[framework](loss, batch, "float32")
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-4 * float(np.abs(expected).max(initial=1e-3)))


# the skeleton of clDice is a tower of minima and maxima: where it ties on several floors, no rule for one of them gives
# the slope of all
SMOOTH = [
    (loss, dense)
    for loss, dense in TIES
    if loss.facts.differentiable and loss.facts.constant is None and not isinstance(loss, lossary.ClDiceLoss)
]


@pytest.mark.parametrize(("loss", "dense"), SMOOTH, ids=repr)
def test_a_tie_that_is_no_kink_has_its_slope(loss: Loss, dense: bool) -> None:
    batch = tied(loss, dense)
    _, gradient = RUN["torch"](loss, batch, "float64")
    up, down = one_sided_slopes(loss, batch)
    scale = float(np.abs(gradient).max(initial=1e-3))
    smooth = np.abs(up - down) < 1e-4 * scale
    np.testing.assert_allclose(gradient[smooth], ((up + down) / 2)[smooth], atol=1e-4 * scale)


def test_magnitude_and_clip_have_one_slope_at_their_kinks() -> None:
    """|x| has the mean of the slopes on both sides, what lies at a bound the slope inside."""
    x = np.array([-1.0, 0.0, 1.0])
    for f, slope in (
        (lambda xp, x: magnitude(xp, x), [-1.0, 0.0, 1.0]),
        (lambda xp, x: clip(xp, x, min=0.0, max=1.0), [0.0, 1.0, 1.0]),
        (lambda xp, x: xp.maximum(x, xp.zeros_like(x)), [0.0, 0.5, 1.0]),
        (lambda xp, x: xp.minimum(xp.zeros_like(x), x), [1.0, 0.5, 0.0]),
    ):
        for run in RUN.values():
            value, gradient = run(lambda p, t, f=f: f(namespace(p), p), Batch(x, x), "float32")
            np.testing.assert_array_equal(to_numpy(value), f(np, x))
            np.testing.assert_array_equal(gradient, slope)


def test_kinks_stand_in_primitives() -> None:
    """Frameworks do not agree on the slopes of `abs` and `clip`; formulas take `magnitude` and `clip` instead."""
    package = Path(lossary.__file__).parent
    names = {"abs", "clip"}
    for folder in ("losses", "core/families", "array"):
        for file in (package / folder).rglob("*.py"):
            if file == package / "array/primitives/functions.py" or file.name.startswith("torch_"):
                continue
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Attribute) and node.attr in names and ast.unparse(node.value).endswith("xp"):
                    pytest.fail(f"{file}:{node.lineno}: {ast.unparse(node)}; take it from lossary.array.primitives")


# --- at impossible answers --------------------------------------------------------------------------------------------

FADING = [make(cls, task) for cls in (lossary.FocalLoss, lossary.ClassBalancedLoss) for task in tasks(cls)]
FADING += [lossary.FocalLoss("multiclass", gamma=0.5), lossary.CrossEntropyLoss()]


@pytest.mark.parametrize("framework", RUN)
@pytest.mark.parametrize("loss", FADING, ids=repr)
def test_an_impossible_truth_costs_infinity_and_has_a_gradient(loss: Loss, framework: str) -> None:
    """A logit of -inf at the true class: the formula's limit, and no NaN beside it."""
    batch = draw(loss)
    place = (0, 0, 0)
    if loss.task == "multiclass":
        place = (0, int(batch.target[0, 0]), 0)
    else:
        batch.target[place] = 1
    batch.prediction[place] = -np.inf
    value, gradient = RUN[framework](loss, batch, "float32")
    assert np.isposinf(to_numpy(value))
    assert np.isfinite(gradient).all()
    assert gradient[place] < 0
