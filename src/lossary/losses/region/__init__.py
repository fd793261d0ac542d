"""Segmentation by overlap: losses of soft counts and of sorted errors, and their sums with losses of places."""

# ruff: noqa: I001 (the order of these imports is the order of the catalogue)
from lossary.losses.region.overlap import (
    AsymmetricSimilarityLoss,
    DiceLoss,
    FocalTverskyLoss,
    JaccardLoss,
    LogCoshDiceLoss,
    SensitivitySpecificityLoss,
    TverskyLoss,
)
from lossary.losses.region.generalized import GeneralizedDiceLoss, PenaltyGeneralizedDiceLoss
from lossary.losses.region.lovasz import LovaszHingeLoss, LovaszSoftmaxLoss
from lossary.losses.region.compound import ComboLoss, ExpLogLoss, UnifiedFocalLoss

__all__ = [
    "AsymmetricSimilarityLoss",
    "ComboLoss",
    "DiceLoss",
    "ExpLogLoss",
    "FocalTverskyLoss",
    "GeneralizedDiceLoss",
    "JaccardLoss",
    "LogCoshDiceLoss",
    "LovaszHingeLoss",
    "LovaszSoftmaxLoss",
    "PenaltyGeneralizedDiceLoss",
    "SensitivitySpecificityLoss",
    "TverskyLoss",
    "UnifiedFocalLoss",
]
