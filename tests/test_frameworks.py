"""Every loss on every framework: values equal NumPy's, gradients equal central differences, all finite at the edges."""

from __future__ import annotations

from typing import Any

import array_api_strict
import jax
import numpy as np
import pytest
import torch

import lossary
import lossary.torch
from frameworks import MAKE, RUN, run_torch, tensors, to_numpy
from lossary.checker.claims import REGIMES
from lossary.checker.draws import draw, takes_dense
from lossary.checker.engines import Batch
from lossary.core.compound import CompoundLoss
from lossary.core.families import ClassificationLoss
from lossary.core.families.named_sum import NamedSumLoss
from lossary.core.loss import Loss
from references import evaluate
from variants import defaults, everything, on_frameworks

ALL = everything()
DEFAULTS, FORMULAS = defaults(), on_frameworks()
COMPILED = [
    (framework, loss)
    for loss in DEFAULTS
    for framework in RUN
    # what a compiler sees of a multilabel loss is the binary one with one more axis
    if framework == "torch" or getattr(loss, "task", None) != "multilabel" or "binary" not in loss.tasks()
]
# jax works in float32 here, as it does by default
TOLERANCE = {"torch": 1e-9, "tensorflow": 1e-9, "jax": 2e-5}


def numpy_value(loss: Loss, batch: Batch) -> np.ndarray:
    return np.asarray(loss(batch.prediction, batch.target, **batch.keywords))


def central_differences(loss: Loss, batch: Batch) -> np.ndarray:
    """The gradient of the NumPy value by differences of fourth order; of the reference, where part of the formula is
    held constant."""

    def value(prediction: np.ndarray) -> float:
        moved = batch.with_prediction(prediction)
        if loss.facts.constant is not None:
            return float(np.sum(evaluate(loss, moved, constants=batch)))
        return float(np.sum(numpy_value(loss, moved)))

    gradient = np.zeros_like(batch.prediction)
    for index in np.ndindex(batch.prediction.shape):
        step = 1e-4 * min(1.0, max(abs(batch.prediction[index]), 1e-3))
        for factor, distance in ((8, 1), (-8, -1), (-1, 2), (1, -2)):
            moved = batch.prediction.copy()
            moved[index] += distance * step
            gradient[index] += factor * value(moved) / (12 * step)
    return gradient


def same(a: object, b: object, tolerance: float) -> None:
    a, b = to_numpy(a), to_numpy(b)
    np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * max(1.0, float(np.abs(b).max(initial=0))))


@pytest.mark.parametrize("loss", ALL, ids=repr)
def test_gradient_is_that_of_the_value(loss: Loss) -> None:
    batch = draw(loss)
    value, gradient = run_torch(loss, batch)
    same(value, numpy_value(loss, batch), 1e-12)
    same(gradient, central_differences(loss, batch), 2e-7)


@pytest.mark.parametrize(("framework", "loss"), [pair for pair in FORMULAS if pair[0] != "torch"], ids=repr)
def test_frameworks_agree(loss: Loss, framework: str) -> None:
    batch = draw(loss)
    value, gradient = RUN[framework](loss, batch)
    expected, expected_gradient = run_torch(loss, batch)
    same(value, expected, TOLERANCE[framework])
    same(gradient, expected_gradient, TOLERANCE[framework])


@pytest.mark.parametrize(("framework", "loss"), [pair for pair in FORMULAS if takes_dense(pair[1])], ids=repr)
def test_soft_targets(loss: Loss, framework: str) -> None:
    batch = draw(loss, dense=True)
    value, gradient = RUN[framework](loss, batch)
    same(value, numpy_value(loss, batch), TOLERANCE[framework])
    same(gradient, central_differences(loss, batch), max(2e-7, TOLERANCE[framework]))


# Inductor imports code of torch that torch itself deprecates
@pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning")
def test_inductor() -> None:
    """The compiler that users get. It takes some 50 s a graph, so one graph has both kinds of sum: over images and
    classes, and over places of which some are ignored."""
    loss = lossary.DiceLoss("multiclass") + lossary.FocalLoss("multiclass", ignore_index=0)
    batch = draw(lossary.CrossEntropyLoss())
    value, gradient = run_torch(loss, batch, "float32", compiled=True, backend="inductor")
    expected, expected_gradient = run_torch(loss, batch, "float32")
    same(value, expected, 1e-5)
    same(gradient, expected_gradient, 1e-5)


@pytest.mark.parametrize("framework", RUN)
@pytest.mark.parametrize("loss", [x for x in DEFAULTS if isinstance(x, ClassificationLoss)], ids=repr)
def test_rows(loss: ClassificationLoss, framework: str) -> None:
    """(N, C) scores, as classifiers give them: samples without places."""
    batch = draw(loss)
    rows = Batch(batch.prediction[..., 0], batch.target[..., 0])
    value, gradient = RUN[framework](loss, rows, "float32")
    same(value, evaluate(loss, rows), 1e-5)
    same(gradient, central_differences(loss, rows), 1e-4)


@pytest.mark.parametrize("loss", DEFAULTS, ids=repr)
def test_the_strictest_array_library(loss: Loss) -> None:
    """Formulas use nothing beyond the standard."""
    batch = draw(loss)
    prediction, target, keywords = tensors("strict", batch, "float64")
    value = loss(prediction, target, **keywords)
    same(value, numpy_value(loss, batch), 1e-12)
    assert isinstance(value, type(array_api_strict.asarray(1.0)))


@pytest.mark.parametrize(("framework", "loss"), COMPILED, ids=repr)
def test_compiled_equals_eager(loss: Loss, framework: str) -> None:
    """In every regime, by one program."""
    compiled, eager = (MAKE[framework](loss, "float32", compiled=c) for c in (True, False))
    for regime in REGIMES:
        batch = draw(loss, regime)
        value, gradient = compiled(batch)
        expected, expected_gradient = eager(batch)
        same(value, expected, 1e-5)
        if regime == "ordinary":  # at ties each framework may choose its subgradient
            same(gradient, expected_gradient, 1e-5)
        assert np.isfinite(gradient).all()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("framework", ["torch", "jax", "tensorflow"])
@pytest.mark.parametrize("loss", DEFAULTS, ids=repr)
def test_half_precision(loss: Loss, framework: str, dtype: str) -> None:
    """Half-precision input is computed in float32: as exact as the rounded input allows."""
    batch = draw(loss)
    prediction, target, keywords = tensors(framework, batch, dtype)
    rounded = Batch(
        to_numpy(prediction).astype(float),
        to_numpy(target) if target.dtype != prediction.dtype else to_numpy(target).astype(float),
        {
            name: to_numpy(x) if batch.keywords[name].dtype.kind in "iu" else to_numpy(x).astype(float)
            for name, x in keywords.items()
        },
    )
    value, gradient = RUN[framework](loss, batch, dtype)
    assert str(value.dtype).endswith("float32") or value.dtype.name == "float32"
    expected, expected_gradient = run_torch(loss, rounded)
    same(value, expected, 1e-3)
    same(gradient, expected_gradient, 1e-2)


@pytest.mark.parametrize("loss", [x for x in DEFAULTS if x.facts.differentiable and x.facts.constant is None], ids=repr)
def test_first_and_second_derivatives(loss: Loss) -> None:
    """(Where part of a formula is held constant, differences see it move and derivatives do not.)"""
    prediction, target, keywords = tensors("torch", draw(loss, samples=2), "float64")
    prediction.requires_grad_()
    torch.autograd.gradcheck(lambda p: loss(p, target, **keywords), (prediction,))
    torch.autograd.gradgradcheck(lambda p: loss(p, target, **keywords), (prediction,))


@pytest.mark.parametrize("loss", [x for x in DEFAULTS if x.facts.differentiable], ids=repr)
def test_gradient_with_a_graph(loss: Loss) -> None:
    """With `create_graph=True` the gradient is the same, also where what comes from above depends on the loss."""
    prediction, target, keywords = tensors("torch", draw(loss, samples=2), "float64")
    prediction.requires_grad_()
    value = loss(prediction, target, **keywords)
    (plain,) = torch.autograd.grad(value, prediction, retain_graph=True)
    (squared,) = torch.autograd.grad(value * value, prediction, create_graph=True)
    same(squared, 2 * value * plain, 1e-10)


# torch's forward mode is written with the torch.jit.script that torch itself deprecates
@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")
@pytest.mark.parametrize("loss", DEFAULTS, ids=repr)
def test_torch_func(loss: Loss) -> None:
    """`torch.func.grad` and hessians, forward over reverse and reverse over reverse, equal autograd."""
    prediction, target, keywords = tensors("torch", draw(loss, samples=2), "float64")

    def call(p: torch.Tensor) -> torch.Tensor:
        return loss(p, target, **keywords)

    leaf = prediction.clone().requires_grad_()
    gradient = torch.autograd.grad(call(leaf), leaf)[0]
    same(torch.func.grad(call)(prediction), gradient, 1e-12)
    hessian = torch.autograd.functional.hessian(call, prediction)
    same(torch.func.jacrev(torch.func.grad(call))(prediction), hessian, 1e-10)
    same(torch.func.jacfwd(torch.func.grad(call))(prediction), hessian, 1e-10)


def _per_sample(loss: Loss, batch: Batch) -> np.ndarray:
    return np.stack([numpy_value(loss, batch[i]) for i in range(len(batch.prediction))])


@pytest.mark.parametrize("framework", ["torch", "jax"])
@pytest.mark.parametrize("loss", DEFAULTS, ids=repr)
def test_vmap(loss: Loss, framework: str) -> None:
    """Mapped over samples, a loss sees one without its batch axis."""
    batch = draw(loss)
    if isinstance(loss, ClassificationLoss) and loss.task != "binary":
        loss = loss.replace(class_axis=0)
    if hasattr(loss, "prediction_form"):
        loss = loss.replace(class_axis=0)
    prediction, target, keywords = tensors(framework, batch, "float32")
    vmap, grad = (torch.vmap, torch.func.grad) if framework == "torch" else (jax.vmap, jax.grad)

    def call(p: Any, t: Any, operands: Any) -> Any:
        return loss(p, t, **operands)

    axes = (0, 0, {name: None if name in batch.shared else 0 for name in keywords})
    same(vmap(call, axes)(prediction, target, keywords), _per_sample(loss, batch), 1e-5)
    gradients = vmap(grad(call), axes)(prediction, target, keywords)
    for i in range(len(batch.prediction)):
        single = run_torch(loss, batch[i])[1]
        same(gradients[i], single, 2e-5)


@pytest.mark.parametrize("framework", ["torch", "jax"])
@pytest.mark.parametrize(
    "loss", [x for x in DEFAULTS if isinstance(x, ClassificationLoss) and x.task == "multiclass"], ids=repr
)
def test_vmap_over_rows(loss: ClassificationLoss, framework: str) -> None:
    """(C,) logits with a scalar label: what vmap makes of (N, C) and (N,)."""
    batch = draw(loss)
    rows = Batch(batch.prediction[..., 0], batch.target[..., 0])
    prediction, target, _ = tensors(framework, rows, "float32")
    vmap = torch.vmap if framework == "torch" else jax.vmap
    each = [numpy_value(loss, Batch(rows.prediction[i : i + 1], rows.target[i : i + 1])) for i in range(3)]
    if getattr(loss, "per", None) != "batch":
        same(vmap(loss)(prediction, target), np.stack(each).ravel(), 1e-5)
    else:
        assert vmap(loss)(prediction, target).shape == (3,)


NORMALIZED = [loss for loss in DEFAULTS if not isinstance(loss, NamedSumLoss)] + [
    lossary.L1Loss() + lossary.MSELoss(),
    lossary.ScheduledLoss(2 * lossary.L1Loss() + lossary.MSELoss(), {"l1": [(0, 1.0)]}),
]


@pytest.mark.parametrize("loss", NORMALIZED, ids=repr)
def test_a_normalizer_leaves_the_dtype(loss: Loss) -> None:
    """float64 beside float32 made the loss float64 in torch, and TensorFlow took no integer."""
    step = {"step": 0} if isinstance(loss, lossary.ScheduledLoss) else {}
    p, t, keywords = tensors("torch", draw(lossary.L1Loss() if isinstance(loss, CompoundLoss) else loss), "float32")
    plain = loss(p, t, **keywords, **step, normalizer=7)
    for normalizer in (torch.tensor(7, dtype=torch.float64), torch.tensor(7), np.float64(7), np.array(7)):
        value = loss(p, t, **keywords, **step, normalizer=normalizer)
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, plain)


@pytest.mark.parametrize("loss", [lossary.L1Loss(), lossary.L1Loss() + lossary.MSELoss()], ids=repr)
def test_a_normalizer_leaves_the_dtype_elsewhere(loss: Loss) -> None:
    import tensorflow as tf

    x = np.array([1.0, 2.0], np.float32)
    for make in (np.asarray, tf.constant, jax.numpy.asarray):
        for number in (np.float64(7), np.int64(7)):
            value = loss(make(x), make(0 * x), normalizer=make(number))
            assert np.asarray(value).dtype == np.float32
            np.testing.assert_allclose(np.asarray(value), loss(x, 0 * x, normalizer=7), rtol=1e-6)
    criterion = lossary.torch.Criterion(loss)
    assert criterion(torch.tensor(x), torch.zeros(2), normalizer=torch.tensor(7.0).double()).dtype == torch.float32
