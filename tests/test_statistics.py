"""Statistics add up: shards, micro-batches and the whole batch give one number and one gradient."""

from __future__ import annotations

import copy
import pickle

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


UNADDED = [loss for loss in everything() if not loss.decomposable]


@pytest.mark.parametrize(
    "loss",
    [
        *(loss for loss in UNADDED if loss.reduction != "none"),
        lossary.DiceLoss("multiclass") + lossary.LovaszSoftmaxLoss(),
        lossary.L1Loss().on("a") + lossary.LovaszSoftmaxLoss().on("b"),
    ],
    ids=repr,
)
def test_a_loss_that_does_not_add_up_has_no_statistics(loss: Loss) -> None:
    """So no `psum`, all-reduce or `tree_map` can add them up without a word."""
    with pytest.raises(ValueError, match=r"no statistics that add up \(`decomposable` is False\)"):
        loss.statistics(np.zeros((2, 2)), np.zeros(2, int))


X, Y = np.array([[1.0, 2.0], [3.0, 5.0]]), np.zeros((2, 2))
LOGITS, LABELS = np.zeros((2, 3, 2)), np.array([[0, 1], [2, 1]])
WEIGHTED = lossary.CrossEntropyLoss(class_weight=(1, 2, 3))
DICE = lossary.DiceLoss("multiclass", per="batch", smooth=0)  # a batch twice has the loss of the batch


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (lossary.MSELoss().statistics(X, Y), lossary.L1Loss().statistics(X, Y)),
        (lossary.HuberLoss(delta=1).statistics(X, Y), lossary.HuberLoss(delta=2).statistics(X, Y)),
        (lossary.MSELoss().statistics(X, Y), DICE.statistics(LOGITS, LABELS)),
        (WEIGHTED.statistics(LOGITS, LABELS), WEIGHTED.replace(reduction="weighted_mean").statistics(LOGITS, LABELS)),
        (DICE.statistics(LOGITS, LABELS), lossary.JaccardLoss("multiclass", per="batch").statistics(LOGITS, LABELS)),
        (DICE.statistics(LOGITS, LABELS), (DICE + WEIGHTED).statistics(LOGITS, LABELS)),
        ((DICE + WEIGHTED).statistics(LOGITS, LABELS), (DICE + 2 * WEIGHTED).statistics(LOGITS, LABELS)),
    ],
)
def test_statistics_of_unlike_losses_do_not_add_up(one, other) -> None:
    """Of a mean and a weighted mean neither: their denominators count unlike things."""
    for pair in ((one, other), (other, one)):
        with pytest.raises(ValueError, match="do not add up: they are sums of unlike terms"):
            sum(pair)
        with pytest.raises(ValueError, match=r"these are statistics of .*; finalize them with the loss"):
            type(pair[0]).of.finalize(pair[1])


def test_mean_does_not_finalize_sums_of_a_weighted_mean() -> None:
    sums = WEIGHTED.replace(reduction="weighted_mean").statistics(LOGITS, LABELS)
    with pytest.raises(ValueError, match=r"statistics of .*reduction='weighted_mean'.*finalize them with the loss"):
        WEIGHTED.finalize(sums)
    with pytest.raises(TypeError, match="`finalize` takes what `statistics` of the same loss gives, or sums of it"):
        WEIGHTED.finalize(tuple(sums))


@pytest.mark.parametrize("number", [5, 1.0, 0.0, np.float64(5), np.zeros(2), torch.tensor(5.0), (1.0, 2.0), None, ()])
def test_statistics_and_a_number_do_not_add_up(number) -> None:
    """`5 + statistics` once dropped the 5."""
    statistics = lossary.MSELoss().statistics(X, Y)
    for add in (lambda: number + statistics, lambda: statistics + number):
        with pytest.raises(TypeError, match=r"statistics of MSELoss\(\) add up with statistics of the same loss alone"):
            add()
    assert 0 + statistics is statistics


def test_statistics_of_unlike_numbers_of_classes_do_not_add_up() -> None:
    """They were broadcast where one of the numbers is 1."""
    loss = lossary.DiceLoss("multilabel", per="batch")
    with pytest.raises(ValueError, match=r"shapes \(1,\) and \(3,\) do not add up: the shards must have one number"):
        loss.statistics(LOGITS[:, :1], LABELS[:, None] > 0) + loss.statistics(LOGITS, LOGITS.astype(bool))


@pytest.mark.parametrize("loss", [lossary.MSELoss(), DICE, DICE + 0.5 * WEIGHTED], ids=repr)
def test_statistics_of_an_equal_loss_add_up(loss: Loss) -> None:
    """Processes and micro-batches have losses of their own, which are equal and not the same; statistics travel."""
    x, y = (X, Y) if isinstance(loss, lossary.MSELoss) else (LOGITS, LABELS)
    twin = lossary.from_dict(loss.to_dict())
    statistics = loss.statistics(x, y)
    for other in (twin.statistics(x, y), pickle.loads(pickle.dumps(statistics)), copy.deepcopy(statistics)):
        assert type(other) is type(statistics)
        assert twin.finalize(statistics + other) == pytest.approx(loss(x, y))


def test_fields_and_parts_of_statistics() -> None:
    mean = lossary.MSELoss().statistics(X, Y)
    assert (mean.total, mean.count) == tuple(mean) == (39.0, 4.0)
    assert mean._fields == ("total", "count")
    both = (DICE + 0.5 * WEIGHTED).statistics(LOGITS, LABELS)
    values = [part.finalize(s) for part, s in zip((DICE, WEIGHTED), both.statistics, strict=True)]
    assert values == [DICE(LOGITS, LABELS), WEIGHTED(LOGITS, LABELS)]


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


@pytest.mark.parametrize("loss", [lossary.MSELoss(), DICE, DICE + 0.5 * WEIGHTED], ids=repr)
def test_statistics_are_pytrees(loss: Loss) -> None:
    """As jax.lax.psum, torch's pytree and tf.nest need them; and the loss stays with them everywhere."""
    import jax
    import tensorflow as tf

    statistics = loss.statistics(X, Y) if isinstance(loss, lossary.MSELoss) else loss.statistics(LOGITS, LABELS)
    twice, value = statistics + statistics, float(loss.finalize(statistics))
    leaves = len(jax.tree.leaves(statistics))
    assert len(tf.nest.flatten(statistics)) == len(torch.utils._pytree.tree_leaves(statistics)) == leaves
    doubled = {
        "jax": jax.tree.map(lambda x: 2 * x, statistics),
        "torch": torch.utils._pytree.tree_map(lambda x: 2 * x, statistics),
        "tensorflow": tf.nest.map_structure(lambda x: 2 * x, statistics),
    }
    for name, tree in doubled.items():
        assert type(tree) is type(statistics), name
        for field, expected in zip(jax.tree.leaves(tree), jax.tree.leaves(twice), strict=True):
            np.testing.assert_allclose(field, expected)
        assert float(loss.finalize(tree)) == pytest.approx(value, rel=1e-12)


def test_statistics_know_their_loss_through_compilers() -> None:
    import jax
    import tensorflow as tf

    loss, other = DICE + 0.5 * WEIGHTED, DICE + WEIGHTED
    expected = float(loss(LOGITS, LABELS))
    made = {
        "jit": jax.jit(loss.statistics)(LOGITS, LABELS),
        "tf.function": tf.function(loss.statistics)(tf.constant(LOGITS), tf.constant(LABELS)),
        "torch.compile": torch.compile(loss.statistics, fullgraph=True, backend="aot_eager")(
            torch.tensor(LOGITS), torch.tensor(LABELS)
        ),
    }
    finish = {
        "jit": jax.jit(lambda s: loss.finalize(s + s)),
        "tf.function": tf.function(lambda s: loss.finalize(s + s)),
        "torch.compile": torch.compile(lambda s: loss.finalize(s + s), fullgraph=True, backend="aot_eager"),
    }
    for name, statistics in made.items():
        assert type(statistics).of == loss, name
        assert float(finish[name](statistics)) == pytest.approx(expected, rel=1e-6)
        with pytest.raises(ValueError, match="finalize them with the loss"):
            other.finalize(statistics)


@pytest.mark.parametrize("loss", [x for x in defaults() if isinstance(x, OverlapLoss)], ids=repr)
def test_images_neither_order_nor_company_matters(loss: OverlapLoss) -> None:
    loss = loss.replace(per="image", reduction="none")
    batch = draw(loss)
    alone = [loss(batch.prediction[i : i + 1], batch.target[i : i + 1])[0] for i in range(3)]
    np.testing.assert_allclose(loss(batch.prediction, batch.target, **batch.keywords), alone, rtol=1e-12)
    backwards = loss(batch.prediction[::-1], batch.target[::-1])
    np.testing.assert_allclose(backwards[::-1], alone, rtol=1e-12)


def test_equal_losses_have_statistics_of_one_type() -> None:
    """However many were made between them: JAX maps over two trees of one type only."""
    import jax

    x, y = np.ones(2), np.zeros(2)
    first = lossary.HuberLoss(delta=1.5).statistics(x, y)
    for step in range(1500):
        lossary.HuberLoss(delta=2.0 + step).statistics(x, y)
    second = lossary.HuberLoss(delta=1.5).statistics(x, y)
    assert type(first) is type(second)
    jax.tree.map(lambda a, b: a + b, first, second)


class Module(torch.nn.Module):
    """A model that holds a loss, whose statistics it joins and finalizes."""

    def __init__(self, loss: Loss) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return self.loss.finalize(self.loss.statistics(prediction, target))


def test_a_compiled_module_knows_statistics_of_an_equal_loss() -> None:
    """The type of the statistics was made for the other one, and Dynamo cannot compare two losses."""
    x, y = torch.tensor([1.0, 3.0]), torch.zeros(2)
    kept = lossary.MSELoss().statistics(x, y)
    torch._dynamo.reset()
    assert torch.compile(Module(lossary.MSELoss()), backend="eager", fullgraph=True)(x, y) == 5
    assert kept.total == 10
