"""Segmentation by overlap: losses of soft counts and of sorted errors."""

# ruff: noqa: I001 (the order of these imports is the order of the catalogue)
from lossary.losses.region.overlap import DiceLoss, TverskyLoss
from lossary.losses.region.lovasz import LovaszSoftmaxLoss

__all__ = ["DiceLoss", "LovaszSoftmaxLoss", "TverskyLoss"]
