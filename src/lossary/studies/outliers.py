"""What losses make of wrong targets: the regression study for several shares of outliers, and one page for all."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lossary.studies import summary
from lossary.studies.comparison import REPORT, compare, make_folder
from lossary.studies.errors import InputError
from lossary.studies.files import only_here, write_whole
from lossary.studies.regression import regression_data
from lossary.studies.results import Comparison
from lossary.studies.verdicts import Verdicts

if TYPE_CHECKING:
    from lossary.studies.contenders import Losses

SHARES = (0.0, 0.05, 0.2)


@dataclasses.dataclass(frozen=True)
class Outliers:
    """A comparison for each share of outliers; fewer than asked for if it was interrupted."""

    shares: tuple[float, ...]
    comparisons: tuple[Comparison, ...]

    @property
    def reached(self) -> tuple[float, ...]:
        """The shares that were done."""
        return self.shares[: len(self.comparisons)]

    def verdicts(self) -> Verdicts:
        """What differs beyond chance in the first metric, of all pairs of losses at all shares."""
        found = [summary.verdicts(comparison) for comparison in self.comparisons]
        values = np.concatenate([own.values[..., :1] for own in found], axis=2)
        return Verdicts.of(found[0].losses, tuple(map(part, self.reached)), values)

    def errors(self) -> dict[str, list[summary.Score]]:
        """The first metric of each loss, for each share that was reached, judged over all of them."""
        errors: dict[str, list[summary.Score]] = {}
        found = self.verdicts()
        for share, comparison in zip(self.reached, self.comparisons, strict=True):
            metric = comparison.metrics[0]
            values = {
                contender.label: [run.test[metric.name] for run in comparison.finished(contender.label)]
                for contender in comparison.contenders
            }
            for loss, score in summary.judged(values, metric, found, part(share)).items():
                errors.setdefault(loss, []).append(score)
        return errors

    def findings(self) -> list[str]:
        """Whether anything can be told, what each share tells, and how far the losses moved."""
        if not self.comparisons:
            return []
        first = self.comparisons[0]
        seeds = "one seed" if len(first.seeds) == 1 else f"{len(first.seeds)} seeds"
        lines = summary.headline(self.verdicts(), seeds) if len(first.contenders) > 1 else []
        return [*lines, *self._at_shares(), *self._movement()]

    def _at_shares(self) -> list[str]:
        """For each share which losses are beyond chance worse than the best."""
        errors, label, found = self.errors(), self.comparisons[0].metrics[0].label, self.verdicts()
        lines: list[str] = []
        for k, share in enumerate(self.reached):
            told = [loss for loss, scores in errors.items() if scores[k].told]
            best = min(errors, key=lambda loss: _order(errors[loss][k].mean))
            if told:
                lines.append(
                    f"{share:.0%} outliers: {best} has the lowest {label}, beyond chance from {', '.join(told)}."
                )
            elif found.any_told():
                lines.append(f"{share:.0%} outliers: no loss can be told from the best, {best}.")
        return lines

    def _movement(self) -> list[str]:
        """Which loss minds the largest share least, which most, and the others between them."""
        label = self.comparisons[0].metrics[0].label
        ends = {loss: (scores[0].mean, scores[-1].mean) for loss, scores in self.errors().items() if len(scores) > 1}
        known = {loss: pair for loss, pair in ends.items() if all(math.isfinite(end) for end in pair)}
        if len(known) < 2:
            return []
        low, high = (f"{100 * share:g} %" for share in (self.reached[0], self.reached[-1]))
        told = [
            f"{loss} ({known[loss][0]:.2f} → {known[loss][1]:.2f})" for loss in sorted(known, key=lambda k: known[k][1])
        ]
        lines = [f"{label} from {low} to {high} outliers, lowest at the end: {told[0]}; highest: {told[-1]}."]
        return [*lines, f"Between them: {', '.join(told[1:-1])}."] if len(told) > 2 else lines


def _order(mean: float) -> float:
    return math.inf if math.isnan(mean) else mean


def compare_outliers(
    shares: Sequence[float] = SHARES,
    losses: Losses | None = None,
    *,
    out: str | Path | None = None,
    **settings: Any,
) -> Outliers:
    """`compare(study="regression")` with each share of corrupted training targets.

    Args:
        shares: of the training targets that are ten times too large, see `regression_data`.
        losses: as `compare` takes them.
        out: a folder for the page that joins them, report.html; each comparison has a folder in it with its own.
        settings: further arguments of `compare`.
    """
    if not shares or len(set(shares)) < len(shares):
        raise InputError(f"`outliers` must list different shares; got {list(shares)}")
    data = [regression_data(outliers=share) for share in shares]  # all are checked before the first is trained
    folder = None if out is None else make_folder(Path(out))
    with contextlib.nullcontext() if folder is None else only_here(folder):
        done: list[Comparison] = []
        try:
            for share, own in zip(shares, data, strict=True):
                place = None if folder is None else folder / part(share)
                done.append(compare(losses, study="regression", data=own, out=place, **settings))
        finally:  # interrupted, too: what is there is worth having
            found = Outliers(tuple(shares), tuple(done))
            if folder is not None and done:
                _write(found, folder)
    return found


def part(share: float) -> str:
    """The folder of one share.

    >>> part(0.05)
    'outliers-0.05'
    """
    return f"outliers-{share:g}"


def _write(found: Outliers, folder: Path) -> None:
    from lossary.views import charts, report

    first, reached = found.comparisons[0], found.reached
    colours, errors = report.colours(first), found.errors()
    lines = [
        charts.Line(colours[loss], reached[: len(scores)], [score.values for score in scores])
        for loss, scores in errors.items()
    ]
    page = report.render(
        "outliers.html",
        found=found,
        first=first,
        errors=errors,
        colours=colours,
        shares=[(share, f"{part(share)}/{REPORT}") for share in reached],
        telling=[any(scores[k].told for scores in errors.values()) for k in range(len(reached))],
        chart=charts.lines(lines, label="error by share of outliers", x="share of outliers", y=first.metrics[0].label),
        textbook=_textbook(),
        findings=found.findings(),
    )
    write_whole(folder / REPORT, page)


def _textbook() -> list[dict[str, Any]]:
    """The constant prediction that each loss likes best, for the numbers that the surveys give."""
    from lossary.losses.regression import HuberLoss, L1Loss, MSELoss

    found: list[dict[str, Any]] = []
    for rare, usual, share in ((1000.0, 10.0, 0.95), (150.0, 15.0, 0.9)):
        target = np.repeat([rare, usual], [round(1000 * share), round(1000 * (1 - share))])
        candidates = np.linspace(0, rare, 2001)

        def best(loss: Any, candidates: Any = candidates, target: Any = target) -> float:
            unreduced = loss.replace(reduction="none")
            totals = [float(np.sum(unreduced(np.full_like(target, c), target))) for c in candidates]
            return float(candidates[int(np.argmin(totals))])

        minimisers = {cls.__name__: best(cls()) for cls in (MSELoss, L1Loss, HuberLoss)}
        found.append({"share": share, "rare": rare, "usual": usual, "best": minimisers})
    return found
