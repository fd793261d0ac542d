"""What is no fault is not called one: losses on which a claim was once wrong, each as small as what misled it."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F

import lossary as L
from lossary.checker.claims import CLAIMS
from lossary.checker.inference import understood
from lossary.checker.loading import subject_of
from lossary.checker.search import Asking, Scenes, first_failure


def smoothed(logits, target):
    """Its least value is at a guess that is not quite sure."""
    return F.cross_entropy(logits, target, label_smoothing=0.1)


def reshaped(prediction, target):
    """Takes (N, 1) and (N,), and compares what belongs together."""
    return (prediction.flatten() - target.flatten()).abs().mean()


def in_bfloat16(logits, target):
    return F.cross_entropy(logits.bfloat16(), target)


def in_float32(logits, target):
    """Float32 whatever comes in: differences of its values have seven digits."""
    return F.cross_entropy(logits.float(), target)


def partly_in_float32(logits, target):
    """A sum of two, one of which casts: the result is float64 and has seven digits."""
    return F.cross_entropy(logits.float(), target) + F.cross_entropy(logits, target)


def one_against_the_rest(logits, target):
    """A sigmoid for each class: sure of one, it must be sure that it is none of the others."""
    t = F.one_hot(target, logits.shape[1]).movedim(-1, 1).to(logits.dtype)
    return F.binary_cross_entropy_with_logits(logits, t)


def neighbourhoods(logits, target):
    return L.ClDiceLoss("binary")(logits, target)


def overlap(logits, target):
    p, t = torch.sigmoid(logits), target.to(logits.dtype)
    return 1 - (2 * (p * t).sum() + 1) / (p.sum() + t.sum() + 1)


@pytest.mark.parametrize(
    ("loss", "task", "claim"),
    [
        (smoothed, "classification", "no guess is better than the truth"),
        (smoothed, "classification", "the loss grows with the error"),
        (smoothed, "classification", "a sure and right answer costs next to nothing"),
        (smoothed, "classification", "the gradient pulls every place towards its label"),
        (reshaped, "regression", "shapes that do not match are refused"),
        (in_bfloat16, "classification", "the gradient is the slope of the value"),
        (in_bfloat16, "classification", "the gradient scales with what comes from above"),
        (in_bfloat16, "classification", "the second derivative is right, or refused"),
        (in_float32, "classification", "the second derivative is right, or refused"),
        (in_float32, "classification", "torch.func.grad equals backward"),
        (partly_in_float32, "classification", "the gradient is the slope of the value"),
        (partly_in_float32, "classification", "the order of the samples does not matter"),
        (one_against_the_rest, "segmentation", "a sure and right answer costs next to nothing"),
        (neighbourhoods, "segmentation", "the gradient pulls every place towards its label"),
        (overlap, "segmentation", "an image without an object, rightly seen, costs nothing"),
        (overlap, "segmentation", "the gradient pulls every place towards its label"),
    ],
)
def test_no_false_alarm(loss: Callable[..., Any], task: Any, claim: str) -> None:
    scenes = Scenes(*understood(subject_of(loss), task))
    found = next(c for c in CLAIMS if c.name == claim)
    failure = first_failure(Asking(found), [scenes], time.monotonic() + 60)
    assert failure is None, failure[1].words


def narrow(logits, target):
    """Makes a float32 tensor of its own, and refuses to multiply it with another dtype."""
    p = torch.softmax(logits, 1).movedim(1, -1).flatten(0, -2)
    right = p.gather(1, target.flatten()[:, None])[:, 0]
    return 1 - torch.dot(right, torch.full(right.shape, 1 / len(right), dtype=torch.float32))


def warns_of_one_channel(logits, target):
    """Labels with an axis of length 1 belong to several classes; of one channel it takes what it gets, and says so."""
    if logits.shape[1] == 1:
        warnings.warn("single channel prediction, softmax ignored", stacklevel=2)
        return (logits - target).abs().mean()
    if target.ndim != logits.ndim or target.shape[1] != 1:
        raise ValueError("labels have one channel")
    return F.cross_entropy(logits, target[:, 0].long())


def test_a_loss_of_float32_is_understood() -> None:
    subject, convention = understood(subject_of(narrow), "segmentation")
    assert (subject.widest, convention.kind) == ("float32", "multiclass")


def test_a_warning_is_not_what_is_meant() -> None:
    _, convention = understood(subject_of(warns_of_one_channel), "segmentation")
    assert (convention.kind, convention.target) == ("multiclass", "channel")


def test_the_task_of_like_is_compared() -> None:
    with pytest.raises(ValueError, match="give `like` the task 'binary'"):
        L.check(overlap, task="segmentation", like=L.DiceLoss("multiclass"))
