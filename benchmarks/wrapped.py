"""Losses of other libraries that take more than a prediction and a target, as functions of two arguments for
`python -m benchmarks.foreign`."""

from __future__ import annotations

import torch
from monai.losses import DiceLoss, MaskedDiceLoss, MaskedLoss

VOID = 255


def masked_dice(prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """MONAI's way to leave places out: a mask beside the target."""
    mask = (target != VOID).to(prediction.dtype)
    return MaskedLoss(DiceLoss(sigmoid=True))(prediction, target.to(prediction.dtype), mask)


def masked_dice_of_logits(prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """The same by the class that MONAI has for it; the sigmoid comes before the mask."""
    mask = (target != VOID).to(prediction.dtype)
    return MaskedDiceLoss(sigmoid=True)(prediction, target.to(prediction.dtype), mask)


def masked_dice_of_classes(prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Of several classes, with labels (N, H, W)."""
    mask = (target != VOID)[:, None].to(prediction.dtype)
    labels = torch.where(target == VOID, 0, target)[:, None]
    return MaskedDiceLoss(softmax=True, to_onehot_y=True)(prediction, labels, mask)
