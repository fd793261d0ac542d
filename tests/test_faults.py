"""Faults found by trying the library from outside, each as a kind: the input that showed it, and its siblings."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

import lossary as L
from frameworks import RUN, to_numpy
from lossary.checker.draws import draw, generator, takes_dense, unreduced_shape
from lossary.checker.engines import Batch
from lossary.core.families import AlignmentLoss, ClassificationLoss, EmbeddingLoss, MaskLoss, NamedSumLoss
from lossary.core.families.classification import ProbabilityLoss
from lossary.core.families.region import OverlapLoss
from lossary.core.loss import Loss
from variants import defaults

DEFAULTS = defaults()
FRAMEWORKS = ("torch", "jax", "tensorflow")
LABELS = [x for x in DEFAULTS if isinstance(x, ClassificationLoss) and not x.reads_between]


# --- a class of weight 0 ----------------------------------------------------------------------------------------------

WEIGHTS = (1.0, 0.0, 2.0, 0.5)
BY_CLASS = [
    x for x in DEFAULTS if isinstance(x, OverlapLoss) and not x.joins_classes and getattr(x, "task", "") != "binary"
]


def test_a_class_of_weight_0_is_averaged() -> None:
    logits, target = np.array([[2.0, 0.0], [0.0, 1.0]]), np.array([[1, 0], [0, 1]])
    assert L.DiceLoss("multilabel", class_weight=(1.0, 0.0))(logits, target) == pytest.approx(0.2658, abs=5e-5)


@pytest.mark.parametrize("per", ["image", "batch"])
@pytest.mark.parametrize("loss", BY_CLASS, ids=repr)
def test_only_weighted_mean_divides_by_class_weights(loss: OverlapLoss, per: str) -> None:
    """From the unreduced losses of all classes: weights multiply, `classes` leaves out, and nothing else does."""
    batch = draw(loss)
    losses = loss.replace(per=per, classes="all", reduction="none")(batch.prediction, batch.target)
    losses = losses.reshape(-1, 4)

    def mean(**options: Any) -> float:
        return float(loss.replace(per=per, **options)(batch.prediction, batch.target, **batch.keywords))

    own = np.array(WEIGHTS)
    everything = {"classes": "all", "class_weight": WEIGHTS}
    assert mean(**everything) == pytest.approx((losses * own).mean(), rel=1e-12)
    weighted = (losses * own).sum(1) / own.sum()
    assert mean(**everything, reduction="weighted_mean") == pytest.approx(weighted.mean(), rel=1e-12)
    assert mean(**everything, reduction="sum") == pytest.approx((losses * own).sum(), rel=1e-12)
    some = losses[:, [1, 2]] * own[[1, 2]]
    assert mean(classes=(1, 2), class_weight=WEIGHTS) == pytest.approx(some.mean(), rel=1e-12)


ONE_LABEL = [
    x
    for x in LABELS
    if x.task == "multiclass"
    and x.one_per_class[:1] == ("class_weight",)
    and not isinstance(x, (OverlapLoss, NamedSumLoss, MaskLoss))
    and not isinstance(x, (L.TopKLoss, L.GHMLoss, L.ClassBalancedLoss))
]


@pytest.mark.parametrize("loss", ONE_LABEL, ids=repr)
def test_only_weighted_mean_divides_by_weights_of_labels(loss: ClassificationLoss) -> None:
    batch = draw(loss)
    losses = loss.replace(reduction="none")(batch.prediction, batch.target, **batch.keywords)
    own = np.array(WEIGHTS)[batch.target]

    def mean(reduction: str) -> float:
        weighed = loss.replace(class_weight=WEIGHTS, reduction=reduction)
        return float(weighed(batch.prediction, batch.target, **batch.keywords))

    assert mean("mean") == pytest.approx((losses * own).mean(), rel=1e-12)
    assert mean("weighted_mean") == pytest.approx((losses * own).sum() / own.sum(), rel=1e-12)


# --- a probability that rounding pushed over its bound ----------------------------------------------------------------

FROM_PROBABILITIES = [
    x.replace(from_logits=False)
    for x in DEFAULTS
    if isinstance(x, ProbabilityLoss) and not isinstance(x, (L.LovaszHingeLoss, L.LogitAdjustedLoss))
]


@pytest.mark.parametrize("framework", [*FRAMEWORKS, "numpy"])
@pytest.mark.parametrize("loss", FROM_PROBABILITIES, ids=repr)
def test_a_probability_beyond_its_bound_is_the_bound(loss: ProbabilityLoss, framework: str) -> None:
    """float32 has 1.0000001, and a softmax whose entries are summed gives it."""
    batch = draw(loss)
    axis = loss.class_axis if loss.task == "multiclass" else None
    inside = np.zeros_like(batch.prediction)
    if axis is None:
        inside = (generator("bounds").random(inside.shape) < 0.5).astype(inside.dtype)
    else:
        inside = np.moveaxis(np.eye(inside.shape[axis])[batch.prediction.argmax(axis)], -1, axis)
    beyond = np.where(inside == 1, np.float32(1.0000001), np.float32(-1e-9))
    value, gradient = run(loss, batch.with_prediction(beyond), framework)
    expected, slope = run(loss, batch.with_prediction(inside), framework)
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    np.testing.assert_allclose(gradient, slope, rtol=1e-5, atol=1e-30)
    assert np.isfinite(value).all()


def run(loss: Loss, batch: Batch, framework: str) -> tuple[Any, Any]:
    if framework == "numpy":
        return loss(batch.prediction.astype("float32"), batch.target, **batch.keywords), 0.0
    value, gradient = RUN[framework](loss, batch, "float32")
    return to_numpy(value), gradient


@pytest.mark.parametrize("loss", FROM_PROBABILITIES, ids=repr)
def test_logits_that_are_passed_as_probabilities_give_nan(loss: ProbabilityLoss) -> None:
    """Not the value at the nearest bound: it is a number, and falls in training."""
    batch = draw(loss)
    logits = np.where(batch.prediction > batch.prediction.mean(), 1.5, -0.5)
    with np.errstate(invalid="ignore"):
        assert np.isnan(loss(logits, batch.target, **batch.keywords)).all()


def test_checks_still_name_what_is_out_of_range() -> None:
    with L.checked():
        L.BCELoss(from_logits=False)(np.array([1.0000001, -1e-9]), np.array([1, 0]))
        with pytest.raises(ValueError, match=r"`prediction` must lie in \[0, 1\]; got 1.001 at \[0\]"):
            L.BCELoss(from_logits=False)(np.array([1.001]), np.array([1]))


# --- places that do not count -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("library", ["torch", "jax"])
@pytest.mark.parametrize("loss", DEFAULTS, ids=repr)
def test_a_weight_does_not_count_where_its_place_does_not(loss: Loss, library: str) -> None:
    """NaN or infinity in the weight of a masked place reaches neither value nor gradient."""
    batch = draw(loss)
    shape = unreduced_shape(loss, batch)
    mask = np.ones(shape, dtype=bool)
    mask[0, ...] = False
    for spoiled in (np.nan, np.inf):
        weight = generator("weights").uniform(0.5, 2, shape)
        keywords = {**batch.keywords, "mask": mask, "sample_weight": weight}
        expected, slope = RUN[library](loss, dataclasses.replace(batch, keywords=keywords), "float32")
        keywords = {**keywords, "sample_weight": np.where(mask, weight, spoiled)}
        value, gradient = RUN[library](loss, dataclasses.replace(batch, keywords=keywords), "float32")
        np.testing.assert_array_equal(to_numpy(value), to_numpy(expected))
        np.testing.assert_array_equal(gradient, slope)


# (of a sequence the label is padding, which has no weight)
IGNORING = [x for x in DEFAULTS if hasattr(x, "ignore_index") and not isinstance(x, AlignmentLoss)]


@pytest.mark.parametrize("loss", IGNORING, ids=repr)
def test_a_weight_does_not_count_where_the_label_is_ignored(loss: Any) -> None:
    batch = draw(loss)
    loss = loss.replace(ignore_index=77)
    target, weight = batch.target.copy(), generator("weights").uniform(0.5, 2, batch.target.shape)
    target[0, ...] = 77
    expected = loss(batch.prediction, target, **batch.keywords, sample_weight=weight)
    weight[0, ...] = np.nan
    np.testing.assert_array_equal(loss(batch.prediction, target, **batch.keywords, sample_weight=weight), expected)


@pytest.mark.parametrize("loss", [x for x in DEFAULTS if isinstance(x, OverlapLoss)], ids=repr)
@pytest.mark.parametrize("reduction", ["mean", "weighted_mean", "sum", "none"])
def test_the_weight_of_an_image_without_places(loss: OverlapLoss, reduction: str) -> None:
    loss = loss.replace(per="image", reduction=reduction)
    batch = draw(loss)
    mask = np.arange(3).reshape(-1, *[1] * (len(unreduced_shape(loss, batch)) - 1)) > 0
    mask = np.broadcast_to(mask, unreduced_shape(loss, batch))
    found = [
        loss(batch.prediction, batch.target, mask=mask, sample_weight=np.array([first, 2.0, 0.5]))
        for first in (1.0, np.nan)
    ]
    np.testing.assert_array_equal(*found)


def test_a_weight_of_0_weighs_and_a_mask_leaves_out() -> None:
    loss, weight = L.L1Loss(), np.array([1.0, 1.0, 0.0])
    assert loss(np.array([3.0, 3, 9]), np.zeros(3), sample_weight=weight) == 2
    assert loss(np.array([3.0, 3, 9]), np.zeros(3), mask=weight > 0) == 3
    assert np.isnan(loss(np.array([3.0, 3, np.nan]), np.zeros(3), sample_weight=weight))


# --- what comes in by the door ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", DEFAULTS, ids=repr)
def test_byte_order_does_not_matter(loss: Loss) -> None:
    """FITS and NIfTI files hold big-endian numbers."""
    batch = draw(loss)
    arrays = {"prediction": batch.prediction, "target": batch.target, **batch.keywords}
    swapped = {name: x.astype(x.dtype.newbyteorder(">")) for name, x in arrays.items()}
    np.testing.assert_array_equal(loss(**swapped), loss(**arrays))
    assert loss(**swapped).dtype.isnative


@pytest.mark.parametrize("dtype", ["uint32", "uint64"])
@pytest.mark.parametrize("loss", [x for x in DEFAULTS if not isinstance(x, AlignmentLoss)], ids=repr)
def test_unsigned_labels_of_any_width(loss: Loss, dtype: str) -> None:
    batch = draw(loss)
    if batch.target.dtype.kind != "i":
        return
    keywords = {k: torch.from_numpy(x) for k, x in batch.keywords.items()}
    expected = float(loss(batch.prediction, batch.target, **batch.keywords))
    target = batch.target.astype(dtype)
    assert float(loss(batch.prediction, target, **batch.keywords)) == pytest.approx(expected, rel=1e-12)
    value = loss(torch.from_numpy(batch.prediction), torch.from_numpy(target), **keywords)
    assert value.item() == pytest.approx(expected, rel=1e-12)


LARGE = [
    ("uint64", 2**32 + 1),
    ("int64", 2**32 + 1),
    ("uint32", 2**32 - 1),
    ("uint64", 2**64 - 1),
    ("uint16", 2**16 - 1),
]


@pytest.mark.parametrize(("dtype", "label"), LARGE)
@pytest.mark.parametrize("way", ["numpy", "torch", "compiled", "tensorflow", "tf.function"])
@pytest.mark.parametrize("loss", [L.CrossEntropyLoss(), L.DiceLoss("multiclass"), L.HingeLoss("multiclass")], ids=repr)
def test_a_label_never_wraps_around(loss: Loss, way: str, dtype: str, label: int) -> None:
    """It is out of range, which eager code says; compiled code leaves its place out."""
    import tensorflow as tf

    logits, target = np.array([[2.0, 0, 1], [0, 1, 3], [1, 0, 0]]), np.array([0, label, 2], dtype)
    expected = loss(logits, np.array([0, 0, 2]), mask=np.array([True, False, True]))
    for ignore_index in (None, -1, 1, 2**40):
        own = loss.replace(ignore_index=ignore_index)
        if way == "compiled":
            torch._dynamo.reset()
            traced = torch.compile(own, backend="aot_eager", fullgraph=True)
            value = traced(torch.from_numpy(logits), torch.from_numpy(target))
        elif way == "tf.function":
            value = tf.function(own)(tf.constant(logits), tf.constant(target))
        else:
            make = {"numpy": np.asarray, "torch": torch.from_numpy, "tensorflow": tf.constant}[way]
            with pytest.raises(ValueError, match=rf"label {label} at \[1\] is not in \[0, 2\]"):
                own(make(logits), make(target))
            continue
        np.testing.assert_allclose(to_numpy(value), expected, rtol=1e-12)


def test_a_label_that_jax_would_wrap() -> None:
    """Without 64 bits it makes int32 of NumPy's int64, and uint32 is the widest dtype there is."""
    import jax
    import jax.numpy as jnp

    with jax.enable_x64(False):
        logits = jnp.zeros((2, 2), "float32")
        with pytest.raises(ValueError, match=r"got 4294967297 at \[1\]. JAX has 32 bits here"):
            L.CrossEntropyLoss()(logits, np.array([0, 2**32 + 1]))
        target = jnp.array([0, 2**32 - 1], "uint32")
        with pytest.raises(ValueError, match=r"label 4294967295 at \[1\]"):
            L.CrossEntropyLoss(ignore_index=-1)(logits, target)
        assert float(jax.jit(L.CrossEntropyLoss())(logits, target)) == pytest.approx(np.log(2), rel=1e-6)
        kept = L.CrossEntropyLoss(ignore_index=2**32 - 1)
        assert float(kept(logits, target)) == pytest.approx(np.log(2), rel=1e-6)


def test_an_ignored_label_that_the_dtype_cannot_hold_ignores_nothing() -> None:
    logits, target = np.array([[1.0, 0.0], [0.0, 0.0]]), np.array([0, 1], "int32")
    expected = L.CrossEntropyLoss()(logits, target)
    assert L.CrossEntropyLoss(ignore_index=2**40)(logits, target) == expected
    assert L.CrossEntropyLoss(ignore_index=2**40)(torch.tensor(logits), torch.tensor(target)).item() == expected
    assert L.CrossEntropyLoss(ignore_index=2**53 + 1).ignore_index == 2**53 + 1


def test_identities_above_63_bits_are_told_apart() -> None:
    """Labels of pairs are compared, not indexed: hashes of names, say."""
    features = generator("hashes").normal(size=(4, 3))
    names = np.array([2**64 - 1, 2**64 - 1, 2**63 + 5, 2**63 + 5], "uint64")
    for loss in (x for x in DEFAULTS if isinstance(x, EmbeddingLoss) and not x.operands):
        expected = loss(features, np.array([0, 0, 1, 1]))
        assert loss(features, names) == pytest.approx(expected, rel=1e-12)
        assert loss(torch.tensor(features), torch.from_numpy(names)).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("dtype", ["qint8", "quint8"])
def test_quantized_numbers_are_refused(dtype: str) -> None:
    """They are indices of numbers, not the numbers."""
    import tensorflow as tf

    x = tf.quantization.quantize(tf.ones(3), 0.0, 1.0, getattr(tf, dtype)).output
    with pytest.raises(TypeError, match=f"`target` has dtype .*{dtype}"):
        L.L1Loss()(tf.ones(3), x)


def test_memory_maps_are_arrays(tmp_path: Any) -> None:
    x = np.memmap(tmp_path / "x", dtype="float32", mode="w+", shape=(3,))
    assert type(L.L1Loss()(x, np.ones(3))) is not np.memmap
    assert L.L1Loss()(x, np.ones(3)) == 1


# --- targets ----------------------------------------------------------------------------------------------------------

ONE_HOT = [x for x in LABELS if takes_dense(x) or x.hard_targets]


@pytest.mark.parametrize("framework", ["torch", "jax"])
@pytest.mark.parametrize("loss", ONE_HOT, ids=repr)
def test_labels_one_hot_targets_and_float_masks_are_one(loss: ClassificationLoss, framework: str) -> None:
    """As every data loader gives one or the other."""
    batch = draw(loss)
    target = batch.target.astype("float32")
    if loss.task == "multiclass":
        axis = loss.class_axis % batch.prediction.ndim
        target = np.moveaxis(np.eye(batch.prediction.shape[axis])[batch.target], -1, axis)
    value, gradient = RUN[framework](loss, dataclasses.replace(batch, target=target), "float32")
    expected, slope = RUN[framework](loss, batch, "float32")
    np.testing.assert_allclose(to_numpy(value), to_numpy(expected), rtol=1e-5)
    np.testing.assert_allclose(gradient, slope, rtol=1e-5, atol=1e-6)


def test_a_compiled_place_without_one_true_answer_is_nan() -> None:
    """A blurred mask must not train on what is left of it. Masked, the place does not matter."""
    logits, target = torch.tensor([[[0.5, -2.0, 1.0]]]), torch.tensor([[[1.0, 0.3, 0.0]]])
    scores, shares = torch.zeros(1, 2, 3), torch.tensor([[[1.0, 0.3, 0.0], [0.0, 0.7, 1.0]]])
    mask = torch.tensor([[True, False, True]])
    for loss, x, t, m in (
        (L.LovaszHingeLoss("binary"), logits, target, mask[:, None]),
        (L.LovaszHingeLoss("binary", per="batch"), logits, target, mask[:, None]),
        (L.LovaszSoftmaxLoss(), scores, shares, mask),
    ):
        torch._dynamo.reset()
        traced = torch.compile(loss, backend="aot_eager", fullgraph=True)
        assert traced(x, t).isnan()
        hard = t.round() if isinstance(loss, L.LovaszHingeLoss) else t.argmax(1)
        assert traced(x, t, mask=m).item() == pytest.approx(loss(x, hard, mask=m).item(), rel=1e-6)
