"""`lossary compare`: a thin skin over `lossary.studies.compare`."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from lossary.studies import summary
    from lossary.studies.outliers import Outliers
    from lossary.studies.results import Comparison

THREADS = 1
"""Networks this small gain little from a second thread and lose much by it where other programs run."""

CLASSES = 7
"""A table of more is long; the report and --json have them all."""

STAR = "* the best, or not to be told from it, where it is told from some"


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
    seeds: Annotated[
        int,
        typer.Option(help="Number of runs with each loss. With fewer than five, hardly any difference can be told."),
    ] = 5,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training data.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images in a batch.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Peak rate of AdamW.")] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Your own .npz, as numpy.savez writes it. Arrays: images (N, H, W) or (N, channels, H, W); masks "
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
    from lossary.studies.outliers import SHARES, Outliers, compare_outliers, part
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
        # not of an older comparison
        done = [folder / part(share) for share in shares if _since(folder / part(share) / FILE, start)]
        if done:
            loaded = tuple(Comparison.load(place) for place in done)
            _show_outliers(Outliers(shares, loaded), folder, as_json)
        raise
    _show_outliers(found, folder, as_json)


def _since(file: Path, start: float) -> bool:
    return file.exists() and file.stat().st_mtime >= start


def _show_outliers(found: Outliers, folder: Path, as_json: bool) -> None:
    from rich.console import Console
    from rich.text import Text

    from lossary.cli import grid
    from lossary.studies.comparison import REPORT
    from lossary.studies.outliers import part

    if as_json:
        shown = [
            {"outliers": share, **_as_dict(comparison, folder / part(share) / REPORT)}
            for share, comparison in zip(found.reached, found.comparisons, strict=True)
        ]
        everything = {"report": str(folder / REPORT), "findings": found.findings(), "shares": shown}
        typer.echo(json.dumps(everything, indent=1, allow_nan=False))
        return
    console, first, errors = Console(), found.comparisons[0], found.errors()
    columns = [
        grid.Column(f"{100 * share:g} %\noutliers ↓", [_cell(scores[k], str(scores[k])) for scores in errors.values()])
        for k, share in enumerate(found.reached)
    ]
    title = f"regression, {first.metrics[0].label} on the test set{_spread(first)}; {STAR}"
    grid.show(console, title, "loss", [Text(loss) for loss in errors], columns)
    for line in found.findings():
        grid.paragraph(console, line)
    for share, comparison in zip(found.reached, found.comparisons, strict=True):
        if not comparison.complete:
            grid.paragraph(console, f"Incomplete: {share:.0%} outliers.")
    others = " and ".join(metric.label for metric in first.metrics[1:])
    grid.paragraph(console, f"All shares: {folder / REPORT}, with a report on each that has {others} too.")


def _as_dict(comparison: Comparison, report: Path) -> dict[str, Any]:
    from lossary.studies import summary

    found = {
        "summary": summary.to_dict(comparison),
        "told": summary.told_pairs(comparison),
        "findings": summary.findings(comparison),
    }
    return {"report": str(report), **found, **comparison.to_dict()}


def _show(comparison: Comparison, folder: Path, as_json: bool) -> None:
    from rich.console import Console

    from lossary.cli import grid
    from lossary.studies import summary
    from lossary.studies.comparison import REPORT

    report = folder / REPORT
    if as_json:
        typer.echo(json.dumps(_as_dict(comparison, report), indent=1, allow_nan=False))
        return
    console = Console()
    _tables(comparison, console)
    for line in summary.findings(comparison):
        grid.paragraph(console, line)
    minutes, seconds = divmod(round(comparison.seconds), 60)
    grid.paragraph(console, f"{len(comparison.runs)} runs in {minutes} min {seconds} s. Report: {report}")


def _tables(comparison: Comparison, console: Console) -> None:
    """The metrics with their spread, and the means of the per-class metric where there are few classes."""
    from rich.text import Text

    from lossary.cli import grid
    from lossary.studies import summary

    table = summary.rows(comparison)
    names: list[Text] = []
    for row in table:
        name = Text(row.loss)
        if row.diverged:
            name.append(f"\n  {row.note()}", style="red")
        names.append(name)
    columns: list[grid.Column] = []
    for metric in comparison.metrics:
        arrow = "↑" if metric.better == "high" else "↓"
        cells = [_cell(row.scores[metric.name], str(row.scores[metric.name])) for row in table]
        columns.append(grid.Column(f"{metric.label.replace(' ', chr(10), 1)} {arrow}", cells))
    seconds = [Text("–" if math.isnan(row.seconds) else f"{row.seconds:.1f}") for row in table]
    columns.append(grid.Column("seconds\nper run", seconds))
    star = f"; {STAR}" if len(table) > 1 and len(comparison.seeds) > 1 else ""
    grid.show(console, f"{comparison.study}, test set{_spread(comparison)}{star}", "loss", names, columns)
    if 0 < len(comparison.classes) <= CLASSES:
        columns = [grid.Column(name, [Text(row.classes[name].short()) for row in table]) for name in comparison.classes]
        title = f"{comparison.class_metric} by class, not judged"
        grid.show(console, title, "loss", [Text(row.loss) for row in table], columns)


def _spread(comparison: Comparison) -> str:
    seeds = len(comparison.seeds)
    return f", mean ± standard deviation of {seeds} seeds" if seeds > 1 else ""


def _cell(score: summary.Score, text: str) -> Text:
    from rich.text import Text

    return Text(f"{text}{'*' if score.best else ' '}", style="bold green" if score.best else "")
