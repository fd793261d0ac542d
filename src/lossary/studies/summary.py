"""Results in a few numbers and sentences: means, spreads, and which differences are more than chance."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from lossary.studies.results import Column, Comparison

CONFIDENCE = 0.95


@dataclasses.dataclass(frozen=True)
class Score:
    """One metric of one loss over its finished runs."""

    mean: float  # NaN without a finished run
    spread: float  # standard deviation over the seeds; NaN with fewer than two
    values: tuple[float, ...]
    best: bool  # of all losses

    def __str__(self) -> str:
        spread = "" if math.isnan(self.spread) else " ±" + f"{self.spread:.3f}".removeprefix("0")
        return self.short() + spread

    def short(self) -> str:
        """Without the spread."""
        return "–" if math.isnan(self.mean) else f"{self.mean:.3f}"


@dataclasses.dataclass(frozen=True)
class Row:
    """One loss in the table."""

    loss: str
    scores: dict[str, Score]  # by metric name
    classes: dict[str, Score]  # the per-class metric by class name
    finished: int
    diverged: int
    seconds: float  # mean of the finished runs

    def note(self) -> str:
        if not self.diverged:
            return ""
        return f"{self.diverged} of {self.finished + self.diverged} runs diverged"


@dataclasses.dataclass(frozen=True)
class Difference:
    """How far a loss is from the leading one in a metric, seed by seed, with a confidence interval."""

    loss: str
    mean: float
    low: float
    high: float

    @property
    def clear(self) -> bool:
        return self.low > 0 or self.high < 0


def rows(comparison: Comparison) -> list[Row]:
    """One row per loss, the best in the first metric first."""
    finished = {contender.label: comparison.finished(contender.label) for contender in comparison.contenders}
    scores = {
        metric.name: _scores(
            {label: [run.test[metric.name] for run in runs] for label, runs in finished.items()}, metric
        )
        for metric in comparison.metrics
    }
    classes = {
        name: _scores({label: [run.test_classes[k] for run in runs] for label, runs in finished.items()}, None)
        for k, name in enumerate(comparison.classes)
    }
    table = [
        Row(
            loss=label,
            scores={name: score[label] for name, score in scores.items()},
            classes={name: score[label] for name, score in classes.items()},
            finished=len(runs),
            diverged=sum(run.status == "diverged" for run in comparison.runs_of(label)),
            seconds=_mean([run.seconds for run in runs]),
        )
        for label, runs in finished.items()
    ]
    first = comparison.metrics[0]
    sign = -1 if first.better == "high" else 1
    means = {row.loss: row.scores[first.name].mean for row in table}
    return sorted(table, key=lambda row: (math.isnan(means[row.loss]), sign * means[row.loss]))


def _scores(values: dict[str, list[float]], metric: Column | None) -> dict[str, Score]:
    """The scores of all losses in one metric; a class metric has no column of its own, and high is good."""
    means = {label: _mean(own) for label, own in values.items()}
    known = [mean for mean in means.values() if not math.isnan(mean)]
    choose = min if metric is not None and metric.better == "low" else max
    best = choose(known, default=math.nan)
    return {label: Score(means[label], _spread(own), tuple(own), means[label] == best) for label, own in values.items()}


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else math.nan


def _spread(values: Sequence[float]) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else math.nan


def differences(comparison: Comparison) -> list[Difference]:
    """The first metric of every loss minus that of the leading one, by a paired t interval over the seeds they share.

    Runs are paired, since runs of one seed start from the same weights and see the same batches.
    """
    from scipy.stats import t  # pyright: ignore[reportMissingTypeStubs]

    metric, table = comparison.metrics[0], rows(comparison)
    leader = {run.seed: run.test[metric.name] for run in comparison.finished(table[0].loss)}
    found: list[Difference] = []
    for row in table[1:]:
        own = {run.seed: run.test[metric.name] for run in comparison.finished(row.loss)}
        gaps = [own[seed] - leader[seed] for seed in own if seed in leader]
        if len(gaps) < 2:
            continue
        quantile = float(t.ppf((1 + CONFIDENCE) / 2, len(gaps) - 1))  # pyright: ignore[reportUnknownMemberType]
        reach = quantile * _spread(gaps) / math.sqrt(len(gaps))
        found.append(Difference(row.loss, _mean(gaps), _mean(gaps) - reach, _mean(gaps) + reach))
    return found


def same_start(comparison: Comparison) -> bool:
    """Whether all finished runs of a seed had the same initial weights and the same batches in the same order."""
    for seed in comparison.seeds:
        finished = [run for run in comparison.runs if run.seed == seed and run.status == "finished"]
        if len({(run.weights, run.batches) for run in finished}) > 1:
            return False
    return True


def findings(comparison: Comparison) -> list[str]:
    """What the first metric says and what it does not, in sentences."""
    metric, table = comparison.metrics[0], rows(comparison)
    lines: list[str] = []
    if not comparison.complete:
        planned = len(comparison.contenders) * len(comparison.seeds)
        done = sum(run.status != "interrupted" for run in comparison.runs)
        lines.append(f"Incomplete: {done} of {planned} runs ended before the comparison was interrupted.")
    if not table[0].finished:
        return [*lines, "No run has finished."]
    word = "Highest" if metric.better == "high" else "Lowest"
    seeds = "one seed" if table[0].finished == 1 else f"{table[0].finished} seeds"
    lines.append(f"{word} {metric.label} on the test set: {table[0].loss}, {table[0].scores[metric.name]} ({seeds}).")
    gaps = differences(comparison)
    if len(table) > 1 and not gaps:
        lines.append("One seed tells nothing about chance: use more seeds to see which differences hold.")
    if clear := [f"{gap.loss} ({gap.mean:+.3f})" for gap in gaps if gap.clear]:
        lines.append(f"Beyond the chance of seeds (paired 95 % t interval) from it: {', '.join(clear)}.")
    if unclear := [f"{gap.loss} ({gap.mean:+.3f})" for gap in gaps if not gap.clear]:
        lines.append(f"Not to be told from it with {seeds}: {', '.join(unclear)}.")
    if not same_start(comparison):
        lines.append("Caution: batches or initial weights differed between losses; does a loader shuffle by itself?")
    if diverged := [f"{row.loss} ({row.note()})" for row in table if row.diverged]:
        lines.append(f"Diverged: {', '.join(diverged)}; means are of the finished runs.")
    return lines


def to_dict(comparison: Comparison) -> list[dict[str, Any]]:
    """The table for programs; None stands for what is not a number."""
    gaps = {gap.loss: dataclasses.asdict(gap) for gap in differences(comparison)}
    return [
        {
            "loss": row.loss,
            "finished": row.finished,
            "diverged": row.diverged,
            "seconds": _known(row.seconds),
            "difference": gaps.get(row.loss),  # of the first metric from the best loss, with its interval
            "metrics": {name: _plain(score) for name, score in row.scores.items()},
            "classes": {name: _plain(score) for name, score in row.classes.items()},
        }
        for row in rows(comparison)
    ]


def _plain(score: Score) -> dict[str, Any]:
    return {"mean": _known(score.mean), "std": _known(score.spread), "best": score.best}


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
