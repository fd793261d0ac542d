"""Distance maps, given to a loss or computed by it, and images that the inputs of the suite do not have."""

from __future__ import annotations

import doctest
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import tensorflow as tf
import torch

import lossary as L
from formulas.mask import to_other_side
from frameworks import RUN, run_torch, tensors, to_numpy
from lossary.checker.draws import draw, generator
from lossary.checker.engines import Batch
from lossary.core.families import DistanceMapLoss, MaskLoss
from lossary.core.loss import Loss
from references import evaluate
from variants import defaults

TAKERS = [loss for loss in defaults() if isinstance(loss, DistanceMapLoss)]


def brute_force(mask: np.ndarray, spacing: tuple[float, ...] | None = None) -> np.ndarray:
    """The signed map of one mask, by trying all pairs of places."""
    steps = spacing or (1.0,) * mask.ndim
    far = to_other_side({i: bool(mask[i]) for i in np.ndindex(mask.shape)}, steps)
    return np.array([-far[i] if mask[i] else far[i] for i in np.ndindex(mask.shape)]).reshape(mask.shape)


def blobs(*shape: int) -> np.ndarray:
    return generator("blobs", shape).uniform(size=shape) < 0.3


@pytest.mark.parametrize("spacing", [None, (0.5, 2.0, 3.0)])
@pytest.mark.parametrize("shape", [(9,), (5, 7), (3, 4, 5)])
def test_map_of_lines_planes_and_volumes(shape: tuple[int, ...], spacing: tuple[float, ...] | None) -> None:
    mask, steps = blobs(*shape), None if spacing is None else spacing[: len(shape)]
    expected = brute_force(mask, steps)
    signed = L.distance_map(mask, batched=False, spacing=steps)
    np.testing.assert_allclose(signed, expected, rtol=1e-6)
    assert signed.dtype == np.float32
    np.testing.assert_allclose(L.distance_map(mask[None], "unsigned", spacing=steps)[0], abs(expected), rtol=1e-6)
    border = L.distance_map(mask, "border", batched=False, spacing=steps)
    np.testing.assert_allclose(border, np.where(mask, expected + min(steps or (1,)), expected), rtol=1e-6, atol=1e-6)


def test_forms_of_a_target_agree() -> None:
    """Labels, one-hot masks in any layout, an image alone, ignored labels, and a channel of one."""
    labels = generator("labels").integers(0, 3, size=(2, 5, 6))
    maps = L.distance_map(labels, classes=3)
    assert maps.shape == (2, 3, 5, 6)
    one_hot = np.eye(3)[labels]
    np.testing.assert_array_equal(L.distance_map(one_hot, class_axis=-1), np.moveaxis(maps, 1, -1))
    np.testing.assert_array_equal(L.distance_map(labels, classes=3, class_axis=-1), np.moveaxis(maps, 1, -1))
    np.testing.assert_array_equal(L.distance_map(np.moveaxis(one_hot, -1, 1) > 0, class_axis=1), maps)
    np.testing.assert_array_equal(L.distance_map(labels[0], classes=3, batched=False), maps[0])
    np.testing.assert_array_equal(L.distance_map((labels == 1)[:, None], spacing=(1, 1))[:, 0], maps[:, 1])
    void = np.where(generator("void").uniform(size=labels.shape) < 0.2, 255, labels)
    background = np.where(void == 255, 0, void)
    np.testing.assert_array_equal(
        L.distance_map(void, classes=3, ignore_index=255), L.distance_map(background, classes=3)
    )
    np.testing.assert_array_equal(L.distance_map(void, ignore_index=255), L.distance_map(background > 0))


def test_a_region_without_boundary_has_map_0() -> None:
    for labels in (np.zeros((1, 4, 5), int), np.ones((1, 4, 5), int)):
        assert (L.distance_map(labels, classes=3) == 0).all()
    assert (L.distance_map(np.ones((2, 1), bool)) == 0).all()
    assert L.distance_map(np.zeros((0, 4, 5), bool)).shape == (0, 4, 5)


def test_every_framework_makes_the_same_map() -> None:
    labels = generator("labels").integers(0, 3, size=(2, 5, 6))
    expected = L.distance_map(labels, classes=3)

    def call(x: Any) -> Any:
        return L.distance_map(x, classes=3)

    torch._dynamo.reset()
    compiled = torch.compile(call, fullgraph=True, backend="aot_eager")
    unknown = tf.function(call, input_signature=[tf.TensorSpec((None, 5, None), tf.int64)])
    for made in (
        call(torch.tensor(labels)),
        compiled(torch.tensor(labels)),
        call(jax.numpy.asarray(labels)),
        jax.jit(call)(jax.numpy.asarray(labels)),
        call(tf.constant(labels)),
        unknown(tf.constant(labels)),
    ):
        np.testing.assert_array_equal(to_numpy(made), expected)
    torch.library.opcheck(
        torch.ops.lossary.signed_distance.default, (torch.tensor(labels), [0, 1, 2], 2, [1.0, 1.0], False)
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"kind": "inside"}, r"`kind` must be one of 'signed', 'unsigned', 'border'; got 'inside'"),
        ({"spacing": (1, 2, 3)}, r"`spacing` has 3 numbers, but images have the shape \(4, 5\)"),
        ({"spacing": (1, 0)}, r"every number of `spacing` must be above 0; got \(1.0, 0.0\)"),
        ({"target": np.zeros((2, 3, 4, 5, 6), bool)}, r"of one to 3 axes; got images of shape \(3, 4, 5, 6\)"),
    ],
)
def test_bad_calls_say_what_is_wrong(call: dict[str, Any], message: str) -> None:
    target = call.pop("target", np.zeros((2, 4, 5), bool))
    with pytest.raises(ValueError, match=message):
        L.distance_map(target, **call)
    with pytest.raises(TypeError, match="labels, which must be integers; got dtype float64"):
        L.distance_map(np.zeros((2, 4)), classes=2)


def test_without_edt_the_message_names_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "edt", None)
    with pytest.raises(ImportError, match=r'pip install "lossary\[segmentation\]"; or pass a loss .* `distance=`'):
        L.distance_map(np.array([[True, False]]))


# --- the operand ------------------------------------------------------------------------------------------------------


def with_map(loss: Any, batch: Batch, kind: Any = "signed") -> Batch:
    """The batch with the map of its target as a loader would make it."""
    multiclass = loss.task == "multiclass" and batch.target.ndim < batch.prediction.ndim
    classes = batch.prediction.shape[1] if multiclass else None
    axis = 1 if loss.task == "multilabel" or (loss.task == "multiclass" and not multiclass) else None
    given = L.distance_map(batch.target, kind, classes=classes, class_axis=axis)
    return Batch(batch.prediction, batch.target, {"distance": given.astype(float)})


@pytest.mark.parametrize("loss", TAKERS, ids=repr)
def test_a_given_map_is_the_computed_one(loss: Loss) -> None:
    """In every framework, compiled for one task; and a signed map serves losses that need no sign."""
    batch = draw(loss)
    expected, gradient = run_torch(loss, batch)
    signed = with_map(loss, batch)
    value, own = run_torch(loss, signed)
    np.testing.assert_allclose(to_numpy(value), to_numpy(expected), rtol=1e-7)
    np.testing.assert_allclose(own, gradient, rtol=1e-6, atol=1e-9)
    if not isinstance(loss, L.BoundaryLoss):
        value, _ = run_torch(loss, with_map(loss, batch, "unsigned"))
        np.testing.assert_allclose(to_numpy(value), to_numpy(expected), rtol=1e-7)
    for framework in RUN:
        value, own = RUN[framework](loss, signed, "float32", compiled=loss.task == "multiclass")
        np.testing.assert_allclose(to_numpy(value), to_numpy(expected), rtol=1e-5)
        np.testing.assert_allclose(own, gradient, rtol=1e-4, atol=1e-5 * np.abs(gradient).max())


@pytest.mark.parametrize("loss", TAKERS, ids=repr)
def test_a_given_map_is_read_and_not_computed(loss: Loss, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = with_map(loss, draw(loss))
    if isinstance(loss, L.HausdorffDTLoss):
        loss = loss.replace(one_sided=True)
    monkeypatch.setitem(sys.modules, "edt", None)
    value = loss(batch.prediction, batch.target, **batch.keywords)
    twice = loss(batch.prediction, batch.target, distance=2 * batch.keywords["distance"])
    if isinstance(loss, L.BoundaryLoss):
        assert twice == pytest.approx(2 * value)
    elif isinstance(loss, L.HausdorffDTLoss):
        assert twice == pytest.approx(4 * value)


def test_maps_are_checked_like_targets() -> None:
    loss, batch = (
        L.BoundaryLoss("multiclass"),
        with_map(L.BoundaryLoss("multiclass"), draw(L.BoundaryLoss("multiclass"))),
    )
    x, y, d = batch.prediction, batch.target, batch.keywords["distance"]
    with pytest.raises(ValueError, match=r"`prediction` has shape \(3, 4, 5\) and `distance` \(3, 5\); they must have"):
        loss(x, y, distance=d[:, 0])
    with pytest.raises(TypeError, match="unknown argument `distances`; it takes distance"):
        loss(x, y, distances=d)
    with L.checked(), pytest.raises(ValueError, match=r"`distance` must lie in .*; got inf at .* map 0"):
        loss(x, y, distance=np.full_like(d, np.inf))
    mask = np.ones(y.shape, bool)
    mask[0, 0] = False
    spoiled = np.where(mask[:, None], d, np.nan)
    assert loss(x, y, mask=mask, distance=spoiled) == loss(x, y, mask=mask, distance=d)
    with pytest.raises(ValueError, match=r"`classes` is \(7,\), but `prediction` of shape \(3, 4, 5\) has 4 classes"):
        loss.replace(classes=(7,))(x, y)


def test_a_sum_prepares_once_and_passes_the_map_on(monkeypatch: pytest.MonkeyPatch) -> None:
    from lossary.core.families import classification

    calls = []
    original = classification.softmax
    monkeypatch.setattr(classification, "softmax", lambda x, axis: calls.append(axis) or original(x, axis))
    dice, boundary = L.DiceLoss("multiclass"), L.BoundaryLoss("multiclass")
    hausdorff = L.HausdorffDTLoss("multiclass")
    batch = with_map(boundary, draw(boundary))
    call = (batch.prediction, batch.target)
    given = {"distance": 3 * batch.keywords["distance"]}
    expected = dice(*call) + 0.01 * boundary(*call, **given) + 0.1 * hausdorff(*call, **given)
    for total in (dice + 0.01 * boundary + 0.1 * hausdorff, 0.1 * hausdorff + 0.01 * boundary + dice):
        calls.clear()
        assert total(*call, **given) == pytest.approx(expected, rel=1e-12)
        assert len(calls) == 1
        parts = total.parts(*call, **given)
        assert parts["boundary"] == pytest.approx(boundary(*call, **given), rel=1e-12)
    prediction, target, keywords = tensors("torch", Batch(*call, given), "float64")
    torch._dynamo.reset()
    compiled = torch.compile(dice + 0.01 * boundary, fullgraph=True, backend="aot_eager")
    assert float(compiled(prediction, target, **keywords)) == pytest.approx(
        dice(*call) + 0.01 * boundary(*call, **given), rel=1e-9
    )


# --- images and volumes -----------------------------------------------------------------------------------------------


def images(loss: Any, *shape: int) -> Batch:
    rng = generator(type(loss).__name__, shape)
    scores = 2 * rng.normal(size=(2, *([] if loss.task == "binary" else [3]), *shape))
    if loss.task == "multiclass":
        return Batch(scores, rng.integers(0, 3, size=(2, *shape)))
    return Batch(scores, rng.integers(0, 2, size=scores.shape))


SPATIAL = [loss for loss in defaults() if isinstance(loss, (DistanceMapLoss, MaskLoss, L.ClDiceLoss))]


@pytest.mark.parametrize("shape", [(5, 6), (3, 4, 3), (1, 4, 5)])
@pytest.mark.parametrize("loss", SPATIAL, ids=repr)
def test_images_and_volumes(loss: Loss, shape: tuple[int, ...]) -> None:
    """A third axis of length 1, as of a channel, is no axis of the image."""
    batch = images(loss, *shape)
    expected = evaluate(loss, batch)
    value = loss(batch.prediction, batch.target)
    assert value == pytest.approx(expected, rel=1e-9)
    if isinstance(loss, DistanceMapLoss):
        spaced: Any = loss.replace(spacing=(3.0, 0.5, 2.0)[-len(shape) :])
        assert spaced(batch.prediction, batch.target) == pytest.approx(evaluate(spaced, batch), rel=1e-6)
    if loss.task == "multiclass" and shape == (5, 6):
        for framework in RUN:
            found, gradient = RUN[framework](loss, batch, "float32")
            assert to_numpy(found) == pytest.approx(expected, rel=2e-5)
            np.testing.assert_allclose(
                gradient, run_torch(loss, batch)[1], rtol=2e-3, atol=1e-4 * np.abs(gradient).max()
            )


@pytest.mark.parametrize("loss", SPATIAL, ids=repr)
def test_masks_without_boundary(loss: Loss) -> None:
    """Empty, full, absent, one place, and everything ignored: finite values and gradients."""
    batch = images(loss, 4, 5)
    one = np.zeros_like(batch.target)
    one[..., 2, 2] = 1
    for target in (np.zeros_like(one), np.ones_like(one), one):
        for scale in (1.0, 1e4):
            value, gradient = run_torch(loss, Batch(scale * batch.prediction, target), "float32")
            assert np.isfinite(to_numpy(value)).all()
            assert np.isfinite(gradient).all()
    ignoring: Any = loss.replace(ignore_index=1)
    value, gradient = run_torch(ignoring, Batch(batch.prediction, np.ones_like(one)), "float32")
    assert value == 0
    assert (gradient == 0).all()


def test_an_absent_class_teaches_a_boundary_loss_nothing() -> None:
    loss = L.BoundaryLoss("multiclass", classes=(2,))
    assert loss(np.random.default_rng(0).normal(size=(1, 3, 4, 4)), np.ones((1, 4, 4), int)) == 0


def test_boundary_loss_with_the_authors_map() -> None:
    """Their one_hot2dist: outside the distance to the object, inside 1 minus that to the background; then the mean."""
    from scipy.ndimage import distance_transform_edt

    batch = images(L.BoundaryLoss("multiclass"), 7, 8)
    p = torch.softmax(torch.tensor(batch.prediction), 1).numpy()
    maps = np.zeros_like(p)
    for n, c in np.ndindex(2, 3):
        mask = batch.target[n] == c
        maps[n, c] = distance_transform_edt(~mask) * ~mask - (distance_transform_edt(mask) - 1) * mask
    ours = L.BoundaryLoss("multiclass")(
        batch.prediction, batch.target, distance=L.distance_map(batch.target, "border", classes=3).astype(float)
    )
    assert ours == pytest.approx((p * maps)[:, 1:].mean(), rel=1e-6)


def test_hausdorff_estimates_grow_with_the_distance_of_an_error() -> None:
    target = np.zeros((1, 24, 24), int)
    target[:, 2:8, 2:8] = 1
    for loss in (L.HausdorffDTLoss("binary"), L.HausdorffDTLoss("binary", one_sided=True), L.BoundaryLoss("binary")):
        values = []
        for far in (9, 13, 17):
            found = target.copy()
            found[:, far : far + 2, 3:6] = 1
            values.append(float(loss(np.where(found > 0, 9.0, -9.0), target)))
        assert values == sorted(values)
        assert values[0] < values[-1]


def test_erosion_estimate_grows_with_the_thickness_of_an_error() -> None:
    values = []
    for side in (2, 4, 8):
        logits = np.full((1, 20, 20), -20.0)
        logits[:, 4 : 4 + side, 4 : 4 + side] = 20
        values.append(float(L.HausdorffErosionLoss("binary")(logits, np.zeros((1, 20, 20), int))))
    assert values == sorted(values)
    assert values[2] > 10 * values[0]


def test_cldice_sees_a_gap_that_dice_does_not() -> None:
    """A road of width 5 with a gap of one: nearly all of its places are there, but it is cut."""
    road = np.zeros((1, 15, 60), int)
    road[:, 5:10] = 1
    cut, thin = np.where(road > 0, 20.0, -20.0), np.where(road > 0, 20.0, -20.0)
    cut[:, :, 30] = -20
    thin[:, 5] = thin[:, 9] = -20
    assert L.DiceLoss("binary")(cut, road) < L.DiceLoss("binary")(thin, road)
    assert L.ClDiceLoss("binary")(cut, road) > L.ClDiceLoss("binary")(thin, road)


def test_statistics_of_skeletons_add_up() -> None:
    loss = L.ClDiceLoss("multiclass", per="batch", dice_share=0.3)
    batch = images(loss, 5, 6)
    parts = [loss.statistics(batch.prediction[n : n + 1], batch.target[n : n + 1]) for n in range(2)]
    assert loss.finalize(sum(parts)) == pytest.approx(loss(batch.prediction, batch.target), rel=1e-12)
    assert loss.decomposable


def test_examples_of_the_page_on_distance_maps() -> None:
    page = Path(__file__).parents[1] / "docs" / "distance.md"
    assert doctest.testfile(str(page), module_relative=False).failed == 0
