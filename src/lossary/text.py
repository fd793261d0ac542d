"""Edit distance and error rates of transcripts, and what CTC outputs read as. Values only: none of it has a gradient.

A sequence is a string (its characters are the tokens), a list of tokens that are no strings, or a row of a padded
integer array with its length. A list of strings is a batch of strings; a sequence of words is a list within a batch,
`[["the", "cat"]]`.

>>> from lossary import text
>>> text.edit_distance("kitten", "sitting", normalize=False)
3.0
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import Any, cast

import numpy as np

from lossary.array.namespace import Array, is_array, to_numpy
from lossary.core.extras import needed

Tokens = Sequence[Hashable]


def edit_distance(
    hypothesis: Any,
    truth: Any,
    normalize: bool = True,
    *,
    hypothesis_lengths: Array | None = None,
    truth_lengths: Array | None = None,
) -> Any:
    """The Levenshtein distance: the fewest insertions, deletions and substitutions that make one sequence the other.

    Args:
        hypothesis: what was read: a sequence, a list of sequences, or an integer array (..., L) of torch, JAX,
            TensorFlow or NumPy.
        truth: what is true, alike; the leading axes of two arrays are the same.
        normalize: divide by the length of the truth. Against an empty truth the result is then infinite, and 0 where
            the hypothesis is empty too.
        hypothesis_lengths: for an array, how many tokens of each row are read; all of them if None.
        truth_lengths: the same for the truth.

    Returns:
        A float for two sequences, a NumPy array for batches.

    Elsewhere: `tf.edit_distance` of sparse tensors gives the same numbers, `normalize` included. Its normalised form is
    no distance: it is not symmetric and can exceed 1. `rapidfuzz.distance.Levenshtein.normalized_distance` divides by
    the longer of the two; `nltk.edit_distance` is not normalised.

    >>> edit_distance(["kitten", "sat"], ["sitting", "sat"]).round(3).tolist()
    [0.429, 0.0]
    >>> import numpy as np
    >>> edit_distance(np.array([[1, 2, 0]]), np.array([[1, 3]]), hypothesis_lengths=np.array([2])).tolist()
    [0.5]
    """
    pairs, shape = _pairs("edit_distance", hypothesis, truth, hypothesis_lengths, truth_lengths)
    found = np.array([_distance(h, t) for h, t in pairs], dtype=np.float64)
    if normalize:
        sizes = np.array([len(t) for _, t in pairs], dtype=np.float64)
        empty = np.where(found > 0, math.inf, 0.0)
        found = np.where(sizes > 0, found / np.maximum(sizes, 1), empty)
    return float(found[0]) if shape is None else found.reshape(shape)


def hypothesis_distances(
    hypotheses: Array, truth: Array, *, hypothesis_lengths: Array | None = None, truth_lengths: Array | None = None
) -> np.ndarray:
    """The edits between each of K hypotheses of a sequence and its truth: what `ExpectedEditDistanceLoss` weighs.

    Args:
        hypotheses: an integer array (N, K, L), or (K, L) of one sequence.
        truth: an integer array (N, S), or (S,).
        hypothesis_lengths: how many tokens of each hypothesis are read, (N, K); all of them if None.
        truth_lengths: the same for the truth, (N,).

    >>> import numpy as np
    >>> hypothesis_distances(np.array([[[1, 2], [2, 1]]]), np.array([[1, 2]])).tolist()
    [[0.0, 2.0]]
    """
    name = "hypothesis_distances"
    read, shape = _sequences(name, "hypotheses", hypotheses, hypothesis_lengths)
    true, rows = _sequences(name, "truth", truth, truth_lengths)
    if shape is None or shape[:-1] != (rows or ()):
        raise ValueError(
            f"{name}: expected hypotheses (N, K, L) and truth (N, S); got {tuple(hypotheses.shape)} and "
            f"{tuple(truth.shape)}"
        )
    found = [_distance(h, true[i // shape[-1]]) for i, h in enumerate(read)]
    return np.array(found, dtype=np.float64).reshape(shape)


def character_error_rate(
    hypothesis: Any, truth: Any, *, hypothesis_lengths: Array | None = None, truth_lengths: Array | None = None
) -> float:
    """The edits of a whole set over the tokens of its truths: of characters for strings, of labels for arrays.

    Long sequences weigh more than in the mean of `edit_distance`. Against truths that are all empty it is infinite, and
    0 if nothing was read either.

    Args:
        hypothesis: as for `edit_distance`, one sequence or a batch.
        truth: alike.
        hypothesis_lengths: for an array, how many tokens of each row are read.
        truth_lengths: the same for the truth.

    Elsewhere: `torchmetrics.functional.text.char_error_rate` and `jiwer.cer(truth, hypothesis)` give the same number.

    >>> character_error_rate(["kitten", "sat"], ["sitting", "sat"])
    0.3
    """
    pairs, _ = _pairs("character_error_rate", hypothesis, truth, hypothesis_lengths, truth_lengths)
    edits, size = sum(_distance(h, t) for h, t in pairs), sum(len(t) for _, t in pairs)
    if size == 0:
        return math.inf if edits else 0.0
    return edits / size


def word_error_rate(hypothesis: str | Sequence[Any], truth: str | Sequence[Any]) -> float:
    """The edits of words of a whole set over the words of its truths; words are what stands between white space.

    Args:
        hypothesis: a string, a list of strings, or a list of lists of words.
        truth: alike.

    Elsewhere: `torchmetrics.functional.text.word_error_rate` and `jiwer.wer(truth, hypothesis)` give the same number.

    >>> word_error_rate("the cat sat", "the bat sat down")
    0.5
    """
    return character_error_rate(_words(hypothesis), _words(truth))


def _words(text: Any) -> list[Tokens]:
    if isinstance(text, str):
        return [text.split()]
    if is_array(text):
        raise TypeError("word_error_rate: takes strings or lists of words; for arrays call character_error_rate")
    return [item.split() if isinstance(item, str) else item for item in text]


def _distance(hypothesis: Tokens, truth: Tokens) -> int:
    with needed("edit distances", "text"):
        from rapidfuzz.distance import Levenshtein
    return Levenshtein.distance(hypothesis, truth)


Pairs = list[tuple[Tokens, Tokens]]


def _pairs(
    name: str, hypothesis: Any, truth: Any, hypothesis_lengths: Any, truth_lengths: Any
) -> tuple[Pairs, tuple[int, ...] | None]:
    """The pairs of sequences, and the shape of a batch of them; None for one pair."""
    h, h_shape = _sequences(name, "hypothesis", hypothesis, hypothesis_lengths)
    t, t_shape = _sequences(name, "truth", truth, truth_lengths)
    if h_shape != t_shape:

        def shown(shape: tuple[int, ...] | None) -> str:
            return "one sequence" if shape is None else f"a batch of shape {shape}"

        raise ValueError(
            f"{name}: `hypothesis` is {shown(h_shape)} and `truth` {shown(t_shape)}; there must be one truth for each "
            "hypothesis"
        )
    return list(zip(h, t, strict=True)), h_shape


def _sequences(name: str, argument: str, x: Any, lengths: Any) -> tuple[list[Tokens], tuple[int, ...] | None]:
    if is_array(x):
        return _rows(name, argument, to_numpy(x), lengths)
    if lengths is not None:
        raise TypeError(f"{name}: `{argument}_lengths` belongs to an array; `{argument}` is a {type(x).__name__}")
    if isinstance(x, str):
        return [x], None
    if not isinstance(x, Sequence):
        raise TypeError(f"{name}: `{argument}` must be a string, a list or an integer array; got {type(x).__name__}")
    items = cast("Sequence[Any]", x)
    # a list of tokens, or a batch: strings and lists are sequences, other tokens are not
    whole = [isinstance(item, (str, Sequence)) or is_array(item) for item in items]
    if any(whole) and not all(whole):
        raise TypeError(f"{name}: `{argument}` mixes tokens and sequences; give one sequence or a list of sequences")
    if not any(whole):
        return ([list(items)], None) if items else ([], (0,))
    return [to_numpy(item).tolist() if is_array(item) else item for item in items], (len(items),)


def _rows(name: str, argument: str, x: Any, lengths: Any) -> tuple[list[Tokens], tuple[int, ...] | None]:
    """The rows of an integer array (..., L) up to their lengths."""
    if not np.issubdtype(x.dtype, np.integer):
        raise TypeError(f"{name}: `{argument}` must hold integers; got dtype {x.dtype}")
    if x.ndim == 0:
        raise ValueError(f"{name}: `{argument}` is a single number; a sequence has an axis of tokens")
    shape = x.shape[:-1]
    sizes = np.full(shape, x.shape[-1]) if lengths is None else to_numpy(lengths)
    if sizes.shape != shape:
        raise ValueError(f"{name}: `{argument}_lengths` has shape {sizes.shape}; expected {shape}, one length a row")
    if ((sizes < 0) | (sizes > x.shape[-1])).any():
        raise ValueError(f"{name}: `{argument}_lengths` must lie in [0, {x.shape[-1]}]; got {sizes.tolist()}")
    rows = x.reshape(math.prod(shape), x.shape[-1])
    found: list[Tokens] = [row[:n].tolist() for row, n in zip(rows, sizes.reshape(-1), strict=True)]
    return found, (shape or None)


# --- reading CTC outputs ----------------------------------------------------------------------------------------------


def greedy_decode(logits: Array, lengths: Array | None = None, blank: int = 0) -> list[list[int]]:
    """What the best class of each frame says: repeats become one, then blanks are dropped.

    Args:
        logits: (N, T, C), or log-probabilities; an array of torch, JAX, TensorFlow or NumPy.
        lengths: frames of each row, (N,); all of them if None.
        blank: the class of the blank, -1 for the last one.

    Fast, and often enough; it follows the best path, which need not be the best reading (`beam_search`).

    >>> import numpy as np
    >>> greedy_decode(np.eye(3)[[[1, 1, 0, 1, 2]]])
    [[1, 1, 2]]
    """
    scores, sizes, blank = _scores("greedy_decode", logits, lengths, blank)
    found: list[list[int]] = []
    for path, size in zip(scores.argmax(-1), sizes, strict=True):
        path = path[:size]
        fresh = np.concatenate([np.ones(min(size, 1), bool), path[1:] != path[:-1]])
        found.append(path[fresh & (path != blank)].tolist())
    return found


def beam_search(
    logits: Array, lengths: Array | None = None, blank: int = 0, width: int = 8
) -> list[list[tuple[list[int], float]]]:
    """The likeliest readings of each row with their log-probabilities, best first: prefix beam search.

    The probability of a reading is the sum over its paths, as in `CTCLoss`, of those paths that the beam has kept: with
    a beam as wide as there are prefixes it is exact.

    Args:
        logits: (N, T, C), or log-probabilities; an array of torch, JAX, TensorFlow or NumPy.
        lengths: frames of each row, (N,); all of them if None.
        blank: the class of the blank, -1 for the last one.
        width: how many prefixes are kept after each frame, and at most how many readings are returned.

    Source: Graves & Jaitly 2014, Towards End-to-End Speech Recognition with Recurrent Neural Networks, algorithm 1.

    >>> import numpy as np
    >>> frame = np.log([0.6, 0.4])  # the best path is two blanks, .36; the best reading is (1), .64
    >>> [(labels, round(np.exp(log_p).item(), 2)) for labels, log_p in beam_search(np.array([[frame, frame]]))[0]]
    [([1], 0.64), ([], 0.36)]
    """
    if width < 1:
        raise ValueError(f"beam_search: `width` must be at least 1; got {width}")
    scores, sizes, blank = _scores("beam_search", logits, lengths, blank)
    shifted = scores - scores.max(-1, keepdims=True, initial=-math.inf)
    log_p = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return [_beam(row[:size], blank, width) for row, size in zip(log_p, sizes, strict=True)]


def _beam(log_p: np.ndarray, blank: int, width: int) -> list[tuple[list[int], float]]:
    # of each prefix: log-probability of the paths that end in a blank, and of those that end in its last label
    beam: dict[tuple[int, ...], tuple[float, float]] = {(): (0.0, -math.inf)}
    labels = [c for c in range(log_p.shape[1]) if c != blank]
    for frame in log_p.tolist():
        grown: dict[tuple[int, ...], tuple[float, float]] = {}
        for prefix, (in_blank, in_label) in beam.items():
            both = _add(in_blank, in_label)
            stay = in_label + frame[prefix[-1]] if prefix else -math.inf
            _meet(grown, prefix, both + frame[blank], stay)
            for c in labels:
                # a label that repeats the last one is a new one only after a blank
                before = in_blank if prefix and c == prefix[-1] else both
                _meet(grown, (*prefix, c), -math.inf, before + frame[c])
        best = sorted(grown.items(), key=lambda item: -_add(*item[1]))
        beam = dict(best[:width])
    return [(list(prefix), _add(*ends)) for prefix, ends in beam.items() if _add(*ends) > -math.inf]


def _meet(
    beam: dict[tuple[int, ...], tuple[float, float]], prefix: tuple[int, ...], blank: float, label: float
) -> None:
    old_blank, old_label = beam.get(prefix, (-math.inf, -math.inf))
    beam[prefix] = (_add(old_blank, blank), _add(old_label, label))


def _add(a: float, b: float) -> float:
    """log(exp(a) + exp(b))."""
    high, low = (a, b) if a > b else (b, a)
    return high if low == -math.inf else high + math.log1p(math.exp(low - high))


def _scores(name: str, logits: Array, lengths: Array | None, blank: int) -> tuple[np.ndarray, np.ndarray, int]:
    scores = np.asarray(to_numpy(logits), dtype=np.float64)
    if scores.ndim != 3:
        raise ValueError(f"{name}: `logits` has shape {scores.shape}; expected (N, T, C)")
    if not -scores.shape[2] <= blank < scores.shape[2]:
        raise ValueError(f"{name}: blank={blank} is no class; there are {scores.shape[2]}")
    sizes = np.full(len(scores), scores.shape[1]) if lengths is None else to_numpy(lengths)
    if sizes.shape != (len(scores),) or ((sizes < 0) | (sizes > scores.shape[1])).any():
        raise ValueError(
            f"{name}: `lengths` must be ({len(scores)},) numbers in [0, {scores.shape[1]}]; got {sizes.tolist()}"
        )
    return scores, sizes, blank % scores.shape[2]
