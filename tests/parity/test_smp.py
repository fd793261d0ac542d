"""The losses of segmentation-models-pytorch."""

from __future__ import annotations

import pytest
import torch

import lossary as L
from parity.samples import CLASSES, IGNORED, WEIGHTS, images, masks, same, with_ignored

smp = pytest.importorskip(
    "segmentation_models_pytorch.losses", reason="segmentation-models-pytorch is in .venv-peers: make parity"
)


@pytest.mark.parametrize("ignored", [False, True])
@pytest.mark.parametrize("smooth", [0.0, 3.0])
def test_dice(smooth, ignored):
    """Per batch; its smooth counts twice, being added to TP where ours is added to 2·TP."""
    z, t = images()
    t = with_ignored(t) if ignored else t
    index = IGNORED if ignored else None
    ours = L.DiceLoss("multiclass", per="batch", smooth=2 * smooth, ignore_index=index)
    theirs = smp.DiceLoss("multiclass", smooth=smooth, ignore_index=index)
    same(lambda z: ours(z, t), lambda z: theirs(z, t), z, rtol=1e-6)


def test_dice_with_class_weights():
    z, t = images()
    ours = L.DiceLoss("multiclass", per="batch", smooth=0, class_weight=WEIGHTS, reduction="weighted_mean")
    same(lambda z: ours(z, t), lambda z: smp.DiceLoss("multiclass", class_weights=list(WEIGHTS))(z, t), z)


def test_dice_of_absent_classes():
    """A class without target counts as a loss of 0 in its mean; `classes="present"` leaves it out."""
    z, t = images()
    t = t.clamp(max=1)
    ours = L.DiceLoss("multiclass", per="batch", smooth=0, classes="present")
    same(lambda z: ours(z, t) * 2 / CLASSES, lambda z: smp.DiceLoss("multiclass")(z, t), z)


def test_tversky():
    z, t = images()
    ours = L.TverskyLoss("multiclass", fp_weight=0.3, fn_weight=0.7, per="batch", smooth=0)
    same(lambda z: ours(z, t), lambda z: smp.TverskyLoss("multiclass", alpha=0.3, beta=0.7)(z, t), z)


def test_binary_tversky():
    z, hard, _ = masks()
    ours = L.TverskyLoss("binary", fp_weight=0.3, fn_weight=0.7, per="batch", smooth=2)
    theirs = smp.TverskyLoss("binary", alpha=0.3, beta=0.7, smooth=2.0)
    same(lambda z: ours(z, hard.long()), lambda z: theirs(z, hard), z)


@pytest.mark.parametrize("per_image", [False, True])
def test_lovasz(per_image):
    z, t = images()
    ours = L.LovaszSoftmaxLoss(per="image" if per_image else "batch")
    # it adds counts up in float32
    same(lambda z: ours(z, t), lambda z: smp.LovaszLoss("multiclass", per_image=per_image)(z.float(), t), z, 1e-4, 1e-5)


def test_lovasz_with_ignored_places():
    z, t = images()
    t = with_ignored(t)
    ours, theirs = L.LovaszSoftmaxLoss(ignore_index=IGNORED), smp.LovaszLoss("multiclass", ignore_index=IGNORED)
    same(lambda z: ours(z, t), lambda z: theirs(z.float(), t), z, 1e-4, 1e-5)


@pytest.mark.parametrize("ignored", [False, True])
def test_binary_focal(ignored):
    z, hard, _ = masks()
    t = with_ignored(hard) if ignored else hard
    index = IGNORED if ignored else None
    ours = L.FocalLoss("binary", alpha=0.25, ignore_index=index)
    same(lambda z: ours(z, t.long()), lambda z: smp.FocalLoss("binary", alpha=0.25, ignore_index=index)(z, t), z)


def test_multiclass_focal_is_one_sigmoid_per_class():
    """Averaged over places and classes: our multilabel mean, not the softmax focal loss."""
    z, t = images()
    one_hot = torch.nn.functional.one_hot(t, CLASSES).movedim(-1, 1)
    theirs = smp.FocalLoss("multiclass", alpha=0.25)
    same(lambda z: L.FocalLoss("multilabel", alpha=0.25)(z, one_hot), lambda z: theirs(z, t), z)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_cross_entropy_divides_by_ignored_places_too(smoothing):
    z, t = images()
    t = with_ignored(t)
    counted = (t != IGNORED).double().mean()
    ours = L.CrossEntropyLoss(ignore_index=IGNORED, label_smoothing=smoothing)
    theirs = smp.SoftCrossEntropyLoss(smooth_factor=smoothing, ignore_index=IGNORED)
    same(lambda z: ours(z, t) * counted, lambda z: theirs(z, t.clone()), z)


def test_bce_divides_by_ignored_places_too():
    z, hard, _ = masks()
    t = with_ignored(hard)
    counted = (t != IGNORED).double().mean()
    ours, theirs = L.BCELoss(ignore_index=IGNORED), smp.SoftBCEWithLogitsLoss(ignore_index=IGNORED)
    same(lambda z: ours(z, t) * counted, lambda z: theirs(z, t), z)


def test_bce_smoothing_is_twice_ours():
    """Its targets are ε and 1-ε, ours ε/2 and 1-ε/2."""
    z, hard, _ = masks()
    ours, theirs = L.BCELoss(label_smoothing=0.2), smp.SoftBCEWithLogitsLoss(smooth_factor=0.1)
    same(lambda z: ours(z, hard.long()), lambda z: theirs(z, hard), z)
