"""Classification by likelihood: losses of the probability that the model gives to the true answer."""

from lossary.losses.likelihood.cross_entropy import BCELoss, CrossEntropyLoss, FocalLoss, PolyLoss
from lossary.losses.likelihood.detection import DistributionFocalLoss, QualityFocalLoss, VarifocalLoss
from lossary.losses.likelihood.imbalance import AsymmetricLoss, BalancedBCELoss, GHMLoss, TopKLoss
from lossary.losses.likelihood.linear import LinearCrossEntropyLoss
from lossary.losses.likelihood.long_tail import ClassBalancedLoss, LDAMLoss, LogitAdjustedLoss
from lossary.losses.likelihood.noise import BiTemperedLoss, GeneralizedCrossEntropyLoss, SymmetricCrossEntropyLoss

__all__ = [
    "AsymmetricLoss",
    "BCELoss",
    "BalancedBCELoss",
    "BiTemperedLoss",
    "ClassBalancedLoss",
    "CrossEntropyLoss",
    "DistributionFocalLoss",
    "FocalLoss",
    "GHMLoss",
    "GeneralizedCrossEntropyLoss",
    "LDAMLoss",
    "LinearCrossEntropyLoss",
    "LogitAdjustedLoss",
    "PolyLoss",
    "QualityFocalLoss",
    "SymmetricCrossEntropyLoss",
    "TopKLoss",
    "VarifocalLoss",
]
