"""The segmentation study: which pixels belong to which digit, among clutter."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lossary.studies import metrics, outlines
from lossary.studies.data import Data, Split, load
from lossary.studies.digits import segmentation_data
from lossary.studies.metrics import ClassMetric, Metric
from lossary.studies.results import Comparison
from lossary.studies.study import Section, Study

if TYPE_CHECKING:
    from torch import Tensor, nn

_SHOWN = 6
"""Test images in the report."""


def _load(path: Path) -> Data:
    return load(path, dense=True)


def _model(channels: int, classes: int) -> nn.Module:
    from lossary.studies.networks import SmallUNet

    return SmallUNet(channels, classes)


def _labels(logits: Tensor) -> Tensor:
    """Labels only: logits of a whole test set may not fit into memory."""
    import torch

    return logits.argmax(1).to(torch.uint8 if logits.shape[1] <= 256 else torch.int32)


def _pictures(comparison: Comparison, data: Data) -> list[Section]:
    """The same test images as every loss sees them."""
    from lossary.views import images, report

    predictions = comparison.predictions
    if not predictions or not isinstance(data.test, Split):
        return []
    truth = data.test.targets
    chosen = _choose(np.stack(list(predictions.values())), truth)
    grey = images.grey(data.test.inputs[chosen])
    rows = [
        {
            "image": images.png(grey[i]),
            "truth": images.png(images.overlay(grey[i], truth[k])),
            "predictions": [
                {
                    "loss": loss,
                    "image": images.png(images.overlay(grey[i], labels[k])),
                    "iou": _overlap(labels[k], truth[k]),
                }
                for loss, labels in predictions.items()
            ],
        }
        for i, k in enumerate(chosen)
    ]
    return [
        Section(
            "Predictions side by side",
            f"The first {(len(chosen) + 1) // 2} test images, then those on which losses disagree most; models of "
            f"seed {comparison.seeds[0]}. Below each prediction the IoU of its foreground with the right class.",
            report.render(
                "segmentation.html",
                rows=rows,
                colours=report.colours(comparison),
                classes=list(zip(data.classes, images.class_colours(len(data.classes)), strict=True))[1:],
            ),
        )
    ]


def _overlap(labels: np.ndarray, truth: np.ndarray) -> float:
    """Foreground pixels of the right class over those that are foreground in either; the mean over classes would halve
    for one stray pixel of a class that is not there."""
    either = (labels > 0) | (truth > 0)
    return float((labels == truth)[either].mean()) if either.any() else 1.0


def _choose(labels: np.ndarray, truth: np.ndarray) -> list[int]:
    """The first images, so that nothing is picked by hand, and the ones that tell the losses apart."""
    first = list(range(min((_SHOWN + 1) // 2, len(truth))))
    pixels = tuple(range(1, truth.ndim))
    disagreement = (labels != labels[:1]).any(0).mean(axis=pixels)
    order = np.argsort(-disagreement, kind="stable").tolist()
    return first + [k for k in order if k not in first][: _SHOWN - len(first)]


STUDY = Study(
    name="segmentation",
    task="multiclass",
    losses=(
        "cross_entropy",
        "focal",
        "dice",
        "tversky:fp_weight=.3:fn_weight=.7",
        "lovasz_softmax",
        "dice+cross_entropy",
    ),
    data=segmentation_data,
    load=_load,
    model=_model,
    predict=_labels,
    metrics=(
        Metric("miou", "mIoU", metrics.mean_iou),
        Metric("foreground_miou", "foreground mIoU", metrics.foreground_iou),
        Metric("dice", "foreground Dice", metrics.foreground_dice),
        Metric("hausdorff95", "Hausdorff 95", outlines.hausdorff95, better="low", every_epoch=False),
        Metric("surface_dice", "surface Dice", outlines.surface_dice, every_epoch=False),
    ),
    class_metric=ClassMetric("Dice", metrics.class_dice),
    pictures=_pictures,
    epochs=6,
    batch_size=4,
    learning_rate=0.01,
)
