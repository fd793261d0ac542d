"""Sequences: layouts of targets, what is never looked at, impossible targets, other libraries, expected edits."""

from __future__ import annotations

import itertools
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import tensorflow as tf
import torch
import torch.nn.functional as F

import lossary as L
from frameworks import RUN, run_torch, to_numpy
from lossary.checker.engines import Batch
from lossary.core.families import AlignmentLoss

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(4, 6, 5))
TARGET = np.array([[1, 1, 2], [3, 0, 0], [4, 4, 4], [2, 3, 0]])  # 0 is behind the lengths
LENGTHS, TARGET_LENGTHS = np.array([6, 1, 4, 5]), np.array([3, 1, 3, 2])  # the third has no alignment
SIZES = {"lengths": LENGTHS, "target_lengths": TARGET_LENGTHS}
PLACES = np.random.default_rng(1).normal(size=(4, 6, 4, 5))
CASES = [(L.CTCLoss(reduction="none"), LOGITS), (L.RNNTLoss(reduction="none"), PLACES)]
by_loss = pytest.mark.parametrize(("loss", "logits"), CASES, ids=lambda x: repr(x) if isinstance(x, L.Loss) else "")


def joined() -> np.ndarray:
    return np.concatenate([row[:n] for row, n in zip(TARGET, TARGET_LENGTHS, strict=True)])


@by_loss
def test_layouts_of_the_target(loss: AlignmentLoss, logits: np.ndarray) -> None:
    expected = loss(logits, TARGET, **SIZES)
    np.testing.assert_array_equal(loss(logits, joined(), **SIZES), expected)
    np.testing.assert_array_equal(loss(logits, joined().astype(np.uint8), **SIZES), expected)
    padded = np.where(np.arange(3) < TARGET_LENGTHS[:, None], TARGET, -100)
    np.testing.assert_array_equal(loss.replace(ignore_index=-100)(logits, padded, lengths=LENGTHS), expected)
    np.testing.assert_array_equal(loss(logits, padded, **SIZES), expected)
    for framework in RUN:
        value, _ = RUN[framework](loss, Batch(logits, joined(), SIZES), "float32")
        np.testing.assert_allclose(to_numpy(value), expected, rtol=1e-5)


def test_targets_in_one_row_while_values_are_unknown() -> None:
    expected = L.CTCLoss()(LOGITS, TARGET, **SIZES)
    compiled = torch.compile(L.CTCLoss(), fullgraph=True, backend="aot_eager")
    sizes = {name: torch.tensor(x) for name, x in SIZES.items()}
    assert compiled(torch.tensor(LOGITS), torch.tensor(joined()), **sizes).item() == pytest.approx(expected)
    value = jax.jit(lambda x, y, a, b: L.CTCLoss()(x, y, lengths=a, target_lengths=b))(
        LOGITS.astype("float32"), joined(), LENGTHS, TARGET_LENGTHS
    )
    assert value == pytest.approx(expected, rel=1e-5)
    cut = compiled(torch.tensor(LOGITS), torch.tensor(joined()[:-1]), **sizes)  # the last row reads beyond the end
    assert cut.item() == pytest.approx(L.CTCLoss()(LOGITS, TARGET, **SIZES, mask=np.arange(4) < 3))


def test_sizes_that_tensorflow_does_not_know() -> None:
    """As Keras traces a model that takes images of any width."""
    spec = [tf.TensorSpec(shape, dtype) for shape, dtype in (((None, None, 5), tf.float64), ((None, None), tf.int64))]
    loss = L.CTCLoss(blank=-1, ignore_index=0)
    run = tf.function(lambda logits, target: loss(logits, target), input_signature=spec)
    logits, target = tf.constant(LOGITS), tf.constant([[1, 1, 2], [3, 0, 0], [2, 2, 2], [2, 3, 0]], tf.int64)
    expected = loss(LOGITS, target.numpy())
    assert run(logits, target).numpy() == pytest.approx(expected)
    assert run(logits[:, :4], target[:, :2]).numpy() > 0


@by_loss
@pytest.mark.parametrize("framework", RUN)
def test_what_lies_behind_a_length_is_never_looked_at(loss: AlignmentLoss, logits: np.ndarray, framework: str) -> None:
    spoiled, garbage = logits.copy(), TARGET.copy()
    for n, (frames, labels) in enumerate(zip(LENGTHS, TARGET_LENGTHS, strict=True)):
        spoiled[n, frames:] = np.nan
        garbage[n, labels:] = 99
    value, gradient = RUN[framework](loss, Batch(spoiled, garbage, SIZES), "float32")
    expected, clean = RUN[framework](loss, Batch(logits, TARGET, SIZES), "float32")
    np.testing.assert_array_equal(to_numpy(value), to_numpy(expected))
    np.testing.assert_array_equal(gradient, clean)


@pytest.mark.parametrize("framework", RUN)
def test_impossible_targets_are_left_out(framework: str) -> None:
    loss = L.CTCLoss()
    value, gradient = RUN[framework](loss, Batch(LOGITS, TARGET, SIZES), "float32")
    possible = [0, 1, 3]
    fewer = {name: x[possible] for name, x in SIZES.items()}
    assert to_numpy(value) == pytest.approx(loss(LOGITS[possible], TARGET[possible], **fewer), rel=1e-5)
    assert (gradient[2] == 0).all()
    assert loss.infeasible(LOGITS, TARGET, **SIZES).tolist() == [False, False, True, False]
    assert loss.infeasible(LOGITS, TARGET, mask=np.arange(4) != 2, **SIZES).sum() == 0
    alone = Batch(LOGITS[2:3], TARGET[2:3], {name: x[2:3] for name, x in SIZES.items()})
    value, gradient = RUN[framework](loss, alone, "float32")
    assert to_numpy(value) == 0
    assert (gradient == 0).all()
    assert math.isnan(loss.replace(empty="nan")(alone.prediction, alone.target, **alone.keywords))


@pytest.mark.parametrize("framework", RUN)
@pytest.mark.parametrize("loss", [L.CTCLoss(reduction="none"), L.RNNTLoss(reduction="none")], ids=repr)
def test_a_class_of_score_minus_infinity(loss: AlignmentLoss, framework: str) -> None:
    """A label that the scores rule out makes its target impossible; ruled out elsewhere, it leaves no trace."""
    logits = np.zeros((2, 3, 4) if loss.frame_axes == 1 else (2, 3, 2, 4))
    logits[..., 3] = -np.inf
    value, gradient = RUN[framework](loss, Batch(logits, np.array([[1], [3]])), "float32")
    without = loss(logits[..., :3], np.array([[1], [1]]))
    np.testing.assert_allclose(to_numpy(value), [without[0], 0], rtol=1e-6)
    assert np.isfinite(gradient).all()
    assert (gradient[1] == 0).all()


@by_loss
@pytest.mark.parametrize("framework", ["numpy", *RUN])
def test_without_frames(loss: AlignmentLoss, logits: np.ndarray, framework: str) -> None:
    """Nothing is what no frame says: an empty target costs 0 and counts, any other is impossible."""
    sizes = {"lengths": np.array([0, 0, 6, 6]), "target_lengths": np.array([0, 1, 0, 2])}
    for frames in (6, 0):
        batch = Batch(logits[:, :frames], TARGET, {**sizes, "lengths": np.minimum(sizes["lengths"], frames)})
        assert loss.infeasible(batch.prediction, TARGET, **batch.keywords).tolist() == [False, True, False, frames == 0]
        if framework == "numpy":
            value = loss(batch.prediction, batch.target, **batch.keywords)
        else:
            value, gradient = RUN[framework](loss, batch, "float32")
            assert (gradient[:2] == 0).all()
        assert to_numpy(value)[:2].tolist() == [0, 0]
        assert (to_numpy(value)[2] > 0) == (frames > 0)


@pytest.mark.parametrize("framework", RUN)
def test_a_model_that_is_no_longer_finite_is_not_hidden(framework: str) -> None:
    spoiled = LOGITS.copy()
    spoiled[0, 0, 0] = np.nan
    value, _ = RUN[framework](L.CTCLoss(), Batch(spoiled, TARGET, SIZES), "float32")
    assert np.isnan(to_numpy(value))


@by_loss
def test_labels_that_are_none_do_not_count_in_compiled_code(loss: AlignmentLoss, logits: np.ndarray) -> None:
    """Where values are unknown nothing can be raised; nor is foreign memory read."""
    bad = TARGET.copy()
    bad[0, 1], bad[3, 0] = 77, 0  # no class, and the blank
    sizes = {name: torch.tensor(x) for name, x in SIZES.items()}
    sizes["lengths"] = torch.tensor([6, 99, 4, 5])
    compiled = torch.compile(loss.replace(reduction="mean"), fullgraph=True, backend="aot_eager")
    mask = np.array([False, False, True, False])
    expected = loss.replace(reduction="mean")(logits, TARGET, **SIZES, mask=mask)
    assert compiled(torch.tensor(logits), torch.tensor(bad), **sizes).item() == pytest.approx(expected)


def test_half_of_the_mean_of_torch() -> None:
    """torch's "mean" divides each loss by the length of its target, and counts impossible targets."""
    logits, target = torch.tensor(LOGITS), torch.tensor(TARGET)
    lengths, sizes = torch.tensor(LENGTHS), torch.tensor(TARGET_LENGTHS)
    log_p = logits.log_softmax(2).transpose(0, 1)
    call = {"lengths": lengths, "target_lengths": sizes}
    theirs = F.ctc_loss(log_p, target, lengths, sizes, zero_infinity=True)
    ours = L.CTCLoss()(logits, target, sample_weight=1 / sizes, normalizer=4, **call)
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(
        L.CTCLoss(reduction="none")(logits, target, **call),
        F.ctc_loss(log_p, target, lengths, sizes, zero_infinity=True, reduction="none"),
    )
    tokens = L.CTCLoss(normalizer="tokens")(logits, target, **call)
    total = L.CTCLoss(reduction="sum")(logits, target, **call)
    torch.testing.assert_close(tokens, total / (3 + 1 + 2))


@by_loss
def test_a_mean_over_tokens_with_and_without_weights(loss: AlignmentLoss, logits: np.ndarray) -> None:
    tokens, each = loss.replace(normalizer="tokens"), loss(logits, TARGET, **SIZES)
    possible = np.logical_not(loss.infeasible(logits, TARGET, **SIZES))
    weight = np.array([0.5, 2.0, 3.0, 1.0])
    count = TARGET_LENGTHS * possible
    for reduction, given, mass in (
        ("mean", None, count),
        ("mean", weight, count),
        ("weighted_mean", None, count),
        ("weighted_mean", weight, weight * count),
    ):
        expected = (each if given is None else each * given).sum() / mass.sum()
        value = tokens.replace(reduction=reduction)(logits, TARGET, **SIZES, sample_weight=given)
        assert value == pytest.approx(expected, rel=1e-12)


def test_ctc_of_tensorflow() -> None:
    logits, target = tf.constant(LOGITS[:2]), tf.constant(TARGET[:2], tf.int32)
    lengths, sizes = (tf.constant(x[:2], tf.int32) for x in (LENGTHS, TARGET_LENGTHS))
    theirs = tf.nn.ctc_loss(target, tf.cast(logits, tf.float32), sizes, lengths, False, blank_index=0)
    ours = L.CTCLoss(reduction="none")(logits, target, lengths=lengths, target_lengths=sizes)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def test_the_portable_recursion_is_torchs() -> None:
    """Many frames, float32: value and gradient of the two, and of the second derivative's path."""
    from lossary.array.alignments import ctc_forward

    rng = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(3, 60, 7, generator=rng)
    target = torch.randint(1, 7, (3, 20), generator=rng)
    lengths, sizes = torch.tensor([60, 45, 40]), torch.tensor([20, 20, 11])
    leaf = logits.clone().requires_grad_()
    value = L.CTCLoss(reduction="sum")(leaf, target, lengths=lengths, target_lengths=sizes)
    value.backward()
    other = logits.double().requires_grad_()
    portable = -ctc_forward(other, target, lengths, sizes, 0).sum()
    portable.backward()
    torch.testing.assert_close(value.double(), portable, rtol=1e-5, atol=0)
    torch.testing.assert_close(leaf.grad.double(), other.grad, rtol=1e-3, atol=1e-4)


def test_where_alignments_are_certain() -> None:
    """One frame a label: CTC is the cross entropy of the frames. One frame in all: the transducer is that of steps."""
    logits, labels = LOGITS[:, :3], np.array([[1, 2, 3], [4, 1, 2], [2, 1, 2], [3, 4, 1]])
    frames = L.CrossEntropyLoss(class_axis=-1, reduction="none")(logits, labels)
    np.testing.assert_allclose(L.CTCLoss(reduction="none")(logits, labels), frames.sum(1), rtol=1e-12)
    steps = np.concatenate([labels, np.zeros((4, 1), int)], axis=1)
    each = L.CrossEntropyLoss(class_axis=-1, reduction="none")(PLACES[:, 0], steps)
    np.testing.assert_allclose(L.RNNTLoss(reduction="none")(PLACES[:, :1], labels), each.sum(1), rtol=1e-12)


# --- expected edits ---------------------------------------------------------------------------------------------------

TRUTH = [1, 2]


def readings() -> list[tuple[int, ...]]:
    """Everything that two frames of three classes can say, blanks dropped."""
    return sorted({tuple(y) for n in range(3) for y in itertools.product((1, 2), repeat=n)})


def test_gradient_of_the_expectation_over_all_readings() -> None:
    """With every reading as a hypothesis the loss is the expectation itself, and so is its gradient."""
    from lossary import text

    every = [y for y in readings() if not (len(y) == 2 and y[0] == y[1])]  # which needs a third frame
    distances = torch.tensor([text.edit_distance(list(y) or "", TRUTH, normalize=False) for y in every]).double()
    logits = torch.tensor(RNG.normal(size=(2, 3)))

    def expectation(x: torch.Tensor) -> torch.Tensor:
        """Σ over paths p(path)·d(what it says)."""
        p, total = torch.softmax(x, 1), torch.zeros((), dtype=torch.float64)
        for path in itertools.product(range(3), repeat=2):
            said = tuple(c for c, _ in itertools.groupby(path) if c)
            total = total + p[0, path[0]] * p[1, path[1]] * distances[every.index(said)]
        return total

    def ours(x: torch.Tensor, subtract_mean: bool) -> torch.Tensor:
        target = torch.tensor([[*y, 0, 0][:2] for y in every])
        sizes = torch.tensor([len(y) for y in every])
        log_p = -L.CTCLoss(reduction="none")(x.expand(len(every), 2, 3), target, target_lengths=sizes)
        return L.ExpectedEditDistanceLoss(subtract_mean=subtract_mean)(log_p[None], distances[None])

    assert ours(logits, False).item() == pytest.approx(expectation(logits).item(), rel=1e-12)
    assert ours(logits, True).item() == pytest.approx(expectation(logits).item() - distances.mean().item(), rel=1e-12)
    exact = torch.func.grad(expectation)(logits)
    for subtract_mean in (False, True):
        leaf = logits.clone().requires_grad_()
        ours(leaf, subtract_mean).backward()
        torch.testing.assert_close(leaf.grad, exact, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("framework", ["numpy", *RUN])
def test_distances_are_counted_from_labels(framework: str) -> None:
    scores, truth = RNG.normal(size=(2, 3)), np.array([[1, 2, 3], [4, 5, 0]])
    operands = {
        "hypotheses": np.array([[[1, 2, 3], [1, 3, 9], [9, 9, 9]], [[4, 5, 6], [5, 4, 9], [1, 9, 9]]]),
        "hypothesis_lengths": np.array([[3, 2, 0], [3, 2, 1]]),
        "target_lengths": np.array([3, 2]),
    }
    expected = L.ExpectedEditDistanceLoss()(scores, np.array([[0, 1, 3], [1, 2, 2]]))
    batch = Batch(scores, truth, operands)
    if framework == "numpy":
        value = L.ExpectedEditDistanceLoss()(scores, truth, **operands)
    else:
        value, _ = RUN[framework](L.ExpectedEditDistanceLoss(), batch, "float32")
    assert to_numpy(value) == pytest.approx(expected, rel=1e-5)
    compiled = jax.jit(L.ExpectedEditDistanceLoss())
    with pytest.raises(TypeError, match="on the host, which compiled code cannot do; pass them as the target"):
        compiled(scores.astype("float32"), truth, **operands)


@pytest.mark.parametrize("framework", RUN)
def test_missing_hypotheses_leave_no_trace(framework: str) -> None:
    scores = np.array([[0.0, 1.0, -np.inf], [2.0, -np.inf, np.nan], [-np.inf] * 3])
    scores[1, 2] = -np.inf
    distances = np.array([[1.0, 3.0, 99.0], [2.0, 99.0, 99.0], [5.0, 6.0, 7.0]])
    value, gradient = RUN[framework](L.ExpectedEditDistanceLoss(reduction="none"), Batch(scores, distances), "float32")
    expected = L.ExpectedEditDistanceLoss()(scores[:1, :2], distances[:1, :2])
    np.testing.assert_allclose(to_numpy(value), [expected, 0, 0], rtol=1e-6, atol=1e-7)
    assert (gradient[~np.isfinite(scores)] == 0).all()
    value, _ = RUN[framework](L.ExpectedEditDistanceLoss(), Batch(scores, distances), "float32")
    assert to_numpy(value) == pytest.approx(expected / 2, rel=1e-5)  # the third row has none and does not count


f = np.zeros
CALLS: list[tuple[Any, type[Exception], str]] = [
    (lambda: L.CTCLoss()(LOGITS[0, 0], TARGET), ValueError, r"`prediction` has shape \(5,\); expected \(N, T, C\)"),
    (lambda: L.CTCLoss()(LOGITS, TARGET[:3], **SIZES), ValueError, r"`target` has shape \(3, 3\); expected \(4, S\)"),
    (lambda: L.CTCLoss()(LOGITS, joined()), TypeError, "pass `target_lengths=...`, or a padded matrix"),
    (
        lambda: L.CTCLoss()(LOGITS, joined()[:-1], **SIZES),
        ValueError,
        "holds 8 labels and `target_lengths` add up to 9",
    ),
    (lambda: L.CTCLoss()(LOGITS, TARGET), ValueError, r"`target` holds the blank, 0, at \[1, 1\].*ignore_index=0"),
    (lambda: L.CTCLoss()(LOGITS, TARGET + 4, **SIZES), ValueError, r"label 5 at \[0, 0\] is not in \[0, 4\]"),
    (
        lambda: L.CTCLoss(ignore_index=1)(LOGITS, np.array([[1, 2]] * 4)),
        ValueError,
        "padding 1 at .0, 0. stands before a label",
    ),
    (
        lambda: L.CTCLoss()(LOGITS, TARGET.astype(float), **SIZES),
        TypeError,
        "`target` must hold integers; got dtype float64",
    ),
    (
        lambda: L.CTCLoss()(LOGITS, TARGET, lengths=LENGTHS + 1),
        ValueError,
        r"`lengths` must lie in \[0, 6\]; got 7 at \[0\]",
    ),
    (
        lambda: L.CTCLoss()(LOGITS, TARGET, lengths=LENGTHS[:2]),
        ValueError,
        r"`lengths` has shape \(2,\); expected \(4,\)",
    ),
    (lambda: L.CTCLoss(blank=5)(LOGITS, TARGET, **SIZES), ValueError, "blank=5 is no class; there are 5"),
    (
        lambda: L.CTCLoss()(LOGITS, TARGET, input_lengths=LENGTHS),
        TypeError,
        "unknown argument `input_lengths`; it takes lengths",
    ),
    (
        lambda: L.CTCLoss()(LOGITS, TARGET, **SIZES, mask=np.ones((4, 6), bool)),
        ValueError,
        r"`mask` has shape \(4, 6\)",
    ),
    (
        lambda: L.RNNTLoss()(PLACES[:, :, :3], TARGET, **SIZES),
        ValueError,
        "3 places on its third axis and `target` 3 labels",
    ),
    (lambda: L.ExpectedEditDistanceLoss()(f((2, 3)), f((2, 4))), ValueError, r"\(2, 3\) and `target` \(2, 4\)"),
    (lambda: L.ExpectedEditDistanceLoss()(f((2, 3)), TARGET, target_lengths=LENGTHS), TypeError, "needs `hypotheses`"),
    (lambda: L.ExpectedEditDistanceLoss()(f(()), f(())), ValueError, r"expected \(N, K\)"),
]


@pytest.mark.parametrize(("call", "kind", "told"), CALLS, ids=[told[:40] for *_, told in CALLS])
def test_wrong_calls(call: Any, kind: type[Exception], told: str) -> None:
    with pytest.raises(kind, match=told):
        call()


def test_a_masked_sequence_may_hold_anything() -> None:
    target = TARGET.copy()
    target[2] = 99
    mask = np.array([True, True, False, True])
    assert L.CTCLoss()(LOGITS, target, mask=mask, **SIZES) == L.CTCLoss()(LOGITS, TARGET, **SIZES)
    value, gradient = run_torch(L.CTCLoss(), Batch(LOGITS, target, {**SIZES, "mask": mask}))
    assert value.item() == pytest.approx(L.CTCLoss()(LOGITS, TARGET, **SIZES))
    assert (gradient[2] == 0).all()


def test_alignments_inside_shard_map() -> None:
    """On two devices, in a process of its own: the carry of the scan must differ between devices from the start."""
    environment = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_PLATFORMS": "cpu"}
    cases = Path(__file__).with_name("sharded_cases.py")
    result = subprocess.run([sys.executable, str(cases)], env=environment, capture_output=True, text=True)
    assert result.stdout == "both exact\n", result.stderr
