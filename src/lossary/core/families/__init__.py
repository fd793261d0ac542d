"""The families: a loss is a formula on one quantity, and what it takes to get there is done once, here."""

from lossary.core.families.box import BoxLoss, BoxPair
from lossary.core.families.classification import ClassBatch, ClassificationLoss, Task
from lossary.core.families.divergence import DivergenceLoss
from lossary.core.families.likelihood import LikelihoodLoss
from lossary.core.families.margin import MarginLoss
from lossary.core.families.region import Counts, RegionLoss
from lossary.core.families.residual import ResidualLoss

__all__ = [
    "BoxLoss",
    "BoxPair",
    "ClassBatch",
    "ClassificationLoss",
    "Counts",
    "DivergenceLoss",
    "LikelihoodLoss",
    "MarginLoss",
    "RegionLoss",
    "ResidualLoss",
    "Task",
]
