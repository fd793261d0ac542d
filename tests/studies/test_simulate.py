"""The box regression experiment: its cases, its figures at small size, its verb."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import lossary as L
from lossary.cli import app
from lossary.studies.boxes import CASES, Cases, simulate
from lossary.studies.boxes.experiment import STEPS, trajectory

ERRATA = {"iou": 5.9e6, "giou": 2.9e4, "diou": 5.2e4, "ciou": 7.4e3}
"""The summed error at the end of 1,715,000 cases, as ERRATA.md gives it."""


def test_cases_are_those_of_the_paper() -> None:
    prediction, target = Cases(34_300).block(0, 100)
    assert prediction.shape == target.shape == (34_300, 4)
    np.testing.assert_allclose(target[:, 2] * target[:, 3], 1)
    assert sorted({round(x, 6) for x in target[:, 2] / target[:, 3]}) == [0.25, 0.333333, 0.5, 1, 2, 3, 4]
    assert {round(x, 6) for x in prediction[:, 2] * prediction[:, 3]} == {0.5, 0.67, 0.75, 1, 1.33, 1.5, 2}
    assert (target[:, :2] == 10).all()
    assert len(np.unique(np.concatenate([prediction, target], axis=1), axis=0)) == 34_300
    radius = np.hypot(*(prediction[:, :2] - 10).T)
    assert radius.max() < 3
    assert np.mean(radius < 1.5) == pytest.approx(0.25, abs=0.01)  # even over the disk
    halves = [Cases(34_300).block(*part)[0] for part in ((0, 40), (40, 100))]
    np.testing.assert_array_equal(np.concatenate(halves), prediction)


def test_figures_at_a_tenth_of_the_smallest_size() -> None:
    """34,300 cases give them within 5 %: `python tests/studies/published_boxes.py`."""
    losses = {name: L.create(name) for name in ERRATA}
    results = {result.loss: result for result in simulate(losses, CASES[0] // 10)}
    for name, expected in ERRATA.items():
        assert results[name].errors[-1] == pytest.approx(expected, rel=0.2)
        assert results[name].errors.shape == (STEPS,)
        assert results[name].surface.shape == (10,)
    # what the paper's figure shows is not what true gradients give: GIoU ends below DIoU
    assert results["ciou"].errors[-1] < results["giou"].errors[-1] < results["diou"].errors[-1]


def test_blocks_and_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, int]] = []
    (whole,) = simulate({"g": L.GIoULoss()}, 3 * 343)
    monkeypatch.setattr("lossary.studies.boxes.experiment._BLOCK", 2 * 343)
    (parts,) = simulate({"g": L.GIoULoss()}, 3 * 343, progress=lambda name, done: seen.append((name, done)))
    assert seen == [("g", 686), ("g", 1029)]
    np.testing.assert_allclose(parts.errors, whole.errors, rtol=1e-9)
    np.testing.assert_allclose(parts.surface, whole.surface, rtol=1e-9)
    assert parts.surface.mean() * 1_715_000 == pytest.approx(parts.errors[-1])


def test_one_step_is_the_rule_of_the_paper() -> None:
    start, target = (10.5, 11.6, 2.2, 3.0), (10.0, 10.0, 1.0, 1.0)
    boxes = trajectory(L.DIoULoss(), start, target)
    box, truth = (torch.tensor([x], dtype=torch.float64) for x in (start, target))
    box.requires_grad_()
    L.DIoULoss(format="cxcywh")(box, truth).backward()
    iou = L.boxes.iou(box.detach(), truth, format="cxcywh")
    np.testing.assert_allclose(boxes[1], (box - 0.1 * (2 - iou) * box.grad).detach().numpy()[0], rtol=1e-12)
    assert np.abs(boxes[-1] - target).sum() < 0.02


def test_sums_and_other_losses() -> None:
    both = L.GIoULoss() + 0.5 * L.CDIoULoss()
    (result,) = simulate([both], 343)
    assert result.errors[-1] < result.errors[0]
    with pytest.raises(ValueError, match="L1Loss is no loss of boxes"):
        simulate([L.L1Loss()], 343)
    with pytest.raises(ValueError, match="multiple of 343"):
        simulate([L.GIoULoss()], 1000)


def test_the_verb(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    arguments = ["simulate", "boxes", "--cases", "343", "--losses", "giou,iou:form=log", "--out", str(out), "--json"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    record = json.loads(result.stdout)
    assert [r["loss"] for r in record["results"]] == ["giou", "iou:form=log"]
    assert record == json.loads((out / "results.json").read_text())
    assert {file.name for file in out.iterdir()} == {"results.json", "errors.svg", "surface.png", "case.gif"}
    assert (out / "case.gif").read_bytes()[:4] == b"GIF8"
    assert "mean IoU" not in result.stdout  # no table where a program reads
    wrong = CliRunner().invoke(app, ["simulate", "circles"])
    assert wrong.exit_code == 2
    assert "there is no experiment 'circles'" in wrong.output


def test_interruption_keeps_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in the second loss: the first has its numbers and pictures."""
    from lossary.studies.boxes import experiment

    regress = experiment._regress

    def interrupted(name: str, *rest: object) -> object:
        if name == "iou":
            raise KeyboardInterrupt
        return regress(name, *rest)

    monkeypatch.setattr(experiment, "_regress", interrupted)
    arguments = ["simulate", "boxes", "--cases", "343", "--losses", "giou,iou", "--out", str(tmp_path)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 130
    assert [r["loss"] for r in json.loads((tmp_path / "results.json").read_text())["results"]] == ["giou"]
    assert {file.name for file in tmp_path.iterdir()} == {"results.json", "errors.svg", "surface.png", "case.gif"}
