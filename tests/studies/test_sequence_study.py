"""The sequence and the regression study: their data, what is read, and what runs through from end to end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import lossary as L
from lossary import studies, text
from lossary.cli import app
from lossary.studies import InputError, Split, regression, sequence
from lossary.studies.digits import PADDING
from lossary.studies.outliers import compare_outliers

TINY = studies.sequence_data(train=12, validation=4, test=6)


def test_strips_say_what_their_targets_say() -> None:
    """Parts share no digit; labels are digits and one, and padding follows them."""
    assert isinstance(TINY.train, Split)
    labels = TINY.train.targets
    assert labels.min() == PADDING
    assert ((labels == PADDING) | ((labels >= 1) & (labels <= 10))).all()
    sizes = (labels != PADDING).sum(1)
    assert set(sizes) <= set(range(2, 8))
    assert (np.arange(labels.shape[1]) < sizes[:, None]).tolist() == (labels != PADDING).tolist()
    again = studies.sequence_data(train=12, validation=4, test=6)
    assert isinstance(again.train, Split)
    assert (again.train.inputs == TINY.train.inputs).all()
    clean = studies.sequence_data(train=30, validation=1, test=1, strip=studies.Strip(noise=0, gap=(2, 2)))
    assert isinstance(clean.train, Split)
    ink = clean.train.inputs[:, 0].max(1) > 0
    assert (ink.nonzero()[1].max() < clean.train.inputs.shape[3]).all()  # the longest fits


def test_reading_is_greedy_decoding() -> None:
    logits = torch.randn(5, 9, 4, generator=torch.Generator().manual_seed(0))
    rows = sequence.read_strips(logits)
    assert rows.shape == (5, 9)
    assert [[int(c) for c in row if c != PADDING] for row in rows] == text.greedy_decode(logits)
    target = torch.tensor([[1, 2, PADDING], [3, PADDING, PADDING]])
    exact = torch.full((2, 9), PADDING)
    exact[:, :3] = target
    assert sequence.character_error_rate(exact.numpy(), target.numpy()) == 0
    exact[1, 0] = 2
    assert sequence.character_error_rate(exact.numpy(), target.numpy()) == pytest.approx(1 / 3)
    assert sequence.exact_match_rate(exact.numpy(), target.numpy()) == 0.5


def test_what_is_wrong_with_a_reading() -> None:
    marks = sequence._marks(list("1325"), list("123"))
    assert [(kind, label) for kind, label in marks if kind == "right"] in (
        [("right", "1"), ("right", "3")],
        [("right", "1"), ("right", "2")],
    )
    assert {kind for kind, _ in marks} == {"right", "wrong", "missing"}
    assert sequence._marks(list("12"), list("12")) == [("right", "1"), ("right", "2")]


def test_the_second_phase_prefers_better_readings() -> None:
    """A step against its gradient lowers the expected edits over all that the logits can say."""
    torch.manual_seed(0)
    logits = torch.randn(4, 6, 4, requires_grad=True)
    target = torch.tensor([[1, 2], [3, 1], [2, PADDING], [1, 1]])
    loss = sequence.CTCThenEditDistance(samples=40, ctc=0.0)
    assert loss(logits, target) == L.CTCLoss(ignore_index=PADDING)(logits, target)
    loss.advance(0.9)
    loss(logits, target).backward()
    assert logits.grad is not None

    def expected(x: torch.Tensor) -> float:
        beams = text.beam_search(x.detach(), width=500)
        truth = [[c for c in row if c != PADDING] for row in target.tolist()]
        return sum(
            float(np.exp(log_p)) * text.edit_distance([said], [true], normalize=False)[0]
            for beam, true in zip(beams, truth, strict=True)
            for said, log_p in beam
        )

    assert expected(logits - 0.5 * logits.grad) < expected(logits)


def test_sequence_study_from_end_to_end(tmp_path: Path) -> None:
    call: dict[str, Any] = {"study": "sequence", "data": TINY, "epochs": 4, "seeds": 1, "threads": 1}
    first, second = (studies.compare(**call, out=tmp_path) for _ in range(2))
    assert [run.test for run in first.runs] == [run.test for run in second.runs]
    assert [c.label for c in first.contenders] == ["ctc", "ctc_then_edit_distance"]
    assert first.contenders[0].definition == "CTCLoss(ignore_index=-1)"
    assert set(first.runs[0].test) == {"cer", "exact"}
    losses = [[epoch.loss for epoch in run.epochs] for run in first.runs]
    assert losses[0][:2] == losses[1][:2]
    assert losses[0][3] != losses[1][3]
    page = (tmp_path / "report.html").read_text()
    assert "Strips and their readings" in page
    assert "by class" not in page


def test_outliers_are_nested_and_only_in_training() -> None:
    clean, some, more = (studies.regression_data(outliers=share) for share in (0, 0.05, 0.2))
    for data in (clean, some, more):
        assert isinstance(data.test, Split)
        assert data.class_weight() is None
    rows = [np.not_equal(d.train.targets, clean.train.targets) for d in (some, more)]  # type: ignore[union-attr]
    assert [int(r.sum()) for r in rows] == [13, 53]
    assert rows[1][rows[0]].all()
    for part in ("validation", "test"):
        assert (getattr(more, part).targets == getattr(clean, part).targets).all()
    with pytest.raises(InputError, match=r"`outliers` must be in \[0, 1\); got 1"):
        studies.regression_data(outliers=1)


def test_outliers_on_one_page(tmp_path: Path) -> None:
    found = compare_outliers((0, 0.2), "mse,l1", epochs=6, seeds=1, out=tmp_path)
    errors = found.errors()
    assert errors["mse"][1].mean > errors["l1"][1].mean
    assert found.findings()[0].startswith("Nothing can be told: one seed")
    assert "highest: mse" in found.findings()[1]
    page = (tmp_path / "report.html").read_text()
    assert 'href="outliers-0.2/report.html"' in page
    assert "<td>950.5</td><td>1000.0</td>" in page
    assert (tmp_path / "outliers-0.2" / "report.html").exists()


def test_regression_as_json(tmp_path: Path) -> None:
    arguments = ["--losses", "l1", "--seeds", "1", "--epochs", "1", "--outliers", "0", "--json", "--out", str(tmp_path)]
    result = CliRunner().invoke(app, ["compare", "regression", *arguments])
    found = json.loads(result.stdout)
    assert [share["outliers"] for share in found["shares"]] == [0]
    assert found["shares"][0]["complete"]


@pytest.mark.parametrize(
    ("study", "arrays", "told"),
    [
        (regression, {"features": np.zeros((5, 2))}, "has no array 'targets'"),
        (
            regression,
            {"features": np.zeros((5, 2)), "targets": np.zeros(4)},
            r"`targets` \(N,\); got \(5, 2\) and \(4,\)",
        ),
        (
            regression,
            {"features": np.zeros((5, 2)), "targets": np.full(5, np.nan)},
            r"`targets` must be finite; got nan at \[0\]",
        ),
        (regression, {"features": np.zeros((5, 2)), "targets": np.full(5, 3.0)}, "every number in `targets` is 3;"),
        (
            sequence,
            {"images": np.zeros((5, 8, 8)), "labels": np.full((5, 3), -1)},
            "every label in `labels` is -1, which stands for none: no strip says anything",
        ),
        (
            sequence,
            {
                "images": np.zeros((5, 8, 8)),
                "labels": np.array([[0], [1], [1], [-1], [0]]),
                "split": np.array([0, 0, 1, 2, 1]),
            },
            "every label of the test part is -1",
        ),
        (sequence, {"images": np.zeros((5, 8, 8)), "labels": np.full((5, 3), 2)}, "holds one class only, 2"),
        (sequence, {"images": np.zeros((5, 8, 8))}, "has no array 'labels'"),
        (sequence, {"images": np.zeros((5, 8, 8)), "labels": np.zeros(5, int)}, r"`labels` must be integers \(N, S\)"),
        (sequence, {"images": np.zeros((5, 8, 8)), "labels": np.array([[-1, 0]] * 5)}, "only behind the last"),
    ],
)
def test_own_data_that_does_not_fit(tmp_path: Path, study: Any, arrays: dict[str, Any], told: str) -> None:
    np.savez(tmp_path / "own.npz", **arrays)
    with pytest.raises(InputError, match=told):
        study.STUDY.load(tmp_path / "own.npz")


def test_own_data(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "r.npz", features=rng.normal(size=(20, 3)), targets=rng.normal(size=20))
    data = regression.STUDY.load(tmp_path / "r.npz")
    assert studies.compare("l1", study="regression", data=data, epochs=1, seeds=1).complete
    labels = np.array([[0, 2], [1, -1]] * 10)
    np.savez(tmp_path / "s.npz", images=rng.normal(size=(20, 8, 16)), labels=labels, classes=["a", "b", "c"])
    data = sequence.STUDY.load(tmp_path / "s.npz")
    assert data.classes == ("blank", "a", "b", "c")
    assert studies.compare("ctc", study="sequence", data=data, epochs=1, seeds=1).complete
