"""The code of a finding: it runs as it is pasted, makes what was meant, and fits on a screen."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import lossary
from lossary.checker import examples, loading
from lossary.checker.engines import Batch
from lossary.checker.subject import Subject, Trial

SCREEN = 40
"""Lines."""


def many(text: str) -> int:
    """The most numbers that are written out in one array of a program."""
    bare = re.sub(r"'[^']*'", "", text)  # an array that is text shows no numbers
    return max(len(re.findall(r"\d+\.?\d*", part)) for part in re.split(r"\n(?! )", bare))


def arrays() -> dict[str, np.ndarray[Any, Any]]:
    rng = np.random.default_rng(5)
    late = 2 * np.random.default_rng(0).normal(size=(2, 19, 4, 2)).round(2)
    late[1:] = np.nan
    rare = np.zeros((1, 300))
    rare[0, 257] = 20
    return {
        "one number": np.zeros((512, 512)),
        "one number a class": np.broadcast_to(np.array([1.0, -1, 0])[None, :, None, None], (1, 3, 512, 512)),
        "one that differs": rare,
        "a box of NaN in a drawn scene": late,
        "classes last": np.moveaxis(2 * np.random.default_rng(0).normal(size=(2, 19, 4, 2)).round(2), 1, -1),
        "without a pattern": rng.normal(size=(2, 19, 4, 2)).round(2),
        "labels": rng.integers(0, 19, size=(2, 12, 12)),
        "few": rng.normal(size=(2, 3)).round(2),
    }


@pytest.mark.parametrize("what", arrays())
def test_the_array_is_the_one_that_was_meant(what: str) -> None:
    x = arrays()[what]
    subject = Subject(lambda p, t: (p * 1.0).sum(), "torch", "loss")
    text = examples.code(Trial(subject, Batch(x, np.zeros(3))), "loss = lambda p, t: (p * 1.0).sum()", "pass")
    named: dict[str, Any] = {}
    exec(text, named)
    made = named["prediction"]
    assert made.dtype == (torch.float32 if x.dtype.kind == "f" else torch.int64)
    np.testing.assert_allclose(made.numpy(), x, rtol=1e-6)
    assert len(text.splitlines()) <= SCREEN
    assert many(text) <= examples.MOST + 6


def test_a_third_argument_is_part_of_the_call() -> None:
    report = lossary.check(torch.nn.GaussianNLLLoss(), statement="loss = torch.nn.GaussianNLLLoss()", seconds=100)
    empty = next(f for f in report.findings if f.name == "empty_batch")
    assert "loss = lambda prediction, target: given(prediction, target, variance)" in empty.code
    exec(empty.code, {})


@pytest.mark.parametrize("named", ["weighted", "weighted()", "Own", "Own(scale=2.0)", "own", "own(scale=2.0)"])
def test_a_loss_is_made_as_it_was_named(named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An object that is a loss already, a class, a function."""
    (tmp_path / "losses_of_a_user.py").write_text(
        "import torch\n"
        "weighted = torch.nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 3.0]))\n"
        "def own(prediction, target, scale=1.0):\n    return scale * weighted(prediction, target)\n"
        "class Own:\n"
        "    def __init__(self, scale=1.0):\n        self.scale = scale\n"
        "    def __call__(self, prediction, target):\n        return own(prediction, target, self.scale)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    made: dict[str, Any] = {}
    exec(loading.statement(f"losses_of_a_user:{named}"), made)
    logits, labels = torch.eye(3), torch.tensor([0, 2, 1])
    assert made["loss"](logits, labels) == loading.load(f"losses_of_a_user:{named}")(logits, labels)
