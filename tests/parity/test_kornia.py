"""The losses of kornia."""

from __future__ import annotations

import pytest
import torch

import lossary as L
from parity.samples import CLASSES, IGNORED, WEIGHTS, images, masks, numbers, same, with_ignored

kornia = pytest.importorskip("kornia.losses", reason="kornia is in .venv-peers: make parity")


@pytest.mark.parametrize("gamma", [0.0, 2.0])
def test_focal_averages_over_classes_too(gamma):
    z, t = images()
    ours = L.FocalLoss("multiclass", gamma=gamma)
    same(
        lambda z: ours(z, t) / CLASSES, lambda z: kornia.focal_loss(z, t, alpha=None, gamma=gamma, reduction="mean"), z
    )


def test_focal_alpha_is_a_weight_of_all_but_class_0():
    z, t = images()
    ours = L.FocalLoss("multiclass", alpha=(0.75, 0.25, 0.25, 0.25))
    same(lambda z: ours(z, t) / CLASSES, lambda z: kornia.focal_loss(z, t, alpha=0.25, reduction="mean"), z)


def test_focal_divides_by_ignored_places_too():
    z, t = images()
    t = with_ignored(t)
    factor = (t != IGNORED).double().mean() / CLASSES
    ours = L.FocalLoss("multiclass", ignore_index=IGNORED)
    theirs = {"alpha": None, "reduction": "mean", "ignore_index": IGNORED}
    same(lambda z: ours(z, t) * factor, lambda z: kornia.focal_loss(z, t, **theirs), z)


@pytest.mark.parametrize("alpha", [None, 0.25])
def test_binary_focal(alpha):
    """Soft targets too: both are the expectation over the target."""
    z, hard, soft = masks()
    ours, theirs = L.FocalLoss("binary", alpha=alpha), kornia.binary_focal_loss_with_logits
    for t in (hard, soft):
        same(lambda z, t=t: ours(z, t), lambda z, t=t: theirs(z, t, alpha=alpha, reduction="mean"), z)


@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("ignored", [False, True])
def test_macro_dice(ignored, weights):
    """Per image, classes present, weighted mean over them; its default, "micro", joins the classes first."""
    z, t = images()
    t = with_ignored(t) if ignored else t
    options = {"classes": "present", "smooth": 0, "ignore_index": IGNORED if ignored else None}
    ours = L.DiceLoss("multiclass", class_weight=weights, reduction="weighted_mean", **options)
    weight = None if weights is None else torch.tensor(weights, dtype=torch.float64)
    theirs = {"average": "macro", "weight": weight, "ignore_index": options["ignore_index"]}
    same(lambda z: ours(z, t), lambda z: kornia.dice_loss(z, t, **theirs), z)


def test_micro_dice_is_no_dice():
    """Over all classes of a softmax, |X| + |Y| is twice the number of places: what remains is the mean of 1 - p_t."""
    z, t = images()
    p = torch.softmax(z, 1).gather(1, t.unsqueeze(1))
    torch.testing.assert_close(kornia.dice_loss(z, t), 1 - p.mean())


def test_tversky():
    z, t = images()
    ours = L.TverskyLoss("multiclass", fp_weight=0.3, fn_weight=0.7, classes="present", smooth=0)
    same(lambda z: ours(z, t), lambda z: kornia.tversky_loss(z, t, alpha=0.3, beta=0.7), z)


def test_lovasz():
    """Per image, all classes. Before 0.9 it sorted class numbers in place of the foreground."""
    z, t = images()
    ours = L.LovaszSoftmaxLoss(per="image", classes="all")
    same(lambda z: ours(z, t), lambda z: kornia.lovasz_softmax_loss(z, t), z)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (L.GeneralRobustLoss(), "charbonnier_loss"),
        (L.CauchyLoss(c=2**0.5), "cauchy_loss"),
        (L.WelschLoss(c=2**0.5), "welsch_loss"),
        (L.GemanMcClureLoss(c=2), "geman_mcclure_loss"),
    ],
    ids=["charbonnier", "cauchy", "welsch", "geman-mcclure"],
)
def test_robust(ours, theirs):
    x, y = numbers()
    same(lambda x: ours(x, y), lambda x: getattr(kornia, theirs)(x, y, reduction="mean"), x)


@pytest.mark.parametrize("erosions", [1, 3, 10])
def test_hausdorff_by_erosion(erosions):
    """Of probabilities, over all classes."""
    z, t = images()
    ours = L.HausdorffErosionLoss("multiclass", classes="all", erosion="mean", erosions=erosions)
    theirs = kornia.HausdorffERLoss(k=erosions).double()
    same(lambda z: ours(3 * z, t), lambda z: theirs(torch.softmax(3 * z, 1), t.unsqueeze(1)), z, rtol=1e-6)


def test_hausdorff_by_erosion_of_volumes():
    z, t = images()
    z, t = torch.stack([z, z.flip(-1), -z], 2), torch.stack([t, t, t.flip(-1)], 1)
    ours = L.HausdorffErosionLoss("multiclass", classes="all", erosion="mean")
    theirs = kornia.HausdorffERLoss3D().double()
    same(lambda z: ours(3 * z, t), lambda z: theirs(torch.softmax(3 * z, 1), t.unsqueeze(1)), z, rtol=1e-6)


@pytest.mark.parametrize("ours", [L.KLDivLoss, L.JSDivLoss])
def test_divergences_of_maps(ours):
    """Each map (H, W) is a distribution."""
    z, _ = images()
    p, t = (torch.softmax(x.flatten(2), -1) for x in (z, z.flip(0)))
    theirs = {L.KLDivLoss: kornia.kl_div_loss_2d, L.JSDivLoss: kornia.js_div_loss_2d}[ours]
    loss = ours(prediction_form="probs", class_axis=-1)
    same(lambda p: loss(p, t), lambda p: theirs(p.reshape(z.shape), t.reshape(z.shape)), p)
