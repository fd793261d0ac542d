"""Losses of other libraries that take more than a prediction and a target, as functions of two arguments for
`python -m benchmarks.foreign`."""

from __future__ import annotations

import torch
from monai.losses import DiceLoss, MaskedLoss

VOID = 255


def masked_dice(prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """MONAI's way to leave places out: a mask beside the target."""
    mask = (target != VOID).to(prediction.dtype)
    return MaskedLoss(DiceLoss(sigmoid=True))(prediction, target.to(prediction.dtype), mask)
