"""What is left when nothing is: empty batches, everything ignored, NaN under a mask; and the numbers users know."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import lossary
from frameworks import RUN, tensors, to_numpy
from lossary.checker.draws import draw, unreduced_shape
from lossary.checker.engines import Batch
from lossary.core.families import (
    BoxLoss,
    ClassificationLoss,
    NamedSumLoss,
    SigmoidLoss,
)
from lossary.core.loss import Loss
from variants import defaults, variants

DEFAULTS = defaults()
FRAMEWORKS = ("torch", "jax", "tensorflow")
BOXES = [cls for cls in lossary.catalogue() if issubclass(cls, BoxLoss)]


def all_masked(loss: Loss) -> Batch:
    batch = draw(loss)
    mask = np.zeros(unreduced_shape(loss, batch), dtype=bool)
    return dataclasses.replace(batch, keywords={**batch.keywords, "mask": mask})


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("loss", DEFAULTS, ids=repr)
def test_nothing_counts(loss: Loss, framework: str) -> None:
    """Everything masked: 0, attached to the graph, with gradient 0."""
    value, gradient = RUN[framework](loss, all_masked(loss), "float32")
    assert to_numpy(value) == 0
    assert (gradient == 0).all()


@pytest.mark.parametrize("loss", DEFAULTS, ids=repr)
def test_empty_batch(loss: Loss) -> None:
    batch = draw(loss)
    value, gradient = RUN["torch"](loss, batch[:0], "float32")
    assert value == 0
    assert gradient.shape == batch.prediction[:0].shape
    assert loss(batch[:0].prediction, batch[:0].target, **batch[:0].keywords) == 0


@pytest.mark.parametrize("loss", DEFAULTS, ids=repr)
def test_policies_for_nothing(loss: Loss) -> None:
    batch = all_masked(loss)
    assert np.isnan(loss.replace(empty="nan")(batch.prediction, batch.target, **batch.keywords))
    with pytest.raises(ValueError, match="nothing is left to average"):
        loss.replace(empty="raise")(batch.prediction, batch.target, **batch.keywords)


@pytest.mark.parametrize("loss", [lossary.MSELoss(), lossary.CrossEntropyLoss(), lossary.DiceLoss("binary")], ids=repr)
def test_compiled_code_cannot_raise(loss: Loss) -> None:
    """One loss of each kind of denominator: of elements, of places, of images and classes."""
    batch = all_masked(loss)
    torch._dynamo.reset()
    traced = torch.compile(loss.replace(empty="raise"), backend="aot_eager", fullgraph=True)
    prediction, target, keywords = tensors("torch", batch, "float32")
    assert torch.isnan(traced(prediction, target, **keywords))


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("loss", DEFAULTS, ids=repr)
def test_masked_nan_leaves_no_gradient(loss: Loss, framework: str) -> None:
    batch = draw(loss)
    shape = unreduced_shape(loss, batch)
    mask = np.ones(shape, dtype=bool)
    mask[0, ...] = False
    mask.flat[mask.size // 2] = False
    spoiled = batch.prediction.copy()
    more = spoiled.ndim - len(shape)
    axes = (1,) if more == 1 and hasattr(loss, "class_axis") else range(-more, 0)
    where = np.broadcast_to(np.expand_dims(mask, tuple(axes)), spoiled.shape)
    spoiled[~where] = np.nan
    masked = dataclasses.replace(batch, keywords={**batch.keywords, "mask": mask})
    value, gradient = RUN[framework](loss, masked.with_prediction(spoiled), "float32")
    clean, expected = RUN[framework](loss, masked, "float32")
    np.testing.assert_allclose(to_numpy(value), to_numpy(clean), rtol=1e-6)
    np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-7)
    assert (gradient[~where] == 0).all()


# the zero-one loss calls an answer that is none wrong
SEEN = [
    (loss, framework)
    for cls in lossary.catalogue()
    if cls is not lossary.ZeroOneLoss
    for loss in variants(cls)
    if loss != lossary.ClDiceLoss("multilabel", smooth=0.0)  # open: a skeleton of NaN drops out of 0/0
    for framework in ("numpy", *(FRAMEWORKS if loss in DEFAULTS else ()))
]


@pytest.mark.parametrize(("loss", "framework"), SEEN, ids=repr)
def test_a_nan_that_counts_is_seen(loss: Loss, framework: str) -> None:
    """What a model says when it has diverged must not read as a small loss, nor as a class or bin of any number."""
    batch = draw(loss)
    ignored = getattr(loss, "ignore_index", None)
    place = (0,) * batch.target.ndim if ignored is None else tuple(np.argwhere(batch.target != ignored)[0])
    if hasattr(loss, "class_axis") and batch.prediction.ndim > batch.target.ndim:
        place = (place[0], *place[1:], 0) if loss.class_axis == -1 else (place[0], 0, *place[1:])
    batch.prediction[(*place, *[0] * (batch.prediction.ndim - len(place)))] = np.nan
    with np.errstate(invalid="ignore"):
        if framework == "numpy":
            value = loss(batch.prediction, batch.target, **batch.keywords)
        else:
            value, _ = RUN[framework](loss, batch, "float32")
    assert np.isnan(to_numpy(value)).any()


@pytest.mark.parametrize("task", ["binary", "multilabel"])
@pytest.mark.parametrize("cls", [lossary.BCELoss, lossary.FocalLoss, lossary.HingeLoss, lossary.DiceLoss])
def test_ignored_label_of_the_other_kind(cls: type[ClassificationLoss], task: str) -> None:
    """-1 and 255 are never indexed, whatever the dtype that holds them."""
    batch = draw(cls(task))
    for label, dtype in ((255, np.uint8), (255, np.int64), (-1, np.int8), (255, np.float64)):
        target = batch.target.astype(dtype)
        target[0, 0] = label
        mask = np.ones(target.shape, dtype=bool)
        mask[0, 0] = False
        expected = cls(task)(batch.prediction, batch.target, mask=mask)
        assert cls(task, ignore_index=label)(batch.prediction, target) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int8", "int16", "int32", "int64", "uint16"])
@pytest.mark.parametrize(
    "loss", [x for x in DEFAULTS if isinstance(x, ClassificationLoss) and not x.reads_between], ids=repr
)
def test_labels_of_any_width(loss: ClassificationLoss, dtype: str) -> None:
    batch = draw(loss)
    if dtype == "bool":
        batch = Batch(batch.prediction, np.minimum(batch.target, 1))
    expected = loss(batch.prediction, batch.target, **batch.keywords)
    prediction, target = torch.tensor(batch.prediction), torch.tensor(batch.target.astype(dtype))
    assert loss(prediction, target).item() == pytest.approx(float(expected), rel=1e-12)
    assert float(loss(batch.prediction, batch.target.astype(dtype))) == pytest.approx(float(expected), rel=1e-12)


# --- the numbers that users report as wrong elsewhere (pains.md, and the issue that asked for the house)
# ----------------------


def test_ciou_of_a_box_without_height() -> None:
    box = torch.tensor([[0.0, 0, 1, 0]], requires_grad=True)
    value = lossary.CIoULoss()(box, torch.tensor([[0.0, 0, 1, 1]]))
    value.backward()
    assert value.item() == pytest.approx(1.175, abs=1e-6)
    assert torch.isfinite(box.grad).all()
    assert (box.grad != 0).any()


def test_equal_boxes_cost_nothing_at_any_size() -> None:
    for cls in BOXES:
        for size in (0.0, 1e-6, 1e-3, 1.0, 1e6):
            for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
                box = torch.tensor([[1.0, 2.0, 1.0 + size, 2.0 + 2 * size]]).clamp(max=6e4).to(dtype).requires_grad_()
                value = cls()(box, box.detach().clone())
                value.backward()
                assert value == 0
                assert torch.isfinite(box.grad).all()


def test_boxes_at_a_thousand_pixels_in_half_precision() -> None:
    """Areas of a million overflow float16: computed in float32, the loss is that of the rounded boxes."""
    for cls in BOXES:
        for dtype in (torch.float16, torch.bfloat16):
            box = torch.tensor([[10.0, 20, 1000, 990], [0, 0, 1e3, 1e3]]).to(dtype).requires_grad_()
            target = torch.tensor([[0.0, 0, 1000, 1010], [0, 0, 1e3, 1e3]]).to(dtype)
            value = cls()(box, target)
            value.backward()
            torch.testing.assert_close(value.double(), cls()(box.detach().double(), target.double()), rtol=1e-5, atol=0)
            assert torch.isfinite(box.grad).all()


def test_an_inverted_box_is_never_perfect() -> None:
    for cls in set(BOXES) - {lossary.FocalEIoULoss}:  # which gives disjoint boxes the weight 0
        assert cls()(np.array([[2.0, 2, 0, 0]]), np.array([[0.0, 0, 2, 2]])) >= 1


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
def test_focal_at_saturated_logits(gamma: float, dtype: torch.dtype) -> None:
    for scale in (18.0, 100.0, 1e4):
        ends = torch.tensor([scale, -scale, scale / 5, 0.0], dtype=dtype)
        for task, logits, target in (
            ("binary", ends, torch.tensor([1, 0, 0, 1])),
            ("binary", ends, torch.tensor([1.0, 0.25, 1.0, 0.0])),
            ("multiclass", torch.stack([ends, -ends], 1), torch.tensor([0, 0, 1, 1])),
        ):
            z = logits.clone().requires_grad_()
            value = lossary.FocalLoss(task, gamma=gamma)(z, target)
            value.backward()
            assert torch.isfinite(value)
            assert torch.isfinite(z.grad).all()


WITH_SLOPE = [loss for loss in DEFAULTS if isinstance(loss, SigmoidLoss) or getattr(loss, "has_slope", False)]


@pytest.mark.parametrize("loss", WITH_SLOPE, ids=repr)
def test_blocks_do_not_show(loss: Loss, monkeypatch: pytest.MonkeyPatch) -> None:
    """Block by block, the last one shorter, a formula gives what it gives at once; with a gradient or without."""
    batch = draw(loss)
    value, gradient = RUN["torch"](loss, batch, "float64")
    monkeypatch.setattr("lossary.array.torch_blocks.BLOCK", 7)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    blocks, by_blocks = RUN["torch"](loss, batch, "float64")
    np.testing.assert_allclose(to_numpy(blocks), to_numpy(value), rtol=1e-14)
    np.testing.assert_allclose(by_blocks, gradient, rtol=1e-14)
    prediction, target, keywords = tensors("torch", batch, "float64")
    with torch.no_grad():
        np.testing.assert_allclose(loss(prediction, target, **keywords).numpy(), to_numpy(value), rtol=1e-14)


def test_binary_losses_keep_their_digits() -> None:
    """In float32, where 1 - p rounds to 1, and where one side weighs next to nothing."""
    z = torch.tensor([20.0, -20.0, 17.0, -40.0], requires_grad=True)
    target = torch.tensor([1, 0, 1, 0])
    answer = z.detach().double() * torch.tensor([1, -1, 1, -1])
    for soft in (target, target.float()):
        values = lossary.BCELoss(reduction="none")(z, soft)
        torch.testing.assert_close(values.double(), -F.logsigmoid(answer), rtol=1e-6, atol=0)
        weighted = lossary.BCELoss(pos_weight=1e-9, reduction="none")(torch.zeros(4), soft)
        torch.testing.assert_close(weighted, math.log(2) * torch.where(target == 1, 1e-9, 1.0), rtol=1e-6, atol=0)


@pytest.mark.parametrize("target", [torch.tensor([1]), torch.tensor([0.25], dtype=torch.float64)], ids=["hard", "soft"])
@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")  # torch's own forward mode
def test_curvature_at_a_logit_of_0(target: torch.Tensor) -> None:
    """Where |z| has no slope: forward over reverse, reverse over reverse and forward alone."""
    zero = torch.zeros(1, dtype=torch.float64)

    def total(z: torch.Tensor) -> torch.Tensor:
        return lossary.BCELoss()(z, target)

    for hessian in (torch.func.hessian(total)(zero), torch.func.jacrev(torch.func.jacrev(total))(zero)):
        assert hessian.item() == pytest.approx(0.25, rel=1e-12)
    _, slope = torch.func.jvp(total, (zero,), (torch.ones_like(zero),))
    assert slope.item() == pytest.approx(0.5 - target.item(), rel=1e-12)
    with torch.autograd.forward_ad.dual_level(), torch.no_grad():
        dual = torch.autograd.forward_ad.make_dual(zero, torch.ones_like(zero))
        slope = torch.autograd.forward_ad.unpack_dual(total(dual)).tangent
    assert slope.item() == pytest.approx(0.5 - target.item(), rel=1e-12)


def test_a_formula_of_its_own_does_not_inherit_a_slope() -> None:
    class Squared(lossary.CrossEntropyLoss):
        def values(self, xp, answer):
            return answer.miss**2

    logits = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    target = torch.tensor([0, 3, 1])
    Squared()(logits, target).backward()
    other = logits.detach().clone().requires_grad_()
    ((1 - torch.softmax(other, 1)[range(3), target]) ** 2).mean().backward()
    torch.testing.assert_close(logits.grad, other.grad)


def test_dice_in_half_precision_does_not_overflow() -> None:
    logits = torch.full((1, 512, 512), 8.0, dtype=torch.float16)
    value = lossary.DiceLoss("binary")(logits, torch.ones(1, 512, 512, dtype=torch.int64))
    assert value.item() == pytest.approx(1.677e-4, rel=1e-3)
    assert value.dtype == torch.float32


@pytest.mark.parametrize("layout", ["classes first", "classes last"])
@pytest.mark.parametrize("framework", ["numpy", *FRAMEWORKS])
def test_counts_of_many_places_keep_their_digits(framework: str, layout: str) -> None:
    """A running float32 sum of .9997 gives a loss of 6e-6 here."""
    logits = np.zeros((1, 2, 512, 512))
    logits[:, 1] = 8
    loss = lossary.DiceLoss("multiclass", classes=(1,))
    if layout == "classes last":
        logits, loss = np.moveaxis(logits, 1, -1), loss.replace(class_axis=-1)
    batch = Batch(logits, np.ones((1, 512, 512), int))
    if framework == "numpy":
        value = loss(batch.prediction.astype(np.float32), batch.target)
    else:
        value, _ = RUN[framework](loss, batch, "float32")
    assert to_numpy(value) == pytest.approx(1.677e-4, rel=1e-2)


def test_log_cosh_of_a_small_error() -> None:
    """In float32 the usual form gives 0 or a rounding error at 1e-4, and no second derivative at 0."""
    value = lossary.LogCoshLoss()(np.full(1, 1e-4, dtype=np.float32), np.zeros(1, dtype=np.float32))
    assert value == pytest.approx(5e-9, rel=1e-4)
    curvature = torch.func.grad(torch.func.grad(lambda e: lossary.LogCoshLoss()(e, torch.tensor(0.0))))
    assert curvature(torch.tensor(0.0)).item() == pytest.approx(1.0)


def test_cross_entropy_in_bfloat16_keeps_the_gradient_of_the_true_class() -> None:
    logits = torch.tensor([[8.0, 0, 0]], dtype=torch.bfloat16, requires_grad=True)
    lossary.CrossEntropyLoss()(logits, torch.tensor([0])).backward()
    assert logits.grad[0, 0].item() == pytest.approx(-6.7e-4, rel=1e-2)


def test_near_equal_distributions_in_bfloat16() -> None:
    rng = np.random.default_rng(0)
    teacher = torch.tensor(rng.normal(size=(1, 32000)))
    student = (teacher + 1e-2 * torch.tensor(rng.normal(size=(1, 32000)))).bfloat16()
    target = torch.softmax(teacher, 1).float()
    exact = torch.softmax(student.double(), 1) - target.double()
    student.requires_grad_()
    lossary.KLDivLoss()(student, target).backward()
    error = (student.grad.double() - exact).norm() / exact.norm()
    assert error < 0.005


@pytest.mark.parametrize("framework", ["torch", "jax"])
def test_lovasz_of_a_class_without_a_place(framework: str) -> None:
    """Where there is no foreground, the first place that errs takes the Jaccard loss from 0 to 1: the largest error."""
    batch = Batch(np.array([[[0.0, 0, 0], [0.5, -1.0, 2.0]]]), np.zeros((1, 3), dtype=int))
    p = 1 / (1 + np.exp(-batch.prediction[0, 1]))
    value, _ = RUN[framework](lossary.LovaszSoftmaxLoss(classes="all"), batch, "float32")
    assert to_numpy(value) == pytest.approx((p.mean() + p.max()) / 2, rel=1e-5)


def test_tversky_weights_are_on_their_errors() -> None:
    logits, target = np.array([[40.0, 40.0, -40.0]]), np.array([[1, 0, 0]])
    assert lossary.TverskyLoss("binary", fp_weight=0.9, fn_weight=0.1)(logits, target) == pytest.approx(
        0.47368, abs=1e-5
    )
    assert lossary.TverskyLoss("binary", fp_weight=0.1, fn_weight=0.9)(logits, target) == pytest.approx(
        0.09091, abs=1e-5
    )


def test_an_impossible_class_with_smoothing() -> None:
    logits = torch.tensor([[2.0, 0.0, -np.inf]], requires_grad=True)
    value = lossary.CrossEntropyLoss(label_smoothing=0.1)(logits, torch.tensor([0]))
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(logits.grad).all()


def test_divergence_where_target_is_zero_and_prediction_impossible() -> None:
    logits = torch.tensor([[2.0, 0.0, -np.inf]], requires_grad=True)
    target = torch.tensor([[0.25, 0.75, 0.0]], requires_grad=True)
    value = lossary.KLDivLoss()(logits, target)
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(logits.grad).all()
    assert torch.isfinite(target.grad).all()


def test_empty_mask_teaches_with_a_large_smooth() -> None:
    """A confident false alarm on an empty mask: no slope to speak of at the default smooth, a useful one at 1."""
    slopes = []
    for smooth in (1e-5, 1.0):
        logits = torch.zeros(1, 16, requires_grad=True)
        lossary.DiceLoss("binary", smooth=smooth)(logits, torch.zeros(1, 16, dtype=torch.int64)).backward()
        slopes.append(logits.grad.abs().sum().item())
    assert slopes[0] < 1e-5 < 1e-2 < slopes[1]


def test_weights_mean_what_their_reduction_says() -> None:
    x, y, w = np.array([1.0, 2.0, 3.0]), np.zeros(3), np.array([1.0, 0.0, 3.0])
    for cls, mean, weighted in (
        (lossary.MSELoss, 28 / 3, 7.0),
        (lossary.L1Loss, 10 / 3, 2.5),
        (lossary.HuberLoss, 8 / 3, 2.0),
    ):
        assert cls()(x, y, sample_weight=w) == pytest.approx(mean)
        assert cls(reduction="weighted_mean")(x, y, sample_weight=w) == pytest.approx(weighted)


def test_out_of_range_label_while_compiling_is_left_out() -> None:
    """Compiled code cannot raise on a value; it reads no foreign memory and the bad label teaches nothing."""
    for loss in (lossary.CrossEntropyLoss(), lossary.DiceLoss("multiclass"), lossary.LovaszSoftmaxLoss()):
        logits, target = torch.randn(2, 3, 4), torch.randint(0, 3, (2, 4))
        bad = target.clone()
        bad[0, 1], bad[1, 2] = 7, -5
        mask = bad == target
        value = torch.compile(loss, backend="aot_eager", fullgraph=True)(logits, bad)
        torch.testing.assert_close(value, loss(logits, target, mask=mask))


def test_autocast() -> None:
    """Under autocast and out of it: one number."""
    for loss in DEFAULTS:
        prediction, target, keywords = tensors("torch", draw(loss), "float32")
        with torch.autocast("cpu", dtype=torch.bfloat16):
            value = loss(prediction, target, **keywords)
        torch.testing.assert_close(value, loss(prediction, target, **keywords))


def test_meta_device_gives_the_shape() -> None:
    for loss in DEFAULTS:
        batch = draw(loss)
        prediction, target, keywords = tensors("torch", batch, "float32")
        prediction, target = prediction.to("meta"), target.to("meta")
        keywords = {name: x.to("meta") for name, x in keywords.items()}
        assert loss(prediction, target, **keywords).shape == ()
        if isinstance(loss, NamedSumLoss):
            continue  # parts of unlike shapes have no unreduced loss
        unreduced = loss.replace(reduction="none")
        assert (
            unreduced(prediction, target, **keywords).shape
            == unreduced(batch.prediction, batch.target, **batch.keywords).shape
        )
