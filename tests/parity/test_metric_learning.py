"""The losses of pytorch-metric-learning, whose prototypes are the columns of a parameter of its own."""

from __future__ import annotations

import math

import pytest
import torch

import lossary as L
from parity.samples import same

losses = pytest.importorskip("pytorch_metric_learning.losses", reason="it is installed in .venv-peers")
distances = pytest.importorskip("pytorch_metric_learning.distances")
miners = pytest.importorskip("pytorch_metric_learning.miners")
reducers = pytest.importorskip("pytorch_metric_learning.reducers")

EVERY = {"reducer": reducers.MeanReducer()}
"""Its default for many losses is the mean of those that are not 0."""

EQUAL, UNEQUAL = torch.arange(12) % 4, torch.tensor([0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 3, 4])
"""Labels that occur equally often, and labels that do not, two of them only once."""


def features(scale: float = 1.0) -> torch.Tensor:
    return scale * torch.randn(12, 5, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def prototypes(classes: int = 4) -> torch.Tensor:
    return 2 * torch.randn(classes, 5, generator=torch.Generator().manual_seed(4), dtype=torch.float64)


def lengths(power: int) -> object:
    """Distances, or their squares, of features as they are."""
    return distances.LpDistance(normalize_embeddings=False, power=power)


# --- a prototype per class --------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings(
    "ignore:__array_wrap__ must accept:DeprecationWarning"
)  # their L-Softmax hands SciPy tensors
@pytest.mark.parametrize(
    ("ours", "theirs", "options"),
    [
        (L.ArcFaceLoss(monotone=True), "ArcFaceLoss", {"margin": math.degrees(0.5)}),
        (L.ArcFaceLoss(margin=1.5, scale=4, monotone=True), "ArcFaceLoss", {"margin": math.degrees(1.5), "scale": 4}),
        (L.CosFaceLoss(), "CosFaceLoss", {}),
        (L.CosFaceLoss(margin=0.1, scale=3), "CosFaceLoss", {"margin": 0.1, "scale": 3}),
        *(
            (cls(margin=m), cls.__name__, {"margin": m})
            for cls in (L.SphereFaceLoss, L.LargeMarginSoftmaxLoss)
            for m in (1, 2, 3, 4, 5)
        ),
    ],
    ids=lambda value: repr(value) if isinstance(value, L.Loss) else "",
)
def test_angular_margins(ours, theirs, options):
    """Values, and gradients of features and prototypes."""
    x, w = features(), prototypes()
    made = getattr(losses, theirs)(num_classes=4, embedding_size=5, **options)

    def call(x, w):
        made.W = torch.nn.Parameter(w.detach().T)  # the gradient of the features; that of the prototypes is below
        return made(x, EQUAL)

    same(lambda x: ours(x, EQUAL, prototypes=w), lambda x: call(x, w), x, rtol=1e-6, atol=1e-7)
    leaf = w.clone().requires_grad_()
    ours(x, EQUAL, prototypes=leaf).backward()
    call(x, w).backward()
    torch.testing.assert_close(leaf.grad, made.W.grad.T, rtol=1e-6, atol=1e-7)


# --- pairs ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [0.07, 0.5])
def test_supcon(temperature):
    ours, theirs = L.SupConLoss(temperature=temperature), losses.SupConLoss(temperature=temperature)
    for labels in (EQUAL, UNEQUAL):  # lone features cost 0 there and are left out of the mean as such
        same(lambda x, y=labels: ours(x, y), lambda x, y=labels: theirs(x, y), features())


@pytest.mark.parametrize("temperature", [0.07, 0.5])
def test_ntxent(temperature):
    """The mean over pairs is that over anchors, weighed by how many positives each has."""
    ours, theirs = L.InfoNCELoss(temperature=temperature), losses.NTXentLoss(temperature=temperature)
    same(lambda x: ours(x, EQUAL), lambda x: theirs(x, EQUAL), features())
    positives = (UNEQUAL[:, None] == UNEQUAL).sum(1) - 1.0
    weighted = ours.replace(reduction="weighted_mean")
    same(lambda x: weighted(x, UNEQUAL, sample_weight=positives), lambda x: theirs(x, UNEQUAL), features())


@pytest.mark.parametrize(("margin", "scale"), [(0.4, 80), (0.25, 2)])
def test_circle(margin, scale):
    ours, theirs = L.CircleLoss(margin=margin, scale=scale), losses.CircleLoss(m=margin, gamma=scale, **EVERY)
    same(lambda x: ours(x, EQUAL), lambda x: theirs(x, EQUAL), features())
    lone = torch.tensor(10 / 12)  # the mean over everything counts the two lone features
    same(lambda x: lone * ours(x, UNEQUAL), lambda x: theirs(x, UNEQUAL), features())


@pytest.mark.parametrize("squared", [True, False])
def test_all_triplets(squared):
    """The mean over triplets is that over anchors, weighed by how many each is in."""
    ours = L.TripletLoss(margin=1.0, mining="all", squared=squared)
    theirs = losses.TripletMarginLoss(margin=1.0, distance=lengths(2 if squared else 1), **EVERY)
    same(lambda x: ours(x, EQUAL), lambda x: theirs(x, EQUAL), features())
    positives = (UNEQUAL[:, None] == UNEQUAL).sum(1) - 1.0
    triplets = positives * (11 - positives)
    weighted = ours.replace(reduction="weighted_mean")
    same(lambda x: weighted(x, UNEQUAL, sample_weight=triplets), lambda x: theirs(x, UNEQUAL), features())


@pytest.mark.parametrize("squared", [True, False])
def test_hard_triplets(squared):
    ours = L.TripletLoss(margin=1.0, mining="hard", squared=squared)
    distance = lengths(2 if squared else 1)
    theirs, mine = (
        losses.TripletMarginLoss(margin=1.0, distance=distance, **EVERY),
        miners.BatchHardMiner(distance=distance),
    )
    for labels in (EQUAL, UNEQUAL):
        same(lambda x, y=labels: ours(x, y), lambda x, y=labels: theirs(x, y, mine(x.detach(), y)), features())


def test_contrastive_pairs():
    """Theirs has the distance where the paper has half its square, and adds the means over both kinds of pairs."""
    x = features(0.5)
    positive = L.ContrastiveLoss()(x, torch.zeros(12, dtype=torch.int64))
    squares = losses.ContrastiveLoss(distance=lengths(2), **EVERY)(x, torch.zeros(12, dtype=torch.int64))
    torch.testing.assert_close(positive, squares / 2)
    d = torch.cdist(x, x)
    same_class, pairs = EQUAL[:, None] == EQUAL, ~torch.eye(12, dtype=torch.bool)
    expected = d[same_class & pairs].mean() + (3 - d[~same_class]).clamp(min=0).mean()
    theirs = losses.ContrastiveLoss(neg_margin=3, distance=lengths(1), **EVERY)(x, EQUAL)
    torch.testing.assert_close(theirs, expected)
    paper = torch.where(same_class, d**2, (3 - d).clamp(min=0) ** 2)[pairs].mean() / 2
    torch.testing.assert_close(L.ContrastiveLoss(margin=3)(x, EQUAL), paper)
