"""The losses of `torch.nn.functional`."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

import lossary as L
from parity.samples import CLASSES, IGNORED, WEIGHTS, distributions, images, masks, numbers, rows, same, with_ignored

REDUCTIONS = ("mean", "sum", "none")


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(
    ("ours", "theirs", "options"),
    [
        (L.L1Loss(), F.l1_loss, {}),
        (L.MSELoss(), F.mse_loss, {}),
        (L.SmoothL1Loss(beta=0.4), F.smooth_l1_loss, {"beta": 0.4}),
        (L.SmoothL1Loss(beta=0), F.smooth_l1_loss, {"beta": 0.0}),
        (L.HuberLoss(delta=1.7), F.huber_loss, {"delta": 1.7}),
    ],
    ids=lambda value: repr(value) if isinstance(value, L.Loss) else "",
)
def test_regression(ours, theirs, options, reduction):
    x, y = numbers()
    same(lambda x: ours.replace(reduction=reduction)(x, y), lambda x: theirs(x, y, reduction=reduction, **options), x)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("draw", [rows, images])
def test_cross_entropy(draw, reduction, weights, smoothing):
    """With `weight`, the mean of torch is the weighted one."""
    z, t = draw()
    t = with_ignored(t)
    ours = L.CrossEntropyLoss(
        ignore_index=IGNORED,
        class_weight=weights,
        label_smoothing=smoothing,
        reduction="weighted_mean" if weights and reduction == "mean" else reduction,
    )
    weight = None if weights is None else torch.tensor(weights, dtype=torch.float64)
    options = {"weight": weight, "reduction": reduction, "label_smoothing": smoothing, "ignore_index": IGNORED}
    same(lambda z: ours(z, t), lambda z: F.cross_entropy(z, t, **options), z)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_cross_entropy_of_distributions(weights, smoothing):
    """With distributions torch divides by the number of places, weights or not."""
    z, t = distributions()
    weight = None if weights is None else torch.tensor(weights, dtype=torch.float64)
    ours = L.CrossEntropyLoss(class_weight=weights, label_smoothing=smoothing)
    same(lambda z: ours(z, t), lambda z: F.cross_entropy(z, t, weight=weight, label_smoothing=smoothing), z)


def test_cross_entropy_with_nothing_left():
    """torch divides 0 by 0; ours is 0 with a zero gradient, or NaN if asked."""
    z, t = rows()
    ignored = torch.full_like(t, IGNORED)
    assert F.cross_entropy(z, ignored, ignore_index=IGNORED).isnan()
    assert L.CrossEntropyLoss(ignore_index=IGNORED)(z, ignored) == 0
    assert L.CrossEntropyLoss(ignore_index=IGNORED, empty="nan")(z, ignored).isnan()


def test_cross_entropy_smoothed_at_an_impossible_class():
    """A logit of -inf makes torch's smoothed loss infinite; ours gives that class no share of the smoothing."""
    z, t = torch.tensor([[2.0, 1.0, -math.inf]], dtype=torch.float64), torch.tensor([0])
    assert F.cross_entropy(z, t, label_smoothing=0.1).isinf()
    assert L.CrossEntropyLoss(label_smoothing=0.1)(z, t).isfinite()


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("pos_weight", [None, 2.5])
def test_bce(pos_weight, reduction):
    z, hard, soft = masks()
    weight = torch.rand(z.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    ours = L.BCELoss(pos_weight=pos_weight, reduction=reduction)
    options = {"reduction": reduction, "pos_weight": None if pos_weight is None else torch.tensor(pos_weight)}
    theirs = F.binary_cross_entropy_with_logits
    same(lambda z: ours(z, hard.long()), lambda z: theirs(z, hard, **options), z)
    same(lambda z: ours(z, soft), lambda z: theirs(z, soft, **options), z)
    same(lambda z: ours(z, soft, sample_weight=weight), lambda z: theirs(z, soft, weight, **options), z)


def test_bce_of_several_labels():
    z, _ = rows()
    t = (z.flip(0) > 0).double()
    ours = L.BCELoss("multilabel", pos_weight=WEIGHTS)
    pos_weight = torch.tensor(WEIGHTS, dtype=torch.float64)
    same(lambda z: ours(z, t), lambda z: F.binary_cross_entropy_with_logits(z, t, pos_weight=pos_weight), z)


def test_bce_of_probabilities():
    z, hard, soft = masks()
    p = torch.sigmoid(z)
    for t in (hard, soft):
        same(lambda p, t=t: L.BCELoss(from_logits=False)(p, t), lambda p, t=t: F.binary_cross_entropy(p, t), p)


@pytest.mark.parametrize("log_target", [False, True])
def test_kl(log_target):
    z, t = distributions()
    target, form = (t.log(), "log_probs") if log_target else (t, "probs")
    log_p = torch.log_softmax(z, 1)
    ours = L.KLDivLoss(prediction_form="log_probs", target_form=form)
    same(lambda x: ours(x, target), lambda x: F.kl_div(x, target, reduction="batchmean", log_target=log_target), log_p)


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides:UserWarning")  # torch says it is not a divergence
def test_kl_mean_of_torch_divides_by_the_classes_too():
    z, t = distributions()
    same(lambda z: L.KLDivLoss()(z, t) / CLASSES, lambda z: F.kl_div(torch.log_softmax(z, 1), t, reduction="mean"), z)


@pytest.mark.parametrize("power", [1, 2])
def test_multiclass_hinge(power):
    """torch divides by the number of classes."""
    z, t = rows()
    ours = L.HingeLoss("multiclass", power=power, multiclass="weston-watkins")
    same(lambda z: ours(z, t) / CLASSES, lambda z: F.multi_margin_loss(z, t, p=power), z)


def test_binary_hinge():
    """`hinge_embedding_loss` is a hinge of distances: for label -1 the hinge of its margin."""
    z, _, _ = masks()
    negative = -torch.ones_like(z)
    same(lambda z: L.HingeLoss("binary")(z, torch.ones_like(z)), lambda z: F.hinge_embedding_loss(z, negative), z)


def test_focal_of_gamma_0_is_cross_entropy():
    z, t = images()
    same(lambda z: L.FocalLoss("multiclass", gamma=0)(z, t), lambda z: F.cross_entropy(z, t), z)


@pytest.mark.parametrize("full", [False, True])
def test_poisson_likelihood(full):
    x, y = numbers()
    count, rate = y.abs(), x.abs()
    ours, theirs = L.PoissonNLLLoss, F.poisson_nll_loss
    same(lambda x: ours(full=full)(x, count), lambda x: theirs(x, count, full=full), x)
    options = {"log_input": False, "full": full}
    same(lambda x: ours(**options)(x, count), lambda x: theirs(x, count, eps=0, **options), rate)


@pytest.mark.parametrize("full", [False, True])
def test_gaussian_likelihood(full):
    """Where the variance is below the floor too: the same value, and the gradient at the floor."""
    (x, y), floor = numbers(), 0.5
    ours, theirs = L.GaussianNLLLoss(full=full, floor=floor), F.gaussian_nll_loss
    variance = (x.flip(0) - 1).clamp(min=0)
    same(lambda x: ours(x, y, variance=variance), lambda x: theirs(x, y, variance, full=full, eps=floor), x)
    same(lambda v: ours(x, y, variance=v), lambda v: theirs(x, y, v, full=full, eps=floor), variance)


@pytest.mark.parametrize("p", [1, 1.5, 2, math.inf])
def test_norms(p):
    x, y = numbers()
    theirs = torch.linalg.vector_norm
    same(lambda x: L.NormLoss(p=p)(x, y), lambda x: theirs(x - y, ord=p, dim=1).mean(), x)


def test_logit_adjustment_and_entropy():
    z, t = rows()
    prior = torch.tensor(WEIGHTS, dtype=torch.float64).log()
    same(lambda z: L.LogitAdjustedLoss(counts=WEIGHTS, tau=1.5)(z, t), lambda z: F.cross_entropy(z + 1.5 * prior, t), z)
    entropy = torch.distributions.Categorical
    same(lambda z: L.EntropyLoss()(z, None), lambda z: entropy(logits=z).entropy().mean(), z)


def test_distillation():
    student, _ = rows()
    teacher, t = student.flip(0), 3.0

    def theirs(s):
        return t**2 * F.kl_div(F.log_softmax(s / t, 1), F.softmax(teacher / t, 1), reduction="batchmean")

    same(lambda s: L.DistillationLoss(temperature=t)(s, teacher), theirs, student)


@pytest.mark.parametrize("classes", [16, 17, 100])
def test_many_classes(classes):
    """Rows of few and of many classes take two ways."""
    z = torch.randn(30, classes, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    t = torch.arange(30) % classes
    same(lambda z: L.CrossEntropyLoss()(z, t), lambda z: F.cross_entropy(z, t), z)
