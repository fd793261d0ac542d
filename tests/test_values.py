"""Every loss, every option: NumPy values against the independent reference."""

from __future__ import annotations

import numpy as np
import pytest

import lossary
from formulas import FORMULAS
from lossary.checker.claims import REGIMES
from lossary.checker.draws import draw, generator, takes_dense, unreduced_shape
from lossary.checker.engines import Batch
from lossary.core.families import ClassificationLoss, MarginLoss, NamedSumLoss
from lossary.core.families.region import OverlapLoss
from lossary.core.loss import Loss
from references import evaluate
from variants import everything

ALL = everything()


def close(value: object, expected: object) -> None:
    np.testing.assert_allclose(np.asarray(value).ravel(), np.asarray(expected).ravel(), rtol=2e-9, atol=1e-12)


@pytest.mark.parametrize("cls", lossary.catalogue(), ids=lambda c: c.__name__)
def test_every_loss_has_a_reference(cls: type[Loss]) -> None:
    assert cls in FORMULAS


@pytest.mark.parametrize("regime", REGIMES)
@pytest.mark.parametrize("loss", ALL, ids=repr)
def test_value(loss: Loss, regime: str) -> None:
    batch = draw(loss, regime)
    close(loss(batch.prediction, batch.target, **batch.keywords), evaluate(loss, batch))


@pytest.mark.parametrize("regime", REGIMES)
@pytest.mark.parametrize("loss", [loss for loss in ALL if takes_dense(loss)], ids=repr)
def test_soft_targets(loss: Loss, regime: str) -> None:
    batch = draw(loss, regime, dense=True)
    close(loss(batch.prediction, batch.target, **batch.keywords), evaluate(loss, batch))


@pytest.mark.parametrize("loss", ALL, ids=repr)
def test_mask_weight_and_normalizer(loss: Loss) -> None:
    batch = draw(loss)
    rng = generator("mask", type(loss).__name__)
    shape = unreduced_shape(loss, batch)
    mask, weight = rng.uniform(size=shape) < 0.7, rng.uniform(0, 2, size=shape)
    call = {"mask": mask, "sample_weight": weight}
    close(loss(batch.prediction, batch.target, **batch.keywords, **call), evaluate(loss, batch, **call))
    leading = {"mask": mask, "sample_weight": weight.reshape(shape[0], -1)[:, 0]}
    close(loss(batch.prediction, batch.target, **batch.keywords, **leading), evaluate(loss, batch, **leading))
    if isinstance(loss, NamedSumLoss):
        with pytest.raises(ValueError, match="cannot be the denominator of all"):
            loss(batch.prediction, batch.target, normalizer=7.5)
    elif loss.reduction != "none":
        close(
            loss(batch.prediction, batch.target, **batch.keywords, mask=mask, normalizer=7.5),
            evaluate(loss, batch, mask=mask, normalizer=7.5),
        )


@pytest.mark.parametrize(
    "loss", [loss for loss in ALL if isinstance(loss, ClassificationLoss) and takes_dense(loss)], ids=repr
)
def test_labels_and_one_hot_agree(loss: ClassificationLoss) -> None:
    """Whatever the weights, the smoothing and the reduction."""
    batch = draw(loss)
    target = batch.target.astype(float)
    if loss.task == "multiclass":
        axis = loss.class_axis % batch.prediction.ndim
        target = np.moveaxis(np.eye(batch.prediction.shape[axis])[batch.target], -1, axis)
    close(loss(batch.prediction, target), loss(batch.prediction, batch.target, **batch.keywords))


@pytest.mark.parametrize("loss", [loss for loss in ALL if not isinstance(loss, OverlapLoss)], ids=repr)
def test_ignored_places_could_as_well_not_be_there(loss: Loss) -> None:
    """A masked NaN leaves no trace in value or denominator."""
    batch = draw(loss)
    keep = np.array([True, False, True])
    mask = np.broadcast_to(
        keep.reshape(-1, *[1] * (len(unreduced_shape(loss, batch)) - 1)), unreduced_shape(loss, batch)
    )
    spoiled = Batch(
        np.where(keep.reshape(-1, *[1] * (batch.prediction.ndim - 1)), batch.prediction, np.nan), batch.target
    )
    with_mask = np.asarray(loss(spoiled.prediction, spoiled.target, **batch.keywords, mask=mask))
    without = loss(batch[keep].prediction, batch[keep].target, **batch[keep].keywords)
    close(with_mask[keep] if loss.reduction == "none" else with_mask, without)


@pytest.mark.parametrize("loss", [loss for loss in ALL if isinstance(loss, MarginLoss)], ids=repr)
def test_margin_labels_in_both_conventions(loss: MarginLoss) -> None:
    if loss.task == "multiclass" or loss.ignore_index is not None:
        pytest.skip("labels are class indices, or one of the two is the ignored one")
    batch = draw(loss)
    close(loss(batch.prediction, 2 * batch.target - 1), loss(batch.prediction, batch.target, **batch.keywords))
    close(loss(batch.prediction, batch.target > 0), loss(batch.prediction, batch.target, **batch.keywords))
