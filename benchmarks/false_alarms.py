"""How often reports of `lossary compare` announce differences between equal losses, and how often true ones.

`python -m benchmarks false-alarms` draws the results of runs, judges them as a report does, and counts the reports that
announce anything. Rates have 95 % intervals (Clopper and Pearson). Exit code 1 where a rate is above the level beyond
what so many reports let chance explain.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np
from rich.table import Table
from scipy import stats

from lossary.studies.verdicts import ANNOUNCED, LEVEL, judge

LOSSES, SEEDS, METRICS = (2, 6, 10), (3, 5, 10), 5

Noise = Callable[[np.random.Generator, int, int], np.ndarray]


def _normal(rng: np.random.Generator, losses: int, seeds: int) -> np.ndarray:
    return rng.normal(size=(losses, seeds, METRICS))


def _related(rng: np.random.Generator, losses: int, seeds: int) -> np.ndarray:
    """Metrics that say nearly the same, and what the runs of a seed share."""
    run = rng.normal(size=(losses, seeds, 1)) + rng.normal(size=(1, seeds, 1))
    return run + 0.2 * _normal(rng, losses, seeds)


def _unequal(rng: np.random.Generator, losses: int, seeds: int) -> np.ndarray:
    """Equal means, and deviations from 1 to 10."""
    return _normal(rng, losses, seeds) * np.geomspace(1, 10, losses)[:, None, None]


def _heavy(rng: np.random.Generator, losses: int, seeds: int) -> np.ndarray:
    return rng.standard_t(2, size=(losses, seeds, METRICS))


def _skewed(rng: np.random.Generator, losses: int, seeds: int) -> np.ndarray:
    return rng.exponential(size=(losses, seeds, METRICS))


def _collapsing(rng: np.random.Generator, losses: int, seeds: int) -> np.ndarray:
    """A run learns or does not, with all its metrics."""
    learned = rng.random((losses, seeds, 1)) < 0.5
    return np.where(learned, 0.9, 0.1) + 0.001 * _normal(rng, losses, seeds)


def _tied(rng: np.random.Generator, losses: int, seeds: int) -> np.ndarray:
    """At the ceiling, and of a test set so small that there are few possible values."""
    return np.minimum(1, np.round(1 + 0.05 * _normal(rng, losses, seeds), 1))


def _two_values(rng: np.random.Generator, losses: int, seeds: int) -> np.ndarray:
    return rng.integers(0, 2, (losses, seeds, METRICS)).astype(float)


NOISES: dict[str, Noise] = {
    "normal": _normal,
    "metrics and seeds related": _related,
    "deviations 1 to 10": _unequal,
    "heavy tails (t of 2)": _heavy,
    "skewed (exponential)": _skewed,
    "learns or collapses": _collapsing,
    "ceiling and ties": _tied,
    "two values": _two_values,
}


@dataclasses.dataclass(frozen=True)
class Rate:
    """Reports that announce something, of all."""

    count: int
    reports: int

    @property
    def interval(self) -> tuple[float, float]:
        found = stats.binomtest(self.count, self.reports).proportion_ci(0.95, "exact")
        return float(found.low), float(found.high)

    @property
    def too_high(self) -> bool:
        """Above the level, and not by the chance of one table in 1000."""
        return float(stats.binom.sf(self.count - 1, self.reports, LEVEL)) < 1e-3 / (len(NOISES) * 9)

    def __str__(self) -> str:
        low, high = self.interval
        return f"{100 * self.count / self.reports:.1f} % ({100 * low:.1f}–{100 * high:.1f})"


def alarms(noise: Noise, losses: int, seeds: int, reports: int) -> Rate:
    """Of reports on equal losses those that announce any difference."""
    rng = np.random.default_rng([losses, seeds])
    return Rate(sum(bool((judge(noise(rng, losses, seeds)) <= ANNOUNCED).any()) for _ in range(reports)), reports)


def power(gap: float, losses: int, seeds: int, reports: int) -> tuple[Rate, Rate]:
    """Of reports in which one loss is better by `gap` deviations in every metric: those that tell it from the next in
    the first metric, and those that announce a difference among the others, which are equal."""
    rng = np.random.default_rng([losses, seeds])
    told = wrong = 0
    for _ in range(reports):
        x = _normal(rng, losses, seeds)
        x[0] += gap
        p = judge(x)
        told += bool(p[0, 1, 0] <= ANNOUNCED)
        wrong += bool((p[1:, 1:] <= ANNOUNCED).any())
    return Rate(told, reports), Rate(wrong, reports)


def tables(reports: int, tick: Callable[[], None]) -> Iterator[tuple[Table, dict[str, object], bool]]:
    """Both tables with their numbers, and whether a rate is too high; `tick` is called after each of `STEPS` cells."""
    made = Table(title=f"reports of equal losses that announce a difference, of {reports}; at most {100 * LEVEL:g} %")
    for heading in ("noise", "losses", *(f"{seeds} seeds" for seeds in SEEDS)):
        made.add_column(heading, justify="right" if "seeds" in heading else "left", no_wrap=True)
    numbers: dict[str, object] = {}
    high = False
    for name, noise in NOISES.items():
        for losses in LOSSES:
            rates = [alarms(noise, losses, seeds, reports) for seeds in SEEDS]
            high = high or any(rate.too_high for rate in rates)
            numbers[f"{name}, {losses} losses"] = [rate.count for rate in rates]
            made.add_row(name if losses == LOSSES[0] else "", str(losses), *map(str, rates))
            tick()
    yield made, numbers, high
    some = max(reports // 4, 1)
    made = Table(title=f"reports in which one loss is better that say so, of {some}; {METRICS} metrics")
    for heading in ("better by", "losses", *(f"{seeds} seeds" for seeds in SEEDS), "wrong among the others"):
        made.add_column(heading, justify="left" if heading == "losses" else "right", no_wrap=True)
    numbers, high = {}, False
    for gap in GAPS:
        for losses in LOSSES:
            rates = [power(gap, losses, seeds, some) for seeds in SEEDS]
            high = high or any(wrong.too_high for _, wrong in rates)
            numbers[f"{gap} deviations, {losses} losses"] = [told.count for told, _ in rates]
            worst = max(100 * wrong.count / some for _, wrong in rates)
            cells = [f"{100 * told.count / some:.0f} %" for told, _ in rates]
            made.add_row(f"{gap:g} σ" if losses == LOSSES[0] else "", str(losses), *cells, f"{worst:.1f} %")
            tick()
    yield made, numbers, high


GAPS = (1.0, 2.0, 4.0, 8.0)
STEPS = (len(NOISES) + len(GAPS)) * len(LOSSES)
