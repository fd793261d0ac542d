"""What the checker asks of other people's losses, the catalogue keeps: the same claims, run by the same code."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest

import lossary
from frameworks import RUN
from lossary.checker.calls import half_precision
from lossary.checker.claims import Claim, Regime, finite_gradient, finite_value, in_range
from lossary.checker.draws import draw
from lossary.checker.engines import Batch, Framework
from lossary.checker.subject import Subject, Trial
from lossary.core.loss import Loss
from variants import FORMULAS, defaults

DEFAULTS = defaults()
FRAMEWORKS: tuple[Framework, ...] = ("torch", "jax", "tensorflow")


def hold(claims: Sequence[Claim], loss: Loss, framework: Framework, regime: Regime) -> None:
    subject = Subject(loss, framework, repr(loss), like=loss, ours=True)
    trial = Trial(subject, draw(loss, regime), regime)
    for claim in claims:
        violation = claim(trial)
        assert violation is None, f"{claim.name}: {violation.words}"


@pytest.mark.parametrize("regime", ["edge", "extreme"])  # the ordinary one is compared with references elsewhere
@pytest.mark.parametrize(("framework", "loss"), FORMULAS, ids=repr)
def test_every_option_is_finite_and_in_its_range(loss: Loss, framework: Framework, regime: Regime) -> None:
    hold((finite_value, finite_gradient, in_range), loss, framework, regime)


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("loss", DEFAULTS, ids=repr)
def test_half_precision(loss: Loss, framework: Framework) -> None:
    """Half-precision input is computed in float32: as exact as the rounded input allows."""
    hold((half_precision,), loss, framework, "ordinary")
    value, _ = RUN[framework](loss, draw(loss), "bfloat16")
    assert str(value.dtype).endswith("float32") or value.dtype.name == "float32"


# dynamo and the forward mode of torch are written with what torch itself deprecates
@pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning")
@pytest.mark.parametrize("loss", DEFAULTS, ids=repr)
def test_the_checker_finds_nothing(loss: Loss) -> None:
    """As a user runs it, by every claim."""
    report = lossary.check(loss, seconds=200)
    assert report.ok, [f"{finding.claim}: {finding.words}" for finding in report.findings]
    assert not report.unfinished


def test_a_value_out_of_its_range_is_seen() -> None:
    batch = Batch(np.array([[0.5]]), np.array([[0.0]]))
    shifted = Subject(lambda p, t: ((p - t) ** 2).mean() - 1, "torch", "shifted", like=lossary.MSELoss())
    violation = in_range(Trial(shifted, batch))
    assert violation is not None
    assert violation.words == "it is -0.75, and its range is from 0 to inf"
    assert in_range(Trial(dataclasses.replace(shifted, call=lossary.MSELoss()), batch)) is None
