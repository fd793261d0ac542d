"""Lossary: every deep-learning loss, defined once, exact and stable, for PyTorch, JAX, TensorFlow/Keras and NumPy.

>>> import numpy as np, lossary as L
>>> loss = L.FocalLoss("multiclass", gamma=2.0)
>>> round(float(loss(np.array([[2.0, 0.0], [0.0, 1.0]]), np.array([0, 0]))), 4)
0.3518
"""

from lossary.core.catalogue import catalogue, create, find, from_dict
from lossary.core.compound import SumLoss
from lossary.core.contract import checked
from lossary.core.loss import Loss
from lossary.losses.boxes import CIoULoss, GIoULoss
from lossary.losses.divergence import KLDivLoss
from lossary.losses.likelihood import BCELoss, CrossEntropyLoss, FocalLoss
from lossary.losses.margin import ExponentialLoss, HingeLoss
from lossary.losses.region import DiceLoss, LovaszSoftmaxLoss, TverskyLoss
from lossary.losses.regression import HuberLoss, L1Loss, LogCoshLoss, MSELoss, SmoothL1Loss

__version__ = "0.1.0"

__all__ = [
    "BCELoss",
    "CIoULoss",
    "CrossEntropyLoss",
    "DiceLoss",
    "ExponentialLoss",
    "FocalLoss",
    "GIoULoss",
    "HingeLoss",
    "HuberLoss",
    "KLDivLoss",
    "L1Loss",
    "LogCoshLoss",
    "Loss",
    "LovaszSoftmaxLoss",
    "MSELoss",
    "SmoothL1Loss",
    "SumLoss",
    "TverskyLoss",
    "catalogue",
    "checked",
    "create",
    "find",
    "from_dict",
]
