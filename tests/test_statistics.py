"""Statistics add up: shards, micro-batches and the whole batch give one number and one gradient."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import lossary
from frameworks import run_torch, tensors, to_numpy
from lossary.checker.draws import draw
from lossary.checker.engines import Batch
from lossary.core.families.region import OverlapLoss
from lossary.core.loss import Loss
from variants import defaults, everything

ALL = [loss for loss in everything() if loss.reduction != "none"]


def halves(batch: Batch) -> list[Batch]:
    return [batch[:1], batch[1:]]


@pytest.mark.parametrize("loss", [loss for loss in ALL if loss.decomposable], ids=repr)
def test_shards_add_up(loss: Loss) -> None:
    batch = draw(loss)
    parts = [loss.statistics(b.prediction, b.target, **b.keywords) for b in halves(batch)]
    whole = loss(batch.prediction, batch.target, **batch.keywords)
    np.testing.assert_allclose(loss.finalize(sum(parts)), whole, rtol=1e-12)
    assert type(sum(parts)) is type(parts[0])


@pytest.mark.parametrize("loss", [loss for loss in defaults() if loss.decomposable], ids=repr)
def test_gradient_through_summed_statistics(loss: Loss) -> None:
    batch = draw(loss)
    prediction, target, keywords = tensors("torch", batch, "float64")
    prediction.requires_grad_()
    parts = [
        loss.statistics(prediction[s], target[s], **{k: x if k in batch.shared else x[s] for k, x in keywords.items()})
        for s in (slice(1), slice(1, None))
    ]
    loss.finalize(sum(parts)).backward()
    np.testing.assert_allclose(to_numpy(prediction.grad), run_torch(loss, batch)[1], rtol=1e-9, atol=1e-15)


def test_what_does_not_add_up_says_so() -> None:
    assert not lossary.LovaszSoftmaxLoss().decomposable
    assert lossary.LovaszSoftmaxLoss(per="image").decomposable
    assert not (lossary.DiceLoss("multiclass") + lossary.LovaszSoftmaxLoss()).decomposable


@pytest.mark.parametrize("parts", [1, 2, 4])
def test_gradient_accumulation(parts: int) -> None:
    """Micro-batches of unequal valid counts: a mean of means is 2.5 here, the mean is 1.75."""
    ignored = -100
    target = torch.tensor([0, ignored, ignored, ignored, 0, 0, 0, ignored])
    values = torch.tensor([4.0, 9, 9, 9, 1, 1, 1, 9], dtype=torch.float64)
    # the logit of class 0 against 0 that gives each cross entropy
    logits = torch.stack([-torch.log(torch.expm1(values)), torch.zeros(8, dtype=torch.float64)], dim=1)
    loss = lossary.CrossEntropyLoss(ignore_index=ignored)
    whole = logits.clone().requires_grad_()
    loss(whole, target).backward()
    count = (target != ignored).sum()
    leaf = logits.clone().requires_grad_()
    total = 0.0
    for x, t in zip(leaf.chunk(parts), target.chunk(parts), strict=True):
        value = loss(x, t, normalizer=count)
        value.backward()
        total += value.item()
    assert total == pytest.approx(1.75, rel=1e-12)
    torch.testing.assert_close(leaf.grad, whole.grad, rtol=1e-12, atol=0)


def test_sums_of_losses_have_statistics_too() -> None:
    loss = lossary.DiceLoss("multiclass", per="batch") + 0.5 * lossary.CrossEntropyLoss(ignore_index=1)
    batch = draw(lossary.CrossEntropyLoss(ignore_index=1))
    parts = [loss.statistics(b.prediction, b.target) for b in halves(batch)]
    np.testing.assert_allclose(
        loss.finalize(sum(parts)), loss(batch.prediction, batch.target, **batch.keywords), rtol=1e-12
    )


def test_statistics_are_pytrees() -> None:
    """As jax.lax.psum, torch's pytree and tf.nest need them."""
    import jax
    import tensorflow as tf

    for loss in (lossary.MSELoss(), lossary.DiceLoss("multiclass", per="batch")):
        batch = draw(loss)
        statistics = loss.statistics(batch.prediction, batch.target)
        doubled = jax.tree.map(lambda x: 2 * x, statistics)
        assert type(doubled) is type(statistics)
        for field, value in zip(doubled, statistics + statistics, strict=True):
            np.testing.assert_allclose(field, value)
        assert len(tf.nest.flatten(statistics)) == len(torch.utils._pytree.tree_leaves(statistics)) == len(statistics)


@pytest.mark.parametrize("loss", [x for x in defaults() if isinstance(x, OverlapLoss)], ids=repr)
def test_images_neither_order_nor_company_matters(loss: OverlapLoss) -> None:
    loss = loss.replace(per="image", reduction="none")
    batch = draw(loss)
    alone = [loss(batch.prediction[i : i + 1], batch.target[i : i + 1])[0] for i in range(3)]
    np.testing.assert_allclose(loss(batch.prediction, batch.target, **batch.keywords), alone, rtol=1e-12)
    backwards = loss(batch.prediction[::-1], batch.target[::-1])
    np.testing.assert_allclose(backwards[::-1], alone, rtol=1e-12)
