"""Results in a few numbers and sentences: means, spreads, and which differences are more than chance (`verdicts`)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from lossary.studies.results import Column, Comparison
from lossary.studies.verdicts import ANNOUNCED, LEVEL, MOST_SEEDS, Verdicts


@dataclasses.dataclass(frozen=True)
class Score:
    """One metric of one loss over its finished runs."""

    mean: float  # NaN without a finished run
    spread: float  # standard deviation over the seeds; NaN with fewer than two
    values: tuple[float, ...]
    chance: float = math.nan  # p-value of its difference from the leader, corrected for the whole report
    best: bool = False  # the leader of a metric that tells it from some loss, or one that is not told from it

    @property
    def told(self) -> bool:
        """Whether it is worse than the leader beyond chance."""
        return self.chance <= ANNOUNCED

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
    """How far a loss is from the leading one in the metric that ranks."""

    loss: str
    mean: float
    chance: float  # p-value, corrected for the whole report
    told: bool  # beyond chance
    seeds: int | None  # that would tell; None where it is told, or where more than MOST_SEEDS would be needed


def verdicts(comparison: Comparison) -> Verdicts:
    """What differs beyond chance, of all pairs of losses in all metrics of the test set."""
    losses = tuple(contender.label for contender in comparison.contenders)
    metrics = tuple(metric.name for metric in comparison.metrics)
    values = np.full((len(losses), len(comparison.seeds), len(metrics)), np.nan)
    for i, loss in enumerate(losses):
        for run in comparison.finished(loss):
            values[i, comparison.seeds.index(run.seed)] = [run.test[name] for name in metrics]
    return Verdicts.of(losses, metrics, values)


def rows(comparison: Comparison) -> list[Row]:
    """One row per loss, the best in the first metric first."""
    finished = {contender.label: comparison.finished(contender.label) for contender in comparison.contenders}
    found = verdicts(comparison)
    scores = {
        metric.name: judged(
            {label: [run.test[metric.name] for run in runs] for label, runs in finished.items()},
            metric,
            found,
            metric.name,
        )
        for metric in comparison.metrics
    }
    # without verdicts: a test for each class would cost those of the metrics their power
    classes = {
        name: {label: score([run.test_classes[k] for run in runs]) for label, runs in finished.items()}
        for k, name in enumerate(comparison.classes)
    }
    table = [
        Row(
            loss=label,
            scores={name: own[label] for name, own in scores.items()},
            classes={name: own[label] for name, own in classes.items()},
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


def score(values: Sequence[float]) -> Score:
    """Of the runs of one loss, with no verdict."""
    return Score(_mean(values), _spread(values), tuple(values))


def judged(values: dict[str, list[float]], metric: Column, found: Verdicts, name: str) -> dict[str, Score]:
    """The scores of all losses in one metric, which is called `name` in the verdicts."""
    scores = {label: score(own) for label, own in values.items()}
    first = leader({label: own.mean for label, own in scores.items()}, metric)
    if first is None:
        return scores
    chances = {label: found.chance(label, first, name) for label in scores}
    telling = any(chance <= ANNOUNCED for chance in chances.values())
    return {
        label: dataclasses.replace(
            own,
            chance=chances[label],
            best=telling and (label == first or chances[label] > ANNOUNCED),
        )
        for label, own in scores.items()
    }


def leader(means: dict[str, float], metric: Column) -> str | None:
    """The loss of the best mean; None where no run has finished."""
    known = {label: mean for label, mean in means.items() if not math.isnan(mean)}
    choose = min if metric.better == "low" else max
    return choose(known, key=lambda label: known[label], default=None)


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else math.nan


def _spread(values: Sequence[float]) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else math.nan


def differences(comparison: Comparison) -> list[Difference]:
    """The first metric of every loss minus that of the leading one, where both have runs enough to tell."""
    metric, table, found = comparison.metrics[0].name, rows(comparison), verdicts(comparison)
    first = table[0]
    gaps: list[Difference] = []
    for row in table[1:]:
        own = row.scores[metric]
        if not math.isnan(own.chance):
            seeds = None if own.told else found.seeds_needed(row.loss, first.loss, metric)
            gaps.append(Difference(row.loss, own.mean - first.scores[metric].mean, own.chance, own.told, seeds))
    return gaps


def announced(table: list[Row], metric: Column, found: Verdicts, name: str) -> dict[str, list[str]]:
    """The losses that are better than some beyond chance, the best first, with those that they are better than."""
    means = {row.loss: row.scores[metric.name].mean for row in table}
    sign = -1 if metric.better == "high" else 1
    order = sorted((loss for loss in means if not math.isnan(means[loss])), key=lambda loss: sign * means[loss])
    pairs = {a: [b for b in order[k + 1 :] if found.told(a, b, name)] for k, a in enumerate(order)}
    return {better: worse for better, worse in pairs.items() if worse}


def same_start(comparison: Comparison) -> bool:
    """Whether all finished runs of a seed had the same initial weights and the same batches in the same order."""
    for seed in comparison.seeds:
        finished = [run for run in comparison.runs if run.seed == seed and run.status == "finished"]
        if len({(run.weights, run.batches) for run in finished}) > 1:
            return False
    return True


def findings(comparison: Comparison) -> list[str]:
    """What the comparison says and what it does not, in sentences; that nothing can be told comes first."""
    table, gaps = rows(comparison), differences(comparison)
    lines: list[str] = []
    if not comparison.complete:
        planned = len(comparison.contenders) * len(comparison.seeds)
        done = sum(run.status != "interrupted" for run in comparison.runs)
        lines.append(f"Incomplete: {done} of {planned} runs ended before the comparison was interrupted.")
    if not table[0].finished:
        return [*lines, "No run has finished."]
    found, first = verdicts(comparison), comparison.metrics[0]
    if len(table) > 1:
        lines += headline(found, _count(comparison))
    if found.any_told() and not found.any_told(first.name):
        lines.append(f"Nothing can be told in {first.label} with {_count(comparison)}.")
    lines += _ranking(comparison, table, gaps)
    if gaps:
        lines += _every_metric(comparison, table)
    if not same_start(comparison):
        lines.append("Caution: batches or initial weights differed between losses; does a loader shuffle by itself?")
    if diverged := [f"{row.loss} ({row.note()})" for row in table if row.diverged]:
        lines.append(f"Diverged: {', '.join(diverged)}; means are of the finished runs.")
    return lines


def headline(found: Verdicts, seeds: str) -> list[str]:
    """That nothing can be told, where it is so."""
    if found.any_told():
        return []
    if not found.comparisons:
        return [f"Nothing can be told: {seeds} for each loss cannot show what is chance; use five seeds or more."]
    share = f"in {100 * LEVEL:g} % of such reports at most"
    told = f"no two losses differ beyond chance ({found.comparisons} comparisons; equal losses would differ {share})"
    return [f"Nothing can be told: with {seeds} {told}."]


def _count(comparison: Comparison) -> str:
    return "one seed" if len(comparison.seeds) == 1 else f"{len(comparison.seeds)} seeds"


def _ranking(comparison: Comparison, table: list[Row], gaps: list[Difference]) -> list[str]:
    """The first metric: who leads, from whom that can be told, and how many seeds would tell the others."""
    metric, first, seeds = comparison.metrics[0], table[0], _count(comparison)
    word = "Highest" if metric.better == "high" else "Lowest"
    lines = [f"{word} {metric.label} on the test set: {first.loss}, {first.scores[metric.name]} ({seeds})."]
    if told := [f"{gap.loss} ({gap.mean:+.3f})" for gap in gaps if gap.told]:
        lines.append(f"Beyond chance from it: {', '.join(told)}.")
    if open_ := [f"{gap.loss} ({gap.mean:+.3f}; {needed(gap.seeds, comparison)})" for gap in gaps if not gap.told]:
        lines.append(f"Not to be told from it with {seeds}: {', '.join(open_)}.")
        if any(gap.seeds is not None for gap in gaps):
            lines.append("Seeds that would tell are reckoned from these means and spreads, to do so 4 times in 5.")
    return lines


def needed(seeds: int | None, comparison: Comparison) -> str:
    """How many more runs of each loss a difference asks for."""
    more = MOST_SEEDS if seeds is None else seeds
    more -= len(comparison.seeds)
    return f"over {more} more seeds" if seeds is None else f"{more} more {'seed' if more == 1 else 'seeds'}"


def _every_metric(comparison: Comparison, table: list[Row]) -> list[str]:
    """The verdict on each metric, but for what `_ranking` has said of the first."""
    found = verdicts(comparison)
    lines: list[str] = []
    nothing: list[str] = []
    for metric in comparison.metrics:
        pairs = announced(table, metric, found, metric.name)
        first = leader({row.loss: row.scores[metric.name].mean for row in table}, metric)
        if not pairs and metric is not comparison.metrics[0]:
            nothing.append(metric.label)
        elif not pairs:
            continue  # `findings` has said so before all else
        elif first not in pairs:
            apart = "; ".join(f"{better} from {', '.join(worse)}" for better, worse in pairs.items())
            lines.append(
                f"{metric.label}: the best, {first}, cannot be told from any, but others from one another: {apart}."
            )
        elif metric is not comparison.metrics[0]:
            word = "highest" if metric.better == "high" else "lowest"
            lines.append(f"{metric.label}: {first} is {word}, beyond chance from {', '.join(pairs[first])}.")
    if lines and nothing:  # where nothing at all can be told, it has been said
        lines.append(f"No two losses can be told apart in {', '.join(nothing)}.")
    return lines


def told_pairs(comparison: Comparison) -> list[dict[str, Any]]:
    """Every difference that is announced, for programs."""
    table, found = rows(comparison), verdicts(comparison)
    return [
        {"metric": metric.name, "better": better, "worse": loss, "p": found.chance(better, loss, metric.name)}
        for metric in comparison.metrics
        for better, worse in announced(table, metric, found, metric.name).items()
        for loss in worse
    ]


def to_dict(comparison: Comparison) -> list[dict[str, Any]]:
    """The table for programs; None stands for what is not a number."""
    gaps = {gap.loss: dataclasses.asdict(gap) for gap in differences(comparison)}
    return [
        {
            "loss": row.loss,
            "finished": row.finished,
            "diverged": row.diverged,
            "seconds": _known(row.seconds),
            "difference": gaps.get(row.loss),  # of the first metric from the leader
            "metrics": {name: _plain(score) for name, score in row.scores.items()},
            "classes": {name: _plain(score) for name, score in row.classes.items()},
        }
        for row in rows(comparison)
    ]


def _plain(own: Score) -> dict[str, Any]:
    return {
        "mean": _known(own.mean),
        "std": _known(own.spread),
        "best": own.best,
        "p": _known(own.chance),  # of the difference from the leader, corrected for the whole report
    }


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
