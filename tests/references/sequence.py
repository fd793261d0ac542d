"""Losses of sequences."""

from __future__ import annotations

from typing import Any

import mpmath

from formulas import mpf
from lossary.checker.engines import Batch
from references.places import formula_of, numbers, softmax


def alignment(loss: Any, batch: Batch, place: tuple[int, ...], _: Batch | None) -> tuple[Any, Any]:
    (n,) = place
    labels = [int(c) for c in batch.target[n] if c != loss.ignore_index]
    labels = labels[: batch.keywords.get("target_lengths", {n: len(labels)})[n]]
    scores = batch.prediction[n][: batch.keywords.get("lengths", {n: batch.prediction.shape[1]})[n]]
    if loss.frame_axes == 1:
        p: list[Any] = [softmax(loss, list(frame))[0] for frame in scores]
    else:
        p = [[softmax(loss, list(place))[0] for place in frame] for frame in scores]
    likelihood = formula_of(loss)(loss, p, labels, batch.prediction.shape[-1])
    value = -mpmath.log(likelihood) if likelihood > 0 else None  # left out where there is no alignment
    return value, len(labels) if loss.normalizer == "tokens" else 1


def hypotheses(loss: Any, batch: Batch, place: tuple[int, ...], _: Batch | None) -> tuple[Any, Any]:
    pairs = [(numbers(s), numbers(d)) for s, d in zip(batch.prediction[place], batch.target[place], strict=True)]
    present = [pair for pair in pairs if pair[0] > mpf("-inf")]
    return formula_of(loss)(loss, *map(list, zip(*present, strict=True))), 1
