"""`lossary compare`: a thin skin over `lossary.studies.compare`."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from lossary.studies.results import Comparison

INTERRUPTED = 130
"""The exit code of a program that was stopped by Ctrl-C."""

THREADS = min(4, os.cpu_count() or 1)


def compare(
    study: Annotated[str, typer.Argument(help="segmentation or classification")],
    losses: Annotated[
        str | None,
        typer.Option(
            help="Comma separated; options after ':', sums with '+', weights with '*': "
            "focal:gamma=1,dice+0.5*cross_entropy,cross_entropy:class_weight=balanced",
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(help="Number of runs with each loss.")] = 2,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training data.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images in a batch.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Peak rate of AdamW.")] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Your own .npz instead of the digits: images (N, H, W) or (N, channels, H, W) with masks (N, H, W) for "
            "segmentation or labels (N,) for classification, integers from 0; optional split (N,) of train, validation, "
            "test, and classes, their names.",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for report.html and results.json; replaced if there. [reports/STUDY]")
    ] = None,
    threads: Annotated[int, typer.Option(help="Threads of torch; small networks gain nothing from many.")] = THREADS,
    as_json: Annotated[bool, typer.Option("--json", help="Print results as JSON instead of a table.")] = False,
) -> None:
    """Train the same small model with each loss on real data, and report which does what.

    Writes a table and one HTML page with curves and pictures. Without --data it uses scikit-learn's handwritten digits.
    """
    from lossary.studies import InputError
    from lossary.studies import compare as run
    from lossary.studies.results import Comparison

    folder = out or Path("reports") / study
    try:
        comparison = run(
            losses,
            study=study,
            data=data,
            seeds=seeds,
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            out=folder,
            threads=threads,
            progress=not as_json,
        )
    except InputError as error:
        typer.echo(f"lossary compare: {error}", err=True)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        _show(Comparison.load(folder), folder, as_json)
        raise typer.Exit(INTERRUPTED) from None
    _show(comparison, folder, as_json)


def _show(comparison: Comparison, folder: Path, as_json: bool) -> None:
    from lossary.studies import summary
    from lossary.studies.comparison import REPORT

    report = folder / REPORT
    if as_json:
        found = {"summary": summary.to_dict(comparison), "findings": summary.findings(comparison), "report": str(report)}
        typer.echo(json.dumps({**found, **comparison.to_dict()}, indent=1, allow_nan=False))
        return
    _table(comparison)
    for line in summary.findings(comparison):
        typer.echo(line)
    minutes, seconds = divmod(round(comparison.seconds), 60)
    typer.echo(f"{len(comparison.runs)} runs in {minutes} min {seconds} s. Report: {report}")


def _table(comparison: Comparison) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from lossary.studies import summary

    count = len(comparison.seeds)
    spread = f", mean ± standard deviation over {count} seeds" if count > 1 else ""
    table = Table(title=f"{comparison.study}: test set{spread}; * best")
    table.add_column("loss", overflow="fold")
    for metric in comparison.metrics:
        table.add_column(f"{metric.label} {'↑' if metric.better == 'high' else '↓'}", justify="right")
    table.add_column("s/run", justify="right")
    for row in summary.rows(comparison):
        name = Text(row.loss)
        if row.diverged:
            name.append(f" ({row.note()})", style="red")
        cells = [
            Text(f"{score}{'*' if score.best else ' '}", style="bold green" if score.best else "", no_wrap=True)
            for score in row.scores.values()
        ]
        table.add_row(name, *cells, "–" if math.isnan(row.seconds) else f"{row.seconds:.1f}")
    Console().print(table)
