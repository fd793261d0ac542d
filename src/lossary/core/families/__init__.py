"""The families: a loss is a formula on one quantity, and what it takes to get there is done once, here."""

from lossary.core.families.balanced import BalancedLoss
from lossary.core.families.box import BoxLoss
from lossary.core.families.box_pair import BoxPair
from lossary.core.families.classification import ClassBatch, ClassificationLoss, Task
from lossary.core.families.distance import DistanceMapLoss, MaskLoss
from lossary.core.families.divergence import DivergenceLoss
from lossary.core.families.embedding import AngularLoss, DistanceLoss, EmbeddingLoss, SimilarityLoss
from lossary.core.families.foreground import ForegroundMean
from lossary.core.families.likelihood import LikelihoodLoss
from lossary.core.families.margin import MarginLoss
from lossary.core.families.named_sum import NamedSumLoss
from lossary.core.families.pointwise import Pair, PointwiseLoss
from lossary.core.families.region import Counts, RegionLoss
from lossary.core.families.residual import ResidualLoss
from lossary.core.families.rotated import GaussianPair, RotatedBoxLoss
from lossary.core.families.sequence import AlignmentLoss, SequenceLoss
from lossary.core.families.sigmoid import SigmoidLoss

__all__ = [
    "AlignmentLoss",
    "AngularLoss",
    "BalancedLoss",
    "BoxLoss",
    "BoxPair",
    "ClassBatch",
    "ClassificationLoss",
    "Counts",
    "DistanceLoss",
    "DistanceMapLoss",
    "DivergenceLoss",
    "EmbeddingLoss",
    "ForegroundMean",
    "GaussianPair",
    "LikelihoodLoss",
    "MarginLoss",
    "MaskLoss",
    "NamedSumLoss",
    "Pair",
    "PointwiseLoss",
    "RegionLoss",
    "ResidualLoss",
    "RotatedBoxLoss",
    "SequenceLoss",
    "SigmoidLoss",
    "SimilarityLoss",
    "Task",
]
