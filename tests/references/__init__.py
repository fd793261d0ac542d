"""What each loss should give, in plain Python: loops, `math.fsum` and mpmath numbers of fifty digits.

Nothing here is shared with the package but the options of a loss; formulas are those of the papers, written as the
papers write them, without any of the rearrangements that make the package stable. `evaluate(loss, batch)` gives the
reduced loss as a float, or a list of the unreduced values.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

import lossary
from formulas import FINISH
from lossary.checker.draws import unreduced_shape
from lossary.checker.engines import Batch
from lossary.core.families import (
    AlignmentLoss,
    BalancedLoss,
    BoxLoss,
    DistanceMapLoss,
    DivergenceLoss,
    EmbeddingLoss,
    LikelihoodLoss,
    MarginLoss,
    MaskLoss,
    NamedSumLoss,
    PointwiseLoss,
    ResidualLoss,
    RotatedBoxLoss,
    SequenceLoss,
    SigmoidLoss,
)
from lossary.core.families.region import OverlapLoss
from lossary.core.loss import Loss
from references import box, classification, embedding, region, regression, sequence
from references.mask import masks
from references.places import at, counts, divide


def evaluate(
    loss: Loss,
    batch: Batch,
    *,
    mask: np.ndarray | None = None,
    sample_weight: np.ndarray | None = None,
    normalizer: float | None = None,
    constants: Batch | None = None,
) -> Any:
    """The value of a call. `constants` is the batch at which what the gradient holds constant is computed."""
    if isinstance(loss, OverlapLoss):
        return region.overlap(loss, batch, mask, sample_weight, normalizer)
    if isinstance(loss, NamedSumLoss):
        return region.compound(loss, batch, mask, sample_weight)
    if isinstance(loss, (MaskLoss, DistanceMapLoss)):
        return masks(loss, batch, mask, sample_weight, normalizer, constants)
    if isinstance(loss, BalancedLoss):
        return classification.balanced(loss, batch, mask, sample_weight, normalizer, constants)
    values: list[float] = []
    masses: list[float] = []
    own_masses: list[float] = []
    for place in np.ndindex(unreduced_shape(loss, batch)):
        if not counts(loss, batch, place, mask):
            values.append(0.0)
            continue
        weight = at(sample_weight, place, 1.0)
        if isinstance(loss, EmbeddingLoss):
            value, mass = embedding.feature(loss, batch, place, constants, mask)
        else:
            value, mass = PLACE[family_of(loss)](loss, batch, place, constants)
        if value is None:  # the formula has no value here
            values.append(0.0)
            continue
        values.append(float(value * weight))
        if getattr(loss, "normalizer", None) == "positives" and not classification.is_positive(loss, batch, place):
            continue
        masses.append(float(mass * weight))
        own_masses.append(float(mass))
    if isinstance(loss, lossary.TopKLoss):
        return classification.hardest(loss, batch, mask, values, masses, normalizer)
    if loss.reduction == "none":
        return values
    total = math.fsum(values)
    denominator = math.fsum(masses) if loss.reduction == "weighted_mean" else len(masses)
    if getattr(loss, "normalizer", None) == "positives":
        denominator = denominator or 1
    tokens = getattr(loss, "normalizer", None) == "tokens"
    if (isinstance(loss, lossary.FocalEIoULoss) or tokens) and loss.reduction == "mean":
        denominator = math.fsum(own_masses)
    return FINISH.get(type(loss), float)(divide(loss, total, denominator, normalizer))


def family_of(loss: Loss) -> type[Loss]:
    return next(f for f in PLACE if isinstance(loss, f))


PLACE: dict[type[Loss], Callable[..., tuple[Any, Any]]] = {
    ResidualLoss: regression.residual,
    PointwiseLoss: regression.pointwise,
    LikelihoodLoss: classification.likelihood,
    SigmoidLoss: classification.yes_or_no,
    MarginLoss: classification.margin,
    DivergenceLoss: classification.divergence,
    BoxLoss: box.box,
    AlignmentLoss: sequence.alignment,
    SequenceLoss: sequence.hypotheses,
    RotatedBoxLoss: box.rotated_box,
    lossary.LinearCrossEntropyLoss: classification.token,
}
"""Value (with its class weight) and weight of one place, by family."""
