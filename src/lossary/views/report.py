"""The report of a comparison: one HTML page that needs nothing else, no network and no other file."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lossary.core.extras import needed
from lossary.studies import summary
from lossary.studies.files import write_whole
from lossary.studies.results import Comparison
from lossary.studies.verdicts import ANNOUNCED
from lossary.views import charts

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

    from lossary.studies.study import Section

_BARS = 12
"""Classes in the chart of bars; of more, the hardest are shown."""


def write(comparison: Comparison, sections: Sequence[Section], path: Path) -> None:
    """Writes the report."""
    write_whole(path, page(comparison, sections))


def page(comparison: Comparison, sections: Sequence[Section]) -> str:
    """The whole page; `sections` are what the study itself has to show."""
    minutes, seconds = divmod(round(comparison.seconds), 60)
    return render(
        "report.html",
        comparison=comparison,
        colours=colours(comparison),
        rows=summary.rows(comparison),
        differences={gap.loss: gap for gap in summary.differences(comparison)},
        findings=summary.findings(comparison),
        told=_told(comparison),
        level=ANNOUNCED,
        needed=functools.partial(summary.needed, comparison=comparison),
        strips=_strips(comparison),
        metric_charts=_metric_charts(comparison),
        loss_charts=_loss_charts(comparison),
        bars=_bars(comparison),
        sections=sections,
        duration=f"{minutes} min {seconds} s" if minutes else f"{seconds} s",
        same_start=summary.same_start(comparison),
    )


def render(template: str, **context: Any) -> str:
    """A template of this package, filled in."""
    return _environment().get_template(template).render(**context)


def colours(comparison: Comparison) -> dict[str, int]:
    """For each loss the number of its colour on the page: its place in the order in which losses were named."""
    return {contender.label: i % charts.COLOURS for i, contender in enumerate(comparison.contenders)}


@functools.cache
def _environment() -> Environment:
    with needed("reports", "studies"):
        from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("lossary", "views/templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["breakable"] = _breakable
    return environment


def _breakable(label: str) -> Markup:
    """A long spec may break before an option or a term and between words, and need not in the middle of one."""
    from markupsafe import Markup

    return Markup("<wbr>").join(re.split(r"(?=[:+])|(?<=_)", label))


def _told(comparison: Comparison) -> list[tuple[str, dict[str, list[str]]]]:
    """For each metric, by its label, which losses are better than which beyond chance."""
    table, found = summary.rows(comparison), summary.verdicts(comparison)
    return [(m.label, summary.announced(table, m, found, m.name)) for m in comparison.metrics]


def _strips(comparison: Comparison) -> dict[str, tuple[float, float]]:
    """For each metric the lowest and highest value of any finished run: the ends of the strips of dots."""
    ends: dict[str, tuple[float, float]] = {}
    for metric in comparison.metrics:
        values = [run.test[metric.name] for run in comparison.runs if run.status == "finished"]
        known = [value for value in values if np.isfinite(value)]
        ends[metric.name] = (min(known), max(known)) if known else (0.0, 0.0)
    return ends


def _history(comparison: Comparison, label: str, metric: str | None) -> np.ndarray:
    """Values by seed and epoch of a validation metric, or of the training loss."""
    runs = [run for run in comparison.runs_of(label) if run.epochs]
    length = max((len(run.epochs) for run in runs), default=0)
    values = np.full((len(runs), length), np.nan)
    for row, run in zip(values, runs, strict=True):
        row[: len(run.epochs)] = [e.loss if metric is None else e.validation[metric] for e in run.epochs]
    return values


def _metric_charts(comparison: Comparison) -> list[tuple[str, str]]:
    """Heading and chart of each validation metric, all losses in one."""
    found: list[tuple[str, str]] = []
    for metric in (m for m in comparison.metrics if m.every_epoch):
        lines = [
            charts.Curve(i, values)
            for i, contender in enumerate(comparison.contenders)
            if (values := _history(comparison, contender.label, metric.name)).size
        ]
        if lines:
            arrow = "higher is better" if metric.better == "high" else "lower is better"
            found.append((f"{metric.label}, {arrow}", charts.curves(lines, label=f"{metric.label} by epoch")))
    return found


def _loss_charts(comparison: Comparison) -> dict[str, str]:
    """The training loss of each loss in a chart of its own, for their scales have nothing in common."""
    found: dict[str, str] = {}
    for i, contender in enumerate(comparison.contenders):
        values = _history(comparison, contender.label, None)
        if values.size:
            low, high = np.nanmin(values), np.nanmax(values)
            found[contender.label] = charts.curves(
                [charts.Curve(i, values)],
                width=2.7,
                height=1.8,
                logarithmic=bool(0 < 100 * low < high),
                label="training loss by epoch",
            )
    return found


def _bars(comparison: Comparison) -> list[dict[str, Any]]:
    """For each class the scores of all losses, in the order in which losses were named."""
    counts: list[int] | None = comparison.setting["class_counts"]
    table = {row.loss: row for row in summary.rows(comparison) if row.finished}
    labels = [contender.label for contender in comparison.contenders if contender.label in table]
    found: list[dict[str, Any]] = []
    for k, name in enumerate(comparison.classes):
        scores = {label: table[label].classes[name] for label in labels}
        scores = {label: score for label, score in scores.items() if not math.isnan(score.mean)}
        if scores:
            found.append({"name": name, "scores": scores, "share": counts[k] / sum(counts) if counts else None})
    if len(found) > _BARS:
        found.sort(key=lambda entry: float(np.mean([score.mean for score in entry["scores"].values()])))
    return found[:_BARS]
