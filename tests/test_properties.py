"""What holds for any input, searched for by Hypothesis."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis.extra.numpy import arrays

import lossary as L
from lossary.checker.draws import draw
from lossary.core.families import BoxLoss, ResidualLoss
from lossary.core.families.region import OverlapLoss
from lossary.core.loss import Loss
from variants import defaults

COORDINATES = st.floats(-1e3, 1e3, width=32)
BOXES = [loss for loss in defaults() if isinstance(loss, BoxLoss)]
quick = settings(deadline=None, max_examples=60, derandomize=True)


@st.composite
def boxes(draw_: st.DrawFn) -> np.ndarray:
    """One box of corners in order, sides of any length, 0 included."""
    x1, y1 = draw_(COORDINATES), draw_(COORDINATES)
    width, height = draw_(st.floats(0, 1e3, width=32)), draw_(st.floats(0, 1e3, width=32))
    return np.array([[x1, y1, x1 + width, y1 + height]])


@pytest.mark.parametrize("loss", BOXES, ids=repr)
@quick
@given(box=boxes())
def test_a_box_agrees_with_itself(loss: Loss, box: np.ndarray) -> None:
    assert loss(box, box.copy()) == 0


@pytest.mark.parametrize("loss", BOXES, ids=repr)
@quick
@given(a=boxes(), b=boxes(), scale=st.sampled_from([2.0**-20, 0.5, 2.0, 2.0**20]))
def test_box_losses_have_no_unit(loss: Loss, a: np.ndarray, b: np.ndarray, scale: float) -> None:
    """Powers of two, so that scaling itself rounds nothing."""
    assert loss(a * scale, b * scale) == pytest.approx(loss(a, b), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("loss", BOXES, ids=repr)
@quick
@given(a=boxes(), b=boxes())
def test_box_losses_stay_in_their_range(loss: Loss, a: np.ndarray, b: np.ndarray) -> None:
    low, high = loss.facts.span
    assert low - 1e-9 <= loss(a, b) <= high * (1 + 1e-9)


@pytest.mark.parametrize("loss", [x for x in defaults() if x.decomposable], ids=repr)
@quick
@given(cut=st.integers(0, 6), order=st.permutations(range(6)))
def test_neither_order_nor_shards_matter(loss: Loss, cut: int, order: list[int]) -> None:
    """Any split, empty shards included, of any order of the samples."""
    batch = draw(loss, samples=6)
    shards = [batch[order[:cut]], batch[order[cut:]]]
    parts = [loss.statistics(b.prediction, b.target, **b.keywords) for b in shards]
    whole = loss(batch.prediction, batch.target, **batch.keywords)
    np.testing.assert_allclose(loss.finalize(sum(parts)), whole, rtol=1e-10)


@pytest.mark.parametrize("loss", [x for x in defaults() if isinstance(x, ResidualLoss)], ids=repr)
@quick
@given(errors=arrays(np.float64, 5, elements=st.floats(-1e6, 1e6)))
def test_residual_losses_are_least_at_0(loss: Loss, errors: np.ndarray) -> None:
    def values(x: np.ndarray) -> np.ndarray:  # one number a sample: a norm is a loss of the whole sample
        return np.asarray(loss.replace(reduction="none")(x[:, None], np.zeros((5, 1)))).ravel()

    least = values(np.zeros(5))
    assert (least >= 0).all()
    assert (values(errors) >= least).all()
    assert (values(errors)[errors == 0] == least[errors == 0]).all()


@pytest.mark.parametrize("cls", [L.DiceLoss, L.JaccardLoss, L.TverskyLoss, L.GeneralizedDiceLoss])
@quick
@given(
    labels=arrays(np.int64, (2, 6), elements=st.integers(0, 2)),
    predicted=arrays(np.int64, (2, 6), elements=st.integers(0, 2)),
)
def test_a_perfect_mask_is_the_minimum(cls: type[OverlapLoss], labels: np.ndarray, predicted: np.ndarray) -> None:
    assume((labels != predicted).any())

    def loss(mask: np.ndarray) -> float:
        return cls("multiclass")(np.moveaxis(np.where(np.eye(3)[mask] > 0, 40.0, -40.0), -1, 1), labels)

    assert loss(labels) == pytest.approx(0, abs=1e-9)
    assert loss(predicted) > loss(labels)
