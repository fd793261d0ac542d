"""Losses of other libraries that take more than a prediction and a target, or options that are no plain values, as
functions of two arguments for `python -m benchmarks.foreign`."""

from __future__ import annotations

import numpy as np
import torch
from monai.losses import DiceLoss, GeneralizedWassersteinDiceLoss, MaskedLoss

VOID = 255


def masked_dice(prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """MONAI's way to leave places out: a mask beside the target."""
    mask = (target != VOID).to(prediction.dtype)
    return MaskedLoss(DiceLoss(sigmoid=True))(prediction, target.to(prediction.dtype), mask)


def wasserstein_dice_unreduced(prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    distances = 1.0 - np.eye(prediction.shape[1], dtype=np.float32)
    return GeneralizedWassersteinDiceLoss(dist_matrix=distances, reduction="none")(prediction, target)
