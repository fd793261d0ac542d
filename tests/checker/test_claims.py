"""What the checker asks of other people's losses, the catalogue keeps: the same claims, run by the same code."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import time
from collections.abc import Sequence

import numpy as np
import pytest
import torch

import lossary
from lossary.checker.calls import adds_up, compiles
from lossary.checker.claims import CLAIMS, Claim, NotAskedError, Regime, finite_gradient, finite_value, in_range
from lossary.checker.draws import draw
from lossary.checker.engines import Batch, Framework
from lossary.checker.fields import uncounted
from lossary.checker.inference import declared
from lossary.checker.search import Scenes
from lossary.checker.subject import Subject, Trial
from lossary.core.loss import Loss
from variants import defaults, on_frameworks

DEFAULTS = defaults()


def hold(claims: Sequence[Claim], loss: Loss, framework: Framework, regime: Regime) -> None:
    subject = Subject(loss, framework, repr(loss), like=loss, ours=True)
    trial = Trial(subject, draw(loss, regime), regime)
    for claim in claims:
        violation = claim(trial)
        assert violation is None, f"{claim.name}: {violation.words}"


# where a formula is singular it is so on every framework: torch tries every option, the others the defaults
TRIED = [(framework, loss) for framework, loss in on_frameworks() if framework == "torch" or loss in set(DEFAULTS)]


@pytest.mark.parametrize("regime", ["edge", "extreme"])  # the ordinary one is compared with references elsewhere
@pytest.mark.parametrize(("framework", "loss"), TRIED, ids=repr)
def test_every_option_is_finite_and_in_its_range(loss: Loss, framework: Framework, regime: Regime) -> None:
    hold((finite_value, finite_gradient, in_range), loss, framework, regime)


# test_frameworks.py compiles every loss, in every regime; compiling it again would be half the time of a report
WITHOUT_COMPILER = [claim for claim in CLAIMS if claim is not compiles]
FIRST_TASKS = {type(loss): loss for loss in reversed(DEFAULTS)}.values()


# the forward mode of torch is written with what torch itself deprecates
@pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning")
@pytest.mark.parametrize("loss", FIRST_TASKS, ids=repr)
def test_the_checker_finds_nothing(loss: Loss, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a user runs it: by every claim, in trials that Hypothesis searches."""
    monkeypatch.setattr(sys.modules["lossary.checker.check"], "CLAIMS", WITHOUT_COMPILER)
    report = lossary.check(loss, seconds=200)
    assert report.ok, [f"{finding.claim}: {finding.words}" for finding in report.findings]
    assert not report.unfinished


@pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning")
@pytest.mark.parametrize("loss", [loss for loss in DEFAULTS if loss not in set(FIRST_TASKS)], ids=repr)
def test_every_claim_holds_of_the_other_tasks(loss: Loss) -> None:
    """In one trial of each regime: what a search finds is in the formula, which the tasks of a loss have in common."""
    subject, convention = Subject(loss, "torch", repr(loss), like=loss, ours=True), declared(loss)
    for claim in WITHOUT_COMPILER:
        for regime in claim.regimes:
            trials = [Trial(subject, draw(loss, regime), regime)]
            if convention is not None and regime == "ordinary":
                trials.append(Scenes(subject, convention).one())
            for trial in trials:
                with contextlib.suppress(NotAskedError):
                    violation = claim(trial)
                    assert violation is None, f"{claim.name}: {violation.words}"


def test_a_value_out_of_its_range_is_seen() -> None:
    batch = Batch(np.array([[0.5]]), np.array([[0.0]]))
    shifted = Subject(lambda p, t: ((p - t) ** 2).mean() - 1, "torch", "shifted", like=lossary.MSELoss())
    violation = in_range(Trial(shifted, batch))
    assert violation is not None
    assert violation.words == "it is -0.75, and its range is from 0 to inf"
    assert in_range(Trial(dataclasses.replace(shifted, call=lossary.MSELoss()), batch)) is None


def _multiplied(prediction, target, mask=None, sample_weight=None):
    """Leaves places out of prediction and target, and multiplies their weights by 0."""
    error = torch.where(mask, prediction - target, 0).abs()
    weight = torch.ones_like(error) if sample_weight is None else sample_weight
    return (error * weight * mask).sum() / mask.sum()


def test_weights_are_poisoned_where_nothing_counts() -> None:
    loss, batch = lossary.L1Loss(), draw(lossary.L1Loss())
    violation = uncounted(Trial(Subject(_multiplied, "torch", "loss", like=loss, ours=True), batch))
    assert violation is not None
    assert violation.words.startswith("with NaN in `sample_weight` at the masked places it is NaN")


class _Forgetful(lossary.MSELoss):
    """Its sums of a part are those of the part before the last sample."""

    def statistics(self, prediction, target, **call):
        return super().statistics(prediction[:-1], target[:-1], **call)


def test_sums_that_do_not_add_up_are_seen() -> None:
    batch = draw(lossary.MSELoss())
    for loss, words in ((lossary.MSELoss(), None), (_Forgetful(), "the sums of two parts make")):
        violation = adds_up(Trial(Subject(loss, "torch", "loss", like=loss, ours=True), batch))
        assert (violation is None) == (words is None)
        assert violation is None or violation.words.startswith(words)


def test_what_a_claim_is_not_about_does_not_hold() -> None:
    """Every claim stands in one list; those about boxes hold of boxes only."""
    about_boxes = "equal boxes cost nothing, at any size"
    for loss, holds in ((lossary.GIoULoss(), True), (lossary.ArcFaceLoss(), False)):
        report = lossary.check(loss, seconds=200)
        assert sorted(report.passed + report.not_asked) == sorted(claim.name for claim in CLAIMS)
        assert (about_boxes in report.passed) == holds
        assert (about_boxes in report.not_asked) != holds


def test_what_is_cut_short_does_not_hold() -> None:
    """The first claim alone would take this loss longer than there is."""

    def slow(prediction, target):
        time.sleep(0.05)
        return ((prediction - target).abs() ** 1.3).mean()

    report = lossary.check(slow, task="regression", seconds=3)
    assert report.passed == ()
    assert report.unfinished[0] == "the value is finite"
