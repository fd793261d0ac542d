"""The losses of MONAI."""

from __future__ import annotations

from importlib.util import find_spec

import pytest
import torch

import lossary as L
from parity.samples import CLASSES, WEIGHTS, boxes, images, masks, same

monai = pytest.importorskip("monai.losses", reason="MONAI is in .venv-peers: make parity")

SOFTMAX = {"softmax": True, "to_onehot_y": True}


def channel(loss, target):
    """MONAI takes labels with a channel axis of 1."""
    return lambda z: loss(z, target.unsqueeze(1))


@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.parametrize("smooth", [1e-5, 1.0])
def test_dice(smooth, batch, squared):
    z, t = images()
    ours = L.DiceLoss("multiclass", per="batch" if batch else "image", smooth=smooth, squared=squared)
    theirs = monai.DiceLoss(smooth_nr=smooth, smooth_dr=smooth, batch=batch, squared_pred=squared, **SOFTMAX)
    same(lambda z: ours(z, t), channel(theirs, t), z)


def test_dice_without_background():
    z, t = images()
    ours = L.DiceLoss("multiclass", classes=tuple(range(1, CLASSES)))
    same(lambda z: ours(z, t), channel(monai.DiceLoss(include_background=False, **SOFTMAX), t), z)


def test_dice_with_class_weights():
    """MONAI multiplies by the weights and divides by the number of classes: our plain mean."""
    z, t = images()
    ours = L.DiceLoss("multiclass", class_weight=WEIGHTS)
    theirs = monai.DiceLoss(weight=torch.tensor(WEIGHTS, dtype=torch.float64), **SOFTMAX)
    same(lambda z: ours(z, t), channel(theirs, t), z)


def test_binary_dice():
    z, hard, soft = masks()
    for t in (hard, soft):
        same(lambda z, t=t: L.DiceLoss("binary")(z, t), lambda z, t=t: monai.DiceLoss(sigmoid=True)(z, t), z)


@pytest.mark.parametrize("smooth", [1e-5, 1.0])
def test_tversky(smooth):
    z, t = images()
    ours = L.TverskyLoss("multiclass", fp_weight=0.3, fn_weight=0.7, smooth=smooth)
    theirs = monai.TverskyLoss(alpha=0.3, beta=0.7, smooth_nr=smooth, smooth_dr=smooth, **SOFTMAX)
    same(lambda z: ours(z, t), channel(theirs, t), z)


def test_jaccard_is_tversky_of_1_and_1():
    """MONAI adds its smooth to twice the overlap and twice the union, so it counts half."""
    z, t = images()
    ours = L.TverskyLoss("multiclass", fp_weight=1, fn_weight=1, smooth=0.5)
    theirs = monai.DiceLoss(jaccard=True, smooth_nr=1.0, smooth_dr=1.0, **SOFTMAX)
    same(lambda z: ours(z, t), channel(theirs, t), z)


@pytest.mark.parametrize("gamma", [1.0, 2.0])
@pytest.mark.parametrize("alpha", [None, 0.25])
def test_binary_focal(alpha, gamma):
    z, hard, _ = masks()
    ours = L.FocalLoss("binary", alpha=alpha, gamma=gamma)
    theirs = monai.FocalLoss(alpha=alpha, gamma=gamma)  # in float32
    same(lambda z: ours(z, hard.long()), lambda z: theirs(z, hard), z, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_softmax_focal_averages_over_classes_too(weights):
    z, t = images()
    ours = L.FocalLoss("multiclass", alpha=weights, gamma=2)
    theirs = monai.FocalLoss(use_softmax=True, to_onehot_y=True, alpha=weights)
    same(lambda z: ours(z, t) / CLASSES, channel(theirs, t), z, rtol=1e-6)  # its weights are float32


def test_dice_and_cross_entropy():
    z, t = images()
    ours = 0.4 * L.DiceLoss("multiclass") + 1.5 * L.CrossEntropyLoss()
    same(lambda z: ours(z, t), channel(monai.DiceCELoss(lambda_dice=0.4, lambda_ce=1.5, **SOFTMAX), t), z)


def test_dice_and_focal_mixes_activations():
    """`DiceFocalLoss(softmax=True)` takes a softmax for Dice and one sigmoid per class for focal."""
    z, t = images()
    one_hot = torch.nn.functional.one_hot(t, CLASSES).movedim(-1, 1)
    dice, focal = L.DiceLoss("multiclass"), L.FocalLoss("multilabel")
    theirs = channel(monai.DiceFocalLoss(**SOFTMAX), t)
    same(lambda z: dice(z, t) + focal(z, one_hot), theirs, z)
    assert not torch.isclose((dice + L.FocalLoss("multiclass"))(z, t), theirs(z), rtol=1e-2)


def test_boxes():
    """MONAI computes in float32 and averages."""
    prediction, target = (x.float() for x in boxes())
    same(lambda x: L.GIoULoss()(x, target), lambda x: monai.BoxGIoULoss()(x, target), prediction, rtol=1e-5, atol=1e-6)


# --- outlines ---------------------------------------------------------------------------------------------------------


needs_scipy = pytest.mark.skipif(find_spec("scipy") is None, reason="MONAI's distance maps are scipy's")


@needs_scipy
@pytest.mark.parametrize("alpha", [1.0, 2.0])
def test_hausdorff_of_classes(alpha):
    """Class 0 is left out by both, and the mean is over classes and places."""
    z, t = images()
    ours, theirs = L.HausdorffDTLoss("multiclass", alpha=alpha), monai.HausdorffDTLoss(alpha=alpha, **SOFTMAX)
    same(lambda z: ours(z, t), channel(theirs, t), z, rtol=1e-6)  # its maps are float32
    everything = L.HausdorffDTLoss("multiclass", alpha=alpha, classes="all")
    theirs = monai.HausdorffDTLoss(alpha=alpha, include_background=True, **SOFTMAX)
    same(lambda z: everything(z, t), channel(theirs, t), z, rtol=1e-6)


@needs_scipy
def test_hausdorff_of_a_mask():
    z, hard, _ = masks()
    ours, theirs = L.HausdorffDTLoss("binary"), monai.HausdorffDTLoss(sigmoid=True, include_background=True)
    same(lambda z: ours(z, hard), lambda z: theirs(z, hard), z, rtol=1e-6)
    empty = torch.zeros_like(hard)
    same(lambda z: ours(z, empty), lambda z: theirs(z, empty), z, rtol=1e-6)


@needs_scipy
def test_hausdorff_of_labels_that_do_not_exclude_each_other():
    """MONAI leaves channel 0 out there too, and rounds distances down where the target is of integers."""
    z, t = images()
    one_hot = torch.nn.functional.one_hot(t, CLASSES).movedim(-1, 1)
    ours = L.HausdorffDTLoss("multilabel", classes=tuple(range(1, CLASSES)))
    theirs = monai.HausdorffDTLoss(sigmoid=True)
    same(lambda z: ours(z, one_hot), lambda z: theirs(z, one_hot.double()), z, rtol=1e-6)
    assert theirs(z, one_hot) < theirs(z, one_hot.double())


@pytest.mark.parametrize("iterations", [0, 3])
def test_cldice_of_a_mask(iterations):
    z, hard, _ = masks()
    ours = L.ClDiceLoss("binary", iterations=iterations)
    theirs = monai.SoftclDiceLoss(iter_=iterations, smooth=1e-12, sigmoid=True)
    same(lambda z: ours(z, hard), lambda z: theirs(z, hard), z)
    dice = L.ClDiceLoss("binary", iterations=iterations, dice_share=0.3)
    theirs = monai.SoftDiceclDiceLoss(iter_=iterations, alpha=0.7, smooth=1e-12, sigmoid=True)
    same(lambda z: dice(z, hard), lambda z: theirs(z, hard), z)


def test_cldice_of_classes_is_joined_there():
    """MONAI adds the skeletons of all classes before it divides; the background has most of them."""
    z, t = images()
    ours, theirs = L.ClDiceLoss("multiclass"), channel(monai.SoftclDiceLoss(**SOFTMAX), t)
    assert not torch.isclose(ours(z, t), theirs(z), rtol=1e-3)
    alone = [L.ClDiceLoss("multiclass", classes=(c,))(z, t) for c in range(CLASSES)]
    torch.testing.assert_close(ours(z, t), torch.stack(alone).mean())
