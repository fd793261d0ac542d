"""Regression: losses of a prediction and a target that are numbers, in the order of the catalogue."""

# ruff: noqa: I001 (the order of these imports is the order of the catalogue)
from lossary.losses.regression.errors import (
    EpsilonInsensitiveLoss,
    HuberLoss,
    L1Loss,
    LogCoshLoss,
    MSELoss,
    NormLoss,
    QuantileLoss,
    RMSELoss,
    SmoothL1Loss,
)
from lossary.losses.regression.localization import AdaptiveWingLoss, BalancedL1Loss, FocalL1Loss, WingLoss
from lossary.losses.regression.robust import (
    CauchyLoss,
    CharbonnierLoss,
    GemanMcClureLoss,
    GeneralRobustLoss,
    TukeyLoss,
    WelschLoss,
)
from lossary.losses.regression.relative import MAPELoss, MSLELoss
from lossary.losses.regression.likelihoods import GaussianNLLLoss, PoissonNLLLoss

__all__ = [
    "AdaptiveWingLoss",
    "BalancedL1Loss",
    "CauchyLoss",
    "CharbonnierLoss",
    "EpsilonInsensitiveLoss",
    "FocalL1Loss",
    "GaussianNLLLoss",
    "GemanMcClureLoss",
    "GeneralRobustLoss",
    "HuberLoss",
    "L1Loss",
    "LogCoshLoss",
    "MAPELoss",
    "MSELoss",
    "MSLELoss",
    "NormLoss",
    "PoissonNLLLoss",
    "QuantileLoss",
    "RMSELoss",
    "SmoothL1Loss",
    "TukeyLoss",
    "WelschLoss",
    "WingLoss",
]
