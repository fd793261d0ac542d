"""Metric learning: losses of features and their labels, through a vector per class or through all pairs."""

from lossary.losses.embedding.angular import ArcFaceLoss, CosFaceLoss, LargeMarginSoftmaxLoss, SphereFaceLoss
from lossary.losses.embedding.center import CenterLoss
from lossary.losses.embedding.contrast import CircleLoss, InfoNCELoss, SupConLoss
from lossary.losses.embedding.distance import ContrastiveLoss, TripletLoss

__all__ = [
    "ArcFaceLoss",
    "CenterLoss",
    "CircleLoss",
    "ContrastiveLoss",
    "CosFaceLoss",
    "InfoNCELoss",
    "LargeMarginSoftmaxLoss",
    "SphereFaceLoss",
    "SupConLoss",
    "TripletLoss",
]
