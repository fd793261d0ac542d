"""The checker names each of the faults that people make, and finds none where there is none."""

from __future__ import annotations

import contextlib
import io
import sys

import pytest

import lossary
from checker.faulty import FAULTS
from checker.test_examples import SCREEN, many
from lossary.checker import examples
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
    statement = f'from checker.faulty import FAULTS\nloss = FAULTS["{name}"].loss'
    report = lossary.check(fault.loss, seconds=300, statement=statement, **fault.how)  # no limit, on a busy machine
    named = [finding for finding in report.findings if finding.claim.startswith(fault.claim)]
    assert named, [f"{f.claim}: {f.words}" for f in report.findings]
    assert fault.words in named[0].words
    for finding in report.findings:
        run(finding)


def run(finding: lossary.checker.Finding) -> None:
    """Its code as it is pasted; where the finding is an exception, that one comes."""
    assert len(finding.code.splitlines()) <= SCREEN
    assert many(finding.code) <= examples.MOST + 6
    said, raised = io.StringIO(), ""
    with contextlib.redirect_stdout(said):
        try:
            exec(finding.code, {})
        except Exception as error:
            raised = type(error).__name__
    assert not raised or raised in finding.words or finding.name in RAISING, (finding.code, raised)
    assert raised or said.getvalue() or finding.name == "no_synchronisation", finding.code


RAISING = ("no_synchronisation", "compiles", "functional", "vmaps")
"""Claims about tools, which raise what they have to say."""
