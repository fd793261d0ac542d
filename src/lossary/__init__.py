"""Lossary: deep-learning losses, each defined once, exact and stable, for PyTorch, JAX, TensorFlow/Keras and NumPy.

>>> import numpy as np, lossary as L
>>> loss = L.FocalLoss("multiclass", gamma=2.0)
>>> round(float(loss(np.array([[2.0, 0.0], [0.0, 1.0]]), np.array([0, 0]))), 4)
0.3518
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from lossary import boxes
from lossary.core.catalogue import catalogue, create, find, from_dict
from lossary.core.compound import OutputLoss, ScheduledLoss, SumLoss, UncertaintyWeightedLoss
from lossary.core.contract import checked
from lossary.core.loss import Loss
from lossary.distance import distance_map
from lossary.losses.boundary import (
    BoundaryLoss,
    DistancePenalizedCrossEntropyLoss,
    HausdorffDTLoss,
    HausdorffErosionLoss,
    ShapeAwareLoss,
)
from lossary.losses.boxes import (
    AlphaIoULoss,
    CDIoULoss,
    CIoULoss,
    DIoULoss,
    EIoULoss,
    FocalEIoULoss,
    GIoULoss,
    GWDLoss,
    InnerIoULoss,
    IoULoss,
    KLDBoxLoss,
    MPDIoULoss,
    ProbIoULoss,
    SIoULoss,
    WIoULoss,
)
from lossary.losses.divergence import DistillationLoss, EntropyLoss, JSDivLoss, KLDivLoss
from lossary.losses.embedding import (
    ArcFaceLoss,
    CenterLoss,
    CircleLoss,
    ContrastiveLoss,
    CosFaceLoss,
    InfoNCELoss,
    LargeMarginSoftmaxLoss,
    SphereFaceLoss,
    SupConLoss,
    TripletLoss,
)
from lossary.losses.likelihood import (
    AsymmetricLoss,
    BalancedBCELoss,
    BCELoss,
    BiTemperedLoss,
    ClassBalancedLoss,
    CrossEntropyLoss,
    DistributionFocalLoss,
    FocalLoss,
    GeneralizedCrossEntropyLoss,
    GHMLoss,
    LDAMLoss,
    LinearCrossEntropyLoss,
    LogitAdjustedLoss,
    PolyLoss,
    QualityFocalLoss,
    SymmetricCrossEntropyLoss,
    TopKLoss,
    VarifocalLoss,
)
from lossary.losses.margin import ExponentialLoss, HingeLoss, ZeroOneLoss
from lossary.losses.region import (
    AsymmetricSimilarityLoss,
    ComboLoss,
    DiceLoss,
    ExpLogLoss,
    FocalTverskyLoss,
    GeneralizedDiceLoss,
    JaccardLoss,
    LogCoshDiceLoss,
    LovaszHingeLoss,
    LovaszSoftmaxLoss,
    PenaltyGeneralizedDiceLoss,
    SensitivitySpecificityLoss,
    TverskyLoss,
    UnifiedFocalLoss,
)
from lossary.losses.regression import (
    AdaptiveWingLoss,
    BalancedL1Loss,
    CauchyLoss,
    CharbonnierLoss,
    EpsilonInsensitiveLoss,
    FocalL1Loss,
    GaussianNLLLoss,
    GemanMcClureLoss,
    GeneralRobustLoss,
    HuberLoss,
    L1Loss,
    LogCoshLoss,
    MAPELoss,
    MSELoss,
    MSLELoss,
    NormLoss,
    PoissonNLLLoss,
    QuantileLoss,
    RMSELoss,
    SmoothL1Loss,
    TukeyLoss,
    WelschLoss,
    WingLoss,
)
from lossary.losses.sequence import CTCLoss, ExpectedEditDistanceLoss, RNNTLoss
from lossary.losses.structure import ClDiceLoss, StructuralSimilarityLoss

if TYPE_CHECKING:
    from lossary import checker as checker
    from lossary import information as information
    from lossary import keras as keras
    from lossary import studies as studies
    from lossary import text as text
    from lossary import torch as torch
    from lossary.checker import check

__version__ = "0.1.0"

_LAZY = ("checker", "information", "keras", "studies", "text", "torch")
"""Modules that are imported when they are first named, because they need what `import lossary` does not."""


def __getattr__(name: str) -> Any:
    try:
        if name in _LAZY:
            return importlib.import_module(f"lossary.{name}")
        if name == "check":
            return importlib.import_module("lossary.checker").check
    except ImportError as error:  # of a missing extra; `help(lossary)` and `hasattr` expect this error alone
        raise AttributeError(str(error)) from error
    raise AttributeError(f"module 'lossary' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY, "check"})


__all__ = [
    "AdaptiveWingLoss",
    "AlphaIoULoss",
    "ArcFaceLoss",
    "AsymmetricLoss",
    "AsymmetricSimilarityLoss",
    "BCELoss",
    "BalancedBCELoss",
    "BalancedL1Loss",
    "BiTemperedLoss",
    "BoundaryLoss",
    "CDIoULoss",
    "CIoULoss",
    "CTCLoss",
    "CauchyLoss",
    "CenterLoss",
    "CharbonnierLoss",
    "CircleLoss",
    "ClDiceLoss",
    "ClassBalancedLoss",
    "ComboLoss",
    "ContrastiveLoss",
    "CosFaceLoss",
    "CrossEntropyLoss",
    "DIoULoss",
    "DiceLoss",
    "DistancePenalizedCrossEntropyLoss",
    "DistillationLoss",
    "DistributionFocalLoss",
    "EIoULoss",
    "EntropyLoss",
    "EpsilonInsensitiveLoss",
    "ExpLogLoss",
    "ExpectedEditDistanceLoss",
    "ExponentialLoss",
    "FocalEIoULoss",
    "FocalL1Loss",
    "FocalLoss",
    "FocalTverskyLoss",
    "GHMLoss",
    "GIoULoss",
    "GWDLoss",
    "GaussianNLLLoss",
    "GemanMcClureLoss",
    "GeneralRobustLoss",
    "GeneralizedCrossEntropyLoss",
    "GeneralizedDiceLoss",
    "HausdorffDTLoss",
    "HausdorffErosionLoss",
    "HingeLoss",
    "HuberLoss",
    "InfoNCELoss",
    "InnerIoULoss",
    "IoULoss",
    "JSDivLoss",
    "JaccardLoss",
    "KLDBoxLoss",
    "KLDivLoss",
    "L1Loss",
    "LDAMLoss",
    "LargeMarginSoftmaxLoss",
    "LinearCrossEntropyLoss",
    "LogCoshDiceLoss",
    "LogCoshLoss",
    "LogitAdjustedLoss",
    "Loss",
    "LovaszHingeLoss",
    "LovaszSoftmaxLoss",
    "MAPELoss",
    "MPDIoULoss",
    "MSELoss",
    "MSLELoss",
    "NormLoss",
    "OutputLoss",
    "PenaltyGeneralizedDiceLoss",
    "PoissonNLLLoss",
    "PolyLoss",
    "ProbIoULoss",
    "QualityFocalLoss",
    "QuantileLoss",
    "RMSELoss",
    "RNNTLoss",
    "SIoULoss",
    "ScheduledLoss",
    "SensitivitySpecificityLoss",
    "ShapeAwareLoss",
    "SmoothL1Loss",
    "SphereFaceLoss",
    "StructuralSimilarityLoss",
    "SumLoss",
    "SupConLoss",
    "SymmetricCrossEntropyLoss",
    "TopKLoss",
    "TripletLoss",
    "TukeyLoss",
    "TverskyLoss",
    "UncertaintyWeightedLoss",
    "UnifiedFocalLoss",
    "VarifocalLoss",
    "WIoULoss",
    "WelschLoss",
    "WingLoss",
    "ZeroOneLoss",
    "boxes",
    "catalogue",
    "check",
    "checked",
    "create",
    "distance_map",
    "find",
    "from_dict",
]
