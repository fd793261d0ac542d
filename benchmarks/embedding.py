"""Losses of features as one writes them in plain torch, and the prototypes that all contenders share."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CLASSES, DIMENSION = 10_000, 512


def prototypes() -> nn.Parameter:
    """One per class, as rows, the same at every call."""
    return nn.Parameter(torch.randn(CLASSES, DIMENSION, generator=torch.Generator().manual_seed(1)))


def as_columns(loss: Any) -> Any:
    """Puts the prototypes into a loss of pytorch-metric-learning."""
    loss.W = nn.Parameter(prototypes().detach().T.contiguous())
    return loss


def of_lengths(loss: Any) -> Any:
    """Lets a loss of pytorch-metric-learning take features as they are, and average over everything."""
    from pytorch_metric_learning import distances, reducers

    loss.distance, loss.reducer = distances.LpDistance(normalize_embeddings=False), reducers.MeanReducer()
    return loss


class ArcFace:
    """The angle by its cosine, as most public copies have it."""

    def __init__(self, margin: float, scale: float) -> None:
        self.margin, self.scale, self.prototypes = margin, scale, prototypes()

    def __call__(self, features: Tensor, labels: Tensor) -> Tensor:
        cos = F.linear(F.normalize(features), F.normalize(self.prototypes))
        own = cos.gather(1, labels[:, None])
        moved = torch.cos(torch.acos(own.clamp(-1 + 1e-7, 1 - 1e-7)) + self.margin)
        return F.cross_entropy(self.scale * cos.scatter(1, labels[:, None], moved), labels)


def supcon(features: Tensor, labels: Tensor, temperature: float) -> Tensor:
    unit = F.normalize(features)
    itself = torch.eye(len(unit), dtype=torch.bool)
    log_p = F.log_softmax((unit @ unit.T / temperature).masked_fill(itself, -torch.inf), 1)
    positive = (labels[:, None] == labels) & ~itself
    return -(log_p.masked_fill(~positive, 0.0).sum(1) / positive.sum(1)).mean()


def hard_triplets(features: Tensor, labels: Tensor, margin: float) -> Tensor:
    distance = torch.cdist(features, features)
    same = labels[:, None] == labels
    farthest = distance.masked_fill(~same, -torch.inf).amax(1)
    return F.relu(farthest - distance.masked_fill(same, torch.inf).amin(1) + margin).mean()


def all_triplets(features: Tensor, labels: Tensor, margin: float) -> Tensor:
    """An array with an entry for each triple of features."""
    distance = torch.cdist(features, features)
    same = labels[:, None] == labels
    triplet = (same & ~torch.eye(len(same), dtype=torch.bool))[:, :, None] & ~same[:, None, :]
    costs = F.relu(distance[:, :, None] - distance[:, None, :] + margin)
    return costs.masked_fill(~triplet, 0.0).sum() / triplet.sum()
