"""The checker names each of the faults that people make, and finds none where there is none."""

from __future__ import annotations

import sys

import pytest

import lossary
from checker.faulty import FAULTS
from lossary.checker.claims import CLAIMS


def test_there_are_thirty() -> None:
    assert len(FAULTS) >= 30


@pytest.mark.filterwarnings("ignore")  # torch warns of some of these faults
@pytest.mark.parametrize("name", FAULTS)
def test_fault_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the claim that is about it: what others find on the way takes a minute to be made small."""
    fault = FAULTS[name]
    about_it = [claim for claim in CLAIMS if claim.name.startswith(fault.claim)]
    monkeypatch.setattr(sys.modules["lossary.checker.check"], "CLAIMS", about_it)
    report = lossary.check(fault.loss, seconds=300, **fault.how)  # no limit, on a machine under load
    named = [finding for finding in report.findings if finding.claim.startswith(fault.claim)]
    assert named, [f"{f.claim}: {f.words}" for f in report.findings]
    assert fault.words in named[0].words
