"""The tables of `compare` and `simulate` at several widths and in a pipe: nothing is broken, nothing cut off."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.text import Text

from lossary.cli import grid
from lossary.studies import STUDIES, Comparison, Outliers
from lossary.studies.boxes import Regression
from lossary.studies.results import Column, Contender, Run

WIDTHS = (60, 80, 120, 200)
compare: Any = importlib.import_module("lossary.cli.compare")
simulate: Any = importlib.import_module("lossary.cli.simulate")


def finished(study: str, tmp: int = 0) -> Comparison:
    """A comparison of a study's own losses and metrics, with results of no training."""
    own, rng = STUDIES[study], np.random.default_rng(tmp)
    classes = ("background", "0", "1", "2", "3", "4") if own.class_metric else ()
    runs = [
        Run(
            loss,
            seed,
            "diverged" if (i, seed) == (0, 3) else "finished",
            test={m.name: 3 * i + float(rng.normal(10, 1)) for m in own.metrics},
            test_classes=rng.random(len(classes)).tolist(),
            seconds=12.34,
        )
        for i, loss in enumerate(own.losses)
        for seed in range(5)
    ]
    return Comparison(
        study=study,
        contenders=tuple(Contender(loss, "", (), None) for loss in own.losses),
        metrics=tuple(Column(m.name, m.label, m.better, m.every_epoch) for m in own.metrics),
        class_metric=own.class_metric.label if own.class_metric else "",
        classes=classes,
        seeds=tuple(range(5)),
        setting={},
        runs=runs,
        complete=True,
    )


def check_lines(text: str, width: int, names: tuple[str, ...]) -> None:
    for line in text.splitlines():
        assert len(line) <= width or " " not in line.strip(), line
        assert line == line.rstrip()
    for name in names:
        assert re.search(rf"(?m)^{re.escape(name)}(\s|$)", text), name


@pytest.mark.parametrize("width", [*WIDTHS, None])  # None: a pipe
@pytest.mark.parametrize("study", STUDIES)
def test_every_table_fits(
    study: str, width: int | None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    if width is not None:
        monkeypatch.setenv("COLUMNS", str(width))
    found = finished(study)
    compare._show(found, Path("reports") / study, False)
    text = capsys.readouterr().out
    check_lines(text, width or 80, STUDIES[study].losses)
    for run in (run for run in found.runs if run.status == "finished"):
        assert len(found.metrics) == len(run.test)
    flat = " ".join(text.split())
    for metric in found.metrics:
        assert metric.label.split()[-1] in flat
    assert "1 of 5 runs diverged" in flat
    assert f"Report: reports/{study}/report.html" in flat


@pytest.mark.parametrize("width", WIDTHS)
def test_outliers_and_boxes_fit(
    width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    shares = tuple(finished("regression", k) for k in range(3))
    compare._show_outliers(Outliers((0, 0.05, 0.2), shares), Path("reports/regression"), False)
    text = capsys.readouterr().out
    check_lines(text, width, STUDIES["regression"].losses)
    assert "20 %" in text
    losses = ("iou:form=log", "diou+0.5*wiou", "alpha_iou:form=ciou:alpha=3")
    results = [Regression(loss, np.ones(200), np.ones(3), 0.5, 1.0) for loss in losses]
    simulate._table(results, 34_300)
    text = capsys.readouterr().out
    check_lines(text, width, losses)
    assert text.count("at 160") == 1


def test_columns_that_do_not_fit_go_below() -> None:
    names = [Text("a"), Text("a_long_name:option=1")]
    columns = [grid.Column(f"metric\n{k}", [Text("0.123 ±.001"), Text("1")]) for k in range(4)]
    assert [line.plain for line in grid.layout("loss", names[:1], columns[:2], 31)] == [
        "           metric       metric",
        "loss            0            1",
        "a     0.123 ±.001  0.123 ±.001",
    ]
    wide, narrow = (grid.layout("loss", names, columns, width) for width in (200, 60))
    assert len(wide) == 4
    assert len(narrow) == 9
    assert [line.plain for line in grid.layout("loss", names[1:], columns[:2], 30)] == [
        "a_long_name:option=1",
        "  metric 0  0.123 ±.001",
        "  metric 1  0.123 ±.001",
    ]
