"""Sums of losses: operands, outputs, parts and their gradients, learned and scheduled weights."""

from __future__ import annotations

import dataclasses
import doctest
import json
import math
import pickle
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tensorflow as tf
import torch

import lossary as L
from lossary.torch import Criterion


def test_operands_reach_the_parts_that_take_them() -> None:
    rng = np.random.default_rng(0)
    x, y, variance = rng.normal(size=(3, 4)), rng.normal(size=(3, 4)), rng.uniform(0.5, 2, size=(3, 4))
    nll, l1 = L.GaussianNLLLoss(), L.L1Loss()
    total = l1 + 0.5 * nll + L.MSELoss()
    assert total.takes == ("variance",)
    expected = l1(x, y) + 0.5 * nll(x, y, variance=variance) + L.MSELoss()(x, y)
    assert total(x, y, variance=variance) == pytest.approx(expected, rel=1e-12)
    parts = total.statistics(x, y, variance=variance)
    assert total.finalize(parts) == pytest.approx(expected, rel=1e-12)
    with pytest.raises(TypeError, match="GaussianNLLLoss: the call needs `variance`"):
        total(x, y)
    with pytest.raises(TypeError, match=r"l1 \+ gaussian_nll \+ mse: unknown argument `distance`; it takes variance"):
        total(x, y, variance=variance, distance=x)
    with pytest.raises(TypeError, match="unknown argument `variance`; it takes none beyond the common ones"):
        (l1 + L.MSELoss())(x, y, variance=variance)


def test_an_operand_that_options_rule_out_is_not_passed_on() -> None:
    """Distillation takes labels with a hard share only; beside one that does, the soft one must not see them."""
    rng = np.random.default_rng(0)
    student, teacher, labels = rng.normal(size=(3, 4)), rng.normal(size=(3, 4)), np.array([0, 3, 1])
    soft, hard = L.DistillationLoss(), L.DistillationLoss(hard_weight=0.3)
    assert (soft + hard)(student, teacher, labels=labels) == pytest.approx(
        soft(student, teacher) + hard(student, teacher, labels=labels), rel=1e-12
    )


def test_a_shared_batch_never_lacks_an_operand() -> None:
    """Two parts of one preparation, of which one takes an operand."""

    class WithOperand(L.CrossEntropyLoss):
        operands = ("temperature",)

        def prepare(self, *args: Any, operands: Any, **rest: Any) -> Any:
            batch = super().prepare(*args, operands=operands, **rest)
            batch.scores = batch.scores / operands["temperature"]
            return batch

    x, y = np.random.default_rng(0).normal(size=(5, 3)), np.array([0, 1, 2, 0, 1])
    plain = L.CrossEntropyLoss()
    total = plain + WithOperand()
    expected = plain(x, y) + plain(x / 2, y)
    assert total(x, y, temperature=np.full((), 2.0)) == pytest.approx(expected, rel=1e-12)


# --- several outputs --------------------------------------------------------------------------------------------------


DETECTION = (
    L.CIoULoss().on("boxes") + 0.5 * L.FocalLoss("multiclass").on("classes") + L.CrossEntropyLoss().on("classes")
)


def detection() -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    boxes = np.sort(rng.uniform(0, 9, size=(2, 5, 2, 2)), axis=2).reshape(2, 5, 4)
    prediction = {"boxes": boxes[0], "classes": rng.normal(size=(6, 3)), "features": rng.normal(size=7)}
    return prediction, {"boxes": boxes[1], "classes": rng.integers(0, 3, size=6)}


def test_a_sum_over_several_outputs() -> None:
    prediction, target = detection()
    boxes, classes = ((prediction[k], target[k]) for k in ("boxes", "classes"))
    focal, cross = L.FocalLoss("multiclass"), L.CrossEntropyLoss()
    expected = L.CIoULoss()(*boxes) + 0.5 * focal(*classes) + cross(*classes)
    assert DETECTION(prediction, target) == pytest.approx(expected, rel=1e-12)
    assert DETECTION.names == ("boxes.ciou", "classes.focal", "classes.cross_entropy")
    assert DETECTION.parts(prediction, target)["classes.focal"] == pytest.approx(focal(*classes), rel=1e-12)
    assert (0.5 * focal + cross).on("classes") == L.SumLoss(DETECTION.terms[1:])


def test_masks_weights_and_normalizers_of_outputs() -> None:
    prediction, target = detection()
    mask, weight = np.array([True, True, False, False, True]), np.arange(6.0)
    loss = L.CIoULoss().on("boxes") + L.FocalLoss("multiclass").on("classes")
    given = {"mask": {"boxes": mask}, "sample_weight": {"classes": weight}, "normalizer": {"classes": 4.0}}
    expected = L.CIoULoss()(prediction["boxes"], target["boxes"], mask=mask) + L.FocalLoss("multiclass")(
        prediction["classes"], target["classes"], sample_weight=weight, normalizer=4.0
    )
    assert loss(prediction, target, **given) == pytest.approx(expected, rel=1e-12)
    statistics = loss.statistics(prediction, target, mask=given["mask"], sample_weight=given["sample_weight"])
    assert loss.finalize(statistics, normalizer={"classes": 4.0}) == pytest.approx(expected, rel=1e-12)


def test_operands_of_outputs() -> None:
    x, variance = np.array([1.0, 3.0]), np.array([2.0, 1.0])
    loss = L.GaussianNLLLoss().on("depth") + L.GaussianNLLLoss().on("height")
    both, zeros = {"depth": x, "height": 2 * x}, {"depth": 0 * x, "height": 0 * x}
    found = loss(both, zeros, variance={"depth": variance, "height": 2 * variance})
    nll = L.GaussianNLLLoss()
    expected = nll(x, 0 * x, variance=variance) + nll(2 * x, 0 * x, variance=2 * variance)
    assert found == pytest.approx(expected, rel=1e-12)


def test_what_outputs_refuse() -> None:
    prediction, target = detection()
    for call, message in (
        (lambda: DETECTION(prediction["boxes"], target), "must be a dict with an entry 'boxes'; got ndarray"),
        (
            lambda: DETECTION({"boxes": prediction["boxes"]}, target),
            "no entry 'classes'; it has 'boxes'",
        ),
        (lambda: DETECTION(prediction, {"classes": target["classes"]}), "`target` has no entry 'boxes'"),
        (
            lambda: DETECTION(prediction, target, mask={"box": 1}),
            "an entry 'box', but the parts read 'boxes'",
        ),
        (
            lambda: DETECTION(prediction, target, normalizer=3.0),
            "a dict with a number for each output .boxes, classes.",
        ),
        (lambda: DETECTION(prediction, target, normalizer={"class": 1}), "`normalizer` has an entry 'class'"),
        (lambda: (L.L1Loss() + L.MSELoss())(*[np.ones(2)] * 2, normalizer={"l2": 1}), "`normalizer` has an entry 'l2'"),
        (lambda: L.L1Loss().on("a").on("b"), "the name of an output, once"),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            call()


# --- learned and scheduled weights ------------------------------------------------------------------------------------


UNCERTAIN = L.UncertaintyWeightedLoss(L.MSELoss().on("depth") + 2 * L.CrossEntropyLoss().on("classes"))
SCHEDULED = L.ScheduledLoss(
    2 * L.DiceLoss("multiclass") + L.CrossEntropyLoss(),
    {"dice": [(10, 1), (20, 0.5), (40, 0)], "cross_entropy": [(0, 3)]},
)


@pytest.mark.parametrize("loss", [DETECTION, UNCERTAIN, SCHEDULED, L.L1Loss().on("x"), UNCERTAIN + L.L1Loss().on("x")])
def test_losses_of_losses_are_values(loss: L.Loss) -> None:
    assert L.from_dict(json.loads(json.dumps(loss.to_dict()))) == loss
    assert pickle.loads(pickle.dumps(loss)) == loss
    assert eval(repr(loss), vars(L)) == loss
    assert hash(dataclasses.replace(loss)) == hash(loss)
    assert loss in {loss: 1}
    assert loss != 2 * loss


def both_outputs() -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    rng = np.random.default_rng(1)
    prediction = {"depth": rng.normal(size=4), "classes": rng.normal(size=(4, 3))}
    return prediction, {"depth": rng.normal(size=4), "classes": rng.integers(0, 3, size=4)}


@pytest.mark.parametrize("framework", ["numpy", "torch", "jax", "tensorflow"])
def test_uncertainty_weights(framework: str) -> None:
    """Kendall's equations in plain Python: ½e^(-s)·L for regression, e^(-s)·L for classification, s/2 for each."""
    prediction, target = both_outputs()
    s = np.array([0.7, -1.3])
    mse = L.MSELoss()(prediction["depth"], target["depth"])
    cross = L.CrossEntropyLoss()(prediction["classes"], target["classes"])
    expected = 0.5 * math.exp(-0.7) * mse + 0.35 + 2 * math.exp(1.3) * cross - 0.65
    convert = {"numpy": np.asarray, "torch": torch.tensor, "jax": jnp.asarray, "tensorflow": tf.constant}[framework]
    p, t = ({k: convert(v) for k, v in x.items()} for x in (prediction, target))
    assert float(UNCERTAIN(p, t, log_variances=convert(s))) == pytest.approx(expected, rel=1e-6)
    statistics = [
        UNCERTAIN.statistics(
            {k: v[rows] for k, v in p.items()}, {k: v[rows] for k, v in t.items()}, log_variances=convert(s)
        )
        for rows in (slice(0, 1), slice(1, 4))
    ]
    assert float(UNCERTAIN.finalize(sum(statistics))) == pytest.approx(expected, rel=1e-6)


def test_uncertainty_is_learned() -> None:
    """At the optimum of s the weighted part is its own count: e^(-s)·L = ½ (½e^(-s)·L = ½ for regression)."""
    prediction, target = ({k: torch.tensor(v) for k, v in x.items()} for x in both_outputs())
    criterion = Criterion(UNCERTAIN, learned={"log_variances": torch.zeros(2, dtype=torch.float64)})
    assert [name for name, _ in criterion.named_parameters()] == ["learned.log_variances"]
    optimiser = torch.optim.SGD(criterion.parameters(), lr=0.5)
    for _ in range(200):
        optimiser.zero_grad()
        criterion(prediction, target).backward()
        optimiser.step()
    parts = UNCERTAIN.parts(prediction, target, log_variances=criterion.learned["log_variances"])
    expected = [math.log(parts["depth.mse"]), math.log(4 * parts["classes.cross_entropy"])]
    np.testing.assert_allclose(criterion.learned["log_variances"].detach(), expected, rtol=1e-6)
    again = Criterion(UNCERTAIN, learned={"log_variances": torch.zeros(2, dtype=torch.float64)})
    again.load_state_dict(criterion.state_dict())
    assert again(prediction, target) == criterion(prediction, target)
    with pytest.raises(ValueError, match=r"`learned` has 'log_variance', which .* does not take"):
        Criterion(UNCERTAIN, learned={"log_variance": torch.zeros(2)})


@pytest.mark.parametrize("step", [0, 10, 12.5, 20, 30, 40, 99])
def test_schedule_is_piecewise_linear(step: float) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 3, 4)), rng.integers(0, 3, size=(2, 4))
    factor = np.interp(step, [10, 20, 40], [1, 0.5, 0])
    expected = 2 * factor * L.DiceLoss("multiclass")(x, y) + 3 * L.CrossEntropyLoss()(x, y)
    assert SCHEDULED(x, y, step=step) == pytest.approx(expected, rel=1e-12)
    assert SCHEDULED(x, y, step=np.asarray(step)) == pytest.approx(expected, rel=1e-12)
    shards = sum(SCHEDULED.statistics(x[i : i + 1], y[i : i + 1], step=step) for i in range(2))
    assert SCHEDULED.finalize(shards) == pytest.approx(expected, rel=1e-12)


def test_one_program_for_all_steps() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 3, 4)).astype(np.float32), rng.integers(0, 3, size=(2, 4))
    torch._dynamo.reset()
    compiled = torch.compile(SCHEDULED, backend="aot_eager", fullgraph=True)
    traces: list[str] = []

    def in_jax(step: Any) -> Any:
        traces.append("jax")  # runs while tracing, and never again
        return SCHEDULED(jnp.asarray(x), jnp.asarray(y), step=step)

    def in_tensorflow(step: Any) -> Any:
        traces.append("tensorflow")
        return SCHEDULED(tf.constant(x), tf.constant(y), step=step)

    jitted, traced = jax.jit(in_jax), tf.function(in_tensorflow, autograph=False)
    for step in (0, 15, 33):
        expected = pytest.approx(float(SCHEDULED(x, y, step=step)), rel=1e-5)
        assert float(compiled(torch.tensor(x), torch.tensor(y), step=torch.tensor(step))) == expected
        assert float(jitted(step)) == expected
        assert float(traced(tf.constant(step))) == expected
    assert sorted(traces) == ["jax", "tensorflow"]


def test_what_weights_refuse() -> None:
    parts = L.L1Loss() + L.MSELoss()
    x = np.ones(2)
    for call, message in (
        (lambda: L.ScheduledLoss(parts, {"l2": [(0, 1)]}), "names no part 'l2'; the parts are l1, mse"),
        (lambda: L.ScheduledLoss(parts, {"l1": [(5, 1), (5, 2)]}), "rising steps"),
        (lambda: L.ScheduledLoss(parts, {"l1": []}), "needs finite points"),
        (lambda: L.ScheduledLoss(parts, {}), "`schedule` is empty"),
        (lambda: L.ScheduledLoss(parts, {"l1": [(0, 1)]})(x, x), "the call needs `step`"),
        (lambda: L.ScheduledLoss(parts, {"l1": [(0, 1)]})(x, x, step=x), r"a number or a 0-d array; got shape \(2,\)"),
        (
            lambda: L.UncertaintyWeightedLoss(parts)(x, x, log_variances=np.zeros(3)),
            r"shape \(2,\), one for each",
        ),
        (lambda: L.UncertaintyWeightedLoss(parts)(x, x), "the call needs `log_variances`"),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            call()


# --- gradients of parts -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("framework", ["torch", "jax", "tensorflow"])
def test_gradient_norms_of_parts(framework: str) -> None:
    prediction, target = both_outputs()
    loss = L.MSELoss().on("depth") + 9 * L.CrossEntropyLoss().on("classes")
    convert = {"torch": torch.tensor, "jax": jnp.asarray, "tensorflow": tf.constant}[framework]
    p, t = ({k: convert(v) for k, v in x.items()} for x in (prediction, target))
    norms = loss.gradient_norms(p, t)
    slopes = 2 * (prediction["depth"] - target["depth"]) / 4
    assert float(norms["depth.mse"]) == pytest.approx(np.linalg.norm(slopes), rel=1e-5)
    q = np.exp(prediction["classes"])
    q = q / q.sum(1, keepdims=True) - np.eye(3)[target["classes"]]
    assert float(norms["classes.cross_entropy"]) == pytest.approx(np.linalg.norm(q / 4), rel=1e-5)
    nested = UNCERTAIN + L.L1Loss().on("depth")
    both = nested.gradient_norms(p, t, log_variances=convert(np.zeros(2)))
    expected = math.hypot(0.5 * float(norms["depth.mse"]), 2 * float(norms["classes.cross_entropy"]))
    assert float(both["uncertainty_weighted"]) == pytest.approx(expected, rel=1e-5)


def test_numpy_has_no_gradient_norms() -> None:
    with pytest.raises(TypeError, match="gradients need torch, JAX or TensorFlow; got an array of numpy"):
        (L.L1Loss() + L.MSELoss()).gradient_norms(np.ones(2), np.zeros(2))


# --- denominators -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "loss",
    [
        L.L1Loss() + 0.5 * L.HuberLoss(),
        L.L1Loss(reduction="sum") + L.MSELoss(reduction="sum"),
        2 * L.L1Loss(),
    ],
    ids=repr,
)
def test_one_normalizer_replaces_one_denominator(loss: L.Loss) -> None:
    x, y = np.array([[1.0, 2.0], [3.0, 5.0]]), np.zeros((2, 2))
    expected = sum(w * part(x, y, normalizer=7) for w, part in loss.terms)
    assert loss(x, y, normalizer=7) == pytest.approx(expected, rel=1e-14)
    assert loss.finalize(loss.statistics(x, y), normalizer=7) == pytest.approx(expected, rel=1e-14)
    each = loss(x, y, normalizer=dict.fromkeys(loss.names, 7))
    assert each == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize(
    "loss",
    [
        L.L1Loss() + L.NormLoss(),  # elements and samples
        L.L1Loss() + L.MAPELoss(),  # elements, and those whose target is not 0
        L.L1Loss() + L.MSELoss(reduction="sum"),
        L.CrossEntropyLoss() + L.DiceLoss("multiclass"),
        L.CrossEntropyLoss() + L.CrossEntropyLoss(ignore_index=1),
        L.CrossEntropyLoss() + L.FocalLoss("multiclass", normalizer="positives"),
        L.CrossEntropyLoss() + L.TopKLoss("multiclass"),
        L.ComboLoss("multiclass"),
    ],
    ids=repr,
)
def test_one_normalizer_does_not_replace_unlike_denominators(loss: L.Loss) -> None:
    labels = "Cross" in repr(loss) or "Combo" in repr(loss)
    x, y = np.ones((2, 3)), np.array([0, 2]) if labels else np.zeros((2, 3))
    with pytest.raises(ValueError, match="means over unlike things, so one `normalizer` cannot be the denominator"):
        loss(x, y, normalizer=7)


def test_micro_batches_of_dice_and_cross_entropy_add_up() -> None:
    """The mean of Dice is over images, that of cross entropy over places: each has a denominator of its own."""
    loss = L.DiceLoss("multiclass", ignore_index=-1) + 0.5 * L.CrossEntropyLoss(ignore_index=-1)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(5, 3, 4, 4)), rng.integers(0, 3, (5, 4, 4))
    y[:2, :3] = -1
    given = {"dice": 5, "cross_entropy": int((y >= 0).sum())}
    for halves in ((slice(0, 1), slice(1, 5)), (slice(0, 3), slice(3, 5))):
        assert sum(loss(x[s], y[s], normalizer=given) for s in halves) == pytest.approx(loss(x, y), rel=1e-12)
    assert loss(x, y, normalizer={"dice": 5}) == pytest.approx(loss(x, y), rel=1e-12)  # the other keeps its own


def test_the_page_on_sums_runs() -> None:
    page = Path(__file__).parent.parent / "docs" / "sums.md"
    assert doctest.testfile(str(page), module_relative=False).failed == 0
