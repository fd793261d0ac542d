"""What a report announces: at most one report of equal losses in twenty says anything, and what is plain is said."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats
from torch.nn import functional as F

from lossary import studies
from lossary.studies import Comparison, Outliers, outliers, summary, verdicts
from lossary.studies.results import Column, Contender, Run
from lossary.studies.verdicts import ANNOUNCED, LEVEL, judge, seeds_needed

Noise = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]

NOISES: dict[str, Noise] = {
    "normal": lambda rng, shape: rng.normal(size=shape),
    "one metric five times": lambda rng, shape: np.repeat(rng.normal(size=(*shape[:2], 1)), shape[2], 2),
    "one loss scatters": lambda rng, shape: rng.normal(size=shape) * np.r_[8.0, np.ones(shape[0] - 1)][:, None, None],
    "learns or collapses": lambda rng, shape: np.where(rng.random(shape) < 0.5, 0.9, 0.1),
    "at the ceiling": lambda rng, shape: np.minimum(1, np.round(rng.normal(1, 0.1, shape), 1)),
    "seeds shared": lambda rng, shape: rng.normal(size=shape) + 3 * rng.normal(size=(1, *shape[1:])),
}
REPORTS = 150


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize(("losses", "seeds"), [(2, 5), (6, 3), (6, 5), (10, 5)])
def test_reports_of_equal_losses_announce_nothing(noise: str, losses: int, seeds: int) -> None:
    """`python -m benchmarks false-alarms` does it with thousands of reports; uncorrected, a third of them announced."""
    rng = np.random.default_rng([losses, seeds])
    found = [judge(NOISES[noise](rng, (losses, seeds, 5))) for _ in range(REPORTS)]
    alarms = sum(bool((p <= ANNOUNCED).any()) for p in found)
    # as many as the level allows, by chance, in one of 10,000 such tests
    assert alarms <= stats.binom.isf(1e-4, REPORTS, LEVEL)


def test_one_test_each_would_announce() -> None:
    """What the corrections are for: the same reports, judged pair by pair."""
    rng = np.random.default_rng(0)
    alarms = 0
    for _ in range(50):
        x = rng.normal(size=(6, 5, 5))
        pairs = itertools.combinations(range(6), 2)
        p = [stats.ttest_ind(x[i], x[j], equal_var=False).pvalue.min() for i, j in pairs]
        alarms += min(p) <= ANNOUNCED
    assert alarms > 25


def test_p_values_are_those_of_welch_and_holm() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(4, 5, 2)) * np.array([1, 2, 1, 3])[:, None, None]
    x[1, 3:] = np.nan  # runs that diverged
    x[0] += 2  # so that p-values are apart from 1, and none is announced, which would bring in the second test
    pairs = list(itertools.combinations(range(4), 2))
    raw = []
    for k in range(2):
        for i, j in pairs:
            a, b = (row[np.isfinite(row)] for row in (x[i, :, k], x[j, :, k]))
            raw.append((stats.ttest_ind(a, b, equal_var=False).pvalue, i, j, k))
    largest = 0.0
    found = judge(x)
    for rank, (p, i, j, k) in enumerate(sorted(raw)):
        largest = max(largest, min(1, p * (len(raw) - rank)))
        assert found[i, j, k] == found[j, i, k] == pytest.approx(largest)
    assert sum(p < 0.2 for p in found[0, 1:].ravel()) >= 3
    assert np.isnan(found[0, 0]).all()


def test_a_plain_difference_is_told_and_the_same_each_time() -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(6, 5, 5))
    x[2] += 30
    p = judge(x)
    assert (p[2, [0, 1, 3, 4, 5]] <= ANNOUNCED).all()
    others = p[np.ix_([0, 1, 3, 4, 5], [0, 1, 3, 4, 5])]
    assert (others[np.isfinite(others)] > ANNOUNCED).all()
    np.testing.assert_array_equal(p, judge(x))


def test_what_has_no_spread() -> None:
    """Equal numbers are equal, however they are summed; different ones need more runs than three of two losses."""
    assert judge(np.full((2, 5, 1), 0.1 + 0.2))[0, 1, 0] == 1
    shifted = np.zeros((2, 5, 1)) + np.array([0.3, 0.1 + 0.2])[:, None, None]
    assert judge(shifted)[0, 1, 0] == 1
    for seeds, told in ((3, False), (5, True)):
        x = np.stack([np.zeros((seeds, 1)), np.ones((seeds, 1))])
        assert (judge(x)[0, 1, 0] <= ANNOUNCED) is np.bool_(told)


def test_too_few_runs_have_no_verdict() -> None:
    x = np.random.default_rng(3).normal(size=(3, 4, 2))
    x[0, 1:] = np.nan
    p = judge(x)
    assert np.isnan(p[0]).all()
    assert np.isfinite(p[1, 2]).all()
    assert np.isnan(judge(x[:, :1])).all()
    assert np.isnan(judge(x[:1])).all()


def test_what_pairing_would_ask_for() -> None:
    """The numbers at the top of `verdicts`."""
    paired, welch = stats.t.isf(ANNOUNCED / 75 / 2, [4, 8])
    assert verdicts.__doc__ is not None
    assert f"{paired:.1f} standard errors" in " ".join(verdicts.__doc__.split())
    assert f"asks for {welch:.1f}." in " ".join(verdicts.__doc__.split())
    assert round(1 - (welch / paired) ** 2, 1) == 0.7


def test_the_seeds_that_it_says_would_tell_do() -> None:
    """Of reports with so many seeds about four in five announce the difference."""
    rng = np.random.default_rng(4)
    first, second = (m + np.array([-1.0, -0.5, 0, 0.5, 1]) for m in (0, 1.2))
    runs = seeds_needed(first, second, 15)
    assert runs is not None
    spread = first.std(ddof=1)
    told = 0
    for _ in range(100):
        x = rng.normal(0, spread, (6, runs, 1))
        x[1] += 1.2
        told += bool(judge(x)[0, 1, 0] <= ANNOUNCED)
    assert 65 <= told <= 98
    assert seeds_needed(first, first, 15) is None
    assert seeds_needed(first, first + 0.001, 15) is None
    assert seeds_needed(first[:1], second, 15) is None


def comparison(values: np.ndarray, better: Any = "high") -> Comparison:
    """A finished comparison with these results, (losses, seeds, metrics)."""
    losses = tuple(Contender(f"loss{i}", "", (), None) for i in range(len(values)))
    metrics = tuple(Column(f"m{k}", f"metric {k}", better) for k in range(values.shape[2]))
    seeds = tuple(range(values.shape[1]))
    runs = [
        Run(loss.label, seed, "finished", test={m.name: float(values[i, seed, k]) for k, m in enumerate(metrics)})
        for i, loss in enumerate(losses)
        for seed in seeds
    ]
    return Comparison("regression", losses, metrics, "", (), seeds, {}, runs, complete=True)


def test_that_nothing_can_be_told_comes_first() -> None:
    x = np.random.default_rng(5).normal(size=(4, 5, 3))
    found = comparison(x)
    lines = summary.findings(found)
    assert lines[0].startswith("Nothing can be told: with 5 seeds no two losses differ beyond chance (18 comparisons;")
    assert lines[1].startswith("Highest metric 0 on the test set: ")
    assert not any(score.best for row in summary.rows(found) for score in row.scores.values())
    assert "more seeds" in lines[2]
    assert summary.told_pairs(found) == []
    one_seed = summary.findings(comparison(x[:, :1]))
    assert (
        one_seed[0] == "Nothing can be told: one seed for each loss cannot show what is chance; use five seeds or more."
    )


def test_every_metric_has_its_verdict() -> None:
    x = np.random.default_rng(6).normal(0, 0.1, size=(4, 5, 3))
    x[0, :, 1] += 5
    x[1, :, 1] += 9
    found = comparison(x)
    lines = summary.findings(found)
    assert lines[0] == "Nothing can be told in metric 0 with 5 seeds."
    assert any(line.startswith("metric 1: loss1 is highest, beyond chance from loss0, loss") for line in lines)
    assert "No two losses can be told apart in metric 2." in lines
    pairs = {(pair["metric"], pair["better"], pair["worse"]) for pair in summary.told_pairs(found)}
    expected = {("m1", "loss1", "loss0"), ("m1", "loss1", "loss2"), ("m1", "loss1", "loss3")}
    assert pairs == expected | {("m1", "loss0", "loss2"), ("m1", "loss0", "loss3")}
    marked = {row.loss: [score.best for score in row.scores.values()] for row in summary.rows(found)}
    assert marked == {loss: [False, loss == "loss1", False] for loss in marked}


def test_others_may_be_told_where_the_leader_is_not() -> None:
    """The leader scatters so much that nothing can be said of it."""
    x = np.random.default_rng(7).normal(0, 0.1, size=(3, 5, 1))
    x[0, :, 0] = [0, 40, 2, 1, 30]
    x[1] += 8
    lines = summary.findings(comparison(x))
    assert any(
        "the best, loss0, cannot be told from any, but others from one another: loss1 from loss2" in x for x in lines
    )


def test_all_shares_of_outliers_are_judged_together() -> None:
    """A difference that one share alone would announce is held against all."""
    x = np.random.default_rng(8).normal(size=(6, 5, 3))
    x[0, :, 0] -= 4.6
    alone = comparison(x[..., :1], "low")
    others = [comparison(x[..., k : k + 1], "low") for k in (1, 2)]
    together = Outliers((0, 0.1, 0.2), (alone, *others))
    assert summary.verdicts(alone).comparisons == 15
    assert together.verdicts().comparisons == 45
    p = [
        own.chance("loss0", "loss1", name)
        for own, name in ((summary.verdicts(alone), "m0"), (together.verdicts(), "outliers-0"))
    ]
    assert p[1] > p[0]
    equal = Outliers((0, 0.1), tuple(others))
    assert equal.findings()[0].startswith("Nothing can be told: with 5 seeds no two losses differ")


def test_equal_losses_in_training_are_not_told_apart() -> None:
    data = studies.segmentation_data(train=8, validation=4, test=4)
    found = studies.compare(
        {"a": F.cross_entropy, "b": lambda p, t: 1.0000001 * F.cross_entropy(p, t)},
        data=data,
        epochs=1,
        seeds=3,
        threads=1,
    )
    assert summary.findings(found)[0].startswith("Nothing can be told")
    assert outliers.part(0) == "outliers-0"
