"""Edit distance, error rates and CTC decoding: TensorFlow's numbers, and every reading enumerated."""

from __future__ import annotations

import itertools
import math
import sys
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
import tensorflow as tf
import torch

from lossary import text


def levenshtein(a: Any, b: Any) -> int:
    """The recursion of the textbook."""
    if not a or not b:
        return len(a) + len(b)
    return min(levenshtein(a[1:], b) + 1, levenshtein(a, b[1:]) + 1, levenshtein(a[1:], b[1:]) + (a[0] != b[0]))


@pytest.mark.parametrize("normalize", [True, False])
def test_edit_distance_is_that_of_tensorflow(normalize: bool) -> None:
    """Empty sequences included: against an empty truth the normalised distance is infinite, or 0 for two empty ones."""
    rng = np.random.default_rng(0)
    read, true = (rng.integers(1, 4, size=(40, 6)) for _ in range(2))
    sizes = rng.integers(0, 7, size=(2, 40))
    sizes[:, 0], sizes[:, 1], sizes[:, 2] = (0, 0), (3, 0), (0, 3)

    def sparse(rows: np.ndarray, lengths: np.ndarray) -> Any:
        return tf.RaggedTensor.from_tensor(tf.constant(rows), lengths=lengths).to_sparse()

    theirs = tf.edit_distance(sparse(read, sizes[0]), sparse(true, sizes[1]), normalize=normalize).numpy()
    ours = text.edit_distance(read, true, normalize=normalize, hypothesis_lengths=sizes[0], truth_lengths=sizes[1])
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    if normalize:
        assert ours[:3].tolist() == [0.0, math.inf, 1.0]
    else:
        rows = [(r[:m].tolist(), t[:n].tolist()) for r, t, m, n in zip(read, true, *sizes, strict=True)]
        assert ours.tolist() == [levenshtein(r, t) for r, t in rows]


def test_forms_of_a_sequence() -> None:
    assert text.edit_distance("abc", "axc") == pytest.approx(1 / 3)
    assert text.edit_distance([1, 2, 3], [1, 9, 3], normalize=False) == 1
    assert text.edit_distance(["abc", ""], ["axc", ""]).tolist() == pytest.approx([1 / 3, 0])
    assert text.edit_distance([["the", "cat"]], [["a", "cat"]], normalize=False).tolist() == [1]
    assert text.edit_distance([[1, 2], []], [[1], [2]], normalize=False).tolist() == [1, 1]
    assert text.edit_distance([], []).shape == (0,)
    rows, truth = np.array([[1, 2], [3, 4]]), np.array([[1, 9], [3, 4]])
    for convert in (np.asarray, torch.tensor, jnp.asarray, tf.constant):
        assert text.edit_distance(convert(rows), convert(truth), normalize=False).tolist() == [1, 0]
        assert text.edit_distance(convert(rows[0]), convert(truth[0]), normalize=False) == 1


def test_rates_are_of_the_whole_set() -> None:
    assert text.character_error_rate(["ab", "abcd"], ["ax", "abcd"]) == pytest.approx(1 / 6)
    assert text.character_error_rate("ab", "ax") == 0.5
    rows = np.array([[1, 2, 0, 0], [1, 2, 3, 4]])
    rate = text.character_error_rate(
        rows, np.array([[1, 9, 0, 0], [1, 2, 3, 4]]), hypothesis_lengths=[2, 4], truth_lengths=np.array([2, 4])
    )
    assert rate == pytest.approx(1 / 6)
    assert text.word_error_rate(["the  cat sat", "no"], ["the cat", "no"]) == pytest.approx(1 / 3)
    assert text.word_error_rate([["the", "cat"]], ["the dog"]) == 0.5
    assert text.character_error_rate(["", ""], ["", ""]) == 0
    assert text.character_error_rate("a", "") == math.inf


@pytest.mark.parametrize(
    ("call", "kind", "told"),
    [
        (
            lambda: text.edit_distance("a", ["a"]),
            ValueError,
            "`hypothesis` is one sequence and `truth` a batch of shape",
        ),
        (lambda: text.edit_distance(["a", 1], "a"), TypeError, "`hypothesis` mixes tokens and sequences"),
        (lambda: text.edit_distance("a", "a", truth_lengths=[1]), TypeError, "`truth_lengths` belongs to an array"),
        (lambda: text.edit_distance(np.zeros((2, 3)), "a"), TypeError, "must hold integers; got dtype float64"),
        (lambda: text.edit_distance(3, "a"), TypeError, "must be a string, a list or an integer array; got int"),
        (lambda: text.edit_distance(np.ones((1, 2), int), np.ones((1, 2), int), truth_lengths=[3]), ValueError, "0, 2"),
        (lambda: text.word_error_rate(np.ones(3, int), np.ones(3, int)), TypeError, "call character_error_rate"),
        (lambda: text.greedy_decode(np.zeros((2, 3))), ValueError, r"expected \(N, T, C\)"),
        (lambda: text.beam_search(np.zeros((1, 2, 3)), width=0), ValueError, "`width` must be at least 1; got 0"),
        (lambda: text.beam_search(np.zeros((1, 2, 3)), blank=3), ValueError, "blank=3 is no class"),
        (lambda: text.greedy_decode(np.zeros((1, 2, 3)), lengths=np.array([3])), ValueError, r"numbers in \[0, 2\]"),
    ],
)
def test_wrong_calls(call: Any, kind: type[Exception], told: str) -> None:
    with pytest.raises(kind, match=told):
        call()


def test_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rapidfuzz.distance", None)
    with pytest.raises(ImportError, match=r'pip install "lossary\[text\]"'):
        text.edit_distance("a", "b")


def test_beams_wide_enough_find_every_reading() -> None:
    logits = np.random.default_rng(1).normal(size=(3, 4, 3))
    lengths = np.array([4, 3, 0])
    found = text.beam_search(logits, lengths, blank=-1, width=100)
    for row, size, beam in zip(logits, lengths, found, strict=True):
        p = np.exp(row) / np.exp(row).sum(1, keepdims=True)
        exact: dict[tuple[int, ...], float] = {}
        for path in itertools.product(range(3), repeat=size):
            said = tuple(c for c, _ in itertools.groupby(path) if c != 2)
            exact[said] = exact.get(said, 0.0) + math.prod(p[t, c] for t, c in enumerate(path))
        assert {tuple(labels): math.exp(log_p) for labels, log_p in beam} == pytest.approx(exact)
        assert [log_p for _, log_p in beam] == sorted((log_p for _, log_p in beam), reverse=True)
    narrow = text.beam_search(logits, lengths, blank=-1, width=2)
    assert [len(beam) for beam in narrow] == [2, 2, 1]


def test_greedy_decoding_follows_the_best_path() -> None:
    paths = [[0, 1, 1, 0, 1, 2, 2], [2, 2, 2, 1, 1, 1, 1], [0] * 7]
    assert text.greedy_decode(torch.eye(3)[torch.tensor(paths)]) == [[1, 1, 2], [2, 1], []]
    assert text.greedy_decode(np.eye(3)[paths], lengths=np.array([3, 0, 7])) == [[1], [], []]
