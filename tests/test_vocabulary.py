"""Linear cross entropy against the dense form in float64: features, weight and bias, on every path and framework."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tensorflow as tf
import torch

import lossary as L

TOKENS, WIDTH, CLASSES = 7, 5, 11  # 7 is no multiple of the chunks of 3 below
WEIGHTS = tuple(float(w) for w in np.random.default_rng(3).uniform(0, 2, CLASSES))
OPTIONS: list[dict[str, Any]] = [
    {},
    {"label_smoothing": 0.2, "class_weight": WEIGHTS, "z_loss": 0.1, "softcap": 2.0},
    {"gamma": 2.0, "class_weight": WEIGHTS},
    {"gamma": 0.5, "z_loss": 0.05},
    {"distillation": 0.4, "temperature": 2.0, "label_smoothing": 0.1, "softcap": 3.0},
]


def given(seed: int = 0, teacher: bool = False) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    arrays = {"x": normal(TOKENS, WIDTH), "weight": normal(CLASSES, WIDTH), "bias": normal(CLASSES)}
    arrays["y"] = torch.randint(CLASSES, (TOKENS,), generator=generator)
    if teacher:
        arrays["teacher_logits"] = 2 * normal(TOKENS, CLASSES)
    return arrays


def dense(options: dict[str, Any], x: Any, y: Any, weight: Any, bias: Any, teacher_logits: Any = None) -> torch.Tensor:
    """The textbook, with all logits at once."""
    z = x @ weight.T + bias
    if "softcap" in options:
        z = options["softcap"] * torch.tanh(z / options["softcap"])
    log_p, smoothing = torch.log_softmax(z, 1), options.get("label_smoothing", 0.0)
    w = torch.tensor(options.get("class_weight", [1.0] * CLASSES), dtype=z.dtype)
    true = log_p.gather(1, y[:, None])[:, 0]
    hard = (1 - smoothing) * w[y] * -((1 - true.exp()) ** options.get("gamma", 0.0)) * true
    values = hard - smoothing / CLASSES * (w * log_p).sum(1)
    if teacher_logits is not None:
        t, share = options["temperature"], options["distillation"]
        log_t, log_q = (torch.log_softmax(a / t, 1) for a in (teacher_logits, z))
        values = (1 - share) * values + share * t**2 * (log_t.exp() * (log_t - log_q)).sum(1)
    return values + options.get("z_loss", 0.0) * torch.logsumexp(z, 1) ** 2


@pytest.mark.parametrize(
    ("options", "reduction", "chunk"), list(itertools.product(OPTIONS, ("none", "mean", "weighted_mean"), (None, 3)))
)
def test_against_the_dense_form(options: dict[str, Any], reduction: Any, chunk: int | None) -> None:
    """Value, gradients of features, weight and bias, under non-uniform upstream gradients, twice through one graph."""
    arrays = given(teacher="distillation" in options)
    learned = [arrays[k].requires_grad_() for k in ("x", "weight", "bias")]
    rng = torch.Generator().manual_seed(1)
    share = torch.rand(TOKENS, generator=rng, dtype=torch.float64).requires_grad_()
    upstream = torch.rand(TOKENS if reduction == "none" else (), generator=rng, dtype=torch.float64)
    operands = {k: v for k, v in arrays.items() if k not in ("x", "y")}
    loss = L.LinearCrossEntropyLoss(reduction=reduction, chunk=chunk, **options)
    value = loss(arrays["x"], arrays["y"], **operands, sample_weight=share)
    values = share * dense(options, **arrays)
    mass = share if "class_weight" not in options else share * torch.tensor(WEIGHTS, dtype=share.dtype)[arrays["y"]]
    expected = {"none": values, "mean": values.mean(), "weighted_mean": values.sum() / mass.sum()}[reduction]
    torch.testing.assert_close(value, expected, rtol=1e-11, atol=1e-13)
    wanted = torch.autograd.grad(expected, [*learned, share], upstream)
    first = torch.autograd.grad(value, [*learned, share], upstream, retain_graph=True)
    again = torch.autograd.grad(value, [*learned, share], upstream)
    for a, b, c in zip(first, again, wanted, strict=True):
        torch.testing.assert_close(a, c, rtol=1e-9, atol=1e-11)
        torch.testing.assert_close(b, a, rtol=0, atol=0)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("framework", ["numpy", "jax", "tensorflow", "tf.function"])
def test_chunks_of_every_framework(framework: str, options: dict[str, Any]) -> None:
    arrays = given(teacher="distillation" in options)
    learned = [arrays[k].requires_grad_() for k in ("x", "weight", "bias")]
    expected = dense(options, **arrays).mean()
    gradients = torch.autograd.grad(expected, learned)
    loss = L.LinearCrossEntropyLoss(chunk=3, **options)
    plain = {k: v.detach().numpy() for k, v in arrays.items()}

    def call(x: Any, weight: Any, bias: Any, y: Any, **rest: Any) -> Any:
        return loss(x, y, weight=weight, bias=bias, **rest)

    if framework == "numpy":
        assert call(**plain) == pytest.approx(expected.item(), rel=1e-12)
        return
    if framework == "jax":
        plain = {k: jnp.asarray(v) for k, v in plain.items()}
        rest = {k: v for k, v in plain.items() if k not in ("x", "weight", "bias")}
        run = jax.jit(jax.value_and_grad(lambda *a: call(*a, **rest), argnums=(0, 1, 2)))
        value, found = run(plain["x"], plain["weight"], plain["bias"])
    else:

        def both(given: dict[str, Any]) -> Any:
            with tf.GradientTape() as tape:
                three = [given[k] for k in ("x", "weight", "bias")]
                tape.watch(three)
                value = call(**given)
            return value, tape.gradient(value, three)

        if framework == "tf.function":  # the number of tokens is unknown while tracing
            shapes = {
                k: (None, *v.shape[1:]) if k in ("x", "y", "teacher_logits") else v.shape for k, v in plain.items()
            }
            signature = {k: tf.TensorSpec(shapes[k], v.dtype) for k, v in plain.items()}
            both = tf.function(both, input_signature=[signature])
        value, found = both({k: tf.constant(v) for k, v in plain.items()})
    tolerance = 1e-5 if framework == "jax" else 1e-10
    assert float(value) == pytest.approx(expected.item(), rel=tolerance)
    for a, b in zip(found, gradients, strict=True):
        np.testing.assert_allclose(np.asarray(a), b, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_second_derivatives_by_all_arguments(reduction: Any) -> None:
    arrays = given()
    loss = L.LinearCrossEntropyLoss(chunk=3, z_loss=0.1, softcap=5.0, reduction=reduction)
    learned = tuple(arrays[k][:4].requires_grad_() for k in ("x", "weight", "bias"))

    def call(x: Any, weight: Any, bias: Any) -> Any:
        return loss(x, arrays["y"][:4] % 4, weight=weight, bias=bias)

    torch.autograd.gradgradcheck(call, learned)
    gradient = torch.autograd.grad(call(*learned).sum(), learned)
    by_func = torch.func.grad(lambda *a: call(*a).sum(), argnums=(0, 1, 2))(*(a.detach() for a in learned))
    for a, b in zip(by_func, gradient, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_a_common_offset_changes_nothing(reduction: Any) -> None:
    """In float32 logits of 1e4 hold 1e-3: so much and no more is lost."""
    arrays = {k: v.float() if v.is_floating_point() else v for k, v in given().items()}
    loss = L.LinearCrossEntropyLoss(chunk=3, reduction=reduction)
    found = []
    for offset in (0.0, 1e4):
        x = arrays["x"].clone().requires_grad_()
        value = loss(x, arrays["y"], weight=arrays["weight"], bias=arrays["bias"] + offset).sum()
        found.append((value.detach(), torch.autograd.grad(value, x)[0]))
    torch.testing.assert_close(found[1], found[0], rtol=5e-3, atol=5e-3)


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_all_ignored(reduction: Any) -> None:
    arrays = given()
    learned = [arrays[k].requires_grad_() for k in ("x", "weight", "bias")]
    loss = L.LinearCrossEntropyLoss(ignore_index=-100, chunk=3, reduction=reduction)
    value = loss(learned[0], torch.full((TOKENS,), -100), weight=learned[1], bias=learned[2]).sum()
    assert value == 0
    for gradient in torch.autograd.grad(value, learned):
        assert (gradient == 0).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_adds_in_float32(dtype: torch.dtype) -> None:
    """The gradient of the weight is a sum over tokens: in half precision a thousand small terms would be lost."""
    x = torch.ones(4096, 1, dtype=dtype)
    weight = torch.tensor([[1.0], [0.0]], dtype=dtype).requires_grad_()
    value = L.LinearCrossEntropyLoss(reduction="sum", chunk=1)(x, torch.zeros(4096, dtype=torch.long), weight=weight)
    value.backward()
    assert value.dtype == torch.float32
    assert weight.grad is not None
    assert weight.grad.dtype == dtype
    missed = 4096 * torch.sigmoid(torch.tensor(-1.0)).item()
    assert weight.grad.flatten().tolist() == pytest.approx([-missed, missed], rel=5e-3)


def test_a_frozen_classifier_gets_no_gradient() -> None:
    arrays = given()
    x = arrays["x"].requires_grad_()
    L.LinearCrossEntropyLoss()(x, arrays["y"], weight=arrays["weight"]).backward()
    weight = arrays["weight"].requires_grad_()
    expected = torch.autograd.grad(dense({}, x, arrays["y"], weight, 0.0).mean(), x)[0]
    torch.testing.assert_close(x.grad, expected)
    assert weight.grad is None


def test_an_impossible_class() -> None:
    """A bias of -inf takes a class out, of smoothing too."""
    arrays = given()
    bias = arrays["bias"].clone()
    bias[4] = -torch.inf
    y = torch.where(arrays["y"] == 4, 0, arrays["y"])
    for reduction in ("none", "mean"):
        x, weight = (arrays[k].clone().requires_grad_() for k in ("x", "weight"))
        loss = L.LinearCrossEntropyLoss(label_smoothing=0.2, reduction=reduction)
        value = loss(x, y, weight=weight, bias=bias).mean()
        ours = torch.autograd.grad(value, (x, weight))
        logits = x @ weight.T + bias
        dense_value = L.CrossEntropyLoss(label_smoothing=0.2)(logits, y)
        torch.testing.assert_close(value, dense_value)
        theirs = torch.autograd.grad(dense_value, x)[0]
        assert all(torch.isfinite(g).all() for g in ours)
        torch.testing.assert_close(ours[0], theirs.nan_to_num())


def test_teacher_by_features_or_by_logits() -> None:
    rng = np.random.default_rng(0)
    x, weight, y = rng.normal(size=(2, 3, 4)), rng.normal(size=(6, 4)), rng.integers(0, 6, size=(2, 3))
    features, teacher, bias = rng.normal(size=(2, 3, 5)), rng.normal(size=(6, 5)), rng.normal(size=6)
    loss = L.LinearCrossEntropyLoss(distillation=0.5, temperature=3.0)
    ours = loss(x, y, weight=weight, teacher_features=features, teacher_weight=teacher, teacher_bias=bias)
    logits = features @ teacher.T + bias
    assert ours == pytest.approx(loss(x, y, weight=weight, teacher_logits=logits), rel=1e-12)
    only = loss.replace(distillation=1.0)(x, y, weight=weight, teacher_logits=logits)
    whole = L.DistillationLoss(temperature=3.0, class_axis=-1)(x @ weight.T, logits)
    assert only == pytest.approx(float(whole), rel=1e-12)


def test_what_it_refuses() -> None:
    x, weight, y = np.ones((3, 4)), np.ones((6, 4)), np.zeros(3, int)
    loss, taught = L.LinearCrossEntropyLoss(), L.LinearCrossEntropyLoss(distillation=0.5)
    for call, message in (
        (lambda: loss(x, y), "the call needs `weight`"),
        (lambda: loss(x, y, weight=weight.T), r"`weight` has shape \(4, 6\); .* must be \(classes, 4\)"),
        (lambda: loss(x, y, weight=weight, bias=np.ones(4)), r"`bias` has shape \(4,\); `weight` needs \(6,\)"),
        (lambda: loss(x, y[:2], weight=weight), r"expected class indices of shape \(3,\)"),
        (lambda: loss(x, y + 6, weight=weight), r"label 6 at \[0\] is not in \[0, 5\]"),
        (lambda: loss(x, y.astype(float), weight=weight), "class indices must be integers"),
        (lambda: loss(x, y, weight=weight, teacher_logits=x), "unknown argument `teacher_logits`"),
        (lambda: taught(x, y, weight=weight), "the call needs `teacher_features`"),
        (lambda: taught(x, y, weight=weight, teacher_logits=x), r"expected one row per token, \(3, 6\)"),
        (lambda: taught(x, y, weight=weight, teacher_logits=x, teacher_weight=weight), "got both"),
        (lambda: loss.replace(class_weight=(1.0, 2.0))(x, y, weight=weight), "has 2 numbers for 6 classes"),
        (lambda: L.LinearCrossEntropyLoss(gamma=1, label_smoothing=0.1), "exclude each other"),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            call()


PEAK = """
import sys, torch, lossary
from pathlib import Path
def resident(field):
    return next(int(l.split()[1]) for l in Path("/proc/self/status").read_text().splitlines() if l.startswith(field))
def run(tokens, classes):
    x, w = torch.randn(tokens, 8).requires_grad_(), torch.randn(classes, 8).requires_grad_()
    loss = lossary.LinearCrossEntropyLoss(z_loss=1e-4, reduction=sys.argv[2])
    loss(x, torch.zeros(tokens, dtype=torch.long), weight=w).sum().backward()
torch.set_num_threads(1)
run(8, 100)
Path("/proc/self/clear_refs").write_text("5")
before = resident("VmRSS")
run(1024, int(sys.argv[1]))
print(resident("VmHWM") - before)
"""


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_peak_memory_does_not_grow_with_tokens_times_classes(reduction: str) -> None:
    """All logits of 1,024 tokens and 64,000 classes are 262 MB; `python -m benchmarks vocabulary` measures more."""
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    few, many = (
        int(subprocess.check_output([sys.executable, "-c", PEAK, classes, reduction], env=environment, text=True))
        for classes in ("8000", "64000")
    )
    assert many - few < 20_000  # kB: the weight and its gradient are 4 MB
    assert many < 100_000
