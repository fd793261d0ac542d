"""Divergences and `lossary.information`: identities between them, hard labels, impossible classes, every library."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import lossary as L
from frameworks import RUN, tensors, to_numpy
from lossary import information
from lossary.checker.draws import draw
from lossary.checker.engines import Batch
from lossary.core.loss import Loss

FORMS = {"prediction_form": "probs", "target_form": "probs"}


def rows(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.ones(shape[-1]), size=shape[:-1])


def test_jensen_shannon_is_symmetric_and_bounded() -> None:
    p, t = rows(5, 4), rows(5, 4, seed=1)
    loss = L.JSDivLoss(**FORMS, reduction="none")
    np.testing.assert_allclose(loss(p, t), loss(t, p), rtol=1e-12)
    assert (loss(p, t) <= math.log(2)).all()
    assert (loss(p, t) <= np.asarray(L.KLDivLoss(**FORMS, reduction="none")(p, t)) / 2).all()
    assert loss(p, p).max() < 1e-15


def test_entropy_is_what_the_divergence_from_uniform_leaves() -> None:
    p = rows(5, 4)
    entropy = L.EntropyLoss(prediction_form="probs", reduction="none")(p, None)
    uniform = L.KLDivLoss(**FORMS, reduction="none")(np.full((5, 4), 0.25), p)
    np.testing.assert_allclose(entropy, math.log(4) - uniform, rtol=1e-12)


def test_entropy_reads_no_target() -> None:
    batch = draw(L.CrossEntropyLoss())
    z, labels = batch.prediction, batch.target
    alone = L.EntropyLoss()(z, None)
    assert L.EntropyLoss()(z, labels) == alone
    assert (L.CrossEntropyLoss() + -0.1 * L.EntropyLoss())(z, labels) == pytest.approx(
        L.CrossEntropyLoss()(z, labels) - 0.1 * alone
    )


def test_distillation_with_hard_labels() -> None:
    batch = draw(L.DistillationLoss())
    z, teacher = batch.prediction, batch.target
    labels = np.random.default_rng(0).integers(0, 4, size=(3, 5))
    soft, hard = L.DistillationLoss()(z, teacher), L.CrossEntropyLoss()(z, labels)
    for dtype in (np.uint8, np.int64):
        both = L.DistillationLoss(hard_weight=0.25)(z, teacher, labels=labels.astype(dtype))
        assert both == pytest.approx(0.75 * soft + 0.25 * hard, rel=1e-12)
    mask = labels != 2
    ignored = L.DistillationLoss(hard_weight=1)(z, teacher, labels=np.where(mask, labels, -100), mask=mask)
    assert ignored == pytest.approx(L.CrossEntropyLoss()(z, labels, mask=mask), rel=1e-12)


def test_distillation_at_a_high_temperature_compares_logits() -> None:
    """Section 2.1 of the paper: for centred logits half the mean squared difference."""
    z, teacher = (x - x.mean(1, keepdims=True) for x in np.random.default_rng(0).normal(size=(2, 6, 4)))
    expected = 0.5 * ((z - teacher) ** 2).mean()
    assert L.DistillationLoss(temperature=1e4)(z, teacher) == pytest.approx(expected, rel=1e-3)


def test_distillation_says_what_is_wrong() -> None:
    z = np.zeros((2, 3))
    with pytest.raises(TypeError, match="the call needs `labels`"):
        L.DistillationLoss(hard_weight=0.5)(z, z)
    with pytest.raises(TypeError, match="unknown argument `labels`"):
        L.DistillationLoss()(z, z, labels=np.zeros(2, int))
    loss = L.DistillationLoss(hard_weight=0.5)
    with pytest.raises(ValueError, match=r"label 3 at \[1\] is not in \[0, 2\]"):
        loss(z, z, labels=np.array([0, 3]))
    with pytest.raises(ValueError, match=r"`labels` has shape \(2, 1\); expected class indices of shape \(2,\)"):
        loss(z, z, labels=np.zeros((2, 1), int))
    with pytest.raises(TypeError, match="class indices must be integers; `labels` has dtype float64"):
        loss(z, z, labels=np.zeros(2))


@pytest.mark.parametrize("framework", list(RUN))
@pytest.mark.parametrize("loss", [L.KLDivLoss(), L.JSDivLoss(), L.EntropyLoss(), L.DistillationLoss()], ids=repr)
def test_impossible_classes(loss: Loss, framework: str) -> None:
    """A logit of -inf, where the target has nothing: value and gradient stay finite."""
    logits = np.array([[2.0, 0.0, -np.inf], [-np.inf, 1.0, -np.inf]])
    target = np.array([[0.25, 0.75, 0.0], [0.0, 1.0, 0.0]])
    if isinstance(loss, L.DistillationLoss):
        target = np.where(target > 0, np.log(np.where(target > 0, target, 1)), -np.inf)
    value, gradient = RUN[framework](loss, Batch(logits, target), "float32")
    assert np.isfinite(to_numpy(value)).all()
    assert np.isfinite(gradient).all()


# --- information ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("framework", ["torch", "jax", "tensorflow", "strict"])
def test_information_in_every_library(framework: str) -> None:
    p, q = rows(3, 4), rows(3, 4, seed=1)
    p[0] = [0.5, 0.5, 0.0, 0.0]
    a, b, _ = tensors(framework, Batch(p, q), "float32")
    for name in ("cross_entropy", "kl_divergence", "js_divergence"):
        function = getattr(information, name)
        np.testing.assert_allclose(to_numpy(function(a, b)), function(p, q), rtol=1e-5)
    for name in ("entropy", "perplexity"):
        function = getattr(information, name)
        np.testing.assert_allclose(to_numpy(function(a)), function(p), rtol=1e-5)
        np.testing.assert_allclose(function(p.T, axis=0), function(p), rtol=1e-12)


def test_units() -> None:
    p, q = rows(4), rows(4, seed=1)
    for base in (2, math.e, 10):
        log = np.log(p) / math.log(base)
        assert information.entropy(p, base=base) == pytest.approx(-(p * log).sum())
        divergence = information.cross_entropy(p, q, base=base) - information.entropy(p, base=base)
        assert information.kl_divergence(p, q, base=base) == pytest.approx(divergence)
    nats = L.JSDivLoss(**FORMS)(p, q)
    assert information.js_divergence(p, q, base=math.e) == pytest.approx(nats)
    assert information.perplexity(p) == pytest.approx(2 ** information.entropy(p))


def test_impossible_outcomes() -> None:
    certain, other = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    assert information.kl_divergence(certain, other) == math.inf
    assert information.cross_entropy(certain, other) == math.inf
    assert information.kl_divergence(certain, certain) == 0
    for nothing in (information.entropy(certain), information.cross_entropy(certain, certain)):
        assert str(float(nothing)) == "0.0"  # and not -0.0
    p = torch.tensor([1.0, 0.0], requires_grad=True)
    information.entropy(p).backward()
    assert torch.isfinite(p.grad).all()


def test_information_says_what_is_wrong() -> None:
    p = np.array([0.5, 0.5])
    with pytest.raises(ValueError, match=r"^entropy: `base` must be above 0 and not 1.*got 1"):
        information.entropy(p, base=1)
    with pytest.raises(ValueError, match=r"^entropy: `base` must be above 0 and not 1.*got '2'"):
        information.entropy(p, base="2")
    with pytest.raises(ValueError, match=r"^entropy: `p` has shape \(2,\), which has no axis 1"):
        information.entropy(p, axis=1)
    with pytest.raises(TypeError, match=r"^cross_entropy: `q` must be an array like `p` \(numpy\); got list"):
        information.cross_entropy(p, [0.5, 0.5])
    with pytest.raises(ValueError, match=r"kl_divergence: `p` has shape \(2,\) and `q` \(3,\)"):
        information.kl_divergence(p, np.full(3, 1 / 3))
    with pytest.raises(TypeError, match="`p` must be floating"):
        information.entropy(np.array([1, 0]))
    with pytest.raises(TypeError, match="`p` must be an array of torch, JAX, TensorFlow or NumPy; got list"):
        information.entropy([0.5, 0.5])
    with L.checked(), pytest.raises(ValueError, match="`p` must be a distribution along axis -1"):
        information.entropy(2 * p)
