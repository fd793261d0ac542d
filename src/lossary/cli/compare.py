"""`lossary compare`: a thin skin over `lossary.studies.compare`."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from lossary.studies.results import Comparison

THREADS = 1
"""Networks this small gain little from a second thread and lose much by it where other programs run."""

CLASSES = 7
"""More do not fit beside one another; the report and --json have them all."""


def compare(
    study: Annotated[str, typer.Argument(help="segmentation, classification, detection, regression or sequence")],
    losses: Annotated[
        str | None,
        typer.Option(
            help="Comma separated; options after ':', sums with '+', weights with '*': "
            "focal:gamma=1,dice+0.5*cross_entropy,cross_entropy:class_weight=balanced",
        ),
    ] = None,
    class_loss: Annotated[
        str | None,
        typer.Option(help="In detection, where --losses are those of the boxes: the loss of their classes. [focal]"),
    ] = None,
    seeds: Annotated[int, typer.Option(help="Number of runs with each loss.")] = 2,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training data.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images in a batch.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Peak rate of AdamW.")] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Your own .npz instead of the built-in data. Arrays: images (N, H, W) or (N, channels, H, W); masks "
            "(N, H, W) for segmentation, labels (N,) for classification or (N, S), padded with -1, for sequence, "
            "labels (N, M) and boxes (N, M, 4) for detection, integers from 0; or features (N, F) and targets (N,) for "
            "regression; optionally split (N,) of train, validation, test, and classes, their names.",
        ),
    ] = None,
    outliers: Annotated[
        str | None,
        typer.Option(help="Regression: shares of training targets that are ten times too large. [0,.05,.2]"),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for report.html and results.json; replaced if there. [reports/STUDY]")
    ] = None,
    threads: Annotated[int, typer.Option(help="Threads of torch.")] = THREADS,
    as_json: Annotated[bool, typer.Option("--json", help="Print results as JSON instead of a table.")] = False,
) -> None:
    """Train the same small model with each loss on real data, and report which does what.

    Writes a table and one HTML page with curves and pictures. Without --data it uses scikit-learn's handwritten digits,
    or its diabetes patients.
    """
    from lossary.studies import compare as run
    from lossary.studies.results import FILE, Comparison

    folder = out or Path("reports") / study
    settings: dict[str, Any] = {
        "seeds": seeds,
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "out": folder,
        "threads": threads,
        "progress": not as_json,
    }
    if outliers is not None and (study != "regression" or data is not None):
        raise ValueError("--outliers is for regression on the built-in data")
    if study == "regression" and data is None:
        _with_outliers(losses, outliers, settings, as_json)
        return
    try:
        comparison = run(losses, study=study, class_loss=class_loss, data=data, **settings)
    except KeyboardInterrupt:
        # a complete one was there before, and this comparison did not come as far as its first run
        if (folder / FILE).exists() and not (found := Comparison.load(folder)).complete:
            _show(found, folder, as_json)
        raise
    _show(comparison, folder, as_json)


def _with_outliers(losses: str | None, outliers: str | None, settings: dict[str, Any], as_json: bool) -> None:
    """The regression study once for each share, and what they say together."""
    from lossary.studies import compare_outliers
    from lossary.studies.comparison import REPORT
    from lossary.studies.outliers import SHARES, part
    from lossary.studies.results import FILE, Comparison

    try:
        shares = SHARES if outliers is None else tuple(float(share) for share in outliers.split(","))
    except ValueError:
        raise ValueError(f"--outliers takes numbers such as 0,.05,.2; got {outliers!r}") from None
    folder: Path = settings["out"]
    start = time.time()
    try:
        found = compare_outliers(shares, losses, **settings)
    except KeyboardInterrupt:
        for share in shares:
            place = folder / part(share)
            if (place / FILE).exists() and (place / FILE).stat().st_mtime >= start:  # not of an older comparison
                if not as_json:
                    typer.echo(f"\n{share:.0%} outliers")
                _show(Comparison.load(place), place, as_json)
        raise
    if as_json:
        shown = [
            {"outliers": share, **_as_dict(comparison, folder / part(share) / REPORT)}
            for share, comparison in zip(found.shares, found.comparisons, strict=True)
        ]
        everything = {"report": str(folder / REPORT), "findings": found.findings(), "shares": shown}
        typer.echo(json.dumps(everything, indent=1, allow_nan=False))
        return
    for share, comparison in zip(found.shares, found.comparisons, strict=True):
        typer.echo(f"\n{share:.0%} outliers")
        _show(comparison, folder / part(share), as_json)
    for line in found.findings():
        typer.echo(f"\n{line}")
    typer.echo(f"All shares: {folder / REPORT}")


def _as_dict(comparison: Comparison, report: Path) -> dict[str, Any]:
    from lossary.studies import summary

    found = {"summary": summary.to_dict(comparison), "findings": summary.findings(comparison)}
    return {"report": str(report), **found, **comparison.to_dict()}


def _show(comparison: Comparison, folder: Path, as_json: bool) -> None:
    from lossary.studies import summary
    from lossary.studies.comparison import REPORT

    report = folder / REPORT
    if as_json:
        typer.echo(json.dumps(_as_dict(comparison, report), indent=1, allow_nan=False))
        return
    _tables(comparison)
    for line in summary.findings(comparison):
        typer.echo(line)
    minutes, seconds = divmod(round(comparison.seconds), 60)
    typer.echo(f"{len(comparison.runs)} runs in {minutes} min {seconds} s. Report: {report}")


def _tables(comparison: Comparison) -> None:
    """The metrics with their spread, and the means of the per-class metric where there are few classes."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from lossary.studies import summary

    def cell(score: summary.Score, text: str) -> Text:
        return Text(f"{text}{'*' if score.best else ' '}", style="bold green" if score.best else "")

    seeds = len(comparison.seeds)
    spread = f", mean ± standard deviation of {seeds} seeds" if seeds > 1 else ""
    table = Table(title=f"{comparison.study}, test set{spread}; * best", box=None, padding=(0, 2, 0, 0))
    classes = Table(title=f"{comparison.class_metric} by class", box=None, padding=(0, 2, 0, 0))
    for grid in (table, classes):
        grid.add_column("loss", overflow="fold")
    for metric in comparison.metrics:
        arrow = "↑" if metric.better == "high" else "↓"
        table.add_column(f"{metric.label.replace(' ', chr(10), 1)} {arrow}", justify="right", no_wrap=True)
    table.add_column("s/run", justify="right")
    for name in comparison.classes:
        classes.add_column(name, justify="right")
    for row in summary.rows(comparison):
        name = Text(row.loss)
        if row.diverged:
            name.append(f"\n{row.note()}", style="red")
        seconds = "–" if math.isnan(row.seconds) else f"{row.seconds:.1f}"
        table.add_row(name, *(cell(score, str(score)) for score in row.scores.values()), seconds)
        classes.add_row(row.loss, *(cell(score, score.short()) for score in row.classes.values()))
    console = Console()
    console.print(table)
    if 0 < len(comparison.classes) <= CLASSES:
        console.print(classes)
