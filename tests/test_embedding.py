"""Losses of features and labels: what they generalise, where they are singular, and which features count."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import lossary as L
from frameworks import RUN, tensors, to_numpy
from lossary.checker.draws import draw
from lossary.checker.engines import Batch
from lossary.core.families import EmbeddingLoss
from lossary.core.families.embedding import ClassVectorLoss, PairLoss
from lossary.core.loss import Loss

random = np.random.default_rng(0)
x = random.normal(size=(12, 5))
y = random.integers(0, 4, 12)
w = 2 * random.normal(size=(4, 5))
LOSSES = [cls() for cls in L.catalogue() if issubclass(cls, EmbeddingLoss)]
PAIRS = [loss for loss in LOSSES if isinstance(loss, PairLoss)]
VECTORS = [loss for loss in LOSSES if isinstance(loss, ClassVectorLoss)]


def operands(loss: Loss) -> dict[str, Any]:
    return dict.fromkeys((o for o in loss.takes if o not in loss.optional), w)


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


# --- relations --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("loss", "scores"),
    [
        (L.LargeMarginSoftmaxLoss(margin=1), x @ w.T),
        (L.SphereFaceLoss(margin=1), x @ unit(w).T),
        (L.ArcFaceLoss(margin=0, scale=7), 7 * unit(x) @ unit(w).T),
        (L.CosFaceLoss(margin=0, scale=7), 7 * unit(x) @ unit(w).T),
    ],
    ids=repr,
)
def test_without_a_margin_it_is_softmax_cross_entropy(loss: Loss, scores: np.ndarray) -> None:
    found = loss.replace(reduction="none")(x, y, prototypes=w)
    np.testing.assert_allclose(found, L.CrossEntropyLoss(reduction="none")(scores, y), rtol=1e-13)


def test_a_large_annealing_takes_the_margin_away() -> None:
    plain = L.LargeMarginSoftmaxLoss(margin=1)(x, y, prototypes=w)
    for annealing in (1e12, np.array(1e12)):
        assert L.LargeMarginSoftmaxLoss()(x, y, prototypes=w, annealing=annealing) == pytest.approx(plain, rel=1e-9)
    assert L.LargeMarginSoftmaxLoss()(x, y, prototypes=w, annealing=0) == L.LargeMarginSoftmaxLoss()(x, y, prototypes=w)


@pytest.mark.parametrize("margin", [1, 2, 3, 4, 7])
def test_psi_falls_all_the_way(margin: int) -> None:
    """From 1 at θ = 0 to 1 - 2m at π, without a step, along the loss of a feature that turns from its prototype."""
    theta = np.linspace(0, math.pi, 2001)
    turned = np.stack([np.cos(theta), np.sin(theta), 0 * theta], axis=1)
    loss = L.LargeMarginSoftmaxLoss(margin=margin, reduction="none")
    values = loss(turned, np.zeros(2001, int), prototypes=np.eye(3)[[0, 2]])
    psi = -np.log(np.expm1(values))  # of two classes, the other with score 0
    assert psi[0] == pytest.approx(1)
    assert psi[-1] == pytest.approx(1 - 2 * margin)
    assert (np.diff(psi) <= 1e-9).all()
    assert np.abs(np.diff(psi)).max() < 2 * margin * math.pi / 2000


def test_arcface_beyond_pi() -> None:
    """Eq. 3 rewards the worst features; the authors' continuation does not."""
    theta = np.array([math.pi - 0.25, math.pi])
    turned = np.stack([np.cos(theta), np.sin(theta), 0 * theta], axis=1)
    calls = {"prototypes": np.eye(3)[[0, 2]]}
    loss = L.ArcFaceLoss(scale=1, reduction="none")
    paper, authors = (
        loss(turned, np.zeros(2, int), **calls),
        loss.replace(monotone=True)(turned, np.zeros(2, int), **calls),
    )
    assert paper[0] > paper[1]
    assert authors[0] < authors[1]
    assert authors[1] == pytest.approx(math.log1p(math.exp(1 + 0.5 * math.sin(0.5))))


def test_one_positive_each_makes_supcon_infonce() -> None:
    labels = np.repeat(np.arange(6), 2)
    for temperature in (0.01, 0.1, 1.0):
        one, other = (cls(temperature=temperature)(x, labels) for cls in (L.SupConLoss, L.InfoNCELoss))
        assert one == pytest.approx(other, rel=1e-12)
    assert L.SupConLoss()(x, y) > L.InfoNCELoss()(x, y)  # more positives: they compete


def test_two_views_are_rows_of_one_label() -> None:
    views, labels = x.reshape(6, 2, 5), np.repeat(np.arange(6), 2).reshape(6, 2)
    for loss in PAIRS:
        assert loss(views, labels) == pytest.approx(loss(x, labels.ravel()), rel=1e-13)
        assert loss.replace(reduction="none")(views, labels).shape == (6, 2)


def test_infonce_is_cross_entropy_over_the_other_view() -> None:
    """What a loop of SimCLR computes: logits of all others, the target the other view."""
    scores = unit(x) @ unit(x).T / 0.5
    np.fill_diagonal(scores, -np.inf)
    partner = np.arange(12) ^ 1
    expected = L.CrossEntropyLoss()(torch.tensor(scores), torch.tensor(partner))
    assert L.InfoNCELoss(temperature=0.5)(x, np.arange(12) // 2) == pytest.approx(expected.item(), rel=1e-12)


@pytest.mark.parametrize("margin", [0.2, 1.0, 3.0])
def test_all_triplets_are_those_of_torch(margin: float) -> None:
    triplets = [(a, p, n) for a, p, n in itertools.permutations(range(12), 3) if y[a] == y[p] != y[n]]
    a, p, n = (torch.tensor(x[list(column)]) for column in zip(*triplets, strict=True))
    each = F.triplet_margin_loss(a, p, n, margin=margin, eps=0, reduction="none").numpy()
    anchors = np.array([t[0] for t in triplets])
    expected = np.mean([each[anchors == i].mean() for i in set(anchors.tolist())])
    loss = L.TripletLoss(margin=margin, mining="all", squared=False)
    assert loss(x, y) == pytest.approx(expected, rel=1e-10)


def test_mining_finds_ever_harder_triplets() -> None:
    every, semihard, hard = (L.TripletLoss(mining=m, margin=9)(x, y) for m in ("all", "semihard", "hard"))
    assert every < hard
    assert semihard < hard


def test_center_loss_is_half_the_squared_error() -> None:
    expected = 5 / 2 * L.MSELoss()(x, w[y])
    assert L.CenterLoss()(x, y, centers=w) == pytest.approx(expected, rel=1e-13)


def test_contrastive_pairs() -> None:
    pairs = torch.tensor(x.reshape(6, 2, 5))
    labels = torch.tensor([[0, 0], [0, 1], [1, 1], [1, 0], [3, 2], [2, 2]])
    found = torch.vmap(L.ContrastiveLoss(margin=3))(pairs, labels)
    d = (pairs[:, 0] - pairs[:, 1]).norm(dim=1)
    same = labels[:, 0] == labels[:, 1]
    torch.testing.assert_close(found, torch.where(same, d**2, (3 - d).clamp(min=0) ** 2) / 2)


def test_an_angular_loss_and_a_center_loss_add_up() -> None:
    loss = L.LargeMarginSoftmaxLoss(margin=1) + 0.003 * L.CenterLoss()
    expected = L.LargeMarginSoftmaxLoss(margin=1)(x, y, prototypes=w) + 0.003 * L.CenterLoss()(x, y, centers=2 * w)
    assert loss(x, y, prototypes=w, centers=2 * w) == pytest.approx(expected, rel=1e-13)
    assert loss.decomposable
    assert not any(pair.decomposable for pair in PAIRS)


# --- which features count ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", [*PAIRS, L.ContrastiveLoss(lone=False), L.TripletLoss(mining="all")], ids=repr)
def test_anchors_without_positives_count_nowhere(loss: PairLoss) -> None:
    if loss == L.ContrastiveLoss():
        loss = loss.replace(lone=False)  # a pair of two lone features is a pair of the paper
    features, labels = x[:4], np.array([0, 1, 1, 3])
    each = loss.replace(reduction="none")(features, labels)
    assert each[0] == each[3] == 0
    assert loss(features, labels) == pytest.approx((each[1] + each[2]) / 2, rel=1e-13)
    batch = loss.prepare(features, labels, mask=None, sample_weight=None, operands={})
    assert loss.summarize(batch).count == 2
    # as negatives of others they do count
    assert loss(features, labels) != loss(features[1:], labels[1:]) or isinstance(
        loss, (L.ContrastiveLoss, L.TripletLoss)
    )


@pytest.mark.parametrize("framework", RUN)
@pytest.mark.parametrize("loss", [loss for loss in PAIRS if loss != L.ContrastiveLoss()], ids=repr)
def test_no_anchor_is_left(loss: Loss, framework: str) -> None:
    for labels in (np.arange(12), np.zeros(1, int)):
        value, gradient = RUN[framework](loss, Batch(x[: len(labels)], labels), "float32", compiled=True)
        assert value == 0
        assert (gradient == 0).all()


def test_lone_features_push_each_other_away() -> None:
    pair = np.array([[0.0, 0], [0.6, 0]]), np.array([0, 1])
    assert L.ContrastiveLoss()(*pair) == pytest.approx(0.08)
    assert L.ContrastiveLoss(lone=False)(*pair) == 0


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_labels_of_any_width(loss: EmbeddingLoss) -> None:
    expected = loss(x, y, **operands(loss))
    for dtype in ("uint8", "int8", "int16", "int32", "uint16"):
        assert loss(x, y.astype(dtype), **operands(loss)) == expected
    ignored = np.where(np.arange(12) % 3, y, -1).astype(np.int8)
    left_out = loss(x, y, **operands(loss), mask=ignored >= 0)
    assert loss.replace(ignore_index=-1)(x, ignored, **operands(loss)) == pytest.approx(left_out, rel=1e-13)
    flags = y > 1
    assert loss(x, flags, **operands(loss)) == loss(x, flags.astype(int), **operands(loss))


@pytest.mark.parametrize("loss", PAIRS, ids=repr)
def test_names_of_classes_are_free(loss: Loss) -> None:
    assert loss(x, 1000 * y - 7) == loss(x, y)


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_a_number_that_is_none_is_seen(loss: Loss) -> None:
    spoiled = x.copy()
    spoiled[3, 2] = np.nan
    with np.errstate(invalid="ignore"):
        assert np.isnan(loss(spoiled, np.zeros(12, int) + (np.arange(12) > 5), **operands(loss)))


# --- singular points --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("temperature", [0.01, 0.001])
@pytest.mark.parametrize("cls", [L.InfoNCELoss, L.SupConLoss])
def test_a_cold_temperature(cls: type[Loss], temperature: float, dtype: str) -> None:
    """Opposite positives and identical negatives: 2/τ, where exp(1/τ) has no number in float32."""
    batch = Batch(np.array([[1.0, 0], [-1, 0], [1, 0], [-1, 0]]), np.array([0, 0, 1, 1]))
    value, gradient = RUN["torch"](cls(temperature=temperature), batch, dtype)
    assert value.item() == pytest.approx(2 / temperature, rel=1e-6)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("framework", RUN)
@pytest.mark.parametrize("mining", ["all", "semihard", "hard"])
@pytest.mark.parametrize("squared", [True, False])
def test_identical_features(framework: str, mining: str, squared: bool) -> None:
    """A collapsed batch costs the margin exactly, and has no gradient."""
    row = random.normal(size=64).astype("float32") + 100
    batch = Batch(np.tile(row, (16, 1)), np.arange(16) % 4)
    loss = L.TripletLoss(margin=0.25, mining=mining, squared=squared)
    value, gradient = RUN[framework](loss, batch, "float32")
    assert to_numpy(value) == 0.25
    assert (gradient == 0).all()


@pytest.mark.parametrize("framework", ["numpy", *RUN])
def test_near_features_keep_their_distance(framework: str) -> None:
    """In float32, ‖a‖² + ‖b‖² - 2ab of rows this near is rounding error and nothing else."""
    first = random.normal(size=(1, 256)).astype("float32")
    rows = np.concatenate([first, first + np.float32(1e-4)])
    exact = 0.5 * ((rows[1].astype(float) - rows[0]) ** 2).sum()
    batch = Batch(rows, np.zeros(2, int))
    if framework == "numpy":
        value: Any = L.ContrastiveLoss()(batch.prediction, batch.target)
    else:
        value, gradient = RUN[framework](L.ContrastiveLoss(), batch, "float32")
        np.testing.assert_allclose(gradient[0], (rows[0].astype(float) - rows[1]) / 2 * 2, rtol=1e-3)
    assert to_numpy(value) == pytest.approx(exact, rel=1e-5)


def test_a_small_angle_keeps_its_digits() -> None:
    """√(1 - cos²) is 0 in float32 for the angle of 1e-4 here."""
    turned = np.array([[math.cos(1e-4), math.sin(1e-4)]])
    loss, call = L.ArcFaceLoss(scale=1, margin=math.pi / 2), {"prototypes": np.eye(2)}
    value = loss(turned.astype("float32"), np.array([0]), prototypes=np.eye(2, dtype="float32"))
    exact = loss(turned, np.array([0]), **call)
    assert exact == pytest.approx(math.log1p(math.exp(2e-4)), rel=1e-9)
    assert value == pytest.approx(exact, abs=1e-7)


@pytest.mark.parametrize("loss", VECTORS, ids=repr)
def test_prototypes_learn_too(loss: ClassVectorLoss) -> None:
    """The gradient of what is handed in, at ordinary and at singular points."""
    for regime in ("ordinary", "edge"):
        prediction, target, keywords = tensors("torch", draw(loss, regime), "float64")
        vectors = keywords.pop(loss.class_vectors).requires_grad_()

        def call(v: torch.Tensor, given: Any = (prediction, target, keywords)) -> torch.Tensor:
            return loss(given[0], given[1], **given[2], **{loss.class_vectors: v})

        call(vectors).backward()
        assert torch.isfinite(vectors.grad).all()
        if regime == "ordinary":
            torch.autograd.gradcheck(call, (vectors,))


@pytest.mark.parametrize("loss", [*PAIRS, L.TripletLoss(mining="all"), L.TripletLoss(mining="hard")], ids=repr)
def test_no_array_is_larger_than_two_entries_a_pair(loss: Loss) -> None:
    rows, width = 48, 200
    kept = []
    features = torch.randn(rows, width, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):
        loss(features, torch.arange(rows) % 6)
    assert max(kept) <= max(2 * rows * rows, rows * width)


@pytest.mark.parametrize("loss", PAIRS, ids=repr)
def test_no_array_of_jax_is_larger_either(loss: Loss) -> None:
    """Not even inside the program of value and gradient: XLA does not fuse all of it on a CPU."""
    import jax

    rows, width = 48, 200
    features, labels = np.ones((rows, width), "float32"), np.arange(rows) % 6

    def sizes_in(program: Any) -> Any:
        for equation in program.eqns:
            yield from (math.prod(out.aval.shape) for out in equation.outvars)
            for parameter in equation.params.values():
                if hasattr(parameter, "jaxpr") or hasattr(parameter, "eqns"):
                    yield from sizes_in(getattr(parameter, "jaxpr", parameter))

    program = jax.make_jaxpr(jax.value_and_grad(lambda x: loss(x, jax.numpy.asarray(labels))))(features)
    found = list(sizes_in(program.jaxpr))
    assert len(found) > 20
    assert max(found) <= max(2 * rows * rows, rows * width)


# --- the rule of the centres ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("framework", ["numpy", "strict", *RUN])
def test_moved_centers(framework: str) -> None:
    mask = np.arange(12) % 4 > 0
    expected = w.copy()
    for c in range(4):
        rows = x[(y == c) & mask]
        expected[c] -= 0.3 * (w[c] - rows).sum(0) / (1 + len(rows))
    features, labels, keywords = x, y, {"centers": w, "mask": mask}
    if framework != "numpy":
        dtype = "float32" if framework == "jax" else "float64"
        features, labels, keywords = tensors(framework, Batch(x, y, keywords), dtype)
    moved = L.CenterLoss().moved_centers(features, labels, rate=0.3, **keywords)
    assert type(moved) is type(features)
    np.testing.assert_allclose(to_numpy(moved), expected, rtol=1e-5)


def test_ignored_labels_move_no_centre() -> None:
    loss = L.CenterLoss(ignore_index=2)
    moved = loss.moved_centers(x, y, centers=w)
    assert (moved[2] == w[2]).all()
    assert (loss.moved_centers(x, y, centers=w, rate=0) == w).all()
    with pytest.raises(ValueError, match=r"`rate` must be in \[0, 1\]; got 2"):
        loss.moved_centers(x, y, centers=w, rate=2)


# --- sizes that are known late ----------------------------------------------------------------------------------------


def test_unknown_sizes() -> None:
    import tensorflow as tf

    for loss in (L.TripletLoss(), L.TripletLoss(mining="all"), L.SupConLoss(), L.CosFaceLoss()):

        @tf.function(input_signature=[tf.TensorSpec((None, 5), tf.float64), tf.TensorSpec((None,), tf.int64)])
        def run(features: Any, labels: Any, loss: Loss = loss) -> Any:
            keywords = {name: tf.constant(v) for name, v in operands(loss).items()}
            return loss(features, labels, **keywords)

        for rows in (12, 5, 1, 0):
            assert run(x[:rows], y[:rows]).numpy() == pytest.approx(
                float(loss(x[:rows], y[:rows], **operands(loss))), rel=1e-9
            )
