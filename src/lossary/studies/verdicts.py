"""Which differences between losses are more than chance, over a whole report.

A report compares every pair of losses in every metric, 75 differences for six losses and five metrics, so a threshold
for one difference would announce some in most reports of equal losses. What is announced here passes two tests, each of
which holds the chance of *any* false announcement in a report at LEVEL:

- **Welch's t test, corrected by Holm** over all pairs and metrics. Each pair has its own variances: a loss whose runs
  scatter widely says nothing of two that do not. Holm asks for no independence, and metrics of the same runs have none.
- **Relabelled runs.** Were all losses equal, every assignment of the runs to losses would be as likely as the one seen,
  whatever the shape of the noise; so a difference must be larger than the largest anywhere in the report is in 96 % of
  the reports with shuffled labels. This covers what five runs and a t test cannot: runs that either learn or collapse,
  scores that are at their ceiling or have few possible values, where three equal runs have a variance of 0 by chance.

Runs of one seed share initial weights and batches, yet they are not paired. What they share can only make them alike,
and then the error of a difference is smaller than the one reckoned with: unpaired tests err on the careful side. Paired
tests have four degrees of freedom at five seeds, for which a correction of 75 asks for 10.1 standard errors; Welch's
have up to eight, for which it asks for 5.6. So pairing would pay where runs of a seed correlate by .7 or more, and in
these studies they hardly do. `python -m benchmarks false-alarms` measures how often equal losses are told apart, and
how often unequal ones.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.05
"""Of reports on equal losses at most this share announces a difference."""

ANNOUNCED = 0.04
"""Differences up to this p-value are announced. It is less than LEVEL because Welch's t test is a little liberal where
spreads are unlike: `python -m benchmarks false-alarms` shows what remains."""

POWER = 0.8
"""How sure `seeds_needed` is to see the difference."""

MOST_SEEDS = 200

_SHUFFLES = 999
_BLOCK = 111  # of them at once: memory for all would grow with the pairs

Floats = NDArray[np.float64]


def judge(values: Floats) -> Floats:
    """The p-value of every difference, corrected for all of them; up to ANNOUNCED they are announced.

    Args:
        values: (losses, runs, metrics); NaN where a run has not finished.

    Returns:
        (losses, losses, metrics), symmetric; NaN where there are fewer than two runs, or nothing to compare with.
    """
    from scipy import stats  # pyright: ignore[reportMissingTypeStubs]

    first, second = np.triu_indices(len(values), 1)
    t, freedom = _welch(values)
    tested: Any = freedom > 0
    single: Any = stats.t  # untyped
    p = np.where(tested, 2 * single.sf(t, np.where(tested, freedom, 1.0)), np.nan)
    corrected = _holm(p)
    if (corrected <= ANNOUNCED).any():  # else the second test has nothing to take back
        corrected = np.where(tested, np.maximum(corrected, _relabelled(values, t)), np.nan)
    found = np.full((len(values), *values.shape[:1], values.shape[2]), np.nan)
    found[first, second] = found[second, first] = corrected
    return found


def _welch(values: Floats) -> tuple[Floats, Floats]:
    """t (absolute) and degrees of freedom of all pairs, (…, pairs, metrics), from (…, losses, runs, metrics).

    Both are 0 where a loss has fewer than two runs; t is infinite where no run differs but the means do.
    """
    known = np.isfinite(values)
    count = known.sum(-2)
    filled = np.where(known, values, 0.0)
    mean = filled.sum(-2) / np.maximum(count, 1)
    square = (np.where(known, filled - mean[..., None, :], 0.0) ** 2).sum(-2)
    own = square / np.maximum(count - 1, 1) / np.maximum(count, 1)  # squared standard error of the mean
    i, j = np.triu_indices(values.shape[-3], 1)
    gap = np.abs(mean[..., i, :] - mean[..., j, :])
    # equal numbers summed in another order are equal
    gap[gap <= 1e-12 * (np.abs(mean[..., i, :]) + np.abs(mean[..., j, :]))] = 0.0
    error = own[..., i, :] + own[..., j, :]
    tested = (count[..., i, :] > 1) & (count[..., j, :] > 1)
    parts = sum(own[..., k, :] ** 2 / np.maximum(count[..., k, :] - 1, 1) for k in (i, j))
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(gap == 0, 0.0, gap / np.sqrt(error))
        freedom = np.where(parts > 0, error**2 / parts, 1.0)
    return np.where(tested, t, 0.0), np.where(tested, freedom, 0.0)


def _holm(p: Floats) -> Floats:
    """p-values corrected by Holm's step-down method, over all that are known."""
    flat = p.ravel()
    order = np.argsort(flat)[: np.count_nonzero(np.isfinite(flat))]  # NaN is sorted to the end
    corrected = np.full_like(flat, np.nan)
    corrected[order] = np.minimum(1, np.maximum.accumulate(flat[order] * np.arange(len(order), 0, -1)))
    return corrected.reshape(p.shape)


def _relabelled(values: Floats, t: Floats) -> Floats:
    """For each difference the share of shuffled reports whose largest one is as large, in standard errors.

    Whole runs are shuffled, so the metrics of a run stay together, whatever they have to do with one another.
    """
    losses, runs, metrics = values.shape
    flat = values.reshape(losses * runs, metrics)
    finished = np.flatnonzero(np.isfinite(flat).any(1))
    rng = np.random.default_rng(0)  # the same verdict each time
    as_large = np.ones_like(t)  # the report as it is is one of those that shuffling gives
    for start in range(0, _SHUFFLES, _BLOCK):
        size = min(_BLOCK, _SHUFFLES - start)
        shuffled = np.full((size, *flat.shape), np.nan)
        shuffled[:, finished] = flat[rng.permuted(np.tile(finished, (size, 1)), axis=1)]
        largest = _welch(shuffled.reshape(size, losses, runs, metrics))[0].max((1, 2))
        as_large += (largest[:, None, None] >= t * (1 - 1e-9)).sum(0)
    return as_large / (_SHUFFLES + 1)


def seeds_needed(first: Floats, second: Floats, comparisons: int) -> int | None:
    """How many runs of each loss would tell them apart four times in five, if means and spreads stay as they are.

    Args:
        first: the runs of one loss in a metric.
        second: those of the other.
        comparisons: in the whole report.

    Returns:
        None where that is more than MOST_SEEDS, or cannot be said.
    """
    from scipy import stats  # pyright: ignore[reportMissingTypeStubs]

    if min(len(first), len(second)) < 2:
        return None
    single: Any = stats.t  # untyped
    gap = abs(float(first.mean() - second.mean()))
    a, b = float(first.var(ddof=1)), float(second.var(ddof=1))
    if gap == 0 or a + b == 0:
        return None
    for runs in range(max(len(first), len(second)) + 1, MOST_SEEDS + 1):
        freedom = (runs - 1) * (a + b) ** 2 / (a * a + b * b)
        reach = single.isf(ANNOUNCED / comparisons / 2, freedom) + single.ppf(POWER, freedom)
        if gap / math.sqrt((a + b) / runs) >= reach:
            return runs
    return None


@dataclasses.dataclass(frozen=True)
class Verdicts:
    """What is announced of some losses in some metrics."""

    losses: tuple[str, ...]
    metrics: tuple[str, ...]
    values: Floats  # (losses, runs, metrics)
    p: Floats  # (losses, losses, metrics), as `judge` gives them

    @classmethod
    def of(cls, losses: tuple[str, ...], metrics: tuple[str, ...], values: Floats) -> Verdicts:
        return cls(losses, metrics, values, judge(values))

    def chance(self, first: str, second: str, metric: str) -> float:
        """The corrected p-value of a difference; NaN where none can be given."""
        i, j = self.losses.index(first), self.losses.index(second)
        return float(self.p[i, j, self.metrics.index(metric)])

    def told(self, first: str, second: str, metric: str) -> bool:
        """Whether the two are told apart."""
        return self.chance(first, second, metric) <= ANNOUNCED

    def any_told(self, metric: str | None = None) -> bool:
        """Whether any two losses are told apart, in a metric or at all."""
        p = self.p if metric is None else self.p[..., self.metrics.index(metric)]
        return bool((p <= ANNOUNCED).any())

    @property
    def comparisons(self) -> int:
        return int(np.isfinite(self.p).sum()) // 2

    def seeds_needed(self, first: str, second: str, metric: str) -> int | None:
        """See the function of that name."""
        k = self.metrics.index(metric)
        runs = [self.values[self.losses.index(loss), :, k] for loss in (first, second)]
        a, b = (own[np.isfinite(own)] for own in runs)
        return seeds_needed(a, b, max(self.comparisons, 1))
