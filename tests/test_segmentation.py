"""Segmentation: dimensions, soft targets, empty masks, Lovász, and the examples of docs/segmentation.md."""

from __future__ import annotations

import doctest
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import lossary
import lossary as L
from lossary.core.families import NamedSumLoss
from lossary.core.families.region import OverlapLoss
from lossary.losses.region.lovasz import LovaszLoss
from variants import defaults

REGIONS = [
    loss
    for loss in defaults()
    if isinstance(loss, (OverlapLoss, NamedSumLoss)) and not isinstance(loss, lossary.ClDiceLoss)  # neighbours matter
]


def test_examples_of_the_page_run() -> None:
    page = Path(__file__).parents[1] / "docs" / "segmentation.md"
    assert doctest.testfile(str(page), module_relative=False).failed == 0


@pytest.mark.parametrize("loss", REGIONS, ids=repr)
def test_places_may_lie_in_one_two_or_three_dimensions(loss: Any) -> None:
    rng = np.random.default_rng(0)
    z = rng.normal(size=(2, 3, 24))
    t = rng.integers(0, 3, size=(2, 24)) if loss.task == "multiclass" else rng.integers(0, 2, size=z.shape)
    flat = loss(z, t)
    for shape in ((4, 6), (2, 3, 4)):
        x, y = z.reshape(2, 3, *shape), t.reshape(*t.shape[:-1], *shape)
        assert loss(x, y) == pytest.approx(flat, rel=1e-12)
        if loss.task != "binary":
            last = np.moveaxis(x, 1, -1), y if loss.task == "multiclass" else np.moveaxis(y, 1, -1)
            assert loss.replace(class_axis=-1)(*last) == pytest.approx(flat, rel=1e-12)


@pytest.mark.parametrize("cls", [L.DiceLoss, L.JaccardLoss, L.TverskyLoss, L.GeneralizedDiceLoss])
def test_l1_is_0_at_its_soft_target_and_changes_no_hard_one(cls: Any) -> None:
    rng = np.random.default_rng(1)
    p = rng.dirichlet(np.ones(3), size=(2, 8)).transpose(0, 2, 1)
    loss = cls("multiclass", soft="l1", from_logits=False)
    assert loss(p, p) == pytest.approx(0, abs=1e-12)
    assert loss.replace(soft="product")(p, p) > 0.1
    label = rng.integers(0, 3, size=(2, 8))
    one_hot = np.moveaxis(np.eye(3)[label], -1, 1)
    for target in (label, one_hot):
        assert loss(p, target) == pytest.approx(loss.replace(soft="product")(p, target), rel=1e-12)


@pytest.mark.parametrize("loss", REGIONS, ids=repr)
def test_perfect_masks_have_finite_gradients(loss: Any) -> None:
    """Powers below 1 have an infinite slope at a perfect mask; the gradient there is finite, in half precision too."""
    for dtype in (torch.float32, torch.float16):
        for scale in (4.0, 9.0, 18.0, 60.0):
            t = torch.arange(16).reshape(1, 4, 4) % 3
            hot = torch.nn.functional.one_hot(t, 3).movedim(-1, 1)
            z = (scale * (2 * hot - 1)).to(dtype).requires_grad_()
            value = loss(z, t if loss.task == "multiclass" else hot)
            value.backward()
            assert 0 <= value.item() < 0.7
            assert torch.isfinite(z.grad).all()


def test_what_teaches_on_an_empty_mask() -> None:
    """The slope of a false alarm on a mask without foreground."""
    steep = [
        L.DiceLoss("binary", smooth=1),
        L.SensitivitySpecificityLoss("binary"),
        L.LovaszHingeLoss("binary"),
        L.ComboLoss("binary"),
        L.ExpLogLoss("binary"),
    ]
    for loss, teaches in [(x, True) for x in steep] + [(L.JaccardLoss("binary"), False)]:
        z = torch.zeros(1, 16, requires_grad=True)
        loss(z, torch.zeros(1, 16, dtype=torch.int64)).backward()
        assert (z.grad.sum().item() > 1e-2) is teaches


def test_a_class_that_is_nowhere_leaves_generalised_dice() -> None:
    rng = np.random.default_rng(3)
    z, t = rng.normal(size=(2, 2, 30)), rng.integers(0, 2, size=(2, 30))
    more = np.concatenate([z, np.full((2, 1, 30), -1e4)], axis=1)
    for weighting in ("square", "simple", "uniform"):
        loss = L.GeneralizedDiceLoss("multiclass", weighting=weighting, smooth=1)
        assert loss(more, t) == pytest.approx(loss(z, t), rel=1e-12)


def test_a_perfect_prediction_is_not_drowned_by_an_absent_class() -> None:
    """Weights of 1e20 for an absent class make a near-perfect prediction cost 1 elsewhere (peers.md, 3.5)."""
    t = np.tile(np.arange(2), (1, 50))
    z = np.stack([6.0 * (t == 0), 6.0 * (t == 1), np.full(t.shape, -6.0)], axis=1)
    assert L.GeneralizedDiceLoss("multiclass")(z, t) < 0.01
    assert L.PenaltyGeneralizedDiceLoss("multiclass")(z, t) < 0.02


# --- Lovász -----------------------------------------------------------------------------------------------------------


def extension(errors: np.ndarray, true: np.ndarray) -> float:
    """The Lovász extension as the integral of the set function over its level sets: it needs no order, so no ties."""

    def delta(wrong: np.ndarray) -> float:
        union = (true | wrong).sum()
        return wrong.sum() / union if union else 0.0

    levels = np.unique(np.concatenate([[0.0], errors]))
    return sum((b - a) * delta(errors > a) for a, b in itertools.pairwise(levels))


@pytest.mark.parametrize("tied", [False, True])
def test_lovasz_is_the_integral_over_level_sets(tied: bool) -> None:
    rng = np.random.default_rng(4)
    z = rng.integers(-2, 3, size=(2, 3, 10)).astype(float) if tied else rng.normal(size=(2, 3, 10))
    t = rng.integers(0, 3, size=(2, 10))
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    images = [[extension(np.abs((t[n] == c) - p[n, c]), t[n] == c) for c in range(3)] for n in range(2)]
    assert L.LovaszSoftmaxLoss(per="image", classes="all")(z, t) == pytest.approx(np.mean(images), rel=1e-9)
    batch = [extension(np.abs((t == c) - p[:, c]).ravel(), (t == c).ravel()) for c in range(3)]
    assert L.LovaszSoftmaxLoss()(z, t) == pytest.approx(np.mean(batch), rel=1e-9)
    hinge = np.maximum(0, 1 - z * (2 * (t == 1)[:, None] - 1))
    each = [extension(hinge[n, c], t[n] == 1) for n in range(2) for c in range(3)]
    target = np.repeat((t == 1)[:, None], 3, axis=1)
    assert L.LovaszHingeLoss("multilabel")(z, target) == pytest.approx(np.mean(each), rel=1e-9)


@pytest.mark.parametrize("loss", [x for x in REGIONS if isinstance(x, LovaszLoss)], ids=repr)
def test_lovasz_of_void_images(loss: Any) -> None:
    """An image without counted pixels takes no part; nothing but such images is 0, with a gradient of 0."""
    loss = loss.replace(per="image", ignore_index=255)
    rng = np.random.default_rng(5)
    z = torch.tensor(rng.normal(size=(2, 3, 6)), requires_grad=True)
    t = torch.tensor(rng.integers(0, 2, size=(2, 6) if loss.task == "multiclass" else (2, 3, 6)))
    alone = loss(z[:1], t[:1])
    t[1] = 255
    torch.testing.assert_close(loss(z, t), alone)
    value = loss(z, torch.full_like(t, 255))
    value.backward()
    assert value == 0
    assert (z.grad == 0).all()


# --- compounds --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", [x for x in REGIONS if isinstance(x, NamedSumLoss)], ids=repr)
def test_a_compound_prepares_once_and_is_the_sum_of_its_parts(loss: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from lossary.core.families import classification

    calls = []
    for name in ("log_softmax", "softmax", "sigmoid"):
        original = getattr(classification, name)
        monkeypatch.setattr(
            classification, name, lambda x, *axis, original=original: calls.append(1) or original(x, *axis)
        )
    rng = np.random.default_rng(6)
    z = rng.normal(size=(2, 3, 8))
    t = rng.integers(0, 2, size=(2, 8) if loss.task == "multiclass" else z.shape)
    value = loss(z, t)
    assert len(calls) <= 1
    parts = loss.parts(z, t)
    weights = [w for w, _ in loss.sum.terms]
    assert value == pytest.approx(sum(w * v for w, v in zip(weights, parts.values(), strict=True)), rel=1e-12)
    calls.clear()
    total = loss + L.DiceLoss(loss.task)
    assert total(z, t) == pytest.approx(value + L.DiceLoss(loss.task)(z, t), rel=1e-12)


def test_frequencies_are_those_of_all_shards() -> None:
    """The first shard holds class 0 alone: by itself its weight would be 1."""
    z = np.random.default_rng(7).normal(size=(2, 3, 8))
    t = np.array([[0] * 8, [0, 1, 1, 2, 2, 2, 2, 2]])
    loss = L.ExpLogLoss("multiclass")
    shards = loss.statistics(z[:1], t[:1]) + loss.statistics(z[1:], t[1:])
    assert loss.finalize(shards) == pytest.approx(loss(z, t), rel=1e-12)
    given = loss.replace(counts=(9, 2, 5))
    assert given(z, t) == pytest.approx(loss(z, t), rel=1e-12)
    assert abs(given(z[:1], t[:1]) - loss(z[:1], t[:1])) > 0.01
