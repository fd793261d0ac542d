"""A small detector without anchors, after FCOS (Tian et al. 2019): every place of a grid scores the classes and says
how far the sides of its object are."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lossary import boxes
from lossary.core.loss import Loss
from lossary.studies.networks import conv_block

if TYPE_CHECKING:
    from lossary.studies.training import Criterion

STRIDE = 4
"""Pixels between the places of the grid."""

REACH = 1.5 * STRIDE
"""Places this near to the middle of a box, and in it, learn it."""

PRIOR = 0.01
"""The score of every class before training, so that the many places without object do not drown the others."""


class SmallDetector(nn.Module):
    """Features of two scales joined at a quarter of the resolution, and two heads.

    Outputs are (N, classes + 4, h, w): logits, and logarithms of the distances to left, top, right and bottom.
    """

    def __init__(self, channels: int, classes: int, width: int = 16) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv_block(channels, width, kernel=5, stride=2), conv_block(width, width))
        self.fine = nn.Sequential(nn.MaxPool2d(2), conv_block(width, 2 * width), conv_block(2 * width, 2 * width))
        self.coarse = nn.Sequential(
            nn.MaxPool2d(2, ceil_mode=True), conv_block(2 * width, 4 * width), conv_block(4 * width, 4 * width)
        )
        self.joined = conv_block(6 * width, 4 * width)
        self.logits = nn.Sequential(conv_block(4 * width, 2 * width), nn.Conv2d(2 * width, classes, 1))
        self.sides = nn.Sequential(conv_block(4 * width, 2 * width), nn.Conv2d(2 * width, 4, 1))
        nn.init.constant_(cast(Tensor, self.logits[1].bias), -math.log((1 - PRIOR) / PRIOR))
        self.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    def forward(self, image: Tensor) -> Tensor:
        height, width = (STRIDE * math.ceil(side / STRIDE) for side in image.shape[2:])
        image = F.pad(image, (0, width - image.shape[3], 0, height - image.shape[2]))
        fine = self.fine(self.stem(image.contiguous(memory_format=torch.channels_last)))
        coarse = F.interpolate(self.coarse(fine), size=fine.shape[2:])
        joined = self.joined(torch.cat([fine, coarse], dim=1))
        return torch.cat([self.logits(joined), self.sides(joined)], dim=1)


def split(output: Tensor) -> tuple[Tensor, Tensor]:
    """Logits (N, places, classes) and boxes (N, places, 4), corners in pixels, of the detector's output."""
    rows = output.flatten(2).transpose(1, 2)
    middle = grid(output)
    distance = STRIDE * torch.exp(rows[..., -4:].clamp(max=5.0))
    return rows[..., :-4], torch.cat([middle - distance[..., :2], middle + distance[..., 2:]], dim=-1)


def grid(output: Tensor) -> Tensor:
    """The middles x, y (places, 2) of the places of an output, in pixels."""
    y, x = (STRIDE * (torch.arange(n, device=output.device) + 0.5) for n in output.shape[2:])
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1).reshape(-1, 2)


def assign(middle: Tensor, target: Tensor) -> Tensor:
    """For each image and place the number of the object that it learns, the smallest one that it is near to; -1 for
    none."""
    corners = target[:, None, :, 1:]
    x, y = middle[None, :, None, 0], middle[None, :, None, 1]
    x1, y1, x2, y2 = corners.unbind(-1)
    inside = (x > x1) & (x < x2) & (y > y1) & (y < y2)
    near = ((x - (x1 + x2) / 2).abs() <= REACH) & ((y - (y1 + y2) / 2).abs() <= REACH)
    area = (x2 - x1) * (y2 - y1)
    area = torch.where(inside & near & (target[:, None, :, 0] >= 0), area, torch.inf)
    least, chosen = area.min(-1)
    return torch.where(torch.isfinite(least), chosen, -1)


@dataclasses.dataclass(frozen=True)
class DetectionCriterion:
    """The class loss over all places by the number of those with an object, plus the box loss of these."""

    box_loss: Criterion
    class_loss: Loss

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        logits, found = split(output)
        chosen = assign(grid(output), target)
        positive = chosen >= 0
        objects = target.gather(1, chosen.clamp(min=0)[..., None].expand(-1, -1, 5))
        one_hot = F.one_hot(objects[..., 0].long().clamp(min=0), logits.shape[-1]) * positive[..., None]
        # (N, classes, places), as losses of several labels take them
        scores, truth = logits.transpose(1, 2), one_hot.transpose(1, 2).to(logits.dtype)
        of_classes = self.class_loss(scores, truth, normalizer=positive.sum().clamp(min=1).to(logits.dtype))
        return of_classes + self.box_loss(found[positive], objects[..., 1:][positive])


def detect(output: Tensor, most: int = 10, floor: float = 0.02, overlap: float = 0.5) -> Tensor:
    """Detections (N, most, 6) of label, corners and score, the best first; label -1 where there are fewer."""
    logits, corners = split(output)
    scores = torch.sigmoid(logits)
    found = torch.zeros((len(output), most, 6))
    found[..., 0] = -1
    for image, rows in enumerate(found):
        best, which = scores[image].flatten().topk(min(100, scores[image].numel()))
        best, which = best[best > floor], which[best > floor]
        label, box = which % scores.shape[-1], corners[image][which // scores.shape[-1]]
        kept = boxes.nms(box, best, overlap, classes=label, limit=most)
        rows[: len(kept)] = torch.cat([label[kept, None].float(), box[kept], best[kept, None]], dim=1)
    return found
