"""`lossary compare`: a thin skin over `lossary.studies.compare`."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from lossary.studies.results import Comparison

THREADS = 1
"""Networks this small gain little from a second thread and lose much by it where other programs run."""

CLASSES = 7
"""More do not fit beside one another; the report and --json have them all."""


def compare(
    study: Annotated[str, typer.Argument(help="segmentation, classification or detection")],
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
            help="Your own .npz instead of the digits. Arrays: images (N, H, W) or (N, channels, H, W); masks "
            "(N, H, W) for segmentation, labels (N,) for classification, or labels (N, M) and boxes (N, M, 4) for "
            "detection, integers from 0; optionally split (N,) of train, validation, test, and classes, their names.",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for report.html and results.json; replaced if there. [reports/STUDY]")
    ] = None,
    threads: Annotated[int, typer.Option(help="Threads of torch.")] = THREADS,
    as_json: Annotated[bool, typer.Option("--json", help="Print results as JSON instead of a table.")] = False,
) -> None:
    """Train the same small model with each loss on real data, and report which does what.

    Writes a table and one HTML page with curves and pictures. Without --data it uses scikit-learn's handwritten digits.
    """
    from lossary.studies import compare as run
    from lossary.studies.results import FILE, Comparison

    folder = out or Path("reports") / study
    try:
        comparison = run(
            losses,
            study=study,
            class_loss=class_loss,
            data=data,
            seeds=seeds,
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            out=folder,
            threads=threads,
            progress=not as_json,
        )
    except KeyboardInterrupt:
        # a complete one was there before, and this comparison did not come as far as its first run
        if (folder / FILE).exists() and not (found := Comparison.load(folder)).complete:
            _show(found, folder, as_json)
        raise
    _show(comparison, folder, as_json)


def _show(comparison: Comparison, folder: Path, as_json: bool) -> None:
    from lossary.studies import summary
    from lossary.studies.comparison import REPORT

    report = folder / REPORT
    if as_json:
        found = {"summary": summary.to_dict(comparison), "findings": summary.findings(comparison)}
        everything = {"report": str(report), **found, **comparison.to_dict()}
        typer.echo(json.dumps(everything, indent=1, allow_nan=False))
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
    if len(comparison.classes) <= CLASSES:
        console.print(classes)
